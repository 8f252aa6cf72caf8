//! What in a message is for the agent, and why the rest is not.

use prx_sdk::connector::LogLevel;

use crate::config::Config;
use crate::state::Bot;
use crate::update::{Message, User};

/// Who says what to the agent.
#[derive(Debug)]
pub(crate) struct Accepted<'a> {
    pub(crate) sender: &'a User,
    pub(crate) text: String,
    pub(crate) addressed: bool,
}

/// Why a message is not for the agent.
#[derive(Debug, PartialEq)]
pub(crate) enum Ignored<'a> {
    NotAPerson,
    NotAllowed(i64, &'a str),
    NoText,
    OtherBot,
    NotAddressed,
}

impl Ignored<'_> {
    /// How much an operator wants to know of it.
    pub(crate) fn level(&self) -> LogLevel {
        if matches!(self, Ignored::NotAllowed(..)) { LogLevel::Warn } else { LogLevel::Debug }
    }
}

impl std::fmt::Display for Ignored<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ignored::NotAPerson => f.write_str("it comes from a bot or in the name of a chat"),
            Ignored::NotAllowed(id, "") => write!(f, "user {id} is not in allowed_users"),
            Ignored::NotAllowed(id, name) => write!(f, "user {id} (@{name}) is not in allowed_users"),
            Ignored::NoText => f.write_str("it has neither text nor a file"),
            Ignored::OtherBot => f.write_str("the command is for another bot"),
            Ignored::NotAddressed => f.write_str("it is not addressed to the bot, and mention_only is set"),
        }
    }
}

/// What of a message is for the agent; `alone`: there is nothing to it but its text.
pub(crate) fn classify<'a>(
    config: &Config,
    bot: &Bot,
    message: &'a Message,
    alone: bool,
) -> Result<Accepted<'a>, Ignored<'a>> {
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
    admit(config, sender)?;
    let text = match command.filter(|command| command.bot.is_some_and(is_me)) {
        Some(command) => format!("{}{}", command.name, command.rest),
        None => without_greeting(text, mention).to_owned(),
    };
    if alone && text.trim().is_empty() {
        return Err(Ignored::NoText);
    }
    Ok(Accepted { sender, text, addressed })
}

/// Whether this user may talk to the bot.
pub(crate) fn admit<'a>(config: &Config, user: &'a User) -> Result<(), Ignored<'a>> {
    if config.allows(user) {
        return Ok(());
    }
    Err(Ignored::NotAllowed(user.id, user.username.as_deref().unwrap_or_default()))
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
    pub(crate) fn words(&self) -> Option<&str> {
        self.text.as_deref().or(self.caption.as_deref())
    }

    /// The forum topic. Outside of forums a thread is only a chain of replies, which nothing can be sent to.
    pub(crate) fn thread(&self) -> Option<i64> {
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
