//! What those who run the gateway rely on: probes, metrics, request ids and deadlines.
use std::collections::{BTreeSet, HashSet};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Method;
use prx_tests::client::Answer;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::scripted;
use prx_tests::wait::until;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

async fn get(gateway: &Gateway, path: &str) -> Answer {
    let client = gateway.client();
    client.send(client.bare(Method::GET, path), Bytes::new()).await
}

/// `prx serve`, started by a shell that sets a limit first.
fn limited(home: &Home, limit: &str) -> Command {
    let serve = home.command(&["serve", "--port", "0"]);
    let mut command = home.plain::<&str>(&[]);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("trap '' XFSZ; ulimit {limit}; exec \"$0\" \"$@\""));
    shell.arg(serve.get_program()).args(serve.get_args()).current_dir(home.path());
    for (name, value) in command.env("LC_ALL", "C").get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[tokio::test]
async fn probes_need_no_token_and_metrics_do() {
    let gateway = Gateway::start("").await;
    let stranger = gateway.client().with_token(None);
    for (path, said) in [
        ("/livez", json!({"live": true})),
        ("/readyz", json!({"ready": true})),
        ("/api/v1/status/health", json!({"healthy": true})),
    ] {
        let answer = stranger.send(stranger.bare(Method::GET, path), Bytes::new()).await;
        assert_eq!(answer.expect(200), said);
    }
    let refused = stranger.send(stranger.bare(Method::GET, "/metrics"), Bytes::new()).await;
    refused.error(401, "unauthorized");
}

#[tokio::test]
async fn metrics_are_what_prometheus_reads_and_count_what_happens() {
    let gateway = Gateway::start("").await;
    gateway.open_session("ada").await;
    let page = async || {
        let answer = get(&gateway, "/metrics").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    let first = page().await;
    let (mut described, mut samples) = (BTreeSet::new(), HashSet::new());
    for line in first.lines() {
        if let Some(about) = line.strip_prefix("# ") {
            let (kind, rest) = about.split_once(' ').unwrap();
            let (name, text) = rest.split_once(' ').unwrap();
            let types = ["counter", "gauge", "histogram"];
            assert!(kind == "HELP" || (kind == "TYPE" && types.contains(&text)), "{line}");
            let parts: &[&str] = if text == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            described.extend(parts.iter().map(|part| format!("{name}{part}")));
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(described.contains(sample.split('{').next().unwrap()), "{line} follows its description");
            assert!(samples.insert(sample.to_owned()), "{line} is there once");
        }
    }
    let value = |page: &str, sample: &str| {
        let found = page.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse::<u64>().ok());
        found.unwrap_or_default()
    };
    let created = "prx_http_requests_total{method=\"POST\",route=\"/api/v1/sessions\",status=\"201\"}";
    assert_eq!((value(&first, created), value(&first, "prx_sessions_active")), (1, 1), "{first}");
    assert_eq!(value(&first, "prx_events_total{type=\"session.created\"}"), 1);
    let session = gateway.open_session("ada").await;
    gateway.client().delete(&format!("/sessions/{session}")).await.expect(204);
    let second = page().await;
    assert_eq!((value(&second, created), value(&second, "prx_sessions_active")), (2, 1), "{second}");
    assert!(!second.contains(&session), "what anyone can make up is no label");
}

#[tokio::test]
async fn every_request_has_an_id_and_a_line_in_the_log() {
    // Probes have theirs at `debug`.
    let gateway = Gateway::start("[logs]\nlevel = \"debug\"\n").await;
    let client = gateway.client();
    let mut ids = HashSet::new();
    for (path, route, status) in [
        ("/api/v1/status", "/api/v1/status", "200"),
        ("/api/v1/sessions/sess_none", "/api/v1/sessions/{id}", "404"),
        ("/nowhere", "-", "404"),
        ("/livez", "/livez", "200"),
    ] {
        let answer = client.send(client.bare(Method::GET, path), Bytes::new()).await;
        let id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
        let line = [format!("route={route:?} "), format!("status={status} "), format!("request_id={id:?}")];
        let words: Vec<&str> = line.iter().map(String::as_str).chain(["method=GET", " ms="]).collect();
        until("its line", async || gateway.output().says(&words).then_some(())).await;
        assert!(ids.insert(id), "each id is another");
    }
}

#[tokio::test]
async fn what_is_sent_twice_with_a_key_is_done_once() {
    let home = Home::new("");
    let token = home.run(&["auth", "token"]).await.stdout;
    let mut gateway = Gateway::start_in(home).await;
    gateway.sign_in(token.trim());
    let create = async |gateway: &Gateway, path: &str, body: &Value| {
        let request = gateway.client().request(Method::POST, path).header("idempotency-key", "once");
        gateway
            .client()
            .send(request.header("content-type", "application/json"), body.to_string().into())
            .await
    };
    let ada = json!({"user_id": "ada"});
    let first = create(&gateway, "/sessions", &ada).await.expect(201);
    assert_eq!(create(&gateway, "/sessions", &ada).await.expect(201), first);
    create(&gateway, "/sessions", &json!({"user_id": "eve"})).await.error(409, "conflict");
    create(&gateway, "/hooks", &ada).await.error(409, "conflict");
    assert_eq!(gateway.sessions("api").await.len(), 1);
    let mut gateway = Gateway::start_in(gateway.kill()).await;
    // The key is its token's.
    assert_ne!(create(&gateway, "/sessions", &ada).await.expect(201)["id"], first["id"]);
    gateway.sign_in(token.trim());
    assert_eq!(create(&gateway, "/sessions", &ada).await.expect(201), first, "also after a crash");
}

#[tokio::test]
async fn a_message_that_was_streamed_or_cut_off_by_a_crash_is_not_said_twice() {
    let script = json!([{"when": "slow", "answers": [[{"wait_ms": 3_000}, {"text": "Done."}]]}]);
    let home = scripted::home(&script, "");
    let token = home.run(&["auth", "token"]).await.stdout;
    let mut gateway = Gateway::start_in(home).await;
    gateway.sign_in(token.trim());
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let say = async |gateway: &Gateway, key: &str, accept: &str| {
        let request = gateway.client().request(Method::POST, &path).header("idempotency-key", key);
        let request = request.header("content-type", "application/json").header("accept", accept);
        gateway.client().try_send(request, json!({"content": "slow"}).to_string().into()).await
    };
    let streamed = say(&gateway, "one", "text/event-stream").await.unwrap();
    assert!(String::from_utf8_lossy(&streamed.body).contains("event: done"), "{streamed}");
    let again = say(&gateway, "one", "text/event-stream").await.unwrap().error(409, "conflict");
    assert!(again.contains("came before"), "{again}");
    let crash = async {
        until("the message", async || (gateway.messages(&session).await.len() == 3).then_some(())).await;
    };
    tokio::select! {
        answer = say(&gateway, "two", "application/json") => panic!("so early? {answer:?}"),
        () = crash => {}
    }
    let mut gateway = Gateway::start_in(gateway.kill()).await;
    gateway.sign_in(token.trim());
    say(&gateway, "two", "application/json").await.unwrap().error(409, "conflict");
    until("the answer", async || (gateway.messages(&session).await.len() == 4).then_some(())).await;
    // Who failed may try again.
    let wrong = gateway.client().request(Method::POST, &path).header("idempotency-key", "three");
    let wrong = gateway.client().send(wrong.header("content-type", "application/json"), "{}".into()).await;
    wrong.error(400, "bad_request");
    assert_eq!(say(&gateway, "three", "application/json").await.unwrap().expect(200)["content"], "Done.");
}

#[tokio::test]
async fn who_waits_for_a_reply_while_the_gateway_stops_is_told_that_it_comes_later() {
    let script = json!([{"answers": [[{"wait_ms": 15_000}, {"text": "Done."}]]}]);
    let gateway = Gateway::start_in(scripted::home(&script, "")).await;
    let session = gateway.open_session("ada").await;
    let client = gateway.client().clone();
    let path = format!("/sessions/{session}/messages");
    let waiting = tokio::spawn(async move { client.post(&path, json!({"content": "hi"})).await });
    until("the message", async || (gateway.messages(&session).await.len() == 1).then_some(())).await;
    let home = gateway.stop().await;
    let told = waiting.await.unwrap().error(503, "unavailable");
    assert!(told.contains("answered after the next start"), "{told}");
    let gateway = Gateway::start_in(home).await;
    until("the answer", async || (gateway.messages(&session).await.len() == 2).then_some(())).await;
}

#[tokio::test]
async fn no_body_is_read_for_a_channel_that_is_not_there() {
    let gateway = Gateway::start("").await;
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let head = "POST /in/nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    timeout(Duration::from_secs(20), stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
}

/// Reads until the gateway closes the connection; how long that took, and what it said.
async fn until_closed(mut stream: TcpStream) -> (Duration, String) {
    let start = Instant::now();
    let mut said = Vec::new();
    let read = timeout(Duration::from_secs(60), stream.read_to_end(&mut said));
    // A reset is an end like any other.
    let _ = read.await.expect("the gateway closes it");
    (start.elapsed(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_not_kept() {
    let gateway = Gateway::start("[gateway]\nidle_secs = 12\n").await;
    let whole = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let opened = ["", "GET /livez HTTP/1.1\r\nhost: loc", whole].map(async |sent| {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        until_closed(stream).await
    });
    for (after, said) in join_all(opened).await {
        assert!(after >= Duration::from_secs(9), "{after:?}: {said}");
    }
    let large = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(40_000));
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    // It may be closed before all of it is sent.
    let _ = stream.write_all(large.as_bytes()).await;
    let (_, said) = until_closed(stream).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431 "), "{said}");
    gateway.client().get("/status").await.expect(200);
}

/// Sends bytes to a gateway, and returns all that it says until it closes the connection.
async fn said_to(gateway: &Gateway, sent: &str) -> String {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    until_closed(stream).await.1
}

#[tokio::test]
async fn what_is_no_request_or_could_be_two_is_refused_in_the_envelope_and_counted() {
    let gateway = Gateway::start("").await;
    let line = "POST /api/v1/sessions HTTP/1.1\r\nhost: localhost\r\n";
    let (chunked, length) = ("transfer-encoding: chunked\r\n", "content-length: 3\r\n");
    let large = "x".repeat(40_000);
    for (sent, status, why) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "is no HTTP/1.1"),
        (format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {large}\r\n\r\n"), 431, "too large"),
        (format!("{line}{length}{chunked}\r\n0\r\n\r\n"), 400, "both Content-Length and Transfer-Encoding"),
        (format!("{line}{chunked}{length}\r\n0\r\n\r\n"), 400, "both Content-Length and Transfer-Encoding"),
        (
            format!("{line}transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
            400,
            "another Transfer-Encoding",
        ),
        (
            format!("{line}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            400,
            "another Transfer-Encoding",
        ),
        (format!("{line}{chunked}{chunked}\r\n0\r\n\r\n"), 400, "two headers Transfer-Encoding"),
        // A body that is never read: the end of the connection is announced.
        (format!("{line}content-length: 100000\r\n\r\n"), 401, "unauthorized"),
    ] {
        let said = said_to(&gateway, &sent).await;
        let shown = &sent[..sent.len().min(200)];
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {said}");
        assert!(
            said.contains("connection: close\r\n") && said.contains("x-request-id: req_"),
            "{shown}: {said}"
        );
        let envelope: Value = serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert!(envelope["error"].to_string().contains(why), "{shown}: {said}");
    }
    let metrics = String::from_utf8(get(&gateway, "/metrics").await.body.to_vec()).unwrap();
    assert!(metrics.contains("route=\"-\",status=\"431\"} 1"), "{metrics}");
    for (head, body, status) in
        [("content-encoding: gzip", "{}", 415), ("content-encoding: identity", "{}", 201)]
    {
        let (name, value) = head.split_once(": ").unwrap();
        let request = gateway.client().request(Method::POST, "/sessions").header(name, value);
        let answer =
            gateway.client().send(request.header("content-type", "application/json"), body.into()).await;
        assert_eq!(answer.status, status, "{answer}");
    }
    for (path, near) in [
        ("/healthz", "/api/v1/status/health"),
        ("/api/v1/status/", "/api/v1/status"),
        ("/sessions", "/api/v1/sessions"),
        ("/readyz/", "/readyz"),
    ] {
        let told = get(&gateway, path).await.error(404, "not_found");
        assert!(told.ends_with(&format!("did you mean {near}?")), "{path}: {told}");
    }
    assert_eq!(get(&gateway, "/nowhere").await.error(404, "not_found"), "There is no such route");
    gateway.stop().await;
}

#[tokio::test]
async fn as_many_connections_are_taken_as_the_system_allows() {
    let home = Home::new("");
    home.warm().await;
    let command = limited(&home, "-Sn 128");
    let gateway = Gateway::launch(home, command).await;
    let mut open = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        timeout(Duration::from_secs(60), stream.read_exact(&mut answer)).await.expect("an answer").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        open.push(stream);
    }
}
