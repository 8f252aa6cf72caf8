//! What happens, as it happens.

use std::sync::Arc;

use futures_util::stream;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::Result;
use prx_base::events::Event;
use prx_http::{Call, Doc, Reply, sse};

pub(super) const STREAM: Doc = Doc::new("Follow what happens, as it happens").or_as("text/event-stream");

/// `GET /events`
pub(super) async fn stream(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let bus = gateway.base.events.subscribe();
    let stopping = gateway.process.stopping.clone();
    let events = stream::unfold((bus, stopping), |(mut bus, stopping)| async {
        let event = tokio::select! {
            event = bus.recv() => event,
            () = stopping.cancelled() => return None,
        };
        let sse_event = match event {
            Ok(event) => sse_event(&event),
            Err(RecvError::Lagged(missed)) => sse::Event::new("gap", &json!({"missed": missed})),
            Err(RecvError::Closed) => return None,
        };
        Some((sse_event, (bus, stopping)))
    });
    Ok(Reply::events(events, gateway.base.clock.clone()))
}

fn sse_event(event: &Event) -> sse::Event {
    let data = json!({"type": event.name, "timestamp": rfc3339(event.timestamp), "data": event.data});
    sse::Event::new("message", &data)
}
