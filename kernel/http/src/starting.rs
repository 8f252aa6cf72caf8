//! What is answered while the gateway starts: it lives, and serves nothing yet.

use std::sync::{Mutex, PoisonError};

use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Method, Request};
use serde_json::json;

use super::access_log::Entry;
use super::reply::Reply;
use prx_base::error::{Code, Error, Result};

/// The liveness probe: answered with 200 as long as the process lives.
const LIVENESS: &str = "/livez";
/// Seconds after which a client is told to try again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// How far the start has got, as `plugins 3 of 8`; empty before anything is known.
#[derive(Debug, Default)]
pub(super) struct Starting(Mutex<String>);

impl Starting {
    /// Replaces what is said of the start.
    pub(super) fn set_progress(&self, progress: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// Answers the liveness probe; everything else with 503 and the progress.
    pub(super) fn answer<B>(&self, entry: &mut Entry, request: &Request<B>) -> Result<Reply> {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if reads && request.uri().path() == LIVENESS {
            entry.route = LIVENESS;
            return Reply::ok(&json!({"live": true}));
        }
        let reply = entry.failed(&Error::new(Code::Unavailable, self.message()));
        Ok(reply.with(RETRY_AFTER, RETRY_AFTER_SECONDS))
    }

    fn message(&self) -> String {
        let progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.is_empty() { "starting".to_owned() } else { format!("starting: {progress}") }
    }
}
