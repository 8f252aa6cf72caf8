//! From an origin to an open connection: resolve once, check every address, connect to a checked one.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use url::Host;

use super::address::is_public;
use super::failure::{Failure, Kind};
use super::origin::Origin;
use super::outside::{Follow, Outside};
use super::pool::{Connection, Key};
use super::proxy::Proxy;
use super::trust;

/// The largest head of an answer, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Names that may be looked up at the same time.
const MAX_LOOKUPS: usize = 16;

/// How long a name that a proxy is to connect to is looked up here: 2 seconds. Where nobody knows it, the proxy may.
const NAME_TIMEOUT: Duration = Duration::from_secs(2);
/// Why a place inside is not reached.
const INSIDE: &str = "it resolves to an address that is not public, and the operator didn't name it himself";

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
    outside: Follow,
}

impl Connector {
    pub(super) fn new(resolver: Resolver, outside: Follow) -> Self {
        Self { resolver, lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)), outside }
    }

    /// The way out as it is now. Connections that were opened by another are of no use.
    pub(super) fn outside(&self) -> Arc<Outside> {
        self.outside.now()
    }

    /// A fresh connection for requests, or why there is none. No byte of one has been written in either case.
    pub(super) async fn open(
        &self,
        key: &Key,
        outside: &Outside,
        deadline: Instant,
    ) -> Result<Connection, Failure> {
        let proxy = proxy(outside, &key.origin)?.cloned();
        // A proxy is told the whole URL of a plain request, and answers it itself.
        let relayed = proxy.filter(|_| !key.origin.is_https());
        let wire = self.dial(key, outside, relayed.is_none(), deadline).await?;
        handshake(&key.origin, wire, relayed).await
    }

    /// A fresh connection to an origin, or why there is none.
    pub(super) async fn connect(&self, key: &Key, deadline: Instant) -> Result<Wire, Failure> {
        self.dial(key, &self.outside(), true, deadline).await
    }

    /// With `tunnel`, what comes of it leads to the origin; else, where there is a proxy, to that.
    async fn dial(
        &self,
        key: &Key,
        outside: &Outside,
        tunnel: bool,
        deadline: Instant,
    ) -> Result<Wire, Failure> {
        let connected = timeout_at(deadline, async {
            let stream = match proxy(outside, &key.origin)? {
                None => dial(&key.origin, &self.addresses(key).await?, deadline).await?,
                Some(proxy) => {
                    self.check_name(key).await?;
                    self.to_proxy(key, proxy, tunnel, deadline).await?
                }
            };
            secure(&key.origin, outside, stream).await
        });
        match connected.await {
            Ok(connected) => connected,
            Err(_) => Err(Failure::unsent(Kind::Timeout, &key.origin, "no connection in time")),
        }
    }

    /// The addresses of a proxy are the operator's choice, and not checked.
    async fn to_proxy(
        &self,
        key: &Key,
        proxy: &Proxy,
        tunnel: bool,
        deadline: Instant,
    ) -> Result<TcpStream, Failure> {
        let failed = |reason: String| Failure::unsent(Kind::Connect, &key.origin, reason);
        let addresses = match proxy.host() {
            Host::Ipv4(address) => Ok(vec![IpAddr::V4(*address)]),
            Host::Ipv6(address) => Ok(vec![IpAddr::V6(*address)]),
            Host::Domain(name) => self.resolve(name).await,
        };
        let addresses = addresses.map_err(|error| failed(format!("{proxy}: {error}")))?;
        let addresses: Vec<_> =
            addresses.into_iter().map(|address| SocketAddr::new(address, proxy.port())).collect();
        let mut stream = dial(&key.origin, &addresses, deadline)
            .await
            .map_err(|failure| failed(format!("{proxy} can't be reached ({})", failure.reason)))?;
        if tunnel {
            proxy.tunnel(&mut stream, &key.origin).await.map_err(failed)?;
        }
        Ok(stream)
    }

    /// Checks a place that a proxy is to connect to, as far as that can be done from here: an address always, a name where it
    /// is known here, too. Behind many proxies no name is.
    async fn check_name(&self, key: &Key) -> Result<(), Failure> {
        if key.private {
            return Ok(());
        }
        let inside = match key.origin.host() {
            Host::Domain(name) if !key.origin.is_inside() => {
                let found = timeout(NAME_TIMEOUT, self.resolve(name)).await;
                found.is_ok_and(|found| {
                    found.is_ok_and(|addresses| !addresses.iter().all(|address| is_public(*address)))
                })
            }
            _ => key.origin.is_inside(),
        };
        if inside { Err(Failure::unsent(Kind::Denied, &key.origin, INSIDE)) } else { Ok(()) }
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
            return Err(Failure::unsent(Kind::Denied, origin, INSIDE));
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
}

/// The proxy for an origin, if it goes through one.
fn proxy<'o>(outside: &'o Outside, origin: &Origin) -> Result<Option<&'o Arc<Proxy>>, Failure> {
    match &outside.proxies {
        Ok(proxies) => Ok(proxies.of(origin)),
        Err(problem) => Err(Failure::unsent(Kind::Connect, origin, problem)),
    }
}

async fn secure(origin: &Origin, outside: &Outside, stream: TcpStream) -> Result<Wire, Failure> {
    if !origin.is_https() {
        return Ok(Either::Left(stream));
    }
    let tls = outside.tls.as_ref().map_err(|problem| Failure::unsent(Kind::Tls, origin, problem))?;
    let name = match origin.host() {
        Host::Domain(name) => ServerName::try_from(name.clone()),
        Host::Ipv4(address) => Ok(ServerName::from(IpAddr::V4(*address))),
        Host::Ipv6(address) => Ok(ServerName::from(IpAddr::V6(*address))),
    };
    let name = name.map_err(|error| Failure::unsent(Kind::Tls, origin, error))?;
    match tls.connect(name, stream).await {
        Ok(stream) => Ok(Either::Right(stream)),
        Err(error) => Err(Failure::unsent(Kind::Tls, origin, trust::told(&error))),
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

async fn handshake(
    origin: &Origin,
    stream: Wire,
    relayed: Option<Arc<Proxy>>,
) -> Result<Connection, Failure> {
    let mut builder = http1::Builder::new();
    builder.max_header_size(MAX_HEAD_BYTES).max_buf_size(2 * MAX_HEAD_BYTES);
    match builder.handshake(TokioIo::new(stream)).await {
        Ok((sender, connection)) => {
            // Its errors reach whoever waits for an answer on it.
            let task = tokio::spawn(async { drop(connection.await) }).abort_handle();
            Ok(Connection { sender, task, relayed })
        }
        Err(error) => Err(Failure::unsent(Kind::Connect, origin, error)),
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

    use rustls::RootCertStore;

    use super::*;
    use prx_base::clock::Clock;

    fn connector(answers: &[&[&str]]) -> Connector {
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        let answers: Mutex<Vec<Vec<IpAddr>>> = Mutex::new(answers.iter().rev().map(parse).collect());
        let resolver = Resolver::Fixed(Arc::new(move |_| answers.lock().unwrap().pop().unwrap()));
        Connector::new(resolver, Follow::fixed(Clock::system(), RootCertStore::empty()))
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
        let connector =
            Connector::new(Resolver::System, Follow::fixed(Clock::system(), RootCertStore::empty()));
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
