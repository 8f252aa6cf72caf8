//! Transcripts: what the platform says, and what the connector makes of it.

use std::time::Duration;

use prx_sdk::connector::{
    Command, Content, HttpRequest, Inbound, Operation, Outbound, Outcome, Proof, Segments, Socket, Status,
    Target,
};
use prx_sdk::testing::Script;
use serde_json::{Value, json};

use crate::Discord;

mod anything;
mod banned;
mod connecting;
mod doubtful;
mod files;
mod growing;
mod interacting;
mod losing;
mod markdown;
mod quoting;
mod receiving;
mod sending;
mod stored;
mod uploading;

const ME: &str = "9001";
const APPLICATION: &str = "9002";
const INTERVAL: u32 = 40_000;

/// A channel that lets user 7 in, and the platform's side of it.
struct Talk {
    script: Script<Discord>,
    /// The socket opened last.
    socket: Socket,
    sequence: u64,
}

fn config() -> Value {
    json!({
        "allowed_users": ["7", "@Ann"],
        "allowed_guilds": [],
        "mention_only": true,
        "api_base": "https://discord.com/api/v10",
        "gateway_url": "",
        "public_key": "",
        "on_unknown": "resend",
    })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Talk {
    /// Not yet started.
    fn with(config: Value) -> Talk {
        Talk { script: Script::new(config), socket: 0, sequence: 0 }
    }

    /// Started, known to the platform, and listening.
    fn live() -> Talk {
        Talk::live_with(config())
    }

    fn live_with(config: Value) -> Talk {
        let mut talk = Talk::with(config);
        talk.script.start();
        talk.say_where(1000);
        talk.open();
        talk.hello();
        talk.ready();
        talk.script.commands();
        talk
    }

    /// The API says where the gateway is.
    fn say_where(&mut self, remaining: u32) {
        self.answer(
            "GET",
            "/gateway/bot",
            200,
            json!({"url": "wss://gateway.discord.gg", "shards": 1, "session_start_limit":
                {"total": 1000, "remaining": remaining, "reset_after": 14_400_000, "max_concurrency": 1}}),
        );
    }

    /// The socket asked for opens.
    fn open(&mut self) {
        let connects = self.script.connects();
        assert_eq!(connects.len(), 1, "{connects:?}");
        let token = connects[0].token;
        self.socket += 1;
        self.script.open_socket(token, self.socket);
    }

    fn asked_url(&self) -> String {
        let connects = self.script.connects();
        assert_eq!(connects.len(), 1, "{connects:?}");
        Segments(connects[0].url.clone()).to_string()
    }

    fn op(&mut self, op: u64, data: Value) {
        self.script.receive(self.socket, json!({"op": op, "d": data, "s": null, "t": null}).to_string());
    }

    fn hello(&mut self) {
        self.op(10, json!({"heartbeat_interval": INTERVAL}));
    }

    fn acknowledge(&mut self) {
        self.op(11, json!(null));
    }

    fn ready(&mut self) {
        self.dispatch(
            "READY",
            json!({"v": 10, "user": {"id": ME, "username": "prx", "bot": true}, "guilds": [],
                "session_id": "session-1", "resume_gateway_url": "wss://gateway-us-1.discord.gg",
                "application": {"id": APPLICATION, "flags": 0}}),
        );
        if let Some(call) = self.calls("GET", "/commands").first().map(|call| call.token) {
            self.script.answer(call, 200, json!([{"name": "mine", "description": "made by hand"}]));
        }
    }

    /// The next event of the session.
    fn dispatch(&mut self, event: &str, data: Value) {
        self.sequence += 1;
        let frame = json!({"op": 0, "d": data, "s": self.sequence, "t": event});
        self.script.receive(self.socket, frame.to_string());
    }

    /// This message comes in; what is delivered of it.
    fn hear(&mut self, message: Value) -> Option<Inbound> {
        self.dispatch("MESSAGE_CREATE", message);
        let mut heard = self.script.deliveries();
        assert!(heard.len() <= 1);
        heard.pop()
    }

    /// What was sent to the gateway since last asked.
    fn sent(&mut self) -> Vec<Value> {
        let frames = self.script.sent(self.socket);
        frames.iter().map(|frame| serde_json::from_str(frame).expect("JSON")).collect()
    }

    /// The one request in flight of this method whose path ends so.
    fn call(&self, method: &str, end: &str) -> &HttpRequest {
        let found = self.calls(method, end);
        assert_eq!(found.len(), 1, "{method} {end}: {:#?}", self.script.requests());
        found[0]
    }

    fn calls(&self, method: &str, end: &str) -> Vec<&HttpRequest> {
        let fits = |request: &&HttpRequest| request.method == method && request.url_text().ends_with(end);
        self.script.requests().iter().filter(fits).collect()
    }

    fn answer(&mut self, method: &str, end: &str, status: u16, body: Value) {
        let token = self.call(method, end).token;
        self.script.answer(token, status, body);
    }

    fn fail(&mut self, method: &str, end: &str, sent: bool) {
        let token = self.call(method, end).token;
        self.script.fail(token, sent, "connection reset");
    }

    /// Asks once more for an operation that did not succeed.
    fn retry(&mut self, id: &str, attempt: u32, markdown: &str) {
        let operation = Operation::Send(Content::text(markdown));
        self.script.repeat(id, attempt, Target::conversation("50"), operation);
    }

    fn outcome(&self, id: &str) -> &Outcome {
        self.script.outcome(id).expect("an outcome")
    }

    fn status(&self) -> &Status {
        self.script.status().expect("a status")
    }

    fn reconnecting(&self) -> &str {
        match self.status() {
            Status::Reconnecting(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn failed(&self) -> &str {
        match self.status() {
            Status::Failed(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn only_timer(&self) -> Duration {
        let timers = self.script.timers();
        assert_eq!(timers.len(), 1, "{timers:?}");
        timers[0].1
    }

    fn proofs(&mut self) -> Vec<Proof> {
        let commands = self.script.commands().into_iter();
        commands
            .filter_map(|command| if let Command::Proof(proof) = command { Some(proof) } else { None })
            .collect()
    }
}

/// A message from user 7 to the bot alone.
fn message(id: u64, text: &str) -> Value {
    json!({
        "id": id.to_string(), "channel_id": "50", "type": 0, "content": text,
        "author": {"id": "7", "username": "ann", "global_name": "Ann Lee", "discriminator": "0"},
        "timestamp": "2026-01-02T03:04:05.678000+00:00", "mentions": [], "attachments": [],
    })
}

/// A message from user 7 in a server, with some of its fields set.
fn in_server(id: u64, text: &str, fields: Value) -> Value {
    let mut message = message(id, text);
    message["channel_id"] = json!("60");
    message["guild_id"] = json!("6");
    for (key, value) in fields.as_object().expect("fields") {
        message[key] = value.clone();
    }
    message
}

fn mentioning_me() -> Value {
    json!({"mentions": [{"id": ME, "username": "prx"}]})
}
