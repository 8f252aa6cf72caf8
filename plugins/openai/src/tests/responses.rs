//! The Responses API. Shapes as in its reference: <https://platform.openai.com/docs/api-reference/responses-streaming>.

use super::*;

fn stream(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
        .collect()
}

fn created() -> Value {
    json!({"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "object": "response",
        "status": "in_progress", "error": null, "incomplete_details": null, "output": [], "usage": null}})
}

/// The last event: this became of it, with these items.
fn completed(status: &str, details: Value, output: Value) -> Value {
    json!({"type": format!("response.{status}"), "response": {"id": "resp_1", "object": "response", "status": status,
        "error": null, "incomplete_details": details, "output": output,
        "usage": {"input_tokens": 82, "input_tokens_details": {"cached_tokens": 64}, "output_tokens": 17,
            "output_tokens_details": {"reasoning_tokens": 8}, "total_tokens": 99}}})
}

fn text(delta: &str) -> Value {
    json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 1, "content_index": 0, "delta": delta})
}

fn message(text: &str) -> Value {
    json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

/// Thoughts, words and a call.
fn events() -> Vec<Value> {
    let call = |status: &str, arguments: &str| {
        json!({"type": "function_call", "id": "fc_1", "call_id": "call_A", "name": "get_weather", "status": status,
            "arguments": arguments})
    };
    let arguments = "{\"place\": \"São Paulo\"}";
    vec![
        created(),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1", "summary": []}}),
        json!({"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "output_index": 0, "delta": "Hm."}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1", "summary": [
            {"type": "summary_text", "text": "Hm."}]}}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "message", "id": "msg_1", "content": []}}),
        text("Grüß "),
        text("dich 🌍"),
        json!({"type": "response.output_text.done", "item_id": "msg_1", "output_index": 1, "text": "Grüß dich 🌍"}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": message("Grüß dich 🌍")}),
        json!({"type": "response.output_item.added", "output_index": 2, "item": call("in_progress", "")}),
        json!({"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 2, "delta": "{\"place\": "}),
        json!({"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 2, "delta": "\"São Paulo\"}"}),
        json!({"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 2, "arguments": arguments}),
        json!({"type": "response.output_item.done", "output_index": 2, "item": call("completed", arguments)}),
        json!({"type": "response.hologram", "of": [null]}),
        completed("completed", Value::Null, json!([message("Grüß dich 🌍"), call("completed", arguments)])),
    ]
}

/// What becomes of a greeting that is answered so.
fn answer(stream: &str) -> Outcome {
    configure(json!({"api": "responses"}));
    let bytes = stream.as_bytes().to_vec();
    testing::serve(move |request| {
        assert_eq!(request.url, "http://127.0.0.1:9/v1/responses");
        Ok(response("text/event-stream", vec![Ok(bytes.clone())]))
    });
    complete(request(vec![user("Hello")]))
}

#[test]
fn thoughts_words_and_calls() {
    let (outcome, deltas) = answer(&stream(&events()));
    let completion = outcome.unwrap();
    assert_eq!((completion.text.as_str(), completion.stop), ("Grüß dich 🌍", StopReason::ToolUse));
    assert_eq!(completion.tool_calls, [call("call_A", "get_weather", "{\"place\": \"São Paulo\"}")]);
    assert_eq!(completion.usage, Usage { input: 82, output: 17, cached: 64 });
    let expected = [
        Delta::Thinking("Hm.".to_owned()),
        Delta::Text("Grüß ".to_owned()),
        Delta::Text("dich 🌍".to_owned()),
        Delta::ToolCallStarted(("call_A".to_owned(), "get_weather".to_owned())),
    ];
    assert_eq!(deltas, expected);
}

#[test]
fn what_did_not_come_in_pieces_comes_with_the_end() {
    let all = events();
    let only_items: Vec<Value> =
        all.iter().filter(|event| event["type"] == "response.output_item.done").cloned().collect();
    let only_end = [all.last().unwrap().clone()];
    let whole = only_end[0]["response"].to_string();
    let items = stream(&[only_items, only_end.to_vec()].concat());
    for body in [items, stream(&only_end), whole] {
        let completion = answer(&body).0.unwrap();
        assert_eq!((completion.text.as_str(), completion.tool_calls.len()), ("Grüß dich 🌍", 1), "{body}");
        assert_eq!(completion.usage, Usage { input: 82, output: 17, cached: 64 });
    }
}

#[test]
fn how_it_ended_is_told() {
    for (details, stop) in [
        (json!({"reason": "max_output_tokens"}), StopReason::Length),
        (json!({"reason": "content_filter"}), StopReason::Refused),
    ] {
        let body = stream(&[created(), text("Well"), completed("incomplete", details, json!([]))]);
        assert_eq!(answer(&body).0.unwrap().stop, stop);
    }
    let error = |code: &str| json!({"code": code, "message": "Sorry"});
    let failed = |code: &str| json!({"type": "response.failed", "response": {"status": "failed", "error": error(code)}});
    for (last, code, retryable) in [
        (failed("server_error"), FaultCode::Unavailable, true),
        (failed("rate_limit_exceeded"), FaultCode::Quota, true),
        (failed("context_length_exceeded"), FaultCode::Quota, false),
        (
            json!({"type": "error", "code": "server_error", "message": "Sorry", "param": null}),
            FaultCode::Unavailable,
            true,
        ),
        (json!({"type": "error", "error": error("server_error")}), FaultCode::Unavailable, true),
        (json!({"type": "response.failed", "response": {"status": "failed"}}), FaultCode::Unavailable, true),
    ] {
        let failure = answer(&stream(&[created(), text("So far"), last.clone()])).0.unwrap_err();
        assert_eq!((failure.fault.code, failure.retryable), (code, retryable), "{last}");
    }
    let cut = answer(&stream(&[created(), text("So far")])).0.unwrap_err();
    assert!(cut.retryable && cut.fault.message.contains("before its end"), "{cut:?}");
}

#[test]
fn a_conversation_with_tools_and_files() {
    configure(json!({"api": "responses", "max_tokens": 5, "temperature": 0.5, "effort": "low"}));
    let calls = vec![call("a", "get_weather", "{\"place\": \"Lisbon\"}"), call("a", "list", "no object")];
    let result = |text: &str, is_error| {
        Message::ToolResult(ToolResult { id: "a".to_owned(), text: text.to_owned(), is_error })
    };
    let attachments = vec![testing::give("image/png", *b"\x89PNG")];
    let mut wanted = request(vec![
        Message::User(UserMessage { text: "Weather?".to_owned(), attachments }),
        Message::Assistant(AssistantMessage {
            text: "Let me see.".to_owned(),
            tool_calls: calls,
            data: None,
        }),
        result("Sunny", false),
        result("broken", true),
        Message::Assistant(AssistantMessage {
            text: "Sunny.".to_owned(),
            tool_calls: Vec::new(),
            data: None,
        }),
        user("Thanks"),
    ]);
    wanted.system = "Be brief.".to_owned();
    let (name, description) = ("list".to_owned(), "Lists".to_owned());
    wanted.tools = vec![ToolSpec { name, description, parameters: String::new() }];
    let mut ids = prx_sdk::calls::CallIds::default();
    let ids = [ids.call("a"), ids.call("a")];
    let expected = json!({
        "model": "gpt-5.4",
        "stream": true,
        "store": false,
        "include": ["reasoning.encrypted_content"],
        "instructions": "Be brief.",
        "max_output_tokens": 16,
        "temperature": 0.5,
        "reasoning": {"effort": "low"},
        "tools": [{"type": "function", "name": "list", "description": "Lists", "strict": false,
            "parameters": {"type": "object", "properties": {}}}],
        "input": [
            {"role": "user", "content": [
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORw=="},
                {"type": "input_text", "text": "Weather?"},
            ]},
            {"role": "assistant", "content": "Let me see."},
            {"type": "function_call", "call_id": ids[0], "name": "get_weather", "arguments": "{\"place\": \"Lisbon\"}"},
            {"type": "function_call", "call_id": ids[1], "name": "list", "arguments": "{}"},
            {"type": "function_call_output", "call_id": ids[0], "output": "Sunny"},
            {"type": "function_call_output", "call_id": ids[1], "output": "error: broken"},
            {"role": "assistant", "content": "Sunny."},
            {"role": "user", "content": "Thanks"},
        ],
    });
    assert_eq!(body(&sent(wanted)), expected);
}

#[test]
fn a_model_that_wants_it_is_asked_through_it() {
    let words = [
        "Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort to 'none'.",
        "This model is only available through the Responses API.",
        "The chatCompletion operation does not work with the specified model, gpt-5-pro. Please choose different model and try again.",
    ];
    let serve = |says: &'static str| {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&asked);
        testing::serve(move |request| {
            keep.borrow_mut().push(request.url.rsplit('/').next().unwrap().to_owned());
            if request.url.ends_with("/chat/completions") {
                return Ok(Response::new(400, json!({"error": {"message": says}}).to_string()));
            }
            Ok(response("text/event-stream", vec![Ok(stream(&events()).into_bytes())]))
        });
        asked
    };
    for says in words {
        configure(json!({ "model": says }));
        let asked = serve(says);
        for _ in 0..2 {
            assert_eq!(complete(request(vec![user("Hello")])).0.unwrap().text, "Grüß dich 🌍");
        }
        assert_eq!(asked.take(), ["completions", "responses", "responses"], "it is known from then on");
    }
    configure(json!({"api": "chat"}));
    let asked = serve(words[1]);
    let failure = complete(request(vec![user("Hello")])).0.unwrap_err();
    assert!(failure.fault.message.contains("providers_config.openai.api = \"responses\""), "{failure:?}");
    assert_eq!(asked.take(), ["completions"]);
}
