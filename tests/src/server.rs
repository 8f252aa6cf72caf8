//! A small HTTP server on loopback that the fake services stand on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What a service does with a request.
pub(crate) enum Reply {
    /// Answers it.
    Json(u16, String),
    /// Answers it with these headers in addition.
    Headed(u16, Vec<(&'static str, String)>, String),
    /// Closes the connection without a word.
    Drop,
}

/// A fake service. A request whose client goes away is dropped with its connection.
pub(crate) trait Service: Send + Sync + 'static {
    fn answer(&self, request: Request<Bytes>) -> impl Future<Output = Reply> + Send;
}

/// A running server; it and its connections end when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
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
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, Arc::clone(&service)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, accepting }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn converse<S: Service>(stream: TcpStream, service: Arc<S>) {
    let conversation = service_fn(move |request| reply(Arc::clone(&service), request));
    // An error here is a client that went away or a connection dropped on purpose.
    let _ =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), conversation).await;
}

async fn reply<S: Service>(service: Arc<S>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let (status, headers, text) = match service.answer(Request::from_parts(head, body)).await {
        Reply::Json(status, text) => (status, Vec::new(), text),
        Reply::Headed(status, headers, text) => (status, headers, text),
        Reply::Drop => return Err(io::ErrorKind::ConnectionAborted.into()),
    };
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Full::from(text)).map_err(io::Error::other)
}
