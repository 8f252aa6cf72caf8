//! What plugins ask for, and what the operator grants them while the gateway runs.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;

use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::origin::Origin;
use serde_json::{Value, json};

const MANIFEST: &str =
    "[plugin]\nname = \"reaching\"\nversion = \"1.0.0\"\n[permissions]\nkv = \"64KiB\"\nhttp = [ORIGIN]\n";

/// A gateway with a plugin that asks for this origin and for storage, and is granted neither.
async fn with_reaching(origin: &str) -> Gateway {
    let home = Home::new("# What plugins may do.\n[grants.other]   # not ours\nkv = \"1KiB\"\n");
    let manifest = MANIFEST.replace("ORIGIN", &format!("{origin:?}"));
    home.place_plugin("reaching", &Component::of("reaching").with_manifest(&manifest).bytes());
    Gateway::start_in(home).await
}

async fn grants(gateway: &Gateway) -> Value {
    gateway.client().get("/plugins/reaching/grants").await.expect(200)
}

async fn grant(gateway: &Gateway, grant: Value) -> Value {
    let path = "/plugins/reaching/grants";
    gateway.client().upload(hyper::Method::PUT, path, "application/json", grant.to_string()).await.expect(200)
}

async fn fetch(gateway: &Gateway, url: &str) -> String {
    gateway.call_tool("fetch", json!({"url": url})).await.to_string()
}

#[tokio::test]
async fn a_grant_is_felt_at_once_written_down_and_taken_back() {
    let origin = Origin::start().await;
    origin.answer("/", json!("hello"));
    let gateway = with_reaching(&origin.url()).await;
    assert_eq!(gateway.plugin("reaching").await.unwrap()["status"], "failed");
    let asked = grants(&gateway).await;
    assert_eq!((&asked["requested"]["kv"], &asked["granted"]), (&json!(65536), &json!({})), "{asked}");
    assert_eq!(asked["missing"], json!({"http": [origin.url()], "kv": "64KiB"}));
    assert_eq!(asked["effective"]["kv"], Value::Null);

    let granted = grant(&gateway, json!({"http": [origin.url()], "kv": "64KiB"})).await;
    assert_eq!(
        (&granted["missing"], &granted["effective"]["kv"]),
        (&Value::Null, &json!(65536)),
        "{granted}"
    );
    assert_eq!(gateway.plugin("reaching").await.unwrap()["status"], "loaded");
    assert!(fetch(&gateway, &origin.url()).await.contains("hello"));
    let text = fs::read_to_string(gateway.home().path().join("prx.toml")).unwrap();
    assert!(text.contains("[grants.reaching]"), "{text}");
    assert!(text.contains("# What plugins may do.") && text.contains("# not ours"), "{text}");

    let gateway = gateway.restart().await;
    assert!(fetch(&gateway, &origin.url()).await.contains("hello"), "also after a restart");
    let taken = grant(&gateway, json!({"kv": "64KiB"})).await;
    assert_eq!(taken["granted"], json!({"kv": "64KiB"}));
    assert_eq!(gateway.plugin("reaching").await.unwrap()["status"], "failed");
    assert!(!fetch(&gateway, &origin.url()).await.contains("hello"), "what was taken back doesn't go on");
    assert_eq!(grant(&gateway, json!({})).await["granted"], json!({}));
    let text = fs::read_to_string(gateway.home().path().join("prx.toml")).unwrap();
    assert!(!text.contains("reaching") && text.contains("[grants.other]"), "{text}");
}

#[tokio::test]
async fn a_grant_of_what_is_not_asked_for_means_nothing() {
    let gateway = with_reaching("https://api.example.org").await;
    let wishes = json!({"http": ["https://api.example.org"], "kv": "64KiB", "files": true});
    let granted = grant(&gateway, wishes).await;
    assert_eq!(
        (&granted["granted"]["files"], &granted["missing"], &granted["effective"]["files"]),
        (&json!("64MiB"), &Value::Null, &Value::Null),
        "{granted}"
    );
    let mut served: Vec<&String> = granted["effective"].as_object().unwrap().keys().collect();
    served.sort();
    assert_eq!(
        served,
        ["events", "files", "http", "kv", "memory", "public", "routes", "secrets", "send", "turns"],
        "nothing is listed that means nothing"
    );
    assert_eq!(gateway.plugin("reaching").await.unwrap()["status"], "loaded");
    assert!(!gateway.home().data().join("files").exists(), "nor is a directory made");
}

#[tokio::test]
async fn a_bad_grant_changes_nothing() {
    let gateway = with_reaching("https://api.example.org").await;
    let put = async |name: &str, body: Value| {
        let path = format!("/plugins/{name}/grants");
        gateway.client().upload(hyper::Method::PUT, &path, "application/json", body.to_string()).await
    };
    for (body, named) in [
        (json!({"http": "https://api.example.org"}), "http"),
        (json!({"http": ["no origin"]}), "http"),
        (json!({"kv": "much"}), "kv"),
        (json!({"files": "much"}), "files"),
        (json!({"files": 3}), "files"),
        (json!({"memory": "all"}), "memory"),
        (json!({"approver": " "}), "approver"),
        (json!({"network": true}), "network"),
    ] {
        let refused = put("reaching", body).await.error(400, "bad_request");
        assert!(refused.contains(named), "{refused}");
    }
    put("other.kv", json!({})).await.error(404, "not_found");
    gateway.client().get("/plugins/nobody/grants").await.error(404, "not_found");
    assert_eq!(grants(&gateway).await["granted"], json!({}));
    let token = gateway.home().run(&["auth", "token", "--scope", "plugins:write"]).await;
    let installer = gateway.client().with_token(Some(token.stdout.trim()));
    let refused = installer
        .upload(hyper::Method::PUT, "/plugins/reaching/grants", "application/json", r#"{"kv": "64KiB"}"#)
        .await;
    assert!(refused.error(403, "forbidden").contains("config:write"), "who installs doesn't grant");
}

#[tokio::test]
async fn the_command_line_grants_what_is_asked_also_beforehand() {
    let gateway = with_reaching("https://api.example.org").await;
    let home = gateway.home();
    let shown = home.run(&["plugin", "grant", "reaching"]).await;
    assert!(shown.stdout.contains("missing.kv"), "{shown:?}");
    let granted = home.run(&["plugin", "grant", "reaching", "--as-asked", "--json"]).await;
    let granted: Value = serde_json::from_str(&granted.stdout).unwrap();
    assert_eq!(granted["missing"], Value::Null, "{granted}");
    assert_eq!(gateway.plugin("reaching").await.unwrap()["status"], "loaded");

    let early = home.run(&["plugin", "grant", "weather", "--http", "https://api.open-meteo.com"]).await;
    assert_eq!(early.code, Some(0), "{early:?}");
    let more = ["plugin", "grant", "weather", "--http", "https://geocoding-api.open-meteo.com"];
    assert_eq!(home.run(&more).await.code, Some(0));
    let weather = Component::of("prx-weather").bytes();
    gateway.client().upload(hyper::Method::POST, "/plugins", "application/wasm", weather).await.expect(201);
    let wrong = home.run(&["plugin", "grant", "weather", "--kv", "much"]).await;
    assert!(wrong.code != Some(0) && wrong.stderr.contains("kv"), "{wrong:?}");
}

#[tokio::test]
async fn sockets_are_denied_whatever_is_granted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let home =
        Home::new("[grants.dialing]\nhttp = [\"http://127.0.0.1:1\"]\n[tools.policy]\n\"*\" = \"allow\"\n");
    home.place_plugin("dialing", &Component::of("dialing").bytes());
    let gateway = Gateway::start_in(home).await;
    let to = listener.local_addr().unwrap().to_string();
    let answer = gateway.call_tool("dial", json!({"to": to})).await.expect(200);
    let told: Value = serde_json::from_str(answer["content"].as_str().unwrap()).unwrap();
    for way in ["connect", "listen", "send", "look up"] {
        let answer = told[way].as_str().unwrap();
        assert!(["denied", "failed to lookup"].iter().any(|word| answer.contains(word)), "{told}");
    }
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock, "nobody has dialled");
    gateway.stop().await;
}
