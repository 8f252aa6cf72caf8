//! Admits what a plugin wants to do, or says why not: all of a call's actions, or none of them.

use prx_base::config::Config;
use prx_host::bindings::common;
use prx_host::bindings::connector::Target;
use prx_host::bindings::filter::{Said, Stage, StageKind};
use prx_host::{Filters, Generation, Passed};
use prx_store::{Action, BegunBy, Conversation, NewOutbound, Operation, PluginTurn};
use serde_json::Value;

/// Most actions of one call.
const MAX_ACTIONS: usize = 100;
/// Most turns that one call begins, for each costs what a model costs.
const MAX_TURNS: usize = 10;
/// Most bytes of a call's actions, together.
const MAX_BYTES: usize = 256 << 10;
/// Most bytes of an event.
const MAX_EVENT_BYTES: usize = 16 << 10;
/// The longest name of an event, and the longest id of a conversation or a thread.
const MAX_NAME_BYTES: usize = 256;

/// What a plugin wants to do, as the store does it.
///
/// # Errors
/// The first action that it may not do, or that makes no sense, and why.
pub(super) fn admit(
    generation: &Generation,
    config: &Config,
    asked: Vec<common::Action>,
) -> Result<Vec<Action>, String> {
    if asked.len() > MAX_ACTIONS {
        return Err(format!("it wants to do {} things at once; {MAX_ACTIONS} are the most", asked.len()));
    }
    let bytes: usize = asked.iter().map(size).sum();
    if bytes > MAX_BYTES {
        return Err(format!("what it wants to do has {bytes} bytes; {MAX_BYTES} are the most"));
    }
    let turns = asked.iter().filter(|action| matches!(action, common::Action::BeginTurn(_))).count();
    if turns > MAX_TURNS {
        return Err(format!("it wants to begin {turns} turns at once; {MAX_TURNS} are the most"));
    }
    let numbered = asked.into_iter().zip(1..);
    numbered
        .map(|(action, n)| admit_one(generation, config, action).map_err(|why| format!("action {n}: {why}")))
        .collect()
}

/// What a plugin says, as filters let it pass.
pub(super) async fn filtered(filters: &Filters, plugin: &str, mut actions: Vec<Action>) -> Vec<Action> {
    if !filters.applies(StageKind::Outbound) {
        return actions;
    }
    for action in &mut actions {
        let Action::Send(NewOutbound { conversation, operation: Operation::Send(content), .. }) = action
        else {
            continue;
        };
        let said = Said {
            channel: conversation.channel.clone(),
            session: String::new(),
            user: String::new(),
            sender: plugin.to_owned(),
            text: content.markdown.clone(),
            attachments: Vec::new(),
        };
        match filters.inspect(Stage::Outbound(said)).await {
            Passed::AsItWas => {}
            Passed::Replaced(text) => content.markdown = text,
            Passed::Stopped(why) => content.markdown = why.to_string(),
        }
    }
    actions
}

fn admit_one(generation: &Generation, config: &Config, action: common::Action) -> Result<Action, String> {
    let rights = &generation.rights;
    match action {
        common::Action::Send(outgoing) => {
            let (channel, conversation) = (&outgoing.channel, &outgoing.conversation);
            rights.may_send(channel, conversation).map_err(|denied| denied.to_string())?;
            let (conversation, target) = place(config, &outgoing)?;
            let operation = Operation::send(outgoing.text, Vec::new());
            Ok(Action::Send(NewOutbound { conversation, target, operation, turn: None, trace: None }))
        }
        common::Action::BeginTurn(outgoing) => {
            let (channel, conversation) = (&outgoing.channel, &outgoing.conversation);
            rights.may_begin_turn(channel, conversation).map_err(|denied| denied.to_string())?;
            let (conversation, target) = place(config, &outgoing)?;
            let approver = rights.approver().map(str::to_owned);
            let by = BegunBy { plugin: generation.name().to_owned(), approver };
            let (text, max_turns) = (outgoing.text, config.agent.max_turns);
            Ok(Action::BeginTurn(PluginTurn { by, conversation, target, text, max_turns }))
        }
        common::Action::Publish((name, data)) => {
            check_name(generation.name(), &name)?;
            rights.may_publish(&name).map_err(|denied| denied.to_string())?;
            if data.len() > MAX_EVENT_BYTES {
                let bytes = data.len();
                return Err(format!("the event {name} has {bytes} bytes; {MAX_EVENT_BYTES} are the most"));
            }
            match serde_json::from_str(&data) {
                Ok(data @ Value::Object(_)) => Ok(Action::Publish(name, data)),
                _ => Err(format!("what the event {name} is about is no JSON object")),
            }
        }
    }
}

/// Where something is said, if that can be.
fn place(config: &Config, outgoing: &common::Outgoing) -> Result<(Conversation, Value), String> {
    let common::Outgoing { channel, conversation, thread, text } = outgoing;
    let channels = &config.components.channels_config;
    if !channels.contains_key(channel) {
        let known: Vec<&str> = channels.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none is configured".into() } else { known.join(", ") };
        return Err(format!("there is no channel {channel:?}; there are: {known}"));
    }
    if text.trim().is_empty() {
        return Err("there is nothing to say: its text is empty".into());
    }
    for (what, id) in [("conversation", Some(conversation)), ("thread", thread.as_ref())] {
        if id.is_some_and(|id| id.is_empty() || id.len() > MAX_NAME_BYTES) {
            return Err(format!("a {what} has an id of 1 to {MAX_NAME_BYTES} bytes"));
        }
    }
    let target = Target { conversation: conversation.clone(), thread: thread.clone(), reply_to: None };
    let target = serde_json::to_value(target).map_err(|error| error.to_string())?;
    let (channel, conversation) = (channel.clone(), conversation.clone());
    Ok((Conversation { channel, conversation, thread: thread.clone() }, target))
}

fn check_name(plugin: &str, event: &str) -> Result<(), String> {
    let fits = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
    let own = event.strip_prefix(plugin).and_then(|rest| rest.strip_prefix('.'));
    let good = own.is_some_and(|own| own.split('.').all(|part| !part.is_empty() && part.chars().all(fits)));
    match good && event.len() <= MAX_NAME_BYTES {
        true => Ok(()),
        false => Err(format!(
            "{event:?} is no event of its own: write {plugin}.NAME, in a-z, 0-9, -, _ and dots, \
             {MAX_NAME_BYTES} bytes at most"
        )),
    }
}

fn size(action: &common::Action) -> usize {
    match action {
        common::Action::Send(outgoing) | common::Action::BeginTurn(outgoing) => {
            outgoing.channel.len()
                + outgoing.conversation.len()
                + outgoing.thread.as_ref().map_or(0, String::len)
                + outgoing.text.len()
        }
        common::Action::Publish((name, data)) => name.len() + data.len(),
    }
}
