//! The command line and a gateway elsewhere, and a configuration without any.
use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prx_tests::gateway::{Ended, Gateway, Home};
use prx_tests::origin::Origin;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use tokio::net::TcpListener;

fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
}

/// A home of a gateway that speaks TLS with a certificate of its own for `localhost`.
fn with_tls(folder: &Path) -> String {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), pem("CERTIFICATE", cert.der())).unwrap();
    fs::write(folder.join("key.pem"), pem("PRIVATE KEY", signing_key.serialized_der())).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    format!("[gateway]\ntls_cert = {:?}\ntls_key = {:?}\n", path("cert.pem"), path("key.pem"))
}

/// `prx` on a machine that has nothing but its home.
fn command(home: &Home, url: &str, token: &str, args: &[&str]) -> Command {
    let mut command = home.plain(args);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command.env("PRX_URL", url).env("PRX_TOKEN", token).env("PRX_CA", "");
    command
}

fn failed(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stderr.trim_end().lines().count(), 1, "one sentence: {ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{word}: {ended:?}");
    }
}

#[tokio::test]
async fn a_gateway_elsewhere_is_asked_as_the_one_here() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&with_tls(folder.path())).await;
    let ca = folder.path().join("cert.pem").display().to_string();
    let url = format!("https://localhost:{}", gateway.address().port());
    let token = gateway.home().run(&["auth", "token"]).await.stdout.trim().to_owned();
    let narrow =
        gateway.home().run(&["auth", "token", "--scope", "status:read"]).await.stdout.trim().to_owned();
    let away = Home::empty();
    let run = async |token: &str, args: &[&str]| {
        let mut command = command(&away, &url, token, args);
        command.env("PRX_CA", &ca);
        away.finish(command).await
    };
    let done = async |args: &[&str]| {
        let ended = run(&token, args).await;
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        ended.stdout
    };
    assert!(done(&["status"]).await.contains("healthy"));
    assert!(done(&["plugin", "list"]).await.contains("telegram"));
    assert!(done(&["config", "set", "agent.max_turns", "77"]).await.contains("in force"));
    assert_eq!(done(&["config", "get", "agent.max_turns"]).await, "77\n");
    assert!(done(&["config", "export"]).await.contains("max_turns = 77"));
    assert!(done(&["auth", "list"]).await.contains("admin"));
    assert!(done(&["store", "check"]).await.contains("tokens"));
    assert!(done(&["backup", "far.prx"]).await.contains("verified"));
    assert!(away.path().join("far.prx").exists());
    assert!(!away.path().join(".local").exists(), "nothing is made here");

    failed(&run("prx_wrong_token", &["status"]).await, 77, &["token"]);
    failed(&run("", &["status"]).await, 77, &["give a token with --token or PRX_TOKEN"]);
    failed(&run(&narrow, &["channel", "list"]).await, 77, &["channels:read"]);
    failed(&run("two words", &["status"]).await, 2, &["--token: it has characters in it that no token has"]);
    failed(&run("file:none", &["status"]).await, 2, &["--token: ", "none"]);
    let untrusted = away.finish(command(&away, &url, &token, &["status"])).await;
    failed(&untrusted, 69, &["signed by an authority that is not trusted here", "name its PEM file in --ca"]);
    let plain = url.replace("https", "http");
    let plain = away.finish(command(&away, &plain, &token, &["status"])).await;
    assert!([Some(69), Some(76)].contains(&plain.code), "{plain:?}");
}

#[tokio::test]
async fn what_is_no_gateway_is_told_no_token() {
    let home = Home::empty();
    let page = Origin::start().await;
    page.answer("/api/v1/status/health", json!({"welcome": "to nginx"}));
    let moved = Origin::start().await;
    moved.redirect("/api/v1/status/health", "https://gateway.example.org/api/v1/status/health");
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", deaf.local_addr().unwrap());
    let gone = {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", closed.local_addr().unwrap())
    };
    let ask = async |url: &str| home.finish(command(&home, url, "prx_a_b", &["status"])).await;
    failed(&ask(&page.url()).await, 76, &["is no gateway of PRX: it answers 200 OK", "is --url right?"]);
    failed(&ask(&moved.url()).await, 76, &["leads to https://gateway.example.org; if that is the gateway"]);
    failed(&ask(&gone).await, 69, &["the gateway can't be reached: http://127.0.0.1:", "refused"]);
    failed(&ask(&silent).await, 69, &["no answer in time"]);
    failed(
        &ask("https://gateway.invalid").await,
        69,
        &["the gateway can't be reached: https://gateway.invalid"],
    );
    for received in page.received().into_iter().chain(moved.received()) {
        assert!(!received.contains("prx_a_b"), "{received}");
    }
    for wrong in [
        "gateway.example.org",
        "ftp://gateway.example.org",
        "https://a:b@example.org",
        "https://a.example/?x",
    ] {
        failed(&ask(wrong).await, 2, &["--url: ", "it is like https://gateway.example.org"]);
    }
    // Said here, it would be meant; set for all commands, it is none of theirs.
    for local in [["doctor"].as_slice(), &["config", "check"], &["plugin", "new", "a"], &["restore", "a.prx"]]
    {
        let refused =
            home.finish(home.plain(&[&["--url", "https://gateway.example.org"], local].concat())).await;
        let name = format!("`prx {}", local[0]);
        failed(&refused, 2, &[&name, "works on files of this machine"]);
    }
    let checked = home.finish(command(&home, "https://gateway.invalid", "", &["config", "check"])).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[tokio::test]
async fn a_configuration_is_read_changed_and_moved_without_a_gateway() {
    let home = Home::new(
        "# Mine.\n[agent]\nmax_turns = 7 # few\n[channels_config.telegram]\nbot_token = \"123:abc\"\nallowed_users = [\"7\"]\n",
    );
    let said = async |args: &[&str]| {
        let ended = home.run(args).await;
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        ended.stdout
    };
    assert_eq!(said(&["config", "get", "agent.max_turns"]).await, "7\n");
    assert_eq!(said(&["config", "get", "channels_config.telegram.bot_token"]).await, "***REDACTED***\n");
    let set = said(&["config", "set", "agent.max_turns", "8"]).await;
    assert!(set.contains("agent.max_turns is written down, for the next start"), "{set}");
    let text = || fs::read_to_string(home.path().join("prx.toml")).unwrap();
    assert!(text().starts_with("# Mine.\n[agent]\nmax_turns = 8 # few\n"), "{}", text());
    for (key, value, why) in [
        ("agent.max_turn", "9", "did you mean \"max_turns\""),
        ("agent.max_turns", "many", "agent.max_turns"),
        ("channels_config.telegram.bot_tokens", "x", "bot_token"),
        ("gateway.host", "0.0.0.0", "is not a loopback address"),
        ("telemetry.otlp_endpoint", "collector:4318", "otlp_endpoint: "),
        ("egress.ca_file", "/nowhere.pem", "ca_file"),
    ] {
        let before = text();
        let refused = home.run(&["config", "set", key, value]).await;
        assert!(refused.code == Some(1) && refused.stderr.contains(why), "{refused:?}");
        assert_eq!(text(), before);
    }
    let exported = said(&["config", "export"]).await;
    assert!(
        exported.starts_with("# Secrets are not in it: channels_config.telegram.bot_token\n"),
        "{exported}"
    );
    assert!(exported.contains("max_turns = 8") && !exported.contains("123:abc"), "{exported}");
    assert!(!exported.contains("session_timeout_secs"), "defaults are left out: {exported}");
    let other = Home::empty();
    fs::write(other.path().join("in.toml"), &exported).unwrap();
    other.configure("[agent]\nmax_turns = 1\nsystem_prompt = \"Stays.\"\n[channels_config.telegram]\nbot_token = \"456:def\"\n");
    let imported = other.run(&["config", "import", "in.toml"]).await;
    assert!(imported.code == Some(0) && imported.stdout.contains("keys are written down"), "{imported:?}");
    let text = fs::read_to_string(other.path().join("prx.toml")).unwrap();
    for words in ["max_turns = 8", "Stays.", "456:def", "allowed_users = [\"7\"]"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    fs::write(other.path().join("in.toml"), "[agent]\nmax_turns = 9\n[nowhere]\na = 1\n").unwrap();
    let refused = other.run(&["config", "import", "in.toml"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("nowhere"), "{refused:?}");
    assert!(
        !fs::read_to_string(other.path().join("prx.toml")).unwrap().contains("max_turns = 9"),
        "all or none"
    );
}
