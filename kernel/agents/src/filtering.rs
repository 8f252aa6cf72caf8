//! What is said in turns, as filters let it pass: a person's message before its agent sees it, and everything that is said to
//! people before anyone has seen it.

use super::progress::Progress;
use super::words::with;
use super::work::{Services, Work};
use prx_base::error::Result;
use prx_host::bindings::agent::Command;
use prx_host::bindings::filter::{Said, Stage, StageKind};
use prx_host::{Passed, Stopped};
use prx_store::{Attachment, Filtered, MessageContext, NewMessage, Role, Turn};

/// Stands for what was said before and filters have stopped.
const LEFT_OUT: &str = "[left out: a filter has stopped it]";

/// Who speaks with whom.
struct Place {
    channel: String,
    session: String,
    user: String,
}

impl Place {
    fn of(services: &Services, turn: &Turn) -> Result<Self> {
        let session = services.store.session(&turn.session)?;
        let user = turn.inbound.as_ref().map_or(session.user_id, |inbound| inbound.user_id.clone());
        Ok(Self { channel: session.channel, session: session.id, user })
    }

    fn said(&self, sender: &str, text: &str, files: &[Attachment]) -> Said {
        Said {
            channel: self.channel.clone(),
            session: self.session.clone(),
            user: self.user.clone(),
            sender: sender.to_owned(),
            text: text.to_owned(),
            attachments: files.iter().cloned().map(Into::into).collect(),
        }
    }
}

/// Has filters look at the message that a turn is about, with all that came along, and keeps what they make of it. Returns what
/// is to be said instead of an answer, where they stop it.
///
/// # Errors
/// The store has failed.
pub(super) async fn inbound(services: &Services, turn: &mut Turn) -> Result<Option<String>> {
    match &turn.filtered {
        Some(Filtered::Stopped(why)) => return Ok(Some(why.clone())),
        Some(Filtered::Passed) => return Ok(None),
        None if !services.tools.filters().applies(StageKind::Inbound) => return Ok(None),
        None => {}
    }
    let place = Place::of(services, turn)?;
    let mut message = turn.message.clone();
    if let Err(stopped) = look(services, &place, turn, &mut message).await {
        let why = worded(services, turn, stopped);
        services.store.stop_message(&turn.id(), why.clone()).await?;
        return Ok(Some(why));
    }
    if message != turn.message {
        services.store.change_message(&turn.id(), message.content.clone(), message.context.clone()).await?;
        turn.message = message;
    }
    Ok(None)
}

/// Has filters look at what was said before, as a program tells it: what they stop is left out.
///
/// # Errors
/// The store has failed.
pub(super) async fn history(services: &Services, session: &str, history: &mut [NewMessage]) -> Result<()> {
    if history.is_empty() || !services.tools.filters().applies(StageKind::Inbound) {
        return Ok(());
    }
    let session = services.store.session(session)?;
    let place = Place { channel: session.channel, session: session.id, user: session.user_id };
    for said in history.iter_mut().filter(|said| said.role != Role::Assistant) {
        let words = place.said("", &said.content, &said.attachments);
        if pass(services, words, &mut said.content).await.is_err() {
            said.content = LEFT_OUT.to_owned();
            said.attachments.clear();
        }
    }
    Ok(())
}

/// What a person reads in the place of what was stopped.
fn worded(services: &Services, turn: &Turn, stopped: Stopped) -> String {
    match stopped {
        Stopped::Said(why) => why,
        Stopped::Unchecked(plugin) => with(services.words(turn).unchecked, &plugin),
    }
}

/// What becomes of one text; the error says why it stops.
async fn pass(services: &Services, said: Said, text: &mut String) -> std::result::Result<(), Stopped> {
    if text.trim().is_empty() && said.attachments.is_empty() {
        return Ok(());
    }
    match services.tools.filters().inspect(Stage::Inbound(said)).await {
        Passed::AsItWas => Ok(()),
        Passed::Replaced(instead) => {
            *text = instead;
            Ok(())
        }
        Passed::Stopped(why) => Err(why),
    }
}

/// Has filters look at each text of a message. What was only overheard and is stopped is left out; the error says why anything
/// else is.
async fn look(
    services: &Services,
    place: &Place,
    turn: &Turn,
    message: &mut prx_store::Message,
) -> std::result::Result<(), Stopped> {
    let speaker = message.context.sender.as_ref().map(|sender| sender.name.clone());
    let speaker = speaker.or_else(|| turn.inbound.as_ref().map(|inbound| inbound.user_name.clone()));
    let said = place.said(&speaker.unwrap_or_default(), &message.content, &message.attachments);
    pass(services, said, &mut message.content).await?;
    let MessageContext { overheard, reply_to, forwarded, .. } = &mut message.context;
    for quoted in reply_to.iter_mut().chain(forwarded) {
        let said = place.said(quoted.author.as_deref().unwrap_or_default(), &quoted.text, &[]);
        pass(services, said, &mut quoted.text).await?;
    }
    let mut kept = Vec::with_capacity(overheard.len());
    for mut heard in std::mem::take(overheard) {
        let said = place.said(&heard.sender.name, &heard.text, &[]);
        if pass(services, said, &mut heard.text).await.is_ok() {
            kept.push(heard);
        }
    }
    *overheard = kept;
    Ok(())
}

/// Has filters look at what is said to a person. Returns what is said instead, if anything, and whether it is their word.
async fn outbound(work: &Work<'_>, text: &str, files: &[Attachment]) -> Result<Option<(String, bool)>> {
    let filters = work.services.tools.filters();
    if text.trim().is_empty() && files.is_empty() || !filters.applies(StageKind::Outbound) {
        return Ok(None);
    }
    let said = Place::of(work.services, work.turn)?.said("", text, files);
    Ok(match filters.inspect(Stage::Outbound(said)).await {
        Passed::AsItWas => None,
        Passed::Replaced(text) => Some((text, false)),
        Passed::Stopped(stopped) => Some((worded(work.services, work.turn, stopped), true)),
    })
}

/// A reply, as it is said.
///
/// # Errors
/// The store has failed.
pub(super) async fn reply(work: &Work<'_>, said: &mut NewMessage) -> Result<()> {
    if let Some((text, is_stopped)) = outbound(work, &said.content, &said.attachments).await? {
        said.content = text;
        // What its provider wants to see again may have the same words in it.
        if let Some(data) = &mut said.provider_data {
            data.message = None;
        }
        if is_stopped {
            said.attachments.clear();
        }
    }
    Ok(())
}

/// What was said in a turn, as it is kept: filters have looked at all that the agent has said.
///
/// # Errors
/// The store has failed.
pub(super) async fn transcript(work: &Work<'_>, progress: &mut Progress) -> Result<()> {
    let seen = std::mem::take(&mut progress.filtered);
    for said in &mut progress.messages {
        let is_seen = said.id.as_ref().is_some_and(|id| seen.contains(id));
        if said.role == Role::Assistant && !is_seen {
            reply(work, said).await?;
        }
    }
    Ok(())
}

/// What an agent wants to say or ask before the end, as it is said.
///
/// # Errors
/// The store has failed.
pub(super) async fn command(work: &Work<'_>, command: &mut Command) -> Result<()> {
    let texts: Vec<&mut String> = match command {
        Command::Say(text) => vec![text],
        Command::AskPerson((_, (text, choices))) => {
            std::iter::once(text).chain(choices.iter_mut().map(|choice| &mut choice.label)).collect()
        }
        _ => return Ok(()),
    };
    for text in texts {
        if let Some((instead, _)) = outbound(work, text, &[]).await? {
            *text = instead;
        }
    }
    Ok(())
}
