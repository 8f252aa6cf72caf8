use super::*;

/// The request that leaves for a conversation.
pub(super) fn sent(request: Request) -> prx_sdk::http::Request {
    let seen = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&seen);
    testing::serve(move |request| {
        keep.replace(Some(request.clone()));
        Err(Error::new(ErrorKind::Unreachable, "the connection was refused"))
    });
    complete(request).0.unwrap_err();
    seen.take().expect("a request")
}

pub(super) fn body(request: &prx_sdk::http::Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn the_key_is_only_named() {
    configure(json!({}));
    let sent = sent(request(vec![user("Hello")]));
    assert_eq!((sent.method.as_str(), sent.url.as_str()), ("POST", "http://127.0.0.1:9/v1/messages"));
    let header = |name: &str| sent.headers.iter().find(|header| header.0 == name).map(|header| &*header.1);
    assert_eq!(header("x-api-key"), Some("{secret:api_key}"));
    assert_eq!(header("anthropic-version"), Some("2023-06-01"));
    let expected = json!({
        "model": "claude-opus-5-5",
        "max_tokens": 16_000,
        "stream": true,
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}},
        ]}],
    });
    assert_eq!(body(&sent), expected);
}

#[test]
fn a_conversation_with_tools() {
    configure(json!({}));
    let call = |id: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: "get_weather".to_owned(),
        arguments: arguments.to_owned(),
    };
    let result = |id: &str, text: &str, is_error| {
        Message::ToolResult(ToolResult { id: id.to_owned(), text: text.to_owned(), is_error })
    };
    let assistant = |text: &str, tool_calls| {
        Message::Assistant(AssistantMessage { text: text.to_owned(), tool_calls, data: None })
    };
    let mut request = request(vec![
        user("Weather?"),
        assistant("", vec![call("a.1", "{\"place\": \"Lisbon\"}"), call("b", "no object")]),
        result("a.1", "Sunny", false),
        result("b", "", true),
        user("And?"),
        assistant("Sunny.", Vec::new()),
        assistant("", Vec::new()),
        user("Thanks"),
    ]);
    request.system = "Be brief.".to_owned();
    request.tools = vec![ToolSpec {
        name: "get_weather".to_owned(),
        description: "The weather".to_owned(),
        parameters: "{\"properties\": {\"place\": {\"type\": \"string\"}}}".to_owned(),
    }];
    let kept = json!({"type": "ephemeral"});
    let mut ids = prx_sdk::calls::CallIds::default();
    let ids = ["a.1", "b"].map(|id| ids.call(id));
    let expected = json!({
        "model": "claude-opus-5-5",
        "max_tokens": 16_000,
        "stream": true,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": kept}],
        "tools": [{"name": "get_weather", "description": "The weather", "input_schema":
            {"type": "object", "properties": {"place": {"type": "string"}}}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": ids[0], "name": "get_weather", "input": {"place": "Lisbon"}},
                {"type": "tool_use", "id": ids[1], "name": "get_weather", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": ids[0], "content": [{"type": "text", "text": "Sunny"}], "is_error": false},
                {"type": "tool_result", "tool_use_id": ids[1], "content": [], "is_error": true},
                {"type": "text", "text": "And?"},
            ]},
            {"role": "assistant", "content": [{"type": "text", "text": "Sunny."}]},
            {"role": "user", "content": [{"type": "text", "text": "Thanks", "cache_control": kept}]},
        ],
    });
    assert_eq!(body(&sent(request)), expected);
}

#[test]
fn what_the_operator_set_goes_along() {
    configure(json!({"model": "claude-haiku-5-5", "max_tokens": 100, "temperature": 0.5, "timeout_secs": 7}));
    let mut wanted = request(vec![user("Hello")]);
    wanted.options = json!({"max_tokens": 50, "effort": "low"}).to_string();
    let sent = sent(wanted);
    let body = body(&sent);
    assert_eq!((&body["model"], &body["max_tokens"]), (&json!("claude-haiku-5-5"), &json!(50)));
    assert_eq!((&body["temperature"], &body["output_config"]), (&json!(0.5), &json!({"effort": "low"})));
    assert_eq!(sent.timeout.as_secs(), 7);
}

#[test]
fn files_go_along_as_what_they_are() {
    configure(json!({}));
    let named = |name: &str, file| prx_sdk::provider::Attachment { name: Some(name.to_owned()), ..file };
    let attachments = vec![
        named("a.png", testing::give("image/png", *b"\x89PNG")),
        named("b.pdf", testing::give("application/pdf", *b"%PDF")),
        named("c.txt", testing::give("text/plain", *b"Hi")),
        named("d.mp4", testing::give("video/mp4", *b"\0\x01\x02\x03")),
    ];
    let message = UserMessage { text: "What is this?".to_owned(), attachments };
    let body = body(&sent(request(vec![Message::User(message)])));
    let expected = json!([
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
        {"type": "document", "title": "b.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
        {"type": "text", "text": "[a file, c.txt]\nHi"},
        {"type": "text", "text": "[a file, d.mp4, 4 bytes, video/mp4: of a kind that cannot be shown]"},
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
    ]);
    assert_eq!(body["messages"][0]["content"], expected);
}

#[test]
fn a_schema_has_nothing_at_its_top_that_the_api_refuses() {
    configure(json!({}));
    let inner = json!({"a": {"oneOf": [{"type": "string"}]}});
    let schema = json!({"properties": inner, "oneOf": [{}], "anyOf": [{}], "allOf": [{}], "required": ["a"]});
    let mut wanted = request(vec![user("Hello")]);
    let (name, description) = ("t".to_owned(), "Does things".to_owned());
    wanted.tools = vec![ToolSpec { name, description, parameters: schema.to_string() }];
    let left = json!({"type": "object", "properties": inner, "required": ["a"]});
    assert_eq!(body(&sent(wanted))["tools"][0]["input_schema"], left);
}

#[test]
fn ids_that_came_twice_are_told_apart() {
    configure(json!({}));
    let call = || ToolCall { id: "call_0".to_owned(), name: "a b".to_owned(), arguments: "{}".to_owned() };
    let said =
        || Message::Assistant(AssistantMessage { text: String::new(), tool_calls: vec![call()], data: None });
    let result =
        || Message::ToolResult(ToolResult { id: "call_0".to_owned(), text: "x".to_owned(), is_error: false });
    let body = body(&sent(request(vec![user("Go"), said(), result(), said(), result()])));
    let messages = &body["messages"];
    let ids: Vec<&Value> = [1_usize, 3].iter().map(|at| &messages[*at]["content"][0]["id"]).collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids, [&messages[2]["content"][0]["tool_use_id"], &messages[4]["content"][0]["tool_use_id"]]);
    assert_eq!(messages[1]["content"][0]["name"], "a_b");
}

#[test]
fn addresses_headers_and_fields_of_the_operators_own() {
    for base_url in ["http://127.0.0.1:9", "http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1/messages"] {
        configure(json!({"base_url": base_url, "extra": {"top_k": 4}}));
        testing::set_secrets(&["api_key", "headers.anthropic-version", "headers.x-api-key"]);
        let sent = sent(request(vec![user("Hello")]));
        assert_eq!(sent.url, "http://127.0.0.1:9/v1/messages");
        assert_eq!(body(&sent)["top_k"], 4);
        let of = |name: &str| -> Vec<&str> {
            sent.headers.iter().filter(|header| header.0 == name).map(|header| &*header.1).collect()
        };
        for header in ["anthropic-version", "x-api-key"] {
            assert_eq!(of(header), [format!("{{secret:headers.{header}}}")], "instead of the usual one");
        }
    }
    testing::set_secrets(&["headers.authorization"]);
    let sent = sent(request(vec![user("Hello")]));
    assert!(sent.headers.iter().all(|(name, _)| name != "x-api-key"), "a header carries the key");
}
