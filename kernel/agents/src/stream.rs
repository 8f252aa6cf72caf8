//! The events of a turn while it runs, for whoever listens. A listener that is slow gets fewer, larger pieces.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::failure::stopping;
use prx_base::error::{Error, Result};
use prx_base::traces::TraceContext;
use prx_store::{Approval, Message};

/// How many events are queued for a slow listener.
const QUEUE_CAPACITY: usize = 64;
/// How many places of the queue pieces of the reply leave free for what can't be said later.
const RESERVED_CAPACITY: usize = 32;

/// One thing that a turn said.
#[derive(Debug)]
pub enum TurnEvent {
    /// The next piece of the reply.
    Token(String),
    /// The next piece of what the model thinks aloud, apart from the reply.
    Thinking(String),
    /// The listener was too slow: so much was not said to it, apart from pieces of the reply, which it gets.
    Missed(u64),
    /// The reply begins anew: pieces of it since the last result of a tool are void.
    Restart {
        /// Why.
        reason: String,
    },
    /// The model has begun to ask for a tool.
    ToolCallStarted {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// A tool waits for a person to allow its call, or to answer what its MCP server asks.
    Approval(Approval),
    /// A tool is about to be called.
    ToolCall {
        /// The call's id, the same in its result.
        id: String,
        /// The tool's name.
        name: String,
        /// What it is called with.
        arguments: Value,
    },
    /// A tool answered.
    ToolResult {
        /// The id of its call.
        id: String,
        /// What it said.
        content: String,
        /// It could not do it.
        is_error: bool,
    },
    /// The reply is in the store. Nothing follows.
    Done(Message),
    /// There will be no reply. Nothing follows.
    Error(Error),
}

/// The listening end of one turn.
#[derive(Debug)]
pub struct TurnStream {
    message: String,
    events: mpsc::Receiver<TurnEvent>,
    listeners: Listeners,
}

impl TurnStream {
    /// The next thing that is said; none after `Done` or `Error`.
    pub async fn next(&mut self) -> Option<TurnEvent> {
        self.events.recv().await
    }

    /// Waits for the reply.
    ///
    /// # Errors
    /// The turn was put aside, its session ended, or the gateway is stopping; the message is kept in each case.
    pub async fn reply(mut self) -> Result<Message> {
        while let Some(event) = self.next().await {
            match event {
                TurnEvent::Done(message) => return Ok(message),
                TurnEvent::Error(error) => return Err(error),
                _ => {}
            }
        }
        Err(stopping())
    }
}

impl Drop for TurnStream {
    fn drop(&mut self) {
        self.listeners.lock().remove(&self.message);
    }
}

/// Who listens to which turn, by the id of the message that began it.
#[derive(Debug, Clone, Default)]
pub(super) struct Listeners(Arc<Mutex<HashMap<String, Listener>>>);

/// Who listens to one.
#[derive(Debug)]
pub(super) struct Listener {
    events: mpsc::Sender<TurnEvent>,
    /// Where the turn is in a trace of theirs.
    trace: Option<TraceContext>,
}

impl Listeners {
    /// Begins to listen to a turn that is about to be queued.
    pub(super) fn listen(&self, message: &str, trace: Option<TraceContext>) -> TurnStream {
        // One more place than a reply stream uses, so that the last event always has one.
        let (sender, events) = mpsc::channel(QUEUE_CAPACITY + 1);
        self.lock().insert(message.into(), Listener { events: sender, trace });
        TurnStream { message: message.into(), events, listeners: self.clone() }
    }

    /// Where a turn is in a trace of those who listen to it.
    pub(super) fn trace(&self, message: &str) -> Option<TraceContext> {
        self.lock().get(message)?.trace
    }

    /// The sending end of one attempt at a turn, whether anyone listens or not. `is_held`: nothing of the reply is shown
    /// before it is whole.
    pub(super) fn reply_stream(&self, message: &str, is_held: bool) -> ReplyStream {
        ReplyStream {
            listener: self.lock().get(message).map(|listener| listener.events.clone()),
            is_held,
            held_back: Mutex::default(),
            so_far: watch::Sender::default(),
            restarted: AtomicBool::new(false),
            missed: AtomicU64::new(0),
        }
    }

    /// Sends the last event of a turn: its reply, or why there is none.
    pub(super) fn done(&self, message: &str, reply: Result<Message>) {
        if let Some(listener) = self.lock().remove(message) {
            let last = reply.map_or_else(TurnEvent::Error, TurnEvent::Done);
            // It fails only when the listener went away.
            let _ = listener.events.try_send(last);
        }
    }

    /// Tells everyone that there will be no reply, and why.
    pub(super) fn fail(&self, why: &Error) {
        for (_, listener) in self.lock().drain() {
            // It fails only when the listener went away.
            let _ = listener.events.try_send(TurnEvent::Error(Error::new(why.code(), why.message())));
        }
    }

    /// Closes every stream. Nothing more is sent to anyone.
    pub(super) fn close(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Listener>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending end of one attempt at a turn. Never waits: what a slow listener has no room for is sent with the next
/// piece or at the end.
pub(super) struct ReplyStream {
    listener: Option<mpsc::Sender<TurnEvent>>,
    /// Nothing of the reply, nor of what the model thinks, is shown before a filter has seen it.
    is_held: bool,
    /// Pieces of the reply that the listener had no room for.
    held_back: Mutex<String>,
    so_far: watch::Sender<String>,
    /// What was said so far is no part of the reply.
    restarted: AtomicBool,
    /// How many other events the listener had no room for, and was not told of yet.
    missed: AtomicU64,
}

impl ReplyStream {
    /// The reply as far as it has come, for whoever looks at it at a pace of their own.
    pub(super) fn so_far(&self) -> watch::Receiver<String> {
        self.so_far.subscribe()
    }

    /// The next piece begins the reply anew: what came before led to tool calls, or to nothing.
    pub(super) fn restart(&self) {
        self.restarted.store(true, Ordering::Relaxed);
    }

    /// Sends the next piece of the reply. False: nobody listens.
    pub(super) fn token(&self, text: &str) -> bool {
        if self.is_held {
            return self.listener.as_ref().is_some_and(|listener| !listener.is_closed());
        }
        self.so_far.send_modify(|so_far| {
            if self.restarted.swap(false, Ordering::Relaxed) {
                so_far.clear();
            }
            so_far.push_str(text);
        });
        let Some(listener) = &self.listener else { return false };
        let mut held_back = self.held_back.lock().unwrap_or_else(PoisonError::into_inner);
        held_back.push_str(text);
        if listener.capacity() > RESERVED_CAPACITY {
            let _ = listener.try_send(TurnEvent::Token(std::mem::take(&mut held_back)));
        }
        !listener.is_closed()
    }

    /// Sends the whole reply as one piece, where nothing of it was shown before.
    pub(super) fn release(&self, reply: &str) {
        if self.is_held && !reply.is_empty() {
            self.send(TurnEvent::Token(reply.to_owned()));
        }
    }

    /// Sends something else than a piece of the reply, after what was held back of that.
    pub(super) fn event(&self, event: TurnEvent) {
        if self.is_held && matches!(event, TurnEvent::Thinking(_) | TurnEvent::Restart { .. }) {
            return;
        }
        // What is held back is void when the reply begins anew.
        match event {
            TurnEvent::Restart { .. } => drop(self.take_held_back()),
            _ => self.send_held_back(),
        }
        self.send(event);
    }

    fn send_held_back(&self) {
        let held_back = self.take_held_back();
        if !held_back.is_empty() {
            self.send(TurnEvent::Token(held_back));
        }
    }

    fn take_held_back(&self) -> String {
        std::mem::take(&mut *self.held_back.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn send(&self, event: TurnEvent) {
        let Some(listener) = &self.listener else { return };
        // Room for the count of what was missed, for this, and for the last event.
        if listener.capacity() < 3 {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let missed = self.missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            let _ = listener.try_send(TurnEvent::Missed(missed));
        }
        let _ = listener.try_send(event);
    }
}

/// The pieces of a reply are all of it: what is held back at the end of the attempt is sent with it.
impl Drop for ReplyStream {
    fn drop(&mut self) {
        self.send_held_back();
        let missed = self.missed.load(Ordering::Relaxed);
        if let Some(listener) = &self.listener
            && missed > 0
            && listener.capacity() > 1
        {
            let _ = listener.try_send(TurnEvent::Missed(missed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_is_slow_is_told_what_it_missed() {
        let listeners = Listeners::default();
        let mut stream = listeners.listen("msg_1", None);
        let reply = listeners.reply_stream("msg_1", false);
        let calls = 2 * QUEUE_CAPACITY as u64;
        for n in 0..calls {
            reply.event(TurnEvent::Thinking(n.to_string()));
        }
        let mut heard = 0;
        while let Ok(TurnEvent::Thinking(_)) = stream.events.try_recv() {
            heard += 1;
        }
        drop(reply);
        listeners.done("msg_1", Err(stopping()));
        match stream.next().await {
            Some(TurnEvent::Missed(missed)) => assert_eq!(missed, calls - heard),
            other => panic!("{other:?}"),
        }
        assert!(matches!(stream.next().await, Some(TurnEvent::Error(_))), "the last event has its place");
    }

    #[tokio::test]
    async fn the_pieces_are_the_whole_reply_however_slow_its_listener_is() {
        let listeners = Listeners::default();
        let mut stream = listeners.listen("msg_1", None);
        let reply = listeners.reply_stream("msg_1", false);
        let pieces: Vec<String> = (0..4 * QUEUE_CAPACITY).map(|n| format!("{n} ")).collect();
        for piece in &pieces {
            reply.token(piece);
        }
        drop(reply);
        listeners.done("msg_1", Err(stopping()));
        let mut heard = String::new();
        while let Some(TurnEvent::Token(piece)) = stream.next().await {
            heard += &piece;
        }
        assert_eq!(heard, pieces.concat());
    }
}
