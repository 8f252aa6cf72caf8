//! Updates become messages for the agent, or a line that says why not.

use prx_sdk::connector::{Commands, Context, Inbound, LogLevel, Sender, Target};
use serde_json::value::RawValue;

use crate::api::{Message, Numbered, Update, User};
use crate::config::Config;
use crate::state::{Bot, State};

/// Updates this far below the offset are not old ones: after a quiet week the platform numbers anew.
const RENUMBERED: i64 = 100_000;

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

fn number(raw: &RawValue) -> Option<i64> {
    let number = serde_json::from_str::<Numbered>(raw.get()).ok()?.update_id;
    (0..i64::MAX).contains(&number).then_some(number)
}

fn update(cx: &Context<Config>, state: &mut State, number: i64, raw: &RawValue, out: &mut Commands) {
    // What serde has to say may quote the message, so it is not logged.
    let Ok(update) = serde_json::from_str::<Update>(raw.get()) else {
        out.log(LogLevel::Warn, format!("update {number} has a shape that is not understood"));
        return;
    };
    let Some(message) = update.message else { return };
    if let Some(new) = message.migrate_to_chat_id {
        state.chat_moved(message.chat.id, new);
    }
    match judge(&cx.config, &state.bot, &message) {
        Ok(words) => out.deliver(inbound(state, number, &message, words)),
        Err(ignored) => out.log(ignored.level(), format!("update {number} ignored: {ignored}")),
    }
}

fn inbound(state: &State, number: i64, message: &Message, words: Words<'_>) -> Inbound {
    let group = message.chat.is_group();
    Inbound {
        // Another bot on the same channel counts for itself.
        dedupe: format!("{}:{number}", state.bot.id),
        target: Target {
            conversation: state.conversation_of(message.chat.id).to_string(),
            thread: message.thread().map(|thread| thread.to_string()),
            reply_to: group.then(|| message.message_id.to_string()),
        },
        sender: Sender { id: words.sender.id.to_string(), name: words.sender.name(), is_bot: false },
        text: words.text,
        attachments: Vec::new(),
        sent_at: message.date.saturating_mul(1000),
        addressed: words.addressed,
        choice: None,
    }
}

/// Who says what to the agent.
#[derive(Debug)]
struct Words<'a> {
    sender: &'a User,
    text: String,
    addressed: bool,
}

/// Why a message is not for the agent.
#[derive(Debug, PartialEq)]
enum Ignored<'a> {
    NotAPerson,
    NotAllowed(i64, &'a str),
    NoText,
    OtherBot,
    NotAddressed,
}

impl Ignored<'_> {
    fn level(&self) -> LogLevel {
        if matches!(self, Ignored::NotAllowed(..)) { LogLevel::Warn } else { LogLevel::Debug }
    }
}

impl std::fmt::Display for Ignored<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ignored::NotAPerson => f.write_str("it comes from a bot or in the name of a chat"),
            Ignored::NotAllowed(id, "") => write!(f, "user {id} is not in allowed_users"),
            Ignored::NotAllowed(id, name) => write!(f, "user {id} (@{name}) is not in allowed_users"),
            Ignored::NoText => f.write_str("it has no text"),
            Ignored::OtherBot => f.write_str("the command is for another bot"),
            Ignored::NotAddressed => f.write_str("it is not addressed to the bot, and mention_only is set"),
        }
    }
}

fn judge<'a>(config: &Config, bot: &Bot, message: &'a Message) -> Result<Words<'a>, Ignored<'a>> {
    let sender = message.from.as_ref().filter(|user| !user.is_bot).ok_or(Ignored::NotAPerson)?;
    if message.sender_chat.is_some() {
        return Err(Ignored::NotAPerson);
    }
    let group = message.chat.is_group();
    let text = message.words().unwrap_or_default();
    let command = command(text);
    let addressee = command.and_then(|command| command.bot);
    let is_me = |name: &str| !name.is_empty() && name.eq_ignore_ascii_case(&bot.username);
    if group && addressee.is_some_and(|name| !is_me(name)) {
        return Err(Ignored::OtherBot);
    }
    let mention = mention(text, &bot.username);
    let addressed = !group || addressee.is_some() || mention.is_some() || message.speaks_to(bot);
    // Before the list of users: in a group, most of what strangers say is not said to the bot.
    if !addressed && config.mention_only {
        return Err(Ignored::NotAddressed);
    }
    if !config.allows(sender) {
        return Err(Ignored::NotAllowed(sender.id, sender.username.as_deref().unwrap_or_default()));
    }
    let text = match command.filter(|command| command.bot.is_some_and(is_me)) {
        Some(command) => format!("{}{}", command.name, command.rest),
        None => without_greeting(text, mention).to_owned(),
    };
    if text.trim().is_empty() {
        return Err(Ignored::NoText);
    }
    Ok(Words { sender, text, addressed })
}

/// `/name@bot rest`
#[derive(Clone, Copy)]
struct Command<'a> {
    name: &'a str,
    bot: Option<&'a str>,
    rest: &'a str,
}

fn command(text: &str) -> Option<Command<'_>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = 1 + text.strip_prefix('/')?.find(|c| !is_name(c)).unwrap_or(text.len() - 1);
    let (name, rest) = text.split_at(end);
    if name.len() < 2 {
        return None;
    }
    let Some(after) = rest.strip_prefix('@') else { return Some(Command { name, bot: None, rest }) };
    let (bot, rest) = after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len()));
    Some(Command { name, bot: Some(bot), rest })
}

/// Where `@username` stands as a word of its own: its bounds in bytes.
fn mention(text: &str, username: &str) -> Option<(usize, usize)> {
    if username.is_empty() {
        return None;
    }
    let (text, sign) = (text.to_ascii_lowercase(), format!("@{}", username.to_ascii_lowercase()));
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(&sign)
        .map(|(at, _)| (at, at + sign.len()))
        .find(|(at, end)| !text[..*at].ends_with(part_of_word) && !text[*end..].starts_with(part_of_word))
}

/// The text without the bot's name at its beginning, if more is said.
fn without_greeting(text: &str, mention: Option<(usize, usize)>) -> &str {
    let Some((at, end)) = mention else { return text };
    let rest = text[end..].trim_start_matches([',', ':']).trim_start();
    if text[..at].trim().is_empty() && !rest.is_empty() { rest } else { text }
}

impl Message {
    /// What was written, be it under a picture.
    fn words(&self) -> Option<&str> {
        self.text.as_deref().or(self.caption.as_deref())
    }

    /// The forum topic. Outside of forums a thread is only a chain of replies, which nothing can be sent to.
    fn thread(&self) -> Option<i64> {
        self.message_thread_id.filter(|_| self.is_topic_message)
    }

    /// Whether it replies to the bot or names it without a username.
    fn speaks_to(&self, bot: &Bot) -> bool {
        let is_bot = |user: &Option<User>| user.as_ref().is_some_and(|user| user.id == bot.id);
        let replies = self.reply_to_message.as_ref();
        replies.is_some_and(|replied| replied.forum_topic_created.is_none() && is_bot(&replied.from))
            || self.entities.iter().chain(&self.caption_entities).any(|entity| is_bot(&entity.user))
    }
}
