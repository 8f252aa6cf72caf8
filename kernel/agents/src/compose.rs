//! What an agent names of a conversation, put together as a request to a model.

use std::borrow::Cow;

use super::context::{self, Context, Model};
use super::entries::{self, Entries};
use super::tool::Names;
use prx_host::bindings::agent;
use prx_host::bindings::provider as wire;
use prx_store::{NewMessage, Role, ToolCall};

/// Ends an answer that a person has stopped.
const STOPPED: &str = "[stopped here by the user]";
/// The answer of a turn that has failed.
const NO_ANSWER: &str = "[there was no answer: something went wrong]";
/// An answer without words.
const EMPTY_ANSWER: &str = "[an empty answer]";
/// Ends a text that is shortened.
const SHORTENED: &str = "\n[shortened]";

/// Why a request can't be put together.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misfit {
    #[error("it names an entry that there is not: {0}")]
    NoEntry(String),
    #[error("it names the result of a call without the call: {0}")]
    Alone(String),
    #[error("it asks a model about nothing")]
    Nothing,
}

/// One message of a request.
pub(super) struct Part<'a> {
    said: Cow<'a, NewMessage>,
    /// Whether it comes from the transcript.
    is_entry: bool,
}

/// The messages that the parts of a request name, in order. The results of calls follow them where they are not named.
pub(super) fn parts<'a>(entries: &'a Entries, named: &[agent::Part]) -> Result<Vec<Part<'a>>, Misfit> {
    let id_of = |part: &agent::Part| match part {
        agent::Part::Entry(id) | agent::Part::Shortened((id, _)) => Some(id.clone()),
        agent::Part::Text(_) => None,
    };
    let ids: Vec<String> = named.iter().filter_map(id_of).collect();
    let mut parts: Vec<Part<'a>> = Vec::with_capacity(named.len());
    let mut open: Vec<&str> = Vec::new();
    for part in named {
        let said = match part {
            agent::Part::Text((role, text)) => {
                parts.push(Part { said: Cow::Owned(own_words(*role, text)), is_entry: false });
                continue;
            }
            agent::Part::Entry(id) => Cow::Borrowed(find(entries, id)?),
            agent::Part::Shortened((id, most)) => shortened(find(entries, id)?, *most),
        };
        if let Some(call) = said.tool_call_id.as_deref() {
            let at = open.iter().position(|open| *open == call);
            open.remove(at.ok_or_else(|| Misfit::Alone(call.to_owned()))?);
        }
        let id = said.id.clone().unwrap_or_default();
        parts.push(Part { said, is_entry: true });
        for call in entries.get(&id).into_iter().flat_map(|said| &said.tool_calls) {
            match entries.result_of(&call.id) {
                Some(result) if ids.iter().any(|id| result.id.as_ref() == Some(id)) => open.push(&call.id),
                Some(result) => parts.push(Part { said: Cow::Borrowed(result), is_entry: true }),
                None => {}
            }
        }
    }
    if parts.is_empty() { Err(Misfit::Nothing) } else { Ok(parts) }
}

fn find<'a>(entries: &'a Entries, id: &str) -> Result<&'a NewMessage, Misfit> {
    entries.get(id).ok_or_else(|| Misfit::NoEntry(id.to_owned()))
}

fn own_words(role: agent::Role, text: &str) -> NewMessage {
    match role {
        agent::Role::User | agent::Role::Tool => NewMessage::user(text),
        agent::Role::Assistant => NewMessage::assistant(text),
    }
}

fn shortened(said: &NewMessage, most: u32) -> Cow<'_, NewMessage> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let text = entries::text(said);
    if text.len() <= most {
        return Cow::Borrowed(said);
    }
    let content = format!("{}{SHORTENED}", &text[..text.floor_char_boundary(most)]);
    let context = prx_store::MessageContext::default();
    Cow::Owned(NewMessage { content, context, attachments: Vec::new(), ..said.clone() })
}

/// The messages as a provider takes them: an answer follows each question, and pictures of tools come as from the user.
pub(super) fn messages(context: &Context, parts: &[Part<'_>], model: &Model<'_>) -> Vec<wire::Message> {
    let mut messages = Vec::with_capacity(parts.len());
    let mut parts = parts.iter().peekable();
    let mut pictures: Vec<&NewMessage> = Vec::new();
    while let Some(part) = parts.next() {
        messages.push(message(&part.said, &context.names, model));
        let next = parts.peek();
        if part.said.role == Role::Tool && model.takes_pictures {
            pictures.push(&part.said);
        }
        let next_role = next.map(|next| next.said.role);
        if next_role != Some(Role::Tool) && !pictures.is_empty() {
            messages.extend(context.pictures(&pictures));
            pictures.clear();
        }
        let unanswered = part.said.role != Role::Assistant || !part.said.tool_calls.is_empty();
        // A turn has failed: vendors want an answer to each question.
        if part.is_entry
            && unanswered
            && next.is_some_and(|next| next.is_entry && next.said.role == Role::User)
        {
            messages.push(assistant(NO_ANSWER));
        }
    }
    messages
}

fn assistant(text: &str) -> wire::Message {
    let (text, tool_calls) = (text.to_owned(), Vec::new());
    wire::Message::Assistant(wire::AssistantMessage { text, tool_calls, data: None })
}

/// A stored message as providers take it.
fn message(said: &NewMessage, names: &Names, model: &Model<'_>) -> wire::Message {
    let text = said.content.clone();
    match said.role {
        Role::User => {
            let text = entries::text(said).into_owned();
            let attachments = said.attachments.iter().cloned().map(Into::into).collect();
            wire::Message::User(wire::UserMessage { text, attachments })
        }
        Role::Assistant => {
            let call = |ToolCall { id, name, arguments }: &ToolCall| wire::ToolCall {
                id: id.clone(),
                name: names.shown(name).to_owned(),
                arguments: arguments.clone(),
            };
            let tool_calls: Vec<_> = said.tool_calls.iter().map(call).collect();
            let text = match said.stopped {
                true => format!("{text}\n{STOPPED}").trim_start().to_owned(),
                false if text.is_empty() && tool_calls.is_empty() => EMPTY_ANSWER.to_owned(),
                false => text,
            };
            let data =
                said.provider_data.as_ref().filter(|data| model.wrote(data)).map(context::provider_data);
            wire::Message::Assistant(wire::AssistantMessage { text, tool_calls, data })
        }
        Role::Tool => {
            let id = said.tool_call_id.clone().unwrap_or_default();
            wire::Message::ToolResult(wire::ToolResult { id, text, is_error: said.is_error })
        }
    }
}
