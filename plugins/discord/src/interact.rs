//! Slash commands and pressed buttons. The platform wants an answer within three seconds, so it gets one at once;
//! what the agent says to it follows.

use std::time::Duration;

use prx_sdk::connector::{Commands, Context, Inbound, Sender, Target};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call;
use crate::command::PendingCommand;
use crate::config::Config;
use crate::message::{GROUP_DM, User, is_id, made_at};
use crate::receive::{self, Ignored};
use crate::state::State;

/// Timeout of an interaction's first answer, which the platform wants within three seconds.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Most commands whose answers are pending.
const MAX_PENDING: usize = 64;
/// Only the one who asked sees it.
const EPHEMERAL: u64 = 64;

const PING: u64 = 1;
const COMMAND: u64 = 2;
const COMPONENT: u64 = 3;
const AUTOCOMPLETE: u64 = 4;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Interaction {
    pub id: String,
    pub application_id: String,
    #[serde(rename = "type")]
    pub kind: u64,
    pub token: String,
    data: Option<Data>,
    guild_id: Option<String>,
    channel_id: Option<String>,
    member: Option<Member>,
    channel: Value,
    user: Option<User>,
    message: Option<Value>,
    /// BCP 47, as the person's app is set. Only interactions say it.
    locale: Option<String>,
}

/// What was asked for: a command with its options, or a button's id.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    name: String,
    options: Vec<Choice>,
    custom_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    name: String,
    value: Option<Value>,
    options: Vec<Choice>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Member {
    user: User,
}

impl Interaction {
    pub(crate) fn is_whole(&self) -> bool {
        is_id(&self.id) && (self.kind == PING || self.token.contains(|c: char| c.is_ascii_alphanumeric()))
    }

    /// The thread in which it was asked for, if it was in one.
    fn thread(&self) -> Option<&str> {
        let is_thread = matches!(self.channel["type"].as_u64(), Some(10..=12));
        self.channel_id.as_deref().filter(|_| is_thread)
    }

    /// Whether more than one person may speak there.
    fn is_in_group(&self) -> bool {
        self.guild_id.is_some() || self.channel["type"].as_u64() == Some(GROUP_DM)
    }

    fn asker(&self) -> Option<&User> {
        self.member.as_ref().map(|member| &member.user).or(self.user.as_ref())
    }

    /// Whether the question is this user's to answer. In a server it answers a message or a command of whom it asks.
    fn is_asked(&self) -> bool {
        let user = self.asker().map(|user| user.id.as_str());
        let asked = |message: &Value| {
            let ids = ["/referenced_message/author/id", "/interaction_metadata/user/id"];
            ids.iter().find_map(|id| message.pointer(id)?.as_str()).map(str::to_owned)
        };
        self.guild_id.is_none()
            || (user.is_some() && self.message.as_ref().and_then(asked).as_deref() == user)
    }
}

/// An interaction that came over the gateway is answered over REST.
pub(crate) fn from_gateway(
    cx: &Context<Config>,
    state: &mut State,
    interaction: Interaction,
    out: &mut Commands,
) {
    let path = format!("/interactions/{}/{}/callback", interaction.id, call::encoded(&interaction.token));
    let lane = lane(&interaction.id);
    let answer = take(cx, state, interaction, out);
    if state.cooldown.left(cx.now).is_some() {
        return;
    }
    let token = state.token();
    out.http(call::open(&cx.config, "POST", &path).json(&answer).token(token).timeout(TIMEOUT).lane(lane));
}

/// What the platform is to be told at once. What the agent is to hear is delivered.
pub(crate) fn take(
    cx: &Context<Config>,
    state: &mut State,
    interaction: Interaction,
    out: &mut Commands,
) -> Value {
    match interaction.kind {
        PING => json!({"type": 1}),
        AUTOCOMPLETE => json!({"type": 8, "data": {"choices": []}}),
        COMMAND | COMPONENT => match inbound(&cx.config, &interaction) {
            Ok(message) => {
                out.deliver(message);
                if let Some(thread) = interaction.thread() {
                    state.threads.note(receive::thread(thread));
                }
                if interaction.kind == COMPONENT {
                    // A question is answered once: its buttons go, unless they are for someone else.
                    let closed = json!({"type": 7, "data": {"components": []}});
                    return if interaction.is_asked() { closed } else { json!({"type": 6}) };
                }
                remember(cx, state, interaction);
                json!({"type": 5})
            }
            Err(ignored) => {
                out.log(ignored.level(), format!("interaction {} ignored: {ignored}", interaction.id));
                let content = "This bot does not take orders from you here.";
                json!({"type": 4, "data": {"content": content, "flags": EPHEMERAL}})
            }
        },
        _ => json!({"type": 6}),
    }
}

/// The command that a reply to it belongs to, as long as it can be answered.
pub(crate) fn pending_command<'a>(state: &'a State, reply_to: &str, now: u64) -> Option<&'a PendingCommand> {
    let id = reply_to.strip_prefix('i')?;
    state.commands.iter().find(|command| command.id == id && command.is_repliable(now))
}

/// Calls about one interaction keep their order.
pub(crate) fn lane(id: &str) -> String {
    format!("interaction:{id}")
}

fn remember(cx: &Context<Config>, state: &mut State, interaction: Interaction) {
    state.commands.retain(|command| command.is_repliable(cx.now) && command.id != interaction.id);
    if state.commands.len() >= MAX_PENDING {
        state.commands.remove(0);
    }
    let named = Some(interaction.application_id).filter(|id| is_id(id));
    let application = named.unwrap_or_else(|| state.me.application.clone());
    state.commands.push(PendingCommand { id: interaction.id, application, token: interaction.token });
}

fn inbound(config: &Config, interaction: &Interaction) -> Result<Inbound, Ignored> {
    let asker = interaction.asker().filter(|user| is_id(&user.id) && !user.bot).ok_or(Ignored::NotAPerson)?;
    let channel = interaction.channel_id.as_ref().filter(|id| is_id(id)).ok_or(Ignored::NotAddressed)?;
    receive::admit(config, asker, interaction.guild_id.as_deref())?;
    let data = interaction.data.as_ref().ok_or(Ignored::Empty)?;
    let reply = format!("i{}", interaction.id);
    let (text, choice, reply_to) = if interaction.kind == COMPONENT {
        let question = interaction.message.as_ref().and_then(|message| message["id"].as_str());
        let question = question.filter(|_| interaction.guild_id.is_some()).map(str::to_owned);
        (label(interaction, &data.custom_id), Some(data.custom_id.clone()), question)
    } else {
        (data.command(), None, Some(reply.clone()))
    };
    Ok(Inbound {
        dedupe: reply,
        target: Target { reply_to, ..Target::conversation(channel) },
        sender: Sender { language: interaction.locale.clone(), ..receive::sender(asker) },
        text,
        attachments: Vec::new(),
        sent_at: made_at(&interaction.id),
        addressed: true,
        choice,
        forwarded: Vec::new(),
        group: interaction.is_in_group(),
        reply_to: None,
    })
}

/// What the pressed button says, or its id where the question does not show it.
fn label(interaction: &Interaction, custom_id: &str) -> String {
    let rows = interaction.message.as_ref().and_then(|message| message["components"].as_array());
    let buttons = rows.into_iter().flatten().filter_map(|row| row["components"].as_array()).flatten();
    let pressed = buttons.into_iter().find(|button| button["custom_id"] == custom_id);
    pressed.and_then(|button| button["label"].as_str()).unwrap_or(custom_id).to_owned()
}

impl Data {
    /// The command as one would type it: `/name`, then the names of what it is under, then the values.
    fn command(&self) -> String {
        let mut words = vec![format!("/{}", self.name)];
        collect(&self.options, 0, &mut words);
        words.join(" ")
    }
}

/// Below a group there is a command, and below that there are values: more than that is none of the platform's.
fn collect(options: &[Choice], depth: u8, words: &mut Vec<String>) {
    for option in options {
        match &option.value {
            Some(Value::String(text)) => words.push(text.clone()),
            Some(value) => words.push(value.to_string()),
            None => words.push(option.name.clone()),
        }
        if depth < 2 {
            collect(&option.options, depth + 1, words);
        }
    }
}
