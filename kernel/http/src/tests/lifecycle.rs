//! The gateway starts, becomes ready and shuts down; streams begin and end.

use super::*;

/// Sends a request on a connection that stays open, and returns the status and the body of the answer.
async fn ask(stream: &mut TcpStream, request: &str) -> (String, String) {
    let request = format!("{request} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let head = loop {
        answer.push(stream.read_u8().await.expect("the connection stays open"));
        if let Some(head) = answer.strip_suffix(b"\r\n\r\n") {
            break String::from_utf8_lossy(head).into_owned();
        }
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    stream.read_exact(&mut body).await.expect("the connection stays open");
    (status(&head).to_owned(), String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn starting_is_answered_with_how_far_it_has_got() {
    let gateway = Gateway::starting(Clock::system(), |_| ()).await;
    let first = gateway.send("GET /echo/a HTTP/1.1\r\n\r\n").await;
    assert!(body(&first).contains(r#""message":"starting""#), "{first}");
    gateway.pipeline.set_progress("plugins 3 of 8");
    insta::assert_snapshot!(without_id(&gateway.send("GET /echo/a HTTP/1.1\r\n\r\n").await), @r#"
    HTTP/1.1 503 Service Unavailable
    content-type: application/json
    cache-control: no-store
    x-content-type-options: nosniff
    retry-after: 1
    x-request-id: req_…
    connection: close
    content-length: 84

    {"error":{"code":"unavailable","message":"starting: plugins 3 of 8","details":null}}
    "#);
    let requests =
        ["GET /readyz", "GET /api/v1/status/health", "GET /nowhere", "DELETE /echo", "POST /livez"];
    for request in requests {
        let answer = gateway.send(&format!("{request} HTTP/1.1\r\n\r\n")).await;
        assert_eq!(status(&answer), "503", "{request}: {answer}");
        assert!(body(&answer).contains("starting: plugins 3 of 8"), "{request}: {answer}");
    }
    let rebound = gateway.send("GET /livez HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    assert_eq!(status(&rebound), "403");
    let live = gateway.send("GET /livez HTTP/1.1\r\n\r\n").await;
    assert_eq!((status(&live), body(&live)), ("200", r#"{"live":true}"#));
    let counted = gateway.pipeline.traffic.requests();
    let live = Outcome { route: "/livez", method: "GET".into(), status: 200 };
    assert_eq!(counted.get(&live), Some(&1), "{counted:?}");
}

#[tokio::test]
async fn a_connection_stays_open_when_the_gateway_becomes_ready() {
    let gateway = Gateway::starting(Clock::system(), |_| ()).await;
    let mut stream = TcpStream::connect(&gateway.address).await.expect("connected");
    let (status, _) = ask(&mut stream, "GET /health").await;
    assert_eq!(status, "503");
    gateway.ready();
    assert_eq!(ask(&mut stream, "GET /health").await, ("200".into(), r#"{"healthy":true}"#.into()));
    gateway.pipeline.set_progress("plugins 8 of 8");
    assert_eq!(ask(&mut stream, "GET /health").await.0, "200");
}

#[tokio::test]
async fn a_gateway_that_is_starting_can_be_stopped() {
    let mut gateway = Gateway::starting(Clock::system(), |_| ()).await;
    let mut stream = TcpStream::connect(&gateway.address).await.expect("connected");
    assert_eq!(ask(&mut stream, "GET /health").await.0, "503");
    gateway.stop.take().expect("running").send(()).expect("listening");
    gateway.serving.await.expect("ended, though a client is still connected");
}

#[tokio::test]
async fn stopping_lets_a_request_in_flight_finish() {
    let mut gateway = Gateway::start().await;
    let stream = TcpStream::connect(&gateway.address).await.expect("connected");
    let request = tokio::spawn(exchange(stream, "GET /slow HTTP/1.1\r\n\r\n"));
    gateway.toy.entered.notified().await;
    gateway.stop.take().expect("running").send(()).expect("listening");
    while TcpStream::connect(&gateway.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gateway.toy.leave.notify_one();
    assert_eq!(status(&request.await.expect("no panic")), "204");
    let ended = tokio::time::timeout(Duration::from_secs(5), gateway.serving).await;
    ended.expect("ended in time").expect("no panic");
    assert!(!gateway.home.path().join("prx.sock").exists());
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let gateway = Gateway::start().await;
    let token = gateway.token(&[Scope::ADMIN]).await;
    let (_, revoked) = tokio::join!(
        async {
            gateway.toy.entered.notified().await;
            let id = token.split('_').nth(1).expect("an id");
            gateway.store.revoke_token(id).await.expect("revoked");
        },
        gateway.get("/endless", &token),
    );
    assert!(
        revoked.contains("event: error\n") && revoked.contains("The bearer token was revoked"),
        "{revoked}"
    );
    assert!(revoked.ends_with("\n0\n"), "the stream itself is whole: {revoked}");
}

#[tokio::test]
async fn stopping_ends_streams_at_once() {
    let mut gateway = Gateway::start().await;
    let token = gateway.token(&[Scope::ADMIN]).await;
    let stop = gateway.stop.take().expect("running");
    let (_, cut) = tokio::join!(
        async {
            gateway.toy.entered.notified().await;
            stop.send(()).expect("listening");
        },
        gateway.get("/endless", &token),
    );
    assert!(cut.contains(r#""code":"unavailable""#) && cut.ends_with("\n0\n"), "{cut}");
}
