//! Calls and their results, as filters let them pass.

use serde_json::Value;

use super::{CallContext, ToolResult, Tools};
use prx_base::error::{Code, Error, Result};
use prx_host::Passed;
use prx_host::bindings::filter::{Stage, StageKind, ToolEnd, ToolUse};

impl Tools {
    /// Has filters look at a call before it is checked: it is to be made with what they make of its arguments.
    ///
    /// # Errors
    /// `forbidden`: a filter stops it; says why.
    pub async fn pass(&self, name: &str, arguments: &mut Value, context: &CallContext) -> Result<()> {
        // What is no object fits no tool, and is refused as it is.
        if !arguments.is_object() || !self.filters.applies(StageKind::BeforeTool) {
            return Ok(());
        }
        let call = tool_use(name, arguments, context);
        match self.filters.inspect(Stage::BeforeTool(call)).await {
            Passed::AsItWas => {}
            // It is an object: that was checked.
            Passed::Replaced(instead) => {
                *arguments = serde_json::from_str(&instead).unwrap_or(Value::from(instead));
            }
            Passed::Stopped(why) => return Err(Error::new(Code::Forbidden, why.to_string())),
        }
        Ok(())
    }

    /// What is to be told about a call when it has ended, if anyone is to look at that.
    pub(super) fn result_filter(
        &self,
        name: &str,
        arguments: &Value,
        context: &CallContext,
    ) -> Option<ToolUse> {
        self.filters.applies(StageKind::AfterTool).then(|| tool_use(name, arguments, context))
    }

    /// A result, as it is read.
    pub(super) async fn read(&self, call: ToolUse, result: ToolResult) -> ToolResult {
        let end = ToolEnd {
            use_: call,
            text: result.content.clone(),
            is_error: result.is_error,
            attachments: result.attachments.iter().cloned().map(Into::into).collect(),
        };
        match self.filters.inspect(Stage::AfterTool(end)).await {
            Passed::AsItWas => result,
            Passed::Replaced(content) => ToolResult { content, structured: None, ..result },
            Passed::Stopped(why) => ToolResult::failed(why.to_string()),
        }
    }
}

fn tool_use(name: &str, arguments: &Value, context: &CallContext) -> ToolUse {
    let CallContext { session, call, user, agent, .. } = context;
    ToolUse {
        session: session.clone(),
        user: user.clone(),
        agent: agent.clone(),
        call: call.clone(),
        name: name.to_owned(),
        arguments: arguments.to_string(),
    }
}
