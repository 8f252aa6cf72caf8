//! The parts of the REST API that this connector reads.

use std::time::Duration;

use prx_sdk::connector::HttpResponse;
use prx_sdk::cooldown;
use serde::Deserialize;
use serde_json::Value;

/// Why a call gave no result, by what has to be done about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Failure {
    /// The token isn't valid: nothing will work.
    Token(String),
    /// Too many requests: of this kind, or in all.
    RateLimited { after: Duration, global: bool },
    /// Too many requests from this address, says what stands in front of the platform, or says not for how long.
    ShutOut(Option<Duration>),
    /// The platform will not do this, however often it is asked. The number is the API's own.
    Refused { code: u64, reason: String },
    /// It does not take the message that this one answers.
    Reference(String),
    /// The platform has a problem of its own; it did not do what was asked.
    Server(String),
    /// It may or may not have happened.
    Unknown(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Token(reason)
            | Failure::Server(reason)
            | Failure::Unknown(reason)
            | Failure::Reference(reason)
            | Failure::Refused { reason, .. } => f.write_str(reason),
            Failure::RateLimited { .. } => f.write_str("the platform asks to slow down"),
            Failure::ShutOut(_) => f.write_str(SHUT_OUT),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    message: String,
    code: u64,
    retry_after: Option<f64>,
    global: bool,
    /// Which part of what was sent is wrong, and how.
    errors: Value,
}

/// What is said while nothing is sent.
pub(crate) const SHUT_OUT: &str =
    "the platform, or what stands in front of it, shuts this address out (429 or 403)";

/// The number of a refusal for the size of what was sent.
pub(crate) const TOO_LARGE: u64 = 40_005;

/// The number of a refusal to answer a message where the bot may not read what was written before.
const NO_HISTORY: u64 = 160_002;
/// What is named in a refusal's `errors` when it is about the message that is answered.
const REFERENCE: &str = "message_reference";
/// Most of a refusal's `errors` that are told.
const MAX_DETAILS: usize = 5;
/// Most bytes of each.
const MAX_DETAIL_BYTES: usize = 200;
/// How deep they are looked for.
const MAX_DEPTH: usize = 8;

/// The longest `retry_after` that is believed, in seconds.
const MAX_RETRY_AFTER_SECS: f64 = 3_600.0;

impl Problem {
    /// Whether the message that is answered is all that is wrong.
    fn is_about_reference(&self) -> bool {
        let only = |parts: &serde_json::Map<String, Value>| parts.keys().all(|part| part == REFERENCE);
        let parts = self.errors.as_object().filter(|parts| !parts.is_empty());
        self.code == NO_HISTORY || parts.is_some_and(only)
    }

    /// The parts that are wrong: `: content: Must be 2000 or fewer in length.`
    fn details(&self) -> String {
        let mut found = Vec::new();
        collect(&self.errors, &mut Vec::new(), &mut found);
        if found.is_empty() { String::new() } else { format!(": {}", found.join("; ")) }
    }
}

fn collect<'a>(errors: &'a Value, path: &mut Vec<&'a str>, found: &mut Vec<String>) {
    for (part, errors) in errors.as_object().into_iter().flatten() {
        if found.len() >= MAX_DETAILS || path.len() >= MAX_DEPTH {
            return;
        }
        if part != "_errors" {
            path.push(part);
            collect(errors, path, found);
            path.pop();
            continue;
        }
        for error in errors.as_array().into_iter().flatten().take(MAX_DETAILS - found.len()) {
            let why = error["message"].as_str().or(error["code"].as_str()).unwrap_or_default();
            let place = path.join(".");
            let colon = if place.is_empty() { "" } else { ": " };
            found.push(format!("{place}{colon}{}", &why[..why.floor_char_boundary(MAX_DETAIL_BYTES)]));
        }
    }
}

/// Whether a call went well, or why not. Any bytes are fine: something in between may have answered.
pub(crate) fn classify(response: &HttpResponse) -> Result<(), Failure> {
    if response.is_success() {
        return Ok(());
    }
    let status = response.status;
    let problem = response.json::<Problem>().unwrap_or_default();
    let is_the_apis = !problem.message.is_empty();
    let reason = if is_the_apis {
        format!("{} (HTTP {status}){}", problem.message, problem.details())
    } else {
        format!("HTTP {status} with a body that is none of the API's")
    };
    Err(match status {
        // Something in between may have found it too large, and knows no numbers.
        413 => Failure::Refused { code: TOO_LARGE, reason },
        429 => rate_limited(response, &problem, is_the_apis),
        403 if !is_the_apis && cooldown::is_ban(&response.body) => Failure::ShutOut(None),
        401 if is_the_apis => Failure::Token(reason),
        // What stands in front of the platform has no say about the token, nor about what was asked.
        400..=499 if is_the_apis && problem.is_about_reference() => Failure::Reference(reason),
        400..=499 if is_the_apis => Failure::Refused { code: problem.code, reason },
        504 | 524 => Failure::Unknown(reason),
        _ => Failure::Server(reason),
    })
}

fn rate_limited(response: &HttpResponse, problem: &Problem, is_the_apis: bool) -> Failure {
    let header = response.header("retry-after").and_then(|seconds| seconds.trim().parse::<f64>().ok());
    let seconds = problem.retry_after.or(header).filter(|seconds| *seconds > 0.0);
    let after = seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.05, MAX_RETRY_AFTER_SECS)));
    let scope = response.header("x-ratelimit-scope");
    match after {
        Some(after) if is_the_apis => {
            Failure::RateLimited { after, global: problem.global || scope == Some("global") }
        }
        after => Failure::ShutOut(after),
    }
}

/// Where the gateway is, and how many sessions may still be begun.
#[derive(Debug, Deserialize)]
pub(crate) struct GatewayBot {
    pub url: String,
    #[serde(default)]
    pub session_start_limit: StartLimit,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct StartLimit {
    pub remaining: u32,
    /// In milliseconds.
    pub reset_after: u32,
    /// How many connections may begin a session in the same five seconds; this connector has one.
    pub max_concurrency: u32,
}

impl Default for StartLimit {
    fn default() -> StartLimit {
        StartLimit { remaining: 1000, reset_after: 86_400_000, max_concurrency: 1 }
    }
}

/// What was made by sending a message.
#[derive(Deserialize)]
pub(crate) struct Sent {
    pub id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: &str) -> HttpResponse {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        HttpResponse { status, headers, body: body.into(), blob: None, elapsed_ms: 1 }
    }

    fn failure(status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
        classify(&response(status, headers, body)).expect_err("no result")
    }

    #[test]
    fn errors_are_told_apart_by_what_to_do() {
        assert_eq!(classify(&response(204, &[], "")), Ok(()));
        let body = r#"{"message": "why", "code": 50001}"#;
        assert_eq!(failure(401, &[], body), Failure::Token("why (HTTP 401)".into()));
        assert_eq!(
            failure(403, &[], body),
            Failure::Refused { code: 50001, reason: "why (HTTP 403)".into() }
        );
        assert_eq!(failure(503, &[], body), Failure::Server("why (HTTP 503)".into()));
        assert_eq!(failure(504, &[], body), Failure::Unknown("why (HTTP 504)".into()));
        for status in [400, 401, 403, 404, 407] {
            assert!(matches!(failure(status, &[], "<html>"), Failure::Server(_)), "{status}");
            assert!(matches!(failure(status, &[], r#"{"error": "x"}"#), Failure::Server(_)), "{status}");
        }
        assert!(matches!(failure(413, &[], "<html>"), Failure::Refused { code: TOO_LARGE, .. }));
        assert!(matches!(failure(302, &[], ""), Failure::Server(_)));
    }

    #[test]
    fn a_refusal_names_what_is_wrong_in_what_was_sent() {
        let body = r#"{"message": "Invalid Form Body", "code": 50035, "errors": {
            "components": {"0": {"label": {"_errors": [{"code": "X", "message": "Must be 80 or fewer in length."}]}}},
            "content": {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH"}]}}}"#;
        let reason = "Invalid Form Body (HTTP 400): components.0.label: Must be 80 or fewer in length.; \
                      content: BASE_TYPE_MAX_LENGTH";
        assert_eq!(failure(400, &[], body), Failure::Refused { code: 50_035, reason: reason.into() });
        let deep = r#"{"a":"#.repeat(100) + "1" + &"}".repeat(100);
        let body = format!(r#"{{"message": "Invalid Form Body", "code": 50035, "errors": {deep}}}"#);
        let reason = "Invalid Form Body (HTTP 400)".to_owned();
        assert_eq!(failure(400, &[], &body), Failure::Refused { code: 50_035, reason });
    }

    #[test]
    fn a_refusal_of_the_message_that_is_answered_is_told_apart() {
        let wrong = |parts: &str| {
            let why = r#"{"_errors": [{"code": "X", "message": "Unknown message"}]}"#;
            let errors = parts.replace('$', why);
            failure(
                400,
                &[],
                &format!(r#"{{"message": "Invalid Form Body", "code": 50035, "errors": {errors}}}"#),
            )
        };
        assert!(matches!(wrong(r#"{"message_reference": $}"#), Failure::Reference(_)));
        assert!(matches!(wrong(r#"{"message_reference": {"message_id": $}}"#), Failure::Reference(_)));
        assert!(matches!(wrong(r#"{"message_reference": $, "content": $}"#), Failure::Refused { .. }));
        let body =
            r#"{"message": "Cannot reply without permission to read message history", "code": 160002}"#;
        assert!(matches!(failure(403, &[], body), Failure::Reference(_)));
    }

    #[test]
    fn how_long_to_wait_is_said_in_the_body_or_beside_it() {
        let limited = |headers: &[(&str, &str)], body: &str| failure(429, headers, body);
        let millis = Duration::from_millis;
        assert!(matches!(
            failure(403, &[], "<h1>Access denied</h1> Error code: 1020"),
            Failure::ShutOut(None)
        ));
        assert!(matches!(failure(403, &[], "<h1>403 Forbidden</h1> nginx"), Failure::Server(_)));
        let of_route = r#"{"message": "slow", "retry_after": 1.336, "global": false}"#;
        assert_eq!(
            limited(&[("retry-after", "65")], of_route),
            Failure::RateLimited { after: millis(1_336), global: false }
        );
        assert_eq!(
            limited(&[("x-ratelimit-scope", "global")], of_route),
            Failure::RateLimited { after: millis(1_336), global: true }
        );
        assert_eq!(
            limited(&[], r#"{"message": "slow", "retry_after": 1e300}"#),
            Failure::RateLimited { after: millis(3_600_000), global: false }
        );
        let page = "error code: 1015";
        assert_eq!(limited(&[("retry-after", "65")], page), Failure::ShutOut(Some(millis(65_000))));
        for (headers, body) in [
            (&[][..], page),
            (&[], r#"{"message": "slow"}"#),
            (&[], r#"{"message": "slow", "retry_after": -5}"#),
            (&[("retry-after", "0")], page),
            (&[("retry-after", "soon")], page),
        ] {
            assert_eq!(limited(headers, body), Failure::ShutOut(None), "{body}");
        }
    }
}
