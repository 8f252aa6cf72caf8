//! Messages for the agent, or a line that says why not.

use std::time::Duration;

use prx_sdk::connector::{Commands, Context, LogLevel, Sender};
use prx_sdk::quotes::{FileOf, Quotes};

use crate::config::Config;
use crate::message::{Message, User, made_at};
use crate::pending::{File, PendingMessage};
use crate::state::State;
use crate::{quotes, roles, shown};

/// Most files of a message that are fetched: the platform lets a person send no more.
const MAX_FILES: usize = 10;
/// How long what is passed on waits for what its sender says of it.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest time between the two, in milliseconds.
const MAX_APART_MS: u64 = 10_000;

/// Why something is not for the agent.
#[derive(Debug, PartialEq)]
pub(crate) enum Ignored {
    NotAPerson,
    /// The platform's own news.
    NotWritten,
    NotAllowed(String, String),
    OtherServer(String),
    NotAddressed,
    Empty,
}

impl Ignored {
    pub(crate) fn level(&self) -> LogLevel {
        match self {
            Ignored::NotAllowed(..) => LogLevel::Warn,
            Ignored::Empty => LogLevel::Info,
            _ => LogLevel::Debug,
        }
    }
}

impl std::fmt::Display for Ignored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ignored::NotAPerson => f.write_str("it comes from a program"),
            Ignored::NotWritten => f.write_str("nobody wrote it"),
            Ignored::NotAllowed(id, name) => write!(f, "user {id} (@{name}) is not in allowed_users"),
            Ignored::OtherServer(id) => write!(f, "server {id} is not in allowed_guilds"),
            Ignored::NotAddressed => f.write_str("it is not addressed to the bot, and mention_only is set"),
            Ignored::Empty => f.write_str("it has nothing that is known how to show"),
        }
    }
}

/// Hands a message on, if it is one for the agent; `raw` is the same as it came.
pub(crate) fn message(
    cx: &Context<Config>,
    state: &mut State,
    (message, raw): (Message, &str),
    out: &mut Commands,
) {
    if message.is_starter() {
        return state.starters.note(&state.me.id, &message);
    }
    let addressed = match (is_addressed(cx, state, &message), &message.guild_id) {
        (Some(addressed), _) => addressed,
        (None, Some(server)) if classify(&cx.config, &state.me.id, &message, true).is_ok() => {
            return roles::ask(cx, state, server, raw, out);
        }
        (None, _) => false,
    };
    if comments(cx, state, &message, addressed, out) {
        return;
    }
    let classified = classify(&cx.config, &state.me.id, &message, addressed);
    let hears = cx.config.hear_groups
        && message.guild_id.as_deref().is_some_and(|server| cx.config.listens_in(Some(server)));
    let (said, overheard) = match classified {
        Ok(said) => (said, false),
        Err(Ignored::NotAddressed) if hears || awaits_comment(&cx.config, &message) => {
            (message.content.as_str(), true)
        }
        Err(Ignored::NotAllowed(..)) if hears => (message.content.as_str(), true),
        Err(ignored) => {
            return out.log(ignored.level(), format!("message {} ignored: {ignored}", message.id));
        }
    };
    let text = text(state, cx.now, &message, said);
    let (mut quotes, files) = quotes::of(&state.me.id, &message);
    let mut more = Vec::new();
    if message.guild_id.is_some() && !overheard {
        state.heard.note(message.id.as_str(), made_at(&message.id));
        if addressed {
            more = note_thread(state, &message, &mut quotes);
        }
    }
    let pending = PendingMessage {
        reply_to: message.guild_id.is_some().then(|| message.id.clone()),
        sender: (message.author.id.clone(), message.author.name()),
        text,
        sent_at: made_at(&message.id),
        addressed,
        group: message.is_in_group(),
        awaits_comment: message.is_forward(),
        overheard,
        hears,
        quotes,
        channel: message.channel_id,
        id: message.id,
    };
    let own = message.attachments.into_iter().map(|file| (FileOf::Message, file));
    let files = own.chain(files).map(File::from).chain(more).collect();
    deliver(cx, state, (pending, files), out);
}

/// Remembers that a message was said to the bot, and where, and what its thread began with.
fn note_thread(state: &mut State, message: &Message, quotes: &mut Quotes) -> Vec<File> {
    state.threads.note(message.id.as_str());
    if message.is_in_thread() || state.starters.has(&message.channel_id) {
        state.threads.note(thread(&message.channel_id));
    }
    state.starters.take(&message.channel_id, quotes)
}

/// What a thread is known by, beside messages.
pub(crate) fn thread(channel: &str) -> String {
    format!("in {channel}")
}

/// Whether what is passed on waits for what its sender says of it, though it was not said to the bot.
fn awaits_comment(config: &Config, message: &Message) -> bool {
    message.is_forward() && config.allows(&message.author) && config.listens_in(message.guild_id.as_deref())
}

/// Adds a message to what its sender has just passed on, as the platform's apps send a comment on it. False: nothing waits
/// for it.
fn comments(
    cx: &Context<Config>,
    state: &mut State,
    message: &Message,
    addressed: bool,
    out: &mut Commands,
) -> bool {
    let is_plain = message.is_written() && !message.is_forward() && message.attachments.is_empty();
    if !is_plain || message.content.trim().is_empty() || message.content.starts_with('/') {
        return false;
    }
    let text = text(state, cx.now, message, &message.content);
    let sent_at = made_at(&message.id);
    let is_it = |pending: &PendingMessage| {
        pending.awaits_comment
            && pending.channel == message.channel_id
            && pending.sender.0 == message.author.id
            && sent_at.saturating_sub(pending.sent_at) <= MAX_APART_MS
    };
    let is_group = message.guild_id.is_some();
    let joined = state.pending_queue(cx, out).join(is_it, Vec::new(), None, |pending, _| {
        (pending.text, pending.awaits_comment) = (text, false);
        if addressed {
            (pending.overheard, pending.addressed) = (false, true);
        }
        pending.reply_to = is_group.then(|| message.id.clone());
    });
    if joined && is_group && addressed {
        state.heard.note(message.id.as_str(), sent_at);
        note_thread(state, message, &mut Quotes::default());
    }
    joined
}

/// A message was edited. It is heard if it speaks to the bot only now.
pub(crate) fn edited(
    cx: &Context<Config>,
    state: &mut State,
    (edited, raw): (Message, &str),
    out: &mut Commands,
) {
    let is_new = edited.guild_id.is_some() && state.heard.is_new(&edited.id, made_at(&edited.id));
    if is_new && is_addressed(cx, state, &edited) != Some(false) {
        message(cx, state, (edited, raw), out);
    }
}

/// Whether a message is said to the bot. None: it mentions a role that may be the bot's own.
fn is_addressed(cx: &Context<Config>, state: &State, message: &Message) -> Option<bool> {
    let Some(server) = &message.guild_id else { return Some(true) };
    if speaks_to(message, &state.me.id) || follows(state, message) {
        return Some(true);
    }
    let is_mine = state.roles.is_own(cx.now, server, &message.mention_roles);
    // Where all is heard, nothing needs to be asked for.
    if cx.config.mention_only { is_mine } else { Some(is_mine == Some(true)) }
}

/// What the agent reads: the text with names for ids, and what the message shows beside it.
fn text(state: &State, now: u64, message: &Message, said: &str) -> String {
    let own = message.guild_id.as_ref().and_then(|server| state.roles.own(now, server));
    let said = without_greeting(said, &state.me.id, own);
    let named = shown::named(message, own.map(|role| (role, state.me.name.as_str())), said);
    let mut lines = shown::lines(message);
    if !named.trim().is_empty() {
        lines.insert(0, named);
    }
    lines.join("\n")
}

/// Delivers a message once its files are fetched, and it waits for no comment.
fn deliver(
    cx: &Context<Config>,
    state: &mut State,
    (mut message, files): (PendingMessage, Vec<File>),
    out: &mut Commands,
) {
    let mut queue = state.pending_queue(cx, out);
    let room = if queue.is_full() { 0 } else { MAX_FILES };
    let mut wanted = Vec::with_capacity(files.len().min(room));
    for (place, file) in files.into_iter().enumerate() {
        match &file.url {
            _ if place >= room => queue.leave_out(&mut message, &file, "too many files wait"),
            url if !url.starts_with("https://") && !url.starts_with("http://") => {
                queue.leave_out(&mut message, &file, "the platform does not say where it is");
            }
            _ => wanted.push(file),
        }
    }
    if message.awaits_comment {
        queue.push_open(message, wanted, PAUSE);
    } else {
        queue.push(message, wanted);
    }
}

/// Whether this user may talk to the bot in this place.
pub(crate) fn admit(config: &Config, user: &User, guild: Option<&str>) -> Result<(), Ignored> {
    if !config.listens_in(guild) {
        return Err(Ignored::OtherServer(guild.unwrap_or_default().to_owned()));
    }
    if !config.allows(user) {
        return Err(Ignored::NotAllowed(user.id.clone(), user.username.clone()));
    }
    Ok(())
}

pub(crate) fn sender(user: &User) -> Sender {
    Sender { id: user.id.clone(), name: user.name(), is_bot: user.bot, language: None }
}

/// What a message says, if it is for the agent.
fn classify<'a>(
    config: &Config,
    me: &str,
    message: &'a Message,
    addressed: bool,
) -> Result<&'a str, Ignored> {
    if message.author.bot || message.webhook_id.is_some() || message.author.id == me {
        return Err(Ignored::NotAPerson);
    }
    if !message.is_written() {
        return Err(Ignored::NotWritten);
    }
    // Before the list of users: in a server, most of what strangers say is not said to the bot.
    if !addressed && config.mention_only {
        return Err(Ignored::NotAddressed);
    }
    admit(config, &message.author, message.guild_id.as_deref())?;
    let says_nothing =
        message.content.trim().is_empty() && message.attachments.is_empty() && !message.is_forward();
    if says_nothing && shown::lines(message).is_empty() {
        return Err(Ignored::Empty);
    }
    Ok(&message.content)
}

/// Whether it answers something that was said to the bot, or is said in a thread in which the bot was addressed.
fn follows(state: &State, message: &Message) -> bool {
    let (answered, _) = message.answered_ids();
    answered.is_some_and(|id| state.threads.has(id)) || state.threads.has(&thread(&message.channel_id))
}

fn speaks_to(message: &Message, me: &str) -> bool {
    let (_, author) = message.answered_ids();
    !me.is_empty() && (message.mentions.iter().any(|user| user.id == me) || author == Some(me))
}

/// The text without the bot's name, or that of its role, at its beginning, if more is said.
fn without_greeting<'a>(text: &'a str, me: &str, role: Option<&str>) -> &'a str {
    let mention = text.trim_start().strip_prefix("<@");
    let of_me = |mention: &'a str| mention.strip_prefix('!').unwrap_or(mention).strip_prefix(me);
    let of_role = |mention: &'a str| mention.strip_prefix('&')?.strip_prefix(role?);
    let rest = mention.and_then(|mention| of_me(mention).or_else(|| of_role(mention)));
    let rest = rest.and_then(|rest| rest.strip_prefix('>'));
    let rest = rest.map(|rest| rest.trim_start_matches([',', ':']).trim_start());
    rest.filter(|rest| !rest.is_empty()).unwrap_or(text)
}
