//! From an origin to an open connection: resolve once, check every address, connect to a checked one.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use url::Host;

use super::address::is_public;
use super::failure::{Failure, Kind};
use super::origin::Origin;
use super::pool::{Connection, Key};
use prx_base::clock::Clock;

/// The largest head of an answer, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Names that may be looked up at the same time.
const MAX_LOOKUPS: usize = 16;

/// A connection before anything is said on it: plain, or with TLS.
pub(super) type Wire = Either<TcpStream, TlsStream<TcpStream>>;

/// The addresses of a name.
pub type Answers = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

/// How names become addresses.
#[derive(Clone)]
pub enum Resolver {
    /// As the machine resolves them.
    System,
    /// As this function says, for a closed world.
    Fixed(Arc<Answers>),
}

/// Opens connections.
pub(super) struct Connector {
    resolver: Resolver,
    lookups: Arc<Semaphore>,
    tls: TlsConnector,
}

impl Connector {
    pub(super) fn new(clock: Clock, resolver: Resolver, roots: RootCertStore) -> Self {
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.time_provider = Arc::new(CertificateTime(clock));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            resolver,
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// A fresh connection for requests, or why there is none. No byte of one has been written in either case.
    pub(super) async fn open(&self, key: &Key, deadline: Instant) -> Result<Connection, Failure> {
        handshake(&key.origin, self.connect(key, deadline).await?).await
    }

    /// A fresh connection, or why there is none.
    pub(super) async fn connect(&self, key: &Key, deadline: Instant) -> Result<Wire, Failure> {
        let connected = timeout_at(deadline, async {
            let addresses = self.addresses(key).await?;
            let stream = dial(&key.origin, &addresses, deadline).await?;
            self.secure(&key.origin, stream).await
        });
        match connected.await {
            Ok(connected) => connected,
            Err(_) => Err(Failure::unsent(Kind::Timeout, &key.origin, "no connection in time")),
        }
    }

    async fn addresses(&self, key: &Key) -> Result<Vec<SocketAddr>, Failure> {
        let origin = &key.origin;
        let addresses = match origin.host() {
            Host::Ipv4(address) => vec![IpAddr::V4(*address)],
            Host::Ipv6(address) => vec![IpAddr::V6(*address)],
            Host::Domain(name) => match self.resolve(name).await {
                Ok(addresses) => addresses,
                Err(error) => return Err(Failure::unsent(Kind::Dns, origin, error)),
            },
        };
        if addresses.is_empty() {
            return Err(Failure::unsent(Kind::Dns, origin, "the name has no address"));
        }
        if !key.private && !addresses.iter().all(|address| is_public(*address)) {
            let reason =
                "it resolves to an address that is not public, and the operator didn't name it himself";
            return Err(Failure::unsent(Kind::Denied, origin, reason));
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, origin.port())).collect())
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Resolver::Fixed(answer) = &self.resolver {
            return Ok(answer(name));
        }
        let place = self.lookups.clone().acquire_owned().await.map_err(io::Error::other)?;
        let name = name.to_owned();
        // A lookup can't be called off: it keeps its place until it ends, though nobody waits for it any more.
        let lookup = tokio::spawn(async move {
            let found = tokio::net::lookup_host((name, 0)).await;
            drop(place);
            found.map(|addresses| addresses.map(|address| address.ip()).collect())
        });
        lookup.await?
    }

    async fn secure(&self, origin: &Origin, stream: TcpStream) -> Result<Wire, Failure> {
        if !origin.is_https() {
            return Ok(Either::Left(stream));
        }
        let name = match origin.host() {
            Host::Domain(name) => ServerName::try_from(name.clone()),
            Host::Ipv4(address) => Ok(ServerName::from(IpAddr::V4(*address))),
            Host::Ipv6(address) => Ok(ServerName::from(IpAddr::V6(*address))),
        };
        let name = name.map_err(|error| Failure::unsent(Kind::Tls, origin, error))?;
        match self.tls.connect(name, stream).await {
            Ok(stream) => Ok(Either::Right(stream)),
            Err(error) => Err(Failure::unsent(Kind::Tls, origin, error)),
        }
    }
}

/// Tries the addresses in turn; each gets an equal share of the time that is left.
async fn dial(origin: &Origin, addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, Failure> {
    let mut problem = "no address".to_owned();
    for (address, left) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Only a matter of latency.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => problem = error.to_string(),
            Err(_) => problem = "no connection in time".to_owned(),
        }
    }
    Err(Failure::unsent(Kind::Connect, origin, problem))
}

async fn handshake(origin: &Origin, stream: Wire) -> Result<Connection, Failure> {
    let mut builder = http1::Builder::new();
    builder.max_header_size(MAX_HEAD_BYTES).max_buf_size(2 * MAX_HEAD_BYTES);
    match builder.handshake(TokioIo::new(stream)).await {
        Ok((sender, connection)) => {
            // Its errors reach whoever waits for an answer on it.
            let task = tokio::spawn(async { drop(connection.await) }).abort_handle();
            Ok(Connection { sender, task })
        }
        Err(error) => Err(Failure::unsent(Kind::Connect, origin, error)),
    }
}

/// Certificates are judged by the gateway's own clock.
#[derive(Debug)]
struct CertificateTime(Clock);

impl TimeProvider for CertificateTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.now_ms())))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Fixed(_) => "Fixed",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn connector(answers: &[&[&str]]) -> Connector {
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        let answers: Mutex<Vec<Vec<IpAddr>>> = Mutex::new(answers.iter().rev().map(parse).collect());
        let resolver = Resolver::Fixed(Arc::new(move |_| answers.lock().unwrap().pop().unwrap()));
        Connector::new(Clock::system(), resolver, RootCertStore::empty())
    }

    fn key(private: bool) -> Key {
        Key { origin: Origin::parse("https://rebind.test").unwrap(), private }
    }

    #[tokio::test]
    async fn the_address_that_was_checked_is_the_address_that_is_used() {
        let connector = connector(&[&["8.8.8.8"], &["127.0.0.1"]]);
        let addresses = connector.addresses(&key(false)).await.unwrap();
        assert_eq!(addresses, ["8.8.8.8:443".parse().unwrap()]);
        let failure = connector.addresses(&key(false)).await.unwrap_err();
        assert_eq!((failure.kind, failure.sent), (Kind::Denied, false));
    }

    #[tokio::test]
    async fn the_machine_resolves_its_own_name() {
        let connector = Connector::new(Clock::system(), Resolver::System, RootCertStore::empty());
        assert!(connector.resolve("localhost").await.unwrap().iter().all(IpAddr::is_loopback));
    }

    #[tokio::test]
    async fn one_private_address_among_public_ones_is_enough_to_refuse() {
        for hidden in ["10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::10.0.0.1"] {
            let answer: &[&str] = &["8.8.8.8", hidden, "2606:4700::1"];
            let connector = connector(&[answer, answer]);
            assert_eq!(connector.addresses(&key(false)).await.unwrap_err().kind, Kind::Denied, "{hidden}");
            assert_eq!(connector.addresses(&key(true)).await.unwrap().len(), 3);
        }
    }
}
