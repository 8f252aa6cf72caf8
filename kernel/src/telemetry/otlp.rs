//! OTLP over HTTP, with the gateway's own way out as its client.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use hyper::{Method, http};
use jiff::Timestamp;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, Value as AttributeValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};

use prx_base::config::{self, Secret};
use prx_base::traces::{Ended, Kind, Value};
use prx_egress::{Allowed, Body, Egress, Origin, Policy, Request, Secrets, Segment, Timeouts};

/// Where a collector takes traces, under its address.
const PATH: &str = "/v1/traces";
/// How long a collector may take for a batch: 10 seconds.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer of one, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// Sends spans to one collector.
pub(super) struct Exporter {
    exporter: SpanExporter,
    failure: Failure,
    scope: InstrumentationScope,
}

/// Why the last request failed; the exporter itself only says that it did.
type Failure = Arc<Mutex<Option<String>>>;

impl Exporter {
    /// What is wrong with settings, if anything is: the key in `[telemetry]`, and what would do.
    pub(super) fn problem(settings: &config::Telemetry) -> Option<String> {
        if settings.otlp_endpoint.is_empty() {
            return None;
        }
        allowed(settings).err()
    }

    /// For the collector that the settings name.
    ///
    /// # Errors
    /// As for [`Exporter::problem`].
    pub(super) fn new(settings: &config::Telemetry, egress: &Egress) -> Result<Self, String> {
        let failure = Failure::default();
        let headers = settings.headers.keys().cloned().collect();
        let (egress, policy) = (egress.clone(), allowed(settings)?);
        let client = Client { egress, policy, headers, failure: Arc::clone(&failure) };
        let built = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(endpoint(&settings.otlp_endpoint))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(TIMEOUT)
            // Its own waits would block whoever calls it.
            .with_retry_policy(RetryPolicy::disabled())
            .build();
        let mut exporter = built.map_err(|error| format!("otlp_endpoint: {error}"))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        exporter.set_resource(&Resource::builder().with_service_name("prx").with_attribute(version).build());
        let scope = InstrumentationScope::builder("prx").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self { exporter, failure, scope })
    }

    /// Sends spans.
    ///
    /// # Errors
    /// The collector did not take them; says why.
    pub(super) async fn export(&self, spans: &[Ended]) -> Result<(), String> {
        let spans = spans.iter().map(|span| self.span(span)).collect();
        let exported = self.exporter.export(spans).await;
        let reason = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        exported.map_err(|error| reason.unwrap_or_else(|| error.to_string()))
    }

    fn span(&self, span: &Ended) -> SpanData {
        let trace = TraceId::from(span.context.trace);
        let id = SpanId::from(span.context.span);
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: span.parent_is_remote,
            span_kind: match span.kind {
                Kind::Internal => SpanKind::Internal,
                Kind::Client => SpanKind::Client,
            },
            name: span.name.clone().into(),
            start_time: system_time(span.began),
            end_time: system_time(span.ended),
            attributes: span
                .attributes
                .iter()
                .map(|(key, value)| KeyValue::new(*key, attribute(value)))
                .collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if span.is_error { Status::error("") } else { Status::Unset },
            instrumentation_scope: self.scope.clone(),
        }
    }
}

fn system_time(moment: Timestamp) -> SystemTime {
    let since_epoch = Duration::try_from(moment.duration_since(Timestamp::UNIX_EPOCH));
    SystemTime::UNIX_EPOCH + since_epoch.unwrap_or_default()
}

fn attribute(value: &Value) -> AttributeValue {
    match value {
        Value::Text(text) => text.clone().into(),
        Value::Count(count) => i64::try_from(*count).unwrap_or(i64::MAX).into(),
        Value::Texts(texts) => {
            let texts: Vec<StringValue> = texts.iter().map(|text| text.clone().into()).collect();
            AttributeValue::Array(texts.into())
        }
    }
}

/// Where traces go: the collector's address may be given with or without their path.
fn endpoint(address: &str) -> String {
    let address = address.trim_end_matches('/');
    if address.ends_with(PATH) { address.to_owned() } else { format!("{address}{PATH}") }
}

/// Sends what the exporter has encoded, with the operator's headers.
struct Client {
    egress: Egress,
    policy: Policy,
    /// The names of the headers; each is the name of its secret, too.
    headers: Vec<String>,
    failure: Failure,
}

/// Where requests may go, and the secrets in them: the headers, each under its name.
fn allowed(settings: &config::Telemetry) -> Result<Policy, String> {
    let url = endpoint(&settings.otlp_endpoint);
    let origin = Origin::of_url(&url).map_err(|error| format!("otlp_endpoint: {error}"))?;
    let secret = |(name, value): (&String, &String)| {
        let wrong = |why: String| format!("headers.{name}: {why}");
        http::HeaderName::try_from(name.as_str()).map_err(|_| wrong("is no name of a header".to_owned()))?;
        Ok((name.clone(), Secret::resolve(value).map_err(wrong)?))
    };
    let secrets = settings.headers.iter().map(secret).collect::<Result<Secrets, String>>()?;
    // The operator names it, so that it may lie in the operator's own network.
    Ok(Policy::new(vec![Allowed { origin: origin.into(), private: true }], secrets))
}

impl Client {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, String> {
        let (head, body) = request.into_parts();
        let text = |value: &http::HeaderValue| vec![Segment::Bytes(value.as_bytes().to_vec())];
        let own = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        let secret = self.headers.iter().map(|name| (name.clone(), vec![Segment::Secret(name.clone())]));
        let request = Request {
            method: Method::POST,
            url: vec![Segment::Text(head.uri.to_string())],
            headers: own.chain(secret).collect(),
            body: Body::Segments(vec![Segment::Bytes(body.into())]),
            timeouts: Timeouts { first_byte: TIMEOUT, total: TIMEOUT, ..Timeouts::default() },
            max_body: MAX_ANSWER,
            redirects: 0,
        };
        let answer = self.egress.send(&self.policy, request).await.map_err(|failure| failure.to_string())?;
        let status = answer.status;
        if !status.is_success() {
            return Err(format!("the collector answered {status}"));
        }
        let body = answer.collect().await.map_err(|failure| failure.to_string())?;
        Ok(http::Response::new(body))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        self.send(request).await.map_err(|why| {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
            why.into()
        })
    }
}

/// Without the headers.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("headers", &self.headers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_with_or_without_the_path() {
        for address in ["http://127.0.0.1:4318", "http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"]
        {
            assert_eq!(endpoint(address), "http://127.0.0.1:4318/v1/traces");
        }
        assert_eq!(endpoint("https://a.example/otlp"), "https://a.example/otlp/v1/traces");
    }

    #[test]
    fn settings_that_can_t_work_are_told_by_their_key() {
        let problem = |endpoint: &str, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let settings = config::Telemetry {
                otlp_endpoint: endpoint.to_owned(),
                headers: headers.collect(),
                propagate: false,
            };
            Exporter::problem(&settings)
        };
        assert_eq!(problem("", &[]), None);
        assert_eq!(problem("http://127.0.0.1:4318", &[("x-key", "k")]), None);
        assert!(problem("collector:4318", &[]).unwrap().starts_with("otlp_endpoint: "));
        assert!(problem("http://a.example", &[("a b", "k")]).unwrap().starts_with("headers.a b: "));
        let missing = problem("http://a.example", &[("x", "env:PRX_NOT_SET_FOR_A_TEST")]).unwrap();
        assert!(missing.contains("PRX_NOT_SET_FOR_A_TEST"), "{missing}");
    }
}
