//! What someone sees who has just built the gateway: no key, no configuration, and it answers.

use std::os::unix::fs::PermissionsExt;

use prx_tests::gateway::{Gateway, Home};
use serde_json::json;

#[tokio::test]
async fn without_a_configuration_the_defaults_serve() {
    let home = Home::empty();
    let command = home.plain(&["serve", "--port", "0"]);
    let gateway = Gateway::launch(home, command).await;
    assert!(gateway.address().ip().is_loopback());
    let health = gateway.client().get("/status/health").await;
    assert_eq!(health.expect(200), json!({"healthy": true}), "health needs no token");

    let data = gateway.home().path().join(".local/share/prx");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700, "the data directory is the owner's alone");
    assert_eq!(mode(&data.join("prx.sock")), 0o600, "so is the socket");

    let minted = gateway.home().finish(gateway.home().plain(&["auth", "token"])).await;
    assert_eq!(minted.code, Some(0), "{}", minted.stderr);
    let client = gateway.client().with_token(Some(token_alone(&minted.stdout)));
    let session = client.post("/sessions", json!({"channel": "api", "user_id": "ada"})).await.expect(201);
    let path = format!("/sessions/{}/messages", session["id"].as_str().unwrap());
    let reply = client.post(&path, json!({"content": "Good morning"})).await.expect(200);
    assert_eq!(reply["role"], "assistant");
    assert!(reply["content"].as_str().unwrap().contains("Good morning"), "{reply}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_is_made_whether_or_not_the_gateway_runs() {
    let home = Home::new("");
    let before = home.run(&["auth", "token"]).await;
    assert_eq!(before.code, Some(0), "{}", before.stderr);
    let before = token_alone(&before.stdout).to_owned();

    let gateway = Gateway::start_in(home).await;
    let during = gateway.home().run(&["auth", "token", "--name", "laptop"]).await;
    assert_eq!(during.code, Some(0), "{}", during.stderr);
    for token in [before.as_str(), token_alone(&during.stdout)] {
        gateway.client().with_token(Some(token)).get("/status").await.expect(200);
    }
    let gateway = gateway.restart().await;
    gateway.client().with_token(Some(&before)).get("/status").await.expect(200);
    assert!(!gateway.output().says(&[&before]), "a token is in no log");

    let id = before.split('_').nth(1).unwrap();
    let listed = gateway.home().run(&["auth", "list"]).await.stdout;
    assert!(listed.contains(id) && listed.contains("laptop") && listed.contains("admin"), "{listed}");
    assert_eq!(gateway.home().run(&["auth", "revoke", id]).await.code, Some(0));
    gateway.client().with_token(Some(&before)).get("/status").await.error(401, "unauthorized");
    gateway.client().get("/status").await.expect(200);
}

#[tokio::test]
async fn the_status_shows_what_runs() {
    let gateway = Gateway::start("").await;
    gateway.open_session("ada").await;
    let status = gateway.client().get("/status").await.expect(200);
    assert_eq!(status["status"], "healthy");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["uptime_secs"].is_u64(), "{status}");
    assert_eq!(status["active_sessions"], 1);
    assert_eq!(status["channels"], json!({"connected": 0, "total": 0}));
    assert_eq!(status["plugins"]["loaded"], status["plugins"]["total"]);
    assert_eq!(status["memory"], json!({"backend": "redb", "entries": 0}));
    assert_eq!(status["provider"], json!({"name": "local", "model": "local-1"}));
}

#[tokio::test]
async fn the_command_line_reads_what_the_api_says() {
    let gateway = Gateway::start("").await;
    let session = gateway.open_session("ada").await;
    for (args, key) in [
        (vec!["status", "--json"], "status"),
        (vec!["plugin", "list", "--json"], "plugins"),
        (vec!["session", "list", "--json"], "sessions"),
        (vec!["channel", "list", "--json"], "channels"),
        (vec!["tool", "list", "--json"], "tools"),
        (vec!["skill", "list", "--json"], "skills"),
    ] {
        let said = gateway.home().run(&args).await;
        assert_eq!(said.code, Some(0), "{args:?}: {}", said.stderr);
        let answer: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
        assert!(answer.get(key).is_some(), "{args:?}: {}", said.stdout);
    }
    let shown = gateway.home().run(&["session", "list"]).await.stdout;
    assert!(shown.contains(&session), "{shown}");
    assert_eq!(gateway.home().run(&["session", "end", &session]).await.code, Some(0));
    let gone = gateway.client().get(&format!("/sessions/{session}")).await.expect(200);
    assert_eq!(gone["status"], "terminated");
}

/// The token that is the only line of what was printed.
fn token_alone(stdout: &str) -> &str {
    let token = stdout.strip_suffix('\n').unwrap_or(stdout);
    let parts: Vec<&str> = token.splitn(3, '_').collect();
    assert!(
        matches!(parts[..], ["prx", id, secret] if !id.is_empty() && secret.len() == 43),
        "the shape of a token"
    );
    token
}
