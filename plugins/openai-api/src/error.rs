//! Errors in OpenAI's shape.

use prx_sdk::route::{Fault, Request, Response, status_of};
use serde_json::{Value, json};

/// Why a request is not answered.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: u16,
    kind: &'static str,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
    allow: Option<&'static str>,
}

impl Refusal {
    /// A field of the request makes no sense.
    pub(crate) fn of(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(400, message) }
    }

    /// The request asks for what there is not here.
    pub(crate) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: Some("unsupported_value"), ..Self::of(param, message) }
    }

    pub(crate) fn no_such_model(name: &str, there_are: &[String]) -> Self {
        let message = format!("The model `{name}` does not exist; there are: {}", there_are.join(", "));
        Self { param: Some("model".to_owned()), code: Some("model_not_found"), ..Self::new(404, message) }
    }

    pub(crate) fn no_such_path(request: &Request) -> Self {
        let message = format!(
            "Unknown request URL: {} {}; there are GET /v1/models and POST /v1/chat/completions",
            request.method, request.path
        );
        Self { code: Some("unknown_url"), ..Self::new(404, message) }
    }

    pub(crate) fn wrong_method(request: &Request, allow: &'static str) -> Self {
        let message = format!("{} is not a method of {}; it takes {allow}", request.method, request.path);
        Self { allow: Some(allow), code: Some("method_not_supported"), ..Self::new(405, message) }
    }

    fn new(status: u16, message: impl Into<String>) -> Self {
        let kind = match status {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        Self { status, kind, message: message.into(), param: None, code: None, allow: None }
    }

    /// The body of the answer, or of the last event of a stream.
    pub(crate) fn json(&self) -> Value {
        let Self { kind, message, param, code, .. } = self;
        json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
    }

    pub(crate) fn response(self) -> Response {
        let response = Response::json(&self.json()).with_status(self.status);
        match self.allow {
            Some(allow) => response.with("allow", allow),
            None => response,
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::new(status_of(fault.code), fault.message)
    }
}
