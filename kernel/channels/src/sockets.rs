//! The WebSockets of one channel. Each has a task of its own; here is what its pump knows of them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tracing::{Instrument, debug, warn};

use super::blobs::Blobs;
use super::exchange;
use super::input::Input;
use super::keepalive::{Acknowledged, Keepalive};
use super::socket::{self, Ended, INTERRUPTED, Line, Order, ROOM, Report, weight};
use prx_egress::{Egress, Failure, Frame, Kind, Policy, Upgrade};
use prx_host::bindings::connector as wire;
use prx_host::bindings::types;

/// Sockets of one channel, those being opened included.
const MOST: usize = 16;
/// How long opening one may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long sockets are waited for when the channel stops.
const STOP: Duration = Duration::from_secs(3);

/// Opens sockets, hands on what they bring and what they are to send, and forgets those that end.
pub(super) struct Sockets {
    egress: Egress,
    blobs: Blobs,
    inputs: mpsc::Sender<Input>,
    tasks: JoinSet<()>,
    sockets: BTreeMap<u64, Socket>,
    last: u64,
    room: Arc<Semaphore>,
    /// What the frames take up that the connector has been given and not handled, oldest first.
    handed: VecDeque<OwnedSemaphorePermit>,
    faults: HashMap<Kind, u64>,
}

struct Socket {
    token: u64,
    open: bool,
    orders: mpsc::UnboundedSender<Order>,
    keepalive: watch::Sender<Option<Keepalive>>,
    /// For frames that wait to be sent, in KiB.
    unsent: Arc<Semaphore>,
    task: AbortHandle,
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
            room: Arc::new(Semaphore::new(ROOM as usize)),
            handed: VecDeque::new(),
            faults: HashMap::new(),
        }
    }

    /// Opens a socket as far as the policy lets it go. What becomes of it comes as [`Input::Socket`], or is returned
    /// if it is known at once.
    pub(super) fn connect(&mut self, asked: wire::WsConnect, policy: Arc<Policy>) -> Option<wire::Event> {
        self.cancel(asked.token);
        while self.tasks.try_join_next().is_some() {}
        if self.sockets.len() >= MOST {
            return Some(closed(0, asked.token, format!("{MOST} sockets of this channel are open already")));
        }
        let token = asked.token;
        let upgrade = match upgrade(asked) {
            Ok(upgrade) => upgrade,
            Err(failure) => return Some(closed(0, token, failure.reason)),
        };
        self.last += 1;
        let (orders, orders_out) = mpsc::unbounded_channel();
        let (keepalive, keepalive_out) = watch::channel(None);
        let line = Line {
            socket: self.last,
            inputs: self.inputs.clone(),
            room: self.room.clone(),
            orders: orders_out,
            keepalive: keepalive_out,
            blobs: self.blobs.clone(),
        };
        let serving = socket::run(self.egress.clone(), policy, upgrade, line);
        let task = self.tasks.spawn(serving.in_current_span());
        let unsent = Arc::new(Semaphore::new(ROOM as usize));
        let socket = Socket { token, open: false, orders, keepalive, unsent, task };
        self.sockets.insert(self.last, socket);
        None
    }

    /// Takes what a socket says: the event that it means, and the proof that is in it. Nothing, if nobody wants to
    /// know of this socket any more.
    pub(super) fn take(
        &mut self,
        socket: u64,
        report: Report,
    ) -> Option<(wire::Event, Option<Acknowledged>)> {
        match report {
            Report::Open => {
                let found = self.sockets.get_mut(&socket)?;
                found.open = true;
                let opened = wire::SocketOpened { socket, token: found.token };
                Some((wire::Event::WsOpen(opened), None))
            }
            Report::Frame(frame, acknowledged, room) => {
                self.sockets.get(&socket)?;
                self.handed.push_back(room);
                let event = match frame {
                    Frame::Text(text) => wire::Event::WsText((socket, text)),
                    Frame::Binary(bytes) => wire::Event::WsBinary((socket, bytes)),
                };
                Some((event, acknowledged))
            }
            Report::Closed(ended) => {
                let Socket { token, open, .. } = self.sockets.remove(&socket)?;
                self.note(&ended);
                let Ended { code, reason, silent, .. } = ended;
                let socket = if open { socket } else { 0 };
                let closed = wire::SocketClosed { socket, token, code, reason, silent };
                Some((wire::Event::WsClosed(closed), None))
            }
        }
    }

    /// Says what of `queue` is still to be handled: what else has come is off the sockets' hands, and they read on.
    pub(super) fn handled_but(&mut self, queue: &VecDeque<wire::Event>) {
        if self.handed.is_empty() {
            return;
        }
        let frame = |event: &&wire::Event| matches!(event, wire::Event::WsText(_) | wire::Event::WsBinary(_));
        let left = queue.iter().filter(frame).count();
        self.handed.drain(..self.handed.len().saturating_sub(left));
    }

    /// Sends a frame, after those before it. A socket that has too much to send is given up, which is returned.
    pub(super) fn send(
        &mut self,
        socket: u64,
        frame: Vec<types::Segment>,
        policy: Arc<Policy>,
    ) -> Option<wire::Event> {
        let found = self.sockets.get(&socket).filter(|found| found.open)?;
        let weight = weight(exchange::bytes_in(&frame), ROOM);
        let Ok(room) = found.unsent.clone().try_acquire_many_owned(weight) else {
            return self.give_up(socket, "more waits to be sent than the platform takes".into());
        };
        // One that has just ended says so itself.
        let _ = found.orders.send(Order::Send(frame, policy, room));
        None
    }

    /// Keeps a socket alive from now on. A socket that can't be is given up, which is returned.
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

    /// The open sockets and their tokens, as someone knows them who has still to be told of what is in `queue`.
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

    /// Leaves every open socket as one whose other side is deaf; what the connector is to be told of it.
    pub(super) fn leave_deaf(&mut self) -> Vec<wire::Event> {
        let open = self.sockets.extract_if(.., |_, socket| socket.open);
        let left = open.map(|(id, socket)| {
            // One that has just ended is closed already.
            let _ = socket.orders.send(Order::Close(INTERRUPTED));
            let reason = "nothing heard from the platform".to_owned();
            wire::SocketClosed { socket: id, token: socket.token, code: None, reason, silent: true }
        });
        left.map(wire::Event::WsClosed).collect()
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
        if timeout(STOP, all).await.is_err() {
            self.tasks.shutdown().await;
        }
    }

    fn give_up(&mut self, id: u64, reason: String) -> Option<wire::Event> {
        let socket = self.sockets.remove(&id)?;
        socket.task.abort();
        warn!(reason, "a socket was given up");
        Some(closed(id, socket.token, reason))
    }

    /// Tells the log of what a platform does wrong: each kind once, for it may go on doing it.
    fn note(&mut self, ended: &Ended) {
        let Some(fault) = ended.fault else {
            debug!(code = ended.code, reason = ended.reason, silent = ended.silent, "a socket closed");
            return;
        };
        let count = self.faults.entry(fault).or_default();
        *count += 1;
        if *count == 1 {
            warn!(kind = ?fault, reason = ended.reason, "a socket failed; more of this kind are told at debug level");
        } else {
            debug!(kind = ?fault, count, reason = ended.reason, "a socket failed");
        }
    }
}

fn upgrade(asked: wire::WsConnect) -> Result<Upgrade, Failure> {
    let headers = asked.headers.into_iter().map(|field| Ok((field.name, exchange::segments(field.value)?)));
    let headers = headers.collect::<Result<_, Failure>>()?;
    Ok(Upgrade { url: exchange::segments(asked.url)?, headers, timeout: PATIENCE })
}

fn closed(socket: u64, token: u64, reason: String) -> wire::Event {
    wire::Event::WsClosed(wire::SocketClosed { socket, token, code: None, reason, silent: false })
}
