//! What a person finds in the platform's menu of commands.

use prx_sdk::connector::{Commands, Context, HttpOutcome, LogLevel};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call;
use crate::config::Config;
use crate::message::is_id;
use crate::state::State;

/// The commands of the menu, and what each does.
const COMMANDS: [(&str, &str); 3] = [
    ("new", "Begin a new conversation"),
    ("stop", "Stop the answer that is being made"),
    ("help", "Ask what I can do"),
];

/// What is known of the application's commands.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Menu {
    /// The application that is known to have commands.
    of: String,
    /// The request that looks for them, or makes them; 0: none.
    token: u64,
    /// It makes them.
    makes: bool,
}

impl Menu {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this token is that of its request.
    pub(crate) fn asks(&self, token: u64) -> bool {
        self.token != 0 && self.token == token
    }
}

/// Looks whether the application has commands: those that somebody made are left alone.
pub(crate) fn look(cx: &Context<Config>, state: &mut State, out: &mut Commands) {
    let application = state.me.application.clone();
    if !is_id(&application) || state.menu.of == application || state.cooldown.left(cx.now).is_some() {
        return;
    }
    state.menu = Menu { of: String::new(), token: state.token(), makes: false };
    let call = call::authorized(&cx.config, "GET", &path(&application));
    out.http(call.token(state.menu.token).timeout(call::CALL_TIMEOUT));
}

/// Makes the commands if there are none. Nothing depends on it: after a failure, the next session looks again.
pub(crate) fn answered(cx: &Context<Config>, state: &mut State, outcome: &HttpOutcome, out: &mut Commands) {
    let (application, makes) = (state.me.application.clone(), state.menu.makes);
    state.menu = Menu::default();
    let response = match call::answer(outcome) {
        Ok(response) => response,
        Err(failure) => {
            let line = format!("the menu of commands could not be looked for or made: {failure}");
            return out.log(LogLevel::Info, line);
        }
    };
    let is_empty = response.json::<Vec<Value>>().is_ok_and(|commands| commands.is_empty());
    if makes || !is_empty {
        state.menu.of = application;
        return;
    }
    let commands = COMMANDS.map(|(name, text)| json!({"name": name, "description": text, "type": 1}));
    state.menu = Menu { token: state.token(), makes: true, ..Menu::default() };
    let call = call::authorized(&cx.config, "PUT", &path(&application)).json(&json!(commands));
    out.http(call.token(state.menu.token).timeout(call::CALL_TIMEOUT));
}

fn path(application: &str) -> String {
    format!("/applications/{application}/commands")
}
