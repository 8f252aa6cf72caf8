use super::*;

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
        Message::Assistant(AssistantMessage { text: String::new(), tool_calls: calls, data: None }),
        result("a", "Sunny", false),
        result("b", "broken", true),
        Message::Assistant(AssistantMessage {
            text: "Sunny.".to_owned(),
            tool_calls: Vec::new(),
            data: None,
        }),
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
    let mut made = prx_sdk::calls::CallIds::default();
    let ids = ["a", "b"].map(|id| made.call(id));
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
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": ids[0], "type": "function",
                    "function": {"name": "get_weather", "arguments": "{\"place\": \"Lisbon\"}"}},
                {"id": ids[1], "type": "function", "function": {"name": "list", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": ids[0], "content": "Sunny"},
            {"role": "tool", "tool_call_id": ids[1], "content": "error: broken"},
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
    let sent_to_other = sent(wanted);
    let to_other = body(&sent_to_other);
    assert_eq!((&to_other["model"], &to_other["max_tokens"]), (&json!("llama3.2"), &json!(50)));
    assert_eq!((&to_other["temperature"], &to_other["reasoning_effort"]), (&json!(0.5), &json!("low")));
    assert_eq!(sent_to_other.timeout.as_secs(), 7);
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
fn ids_and_names_are_valid_everywhere() {
    configure(json!({}));
    let calls = || {
        Message::Assistant(AssistantMessage {
            text: String::new(),
            tool_calls: vec![call("call_0", "functions.list:0", "{}"), call("call_0", "", "{}")],
            data: None,
        })
    };
    let result = || {
        Message::ToolResult(ToolResult { id: "call_0".to_owned(), text: "done".to_owned(), is_error: false })
    };
    let messages = vec![user("Go"), calls(), result(), result(), user("Again"), calls(), result(), result()];
    let body = body(&sent(request(messages)));
    let mut ids = Vec::new();
    for at in [1, 5] {
        let asked: Vec<&Value> = (0..2).map(|n| &body["messages"][at]["tool_calls"][n]["id"]).collect();
        let answered =
            vec![&body["messages"][at + 1]["tool_call_id"], &body["messages"][at + 2]["tool_call_id"]];
        assert_eq!(asked, answered, "{body}");
        ids.extend(asked.iter().map(|id| id.as_str().unwrap()));
        assert_eq!(body["messages"][at]["tool_calls"][0]["function"]["name"], "functions_list_0");
        assert_eq!(body["messages"][at]["tool_calls"][1]["function"]["name"], "unnamed");
    }
    assert!(ids.iter().all(|id| id.len() == 9), "{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4, "no two the same");
}

#[test]
fn an_address_is_understood_with_and_without_its_version() {
    for (base_url, url) in [
        ("http://127.0.0.1:9", "http://127.0.0.1:9/v1/chat/completions"),
        ("http://127.0.0.1:9/", "http://127.0.0.1:9/v1/chat/completions"),
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1/chat/completions"),
        ("http://127.0.0.1:9/v1/chat/completions", "http://127.0.0.1:9/v1/chat/completions"),
        ("http://127.0.0.1:9/v1beta/openai/", "http://127.0.0.1:9/v1beta/openai/chat/completions"),
        ("http://127.0.0.1:9/x?api-version=2", "http://127.0.0.1:9/x/chat/completions?api-version=2"),
    ] {
        configure(json!({ "base_url": base_url }));
        assert_eq!(sent(request(vec![user("Hello")])).url, url);
    }
}

#[test]
fn headers_and_fields_of_the_operators_own_go_along() {
    configure(json!({"extra": {"top_k": 40, "stream_options": {}}}));
    testing::set_secrets(&["api_key", "headers.x-title", "headers.authorization"]);
    let sent = sent(request(vec![user("Hello")]));
    let of = |name: &str| -> Vec<&str> {
        sent.headers.iter().filter(|header| header.0 == name).map(|header| &*header.1).collect()
    };
    assert_eq!(of("x-title"), ["{secret:headers.x-title}"]);
    assert_eq!(of("authorization"), ["{secret:headers.authorization}"], "instead of the usual one");
    assert_eq!((&body(&sent)["top_k"], &body(&sent)["stream_options"]), (&json!(40), &json!({})));
    for (key, value, says) in [
        ("api", "completions", "\"chat\" or \"responses\""),
        ("token_limit", "tokens", "\"max_tokens\" or \"max_completion_tokens\""),
        ("schemas", "strict", "\"plain\" or \"whole\""),
    ] {
        configure(json!({ key: value }));
        testing::serve(|_| panic!("nothing is sent"));
        let failure = complete(request(vec![user("Hello")])).0.unwrap_err();
        assert_eq!(failure.fault.code, FaultCode::BadConfig);
        let message = failure.fault.message;
        assert!(message.contains(says) && message.contains(&format!("openai.{key}")), "{message}");
    }
}

#[test]
fn the_model_that_a_session_names_counts_for_more_than_a_setting() {
    configure(json!({"model": "llama3.2"}));
    let mut wanted = request(vec![user("Hello")]);
    wanted.options = json!({"model": "gpt-5.4"}).to_string();
    assert_eq!(body(&sent(wanted))["model"], "gpt-5.4");
    assert_eq!(body(&sent(request(vec![user("Hello")])))["model"], "llama3.2");
}
