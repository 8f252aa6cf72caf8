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
        (400, error("invalid_request_error", "messages: too few"), FaultCode::Unavailable, false, "too few"),
        (
            400,
            error("invalid_request_error", "prompt is too long: 214676 tokens > 200000 maximum"),
            FaultCode::Quota,
            false,
            "200000",
        ),
        (
            422,
            "{\"detail\": [{\"loc\": [\"body\"], \"msg\": \"bad\"}]}".to_owned(),
            FaultCode::Unavailable,
            false,
            "body: bad",
        ),
        (404, "{\"detail\": \"Not Found\"}".to_owned(), FaultCode::BadConfig, false, "base_url"),
        (
            401,
            error("authentication_error", "invalid x-api-key"),
            FaultCode::Denied,
            false,
            "anthropic.api_key",
        ),
        (501, "{\"detail\": \"no tools here\"}".to_owned(), FaultCode::Unavailable, false, "no tools here"),
        (402, error("billing_error", "no credit"), FaultCode::Quota, false, "no credit"),
        (403, error("permission_error", "not yours"), FaultCode::Denied, false, "not yours"),
        (404, error("not_found_error", "model: x"), FaultCode::BadConfig, false, "`claude-opus-5-5`"),
        (404, "<html>".to_owned(), FaultCode::BadConfig, false, "base_url"),
        (307, String::new(), FaultCode::BadConfig, false, "base_url"),
        (413, error("request_too_large", "big"), FaultCode::Quota, false, "history_messages"),
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
    let date = ("date", "Wed, 21 Oct 2026 07:27:48 GMT");
    for (until, wait) in [
        ("Wed, 21 Oct 2026 07:28:00 GMT", Some(12_000)),
        ("Wed, 21 Oct 2026 07:00:00 GMT", Some(0)),
        ("tomorrow", None),
    ] {
        let told = refused(429, &[date, ("retry-after", until)], limit.clone()).retry_after_ms;
        assert_eq!(told, wait, "{until}");
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
fn where_a_server_has_moved_to_is_told() {
    let moved = refused(308, &[("location", "https://api.example.org/v1/messages")], "");
    assert!(moved.fault.message.contains("https://api.example.org/v1/messages"), "{moved:?}");
}

#[test]
fn what_is_no_answer_is_an_error() {
    let page = refused(200, &[("content-type", "text/html")], "<html>Welcome</html>");
    assert!(page.fault.message.contains("base_url") && !page.retryable, "{page:?}");
    let packed = refused(200, &[("content-encoding", "gzip")], b"\x1f\x8b\x08".as_slice());
    assert!(packed.fault.message.contains("(gzip)") && !packed.retryable, "{packed:?}");
    let other = refused(200, &[], "{\"status\": \"ok\"}");
    assert!(other.fault.message.contains("no answer in it") && !other.retryable, "{other:?}");
    assert!(refused(200, &[], "").retryable, "an accident");
}

#[test]
fn an_error_that_passes_as_an_answer_is_one() {
    let end = "data: {\"type\":\"message_stop\"}\n\n";
    for (body, says) in [
        ("{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"Sorry\"}}".to_owned(), "Sorry"),
        ("{\"error\":\"Sorry\"}".to_owned(), "Sorry"),
        ("{\"object\":\"error\",\"message\":\"Sorry\"}".to_owned(), "Sorry"),
        ("data: {\"type\":\"error\",\"error\":\"Sorry\"}\n\n".to_owned(), "Sorry"),
        ("event: error\ndata: Sorry\n\n".to_owned(), "Sorry"),
        ("event: error\ndata: {\"message\":\"Sorry\"}\n\n".to_owned(), "Sorry"),
        (format!("data: {{\"message\":\"Sorry\"}}\n\n{end}"), "Sorry"),
        (format!("data: upstream connect error\n\n{end}"), "upstream connect error"),
        (end.to_owned(), "before its end"),
        ("data: [DONE]\n\n".to_owned(), "before its end"),
        (
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"error\"}}\n\n".to_owned(),
            "`error`",
        ),
    ] {
        let failure = refused(200, &[("content-type", "text/event-stream")], body.clone());
        assert!(failure.retryable && failure.fault.message.contains(says), "{body}: {failure:?}");
    }
}

#[test]
fn a_request_is_put_as_the_model_takes_it() {
    for (field, says) in [
        ("temperature", "`temperature` is deprecated for this model."),
        ("output_config", "output_config: Extra inputs are not permitted"),
        (
            "max_tokens",
            "max_tokens: 16000 > 8192, which is the maximum allowed number of output tokens for it",
        ),
    ] {
        configure(json!({"temperature": 0.5, "effort": "low", "model": field}));
        let bodies = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&bodies);
        testing::serve(move |request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let refuses = body[field] == 16_000 || (field != "max_tokens" && body.get(field).is_some());
            keep.borrow_mut().push(body);
            if refuses {
                return Ok(Response::new(400, error("invalid_request_error", says)));
            }
            let answer = json!({"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"});
            Ok(Response::new(200, answer.to_string()))
        });
        for _ in 0..2 {
            assert_eq!(complete(request(vec![user("Hello")])).0.unwrap().text, "Hi", "{field}");
        }
        let bodies = bodies.take();
        assert_eq!(bodies.len(), 3, "{field}: it is known from then on");
        assert_eq!(bodies[1]["max_tokens"], if field == "max_tokens" { 8192 } else { 16_000 });
    }
}
