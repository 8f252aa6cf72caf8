//! Connections: accepted within bounds, served, and let go of in good order.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::front::{Front, Peer};
use super::listen::{Network, OwnerSocket};
use super::reply::Envelope;
use super::stall::Stalling;
use prx_base::error::{Code, Error};

/// How long the head of a request may take, and how long a connection may wait for its next request.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Largest head of a request.
const HEAD_BYTES: usize = 32 << 10;
/// Connections from the network at a time.
const CONNECTIONS: usize = 4096;
/// Of these, from one address. Behind a proxy everyone has the proxy's.
const CONNECTIONS_PER_ADDRESS: usize = 2048;
/// How long requests in flight may take to finish once the gateway stops; supervisors tend to kill after ten.
const DRAIN: Duration = Duration::from_secs(8);
/// How long the last use of a token may go unwritten.
const USES_EVERY: Duration = Duration::from_secs(30);
/// How long to wait when the system has no more file handles.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves connections until `stop` ends, then takes no new ones and lets requests in flight finish, within bounds.
pub async fn serve<S>(
    network: Network,
    owner: OwnerSocket,
    front: Arc<Front<S>>,
    stop: impl Future<Output = ()>,
) where
    S: Send + Sync + 'static,
{
    let places = Arc::new(Places::default());
    let connections = TaskTracker::new();
    let mut stop = pin!(stop);
    let mut uses = Box::pin(front.clock().sleep(USES_EVERY));
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = network.listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(admit(front.clone(), places.clone(), network.tls.clone(), stream));
                }
                Err(error) => refused(&front, &error).await,
            },
            accepted = owner.listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(front.clone(), Peer::Owner, stream));
                }
                Err(error) => refused(&front, &error).await,
            },
            () = &mut uses => {
                uses = Box::pin(front.clock().sleep(USES_EVERY));
                let front = front.clone();
                tokio::spawn(async move { front.write_token_uses().await });
            }
        }
    }
    drop((network, owner));
    front.closing.cancel();
    connections.close();
    connections.wait().await;
    front.write_token_uses().await;
}

async fn refused<S: Send + Sync + 'static>(front: &Front<S>, error: &std::io::Error) {
    tracing::warn!(%error, "could not accept a connection");
    front.clock().sleep(ACCEPT_AGAIN).await;
}

/// Serves a connection from the network, if there is a place for it.
async fn admit<S>(front: Arc<Front<S>>, places: Arc<Places>, tls: Option<TlsAcceptor>, stream: TcpStream)
where
    S: Send + Sync + 'static,
{
    let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else { return };
    let (peer, address) = (Peer::Network { local, remote: remote.ip() }, remote.ip());
    let per_address = if front.config().gateway.behind_proxy { CONNECTIONS } else { CONNECTIONS_PER_ADDRESS };
    let Some(_place) = Place::take(&places, address, per_address) else {
        tracing::debug!(%address, "too many connections");
        if tls.is_none() {
            turn_away(stream).await;
        }
        return;
    };
    // Small answers should not wait for each other's acknowledgement; without this they are only slower.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return converse(front, peer, stream).await };
    let encrypted = tokio::select! {
        encrypted = tls.accept(stream) => encrypted,
        () = front.clock().sleep(HEAD_DEADLINE) => Err(ErrorKind::TimedOut.into()),
        () = front.closing.cancelled() => return,
    };
    match encrypted {
        Ok(stream) => converse(front, peer, stream).await,
        Err(error) => tracing::debug!(%address, %error, "a connection did not come to speak TLS"),
    }
}

/// Serves the requests of one connection.
async fn converse<S, T>(front: Arc<Front<S>>, peer: Peer, stream: T)
where
    S: Send + Sync + 'static,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let _open = front.traffic.open();
    let clock = front.clock().clone();
    let stream = TokioIo::new(Stalling::new(stream, clock.clone()));
    let service = service_fn(|request| async { Ok::<_, Infallible>(front.answer(peer, request).await) });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_header_size(HEAD_BYTES)
        .serve_connection(stream, service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = front.closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = clock.sleep(DRAIN) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn turn_away(mut stream: TcpStream) {
    let error = Error::new(Code::Unavailable, "Too many connections; try again later");
    let body = Envelope::from(&error).to_string();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // Who is turned away may have left already.
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// How many connections there are from each address. The lock is held to count, never across a wait.
#[derive(Debug, Default)]
struct Places(Mutex<HashMap<IpAddr, usize>>);

/// The right of one connection to be there.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Place {
    fn take(places: &Arc<Places>, address: IpAddr, per_address: usize) -> Option<Self> {
        let mut taken = places.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = taken.values().sum();
        let mine = taken.get(&address).copied().unwrap_or_default();
        if total >= CONNECTIONS || mine >= per_address {
            return None;
        }
        taken.insert(address, mine + 1);
        Some(Self { places: places.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let places = Arc::new(Places::default());
        let address = IpAddr::from([127, 0, 0, 1]);
        let first = Place::take(&places, address, 2).expect("free");
        let _second = Place::take(&places, address, 2).expect("free");
        assert!(Place::take(&places, address, 2).is_none());
        assert!(Place::take(&places, IpAddr::from([127, 0, 0, 2]), 2).is_some());
        drop(first);
        assert!(Place::take(&places, address, 2).is_some());
    }
}
