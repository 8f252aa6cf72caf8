//! Server-sent events, with a heartbeat.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame};
use serde_json::Value;

use super::payload::{BrokenOff, Envelope, Payload};
use prx_base::clock::Clock;
use prx_base::error::Error;

/// After how long a silence a heartbeat shows that the stream is alive: 15 seconds.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// One event of a stream.
#[derive(Debug)]
pub struct Event {
    /// The event's type.
    pub name: &'static str,
    /// Where a reader who comes back goes on.
    pub id: Option<String>,
    /// Its data: JSON, on one line.
    pub data: Bytes,
}

impl Event {
    /// An event with this data, to which no reader comes back.
    pub fn new(name: &'static str, data: &Value) -> Self {
        Self { name, id: None, data: data.to_string().into() }
    }

    fn frame(&self) -> Frame<Bytes> {
        let mut frame = BytesMut::with_capacity(64 + self.data.len());
        if let Some(id) = &self.id {
            for part in [b"id: ", id.as_bytes(), b"\n"] {
                frame.extend_from_slice(part);
            }
        }
        for part in [b"event: ", self.name.as_bytes(), b"\ndata: ", &self.data, b"\n\n"] {
            frame.extend_from_slice(part);
        }
        Frame::data(frame.freeze())
    }
}

pub(super) fn body(
    events: impl Stream<Item = Event> + Send + 'static,
    clock: Clock,
) -> impl Body<Data = Bytes, Error = Infallible> + Send {
    let frames = stream::unfold((Box::pin(events), clock), |(mut events, clock)| async move {
        let frame = tokio::select! {
            event = events.next() => event?.frame(),
            () = clock.sleep(HEARTBEAT_INTERVAL) => Frame::data(Bytes::from_static(b": still here\n\n")),
        };
        Some((Ok(frame), (events, clock)))
    });
    StreamBody::new(frames)
}

/// The events of a body until there is a reason to end it, which is sent in a last event `error`.
pub(super) fn until(body: Payload, end: impl Future<Output = Error> + Send + 'static) -> Payload {
    let frames = stream::unfold(Some((body, Box::pin(end))), |open| async {
        let (mut body, mut end) = open?;
        tokio::select! {
            biased;
            error = &mut end => Some((Ok::<_, BrokenOff>(error_event(&error)), None)),
            frame = body.frame() => Some((frame?, Some((body, end)))),
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

fn error_event(error: &Error) -> Frame<Bytes> {
    Frame::data(format!("event: error\ndata: {}\n\n", Envelope::from(error)).into())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use jiff::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_silent_stream_shows_that_it_is_alive() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let mut body = Box::pin(body(stream::pending(), clock.clone()));
        for _ in 0..3 {
            let mut frame = body.frame();
            assert!((&mut frame).now_or_never().is_none());
            clock.advance(HEARTBEAT_INTERVAL - Duration::from_secs(1));
            assert!((&mut frame).now_or_never().is_none());
            clock.advance(Duration::from_secs(1));
            let Some(Ok(frame)) = frame.await else { panic!("the stream goes on") };
            assert!(frame.into_data().unwrap().starts_with(b": "), "a comment");
        }
    }
}
