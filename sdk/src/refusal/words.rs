//! Where the words of an error are.

use crate::json;
use serde_json::Value;

/// How deep an error may be packed into others.
const MAX_DEPTH: usize = 8;
/// Most errors of a list that are told.
const MAX_ERRORS: usize = 3;

/// What errors are packed in.
const WRAPPERS: [&str; 4] = ["error", "errors", "base_resp", "response"];
/// What their words stand under.
const WORDS: [&str; 8] =
    ["message", "msg", "detail", "status_msg", "error_message", "errorMessage", "error_description", "title"];
/// What their codes stand under.
const CODES: [&str; 6] = ["code", "type", "status", "reason", "error_code", "status_code"];

/// What has been found of an error.
#[derive(Default)]
pub(super) struct Found {
    pub(super) message: Option<String>,
    pub(super) codes: Vec<String>,
    pub(super) param: Option<String>,
}

impl Found {
    /// Searches an error, and what it is packed in.
    pub(super) fn search(&mut self, error: &Value) {
        self.message = self.words(error, 0);
    }

    fn words(&mut self, error: &Value, depth: usize) -> Option<String> {
        if depth > MAX_DEPTH {
            return None;
        }
        match error {
            Value::String(text) => self.unpacked(text, depth),
            Value::Array(errors) => {
                let each: Vec<String> =
                    errors.iter().take(MAX_ERRORS).filter_map(|error| self.words(error, depth + 1)).collect();
                (!each.is_empty()).then(|| each.join("; "))
            }
            Value::Object(_) => self.of_object(error, depth),
            _ => None,
        }
    }

    /// A text, or the error that a gateway has put into one.
    fn unpacked(&mut self, text: &str, depth: usize) -> Option<String> {
        let inner =
            text.trim_start().starts_with(['{', '[']).then(|| json::read(text.as_bytes()).ok()).flatten();
        inner.and_then(|inner| self.words(&inner, depth + 1)).or_else(|| {
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        })
    }

    fn of_object(&mut self, error: &Value, depth: usize) -> Option<String> {
        for key in CODES {
            match &error[key] {
                Value::String(code) => self.codes.push(code.clone()),
                Value::Number(code) => self.codes.push(code.to_string()),
                _ => {}
            }
        }
        let details = self.words(&error["details"], depth + 1);
        // What a gateway has heard from the server behind it.
        let raw = self.words(&error["metadata"]["raw"], depth + 1);
        if let Some(param) = json::text(&error["param"]) {
            self.param = Some(param.to_owned());
        }
        let place: Vec<String> = json::items(&error["loc"]).iter().map(place).collect();
        let own =
            WRAPPERS.iter().chain(&WORDS).find_map(|key| self.words(&error[*key], depth + 1)).or(details);
        let own =
            own.map(|words| if place.is_empty() { words } else { format!("{}: {words}", place.join(".")) });
        match (own, raw) {
            (Some(own), Some(raw)) if own != raw => Some(format!("{own}: {raw}")),
            (own, raw) => own.or(raw),
        }
    }
}

fn place(step: &Value) -> String {
    step.as_str().map_or_else(|| step.to_string(), str::to_owned)
}

/// What a page, or a text that is no JSON, says in a line.
pub(super) fn of_page(bytes: &[u8], is_page: bool) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let line = if is_page || text.trim_start().starts_with('<') {
        let title = &text[text.find("<title>")? + "<title>".len()..];
        title.split("</title>").next()?
    } else {
        text.lines().find(|line| !line.trim().is_empty())?
    };
    let shown = json::excerpt(line.trim().as_bytes());
    (!shown.is_empty()).then_some(shown)
}
