//! Transcripts: what the platform says, and what the connector makes of it.

use std::time::Duration;

use prx_sdk::connector::{Command, HttpRequest, Inbound, Operation, Outcome, Target};
use prx_sdk::testing::Script;
use serde_json::{Value, json};

use crate::Telegram;

mod anything;
mod asking;
mod banned;
mod files;
mod growing;
mod markdown;
mod polling;
mod quoting;
mod receiving;
mod rich;
mod sending;
mod stored;
mod upgrading;
mod webhook;

/// A channel that lets user 7 in, and the platform's side of it.
struct Talk {
    script: Script<Telegram>,
}

fn config() -> Value {
    json!({
        "allowed_users": ["7", "@Ann"],
        "api_base": "https://api.telegram.org",
        "poll_timeout_secs": 30,
        "mention_only": true,
        "on_unknown": "resend",
    })
}

impl Talk {
    /// Not yet started.
    fn with(config: Value) -> Talk {
        Talk { script: Script::new(config) }
    }

    /// Started, known as @prxbot with the id 99, and listening.
    fn listening() -> Talk {
        let mut talk = Talk::with(config());
        talk.script.start();
        talk.open();
        talk.script.commands();
        talk
    }

    /// Answers all that comes before the long poll.
    fn open(&mut self) {
        self.ok("deleteWebhook", json!(true));
        self.ok("getMe", json!({"id": 99, "is_bot": true, "username": "PrxBot"}));
        self.ok("getMyCommands", json!([{"command": "mine", "description": "made by hand"}]));
        self.ok("getUpdates", json!([]));
    }

    /// The one request in flight of this method.
    fn call(&self, method: &str) -> &HttpRequest {
        let found: Vec<_> = self.calls(method);
        assert_eq!(found.len(), 1, "{method}: {:#?}", self.script.requests());
        found[0]
    }

    fn calls(&self, method: &str) -> Vec<&HttpRequest> {
        let end = format!("/{method}");
        self.script.requests().iter().filter(|request| request.url_text().ends_with(&end)).collect()
    }

    fn ok(&mut self, method: &str, result: Value) {
        self.answer(method, 200, json!({"ok": true, "result": result}));
    }

    fn error(&mut self, method: &str, code: u16, description: &str, parameters: Value) {
        let body =
            json!({"ok": false, "error_code": code, "description": description, "parameters": parameters});
        self.answer(method, code, body);
    }

    fn answer(&mut self, method: &str, status: u16, body: Value) {
        let token = self.call(method).token;
        self.script.answer(token, status, body);
    }

    fn fail(&mut self, method: &str, sent: bool) {
        let token = self.call(method).token;
        self.script.fail(token, sent, "connection reset");
    }

    /// These updates come in; what is delivered of them.
    fn updates(&mut self, updates: Value) -> Vec<Inbound> {
        self.ok("getUpdates", updates);
        self.script.deliveries()
    }

    /// Asks once more for an operation that did not succeed.
    fn retry(&mut self, id: &str, attempt: u32, markdown: &str) {
        self.attempt(id, attempt, Operation::Send(prx_sdk::connector::Content::text(markdown)));
    }

    fn attempt(&mut self, id: &str, attempt: u32, operation: Operation) {
        self.script.repeat(id, attempt, Target::conversation("7"), operation);
    }

    fn outcome(&self, id: &str) -> &Outcome {
        self.script.outcome(id).expect("an outcome")
    }

    fn only_timer(&self) -> Duration {
        let timers = self.script.timers();
        assert_eq!(timers.len(), 1, "{timers:?}");
        timers[0].1
    }

    fn body(&self, method: &str) -> Value {
        self.call(method).body_json()
    }
}

/// A private message from user 7.
fn message(update: i64, text: &str) -> Value {
    json!({"update_id": update, "message": {
        "message_id": update * 10, "date": 1_700_000_000,
        "chat": {"id": 7, "type": "private"},
        "from": {"id": 7, "is_bot": false, "first_name": "Ann", "last_name": "Lee", "username": "ann"},
        "text": text,
    }})
}

/// The same message with some of its fields set to something else.
fn message_with(update: i64, text: &str, fields: Value) -> Value {
    let mut message = message(update, text);
    for (key, value) in fields.as_object().expect("fields") {
        message["message"][key] = value.clone();
    }
    message
}

fn is_http(command: &Command) -> bool {
    matches!(command, Command::Http(_))
}
