//! Sends requests.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::http;
use rustls::RootCertStore;
use tokio::time::{Instant, timeout_at};

use super::connect::{Connector, Resolver};
use super::pool::{Key, Lease, Pool};
use super::redirect;
use super::render::Outgoing;
use super::request::{Request, Timeouts};
use super::response::{Bounds, Response};
use super::scrub::Patterns;
use super::{Failure, Kind, Origin, Policy, Upgrade, WebSocket};
use prx_base::clock::Clock;

/// No request takes longer, whatever its time-outs say.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The way out. A clone shares the connections.
#[derive(Clone)]
pub struct Egress(Arc<Parts>);

struct Parts {
    connector: Connector,
    pool: Arc<Pool>,
}

/// How long an exchange may take.
struct Patience {
    connect: Duration,
    first_byte: Duration,
    deadline: Instant,
}

impl Egress {
    /// Resolves names as the machine does and trusts the certificate authorities that browsers trust.
    pub fn new(clock: Clock) -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
        Self::with_roots(clock, Resolver::System, roots)
    }

    /// Resolves names and trusts certificate authorities as given.
    pub fn with_roots(clock: Clock, resolver: Resolver, roots: RootCertStore) -> Self {
        let connector = Connector::new(clock, resolver, roots);
        Self(Arc::new(Parts { connector, pool: Arc::default() }))
    }

    /// Sends `request` as far as `policy` lets it go and answers when the answer's head is there. The body
    /// follows as it is read; dropping it closes the connection.
    ///
    /// # Errors
    /// Whatever keeps the answer's head from arriving. See [`Failure::sent`] for whether to try again.
    pub async fn send(&self, policy: &Policy, request: Request) -> Result<Response, Failure> {
        let started = Instant::now();
        let Timeouts { connect, first_byte, idle, total } = request.timeouts;
        let patience = Patience { connect, first_byte, deadline: started + total.min(LONGEST) };
        let (max_body, redirects) = (request.max_body, request.redirects);
        let secrets = Patterns::of(policy.secrets());
        let mut hop = Outgoing::render(request, policy.secrets())?;
        let slot = policy.slot(connect.min(total)).await?;
        for followed in 0..=redirects {
            let answer = self.exchange(policy, &mut hop, &patience).await;
            let (response, lease) = answer.map_err(|failure| failure.after(followed > 0))?;
            if let Some(location) = redirect::location(&response).filter(|_| redirects > 0) {
                if response.body().is_end_stream() {
                    lease.release();
                }
                hop = redirect::follow(hop, response.status(), &location, secrets.as_ref())?;
                continue;
            }
            let bounds = Bounds { started, deadline: patience.deadline, idle, max_body, secrets, slot };
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

    /// One request, one answer's head. A pooled connection that turns out to be closed before it took the
    /// request is replaced.
    async fn exchange(
        &self,
        policy: &Policy,
        hop: &mut Outgoing,
        patience: &Patience,
    ) -> Result<(http::Response<Incoming>, Lease), Failure> {
        let Parts { connector, pool } = &*self.0;
        let key = Key { private: policy.admit(&hop.origin)?, origin: hop.origin.clone() };
        let mut message = hop.message()?;
        loop {
            let (mut connection, fresh) = match pool.take(&key) {
                Some(connection) => (connection, false),
                None => (connector.open(&key, patience.until(patience.connect)).await?, true),
            };
            let answer = connection.sender.try_send_request(message);
            match timeout_at(patience.until(patience.first_byte), answer).await {
                Ok(Ok(response)) => return Ok((response, Lease { connection, key, pool: pool.clone() })),
                Ok(Err(mut error)) => match error.take_message() {
                    Some(unsent) if !fresh => message = unsent,
                    Some(_) => return Err(Failure::unsent(Kind::Closed, &key.origin, "it hung up at once")),
                    None => return Err(broken(&key.origin, &error.into_error())),
                },
                Err(_) => return Err(Failure::sent(Kind::Timeout, &key.origin, "no answer in time")),
            }
        }
    }
}

impl Patience {
    fn until(&self, wait: Duration) -> Instant {
        Instant::now().checked_add(wait).map_or(self.deadline, |end| end.min(self.deadline))
    }
}

/// What a connection's error says about a request that had begun to leave.
pub(super) fn broken(origin: &Origin, error: &hyper::Error) -> Failure {
    let kind = if error.is_parse_too_large() {
        Kind::TooLarge
    } else if error.is_parse() || error.is_user() {
        Kind::Protocol
    } else {
        Kind::Closed
    };
    match error.source() {
        Some(source) => Failure::sent(kind, origin, format!("{error}: {source}")),
        None => Failure::sent(kind, origin, error),
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

    use super::super::pool::Connection;
    use super::super::{Allowed, Body, Secrets, Segment};
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
        egress.0.pool.put(key, Connection { sender, task: task.abort_handle() });
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
