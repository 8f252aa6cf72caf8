use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server at `api.test`, and the authority that vouches for it.
async fn server() -> (Server, RootCertStore) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["api.test".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.clone()], key.into()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
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
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    (server.await, roots)
}

async fn ask(host: &str, server: &Server, roots: RootCertStore, clock: Clock) -> Result<String, Failure> {
    let origin = Origin::parse(&format!("https://{host}:{}", server.address.port())).unwrap();
    let policy =
        Policy::new(vec![Allowed { origin: origin.clone().into(), private: true }], Secrets::default());
    let egress = Egress::with_roots(clock, inside(), roots);
    fetch(&egress, &policy, get(format!("{origin}/path"))).await?;
    fetch(&egress, &policy, get(format!("{origin}/path"))).await
}

#[tokio::test]
async fn a_server_that_proves_its_name_is_talked_to() {
    let (server, roots) = server().await;
    assert_eq!(ask("api.test", &server, roots, Clock::system()).await.unwrap(), "hello");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_that_does_not_is_told_nothing() {
    let (server, roots) = server().await;
    let nobody = RootCertStore::empty();
    for (host, roots) in [("other.test", roots.clone()), ("127.0.0.1", roots), ("api.test", nobody)] {
        let failure = ask(host, &server, roots, Clock::system()).await.unwrap_err();
        assert_eq!((failure.kind, failure.sent), (Kind::Tls, false), "{failure}");
    }
}

#[tokio::test]
async fn certificates_are_judged_by_the_gateways_clock() {
    let (server, roots) = server().await;
    let long_ago = Clock::manual("1970-01-02T00:00:00Z".parse().unwrap());
    let failure = ask("api.test", &server, roots, long_ago).await.unwrap_err();
    assert_eq!((failure.kind, failure.sent), (Kind::Tls, false), "{failure}");
}
