//! What comes in: one JSON-RPC message, or what is none.

use rmcp::model::ErrorCode;
use serde_json::{Map, Value, json};

/// One message of a client.
#[derive(Debug, PartialEq)]
pub enum Message {
    /// It is to be answered.
    Request(Request),
    /// The request of this id needs no answer any more.
    Cancelled(Value),
    /// Any other notification.
    Notification,
    /// The answer to a question of the gateway's; none if it failed.
    Answer(Value, Option<Value>),
}

/// A request, as it came.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// A text or a whole number.
    pub id: Value,
    /// What is asked for.
    pub method: String,
    /// With what.
    pub params: Map<String, Value>,
}

/// Why there is no answer, as JSON-RPC says it.
#[derive(Debug, PartialEq)]
pub struct Refusal {
    /// The request's id; `null` if it could not be read.
    id: Value,
    code: ErrorCode,
    message: String,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// It is no JSON, or no message of JSON-RPC 2.0; says what there is, and what would do.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let value: Value = match serde_json::from_slice(bytes) {
            Ok(value) => value,
            Err(_) if bytes.is_empty() => {
                return Err(Refusal::new(
                    Value::Null,
                    ErrorCode::PARSE_ERROR,
                    "The body is empty; it must be a JSON-RPC message",
                ));
            }
            Err(error) => {
                let message = format!("The body is not JSON: {error}");
                return Err(Refusal::new(Value::Null, ErrorCode::PARSE_ERROR, message));
            }
        };
        let mut fields = match value {
            Value::Object(fields) => fields,
            Value::Array(_) => {
                return Err(Refusal::invalid(
                    Value::Null,
                    "Batches are not taken: send each message by itself",
                ));
            }
            other => {
                let message = format!("A message is a JSON object, not {}", kind(&other));
                return Err(Refusal::invalid(Value::Null, message));
            }
        };
        let given = fields.remove("id");
        let id = given.clone().filter(is_id).unwrap_or_default();
        match fields.get("jsonrpc") {
            Some(version) if version == "2.0" => {}
            Some(other) => {
                return Err(Refusal::invalid(id, format!("`jsonrpc` must be \"2.0\", not {}", shown(other))));
            }
            None => return Err(Refusal::invalid(id, "`jsonrpc` is missing; it must be \"2.0\"")),
        }
        let id = match given {
            Some(wrong) if !is_id(&wrong) => {
                let message = format!("`id` must be a string or a whole number, not {}", kind(&wrong));
                return Err(Refusal::invalid(id, message));
            }
            given => given,
        };
        read(fields, id)
    }
}

fn read(mut fields: Map<String, Value>, id: Option<Value>) -> Result<Message, Refusal> {
    let params = match fields.remove("params") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(params)) => Ok(params),
        Some(other) => Err(format!("`params` must be an object, not {}", kind(&other))),
    };
    match (fields.remove("method"), id) {
        (Some(Value::String(method)), Some(id)) => match params {
            Ok(params) => Ok(Message::Request(Request { id, method, params })),
            Err(message) => Err(Refusal::new(id, ErrorCode::INVALID_PARAMS, message)),
        },
        // What is wrong with a notification is told to nobody.
        (Some(Value::String(method)), None) => {
            let cancelled = params.ok().and_then(|mut params| params.remove("requestId"));
            Ok(match cancelled.filter(|_| method == "notifications/cancelled") {
                Some(id) => Message::Cancelled(id),
                None => Message::Notification,
            })
        }
        (Some(other), id) => {
            let message = format!("`method` must be a string, not {}", kind(&other));
            Err(Refusal::invalid(id.unwrap_or_default(), message))
        }
        (None, Some(id)) if fields.contains_key("result") => Ok(Message::Answer(id, fields.remove("result"))),
        (None, id) if fields.contains_key("error") => Ok(Message::Answer(id.unwrap_or_default(), None)),
        (None, id) => {
            let message =
                "A message has a `method`, or the `result` or `error` of one; this has none of them";
            Err(Refusal::invalid(id.unwrap_or_default(), message))
        }
    }
}

impl Refusal {
    /// Why the request of this id is not answered.
    pub fn new(id: Value, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { id, code, message: message.into() }
    }

    /// That the request of this id is none.
    pub fn invalid(id: Value, message: impl Into<String>) -> Self {
        Self::new(id, ErrorCode::INVALID_REQUEST, message)
    }

    /// As it is sent.
    pub fn to_json(&self) -> Value {
        let Self { id, code, message } = self;
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": code.0, "message": message}})
    }
}

fn is_id(id: &Value) -> bool {
    id.is_string() || id.is_i64() || id.is_u64()
}

/// Some of a value, however long it is.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.len() {
        0..=40 => text,
        _ => kind(value).to_owned(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_message_is_told_so() {
        for (sent, id, code, says) in [
            ("", json!(null), -32700, "empty"),
            ("{\"jsonrpc\": ", json!(null), -32700, "is not JSON"),
            ("\u{feff}{}", json!(null), -32700, "is not JSON"),
            ("[]", json!(null), -32600, "Batches are not taken"),
            (
                r#"[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]"#,
                json!(null),
                -32600,
                "each message by itself",
            ),
            ("\"ping\"", json!(null), -32600, "a JSON object, not a string"),
            ("{}", json!(null), -32600, "`jsonrpc` is missing"),
            (r#"{"jsonrpc": "1.0", "id": 7, "method": "ping"}"#, json!(7), -32600, "not \"1.0\""),
            (r#"{"jsonrpc": 2.0, "id": "a", "method": "ping"}"#, json!("a"), -32600, "not 2.0"),
            (
                r#"{"jsonrpc": "2.0", "id": null, "method": "ping"}"#,
                json!(null),
                -32600,
                "whole number, not null",
            ),
            (r#"{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}"#, json!(null), -32600, "not a fraction"),
            (r#"{"jsonrpc": "2.0", "id": {}, "method": "ping"}"#, json!(null), -32600, "not an object"),
            (r#"{"jsonrpc": "2.0", "id": 1, "method": 1}"#, json!(1), -32600, "`method` must be a string"),
            (r#"{"jsonrpc": "2.0", "id": 1}"#, json!(1), -32600, "none of them"),
            (r#"{"jsonrpc": "2.0"}"#, json!(null), -32600, "none of them"),
            (
                r#"{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}"#,
                json!(1),
                -32602,
                "not a list",
            ),
        ] {
            let refusal = Message::parse(sent.as_bytes()).unwrap_err().to_json();
            assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&id, &json!(code)), "{sent}: {refusal}");
            assert!(refusal["error"]["message"].as_str().unwrap().contains(says), "{sent}: {refusal}");
        }
        assert!(Message::parse(b"\xff\xfe").is_err());
    }

    #[test]
    fn what_is_a_message_is_read() {
        let request = |id, params| Request { id, method: "ping".into(), params };
        let some: Map<_, _> = [("a".to_owned(), json!(1))].into_iter().collect();
        for (sent, message) in [
            (json!({"id": 1, "method": "ping"}), Message::Request(request(json!(1), Map::new()))),
            (
                json!({"id": "x", "method": "ping", "params": null}),
                Message::Request(request(json!("x"), Map::new())),
            ),
            (
                json!({"id": -1, "method": "ping", "params": {"a": 1}}),
                Message::Request(request(json!(-1), some)),
            ),
            (
                json!({"method": "notifications/cancelled", "params": {"requestId": 5}}),
                Message::Cancelled(json!(5)),
            ),
            (json!({"method": "notifications/cancelled"}), Message::Notification),
            (json!({"method": "notifications/other", "params": [7]}), Message::Notification),
            (
                json!({"id": "q", "result": {"action": "accept"}}),
                Message::Answer(json!("q"), Some(json!({"action": "accept"}))),
            ),
            (json!({"id": "q", "error": {"code": 1}}), Message::Answer(json!("q"), None)),
        ] {
            let mut sent = sent;
            sent["jsonrpc"] = json!("2.0");
            assert_eq!(Message::parse(sent.to_string().as_bytes()).unwrap(), message, "{sent}");
        }
    }
}
