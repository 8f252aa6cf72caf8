//! Sends requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT_ENCODING, PROXY_AUTHORIZATION};
use hyper::{StatusCode, http};
use rustls::RootCertStore;
use tokio::time::{Instant, timeout_at};

use super::connect::{Connector, Resolver};
use super::failure::{Failure, Kind};
use super::origin::Origin;
use super::outside::{self, Follow, Outside};
use super::policy::Policy;
use super::pool::{Key, Lease, Pool};
use super::proxy::Proxy;
use super::redirect;
use super::render::Outgoing;
use super::request::{Request, Stream, Timeouts};
use super::response::{Bounds, Response};
use super::scrub::Patterns;
use super::trust;
use super::websocket::{Upgrade, WebSocket};
use prx_base::clock::Clock;
use prx_base::config::{self, Live};

/// The longest total timeout of a request, whatever it asks for: 24 hours.
const MAX_TOTAL_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The way out. A clone shares the connections.
#[derive(Clone)]
pub struct Egress(Arc<Shared>);

struct Shared {
    connector: Connector,
    pool: Arc<Pool>,
    /// By which way out the connections in the pool were opened. Held to look, never across a wait.
    outside: Mutex<Arc<Outside>>,
}

/// When a request is given up.
struct Deadlines {
    connect: Duration,
    first_byte: Duration,
    deadline: Instant,
}

impl Egress {
    /// Resolves names as the machine does and trusts the certificate authorities that browsers trust. It knows no proxy.
    pub fn new(clock: Clock) -> Self {
        Self::with_roots(clock, Resolver::System, trust::of_browsers())
    }

    /// Resolves names as the machine does, trusts the machine's certificate authorities, and does what `[egress]` says, or
    /// where that is silent, the environment: `SSL_CERT_FILE`, `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`.
    pub fn following(clock: Clock, config: Live) -> Self {
        Self::of(Connector::new(Resolver::System, Follow::config(clock, config)))
    }

    /// What is wrong with settings that are to be put in force, if anything is: a file without certificates, a proxy that
    /// is none.
    pub fn problem(settings: &config::Egress) -> Option<String> {
        outside::problem(settings)
    }

    /// Resolves names and trusts certificate authorities as given.
    pub fn with_roots(clock: Clock, resolver: Resolver, roots: RootCertStore) -> Self {
        Self::of(Connector::new(resolver, Follow::fixed(clock, roots)))
    }

    fn of(connector: Connector) -> Self {
        let outside = Mutex::new(connector.outside());
        Self(Arc::new(Shared { connector, pool: Arc::default(), outside }))
    }

    /// Sends `request` as far as `policy` lets it go and answers when the answer's head is there. The body
    /// follows as it is read; dropping it closes the connection.
    ///
    /// # Errors
    /// Whatever keeps the answer's head from arriving. See [`Failure::sent`] for whether to try again.
    pub async fn send(&self, policy: &Policy, request: Request) -> Result<Response, Failure> {
        let started = Instant::now();
        let Timeouts { connect, first_byte, idle, total } = request.timeouts;
        let deadlines = Deadlines { connect, first_byte, deadline: started + total.min(MAX_TOTAL_TIMEOUT) };
        let (max_body, redirects) = (request.max_body, request.redirects);
        let secrets = Patterns::of(policy.secrets());
        let mut hop = Outgoing::render(request, policy.secrets())?;
        // Most servers keep to it; what the others encode is decoded.
        let plain = hop.headers.get_all(ACCEPT_ENCODING).iter().all(|value| value == "identity");
        let slot = policy.slot(connect.min(total)).await?;
        for followed in 0..=redirects {
            let answer = self.exchange(policy, &mut hop, &deadlines).await;
            let (response, lease) = answer.map_err(|failure| failure.after(followed > 0))?;
            if let Some(location) = redirect::location(&response).filter(|_| redirects > 0) {
                if response.body().is_end_stream() {
                    lease.release();
                }
                hop = redirect::follow(hop, response.status(), &location, secrets.as_ref())?;
                continue;
            }
            let bounds =
                Bounds { started, deadline: deadlines.deadline, idle, max_body, plain, secrets, slot };
            return Response::new(response, lease, bounds);
        }
        Err(Failure::sent(Kind::Protocol, &hop.origin, format!("more than {redirects} redirects")))
    }

    /// Opens a WebSocket as far as `policy` lets it go.
    ///
    /// # Errors
    /// Whatever keeps the other side from agreeing to it.
    pub async fn connect(&self, policy: &Policy, upgrade: Upgrade) -> Result<WebSocket, Failure> {
        WebSocket::open(&self.0.connector, policy, upgrade).await
    }

    /// The way out as it is now. Where it has changed, connections that were opened before are dropped.
    fn outside(&self) -> Arc<Outside> {
        let Shared { connector, pool, outside } = &*self.0;
        let now = connector.outside();
        let mut known = outside.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known, &now) {
            pool.clear();
            known.clone_from(&now);
        }
        now
    }

    /// One request, one answer's head. A pooled connection that turns out to be closed before it took the
    /// request is replaced.
    async fn exchange(
        &self,
        policy: &Policy,
        hop: &mut Outgoing,
        deadlines: &Deadlines,
    ) -> Result<(http::Response<Incoming>, Lease), Failure> {
        let Shared { connector, pool, .. } = &*self.0;
        let outside = self.outside();
        let key = Key { private: policy.admit(&hop.origin)?, origin: hop.origin.clone() };
        let mut message = hop.message()?;
        loop {
            let (mut connection, fresh) = match pool.take(&key) {
                Some(connection) => (connection, false),
                None => (connector.open(&key, &outside, deadlines.until(deadlines.connect)).await?, true),
            };
            relay(&mut message, &key.origin, connection.relayed.as_deref())?;
            let answer = connection.sender.try_send_request(message);
            match timeout_at(deadlines.until(deadlines.first_byte), answer).await {
                Ok(Ok(response))
                    if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED
                        && let Some(proxy) = &connection.relayed =>
                {
                    let reason = proxy.refusal(response.status().as_u16());
                    return Err(Failure::unsent(Kind::Connect, &key.origin, reason));
                }
                Ok(Ok(response)) => return Ok((response, Lease { connection, key, pool: pool.clone() })),
                Ok(Err(mut error)) => match error.take_message() {
                    Some(unsent) if !fresh => message = unsent,
                    Some(_) => return Err(Failure::unsent(Kind::Closed, &key.origin, "it hung up at once")),
                    None => return Err(Failure::broken(&key.origin, &error.into_error())),
                },
                Err(_) => return Err(Failure::sent(Kind::Timeout, &key.origin, "no answer in time")),
            }
        }
    }
}

/// Addresses a request to the proxy that is to pass it on, or to the origin itself.
fn relay(message: &mut http::Request<Stream>, origin: &Origin, proxy: Option<&Proxy>) -> Result<(), Failure> {
    message.headers_mut().remove(PROXY_AUTHORIZATION);
    let Some(proxy) = proxy else { return Ok(()) };
    let path = message.uri().path_and_query().map_or("/", |path| path.as_str());
    let whole = format!("http://{}{path}", origin.authority());
    *message.uri_mut() =
        whole.parse().map_err(|_| Failure::unsent(Kind::Denied, origin, "the URL is malformed"))?;
    if let Some(authorization) = proxy.authorization() {
        message.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    Ok(())
}

impl Deadlines {
    /// The end of a wait from now on, which is never after the deadline of the whole request.
    fn until(&self, wait: Duration) -> Instant {
        Instant::now().checked_add(wait).map_or(self.deadline, |end| end.min(self.deadline))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    use hyper::client::conn::http1::handshake;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    use super::super::policy::{Allowed, Secrets};
    use super::super::pool::Connection;
    use super::super::request::{Body, Segment};
    use super::*;

    #[tokio::test]
    async fn a_stale_connection_is_replaced_before_anything_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let origin = Origin::parse(&url).unwrap();
        let egress = Egress::new(Clock::system());

        // A pooled connection whose other end closes just when the next request is handed to it.
        let (ours, theirs) = duplex(1024);
        let (sender, mut driver) = handshake(TokioIo::new(ours)).await.unwrap();
        let (resume, resumed) = oneshot::channel::<()>();
        let (idle, is_idle) = oneshot::channel();
        let task = tokio::spawn(async move {
            poll_fn(|cx| Poll::Ready(Pin::new(&mut driver).poll(cx).is_ready())).await;
            idle.send(()).unwrap();
            resumed.await.unwrap();
            drop(driver.await);
        });
        is_idle.await.unwrap();
        let key = Key { origin: origin.clone(), private: true };
        egress.0.pool.put(key, Connection { sender, task: task.abort_handle(), relayed: None });
        drop(theirs);

        let policy = Policy::new(vec![Allowed { origin: origin.into(), private: true }], Secrets::default());
        let request = Request {
            method: hyper::Method::POST,
            url: vec![Segment::Text(url)],
            headers: Vec::new(),
            body: Body::Segments(vec![Segment::Text("once".to_owned())]),
            timeouts: Timeouts::default(),
            max_body: 0,
            redirects: 0,
        };
        tokio::spawn(async move {
            resume.send(()).unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"once") {
                seen.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        });
        assert_eq!(egress.send(&policy, request).await.unwrap().status, 204);
    }
}
