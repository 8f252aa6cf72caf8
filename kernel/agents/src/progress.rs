//! What a turn has come to so far: kept with it on disk, so that another attempt goes on where this one was cut off.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::context_window::estimate;
use prx_base::events::NewEvent;
use prx_store::{Attachment, NewMessage, ProviderData, Role, ToolCall, Usage};

/// What was said in a turn, and what that has cost.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    /// What was said after the person's message.
    pub(super) messages: Vec<NewMessage>,
    /// What was spent since the last time that it was recorded.
    #[serde(skip)]
    pub(super) usage: Usage,
    /// What has happened since the last time that it was recorded.
    #[serde(skip)]
    pub(super) events: Vec<NewEvent>,
    /// What the provider wants to see again with the last answer.
    #[serde(skip)]
    pub(super) provider_data: Option<ProviderData>,
    /// The completion at work.
    #[serde(skip)]
    pub(super) unfinished: Unfinished,
}

/// A completion in the making.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// What was said of it.
    pub(super) text: String,
    /// Bytes of what the model was heard to think.
    pub(super) heard_bytes: u64,
    /// What was asked, in tokens, by estimate.
    pub(super) asked: u64,
    /// Why it begins anew.
    pub(super) failure: Option<String>,
}

impl Unfinished {
    /// Whether anything of it came.
    pub(super) fn is_heard(&self) -> bool {
        !self.text.is_empty() || self.heard_bytes > 0
    }
}

impl Progress {
    /// Takes in an answer that asks for tools. Each call gets an id that no other one of the turn has.
    pub(super) fn ask(&mut self, text: String, calls: Vec<ToolCall>) {
        let mut taken: BTreeSet<String> = self.calls().map(|call| call.id.clone()).collect();
        let mut provider_data = self.provider_data.take();
        let mut unique = |mut call: ToolCall| {
            let first = if call.id.is_empty() { "call" } else { &call.id };
            let further = (2_u32..).map(|n| format!("{first}_{n}"));
            let id = std::iter::once(first.to_owned()).chain(further).find(|id| !taken.contains(id));
            let given = std::mem::replace(&mut call.id, id.unwrap_or_default());
            if let Some(data) = &mut provider_data
                && given != call.id
                && let Some(of_call) = data.calls.remove(&given)
            {
                data.calls.insert(call.id.clone(), of_call);
            }
            taken.insert(call.id.clone());
            call
        };
        let tool_calls = calls.into_iter().map(&mut unique).collect();
        self.messages.push(NewMessage { tool_calls, provider_data, ..NewMessage::assistant(text) });
    }

    /// Every call that was asked for.
    pub(super) fn calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.messages.iter().flat_map(|message| &message.tool_calls)
    }

    /// The files that the tools had for the person, each once.
    pub(super) fn files(&self) -> Vec<Attachment> {
        let mut files: Vec<Attachment> = Vec::new();
        for file in self.messages.iter().flat_map(|message| &message.attachments) {
            if !files.iter().any(|before| before.blob == file.blob) {
                files.push(file.clone());
            }
        }
        files
    }

    /// The calls of the last answer that have no result yet, and how many calls of the turn come before each.
    pub(super) fn open_calls(&self) -> Vec<(usize, ToolCall)> {
        let answered: BTreeSet<&str> =
            self.messages.iter().filter_map(|message| message.tool_call_id.as_deref()).collect();
        let calls = self.calls().enumerate().filter(|(_, call)| !answered.contains(call.id.as_str()));
        calls.map(|(before, call)| (before, call.clone())).collect()
    }

    /// Takes in the result of one of the open calls. Results stand in the order of their calls.
    pub(super) fn settle(&mut self, result: NewMessage) {
        self.messages.push(result);
        let Some(asking) = self.messages.iter().rposition(|message| message.role == Role::Assistant) else {
            return;
        };
        let (before, results) = self.messages.split_at_mut(asking + 1);
        let calls = &before[asking].tool_calls;
        results.sort_by_key(|result| {
            calls.iter().position(|call| Some(call.id.as_str()) == result.tool_call_id.as_deref())
        });
    }

    /// Has every open call answered with why there is no result: none may be left without one.
    pub(super) fn close(&mut self, why: &str) {
        for (_, call) in self.open_calls() {
            self.settle(NewMessage::tool(call.id, why, true));
        }
    }

    /// Counts a completion that was broken off, by estimate: nobody tells what it has cost.
    pub(super) fn break_off(&mut self) {
        let Unfinished { text, asked, .. } = &mut self.unfinished;
        let asked = std::mem::take(asked);
        if asked > 0 && !text.is_empty() {
            self.usage = self.usage.plus(Usage { input: asked, output: estimate(text) });
        }
    }
}
