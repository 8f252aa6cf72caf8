//! Converts what a tool of an MCP server answered to what the rest of the gateway reads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::Value;
use tracing::warn;

use prx_base::error::Error;
use prx_base::text::file_name;
use prx_store::{Attachment, AttachmentKind, BlobLimits, FILES_OF_A_CALL, Store};

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
    /// can't be kept.
    pub(super) async fn outcome(&self, result: CallToolResult) -> Outcome {
        let mut pieces = Vec::with_capacity(result.content.len());
        let mut attachments = Vec::new();
        for block in &result.content {
            let Some(file) = media(block) else {
                pieces.push(text(block));
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
        let text = match &result.structured_content {
            Some(structured) if text.is_empty() => structured.to_string(),
            _ => text,
        };
        let is_error = result.is_error == Some(true);
        Outcome { text, structured: result.structured_content, is_error, attachments }
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
    use super::*;

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
