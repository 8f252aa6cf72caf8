//! Why a model's server refuses a request, in its own words; feature `http`.
//!
//! Each server has a shape of its own for an error, and each words of its own for a conversation that is too long.
//!
//! ```
//! use prx_sdk::http::Response;
//! use prx_sdk::refusal::Refusal;
//!
//! let body = r#"[{"error": {"code": 400, "message": "The input token count exceeds the maximum", "status": "INVALID_ARGUMENT"}}]"#;
//! let refusal = Refusal::read(Response::new(400, body));
//! assert_eq!(refusal.message(), "The input token count exceeds the maximum");
//! assert!(refusal.is("INVALID_ARGUMENT") && refusal.is_too_long());
//! ```

#[cfg(test)]
mod tests;
mod window;
mod words;

use crate::http::Response;
use crate::json;
use crate::provider::{ContextLength, Fault, FaultCode, Message, ProviderError, Request};
use serde_json::Value;
use std::time::Duration;

/// Most bytes that are read of an error response.
const MAX_BODY_BYTES: usize = 64 << 10;
/// Most bytes of a message that are passed on.
const MAX_QUOTE_BYTES: usize = 400;

/// Whether what a server answers with this status may go away by itself. What it does not serve at all (501, 505) it will not
/// serve later, either.
pub fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 500 | 502..=504 | 506..)
}

/// Whether a reason for which an answer ended, in small letters, is that the server failed or was stopped.
pub fn is_failure(reason: &str) -> bool {
    matches!(reason, "abort" | "aborted" | "cancelled" | "canceled" | "timeout")
        || ["error", "fail"].iter().any(|word| reason.contains(word))
}

/// A server's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer. Of an error in the middle of one, the status that it names, or 0.
    pub status: u16,
    /// The body is an error of an API, and not a page or nothing.
    pub is_api: bool,
    /// Every `code`, `type`, `status` and `reason` in it.
    pub codes: Vec<String>,
    /// Which field of the request it is about, where that is said.
    pub param: Option<String>,
    /// How long to wait before the next try, where that is said.
    pub retry_after: Option<Duration>,
    /// Where the server would have had the request, of a redirect.
    pub location: Option<String>,
    message: String,
    has_words: bool,
}

impl Refusal {
    /// Reads an answer that says no.
    pub fn read(mut response: Response) -> Self {
        let (status, retry_after) = (response.status, response.retry_after());
        let location =
            response.header("location").filter(|_| (300..400).contains(&status)).map(str::to_owned);
        let is_page = response.header("content-type").is_some_and(|kind| kind.contains("html"));
        let mut bytes = Vec::new();
        while bytes.len() < MAX_BODY_BYTES
            && let Ok(Some(chunk)) = response.body.chunk()
        {
            bytes.extend_from_slice(&chunk);
        }
        let said = json::read(&bytes).ok();
        let mut refusal = said.as_ref().map(Self::of).unwrap_or_default();
        refusal.is_api = said.is_some_and(|said| !matches!(said, Value::String(_) | Value::Number(_)));
        if !refusal.has_words {
            refusal.message = match words::of_page(&bytes, is_page) {
                Some(words) => format!("status {status}: {words}"),
                None => format!("status {status}"),
            };
        }
        Self { status, retry_after, location, ..refusal }
    }

    /// Reads an error that stands in an answer. One without words is quoted.
    pub fn of(error: &Value) -> Self {
        let mut found = words::Found::default();
        found.search(error);
        let words::Found { message, codes, param } = found;
        let has_words = message.is_some();
        let message = message.unwrap_or_else(|| json::excerpt(error.to_string().as_bytes()));
        let status = codes.iter().find_map(|code| code.parse().ok().filter(|code| (400..600).contains(code)));
        Self {
            status: status.unwrap_or(0),
            message,
            has_words,
            codes,
            param,
            is_api: true,
            ..Self::default()
        }
    }

    /// The beginning of the server's words; of an answer without any, its status.
    pub fn message(&self) -> &str {
        &self.message[..self.message.floor_char_boundary(MAX_QUOTE_BYTES)]
    }

    /// Whether it says anything in words.
    pub fn has_words(&self) -> bool {
        self.has_words
    }

    /// Whether one of its codes is this.
    pub fn is(&self, code: &str) -> bool {
        self.codes.iter().any(|known| known == code)
    }

    /// Whether its words hold this, in small letters.
    pub fn mentions(&self, words: &str) -> bool {
        self.message.to_lowercase().contains(words)
    }

    /// Whether it is a file in this conversation that is refused. Each server says so in its own words.
    pub fn is_about_files(&self, request: &Request) -> bool {
        let words = [
            "image",
            "multimodal",
            "multi-modal",
            "vision",
            "mmproj",
            "file",
            "pdf",
            "document",
            "media type",
        ];
        let has = |message: &Message| matches!(message, Message::User(said) if !said.attachments.is_empty());
        !matches!(self.status, 401..=403 | 429)
            && words.iter().any(|word| self.mentions(word))
            && request.messages.iter().any(has)
    }

    /// Whether it is the length of the conversation that is refused.
    pub fn is_too_long(&self) -> bool {
        window::is_too_long(self.status, &self.codes, &self.message.to_lowercase())
    }

    /// The error for a conversation that is too long. `provider` is whose settings are meant.
    ///
    /// It counts as a limit, so that a provider with a larger one may be asked. Where the person's own message has files,
    /// it is that message which is refused: the kernel leaves them out of the conversation then.
    pub fn too_long(&self, request: &Request, provider: &str) -> ProviderError {
        let last = request.messages.iter().rev().find_map(|message| match message {
            Message::User(message) => Some(message),
            Message::Assistant(_) | Message::ToolResult(_) => None,
        });
        let has_files = last.is_some_and(|message| !message.attachments.is_empty());
        let length = self.length();
        let window = length.window.map(|most| format!(", which is {most},"));
        let message = format!(
            "the conversation is too long for this model, also with less of it: begin a new one (/new), or lower \
             agent.history_messages; name the model's window{} in providers_config.{provider}.models, so that it is kept \
             below. Where providers_config.{provider}.max_tokens is set, that counts too ({})",
            window.unwrap_or_default(),
            self.message()
        );
        let code = if has_files { FaultCode::BadInput } else { FaultCode::Quota };
        ProviderError::too_long(Fault::new(code, message), length)
    }

    /// How long a conversation may be, and how long it was, as far as that is said.
    pub fn length(&self) -> ContextLength {
        let words = self.message.to_lowercase();
        ContextLength { window: window::tokens(&words), requested: window::requested(&words) }
    }
}
