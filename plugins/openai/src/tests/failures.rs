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
        (400, error("unsupported_value", "no temperature"), FaultCode::BadInput, false, "no temperature"),
        (400, error("context_length_exceeded", "long"), FaultCode::BadInput, false, "history_messages"),
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
        (422, detail("bad field"), FaultCode::BadInput, false, "bad field"),
        (429, error("rate_limit_exceeded", "slow down"), FaultCode::Quota, true, "slow down"),
        (429, error("insufficient_quota", "pay"), FaultCode::Quota, false, "no credit"),
        (500, json!({"message": "oops"}).to_string(), FaultCode::Unavailable, true, "oops"),
        (503, "<html>".to_owned(), FaultCode::Unavailable, true, "status 503"),
        (529, "\"busy\"".to_owned(), FaultCode::Unavailable, true, "busy"),
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
    for body in [&b"{\"choices\": 7}"[..], b"\xff\xfe", b"{"] {
        let nonsense = refused(200, &[("content-type", "application/json")], body);
        assert!(nonsense.fault.message.contains("makes no sense"), "{nonsense:?}");
    }
    configure(json!({}));
    let nameless = Request { model: String::new(), ..request(vec![user("Hello")]) };
    assert!(complete(nameless).0.unwrap_err().fault.message.contains("provider.model"));
}
