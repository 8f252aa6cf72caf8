//! Plugins are installed, upgraded and removed by people who look at what they ask for.

use std::path::Path;

use bytes::Bytes;
use hyper::Method;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const WASM: &str = "application/wasm";

fn reaching(version: &str, more: &str) -> Component {
    let manifest = format!(
        "[plugin]\nname = \"reaching\"\nversion = {version:?}\n[permissions]\nkv = \"64KiB\"\nhttp = \
         [\"https://a.example\"{more}]\n"
    );
    Component::of("reaching").with_manifest(&manifest)
}

fn file(home: &Home, name: &str, component: &Component) -> String {
    let path = home.path().join(name);
    std::fs::write(&path, component.bytes()).unwrap();
    path.display().to_string()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server that answers `/component` with these bytes and sends everyone else there.
async fn serving(bytes: Bytes) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            let answer = match asked.starts_with(b"GET /component ") {
                true => {
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len());
                    [head.as_bytes(), &bytes].concat()
                }
                false => b"HTTP/1.1 302 Found\r\nlocation: /component\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec(),
            };
            // Whoever has seen enough has hung up.
            let _ = stream.write_all(&answer).await;
        }
    });
    url
}

#[tokio::test]
async fn a_component_is_fetched_as_the_one_of_its_digest_and_from_where_the_operator_says() {
    let component = Component::of("prx-hello-tool").bytes();
    let url = serving(component.clone()).await;
    let gateway = Gateway::start(&format!("[plugins]\nsources = [{url:?}]\n")).await;
    let home = gateway.home();
    let install = async |what: String| home.run(&["plugin", "install", &what]).await;
    let without = install(format!("{url}/component")).await;
    assert!(without.code == Some(2) && without.stderr.contains("/component#sha256=DIGEST"), "{without:?}");
    let other = install(format!("{url}/component#sha256={}", "0".repeat(64))).await;
    let found = format!("has sha256 {}", sha256(&component));
    assert!(other.code == Some(1) && other.stderr.contains(&found), "{other:?}");
    assert!(gateway.plugin("hello-tool").await.is_none());
    let installed = install(format!("{url}/latest?key=canary#sha256={}", sha256(&component))).await;
    assert_eq!(installed.code, Some(0), "{installed:?}");
    let plugin = gateway.client().get("/plugins/hello-tool").await.expect(200);
    assert_eq!(plugin["component"]["source"], format!("{url}/latest"));

    gateway.client().patch("/config", json!({"plugins.sources": []})).await.expect(200);
    let body = json!({"url": format!("{url}/component"), "sha256": sha256(&component)});
    let refused = gateway.client().post("/plugins", body).await.error(409, "conflict");
    assert!(refused.contains("plugins.sources"), "{refused}");
    let inside = json!({"url": url.replace("http:", "https:"), "sha256": sha256(&component)});
    let refused = gateway.client().post("/plugins", inside).await.error(409, "conflict");
    assert!(refused.contains("plugins.sources"), "{refused}");
    let short = json!({"url": url, "sha256": "abc"});
    assert!(
        gateway
            .client()
            .post("/plugins", short)
            .await
            .error(400, "bad_request")
            .contains("64 hexadecimal digits")
    );
    gateway.client().post("/plugins", json!({"url": url})).await.error(400, "bad_request");
}

#[tokio::test]
async fn what_a_plugin_asks_for_is_looked_at_granted_and_taken_back() {
    let gateway = Gateway::start("").await;
    let home = gateway.home();
    let (first, second) = (reaching("1.0.0", ""), reaching("1.1.0", ", \"https://b.example\""));
    let (first, second) = (file(home, "first.wasm", &first), file(home, "second.wasm", &second));
    let refused = home.run(&["plugin", "install", &first]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("--grant"), "{refused:?}");
    let asked = home.run(&["plugin", "install", &first, "--grant"]).await;
    assert!(
        asked.code == Some(1) && asked.stderr.contains("https://a.example"),
        "what it asks for is shown: {asked:?}"
    );
    assert!(asked.stderr.contains("--grant --yes"), "nobody is there to be asked: {asked:?}");
    assert!(gateway.plugin("reaching").await.is_none());
    gateway.client().get("/plugins/reaching/grants").await.error(404, "not_found");
    let installed = home.run(&["plugin", "install", &first, "--grant", "--yes"]).await;
    assert_eq!(installed.code, Some(0), "{installed:?}");
    assert_eq!(gateway.plugin("reaching").await.unwrap()["status"], "loaded");

    let compared = home.run(&["plugin", "diff", "reaching", &second]).await;
    assert!(compared.stdout.contains("version: 1.0.0 -> 1.1.0"), "{compared:?}");
    assert!(compared.stdout.contains("+ permissions.http: https://b.example"), "{compared:?}");
    let files = home.run(&["plugin", "diff", &first, &second, "--json"]).await;
    let files: Value = serde_json::from_str(&files.stdout).unwrap();
    assert!(files["new"]["capabilities"].as_array().unwrap().contains(&json!("tool:hoard")), "{files}");
    let refused = home.run(&["plugin", "upgrade", &second]).await;
    assert!(
        refused.code == Some(1) && refused.stderr.contains("+ permissions.http: https://b.example"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("--grant"), "{refused:?}");
    assert_eq!(gateway.plugin("reaching").await.unwrap()["version"], "1.0.0");
    let upgraded = home.run(&["plugin", "upgrade", &second, "--grant", "--yes"]).await;
    assert_eq!(upgraded.code, Some(0), "{upgraded:?}");
    assert_eq!(gateway.plugin("reaching").await.unwrap()["version"], "1.1.0");
    let again = home.run(&["plugin", "upgrade", &second]).await;
    assert!(again.code == Some(0) && again.stdout.contains("installed already"), "{again:?}");

    let revoked = home.run(&["plugin", "revoke", "reaching", "http=https://b.example"]).await;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert_eq!(gateway.plugin("reaching").await.unwrap()["status"], "failed", "what was taken from it");
    let odd = home.run(&["plugin", "revoke", "reaching", "memory"]).await;
    assert!(odd.code == Some(1) && odd.stderr.contains("`memory` is not granted"), "{odd:?}");
}

#[tokio::test]
async fn what_a_removed_plugin_has_left_goes_to_nobody_by_its_name() {
    let gateway = Gateway::start("").await;
    let (home, api) = (gateway.home(), gateway.client());
    let first = reaching("1.0.0", "");
    let path = file(home, "first.wasm", &first);
    assert_eq!(home.run(&["plugin", "install", &path, "--grant", "--yes"]).await.code, Some(0));
    gateway.call_tool("hoard", json!({"keys": 3, "bytes": 10})).await.expect(200);
    api.delete("/plugins/reaching").await.expect(204);

    let other = reaching("2.0.0", "");
    let refused = api.upload(Method::POST, "/plugins", WASM, other.bytes()).await.error(409, "conflict");
    assert!(refused.contains("45B of storage, [grants.reaching]"), "{refused}");
    assert!(
        refused.contains("`prx plugin remove reaching --purge`") && refused.contains("--inherit"),
        "{refused}"
    );
    api.upload(Method::POST, "/plugins", WASM, first.bytes()).await.expect(201);
    api.delete("/plugins/reaching").await.expect(204);
    api.upload(Method::POST, "/plugins?inherit=true", WASM, other.bytes()).await.expect(201);

    let minted = home.run(&["auth", "token", "--scope", "plugins:write"]).await;
    let installer = api.with_token(Some(minted.stdout.trim()));
    installer.delete("/plugins/reaching?purge=true").await.error(403, "forbidden");
    let unsure = home.run(&["plugin", "remove", "reaching", "--purge"]).await;
    assert!(unsure.code == Some(1) && unsure.stderr.contains("--purge --yes"), "{unsure:?}");
    assert_eq!(gateway.plugin("reaching").await.unwrap()["status"], "loaded");
    let purged = home.run(&["plugin", "remove", "reaching", "--purge", "--yes", "--json"]).await;
    let purged: Value = serde_json::from_str(&purged.stdout).unwrap();
    assert_eq!(
        (&purged["erased"]["kv_keys"], &purged["erased"]["kv_bytes"]),
        (&json!(3), &json!(45)),
        "{purged}"
    );
    assert_eq!(purged["erased"]["config"], json!(["grants.reaching"]));
    let text = std::fs::read_to_string(home.path().join("prx.toml")).unwrap();
    assert!(!text.contains("reaching"), "{text}");
    api.delete("/plugins/reaching?purge=true").await.error(404, "not_found");
    api.delete("/plugins/..%2F..%2Fx?purge=true").await.error(404, "not_found");
    assert!(Path::new(&path).exists());

    let refused = api.upload(Method::POST, "/plugins", WASM, other.bytes()).await.error(409, "conflict");
    assert!(refused.contains("asks for more than it is granted"), "nor is it granted anything: {refused}");
    assert_eq!(
        home.run(&["plugin", "install", &path, "--grant", "--yes"]).await.code,
        Some(0),
        "the name is free"
    );
}
