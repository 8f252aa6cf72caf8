//! Where the gateway listens: an address, and a socket in its data directory.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener, lookup_host};

use crate::config::Gateway;

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
        "{0} is not a loopback address: tokens would cross the network unencrypted; listen on 127.0.0.1, or put a \
         proxy that speaks TLS in front and set gateway.behind_proxy = true"
    )]
    Exposed(IpAddr),
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

/// Bound, and about to be served.
#[derive(Debug)]
pub struct Listeners {
    pub(super) network: TcpListener,
    pub(super) owner: UnixListener,
    address: SocketAddr,
    socket: PathBuf,
}

impl Listeners {
    /// Binds the address that `[gateway]` names, and `<data-dir>/prx.sock` for the owner of the data directory.
    ///
    /// # Errors
    /// Someone else is there, or the system refuses.
    pub async fn bind(gateway: &Gateway, data_dir: &Path) -> Result<Self, BindError> {
        let network = bind_network(gateway).await?;
        let socket = data_dir.join("prx.sock");
        let owner = bind_owner(&socket)?;
        let address = network.local_addr().map_err(|source| address_error(gateway, source))?;
        Ok(Self { network, owner, address, socket })
    }

    /// The address, with the port that was found for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets go of the address and the socket.
    pub(super) fn close(self) {
        // Were it left behind, the next start would find that nobody listens and remove it.
        let _ = fs::remove_file(&self.socket);
    }
}

async fn bind_network(gateway: &Gateway) -> Result<TcpListener, BindError> {
    let host = gateway.host.trim_start_matches('[').trim_end_matches(']');
    let found = lookup_host((host, gateway.port)).await.map_err(|source| address_error(gateway, source))?;
    let found: Vec<_> = found.collect();
    if let Some(open) = found.iter().find(|address| !address.ip().is_loopback())
        && !gateway.behind_proxy
    {
        return Err(BindError::Exposed(open.ip()));
    }
    TcpListener::bind(&*found).await.map_err(|source| address_error(gateway, source))
}

fn address_error(gateway: &Gateway, source: io::Error) -> BindError {
    let (host, port) = (gateway.host.clone(), gateway.port);
    match source.kind() {
        ErrorKind::AddrInUse => BindError::PortInUse { host, port },
        _ => BindError::Address { host, port, source },
    }
}

fn bind_owner(path: &Path) -> Result<UnixListener, BindError> {
    let failed = |source| BindError::Socket { path: path.into(), source };
    match UnixStream::connect(path) {
        Ok(_) => return Err(BindError::SocketInUse(path.into())),
        // Left behind by a gateway that did not get to remove it.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)?
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anywhere() -> Gateway {
        Gateway { port: 0, ..Gateway::default() }
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_what_to_do() {
        let home = tempfile::tempdir().expect("a directory");
        let first = Listeners::bind(&anywhere(), home.path()).await.expect("bound");
        let gateway = Gateway { port: first.address().port(), ..Gateway::default() };
        let error = Listeners::bind(&gateway, home.path()).await.expect_err("in use").to_string();
        assert!(error.contains(&format!("127.0.0.1:{} is in use", gateway.port)), "{error}");
        assert!(error.contains("--port"), "{error}");
    }

    #[tokio::test]
    async fn a_socket_is_taken_over_only_from_the_dead() {
        let home = tempfile::tempdir().expect("a directory");
        let first = Listeners::bind(&anywhere(), home.path()).await.expect("bound");
        let error = Listeners::bind(&anywhere(), home.path()).await.expect_err("someone listens");
        assert!(matches!(error, BindError::SocketInUse(_)), "{error}");
        drop(first);
        let second = Listeners::bind(&anywhere(), home.path()).await.expect("taken over");
        let mode = fs::metadata(&second.socket).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        second.close();
        assert!(!home.path().join("prx.sock").exists());
    }

    #[tokio::test]
    async fn the_network_is_refused_without_a_proxy() {
        let home = tempfile::tempdir().expect("a directory");
        let open = Gateway { host: "0.0.0.0".into(), ..anywhere() };
        let error = Listeners::bind(&open, home.path()).await.expect_err("exposed");
        assert!(matches!(error, BindError::Exposed(_)), "{error}");
        let proxied = Gateway { behind_proxy: true, ..open };
        assert!(Listeners::bind(&proxied, home.path()).await.is_ok());
    }
}
