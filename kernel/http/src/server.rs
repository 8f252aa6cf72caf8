//! Connections: accepted within limits, served, and closed at a graceful shutdown.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::connections::{Connections, Limits, Permit};
use super::listen::{Network, OwnerSocket};
use super::pipeline::{Peer, Pipeline};
use super::wire::{Answer, Exchange, Patience, Wire};
use super::write_timeout::WriteTimeout;

/// How long the head of a request may take, also the first one of a connection: 10 seconds.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The same in the reserve for health probes: 2 seconds.
const RESERVED_HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// The share of `gateway.stop_secs` that requests in flight may take once the gateway shuts down.
const DRAIN_SHARE: f64 = 0.85;
/// How often the last use of each token is written down: every 30 seconds.
const TOKEN_USE_INTERVAL: Duration = Duration::from_secs(30);
/// How many connections have to be closed since then for their memory to be given back to the system.
const CLOSED_TO_TRIM: usize = 256;
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
    let mut most_open = 0;
    loop {
        most_open = most_open.max(pipeline.traffic.connections());
        tokio::select! {
            () = &mut stop => break,
            accepted = network.accept() => match accepted {
                Ok(stream) => {
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
                let now_open = pipeline.traffic.connections();
                if most_open >= now_open + CLOSED_TO_TRIM {
                    tokio::task::spawn_blocking(prx_base::heap::trim);
                }
                most_open = now_open;
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
    let address = remote.ip();
    let limits = Limits::of(&pipeline.config().gateway);
    let permit = Permit::acquire(&connections, address, limits);
    let reserved = matches!(permit, Permit::Health(_));
    let peer = Peer::Network { local, remote: address, reserved };
    let serving = serve_stream(pipeline, peer, tls, stream);
    match &permit {
        Permit::Any(_) => serving.await,
        Permit::Health(place) => {
            tracing::debug!(%address, "too many connections");
            place.evicted.run_until_cancelled(serving).await.unwrap_or_default();
        }
    }
}

/// Serves a connection from the network, in TLS where that is spoken.
async fn serve_stream<S>(pipeline: Arc<Pipeline<S>>, peer: Peer, tls: Option<TlsAcceptor>, stream: TcpStream)
where
    S: Send + Sync + 'static,
{
    // Small answers should not wait for each other's acknowledgement; without this they are only slower.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return serve_connection(pipeline, peer, stream).await };
    let encrypted = tokio::select! {
        encrypted = tls.accept(stream) => encrypted,
        () = pipeline.clock().sleep(head_timeout(peer)) => Err(ErrorKind::TimedOut.into()),
        () = pipeline.shutdown.cancelled() => return,
    };
    match encrypted {
        Ok(stream) => serve_connection(pipeline, peer, stream).await,
        Err(error) => tracing::debug!(?peer, %error, "a connection did not come to speak TLS"),
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
    let idle = Duration::from_secs(pipeline.config().gateway.idle_secs);
    let (patience, exchange) = (Patience { head: head_timeout(peer), idle }, Exchange::default());
    let refusing = pipeline.clone();
    let refuse = Box::new(move |status| refusing.refuse_head(peer, status));
    let stream = WriteTimeout::new(stream, clock.clone());
    let stream = TokioIo::new(Wire::new(stream, exchange.clone(), patience, clock.clone(), refuse));
    let service = service_fn(|request| {
        let (pipeline, exchange) = (&pipeline, exchange.clone());
        async move {
            // Many requests in one packet are no reason for everyone else to wait.
            if exchange.is_pipelined() {
                tokio::task::yield_now().await;
            }
            let answer = pipeline.answer(peer, &exchange, request).await;
            Ok::<_, Infallible>(answer.map(|body| Answer::new(body, exchange)))
        }
    });
    let connection = http1::Builder::new().max_header_size(MAX_HEAD_BYTES).serve_connection(stream, service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = pipeline.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = clock.sleep(pipeline.config().gateway.stop_share(DRAIN_SHARE)) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// How long a peer may take to send the head of a request.
fn head_timeout(peer: Peer) -> Duration {
    match peer {
        Peer::Network { reserved: true, .. } => RESERVED_HEAD_TIMEOUT,
        _ => HEAD_TIMEOUT,
    }
}
