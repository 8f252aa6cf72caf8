//! The one error of the gateway: what the caller may read, apart from what only the log keeps.

use std::error::Error as StdError;
use std::fmt;

use serde_json::Value;

/// What went wrong, as the API reference names it. Each code has exactly one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// 400: a parameter or the body is not what the endpoint takes.
    BadRequest,
    /// 401: no bearer token, or one that is not valid (any more).
    Unauthorized,
    /// 403: the token lacks a scope, or the request came from a place that is refused.
    Forbidden,
    /// 404: there is no such route or resource.
    NotFound,
    /// 405: the path exists, the method on it does not.
    MethodNotAllowed,
    /// 408: the request did not arrive in time.
    RequestTimeout,
    /// 409: the resource is in a state that does not allow this.
    Conflict,
    /// 413: the body is larger than `gateway.max_body_bytes`.
    PayloadTooLarge,
    /// 415: the body is not of the content type the endpoint takes.
    UnsupportedMediaType,
    /// 429: too many requests.
    RateLimited,
    /// 500: a defect or a failing disk; the log has the cause.
    Internal,
    /// 502: a component or a platform behind the gateway failed.
    BadGateway,
    /// 503: the gateway is starting, draining or out of capacity.
    Unavailable,
    /// 504: a component or a platform behind the gateway took too long.
    GatewayTimeout,
}

impl Code {
    /// Every code there is.
    pub const ALL: &[Self] = &[
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::RateLimited,
        Self::Internal,
        Self::BadGateway,
        Self::Unavailable,
        Self::GatewayTimeout,
    ];

    /// The code's text in the error envelope.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::Conflict => "conflict",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal_error",
            Self::BadGateway => "bad_gateway",
            Self::Unavailable => "unavailable",
            Self::GatewayTimeout => "gateway_timeout",
        }
    }

    /// The HTTP status that goes with the code.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Conflict => 409,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::BadGateway => 502,
            Self::Unavailable => 503,
            Self::GatewayTimeout => 504,
        }
    }
}

/// Short for a result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error on its way to a caller.
///
/// `message` and `details` are public. The cause stays in the process: it is logged once, where the error
/// turns into a reply, and never sent.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    details: Option<Value>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with a public message that says what to do about it.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: None, cause: None }
    }

    /// 400 with a message that names the parameter and what it takes.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// 404 for a resource, for example `Session sess_xyz not found`.
    pub fn not_found(noun: &str, id: &str) -> Self {
        Self::new(Code::NotFound, format!("{noun} {id} not found"))
    }

    /// 409 with a message that names the state that is in the way.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Code::Conflict, message)
    }

    /// 500 whose cause goes to the log and no further.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let message =
            "Something went wrong inside the gateway; its log has the cause under this request's id";
        Self::new(Code::Internal, message).with_cause(cause)
    }

    /// Adds machine-readable details to the envelope.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Adds the private cause, for the log only.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What kind of error this is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The text a caller may read.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Machine-readable details a caller may read.
    pub fn details(&self) -> Option<&Value> {
        self.details.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}
