//! Live replies: what a platform is shown while the agent is at work. That it is, and, where the channel is set up so,
//! the reply as far as it has come. Not after the turn, and not faster than platforms like it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::convert;
use super::setup::LiveReplyOptions;
use prx_base::events::Activity;
use prx_host::bindings::connector as wire;
use prx_store::{Conversation, Streamed, TurnId};

/// Pause between two typing notices, in milliseconds. Platforms show one for five seconds or more.
const TYPING_INTERVAL: Duration = Duration::from_millis(4500);
/// Least time between two updates of one reply, in seconds.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);

/// The turns that run in a channel's conversations, and those whose reply has yet to take its place.
#[derive(Default)]
pub(super) struct LiveReplies(HashMap<TurnId, LiveReply>);

/// One turn, as its platform sees it.
struct LiveReply {
    target: wire::Target,
    conversation: Conversation,
    /// The reply so far; none where it went to an earlier run of the connector.
    reply: Option<watch::Receiver<String>>,
    display: Display,
    /// A message may be there that shows a part of the reply and can't be edited: it went out, and its id never came. The
    /// reply is sent as a whole then, with a word that some of it may be there already.
    doubtful: bool,
    /// The text that the platform shows.
    text: String,
    pending: Option<PendingUpdate>,
    next_typing: Timestamp,
    next_text: Timestamp,
}

/// How the platform shows the reply.
#[derive(Debug, Clone, PartialEq)]
enum Display {
    /// Not yet.
    Nothing,
    /// Not as a draft, for it takes none here.
    NoDraft,
    /// In the message of this platform id.
    Message(String),
    /// Not before it is whole.
    GivenUp,
}

/// An operation in flight that shows a text.
struct PendingUpdate {
    id: String,
    text: String,
    kind: UpdateKind,
}

#[derive(Clone, Copy, PartialEq)]
enum UpdateKind {
    Draft,
    Send,
    Edit,
}

/// What there is to do for a turn.
pub(super) enum Update {
    /// Its attempt goes on.
    Running {
        /// What the platform is asked for now.
        operations: Vec<wire::Outbound>,
        /// After what time there may be more.
        next_update: Duration,
    },
    /// Its attempt is over.
    AttemptEnded,
}

impl LiveReplies {
    /// Takes up the live replies that an earlier run of the connector left. Returns their turns.
    pub(super) fn restore(&mut self, channel: &str, left: Vec<Streamed>, now: Timestamp) -> Vec<TurnId> {
        let turns = left.iter().map(|streamed| streamed.turn.clone()).collect();
        for Streamed { turn, target, platform_id } in left {
            if let Some(mut live) = LiveReply::new(channel, &target, now) {
                live.doubtful = platform_id.is_none();
                live.display = platform_id.map_or(Display::Nothing, Display::Message);
                self.0.insert(turn, live);
            }
        }
        turns
    }

    /// Notes that an attempt at a turn begins. The next one goes on where it left the platform.
    pub(super) fn begin(&mut self, activity: &Activity, now: Timestamp) -> Option<TurnId> {
        let (session, seq) = activity.turn.clone();
        let turn = TurnId { session, seq };
        let fresh = LiveReply::new(&activity.channel, &activity.target, now)?;
        let live = self.0.entry(turn.clone()).or_insert(fresh);
        live.reply = Some(activity.said.clone());
        Some(turn)
    }

    /// Returns what there is to do for a turn. `is_free`: nothing else is in flight to its conversation.
    pub(super) fn update(
        &mut self,
        turn: &TurnId,
        options: LiveReplyOptions,
        is_free: impl FnOnce(&Conversation) -> bool,
        now: Timestamp,
    ) -> Option<Update> {
        let live = self.0.get_mut(turn)?;
        if live.reply.as_ref().is_none_or(|reply| reply.has_changed().is_err()) {
            return Some(Update::AttemptEnded);
        }
        let mut operations = Vec::new();
        if options.typing && live.next_typing <= now {
            live.next_typing = now + TYPING_INTERVAL;
            // It is shown in the conversation, not as a reply to one message in it.
            let target = wire::Target { reply_to: None, ..live.target.clone() };
            let id = format!("typing_{}_{}", turn.session, turn.seq);
            operations.push(outbound(id, target, wire::Operation::Typing));
        }
        if live.next_text <= now && live.pending.is_none() && is_free(&live.conversation) {
            operations.extend(live.show(turn, options, now));
        }
        let next_update = if options.draft || options.edit { UPDATE_INTERVAL } else { TYPING_INTERVAL };
        Some(Update::Running { operations, next_update })
    }

    /// Takes in the outcome of an operation, if it is one of these. Returns what is known from now on of the message that
    /// shows a turn's reply, if that changes: none is there, where it is none.
    pub(super) fn settle(
        &mut self,
        id: &str,
        outcome: &wire::Outcome,
        now: Timestamp,
    ) -> Option<(TurnId, Option<Streamed>)> {
        let is_of = |live: &LiveReply| live.pending.as_ref().is_some_and(|pending| pending.id == id);
        let (turn, live) = self.0.iter_mut().find(|(_, live)| is_of(live))?;
        let PendingUpdate { text, kind, .. } = live.pending.take()?;
        match (outcome, kind) {
            (wire::Outcome::Ok(Some(platform_id)), UpdateKind::Send) => {
                live.display = Display::Message(platform_id.clone());
                live.text = text;
                return Some((turn.clone(), Some(live.streamed(turn, Some(platform_id.clone())))));
            }
            (wire::Outcome::Unknown(_), UpdateKind::Send) => {
                live.doubtful = true;
                return None;
            }
            (wire::Outcome::Ok(_), UpdateKind::Draft | UpdateKind::Edit) => live.text = text,
            (wire::Outcome::RetryAfter(ms), _) => {
                live.next_text = now + Duration::from_millis((*ms).into()).max(UPDATE_INTERVAL);
            }
            (_, UpdateKind::Draft) => live.display = Display::NoDraft,
            (_, UpdateKind::Send) => live.display = Display::GivenUp,
            // What is shown stays, until the reply is whole.
            (_, UpdateKind::Edit) => live.next_text = Timestamp::MAX,
        }
        (kind == UpdateKind::Send).then(|| (turn.clone(), None))
    }

    /// The message that an operation sends, if it is one of these: nobody knows yet whether it is there.
    pub(super) fn sends(&self, id: &str) -> Option<Streamed> {
        let is_of = |live: &LiveReply| {
            live.pending.as_ref().is_some_and(|pending| pending.id == id && pending.kind == UpdateKind::Send)
        };
        self.0.iter().find(|(_, live)| is_of(live)).map(|(turn, live)| live.streamed(turn, None))
    }

    /// Whether a message may be there that shows a part of a turn's reply and can't be edited.
    pub(super) fn is_doubtful(&self, turn: &TurnId) -> bool {
        self.0.get(turn).is_some_and(|live| live.doubtful)
    }

    /// The message that shows a turn's reply.
    pub(super) fn message(&self, turn: &TurnId) -> Option<&str> {
        match &self.0.get(turn)?.display {
            Display::Message(platform_id) => Some(platform_id),
            _ => None,
        }
    }

    /// Whether a turn has a live reply.
    pub(super) fn contains(&self, turn: &TurnId) -> bool {
        self.0.contains_key(turn)
    }

    /// Whether an update of a turn is pending.
    pub(super) fn is_pending(&self, turn: &TurnId) -> bool {
        self.0.get(turn).is_some_and(|live| live.pending.is_some())
    }

    /// Whether an update of any turn in a conversation is pending.
    pub(super) fn is_pending_in(&self, conversation: &Conversation) -> bool {
        self.0.values().any(|live| live.pending.is_some() && live.conversation == *conversation)
    }

    /// Whether an update of any turn is pending.
    pub(super) fn is_any_pending(&self) -> bool {
        self.0.values().any(|live| live.pending.is_some())
    }

    /// Removes a turn, for its reply is there. Returns the operation that would delete its live reply.
    pub(super) fn remove(&mut self, turn: &TurnId) -> Option<wire::Outbound> {
        let LiveReply { target, display: Display::Message(platform_id), .. } = self.0.remove(turn)? else {
            return None;
        };
        let id = format!("gone_{}_{}", turn.session, turn.seq);
        Some(outbound(id, target, wire::Operation::Delete(platform_id)))
    }

    /// Leaves what is shown in a conversation as it is, so that the next update begins anew below it. Returns the turns
    /// that were shown.
    pub(super) fn detach(&mut self, conversation: &Conversation) -> Vec<TurnId> {
        let there = self.0.iter_mut().filter(|(_, live)| live.conversation == *conversation);
        let detached = there.filter_map(|(turn, live)| {
            let before = std::mem::replace(&mut live.display, Display::Nothing);
            matches!(before, Display::Message(_)).then(|| turn.clone())
        });
        detached.collect()
    }

    /// Removes a turn that has ended without a reply. Returns the edit that marks its live reply as cut off.
    pub(super) fn cut_off(&mut self, turn: &TurnId) -> Option<wire::Outbound> {
        let LiveReply { target, display: Display::Message(platform_id), text, .. } = self.0.remove(turn)?
        else {
            return None;
        };
        if text.trim().is_empty() {
            return None;
        }
        let content = wire::Content { markdown: format!("{} …", text.trim_end()), attachments: Vec::new() };
        let id = format!("cut_{}_{}", turn.session, turn.seq);
        Some(outbound(id, target, wire::Operation::Edit((platform_id, content))))
    }
}

impl LiveReply {
    fn new(channel: &str, target: &serde_json::Value, now: Timestamp) -> Option<Self> {
        let target = convert::target(target).ok()?;
        Some(Self {
            conversation: Conversation {
                channel: channel.into(),
                conversation: target.conversation.clone(),
                thread: target.thread.clone(),
            },
            target,
            reply: None,
            display: Display::Nothing,
            doubtful: false,
            text: String::new(),
            pending: None,
            next_typing: now,
            next_text: now + UPDATE_INTERVAL,
        })
    }

    fn streamed(&self, turn: &TurnId, platform_id: Option<String>) -> Streamed {
        let target = serde_json::to_value(&self.target).unwrap_or_default();
        Streamed { turn: turn.clone(), target, platform_id }
    }

    /// The operation that brings what is shown up to date, where there is something new.
    fn show(&mut self, turn: &TurnId, options: LiveReplyOptions, now: Timestamp) -> Option<wire::Outbound> {
        let text = self.reply.as_ref()?.borrow().clone();
        if self.doubtful || text.trim().is_empty() || text == self.text {
            return None;
        }
        // A draft is one message. What outgrows it is sent and edited from there on; the connector splits it.
        let fits = text.encode_utf16().count() <= options.max_text;
        let content = wire::Content { markdown: text.clone(), attachments: Vec::new() };
        let (kind, operation) = match &self.display {
            Display::Message(id) => (UpdateKind::Edit, wire::Operation::Edit((id.clone(), content))),
            Display::Nothing if options.draft && fits => {
                (UpdateKind::Draft, wire::Operation::Draft((draft_number(turn), content)))
            }
            Display::Nothing | Display::NoDraft if options.edit => {
                (UpdateKind::Send, wire::Operation::Send(content))
            }
            _ => return None,
        };
        let id = format!("shown_{}_{}_{}", turn.session, turn.seq, now.as_millisecond());
        self.next_text = now + UPDATE_INTERVAL;
        self.pending = Some(PendingUpdate { id: id.clone(), text, kind });
        Some(outbound(id, self.target.clone(), operation))
    }
}

fn outbound(id: String, target: wire::Target, operation: wire::Operation) -> wire::Outbound {
    wire::Outbound { id, target, operation, attempt: 1, maybe_duplicate: false }
}

/// The same for every update of one reply.
fn draft_number(turn: &TurnId) -> u64 {
    let mut hasher = DefaultHasher::new();
    turn.hash(&mut hasher);
    1 + hasher.finish() % 0x7fff_fffe
}
