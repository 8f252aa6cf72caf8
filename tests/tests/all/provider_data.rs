//! What a model's server wants to see again with its answers goes back to it, and to nobody else.
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::models::{Dialect, FakeModel, KEY};
use serde_json::{Value, json};

/// An answer that calls `hello`, with reasoning and its signature.
fn answer(dialect: &Dialect, signature: &str) -> Vec<String> {
    let mut events = (dialect.calls)(&[("call_1", "hello", json!({"name": "Ada"}))]);
    let (at, more) = match dialect.provider {
        "anthropic" => (
            1,
            vec![
                json!({"type": "content_block_start", "index": 9, "content_block":
                {"type": "thinking", "thinking": "", "signature": ""}}),
                json!({"type": "content_block_delta", "index": 9, "delta": {"type": "thinking_delta", "thinking": "Hm."}}),
                json!({"type": "content_block_delta", "index": 9, "delta":
                {"type": "signature_delta", "signature": signature}}),
            ],
        ),
        _ => (
            2,
            vec![
                json!({"choices": [{"index": 0, "delta": {"reasoning_content": "Hm."}}]}),
                json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0,
                "extra_content": {"google": {"thought_signature": signature}}}]}}]}),
            ],
        ),
    };
    let framed = more.into_iter().map(|event| format!("data: {event}\n\n"));
    events.splice(at..at, framed);
    events
}

/// What a request repeats of the first answer: it stands in the second message, or in the third.
fn repeated(dialect: &Dialect, body: &Value) -> (Value, bool) {
    let said = &body["messages"][1];
    match dialect.provider {
        "anthropic" => {
            let blocks = said["content"].as_array().unwrap();
            let thinking = blocks.iter().position(|block| block["type"] == "thinking");
            let call = blocks.iter().position(|block| block["type"] == "tool_use");
            (thinking.map_or(Value::Null, |at| blocks[at]["signature"].clone()), thinking < call)
        }
        _ => {
            let signature = &said["tool_calls"][0]["extra_content"]["google"]["thought_signature"];
            (signature.clone(), said["reasoning_content"] == "Hm.")
        }
    }
}

#[tokio::test]
async fn it_goes_back_after_the_tool_and_after_a_restart_and_to_nobody_else() {
    for (dialect, other) in [(Dialect::ANTHROPIC, Dialect::OPENAI), (Dialect::OPENAI, Dialect::ANTHROPIC)] {
        let (model, second) = (FakeModel::start(dialect).await, FakeModel::start(other).await);
        let more = second.config("");
        let home = Home::new(&model.config(&more[more.find("[providers_config").unwrap()..]));
        home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
        let gateway = Gateway::start_in(home).await;
        let session = gateway.open_session("ada").await;
        let path = format!("/sessions/{session}/messages");
        let say = async |gateway: &Gateway, text: &str| {
            gateway.client().post(&path, json!({"content": text})).await.expect(200)["content"].clone()
        };
        model.answer(answer(&dialect, "SIGNED")).await;
        assert_eq!(say(&gateway, "Greet").await, "You said: Hello, Ada!");
        assert_eq!(repeated(&dialect, &model.asked()[1].body), (json!("SIGNED"), true));
        let shown = gateway.client().get(&path).await.expect(200).to_string();
        assert!(!shown.contains("SIGNED") && !shown.contains("Hm."), "it is nobody's business: {shown}");

        let gateway = gateway.restart().await;
        say(&gateway, "Again").await;
        assert_eq!(repeated(&dialect, &model.asked()[2].body), (json!("SIGNED"), true));

        let switch = async |to: &Dialect| {
            let provider = json!({"provider.name": to.provider, "provider.model": to.model});
            gateway.client().patch("/config", provider).await.expect(200);
        };
        switch(&other).await;
        assert_eq!(say(&gateway, "You?").await, "You said: You?");
        assert!(!second.asked()[0].body.to_string().contains("SIGNED"), "it is not the other's");
        switch(&dialect).await;
        model.answer(answer(&dialect, &"x".repeat(1 << 20))).await;
        assert_eq!(say(&gateway, "Back").await, "You said: Hello, Ada!", "what is too large is left out");
        let last = model.asked().pop().unwrap().body;
        assert_eq!(repeated(&dialect, &last), (json!("SIGNED"), true), "and the rest is still there");
        assert!(!last.to_string().contains("xxxx") && !last.to_string().contains(KEY));
        assert_eq!(model.broken_rules(), Vec::<String>::new());
        assert_eq!(second.broken_rules(), Vec::<String>::new());
    }
}
