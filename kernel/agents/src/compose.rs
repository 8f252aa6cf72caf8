//! What an agent names of a conversation, put together as a request to a model.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::context::{self, Context, Model};
use super::entries::{self, Entries};
use super::tool::Names;
use prx_host::bindings::agent;
use prx_host::bindings::provider as wire;
use prx_store::{Attachment, AttachmentKind, NewMessage, Role, ToolCall};

/// Ends an answer that a person has stopped.
const STOPPED: &str = "[stopped here by the user]";
/// The answer of a turn that has failed.
const NO_ANSWER: &str = "[there was no answer: something went wrong]";
/// An answer without words.
const EMPTY_ANSWER: &str = "[an empty answer]";
/// Stands for the result of a call that the caller of the API was to make.
const NO_RESULT: &str = "no result came: the call was not made, or nobody told what came of it";
/// Ends a text that is shortened.
const SHORTENED: &str = "\n[shortened]";

/// Why a request can't be put together.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misfit {
    #[error("it names an entry that there is not: {0}")]
    NoEntry(String),
    #[error("it names the result of a call, and not before it the entry that has asked for the call: {0}")]
    Alone(String),
    #[error("it names an entry twice: {0}")]
    Twice(String),
    #[error("it asks a model about nothing")]
    Nothing,
}

/// One message of a request.
pub(super) struct Part<'a> {
    said: Cow<'a, NewMessage>,
    /// Whether it comes from the transcript.
    is_entry: bool,
}

/// The messages that the parts of a request name, in order. The results of an entry's calls follow it in the order of the
/// calls, wherever they are named, and also where they are not.
pub(super) fn parts<'a>(entries: &'a Entries, wanted: &[agent::Part]) -> Result<Vec<Part<'a>>, Misfit> {
    let size = |part: &agent::Part| match part {
        agent::Part::Shortened((id, most)) => Some((id.clone(), *most)),
        agent::Part::Entry(_) | agent::Part::Entries(_) | agent::Part::Text(_) => None,
    };
    let mut request = Request {
        entries,
        sizes: wanted.iter().filter_map(size).collect(),
        parts: Vec::with_capacity(wanted.len()),
        named: HashSet::new(),
        placed: HashSet::new(),
    };
    for part in wanted {
        match part {
            agent::Part::Text((role, text)) => {
                let said = Cow::Owned(own_words(*role, text));
                request.parts.push(Part { said, is_entry: false });
            }
            agent::Part::Entry(id) | agent::Part::Shortened((id, _)) => {
                request.name(entries.get(id).ok_or_else(|| Misfit::NoEntry(id.clone()))?)?;
            }
            agent::Part::Entries((first, last)) => {
                for id in [first, last] {
                    entries.get(id).ok_or_else(|| Misfit::NoEntry(id.clone()))?;
                }
                entries.between(first, last).try_for_each(|said| request.name(said))?;
            }
        }
    }
    if request.parts.is_empty() { Err(Misfit::Nothing) } else { Ok(request.parts) }
}

/// A request that is put together.
struct Request<'a> {
    entries: &'a Entries,
    /// To how many bytes entries are shortened, by id.
    sizes: HashMap<String, u32>,
    parts: Vec<Part<'a>>,
    /// Ids of the entries that were named.
    named: HashSet<&'a str>,
    /// Ids of the results that stand behind their calls.
    placed: HashSet<&'a str>,
}

impl<'a> Request<'a> {
    fn name(&mut self, said: &'a NewMessage) -> Result<(), Misfit> {
        let id = id(said);
        if !self.named.insert(id) {
            return Err(Misfit::Twice(id.to_owned()));
        }
        if said.role == Role::Tool {
            let is_there = self.placed.contains(id);
            return is_there.then_some(()).ok_or_else(|| Misfit::Alone(id.to_owned()));
        }
        self.put(said);
        let results: Vec<&NewMessage> = self.entries.results_of(said).collect();
        for result in &results {
            self.placed.insert(self::id(result));
            self.put(result);
        }
        let is_answered = |call: &&ToolCall| {
            results.iter().any(|result| result.tool_call_id.as_deref() == Some(call.id.as_str()))
        };
        for call in said.tool_calls.iter().filter(|call| !is_answered(call)) {
            let said = Cow::Owned(NewMessage::tool(call.id.clone(), NO_RESULT, true));
            self.parts.push(Part { said, is_entry: true });
        }
        Ok(())
    }

    fn put(&mut self, said: &'a NewMessage) {
        let said = match self.sizes.get(id(said)) {
            Some(most) => shortened(said, *most),
            None => Cow::Borrowed(said),
        };
        self.parts.push(Part { said, is_entry: true });
    }
}

fn id(said: &NewMessage) -> &str {
    said.id.as_deref().unwrap_or_default()
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
/// They stay there in later turns: what a vendor has read once is the same then.
pub(super) fn messages(context: &Context, parts: &[Part<'_>], model: &Model<'_>) -> Vec<wire::Message> {
    let mut messages = Vec::with_capacity(parts.len());
    let mut parts = parts.iter().peekable();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut pictures: Vec<&Attachment> = Vec::new();
    while let Some(part) = parts.next() {
        messages.push(message(&part.said, &context.names, model));
        for file in part.said.attachments.iter().filter(|_| model.takes_pictures) {
            let is_new = file.kind == AttachmentKind::Image && seen.insert(&file.blob);
            if is_new && part.said.role == Role::Tool {
                pictures.push(file);
            }
        }
        let next = parts.peek();
        if next.is_none_or(|next| next.said.role != Role::Tool) && !pictures.is_empty() {
            messages.push(shown(&pictures));
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

/// What tools have returned for the eye, as from the user: models take pictures from nobody else.
fn shown(pictures: &[&Attachment]) -> wire::Message {
    let names: Vec<&str> = pictures.iter().map(|file| file.name.as_deref().unwrap_or("a picture")).collect();
    let text = format!("[from the tools, not from the user: {}]", names.join(", "));
    let attachments = pictures.iter().map(|file| (*file).clone().into()).collect();
    wire::Message::User(wire::UserMessage { text, attachments })
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
