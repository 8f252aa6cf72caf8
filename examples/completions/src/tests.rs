use std::cell::RefCell;

use prx_sdk::provider::{AssistantMessage, ToolResult, UserMessage};
use prx_sdk::testing;

use super::*;

fn asked(messages: Vec<Message>) -> Request {
    let (model, system) = ("small".to_owned(), "Be brief.".to_owned());
    let parameters = r#"{"type": "object"}"#.to_owned();
    let tool = ToolSpec { name: "clock".into(), description: "Tells the time.".into(), parameters };
    Request {
        model,
        system,
        messages,
        tools: vec![tool],
        options: r#"{"temperature": 0.5, "stream": false}"#.into(),
    }
}

fn user(text: &str) -> Message {
    Message::User(UserMessage { text: text.into(), attachments: Vec::new() })
}

/// What comes of a request that the server answers so, and what was streamed meanwhile.
fn complete(request: Request, status: u16, answer: &str) -> (Result<Completion, ProviderError>, Vec<Delta>) {
    testing::configure(json!({"base_url": "http://model.test/v1/"}));
    testing::set_secrets(&["api_key"]);
    let answer = answer.to_owned();
    testing::serve(move |request| {
        assert_eq!(request.url, "http://model.test/v1/chat/completions");
        assert!(request.headers.contains(&("authorization".into(), "Bearer {secret:api_key}".into())));
        Ok(Response::new(status, answer.clone()))
    });
    let deltas = RefCell::new(Vec::new());
    let push = |delta| {
        deltas.borrow_mut().push(delta);
        true
    };
    let completed = Completions::complete(request, &Sink::new(&push));
    (completed, deltas.into_inner())
}

fn events(chunks: &[Value]) -> String {
    let events: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    events + "data: [DONE]\n\n"
}

#[test]
fn an_answer_is_passed_on_as_it_comes() {
    let chunks = [
        json!({"choices": [{"delta": {"content": "It is "}}]}),
        json!({"choices": [{"delta": {"content": "noon."}, "finish_reason": "stop"}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}),
    ];
    let (answer, deltas) = complete(asked(vec![user("What time is it?")]), 200, &events(&chunks));
    let answer = answer.unwrap();
    assert_eq!((&*answer.text, answer.stop), ("It is noon.", StopReason::End));
    assert_eq!((answer.usage.input, answer.usage.output), (12, 3));
    assert_eq!(deltas, ["It is ", "noon."].map(|text| Delta::Text(text.into())));
}

#[test]
fn a_call_comes_in_pieces_and_its_result_goes_back_under_the_same_id() {
    let piece = |function: Value| json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": function}]}}]});
    let mut first = piece(json!({"name": "clock", "arguments": "{\"zone\""}));
    first["choices"][0]["delta"]["tool_calls"][0]["id"] = "abcdefghi".into();
    let chunks = [first, piece(json!({"arguments": ": \"UTC\"}"}))];
    let (answer, deltas) = complete(asked(vec![user("What time is it?")]), 200, &events(&chunks));
    let answer = answer.unwrap();
    let call = answer.tool_calls[0].clone();
    assert_eq!(
        (&*call.id, &*call.arguments, answer.stop),
        ("abcdefghi", r#"{"zone": "UTC"}"#, StopReason::ToolUse)
    );
    assert_eq!(deltas, [Delta::ToolCallStarted(("abcdefghi".into(), "clock".into()))]);

    let said = AssistantMessage { text: String::new(), tool_calls: vec![call], data: None };
    let result = ToolResult { id: "abcdefghi".into(), text: "12:00".into(), is_error: false };
    let sent = body(&asked(vec![user("And now?"), Message::Assistant(said), Message::ToolResult(result)]));
    assert_eq!(sent["messages"][2]["tool_calls"][0]["id"], sent["messages"][3]["tool_call_id"]);
    assert_eq!(sent["tools"][0]["function"]["name"], "clock");
    assert_eq!((&sent["temperature"], &sent["stream"]), (&json!(0.5), &json!(true)), "{sent}");
}

#[test]
fn why_there_is_no_answer_is_told() {
    let refuse = |status: u16, words: &str| {
        let body = json!({"error": {"message": words}}).to_string();
        complete(asked(vec![user("Hello")]), status, &body).0.unwrap_err()
    };
    let busy = refuse(429, "slow down");
    assert!(busy.retryable && busy.fault.message.contains("slow down"), "{busy:?}");
    assert!(refuse(503, "loading").retryable);
    assert!(!refuse(401, "no such key").retryable);
    let long = refuse(400, "This model's maximum context length is 4096 tokens");
    assert_eq!(long.too_long.and_then(|length| length.window), Some(4096));
    assert!(complete(asked(vec![user("Hello")]), 200, "data: [DONE]\n\n").0.unwrap_err().retryable);
}

#[test]
fn the_models_are_the_servers() {
    testing::configure(json!({"base_url": "http://model.test/v1"}));
    testing::serve(|request| {
        assert_eq!(request.url, "http://model.test/v1/models");
        Ok(Response::new(200, json!({"data": [{"id": "small", "context_length": 4096}]}).to_string()))
    });
    let models = Completions::list_models().unwrap();
    assert_eq!((&*models[0].id, models[0].window), ("small", Some(4096)));
}
