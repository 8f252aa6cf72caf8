//! Connections that wait for their next request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::origin::Origin;
use super::proxy::Proxy;
use super::request::Stream;

/// How long a connection is kept for its next request: 30 seconds. Shorter than any common server's idle timeout, so
/// that a connection is seldom found closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Idle connections that are kept to one origin.
const MAX_IDLE_PER_ORIGIN: usize = 8;

/// What makes connections interchangeable. One that was opened to a private address is never lent to a request
/// that may only reach public ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) origin: Origin,
    pub(super) private: bool,
}

/// An open connection. Dropping it closes it at once, whatever is on its way.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Stream>,
    pub(super) task: AbortHandle,
    /// The proxy at its other end, where that is one that is told the whole URL.
    pub(super) relayed: Option<Arc<Proxy>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Idle connections by origin.
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Key, Vec<Idle>>>);

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// The connection that was used last, among those that are ready.
    pub(super) fn take(&self, key: &Key) -> Option<Connection> {
        let mut pool = self.swept();
        let idle = pool.get_mut(key)?;
        let ready = idle.iter().rposition(|idle| idle.connection.sender.is_ready())?;
        Some(idle.remove(ready).connection)
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(super) fn put(&self, key: Key, connection: Connection) {
        let mut pool = self.swept();
        let idle = pool.entry(key).or_default();
        if idle.len() == MAX_IDLE_PER_ORIGIN {
            idle.remove(0);
        }
        idle.push(Idle { connection, since: Instant::now() });
    }

    /// Drops all of them: they lead where nothing is to go any more.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn swept(&self) -> MutexGuard<'_, HashMap<Key, Vec<Idle>>> {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.retain(|_, idle| {
            idle.retain(|idle| !idle.connection.sender.is_closed() && idle.since.elapsed() < IDLE_TIMEOUT);
            !idle.is_empty()
        });
        pool
    }
}

/// A connection in use, which knows its way back.
pub(super) struct Lease {
    pub(super) connection: Connection,
    pub(super) key: Key,
    pub(super) pool: Arc<Pool>,
}

impl Lease {
    /// Gives the connection back for the next request. Dropping the lease closes it instead.
    pub(super) fn release(self) {
        self.pool.put(self.key, self.connection);
    }
}
