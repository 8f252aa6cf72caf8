//! Connections: accepted within limits, served, and closed at a graceful shutdown.

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

use super::listen::{Network, OwnerSocket};
use super::payload::Envelope;
use super::pipeline::{Peer, Pipeline};
use super::write_timeout::WriteTimeout;
use prx_base::error::{Code, Error};

/// How long the head of a request may take, and how long a connection may be idle: 10 seconds.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// Connections from the network that may be open at a time.
const MAX_CONNECTIONS: usize = 4096;
/// Those of one address. Behind a proxy everyone has the proxy's.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 2048;
/// How long requests in flight may take once the gateway shuts down: 8 seconds. Supervisors tend to kill after 10.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
/// How often the last use of each token is written down: every 30 seconds.
const TOKEN_USE_INTERVAL: Duration = Duration::from_secs(30);
/// The backoff after a connection could not be accepted, as when there are no more file handles: 100 milliseconds.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Serves connections until `stop` ends, then shuts down gracefully: takes no new ones and lets requests in flight finish,
/// within a timeout.
pub async fn serve<S>(
    network: Network,
    mut owner: OwnerSocket,
    pipeline: Arc<Pipeline<S>>,
    stop: impl Future<Output = ()>,
) where
    S: Send + Sync + 'static,
{
    let open = Arc::new(Connections::default());
    let tasks = TaskTracker::new();
    let mut stop = pin!(stop);
    let mut uses = Box::pin(pipeline.clock().sleep(TOKEN_USE_INTERVAL));
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = network.listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tasks.spawn(serve_network(pipeline.clone(), open.clone(), network.tls.clone(), stream));
                }
                Err(error) => back_off(&pipeline, &error).await,
            },
            accepted = owner.accept() => match accepted {
                Ok((stream, _)) => {
                    tasks.spawn(serve_connection(pipeline.clone(), Peer::Owner, stream));
                }
                Err(error) => back_off(&pipeline, &error).await,
            },
            () = &mut uses => {
                uses = Box::pin(pipeline.clock().sleep(TOKEN_USE_INTERVAL));
                let pipeline = pipeline.clone();
                tokio::spawn(async move { pipeline.write_token_uses().await });
            }
        }
    }
    drop((network, owner));
    pipeline.shutdown.cancel();
    tasks.close();
    tasks.wait().await;
    pipeline.write_token_uses().await;
}

/// Waits before the next connection is accepted.
async fn back_off<S: Send + Sync + 'static>(pipeline: &Pipeline<S>, error: &std::io::Error) {
    tracing::warn!(%error, "could not accept a connection");
    pipeline.clock().sleep(ACCEPT_BACKOFF).await;
}

/// Serves a connection from the network, if there may be one more.
async fn serve_network<S>(
    pipeline: Arc<Pipeline<S>>,
    connections: Arc<Connections>,
    tls: Option<TlsAcceptor>,
    stream: TcpStream,
) where
    S: Send + Sync + 'static,
{
    let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else { return };
    let (peer, address) = (Peer::Network { local, remote: remote.ip() }, remote.ip());
    let per_address =
        if pipeline.config().gateway.behind_proxy { MAX_CONNECTIONS } else { MAX_CONNECTIONS_PER_ADDRESS };
    let Some(_permit) = Permit::acquire(&connections, address, per_address) else {
        tracing::debug!(%address, "too many connections");
        if tls.is_none() {
            reject(stream).await;
        }
        return;
    };
    // Small answers should not wait for each other's acknowledgement; without this they are only slower.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return serve_connection(pipeline, peer, stream).await };
    let encrypted = tokio::select! {
        encrypted = tls.accept(stream) => encrypted,
        () = pipeline.clock().sleep(HEAD_TIMEOUT) => Err(ErrorKind::TimedOut.into()),
        () = pipeline.shutdown.cancelled() => return,
    };
    match encrypted {
        Ok(stream) => serve_connection(pipeline, peer, stream).await,
        Err(error) => tracing::debug!(%address, %error, "a connection did not come to speak TLS"),
    }
}

/// Serves the requests of one connection.
async fn serve_connection<S, T>(pipeline: Arc<Pipeline<S>>, peer: Peer, stream: T)
where
    S: Send + Sync + 'static,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let _open = pipeline.traffic.open();
    let clock = pipeline.clock().clone();
    let stream = TokioIo::new(WriteTimeout::new(stream, clock.clone()));
    let service = service_fn(|request| async { Ok::<_, Infallible>(pipeline.answer(peer, request).await) });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(MAX_HEAD_BYTES)
        .serve_connection(stream, service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = pipeline.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = clock.sleep(DRAIN_TIMEOUT) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn reject(mut stream: TcpStream) {
    let error = Error::new(Code::Unavailable, "Too many connections; try again later");
    let body = Envelope::from(&error).to_string();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // The client may have left already.
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// How many connections are open from each address. The lock is held to count, never across a wait.
#[derive(Debug, Default)]
struct Connections(Mutex<HashMap<IpAddr, usize>>);

/// Lets one connection be open, until it is dropped.
#[derive(Debug)]
struct Permit {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Permit {
    /// A permit for one more connection from this address; none where there are too many.
    fn acquire(connections: &Arc<Connections>, address: IpAddr, per_address: usize) -> Option<Self> {
        let mut open = connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = open.values().sum();
        let here = open.get(&address).copied().unwrap_or_default();
        if total >= MAX_CONNECTIONS || here >= per_address {
            return None;
        }
        open.insert(address, here + 1);
        Some(Self { connections: connections.clone(), address })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_given_back() {
        let connections = Arc::new(Connections::default());
        let address = IpAddr::from([127, 0, 0, 1]);
        let first = Permit::acquire(&connections, address, 2).expect("free");
        let _second = Permit::acquire(&connections, address, 2).expect("free");
        assert!(Permit::acquire(&connections, address, 2).is_none());
        assert!(Permit::acquire(&connections, IpAddr::from([127, 0, 0, 2]), 2).is_some());
        drop(first);
        assert!(Permit::acquire(&connections, address, 2).is_some());
    }
}
