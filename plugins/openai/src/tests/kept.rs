//! What a server wants to see again goes back to it, as it came.

use super::*;

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

fn calling(more: Value) -> Value {
    let mut call = json!({"index": 0, "id": "call_1", "function": {"name": "list", "arguments": "{}"}});
    call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    delta(json!({ "tool_calls": [call] }))
}

/// What the request after this answer says of it.
fn returned(chunks: &[Value]) -> Value {
    let answer = read(&stream_of(chunks)).0.unwrap();
    let mut said = body(&sent(after(answer)))["messages"][1].clone();
    said.as_object_mut().unwrap().retain(|key, _| !matches!(key.as_str(), "role" | "content"));
    for call in said.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        call.as_object_mut().unwrap().retain(|key, _| !matches!(key.as_str(), "id" | "type" | "function"));
    }
    said
}

#[test]
fn each_server_gets_its_own_back() {
    let signature = json!({"extra_content": {"google": {"thought_signature": "c2ln"}}});
    let chunks = [delta(json!({"content": "I look."})), calling(signature.clone()), finish("tool_calls")];
    assert_eq!(returned(&chunks), json!({ "tool_calls": [signature] }));

    for (first, second, kept) in [
        (
            json!({"reasoning_content": "H"}),
            json!({"reasoning_content": "m.", "reasoning": "Hm."}),
            json!({"reasoning_content": "Hm."}),
        ),
        (json!({"reasoning": "H"}), json!({"reasoning": "m."}), json!({"reasoning": "Hm."})),
        (
            json!({"reasoning": "H", "reasoning_details": [
                {"type": "reasoning.text", "text": "H", "signature": null, "index": 0, "format": "f"}]}),
            json!({"reasoning": "m.", "reasoning_details": [
                {"type": "reasoning.text", "text": "m.", "index": 0},
                {"type": "reasoning.text", "signature": "sig", "index": 0},
                {"type": "reasoning.encrypted", "data": "ENC", "id": "rs_1", "index": 1},
                {"type": "reasoning.encrypted", "data": "ENC", "id": "rs_2", "index": 2}]}),
            json!({"reasoning_details": [
                {"type": "reasoning.text", "text": "Hm.", "signature": "sig", "index": 0, "format": "f"},
                {"type": "reasoning.encrypted", "data": "ENC", "id": "rs_1", "index": 1},
                {"type": "reasoning.encrypted", "data": "ENC", "id": "rs_2", "index": 2}]}),
        ),
    ] {
        let chunks = [delta(first), delta(second), calling(json!({})), finish("tool_calls")];
        let mut expected = kept;
        expected["tool_calls"] = json!([{}]);
        assert_eq!(returned(&chunks), expected);
    }
    let without_calls = [delta(json!({"reasoning_content": "Hm.", "content": "Yes."})), finish("stop")];
    assert_eq!(returned(&without_calls), json!({}), "only turns with calls need it");
}

#[test]
fn another_models_answers_get_what_the_server_insists_on() {
    for (says, expected) in [
        (
            "The `reasoning_content` in the thinking mode must be passed back to the API.",
            json!({"reasoning_content": " "}),
        ),
        (
            "Function call is missing a thought_signature in functionCall parts.",
            json!({"extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}}),
        ),
    ] {
        configure(json!({"model": says}));
        let calls = vec![call("a", "list", "{}")];
        let said =
            Message::Assistant(AssistantMessage { text: String::new(), tool_calls: calls, data: None });
        let result = ToolResult { id: "a".to_owned(), text: "done".to_owned(), is_error: false };
        let bodies = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&bodies);
        testing::serve(move |request| {
            seen.borrow_mut().push(body(request));
            if seen.borrow().len() == 1 {
                return Ok(Response::new(400, json!({"error": {"message": says}}).to_string()));
            }
            let answer = json!({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]});
            Ok(Response::new(200, answer.to_string()))
        });
        let asked = request(vec![user("Go"), said, Message::ToolResult(result)]);
        assert_eq!(complete(asked).0.unwrap().text, "Hi");
        let shown = bodies.borrow()[1]["messages"][1].to_string();
        let key = expected.as_object().unwrap().keys().next().unwrap();
        assert!(shown.contains(&format!("{key:?}:{}", expected[key])), "{shown}");
    }
}

#[test]
fn reasoning_items_go_back_where_they_stood() {
    let reasoning = |id: &str| json!({"type": "reasoning", "id": id, "summary": [], "encrypted_content": format!("ENC {id}")});
    let function = json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "list", "arguments": "{}"});
    let words = json!({"type": "message", "content": [{"type": "output_text", "text": "I look."}]});
    let unreadable = json!({"type": "reasoning", "id": "rs_0", "summary": []});
    let items = [reasoning("rs_1"), words, unreadable, reasoning("rs_2"), function];
    let done =
        |(index, item)| json!({"type": "response.output_item.done", "output_index": index, "item": item});
    let end = json!({"type": "response.completed", "response": {"status": "completed", "output": items}});
    let events: String =
        items.iter().enumerate().map(done).chain([end]).map(|event| format!("data: {event}\n\n")).collect();
    configure(json!({"api": "responses"}));
    testing::serve(move |_| Ok(response("text/event-stream", vec![Ok(events.clone().into_bytes())])));
    let mut asked = after(complete(request(vec![user("Go")])).0.unwrap());
    let sent_after = body(&sent(asked.clone()));
    assert_eq!(sent_after["include"], json!(["reasoning.encrypted_content"]));
    let input = sent_after["input"].as_array().unwrap();
    assert_eq!((&input[1], &input[3]), (&reasoning("rs_1"), &reasoning("rs_2")));
    assert_eq!((&input[2]["content"], &input[4]["type"]), (&json!("I look."), &json!("function_call")));
    if let Message::Assistant(said) = &mut asked.messages[1] {
        said.data = None;
    }
    assert!(!body(&sent(asked))["input"].to_string().contains("ENC"), "it was another model's");
}
