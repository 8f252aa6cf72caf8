//! Converts what a tool of an MCP server answered to what the rest of the gateway reads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use rmcp::model::{ContentBlock, ResourceContents};
use serde_json::Value;
use tracing::warn;

use prx_base::error::Error;
use prx_base::text::{escaped, file_name};
use prx_store::{Attachment, AttachmentKind, BlobLimits, FILES_OF_A_CALL, Store};

/// Most content blocks of an answer that are read.
const MAX_BLOCKS: usize = 1024;
/// Longest name of a kind of block that is repeated, in characters.
const MAX_KIND_CHARS: usize = 64;

/// The answer of a tool, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The answer as text, or what went wrong.
    pub text: String,
    /// The answer as JSON, where it has structure.
    pub structured: Option<Value>,
    /// The tool failed.
    pub is_error: bool,
    /// The files in the answer; the text has a line for each.
    pub attachments: Vec<Attachment>,
}

impl Outcome {
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self { text: reason.into(), structured: None, is_error: true, attachments: Vec::new() }
    }

    /// The same with what the gateway has to say about it, each on a line of its own.
    pub(super) fn with_notes(mut self, notes: &[String]) -> Self {
        for note in notes {
            self.text.push_str(if self.text.is_empty() { "" } else { "\n" });
            self.text.push_str(note);
        }
        self
    }
}

/// Keeps the files of an answer.
pub(super) struct Files<'a> {
    pub(super) store: &'a Store,
    /// The channel that may send them.
    pub(super) channel: &'a str,
    pub(super) limits: BlobLimits,
}

impl Files<'_> {
    /// The answer, with its files kept. In the text a line stands in the place of each; it also tells of one that
    /// can't be kept, and of whatever else can't be read: the work is done, whatever was made of it.
    pub(super) async fn outcome(&self, result: Value) -> Outcome {
        // Converting a large answer would hold up an async worker.
        let said = tokio::task::spawn_blocking(move || Said::of(result)).await;
        let Ok(said) = said else { return Outcome::failed("the server's answer can't be read") };
        let mut pieces = Vec::with_capacity(said.pieces.len());
        let mut attachments = Vec::new();
        for piece in said.pieces {
            let block = match piece {
                Ok(block) => block,
                Err(told) => {
                    pieces.push(told);
                    continue;
                }
            };
            let Some(file) = media(&block) else {
                pieces.push(text(&block));
                continue;
            };
            let kept = match attachments.len() < FILES_OF_A_CALL {
                true => self.keep(&file).await,
                false => Err(format!("a call has {FILES_OF_A_CALL} files at most")),
            };
            let about = format!("{}, {}", file.name, file.mime);
            pieces.push(match &kept {
                Ok(kept) => format!("[{about}, {} bytes: goes with the answer]", kept.size),
                Err(why) => format!("[{about}: not kept, {why}]"),
            });
            attachments.extend(kept.ok());
        }
        let text = pieces.join("\n");
        let text = match &said.structured {
            Some(structured) if text.is_empty() => structured.to_string(),
            _ => text,
        };
        Outcome { text, structured: said.structured, is_error: said.is_error, attachments }
    }

    async fn keep(&self, file: &Media<'_>) -> Result<Attachment, String> {
        // Four letters stand for three bytes: what is far too large is not even decoded.
        if (file.base64.len() / 4) as u64 * 3 > self.limits.each.saturating_add(2) {
            return Err(format!("a file has {} bytes at most", self.limits.each));
        }
        let bytes =
            STANDARD.decode(file.base64).map_err(|error| format!("it is no valid base64: {error}"))?;
        let reason = |error: Error| {
            warn!(error = %error, cause = ?std::error::Error::source(&error), "a tool's file is not kept");
            error.message().to_owned()
        };
        let mut blob = self.store.new_blob(self.limits).await.map_err(reason)?;
        blob.write(&bytes).await.map_err(reason)?;
        let blob = blob.keep(self.channel, Some(file.mime.to_owned())).await.map_err(reason)?;
        Ok(Attachment {
            blob: blob.id,
            kind: AttachmentKind::of(file.mime),
            name: Some(file.name.clone()),
            mime: blob.mime,
            size: blob.size,
        })
    }
}

/// An answer, block by block: each as it is, or what is told of one that can't be read.
struct Said {
    pieces: Vec<Result<ContentBlock, String>>,
    structured: Option<Value>,
    is_error: bool,
}

impl Said {
    fn of(mut result: Value) -> Self {
        let mut take = |key: &str| result.get_mut(key).map(Value::take);
        let (content, structured) = (take("content"), take("structuredContent"));
        let is_error = take("isError").is_some_and(|flag| flag == true || flag == "true");
        let mut pieces: Vec<_> = match content {
            Some(Value::Array(mut blocks)) => {
                let more = blocks.len().saturating_sub(MAX_BLOCKS);
                blocks.truncate(MAX_BLOCKS);
                let more = (more > 0).then(|| Err(format!("[{more} more blocks are left out]")));
                blocks.into_iter().map(block).chain(more).collect()
            }
            None | Some(Value::Null) => Vec::new(),
            Some(one) => vec![block(one)],
        };
        if pieces.is_empty()
            && structured.is_none()
            && result.as_object().is_some_and(|rest| !rest.is_empty())
        {
            // Of an older protocol, or of none.
            let rest = result.as_object_mut().map(std::mem::take).unwrap_or_default();
            let rest = rest
                .into_iter()
                .filter(|(key, value)| !value.is_null() && key != "_meta" && key != "resultType");
            let rest: serde_json::Map<String, Value> = rest.collect();
            pieces.extend((!rest.is_empty()).then(|| Err(Value::Object(rest).to_string())));
        }
        Self { pieces, structured, is_error }
    }
}

/// A content block, or what is told of one that is of no known kind or not as its kind should be.
fn block(given: Value) -> Result<ContentBlock, String> {
    if let Value::String(text) = given {
        return Err(text);
    }
    let kind = given.get("type").and_then(Value::as_str);
    let kind: Option<String> = kind.map(|kind| escaped(kind).chars().take(MAX_KIND_CHARS).collect());
    let text = given.get("text").and_then(Value::as_str).map(|text| format!(" {text}")).unwrap_or_default();
    serde_json::from_value(given).map_err(|why| match kind.as_deref() {
        Some("text" | "image" | "audio" | "resource" | "resource_link") => {
            format!("[content of the kind {}: it can't be read, {why}]{text}", kind.unwrap_or_default())
        }
        Some(kind) => format!("[content of the kind {kind}, which can't be shown here]{text}"),
        None => format!("[content that does not say of which kind it is]{text}"),
    })
}

/// A file in an answer.
struct Media<'a> {
    name: String,
    mime: &'a str,
    base64: &'a str,
}

/// The file in a content block, if it has one.
fn media(block: &ContentBlock) -> Option<Media<'_>> {
    Some(match block {
        ContentBlock::Image(image) => Media {
            name: format!("image.{}", extension(&image.mime_type)),
            mime: &image.mime_type,
            base64: &image.data,
        },
        ContentBlock::Audio(audio) => Media {
            name: format!("audio.{}", extension(&audio.mime_type)),
            mime: &audio.mime_type,
            base64: &audio.data,
        },
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let mime = mime_type.as_deref().unwrap_or("application/octet-stream");
                Media { name: name_in(uri, mime), mime, base64: blob }
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// A file name for a resource: the last segment of its URI.
fn name_in(uri: &str, mime: &str) -> String {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8_lossy();
    let last = path.rsplit(['/', ':']).next().and_then(file_name);
    last.unwrap_or_else(|| format!("file.{}", extension(mime)))
}

/// The file extension for a media type: platforms go by it.
fn extension(mime: &str) -> &str {
    let kind = mime.split(';').next().unwrap_or_default().rsplit('/').next().unwrap_or_default().trim();
    match kind.strip_prefix("x-").unwrap_or(kind) {
        "jpeg" => "jpg",
        "mpeg" => "mp3",
        "svg+xml" => "svg",
        known if !known.is_empty() && known.chars().all(|c| c.is_ascii_alphanumeric()) => known,
        _ => "bin",
    }
}

/// A content block that is no file, as text.
fn text(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::ResourceLink(link) => link.uri.clone(),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => text.clone(),
            _ => "[resource]".into(),
        },
        _ => "[content of another kind]".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cant_be_read_of_an_answer_is_named_and_the_rest_stays() {
        let told = |result: Value| {
            let pieces = Said::of(result).pieces.into_iter();
            let pieces = pieces.map(|piece| piece.map_or_else(|told| told, |block| text(&block)));
            pieces.collect::<Vec<_>>().join("\n")
        };
        let mixed = json!({"content": [
            {"type": "text", "text": "done"}, {"type": "video", "data": "AA=="}, {"type": "markdown", "text": "*hi*"},
            {"type": "image"}, "plain", {"text": "untyped"}, 7,
        ]});
        insta::assert_snapshot!(told(mixed), @r"
        done
        [content of the kind video, which can't be shown here]
        [content of the kind markdown, which can't be shown here] *hi*
        [content of the kind image: it can't be read, missing field `data`]
        plain
        [content that does not say of which kind it is] untyped
        [content that does not say of which kind it is]
        ");
        assert_eq!(told(json!({"content": "just text"})), "just text");
        assert_eq!(told(json!({"content": null, "toolResult": {"n": 1}})), r#"{"toolResult":{"n":1}}"#);
        assert_eq!(told(json!({"content": []})), "");
        let many = told(json!({"content": vec![json!("x"); MAX_BLOCKS + 5]}));
        assert!(many.ends_with("\nx\n[5 more blocks are left out]"), "{many}");
        assert!(Said::of(json!({"isError": "true"})).is_error && !Said::of(json!({"isError": 0})).is_error);
    }

    #[test]
    fn a_file_has_a_name_that_says_what_it_is() {
        let ends = [
            ("image/png", "png"),
            ("image/jpeg", "jpg"),
            ("image/svg+xml", "svg"),
            ("audio/x-wav", "wav"),
            ("audio/mpeg; rate=8000", "mp3"),
            ("application/vnd.ms-excel", "bin"),
            ("", "bin"),
        ];
        for (mime, end) in ends {
            assert_eq!(extension(mime), end, "{mime}");
        }
        assert_eq!(name_in("file:///reports/march.pdf?v=2", "application/pdf"), "march.pdf");
        assert_eq!(name_in("file:///a+b/r%C3%A9sum%C3%A9%20=%201.pdf", "application/pdf"), "résumé = 1.pdf");
        assert_eq!(name_in("urn:chart", "image/png"), "chart");
        assert_eq!(name_in("https://example.org/", "text/csv"), "file.csv");
    }
}
