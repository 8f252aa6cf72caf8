//! Updates become messages for the agent, or a line that says why not.

use std::time::Duration;

use prx_sdk::connector::{Commands, Context, LogLevel};
use prx_sdk::quotes::{FileOf, Quotes};
use serde_json::value::RawValue;

use crate::ask;
use crate::classify::{Given, Ignored, classify, overhear};
use crate::config::Config;
use crate::menu;
use crate::pending::{Awaits, File, PendingMessage};
use crate::quotes;
use crate::rich;
use crate::shown;
use crate::state::State;
use crate::text::{MAX_TEXT, units};
use crate::update::{Message, MessageMedia, Numbered, Raw, Update, WithMedia, WithPress};

/// Updates this far below the offset are not old ones: after a quiet week the platform numbers anew.
const RENUMBERED: i64 = 100_000;

/// How long a message to which more may belong waits for it.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest time between its first part and any other, in milliseconds; the platform tells whole seconds.
const MAX_APART_MS: u64 = 10_000;
/// Most bytes of a text whose parts are put together.
const MAX_JOINED_BYTES: usize = 128 << 10;
/// A text of so many UTF-16 units may be the beginning of one that the sender's app has cut, at a space or a line's end.
const CUT_TEXT: usize = 3_800;

/// What came of a batch of updates.
#[derive(Debug, PartialEq)]
pub(crate) enum Batch {
    /// Every one of them was looked at; the offset is behind the last.
    Taken,
    /// It would only come again.
    Stuck(&'static str),
}

/// Takes the updates in order, each by itself: one that isn't understood is passed over.
pub(crate) fn batch(cx: &Context<Config>, state: &mut State, result: &RawValue, out: &mut Commands) -> Batch {
    let Ok(updates) = serde_json::from_str::<Vec<&RawValue>>(result.get()) else {
        return Batch::Stuck("the answer is no list of updates");
    };
    if updates.is_empty() {
        return Batch::Taken;
    }
    let numbered: Vec<_> = updates.iter().filter_map(|raw| Some((number(raw)?, *raw))).collect();
    if numbered.len() < updates.len() {
        out.log(LogLevel::Warn, format!("{} updates without a number", updates.len() - numbered.len()));
    }
    let Some(last) = numbered.iter().map(|(number, _)| *number).max() else {
        return Batch::Stuck("the updates have no numbers");
    };
    if last < state.offset - RENUMBERED {
        out.log(LogLevel::Info, "the platform numbers its updates anew");
        state.offset = 0;
    }
    let expected = state.offset;
    for (number, raw) in numbered.into_iter().filter(|(number, _)| *number >= expected) {
        update(cx, state, number, raw, out);
        state.offset = state.offset.max(number + 1);
    }
    if state.offset > expected {
        Batch::Taken
    } else {
        Batch::Stuck("only updates that were confirmed before")
    }
}

/// The number of an update.
pub(crate) fn number(raw: &RawValue) -> Option<i64> {
    let number = serde_json::from_str::<Numbered>(raw.get()).ok()?.update_id;
    (0..i64::MAX).contains(&number).then_some(number)
}

/// Takes one update in.
pub(crate) fn update(
    cx: &Context<Config>,
    state: &mut State,
    number: i64,
    raw: &RawValue,
    out: &mut Commands,
) {
    // What serde has to say may quote the message, so it is not logged.
    let Some(update) = read(raw) else {
        out.log(LogLevel::Warn, format!("update {number} has a shape that is not understood"));
        if let Ok(WithPress { callback_query }) = serde_json::from_str(raw.get()) {
            ask::acknowledge(cx, state, &callback_query.id, out);
        }
        return;
    };
    let result = match &update {
        Update { message: Some(said), .. } => message(cx, state, (number, raw), said, out),
        Update { edited_message: Some(edited), .. } => self::edited(cx, state, (number, raw), edited, out),
        Update { callback_query: Some(press), .. } => ask::pressed(cx, state, number, press, out),
        _ => Ok(()),
    };
    if let Err(ignored) = result {
        out.log(ignored.level(), format!("update {number} ignored: {ignored}"));
    }
}

/// An update, if it is of a shape that is understood. The words of a rich message are those of its blocks.
fn read(raw: &RawValue) -> Option<Update> {
    let mut update = serde_json::from_str::<Update>(raw.get()).ok()?;
    let message = update.message.as_mut().or(update.edited_message.as_mut());
    if let Some(message) = message.filter(|message| message.rich_message.is_some() && message.text.is_none())
    {
        message.text =
            serde_json::from_str::<Raw>(raw.get()).ok().and_then(|raw| rich::text_of(&raw.message));
    }
    Some(update)
}

/// A message was edited. It is heard if it speaks to the bot only now: where it is alone with a person, all was heard.
fn edited(
    cx: &Context<Config>,
    state: &mut State,
    update: (i64, &RawValue),
    edited: &Message,
    out: &mut Commands,
) -> Result<(), Ignored> {
    let is_new = edited.chat.is_group() && state.heard.is_new(&edited.key(), edited.sent_at());
    let given = Given { alone: false, follows: state.follows(edited) };
    if is_new && classify(&cx.config, &state.bot, edited, given).is_ok_and(|accepted| accepted.addressed) {
        return message(cx, state, update, edited, out);
    }
    Ok(())
}

fn message(
    cx: &Context<Config>,
    state: &mut State,
    (number, raw): (i64, &RawValue),
    message: &Message,
    out: &mut Commands,
) -> Result<(), Ignored> {
    if let Some(new) = message.migrate_to_chat_id {
        state.chat_moved(message.chat.id, new);
    }
    let media = media(number, raw, out);
    let (album, spoken) = (media.media_group_id.clone(), media.spoken());
    let part = Part::new(album, media.files(), quotes::of(&state.bot, message, raw));
    let Some(Part { album, files, quotes }) = join(cx, state, message, part, out) else { return Ok(()) };
    let shows = files.iter().any(|file| file.of != FileOf::ReplyTo);
    let is_silent = message.own_words().is_none_or(|words| words.trim().is_empty());
    let shown = spoken.or_else(|| if is_silent && !shows { shown::line(raw) } else { None });
    let shown = shown.filter(|_| !message.is_forward());
    let passes_on = quotes.forwarded.iter().any(|quote| !quote.text.trim().is_empty());
    let given = Given { alone: !shows && !passes_on && shown.is_none(), follows: state.follows(message) };
    let accepted = classify(&cx.config, &state.bot, message, given);
    let hears = cx.config.hear_groups && message.chat.is_group();
    let overheard = match &accepted {
        Err(Ignored::NotAddressed) => hears || message.is_forward() || (album.is_some() && shows),
        Err(Ignored::NotAllowed(..)) => hears,
        _ => false,
    };
    let accepted = if overheard { overhear(&cx.config, message)? } else { accepted? };
    if menu::is_start(message, &accepted.text) {
        menu::greet(cx, state, message.chat.id, out);
        return Ok(());
    }
    let awaits = message.awaits().filter(|awaits| !overheard || *awaits == Awaits::Comment);
    let mut pending = PendingMessage {
        // Another bot on the same channel counts for itself.
        dedupe: format!("{}:{number}", state.bot.id),
        place: state.place_of(message),
        reply_to: message.chat.is_group().then_some(message.message_id),
        sender: accepted.sender,
        language: accepted.language,
        text: accepted.text,
        sent_at: message.sent_at(),
        addressed: accepted.addressed,
        choice: None,
        album,
        awaits,
        overheard,
        hears,
        group: message.chat.is_group(),
        quotes,
    };
    if let Some(shown) = shown {
        pending.add_line(&shown);
    }
    state.note(message, &pending);
    let mut queue = state.pending_queue(cx, out);
    match pending.album.is_some() || pending.awaits.is_some() {
        true => queue.push_open(pending, files, PAUSE),
        false => queue.push(pending, files),
    }
    Ok(())
}

/// What comes with a message besides its own words.
struct Part {
    album: Option<String>,
    files: Vec<File>,
    quotes: Quotes,
}

impl Part {
    /// The files of what is passed on are not the message's own.
    fn new(album: Option<String>, own: Vec<File>, (quotes, files): (Quotes, Vec<File>)) -> Part {
        let own = if quotes.forwarded.is_empty() { own } else { Vec::new() };
        Part { album, files: own.into_iter().chain(files).collect(), quotes }
    }
}

/// Adds a message to the one that it belongs to: further pictures of an album, the rest of a text that the sender's app
/// has cut, what is passed on beside something else, a comment on it. Gives back what belongs to none.
fn join(
    cx: &Context<Config>,
    state: &mut State,
    message: &Message,
    part: Part,
    out: &mut Commands,
) -> Option<Part> {
    if state.pending.is_empty() {
        return Some(part);
    }
    let (place, sender) = (state.place_of(message), message.sender().map(|sender| sender.id));
    let is_theirs = |pending: &PendingMessage| pending.place == place && Some(pending.sender.0) == sender;
    let is_near = |pending: &PendingMessage| {
        pending.awaits.is_some()
            && is_theirs(pending)
            && message.sent_at().saturating_sub(pending.sent_at) <= MAX_APART_MS
    };
    let given = Given { alone: false, follows: state.follows(message) };
    let said = classify(&cx.config, &state.bot, message, given).ok();
    let addressed = said.as_ref().is_some_and(|said| said.addressed);
    let mut queue = state.pending_queue(cx, out);
    let files = part.files.clone();
    let (album, is_forward) = (part.album.as_deref(), message.is_forward());
    if album.is_some() && !files.is_empty() {
        let is_it = |pending: &PendingMessage| pending.album.as_deref() == album && is_theirs(pending);
        let caption = said.as_ref().map(|said| said.text.as_str()).or(message.caption.as_deref());
        let caption = caption.filter(|caption| !caption.is_empty() && !is_forward);
        // What an album answers, each of its pictures says.
        let own = files.iter().filter(|file| file.of != FileOf::ReplyTo).cloned().collect();
        let joined = queue.join(is_it, own, Some(PAUSE), |pending, files| {
            if addressed {
                pending.address();
            }
            caption.into_iter().for_each(|caption| pending.add_line(caption));
            pending.add_to_album(part.quotes.clone(), files);
        });
        if joined {
            return None;
        }
    }
    if is_forward {
        let is_it = |pending: &PendingMessage| is_near(pending) && pending.may_pass_on();
        let joined = queue.join(is_it, files, Some(PAUSE), |pending, files| {
            pending.album = part.album.clone();
            pending.pass_on(part.quotes.clone(), files);
        });
        return if joined { None } else { Some(part) };
    }
    let is_whole = files.iter().any(|file| file.of == FileOf::Message);
    let Some(text) = message.text.as_deref().filter(|text| !is_whole && !text.starts_with('/')) else {
        return Some(part);
    };
    let is_it =
        |pending: &PendingMessage| is_near(pending) && pending.text.len() + text.len() <= MAX_JOINED_BYTES;
    let awaits = message.awaits();
    let joined = queue.join(is_it, files, awaits.map(|_| PAUSE), |pending, _| {
        let comment = said.as_ref().filter(|_| pending.awaits == Some(Awaits::Comment));
        if addressed && comment.is_some() {
            pending.address();
        }
        pending.go_on(comment.map_or(text, |said| &said.text), awaits);
        pending.quotes.reply_to = pending.quotes.reply_to.take().or(part.quotes.reply_to.clone());
    });
    if joined { None } else { Some(part) }
}

/// The media of an update's message; of an unknown shape, it costs only itself.
fn media(number: i64, raw: &RawValue, out: &mut Commands) -> MessageMedia {
    if !raw.get().contains("\"file_id\"") {
        return MessageMedia::default();
    }
    serde_json::from_str::<WithMedia>(raw.get()).map(|with| with.message).unwrap_or_else(|_| {
        out.log(LogLevel::Warn, format!("update {number} has media of a shape that is not understood"));
        MessageMedia::default()
    })
}

impl Message {
    /// What may follow and belongs to it.
    fn awaits(&self) -> Option<Awaits> {
        match self.own_words().filter(|_| self.text.is_some()).map(units) {
            _ if self.is_forward() => Some(Awaits::Comment),
            Some(MAX_TEXT..) => Some(Awaits::Rest),
            Some(CUT_TEXT..) => Some(Awaits::NextLine),
            _ => None,
        }
    }
}
