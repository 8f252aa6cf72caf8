//! Where a turn's reply goes.

use super::command::NEW;
use super::failure::TurnFailure;
use super::stream::ReplyStream;
use super::words::{Words, with};
use super::work::Work;
use prx_base::events::Activity;
use prx_base::traces::TraceContext;
use prx_store::{Attachment, Choice, Content, NewMessage, NewOutbound, Operation, Stop, Turn};

/// The reply as an operation for the channel that the message came from; none for a message over the API.
fn outbound(
    turn: &Turn,
    trace: Option<TraceContext>,
    text: &str,
    files: &[Attachment],
) -> Option<NewOutbound> {
    let said = operation(turn, trace, Operation::send(text, files.to_vec()))?;
    Some(NewOutbound { turn: Some(turn.id()), ..said })
}

fn operation(turn: &Turn, trace: Option<TraceContext>, operation: Operation) -> Option<NewOutbound> {
    let inbound = turn.inbound.as_ref()?;
    let (conversation, target) = (inbound.conversation.clone(), inbound.target.clone());
    Some(NewOutbound { conversation, target, operation, turn: None, trace })
}

/// The last word of a turn for the channel that the message came from. A turn that was stopped before anything was said
/// confirms that, if stopping it was all that the person wanted.
pub(super) fn last(work: &Work<'_>, said: &NewMessage, stop: Option<Stop>) -> Option<NewOutbound> {
    let (text, files) = (&said.content, &said.attachments);
    let outbound = |text, files| outbound(work.turn, work.trace, text, files);
    match stop {
        _ if !text.trim().is_empty() || !files.is_empty() => outbound(text, files),
        None => outbound(work.words().empty_answer, &[]),
        Some(Stop::Asked) => outbound(work.words().stopped, &[]),
        Some(Stop::Interrupted) => None,
    }
}

/// Something that is said before the end of a turn.
pub(super) fn in_between(work: &Work<'_>, text: &str) -> Option<NewOutbound> {
    operation(work.turn, work.trace, Operation::send(text, Vec::new()))
}

/// Asks the person, in these words, which of the choices it is to be.
pub(super) fn question(work: &Work<'_>, choices: Vec<Choice>, markdown: String) -> Option<NewOutbound> {
    let content = Content { markdown, attachments: Vec::new() };
    operation(work.turn, work.trace, Operation::Ask(content, choices))
}

/// Says that the agent is at work on a turn, where a channel can show it.
pub(super) fn activity(turn: &Turn, reply: &ReplyStream) -> Option<Activity> {
    let inbound = turn.inbound.as_ref()?;
    let (channel, target) = (inbound.conversation.channel.clone(), inbound.target.clone());
    Some(Activity { channel, target, turn: (turn.session.clone(), turn.seq), said: reply.so_far() })
}

/// What someone on a channel is told when their message was put aside.
pub(super) fn apology(
    turn: &Turn,
    trace: Option<TraceContext>,
    failure: &TurnFailure,
    words: &Words,
) -> Option<NewOutbound> {
    if failure.is_agent_down() {
        return outbound(turn, trace, words.agent_is_down, &[]);
    }
    let mut told = with(words.unanswered, &failure.error.to_string());
    if failure.refused {
        let has_files = !turn.message.attachments.is_empty();
        let what_now = if has_files { words.files_left_out } else { words.begin_another };
        told += &format!(". {}", with(what_now, NEW));
    }
    outbound(turn, trace, &told, &[])
}
