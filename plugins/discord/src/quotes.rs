//! What a message answers and what it passes on, as far as the platform shows it.

use prx_sdk::quotes::{FileOf, MAX_FORWARDED, Quote, Quotes};

use crate::message::{Media, Message};
use crate::shown;

/// Shown of a message that the platform does not have any more.
const DELETED: &str = "[a message that was deleted]";

/// A file, and which message it belongs to.
pub(crate) type FileOfMessage = (FileOf, Media);

/// What a message quotes, and the files of that; `me` is this bot's id.
pub(crate) fn of(me: &str, message: &Message) -> (Quotes, Vec<FileOfMessage>) {
    let (mut quotes, mut files) = (Quotes::default(), Vec::new());
    if let Some((quote, its_files)) = answered(me, message) {
        quotes.reply_to = Some(quote);
        files.extend(its_files.into_iter().map(|file| (FileOf::ReplyTo, file)));
    }
    for (place, snapshot) in message.snapshots().into_iter().take(MAX_FORWARDED).enumerate() {
        quotes.forwarded.push(Quote { text: text(&snapshot), ..Quote::default() });
        files.extend(snapshot.attachments.into_iter().map(|file| (FileOf::Forwarded(place), file)));
    }
    (quotes, files)
}

/// The message that another one answers, or that its thread began with.
pub(crate) fn answered(me: &str, message: &Message) -> Option<(Quote, Vec<Media>)> {
    let Some(answered) = message.answered()? else {
        return Some((Quote { text: DELETED.to_owned(), ..Quote::default() }, Vec::new()));
    };
    let name = Some(answered.author.name()).filter(|name| !name.is_empty());
    Some(match answered.snapshots().into_iter().next() {
        // The platform does not say who wrote what is passed on.
        Some(snapshot) => {
            let author = name.map(|name| format!("{name} (forwarded)"));
            (Quote { author, text: text(&snapshot), ..Quote::default() }, snapshot.attachments)
        }
        None => {
            let from_agent = !me.is_empty() && answered.author.id == me;
            let quote = Quote { author: name, from_agent, text: text(&answered), is_part: false };
            (quote, answered.attachments)
        }
    })
}

/// What a message says and shows.
fn text(message: &Message) -> String {
    let said = shown::named(message, None, &message.content);
    let said = Some(said).filter(|said| !said.trim().is_empty());
    said.into_iter().chain(shown::lines(message)).collect::<Vec<_>>().join("\n")
}
