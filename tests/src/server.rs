//! A small HTTP server on loopback that the fake services stand on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// The server's end of a WebSocket.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What a service does with a request.
pub(crate) enum Reply {
    /// Answers it.
    Json(u16, String),
    /// Answers it with these headers in addition.
    Headed(u16, Vec<(&'static str, String)>, String),
    /// Answers it piece by piece; an error closes the connection.
    Stream(Vec<(&'static str, String)>, mpsc::Receiver<io::Result<Bytes>>),
    /// Closes the connection without a word.
    Drop,
}

/// A fake service. A request whose client goes away is dropped with its connection.
pub(crate) trait Service: Send + Sync + 'static {
    fn answer(&self, request: Request<Bytes>) -> impl Future<Output = Reply> + Send;

    /// Speaks over a WebSocket that a client opened at this path and query. By default nobody answers there.
    fn talk(&self, at: String, socket: Socket) -> impl Future<Output = ()> + Send {
        let _ = (at, socket);
        async {}
    }
}

/// A running server; it and its connections end when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start<S: Service>(service: Arc<S>) -> Self {
        Self::start_at(0, service).await
    }

    /// On a port of the caller's choice; 0 is any free one.
    pub(crate) async fn start_at<S: Service>(port: u16, service: Arc<S>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port on loopback");
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Relaxed);
                // As vendors' servers do: a token that waits for the one before to be confirmed measures nothing of ours.
                stream.set_nodelay(true).unwrap();
                connections.spawn(converse(stream, Arc::clone(&service)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, accepted, accepting }
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.accepted.load(Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn converse<S: Service>(stream: TcpStream, service: Arc<S>) {
    let (upgrades, mut upgraded) = mpsc::unbounded_channel();
    let replying = Arc::clone(&service);
    let conversation = service_fn(move |request| reply(Arc::clone(&replying), upgrades.clone(), request));
    // An error here is a client that went away or a connection dropped on purpose.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), conversation)
        .with_upgrades()
        .await;
    if let Ok((at, upgrade)) = upgraded.try_recv()
        && let Ok(io) = upgrade.await
    {
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, None).await;
        service.talk(at, socket).await;
    }
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

async fn reply<S: Service>(
    service: Arc<S>,
    upgrades: mpsc::UnboundedSender<(String, OnUpgrade)>,
    mut request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    if let Some(key) = request.headers().get("sec-websocket-key").map(|key| derive_accept_key(key.as_bytes()))
    {
        let _ = upgrades.send((request.uri().to_string(), hyper::upgrade::on(&mut request)));
        let response = Response::builder().status(101).header("upgrade", "websocket");
        let response = response.header("connection", "upgrade").header("sec-websocket-accept", key);
        return response.body(whole(String::new())).map_err(io::Error::other);
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let (status, headers, body) = match service.answer(Request::from_parts(head, body)).await {
        Reply::Json(status, text) => (status, Vec::new(), whole(text)),
        Reply::Headed(status, headers, text) => (status, headers, whole(text)),
        Reply::Stream(headers, mut pieces) => {
            let frames = stream::poll_fn(move |cx| pieces.poll_recv(cx).map(|piece| piece.map(framed)));
            (200, headers, StreamBody::new(frames).boxed_unsync())
        }
        Reply::Drop => return Err(io::ErrorKind::ConnectionAborted.into()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::try_from(value).map_err(io::Error::other)?);
    }
    Ok(response)
}

fn whole(text: String) -> Body {
    Full::from(text).map_err(|never| match never {}).boxed_unsync()
}

fn framed(piece: io::Result<Bytes>) -> io::Result<Frame<Bytes>> {
    piece.map(Frame::data)
}
