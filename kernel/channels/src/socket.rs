//! One WebSocket, from opening to its end: a task of its own, which no step and no swap of code keeps waiting.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::blobs::Blobs;
use super::convert;
use super::input::Input;
use super::keepalive::{Action, Heartbeat, Keepalive};
use super::socket_event::{Disconnect, SocketEvent};
use prx_egress::{
    Egress, Failure, Frame, Kind, MAX_MESSAGE_BYTES, Payload, Policy, Progress, Segment, Upgrade, WebSocket,
};
use prx_host::bindings::common;

/// What a socket is closed with by the kernel: a private code, so that a platform keeps the session behind it.
pub(super) const INTERRUPTED: u16 = 4000;
/// Size of each buffer of frames, in KiB: those that the connector has not handled, and those that wait to be sent.
pub(super) const BUFFER_KIB: u32 = 8 << 10;
/// What a frame takes up of a buffer at least, in bytes.
const MIN_FRAME_BYTES: usize = 16 << 10;
/// Pause after a frame that a connector sends, in milliseconds.
const FRAME_PAUSE: Duration = Duration::from_millis(10);
/// How long the other side may take for the closing handshake, in seconds.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a pump asks of a socket.
pub(super) enum Order {
    /// Send this frame.
    Send {
        /// Its pieces.
        frame: Vec<common::Segment>,
        /// The secrets that may be put in.
        policy: Arc<Policy>,
        /// Its share of the send buffer, held until it is sent.
        permit: OwnedSemaphorePermit,
    },
    /// Close with this code, after what came before.
    Close(u16),
}

/// A socket's end of what connects it with its pump.
pub(super) struct Link {
    pub(super) socket: u64,
    pub(super) inputs: mpsc::Sender<Input>,
    /// The receive buffer of all sockets of the channel, in KiB.
    pub(super) unhandled: Arc<Semaphore>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) keepalive: watch::Receiver<Option<Keepalive>>,
    pub(super) blobs: Blobs,
}

/// Why a socket is to be closed, or is.
enum End {
    Requested(u16),
    HeartbeatTimeout,
    Closed(Option<u16>, String),
    Failed(Failure),
}

/// How much of a buffer a frame of so many bytes takes up, in KiB.
pub(super) fn weight(bytes: usize) -> u32 {
    let kib = bytes.max(MIN_FRAME_BYTES).div_ceil(1024);
    u32::try_from(kib).unwrap_or(BUFFER_KIB).min(BUFFER_KIB)
}

/// Opens a socket and serves it until it ends.
pub(super) async fn run(egress: Egress, policy: Arc<Policy>, upgrade: Upgrade, mut link: Link) {
    let mut socket = match egress.connect(&policy, upgrade).await {
        Ok(socket) => socket,
        Err(failure) => return link.tell(SocketEvent::Closed(Disconnect::failed(failure))).await,
    };
    link.tell(SocketEvent::Opened).await;
    let (disconnect, code) = match link.serve(&mut socket).await {
        End::Requested(code) => return socket.close(code, CLOSE_TIMEOUT).await,
        End::HeartbeatTimeout => (Disconnect::silent(), INTERRUPTED),
        End::Closed(code, reason) => (Disconnect::closed(code, reason), INTERRUPTED),
        End::Failed(failure) => {
            let code = code_for(failure.kind);
            (Disconnect::failed(failure), code)
        }
    };
    link.tell(SocketEvent::Closed(disconnect)).await;
    socket.close(code, CLOSE_TIMEOUT).await;
}

impl Link {
    async fn tell(&self, event: SocketEvent) {
        // The pump is gone: nobody is left to tell.
        let _ = self.inputs.send(Input::Socket(self.socket, event)).await;
    }

    async fn serve(&mut self, socket: &mut WebSocket) -> End {
        let mut heartbeat: Option<Heartbeat> = None;
        let mut handing_over: Option<BoxFuture<'static, ()>> = None;
        let mut paused_until = None;
        loop {
            // Nothing more is read until the pump has taken what came: the other side has to wait, too.
            let read = handing_over.is_none();
            if let Some(heartbeat) = heartbeat.as_mut().filter(|_| !read) {
                heartbeat.suspend_timeout();
            }
            let due = heartbeat.as_ref().map(Heartbeat::due);
            let step = tokio::select! {
                biased;
                () = until(due) => tick(&mut heartbeat, socket),
                Ok(()) = self.keepalive.changed() => {
                    renew(&mut heartbeat, self.keepalive.borrow_and_update().clone());
                    Ok(())
                }
                order = next(&mut self.orders, paused_until) => {
                    paused_until = Some(Instant::now() + FRAME_PAUSE);
                    self.execute(order, socket).await
                }
                () = finished(&mut handing_over) => {
                    handing_over = None;
                    Ok(())
                }
                progress = socket.advance(read) => match progress {
                    Ok(Progress::Frame(frame)) => {
                        handing_over = self.hand_over(frame, heartbeat.as_mut());
                        Ok(())
                    }
                    Ok(Progress::Written) => Ok(()),
                    Ok(Progress::Closed(code, reason)) => Err(End::Closed(code, reason)),
                    Err(failure) => Err(End::Failed(failure)),
                },
            };
            if let Err(end) = step {
                // What came before the end is told before it, unless nobody wants to know any more.
                if let Some(handing_over) = handing_over.filter(|_| !matches!(end, End::Requested(_))) {
                    handing_over.await;
                }
                return end;
            }
        }
    }

    async fn execute(&self, order: Option<Order>, socket: &mut WebSocket) -> Result<(), End> {
        match order {
            Some(Order::Send { frame, policy, permit: _permit }) => {
                let sent = match self.frame(frame).await {
                    Ok(frame) => Payload::render(&frame, &policy).and_then(|payload| socket.queue(&payload)),
                    Err(failure) => Err(failure),
                };
                sent.map_err(End::Failed)
            }
            Some(Order::Close(code)) => Err(End::Requested(code)),
            None => Err(End::Requested(INTERRUPTED)),
        }
    }

    /// The pieces of a frame, blobs read.
    async fn frame(&self, pieces: Vec<common::Segment>) -> Result<Vec<Segment>, Failure> {
        let mut frame = Vec::with_capacity(pieces.len());
        for piece in pieces {
            frame.push(match piece {
                common::Segment::Blob(id) => Segment::Bytes(self.blobs.read(&id, MAX_MESSAGE_BYTES).await?),
                piece => convert::segment(piece)?,
            });
        }
        Ok(frame)
    }

    /// Hands a frame over to the pump. Returns what ends when the pump has taken it, if it can't at once.
    fn hand_over(&self, frame: Frame, heartbeat: Option<&mut Heartbeat>) -> Option<BoxFuture<'static, ()>> {
        let (acknowledged, bytes) = match &frame {
            Frame::Text(text) => {
                let heard = heartbeat.and_then(|heartbeat| heartbeat.acknowledge(text, Instant::now()));
                (heard, text.len())
            }
            Frame::Binary(bytes) => (None, bytes.len()),
        };
        let (inputs, socket, weight) = (self.inputs.clone(), self.socket, weight(bytes));
        let Ok(permit) = self.unhandled.clone().try_acquire_many_owned(weight) else {
            let permit = self.unhandled.clone().acquire_many_owned(weight);
            return Some(Box::pin(async move {
                let Ok(permit) = permit.await else { return };
                let event = SocketEvent::Frame { frame, acknowledged, permit };
                let _ = inputs.send(Input::Socket(socket, event)).await;
            }));
        };
        let event = SocketEvent::Frame { frame, acknowledged, permit };
        match inputs.try_send(Input::Socket(socket, event)) {
            Ok(()) | Err(TrySendError::Closed(_)) => None,
            Err(TrySendError::Full(input)) => Some(Box::pin(async move {
                let _ = inputs.send(input).await;
            })),
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn finished(handing_over: &mut Option<BoxFuture<'static, ()>>) {
    match handing_over {
        Some(handing_over) => handing_over.await,
        None => std::future::pending().await,
    }
}

async fn next(orders: &mut mpsc::UnboundedReceiver<Order>, paused_until: Option<Instant>) -> Option<Order> {
    if let Some(paused_until) = paused_until.filter(|until| *until > Instant::now()) {
        sleep_until(paused_until).await;
    }
    orders.recv().await
}

fn tick(heartbeat: &mut Option<Heartbeat>, socket: &mut WebSocket) -> Result<(), End> {
    match heartbeat.as_mut().map(|heartbeat| heartbeat.tick(Instant::now())) {
        Some(Action::Send(payload)) => socket.queue(&payload).map_err(End::Failed),
        Some(Action::TimedOut) => Err(End::HeartbeatTimeout),
        None => Ok(()),
    }
}

fn renew(heartbeat: &mut Option<Heartbeat>, keepalive: Option<Keepalive>) {
    let now = Instant::now();
    match (heartbeat.as_mut(), keepalive) {
        (_, None) => *heartbeat = None,
        (Some(heartbeat), Some(keepalive)) => heartbeat.renew(keepalive, now),
        (None, Some(keepalive)) => *heartbeat = Some(Heartbeat::start(keepalive, now)),
    }
}

/// What to close with after a failure.
fn code_for(kind: Kind) -> u16 {
    match kind {
        Kind::TooLarge => 1009,
        Kind::Protocol => 1002,
        _ => INTERRUPTED,
    }
}
