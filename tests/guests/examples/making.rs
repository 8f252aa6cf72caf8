//! A tool that makes files, and names in its answer whatever it is told to.

use prx_sdk::blobs;
use prx_sdk::tool::{Attachment, AttachmentKind, CallContext, Fault, ToolOutput, TypedTool};
use serde::Deserialize;

/// What it makes, and names.
#[derive(Deserialize)]
#[serde(default)]
pub struct Make {
    name: String,
    mime: String,
    /// What the file holds, so many times.
    text: String,
    times: usize,
    /// How many files of this kind.
    count: usize,
    /// Blobs that it names besides.
    also: Vec<String>,
    /// It names what it was given, too.
    given: bool,
    /// It fails when all is made.
    fail: bool,
}

impl Default for Make {
    fn default() -> Self {
        let (name, mime, text) = ("notes.txt".into(), "text/plain".into(), "some notes".into());
        Self { name, mime, text, times: 1, count: 1, also: Vec::new(), given: false, fail: false }
    }
}

impl TypedTool for Make {
    const NAME: &str = "make";
    const DESCRIPTION: &str = "Makes files.";
    const PARAMETERS: &str = r#"{ "type": "object" }"#;

    fn call(self, _: &CallContext) -> Result<ToolOutput, Fault> {
        let mut output = ToolOutput::from(format!("made {}", self.name));
        for _ in 0..self.count {
            output =
                output.with(blobs::make(&self.name, &self.mime, self.text.repeat(self.times).as_bytes())?);
        }
        if self.fail {
            return Err(Fault::unavailable("the ink is used up"));
        }
        let given = if self.given { blobs::given() } else { Vec::new() };
        Ok(self.also.into_iter().map(named).chain(given).fold(output, ToolOutput::with))
    }
}

prx_sdk::plugin! { tools: [Make], manifest: "making.toml" }

fn named(blob: String) -> Attachment {
    Attachment { blob, kind: AttachmentKind::Document, name: Some("theirs".into()), mime: None, size: 1 }
}
