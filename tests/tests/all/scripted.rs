//! The provider for tests does in a gateway what its script says.

use prx_tests::component::Component;
use prx_tests::gateway::Gateway;
use prx_tests::scripted;
use serde_json::{Value, json};

async fn say(gateway: &Gateway, session: &str, text: &str) -> Value {
    let path = format!("/sessions/{session}/messages");
    gateway.client().post(&path, json!({"content": text})).await.expect(200)
}

#[tokio::test]
async fn a_turn_follows_the_script() {
    let script = json!([
        {"when": "greet", "answers": [
            [{"text": "One moment. "}, {"call": {"name": "hello", "arguments": {"name": "Ada"}}}],
            [{"wait_ms": 5}, {"text": "Done: "}, {"show": "request"}, {"usage": {"input": 40, "output": 3}}],
        ]},
        {"when": "flaky", "answers": [
            [{"fail": {"message": "overloaded", "retryable": true, "times": 2}}, {"text": "At last."}],
        ]},
        {"when": "broken", "answers": [[{"fail": {"message": "no such model", "code": "bad-config"}}]]},
    ]);
    let home = scripted::home(&script, "");
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    let gateway = Gateway::start_in(home).await;
    let session = gateway.open_session("ada").await;

    let reply = say(&gateway, &session, "greet her").await;
    let shown = reply["content"].as_str().unwrap().strip_prefix("Done: ").unwrap();
    let request: Value = serde_json::from_str(shown).unwrap();
    assert_eq!(request["messages"][0], json!({"role": "user", "text": "greet her", "attachments": []}));
    assert_eq!(request["messages"][1]["tool_calls"][0]["arguments"], r#"{"name":"Ada"}"#);
    assert_eq!(request["messages"][2]["text"], "Hello, Ada!");
    let usage = gateway.client().get(&format!("/sessions/{session}")).await.expect(200);
    assert_eq!(usage["token_usage"], json!({"input": 40, "output": 3}), "{usage}");

    assert_eq!(say(&gateway, &session, "a flaky one").await["content"], "At last.");
    let path = format!("/sessions/{session}/messages");
    let refused = gateway.client().post(&path, json!({"content": "a broken one"})).await;
    assert!(refused.status == 502 && refused.to_string().contains("no such model"), "{refused}");
    let unknown = gateway.client().post(&path, json!({"content": "something else"})).await;
    assert!(unknown.to_string().contains("no scene of `script`"), "{unknown}");
}

#[tokio::test]
async fn everything_that_a_turn_says_is_streamed_in_order() {
    let script = json!([{"answers": [
        [{"thinking": "Who is it?"}, {"text": "Let me see. "}, {"call": {"name": "hello", "arguments": {"name": "Ada"}, "id": "c1"}}],
        [{"text": "It is Ada."}],
    ]}]);
    let home = scripted::home(&script, "");
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    let gateway = Gateway::start_in(home).await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let mut events = gateway.client().stream(&path, json!({"content": "Who?"})).await.rest().await;
    let (name, done) = events.pop().unwrap();
    assert_eq!((name.as_str(), &done["content"]), ("done", &json!("It is Ada.")));
    let expected = [
        ("thinking", json!({"text": "Who is it?"})),
        ("token", json!({"text": "Let me see. "})),
        ("tool_call_started", json!({"id": "c1", "name": "hello"})),
        ("tool_call", json!({"id": "c1", "name": "hello", "arguments": {"name": "Ada"}})),
        ("tool_result", json!({"id": "c1", "content": "Hello, Ada!", "is_error": false})),
        ("token", json!({"text": "It is Ada."})),
    ];
    assert_eq!(events, expected.map(|(name, data)| (name.to_owned(), data)));
}
