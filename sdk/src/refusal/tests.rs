use super::*;
use crate::provider::UserMessage;
use crate::testing;
use serde_json::json;

fn read(status: u16, body: impl Into<Vec<u8>>) -> Refusal {
    Refusal::read(Response::new(status, body))
}

#[test]
fn words_are_found_in_every_shape() {
    let packed = json!({"error": {"message": "no such tool", "code": "bad_tool"}}).to_string();
    for (body, message) in [
        (json!({"error": {"message": "no", "type": "t", "code": null}}), "no"),
        (json!({"type": "error", "error": {"type": "t", "message": "no"}}), "no"),
        (json!({"error": "no"}), "no"),
        (json!({"message": "no"}), "no"),
        (json!({"object": "error", "message": "no", "code": 400}), "no"),
        (json!([{"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}]), "no"),
        (json!({"detail": "no"}), "no"),
        (
            json!({"detail": [{"loc": ["body", "messages", 0, "content"], "msg": "field required", "type": "missing"}]}),
            "body.messages.0.content: field required",
        ),
        (json!({"errors": [{"message": "one"}, {"message": "two"}, {}, {"message": "four"}]}), "one; two"),
        (json!({"base_resp": {"status_code": 1008, "status_msg": "no credit"}}), "no credit"),
        (json!({"error": packed}), "no such tool"),
        (
            json!({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": packed}}}),
            "Provider returned error: no such tool",
        ),
        (json!({"unheard": "of"}), "status 400: {\"unheard\":\"of\"}"),
        (json!("no"), "no"),
    ] {
        assert_eq!(read(400, body.to_string()).message(), message, "{body}");
    }
    let mut deep = json!("too deep");
    for _ in 0..50 {
        deep = json!({ "error": deep });
    }
    assert!(read(400, deep.to_string()).message().starts_with("status 400: {\"error\""));
}

#[test]
fn codes_are_found_with_them() {
    let refusal =
        read(429, json!({"error": {"message": "no", "type": "a", "code": 7, "param": "tools"}}).to_string());
    assert!(refusal.is("a") && refusal.is("7") && !refusal.is("no"), "{refusal:?}");
    assert_eq!(refusal.param.as_deref(), Some("tools"));
}

#[test]
fn what_is_no_json_is_quoted() {
    let page = "<html><head><title>413 Request Entity Too Large</title></head><body>nginx</body></html>";
    assert_eq!(read(413, page).message(), "status 413: 413 Request Entity Too Large");
    assert_eq!(read(502, "\nupstream connect error\nmore").message(), "status 502: upstream connect error");
    assert_eq!(read(503, "").message(), "status 503");
    assert!(!read(502, "<html>").is_api);
    let moved = Response {
        headers: vec![("Location".to_owned(), "https://api.example.org/v2/".to_owned())],
        ..Response::new(307, "")
    };
    assert_eq!(Refusal::read(moved).location.as_deref(), Some("https://api.example.org/v2/"));
    assert!(read(400, "x".repeat(100_000)).message().len() < 500);
}

#[test]
fn too_long_a_conversation_is_known_in_every_servers_words() {
    for (status, words, window) in [
        (400, "prompt is too long: 214676 tokens > 200000 maximum", Some(200_000)),
        (400, "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000", Some(200_000)),
        (
            400,
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, 1000 in the completion).",
            Some(4096),
        ),
        (400, "Your input exceeds the context window of this model.", None),
        (400, "the request exceeds the available context size (8,192 tokens), try increasing it", Some(8192)),
        (500, "request (9000 tokens) exceeds the available context size (8192 tokens)", Some(8192)),
        (
            400,
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            Some(1_048_576),
        ),
        (
            413,
            "Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 7000",
            Some(6000),
        ),
        (
            429,
            "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000.",
            Some(30_000),
        ),
        (
            400,
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            Some(131_072),
        ),
        (422, "Please reduce the length of the messages or completion", None),
        (
            400,
            "The number of tokens to keep from the initial prompt is greater than the context length",
            None,
        ),
        (400, "Invalid request: Your request exceeded model token limit: 8192", Some(8192)),
        (400, "inputs tokens + max_new_tokens must be <= 4096: input is too long", Some(4096)),
        (413, "", None),
    ] {
        is_known(status, words, window);
    }
}

#[test]
fn too_long_a_conversation_is_known_in_further_servers_words() {
    for (status, words, window) in [
        (
            400,
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
            Some(32_768),
        ),
        (
            422,
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 100 \
             `max_new_tokens`",
            Some(4096),
        ),
        (422, "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000", Some(1024)),
        (
            400,
            "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000. Try a shorter prompt",
            Some(4081),
        ),
        (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens).", Some(4096)),
        (
            400,
            "Please reduce the length of the messages. Current length is 9000 while limit is 8192",
            Some(8192),
        ),
        (400, "The prompt is too long: 138210, model maximum context length: 131071", Some(131_071)),
        (413, "Request body too large for gpt-4o model. Max size: 8000 tokens.", Some(8000)),
        (400, "The input token count exceeds the maximum number of tokens allowed 1048576.", Some(1_048_576)),
        (400, "Too many input tokens. Max input tokens: 8192, request input token count: 10000", Some(8192)),
        (
            400,
            "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context \
             length of only 4096 tokens",
            Some(4096),
        ),
        (400, "the input length exceeds the context length", None),
        (400, "Range of input length should be [1, 30720]", Some(30_720)),
        (400, "Prompt exceeds max length", None),
        (
            400,
            "litellm.ContextWindowExceededError: ContextWindowExceededError: OpenAIException - refused",
            None,
        ),
        (
            400,
            "Invalid 'messages[1].content': string too long. Expected a string with maximum length 1048576, but got one with \
             length 2000000 instead.",
            None,
        ),
    ] {
        is_known(status, words, window);
    }
}

/// Whether these words are known for what they are, and the window that they name is told.
fn is_known(status: u16, words: &str, window: Option<u64>) {
    let refusal = read(status, json!({"error": {"message": words}}).to_string());
    assert!(refusal.is_too_long(), "{words}");
    let said = refusal.too_long(&request(Vec::new()), "openai").fault.message;
    let shows = window.map(|window| format!("window, which is {window},"));
    assert!(shows.is_none_or(|shows| said.contains(&shows)), "{said}");
    assert!(said.contains("agent.history_messages") && said.contains(words), "{said}");
}

#[test]
fn what_was_asked_for_is_known_and_other_limits_are_no_length() {
    for (words, requested) in [
        ("prompt is too long: 214676 tokens > 200000 maximum", Some(214_676)),
        ("maximum context length is 4096 tokens. However, you requested 5000 tokens", Some(5000)),
        ("request (9,000 tokens) exceeds the available context size (8192 tokens)", Some(9000)),
        (
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            Some(1_200_000),
        ),
        ("Request too large for model `x`: Limit 6000, Requested 7000", Some(7000)),
        ("maximum prompt length is 131072 but the request contains 537812 tokens.", Some(537_812)),
        ("Please reduce the length of the messages", None),
        ("Please reduce the length of the messages. Current length is 9000 while limit is 8192", Some(9000)),
        ("maximum context length is 4096 tokens. However, your request has 5000 input tokens.", Some(5000)),
        ("The input (5000 tokens) is longer than the model's context length (4096 tokens).", Some(5000)),
        ("too many tokens: the prompt cannot exceed 4081 - received 5000", Some(5000)),
        ("`inputs` must have less than 1024 tokens. Given: 2000", Some(2000)),
    ] {
        assert_eq!(read(400, json!({"error": words}).to_string()).length().requested, requested, "{words}");
    }
    for (status, words) in [
        (429, "Rate limit reached: too many tokens, limit 30000 of the token limit exceeded"),
        (401, "the token limit of your key is exceeded"),
        (400, "temperature must not be larger than 2"),
        (
            400,
            "Invalid 'tools[0].function.description': string too long. Expected a string with maximum length 1024",
        ),
        (500, "out of memory"),
    ] {
        assert!(!read(status, json!({"error": words}).to_string()).is_too_long(), "{words}");
    }
}

fn request(attachments: Vec<crate::types::Attachment>) -> Request {
    let message = Message::User(UserMessage { text: "Hello".to_owned(), attachments });
    let (model, system, options) = (String::new(), String::new(), "{}".to_owned());
    Request { model, system, messages: vec![message], tools: Vec::new(), options }
}

#[test]
fn a_file_that_is_too_long_is_refused_and_a_long_talk_is_a_limit() {
    let refusal = read(413, "");
    assert_eq!(refusal.too_long(&request(Vec::new()), "x").fault.code, FaultCode::Quota);
    let file = testing::give("application/pdf", *b"%PDF");
    assert_eq!(refusal.too_long(&request(vec![file]), "x").fault.code, FaultCode::BadInput);
}
