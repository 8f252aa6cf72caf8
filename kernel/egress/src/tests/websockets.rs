use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::handshake::server::{Request as Asked, Response as Agreed};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async, accept_hdr_async};

use super::*;

fn at(server: &Server, path: &str) -> Upgrade {
    let url = vec![text(format!("ws://{}{path}", server.address))];
    Upgrade { url, headers: Vec::new(), timeout: Duration::from_secs(10) }
}

/// Speaks WebSocket on each connection.
async fn server<T, F>(talk: T) -> Server
where
    T: Fn(WebSocketStream<TcpStream>) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    Server::raw(move |stream| {
        let talk = talk.clone();
        async move {
            if let Ok(socket) = accept_async(stream).await {
                talk(socket).await;
            }
        }
    })
    .await
}

/// What comes next, but for what was written meanwhile.
async fn next(socket: &mut WebSocket) -> Result<Progress, Failure> {
    loop {
        match socket.advance(true).await {
            Ok(Progress::Written) => {}
            progress => return progress,
        }
    }
}

async fn frame(socket: &mut WebSocket) -> Frame {
    match next(socket).await {
        Ok(Progress::Frame(frame)) => frame,
        other => panic!("no frame: {other:?}"),
    }
}

fn payload(segments: &[Segment], policy: &Policy) -> Payload {
    Payload::render(segments, policy).unwrap()
}

#[tokio::test]
async fn messages_go_both_ways_with_secrets_put_in_and_taken_out() {
    let server = server(|mut socket| async move {
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                let told = format!("{} {}", message.is_text(), message.to_text().unwrap_or("-"));
                socket.send(Message::Ping(b"there?".to_vec().into())).await.unwrap();
                socket.send(Message::text(told)).await.unwrap();
                socket.send(Message::binary(message.into_data())).await.unwrap();
            }
        }
    })
    .await;
    let policy = policy(&[&server]);
    let mut socket = egress().connect(&policy, at(&server, "/")).await.unwrap();
    socket.queue(&payload(&[text("{\"token\":\""), token(), text("\"}")], &policy)).unwrap();
    assert!(socket.is_behind());
    let told = frame(&mut socket).await;
    assert_eq!(told, Frame::Text("true {\"token\":\"***REDACTED***\"}".into()));
    let binary = frame(&mut socket).await;
    assert_eq!(binary, Frame::Binary(b"{\"token\":\"***REDACTED***\"}".to_vec()), "it was sent as it is");
    socket.queue(&payload(&[Segment::Bytes(vec![0xff, 0]), text("x")], &policy)).unwrap();
    assert_eq!(frame(&mut socket).await, Frame::Text("false -".into()));
    assert_eq!(frame(&mut socket).await, Frame::Binary(vec![0xff, 0, b'x']));
    socket.close(1000, Duration::from_secs(10)).await;
}

#[tokio::test]
async fn the_handshake_carries_headers_and_secrets() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let record = seen.clone();
    let server = Server::raw(move |stream| {
        let record = record.clone();
        async move {
            #[allow(clippy::result_large_err, reason = "the library's own type")]
            let look = |asked: &Asked, agreed: Agreed| {
                let header = |name: &str| asked.headers()[name].to_str().unwrap().to_owned();
                let lines = [asked.uri().to_string(), header("authorization"), header("host")];
                record.lock().unwrap().extend(lines);
                Ok(agreed)
            };
            let _ = accept_hdr_async(stream, look).await;
        }
    })
    .await;
    let mut upgrade = at(&server, "/gateway?key=");
    upgrade.url.extend([token(), text("&v=10")]);
    upgrade.headers = vec![("Authorization".into(), vec![text("Bot "), token()])];
    egress().connect(&policy(&[&server]), upgrade).await.unwrap();
    let address = server.address.to_string();
    assert_eq!(*seen.lock().unwrap(), ["/gateway?key=s3cr3t%2F%2Btoken&v=10", "Bot s3cr3t/+token", &address]);
}

#[tokio::test]
async fn what_the_policy_does_not_allow_is_not_tried() {
    let server = server(|_| async {}).await;
    let granted = policy(&[&server]);
    let with = |headers| Upgrade { headers, ..at(&server, "/") };
    let mut other_secret = at(&server, "/");
    other_secret.url.push(Segment::Secret("other".into()));
    let secret_host = Upgrade { url: vec![text("ws://"), token()], ..at(&server, "/") };
    let plain = Upgrade { url: vec![text(server.url("/"))], ..at(&server, "/") };
    let reserved = ["host", "upgrade", "Sec-WebSocket-Key", "sec-websocket-extensions"];
    let reserved = reserved.map(|name| (&granted, with(vec![(name.to_owned(), vec![text("x")])])));
    let refused = [(&Policy::default(), at(&server, "/")), (&granted, other_secret)];
    for (policy, upgrade) in
        refused.into_iter().chain([(&granted, secret_host), (&granted, plain)]).chain(reserved)
    {
        let failure = egress().connect(policy, upgrade).await.err().expect("it was let out");
        assert_eq!((failure.kind, failure.sent), (Kind::Denied, false), "{failure}");
        assert!(!failure.reason.contains("s3cr3t"), "{failure}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_domain_that_was_named_does_not_lead_inside() {
    let server = server(|_| async {}).await;
    let port = server.address.port();
    let egress = Egress::with_roots(Clock::system(), inside(), RootCertStore::empty());
    let connect = async |origin: &str| {
        let origin = Pattern::parse(&format!("{origin}:{port}")).unwrap();
        let policy = Policy::new(vec![Allowed { origin, private: true }], Secrets::default());
        let url = vec![text(format!("ws://a.inside.test:{port}/"))];
        egress.connect(&policy, Upgrade { url, ..at(&server, "/") }).await.err()
    };
    assert_eq!(connect("ws://a.inside.test").await, None, "the operator named it himself");
    let failure = connect("ws://*.inside.test").await.expect("it was let in");
    assert_eq!((failure.kind, failure.sent), (Kind::Denied, false), "{failure}");
}

#[tokio::test]
async fn what_is_no_websocket_is_told_so() {
    let refusing = Server::http(|_| ok("s3cr3t/+token").replace("200 OK", "403 Forbidden")).await;
    let failure = egress().connect(&policy(&[&refusing]), at(&refusing, "/")).await.err().unwrap();
    assert_eq!((failure.kind, failure.sent), (Kind::Protocol, true));
    assert!(
        failure.reason.ends_with("it answered 403 Forbidden instead of opening a WebSocket"),
        "{failure}"
    );
    let silent = Server::raw(|stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let upgrade = Upgrade { timeout: Duration::from_millis(50), ..at(&silent, "/") };
    let failure = egress().connect(&policy(&[&silent]), upgrade).await.err().unwrap();
    assert_eq!((failure.kind, failure.sent), (Kind::Timeout, true));
}

#[tokio::test]
async fn what_breaks_the_rules_ends_the_socket() {
    let whole_message = vec![b'x'; (1 << 20) + 1];
    let cases: [(&[u8], Kind); 6] = [
        (&[0x81, 127, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], Kind::TooLarge),
        (&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'], Kind::Protocol),
        (&[0xc1, 2, b'h', b'i'], Kind::Protocol),
        (&[0x81, 2, 0xff, 0xff], Kind::Protocol),
        (&[0x8b, 0], Kind::Protocol),
        (&[], Kind::Closed),
    ];
    for (bytes, kind) in cases {
        let bytes = bytes.to_vec();
        let server = server(move |mut socket| {
            let bytes = bytes.clone();
            async move { socket.get_mut().write_all(&bytes).await.unwrap() }
        })
        .await;
        let mut socket = egress().connect(&policy(&[&server]), at(&server, "/")).await.unwrap();
        let failure = next(&mut socket).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
        socket.close(1002, Duration::from_secs(10)).await;
    }
    let policy = Policy::default();
    let large = vec![Segment::Bytes(whole_message); 4];
    assert_eq!(Payload::render(&large, &policy).err().unwrap().kind, Kind::Denied);
    assert!(Payload::render(&[Segment::Secret("other".into())], &policy).is_err());
}

#[tokio::test]
async fn a_goodbye_comes_with_its_code_and_without_secrets() {
    let server = server(|mut socket| async move {
        let reason = Utf8Bytes::from("bad token s3cr3t/+token");
        socket.close(Some(CloseFrame { code: CloseCode::from(4004), reason })).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let mut socket = egress().connect(&policy(&[&server]), at(&server, "/")).await.unwrap();
    match next(&mut socket).await.unwrap() {
        Progress::Closed(code, reason) => {
            assert_eq!((code, reason.as_str()), (Some(4004), "bad token ***REDACTED***"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_is_not_read_from_has_to_wait() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let server = server(move |mut socket| {
        let count = count.clone();
        async move {
            for _ in 0..512 {
                socket.send(Message::binary(vec![0; 1 << 16])).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let mut socket = egress().connect(&policy(&[&server]), at(&server, "/")).await.unwrap();
    let unread = tokio::time::timeout(Duration::from_millis(300), socket.advance(false)).await;
    assert!(unread.is_err(), "there is nothing to write");
    let held = sent.load(Ordering::SeqCst);
    assert!(held < 512, "32 MiB fit into no socket");
    for _ in 0..512 {
        frame(&mut socket).await;
    }
}
