//! The store as its users see it, on a real file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::tx::{META, VERSION};
use prx_base::clock::Clock;
use prx_base::error::{Code, Error};
use prx_base::events::{Kind, NewEvent};

mod blobs;
mod channels;
mod copies;
mod erasure;
mod event_log;
mod events;
mod files;
mod hooks;
mod migration;
mod model;
mod outbox;
mod overheard;
mod records;
mod sessions;
mod told;
mod turns;

/// A data directory and the time in it.
struct Home {
    dir: TempDir,
    clock: Clock,
}

impl Home {
    fn new() -> Self {
        let start = "2026-03-21T10:00:00Z".parse::<Timestamp>().unwrap();
        Self { dir: tempfile::tempdir().unwrap(), clock: Clock::manual(start) }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn open(&self) -> Store {
        Store::open(self.path(), self.clock.clone()).unwrap()
    }

    async fn reopen(&self, store: Store) -> Store {
        store.close().await;
        self.open()
    }

    /// What `kill -9` leaves behind: the file as it is, never closed.
    fn crash(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::copy(self.path().join("prx.redb"), dir.path().join("prx.redb")).unwrap();
        Self { dir, clock: self.clock.clone() }
    }
}

fn new_session(channel: &str) -> NewSession {
    let metadata = json!({"source": "web-app"});
    NewSession {
        channel: channel.into(),
        user_id: "user_123".into(),
        metadata,
        conversation: None,
        model: None,
        agent: None,
        language: None,
    }
}

fn conversation(name: &str) -> Conversation {
    Conversation { channel: "chat".into(), conversation: name.into(), thread: None }
}

fn inbound(conversation: &Conversation, dedupe: &str) -> NewInbound {
    NewInbound {
        dedupe: dedupe.into(),
        conversation: conversation.clone(),
        user_id: "7".into(),
        user_name: "Ann".into(),
        language: None,
        choice: None,
        text: format!("text of {dedupe}"),
        command: None,
        attachments: Vec::new(),
        group: false,
        reply_to: None,
        forwarded: Vec::new(),
        target: json!({"chat": conversation.conversation}),
        sent_at: Timestamp::UNIX_EPOCH,
        metadata: Value::Null,
        begun_by: None,
    }
}

fn step(inbound: Vec<NewInbound>) -> StepCommit {
    StepCommit {
        channel: "chat".into(),
        state: None,
        inbound,
        overheard: Vec::new(),
        outcomes: Vec::new(),
        streams: Vec::new(),
        dispatched: Vec::new(),
        max_turns: 50,
        interrupts: false,
        replayable: false,
    }
}

fn outbound(conversation: &Conversation, text: &str) -> NewOutbound {
    let (operation, turn) = (Operation::send(text, Vec::new()), None);
    NewOutbound { conversation: conversation.clone(), target: json!({}), operation, turn, trace: None }
}

fn parked(reason: &str) -> Parked {
    Parked { reason: reason.into(), ..Parked::default() }
}

fn done(turn: &Turn, replies: &[&str]) -> TurnDone {
    let replies = replies.iter();
    TurnDone {
        id: turn.id(),
        messages: replies.map(|reply| NewMessage::assistant(*reply)).collect(),
        usage: Usage { input: 10, output: 4 },
        outbound: Vec::new(),
        events: Vec::new(),
        end_session: false,
        agent: crate::AgentCommit::default(),
    }
}

fn said(operation: &Operation) -> &str {
    match operation {
        Operation::Send(content) => &content.markdown,
        other => panic!("nothing is sent: {other:?}"),
    }
}
