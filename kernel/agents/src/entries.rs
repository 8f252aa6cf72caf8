//! The entries of a session's transcript that the agent of a turn may name: what was said before, and in the turn so far.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::context_window::{estimate, file_cost};
use super::quoting;
use prx_base::error::Result;
use prx_host::bindings::agent as wire;
use prx_host::bindings::common;
use prx_store::{Attachment, MAX_PAGE, Message, NewMessage, Role, Store, Turn};

/// Most entries before a turn that an agent is told of, the newest ones.
const MAX_HISTORY: usize = 4000;

/// Something that was said, and when, in Unix milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) said: NewMessage,
    at: u64,
}

impl Said {
    fn stored(message: Message) -> Self {
        let at = u64::try_from(message.created_at.as_millisecond()).unwrap_or(0);
        Self { said: message.said(), at }
    }

    /// The same as an agent is told of it.
    pub(super) fn entry(&self) -> wire::Entry {
        entry(&self.said, self.at)
    }
}

/// The entries up to now. Cheap to clone: what was said before a turn is shared.
#[derive(Debug, Clone)]
pub(super) struct Entries {
    /// Up to and with the message that began the turn.
    before: Arc<[Said]>,
    /// Entries of the history that are older than these.
    pub(super) older: u32,
    /// After it.
    since: Vec<Said>,
    /// Where each stands, by its id: those before first.
    places: HashMap<String, usize>,
}

impl Entries {
    /// The history of a turn from this entry on, and the message that began it, with what was said in the turn so far.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) fn of(store: &Store, turn: &Turn, from: Option<&str>, since: &[NewMessage]) -> Result<Self> {
        let mut history = Vec::new();
        let mut before = turn.message.id.clone();
        let mut older = 0;
        while history.len() < MAX_HISTORY {
            let page = store.messages(&turn.session, MAX_PAGE, Some(&before))?;
            let Some(first) = page.items.first() else { break };
            before.clone_from(&first.id);
            let begins = from.and_then(|from| page.items.iter().position(|message| message.id == *from));
            let is_last = begins.is_some() || page.items.len() < MAX_PAGE;
            let kept = page.items.into_iter().skip(begins.unwrap_or_default());
            history.splice(0..0, kept.map(Said::stored));
            older = page.total.saturating_sub(history.len() + 1);
            if is_last {
                break;
            }
        }
        // What is left of a turn whose question fell out makes no sense to a provider.
        let begins =
            history.iter().position(|said: &Said| said.said.role == Role::User).unwrap_or(history.len());
        history.drain(..begins);
        for Said { said, .. } in &mut history {
            drop_gone(store, &mut said.attachments)?;
        }
        history.push(Said::stored(turn.message.clone()));
        let mut entries = Self {
            before: history.into(),
            older: u32::try_from(older).unwrap_or(u32::MAX),
            since: Vec::new(),
            places: HashMap::new(),
        };
        for (place, Said { said, .. }) in entries.before.iter().enumerate() {
            entries.places.insert(said.id.clone().unwrap_or_default(), place);
        }
        since.iter().for_each(|said| entries.push(said.clone(), 0));
        Ok(entries)
    }

    /// Adds what was said next.
    pub(super) fn push(&mut self, said: NewMessage, at: u64) {
        self.places.insert(said.id.clone().unwrap_or_default(), self.before.len() + self.since.len());
        self.since.push(Said { said, at });
    }

    /// The entry of this id.
    pub(super) fn get(&self, id: &str) -> Option<&NewMessage> {
        self.at(*self.places.get(id)?)
    }

    /// The results of an entry's calls, in the order of the calls. Ids of calls are unique within a turn only: they are
    /// those that stand before anyone else speaks.
    pub(super) fn results_of<'a>(&'a self, asking: &'a NewMessage) -> impl Iterator<Item = &'a NewMessage> {
        let place = asking.id.as_ref().and_then(|id| self.places.get(id)).copied();
        let after = place.into_iter().flat_map(|place| (place + 1..).map_while(|place| self.at(place)));
        let results: Vec<&NewMessage> = after
            .take_while(|said| said.role != Role::User && said.tool_calls.is_empty())
            .filter(|said| said.role == Role::Tool)
            .collect();
        asking.tool_calls.iter().filter_map(move |call| {
            results.iter().copied().find(|result| result.tool_call_id.as_ref() == Some(&call.id))
        })
    }

    /// The entries from one to another one, both included; none where the first comes after the last.
    pub(super) fn between(&self, first: &str, last: &str) -> impl Iterator<Item = &NewMessage> {
        let places = self.places.get(first).zip(self.places.get(last));
        places.into_iter().flat_map(|(first, last)| *first..=*last).filter_map(|place| self.at(place))
    }

    fn at(&self, place: usize) -> Option<&NewMessage> {
        let found = self.before.get(place).or_else(|| self.since.get(place - self.before.len()));
        found.map(|found| &found.said)
    }

    /// The names of the tools that were called.
    pub(super) fn called(&self) -> impl Iterator<Item = &str> {
        let all = self.before.iter().chain(&self.since);
        all.flat_map(|said| &said.said.tool_calls).map(|call| call.name.as_str())
    }

    /// The message that began the turn.
    pub(super) fn opening(&self) -> Option<&Said> {
        self.before.last()
    }

    /// What was said before it.
    pub(super) fn history(&self) -> impl Iterator<Item = &Said> {
        self.before[..self.before.len().saturating_sub(1)].iter()
    }

    /// What was said after it.
    pub(super) fn since(&self) -> &[Said] {
        &self.since
    }
}

impl prx_host::Transcript for Entries {
    fn read(&self, id: &str) -> Option<Cow<'_, str>> {
        self.get(id).map(text)
    }
}

/// The text of an entry as a model is shown it.
pub(super) fn text(said: &NewMessage) -> Cow<'_, str> {
    match said.role {
        Role::User => quoting::told(said),
        Role::Assistant | Role::Tool => Cow::Borrowed(&said.content),
    }
}

/// An entry, as an agent is told of it.
pub(super) fn entry(said: &NewMessage, at: u64) -> wire::Entry {
    let text = text(said);
    let files = said.attachments.iter().cloned().map(common::Attachment::from);
    let calls = said.tool_calls.iter().map(|call| estimate(&call.name) + estimate(&call.arguments));
    let tokens = estimate(&text) + calls.sum::<u64>() + files.map(|file| file_cost(&file)).sum::<u64>();
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    wire::Entry {
        id: said.id.clone().unwrap_or_default(),
        role: role(said.role),
        bytes: small(text.len()),
        tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        attachments: small(said.attachments.len()),
        at,
        calls: said.tool_calls.iter().map(|call| call.id.clone()).collect(),
        answers: said.tool_call_id.clone(),
        sender: said.context.sender.as_ref().map(|sender| sender.name.clone()),
    }
}

fn role(role: Role) -> wire::Role {
    match role {
        Role::User => wire::Role::User,
        Role::Assistant => wire::Role::Assistant,
        Role::Tool => wire::Role::Tool,
    }
}

/// Leaves out the files that are kept no longer: a session outlives them.
fn drop_gone(store: &Store, attachments: &mut Vec<Attachment>) -> Result<()> {
    let mut kept = Vec::with_capacity(attachments.len());
    for attachment in attachments.drain(..) {
        if store.blob(&attachment.blob)?.is_some() {
            kept.push(attachment);
        }
    }
    *attachments = kept;
    Ok(())
}
