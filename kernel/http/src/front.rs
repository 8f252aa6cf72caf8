//! The way of a request: where it may come from, which route it is for, who is calling, what comes back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONNECTION,
    HeaderName, HeaderValue, TRANSFER_ENCODING, VARY,
};
use hyper::{HeaderMap, Method, Request, Response};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use ulid::Ulid;

use super::auth::{self, Tokens};
use super::body::Strangers;
use super::limits::{Limits, Payer, Standing};
use super::repeat::{Claim, Repeats};
use super::reply::Payload;
use super::router::{Found, Params, Router};
use super::{Access, Body, Caller, Group, Outcome, Query, Reply, Route, Traffic, hosts};
use prx_base::clock::{self, Clock};
use prx_base::config;
use prx_base::error::{Code, Error, Result};
use prx_store::Store;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What stands in place of a route where there is none.
const NO_ROUTE: &str = "-";
/// How long what answers to something may go on once the gateway stops: less than its connection may.
pub const FINISH: Duration = Duration::from_secs(6);

/// A request on its way to a handler.
#[derive(Debug)]
pub struct Call {
    /// Who is calling.
    pub caller: Caller,
    /// What is asked for.
    pub method: Method,
    /// The parameters after the `?`.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, not read yet.
    pub body: Body,
    params: Params,
}

impl Call {
    /// A parameter of the path; empty if the route has none of that name.
    pub fn param(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(given, _)| given == name);
        found.map_or("", |(_, value)| value)
    }
}

/// What the way of a request needs of the gateway.
pub struct Parts {
    /// Where the tokens are.
    pub store: Store,
    /// Whom `[gateway]` lets in, now.
    pub config: config::Live,
    /// What time it is.
    pub clock: Clock,
    /// Where requests are counted.
    pub traffic: Traffic,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    /// The socket in the data directory, which only its owner can open.
    Owner,
    /// The network; with the address the connection came in on, and that of the other end.
    Network { local: SocketAddr, remote: IpAddr },
}

/// Everything between a connection and the handlers, which are given the state.
pub struct Front<S> {
    state: Arc<S>,
    router: Router<S>,
    tokens: Arc<Tokens>,
    limits: Limits,
    repeats: Repeats,
    strangers: Strangers,
    config: config::Live,
    clock: Clock,
    pub(super) traffic: Traffic,
    /// Set when the gateway stops.
    pub(super) closing: CancellationToken,
}

/// One request in the access log.
struct Entry {
    id: String,
    method: Method,
    route: &'static str,
    started: Instant,
    /// Who sent it, as far as the address says.
    sender: Option<IpAddr>,
    /// How the caller stands with the rate limits.
    standing: Option<Standing>,
}

impl<S: Send + Sync + 'static> Front<S> {
    /// A way from requests to the handlers of a route table.
    pub fn new(state: Arc<S>, router: Router<S>, parts: Parts) -> Self {
        let Parts { store, config, clock, traffic } = parts;
        let tokens = Arc::new(Tokens::new(store.clone(), clock.clone()));
        let repeats = Repeats::new(store, clock.clone());
        let limits = Limits::new(config.clone(), clock.clone());
        Self {
            state,
            router,
            tokens,
            limits,
            repeats,
            strangers: Strangers::default(),
            config,
            clock,
            traffic,
            closing: CancellationToken::new(),
        }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn config(&self) -> Arc<config::Config> {
        self.config.current()
    }

    /// Writes down when which token was last used.
    pub(super) async fn write_token_uses(&self) {
        self.tokens.write_uses().await;
    }

    /// Answers one request, whatever happens on the way.
    pub(super) async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Response<Payload> {
        let mut entry = Entry {
            id: self.request_id(),
            method: request.method().clone(),
            route: NO_ROUTE,
            started: clock::stopwatch(),
            sender: None,
            standing: None,
        };
        let ambiguous_length = request.headers().contains_key(TRANSFER_ENCODING);
        let admitted = match peer {
            Peer::Owner => Ok(None),
            Peer::Network { local, remote } => {
                let gateway = &self.config.current().gateway;
                entry.sender = Some(hosts::sender(remote, request.headers(), gateway));
                hosts::check(local, &request, gateway)
            }
        };
        let reply = match admitted {
            Err(error) => {
                let error = self.stranger(&mut entry, error);
                entry.failed(&error)
            }
            Ok(origin) => {
                let reply = self.dispatch(&mut entry, peer, request, origin.is_some()).await;
                let reply = reply.unwrap_or_else(|error| entry.failed(&error));
                origin.into_iter().fold(reply, share_with)
            }
        };
        // A request may carry both lengths, and a proxy may have believed the other one: what follows on this
        // connection is not to be trusted.
        let reply =
            if ambiguous_length { reply.with(CONNECTION, HeaderValue::from_static("close")) } else { reply };
        self.traffic.count(entry.outcome(&reply));
        entry.finish(reply)
    }

    async fn dispatch(
        &self,
        entry: &mut Entry,
        peer: Peer,
        request: Request<Incoming>,
        foreign: bool,
    ) -> Result<Reply> {
        let (route, params) = match self.router.find(request.method(), request.uri().path()) {
            Found::Route(route, params) => (route, params),
            Found::WrongMethod(allow) if foreign && asks_beforehand(&request) => {
                self.count(entry, &Caller::Anyone, Group::Other)?;
                return Ok(permission(&allow));
            }
            // What there is and what there isn't is nobody's business without a token.
            Found::WrongMethod(allow) => {
                let caller = self.known(entry, peer, request.headers())?;
                self.count(entry, &caller, Group::Other)?;
                return Ok(wrong_method(entry, &allow));
            }
            Found::Nothing => {
                let caller = self.known(entry, peer, request.headers())?;
                self.count(entry, &caller, Group::Other)?;
                return Err(Error::new(Code::NotFound, "There is no such route"));
            }
        };
        entry.route = route.path;
        let caller = match route.access {
            Access::Public => Caller::Anyone,
            Access::Scope(_) => self.known(entry, peer, request.headers())?,
        };
        self.count(entry, &caller, route.access.group())?;
        if let Access::Scope(scope) = route.access {
            caller.require(scope)?;
        }
        let query = Query::parse(request.uri().query())?;
        let (head, body) = request.into_parts();
        let claim = self.repeats.claim(&caller, &head)?;
        let limit = self.config.current().gateway.max_body_bytes;
        let mut body = Body::new(body, &head.headers, limit, self.clock.clone());
        if matches!(route.access, Access::Public) {
            body = body.sent_by_stranger(self.strangers.clone());
        }
        let (method, headers) = (head.method, head.headers);
        self.run(entry, route, claim, Call { caller, method, query, headers, body, params }).await
    }

    fn known(&self, entry: &mut Entry, peer: Peer, headers: &HeaderMap) -> Result<Caller> {
        match peer {
            Peer::Owner => Ok(Caller::Owner),
            Peer::Network { .. } => self.tokens.caller(headers).map_err(|error| self.stranger(entry, error)),
        }
    }

    /// Counts a request against its caller's rate limit: by token, or by address where there is none.
    fn count(&self, entry: &mut Entry, caller: &Caller, group: Group) -> Result<()> {
        let payer = match (caller, entry.sender) {
            (Caller::Token { id, .. }, _) => Payer::Token(id.clone()),
            (_, Some(address)) => Payer::at(address),
            (_, None) => return Ok(()),
        };
        entry.standing = self.limits.count(payer, group);
        entry.standing.and_then(Standing::refusal).map_or(Ok(()), Err)
    }

    /// Why someone is refused whom nobody knows; after too many attempts, only that.
    fn stranger(&self, entry: &mut Entry, error: Error) -> Error {
        self.count(entry, &Caller::Anyone, Group::Other).err().unwrap_or(error)
    }

    /// Runs a handler to its end, also when the client hangs up meanwhile, so that nothing is left half done.
    async fn run(
        &self,
        entry: &Entry,
        route: &Route<S>,
        claim: Option<Claim>,
        mut call: Call,
    ) -> Result<Reply> {
        let span = tracing::info_span!("request", request_id = entry.id);
        let end = self.end(call.caller.clone(), &route.method);
        let (handler, state) = (route.handler.clone(), self.state.clone());
        let closing = self.closing.clone();
        let answering = async move {
            let Some(claim) = claim else { return handler(state, call).await };
            if let Some(reply) = claim.kept(&mut call.body).await? {
                return Ok(reply);
            }
            claim.begin().await?;
            let digest = call.body.watch();
            match handler(state, call).await {
                Ok(reply) => claim.keep(reply, &digest).await,
                // What the next start may go on with is not to be begun a second time.
                Err(error) if closing.is_cancelled() => Err(error),
                Err(error) => claim.give_up().await.and(Err(error)),
            }
        };
        let answered = tokio::spawn(answering.instrument(span)).await;
        Ok(answered.unwrap_or_else(|panic| Err(Error::internal(panic)))?.until(end))
    }

    /// Ends when a stream must: its caller may call no longer, or the gateway stops. One that only follows what
    /// happens must then end at once; one that answers to something may come to its own end.
    fn end(&self, caller: Caller, method: &Method) -> impl Future<Output = Error> + Send + use<S> {
        let (tokens, closing, clock) = (self.tokens.clone(), self.closing.clone(), self.clock.clone());
        let patience = if method == Method::GET { Duration::ZERO } else { FINISH };
        async move {
            let stopped = async {
                closing.cancelled().await;
                clock.sleep(patience).await;
                Error::new(Code::Unavailable, "The gateway is stopping")
            };
            tokio::select! {
                error = tokens.end(caller) => error,
                error = stopped => error,
            }
        }
    }

    fn request_id(&self) -> String {
        let random = auth::random().map_or(0, u128::from_ne_bytes);
        format!("req_{}", Ulid::from_parts(self.clock.now_ms(), random).to_string().to_lowercase())
    }
}

impl Entry {
    /// The answer to a request that failed. The cause goes to the log, here and only here.
    fn failed(&self, error: &Error) -> Reply {
        if let Some(cause) = std::error::Error::source(error) {
            let cause = chain(cause);
            let code = error.code().as_str();
            if error.code().status() >= 500 {
                tracing::error!(request_id = self.id, route = self.route, code, cause, "{error}");
            } else {
                tracing::debug!(request_id = self.id, route = self.route, code, cause, "{error}");
            }
        }
        Reply::error(error)
    }

    /// Anyone may make up a method, so only those of routes are counted apart.
    fn outcome(&self, reply: &Reply) -> Outcome {
        let method = if self.route == NO_ROUTE { NO_ROUTE } else { self.method.as_str() };
        Outcome { route: self.route, method: method.to_owned(), status: reply.0.status().as_u16() }
    }

    fn finish(self, reply: Reply) -> Response<Payload> {
        let status = reply.0.status().as_u16();
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(method = %self.method, route = self.route, status, ms, request_id = self.id, "request");
        // An id is made of letters and digits.
        let id = HeaderValue::try_from(self.id).unwrap_or(HeaderValue::from_static("-"));
        let reply = reply.with(X_REQUEST_ID, id);
        self.standing.into_iter().fold(reply, |reply, standing| standing.told(reply)).0
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn wrong_method(entry: &Entry, allow: &str) -> Reply {
    let message = format!("{} is not a method of this route", entry.method);
    let reply = entry.failed(&Error::new(Code::MethodNotAllowed, message));
    HeaderValue::from_str(allow).into_iter().fold(reply, |reply, allow| reply.with(ALLOW, allow))
}

/// Whether a browser asks what a web page may do before the page does it.
fn asks_beforehand<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn permission(allow: &str) -> Reply {
    let headers = "authorization, content-type, idempotency-key, if-match, last-event-id";
    let reply = Reply::no_content()
        .with(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(headers))
        .with(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    let methods = HeaderValue::from_str(allow).into_iter();
    methods.fold(reply, |reply, methods| reply.with(ACCESS_CONTROL_ALLOW_METHODS, methods))
}

/// Lets a web page of that origin read the answer.
fn share_with(reply: Reply, origin: HeaderValue) -> Reply {
    let exposed =
        "x-request-id, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, retry-after, etag";
    reply
        .with(ACCESS_CONTROL_ALLOW_ORIGIN, origin)
        .with(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed))
        .with(VARY, HeaderValue::from_static("origin"))
}
