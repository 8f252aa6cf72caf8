//! What a tool of an MCP server answered, as the rest of the gateway reads it.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::Value;

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The answer as text, or what went wrong.
    pub text: String,
    /// The answer as JSON, where it has structure.
    pub structured: Option<Value>,
    /// The tool could not do it.
    pub is_error: bool,
}

impl Outcome {
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self { text: reason.into(), structured: None, is_error: true }
    }
}

impl From<CallToolResult> for Outcome {
    fn from(result: CallToolResult) -> Self {
        let text = result.content.iter().map(text).collect::<Vec<_>>().join("\n");
        let text = match &result.structured_content {
            Some(structured) if text.is_empty() => structured.to_string(),
            _ => text,
        };
        Self { text, structured: result.structured_content, is_error: result.is_error == Some(true) }
    }
}

/// A piece of an answer in words; what can't be read is named.
fn text(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[image: {}]", image.mime_type),
        ContentBlock::Audio(audio) => format!("[audio: {}]", audio.mime_type),
        ContentBlock::ResourceLink(link) => link.uri.clone(),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => text.clone(),
            ResourceContents::BlobResourceContents { uri, .. } => format!("[file: {uri}]"),
            _ => "[resource]".into(),
        },
        _ => "[content of another kind]".into(),
    }
}
