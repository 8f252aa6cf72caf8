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

fn error(kind: &str, message: &str) -> String {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011"}).to_string()
}

#[test]
fn each_refusal_says_what_to_do() {
    for (status, body, code, retryable, says) in [
        (400, error("invalid_request_error", "messages: too few"), FaultCode::BadInput, false, "too few"),
        (
            401,
            error("authentication_error", "invalid x-api-key"),
            FaultCode::Denied,
            false,
            "anthropic.api_key",
        ),
        (402, error("billing_error", "no credit"), FaultCode::Quota, false, "no credit"),
        (403, error("permission_error", "not yours"), FaultCode::Denied, false, "not yours"),
        (404, error("not_found_error", "model: x"), FaultCode::BadConfig, false, "`claude-opus-5-5`"),
        (404, "<html>".to_owned(), FaultCode::BadConfig, false, "base_url"),
        (307, String::new(), FaultCode::BadConfig, false, "base_url"),
        (413, error("request_too_large", "big"), FaultCode::BadInput, false, "history_messages"),
        (429, error("rate_limit_error", "slow down"), FaultCode::Quota, true, "slow down"),
        (429, String::new(), FaultCode::Quota, true, "status 429"),
        (500, error("api_error", "oops"), FaultCode::Unavailable, true, "oops"),
        (502, "<html>".to_owned(), FaultCode::Unavailable, true, "status 502"),
        (504, error("timeout_error", "slow"), FaultCode::Unavailable, true, "slow"),
        (529, error("overloaded_error", "Overloaded"), FaultCode::Unavailable, true, "overloaded"),
    ] {
        let failure = refused(status, &[], body);
        assert_eq!((failure.fault.code, failure.retryable), (code, retryable), "{status}: {failure:?}");
        assert!(failure.fault.message.contains(says), "{status}: {failure:?}");
    }
}

#[test]
fn the_wait_that_is_asked_for_is_passed_on() {
    let limit = error("rate_limit_error", "slow down");
    for (header, wait) in [
        (("retry-after", "7"), Some(7_000)),
        (("Retry-After", "0.25"), Some(250)),
        (("retry-after-ms", "1500"), Some(1_500)),
        (("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), None),
        (("retry-after", "-1"), None),
        (("retry-after", "1e300"), None),
    ] {
        assert_eq!(refused(429, &[header], limit.clone()).retry_after_ms, wait, "{header:?}");
    }
    assert_eq!(
        refused(529, &[("retry-after", "3")], error("overloaded_error", "")).retry_after_ms,
        Some(3_000)
    );
}

#[test]
fn a_spent_account_is_not_asked_again() {
    let body = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "spent",
        "details": {"error_code": "enforced_spend_limit_reached"}}});
    let failure = refused(429, &[], body.to_string());
    assert!(!failure.retryable && failure.fault.message.contains("spend limit"), "{failure:?}");
    let empty = "Your credit balance is too low to access the Anthropic API.";
    let failure = refused(400, &[], error("invalid_request_error", empty));
    assert!(!failure.retryable && failure.fault.code == FaultCode::Quota, "others may be asked: {failure:?}");
}

#[test]
fn long_words_are_cut() {
    let failure = refused(400, &[], error("invalid_request_error", &"ü".repeat(10_000)));
    assert!(failure.fault.message.len() < 500, "{failure:?}");
}

#[test]
fn without_a_key_or_a_model_nothing_is_sent() {
    configure(json!({}));
    testing::set_secrets(&[]);
    testing::serve(|_| panic!("nothing is sent"));
    let failure = complete(request(vec![user("Hello")])).0.unwrap_err();
    assert_eq!((failure.fault.code, failure.retryable), (FaultCode::BadConfig, false));
    assert!(failure.fault.message.contains("providers_config.anthropic.api_key"), "{failure:?}");
    configure(json!({}));
    let nameless = Request { model: String::new(), ..request(vec![user("Hello")]) };
    assert!(complete(nameless).0.unwrap_err().fault.message.contains("provider.model"));
}

#[test]
fn a_server_that_cannot_be_asked_is_named() {
    for (kind, code, retryable) in [
        (ErrorKind::Unreachable, FaultCode::Unavailable, true),
        (ErrorKind::Timeout, FaultCode::Timeout, true),
        (ErrorKind::Denied, FaultCode::Denied, false),
        (ErrorKind::Invalid, FaultCode::BadConfig, false),
    ] {
        configure(json!({}));
        testing::serve(move |_| Err(Error::new(kind, "it did not work")));
        let failure = complete(request(vec![user("Hello")])).0.unwrap_err();
        assert_eq!((failure.fault.code, failure.retryable), (code, retryable), "{failure:?}");
        let message = &failure.fault.message;
        assert!(
            message.contains("http://127.0.0.1:9") && message.contains("providers_config.anthropic."),
            "{message}"
        );
    }
}

#[test]
fn a_page_is_no_answer() {
    let failure = refused(200, &[("content-type", "text/html")], "<html>Welcome</html>");
    assert!(failure.fault.message.contains("base_url") && !failure.retryable, "{failure:?}");
}
