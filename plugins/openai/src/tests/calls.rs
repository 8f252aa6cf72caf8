//! Tool calls, however their pieces come.

use super::*;

fn calls_of(pieces: &[Value]) -> Vec<ToolCall> {
    let deltas = pieces.iter().map(|piece| delta(json!({"tool_calls": piece})));
    let chunks: Vec<Value> = deltas.chain([finish("tool_calls")]).collect();
    read(&stream_of(&chunks)).0.unwrap().tool_calls
}

fn head(index: Value, id: &str, name: &str, arguments: &str) -> Value {
    json!([{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}])
}

fn more(index: Value, arguments: &str) -> Value {
    json!([{"index": index, "function": {"arguments": arguments}}])
}

#[test]
fn pieces_of_an_unknown_index_belong_to_the_call_in_progress() {
    let n = "{\"n\":1}";
    for pieces in [
        vec![head(json!(0), "x", "a", ""), more(json!(1), "{\"n\""), more(json!(1), ":1}")],
        vec![head(json!("0"), "x", "a", ""), more(json!(0), "{\"n\""), more(json!("0"), ":1}")],
        vec![head(json!(null), "x", "a", ""), more(json!(0), "{\"n\""), more(json!(null), ":1}")],
        vec![head(json!(1), "x", "a", "{\"n\""), more(json!(null), ":1}")],
        vec![head(json!(0), "x", "a", ""), json!([{"index": 1, "id": "x", "function": {"arguments": n}}])],
        vec![head(json!(0), "x", "a", ""), json!({"index": 0, "function": {"arguments": n}})],
        vec![
            json!([{"index": 0, "id": "x"}]),
            json!([{"index": 0, "function": {"name": "a", "arguments": n}}]),
        ],
    ] {
        assert_eq!(calls_of(&pieces), [call("x", "a", n)], "{pieces:?}");
    }
}

#[test]
fn arguments_that_are_packed_twice_are_unpacked() {
    let n = "{\"n\":1}";
    for arguments in ["\"{\\\"n\\\":1}\"", "{}{\"n\":1}", "{\"n\":1}{\"n\":1}"] {
        assert_eq!(calls_of(&[head(json!(0), "x", "a", arguments)]), [call("x", "a", n)], "{arguments}");
    }
    for arguments in ["", "  "] {
        assert_eq!(calls_of(&[head(json!(0), "x", "a", arguments)]), [call("x", "a", "{}")], "{arguments}");
    }
    assert_eq!(
        calls_of(&[head(json!(0), "x", "a", "no object")]),
        [call("x", "a", "no object")],
        "the tool says so"
    );
}

#[test]
fn ids_of_an_answer_are_unique() {
    for pieces in [
        vec![head(json!(0), "call_0", "a", "{\"n\":1}"), head(json!(1), "call_0", "b", "{}")],
        vec![head(json!(0), "call_0", "a", "{\"n\":1}"), head(json!(0), "call_0", "b", "{}")],
        vec![head(json!(0), "", "a", "{\"n\":1}"), head(json!(0), "", "b", "{}")],
    ] {
        let calls = calls_of(&pieces);
        let shown: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
        assert_eq!(shown, [("a", "{\"n\":1}"), ("b", "{}")], "{pieces:?}");
        assert_ne!(calls[0].id, calls[1].id);
    }

    configure(json!({}));
    let chunks = [delta(json!({"tool_calls": head(json!(0), "call_0", "a", "{}")})), finish("tool_calls")];
    let stream = stream_of(&chunks).into_bytes();
    testing::serve(move |_| Ok(response("text/event-stream", vec![Ok(stream.clone())])));
    let earlier =
        AssistantMessage { text: String::new(), tool_calls: vec![call("call_0", "a", "{}")], data: None };
    let result = ToolResult { id: "call_0".to_owned(), text: "done".to_owned(), is_error: false };
    let messages = vec![user("Go"), Message::Assistant(earlier), Message::ToolResult(result)];
    let (outcome, deltas) = complete(request(messages));
    let id = outcome.unwrap().tool_calls[0].id.clone();
    assert_ne!(id, "call_0", "it was taken before");
    assert_eq!(deltas, [Delta::ToolCallStarted((id, "a".to_owned()))]);
}

#[test]
fn a_call_of_the_older_kind_is_one() {
    let chunks = [delta(json!({"function_call": {"name": "a", "arguments": "{}"}})), finish("function_call")];
    let completion = read(&stream_of(&chunks)).0.unwrap();
    assert_eq!((completion.tool_calls.len(), completion.stop), (1, StopReason::ToolUse));
}

#[test]
fn calls_without_end_are_bounded() {
    let many: Vec<Value> =
        (0..400).map(|n| json!({"index": n, "id": format!("x{n}"), "function": {"name": "a"}})).collect();
    let stream = stream_of(&[delta(json!({ "tool_calls": many })), finish("tool_calls")]);
    assert_eq!(answered(vec![Ok(stream.into_bytes())]).0.unwrap().tool_calls.len(), 256);
}
