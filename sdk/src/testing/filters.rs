//! Filters, as a gateway would ask them.

use crate::filter::{Fault, Filter, Said, Stage, ToolUse, Verdict};

/// Asks a filter about one thing, and holds its verdict against what a gateway takes.
///
/// # Errors
/// The filter's own.
///
/// # Panics
/// It is not one of the filter's stages, or every gateway refuses the verdict.
pub fn inspect<F: Filter>(stage: Stage) -> Result<Verdict, Fault> {
    let kind = stage.kind();
    assert!(F::STAGES.contains(&kind), "it is not asked at {kind:?}");
    let is_call = matches!(stage, Stage::BeforeTool(_));
    let verdict = F::inspect(stage)?;
    if let Verdict::Replace(text) = &verdict {
        assert!(text.len() <= 1 << 20, "{} bytes; a gateway takes 1 MiB", text.len());
        let object: Result<serde_json::Map<_, _>, _> = serde_json::from_str(text);
        assert!(!is_call || object.is_ok(), "a call has a JSON object of arguments, not {text}");
    }
    Ok(verdict)
}

/// Something that somebody says, in a session of a channel.
pub fn said(text: &str) -> Said {
    Said {
        channel: "test".into(),
        session: "sess_1".into(),
        user: "7".into(),
        sender: "Ann".into(),
        text: text.into(),
        attachments: Vec::new(),
    }
}

/// A tool that is to be called in that session.
pub fn tool_use(name: &str, arguments: &serde_json::Value) -> ToolUse {
    ToolUse {
        session: Some("sess_1".into()),
        user: Some("7".into()),
        agent: Some("default".into()),
        call: "call_1".into(),
        name: name.into(),
        arguments: arguments.to_string(),
    }
}
