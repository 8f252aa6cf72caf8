//! Servers that leave parts out, or give them in another shape.

use super::*;

fn read_chunks(chunks: &[Value]) -> Completion {
    read(&stream_of(chunks)).0.unwrap()
}

#[test]
fn no_usage_is_estimated() {
    let completion = read_chunks(&[delta(json!({"content": "Eight ch"})), finish("stop")]);
    assert_eq!(completion.usage, Usage { input: 2, output: 2, cached: 0 });
}

#[test]
fn no_reason_to_stop() {
    let words = read_chunks(&[delta(json!({"content": "Hi"}))]);
    assert_eq!((words.text.as_str(), words.stop), ("Hi", StopReason::End));
    let piece = json!({"index": 0, "id": "a", "function": {"name": "list", "arguments": "{}"}});
    assert_eq!(read_chunks(&[delta(json!({"tool_calls": [piece]}))]).stop, StopReason::ToolUse);
}

#[test]
fn the_last_word_may_be_the_reason() {
    let stream = stream_of(&[delta(json!({"content": "Hi"})), finish("stop")]);
    let (stream, _) = stream.split_once("data: [DONE]").unwrap();
    assert_eq!(answered(vec![Ok(stream.as_bytes().to_vec())]).0.unwrap().text, "Hi");
}

#[test]
fn calls_without_ids_get_some_of_their_own() {
    let piece = |index: u64, name: &str| json!({"index": index, "function": {"name": name, "arguments": {}}});
    let chunks = [delta(json!({"tool_calls": [piece(0, "a"), piece(1, "b")]})), finish("tool_calls")];
    assert_eq!(read_chunks(&chunks).tool_calls, [call("call_1", "a", "{}"), call("call_2", "b", "{}")]);

    configure(json!({}));
    let stream = stream_of(&chunks).into_bytes();
    testing::serve(move |_| Ok(response("text/event-stream", vec![Ok(stream.clone())])));
    let earlier =
        AssistantMessage { text: String::new(), tool_calls: vec![call("call_1", "a", "{}")], data: None };
    let result = ToolResult { id: "call_1".to_owned(), text: "done".to_owned(), is_error: false };
    let messages = vec![user("Go"), Message::Assistant(earlier), Message::ToolResult(result)];
    let ids: Vec<_> =
        complete(request(messages)).0.unwrap().tool_calls.into_iter().map(|call| call.id).collect();
    assert_eq!(ids, ["call_2", "call_3"], "they are unique in the conversation");
}

#[test]
fn whole_calls_with_objects_and_without_an_index() {
    let whole = |name: &str| json!({"function": {"name": name, "arguments": {"n": 1}}});
    let completion = read_chunks(&[delta(json!({"tool_calls": [whole("a"), whole("b")]})), finish("stop")]);
    assert_eq!(completion.tool_calls, [call("call_1", "a", "{\"n\":1}"), call("call_2", "b", "{\"n\":1}")]);
    assert_eq!(completion.stop, StopReason::ToolUse, "whatever the reason says");
}

#[test]
fn calls_under_one_index_are_told_apart_by_id() {
    let whole = |id: &str| json!({"index": 0, "id": id, "function": {"name": "a", "arguments": "{\"n\":1}"}});
    let completion = read_chunks(&[
        delta(json!({"tool_calls": [whole("x")]})),
        delta(json!({"tool_calls": [whole("y")]})),
        finish("tool_calls"),
    ]);
    assert_eq!(completion.tool_calls, [call("x", "a", "{\"n\":1}"), call("y", "a", "{\"n\":1}")]);
}

#[test]
fn pieces_that_repeat_themselves_or_have_only_an_id() {
    let repeated =
        |arguments: &str| json!({"index": 0, "id": "x", "function": {"name": "a", "arguments": arguments}});
    let completion = read_chunks(&[
        delta(json!({"tool_calls": [repeated("{\"n\"")]})),
        delta(json!({"tool_calls": [repeated(":1}")]})),
    ]);
    assert_eq!(completion.tool_calls, [call("x", "a", "{\"n\":1}")]);
    let bare =
        |name: Option<&str>, arguments: &str| json!({"function": {"name": name, "arguments": arguments}});
    let completion = read_chunks(&[
        delta(json!({"tool_calls": [bare(Some("a"), "{\"n\"")]})),
        delta(json!({"tool_calls": [bare(None, ":1}")]})),
    ]);
    assert_eq!(completion.tool_calls, [call("call_1", "a", "{\"n\":1}")]);
}

#[test]
fn thinking_goes_by_several_names_and_content_comes_in_parts() {
    let stream = stream_of(&[
        delta(json!({"reasoning_content": "Hm. "})),
        delta(json!({"reasoning": "So.", "content": null})),
        delta(json!({"content": [{"type": "text", "text": "Yes"}, {"type": "image"}]})),
        json!({"choices": null}),
        json!({"choices": [{"message": {"content": "."}, "finish_reason": "stop"}]}),
    ]);
    let (outcome, deltas) = read(&stream);
    assert_eq!(outcome.unwrap().text, "Yes.");
    assert_eq!(deltas[..2], [Delta::Thinking("Hm. ".to_owned()), Delta::Thinking("So.".to_owned())]);
}

#[test]
fn an_answer_that_does_not_stream() {
    configure(json!({"stream": false}));
    let message = json!({"role": "assistant", "content": "Let me see.", "tool_calls": [
        {"id": "x", "type": "function", "function": {"name": "a", "arguments": "{\"n\":1}"}},
    ]});
    let body = json!({"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": message,
        "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 7, "completion_tokens": 5}});
    let bytes = body.to_string().into_bytes();
    testing::serve(move |request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!((&asked["stream"], asked.get("stream_options")), (&json!(false), None));
        Ok(response("application/json; charset=utf-8", vec![Ok(bytes.clone())]))
    });
    let (outcome, deltas) = complete(request(vec![user("Hello")]));
    let completion = outcome.unwrap();
    assert_eq!((completion.text.as_str(), completion.stop), ("Let me see.", StopReason::ToolUse));
    assert_eq!(completion.tool_calls, [call("x", "a", "{\"n\":1}")]);
    assert_eq!(completion.usage, Usage { input: 7, output: 5, cached: 0 });
    assert_eq!(deltas[0], Delta::Text("Let me see.".to_owned()));
}
