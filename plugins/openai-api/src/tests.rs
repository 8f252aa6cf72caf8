use prx_sdk::route::{FaultCode, Request};
use prx_sdk::testing::{self, BegunTurn, RouteAnswer};
use prx_sdk::turns::{Fault, Finished, Input, Piece, StopReason, ToolCall};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

use crate::Api;

fn post(body: &Value) -> RouteAnswer {
    posted(Request::new("POST", "/v1/chat/completions"), body)
}

fn posted(request: Request, body: &Value) -> RouteAnswer {
    testing::route::<Api>(request.body(body.to_string()).with("x-request-id", "req_01a"))
}

/// Answers with these pieces, and keeps what was begun.
fn answering(pieces: Vec<Piece>) -> Rc<RefCell<Vec<BegunTurn>>> {
    let begun: Rc<RefCell<Vec<BegunTurn>>> = Rc::default();
    let kept = Rc::clone(&begun);
    testing::answer_turns(move |turn| {
        kept.borrow_mut().push(turn);
        Ok(pieces.clone())
    });
    begun
}

fn hello(more: Value) -> Value {
    let mut body = json!({"model": "default", "messages": [{"role": "user", "content": "Hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn refused(answer: &RouteAnswer, status: u16, param: &str) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    let error = &answer.json::<Value>()["error"];
    assert_eq!(error["param"], param, "{error}");
    error["message"].as_str().unwrap().to_owned()
}

fn events(answer: &RouteAnswer) -> Vec<Value> {
    let text = answer.text();
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn calling() -> Piece {
    let call = ToolCall { id: "call_1".into(), name: "look".into(), arguments: r#"{"at": "it"}"#.into() };
    Piece::Done(Finished {
        text: String::new(),
        calls: vec![call],
        stop: StopReason::ToolUse,
        input_tokens: 5,
        output_tokens: 1,
        session: "sess_1".into(),
    })
}

#[test]
fn agents_are_the_models() {
    testing::set_agents(&["default", "support"]);
    let models: Value = testing::route::<Api>(Request::new("GET", "/v1/models")).json();
    assert_eq!((&models["object"], &models["data"][1]["id"]), (&json!("list"), &json!("support")));
    let model: Value = testing::route::<Api>(Request::new("GET", "/v1/models/support")).json();
    assert_eq!(model["object"], "model");
    let none = testing::route::<Api>(Request::new("GET", "/v1/models/gpt"));
    assert!(refused(&none, 404, "model").contains("there are: default, support"));
    assert!(refused(&post(&hello(json!({"model": "gpt"}))), 404, "model").contains("`gpt` does not exist"));
    for (method, path, status) in
        [("DELETE", "/v1/models", 405), ("GET", "/v1/chat/completions", 405), ("POST", "/v1/x", 404)]
    {
        assert_eq!(testing::route::<Api>(Request::new(method, path)).status, status, "{method} {path}");
    }
}

#[test]
fn an_answer_comes_whole() {
    let begun = answering(vec![Piece::Waiting, Piece::Text("Hel".into()), testing::finished("Hello!")]);
    let answer = post(&hello(json!({"temperature": 0.5, "max_completion_tokens": 9})));
    let completion: Value = answer.json();
    assert_eq!(
        (&completion["id"], &completion["object"], &completion["model"]),
        (&json!("chatcmpl-01a"), &json!("chat.completion"), &json!("default"))
    );
    let choice = &completion["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!("Hello!"), &json!("stop")));
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
    assert_eq!((&completion["usage"], answer.header("x-session-id")), (&usage, Some("sess_1")));
    let begun = &begun.borrow()[0];
    assert_eq!(begun.input, [Input::User(("Hi".into(), Vec::new()))]);
    assert_eq!((begun.opening.agent.as_deref(), &begun.opening.key), (Some("default"), &None));
    assert_eq!(
        serde_json::from_str::<Value>(&begun.options).unwrap(),
        json!({"temperature": 0.5, "max_tokens": 9})
    );
}

#[test]
fn an_answer_comes_as_events() {
    let pieces = [
        Piece::Thinking("Hm".into()),
        Piece::Text("Hel".into()),
        Piece::Waiting,
        Piece::Text("lo!".into()),
        testing::finished("Hello!"),
    ];
    answering(pieces.to_vec());
    let answer = post(&hello(json!({"stream": true, "stream_options": {"include_usage": true}})));
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    let events = events(&answer);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let said: String =
        events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, "Hello!");
    assert_eq!(events[1]["choices"][0]["delta"]["reasoning_content"], "Hm");
    let [.., last, usage] = &events[..] else { panic!("{events:?}") };
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(5)));
    assert!(events.iter().all(|event| event["object"] == "chat.completion.chunk"));

    let without = post(&hello(json!({"stream": true})));
    assert!(!without.text().contains("usage"));
}

#[test]
fn calls_of_the_callers_tools_go_back_and_forth() {
    let begun = answering(vec![calling()]);
    let tools = json!([{"type": "function", "function": {"name": "look", "description": "Looks", "parameters": {"type": "object"}}}]);
    let answer: Value = post(&hello(json!({"tools": tools}))).json();
    let choice = &answer["choices"][0];
    assert_eq!(
        (&choice["message"]["content"], &choice["finish_reason"]),
        (&Value::Null, &json!("tool_calls"))
    );
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!((&call["id"], &call["function"]["arguments"]), (&json!("call_1"), &json!(r#"{"at": "it"}"#)));
    let streamed = events(&post(&hello(json!({"tools": tools, "stream": true}))));
    let delta = streamed.iter().find(|event| event["choices"][0]["delta"]["tool_calls"].is_array()).unwrap();
    assert_eq!(delta["choices"][0]["delta"]["tool_calls"][0]["index"], 0);
    assert_eq!(begun.borrow()[0].tools[0].name, "look");
    post(&hello(json!({"tools": tools, "tool_choice": "none"})));
    assert!(begun.borrow()[2].tools.is_empty());

    let back = json!({"model": "default", "messages": [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": [{"type": "text", "text": "Where?"}]},
        choice["message"],
        {"role": "tool", "tool_call_id": "call_1", "content": "here"},
    ]});
    post(&back);
    let begun = begun.borrow();
    let last = begun.last().unwrap();
    assert_eq!(last.opening.instructions, "Be brief");
    assert!(
        matches!(&last.input[1], Input::Assistant((text, calls)) if text.is_empty() && calls[0].name == "look")
    );
    assert_eq!(last.input[2], Input::Tool(("call_1".into(), "here".into())));
}

#[test]
fn a_session_is_the_users_or_the_one_that_is_named() {
    let begun = answering(vec![testing::finished("Hello!")]);
    let with = |name: &str| Request::new("POST", "/v1/chat/completions").with("X-Session-Id", name);
    post(&hello(json!({})));
    post(&hello(json!({"user": "ada"})));
    posted(with("sess_9"), &hello(json!({"user": "ada"})));
    posted(with("mine"), &hello(json!({})));
    let begun = begun.borrow();
    let places: Vec<_> = begun
        .iter()
        .map(|turn| {
            (turn.opening.session.as_deref(), turn.opening.key.as_deref(), turn.opening.user.as_str())
        })
        .collect();
    assert_eq!(
        places,
        [(None, None, ""), (None, Some(""), "ada"), (Some("sess_9"), None, "ada"), (None, Some("mine"), "")]
    );
}

#[test]
fn pictures_come_as_data_urls() {
    let begun = answering(vec![testing::finished("A dot.")]);
    let said = |url: &str| {
        let picture = json!({"type": "image_url", "image_url": {"url": url}});
        let parts = json!([{"type": "text", "text": "What is it?"}, picture]);
        json!({"model": "default", "messages": [{"role": "user", "content": parts}]})
    };
    assert_eq!(post(&said("data:image/png;base64,aGVsbG8=")).status, 200);
    let begun = begun.borrow();
    let Input::User((text, files)) = &begun[0].input[0] else { panic!("{begun:?}") };
    assert_eq!((text.as_str(), files[0].mime.as_deref()), ("What is it?", Some("image/png")));
    assert_eq!(testing::made(&files[0]), b"hello");
    let at = "messages[0].content[1].image_url.url";
    for (url, why) in [
        ("https://example.org/a.png", "data URLs"),
        ("data:text/plain;base64,aGVsbG8=", "is no picture"),
        ("data:image/png;base64,%%%", "is not base64"),
        ("data:image/png,x", "is written"),
    ] {
        let told = refused(&post(&said(url)), 400, at);
        assert!(told.contains(why), "{url}: {told}");
    }
}

#[test]
fn what_goes_wrong_is_said_as_openai_says_it() {
    for (code, status, kind) in [
        (FaultCode::BadInput, 400, "invalid_request_error"),
        (FaultCode::Denied, 403, "permission_error"),
        (FaultCode::Quota, 429, "rate_limit_error"),
        (FaultCode::Unavailable, 503, "server_error"),
    ] {
        for body in [hello(json!({})), hello(json!({"stream": true}))] {
            answering(vec![Piece::Failed(Fault::new(code, "so it is"))]);
            let answer = post(&body);
            let error = &answer.json::<Value>()["error"];
            assert_eq!(
                (answer.status, &error["type"], &error["message"]),
                (status, &json!(kind), &json!("so it is"))
            );
        }
    }
    answering(vec![Piece::Text("Hel".into()), Piece::Failed(Fault::unavailable("it is down"))]);
    let events = events(&post(&hello(json!({"stream": true}))));
    assert_eq!(events.last().unwrap()["error"]["message"], "it is down");
}

#[test]
fn a_request_that_makes_no_sense_is_refused_by_the_field() {
    answering(vec![testing::finished("Hello!")]);
    let message = |message: Value| json!({"messages": [message]});
    for (more, param) in [
        (json!({"messages": []}), "messages"),
        (json!({"messages": "Hi"}), "messages"),
        (message(json!({"role": "user", "content": ""})), "messages[0].content"),
        (message(json!({"role": "user", "content": 5})), "messages[0].content"),
        (message(json!({"role": "bot", "content": "x"})), "messages[0].role"),
        (message(json!({"role": "tool", "content": "x"})), "messages[0].tool_call_id"),
        (
            message(json!({"role": "user", "content": [{"type": "input_audio"}]})),
            "messages[0].content[0].type",
        ),
        (message(json!({"role": "assistant", "tool_calls": [{"id": 5}]})), "messages[0].tool_calls[0].id"),
        (json!({"model": 5}), "model"),
        (json!({"user": 5}), "user"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"n": 2}), "n"),
        (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
        (json!({"tools": [], "tool_choice": "required"}), "tool_choice"),
        (json!({"functions": []}), "functions"),
        (json!({"response_format": {"type": "json_object"}}), "response_format"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"temperature": "hot"}), "temperature"),
    ] {
        refused(&post(&hello(more)), 400, param);
    }
    let broken = Request::new("POST", "/v1/chat/completions").body("{");
    assert_eq!(testing::route::<Api>(broken).status, 400);
}
