//! The messages of a server as it wrote them, read leniently: what is odd about one costs that one, and whoever waits for
//! its answer is told.

use rmcp::model::{
    CustomResult, ErrorCode, ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage, ServerResult,
};
use serde_json::{Map, Value, json};
use tracing::warn;

/// Most messages of a batch that are read.
const MAX_BATCH: usize = 256;
/// Longest outline of a message, in bytes.
const MAX_OUTLINE_BYTES: usize = 1 << 10;
/// The code of an answer that can't be read, which servers use for their own defects.
const INTERNAL_ERROR: i32 = -32603;

/// The messages in a text: one, or those of a batch. An answer that can't be read becomes an error that says so.
pub(super) fn read(text: &str) -> Vec<ServerJsonRpcMessage> {
    let why = match serde_json::from_str::<ServerJsonRpcMessage>(text) {
        Ok(message) if !is_odd(&message) => return vec![message],
        Ok(_) => "it is no answer to initialize".to_owned(),
        Err(why) => why.to_string(),
    };
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(batch)) => batch.into_iter().take(MAX_BATCH).filter_map(mended).collect(),
        Ok(message) => mended(message).into_iter().collect(),
        Err(_) => {
            let mut outline = Outline::default();
            outline.add(text.as_bytes());
            outline
                .id()
                .map(|id| unreadable(&id, &format!("the server's answer can't be read: {why}")))
                .into_iter()
                .collect()
        }
    }
}

/// The answer to a request that nobody can read.
pub(super) fn unreadable(id: &Value, why: &str) -> ServerJsonRpcMessage {
    let id = serde_json::from_value(id.clone()).ok();
    ServerJsonRpcMessage::error(ErrorData::new(ErrorCode(INTERNAL_ERROR), why.to_owned(), None), id)
}

/// The same message as an answer to this request, where it is an error that names none.
pub(super) fn correlated(message: ServerJsonRpcMessage, request: &RequestId) -> ServerJsonRpcMessage {
    match message {
        JsonRpcMessage::Error(mut error) if error.id.is_none() => {
            error.id = Some(request.clone());
            JsonRpcMessage::Error(error)
        }
        message => message,
    }
}

/// The same message as the answer to this request, where it is an answer: whoever got it for a request of its own needs no
/// id to know that.
pub(super) fn answering(message: ServerJsonRpcMessage, request: &RequestId) -> ServerJsonRpcMessage {
    match message {
        JsonRpcMessage::Error(mut error) => {
            error.id = Some(request.clone());
            JsonRpcMessage::Error(error)
        }
        JsonRpcMessage::Response(mut response) => {
            response.id = request.clone();
            JsonRpcMessage::Response(response)
        }
        message => message,
    }
}

/// Whether it has the marks of an answer to `initialize` and is none.
fn is_odd(message: &ServerJsonRpcMessage) -> bool {
    let JsonRpcMessage::Response(response) = message else { return false };
    matches!(&response.result, ServerResult::CustomResult(CustomResult(Value::Object(result)))
        if result.get("protocolVersion").is_some_and(Value::is_string))
}

/// A message with what is wrong about its form set right.
fn mended(message: Value) -> Option<ServerJsonRpcMessage> {
    let Value::Object(mut message) = message else {
        warn!("a message is no JSON object, and is not read");
        return None;
    };
    message.insert("jsonrpc".into(), "2.0".into());
    if !message.contains_key("method") {
        mend_answer(&mut message);
    } else if message.get("id").is_some_and(Value::is_null) {
        message.remove("id");
    }
    let id = message.get("id").cloned();
    match serde_json::from_value(Value::Object(message)) {
        Ok(message) => Some(message),
        Err(why) => {
            warn!("a message is not read: {why}");
            id.filter(|id| !id.is_null())
                .map(|id| unreadable(&id, &format!("the server's answer can't be read: {why}")))
        }
    }
}

fn mend_answer(message: &mut Map<String, Value>) {
    if message.get("error").is_some_and(Value::is_null) {
        message.remove("error");
    }
    if let Some(error) = message.get_mut("error") {
        let code = error.get("code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
        let said = error.get("message").and_then(Value::as_str).map(str::to_owned);
        let said = said.or_else(|| error.as_str().map(str::to_owned)).unwrap_or_else(|| error.to_string());
        *error = json!({ "code": code.unwrap_or(INTERNAL_ERROR), "message": said });
        message.remove("result");
    } else if !message.contains_key("result") {
        let why = "the server's answer has neither a result nor an error";
        message.insert("error".into(), json!({ "code": INTERNAL_ERROR, "message": why }));
    } else if let Some(Value::Object(result)) = message.get_mut("result")
        && let Some(version) = result.get("protocolVersion").and_then(Value::as_str)
    {
        *result = initialized(version, result);
    }
}

/// What is used of an answer to `initialize`.
fn initialized(version: &str, result: &Map<String, Value>) -> Map<String, Value> {
    let text = |key: &str| {
        result.get("serverInfo").and_then(|info| info.get(key)).and_then(Value::as_str).unwrap_or_default()
    };
    let mut capabilities = Map::new();
    for key in ["tools", "resources", "prompts"] {
        let given = result.get("capabilities").and_then(|all| all.get(key));
        if given.is_some_and(|given| !matches!(given, Value::Null | Value::Bool(false))) {
            capabilities.insert(key.into(), json!({}));
        }
    }
    let mut kept = Map::new();
    kept.insert("protocolVersion".into(), version.into());
    kept.insert("capabilities".into(), capabilities.into());
    kept.insert("serverInfo".into(), json!({ "name": text("name"), "version": text("version") }));
    kept
}

/// A JSON object without what is nested in it.
#[derive(Default)]
pub(super) struct Outline {
    kept: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Outline {
    pub(super) fn add(&mut self, json: &[u8]) {
        for &byte in json {
            let before = self.depth;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            if before.min(self.depth) <= 1 && self.kept.len() < MAX_OUTLINE_BYTES {
                self.kept.push(byte);
            }
        }
    }

    /// The id of the request that it answers, if it answers one.
    pub(super) fn id(&self) -> Option<Value> {
        let message: Value = serde_json::from_slice(&self.kept).ok()?;
        message.get("id").filter(|id| !id.is_null() && message.get("method").is_none()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Value {
        let [message] = &read(text)[..] else { panic!("one message in {text}") };
        serde_json::to_value(message).unwrap()
    }

    #[test]
    fn an_answer_that_is_odd_is_an_answer() {
        let error = |text: &str| one(text)["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(one(r#"{"id":1,"result":{"a":1},"error":null}"#)["result"], json!({"a": 1}));
        assert_eq!(error(r#"{"jsonrpc":"2.0","id":1,"error":"no such luck"}"#), "no such luck");
        assert_eq!(error(r#"{"jsonrpc":"2.0","id":1,"error":{"code":"E42","message":"sorry"}}"#), "sorry");
        assert_eq!(error(r#"{"jsonrpc":"2.0","id":1,"error":{"reason":"x"}}"#), r#"{"reason":"x"}"#);
        assert_eq!(
            error(r#"{"jsonrpc":"2.0","id":1}"#),
            "the server's answer has neither a result nor an error"
        );
        let deep = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        assert!(
            error(&deep).starts_with("the server's answer can't be read: recursion limit"),
            "{}",
            error(&deep)
        );
        assert_eq!(one(&deep)["id"], 7);
        assert_eq!(read(r#"[{"id":1,"result":{}},7,{"method":"x"}]"#).len(), 2, "a batch");
        assert_eq!(read("nonsense").len(), 0);
    }

    #[test]
    fn a_server_may_leave_out_who_it_is() {
        let said = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2024-11-05","capabilities":{"tools":true,"x":[]}}}"#;
        let [ServerJsonRpcMessage::Response(answer)] = &read(said)[..] else { panic!("an answer") };
        let ServerResult::InitializeResult(result) = &answer.result else { panic!("{answer:?}") };
        assert!(result.capabilities.tools.is_some() && result.capabilities.prompts.is_none());
    }
}
