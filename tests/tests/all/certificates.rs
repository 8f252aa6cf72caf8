//! TLS: a certificate that is renewed while the gateway serves.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::system::now;
use prx_tests::wait::{TEST_TIMEOUT, until};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd, generate_simple_self_signed};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How many streams are open while the certificate changes.
const STREAMS: usize = 100;

fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
}

/// Writes a new certificate for `localhost` and its key, and returns it.
fn renew(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), pem("CERTIFICATE", cert.der())).unwrap();
    fs::write(folder.join("key.pem"), pem("PRIVATE KEY", signing_key.serialized_der())).unwrap();
    cert.der().clone()
}

/// A request over a connection of its own, which trusts this certificate. None: another one is shown.
async fn ask(
    gateway: &Gateway,
    trusted: &CertificateDer<'static>,
    token: &str,
    request: (&str, &str, &'static str),
) -> Option<Response<Incoming>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (method, path, body) = request;
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    Some(sender.send_request(request).await.unwrap())
}

/// Reads a stream until it says this.
async fn read_until(stream: &mut Response<Incoming>, word: &str) {
    let mut read = String::new();
    while !read.contains(word) {
        let frame = timeout(TEST_TIMEOUT, stream.frame()).await.expect("it is said in time");
        let frame = frame.expect("the stream goes on").expect("the connection is whole");
        read.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_open_streams_go_on() {
    let home = Home::empty();
    let before = renew(home.path());
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    home.configure(&format!(
        "[gateway]\ntls_cert = {:?}\ntls_key = {:?}\n[rate_limits]\nenabled = false\n",
        file("cert.pem"),
        file("key.pem")
    ));
    let gateway = Gateway::start_in(home).await;
    let token = gateway.home().run(&["auth", "token"]).await.stdout.trim().to_owned();
    let open = (0..STREAMS).map(|_| ask(&gateway, &before, &token, ("GET", "/events", "")));
    let mut streams: Vec<_> =
        join_all(open).await.into_iter().map(|stream| stream.expect("a handshake")).collect();
    assert!(streams.iter().all(|stream| stream.status() == 200));

    let after = renew(gateway.home().path());
    gateway.signal(Signal::HUP);
    until("the new certificate to be shown", async || {
        ask(&gateway, &after, &token, ("GET", "/status/health", "")).await
    })
    .await;
    assert!(ask(&gateway, &before, &token, ("GET", "/status/health", "")).await.is_none());

    let said = ("POST", "/sessions", r#"{"user_id": "ada"}"#);
    assert_eq!(ask(&gateway, &after, &token, said).await.unwrap().status(), 201);
    join_all(streams.iter_mut().map(|stream| read_until(stream, "session.created"))).await;
    drop(streams);
    gateway.stop().await;
}

/// Writes a certificate that ends so many days from now.
fn write_ending(folder: &Path, days: i64) {
    let ends = now().saturating_add_signed(days * 86_400);
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(ends);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    fs::write(folder.join("cert.pem"), pem("CERTIFICATE", cert.der())).unwrap();
    fs::write(folder.join("key.pem"), pem("PRIVATE KEY", key.serialized_der())).unwrap();
}

#[tokio::test]
async fn a_certificate_that_ends_soon_or_is_over_is_told_with_what_to_do() {
    let home = Home::empty();
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    home.configure(&format!(
        "[gateway]\ntls_cert = {:?}\ntls_key = {:?}\n",
        file("cert.pem"),
        file("key.pem")
    ));
    write_ending(home.path(), 10);
    let gateway = Gateway::start_in(home).await;
    let told = async |home: &Home, words: &str| {
        let doctor = home.run(&["doctor"]).await;
        let is_told =
            doctor.stdout.lines().any(|line| line.starts_with("problem: the TLS") && line.contains(words));
        is_told.then(|| {
            assert!(doctor.code == Some(1) && doctor.stdout.contains("\n    fix: renew it\n"), "{doctor:?}")
        })
    };
    until("its end to be told", async || told(gateway.home(), "in 9 days").await).await;
    let status = gateway.home().run(&["status"]).await;
    assert!(status.code == Some(0) && status.stdout.contains("in 9 days; renew it"), "{status:?}");

    write_ending(gateway.home().path(), -1);
    gateway.signal(Signal::HUP);
    until("it to be over", async || told(gateway.home(), "is over since").await).await;
    let status = gateway.home().run(&["status"]).await;
    assert!(status.stdout.contains("clients refuse it; renew it"), "{status:?}");
    // Without a gateway, the doctor looks itself.
    let home = gateway.stop().await;
    assert_eq!(told(&home, "is over since").await, Some(()));
    write_ending(home.path(), 30);
    let well = home.run(&["doctor"]).await;
    assert!(!well.stdout.contains("TLS"), "{well:?}");
}
