//! The parts of the REST API that this connector reads.

use std::time::Duration;

use prx_sdk::connector::HttpResponse;
use serde::Deserialize;

/// Why a call gave no result, by what has to be done about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Failure {
    /// The token isn't valid: nothing will work.
    Token(String),
    /// Too many requests: of this kind, or in all.
    RateLimited { after: Duration, global: bool },
    /// The platform will not do this, however often it is asked. The number is the API's own.
    Refused { code: u64, reason: String },
    /// The platform has a problem of its own; it did not do what was asked.
    Server(String),
    /// It may or may not have happened.
    Unknown(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Token(reason) | Failure::Server(reason) | Failure::Unknown(reason) => {
                f.write_str(reason)
            }
            Failure::Refused { reason, .. } => f.write_str(reason),
            Failure::RateLimited { .. } => f.write_str("the platform asks to slow down"),
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
}

/// The number of a refusal for the size of what was sent.
pub(crate) const TOO_LARGE: u64 = 40_005;

/// The longest `retry_after` that is believed, in seconds.
const MAX_RETRY_AFTER_SECS: f64 = 3_600.0;

/// Whether a call went well, or why not. Any bytes are fine: something in between may have answered.
pub(crate) fn classify(response: &HttpResponse) -> Result<(), Failure> {
    if response.is_success() {
        return Ok(());
    }
    let status = response.status;
    let problem = response.json::<Problem>().unwrap_or_default();
    let is_the_apis = !problem.message.is_empty();
    let reason = if is_the_apis {
        format!("{} (HTTP {status})", problem.message)
    } else {
        format!("HTTP {status} with a body that is none of the API's")
    };
    Err(match status {
        401 => Failure::Token(reason),
        // Something in between may have found it too large, and knows no numbers.
        413 => Failure::Refused { code: TOO_LARGE, reason },
        429 => rate_limited(response, &problem, is_the_apis),
        400..=499 => Failure::Refused { code: problem.code, reason },
        504 | 524 => Failure::Unknown(reason),
        _ => Failure::Server(reason),
    })
}

fn rate_limited(response: &HttpResponse, problem: &Problem, is_the_apis: bool) -> Failure {
    let header = response.header("retry-after").and_then(|seconds| seconds.parse::<f64>().ok());
    let seconds = problem.retry_after.or(header).filter(|seconds| seconds.is_finite()).unwrap_or(1.0);
    let after = Duration::from_secs_f64(seconds.clamp(0.05, MAX_RETRY_AFTER_SECS));
    let scope = response.header("x-ratelimit-scope");
    // What does not come from the API itself shuts the whole address out.
    let global = problem.global || scope == Some("global") || !is_the_apis;
    Failure::RateLimited { after, global }
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
        assert!(matches!(failure(400, &[], "<html>"), Failure::Refused { code: 0, .. }));
        assert!(matches!(failure(413, &[], "<html>"), Failure::Refused { code: TOO_LARGE, .. }));
        assert!(matches!(failure(302, &[], ""), Failure::Server(_)));
    }

    #[test]
    fn how_long_to_wait_is_said_in_the_body_or_beside_it() {
        let pace = |headers: &[(&str, &str)], body: &str| match failure(429, headers, body) {
            Failure::RateLimited { after, global } => (after.as_millis(), global),
            other => panic!("{other:?}"),
        };
        let of_route = r#"{"message": "slow", "retry_after": 1.336, "global": false}"#;
        assert_eq!(pace(&[("retry-after", "65")], of_route), (1336, false));
        assert_eq!(pace(&[("x-ratelimit-scope", "global")], of_route), (1336, true));
        assert_eq!(pace(&[("retry-after", "65")], "<html>"), (65_000, true), "the address is shut out");
        assert_eq!(pace(&[], r#"{"message": "slow", "retry_after": -5}"#), (50, false));
        assert_eq!(pace(&[], r#"{"message": "slow", "retry_after": 1e300}"#), (3_600_000, false));
    }
}
