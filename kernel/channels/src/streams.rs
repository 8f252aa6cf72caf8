//! What a platform is shown while the agent is at work: that it is, and, where the channel is set up so, the reply
//! as far as it has come. Not after the turn, and not faster than platforms like it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::convert;
use super::setup::Stream as Means;
use prx_base::events::Activity;
use prx_host::bindings::connector as wire;
use prx_store::{Conversation, Streamed, TurnId};

/// Platforms show for five seconds or more that someone is writing.
const TYPING: Duration = Duration::from_millis(4500);
/// Least time between two looks of one reply.
pub(super) const PACE: Duration = Duration::from_secs(1);

/// The turns that run in a channel's conversations, and those whose reply has yet to take its place.
#[derive(Default)]
pub(super) struct Streams(HashMap<TurnId, Stream>);

/// One turn, as its platform sees it.
struct Stream {
    target: wire::Target,
    conversation: Conversation,
    /// The reply so far; none where it was told to an earlier life of the channel.
    said: Option<watch::Receiver<String>>,
    shown: Shown,
    /// The text that the platform shows.
    text: String,
    asked: Option<Asked>,
    next_typing: Timestamp,
    next_text: Timestamp,
}

/// How the platform shows the reply.
#[derive(Debug, Clone, PartialEq)]
enum Shown {
    /// Not yet.
    Nothing,
    /// Not as a draft, for it takes none here.
    NoDraft,
    /// In the message of this platform id.
    Message(String),
    /// Not before it is whole.
    GivenUp,
}

/// An operation on its way that shows a text.
struct Asked {
    id: String,
    text: String,
    operation: What,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Draft,
    Send,
    Edit,
}

/// What there is to do for a turn.
pub(super) enum Look {
    /// This, and to look again after a while.
    Running(Vec<wire::Outbound>, Duration),
    /// Its attempt is over.
    Ended,
}

impl Streams {
    /// Takes up the messages that an earlier life of the channel left.
    pub(super) fn load(&mut self, channel: &str, left: Vec<Streamed>, now: Timestamp) -> Vec<TurnId> {
        let turns = left.iter().map(|streamed| streamed.turn.clone()).collect();
        for Streamed { turn, target, platform_id } in left {
            if let Some(mut stream) = Stream::new(channel, &target, now) {
                stream.shown = Shown::Message(platform_id);
                self.0.insert(turn, stream);
            }
        }
        turns
    }

    /// Notes that an attempt at a turn begins. The next one goes on where it left the platform.
    pub(super) fn report(&mut self, activity: &Activity, now: Timestamp) -> Option<TurnId> {
        let (session, seq) = activity.turn.clone();
        let turn = TurnId { session, seq };
        let fresh = Stream::new(&activity.channel, &activity.target, now)?;
        let stream = self.0.entry(turn.clone()).or_insert(fresh);
        stream.said = Some(activity.said.clone());
        Some(turn)
    }

    /// What there is to do for a turn. `free`: nothing else is on its way to its conversation.
    pub(super) fn look(
        &mut self,
        turn: &TurnId,
        means: Means,
        free: impl FnOnce(&Conversation) -> bool,
        now: Timestamp,
    ) -> Option<Look> {
        let stream = self.0.get_mut(turn)?;
        if stream.said.as_ref().is_none_or(|said| said.has_changed().is_err()) {
            return Some(Look::Ended);
        }
        let mut operations = Vec::new();
        if means.typing && stream.next_typing <= now {
            stream.next_typing = now + TYPING;
            // It is shown in the conversation, not as a reply to one message in it.
            let target = wire::Target { reply_to: None, ..stream.target.clone() };
            let id = format!("typing_{}_{}", turn.session, turn.seq);
            operations.push(outbound(id, target, wire::Operation::Typing));
        }
        if stream.next_text <= now && stream.asked.is_none() && free(&stream.conversation) {
            operations.extend(stream.show(turn, means, now));
        }
        let again = if means.draft || means.edit { PACE } else { TYPING };
        Some(Look::Running(operations, again))
    }

    /// Takes in how an operation ended, if it is one of these. Returns the message that shows the reply from now on.
    pub(super) fn settle(&mut self, id: &str, outcome: &wire::Outcome, now: Timestamp) -> Option<Streamed> {
        let asks = |stream: &Stream| stream.asked.as_ref().is_some_and(|asked| asked.id == id);
        let (turn, stream) = self.0.iter_mut().find(|(_, stream)| asks(stream))?;
        let Asked { text, operation, .. } = stream.asked.take()?;
        let mut message = None;
        match (outcome, operation) {
            (wire::Outcome::Ok(Some(platform_id)), What::Send) => {
                let (turn, platform_id) = (turn.clone(), platform_id.clone());
                let target = serde_json::to_value(&stream.target).unwrap_or_default();
                stream.shown = Shown::Message(platform_id.clone());
                message = Some(Streamed { turn, target, platform_id });
                stream.text = text;
            }
            (wire::Outcome::Ok(_), What::Draft | What::Edit) => stream.text = text,
            (wire::Outcome::RetryAfter(ms), _) => {
                stream.next_text = now + Duration::from_millis((*ms).into()).max(PACE);
            }
            (_, What::Draft) => stream.shown = Shown::NoDraft,
            (_, What::Send) => stream.shown = Shown::GivenUp,
            // What is shown stays, until the reply is whole.
            (_, What::Edit) => stream.next_text = Timestamp::MAX,
        }
        message
    }

    /// The message that shows a turn's reply.
    pub(super) fn message(&self, turn: &TurnId) -> Option<&str> {
        match &self.0.get(turn)?.shown {
            Shown::Message(platform_id) => Some(platform_id),
            _ => None,
        }
    }

    /// Whether anything is known of a turn.
    pub(super) fn knows(&self, turn: &TurnId) -> bool {
        self.0.contains_key(turn)
    }

    /// Whether an operation of a turn is on its way.
    pub(super) fn is_asking(&self, turn: &TurnId) -> bool {
        self.0.get(turn).is_some_and(|stream| stream.asked.is_some())
    }

    /// Whether operations of any turn in a conversation are on their way.
    pub(super) fn holds(&self, conversation: &Conversation) -> bool {
        self.0.values().any(|stream| stream.asked.is_some() && stream.conversation == *conversation)
    }

    /// Whether operations of any turn are on their way.
    pub(super) fn is_at_work(&self) -> bool {
        self.0.values().any(|stream| stream.asked.is_some())
    }

    /// Forgets a turn, for its reply is there. Returns how the message that showed it would be taken back.
    pub(super) fn forget(&mut self, turn: &TurnId) -> Option<wire::Outbound> {
        let Stream { target, shown: Shown::Message(platform_id), .. } = self.0.remove(turn)? else {
            return None;
        };
        let id = format!("gone_{}_{}", turn.session, turn.seq);
        Some(outbound(id, target, wire::Operation::Delete(platform_id)))
    }

    /// Leaves what is shown in a conversation as it is. Returns the turns that were shown.
    pub(super) fn leave(&mut self, conversation: &Conversation) -> Vec<TurnId> {
        let there = self.0.iter_mut().filter(|(_, stream)| stream.conversation == *conversation);
        let left = there.filter_map(|(turn, stream)| {
            let before = std::mem::replace(&mut stream.shown, Shown::Nothing);
            matches!(before, Shown::Message(_)).then(|| turn.clone())
        });
        left.collect()
    }

    /// Forgets a turn that has ended without a reply, and marks what is shown of it as cut off.
    pub(super) fn cut_off(&mut self, turn: &TurnId) -> Option<wire::Outbound> {
        let Stream { target, shown: Shown::Message(platform_id), text, .. } = self.0.remove(turn)? else {
            return None;
        };
        let content = wire::Content { markdown: format!("{} …", text.trim_end()), attachments: Vec::new() };
        let id = format!("cut_{}_{}", turn.session, turn.seq);
        let edit = || outbound(id, target, wire::Operation::Edit((platform_id, content)));
        (!text.trim().is_empty()).then(edit)
    }
}

impl Stream {
    fn new(channel: &str, target: &serde_json::Value, now: Timestamp) -> Option<Self> {
        let target = convert::target(target).ok()?;
        Some(Self {
            conversation: Conversation {
                channel: channel.into(),
                conversation: target.conversation.clone(),
                thread: target.thread.clone(),
            },
            target,
            said: None,
            shown: Shown::Nothing,
            text: String::new(),
            asked: None,
            next_typing: now,
            next_text: now + PACE,
        })
    }

    /// The operation that brings what is shown up to date, where there is something new.
    fn show(&mut self, turn: &TurnId, means: Means, now: Timestamp) -> Option<wire::Outbound> {
        let text = self.said.as_ref()?.borrow().clone();
        // What fits in no one message is shown when it is whole: then it can be split where that is best.
        if text.trim().is_empty() || text == self.text || text.encode_utf16().count() > means.max_text {
            return None;
        }
        let content = wire::Content { markdown: text.clone(), attachments: Vec::new() };
        let (what, operation) = match &self.shown {
            Shown::Message(id) => (What::Edit, wire::Operation::Edit((id.clone(), content))),
            Shown::Nothing if means.draft => {
                (What::Draft, wire::Operation::Draft((draft_number(turn), content)))
            }
            Shown::Nothing | Shown::NoDraft if means.edit => (What::Send, wire::Operation::Send(content)),
            _ => return None,
        };
        let id = format!("shown_{}_{}_{}", turn.session, turn.seq, now.as_millisecond());
        self.next_text = now + PACE;
        self.asked = Some(Asked { id: id.clone(), text, operation: what });
        Some(outbound(id, self.target.clone(), operation))
    }
}

fn outbound(id: String, target: wire::Target, operation: wire::Operation) -> wire::Outbound {
    wire::Outbound { id, target, operation, attempt: 1, maybe_duplicate: false }
}

/// The same for every look of one reply.
fn draft_number(turn: &TurnId) -> u64 {
    let mut hasher = DefaultHasher::new();
    turn.hash(&mut hasher);
    1 + hasher.finish() % 0x7fff_fffe
}
