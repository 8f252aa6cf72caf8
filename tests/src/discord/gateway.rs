//! The gateway's side: sessions with what they missed, connections with what was said over them.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{APPLICATION, BOT, Bot, State, TOKEN};
use crate::server::Socket;

/// Between two sessions begun.
const APART: Duration = Duration::from_millis(4_900);
const SENDS_A_MINUTE: usize = 120;

/// What a connection is to do.
#[derive(Debug, Clone)]
pub enum Order {
    /// Send this text.
    Say(String),
    /// Close with this code, or break.
    Close(Option<u16>),
    /// Stay open, and neither speak nor listen.
    GoDeaf,
}

/// A session with all its events.
#[derive(Debug, Clone)]
pub struct Session {
    id: String,
    events: Vec<(u64, String)>,
    last: u64,
}

/// A connection to the gateway.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The path and query it was opened at.
    pub at: String,
    /// When it was opened.
    pub opened_at: Instant,
    /// Whether it took a session up again, once it asked for one.
    pub resumed: Option<bool>,
    /// When the session was there.
    pub ready_at: Option<Instant>,
    /// When each heartbeat came.
    pub heartbeats: Vec<Instant>,
    /// The code that the other side closed it with; 0 for none.
    pub closed: Option<u16>,
    /// When it was over.
    pub ended_at: Option<Instant>,
    pub(super) orders: VecDeque<Order>,
    frames: Vec<Instant>,
    deaf: bool,
    /// The last event sent over it.
    sent: u64,
}

impl Session {
    fn begin(number: usize) -> Self {
        Self { id: format!("session-{number}"), events: Vec::new(), last: 0 }
    }

    /// The number of its last event.
    pub fn sequence(&self) -> u64 {
        self.last
    }

    pub(super) fn note(&mut self, event: &str, data: Value) {
        let frame = self.frame(event, data);
        self.events.push((self.last, frame));
    }

    fn frame(&mut self, event: &str, data: Value) -> String {
        self.last += 1;
        json!({"op": 0, "t": event, "s": self.last, "d": data}).to_string()
    }
}

impl Bot {
    /// Serves one connection from the greeting to its end.
    pub(super) async fn serve(&self, at: String, mut socket: Socket) {
        let (number, interval) = self.open(at);
        let hello =
            json!({"op": 10, "s": null, "t": null, "d": {"heartbeat_interval": interval.as_millis() as u64}});
        let mut changed = self.changed.subscribe();
        let mut going = socket.send(Message::text(hello.to_string())).await.is_ok();
        while going {
            let (due, close) = self.due(number);
            for text in due {
                going &= socket.send(Message::text(text)).await.is_ok();
            }
            if let Some(code) = close {
                self.hang_up(number, &mut socket, code).await;
                break;
            }
            tokio::select! {
                came = socket.next() => match came {
                    Some(Ok(Message::Text(text))) => {
                        if let Some(code) = self.heard(number, &text) {
                            self.hang_up(number, &mut socket, Some(code)).await;
                            break;
                        }
                    }
                    Some(Ok(Message::Close(frame))) => {
                        self.closed(number, frame.map_or(0, |frame| frame.code.into()));
                        going = false;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => going = false,
                },
                _ = changed.changed() => {}
            }
        }
        let mut state = self.state();
        state.connections[number].ended_at = Some(Instant::now());
        self.tell(state);
    }

    fn open(&self, at: String) -> (usize, Duration) {
        let mut state = self.state();
        if !at.contains("v=10") || !at.contains("encoding=json") {
            state.broke(format!("a connection to {at}"));
        }
        state.connections.push(Connection {
            at,
            opened_at: Instant::now(),
            resumed: None,
            ready_at: None,
            heartbeats: Vec::new(),
            closed: None,
            ended_at: None,
            orders: VecDeque::new(),
            frames: Vec::new(),
            deaf: false,
            sent: 0,
        });
        let opened = (state.connections.len() - 1, state.interval);
        self.tell(state);
        opened
    }

    /// What is to be sent now, and whether to close after that.
    fn due(&self, number: usize) -> (Vec<String>, Option<Option<u16>>) {
        let mut state = self.state();
        let State { connections, session, .. } = &mut *state;
        let connection = &mut connections[number];
        let (mut due, mut close) = (Vec::new(), None);
        while let (Some(order), None) = (connection.orders.pop_front(), close) {
            match order {
                Order::Say(text) => due.push(text),
                Order::Close(code) => close = Some(code),
                Order::GoDeaf => connection.deaf = true,
            }
        }
        if let (Some(session), Some(_), false) = (session, connection.ready_at, connection.deaf) {
            let missed = session.events.partition_point(|(sequence, _)| *sequence <= connection.sent);
            due.splice(0..0, session.events[missed..].iter().map(|(_, frame)| frame.clone()));
            connection.sent = session.last;
        }
        (due, close)
    }

    async fn hang_up(&self, number: usize, socket: &mut Socket, code: Option<u16>) {
        // Without a code the connection breaks when this ends.
        let Some(code) = code else { return };
        let _ = socket.close(Some(CloseFrame { code: code.into(), reason: "as told".into() })).await;
        // What the other side still sends is read, that it hears of the closing.
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                let _ = self.heard(number, &text);
            }
        }
    }

    fn closed(&self, number: usize, code: u16) {
        let mut state = self.state();
        state.connections[number].closed = Some(code);
        // With these the platform ends the session, too.
        if matches!(code, 1000 | 1001) {
            state.session = None;
        }
    }

    /// A frame came. A code to close with, if that is what it leads to.
    fn heard(&self, number: usize, text: &str) -> Option<u16> {
        let mut state = self.state();
        if state.connections[number].deaf {
            return None;
        }
        state.count_frame(number);
        let Ok(frame) = serde_json::from_str::<Value>(text) else { return Some(4002) };
        let code = match frame["op"].as_u64() {
            Some(1) => state.heartbeat(number, &frame["d"]),
            Some(2) => state.identify(number, &frame["d"]),
            Some(6) => state.resume(number, &frame["d"]),
            _ => Some(4001),
        };
        self.tell(state);
        code
    }
}

impl State {
    fn count_frame(&mut self, number: usize) {
        let (now, frames) = (Instant::now(), &mut self.connections[number].frames);
        frames.push(now);
        let minute = frames.iter().rev().take_while(|at| now - **at < Duration::from_secs(60)).count();
        if minute > SENDS_A_MINUTE {
            self.broke(format!("{minute} frames within a minute"));
        }
    }

    fn say(&mut self, number: usize, text: String) {
        self.connections[number].orders.push_back(Order::Say(text));
    }

    fn heartbeat(&mut self, number: usize, sequence: &Value) -> Option<u16> {
        let connection = &mut self.connections[number];
        connection.heartbeats.push(Instant::now());
        let sent = connection.sent;
        if sequence.as_u64().unwrap_or_default()
            > sent.max(self.session.as_ref().map_or(0, Session::sequence))
        {
            self.broke(format!("a heartbeat that names event {sequence} of {sent}"));
        }
        self.say(number, json!({"op": 11, "d": null}).to_string());
        None
    }

    fn identify(&mut self, number: usize, data: &Value) -> Option<u16> {
        if let Some(code) = self.refuse_introduction.take() {
            return Some(code);
        }
        if data["token"] != TOKEN {
            return Some(4004);
        }
        if self.connections[number].resumed.is_some() {
            return Some(4005);
        }
        if data["intents"] != 37_376 || !data["properties"].is_object() {
            self.broke(format!("identify with intents {}", data["intents"]));
        }
        let now = Instant::now();
        if self.sessions_begun.last().is_some_and(|last| now - *last < APART) {
            self.broke("two sessions begun within five seconds");
        }
        self.sessions_begun.push(now);
        let mut session = Session::begin(self.sessions_begun.len());
        let ready = json!({
            "v": 10, "user": {"id": BOT, "username": "prx", "discriminator": "0", "bot": true}, "guilds": [],
            "session_id": session.id, "resume_gateway_url": format!("ws://{}/resume", self.address),
            "shard": [0, 1], "application": {"id": APPLICATION, "flags": 0},
        });
        session.note("READY", ready);
        self.session = Some(session);
        self.begin(number, false, 0);
        None
    }

    fn resume(&mut self, number: usize, data: &Value) -> Option<u16> {
        if let Some(code) = self.refuse_introduction.take() {
            return Some(code);
        }
        if data["token"] != TOKEN {
            return Some(4004);
        }
        if !self.connections[number].at.starts_with("/resume") {
            self.broke(format!("a session resumed at {}", self.connections[number].at));
        }
        let sequence = data["seq"].as_u64().unwrap_or(u64::MAX);
        match &mut self.session {
            Some(session) if session.id == data["session_id"] => {
                if sequence > session.last {
                    return Some(4007);
                }
                let resumed = session.frame("RESUMED", json!({}));
                session.events.push((session.last, resumed));
                self.begin(number, true, sequence);
            }
            _ => self.say(number, json!({"op": 9, "d": false}).to_string()),
        }
        None
    }

    fn begin(&mut self, number: usize, resumed: bool, sequence: u64) {
        let connection = &mut self.connections[number];
        connection.ready_at = Some(Instant::now());
        connection.resumed = Some(resumed);
        connection.sent = sequence;
    }
}
