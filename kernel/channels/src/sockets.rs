//! The WebSockets of one channel, as its pump knows them. Each has a task of its own.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tracing::{Instrument, debug, warn};

use super::blobs::Blobs;
use super::convert;
use super::input::Input;
use super::keepalive::{Acknowledged, Keepalive};
use super::socket::{self, BUFFER_KIB, INTERRUPTED, Link, Order, weight};
use super::socket_event::{Disconnect, SocketEvent};
use prx_egress::{Egress, Failure, Frame, Kind, Policy, Upgrade};
use prx_host::bindings::common;
use prx_host::bindings::connector as wire;

/// Sockets that one channel may have, those being opened included.
const MAX_SOCKETS: usize = 16;
/// How long opening one may take, in seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long all sockets may take to close on shutdown, in seconds.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Opens sockets, hands on what they bring and what they are to send, and forgets those that end.
pub(super) struct Sockets {
    egress: Egress,
    blobs: Blobs,
    inputs: mpsc::Sender<Input>,
    tasks: JoinSet<()>,
    sockets: BTreeMap<u64, Socket>,
    last: u64,
    /// The receive buffer: for frames that the connector has not handled, in KiB.
    unhandled: Arc<Semaphore>,
    /// The permits of the frames in the pump's queue, oldest first.
    queued: VecDeque<OwnedSemaphorePermit>,
    faults: HashMap<Kind, u64>,
}

struct Socket {
    token: u64,
    open: bool,
    orders: mpsc::UnboundedSender<Order>,
    keepalive: watch::Sender<Option<Keepalive>>,
    /// The send buffer: for frames that wait to be sent, in KiB.
    unsent: Arc<Semaphore>,
    task: AbortHandle,
}

/// An event for the connector that came by a socket.
pub(super) struct Received {
    pub(super) event: wire::Event,
    /// The heartbeat that it acknowledges.
    pub(super) acknowledged: Option<Acknowledged>,
}

impl Sockets {
    /// Sockets are numbered from `now` on, in milliseconds, so that no number comes again after a restart.
    pub(super) fn new(egress: Egress, blobs: Blobs, inputs: mpsc::Sender<Input>, now: u64) -> Self {
        Self {
            egress,
            blobs,
            inputs,
            tasks: JoinSet::new(),
            sockets: BTreeMap::new(),
            last: now,
            unhandled: Arc::new(Semaphore::new(BUFFER_KIB as usize)),
            queued: VecDeque::new(),
            faults: HashMap::new(),
        }
    }

    /// Opens a socket as far as the policy lets it go. What becomes of it comes as [`Input::Socket`], or is returned
    /// if it is known at once.
    pub(super) fn connect(&mut self, asked: wire::WsConnect, policy: Arc<Policy>) -> Option<wire::Event> {
        self.cancel(asked.token);
        while self.tasks.try_join_next().is_some() {}
        if self.sockets.len() >= MAX_SOCKETS {
            let reason = format!("{MAX_SOCKETS} sockets of this channel are open already");
            return Some(closed(0, asked.token, reason));
        }
        let token = asked.token;
        let upgrade = match upgrade(asked) {
            Ok(upgrade) => upgrade,
            Err(failure) => return Some(closed(0, token, failure.reason)),
        };
        self.last += 1;
        let (orders, orders_out) = mpsc::unbounded_channel();
        let (keepalive, keepalive_out) = watch::channel(None);
        let link = Link {
            socket: self.last,
            inputs: self.inputs.clone(),
            unhandled: self.unhandled.clone(),
            orders: orders_out,
            keepalive: keepalive_out,
            blobs: self.blobs.clone(),
        };
        let serving = socket::run(self.egress.clone(), policy, upgrade, link);
        let task = self.tasks.spawn(serving.in_current_span());
        let unsent = Arc::new(Semaphore::new(BUFFER_KIB as usize));
        let socket = Socket { token, open: false, orders, keepalive, unsent, task };
        self.sockets.insert(self.last, socket);
        None
    }

    /// Takes in what happened on a socket, and returns it as the event for the connector. Nothing, if nobody wants to
    /// know of this socket any more.
    pub(super) fn accept(&mut self, socket: u64, event: SocketEvent) -> Option<Received> {
        match event {
            SocketEvent::Opened => {
                let found = self.sockets.get_mut(&socket)?;
                found.open = true;
                let opened = wire::SocketOpened { socket, token: found.token };
                Some(Received { event: wire::Event::WsOpen(opened), acknowledged: None })
            }
            SocketEvent::Frame { frame, acknowledged, permit } => {
                self.sockets.get(&socket)?;
                self.queued.push_back(permit);
                let event = match frame {
                    Frame::Text(text) => wire::Event::WsText((socket, text)),
                    Frame::Binary(bytes) => wire::Event::WsBinary((socket, bytes)),
                };
                Some(Received { event, acknowledged })
            }
            SocketEvent::Closed(disconnect) => {
                let Socket { token, open, .. } = self.sockets.remove(&socket)?;
                self.log(&disconnect);
                let Disconnect { code, reason, silent, .. } = disconnect;
                let socket = if open { socket } else { 0 };
                let closed = wire::SocketClosed { socket, token, code, reason, silent };
                Some(Received { event: wire::Event::WsClosed(closed), acknowledged: None })
            }
        }
    }

    /// Frees the receive buffer of every frame that is no longer in `queue`, so that the sockets read on.
    pub(super) fn release_handled(&mut self, queue: &VecDeque<wire::Event>) {
        if self.queued.is_empty() {
            return;
        }
        let frame = |event: &&wire::Event| matches!(event, wire::Event::WsText(_) | wire::Event::WsBinary(_));
        let left = queue.iter().filter(frame).count();
        self.queued.drain(..self.queued.len().saturating_sub(left));
    }

    /// Sends a frame, after those before it. A socket whose send buffer is full is given up, which is returned.
    pub(super) fn send(
        &mut self,
        socket: u64,
        frame: Vec<common::Segment>,
        policy: Arc<Policy>,
    ) -> Option<wire::Event> {
        let found = self.sockets.get(&socket).filter(|found| found.open)?;
        let weight = weight(convert::bytes_in(&frame));
        let Ok(permit) = found.unsent.clone().try_acquire_many_owned(weight) else {
            return self.give_up(socket, "more waits to be sent than the platform takes".into());
        };
        // One that has just ended says so itself.
        let _ = found.orders.send(Order::Send { frame, policy, permit });
        None
    }

    /// Starts the heartbeat of a socket, or replaces it. A socket for which it can't be rendered is given up, which is
    /// returned.
    pub(super) fn keep_alive(
        &mut self,
        socket: u64,
        asked: wire::Keepalive,
        policy: &Policy,
    ) -> Option<wire::Event> {
        let found = self.sockets.get(&socket).filter(|found| found.open)?;
        match Keepalive::new(asked, policy) {
            Ok(keepalive) => {
                found.keepalive.send_replace(Some(keepalive));
                None
            }
            Err(reason) => self.give_up(socket, reason),
        }
    }

    /// Closes a socket, after what it has to send. Nothing more comes of it.
    pub(super) fn close(&mut self, socket: u64, code: u16) {
        if let Some(found) = self.sockets.remove(&socket) {
            // One that has just ended is closed already.
            let _ = found.orders.send(Order::Close(code));
        }
    }

    /// Gives up the socket being opened under this token. Nothing more comes of it.
    pub(super) fn cancel(&mut self, token: u64) {
        let opening = |socket: &Socket| !socket.open && socket.token == token;
        for (_, socket) in self.sockets.extract_if(.., |_, socket| opening(socket)) {
            socket.task.abort();
        }
    }

    /// The open sockets and their tokens, as the connector knows them before it has handled what is in `queue`.
    pub(super) fn open(&self, queue: &VecDeque<wire::Event>) -> Vec<(u64, u64)> {
        let open = self.sockets.iter().filter(|(_, socket)| socket.open);
        let mut open: BTreeMap<u64, u64> = open.map(|(id, socket)| (*id, socket.token)).collect();
        for event in queue {
            match event {
                wire::Event::WsOpen(opened) => drop(open.remove(&opened.socket)),
                wire::Event::WsClosed(closed) if closed.socket != 0 => {
                    open.insert(closed.socket, closed.token);
                }
                _ => {}
            }
        }
        open.into_iter().collect()
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.sockets.values().filter(|socket| socket.open).count()
    }

    /// Closes every open socket as one on which nothing is heard. Returns what the connector is told of it.
    pub(super) fn close_silent(&mut self) -> Vec<wire::Event> {
        let open = self.sockets.extract_if(.., |_, socket| socket.open);
        let closed = open.map(|(id, socket)| {
            // One that has just ended is closed already.
            let _ = socket.orders.send(Order::Close(INTERRUPTED));
            let reason = "nothing heard from the platform".to_owned();
            wire::SocketClosed { socket: id, token: socket.token, code: None, reason, silent: true }
        });
        closed.map(wire::Event::WsClosed).collect()
    }

    /// Closes what is left, and returns only when everything is closed.
    pub(super) async fn close_all(&mut self, code: u16) {
        for (id, socket) in std::mem::take(&mut self.sockets) {
            if socket.open {
                let _ = socket.orders.send(Order::Close(code));
            } else {
                debug!(socket = id, "given up while it was being opened");
                socket.task.abort();
            }
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(SHUTDOWN_TIMEOUT, all).await.is_err() {
            self.tasks.shutdown().await;
        }
    }

    fn give_up(&mut self, id: u64, reason: String) -> Option<wire::Event> {
        let socket = self.sockets.remove(&id)?;
        socket.task.abort();
        warn!(reason, "a socket was given up");
        Some(closed(id, socket.token, reason))
    }

    /// Logs how a socket ended. What a platform does wrong is a warning once for each kind, for it may go on doing it.
    fn log(&mut self, disconnect: &Disconnect) {
        let Disconnect { code, reason, silent, fault } = disconnect;
        let Some(fault) = *fault else {
            debug!(code, reason, silent, "a socket closed");
            return;
        };
        let count = self.faults.entry(fault).or_default();
        *count += 1;
        if *count == 1 {
            warn!(kind = ?fault, reason, "a socket failed; more of this kind are told at debug level");
        } else {
            debug!(kind = ?fault, count, reason, "a socket failed");
        }
    }
}

fn upgrade(asked: wire::WsConnect) -> Result<Upgrade, Failure> {
    let headers = asked.headers.into_iter().map(|field| Ok((field.name, convert::segments(field.value)?)));
    let headers = headers.collect::<Result<_, Failure>>()?;
    Ok(Upgrade { url: convert::segments(asked.url)?, headers, timeout: CONNECT_TIMEOUT })
}

fn closed(socket: u64, token: u64, reason: String) -> wire::Event {
    wire::Event::WsClosed(wire::SocketClosed { socket, token, code: None, reason, silent: false })
}
