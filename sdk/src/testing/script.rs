//! A connector run against a transcript.

use crate::connector::{
    Command, Connector, Content, Event, HttpDone, HttpFailure, HttpFailureKind, HttpOutcome, HttpRequest,
    HttpResponse, Inbound, Keepalive, Operation, Outbound, Outcome, Overheard, Resumed, Segments, Socket,
    Status, Step, Stopping, Target, Token, Webhook, WebhookReply, WsConnect,
};
use crate::wire::connector::{Context, Guest};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

mod sockets;

/// Plays the kernel's part for one connector: feeds it events, keeps its state, and holds what it asked for until the
/// test answers. Time moves only when the test moves it.
///
/// Every event is handled twice with the same arguments, and state goes through bytes: a connector whose step differs
/// the second time, or whose state does not survive, fails the test. Where a method speaks of something that the
/// connector did not ask for, it fails the test and says what there is.
pub struct Script<C: Connector> {
    config: String,
    now: u64,
    state: Vec<u8>,
    calls: u64,
    commands: Vec<Command>,
    open: Open,
    connector: std::marker::PhantomData<C>,
}

/// What the connector waits for.
#[derive(Default)]
struct Open {
    requests: Vec<HttpRequest>,
    timers: Vec<(u64, Token)>,
    connects: Vec<WsConnect>,
    sockets: Vec<(Socket, Token)>,
    keepalives: Vec<(Socket, Keepalive)>,
    operations: u64,
}

impl<C: Connector> Script<C> {
    /// A channel `test` with this configuration, at 1,700,000,000 seconds, without state.
    pub fn new(config: impl Serialize) -> Self {
        Self {
            config: serde_json::to_string(&config).expect("a configuration that serializes"),
            now: 1_700_000_000_000,
            state: Vec::new(),
            calls: 0,
            commands: Vec::new(),
            open: Open::default(),
            connector: std::marker::PhantomData,
        }
    }

    /// Feeds one event.
    pub fn feed(&mut self, event: Event) {
        self.feed_all(vec![event]);
    }

    /// Feeds several events as one step.
    pub fn feed_all(&mut self, events: Vec<Event>) {
        self.calls += 1;
        let step = self.handle(&events).unwrap_or_else(|fault| panic!("{events:?} ended in {fault:?}"));
        let again = self.handle(&events);
        assert_eq!(Ok(&step), again.as_ref(), "the same arguments gave another step: not a pure function");
        if let Some(state) = &step.state {
            let read: C::State = serde_json::from_slice(state).expect("state that can be read back");
            let written = serde_json::to_vec(&read).expect("state that serializes");
            assert_eq!(text(state), text(&written), "the state does not survive being stored");
            self.state = state.clone();
        }
        step.commands.iter().for_each(|command| self.take_up(command));
        self.commands.extend(step.commands);
    }

    /// Feeds one event that must end in a fault, and returns its message. Nothing is kept of it.
    pub fn fault(&mut self, event: Event) -> String {
        self.calls += 1;
        match self.handle(&[event]) {
            Err(fault) => fault.message,
            Ok(step) => panic!("a fault was expected, not {step:?}"),
        }
    }

    /// The channel starts.
    pub fn start(&mut self) {
        self.feed(Event::Started);
    }

    /// The connector's code is swapped: sockets, requests and timers live on.
    pub fn swap(&mut self) {
        let open = &self.open;
        let resumed = Resumed {
            sockets: open.sockets.clone(),
            requests: open.requests.iter().map(|request| request.token).collect(),
            timers: open.timers.iter().map(|timer| timer.1).collect(),
        };
        self.feed(Event::Resumed(resumed));
    }

    /// The gateway dies and comes back: of everything only the state is left.
    pub fn restart(&mut self) {
        self.open = Open { operations: self.open.operations, ..Open::default() };
        self.start();
    }

    /// The channel stops; `disabled` when for good.
    pub fn stop(&mut self, disabled: bool) {
        self.feed(Event::Stopping(Stopping { final_: disabled }));
    }

    /// Answers the request of this token with JSON.
    pub fn answer(&mut self, token: Token, status: u16, body: impl Serialize) {
        let body = serde_json::to_vec(&body).expect("a body that serializes");
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        self.respond(token, HttpResponse { status, headers, body, blob: None, elapsed_ms: 20 });
    }

    /// Answers the request of this token.
    pub fn respond(&mut self, token: Token, response: HttpResponse) {
        self.end_request(token, HttpOutcome::Response(response));
    }

    /// Fails the request of this token; `sent` when the platform may have seen it: the connection broke, or there was none.
    pub fn fail(&mut self, token: Token, sent: bool, reason: &str) {
        let kind = if sent { HttpFailureKind::Broken } else { HttpFailureKind::Unreachable };
        self.fail_with(token, HttpFailure { kind, sent, reason: reason.to_owned() });
    }

    /// Fails the request of this token in this way.
    pub fn fail_with(&mut self, token: Token, failure: HttpFailure) {
        self.end_request(token, HttpOutcome::Failed(failure));
    }

    /// Fails the request of this token: its answer is larger than the gateway takes.
    pub fn too_large(&mut self, token: Token) {
        let reason = "the answer is larger than it may be".to_owned();
        self.fail_with(token, HttpFailure { kind: HttpFailureKind::TooLarge, sent: true, reason });
    }

    /// Moves the time on, ringing every timer that comes due on the way, each at its moment.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + u64::try_from(by.as_millis()).expect("a sensible duration");
        while let Some(due) = self.open.timers.iter().map(|timer| timer.0).min().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            let ringing: Vec<_> = self.open.timers.extract_if(.., |timer| timer.0 == due).collect();
            self.feed_all(ringing.into_iter().map(|timer| Event::Timer(timer.1)).collect());
        }
        self.now = until;
    }

    /// Asks for an operation on the platform, for the first time, and returns its id.
    pub fn operate(&mut self, target: Target, operation: Operation) -> String {
        self.open.operations += 1;
        let id = format!("out_{}", self.open.operations);
        self.feed(Event::Outbound(Outbound {
            id: id.clone(),
            target,
            operation,
            attempt: 1,
            maybe_duplicate: false,
        }));
        id
    }

    /// Asks once more for an operation that did not succeed.
    pub fn repeat(&mut self, id: &str, attempt: u32, target: Target, operation: Operation) {
        let maybe_duplicate = matches!(self.outcome(id), Some(Outcome::Unknown(_)));
        let id = id.to_owned();
        self.feed(Event::Outbound(Outbound { id, target, operation, attempt, maybe_duplicate }));
    }

    /// Asks for this text to be sent to a conversation, and returns the operation's id.
    pub fn send(&mut self, conversation: &str, markdown: &str) -> String {
        self.operate(Target::conversation(conversation), Operation::Send(Content::text(markdown)))
    }

    /// The platform calls the channel's webhook; the answer that it gets.
    pub fn call(&mut self, webhook: Webhook) -> WebhookReply {
        let token = webhook.token;
        self.feed(Event::Webhook(webhook));
        let reply = self.commands.iter().rev().find_map(|command| match command {
            Command::WebhookReply((to, reply)) if *to == token => Some(reply.clone()),
            _ => None,
        });
        reply.unwrap_or_else(|| panic!("webhook {token} is not answered in its own step"))
    }

    /// The request in flight under this token.
    pub fn request(&self, token: Token) -> &HttpRequest {
        let found = self.open.requests.iter().find(|request| request.token == token);
        found.unwrap_or_else(|| {
            panic!("no request in flight under token {token}; there are {:#?}", self.requests())
        })
    }

    /// The requests in flight, in the order given.
    pub fn requests(&self) -> &[HttpRequest] {
        &self.open.requests
    }

    /// The timers set: how long until each rings.
    pub fn timers(&self) -> Vec<(Token, Duration)> {
        self.open.timers.iter().map(|(due, token)| (*token, Duration::from_millis(due - self.now))).collect()
    }

    /// Takes every command given since it was last asked.
    pub fn commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// Takes what was overheard and not yet taken; other commands stay.
    pub fn overheard(&mut self) -> Vec<Overheard> {
        let taken = self.commands.extract_if(.., |command| matches!(command, Command::Overhear(_)));
        taken
            .filter_map(|command| if let Command::Overhear(said) = command { Some(said) } else { None })
            .collect()
    }

    /// Takes the messages delivered and not yet taken; other commands stay.
    pub fn deliveries(&mut self) -> Vec<Inbound> {
        let taken = self.commands.extract_if(.., |command| matches!(command, Command::Deliver(_)));
        taken
            .filter_map(|command| if let Command::Deliver(message) = command { Some(message) } else { None })
            .collect()
    }

    /// The outcome given for this operation, once there is one.
    pub fn outcome(&self, id: &str) -> Option<&Outcome> {
        self.commands.iter().rev().find_map(|command| match command {
            Command::Done(done) if done.id == id => Some(&done.outcome),
            _ => None,
        })
    }

    /// The status said last.
    pub fn status(&self) -> Option<&Status> {
        self.commands.iter().rev().find_map(|command| match command {
            Command::Status(status) => Some(status),
            _ => None,
        })
    }

    /// The lines logged and not yet taken with `commands`.
    pub fn logs(&self) -> Vec<&str> {
        let lines = self.commands.iter().map(|command| match command {
            Command::Log((_, line)) => Some(line.as_str()),
            _ => None,
        });
        lines.flatten().collect()
    }

    /// The state as it is stored.
    pub fn state(&self) -> C::State {
        match self.state.as_slice() {
            [] => C::State::default(),
            bytes => serde_json::from_slice(bytes).expect("state that can be read back"),
        }
    }

    /// The time.
    pub fn now(&self) -> u64 {
        self.now
    }

    fn handle(&self, events: &[Event]) -> Result<Step, crate::types::Fault> {
        let config = self.config.clone();
        let context = Context { channel: "test".to_owned(), now: self.now, seed: self.calls, config };
        <C as Guest>::handle(context, self.state.clone(), events.to_vec())
    }

    fn end_request(&mut self, token: Token, outcome: HttpOutcome) {
        self.request(token);
        self.open.requests.retain(|request| request.token != token);
        self.feed(Event::HttpDone(HttpDone { token, outcome }));
    }

    fn take_up(&mut self, command: &Command) {
        let open = &mut self.open;
        match command {
            Command::Http(request) => {
                let token = request.token;
                let taken = open.requests.iter().any(|other| other.token == token);
                assert!(!taken, "token {token} belongs to a request still in flight");
                open.requests.push(request.clone());
            }
            Command::Cancel(token) => {
                open.requests.retain(|request| request.token != *token);
                open.timers.retain(|timer| timer.1 != *token);
                open.connects.retain(|connect| connect.token != *token);
            }
            Command::Timer((token, after)) => {
                open.timers.retain(|timer| timer.1 != *token);
                open.timers.push((self.now + u64::from(*after), *token));
            }
            Command::WsConnect(connect) => open.connects.push(connect.clone()),
            Command::WsClose((socket, _)) => open.forget_socket(*socket),
            Command::WsKeepalive((socket, keepalive)) => {
                open.keepalives.retain(|other| other.0 != *socket);
                open.keepalives.push((*socket, keepalive.clone()));
            }
            _ => {}
        }
    }
}

impl HttpRequest {
    /// The URL, secrets as `{secret:KEY}`.
    pub fn url_text(&self) -> String {
        Segments(self.url.clone()).to_string()
    }

    /// The body, secrets as `{secret:KEY}`.
    pub fn body_text(&self) -> String {
        Segments(self.body.clone()).to_string()
    }

    /// The body read as JSON.
    pub fn body_json(&self) -> Value {
        let body = self.body_text();
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("no JSON ({e}): {body}"))
    }

    /// The first header of this name, secrets as `{secret:KEY}`.
    pub fn header_text(&self, name: &str) -> Option<String> {
        let header = self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| Segments(header.value.clone()).to_string())
    }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
