//! What someone sees who has just built the gateway: no key, no configuration, and it answers.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use prx_tests::client::Client;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::wait::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::Command;

/// A port for a gateway that is asked before it has said where it listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What a probe is answered with while the gateway starts; none once it is ready.
async fn refusal(client: &Client, path: &str) -> Option<String> {
    let answer = async || client.try_send(client.bare(Method::GET, path), Bytes::new()).await.ok();
    let answer = until("an answer", answer).await;
    (answer.status != 200).then(|| answer.error(503, "unavailable"))
}

#[tokio::test]
async fn while_plugins_are_compiled_probes_and_commands_are_told_how_far_it_is() {
    let home = Home::empty();
    let port = free_port();
    let client = Client::new(([127, 0, 0, 1], port).into(), None);
    let serve = home.command(&["serve", "--port", &port.to_string()]);
    let mut status = Command::from(home.command(&["status"]));
    let probing = async {
        let first = refusal(&client, "/readyz").await.expect("nothing is compiled yet");
        assert!(first.starts_with("starting"), "{first}");
        let live = client.send(client.bare(Method::GET, "/livez"), Bytes::new()).await;
        assert_eq!(live.expect(200), json!({"live": true}));
        let said = status.output().await.unwrap();
        let said = (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned());
        assert!(said.0 == Some(1) && said.1.starts_with("prx: starting"), "{said:?}");
        let mut told = Vec::from([first]);
        while let Some(words) = refusal(&client, "/api/v1/status/health").await {
            if told.last() != Some(&words) {
                told.push(words);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        told
    };
    let (gateway, told) = tokio::join!(Gateway::launch(home, serve), probing);
    let counted = |words: &String| words.starts_with("starting: plugins ") && words.contains(" of ");
    assert!(told.iter().any(counted), "{told:?}");
    assert!(gateway.output().says_soon(&["compiling plugins ("]).await, "the log says so too");
    assert_eq!(refusal(&client, "/readyz").await, None, "who listens is ready");
    assert!(gateway.output().says_soon(&["plugin loaded"]).await);
    gateway.stop().await;
}

#[tokio::test]
async fn a_signal_while_plugins_are_compiled_ends_the_gateway_before_they_are() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = Home::empty();
        let port = free_port();
        let client = Client::new(([127, 0, 0, 1], port).into(), None);
        let mut serve = Command::from(home.command(&["serve", "--port", &port.to_string()]));
        serve.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let process = serve.spawn().unwrap();
        let told = until("a count", async || {
            refusal(&client, "/readyz").await.filter(|words| words.contains(" of "))
        });
        let told = told.await;
        let total: usize = told.rsplit(' ').next().unwrap().parse().expect("how many there are");
        let pid = Pid::from_raw(process.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(60), process.wait_with_output());
        let ended = ended.await.expect("it ends").unwrap();
        let printed = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert_eq!(ended.status.code(), Some(0), "{printed:?}");
        let loaded = printed[1].matches("plugin loaded").count();
        assert!(loaded < total, "it did not wait for the {total}th plugin: {printed:?}");
        assert!(!printed[0].contains("listening on"), "{printed:?}");
        assert!(!home.data().join("prx.sock").exists(), "the socket is gone with it");
    }
}

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
    let early = home.run(&["auth", "list"]).await;
    assert!(
        early.code == Some(1) && early.stderr.contains("no gateway has ever run on <home>/data"),
        "{early:?}"
    );
    assert!(!home.data().exists(), "and none is begun by asking");
    let before = home.run(&["auth", "token"]).await;
    assert_eq!(before.code, Some(0), "{}", before.stderr);
    assert!(before.stderr.contains("no gateway has ever run on <home>/data"), "{}", before.stderr);
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
