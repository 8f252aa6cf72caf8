//! The access log: one line for each request, and the cause of each failure under the request's id.

use std::net::IpAddr;
use std::time::Instant;

use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use tracing::Level;

use super::origin;
use super::payload::Payload;
use super::rate_limit::RateLimitStatus;
use super::reply::Reply;
use super::traffic::Outcome;
use prx_base::clock;
use prx_base::error::Error;
use prx_base::traces::TraceContext;

/// Stands in place of a route where there is none.
const NO_ROUTE: &str = "-";

/// One request in the access log, while it is being answered.
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) method: Method,
    pub(super) route: &'static str,
    started: Instant,
    /// The address the request was sent from; none for the owner's socket.
    pub(super) sender: Option<IpAddr>,
    /// The plugin whose route it is.
    pub(super) plugin: Option<String>,
    /// Who is calling, once that is known: the id of a token, or `owner`.
    pub(super) caller: Option<String>,
    /// The trace that the caller's request belongs to.
    pub(super) trace: Option<String>,
    user_agent: Option<String>,
    /// What the rate limit leaves the caller after this request.
    pub(super) rate_limit: Option<RateLimitStatus>,
    /// Such requests are so many that the line is one for debugging.
    pub(super) quiet: bool,
}

impl Entry {
    /// Starts to measure how long a request takes. It keeps the id that it came with, if that is a sane one.
    pub(super) fn new(method: Method, headers: &HeaderMap, fresh: impl FnOnce() -> String) -> Self {
        Self {
            id: origin::request_id(headers).unwrap_or_else(fresh),
            method,
            route: NO_ROUTE,
            started: clock::stopwatch(),
            sender: None,
            plugin: None,
            caller: None,
            trace: origin::trace_context(headers).map(TraceContext::trace_id),
            user_agent: origin::user_agent(headers),
            rate_limit: None,
            quiet: false,
        }
    }

    /// The answer to a request that failed. The cause goes to the log, here and only here.
    pub(super) fn failed(&self, error: &Error) -> Reply {
        if let Some(cause) = std::error::Error::source(error) {
            let cause = chain(cause);
            let code = error.code().as_str();
            if error.code().status() >= 500 {
                tracing::error!(request_id = self.id, route = self.route, code, cause, "{error}");
            } else {
                tracing::debug!(request_id = self.id, route = self.route, code, cause, "{error}");
            }
        }
        Reply::error(error)
    }

    /// The outcome to count. Anyone may make up a method, so only those of routes are counted apart.
    pub(super) fn outcome(&self, reply: &Reply) -> Outcome {
        let method = if self.route == NO_ROUTE { NO_ROUTE } else { self.method.as_str() };
        Outcome { route: self.route, method: method.to_owned(), status: reply.0.status().as_u16() }
    }

    /// Writes the line, and adds the headers that every answer has.
    pub(super) fn finish(self, reply: Reply) -> Response<Payload> {
        let status = reply.0.status();
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Callers without a token are summed up elsewhere, and whoever asks too often asks very often.
        let often = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED);
        let Self { method, route, sender, plugin, caller, trace, user_agent, .. } = &self;
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    %method,
                    route,
                    plugin,
                    status = status.as_u16(),
                    ms,
                    request_id = self.id,
                    address = sender.map(tracing::field::display),
                    caller,
                    user_agent,
                    trace_id = trace,
                    "request"
                )
            };
        }
        if often || (self.quiet && !status.is_server_error()) {
            line!(Level::DEBUG);
        } else {
            line!(Level::INFO);
        }
        // An id is made of letters, digits and what needs no quoting.
        let id = HeaderValue::try_from(self.id).unwrap_or(HeaderValue::from_static("-"));
        let reply = reply.with(origin::X_REQUEST_ID, id);
        match self.rate_limit {
            Some(status) => status.write_headers(reply).0,
            None => reply.0,
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
