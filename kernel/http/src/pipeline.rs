//! The pipeline of a request: where it may come from, which route it is for, who is calling, whether the rate limit
//! lets it through, what it is answered with.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CONNECTION, EXPECT, HeaderValue, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::access::{Access, Group};
use super::access_log::Entry;
use super::auth::{self, Caller};
use super::body::{AnonymousBodies, Body};
use super::call::{Call, Params};
use super::mounts::{self, Mounted};
use super::origin::X_REQUEST_ID;
use super::payload::Payload;
use super::query::Query;
use super::rate_limit::{RateLimitKey, RateLimitStatus, RateLimits};
use super::reply::Reply;
use super::rest::Rest;
use super::router::{Found, Route, Router};
use super::service::{Lifetime, Service};
use super::starting::Starting;
use super::traffic::Traffic;
use super::unauthorized::UnauthorizedCallers;
use super::wire::Exchange;
use super::{cors, framing, hosts};
use prx_base::clock::Clock;
use prx_base::config;
use prx_base::error::{Code, Error, Result};
use prx_store::Store;

/// The parameter of a path that names a channel.
const CHANNEL: &str = "channel";
/// What the log calls whoever came by the socket in the data directory.
const OWNER: &str = "owner";

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    /// The socket in the data directory, which only its owner can open.
    Owner,
    /// The network; with the address the connection came in on, that of the other end, and whether it has only a place in
    /// the reserve for health probes.
    Network { local: SocketAddr, remote: IpAddr, reserved: bool },
}

/// Everything between a connection and the handlers, which are given the state `S`. It answers from the beginning:
/// with 503 while the gateway starts, and through the handlers once they are there.
pub struct Pipeline<S> {
    rate_limits: RateLimits,
    anonymous: AnonymousBodies,
    unauthorized: UnauthorizedCallers,
    config: config::Live,
    clock: Clock,
    pub(super) traffic: Traffic,
    /// Cancelled when the gateway shuts down.
    pub(super) shutdown: CancellationToken,
    starting: Starting,
    /// Set once, when the gateway is ready.
    service: OnceLock<Service<S>>,
}

impl<S: Send + Sync + 'static> Pipeline<S> {
    /// A pipeline of a gateway that is starting: it answers 503 `unavailable` to everything but `/livez`.
    pub fn new(config: config::Live, clock: Clock, traffic: Traffic) -> Self {
        let shutdown = CancellationToken::new();
        Self {
            unauthorized: UnauthorizedCallers::new(clock.clone(), shutdown.clone()),
            rate_limits: RateLimits::new(config.clone(), clock.clone()),
            anonymous: AnonymousBodies::default(),
            config,
            clock,
            traffic,
            shutdown,
            starting: Starting::default(),
            service: OnceLock::new(),
        }
    }

    /// Says how far the start has got: `plugins 3 of 8` makes the message `starting: plugins 3 of 8`.
    pub fn set_progress(&self, progress: impl Into<String>) {
        self.starting.set_progress(progress.into());
    }

    /// Ends the start: from the next request on, also on connections that are open, the handlers answer. Tokens and
    /// idempotency keys are looked up in `store`. A second call changes nothing.
    pub fn ready(&self, state: Arc<S>, router: Router<S>, store: Store) {
        self.service.get_or_init(|| {
            Service::new(
                state,
                router,
                store,
                Lifetime {
                    clock: self.clock.clone(),
                    config: self.config.clone(),
                    shutdown: self.shutdown.clone(),
                },
            )
        });
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn config(&self) -> Arc<config::Config> {
        self.config.current()
    }

    /// Writes down when which token was last used.
    pub(super) async fn write_token_uses(&self) {
        if let Some(service) = self.service.get() {
            service.tokens.write_uses().await;
        }
    }

    /// Answers one request, whatever happens on the way.
    pub(super) async fn answer(
        &self,
        peer: Peer,
        exchange: &Exchange,
        request: Request<Incoming>,
    ) -> Response<Payload> {
        let framing = exchange.begin();
        let request = request.map(Rest::from);
        let mut entry = Entry::new(request.method().clone(), request.headers(), || self.request_id());
        let (rest, asked_for) = (request.body().clone(), !request.headers().contains_key(EXPECT));
        let in_pieces = request.headers().contains_key(TRANSFER_ENCODING);
        let framed = framing::check(framing, request.headers());
        let admitted = match peer {
            Peer::Owner => framed.map(|()| None),
            Peer::Network { local, remote, .. } => {
                let gateway = &self.config.current().gateway;
                entry.sender = Some(hosts::sender(remote, request.headers(), gateway));
                framed.and_then(|()| hosts::check(local, &request, gateway))
            }
        };
        let mut reply = match admitted {
            Err(error) => {
                let error = self.refuse_anonymous(&mut entry, error);
                entry.failed(&error)
            }
            Ok(origin) => {
                let reply = self.dispatch(&mut entry, peer, request, origin.is_some()).await;
                let reply = reply.unwrap_or_else(|error| entry.failed(&error));
                match origin {
                    Some(origin) => cors::allow_origin(reply, origin),
                    None => reply,
                }
            }
        };
        let unread = !rest.is_over(asked_for);
        if unread {
            exchange.leave_unread();
        }
        // A proxy may have understood the pieces otherwise: what follows on this connection is not to be trusted.
        if unread || in_pieces || peer.is_reserved() {
            reply = reply.with(CONNECTION, HeaderValue::from_static("close"));
        }
        self.traffic.count(entry.outcome(&reply));
        entry.finish(reply)
    }

    /// The answer to a head that is no HTTP, in bytes. The connection ends with it.
    pub(super) fn refuse_head(&self, peer: Peer, status: u16) -> Bytes {
        let mut entry =
            Entry::new(Method::from_bytes(b"-").unwrap_or_default(), &HeaderMap::new(), || self.request_id());
        if let Peer::Network { remote, .. } = peer {
            entry.sender = Some(remote);
        }
        let refused = self.refuse_anonymous(&mut entry, framing::unreadable(status));
        let mut reply = entry.failed(&refused).with(CONNECTION, HeaderValue::from_static("close"));
        if refused.code() == Code::BadRequest {
            *reply.0.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        }
        self.traffic.count(entry.outcome(&reply));
        framing::bytes(entry.finish(reply))
    }

    async fn dispatch(
        &self,
        entry: &mut Entry,
        peer: Peer,
        request: Request<Rest>,
        foreign: bool,
    ) -> Result<Reply> {
        let Some(service) = self.service.get() else { return self.starting.answer(entry, &request) };
        let (route, params) = match service.router.find(request.method(), request.uri().path()) {
            Found::Route(route, params) => (route, params),
            Found::WrongMethod(allow) if foreign && cors::is_preflight(&request) => {
                self.count(entry, &Caller::Anyone, Group::Other)?;
                return Ok(cors::preflight(&allow));
            }
            // Without a token nobody learns which routes there are.
            Found::WrongMethod(allow) => {
                let caller = self.authenticate(service, entry, peer, request.headers())?;
                self.count(entry, &caller, Group::Other)?;
                return Ok(wrong_method(entry, &allow));
            }
            Found::Nothing if let Some(mounted) = service.mounted(request.uri().path()) => {
                if foreign && cors::is_preflight(&request) {
                    self.count(entry, &Caller::Anyone, Group::Other)?;
                    return Ok(cors::preflight(mounts::METHODS));
                }
                return self.dispatch_mounted(service, entry, (peer, mounted), request).await;
            }
            Found::Nothing => {
                let caller = self.authenticate(service, entry, peer, request.headers())?;
                self.count(entry, &caller, Group::Other)?;
                return Err(no_route(service, request.method(), request.uri().path()));
            }
        };
        entry.route = route.path;
        if route.access != Access::Health {
            peer.check_place()?;
        }
        entry.quiet = route.quiet;
        let caller = match route.access.is_open() {
            true => Caller::Anyone,
            false => self.authenticate(service, entry, peer, request.headers())?,
        };
        let channel = signed_channel(route.access, &params);
        match &channel {
            Some(channel) => self.check_channel(entry, channel)?,
            None => self.count(entry, &caller, route.access.group())?,
        }
        route.access.permit(&caller)?;
        let query = Query::parse(request.uri().query())?;
        let (head, body) = request.into_parts();
        let claim = service.idempotency.claim(&caller, &head)?;
        let limit = self.config.current().gateway.max_body_bytes;
        let mut body = Body::new(body, &head.headers, limit, self.clock.clone());
        if matches!(caller, Caller::Anyone) {
            body = body.counted_among(self.anonymous.clone());
        }
        let (method, uri, headers) = (head.method, head.uri, head.headers);
        let hung_up = CancellationToken::new();
        // Dropped with this future, which is what becomes of it when the client hangs up.
        let _client = hung_up.clone().drop_guard();
        let call = Call { caller, method, uri, query, headers, body, hung_up, params };
        let answered = service.run(entry, route, claim, call).await;
        match channel {
            Some(channel) => self.count_signed(entry, channel, answered),
            None => answered.inspect_err(|error| self.count_public(entry, route, error)),
        }
    }

    /// The same for a route that is not in the table. What its requests say is for the route alone to understand: parameters,
    /// idempotency keys.
    async fn dispatch_mounted(
        &self,
        service: &Service<S>,
        entry: &mut Entry,
        (peer, mounted): (Peer, Mounted<S>),
        request: Request<Rest>,
    ) -> Result<Reply> {
        (entry.route, entry.plugin) = (mounts::PATH, Some(mounted.plugin.clone()));
        peer.check_place()?;
        let (mut head, body) = request.into_parts();
        let access = mounted.access;
        let is_anyone = matches!(access, Access::Optional(_))
            && matches!(peer, Peer::Network { .. })
            && !mounts::bears_token(&head.headers);
        let caller = match is_anyone || access.is_open() {
            true => Caller::Anyone,
            false => self.authenticate(service, entry, peer, &head.headers)?,
        };
        self.count(entry, &caller, access.group())?;
        access.permit(&caller)?;
        if let Ok(id) = HeaderValue::from_str(&entry.id) {
            head.headers.insert(X_REQUEST_ID, id);
        }
        let limit = self.config.current().gateway.max_body_bytes;
        let body = Body::new(body, &head.headers, limit, self.clock.clone());
        let hung_up = CancellationToken::new();
        let _client = hung_up.clone().drop_guard();
        let (query, params) = (Query::parse(None)?, Params::new());
        let (method, uri, headers) = (head.method, head.uri, head.headers);
        let route = Route::from((mounted, method.clone()));
        let call = Call { caller, method, uri, query, headers, body, hung_up, params };
        service.run(entry, &route, None, call).await
    }

    /// Refuses what comes to a channel that has been told too much already by those who have proven who they are.
    fn check_channel(&self, entry: &mut Entry, channel: &RateLimitKey) -> Result<()> {
        entry.rate_limit = self.rate_limits.refuses(channel.clone(), Group::Webhooks);
        entry.rate_limit.and_then(RateLimitStatus::refusal).map_or(Ok(()), Err)
    }

    /// Counts what came to a channel: for the channel where it was proven to come from its platform, and else for the
    /// address it came from.
    fn count_signed(
        &self,
        entry: &mut Entry,
        channel: RateLimitKey,
        answered: Result<Reply>,
    ) -> Result<Reply> {
        let unproven = [Code::Unauthorized, Code::Forbidden, Code::NotFound];
        match answered {
            Err(error) if unproven.contains(&error.code()) => Err(self.refuse_anonymous(entry, error)),
            Ok(reply) if matches!(reply.0.status().as_u16(), 401 | 403) => {
                self.count(entry, &Caller::Anyone, Group::Other).map(|()| reply)
            }
            other => {
                entry.rate_limit = self.rate_limits.count(channel, Group::Webhooks);
                other
            }
        }
    }

    /// What a route that anyone may call refuses for want of a proof is as good as a wrong token, and told of like one.
    fn count_public(&self, entry: &Entry, route: &Route<S>, error: &Error) {
        if let Some(service) = self.service.get()
            && route.access == Access::Public
            && error.code() == Code::Unauthorized
        {
            self.unauthorized.count(entry.sender, true, service.store());
        }
    }

    fn authenticate(
        &self,
        service: &Service<S>,
        entry: &mut Entry,
        peer: Peer,
        headers: &HeaderMap,
    ) -> Result<Caller> {
        match peer {
            Peer::Owner => {
                entry.caller = Some(OWNER.to_owned());
                Ok(Caller::Owner)
            }
            Peer::Network { .. } => match service.tokens.caller(headers) {
                Ok(caller) => {
                    if let Caller::Token { id, .. } = &caller {
                        entry.caller = Some(id.clone());
                    }
                    Ok(caller)
                }
                Err(error) => {
                    let with_token = headers.contains_key(AUTHORIZATION);
                    self.unauthorized.count(entry.sender, with_token, service.store());
                    Err(self.refuse_anonymous(entry, error))
                }
            },
        }
    }

    /// Counts a request against its caller's rate limit: by token, or by address where there is none.
    fn count(&self, entry: &mut Entry, caller: &Caller, group: Group) -> Result<()> {
        let key = match (caller, entry.sender) {
            (Caller::Token { id, .. }, _) => RateLimitKey::Token(id.clone()),
            (_, Some(address)) => RateLimitKey::at(address),
            (_, None) => return Ok(()),
        };
        entry.rate_limit = self.rate_limits.count(key, group);
        match entry.rate_limit.and_then(RateLimitStatus::refusal) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Counts a request that is refused before its caller is known, against the rate limit of its address. Beyond
    /// that it is refused with 429 instead.
    fn refuse_anonymous(&self, entry: &mut Entry, error: Error) -> Error {
        self.count(entry, &Caller::Anyone, Group::Other).err().unwrap_or(error)
    }

    fn request_id(&self) -> String {
        let random = auth::random().map_or(0, u128::from_ne_bytes);
        format!("req_{}", Ulid::from_parts(self.clock.now_ms(), random).to_string().to_lowercase())
    }
}

impl Peer {
    fn is_reserved(self) -> bool {
        matches!(self, Self::Network { reserved: true, .. })
    }

    /// # Errors
    /// Its connection has only a place in the reserve, where nothing is served but health probes.
    fn check_place(self) -> Result<()> {
        let message = "Too many connections are open from this address; close some, or try again later";
        if self.is_reserved() { Err(Error::new(Code::Unavailable, message)) } else { Ok(()) }
    }
}

/// 404, with the path that was meant where that can be told.
fn no_route<S>(service: &Service<S>, method: &Method, path: &str) -> Error {
    let message = match service.router.nearest(method, path) {
        Some(near) => format!("There is no such route; did you mean {near}?"),
        None => "There is no such route".to_owned(),
    };
    Error::new(Code::NotFound, message)
}

/// The channel that a request is for, where its signature is to prove that.
fn signed_channel(access: Access, params: &Params) -> Option<RateLimitKey> {
    let named = params.iter().find(|(name, _)| name == CHANNEL).filter(|_| access == Access::Signed);
    named.map(|(_, channel)| RateLimitKey::Channel(channel.clone()))
}

fn wrong_method(entry: &Entry, allow: &str) -> Reply {
    let message = format!("{} is not a method of this route", entry.method);
    let reply = entry.failed(&Error::new(Code::MethodNotAllowed, message));
    match HeaderValue::from_str(allow) {
        Ok(allow) => reply.with(ALLOW, allow),
        Err(_) => reply,
    }
}
