//! Files that the agent sends: how a connector keeps them in its state, and puts them into a `multipart/form-data`
//! request. Their bytes are put in by the gateway.
//!
//! ```
//! use prx_sdk::connector::{Attachment, AttachmentKind, Context, Http};
//! use prx_sdk::upload::{Form, Upload};
//!
//! let cx = Context::new("chat", 0, 7, ());
//! let kind = AttachmentKind::Image;
//! let picture = Attachment { blob: "blob_1".into(), kind, name: None, mime: Some("image/png".into()), size: 9 };
//! let form = Form::new(&cx).text("caption", "The harbour").file("photo", &Upload::from(picture));
//! let request = Http::post("https://api.example.org/sendPhoto").form(form);
//! ```

use crate::connector::{Attachment, AttachmentKind, Context, Http};
use crate::types::Segments;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a file is left out: the platform does not take one as large.
pub const TOO_LARGE: &str = "it is larger than the platform takes";
/// Why a file is left out: the gateway has let go of it.
pub const GONE: &str = "it is no longer kept";

/// Most characters of a file's name that a text shows.
const MAX_NAME_CHARS: usize = 100;

/// A file to be sent, from the gateway's blob store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The blob's id.
    pub blob: String,
    /// Its own name, or what a person would call it.
    pub name: String,
    /// Its media type, where that is known.
    pub mime: Option<String>,
    /// In bytes.
    #[serde(default)]
    pub size: u64,
}

impl From<Attachment> for Upload {
    fn from(Attachment { blob, kind, name, mime, size }: Attachment) -> Self {
        let named = name.filter(|name| !name.trim().is_empty());
        let name = named.unwrap_or_else(|| usual_name(kind).to_owned());
        Self { blob, name, mime: mime.filter(|mime| !mime.is_empty()), size }
    }
}

impl Upload {
    /// The text with a line that takes the file's place and says why it is not there.
    pub fn left_out(&self, text: &str, why: &str) -> String {
        let name: String = self.name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
        let line = format!("[{name} could not be sent: {why}]");
        [text.trim_end(), &line].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// Whether a request failed because there is no more of this file: a failure names the blob that it lacks.
    pub fn is_missing_in(&self, reason: &str) -> bool {
        reason.contains(&self.blob)
    }
}

/// The body of a `multipart/form-data` request.
#[derive(Clone, Debug)]
#[must_use = "a form goes out with Http::form"]
pub struct Form {
    boundary: String,
    body: Segments,
}

impl Form {
    /// A form without parts. Its boundary is random, so that it occurs in none of them.
    pub fn new<C>(cx: &Context<C>) -> Self {
        let boundary = format!("prx-{:016x}{:016x}", cx.random(), cx.random());
        Self { boundary, body: Segments::default() }
    }

    /// Adds a field.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.part(name, "", value)
    }

    /// Adds a field that is JSON.
    pub fn json(self, name: &str, value: &Value) -> Self {
        self.part(name, "content-type: application/json\r\n", &value.to_string())
    }

    /// Adds a file under this name.
    pub fn file(mut self, name: &str, file: &Upload) -> Self {
        let title = quotable(&file.name);
        let mime = file.mime.as_deref().map_or_else(|| "application/octet-stream".to_owned(), quotable);
        let head = format!("--{}\r\ncontent-disposition: form-data; name=\"{name}\"", self.boundary);
        let head = format!("{head}; filename=\"{title}\"\r\ncontent-type: {mime}\r\n\r\n");
        self.body = self.body.then(head).blob(&file.blob).then("\r\n");
        self
    }

    fn part(mut self, name: &str, head: &str, value: &str) -> Self {
        let border = &self.boundary;
        let part =
            format!("--{border}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n{head}\r\n{value}\r\n");
        self.body = self.body.then(part);
        self
    }
}

impl Http {
    /// Sets the body to this form, with its content type.
    pub fn form(self, form: Form) -> Self {
        let Form { boundary, body } = form;
        let kind = format!("multipart/form-data; boundary={boundary}");
        self.header("content-type", kind).body(body.then(format!("--{boundary}--\r\n")))
    }
}

/// The text with `_` in place of what would end a quoted header value or its line.
pub fn quotable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '"' | '\\') { '_' } else { c }).collect()
}

fn usual_name(kind: AttachmentKind) -> &'static str {
    match kind {
        AttachmentKind::Image => "picture",
        AttachmentKind::Audio => "recording",
        AttachmentKind::Video => "video",
        AttachmentKind::Document | AttachmentKind::Other => "file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Command;

    fn upload(name: &str, mime: Option<&str>) -> Upload {
        let (name, mime) = (Some(name.to_owned()), mime.map(str::to_owned));
        Upload::from(Attachment { blob: "blob_1".into(), kind: AttachmentKind::Audio, name, mime, size: 4 })
    }

    #[test]
    fn a_form_has_its_parts_between_borders_that_are_in_none() {
        let cx = Context::new("chat", 0, 7, ());
        let form = Form::new(&cx).text("to", "7").json("what", &serde_json::json!({"a": 1}));
        let form =
            form.file("one", &upload("a\"\r\n.png", Some("image/png"))).file("two", &upload(" ", None));
        let mut out = crate::connector::Commands::default();
        out.http(Http::post("https://example.org").form(form));
        let Some(Command::Http(request)) = Vec::from(out).pop() else { panic!("a request") };
        let kind = Segments(request.headers[0].value.clone()).to_string();
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a boundary");
        let parts = [
            "form-data; name=\"to\"\r\n\r\n7",
            "form-data; name=\"what\"\r\ncontent-type: application/json\r\n\r\n{\"a\":1}",
            "form-data; name=\"one\"; filename=\"a___.png\"\r\ncontent-type: image/png\r\n\r\n{blob:blob_1}",
            "form-data; name=\"two\"; filename=\"recording\"\r\ncontent-type: application/octet-stream\r\n\r\n{blob:blob_1}",
        ];
        let parts = parts.map(|part| format!("--{boundary}\r\ncontent-disposition: {part}\r\n")).concat();
        assert_eq!(Segments(request.body).to_string(), format!("{parts}--{boundary}--\r\n"));
    }

    #[test]
    fn a_file_that_is_left_out_is_named_on_a_line_of_its_own() {
        let file = upload(&format!("a\n{}", "b".repeat(200)), None);
        let named = format!("[a{} could not be sent: {GONE}]", "b".repeat(99));
        assert_eq!(file.left_out("See. \n", GONE), format!("See.\n{named}"));
        assert_eq!(file.left_out("", GONE), named);
        assert!(file.is_missing_in("channel chat has no blob blob_1, or not any more"));
    }
}
