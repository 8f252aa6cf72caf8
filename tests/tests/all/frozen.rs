//! Version 0.2 of the contract is frozen: what was built against it loads and works, and no type of it has changed.
//!
//! `tests/frozen/0.2` has a component of each kind, as it was built on the day of the freeze. They are never built again.

use std::fs;
use std::path::{Path, PathBuf};

use hyper::Method;
use prx_tests::gateway::Gateway;
use prx_tests::origin::Origin;
use prx_tests::scripted;
use prx_tests::wait::until;
use serde_json::{Value, json};

/// The components, with what they show: exports first.
const COMPONENTS: [&str; 15] = [
    "agent",
    "audit-trail",
    "carrying",
    "daily-digest",
    "echo-agent",
    "filing",
    "hello-tool",
    "memory",
    "ntfy",
    "openai-api",
    "redact",
    "scripted",
    "short-links",
    "standup",
    "weather",
];

/// Interfaces that components import: the gateway may serve more functions of them than a component knows.
const IMPORTED: [&str; 8] =
    ["blobs.wit", "config.wit", "kv.wit", "log.wit", "memory.wit", "sink.wit", "transcript.wit", "turns.wit"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn config(service: &str) -> String {
    format!(
        r#"
[channels_config.phone]
plugin = "ntfy"
topic = "home"
access_token = "tk_1"
poll_seconds = 1
base_url = "{service}"
[channels_config.carrying]
base = "{service}"
key = "sesame"
[plugins_config.daily-digest]
to = "phone/home"
[plugins_config.weather]
api_base = "{service}"
geocoding_base = "{service}"
[agents.parrot]
plugin = "echo-agent"
[filters]
order = ["redact"]
[tools.policy]
"*" = "allow"
[grants.ntfy]
http = ["https://ntfy.sh"]
[grants.weather]
http = ["https://api.open-meteo.com", "https://geocoding-api.open-meteo.com"]
[grants.audit-trail]
kv = "1MiB"
events = {{ subscribe = ["*"] }}
[grants.daily-digest]
kv = "16KiB"
events = {{ subscribe = ["session.created", "message.received", "message.sent", "tool.executed", "error.occurred"] }}
[grants.filing]
files = true
[grants.memory]
memory = "write"
[grants.openai-api]
turns = true
routes = ["/v1"]
[grants.short-links]
kv = "256KiB"
public = true
"#
    )
}

async fn start(service: &Origin) -> Gateway {
    let script = json!([
        {"when": "remember", "answers": [
            [{"call": {"name": "remember", "arguments": {"text": "The key is under the mat."}}}],
            [{"text": "It is kept."}],
        ]},
        {"when": "standup", "answers": [[{"show": "request"}]]},
        {"when": "what is this?", "answers": [[{"text": "A file."}]]},
        {"answers": [[{"text": "Write to ada@example.org."}]]},
    ]);
    let home = scripted::home(&script, &config(&service.url()));
    for name in COMPONENTS {
        let file = workspace().join("tests/frozen/0.2").join(name).with_extension("wasm");
        home.place_plugin(
            name,
            &fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())),
        );
    }
    Gateway::start_in(home).await
}

async fn ask(gateway: &Gateway, method: Method, path: &str, body: &str) -> prx_tests::client::Answer {
    let client = gateway.client();
    client.send(client.bare(method, path), body.to_owned().into()).await
}

/// What the agent of this name answers in a session of its own.
async fn say(gateway: &Gateway, agent: Option<&str>, text: &str) -> String {
    let session = gateway.client().post("/sessions", json!({"user_id": "ada", "agent": agent})).await;
    let path = format!("/sessions/{}/messages", session.expect(201)["id"].as_str().unwrap());
    let reply = gateway.client().post(&path, json!({"content": text})).await.expect(200);
    reply["content"].as_str().unwrap().to_owned()
}

async fn call(gateway: &Gateway, tool: &str, arguments: Value) -> String {
    gateway.call_tool(tool, arguments).await.expect(200)["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn components_of_every_kind_that_were_built_for_it_load_and_work() {
    let service = Origin::start().await;
    service.answer(
        "/home/json",
        json!({"id": "m1", "time": 1, "event": "message", "message": "Are you there?"}),
    );
    service.answer("/home", json!({"id": "m2", "time": 2, "event": "message", "message": ""}));
    service.answer("/v1/search", json!({"results": []}));
    service.answer("/message", json!({"text": "what is this?", "file": "/files/1"}));
    service.answer("/files/1", json!("its bytes"));
    let gateway = start(&service).await;
    for name in COMPONENTS {
        let plugin = gateway.plugin(name).await.expect(name);
        assert_eq!(plugin["status"], "loaded", "{plugin}");
    }
    // A connector, a provider, the builtin agent as it was, and a filter.
    let replied = until("a reply on the phone", async || service.sent("/home")).await;
    assert_eq!(replied, "Write to [redacted].");
    until("a reply with a file", async || service.sent("/upload")).await;

    assert_eq!(call(&gateway, "hello", json!({"name": "Ada"})).await, "Hello, Ada!");
    assert!(!call(&gateway, "get_weather", json!({"place": "Nowhere"})).await.is_empty());
    let filed = json!({"steps": [{"do": "write", "path": "a", "size": 2}, {"do": "read", "path": "a"}]});
    assert_eq!(call(&gateway, "file", filed).await, "ok\nxx");
    assert_eq!(say(&gateway, Some("parrot"), "Polly").await, "1: Polly");
    assert!(say(&gateway, None, "/standup I fixed the door").await.contains("stand-up meeting"));
    assert_eq!(say(&gateway, None, "remember the key").await, "It is kept.");

    let link = r#"{"url": "https://example.org/a", "name": "a"}"#;
    let made = ask(&gateway, Method::POST, "/ext/short-links/", link).await.expect(201);
    assert_eq!(ask(&gateway, Method::GET, made["path"].as_str().unwrap(), "").await.status, 302);
    let completion = r#"{"messages": [{"role": "user", "content": "Hi"}]}"#;
    let answer = ask(&gateway, Method::POST, "/v1/chat/completions", completion).await.expect(200);
    assert_eq!(answer["choices"][0]["message"]["content"], "Write to [redacted].");

    until("the observer to have seen it", async || {
        let trail = call(&gateway, "audit_trail", json!({"limit": 100})).await;
        trail.contains("message.sent").then_some(())
    })
    .await;
    until("the digest on the phone", async || {
        gateway.client().post("/jobs/daily-digest/digest/run", json!({})).await.expect(200);
        let sent = service.sent("/home")?;
        String::from_utf8_lossy(&sent).starts_with("Since the last digest:").then_some(())
    })
    .await;
}

/// A file's lines without comments and blank ones.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default().trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn no_type_of_it_has_changed() {
    let (now, frozen) = (workspace().join("wit"), workspace().join("wit/frozen/0.2"));
    let mut files: Vec<String> = fs::read_dir(&frozen)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert!(files.len() >= 18, "{files:?}");
    for name in files {
        let (then, now) = (lines(&frozen.join(&name)), lines(&now.join(&name)));
        if IMPORTED.contains(&&*name) || name == "worlds.wit" {
            // Functions, and worlds, may have been added.
            let mut left = now.iter();
            let gone = then.iter().find(|line| !left.any(|now| now == *line));
            assert_eq!(gone, None, "{name}: gone from wit/, or not where it was");
        } else {
            assert_eq!(then, now, "{name}: a component built before would not load; see wit/README.md");
        }
    }
}
