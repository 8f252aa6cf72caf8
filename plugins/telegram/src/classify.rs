//! What in a message is for the agent, and why the rest is not.

use prx_sdk::connector::LogLevel;

use crate::config::Config;
use crate::state::Bot;
use crate::update::{Message, Replied, User};

/// Who says what to the agent.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Id and name.
    pub(crate) sender: (i64, String),
    pub(crate) language: Option<String>,
    pub(crate) text: String,
    pub(crate) addressed: bool,
}

impl Accepted {
    fn by(sender: User, text: String, addressed: bool) -> Self {
        Self { sender: (sender.id, sender.name()), language: sender.language_code, text, addressed }
    }
}

/// Why a message is not for the agent.
#[derive(Debug, PartialEq)]
pub(crate) enum Ignored {
    NotAPerson,
    NotAllowed(i64, String),
    NoText,
    OtherBot,
    NotAddressed,
}

impl Ignored {
    /// How much an operator wants to know of it.
    pub(crate) fn level(&self) -> LogLevel {
        match self {
            Ignored::NotAllowed(..) => LogLevel::Warn,
            Ignored::NoText => LogLevel::Info,
            _ => LogLevel::Debug,
        }
    }
}

impl std::fmt::Display for Ignored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ignored::NotAPerson => f.write_str("it comes from a bot, or from a channel by itself"),
            Ignored::NotAllowed(id, name) => {
                let who = if *id < 0 { "it is written in the name of a chat: chat" } else { "user" };
                let name = if name.is_empty() { String::new() } else { format!(" (@{name})") };
                write!(f, "{who} {id}{name} is not in allowed_users")
            }
            Ignored::NoText => f.write_str("it has nothing that is known how to show"),
            Ignored::OtherBot => f.write_str("the command is for another bot"),
            Ignored::NotAddressed => f.write_str("it is not addressed to the bot, and mention_only is set"),
        }
    }
}

/// What is known of a message besides what it says.
#[derive(Clone, Copy)]
pub(crate) struct Given {
    /// There is nothing to it but its text.
    pub(crate) alone: bool,
    /// It answers something that was said to the bot.
    pub(crate) follows: bool,
}

/// What of a message is for the agent.
pub(crate) fn classify(
    config: &Config,
    bot: &Bot,
    message: &Message,
    Given { alone, follows }: Given,
) -> Result<Accepted, Ignored> {
    let sender = message.sender().ok_or(Ignored::NotAPerson)?;
    let group = message.chat.is_group();
    let text = message.own_words().unwrap_or_default();
    let command = command(text);
    let addressee = command.and_then(|command| command.bot);
    let is_me = |name: &str| !name.is_empty() && name.eq_ignore_ascii_case(&bot.username);
    if group && addressee.is_some_and(|name| !is_me(name)) {
        return Err(Ignored::OtherBot);
    }
    let mention = mention(text, &bot.username);
    let addressed = !group || addressee.is_some() || mention.is_some() || follows || message.speaks_to(bot);
    // Before the list of users: in a group, most of what strangers say is not said to the bot.
    if !addressed && config.mention_only {
        return Err(Ignored::NotAddressed);
    }
    admit(config, &sender)?;
    let text = match command.filter(|command| command.bot.is_some_and(is_me)) {
        Some(command) => format!("{}{}", command.name, command.rest),
        None => without_greeting(text, mention).to_owned(),
    };
    if alone && text.trim().is_empty() {
        return Err(Ignored::NoText);
    }
    Ok(Accepted::by(sender, text, addressed))
}

/// What is not said to the bot: what belongs to it may be, or it is kept as what was said before.
pub(crate) fn overhear(config: &Config, message: &Message) -> Result<Accepted, Ignored> {
    let sender = message.sender().ok_or(Ignored::NotAPerson)?;
    if !config.allows(&sender) && !config.hear_groups {
        return Err(Ignored::NotAddressed);
    }
    let text = message.own_words().unwrap_or_default().to_owned();
    Ok(Accepted::by(sender, text, false))
}

/// Whether this user may talk to the bot.
pub(crate) fn admit(config: &Config, user: &User) -> Result<(), Ignored> {
    if config.allows(user) {
        return Ok(());
    }
    Err(Ignored::NotAllowed(user.id, user.username.clone().unwrap_or_default()))
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
    if username.is_empty() || !text.contains('@') {
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
    /// When it was sent, in Unix milliseconds.
    pub(crate) fn sent_at(&self) -> u64 {
        self.date.saturating_mul(1000)
    }

    /// What it is known by in all chats.
    pub(crate) fn key(&self) -> String {
        self.key_of(self.message_id)
    }

    /// What another message of its chat is known by.
    pub(crate) fn key_of(&self, message_id: i64) -> String {
        format!("{}:{message_id}", self.chat.id)
    }

    /// Whether someone else said it, elsewhere.
    pub(crate) fn is_forward(&self) -> bool {
        self.forward_origin.is_some() || self.forward_date.is_some()
    }

    /// Whether there is more to it than its own words and files.
    pub(crate) fn quotes_something(&self) -> bool {
        self.reply_to_message.is_some()
            || self.external_reply.is_some()
            || self.reply_to_story.is_some()
            || self.quote.is_some()
            || self.is_forward()
    }

    /// What its sender wrote, be it under a picture. What is passed on are the words of others.
    pub(crate) fn own_words(&self) -> Option<&str> {
        self.text.as_deref().or(self.caption.as_deref()).filter(|_| !self.is_forward())
    }

    /// Who says it: a person, or the chat in whose name one writes, of which the person is not told. None: nobody does.
    pub(crate) fn sender(&self) -> Option<User> {
        match &self.sender_chat {
            Some(_) if self.is_automatic_forward => None,
            Some(chat) => {
                let name = chat.title.clone().or(chat.username.clone()).unwrap_or_default();
                Some(User {
                    id: chat.id,
                    first_name: name,
                    username: chat.username.clone(),
                    ..User::default()
                })
            }
            None => self.from.clone().filter(|user| !user.is_bot),
        }
    }

    /// The forum topic. Outside of forums a thread is only a chain of replies, which nothing can be sent to.
    pub(crate) fn thread(&self) -> Option<i64> {
        self.message_thread_id.filter(|_| self.is_topic_message)
    }

    /// The message of the same chat that it answers.
    pub(crate) fn answers(&self) -> Option<&Replied> {
        let replied = self.reply_to_message.as_deref();
        replied.filter(|replied| replied.forum_topic_created.is_none())
    }

    /// Whether it replies to the bot or names it without a username.
    fn speaks_to(&self, bot: &Bot) -> bool {
        let is_bot = |user: &Option<User>| user.as_ref().is_some_and(|user| user.id == bot.id);
        self.answers().is_some_and(|replied| is_bot(&replied.from))
            || (!self.is_forward()
                && self.entities.iter().chain(&self.caption_entities).any(|entity| is_bot(&entity.user)))
    }
}
