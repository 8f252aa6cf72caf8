//! From tracing's events to entries of the ring.

use std::fmt::{Debug, Write};
use std::sync::OnceLock;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::modules;
use super::ring::{Entry, Ring};
use crate::clock::Clock;

/// Puts every event it sees into a ring.
#[derive(Debug)]
pub struct RingLayer {
    ring: Ring,
    clock: Clock,
}

impl RingLayer {
    /// A layer for this ring. The clock says when an entry was written.
    pub fn new(ring: Ring, clock: Clock) -> Self {
        Self { ring, clock }
    }
}

/// What a span says about the events in it.
#[derive(Default)]
struct About {
    module: Option<String>,
    session_id: Option<String>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RingLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let about = About { module: fields.take("module"), session_id: fields.take("session_id") };
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(about);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut module = fields.take("module");
        let mut session_id = fields.take("session_id");
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(about) = span.extensions().get::<About>() {
                module = module.or_else(|| about.module.clone());
                session_id = session_id.or_else(|| about.session_id.clone());
            }
        }
        let metadata = event.metadata();
        self.ring.push(Entry {
            id: 0,
            timestamp: self.clock.now(),
            level: *metadata.level(),
            module: module.unwrap_or_else(|| named(metadata.target(), &fields)),
            message: fields.take("message").unwrap_or_default(),
            session_id,
            fields: fields.0,
            json: OnceLock::new(),
        });
    }
}

/// The name of a module, from the path of the code that logs and the plugin that it is about.
fn named(target: &str, fields: &Fields) -> String {
    match modules::name(target) {
        Some("session") => "agent::loop".into(),
        Some("plugin") if let Some(Value::String(plugin)) = fields.0.get("plugin") => {
            format!("plugin::{plugin}")
        }
        Some(module) => module.into(),
        None => target.into(),
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<String> {
        match self.0.remove(name)? {
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // Writing to a string fails only if the value's own Debug does: what there is up to then is kept.
        let _ = write!(text, "{value:?}");
        self.0.insert(field.name().into(), text.into());
    }
}
