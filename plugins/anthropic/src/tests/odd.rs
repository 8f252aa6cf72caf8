//! Servers that only speak like the API, and what is unusual in their events that nobody needs.

use super::*;

fn event(data: Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn delta(delta: Value) -> String {
    event(json!({"type": "content_block_delta", "index": 0, "delta": delta}))
}

fn end(reason: &str) -> String {
    event(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 9}}))
        + &event(json!({"type": "message_stop"}))
}

fn read_whole(stream: &str) -> Completion {
    answered(vec![Ok(stream.as_bytes().to_vec())]).0.unwrap_or_else(|failure| panic!("{stream}: {failure:?}"))
}

#[test]
fn what_is_not_needed_may_be_anything() {
    let hi = delta(json!({"type": "text_delta", "text": "Hi"}));
    for odd in [
        "event: ping\ndata:\n\n",
        "event: ping\ndata: \n\n",
        "data: null\n\n",
        "data: []\n\n",
        "data: keep-alive\n\n",
        "data: {}\n\n",
        "data: {\"type\":null,\"error\":null}\n\n",
        "data: {\"type\":\"message_start\",\"message\":null}\n\n",
        "data: {\"type\":\"message_start\",\"message\":{\"usage\":null}}\n\n",
        "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":null,\"output_tokens\":\"x\"}}}\n\n",
        "data: {\"type\":\"content_block_start\",\"index\":\"0\",\"content_block\":null}\n\n",
        "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":null}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":null}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":7,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}}\n\n",
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"\"},\"usage\":null}\n\n",
        "data: {\"type\":\"message_delta\",\"delta\":null,\"usage\":[]}\n\n",
    ] {
        for stream in [format!("{odd}{hi}{}", end("end_turn")), format!("{hi}{odd}{}", end("end_turn"))] {
            let completion = read_whole(&stream);
            assert_eq!((completion.text.as_str(), completion.usage.output), ("Hi", 9), "{stream}");
        }
    }
}

#[test]
fn ends_of_every_kind_are_one() {
    let hi = delta(json!({"type": "text_delta", "text": "Hi"}));
    let stop = event(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}));
    for stream in [
        format!("{hi}data: [DONE]\n\n"),
        format!("{hi}{stop}data: [DONE]\n\n"),
        format!("{hi}{stop}"),
        format!("{hi}{}", stop.trim_end()),
        format!("{hi}event: message_stop\ndata: {{}}\n\n"),
        format!("{hi}{}", event(json!({"type": "message_stop"}))),
    ] {
        assert_eq!(read_whole(&stream).text, "Hi", "{stream}");
    }
}

#[test]
fn an_answer_in_one_piece_and_under_any_content_type() {
    let content = json!([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "x", "name": "a", "input": {"n": 1}}]);
    let usage = json!({"input_tokens": 3, "output_tokens": 5});
    let whole = json!({"type": "message", "content": content, "stop_reason": "tool_use", "usage": usage});
    for kind in ["application/json", "Text/Event-Stream", "text/plain"] {
        configure(json!({}));
        let bytes = whole.to_string().into_bytes();
        testing::serve(move |_| {
            let headers = vec![("content-type".to_owned(), kind.to_owned())];
            Ok(Response { headers, ..Response::new(200, bytes.clone()) })
        });
        let (outcome, deltas) = complete(request(vec![user("Hello")]));
        let completion = outcome.unwrap();
        assert_eq!((completion.text.as_str(), completion.stop), ("Hi", StopReason::ToolUse));
        assert_eq!(completion.tool_calls[0].arguments, "{\"n\":1}");
        assert_eq!(completion.usage, Usage { input: 3, output: 5, cached: 0 });
        assert_eq!(deltas[0], Delta::Thinking("Hm.".to_owned()));
    }
}

#[test]
fn calls_are_put_together_however_they_come() {
    let begin = |index: Value, id: &str, input: Value| {
        let block = json!({"type": "tool_use", "id": id, "name": "a", "input": input});
        event(json!({"type": "content_block_start", "index": index, "content_block": block}))
    };
    let more = |index: Value, text: &str| {
        let piece = json!({"type": "input_json_delta", "partial_json": text});
        event(json!({"type": "content_block_delta", "index": index, "delta": piece}))
    };
    for (blocks, ids) in [
        (begin(json!("1"), "x", json!({})) + &more(json!(1), "{\"n\":1}"), vec!["x"]),
        (begin(json!(null), "x", json!(null)) + &more(json!(null), "{}{\"n\":1}"), vec!["x"]),
        (begin(json!(0), "x", json!("{\"n\":1}")), vec!["x"]),
        (begin(json!(0), "x", json!({})) + &more(json!(0), "\"{\\\"n\\\":1}\""), vec!["x"]),
        (
            begin(json!(0), "x", json!({}))
                + &more(json!(0), "{\"n\":1}")
                + &begin(json!(0), "x", json!({"n": 1})),
            vec!["x", "call_2"],
        ),
    ] {
        let completion = read_whole(&(blocks.clone() + &end("tool_use")));
        let made: Vec<_> = completion.tool_calls.iter().map(|call| call.id.as_str()).collect();
        assert_eq!(made, ids, "{blocks}");
        assert!(completion.tool_calls.iter().all(|call| call.arguments == "{\"n\":1}"), "{completion:?}");
    }
}

#[test]
fn thoughts_and_cuts_are_told() {
    let said = |text: &str, reason: &str| delta(json!({"type": "text_delta", "text": text})) + &end(reason);
    assert_eq!(read_whole(&said("<think>Hm.</think>Yes.", "end_turn")).text, "Yes.");
    assert_eq!(read_whole(&said("Hm.\n</think>\n\nYes.", "end_turn")).text, "Yes.");
    let cut = read_whole(&said("First, ", "refusal"));
    assert!(cut.stop == StopReason::Refused && cut.text.contains("cut off"), "{cut:?}");
}
