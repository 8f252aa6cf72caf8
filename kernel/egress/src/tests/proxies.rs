//! Through a proxy, and to servers that a private authority vouches for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async;

use super::*;
use prx_base::config::{self, Config, Live};

/// A proxy that leads everything to one server, whatever the name, and remembers what it was asked.
async fn proxy(server: &Server, answer: &'static str) -> Server {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (record, target) = (seen.clone(), server.address);
    let proxy = Server::raw(move |mut stream| {
        let record = record.clone();
        async move {
            let Some(head) = read_head(&mut stream).await else { return };
            record.lock().unwrap().push(head.clone());
            if head.starts_with("CONNECT ") {
                stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.unwrap();
                let mut server = TcpStream::connect(target).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            } else if answer.starts_with("200") {
                stream.write_all(ok("relayed").as_bytes()).await.unwrap();
            } else {
                stream
                    .write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                    .await
                    .unwrap();
            }
        }
    });
    Server { seen, ..proxy.await }
}

/// A way out with these settings.
fn way_out(ca_file: &str, proxy: &str) -> (Egress, Live) {
    let egress = config::Egress { ca_file: ca_file.into(), proxy: proxy.into() };
    let live = Live::new(Config { egress, ..Config::default() });
    (Egress::following(Clock::system(), live.clone()), live)
}

fn to(origin: &str, private: bool) -> Policy {
    let origin = Origin::parse(origin).unwrap();
    Policy::new(vec![Allowed { origin: origin.into(), private }], Secrets::default())
}

/// A server at `api.test`, and the file of the authority that vouches for it.
async fn private_server(home: &tempfile::TempDir) -> (Server, String) {
    let (acceptor, ca_file) = private_authority(home);
    let server = Server::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut request = [0; 1024];
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                stream.write_all(ok("hello").as_bytes()).await.unwrap();
            }
        }
    });
    (server.await, ca_file)
}

/// What speaks TLS as `api.test`, and the file of the authority that vouches for it.
fn private_authority(home: &tempfile::TempDir) -> (TlsAcceptor, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(["api.test".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let der = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = config.with_single_cert(vec![cert.der().clone()], der.into()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let file = home.path().join("ca.pem");
    let pem = STANDARD.encode(authority.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
    std::fs::write(&file, pem).unwrap();
    (acceptor, file.display().to_string())
}

#[tokio::test]
async fn an_own_authority_is_trusted_where_it_is_named_and_its_lack_is_told() {
    let home = tempfile::tempdir().unwrap();
    let (server, ca_file) = private_server(&home).await;
    let proxy = proxy(&server, "200 OK").await;
    let proxy = format!("http://{}", proxy.address);
    let (egress, live) = way_out("", &proxy);
    let policy = to("https://api.test", false);
    let failure = fetch(&egress, &policy, get("https://api.test/")).await.unwrap_err();
    assert_eq!((failure.kind, failure.sent), (Kind::Tls, false));
    assert!(failure.reason.contains("egress.ca_file") && failure.reason.contains("not trusted"), "{failure}");

    // The setting is taken up at once.
    live.replace(Config { egress: config::Egress { ca_file, proxy: proxy.clone() }, ..Config::default() });
    assert_eq!(fetch(&egress, &policy, get("https://api.test/")).await.unwrap(), "hello");
    let none = home.path().join("none.pem").display().to_string();
    for (ca_file, word) in [(none, "can't be read"), ("/dev/null".to_owned(), "has no certificate")] {
        let settings = config::Egress { ca_file, proxy: proxy.clone() };
        assert!(Egress::problem(&settings).unwrap().contains(word), "{settings:?}");
        live.replace(Config { egress: settings, ..Config::default() });
        let failure = fetch(&egress, &policy, get("https://api.test/")).await.unwrap_err();
        assert!(failure.reason.contains(word), "what was trusted before is not trusted any more: {failure}");
    }
}

#[tokio::test]
async fn a_proxy_is_told_where_to_and_who_asks() {
    let home = tempfile::tempdir().unwrap();
    let (server, ca_file) = private_server(&home).await;
    let proxy = proxy(&server, "200 OK").await;
    let (egress, live) = way_out(&ca_file, &format!("http://me:s3cret@{}", proxy.address));
    assert_eq!(
        fetch(&egress, &to("https://api.test", false), get("https://api.test/x")).await.unwrap(),
        "hello"
    );
    let plain = to("http://plain.test:8080", false);
    assert_eq!(fetch(&egress, &plain, get("http://plain.test:8080/y?z=1")).await.unwrap(), "relayed");
    let seen = proxy.seen();
    assert!(seen[0].starts_with("CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n"), "{seen:?}");
    assert!(seen[1].starts_with("GET http://plain.test:8080/y?z=1 HTTP/1.1\r\n"), "{seen:?}");
    let credentials = "basic bwu6cznjcmv0";
    assert!(
        seen.iter().all(|head| head.to_lowercase().contains(&format!("proxy-authorization: {credentials}")))
    );

    // What is inside is refused as ever, and what is on this machine needs no proxy.
    for inside in ["http://10.0.0.1", "http://169.254.169.254", "https://[fd00::1]", "http://localhost"] {
        let failure = fetch(&egress, &to(inside, false), get(inside)).await.unwrap_err();
        assert_eq!((failure.kind, failure.sent), (Kind::Denied, false), "{inside}: {failure}");
    }
    let near = Server::http(|_| ok("near")).await;
    assert_eq!(fetch(&egress, &without_secrets(&[&near]), get(near.url("/"))).await.unwrap(), "near");
    assert_eq!(proxy.connections(), 2);
    let elsewhere = fetch(&egress, &plain, get("http://other.test/")).await.unwrap_err();
    assert_eq!(elsewhere.kind, Kind::Denied, "nothing that is not granted goes through it either");

    live.replace(Config { egress: config::Egress { ca_file, proxy: "direct".into() }, ..Config::default() });
    let failure = fetch(&egress, &plain, get("http://plain.test:8080/")).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Dns, "its connections are not used any more: {failure}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_nothing_was_sent() {
    let server = Server::http(|_| ok("never")).await;
    for (answer, word) in [
        ("407 Proxy Authentication Required", "wants a user and a password"),
        ("403 Forbidden", "answered 403"),
        ("nonsense", "is no HTTP proxy"),
    ] {
        let proxy = proxy(&server, answer).await;
        let (egress, _live) = way_out("", &format!("http://me:s3cret@{}", proxy.address));
        let failure =
            fetch(&egress, &to("https://api.test", false), get("https://api.test/")).await.unwrap_err();
        assert_eq!((failure.kind, failure.sent), (Kind::Connect, false), "{failure}");
        assert!(
            failure.reason.contains(word) && failure.reason.contains("the proxy 127.0.0.1:"),
            "{failure}"
        );
        assert!(!failure.reason.contains("s3cret"), "{failure}");
    }
    let proxy = proxy(&server, "407 No").await;
    let (egress, _live) = way_out("", &format!("http://{}", proxy.address));
    let failure =
        fetch(&egress, &to("http://plain.test", false), get("http://plain.test/")).await.unwrap_err();
    assert!(failure.reason.contains("wants a user and a password"), "{failure}");
    let (egress, _live) = way_out("", "http://127.0.0.1:9");
    let failure = fetch(&egress, &to("https://api.test", false), get("https://api.test/")).await.unwrap_err();
    assert!(failure.reason.contains("the proxy 127.0.0.1:9 can't be reached"), "{failure}");
    assert!(server.seen().is_empty());
}

/// Answers each message of a WebSocket with itself.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(stream: S) {
    let Ok(mut socket) = accept_async(stream).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() && socket.send(message).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn sockets_go_through_a_proxy_too() {
    let home = tempfile::tempdir().unwrap();
    let (acceptor, ca_file) = private_authority(&home);
    let plain = Server::raw(echo).await;
    let secure = Server::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                echo(stream).await;
            }
        }
    })
    .await;
    for (server, origin, target) in [
        (&plain, "ws://plain.test:8080", "CONNECT plain.test:8080 HTTP/1.1"),
        (&secure, "wss://api.test", "CONNECT api.test:443 HTTP/1.1"),
    ] {
        let proxy = proxy(server, "200 OK").await;
        let (egress, _live) = way_out(&ca_file, &format!("http://{}", proxy.address));
        let url = vec![text(format!("{origin}/socket"))];
        let upgrade = Upgrade { url, headers: Vec::new(), timeout: Duration::from_secs(10) };
        let policy = to(origin, false);
        let mut socket = egress.connect(&policy, upgrade).await.unwrap();
        socket.queue(&Payload::render(&[text("hello")], &policy).unwrap()).unwrap();
        let said = loop {
            if let Progress::Frame(frame) = socket.advance(true).await.unwrap() {
                break frame;
            }
        };
        assert_eq!(said, Frame::Text("hello".into()), "{origin}");
        assert!(proxy.seen()[0].starts_with(target), "{:?}", proxy.seen());
        socket.close(1000, Duration::from_secs(10)).await;
    }
}
