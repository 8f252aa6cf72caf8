//! What a connector wants done.

use crate::connector::{
    Command, Done, HttpRequest, Inbound, Keepalive, LogLevel, Outcome, Overheard, Proof, Socket, Status,
    Token, WebhookReply, WsConnect,
};
use crate::types::{Field, Segments};
use serde_json::Value;
use std::time::Duration;

/// Commands in the order in which they were given. Each takes effect only after the step is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands(Vec<Command>);

impl Commands {
    /// Makes a request; its outcome comes back as `Event::HttpDone` with the request's token.
    pub fn http(&mut self, request: Http) {
        self.push(Command::Http(request.0));
    }

    /// Gives up the request, the timer and the socket being opened of this token; no event comes of them any more.
    /// Unknown ones are ignored.
    pub fn cancel(&mut self, token: Token) {
        self.push(Command::Cancel(token));
    }

    /// Wakes the connector with `Event::Timer` after this long. A timer of the same token is replaced.
    pub fn timer(&mut self, token: Token, after: Duration) {
        self.push(Command::Timer((token, millis(after))));
    }

    /// Hands a message to the agent. What the kernel has seen under the same `dedupe` is dropped.
    pub fn deliver(&mut self, message: Inbound) {
        self.push(Command::Deliver(message));
    }

    /// Keeps what was said and not to the agent, as what was said before the next message that is.
    pub fn overhear(&mut self, said: Overheard) {
        self.push(Command::Overhear(said));
    }

    /// Says how the outbound operation of this id ended.
    pub fn done(&mut self, id: impl Into<String>, outcome: Outcome) {
        self.push(Command::Done(Done { id: id.into(), outcome }));
    }

    /// Says where the connection stands.
    pub fn status(&mut self, status: Status) {
        self.push(Command::Status(status));
    }

    /// Shows that the platform hears us: evidence that stands for `good_for`, with the round trip of a real call.
    pub fn proof(&mut self, good_for: Duration, latency: Option<Duration>) {
        self.push(Command::Proof(Proof { good_for_ms: millis(good_for), latency_ms: latency.map(millis) }));
    }

    /// Writes a line for the operator. No secrets, and no message texts.
    pub fn log(&mut self, level: LogLevel, line: impl Into<String>) {
        self.push(Command::Log((level, line.into())));
    }

    /// Opens a WebSocket; `Event::WsOpen` or `Event::WsClosed` with the token follows.
    pub fn ws_connect(&mut self, token: Token, url: impl Into<Segments>, headers: Vec<Field>) {
        self.push(Command::WsConnect(WsConnect { token, url: url.into().0, headers }));
    }

    /// Sends a frame: a text frame, unless a piece of it is bytes.
    pub fn ws_send(&mut self, socket: Socket, frame: impl Into<Segments>) {
        self.push(Command::WsSend((socket, frame.into().0)));
    }

    /// Has the kernel keep this socket alive, also while the connector is swapped. Replaces an earlier one; with the
    /// same interval, the beat goes on and only the payload is new.
    pub fn ws_keepalive(&mut self, socket: Socket, keepalive: Keepalive) {
        // Of several in one step, the last one counts.
        let replaced = |command: &Command| matches!(command, Command::WsKeepalive((to, _)) if *to == socket);
        self.0.retain(|command| !replaced(command));
        self.push(Command::WsKeepalive((socket, keepalive)));
    }

    /// Closes a socket with this code.
    pub fn ws_close(&mut self, socket: Socket, code: u16) {
        self.push(Command::WsClose((socket, code)));
    }

    /// Answers the webhook of this token, after the step is committed.
    pub fn webhook_reply(&mut self, token: Token, reply: WebhookReply) {
        self.push(Command::WebhookReply((token, reply)));
    }

    /// Gives a command as it is in the contract.
    pub fn push(&mut self, command: Command) {
        self.0.push(command);
    }
}

impl From<Commands> for Vec<Command> {
    fn from(commands: Commands) -> Self {
        commands.0
    }
}

/// One HTTP request to come.
///
/// ```
/// use prx_sdk::connector::Http;
/// use std::time::Duration;
/// let request = Http::get("https://api.example.org/me").bearer("api_key").token(1).timeout(Duration::from_secs(10));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request goes out through Commands::http"]
pub struct Http(HttpRequest);

impl Http {
    /// A request with this method: token 0, no headers, no body, 30 seconds, no lane.
    pub fn new(method: &str, url: impl Into<Segments>) -> Self {
        Self(HttpRequest {
            token: 0,
            method: method.to_owned(),
            url: url.into().0,
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: 30_000,
            lane: None,
            body_to_blob: false,
        })
    }

    /// A GET.
    pub fn get(url: impl Into<Segments>) -> Self {
        Self::new("GET", url)
    }

    /// A POST.
    pub fn post(url: impl Into<Segments>) -> Self {
        Self::new("POST", url)
    }

    /// The token under which the outcome comes back. Unique among the requests in flight.
    pub fn token(mut self, token: Token) -> Self {
        self.0.token = token;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<Segments>) -> Self {
        self.0.headers.push(Field { name: name.to_owned(), value: value.into().0 });
        self
    }

    /// Adds `authorization: Bearer …` with the value of a secret configuration key.
    pub fn bearer(self, secret: &str) -> Self {
        self.header("authorization", Segments::text("Bearer ").secret(secret))
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Segments>) -> Self {
        self.0.body = body.into().0;
        self
    }

    /// Sets the body to this JSON, with its content type.
    pub fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// How long the whole exchange may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = millis(timeout);
        self
    }

    /// Requests of one lane go out one at a time, in the order given.
    pub fn lane(mut self, lane: impl Into<String>) -> Self {
        self.0.lane = Some(lane.into());
        self
    }

    /// Puts the response body into the blob store; the response carries the blob's id and no body.
    pub fn body_to_blob(mut self) -> Self {
        self.0.body_to_blob = true;
        self
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
