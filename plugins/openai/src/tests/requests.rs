use super::*;

/// The request that leaves for a conversation.
fn sent(request: Request) -> http::Request {
    let seen = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&seen);
    testing::serve(move |request| {
        keep.replace(Some(request.clone()));
        Err(Error::new(ErrorKind::Unreachable, "the connection was refused"))
    });
    complete(request).0.unwrap_err();
    seen.take().expect("a request")
}

fn body(request: &http::Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn authorization(request: &http::Request) -> Option<&str> {
    request.headers.iter().find(|header| header.0 == "authorization").map(|header| &*header.1)
}

#[test]
fn the_key_is_only_named_and_only_if_there_is_one() {
    configure(json!({}));
    let with = sent(request(vec![user("Hello")]));
    assert_eq!((with.method.as_str(), with.url.as_str()), ("POST", "http://127.0.0.1:9/v1/chat/completions"));
    assert_eq!(authorization(&with), Some("Bearer {secret:api_key}"));
    let expected = json!({
        "model": "gpt-5.4",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    assert_eq!(body(&with), expected);
    testing::set_secrets(&[]);
    assert_eq!(authorization(&sent(request(vec![user("Hello")]))), None);
}

#[test]
fn a_conversation_with_tools() {
    configure(json!({"stream": false}));
    let calls = vec![call("a", "get_weather", "{\"place\": \"Lisbon\"}"), call("b", "list", "no object")];
    let result = |id: &str, text: &str, is_error| {
        Message::ToolResult(ToolResult { id: id.to_owned(), text: text.to_owned(), is_error })
    };
    let mut request = request(vec![
        user("Weather?"),
        Message::Assistant(AssistantMessage { text: String::new(), tool_calls: calls }),
        result("a", "Sunny", false),
        result("b", "broken", true),
        Message::Assistant(AssistantMessage { text: "Sunny.".to_owned(), tool_calls: Vec::new() }),
        user("Thanks"),
    ]);
    request.system = "Be brief.".to_owned();
    let tool = |name: &str, parameters: &str| ToolSpec {
        name: name.to_owned(),
        description: "Does things".to_owned(),
        parameters: parameters.to_owned(),
    };
    request.tools =
        vec![tool("get_weather", "{\"properties\": {\"place\": {\"type\": \"string\"}}}"), tool("list", "")];
    let function = |name: &str, parameters: Value| json!({"type": "function", "function": {"name": name, "description": "Does things", "parameters": parameters}});
    let expected = json!({
        "model": "gpt-5.4",
        "stream": false,
        "tools": [
            function("get_weather", json!({"type": "object", "properties": {"place": {"type": "string"}}})),
            function("list", json!({"type": "object", "properties": {}})),
        ],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "a", "type": "function",
                    "function": {"name": "get_weather", "arguments": "{\"place\": \"Lisbon\"}"}},
                {"id": "b", "type": "function", "function": {"name": "list", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "a", "content": "Sunny"},
            {"role": "tool", "tool_call_id": "b", "content": "error: broken"},
            {"role": "assistant", "content": "Sunny."},
            {"role": "user", "content": "Thanks"},
        ],
    });
    assert_eq!(body(&sent(request)), expected);
}

#[test]
fn what_the_operator_set_goes_along() {
    configure(json!({"model": "llama3.2", "max_tokens": 100, "temperature": 0.5, "timeout_secs": 7}));
    let mut wanted = request(vec![user("Hello")]);
    wanted.options = json!({"max_tokens": 50, "effort": "low"}).to_string();
    let sent_to_other = sent(wanted.clone());
    let to_other = body(&sent_to_other);
    assert_eq!((&to_other["model"], &to_other["max_tokens"]), (&json!("llama3.2"), &json!(50)));
    assert_eq!((&to_other["temperature"], &to_other["reasoning_effort"]), (&json!(0.5), &json!("low")));
    assert_eq!(sent_to_other.timeout.as_secs(), 7);
    configure(json!({"base_url": "https://api.openai.com/v1"}));
    let to_openai = body(&sent(wanted));
    assert_eq!((&to_openai["max_completion_tokens"], to_openai.get("max_tokens")), (&json!(50), None));
}

#[test]
fn files_go_along_as_what_they_are() {
    configure(json!({}));
    let named = |name: &str, file| prx_sdk::provider::Attachment { name: Some(name.to_owned()), ..file };
    let attachments = vec![
        named("a.png", testing::give("image/png", *b"\x89PNG")),
        named("b.pdf", testing::give("application/pdf", *b"%PDF")),
        named("c.txt", testing::give("text/plain", *b"Hi")),
        named("d.mp4", testing::give("video/mp4", *b"....")),
    ];
    let message = UserMessage { text: "What is this?".to_owned(), attachments };
    let body = body(&sent(request(vec![Message::User(message)])));
    let expected = json!([
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "file", "file": {"filename": "b.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
        {"type": "text", "text": "[a file, c.txt]\nHi"},
        {"type": "text", "text": "[a file, d.mp4, 4 bytes, video/mp4: of a kind that cannot be shown]"},
        {"type": "text", "text": "What is this?"},
    ]);
    assert_eq!(body["messages"][0]["content"], expected);
}

#[test]
fn a_model_without_eyes_is_told_the_names() {
    configure(json!({"files": false}));
    let attachments = vec![testing::give("image/png", *b"\x89PNG"), testing::give("text/plain", *b"Hi")];
    let message = UserMessage { text: "What is this?".to_owned(), attachments };
    let content = body(&sent(request(vec![Message::User(message)])))["messages"][0]["content"].clone();
    assert!(
        content[0]["text"].as_str().unwrap().contains("image/png: this model reads text only"),
        "{content}"
    );
    assert!(content[1]["text"].as_str().unwrap().ends_with("\nHi"), "{content}");
}

#[test]
fn openai_gets_tools_that_it_takes() {
    let schema =
        json!({"type": "object", "properties": {"a": {}}, "oneOf": [{}], "not": {}, "required": ["a"]});
    let tool = |n: usize| ToolSpec {
        name: format!("t{n}"),
        description: "é".repeat(1_100),
        parameters: schema.to_string(),
    };
    let mut wanted = request(vec![user("Hello")]);
    wanted.tools = (0..130).map(tool).collect();
    configure(json!({}));
    let to_other = body(&sent(wanted.clone()));
    assert_eq!(to_other["tools"].as_array().unwrap().len(), 130);
    assert_eq!(to_other["tools"][0]["function"]["parameters"], schema, "others take more");
    configure(json!({"base_url": "https://api.openai.com/v1"}));
    let to_openai = body(&sent(wanted));
    let tools = to_openai["tools"].as_array().unwrap();
    assert_eq!((tools.len(), &tools[127]["function"]["name"]), (128, &json!("t127")));
    let function = &tools[0]["function"];
    assert_eq!(function["description"].as_str().unwrap().chars().count(), 1_024);
    let left = json!({"type": "object", "properties": {"a": {}}, "required": ["a"]});
    assert_eq!(function["parameters"], left);
}
