//! Where the gateway listens: an address, and a socket in its data directory.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::{FutureExt, select_all};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, lookup_host};
use tokio::time::{Interval, interval};
use tokio_rustls::TlsAcceptor;

use super::tls::{Certificate, TlsError};
use prx_base::config::Gateway;

/// The name of the owner's socket in the data directory.
pub const SOCKET: &str = "prx.sock";

/// Why the gateway can't listen, on one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has the port.
    #[error(
        "{host}:{port} is in use; stop what listens there, or choose another with --port or gateway.port"
    )]
    PortInUse {
        /// `gateway.host`
        host: String,
        /// `gateway.port`
        port: u16,
    },
    /// Plain HTTP would go over a network.
    #[error(
        "{0} is not a loopback address: tokens would cross the network unencrypted; listen on 127.0.0.1, set \
         gateway.tls_cert and gateway.tls_key, or put a proxy that speaks TLS in front and name its address in \
         gateway.trusted_proxies, or set gateway.behind_proxy = true for one at a private address"
    )]
    Exposed(IpAddr),
    /// TLS is asked for and can't be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address can't be had for another reason.
    #[error("can't listen on {host}:{port}: {source}; check gateway.host and gateway.port")]
    Address {
        /// `gateway.host`
        host: String,
        /// `gateway.port`
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// A gateway listens on the socket.
    #[error("another gateway runs on this data directory ({0}); stop it, or choose another with --data-dir")]
    SocketInUse(PathBuf),
    /// The socket can't be made.
    #[error("can't listen on {path}: {source}; the data directory must be writable and its path short")]
    Socket {
        /// The socket's path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The listener for the network: an address, and whether TLS is spoken there.
pub struct Network {
    pub(super) listeners: Vec<TcpListener>,
    pub(super) tls: Option<TlsAcceptor>,
    certificate: Option<Certificate>,
}

impl Network {
    /// Binds the address that `[gateway]` names; port 0 takes any free one.
    ///
    /// # Errors
    /// Someone else is there, the address is open to a network without TLS, a file of the certificate can't be
    /// used, or the system refuses.
    pub async fn bind(gateway: &Gateway) -> Result<Self, BindError> {
        let (addresses, certificate) = prepare(gateway).await?;
        let listeners = listen(&addresses).await.map_err(|source| address_error(gateway, source))?;
        let tls = certificate.as_ref().map(Certificate::acceptor);
        Ok(Self { listeners, tls, certificate })
    }

    /// The certificate that is shown, where TLS is spoken.
    pub fn certificate(&self) -> Option<Certificate> {
        self.certificate.clone()
    }

    /// The next connection, at whichever address.
    pub(super) async fn accept(&self) -> io::Result<TcpStream> {
        let accepting = self.listeners.iter().map(|listener| listener.accept().boxed());
        Ok(select_all(accepting).await.0?.0)
    }

    /// Whether that could be bound, as far as it shows without taking the address.
    ///
    /// # Errors
    /// As for [`Network::bind`], but for what the system says of the address.
    pub async fn check(gateway: &Gateway) -> Result<(), BindError> {
        prepare(gateway).await.map(drop)
    }

    /// Where it is, such as `http://127.0.0.1:3120`.
    ///
    /// # Errors
    /// The system doesn't say.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let listener = self.listeners.first().ok_or(ErrorKind::NotConnected)?;
        Ok(format!("{scheme}://{}", listener.local_addr()?))
    }
}

/// How often the owner's socket is looked for: who cleans up may have deleted it.
const SOCKET_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The socket that only the owner of the data directory can open. Gone when dropped.
#[derive(Debug)]
pub struct OwnerSocket {
    listener: UnixListener,
    path: PathBuf,
    check: Interval,
}

impl OwnerSocket {
    /// Binds `<data-dir>/prx.sock`, in place of one that a gateway left behind.
    ///
    /// # Errors
    /// A gateway listens there, or the system refuses.
    pub fn bind(data_dir: &Path) -> Result<Self, BindError> {
        let path = data_dir.join(SOCKET);
        let failed = |source| BindError::Socket { path: path.clone(), source };
        match net::UnixStream::connect(&path) {
            Ok(_) => return Err(BindError::SocketInUse(path)),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                fs::remove_file(&path).map_err(failed)?;
            }
            Err(_) => {}
        }
        let listener = bind_socket(&path).map_err(failed)?;
        Ok(Self { listener, path, check: interval(SOCKET_CHECK_INTERVAL) })
    }

    /// Accepts the next connection. A socket that was deleted meanwhile is made anew.
    pub(super) async fn accept(&mut self) -> io::Result<(UnixStream, tokio::net::unix::SocketAddr)> {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => return accepted,
                _ = self.check.tick() => {}
            }
            if fs::symlink_metadata(&self.path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                match bind_socket(&self.path) {
                    Ok(listener) => {
                        self.listener = listener;
                        tracing::warn!("{} was deleted, and is back", self.path.display());
                    }
                    Err(error) => tracing::debug!("{} can't be made anew: {error}", self.path.display()),
                }
            }
        }
    }
}

fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Drop for OwnerSocket {
    fn drop(&mut self) {
        // Were it left behind, the next start would find that nobody listens and remove it.
        let _ = fs::remove_file(&self.path);
    }
}

/// The addresses that `[gateway]` names, and how TLS is spoken there.
async fn prepare(gateway: &Gateway) -> Result<(Vec<SocketAddr>, Option<Certificate>), BindError> {
    let tls = Certificate::load(gateway)?;
    let host = gateway.host.trim_start_matches('[').trim_end_matches(']');
    let found = lookup_host((host, gateway.port)).await;
    let found: Vec<_> = found.map_err(|source| address_error(gateway, source))?.collect();
    match found.iter().find(|address| !address.ip().is_loopback()) {
        Some(open) if tls.is_none() && !gateway.has_proxy() => Err(BindError::Exposed(open.ip())),
        _ => Ok((found, tls)),
    }
}

/// Listens at each of the addresses that a name has, on one port. Where the machine lacks one of them, as one without IPv6
/// does, the others do.
async fn listen(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut failure = io::Error::from(ErrorKind::AddrNotAvailable);
    for mut address in addresses.iter().copied() {
        if let Some(first) = listeners.first()
            && address.port() == 0
        {
            address.set_port(first.local_addr()?.port());
        }
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(error),
            Err(error) => failure = error,
        }
    }
    if listeners.is_empty() { Err(failure) } else { Ok(listeners) }
}

fn address_error(gateway: &Gateway, source: io::Error) -> BindError {
    let (host, port) = (gateway.host.clone(), gateway.port);
    match source.kind() {
        ErrorKind::AddrInUse => BindError::PortInUse { host, port },
        _ => BindError::Address { host, port, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named_with_what_to_do() {
        let first = Network::bind(&Gateway { port: 0, ..Gateway::default() }).await.expect("bound");
        let port = first.listeners[0].local_addr().expect("bound").port();
        let second = Network::bind(&Gateway { port, ..Gateway::default() }).await;
        let error = second.err().expect("in use").to_string();
        assert!(error.contains(&format!("127.0.0.1:{port} is in use")), "{error}");
        assert!(error.contains("--port"), "{error}");
    }

    #[tokio::test]
    async fn both_families_of_a_name_are_listened_to_and_one_that_lacks_is_no_error() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let (four, six, elsewhere) = (address("127.0.0.1:0"), address("[::1]:0"), address("203.0.113.1:0"));
        let has_six = TcpListener::bind(six).await.is_ok();
        for order in [[four, six], [six, four]] {
            let both = listen(&order).await.expect("bound");
            assert_eq!(both.len(), 1 + usize::from(has_six));
            let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
            assert!(both.iter().all(|listener| port(listener) == port(&both[0])), "{both:?}");
        }
        assert_eq!(listen(&[elsewhere, four]).await.expect("the other one").len(), 1);
        let error = listen(&[elsewhere]).await.expect_err("there is none");
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        let taken = listen(&[four]).await.expect("bound");
        let error = listen(&[taken[0].local_addr().expect("bound"), six]).await.expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn a_socket_is_taken_over_only_from_the_dead() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join(SOCKET);
        let first = OwnerSocket::bind(home.path()).expect("bound");
        let error = OwnerSocket::bind(home.path()).expect_err("someone listens");
        assert!(matches!(error, BindError::SocketInUse(_)), "{error}");
        drop(first);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        let _second = OwnerSocket::bind(home.path()).expect("taken over");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_network_is_listened_to_only_behind_a_proxy() {
        let open = Gateway { host: "0.0.0.0".into(), port: 0, ..Gateway::default() };
        let error = Network::bind(&open).await.err().expect("exposed");
        assert!(matches!(error, BindError::Exposed(_)), "{error}");
        assert!(Network::bind(&Gateway { behind_proxy: true, ..open }).await.is_ok());
    }
}
