//! What a vendor has read of a conversation it need not read again: each request begins with the bytes of the one before.
use std::fs;

use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::mcp::process;
use prx_tests::models::{Dialect, FakeModel};
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_prx-test-mcp");

async fn say(gateway: &Gateway, session: &str, text: &str) {
    let path = format!("/sessions/{session}/messages");
    gateway.client().post(&path, json!({"content": text})).await.expect(200);
}

/// A server that has resources and prompts.
fn shelf() -> Value {
    json!({
        "initialize": [{"result": {
            "protocolVersion": "2025-06-18", "capabilities": {"resources": {}, "prompts": {}}, "serverInfo": {},
        }}],
        "resources/list": [{"result": {"resources": [{"uri": "book://1", "name": "one"}]}}],
        "prompts/list": [{"result": {"prompts": [{"name": "greet"}]}}],
    })
}

#[tokio::test]
async fn each_request_begins_with_the_bytes_of_the_one_before() {
    for dialect in [Dialect::ANTHROPIC, Dialect::OPENAI, Dialect::RESPONSES] {
        let model = FakeModel::start(dialect).await;
        let home = Home::new("");
        home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
        let file = home.path().join("tools.json");
        let names =
            (0..20).map(|n| ["fs.read", "fs/read", "fs_read", "näher"][n % 4].to_owned() + &n.to_string());
        let schema =
            json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}});
        let tools: Vec<Value> = names.map(|name| json!({"name": name, "inputSchema": schema})).collect();
        fs::write(&file, json!(tools).to_string()).unwrap();
        home.configure(&format!(
            "{}[agent]\nsystem_prompt = \"You are kind.\"\n[mcp_servers.near]\ncommand = {SERVER:?}\nenv = {{ TOOLS = \
             {file:?} }}\n[rate_limits]\nenabled = false\n{}",
            model.config(""),
            process(&home, SERVER, "shelf", &shelf(), "")
        ));
        let gateway = Gateway::start_in(home).await;
        gateway.mcp_connected("near").await;
        gateway.mcp_connected("shelf").await;
        let session = gateway.open_session("ada").await;
        // The same tools are called again and again, also with ids that the server repeats.
        let calls =
            [("call_0", "near__echo", json!({"text": "hi"})), ("call_1", "hello", json!({"name": "Ada"}))];
        for _ in 0..2 {
            model.answer((dialect.calls)(&calls)).await;
            model.answer((dialect.calls)(&calls[..1])).await;
            say(&gateway, &session, "Greet her.").await;
        }
        gateway.client().post("/plugins/hello-tool/reload", json!({})).await.expect(200);
        for server in ["near", "shelf"] {
            gateway.client().post(&format!("/mcp/{server}/reconnect"), json!({})).await.expect(200);
            gateway.mcp_connected(server).await;
        }
        say(&gateway, &session, "Again?").await;
        let gateway = gateway.restart().await;
        gateway.mcp_connected("near").await;
        gateway.mcp_connected("shelf").await;
        say(&gateway, &session, "And now?").await;

        let asked: Vec<_> = model.asked().iter().map(|asked| asked.parts(dialect)).collect();
        assert_eq!(asked.len(), 8);
        assert!(model.asked()[0].body["tools"].as_array().unwrap().len() >= 30, "{:?}", asked[0][0]);
        assert!(
            asked[0][0].contains("\"shelf__read_resource\"")
                && asked[0][0].contains("\"shelf__list_prompts\"")
        );
        assert!(asked[0][0].contains("\"near__echo\"") && asked[0].concat().contains("You are kind."));
        for (before, after) in asked.iter().zip(&asked[1..]) {
            assert!(after.len() > before.len(), "the conversation grows");
            for (part, (one, other)) in before.iter().zip(after).enumerate() {
                assert_eq!(one, other, "{} {}: part {part}", dialect.provider, dialect.conversation);
            }
        }
        assert_eq!(model.broken_rules(), Vec::<String>::new());
        gateway.stop().await;
    }
}
