//! Channels: a connector's state, and the commit of one of its steps.

use std::collections::HashMap;

use redb::{ReadableTable, TableDefinition};
use serde_json::json;

use super::handle::Store;
use super::kept::Kept;
use super::message::{MessageContext, NewMessage, Overheard, Sender};
use super::model::{Command, Conversation, InboundInfo, NewInbound, NewSession, Session, Stop, TurnId};
use super::outbox::{OutboxEntry, OutboxOutcome};
use super::rows::{Failure, Result};
use super::sessions::{self, SessionRow};
use super::streams::Streamed;
use super::tx::Tx;
use super::{approvals, events, guests, outbox, overheard, queue, streams, succession};
use prx_base::events::Kind;

const STATES: TableDefinition<'static, &str, (u32, &[u8])> = TableDefinition::new("channel_states");
/// The platform's messages that were taken in: by channel and key, with when (Unix milliseconds).
pub(super) const SEEN: TableDefinition<'static, (&str, &str), i64> = TableDefinition::new("seen");
/// The same by age, to forget them.
pub(super) const SEEN_AT: TableDefinition<'static, (i64, &str, &str), ()> = TableDefinition::new("seen_at");

/// How long a message of a platform is recognised when it comes again.
const SEEN_FOR_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Keys that a step may forget beyond the number it adds: bounded work, and yet they never pile up.
const MAX_FORGOTTEN: usize = 16;

pub(super) const TABLES: &[&dyn Kept] = &[&STATES, &SEEN, &SEEN_AT];

/// What a connector remembers between calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelState {
    /// The version of its shape, from the connector's manifest.
    pub version: u32,
    /// Only the connector can read it.
    pub bytes: Vec<u8>,
}

/// Everything that one step of a connector changes.
#[derive(Debug, Clone, Default)]
pub struct StepCommit {
    /// The channel.
    pub channel: String,
    /// The connector's state, where the step has changed it.
    pub state: Option<ChannelState>,
    /// What people have said, in order.
    pub inbound: Vec<NewInbound>,
    /// What people have said and not to the agent, in order, each with how many of the step's messages came before it.
    pub overheard: Vec<(usize, Conversation, Overheard)>,
    /// What became of outbox entries, by id.
    pub outcomes: Vec<(String, OutboxOutcome)>,
    /// Messages that show a turn's reply in the making, or none any more.
    pub streams: Vec<(TurnId, Option<Streamed>)>,
    /// Outbox entries that go out once the step is committed.
    pub dispatched: Vec<String>,
    /// Turns after which a conversation gets a fresh session.
    pub max_turns: u64,
    /// What people say stops what is still being answered in their conversation.
    pub interrupts: bool,
    /// A crash may undo this step, for the platform then says the same again.
    pub replayable: bool,
}

/// What committing a step came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepReceipt {
    /// The turns that were queued, in order.
    pub accepted: Vec<TurnId>,
    /// How many messages were known already.
    pub duplicates: usize,
    /// The sessions that were opened for them.
    pub opened: Vec<Session>,
    /// The outbox entries that the step dispatched or settled, by id, as they are now; none once they have left the outbox.
    pub outbox: HashMap<String, Option<OutboxEntry>>,
}

impl StepCommit {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.state.is_none()
            && self.inbound.is_empty()
            && self.overheard.is_empty()
            && self.outcomes.is_empty()
            && self.streams.is_empty()
            && self.dispatched.is_empty()
    }
}

impl Store {
    /// What a channel's connector remembers; none before its first step.
    pub fn channel_state(&self, channel: &str) -> Result<Option<ChannelState>> {
        self.read(|snapshot| {
            let state = snapshot.open(STATES)?.get(channel)?;
            Ok(state.map(|state| {
                let (version, bytes) = state.value();
                ChannelState { version, bytes: bytes.to_vec() }
            }))
        })
    }

    /// Commits one step of a connector, all of it or nothing.
    ///
    /// A message goes to the session of its conversation, or to a fresh one when that has ended or has no turn left;
    /// the fresh one's turns wait until the other's are done. [`Command::NewSession`] stops those and opens a fresh one in
    /// any case. Nobody stops what is done for someone else, with whom they share the conversation. [`Command::StopTurn`], and the answer to a question that a turn has asked, go to the turn at work instead
    /// and wait for nothing.
    pub async fn commit_step(&self, step: StepCommit) -> Result<StepReceipt> {
        if step.replayable {
            self.write_lazily(move |tx| commit(tx, step)).await
        } else {
            self.write(move |tx| commit(tx, step)).await
        }
    }
}

fn commit(tx: &Tx<'_>, step: StepCommit) -> Result<StepReceipt, Failure> {
    let channel = step.channel.as_str();
    if let Some(state) = step.state {
        tx.change(STATES)?.insert(channel, (state.version, state.bytes.as_slice()))?;
    }
    let mut receipt = StepReceipt::default();
    let received = step.inbound.len();
    let mut overheard = step.overheard.into_iter().peekable();
    for (place, inbound) in step.inbound.into_iter().enumerate() {
        while let Some((_, conversation, said)) = overheard.next_if(|(before, ..)| *before <= place) {
            overheard::keep(tx, &conversation, said)?;
        }
        if recognise(tx, channel, &inbound.dedupe)? {
            receipt.duplicates += 1;
            continue;
        }
        let newest = sessions::of_conversation(tx, &inbound.conversation)?;
        let at_work = newest.as_ref().map(|row| row.at_work(tx)).transpose()?.flatten();
        if for_turn_at_work(tx, at_work.as_deref(), &inbound)? {
            continue;
        }
        if let Some(session) = at_work.filter(|_| step.interrupts || inbound.begins_anew()) {
            queue::stop(tx, &session, Stop::Interrupted, Some(&inbound.user_id))?;
        }
        receive(tx, inbound, newest, step.max_turns, &mut receipt)?;
    }
    for (_, conversation, said) in overheard {
        overheard::keep(tx, &conversation, said)?;
    }
    if received > 0 {
        forget(tx, received + MAX_FORGOTTEN)?;
    }
    for (turn, message) in step.streams {
        streams::set(tx, channel, &turn, message.as_ref())?;
    }
    for id in step.dispatched {
        let entry = outbox::dispatch(tx, channel, &id)?;
        receipt.outbox.insert(id, entry);
    }
    for (id, outcome) in step.outcomes {
        let entry = outbox::settle(tx, channel, &id, outcome)?;
        receipt.outbox.insert(id, entry);
    }
    Ok(receipt)
}

/// Whether a message was seen before; if not, it is from now on.
fn recognise(tx: &Tx<'_>, channel: &str, key: &str) -> Result<bool, Failure> {
    let now = tx.now().as_millisecond();
    let mut seen = tx.change(SEEN)?;
    // Nearly every message is a new one: it costs one way through the table, and one seen before two.
    let before = seen.insert((channel, key), now)?.map(|at| at.value());
    match before {
        Some(at) => drop(seen.insert((channel, key), at)?),
        None => drop(tx.change(SEEN_AT)?.insert((now, channel, key), ())?),
    }
    Ok(before.is_some())
}

/// Forgets up to `limit` of the oldest messages, where they are old enough.
fn forget(tx: &Tx<'_>, limit: usize) -> Result<(), Failure> {
    let old = tx.now().as_millisecond() - SEEN_FOR_MS;
    let mut ages = tx.change(SEEN_AT)?;
    let mut seen = tx.change(SEEN)?;
    for _ in 0..limit {
        let Some((age, channel, key)) = oldest(&ages)?.filter(|(age, ..)| *age < old) else { break };
        ages.remove((age, channel.as_str(), key.as_str()))?;
        seen.remove((channel.as_str(), key.as_str()))?;
    }
    Ok(())
}

fn oldest(
    ages: &impl ReadableTable<(i64, &'static str, &'static str), ()>,
) -> Result<Option<(i64, String, String)>, Failure> {
    let first = ages.first()?;
    Ok(first.map(|(key, _)| {
        let (age, channel, key) = key.value();
        (age, channel.to_owned(), key.to_owned())
    }))
}

/// Tells a session's turn at work what is meant for it. Only what is meant for nobody else is taken: with no turn at
/// work, and no question to answer, a message is one like any other.
fn for_turn_at_work(tx: &Tx<'_>, at_work: Option<&str>, inbound: &NewInbound) -> Result<bool, Failure> {
    let chosen = inbound.choice.is_some();
    let Some(session) = at_work else { return Ok(chosen) };
    if approvals::answer(tx, session, inbound)? || chosen {
        return Ok(true);
    }
    match inbound.command {
        Some(Command::StopTurn) => queue::stop(tx, session, Stop::Asked, Some(&inbound.user_id)),
        _ => Ok(false),
    }
}

/// Queues a message's turn in the newest session of its conversation, or in a fresh one.
pub(super) fn receive(
    tx: &Tx<'_>,
    inbound: NewInbound,
    newest: Option<SessionRow>,
    max_turns: u64,
    receipt: &mut StepReceipt,
) -> Result<(), Failure> {
    let anew = inbound.begins_anew();
    let mut row = match newest {
        Some(row) if !anew && row.is_open() && row.session.turn_count + row.waiting < max_turns => row,
        previous => {
            let row = open_session(tx, &inbound, previous)?;
            let Session { id, channel, .. } = &row.session;
            let data = json!({ "session_id": id, "channel": channel });
            events::announce(tx, Kind::SessionCreated, data)?;
            receipt.opened.push(row.session.clone());
            row
        }
    };
    let before = overheard::take(tx, &inbound.conversation)?;
    let sender = Sender { id: inbound.user_id.clone(), name: inbound.user_name.clone() };
    let context = MessageContext {
        sender: inbound.group.then_some(sender),
        overheard: if anew { Vec::new() } else { before },
        reply_to: inbound.reply_to,
        forwarded: inbound.forwarded,
    };
    let begun_by = inbound.begun_by.as_ref().map(|by| by.plugin.clone());
    let info = InboundInfo {
        conversation: inbound.conversation,
        target: inbound.target,
        user_id: inbound.user_id,
        user_name: inbound.user_name,
        language: inbound.language,
        sent_at: inbound.sent_at,
        metadata: inbound.metadata,
        begun_by: inbound.begun_by,
    };
    if let Some(language) = &info.language {
        row.session.language = Some(language.clone());
    }
    guests::note(tx, &row.session, &info.user_id)?;
    for said in &context.overheard {
        guests::note(tx, &row.session, &said.sender.id)?;
    }
    let user_id = Some(info.user_id.clone()).filter(|user| *user != row.session.user_id);
    let said =
        NewMessage { user_id, attachments: inbound.attachments, context, ..NewMessage::user(inbound.text) };
    let turn = queue::queue(tx, &mut row, (tx.id("msg"), said), Some(info), None)?;
    row.save(tx)?;
    let Session { id, channel, .. } = &row.session;
    let mut data = json!({ "session_id": id, "channel": channel });
    if let Some(plugin) = begun_by {
        data["begun_by"] = plugin.into();
    }
    events::announce(tx, Kind::MessageReceived, data)?;
    receipt.accepted.push(turn.id());
    Ok(())
}

/// A fresh session for a conversation, behind the one whose turns are still being worked on.
fn open_session(
    tx: &Tx<'_>,
    inbound: &NewInbound,
    previous: Option<SessionRow>,
) -> Result<SessionRow, Failure> {
    let new = NewSession {
        channel: inbound.conversation.channel.clone(),
        user_id: inbound.user_id.clone(),
        metadata: inbound.metadata.clone(),
        conversation: Some(inbound.conversation.clone()),
        model: None,
        agent: None,
        language: inbound.language.clone(),
    };
    succession::open_after(tx, new, previous, !inbound.begins_anew())
}
