//! Thoughts go back to the API in the order in which they stood.
//! See <https://platform.claude.com/docs/en/build-with-claude/extended-thinking>, "Preserving thinking blocks".

use super::requests::{body, sent};
use super::*;

fn block(index: u64, block: Value) -> String {
    let start = json!({"type": "content_block_start", "index": index, "content_block": block});
    format!("data: {start}\n\n")
}

fn piece(index: u64, delta: Value) -> String {
    format!("data: {}\n\n", json!({"type": "content_block_delta", "index": index, "delta": delta}))
}

fn thoughts(index: u64, text: &str) -> String {
    block(index, json!({"type": "thinking", "thinking": "", "signature": ""}))
        + &piece(index, json!({"type": "thinking_delta", "thinking": text}))
        + &piece(index, json!({"type": "signature_delta", "signature": format!("signed {text}")}))
}

fn call(index: u64, id: &str) -> String {
    block(index, json!({"type": "tool_use", "id": id, "name": "list", "input": {}}))
}

fn end(reason: &str) -> String {
    let delta = json!({"type": "message_delta", "delta": {"stop_reason": reason}});
    format!("data: {delta}\n\ndata: {{\"type\":\"message_stop\"}}\n\n")
}

fn interleaved() -> String {
    thoughts(0, "Hm.")
        + &block(1, json!({"type": "redacted_thinking", "data": "EmwKAhgB"}))
        + &block(2, json!({"type": "text", "text": "I look."}))
        + &thoughts(3, "So.")
        + &call(4, "toolu_1")
        + &call(5, "toolu_2")
        + &end("tool_use")
}

/// The conversation after an answer, its calls made.
fn after(answer: Completion) -> Request {
    let Completion { text, tool_calls, data, .. } = answer;
    let result = |call: &ToolCall| {
        Message::ToolResult(ToolResult { id: call.id.clone(), text: "done".to_owned(), is_error: false })
    };
    let results: Vec<Message> = tool_calls.iter().map(result).collect();
    let answer = Message::Assistant(AssistantMessage { text, tool_calls, data });
    request([user("Go"), answer].into_iter().chain(results).collect())
}

/// What the next request says that the model has said.
fn returned(request: Request) -> Value {
    let sent = sent(request);
    let mut content = body(&sent)["messages"][1]["content"].clone();
    for block in content.as_array_mut().unwrap() {
        block.as_object_mut().unwrap().remove("id");
    }
    content
}

#[test]
fn thoughts_go_back_where_they_stood() {
    let call = json!({"type": "tool_use", "name": "list", "input": {}});
    let text = json!({"type": "text", "text": "I look."});
    let thought =
        |text: &str| json!({"type": "thinking", "thinking": text, "signature": format!("signed {text}")});
    let redacted = json!({"type": "redacted_thinking", "data": "EmwKAhgB"});
    let answer = read(&interleaved()).0.unwrap();
    let mut request = after(answer);
    assert_eq!(
        returned(request.clone()),
        json!([thought("Hm."), redacted, text, thought("So."), call, call])
    );
    if let Message::Assistant(said) = &mut request.messages[1] {
        said.data = None;
    }
    assert_eq!(returned(request), json!([text, call, call]), "it was another model's");
}

#[test]
fn thoughts_that_are_cut_off_have_no_signature_and_do_not_go_back() {
    let cut = block(0, json!({"type": "thinking", "thinking": "", "signature": ""}))
        + &piece(0, json!({"type": "thinking_delta", "thinking": "Hm."}));
    let answer = answered(vec![Ok((cut + &end("max_tokens")).into_bytes())]).0.unwrap();
    assert_eq!((answer.data, answer.stop), (None, StopReason::Length));
}

#[test]
fn thoughts_too_large_to_keep_are_left_out() {
    let signature = json!({"type": "signature_delta", "signature": "x".repeat(600_000)});
    let large =
        thoughts(0, "Hm.") + &piece(0, signature.clone()) + &piece(0, signature) + &call(1, "toolu_1");
    let answer = answered(vec![Ok((large + &end("tool_use")).into_bytes())]).0.unwrap();
    assert_eq!((answer.tool_calls.len(), answer.data.is_none()), (1, true));
}

#[test]
fn thoughts_that_are_refused_are_left_out_of_this_request() {
    for (says, field) in [
        ("messages.1.content.0: Invalid `signature` in `thinking` block", ""),
        (
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`",
            "thinking",
        ),
    ] {
        let request = after(answered(vec![Ok(interleaved().into_bytes())]).0.unwrap());
        configure(json!({"extra": {"thinking": {"type": "enabled", "budget_tokens": 2000}}}));
        let bodies = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&bodies);
        testing::serve(move |request| {
            seen.borrow_mut().push(body(request));
            if seen.borrow().len() % 2 == 0 {
                return Ok(event_stream(vec![Ok((call(0, "toolu_3") + &end("tool_use")).into_bytes())]));
            }
            let error = json!({"type": "error", "error": {"type": "invalid_request_error", "message": says}});
            Ok(Response::new(400, error.to_string()))
        });
        complete(request.clone()).0.unwrap();
        complete(request).0.unwrap();
        let bodies = bodies.borrow();
        assert_eq!(bodies.len(), 4, "{says}");
        let has_thoughts = |body: &Value| body["messages"][1].to_string().contains("signed Hm.");
        assert_eq!(has_thoughts(&bodies[1]), !field.is_empty(), "{says}");
        assert_eq!(bodies[1]["thinking"].is_null(), !field.is_empty(), "{says}");
        assert!(has_thoughts(&bodies[2]) && !bodies[2]["thinking"].is_null(), "only this one: {says}");
    }
}
