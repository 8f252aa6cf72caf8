use super::*;
use prx_sdk::provider::{
    AssistantMessage, Delta, FaultCode, Message, StopReason, ToolResult, Usage, UserMessage,
};
use prx_sdk::testing;
use serde_json::{Value, json};
use std::cell::RefCell;

fn user(text: &str) -> Message {
    Message::User(UserMessage { text: text.to_owned(), attachments: Vec::new() })
}

fn complete(script: &Value, messages: &[Message]) -> (Result<Completion, ProviderError>, Vec<Delta>) {
    testing::configure(json!({"script": script.to_string()}));
    let deltas = RefCell::new(Vec::new());
    let push = |delta| {
        deltas.borrow_mut().push(delta);
        true
    };
    let request = Request {
        model: MODEL.to_owned(),
        system: "Be brief.".to_owned(),
        messages: messages.to_vec(),
        tools: Vec::new(),
        options: "{}".to_owned(),
    };
    let completed = Scripted::complete(request, &Sink::new(&push));
    (completed, deltas.into_inner())
}

#[test]
fn a_turn_goes_through_a_scene_answer_by_answer() {
    let script = json!([
        {"when": "weather", "answers": [
            [{"text": "Let me "}, {"text": "look."}, {"call": {"name": "get_weather", "arguments": {"place": "Lisbon"}}}],
            [{"text": "It rains."}, {"usage": {"input": 40, "output": 3}}, {"stop": "length"}],
        ]},
        {"answers": [[{"thinking": "what?"}, {"text": "Hm."}]]},
    ]);
    let (first, deltas) = complete(&script, &[user("the weather?")]);
    let first = first.unwrap();
    assert_eq!((first.text.as_str(), first.stop), ("Let me look.", StopReason::ToolUse));
    assert_eq!(
        (first.tool_calls[0].id.as_str(), first.tool_calls[0].arguments.as_str()),
        ("call_1", r#"{"place":"Lisbon"}"#)
    );
    assert_eq!(deltas[2], Delta::ToolCallStarted(("call_1".to_owned(), "get_weather".to_owned())));

    let mut conversation = vec![
        user("the weather?"),
        Message::Assistant(AssistantMessage { text: first.text, tool_calls: first.tool_calls, data: None }),
        Message::ToolResult(ToolResult { id: "call_1".to_owned(), text: "wet".to_owned(), is_error: false }),
    ];
    let second = complete(&script, &conversation).0.unwrap();
    assert_eq!((second.text.as_str(), second.stop), ("It rains.", StopReason::Length));
    assert_eq!(second.usage, Usage { input: 40, output: 3, cached: 0 });

    conversation.push(Message::Assistant(AssistantMessage {
        text: second.text,
        tool_calls: Vec::new(),
        data: None,
    }));
    assert_eq!(complete(&script, &conversation).0.unwrap().text, "It rains.", "the last answer is repeated");
    conversation.push(user("good"));
    let (other, deltas) = complete(&script, &conversation);
    assert_eq!((other.unwrap().text.as_str(), deltas.len()), ("Hm.", 2));
}

#[test]
fn a_failure_comes_as_often_as_the_script_says_and_after_what_was_said() {
    let script = json!([{"answers": [[
        {"text": "I "},
        {"fail": {"message": "busy", "code": "quota", "retryable": true, "retry_after_ms": 5, "times": 2}},
        {"text": "am there."},
    ]]}]);
    for _ in 0..2 {
        let (failed, deltas) = complete(&script, &[user("hello")]);
        let failed = failed.unwrap_err();
        assert_eq!(
            (failed.fault.code, failed.retryable, failed.retry_after_ms),
            (FaultCode::Quota, true, Some(5))
        );
        assert_eq!(deltas, [Delta::Text("I ".to_owned())]);
    }
    assert_eq!(complete(&script, &[user("hello")]).0.unwrap().text, "I am there.");
}

#[test]
fn it_can_say_what_it_was_given_and_say_it_often() {
    let script = json!([
        {"when": "show", "answers": [[{"show": "request"}]]},
        {"answers": [[{"repeat": {"text": "tick ", "times": 3, "every_ms": 1}}, {"call": {"name": "x", "arguments": "{no"}}]]},
    ]);
    let shown: Value = serde_json::from_str(&complete(&script, &[user("show")]).0.unwrap().text).unwrap();
    assert_eq!((&shown["system"], &shown["messages"][0]["text"]), (&json!("Be brief."), &json!("show")));
    let (ticked, deltas) = complete(&script, &[user("go")]);
    let ticked = ticked.unwrap();
    assert_eq!((ticked.text.as_str(), deltas.len()), ("tick tick tick ", 4));
    assert_eq!(ticked.tool_calls[0].arguments, "{no");
}

#[test]
fn a_bad_script_is_a_mistake_in_the_configuration() {
    let said = |script: Value| {
        let failed = complete(&script, &[user("hello")]).0.unwrap_err();
        assert_eq!(failed.fault.code, FaultCode::BadConfig);
        failed.fault.message
    };
    assert!(said(json!([{"answers": [[{"sing": "la"}]]}])).contains("unknown variant `sing`"));
    assert!(
        said(json!([{"when": "bye", "answers": [[]]}])).starts_with("no scene of `script` is for \"hello\"")
    );
    assert!(said(json!([{"answers": []}])).contains("scene 1"));
}
