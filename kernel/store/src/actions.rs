//! What a plugin does that nobody has just asked for. It takes effect in the commit that notes the run it comes from.

use serde_json::{Value, json};

use super::channels::{StepReceipt, receive};
use super::message::Quoted;
use super::model::{BegunBy, Conversation, NewInbound, NewOutbound};
use super::rows::Failure;
use super::tx::Tx;
use super::{events, outbox, sessions};

/// One thing that a plugin does unasked, admitted by whoever knows what it may do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Says something on a channel.
    Send(NewOutbound),
    /// Begins a turn in a conversation.
    BeginTurn(PluginTurn),
    /// Makes an event of its own, of this name and with this about it.
    Publish(String, Value),
}

/// A turn that a plugin begins.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginTurn {
    /// The plugin, and who is asked about the turn's tools.
    pub by: BegunBy,
    /// Where the reply goes.
    pub conversation: Conversation,
    /// Where exactly, as a connector reads it.
    pub target: Value,
    /// What the model reads, as quoted data.
    pub text: String,
    /// Turns after which a conversation gets a fresh session.
    pub max_turns: u64,
}

/// Does all of it, in order.
pub(super) fn perform(tx: &Tx<'_>, actions: Vec<Action>) -> Result<(), Failure> {
    for action in actions {
        match action {
            Action::Send(outbound) => outbox::add(tx, outbound)?,
            Action::BeginTurn(turn) => begin(tx, turn)?,
            Action::Publish(name, data) => events::announce_own(tx, &name, data)?,
        }
    }
    Ok(())
}

/// Queues a turn of the user `plugin:<name>`. What the plugin says is passed on as the words of another: a person's own
/// words, in which commands and triggers are looked for, there are none.
fn begin(tx: &Tx<'_>, turn: PluginTurn) -> Result<(), Failure> {
    let PluginTurn { by, conversation, target, text, max_turns } = turn;
    let author = Some(by.plugin.clone());
    let passed_on = Quoted { author, from_agent: false, text, is_part: false, files: Vec::new() };
    let newest = sessions::of_conversation(tx, &conversation)?;
    let inbound = NewInbound {
        // It comes once, with the note of its run.
        dedupe: String::new(),
        conversation,
        user_id: format!("plugin:{}", by.plugin),
        user_name: by.plugin.clone(),
        language: None,
        text: String::new(),
        command: None,
        attachments: Vec::new(),
        // So that the model is told who speaks.
        group: true,
        reply_to: None,
        forwarded: vec![passed_on],
        choice: None,
        target,
        sent_at: tx.now(),
        metadata: json!({}),
        begun_by: Some(by),
    };
    receive(tx, inbound, newest, max_turns, &mut StepReceipt::default())
}
