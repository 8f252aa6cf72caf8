//! The life of a plugin over HTTP: load, reload, disable, enable, install, replace, roll back, remove.

use hyper::Method;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::wait::until;
use serde_json::json;

const WASM: &str = "application/wasm";

/// The well-behaved tool `answer` of the test component, which says which of its versions it is.
fn versioned(version: u32) -> Component {
    let word = ["", "generation-one", "generation-two"][version as usize];
    let manifest = format!(
        "[plugin]\nname = \"answering\"\nversion = \"{version}.0.0\"\ndescription = \"Says its version\"\n"
    );
    Component::of("prx-test-guests").with_manifest(&manifest).replace("generation-one", word)
}

async fn answer(gateway: &Gateway) -> String {
    let output = gateway.call_tool("answer", json!({})).await.expect(200);
    output["content"].as_str().unwrap_or_default().to_owned()
}

/// How many compiled components are kept.
fn compiled(gateway: &Gateway) -> usize {
    std::fs::read_dir(gateway.home().data().join("cache")).unwrap().count()
}

#[tokio::test]
async fn the_bundled_plugins_are_loaded() {
    let gateway = Gateway::start("").await;
    for (name, capability) in
        [("telegram", "channel:telegram"), ("skills", "skill:summarize"), ("local", "provider:local")]
    {
        let plugin = gateway.plugin(name).await.unwrap_or_else(|| panic!("{name} is bundled"));
        assert_eq!(plugin["status"], "loaded", "{plugin}");
        assert!(plugin["capabilities"].as_array().unwrap().contains(&json!(capability)), "{plugin}");
        assert!(plugin["memory_usage_bytes"].as_u64() > Some(0), "{plugin}");
        assert!(plugin["version"].is_string(), "{plugin}");
    }
    let skills = gateway.client().get("/skills").await.expect(200);
    let summarize =
        skills["skills"].as_array().unwrap().iter().find(|skill| skill["name"] == "summarize").unwrap();
    assert_eq!(summarize["source"], "builtin");
    assert!(summarize["triggers"].as_array().unwrap().contains(&json!("/summarize")), "{summarize}");
    assert!(!summarize["description"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn a_reload_answers_with_what_is_loaded() {
    let gateway = Gateway::start("").await;
    for name in ["telegram", "skills", "local"] {
        let path = format!("/plugins/{name}");
        let before = gateway.client().get(&path).await.expect(200)["generation"].as_u64().unwrap();
        let reloaded = gateway.client().post(&format!("{path}/reload"), json!({})).await.expect(200);
        assert_eq!(reloaded["name"], name);
        assert_eq!(reloaded["status"], "loaded");
        assert_eq!(reloaded["version"], gateway.plugin(name).await.unwrap()["version"]);
        let after = gateway.client().get(&path).await.expect(200)["generation"].as_u64().unwrap();
        assert!(after > before, "a generation rises with each reload");
    }
}

#[tokio::test]
async fn a_disabled_skill_vanishes_at_once_and_stays_away() {
    let gateway = Gateway::start("").await;
    assert!(gateway.skills().await.contains(&"summarize".to_owned()));
    let disabled = gateway.client().post("/plugins/skills/disable", json!({})).await.expect(200);
    assert_eq!(disabled, json!({"name": "skills", "status": "disabled"}));
    assert_eq!(gateway.skills().await, Vec::<String>::new());
    assert_eq!(gateway.plugin("skills").await.unwrap()["status"], "disabled");
    assert_eq!(gateway.plugin("local").await.unwrap()["status"], "loaded");

    let gateway = gateway.restart().await;
    assert_eq!(gateway.skills().await, Vec::<String>::new(), "still disabled after a restart");
    assert_eq!(gateway.plugin("skills").await.unwrap()["status"], "disabled");
    let again = gateway.client().post("/plugins/skills/disable", json!({})).await.expect(200);
    assert_eq!(again["status"], "disabled", "disabling twice is no error");

    let enabled = gateway.client().post("/plugins/skills/enable", json!({})).await.expect(200);
    assert_eq!(enabled["status"], "loaded");
    assert!(gateway.skills().await.contains(&"summarize".to_owned()));
    let gateway = gateway.restart().await;
    assert!(gateway.skills().await.contains(&"code_review".to_owned()));
}

#[tokio::test]
async fn a_disabled_provider_fails_the_message_and_no_more() {
    let gateway = Gateway::start("").await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    gateway.client().post("/plugins/local/disable", json!({})).await.expect(200);
    let refused = gateway.client().post(&path, json!({"content": "Anyone?"})).await;
    assert!(refused.status >= 500, "{refused}");
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("local"), "{refused}");
    gateway.client().post("/plugins/local/enable", json!({})).await.expect(200);
    gateway.client().post(&path, json!({"content": "And now?"})).await.expect(200);
}

#[tokio::test]
async fn a_plugin_is_installed_replaced_rolled_back_and_removed() {
    let gateway = Gateway::start("").await;
    let api = gateway.client();
    let compiled = compiled(&gateway);
    let installed = api.upload(Method::POST, "/plugins", WASM, versioned(1).bytes()).await.expect(201);
    assert_eq!((&installed["name"], &installed["status"]), (&json!("answering"), &json!("loaded")));
    assert_eq!(answer(&gateway).await, "generation-one");

    api.upload(Method::PUT, "/plugins/answering", WASM, versioned(2).bytes()).await.expect(200);
    assert_eq!(answer(&gateway).await, "generation-two");
    assert_eq!(gateway.plugin("answering").await.unwrap()["version"], "2.0.0");

    let gateway = gateway.restart().await;
    let api = gateway.client();
    assert_eq!(answer(&gateway).await, "generation-two", "an installed plugin is there after a restart");
    api.post("/plugins/answering/rollback", json!({})).await.expect(200);
    assert_eq!(answer(&gateway).await, "generation-one");

    let removed = api.delete("/plugins/answering").await;
    assert!(matches!(removed.status, 200 | 204), "{removed}");
    gateway.call_tool("answer", json!({})).await.error(404, "not_found");
    assert!(gateway.plugin("answering").await.is_none());
    assert_eq!(self::compiled(&gateway), compiled, "what was compiled of it has gone with it");
    let gateway = gateway.restart().await;
    assert!(gateway.plugin("answering").await.is_none());
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_code_serving() {
    let home = Home::new("");
    home.place_plugin("answering", &versioned(1).bytes());
    let gateway = Gateway::start_in(home).await;
    assert_eq!(answer(&gateway).await, "generation-one");
    let traps = versioned(2).replace("at-start:nothing", "at-start:trap...");
    for (bytes, status, code) in [
        (versioned(2).truncated().bytes(), 400, "bad_request"),
        ("not wasm at all".into(), 400, "bad_request"),
        (traps.bytes(), 409, "conflict"),
    ] {
        gateway.home().place_plugin("answering", &bytes);
        let reason = gateway.client().post("/plugins/answering/reload", json!({})).await.error(status, code);
        assert!(reason.contains("answering"), "the reason names the plugin: {reason}");
        assert_eq!(answer(&gateway).await, "generation-one");
        assert_eq!(gateway.plugin("answering").await.unwrap()["status"], "loaded");
    }
    gateway.home().place_plugin("answering", &versioned(2).bytes());
    gateway.client().post("/plugins/answering/reload", json!({})).await.expect(200);
    assert_eq!(answer(&gateway).await, "generation-two");

    gateway.home().place_plugin("answering", b"broken again");
    let gateway = gateway.restart().await;
    let plugin = gateway.plugin("answering").await.expect("a broken plugin is listed");
    assert_eq!(plugin["status"], "failed", "{plugin}");
    assert_eq!(gateway.plugin("local").await.unwrap()["status"], "loaded", "and stops nothing else");
}

#[tokio::test]
async fn a_file_overrides_a_bundled_plugin_until_it_is_removed() {
    let home = Home::new("");
    let manifest =
        "[plugin]\nname = \"skills\"\nversion = \"9.9.9\"\ndescription = \"Not the bundled one\"\n";
    home.place_plugin("skills", &Component::of("prx-test-guests").with_manifest(manifest).bytes());
    let gateway = Gateway::start_in(home).await;
    assert_eq!(gateway.plugin("skills").await.unwrap()["version"], "9.9.9");
    assert!(!gateway.skills().await.contains(&"summarize".to_owned()));

    let removed = gateway.client().delete("/plugins/skills").await;
    assert!(matches!(removed.status, 200 | 204), "{removed}");
    assert!(gateway.skills().await.contains(&"summarize".to_owned()), "the bundled one is back");
    assert_ne!(gateway.plugin("skills").await.unwrap()["version"], "9.9.9");
}

#[tokio::test]
async fn a_watched_file_is_reloaded_when_it_changes() {
    let home = Home::new("");
    home.place_plugin("answering", &versioned(1).bytes());
    let gateway = Gateway::start_with(home, &["--watch"]).await;
    assert_eq!(answer(&gateway).await, "generation-one");
    gateway.home().place_plugin("answering", &versioned(2).bytes());
    until("the new code", async || (answer(&gateway).await == "generation-two").then_some(())).await;
}

#[tokio::test]
async fn a_tool_is_called_over_the_api_and_from_a_turn() {
    let home = Home::new("");
    home.place_plugin("answering", &versioned(1).bytes());
    let gateway = Gateway::start_in(home).await;
    let tools = gateway.client().get("/tools").await.expect(200);
    let tool = tools["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "answer").unwrap();
    assert!(tool["description"].is_string() && tool["parameters"].is_object(), "{tool}");

    let output = gateway.call_tool("answer", json!({})).await.expect(200);
    assert_eq!((&output["content"], &output["is_error"]), (&json!("generation-one"), &json!(false)));
    let fault = gateway.call_tool("refuse", json!({"why": "it is Sunday"})).await;
    assert!(String::from_utf8_lossy(&fault.body).contains("it is Sunday"), "{fault}");
    gateway.call_tool("no_such_tool", json!({})).await.error(404, "not_found");

    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let events = gateway.client().stream(&path, json!({"content": "/tool answer {}"})).await.rest().await;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    let call = names.iter().position(|name| *name == "tool_call").expect("a tool_call");
    let result = names.iter().position(|name| *name == "tool_result").expect("a tool_result");
    assert!(call < result && names.last() == Some(&"done"), "{events:?}");
    let (_, done) = events.last().unwrap();
    assert!(done["content"].as_str().unwrap().contains("generation-one"), "{done}");
}
