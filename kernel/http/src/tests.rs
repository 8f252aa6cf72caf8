//! The whole way of a request, over real connections, to the handlers of a toy.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::stream;
use hyper::Method;
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::parameter::{Number, Parameter, Required, Text};
use super::*;
use prx_base::clock::Clock;
use prx_base::config::{self, Config};
use prx_base::error::Error;
use prx_store::Store;

mod lifecycle;

/// What the toy's handlers share.
#[derive(Default)]
struct Toy {
    made: AtomicU32,
    entered: Notify,
    leave: Notify,
}

const WORD: Parameter<Required<Text>> = Parameter::new("word", Text, "what is said").required();
const TIMES: Parameter<Number> =
    Parameter::new("times", Number { min: 1, max: 3, default: 1 }, "how often it is said");

fn table() -> Vec<Route<Toy>> {
    let (reads, writes) = (Access::Scope(Scope::SESSIONS_READ), Access::Scope(Scope::SESSIONS_WRITE));
    vec![
        Route::new(Method::GET, "/health", Access::Public, async |_, _| Reply::ok(&json!({"healthy": true}))),
        Route::new(Method::GET, "/echo/{word}", reads, async |_, call: Call| {
            Reply::ok(&json!({"word": call.param("word"), "times": call.query.get(&TIMES)?}))
        }),
        Route::new(Method::POST, "/echo", writes, async |_, mut call: Call| {
            let mut fields = call.body.object().await?;
            Reply::created(&json!({"word": fields.get(&WORD)?}))
        }),
        Route::new(Method::POST, "/things/{kind}", writes, async |toy: Arc<Toy>, mut call: Call| {
            if call.param("kind") != "unread" {
                call.body.object().await?.get(&WORD)?;
            }
            let reply = Reply::created(&json!({"number": toy.made.fetch_add(1, Ordering::Relaxed)}))?;
            Ok(if call.param("kind") == "secret" { reply.holding_secret() } else { reply })
        }),
        Route::new(Method::GET, "/panic", Access::Public, async |_, _| panic!("a defect")),
        Route::new(Method::GET, "/broken", Access::Public, async |_, _| Err(Error::internal("secret cause"))),
        Route::new(Method::GET, "/stream", Access::Public, async |_, _| {
            let events = ["one", "two"].map(|word| sse::Event::new("word", &json!(word)));
            Ok(Reply::events(stream::iter(events), Clock::system()))
        }),
        Route::new(Method::GET, "/endless", reads, async |toy: Arc<Toy>, _| {
            toy.entered.notify_one();
            Ok(Reply::events(stream::pending(), Clock::system()))
        }),
        Route::new(Method::GET, "/slow", Access::Public, async |toy: Arc<Toy>, _| {
            toy.entered.notify_one();
            toy.leave.notified().await;
            Ok(Reply::no_content())
        }),
    ]
}

struct Gateway {
    address: String,
    toy: Arc<Toy>,
    pipeline: Arc<Pipeline<Toy>>,
    store: Store,
    home: TempDir,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Gateway {
    async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(Clock::system(), change).await
    }

    async fn start_at(clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let gateway = Self::starting(clock, change).await;
        gateway.ready();
        gateway
    }

    /// One that listens, and is not ready.
    async fn starting(clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let store = Store::open(home.path(), clock.clone()).expect("an empty store");
        let mut config = Config::default();
        config.gateway.port = 0;
        config.gateway.max_body_bytes = 1000;
        config.gateway.cors_origins = vec!["https://app.example.com".into()];
        change(&mut config);
        let network = Network::bind(&config.gateway).await.expect("bound");
        let owner = OwnerSocket::bind(home.path()).expect("bound");
        let address = network.listeners[0].local_addr().expect("bound").to_string();
        let pipeline = Arc::new(Pipeline::new(config::Live::new(config), clock, Traffic::default()));
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(network, owner, pipeline.clone(), async { drop(stopped.await) }));
        Self { address, toy: Arc::default(), pipeline, store, home, stop: Some(stop), serving }
    }

    fn ready(&self) {
        let router = Router::new(table()).expect("a sound table");
        self.pipeline.ready(self.toy.clone(), router, self.store.clone());
    }

    async fn token(&self, scopes: &[Scope]) -> String {
        let new = NewToken { name: "test".into(), scopes: scopes.to_vec(), expires_in: None };
        mint(&self.store, &Clock::system(), new).await.expect("a token").token
    }

    /// Sends a request as written, but for the `Host` and `Connection` headers, and returns the answer as it came,
    /// but for the `Date`.
    async fn send(&self, request: &str) -> String {
        let stream = TcpStream::connect(&self.address).await.expect("connected");
        exchange(stream, request).await
    }

    async fn get(&self, path: &str, token: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\n\r\n")).await
    }

    /// Sends less of a body than the request promises.
    async fn send_part(&self, token: &str, length: usize, part: &str) -> String {
        let head = format!("POST /echo HTTP/1.1\r\nauthorization: Bearer {token}\r\n");
        self.send(&format!("{head}content-length: {length}\r\n\r\n{part}")).await
    }

    async fn post(&self, token: &str, headers: &str, body: &str) -> String {
        self.post_to("/echo", token, headers, body).await
    }

    async fn post_to(&self, path: &str, token: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\n{headers}");
        self.send(&format!("{head}content-length: {length}\r\n\r\n{body}")).await
    }
}

async fn exchange(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, request: &str) -> String {
    let (line, rest) = request.split_once("\r\n").expect("a request line");
    let host = if rest.contains("host:") { "" } else { "host: localhost\r\n" };
    let request = format!("{line}\r\n{host}connection: close\r\n{rest}");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer.lines().filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\n")
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).expect("a status")
}

fn body(answer: &str) -> &str {
    answer.split_once("\n\n").map_or("", |(_, body)| body)
}

fn without_id(answer: &str) -> String {
    let mask = |line: &str| match line.split_once(": ") {
        Some(("x-request-id", id)) if id.len() == 30 => "x-request-id: req_…".to_owned(),
        Some((name @ "x-ratelimit-reset", second)) if second.len() == 10 => format!("{name}: …"),
        // A bucket fills up between two requests, or does not.
        Some((name @ "x-ratelimit-remaining", "28" | "29")) => format!("{name}: 28 or 29"),
        _ => line.to_owned(),
    };
    answer.lines().map(mask).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn an_answer_is_json_with_a_request_id() {
    let gateway = Gateway::start().await;
    insta::assert_snapshot!(without_id(&gateway.send("GET /health HTTP/1.1\r\n\r\n").await), @r#"
    HTTP/1.1 200 OK
    content-type: application/json
    cache-control: no-store
    x-content-type-options: nosniff
    x-request-id: req_…
    x-ratelimit-limit: 30
    x-ratelimit-remaining: 28 or 29
    x-ratelimit-reset: …
    connection: close
    content-length: 16

    {"healthy":true}
    "#);
}

#[tokio::test]
async fn errors_come_in_the_one_envelope() {
    let gateway = Gateway::start().await;
    let token = gateway.token(&[Scope::LOGS_READ]).await;
    let missing = gateway.get("/nowhere", &token).await;
    insta::assert_snapshot!(without_id(&missing), @r#"
    HTTP/1.1 404 Not Found
    content-type: application/json
    cache-control: no-store
    x-content-type-options: nosniff
    x-request-id: req_…
    x-ratelimit-limit: 30
    x-ratelimit-remaining: 28 or 29
    x-ratelimit-reset: …
    connection: close
    content-length: 80

    {"error":{"code":"not_found","message":"There is no such route","details":null}}
    "#);
    let bearer = format!("authorization: Bearer {token}\r\n");
    let method = gateway.send(&format!("DELETE /echo HTTP/1.1\r\n{bearer}\r\n")).await;
    insta::assert_snapshot!(without_id(&method), @r#"
    HTTP/1.1 405 Method Not Allowed
    content-type: application/json
    cache-control: no-store
    x-content-type-options: nosniff
    allow: POST
    x-request-id: req_…
    x-ratelimit-limit: 30
    x-ratelimit-remaining: 28 or 29
    x-ratelimit-reset: …
    connection: close
    content-length: 103

    {"error":{"code":"method_not_allowed","message":"DELETE is not a method of this route","details":null}}
    "#);
    let anonymous = gateway.send("GET /echo/a HTTP/1.1\r\n\r\n").await;
    insta::assert_snapshot!(without_id(&anonymous), @r#"
    HTTP/1.1 401 Unauthorized
    content-type: application/json
    cache-control: no-store
    x-content-type-options: nosniff
    www-authenticate: Bearer
    x-request-id: req_…
    x-ratelimit-limit: 30
    x-ratelimit-remaining: 28 or 29
    x-ratelimit-reset: …
    connection: close
    content-length: 113

    {"error":{"code":"unauthorized","message":"A bearer token is needed; `prx auth token` makes one","details":null}}
    "#);
}

#[tokio::test]
async fn without_a_token_nothing_is_told() {
    let gateway = Gateway::start().await;
    for request in ["GET /echo/a", "POST /echo", "DELETE /echo", "OPTIONS /echo", "GET /nowhere", "GET /"] {
        let answer = gateway.send(&format!("{request} HTTP/1.1\r\n\r\n")).await;
        assert_eq!(status(&answer), "401", "{request}");
    }
}

#[tokio::test]
async fn a_token_opens_what_its_scopes_say() {
    let gateway = Gateway::start().await;
    let reader = gateway.token(&[Scope::SESSIONS_READ]).await;
    assert_eq!(body(&gateway.get("/echo/a%20b?times=2", &reader).await), r#"{"times":2,"word":"a b"}"#);
    let refused = gateway.post(&reader, "", "{}").await;
    assert_eq!(status(&refused), "403");
    assert!(body(&refused).contains("The token lacks the scope sessions:write"), "{refused}");
    let admin = gateway.token(&[Scope::ADMIN]).await;
    assert_eq!(status(&gateway.post(&admin, "", r#"{"word":"a"}"#).await), "201");
    assert_eq!(status(&gateway.get("/echo/a", &format!("{admin}x")).await), "401");
}

#[tokio::test]
async fn the_socket_is_the_owners() {
    let gateway = Gateway::start().await;
    let socket = |home: &Path| UnixStream::connect(home.join("prx.sock"));
    let stream = socket(gateway.home.path()).await.expect("connected");
    let answer = exchange(stream, "GET /echo/a HTTP/1.1\r\nhost: anything\r\n\r\n").await;
    assert_eq!(status(&answer), "200");
}

#[tokio::test]
async fn a_bad_body_says_what_is_wrong_with_it() {
    let gateway = Gateway::start().await;
    let token = gateway.token(&[Scope::ADMIN]).await;
    let json = "content-type: application/json\r\n";
    for (headers, sent, expected) in [
        (
            json,
            "{\"word\": \n",
            ("400", "The body is not JSON: EOF while parsing a value at line 2 column 0"),
        ),
        (json, "", ("400", "The body is empty; it must be a JSON object")),
        (json, "[]", ("400", "The body must be a JSON object, not a list")),
        (json, "{\"word\": 5}", ("400", "`word` must be a string, not a number")),
        (json, "{}", ("400", "`word` is missing; it must be a string")),
        ("content-type: text/plain\r\n", "{}", ("415", "The body must be application/json, not text/plain")),
        (json, &"x".repeat(1001), ("413", "The body is larger than 1000 bytes")),
    ] {
        let answer = gateway.post(&token, headers, sent).await;
        assert_eq!(status(&answer), expected.0, "{answer}");
        assert!(body(&answer).contains(expected.1), "{answer}");
    }
}

#[tokio::test]
async fn a_sender_of_far_too_much_reads_why() {
    let gateway = Gateway::start().await;
    let token = gateway.token(&[Scope::ADMIN]).await;
    let answer = gateway.post(&token, "", &"x".repeat(8 << 20)).await;
    assert_eq!(status(&answer), "413");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let clock = Clock::manual(Timestamp::UNIX_EPOCH);
    let gateway = Gateway::start_at(clock.clone(), |_| ()).await;
    let token = gateway.token(&[Scope::ADMIN]).await;
    let sending = gateway.send_part(&token, 100, "{");
    let passing = async {
        loop {
            clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let answer = tokio::select! {
        answer = sending => answer,
        () = passing => unreachable!("time passes for ever"),
    };
    assert_eq!(status(&answer), "408", "{answer}");
    assert!(body(&answer).contains("within 30 seconds"), "{answer}");
}

#[tokio::test]
async fn a_defect_costs_one_request() {
    let gateway = Gateway::start().await;
    for path in ["/panic", "/broken"] {
        let answer = gateway.send(&format!("GET {path} HTTP/1.1\r\n\r\n")).await;
        assert_eq!(status(&answer), "500", "{answer}");
        assert!(body(&answer).contains(r#""code":"internal_error""#), "{answer}");
        assert!(!answer.contains("secret cause") && !answer.contains("a defect"), "{answer}");
    }
    assert_eq!(status(&gateway.send("GET /health HTTP/1.1\r\n\r\n").await), "200");
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let gateway = Gateway::start().await;
    let answer = gateway.send("HEAD /health HTTP/1.1\r\n\r\n").await;
    assert!(answer.contains("content-length: 16") && body(&answer).is_empty(), "{answer}");
}

#[tokio::test]
async fn events_are_streamed() {
    let gateway = Gateway::start().await;
    let answer = gateway.send("GET /stream HTTP/1.1\r\n\r\n").await;
    assert!(answer.contains("content-type: text/event-stream"), "{answer}");
    assert!(answer.contains("event: word\ndata: \"one\"\n") && answer.contains("data: \"two\""), "{answer}");
}

#[tokio::test]
async fn foreign_hosts_and_pages_are_kept_out() {
    let gateway = Gateway::start().await;
    let rebound = gateway.send("GET /health HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    assert_eq!(status(&rebound), "403");
    assert!(body(&rebound).contains("gateway.allowed_hosts"), "{rebound}");
    let foreign = gateway.send("GET /health HTTP/1.1\r\norigin: https://evil.example\r\n\r\n").await;
    assert_eq!(status(&foreign), "403");
}

#[tokio::test]
async fn a_named_origin_may_ask_and_read() {
    let gateway = Gateway::start().await;
    let origin = "origin: https://app.example.com\r\n";
    let answer = gateway.send(&format!("GET /health HTTP/1.1\r\n{origin}\r\n")).await;
    assert!(answer.contains("access-control-allow-origin: https://app.example.com"), "{answer}");
    let ask = format!("OPTIONS /echo HTTP/1.1\r\n{origin}access-control-request-method: POST\r\n\r\n");
    let answer = gateway.send(&ask).await;
    assert_eq!(status(&answer), "204");
    assert!(answer.contains("access-control-allow-methods: POST"), "{answer}");
    let ask = ask.replace("app.", "evil.");
    assert_eq!(status(&gateway.send(&ask).await), "403");
}

#[tokio::test]
async fn a_length_given_twice_smuggles_nothing() {
    let gateway = Gateway::start().await;
    let token = gateway.token(&[Scope::ADMIN]).await;
    let mut stream = TcpStream::connect(&gateway.address).await.expect("connected");
    let request = format!(
        "POST /echo HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-length: 60\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered and closed");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[tokio::test]
async fn what_is_asked_again_is_done_once() {
    let gateway = Gateway::start_with(|config| config.rate_limits.enabled = false).await;
    let (one, two) = (gateway.token(&[Scope::ADMIN]).await, gateway.token(&[Scope::ADMIN]).await);
    let asked = async |token: &str, path: &str, key: &str, sent: &str| {
        let key = format!("idempotency-key: {key}\r\n");
        let answer = gateway.post_to(&format!("/things/{path}"), token, &key, sent).await;
        format!("{} {}", status(&answer), body(&answer))
    };
    let word = r#"{"word":"a"}"#;
    assert_eq!(asked(&one, "x", "k", "{}").await.split(' ').next(), Some("400"));
    for (token, path, key, sent, number) in [
        (&one, "x", "k", word, 0),
        (&one, "x", "k", word, 0),
        (&two, "x", "k", word, 1),
        (&one, "x", "l", word, 2),
        (&one, "unread", "m", "anything", 3),
        (&one, "unread", "m", "else", 3),
        (&one, "secret", "n", word, 4),
    ] {
        assert_eq!(asked(token, path, key, sent).await, format!(r#"201 {{"number":{number}}}"#));
    }
    for (path, key, sent, problem) in [
        ("x", "k", r#"{"word":"b"}"#, "409 came with another request before"),
        ("y", "k", word, "409 came with another request before"),
        ("secret", "n", word, "409 its answer is not kept"),
        ("x", "", word, "400 `Idempotency-Key` must be 1 to 255 characters"),
    ] {
        let (code, message) = problem.split_once(' ').expect("a code and a message");
        let answer = asked(&one, path, key, sent).await;
        assert!(answer.starts_with(code) && answer.contains(message), "{answer}");
    }
}

#[tokio::test]
async fn tls_is_spoken_where_there_is_a_certificate() {
    let files = tempfile::tempdir().expect("a directory");
    let made = tls::tests::made(&["localhost"]);
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    fs::write(&cert, &made.cert_pem).expect("written");
    fs::write(&key, &made.key_pem).expect("written");
    let gateway = Gateway::start_with(|config| {
        config.gateway.host = "0.0.0.0".into();
        config.gateway.tls_cert = cert.to_string_lossy().into_owned();
        config.gateway.tls_key = key.to_string_lossy().into_owned();
    })
    .await;
    let mut roots = RootCertStore::empty();
    roots.add(made.der).expect("a certificate");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let port = gateway.address.rsplit(':').next().expect("a port");
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("encrypted");
    assert_eq!(status(&exchange(stream, "GET /health HTTP/1.1\r\n\r\n").await), "200");
}
