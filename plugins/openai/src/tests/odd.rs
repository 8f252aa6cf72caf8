//! Chunks in which something is unusual that nobody needs.

use super::*;

fn text_of(stream: &str) -> String {
    answered(vec![Ok(stream.as_bytes().to_vec())])
        .0
        .unwrap_or_else(|failure| panic!("{stream}: {failure:?}"))
        .text
}

#[test]
fn what_is_not_needed_may_be_anything() {
    let hi = delta(json!({"content": "Hi"}));
    for odd in [
        "data: null\n\n".to_owned(),
        "data: []\n\n".to_owned(),
        "data: 7\n\n".to_owned(),
        "data: \"hi\"\n\n".to_owned(),
        "data:\n\n".to_owned(),
        "data: keep-alive\n\n".to_owned(),
        ": OPENROUTER PROCESSING\n\n".to_owned(),
        "event: ping\ndata: {}\n\n".to_owned(),
        "data: {\"usage\":{\"prompt_tokens\":null,\"completion_tokens\":\"x\"}}\n\n".to_owned(),
        "data: {\"usage\":7,\"choices\":null,\"error\":null}\n\n".to_owned(),
        "data: {\"choices\":[],\"error\":{}}\n\n".to_owned(),
        "data: {\"choices\":{\"delta\":{\"content\":null}}}\n\n".to_owned(),
        "data: {\"choices\":[{\"delta\":null,\"message\":null,\"finish_reason\":7}]}\n\n".to_owned(),
        "data: {\"choices\":[{\"delta\":{\"content\":[{\"type\":\"text\",\"text\":null},null,7]}}]}\n\n"
            .to_owned(),
        "data: {\"choices\":[{\"delta\":{\"content\":7,\"tool_calls\":{},\"reasoning\":[]}}]}\n\n"
            .replace("{},", "null,"),
        "data: {\"choices\":[{\"delta\":{\"content\":\"\",\"content\":\"\"}}]}\n\n".to_owned(),
        "data: {\"choices\":[{\"delta\":{},\"delta\":{},\"message\":{}}]}\n\n".to_owned(),
        "data: \u{fffd}\u{fffd}\n\n".to_owned(),
    ] {
        for stream in [
            format!("{odd}data: {hi}\n\ndata: [DONE]\n\n"),
            format!("data: {hi}\n\n{odd}data: {}\n\n", finish("stop")),
            format!("data: {hi}\n\ndata: {}\n\n{odd}", finish("stop")),
        ] {
            assert_eq!(text_of(&stream), "Hi", "{stream}");
        }
    }
}

#[test]
fn the_last_event_may_lack_its_blank_line() {
    let begin = format!("data: {}\n\n", delta(json!({"content": "Hi"})));
    for end in [
        format!("data: {}", finish("stop")),
        format!("data: {}\n", finish("stop")),
        "data: [DONE]".to_owned(),
    ] {
        assert_eq!(text_of(&format!("{begin}{end}")), "Hi", "{end}");
    }
    let last = finish("stop").to_string();
    let failure =
        answered(vec![Ok(format!("{begin}data: {}", &last[..last.len() - 3]).into_bytes())]).0.unwrap_err();
    assert!(failure.retryable && failure.fault.message.contains("cut off: {\"choices\""), "{failure:?}");
}

#[test]
fn an_event_that_makes_no_sense_is_not_asked_for_again_and_quoted() {
    let end = format!("data: {}\n\n", finish("stop"));
    for odd in ["{'choices': []}", "{\"choices\": [}"] {
        let failure = answered(vec![Ok(format!("data: {odd}\n\n{end}").into_bytes())]).0.unwrap_err();
        assert!(!failure.retryable && failure.fault.message.contains(odd), "{failure:?}");
    }
    // It may have been damaged on its way.
    let failure = answered(vec![Ok(format!("data: {{\"choices\": [\n\n{end}").into_bytes())]).0.unwrap_err();
    assert_eq!((failure.fault.code, failure.retryable), (FaultCode::Internal, true), "{failure:?}");
    let many = format!("data: {{\"x\": [{}0]}}\n\n{end}", "0,".repeat(300_000));
    let failure = answered(vec![Ok(many.into_bytes())]).0.unwrap_err();
    assert!(!failure.retryable && failure.fault.message.len() < 500, "{failure:?}");
}

#[test]
fn any_content_type_or_none_will_do() {
    let stream = stream_of(&[delta(json!({"content": "Hi"})), finish("stop")]);
    let whole = json!({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}).to_string();
    for kind in ["Text/Event-Stream", "text/plain", "application/json", "application/octet-stream", ""] {
        for body in [&stream, &whole, &format!("\u{feff}\n \n{whole}")] {
            configure(json!({}));
            let bytes = body.clone().into_bytes();
            testing::serve(move |_| match kind {
                "" => Ok(Response::new(200, bytes.clone())),
                kind => Ok(response(kind, vec![Ok(bytes.clone())])),
            });
            assert_eq!(complete(request(vec![user("Hello")])).0.unwrap().text, "Hi", "{kind}: {body}");
        }
    }
}

#[test]
fn a_message_beside_or_after_the_pieces_is_said_once() {
    let message = json!({"content": "Hi, Ada", "reasoning": "Hm."});
    for chunks in [
        vec![
            json!({"choices": [{"delta": {"content": "Hi, Ada"}, "message": message, "finish_reason": "stop"}]}),
        ],
        vec![
            delta(json!({"content": "Hi, "})),
            delta(json!({"content": "Ada"})),
            json!({"choices": [{"message": message, "finish_reason": "stop"}]}),
        ],
        vec![
            delta(json!({"content": "Hi, "})),
            json!({"choices": [{"delta": {}, "message": message, "finish_reason": "stop"}]}),
        ],
        vec![json!({"choices": [{"text": "Hi, Ada", "finish_reason": "STOP"}]})],
    ] {
        assert_eq!(text_of(&stream_of(&chunks)), "Hi, Ada", "{chunks:?}");
    }
}

#[test]
fn usage_is_what_was_told_last_that_is_one() {
    let usage = |usage: Value| json!({"choices": [], "usage": usage});
    for end in [json!({}), json!({"prompt_tokens": 0, "completion_tokens": 0}), json!([]), json!("none")] {
        let stream = stream_of(&[
            delta(json!({"content": "Hi"})),
            finish("stop"),
            usage(json!({"prompt_tokens": "82", "completion_tokens": 5.0, "prompt_tokens_details": null})),
            usage(end),
        ]);
        assert_eq!(read(&stream).0.unwrap().usage, Usage { input: 82, output: 5, cached: 0 });
    }
}

#[test]
fn usage_is_found_wherever_it_stands() {
    let usage = json!({"prompt_tokens": 82, "completion_tokens": 5, "cached_tokens": 64});
    for last in [
        json!({"choices": [], "usage": usage}),
        json!({"x_groq": {"id": "req_1", "usage": usage}}),
        json!({"choices": [{"delta": {}, "usage": usage}]}),
        json!({"usage": {"input_tokens": 82, "output_tokens": 5, "prompt_cache_hit_tokens": 64}}),
    ] {
        let stream = stream_of(&[delta(json!({"content": "Hi"})), finish("stop"), last.clone()]);
        let usage = answered(vec![Ok(stream.into_bytes())]).0.unwrap().usage;
        assert_eq!(usage, Usage { input: 82, output: 5, cached: 64 }, "{last}");
    }
}

#[test]
fn thoughts_are_told_apart_from_the_answer() {
    for (chunks, thought, text) in [
        (
            vec![json!({"content": "<think>Hm. "}), json!({"content": "So.</think>\n\nYes."})],
            "Hm. So.",
            "Yes.",
        ),
        (
            vec![json!({"reasoning": "Hm.", "reasoning_content": "Hm."}), json!({"content": "Yes."})],
            "Hm.",
            "Yes.",
        ),
        (vec![json!({"content": "Hm.\n</think>\n\nYes."})], "", "Yes."),
        (vec![json!({"content": "It is `<think>`."})], "", "It is `<think>`."),
        (
            vec![json!({"content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Yes."},
            ]})],
            "Hm.",
            "Yes.",
        ),
    ] {
        let chunks: Vec<Value> = chunks.into_iter().map(delta).chain([finish("stop")]).collect();
        let (outcome, deltas) = read(&stream_of(&chunks));
        assert_eq!(outcome.unwrap().text, text, "{chunks:?}");
        let thoughts = deltas.iter().filter_map(|delta| match delta {
            Delta::Thinking(text) => Some(text.as_str()),
            _ => None,
        });
        assert_eq!(thoughts.collect::<String>(), thought, "{chunks:?}");
    }
}

#[test]
fn an_answer_that_a_filter_cuts_says_so() {
    let stream = stream_of(&[delta(json!({"content": "First, "})), finish("content_filter")]);
    let (outcome, deltas) = read(&stream);
    let completion = outcome.unwrap();
    assert_eq!(completion.stop, StopReason::Refused);
    assert!(completion.text.starts_with("First, ") && completion.text.contains("cut off"), "{completion:?}");
    let streamed: String =
        deltas.iter().filter_map(|d| if let Delta::Text(t) = d { Some(t.as_str()) } else { None }).collect();
    assert_eq!(streamed, completion.text);
}
