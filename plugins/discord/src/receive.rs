//! Messages for the agent, or a line that says why not.

use prx_sdk::connector::{Commands, Context, LogLevel, Sender};

use crate::config::Config;
use crate::message::{Media, Message, User, made_at};
use crate::pending::{File, PendingMessage};
use crate::state::State;
use crate::{roles, shown};

/// Most files of a message that are fetched: the platform lets a person send no more.
const MAX_FILES: usize = 10;

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
    let addressed = match (is_addressed(cx, state, &message), &message.guild_id) {
        (Some(addressed), _) => addressed,
        (None, Some(server)) if classify(&cx.config, &state.me.id, &message, true).is_ok() => {
            return roles::ask(cx, state, server, raw, out);
        }
        (None, _) => false,
    };
    match classify(&cx.config, &state.me.id, &message, addressed) {
        Ok(said) => {
            let text = text(state, cx.now, &message, said);
            if message.guild_id.is_some() {
                state.heard.note(message.id.as_str(), made_at(&message.id));
            }
            let pending = PendingMessage {
                channel: message.channel_id,
                reply_to: message.guild_id.is_some().then(|| message.id.clone()),
                sender: (message.author.id.clone(), message.author.name()),
                text,
                sent_at: made_at(&message.id),
                addressed,
                id: message.id,
            };
            deliver(cx, state, (pending, message.attachments), out);
        }
        Err(ignored) => out.log(ignored.level(), format!("message {} ignored: {ignored}", message.id)),
    }
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
    if speaks_to(message, &state.me.id) {
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

/// Delivers a message once its files are fetched.
fn deliver(
    cx: &Context<Config>,
    state: &mut State,
    (mut message, files): (PendingMessage, Vec<Media>),
    out: &mut Commands,
) {
    let mut queue = state.pending_queue(cx, out);
    let room = if queue.is_full() { 0 } else { MAX_FILES };
    let mut wanted = Vec::with_capacity(files.len().min(room));
    for (place, media) in files.into_iter().enumerate() {
        let file = File::from(media);
        match &file.url {
            _ if place >= room => queue.leave_out(&mut message, &file, "too many files wait"),
            url if !url.starts_with("https://") && !url.starts_with("http://") => {
                queue.leave_out(&mut message, &file, "the platform does not say where it is");
            }
            _ => wanted.push(file),
        }
    }
    queue.push(message, wanted);
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
    Sender { id: user.id.clone(), name: user.name(), is_bot: user.bot }
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
    let says_nothing = message.content.trim().is_empty() && message.attachments.is_empty();
    if says_nothing && shown::lines(message).is_empty() {
        return Err(Ignored::Empty);
    }
    Ok(&message.content)
}

fn speaks_to(message: &Message, me: &str) -> bool {
    let replied = message.referenced_message.as_ref();
    !me.is_empty()
        && (message.mentions.iter().any(|user| user.id == me)
            || replied.is_some_and(|replied| replied.author.id == me))
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
