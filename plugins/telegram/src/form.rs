//! A call with a file in it, as `multipart/form-data`. The file's bytes are put in by the gateway.

use prx_sdk::connector::{Http, Segments};
use serde_json::Value;

use crate::speech::Upload;

/// Puts these fields, and this file under the name of its field, into a request. The boundary must not occur in any.
pub(crate) fn fill(call: Http, fields: &Value, (name, file): (&str, &Upload), boundary: &str) -> Http {
    let mut before = String::new();
    for (key, value) in fields.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        before.push_str(&format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n"
        ));
    }
    let title = quotable(&file.name);
    before.push_str(&format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{title}\"\r\n"
    ));
    let mime = file.mime.as_deref().map(quotable).unwrap_or_else(|| "application/octet-stream".to_owned());
    before.push_str(&format!("content-type: {mime}\r\n\r\n"));
    let body = Segments::text(before).blob(&file.blob).then(format!("\r\n--{boundary}--\r\n"));
    call.header("content-type", format!("multipart/form-data; boundary={boundary}")).body(body)
}

/// The text without what would end a quoted header value or its line.
fn quotable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '"' | '\\') { '_' } else { c }).collect()
}
