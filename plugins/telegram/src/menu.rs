//! What a person finds in the bot's menu, and is told who presses its Start button.

use prx_sdk::connector::{Commands, Context, HttpOutcome};
use serde_json::{Value, json};

use crate::call::{self, CALL_TIMEOUT};
use crate::config::Config;
use crate::state::State;
use crate::update::Message;

/// The commands of the menu, and what each does.
const COMMANDS: [(&str, &str); 3] = [
    ("new", "Begin a new conversation"),
    ("stop", "Stop the answer that is being made"),
    ("help", "Ask what I can do"),
];
const GREETING: &str = "Hello! Write to me, and I answer. /new begins a new conversation, /stop stops an answer that is being made.";

/// Looks whether the bot has a menu: one that somebody made is left alone.
pub(crate) fn look(cx: &Context<Config>, state: &mut State, out: &mut Commands) {
    state.menu = state.token();
    out.http(call::post(&cx.config, "getMyCommands", &json!({})).token(state.menu).timeout(CALL_TIMEOUT));
}

/// Makes the menu if there is none. Nothing depends on it, so it is not tried again.
pub(crate) fn answered(cx: &Context<Config>, state: &mut State, outcome: &HttpOutcome, out: &mut Commands) {
    state.menu = 0;
    let is_empty =
        |result: &str| serde_json::from_str::<Vec<Value>>(result).is_ok_and(|commands| commands.is_empty());
    if call::answer(outcome).is_ok_and(|result| is_empty(result.get())) {
        let commands = COMMANDS.map(|(name, text)| json!({ "command": name, "description": text }));
        call::tell(cx, state, "setMyCommands", &json!({ "commands": commands }), out);
    }
}

/// Whether someone only pressed Start: there is nothing in it for the agent.
pub(crate) fn is_start(message: &Message, text: &str) -> bool {
    !message.chat.is_group() && (text == "/start" || text.starts_with("/start "))
}

/// Tells who pressed Start what to do.
pub(crate) fn greet(cx: &Context<Config>, state: &mut State, chat: i64, out: &mut Commands) {
    call::tell(cx, state, "sendMessage", &json!({ "chat_id": chat, "text": GREETING }), out);
}
