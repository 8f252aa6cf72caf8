//! Tools that the caller of the API runs itself: a model is told of them like of any other, and a call of one ends the turn.
//! Its result begins the next one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::calls;
use super::context::Context;
use super::course::{Course, Finished};
use super::progress::Open;
use prx_base::error::Result;
use prx_host::bindings::agent as wire;
use prx_host::bindings::provider::ToolSpec;
use prx_store::{CallerTool, NewMessage};

/// What an agent is told of where such a tool comes from.
const SOURCE: &str = "caller";

impl Context {
    /// The caller's tools, as an agent is told of them.
    pub(super) fn callers_tools(&self) -> impl Iterator<Item = wire::ToolSummary> {
        self.terms.tools.iter().map(|tool| wire::ToolSummary {
            name: tool.name.clone(),
            source: SOURCE.to_owned(),
            read_only: false,
            policy: wire::ToolPolicy::Client,
        })
    }

    /// The same, as a model is told of them, as far as the agent wants that.
    pub(super) fn callers_specs(&self, ask: &wire::AskModel) -> impl Iterator<Item = ToolSpec> {
        let wanted: BTreeSet<&str> = ask.tools.iter().map(String::as_str).collect();
        self.terms.tools.iter().filter(move |tool| wanted.contains(tool.name.as_str())).map(|tool| {
            let CallerTool { name, description, parameters } = tool.clone();
            ToolSpec { name, description, parameters }
        })
    }
}

impl Course<'_> {
    /// Whether nobody here does that: the caller runs the tool.
    pub(super) fn is_callers_part(&self, open: &Open) -> bool {
        matches!(&open.command, wire::Command::CallTool((_, call)) if self.context.terms.has_tool(&call.name))
    }

    /// Ends the turn where its agent waits for nothing but calls that the caller makes; none where it waits for no such call.
    /// Filters look at these calls like at any other; where one is stopped, the turn ends with the reason.
    pub(super) async fn hand_over(&mut self) -> Option<Finished> {
        if !self.progress.open.iter().any(|open| self.is_callers_part(open)) {
            return None;
        }
        self.progress.open.clear();
        let place = self.progress.messages.iter().rposition(|said| !said.tool_calls.is_empty())?;
        let passed = self.pass_calls(place).await;
        let kept = self.take_unsaved();
        match passed {
            Ok(()) => {
                let asking = self.progress.messages[place].clone();
                Some(Finished { is_handed_over: true, kept, ..Finished::saying(asking) })
            }
            Err(why) => {
                self.progress.close(why.message());
                Some(Finished { kept, ..Finished::saying(NewMessage::assistant(why.message())) })
            }
        }
    }

    /// Has filters look at the calls of a message that the caller is to make.
    async fn pass_calls(&mut self, place: usize) -> Result<()> {
        let (tools, terms) = (&self.work.services.tools, &self.context.terms);
        let calls = self.progress.messages[place].tool_calls.iter_mut();
        for call in calls.filter(|call| terms.has_tool(&call.name)) {
            let Ok(before) = serde_json::from_str::<Value>(&call.arguments) else { continue };
            let mut arguments = before.clone();
            let on_behalf = calls::on_behalf(self.work, &self.context, &call.id);
            tools.pass(&call.name, &mut arguments, &on_behalf).await?;
            if arguments != before {
                call.arguments = arguments.to_string();
            }
        }
        Ok(())
    }
}
