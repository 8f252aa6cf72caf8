use super::*;

/// What becomes of a greeting that is answered so.
fn refused(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> ProviderError {
    configure(json!({}));
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let body = body.into();
    testing::serve(move |_| Ok(Response { headers: headers.clone(), ..Response::new(status, body.clone()) }));
    complete(request(vec![user("Hello")])).0.unwrap_err()
}

fn error(code: &str, message: &str) -> String {
    json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}})
        .to_string()
}

#[test]
fn each_refusal_says_what_to_do() {
    let detail = |text: &str| json!({"detail": text}).to_string();
    for (status, body, code, retryable, says) in [
        (
            400,
            error("bad_value", "no 'temperature' of 3"),
            FaultCode::Unavailable,
            false,
            "openai.temperature",
        ),
        (400, error("context_length_exceeded", "long"), FaultCode::Quota, false, "history_messages"),
        (413, "<title>Too Large</title>".to_owned(), FaultCode::Quota, false, "status 413: Too Large"),
        (401, error("invalid_api_key", "wrong: sk-ab**yz"), FaultCode::Denied, false, "openai.api_key"),
        (403, error("", "not yours"), FaultCode::Denied, false, "not yours"),
        (404, error("model_not_found", "no such"), FaultCode::BadConfig, false, "`gpt-5.4`"),
        (
            404,
            json!({"error": "model 'x' not found"}).to_string(),
            FaultCode::BadConfig,
            false,
            "provider.model",
        ),
        (404, "404 page not found".to_owned(), FaultCode::BadConfig, false, "base_url"),
        (301, String::new(), FaultCode::BadConfig, false, "base_url"),
        (422, detail("bad field"), FaultCode::Unavailable, false, "bad field"),
        (
            429,
            error("rate_limit_exceeded", "Request too large for x: Limit 3, Requested 4"),
            FaultCode::Quota,
            false,
            "/new",
        ),
        (429, error("rate_limit_exceeded", "slow down"), FaultCode::Quota, true, "slow down"),
        (429, error("insufficient_quota", "pay"), FaultCode::Quota, false, "no credit"),
        (500, json!({"message": "oops"}).to_string(), FaultCode::Unavailable, true, "oops"),
        (503, "<html>".to_owned(), FaultCode::Unavailable, true, "status 503"),
        (529, "\"busy\"".to_owned(), FaultCode::Unavailable, true, "busy"),
        (
            501,
            json!({"message": "no tools here"}).to_string(),
            FaultCode::Unavailable,
            false,
            "no tools here",
        ),
    ] {
        let failure = refused(status, &[], body);
        assert_eq!((failure.fault.code, failure.retryable), (code, retryable), "{status}: {failure:?}");
        assert!(failure.fault.message.contains(says), "{status}: {failure:?}");
        assert!(!failure.fault.message.contains("sk-"), "no part of a key: {failure:?}");
    }
}

#[test]
fn a_model_that_takes_no_pictures_is_named_with_the_setting() {
    for (status, words) in [
        (400, "Invalid content type. image_url is only supported by certain models."),
        (500, "image input is not supported - hint: you may need to provide the mmproj"),
        (400, "llama is not a multimodal model"),
    ] {
        let body = error("invalid_request_error", words);
        let without = refused(status, &[], body.clone()).fault.message;
        assert!(!without.contains("openai.files"), "nothing was shown to it: {without}");
        configure(json!({}));
        testing::serve(move |_| Ok(Response::new(status, body.clone())));
        let attachments = vec![testing::give("image/png", *b"\x89PNG")];
        let message = Message::User(UserMessage { text: "What is this?".to_owned(), attachments });
        let failure = complete(request(vec![message])).0.unwrap_err();
        assert!(failure.fault.message.contains("providers_config.openai.files = false"), "{failure:?}");
        assert!(!failure.retryable);
    }
}

#[test]
fn the_wait_that_is_asked_for_is_passed_on() {
    let limit = error("rate_limit_exceeded", "slow down");
    assert_eq!(refused(429, &[("retry-after", "7")], limit.clone()).retry_after_ms, Some(7_000));
    assert_eq!(
        refused(429, &[("retry-after-ms", "20"), ("retry-after", "1")], limit).retry_after_ms,
        Some(20)
    );
}

#[test]
fn a_server_that_cannot_be_asked_is_named() {
    for (kind, code, retryable) in [
        (ErrorKind::Unreachable, FaultCode::Unavailable, true),
        (ErrorKind::Timeout, FaultCode::Timeout, true),
        (ErrorKind::Denied, FaultCode::Denied, false),
    ] {
        configure(json!({}));
        testing::serve(move |_| Err(Error::new(kind, "it did not work")));
        let failure = complete(request(vec![user("Hello")])).0.unwrap_err();
        assert_eq!((failure.fault.code, failure.retryable), (code, retryable), "{failure:?}");
        let message = &failure.fault.message;
        assert!(message.contains("http://127.0.0.1:9/v1") && message.contains("providers_config.openai."));
    }
}

#[test]
fn what_is_no_answer_is_an_error() {
    let page = refused(200, &[("content-type", "text/html")], "<html>Welcome</html>");
    assert!(page.fault.message.contains("base_url") && !page.retryable, "{page:?}");
    let packed = refused(200, &[("content-encoding", "gzip")], b"\x1f\x8b\x08".as_slice());
    assert!(packed.fault.message.contains("(gzip)") && !packed.retryable, "{packed:?}");
    for body in ["{\"choices\":7}", "{\"status\":\"ok\"}", "[]", "{\"choices\":[]}"] {
        let nonsense = refused(200, &[("content-type", "application/json")], body);
        assert!(nonsense.fault.message.contains("no answer in it"), "{body}: {nonsense:?}");
        assert!(nonsense.fault.message.contains(body) && !nonsense.retryable, "{nonsense:?}");
    }
    let nonsense = refused(200, &[], "{'choices': []}");
    assert!(nonsense.fault.message.contains("{'choices': []}") && !nonsense.retryable, "{nonsense:?}");
    let cut = refused(200, &[], "{\"choices\": [");
    assert!(cut.fault.message.contains("cut off: {\"choices\": [") && cut.retryable, "{cut:?}");
    configure(json!({}));
    let nameless = Request { model: String::new(), ..request(vec![user("Hello")]) };
    assert!(complete(nameless).0.unwrap_err().fault.message.contains("provider.model"));
}

#[test]
fn where_a_server_has_moved_to_is_told() {
    for status in [301, 307, 308] {
        let moved = refused(status, &[("location", "https://api.example.org/v1/chat/completions")], "");
        assert!(moved.fault.message.contains("https://api.example.org/v1/chat"), "{moved:?}");
        assert!(moved.fault.message.contains("providers_config.openai.base_url"), "{moved:?}");
    }
}

#[test]
fn an_error_that_passes_as_an_answer_is_one() {
    for body in [
        json!({"object": "error", "message": "Sorry", "code": 40303}),
        json!({"error": {"message": "Sorry", "code": 502}, "choices": []}),
        json!([{"error": {"code": 503, "message": "Sorry", "status": "UNAVAILABLE"}}]),
        json!({"detail": "Sorry"}),
        json!({"code": 1000, "msg": "Sorry", "success": false}),
        json!({"base_resp": {"status_code": 1000, "status_msg": "Sorry"}, "choices": null}),
        json!({"choices": [{"finish_reason": "error", "error": {"message": "Sorry", "code": 502}}]}),
    ] {
        let failure = refused(200, &[("content-type", "application/json")], body.to_string());
        assert!(failure.retryable && failure.fault.message.contains("Sorry"), "{body}: {failure:?}");
        let stream = format!("data: {body}\n\ndata: [DONE]\n\n");
        let failure = refused(200, &[("content-type", "text/event-stream")], stream);
        let is_list = body.is_array();
        assert!(
            failure.retryable && (is_list || failure.fault.message.contains("Sorry")),
            "{body}: {failure:?}"
        );
    }
    for stream in [
        "data: [DONE]\n\n",
        "",
        "data: {\"usage\": {\"prompt_tokens\": 1}}\n\ndata: [DONE]\n\n",
        "data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}, \"finish_reason\": \"\"}]}\n\n",
        "data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}, \"finish_reason\": \"null\"}]}\n\n",
        "data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}, \"finish_reason\": \"error\"}]}\n\ndata: [DONE]\n\n",
        "event: error\ndata: it broke\n\n",
        "event: error\ndata: {\"message\": \"it broke\"}\n\n",
        "data: upstream connect error\n\n",
        "data: {\"type\": \"ping\"}\n\n",
        "data: {\"error\": {\"code\": 502}}\n\n",
        "data: {\"error\": true}\n\n",
    ] {
        let failure = refused(200, &[("content-type", "text/event-stream")], stream);
        assert!(failure.retryable && failure.fault.code == FaultCode::Unavailable, "{stream}: {failure:?}");
        assert!(!failure.fault.message.ends_with(": "), "it has words: {failure:?}");
    }
}
