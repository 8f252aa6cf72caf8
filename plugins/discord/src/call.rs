//! REST calls as HTTP requests, and how long to wait before the next try.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prx_sdk::connector::{Http, HttpOutcome, HttpResponse, Segments};

use crate::api::{self, Failure};
use crate::config::Config;

/// Timeout of a call that carries no message.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) const USER_AGENT: &str =
    concat!("DiscordBot (https://github.com/prx-gateway/prx, ", env!("CARGO_PKG_VERSION"), ")");

/// A call that its path alone entitles to.
pub(crate) fn open(config: &Config, method: &str, path: &str) -> Http {
    Http::new(method, format!("{}{path}", config.api_base())).header("user-agent", USER_AGENT)
}

/// A call with the bot's token.
pub(crate) fn authorized(config: &Config, method: &str, path: &str) -> Http {
    open(config, method, path).header("authorization", Segments::text("Bot ").secret("bot_token"))
}

/// What came of a call.
pub(crate) fn answer(outcome: &HttpOutcome) -> Result<&HttpResponse, Failure> {
    match outcome {
        HttpOutcome::Response(response) => api::classify(response).map(|()| response),
        HttpOutcome::Failed(failure) if failure.sent => Err(Failure::Unknown(failure.reason.clone())),
        HttpOutcome::Failed(failure) => Err(Failure::Server(failure.reason.clone())),
    }
}

/// What is escaped in a part of a path: all but RFC 3986's unreserved characters and the colon of an emoji.
const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// The text as a part of a path.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_part_of_a_path() {
        assert_eq!(encoded("a-b_c.d~e:1"), "a-b_c.d~e:1");
        assert_eq!(encoded("👍/../?#"), "%F0%9F%91%8D%2F..%2F%3F%23");
    }
}
