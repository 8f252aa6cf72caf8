//! Signed components: whose they are, and that nobody has changed them.

use bytes::Bytes;
use hyper::Method;
use prx_tests::client::Answer;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use serde_json::json;

const WASM: &str = "application/wasm";

/// A tool that says which version it is.
fn tool(version: &str) -> Component {
    Component::of("prx-hello-tool")
        .with_manifest(&format!("[plugin]\nname = \"kept\"\nversion = {version:?}\n"))
}

/// The component, signed with a key of this name, which is made where there is none, and that key.
async fn signed(home: &Home, key: &str, component: &Component) -> (Bytes, String) {
    let secret = home.path().join(key).display().to_string();
    let made = home.run(&["plugin", "keygen", &secret]).await;
    let file = home.path().join("signed.wasm");
    std::fs::write(&file, component.bytes()).unwrap();
    let file = file.display().to_string();
    let done = home.run(&["plugin", "sign", &file, "--key", &secret, "--json"]).await;
    assert_eq!(done.code, Some(0), "{made:?} {done:?}");
    let done: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    (std::fs::read(&file).unwrap().into(), done["signed_by"].as_str().unwrap().to_owned())
}

async fn put(gateway: &Gateway, component: Bytes) -> Answer {
    gateway.client().upload(Method::PUT, "/plugins/kept", WASM, component).await
}

#[tokio::test]
async fn a_name_belongs_to_the_key_that_held_it_first_and_no_byte_is_changed() {
    let gateway = Gateway::start("").await;
    let home = gateway.home();
    let (first, key) = signed(home, "alice", &tool("1.0.0")).await;
    let twice = home.run(&["plugin", "keygen", &home.path().join("alice").display().to_string()]).await;
    assert!(
        twice.code == Some(1) && twice.stderr.contains("exists"),
        "a key is never written over: {twice:?}"
    );
    put(&gateway, first.clone()).await.expect(201);
    let plugin = gateway.client().get("/plugins/kept").await.expect(200);
    assert_eq!(plugin["component"]["signed_by"], key);

    let (second, _) = signed(home, "alice", &tool("1.1.0")).await;
    let (stranger, other) = signed(home, "mallory", &tool("1.1.0")).await;
    let at = second.windows(7).position(|bytes| bytes == b"\"1.1.0\"").unwrap() + 1;
    let mut changed = second.to_vec();
    changed[at] = b'9';
    let appended = [&second[..], b"\0\x02\x01a"].concat();
    let doubled = [&second[..], &second[tool("1.1.0").bytes().len()..]].concat();
    for (bytes, why) in [
        (tool("1.1.0").bytes(), format!("kept 1.1.0 is not signed, and the name kept belongs to {key}")),
        (stranger.clone(), format!("is signed with {other}, and the name kept belongs to {key}")),
        (
            changed.into(),
            format!(
                "kept 9.1.0 was changed after it was signed: its bytes are not those that {key} has signed"
            ),
        ),
        (
            appended.into(),
            "has 4 bytes behind its section `prx:signature`, which has to stand last".to_owned(),
        ),
        (doubled.into(), "more than one section `prx:signature`".to_owned()),
    ] {
        let refused = put(&gateway, bytes).await.error(409, "conflict");
        assert!(refused.contains(&why), "{refused}");
    }
    assert_eq!(gateway.plugin("kept").await.unwrap()["version"], "1.0.0");
    put(&gateway, second).await.expect(200);

    gateway.client().delete("/plugins/kept").await.expect(204);
    let refused = put(&gateway, stranger.clone()).await.error(409, "conflict");
    assert!(refused.contains("prx plugin remove kept --purge"), "also once it is removed: {refused}");
    gateway.home().place_plugin("kept", &stranger);
    let gateway = gateway.restart().await;
    let plugin = gateway.client().get("/plugins/kept").await.expect(200);
    assert!(
        plugin["error"].as_str().unwrap().contains("belongs to"),
        "nor behind the gateway's back: {plugin}"
    );
    let purged = gateway.home().run(&["plugin", "remove", "kept", "--purge", "--yes"]).await;
    assert!(purged.code == Some(0) && purged.stdout.contains(&key), "{purged:?}");
    put(&gateway, stranger).await.expect(201);
}

#[tokio::test]
async fn what_must_be_signed_is_signed_with_a_trusted_key() {
    let gateway = Gateway::start("[plugins]\nrequire_signature = \"third-party\"\n").await;
    let home = gateway.home();
    let (component, key) = signed(home, "alice", &tool("1.0.0")).await;
    let refused = put(&gateway, tool("1.0.0").bytes()).await.error(409, "conflict");
    assert!(
        refused.contains("kept 1.0.0 is not signed") && refused.contains("prx plugin sign FILE"),
        "{refused}"
    );
    let refused = put(&gateway, component.clone()).await.error(409, "conflict");
    assert!(refused.contains(&format!("put NAME = \"{key}\" there")), "{refused}");
    let bad = json!({"plugins.trusted_keys": {"alice": "ed25519:abc"}});
    let refused = gateway.client().patch("/config", bad).await;
    refused.error(400, "bad_request");
    assert!(refused.to_string().contains("plugins.trusted_keys.alice"), "{refused}");
    let trusted = json!({"plugins.trusted_keys": {"alice": key}});
    gateway.client().patch("/config", trusted).await.expect(200);
    put(&gateway, component).await.expect(201);

    gateway.home().place_plugin("own", &Component::hostile("own", "").bytes());
    let gateway = gateway.restart().await;
    assert_eq!(gateway.plugin("kept").await.unwrap()["status"], "loaded");
    assert_eq!(gateway.plugin("own").await.unwrap()["status"], "loaded", "the operator's own file");
    gateway.client().patch("/config", json!({"plugins.require_signature": "all"})).await.expect(200);
    let gateway = gateway.restart().await;
    assert_eq!(gateway.plugin("own").await.unwrap()["status"], "failed");
    assert_eq!(gateway.plugin("kept").await.unwrap()["status"], "loaded");
    assert_eq!(
        gateway.plugin("local").await.unwrap()["status"],
        "loaded",
        "what came with the gateway is part of it"
    );
}
