//! The way out, against real servers on loopback.

mod bounds;
mod connections;
mod encodings;
mod proxies;
mod redirects;
mod refusals;
mod secrets;
mod tls;
mod websockets;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Method;
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use prx_base::clock::Clock;
use prx_base::config::Secret;

/// A server that plays `talk` on each connection.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn raw<T, F>(talk: T) -> Self
    where
        T: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(talk(stream));
            }
        });
        Self { address, connections, seen: Arc::default() }
    }

    /// Answers every request with what `answer` makes of it, and remembers the request.
    async fn http(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let record = seen.clone();
        let server = Self::raw(move |mut stream| {
            let (answer, record) = (answer.clone(), record.clone());
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    record.lock().unwrap().push(request.clone());
                    if stream.write_all(answer(&request).as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { seen, ..server.await }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Head and body of the next request; its body must have a length.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = read_head(stream).await?;
    let length = request.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    request.push_str(std::str::from_utf8(&body).unwrap());
    Some(request)
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn egress() -> Egress {
    Egress::new(Clock::system())
}

/// Resolves every name to loopback.
fn inside() -> Resolver {
    Resolver::Fixed(Arc::new(|_| vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]))
}

/// The operator named these servers himself, and grants one secret.
fn policy(servers: &[&Server]) -> Policy {
    Policy::new(named(servers), [("token".to_owned(), Secret::new("s3cr3t/+token"))].into_iter().collect())
}

fn without_secrets(servers: &[&Server]) -> Policy {
    Policy::new(named(servers), Secrets::default())
}

fn named(servers: &[&Server]) -> Vec<Allowed> {
    let origin = |server: &&Server| Origin::of_url(&server.url("/")).unwrap();
    servers.iter().map(|server| Allowed { origin: origin(server).into(), private: true }).collect()
}

fn text(text: impl Into<String>) -> Segment {
    Segment::Text(text.into())
}

fn token() -> Segment {
    Segment::Secret("token".to_owned())
}

fn get(url: impl Into<String>) -> Request {
    Request {
        method: Method::GET,
        url: vec![text(url)],
        headers: Vec::new(),
        body: Body::default(),
        timeouts: Timeouts::default(),
        max_body: 1 << 20,
        redirects: 0,
    }
}

async fn fetch(egress: &Egress, policy: &Policy, request: Request) -> Result<String, Failure> {
    let body = egress.send(policy, request).await?.collect().await?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

async fn refusal(policy: &Policy, request: Request) -> Failure {
    egress().send(policy, request).await.expect_err("the request was let out")
}
