//! One WebSocket, from opening to its end: a task of its own, which no step and no swap of code keeps waiting.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::blobs::Blobs;
use super::exchange;
use super::input::Input;
use super::keepalive::{Acknowledged, Beat, Due, Keepalive};
use prx_egress::{
    Egress, Failure, Frame, Kind, MAX_MESSAGE_BYTES, Payload, Policy, Progress, Segment, Upgrade, WebSocket,
};
use prx_host::bindings::types;

/// What a socket is closed with by the kernel: a private code, so that a platform keeps the session behind it.
pub(super) const INTERRUPTED: u16 = 4000;
/// Pause after a frame that a connector sends.
const PACE: Duration = Duration::from_millis(10);
/// How long the other side may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// What a frame counts at least, in bytes.
const LEAST: usize = 16 << 10;

/// What a pump asks of a socket.
pub(super) enum Order {
    /// Send this frame. It takes up room until then.
    Send(Vec<types::Segment>, Arc<Policy>, OwnedSemaphorePermit),
    /// Close with this code, after what came before.
    Close(u16),
}

/// What a socket tells its pump.
pub(super) enum Report {
    /// It is open.
    Open,
    /// A frame came. It takes up room until the connector has handled it.
    Frame(Frame, Option<Acknowledged>, OwnedSemaphorePermit),
    /// It is over, or never began.
    Closed(Ended),
}

/// How a socket ended that nobody had asked to close.
pub(super) struct Ended {
    pub(super) code: Option<u16>,
    pub(super) reason: String,
    /// The keepalive was not acknowledged.
    pub(super) silent: bool,
    /// What went wrong, if something did.
    pub(super) fault: Option<Kind>,
}

/// A socket's end of what lies between it and its pump.
pub(super) struct Line {
    pub(super) socket: u64,
    pub(super) inputs: mpsc::Sender<Input>,
    /// For frames that the connector has not handled, in KiB.
    pub(super) room: Arc<Semaphore>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) keepalive: watch::Receiver<Option<Keepalive>>,
    pub(super) blobs: Blobs,
}

/// Why a conversation is over.
enum End {
    Asked(u16),
    Silent,
    Closed(Option<u16>, String),
    Failed(Failure),
}

/// How much room a frame of so many bytes takes, in KiB.
pub(super) fn weight(bytes: usize, all: u32) -> u32 {
    u32::try_from(bytes.max(LEAST).div_ceil(1024)).unwrap_or(all).min(all)
}

/// All the room there is for a socket's frames in one direction, in KiB.
pub(super) const ROOM: u32 = 8 << 10;

/// Opens a socket and serves it until it ends.
pub(super) async fn run(egress: Egress, policy: Arc<Policy>, upgrade: Upgrade, mut line: Line) {
    let mut socket = match egress.connect(&policy, upgrade).await {
        Ok(socket) => socket,
        Err(failure) => return line.tell(Report::Closed(Ended::failed(failure))).await,
    };
    line.tell(Report::Open).await;
    let (ended, code) = match line.converse(&mut socket).await {
        End::Asked(code) => return socket.close(code, GOODBYE).await,
        End::Silent => (Ended::silent(), INTERRUPTED),
        End::Closed(code, reason) => (Ended { code, reason, silent: false, fault: None }, INTERRUPTED),
        End::Failed(failure) => {
            let code = code_for(failure.kind);
            (Ended::failed(failure), code)
        }
    };
    line.tell(Report::Closed(ended)).await;
    socket.close(code, GOODBYE).await;
}

impl Line {
    async fn tell(&self, report: Report) {
        // The pump is gone: nobody is left to tell.
        let _ = self.inputs.send(Input::Socket(self.socket, report)).await;
    }

    async fn converse(&mut self, socket: &mut WebSocket) -> End {
        let mut beat: Option<Beat> = None;
        let mut handing: Option<BoxFuture<'static, ()>> = None;
        let mut rests_until = None;
        loop {
            // Nothing more is read until the pump has taken what came: the other side has to wait, too.
            let read = handing.is_none();
            if let Some(beat) = beat.as_mut().filter(|_| !read) {
                beat.excuse();
            }
            let due = beat.as_ref().map(Beat::due);
            let step = tokio::select! {
                biased;
                () = until(due) => on_beat(&mut beat, socket),
                Ok(()) = self.keepalive.changed() => {
                    renew(&mut beat, self.keepalive.borrow_and_update().clone());
                    Ok(())
                }
                order = next(&mut self.orders, rests_until) => {
                    rests_until = Some(Instant::now() + PACE);
                    self.obey(order, socket).await
                }
                () = taken(&mut handing) => {
                    handing = None;
                    Ok(())
                }
                progress = socket.advance(read) => match progress {
                    Ok(Progress::Frame(frame)) => {
                        handing = self.hand(frame, beat.as_mut());
                        Ok(())
                    }
                    Ok(Progress::Written) => Ok(()),
                    Ok(Progress::Closed(code, reason)) => Err(End::Closed(code, reason)),
                    Err(failure) => Err(End::Failed(failure)),
                },
            };
            if let Err(end) = step {
                // What came before the end is told before it, unless nobody wants to know any more.
                if let Some(handing) = handing.filter(|_| !matches!(end, End::Asked(_))) {
                    handing.await;
                }
                return end;
            }
        }
    }

    async fn obey(&self, order: Option<Order>, socket: &mut WebSocket) -> Result<(), End> {
        match order {
            Some(Order::Send(frame, policy, _room)) => {
                let sent = match self.frame(frame).await {
                    Ok(frame) => Payload::render(&frame, &policy).and_then(|payload| socket.queue(&payload)),
                    Err(failure) => Err(failure),
                };
                sent.map_err(End::Failed)
            }
            Some(Order::Close(code)) => Err(End::Asked(code)),
            None => Err(End::Asked(INTERRUPTED)),
        }
    }

    /// The pieces of a frame, blobs read.
    async fn frame(&self, pieces: Vec<types::Segment>) -> Result<Vec<Segment>, Failure> {
        let mut frame = Vec::with_capacity(pieces.len());
        for piece in pieces {
            frame.push(match piece {
                types::Segment::Blob(id) => Segment::Bytes(self.blobs.whole(&id, MAX_MESSAGE_BYTES).await?),
                piece => exchange::segment(piece)?,
            });
        }
        Ok(frame)
    }

    /// Hands a frame to the pump. What is returned ends when the pump has taken it, if it can't at once.
    fn hand(&self, frame: Frame, beat: Option<&mut Beat>) -> Option<BoxFuture<'static, ()>> {
        let (acknowledged, bytes) = match &frame {
            Frame::Text(text) => (beat.and_then(|beat| beat.hear(text, Instant::now())), text.len()),
            Frame::Binary(bytes) => (None, bytes.len()),
        };
        let (inputs, socket, weight) = (self.inputs.clone(), self.socket, weight(bytes, ROOM));
        let Ok(room) = self.room.clone().try_acquire_many_owned(weight) else {
            let room = self.room.clone().acquire_many_owned(weight);
            return Some(Box::pin(async move {
                let Ok(room) = room.await else { return };
                let report = Report::Frame(frame, acknowledged, room);
                let _ = inputs.send(Input::Socket(socket, report)).await;
            }));
        };
        match inputs.try_send(Input::Socket(socket, Report::Frame(frame, acknowledged, room))) {
            Ok(()) | Err(TrySendError::Closed(_)) => None,
            Err(TrySendError::Full(input)) => Some(Box::pin(async move {
                let _ = inputs.send(input).await;
            })),
        }
    }
}

impl Ended {
    fn failed(failure: Failure) -> Self {
        Self { code: None, reason: failure.reason, silent: false, fault: Some(failure.kind) }
    }

    fn silent() -> Self {
        let reason = "what kept it alive was not acknowledged".to_owned();
        Self { code: None, reason, silent: true, fault: None }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn taken(handing: &mut Option<BoxFuture<'static, ()>>) {
    match handing {
        Some(handing) => handing.await,
        None => std::future::pending().await,
    }
}

async fn next(orders: &mut mpsc::UnboundedReceiver<Order>, rests_until: Option<Instant>) -> Option<Order> {
    if let Some(rests_until) = rests_until.filter(|until| *until > Instant::now()) {
        sleep_until(rests_until).await;
    }
    orders.recv().await
}

fn on_beat(beat: &mut Option<Beat>, socket: &mut WebSocket) -> Result<(), End> {
    match beat.as_mut().map(|beat| beat.beat(Instant::now())) {
        Some(Due::Send(payload)) => socket.queue(&payload).map_err(End::Failed),
        Some(Due::Silent) => Err(End::Silent),
        None => Ok(()),
    }
}

fn renew(beat: &mut Option<Beat>, keepalive: Option<Keepalive>) {
    let now = Instant::now();
    match (beat.as_mut(), keepalive) {
        (_, None) => *beat = None,
        (Some(beat), Some(keepalive)) => beat.renew(keepalive, now),
        (None, Some(keepalive)) => *beat = Some(Beat::begin(keepalive, now)),
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
