//! A connection as bytes, around what speaks HTTP on it: how long it may be idle and a head may take, what a head says of
//! the length of its body, an envelope for heads that are no HTTP, and an end that lets the peer read the last answer.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::payload::{BrokenOff, Payload};
use prx_base::clock::Clock;

/// Bytes of a refused body that are still read after the answer, so that its sender gets to read that.
const MAX_LINGER_BYTES: usize = 4 << 20;
/// How long they are read: 2 seconds.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// What of a line is kept: enough for the names that are looked for, and a number.
const MAX_LINE: usize = 64;
/// What hyper's own answer to a head that it can't read is not longer than.
const MAX_OWN_ANSWER: usize = 256;

/// How long a connection may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a head, from its first byte on, and for the first byte of a connection.
    pub(super) head: Duration,
    /// Between an answer and the next request.
    pub(super) idle: Duration,
}

/// Makes the answer to a head that is no HTTP, of a status.
type Refuse = Box<dyn Fn(u16) -> Bytes + Send>;

/// A stream that HTTP is spoken on.
pub(super) struct Wire<T> {
    inner: T,
    exchange: Exchange,
    patience: Patience,
    clock: Clock,
    timer: Option<(Stage, u64, BoxFuture<'static, ()>)>,
    refuse: Refuse,
    /// What is still to be written instead of hyper's own answer.
    refusal: Option<Bytes>,
    linger: Option<(usize, BoxFuture<'static, ()>)>,
}

/// How far a request is, for those who read its bytes and those who answer it. A cheap-clone handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    /// Counts the requests that were answered.
    answered: u64,
    head: Head,
    /// Bytes that came behind the head.
    behind: u64,
    /// Bytes of a later request may have come with an earlier one: which they are is not known here any more.
    pipelined: bool,
    unread: bool,
    /// Whoever reads, to be woken when the answer is on its way: only then the wait for the next request begins.
    reader: Option<Waker>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// No byte of a request has come.
    #[default]
    Idle,
    /// Some have.
    Head,
    /// It is being answered.
    Busy,
}

/// What is known of a head from its bytes.
#[derive(Debug, Default)]
struct Head {
    line: Vec<u8>,
    lines: usize,
    length: Option<u64>,
    encoded: bool,
    complete: bool,
}

/// What a head says of the length of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// One thing, or nothing.
    Plain,
    /// Both that it has a length and that it comes in pieces.
    Ambiguous,
    /// The head came together with an earlier request.
    Unknown,
}

impl Head {
    /// Takes bytes in. Returns how many of them belong to it.
    fn feed(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            if self.complete {
                return at;
            }
            if *byte == b'\n' {
                self.end_line();
            } else if self.line.len() < MAX_LINE {
                self.line.push(*byte);
            }
        }
        bytes.len()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = line.trim_ascii_end();
        if line.is_empty() {
            // Empty lines before a request are let pass.
            self.complete = self.lines > 0;
            return;
        }
        self.lines += 1;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        if line[..colon].eq_ignore_ascii_case(b"content-length") {
            let value = std::str::from_utf8(&line[colon + 1..]).ok();
            self.length = Some(value.and_then(|value| value.trim().parse().ok()).unwrap_or_default());
        } else if line[..colon].eq_ignore_ascii_case(b"transfer-encoding") {
            self.encoded = true;
        }
    }
}

impl Exchange {
    /// A request is there, and about to be answered.
    pub(super) fn begin(&self) -> Framing {
        let mut state = self.lock();
        state.stage = Stage::Busy;
        match &state.head {
            Head { complete: true, .. } if state.pipelined => Framing::Unknown,
            Head { complete: true, length: Some(_), encoded: true, .. } => Framing::Ambiguous,
            Head { complete: true, .. } => Framing::Plain,
            Head { .. } => Framing::Unknown,
        }
    }

    /// Whether a request may have come together with an earlier one.
    pub(super) fn is_pipelined(&self) -> bool {
        self.lock().pipelined
    }

    /// Some of a request's body is not read, and nothing follows on this connection.
    pub(super) fn leave_unread(&self) {
        self.lock().unread = true;
    }

    /// The answer is on its way.
    fn end(&self) {
        let mut state = self.lock();
        state.pipelined |= state.behind > state.head.length.unwrap_or_default();
        (state.stage, state.head, state.behind) = (Stage::Idle, Head::default(), 0);
        state.answered += 1;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    fn feed(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if state.stage == Stage::Idle && !bytes.is_empty() {
            state.stage = Stage::Head;
        }
        let head = state.head.feed(bytes);
        state.behind += (bytes.len() - head) as u64;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    pub(super) fn new(
        inner: T,
        exchange: Exchange,
        patience: Patience,
        clock: Clock,
        refuse: Refuse,
    ) -> Self {
        Self { inner, exchange, patience, clock, timer: None, refuse, refusal: None, linger: None }
    }

    /// Nothing has come: how long that may last.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (stage, answered) = {
            let mut state = self.exchange.lock();
            state.reader = Some(cx.waker().clone());
            (state.stage, state.answered)
        };
        let limit = match stage {
            Stage::Busy => {
                self.timer = None;
                return Poll::Pending;
            }
            Stage::Idle if answered > 0 => self.patience.idle,
            Stage::Idle | Stage::Head => self.patience.head,
        };
        if self.timer.as_ref().is_none_or(|timer| (timer.0, timer.1) != (stage, answered)) {
            self.timer = Some((stage, answered, self.sleep(limit)));
        }
        match &mut self.timer {
            // As if the peer had closed it.
            Some((.., timer)) => timer.poll_unpin(cx).map(Ok),
            None => Poll::Pending,
        }
    }

    fn sleep(&self, limit: Duration) -> BoxFuture<'static, ()> {
        let clock = self.clock.clone();
        async move { clock.sleep(limit).await }.boxed()
    }

    /// Whether hyper writes an answer of its own, and of which status. All others have an id.
    fn own_answer(bytes: &[u8]) -> Option<u16> {
        let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_OWN_ANSWER)?;
        let own = status.starts_with(b"4") && text.ends_with("\r\n\r\n") && !text.contains("x-request-id");
        std::str::from_utf8(status).ok()?.parse().ok().filter(|_| own)
    }

    /// Writes what is left of a refusal.
    fn write_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(refusal) = self.refusal.as_mut().filter(|refusal| !refusal.is_empty()) {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, refusal))?;
            drop(refusal.split_to(written));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if Pin::new(&mut self.inner).poll_read(cx, buffer)?.is_pending() {
            return self.wait(cx);
        }
        self.exchange.feed(&buffer.filled()[before..]);
        // A head that comes drop by drop is waited for no longer than one that doesn't come.
        if self.timer.as_ref().is_some_and(|timer| timer.0 == Stage::Head) && self.wait(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let waits = self.exchange.lock().stage != Stage::Busy;
        if self.refusal.is_none()
            && let Some(status) = Some(()).filter(|()| waits).and_then(|()| Self::own_answer(bytes))
        {
            self.refusal = Some((self.refuse)(status));
            self.exchange.leave_unread();
        }
        if self.refusal.is_none() {
            return Pin::new(&mut self.inner).poll_write(cx, bytes);
        }
        ready!(self.write_refusal(cx))?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        if self.refusal.is_some() || first.is_some_and(|first| Self::own_answer(first).is_some()) {
            let first = first.map_or(&[][..], |first| first);
            return self.poll_write(cx, first);
        }
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_refusal(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            if !self.exchange.lock().unread {
                return Poll::Ready(Ok(()));
            }
            self.linger = Some((0, self.sleep(LINGER_TIMEOUT)));
        }
        // Closing on a peer that is still sending would destroy the answer before it is read.
        let Self { inner, linger: Some((read, timer)), .. } = &mut *self else { return Poll::Ready(Ok(())) };
        while *read < MAX_LINGER_BYTES && timer.poll_unpin(cx).is_pending() {
            let mut scratch = [MaybeUninit::uninit(); 8 << 10];
            let mut scratch = ReadBuf::uninit(&mut scratch);
            match ready!(Pin::new(&mut *inner).poll_read(cx, &mut scratch)) {
                Ok(()) if !scratch.filled().is_empty() => *read += scratch.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The body of an answer. When it is done with, the connection waits for the next request.
pub(super) struct Answer {
    body: Payload,
    exchange: Exchange,
}

impl Answer {
    pub(super) fn new(body: Payload, exchange: Exchange) -> Self {
        Self { body, exchange }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.exchange.end();
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(parts: &[&str]) -> Framing {
        let exchange = Exchange::default();
        parts.iter().for_each(|part| exchange.feed(part.as_bytes()));
        exchange.begin()
    }

    #[test]
    fn both_lengths_are_seen_however_they_are_written_and_come() {
        let both = "\r\nPOST / HTTP/1.1\r\nHost: a\r\nCONTENT-length: 3\r\nx: y\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(framing(&[both]), Framing::Ambiguous);
        let bytes: Vec<String> = both.chars().map(String::from).collect();
        assert_eq!(framing(&bytes.iter().map(String::as_str).collect::<Vec<_>>()), Framing::Ambiguous);
        assert_eq!(framing(&[&both.replace('\r', "")]), Framing::Ambiguous);
        let long = format!("POST /{} HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", "x".repeat(1000));
        assert_eq!(framing(&[&long]), Framing::Plain);
        assert_eq!(
            framing(&["POST / HTTP/1.1\r\nx: content-length:\r\ntransfer-encoding: a\r\n\r\n"]),
            Framing::Plain
        );
    }

    #[test]
    fn what_came_with_an_earlier_request_is_not_known() {
        let exchange = Exchange::default();
        exchange.feed(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc");
        assert_eq!(exchange.begin(), Framing::Plain);
        exchange.end();
        exchange.feed(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\ncontent-length: 1\r\n");
        assert_eq!(exchange.begin(), Framing::Plain);
        exchange.end();
        exchange.feed(b"transfer-encoding: chunked\r\n\r\n");
        assert_eq!(exchange.begin(), Framing::Unknown);
    }
}
