//! `wasi:http/outgoing-handler`: requests of tools and providers, through the gateway's egress.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::{Request, Response};
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks};

use super::shared::Shared;
use crate::journal::Level;
use prx_base::traces::TraceContext;
use prx_egress::{self, Failure, Kind, Timeouts};

/// W3C Trace Context, level 1.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Largest response that a guest may read, in bytes.
const MAX_RESPONSE_BYTES: u64 = 64 << 20;

/// Most bytes of a body that a guest writes at once, and that wait to be taken.
const MAX_PIECE_BYTES: usize = 64 << 10;

/// An instance's side of its requests.
pub(super) struct Outgoing {
    context: WasiHttpCtx,
    hooks: Hooks,
}

impl Outgoing {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { context: WasiHttpCtx::new(), hooks: Hooks { shared: Arc::clone(shared), trace: None } }
    }

    /// For the call under way, whose requests are part of a trace if it says so.
    pub(super) fn view<'a>(
        &'a mut self,
        table: &'a mut ResourceTable,
        trace: Option<TraceContext>,
    ) -> WasiHttpCtxView<'a> {
        self.hooks.trace = trace;
        WasiHttpCtxView { ctx: &mut self.context, table, hooks: &mut self.hooks }
    }
}

struct Hooks {
    shared: Arc<Shared>,
    trace: Option<TraceContext>,
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        MAX_PIECE_BYTES
    }

    fn send_request(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Io), Error>> + Send> {
        let shared = Arc::clone(&self.shared);
        if let Some(trace) = self.trace
            && let Ok(value) = HeaderValue::try_from(trace.traceparent())
        {
            request.headers_mut().insert(TRACEPARENT, value);
        }
        Box::new(async move {
            let sent = send(&shared, request, options.unwrap_or_default()).await;
            let response = sent.map_err(|failure| {
                shared.journal.write(Level::Warn, &format!("an HTTP request failed: {failure}"));
                error(failure)
            })?;
            Ok((response, Box::new(async { Ok(()) }) as Io))
        })
    }
}

async fn send(
    shared: &Arc<Shared>,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<Response<WasiBody>, Failure> {
    let request = prx_egress::Request::from_http(request, timeouts(shared, options), MAX_RESPONSE_BYTES)?;
    let policy = shared.links.http.clone().unwrap_or_default();
    let response = shared.services.egress.send(&policy, request).await?;
    let shared = Arc::clone(shared);
    let broken = move |failure: Failure| {
        shared.journal.write(Level::Warn, &format!("an HTTP answer broke off: {failure}"));
        error(failure)
    };
    Ok(response.into_http().map(|body| body.map_err(broken).boxed_unsync()))
}

/// The guest's own timeouts where it gave some; no silence longer than its call's deadline. An answer as a whole may take as
/// long as the call: it ends with that.
fn timeouts(shared: &Shared, options: RequestOptions) -> Timeouts {
    let usual = Timeouts::default();
    let most = shared.links.limits.deadline;
    Timeouts {
        connect: options.connect_timeout.unwrap_or(usual.connect).min(most),
        first_byte: options.first_byte_timeout.unwrap_or(most).min(most),
        idle: options.between_bytes_timeout.unwrap_or(usual.idle).min(most),
        total: Duration::MAX,
    }
}

fn error(failure: Failure) -> Error {
    match failure.kind {
        Kind::Denied => Error::HttpRequestDenied,
        Kind::Dns => Error::DnsError { rcode: Some(failure.reason), info_code: None },
        Kind::Connect => Error::ConnectionRefused,
        Kind::Tls => Error::TlsProtocolError,
        Kind::Timeout => Error::ConnectionTimeout,
        Kind::TooLarge => Error::HttpResponseBodySize(None),
        Kind::Protocol => Error::HttpProtocolError,
        Kind::Closed => Error::ConnectionTerminated,
    }
}
