use super::*;

const WORDS: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1774000000,"model":"gpt-5.4","service_tier":"default","system_fingerprint":null,"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1774000000,"model":"gpt-5.4","choices":[{"index":0,"delta":{"content":"Grüß "},"logprobs":null,"finish_reason":null}],"usage":null}

: a comment that keeps the connection alive

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1774000000,"model":"gpt-5.4","choices":[{"index":0,"delta":{"content":"dich, \"Ada\" 🌍\n"},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1774000000,"model":"gpt-5.4","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1774000000,"model":"gpt-5.4","choices":[],"usage":{"prompt_tokens":2125,"completion_tokens":15,"total_tokens":2140,"prompt_tokens_details":{"cached_tokens":2000,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}

data: [DONE]

"#;

const CALLS: &str = r#"data: {"id":"chatcmpl-2","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_A","type":"function","function":{"name":"get_weather","arguments":""}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-2","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"place\":"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-2","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_B","type":"function","function":{"name":"hello","arguments":""}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-2","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{\"name\":\"Ada\"}"}},{"index":0,"function":{"arguments":" \"São Paulo\"}"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-2","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"tool_calls":[{"index":2,"id":"call_C","type":"function","function":{"name":"list","arguments":""}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-2","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"id":"chatcmpl-2","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":82,"completion_tokens":57}}

data: [DONE]

"#;

#[test]
fn words_come_as_they_are_said() {
    let (outcome, deltas) = read(WORDS);
    let completion = outcome.unwrap();
    assert_eq!(completion.text, "Grüß dich, \"Ada\" 🌍\n");
    assert_eq!((completion.tool_calls, completion.stop), (Vec::new(), StopReason::End));
    assert_eq!(completion.usage, Usage { input: 2125, output: 15, cached: 2000 });
    let expected = [Delta::Text("Grüß ".to_owned()), Delta::Text("dich, \"Ada\" 🌍\n".to_owned())];
    assert_eq!(deltas, expected);
}

#[test]
fn several_calls_in_one_answer() {
    let (outcome, deltas) = read(CALLS);
    let completion = outcome.unwrap();
    let expected = [
        call("call_A", "get_weather", "{\"place\": \"São Paulo\"}"),
        call("call_B", "hello", "{\"name\":\"Ada\"}"),
        call("call_C", "list", "{}"),
    ];
    assert_eq!(completion.tool_calls, expected);
    assert_eq!((completion.text.as_str(), completion.stop), ("", StopReason::ToolUse));
    assert_eq!(completion.usage, Usage { input: 82, output: 57, cached: 0 });
    let started: Vec<_> =
        expected.iter().map(|call| Delta::ToolCallStarted((call.id.clone(), call.name.clone()))).collect();
    assert_eq!(deltas, started);
}

#[test]
fn why_it_stopped_is_told() {
    for (reason, stop) in [
        ("stop", StopReason::End),
        ("length", StopReason::Length),
        ("content_filter", StopReason::Refused),
        ("IMAGE_SAFETY", StopReason::Refused),
        ("something_new", StopReason::Other),
    ] {
        let stream = stream_of(&[delta(json!({"content": "Well"})), finish(reason)]);
        assert_eq!(answered(vec![Ok(stream.into_bytes())]).0.unwrap().stop, stop, "{reason}");
    }
    for reason in ["error", "engine_error", "FAILED", "UNEXPECTED_TOOL_CALL", "malformed_function_call"] {
        let stream = stream_of(&[delta(json!({"content": "Well"})), finish(reason)]);
        let failure = answered(vec![Ok(stream.into_bytes())]).0.unwrap_err();
        assert!(failure.retryable && failure.fault.message.contains(reason), "{failure:?}");
    }
}

#[test]
fn half_a_call_is_no_call() {
    let cut = CALLS
        .replace(" \\\"São Paulo\\\"}", "")
        .replace("\"finish_reason\":\"tool_calls\"", "\"finish_reason\":\"length\"");
    let completion = answered(vec![Ok(cut.into_bytes())]).0.unwrap();
    let names: Vec<_> = completion.tool_calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!((names, completion.stop), (vec!["hello", "list"], StopReason::Length));
}

#[test]
fn an_error_in_the_middle_ends_it() {
    for (error, code, retryable) in [
        (json!({"message": "Sorry", "type": "server_error"}), FaultCode::Unavailable, true),
        (json!({"message": "Sorry", "code": 429}), FaultCode::Quota, true),
        (json!({"message": "Sorry", "type": "invalid_request_error"}), FaultCode::Unavailable, false),
        (json!("Sorry"), FaultCode::Unavailable, true),
    ] {
        let stream = stream_of(&[delta(json!({"content": "So far"})), json!({"error": error})]);
        let (outcome, deltas) = read(&stream);
        let failure = outcome.unwrap_err();
        assert_eq!((failure.fault.code, failure.retryable), (code, retryable), "{error}: {failure:?}");
        assert!(failure.fault.message.contains("Sorry"), "{failure:?}");
        assert_eq!(deltas, [Delta::Text("So far".to_owned())]);
    }
}

#[test]
fn an_answer_that_breaks_off_is_none() {
    let begun = format!("data: {}\n\n", delta(json!({"content": "So far"})));
    let broken = Error::new(ErrorKind::Unexpected, "the connection broke off");
    let failure = answered(vec![Ok(begun.clone().into_bytes()), Err(broken)]).0.unwrap_err();
    assert!(failure.retryable && failure.fault.message.contains("broke off from http://127.0.0.1:9/v1"));
    let failure = answered(vec![Ok(begun.into_bytes())]).0.unwrap_err();
    assert!(failure.retryable && failure.fault.message.contains("before its end"), "{failure:?}");
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let piece = format!("data: {}\n\n", delta(json!({"content": "x".repeat(100_000)})));
    configure(json!({}));
    let mut once = Some(Body::new(std::iter::repeat(piece.into_bytes()).map(Ok)));
    testing::serve(move |_| {
        Ok(Response { body: once.take().unwrap(), ..response("text/event-stream", Vec::new()) })
    });
    let failure = complete(request(vec![user("Hello")])).0.unwrap_err();
    assert!(!failure.retryable && failure.fault.message.contains("max_tokens"), "{failure:?}");
}

#[test]
fn it_stops_when_nobody_listens() {
    configure(json!({}));
    let read = Rc::new(RefCell::new(0));
    let count = Rc::clone(&read);
    let endless = std::iter::repeat_with(move || {
        *count.borrow_mut() += 1;
        Ok(format!("data: {}\n\n", delta(json!({"content": "on and on"}))).into_bytes())
    });
    let mut once = Some(Body::new(endless));
    testing::serve(move |_| {
        Ok(Response { body: once.take().unwrap(), ..response("text/event-stream", Vec::new()) })
    });
    assert!(OpenAi::complete(request(vec![user("Hello")]), &Sink::new(&|_| false)).is_err());
    assert_eq!(*read.borrow(), 1);
}
