use super::*;

/// An answer in words, with a ping, thinking and its signature, an event and a block of kinds to come.
const WORDS: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_01A","type":"message","role":"assistant","content":[],"model":"claude-opus-5-5","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":100,"cache_read_input_tokens":2000,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"A greeting."}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCgIYAhIM1gbcDa9GJwZA2b3h"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: hologram
data: {"type":"hologram","of":[null,{"x":1.5}]}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Grüß "}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"dich, \"Ada\" 🌍\n"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{}}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"query\""}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}

event: message_stop
data: {"type":"message_stop"}

"#;

/// Words and three calls at once, whose arguments come in pieces, whole, and not at all.
const CALLS: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_01B","type":"message","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":472,"output_tokens":2}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Let me see."}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_01","name":"get_weather","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"place\": \"São"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":" Paulo\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_02","name":"hello","input":{"name":"Ada"}}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_03","name":"list","input":{}}}

event: content_block_stop
data: {"type":"content_block_stop","index":3}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":480,"cache_read_input_tokens":20,"output_tokens":89}}

event: message_stop
data: {"type":"message_stop"}

"#;

fn start() -> String {
    r#"data: {"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}"#.to_owned()
        + "\n\n"
}

fn say(text: &str) -> String {
    let delta =
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
    format!("data: {delta}\n\n")
}

fn end(reason: &str) -> String {
    let delta =
        json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 9}});
    format!("data: {delta}\n\ndata: {{\"type\":\"message_stop\"}}\n\n")
}

#[test]
fn words_come_as_they_are_said() {
    let (outcome, deltas) = read(WORDS);
    let completion = outcome.unwrap();
    assert_eq!(completion.text, "Grüß dich, \"Ada\" 🌍\n");
    assert_eq!(completion.tool_calls, []);
    assert_eq!(completion.stop, StopReason::End);
    assert_eq!(completion.usage, Usage { input: 2125, output: 15, cached: 2000 });
    let expected = [
        Delta::Thinking("A greeting.".to_owned()),
        Delta::Text("Grüß ".to_owned()),
        Delta::Text("dich, \"Ada\" 🌍\n".to_owned()),
    ];
    assert_eq!(deltas, expected);
}

#[test]
fn several_calls_in_one_answer() {
    let (outcome, deltas) = read(CALLS);
    let completion = outcome.unwrap();
    let call = |id: &str, name: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    let expected = [
        call("toolu_01", "get_weather", "{\"place\": \"São Paulo\"}"),
        call("toolu_02", "hello", "{\"name\":\"Ada\"}"),
        call("toolu_03", "list", "{}"),
    ];
    assert_eq!(completion.tool_calls, expected);
    assert_eq!((completion.text.as_str(), completion.stop), ("Let me see.", StopReason::ToolUse));
    assert_eq!(completion.usage, Usage { input: 500, output: 89, cached: 20 });
    let started: Vec<_> = deltas
        .iter()
        .filter_map(
            |delta| if let Delta::ToolCallStarted((id, _)) = delta { Some(id.as_str()) } else { None },
        )
        .collect();
    assert_eq!(
        (text_of(&deltas).as_str(), started),
        ("Let me see.", vec!["toolu_01", "toolu_02", "toolu_03"])
    );
}

#[test]
fn why_it_stopped_is_told() {
    for (reason, stop) in [
        ("end_turn", StopReason::End),
        ("stop_sequence", StopReason::End),
        ("max_tokens", StopReason::Length),
        ("model_context_window_exceeded", StopReason::Length),
        ("refusal", StopReason::Refused),
        ("pause_turn", StopReason::Other),
        ("something_new", StopReason::Other),
    ] {
        let (outcome, _) = answered(vec![Ok((start() + &say("Well") + &end(reason)).into_bytes())]);
        assert_eq!(outcome.unwrap().stop, stop, "{reason}");
    }
}

#[test]
fn half_a_call_is_no_call() {
    let cut = CALLS
        .replace(" Paulo\\\"}", "")
        .replace("\"tool_use\",\"stop_sequence\"", "\"max_tokens\",\"stop_sequence\"");
    let completion = answered(vec![Ok(cut.into_bytes())]).0.unwrap();
    let names: Vec<_> = completion.tool_calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!((names, completion.stop), (vec!["hello", "list"], StopReason::Length));
}

#[test]
fn an_error_in_the_middle_ends_it() {
    for (kind, code, retryable) in [
        ("overloaded_error", FaultCode::Unavailable, true),
        ("api_error", FaultCode::Unavailable, true),
        ("rate_limit_error", FaultCode::Quota, true),
        ("invalid_request_error", FaultCode::Unavailable, false),
    ] {
        let error =
            json!({"type": "error", "error": {"type": kind, "message": "Sorry"}, "request_id": "req_1"});
        let stream = format!("{}{}event: error\ndata: {error}\n\n", start(), say("So far"));
        let (outcome, deltas) = read(&stream);
        let error = outcome.unwrap_err();
        assert_eq!((error.fault.code, error.retryable), (code, retryable), "{kind}: {error:?}");
        assert_eq!(text_of(&deltas), "So far");
    }
}

#[test]
fn an_answer_that_breaks_off_is_none() {
    let begun = start() + &say("So far");
    let broken = Error::new(ErrorKind::Unexpected, "the connection broke off");
    let (outcome, _) = answered(vec![Ok(begun.clone().into_bytes()), Err(broken)]);
    let error = outcome.unwrap_err();
    assert!(
        error.retryable && error.fault.message.contains("broke off from http://127.0.0.1:9"),
        "{error:?}"
    );
    let (outcome, _) = answered(vec![Ok(begun.into_bytes())]);
    assert!(outcome.unwrap_err().retryable, "its end is missing");
    let silent = Error::new(ErrorKind::Timeout, "no answer in time");
    let error = answered(vec![Ok(start().into_bytes()), Err(silent)]).0.unwrap_err();
    assert_eq!((error.fault.code, error.retryable), (FaultCode::Timeout, true));
    assert!(error.fault.message.contains("timeout_secs"), "{error:?}");
}

#[test]
fn what_makes_no_sense_is_an_error() {
    let rest = say("Well") + &end("end_turn");
    for (stream, code, retryable) in [
        (format!("data: {{'type': 1}}\n\n{rest}"), FaultCode::Unavailable, false),
        (format!("data: {{\"type\":\n\n{rest}"), FaultCode::Internal, true),
        ("data: {\"type\":\n\n".to_owned(), FaultCode::Unavailable, true),
        ("data: [1]\n\n".to_owned(), FaultCode::Unavailable, true),
    ] {
        let error = answered(vec![Ok(stream.clone().into_bytes())]).0.unwrap_err();
        assert_eq!((error.fault.code, error.retryable), (code, retryable), "{stream}: {error:?}");
    }
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let piece = say(&"x".repeat(100_000)).into_bytes();
    let endless = std::iter::once(start().into_bytes()).chain(std::iter::repeat(piece)).map(Ok);
    configure(json!({}));
    let mut once = Some(Body::new(endless));
    testing::serve(move |_| Ok(Response { body: once.take().unwrap(), ..event_stream(Vec::new()) }));
    let error = complete(request(vec![user("Hello")])).0.unwrap_err();
    assert!(!error.retryable && error.fault.message.contains("max_tokens"), "{error:?}");
}

#[test]
fn it_stops_when_nobody_listens() {
    configure(json!({}));
    let read = Rc::new(RefCell::new(0));
    let count = Rc::clone(&read);
    let endless = std::iter::repeat_with(move || {
        *count.borrow_mut() += 1;
        Ok(say("on and on").into_bytes())
    });
    let mut once = Some(Body::new(endless));
    testing::serve(move |_| Ok(Response { body: once.take().unwrap(), ..event_stream(Vec::new()) }));
    let outcome = Anthropic::complete(request(vec![user("Hello")]), &Sink::new(&|_| false));
    assert!(outcome.is_err());
    assert_eq!(*read.borrow(), 1);
}
