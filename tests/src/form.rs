//! `multipart/form-data`, as far as platforms read it.

use serde_json::{Map, Value, json};

/// The fields of a form; of a file its name and what it holds. None: it is no form, or one that can't be read.
pub(crate) fn parse(kind: Option<&str>, body: &[u8]) -> Option<Value> {
    let boundary = kind?.strip_prefix("multipart/form-data; boundary=")?;
    let body = String::from_utf8_lossy(body);
    let whole = body.strip_suffix(&format!("\r\n--{boundary}--\r\n"))?;
    let mut parts =
        format!("\r\n{whole}").split(&format!("\r\n--{boundary}\r\n")).map(str::to_owned).collect::<Vec<_>>();
    if !parts.first()?.is_empty() {
        return None;
    }
    let fields = parts.drain(1..).map(|part| field(&part)).collect::<Option<Map<_, _>>>()?;
    Some(Value::Object(fields))
}

fn field(part: &str) -> Option<(String, Value)> {
    let (head, content) = part.split_once("\r\n\r\n")?;
    let quoted = |key: &str| Some(head.split_once(&format!("{key}=\""))?.1.split_once('"')?.0.to_owned());
    let value = match quoted("filename") {
        Some(name) => json!({ "name": name, "content": content }),
        None => json!(content),
    };
    Some((quoted("; name")?, value))
}
