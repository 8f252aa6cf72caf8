//! The pipeline of a request: where it may come from, which route it is for, who is calling, whether the rate limit
//! lets it through, what it is answered with.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, HeaderValue, TRANSFER_ENCODING};
use hyper::{HeaderMap, Request, Response};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::access::{Access, Group};
use super::access_log::Entry;
use super::auth::{self, Caller};
use super::body::{AnonymousBodies, Body};
use super::call::Call;
use super::payload::Payload;
use super::query::Query;
use super::rate_limit::{RateLimitKey, RateLimitStatus, RateLimits};
use super::reply::Reply;
use super::router::{Found, Router};
use super::service::{Lifetime, Service};
use super::starting::Starting;
use super::traffic::Traffic;
use super::{cors, hosts};
use prx_base::clock::Clock;
use prx_base::config;
use prx_base::error::{Code, Error, Result};
use prx_store::Store;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    /// The socket in the data directory, which only its owner can open.
    Owner,
    /// The network; with the address the connection came in on, and that of the other end.
    Network { local: SocketAddr, remote: IpAddr },
}

/// Everything between a connection and the handlers, which are given the state `S`. It answers from the beginning:
/// with 503 while the gateway starts, and through the handlers once they are there.
pub struct Pipeline<S> {
    rate_limits: RateLimits,
    anonymous: AnonymousBodies,
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
        Self {
            rate_limits: RateLimits::new(config.clone(), clock.clone()),
            anonymous: AnonymousBodies::default(),
            config,
            clock,
            traffic,
            shutdown: CancellationToken::new(),
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
                Lifetime { clock: self.clock.clone(), shutdown: self.shutdown.clone() },
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
    pub(super) async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Response<Payload> {
        let mut entry = Entry::new(self.request_id(), request.method().clone());
        let ambiguous_length = request.headers().contains_key(TRANSFER_ENCODING);
        let admitted = match peer {
            Peer::Owner => Ok(None),
            Peer::Network { local, remote } => {
                let gateway = &self.config.current().gateway;
                entry.sender = Some(hosts::sender(remote, request.headers(), gateway));
                hosts::check(local, &request, gateway)
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
        // A request may carry both lengths, and a proxy may have believed the other one: what follows on this
        // connection is not to be trusted.
        if ambiguous_length {
            reply = reply.with(CONNECTION, HeaderValue::from_static("close"));
        }
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
            Found::Nothing => {
                let caller = self.authenticate(service, entry, peer, request.headers())?;
                self.count(entry, &caller, Group::Other)?;
                return Err(Error::new(Code::NotFound, "There is no such route"));
            }
        };
        entry.route = route.path;
        let caller = match route.access {
            Access::Public => Caller::Anyone,
            Access::Scope(_) | Access::Either(..) => {
                self.authenticate(service, entry, peer, request.headers())?
            }
        };
        self.count(entry, &caller, route.access.group())?;
        match route.access {
            Access::Public => {}
            Access::Scope(scope) => caller.require(scope)?,
            Access::Either(one, other) => caller.require_either(one, other)?,
        }
        let query = Query::parse(request.uri().query())?;
        let (head, body) = request.into_parts();
        let claim = service.idempotency.claim(&caller, &head)?;
        let limit = self.config.current().gateway.max_body_bytes;
        let mut body = Body::new(body, &head.headers, limit, self.clock.clone());
        if matches!(route.access, Access::Public) {
            body = body.counted_among(self.anonymous.clone());
        }
        let call = Call { caller, method: head.method, query, headers: head.headers, body, params };
        service.run(entry, route, claim, call).await
    }

    fn authenticate(
        &self,
        service: &Service<S>,
        entry: &mut Entry,
        peer: Peer,
        headers: &HeaderMap,
    ) -> Result<Caller> {
        match peer {
            Peer::Owner => Ok(Caller::Owner),
            Peer::Network { .. } => {
                service.tokens.caller(headers).map_err(|error| self.refuse_anonymous(entry, error))
            }
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

fn wrong_method(entry: &Entry, allow: &str) -> Reply {
    let message = format!("{} is not a method of this route", entry.method);
    let reply = entry.failed(&Error::new(Code::MethodNotAllowed, message));
    match HeaderValue::from_str(allow) {
        Ok(allow) => reply.with(ALLOW, allow),
        Err(_) => reply,
    }
}
