//! A collector of traces, by OTLP over HTTP: takes everything and remembers it.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::{HeaderMap, Request};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;

use crate::server::{Reply, Server, Service};
use crate::wait::until;

/// A collector on loopback that takes what it is sent, unless it is told otherwise. Before it is opened nobody listens there.
pub struct Collector {
    port: u16,
    server: Option<Server>,
    state: Arc<State>,
}

struct State {
    spans: Mutex<Vec<Span>>,
    headers: Mutex<Vec<HeaderMap>>,
    /// The status that it answers with.
    status: AtomicU16,
}

/// A span as it came.
#[derive(Debug, Clone)]
pub struct Span {
    /// The id of its trace, in hexadecimal digits.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// That of the span that it is part of; empty: of none.
    pub parent: String,
    /// What it is called.
    pub name: String,
    /// What it is to those around it.
    pub kind: SpanKind,
    /// When it began and ended, in nanoseconds since the Unix epoch.
    pub times: (u64, u64),
    /// What it says of itself; numbers and lists as text.
    pub attributes: Vec<(String, String)>,
    /// Whether it says that it failed.
    pub is_error: bool,
    /// What its process says of itself.
    pub resource: Vec<(String, String)>,
}

impl Span {
    /// What it says under a key.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

impl Collector {
    /// One that isn't open yet.
    pub fn closed() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let (spans, headers) = Default::default();
        let state = Arc::new(State { spans, headers, status: AtomicU16::new(200) });
        Self { port: free.local_addr().unwrap().port(), server: None, state }
    }

    /// One that is open.
    pub async fn start() -> Self {
        let mut collector = Self::closed();
        collector.open().await;
        collector
    }

    /// Opens it.
    pub async fn open(&mut self) {
        self.server = Some(Server::start_at(self.port, Arc::clone(&self.state)).await);
    }

    /// What has to be in `prx.toml` so that traces go there, with these lines besides.
    pub fn config(&self, more: &str) -> String {
        format!("[telemetry]\notlp_endpoint = \"http://127.0.0.1:{}\"\n{more}\n", self.port)
    }

    /// Has it answer with this status from now on; what it refuses it does not keep.
    pub fn answer(&self, status: u16) {
        self.state.status.store(status, Ordering::Relaxed);
    }

    /// Every span it has taken, in order.
    pub fn spans(&self) -> Vec<Span> {
        self.state.spans.lock().unwrap().clone()
    }

    /// The same once there are so many.
    pub async fn until(&self, count: usize) -> Vec<Span> {
        until("spans to arrive", async || Some(self.spans()).filter(|all| all.len() >= count)).await
    }

    /// The headers of every request.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.state.headers.lock().unwrap().clone()
    }
}

impl Service for State {
    async fn answer(&self, request: Request<Bytes>) -> Reply {
        let status = self.status.load(Ordering::Relaxed);
        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/traces"));
        assert_eq!(request.headers()["content-type"], "application/x-protobuf");
        let decoded = ExportTraceServiceRequest::decode(request.body().clone()).expect("OTLP");
        self.headers.lock().unwrap().push(request.headers().clone());
        if status == 200 {
            self.spans.lock().unwrap().extend(spans(decoded));
        }
        Reply::Headed(status, vec![("content-type", "application/x-protobuf".into())], String::new())
    }
}

fn spans(request: ExportTraceServiceRequest) -> impl Iterator<Item = Span> {
    request.resource_spans.into_iter().flat_map(|of_one| {
        let resource = pairs(of_one.resource.map(|resource| resource.attributes).unwrap_or_default());
        let spans = of_one.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| Span {
            kind: span.kind(),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            name: span.name,
            times: (span.start_time_unix_nano, span.end_time_unix_nano),
            attributes: pairs(span.attributes),
            is_error: span.status.is_some_and(|status| status.code() == StatusCode::Error),
            resource: resource.clone(),
        })
    })
}

fn pairs(attributes: Vec<KeyValue>) -> Vec<(String, String)> {
    let value = |pair: &KeyValue| pair.value.as_ref().and_then(|value| value.value.clone());
    attributes.iter().map(|pair| (pair.key.clone(), value(pair).map(text).unwrap_or_default())).collect()
}

fn text(value: Value) -> String {
    match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::ArrayValue(list) => {
            let items = list.values.into_iter().filter_map(|item| item.value).map(text);
            items.collect::<Vec<_>>().join(",")
        }
        other => panic!("{other:?} is no attribute of the gateway's"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
