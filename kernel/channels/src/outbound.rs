//! What waits to be done on the platform: in order within a conversation, side by side between them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use prx_base::error::Result;
use prx_base::traces::{Kind, Span, Traces};
use prx_store::{Conversation, OutboxEntry, OutboxOutcome, Store, TurnId};

/// Entries held in memory; the rest wait on disk.
const WINDOW: usize = 512;
/// Conversations that are served at the same time.
const AT_ONCE: usize = 32;

/// The queue of one channel, read from the outbox as there is room.
pub(super) struct Outbound {
    store: Store,
    traces: Traces,
    channel: String,
    conversations: BTreeMap<Conversation, VecDeque<OutboxEntry>>,
    /// Entries at work, by id.
    at_work: HashMap<String, Attempt>,
    held: usize,
    cursor: Option<String>,
    /// The last reading ended for want of room.
    more: bool,
}

/// An attempt at an entry.
struct Attempt {
    conversation: Conversation,
    span: Span,
}

impl Outbound {
    pub(super) fn new(store: Store, traces: Traces, channel: String) -> Self {
        let (conversations, at_work) = (BTreeMap::new(), HashMap::new());
        Self { store, traces, channel, conversations, at_work, held: 0, cursor: None, more: false }
    }

    /// Reads what came into the outbox since the last time, as far as there is room. Returns the ids of those
    /// that have to wait, and how long.
    pub(super) fn fill(&mut self, now: Timestamp) -> Result<Vec<(String, Duration)>> {
        let mut later = Vec::new();
        while self.held < WINDOW {
            let page = self.store.outbox(&self.channel, WINDOW - self.held, self.cursor.as_deref())?;
            let Some(last) = page.last() else {
                self.more = false;
                return Ok(later);
            };
            self.cursor = Some(last.id.clone());
            self.held += page.len();
            for entry in page {
                let wait = entry.not_before.filter(|at| *at > now).map(|at| Duration::try_from(at - now));
                if let Some(Ok(wait)) = wait {
                    later.push((entry.id.clone(), wait));
                }
                self.conversations.entry(entry.conversation.clone()).or_default().push_back(entry);
            }
        }
        self.more = true;
        Ok(later)
    }

    /// Whether what was left on disk for want of room has some now.
    pub(super) fn can_read_on(&self) -> bool {
        self.more && !self.is_full()
    }

    /// Takes the entries that may be worked on now: the first of each conversation that is not being served, nor held.
    pub(super) fn take_ready(
        &mut self,
        now: Timestamp,
        held: impl Fn(&Conversation) -> bool,
    ) -> Vec<OutboxEntry> {
        let room = AT_ONCE.saturating_sub(self.at_work.len());
        let at_work = &self.at_work;
        let free =
            |key: &Conversation| !at_work.values().any(|attempt| attempt.conversation == *key) && !held(key);
        let due = |entry: &&OutboxEntry| entry.not_before.is_none_or(|at| at <= now);
        let ready = self.conversations.iter().filter(|(key, _)| free(key));
        let ready = ready.filter_map(|(_, waiting)| waiting.front().filter(due).cloned());
        let ready: Vec<OutboxEntry> = ready.take(room).collect();
        for entry in &ready {
            let attempt = Attempt { conversation: entry.conversation.clone(), span: self.span(entry) };
            self.at_work.insert(entry.id.clone(), attempt);
        }
        ready
    }

    /// The span of an attempt at an entry that begins now.
    fn span(&self, entry: &OutboxEntry) -> Span {
        let mut span = self.traces.within(entry.trace, Kind::Client, || format!("send {}", self.channel));
        span.set("prx.channel", self.channel.as_str());
        span.set("prx.outbox.id", entry.id.as_str());
        span.set("prx.outbox.attempt", u64::from(entry.attempt) + 1);
        span
    }

    /// Takes in an entry as the store has it now that an attempt at it has begun. None: it is gone from there.
    pub(super) fn dispatched(&mut self, id: &str, entry: Option<OutboxEntry>) {
        match entry {
            Some(entry) => self.replace(id, entry),
            None => self.leave(id),
        }
    }

    /// Takes in an entry as the store has it now that an attempt at it has ended. None: it has left the outbox. An
    /// unknown id changes nothing.
    pub(super) fn finish(&mut self, id: &str, outcome: &OutboxOutcome, entry: Option<OutboxEntry>) {
        if let Some(attempt) = self.at_work.get_mut(id) {
            end(&mut attempt.span, outcome);
        }
        match entry {
            Some(entry) => {
                self.replace(id, entry);
                self.at_work.remove(id);
            }
            None => self.leave(id),
        }
    }

    /// An entry at work has left the outbox, and the next of its conversation follows.
    fn leave(&mut self, id: &str) {
        let Some(Attempt { conversation: key, .. }) = self.at_work.remove(id) else { return };
        let Some(waiting) = self.conversations.get_mut(&key) else { return };
        waiting.pop_front();
        self.held -= 1;
        if waiting.is_empty() {
            self.conversations.remove(&key);
        }
    }

    fn replace(&mut self, id: &str, entry: OutboxEntry) {
        let at_work = self.at_work.get(id);
        let waiting = at_work.and_then(|attempt| self.conversations.get_mut(&attempt.conversation));
        if let Some(first) = waiting.and_then(VecDeque::front_mut) {
            *first = entry;
        }
    }

    /// Whether anything waits for a conversation or is being worked on there.
    pub(super) fn has(&self, conversation: &Conversation) -> bool {
        self.conversations.contains_key(conversation)
    }

    /// Whether the reply of a turn waits or is being worked on.
    pub(super) fn answers(&self, turn: &TurnId) -> bool {
        self.conversations.values().flatten().any(|entry| entry.turn.as_ref() == Some(turn))
    }

    /// Whether entries may wait on disk that are not known here.
    pub(super) fn is_full(&self) -> bool {
        self.held >= WINDOW
    }

    /// Whether anything is being worked on.
    pub(super) fn is_at_work(&self) -> bool {
        !self.at_work.is_empty()
    }

    /// The entry that is being worked on under this id.
    pub(super) fn at_work(&self, id: &str) -> Option<&OutboxEntry> {
        let attempt = self.at_work.get(id)?;
        self.conversations.get(&attempt.conversation)?.front()
    }
}

/// Says in an attempt's span what came of it.
fn end(span: &mut Span, outcome: &OutboxOutcome) {
    let word = match outcome {
        OutboxOutcome::Sent { .. } => "sent",
        OutboxOutcome::Instead { .. } => "instead",
        OutboxOutcome::Retry { maybe_duplicate: true, .. } => "unknown",
        OutboxOutcome::Retry { .. } => "retry",
        OutboxOutcome::Failed { .. } => "failed",
    };
    span.set("prx.outbox.outcome", word);
    if matches!(outcome, OutboxOutcome::Retry { .. } | OutboxOutcome::Failed { .. }) {
        span.fail(word);
    }
}
