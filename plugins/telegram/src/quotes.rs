//! What a message answers and what it passes on, as far as the platform shows it.

use prx_sdk::quotes::{FileOf, Quote, Quotes};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::pending::File;
use crate::rich;
use crate::shown;
use crate::state::Bot;
use crate::update::{Message, MessageMedia, Raw, User};

/// What the message of an update quotes, and the files of that.
pub(crate) fn of(bot: &Bot, said: &Message, raw: &RawValue) -> (Quotes, Vec<File>) {
    if !said.quotes_something() {
        return (Quotes::default(), Vec::new());
    }
    let message = serde_json::from_str::<Raw>(raw.get()).map(|raw| raw.message).unwrap_or_default();
    let (mut quotes, mut files) = (Quotes::default(), Vec::new());
    if let Some((quote, its_files)) = answered(bot, &message) {
        quotes.reply_to = Some(quote);
        files.extend(its_files.into_iter().map(|file| file.of(FileOf::ReplyTo)));
    }
    if let Some((author, from_agent)) = origin(bot, &message) {
        let (text, its_files) = content(&message);
        quotes.forwarded.push(Quote { author, from_agent, text, is_part: false });
        files.extend(its_files.into_iter().map(|file| file.of(FileOf::Forwarded(0))));
    }
    (quotes, files)
}

/// What a message answers: one of the same chat, one of elsewhere, a story, or only the words that were chosen of it.
fn answered(bot: &Bot, message: &Value) -> Option<(Quote, Vec<File>)> {
    let (author, from_agent, (text, files)) =
        if let Some(replied) = object(message, "reply_to_message").filter(|it| !begins_topic(message, it)) {
            let (author, from_agent) = author(bot, replied);
            (author, from_agent, content(replied))
        } else if let Some(external) = object(message, "external_reply") {
            let (author, from_agent) = origin_of(bot, &external["origin"]);
            (author, from_agent, content(external))
        } else if let Some(story) = object(message, "reply_to_story") {
            (name_of_chat(&story["chat"]), false, ("[story]".to_owned(), Vec::new()))
        } else {
            text_of(message, "quote")?;
            (None, false, Default::default())
        };
    let quote = Quote { author, from_agent, text, is_part: false };
    let chosen = text_of(message, "quote");
    // What nobody chose is the beginning of a text, told where the rest is not.
    let is_chosen = message["quote"]["is_manual"] != false;
    Some(match chosen {
        Some(chosen) if is_chosen && chosen != quote.text => {
            (Quote { text: chosen, is_part: true, ..quote }, files)
        }
        Some(begin) if quote.text.is_empty() || (!is_chosen && quote.text.starts_with('[')) => {
            (Quote { text: begin, ..quote }, files)
        }
        _ => (quote, files),
    })
}

/// In a topic, what answers nothing in particular answers the topic's own beginning.
fn begins_topic(message: &Value, replied: &Value) -> bool {
    let is_root =
        message["is_topic_message"] == true && message["message_thread_id"] == replied["message_id"];
    is_root || replied.get("forum_topic_created").is_some()
}

/// Who wrote a message, and whether it was this bot. What was passed on, another one wrote.
fn author(bot: &Bot, message: &Value) -> (Option<String>, bool) {
    origin(bot, message).unwrap_or_else(|| match object(message, "sender_chat") {
        Some(chat) => (name_of_chat(chat), false),
        None => user(bot, &message["from"]),
    })
}

/// Who wrote what a message passes on, and whether it was this bot. None: it passes nothing on.
fn origin(bot: &Bot, message: &Value) -> Option<(Option<String>, bool)> {
    if let Some(origin) = message.get("forward_origin").filter(|origin| !origin.is_null()) {
        return Some(origin_of(bot, origin));
    }
    // As servers say it that are older than origins.
    message.get("forward_date").filter(|date| !date.is_null())?;
    let chat = name_of_chat(&message["forward_from_chat"]);
    let signed = chat.map(|chat| signed(chat, &message["forward_signature"]));
    let hidden = message["forward_sender_name"].as_str().map(str::to_owned);
    Some(match object(message, "forward_from") {
        Some(from) => user(bot, from),
        None => (signed.or(hidden), false),
    })
}

fn origin_of(bot: &Bot, origin: &Value) -> (Option<String>, bool) {
    match origin["type"].as_str() {
        Some("user") => user(bot, &origin["sender_user"]),
        Some("hidden_user") => (origin["sender_user_name"].as_str().map(str::to_owned), false),
        Some("chat" | "channel") => {
            let chat = name_of_chat(&origin["sender_chat"]).or_else(|| name_of_chat(&origin["chat"]));
            (chat.map(|chat| signed(chat, &origin["author_signature"])), false)
        }
        _ => (None, false),
    }
}

fn user(bot: &Bot, user: &Value) -> (Option<String>, bool) {
    let Ok(user) = User::deserialize(user) else { return (None, false) };
    let name = Some(user.name()).filter(|name| !name.trim().is_empty()).or(user.username);
    (name, bot.id != 0 && user.id == bot.id)
}

fn name_of_chat(chat: &Value) -> Option<String> {
    let names = ["title", "first_name", "username"];
    names.iter().find_map(|name| chat[*name].as_str()).filter(|name| !name.is_empty()).map(str::to_owned)
}

fn signed(chat: String, author: &Value) -> String {
    author.as_str().map_or(chat.clone(), |author| format!("{chat} ({author})"))
}

/// What a message says and shows, and its files.
fn content(message: &Value) -> (String, Vec<File>) {
    let media = MessageMedia::deserialize(message).unwrap_or_default();
    let spoken = media.spoken();
    let files = media.files();
    let words =
        text_in(message, "text").or_else(|| text_in(message, "caption")).or_else(|| rich::text_of(message));
    let is_silent = words.is_none() && files.is_empty();
    let shown = spoken.or_else(|| shown::of(message).filter(|_| is_silent));
    (words.into_iter().chain(shown).collect::<Vec<_>>().join("\n"), files)
}

fn object<'a>(message: &'a Value, key: &str) -> Option<&'a Value> {
    message.get(key).filter(|value| value.is_object())
}

/// The text of a part of a message.
fn text_of(message: &Value, key: &str) -> Option<String> {
    text_in(&message[key], "text")
}

fn text_in(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
}
