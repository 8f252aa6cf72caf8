//! What a turn has come to so far: kept with it on disk, so that another attempt goes on where this one was cut off.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use prx_base::events::NewEvent;
use prx_host::bindings::agent::{Command, Event, Token};
use prx_store::{Attachment, NewMessage, ProviderData, ToolCall, Usage};

/// What was said in a turn, what is under way, and what that has cost.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    /// The plugin whose agent has begun it.
    pub(super) agent: Option<String>,
    /// How often what agents have kept of the session was forgotten when it began.
    pub(super) forgotten: u64,
    /// What was said after the person's message.
    pub(super) messages: Vec<NewMessage>,
    /// What the agent has asked for and was not told of yet.
    pub(super) open: Vec<Open>,
    /// The last answer of a model among them, by its id.
    pub(super) last_answer: Option<String>,
    /// How often a model was asked.
    pub(super) asked: u32,
    /// Where its random numbers begin.
    pub(super) seed: u64,
    /// Steps of the agent.
    pub(super) steps: u32,
    /// Things that it has said before its reply.
    pub(super) said: u32,
    /// Those of the messages that filters have let pass, by their ids.
    pub(super) filtered: BTreeSet<String>,
    /// What was spent since the last time that it was recorded.
    #[serde(skip)]
    pub(super) usage: Usage,
    /// What has happened since the last time that it was recorded.
    #[serde(skip)]
    pub(super) events: Vec<NewEvent>,
}

/// Something that an agent has asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) token: Token,
    pub(super) command: Command,
    /// Of a call: nobody has to be asked any more, and it may have been made. Only calls that change something say so.
    #[serde(default)]
    pub(super) begun: bool,
    /// The arguments of a call that a person has allowed: filters have let them pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) allowed: Option<Value>,
    /// What came of it, as long as the agent was not told. Of a call's result the text is among the messages.
    #[serde(default)]
    pub(super) came: Option<Event>,
}

impl Progress {
    /// Takes in a model's answer. Each call gets an id that no other one of the turn has.
    pub(super) fn answer(
        &mut self,
        id: String,
        text: String,
        calls: Vec<ToolCall>,
        data: Option<ProviderData>,
    ) -> &NewMessage {
        let mut taken: BTreeSet<String> = self.calls().map(|call| call.id.clone()).collect();
        let mut provider_data = data;
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
        let said = NewMessage { id: Some(id), tool_calls, provider_data, ..NewMessage::assistant(text) };
        // An answer that asks for calls is no reply.
        self.last_answer = said.id.clone().filter(|_| said.tool_calls.is_empty());
        self.messages.push_mut(said)
    }

    /// How many calls of the turn were asked for before this one.
    pub(super) fn calls_before(&self, open: &Open) -> usize {
        let Command::CallTool((_, call)) = &open.command else { return 0 };
        self.calls().take_while(|asked| asked.id != call.id).count()
    }

    /// The ids of the calls that are under way.
    fn calls_under_way(&self) -> impl Iterator<Item = &str> {
        self.open.iter().filter(|open| open.came.is_none()).filter_map(|open| match &open.command {
            Command::CallTool((_, call)) => Some(call.id.as_str()),
            _ => None,
        })
    }

    /// The calls that have no result, and that nobody is making.
    pub(super) fn idle_calls(&self) -> Vec<ToolCall> {
        let under_way: BTreeSet<&str> = self.calls_under_way().collect();
        self.open_calls().into_iter().filter(|call| !under_way.contains(call.id.as_str())).collect()
    }

    /// How many calls nobody has answered yet.
    pub(super) fn waiting_calls(&self) -> u32 {
        u32::try_from(self.open_calls().len()).unwrap_or(u32::MAX)
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

    /// The calls that have no result yet.
    fn open_calls(&self) -> Vec<ToolCall> {
        let answered: BTreeSet<&str> =
            self.messages.iter().filter_map(|message| message.tool_call_id.as_deref()).collect();
        self.calls().filter(|call| !answered.contains(call.id.as_str())).cloned().collect()
    }

    /// Takes in the result of one of the open calls. Results stand in the order of their calls.
    pub(super) fn settle(&mut self, result: NewMessage) {
        self.messages.push(result);
        let Some(asking) = self.messages.iter().rposition(|message| !message.tool_calls.is_empty()) else {
            return;
        };
        let (before, results) = self.messages.split_at_mut(asking + 1);
        let calls = &before[asking].tool_calls;
        results.sort_by_key(|result| {
            calls.iter().position(|call| Some(call.id.as_str()) == result.tool_call_id.as_deref())
        });
    }

    /// The result of a call.
    pub(super) fn result(&self, call: &str) -> Option<&NewMessage> {
        self.messages.iter().rfind(|message| message.tool_call_id.as_deref() == Some(call))
    }

    /// Takes the last answer of a model out of what was said: it is the reply, or there is another one.
    pub(super) fn take_answer(&mut self) -> Option<NewMessage> {
        let id = self.last_answer.take()?;
        let at = self.messages.iter().position(|said| said.id.as_ref() == Some(&id))?;
        Some(self.messages.remove(at))
    }

    /// Has every open call answered with why there is no result: none may be left without one.
    pub(super) fn close(&mut self, why: &str) {
        for call in self.open_calls() {
            self.settle(NewMessage::tool(call.id, why, true));
        }
    }
}
