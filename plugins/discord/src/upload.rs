//! Files to be sent: with the message that names them, as `multipart/form-data`. Their bytes are put in by the gateway.

use prx_sdk::connector::{Attachment, AttachmentKind, Http, Segments};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The most that a file may take where nobody has paid for more.
pub(crate) const MAX_FILE: u64 = 10 << 20;
/// Why a file is left out.
pub(crate) const TOO_LARGE: &str = "it is larger than the platform takes";
pub(crate) const GONE: &str = "it is no longer kept";
/// The most that one message carries.
const MAX_FILES: usize = 10;
const MAX_TOGETHER: u64 = 24 << 20;
/// What is told of a name, in characters.
const MAX_NAME: usize = 100;

/// A file to be sent, from the gateway's blob store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub blob: String,
    name: String,
    mime: Option<String>,
    size: u64,
}

impl From<Attachment> for Upload {
    fn from(Attachment { blob, kind, name, mime, size }: Attachment) -> Upload {
        let named = name.filter(|name| !name.trim().is_empty());
        let name = named.unwrap_or_else(|| usual_name(kind).to_owned());
        Upload { blob, name, mime: mime.filter(|mime| !mime.is_empty()), size }
    }
}

impl Upload {
    pub(crate) fn is_too_large(&self) -> bool {
        self.size > MAX_FILE
    }

    /// The text with a line that takes its place.
    pub(crate) fn left_out(&self, text: &str, why: &str) -> String {
        let name: String = self.name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        let line = format!("[{name} could not be sent: {why}]");
        [text.trim_end(), &line].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

/// How many of these files, from the first on, one message carries.
pub(crate) fn together(files: &[Upload]) -> usize {
    let mut sum = 0_u64;
    let fits = |file: &&Upload| {
        sum = sum.saturating_add(file.size);
        sum <= MAX_TOGETHER
    };
    let fitting = files.iter().take(MAX_FILES).take_while(fits).count();
    fitting.max(files.len().min(1))
}

/// Puts a message and its files into a request. The boundary must not occur in any of them. What an edited message had
/// of files before makes way.
pub(crate) fn fill(call: Http, mut message: Value, files: &[Upload], boundary: &str) -> Http {
    let named = |(number, file): (usize, &Upload)| json!({"id": number, "filename": quotable(&file.name)});
    message["attachments"] = files.iter().enumerate().map(named).collect();
    let mut body = Segments::text(format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"payload_json\"\r\n\
         content-type: application/json\r\n\r\n{message}\r\n"
    ));
    for (number, file) in files.iter().enumerate() {
        let name = quotable(&file.name);
        let mime = file.mime.as_deref().map_or_else(|| "application/octet-stream".to_owned(), quotable);
        let head = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"files[{number}]\"; filename=\"{name}\"\r\n\
             content-type: {mime}\r\n\r\n"
        );
        body = body.then(head).blob(&file.blob).then("\r\n");
    }
    let body = body.then(format!("--{boundary}--\r\n"));
    call.header("content-type", format!("multipart/form-data; boundary={boundary}")).body(body)
}

fn usual_name(kind: AttachmentKind) -> &'static str {
    match kind {
        AttachmentKind::Image => "picture",
        AttachmentKind::Audio => "recording",
        AttachmentKind::Video => "video",
        AttachmentKind::Document | AttachmentKind::Other => "file",
    }
}

/// The text without what would end a quoted header value or its line.
fn quotable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '"' | '\\') { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_sizes(sizes: &[u64]) -> usize {
        let file = |size: &u64| Upload { blob: "b".into(), name: "a".into(), mime: None, size: *size };
        together(&sizes.iter().map(file).collect::<Vec<_>>())
    }

    #[test]
    fn a_message_carries_ten_files_and_no_more_than_fit_into_a_request() {
        assert_eq!(of_sizes(&[]), 0);
        assert_eq!(of_sizes(&[1; 11]), 10);
        assert_eq!(of_sizes(&[MAX_FILE, MAX_FILE, MAX_FILE]), 2);
        assert_eq!(of_sizes(&[MAX_FILE, 4 << 20, MAX_FILE, 1]), 3);
        assert_eq!(of_sizes(&[u64::MAX, 1]), 1, "there is always a next one");
    }
}
