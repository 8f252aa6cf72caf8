//! How many connections may be open, in all and from one address, and what becomes of the others: they get a place in a
//! reserve that answers the health probes, and nothing else.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use prx_base::config::Gateway;
use tokio_util::sync::CancellationToken;

/// Connections beyond that. The oldest of them makes room for a new one: as many as come within a few milliseconds when they
/// come as fast as they can, which is what a probe has to be answered.
const RESERVE: usize = 256;

/// How many connections may be open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    total: usize,
    per_address: usize,
}

impl Limits {
    /// As configured. Behind a proxy everyone has the proxy's address.
    pub(super) fn of(gateway: &Gateway) -> Self {
        let count = |most: u64| usize::try_from(most).unwrap_or(usize::MAX);
        let total = count(gateway.max_connections);
        let per_address =
            if gateway.has_proxy() { total } else { count(gateway.max_connections_per_address) };
        Self { total, per_address }
    }
}

/// How many connections are open from each address. The locks are held to count, never across a wait.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<HashMap<IpAddr, usize>>,
    reserve: Mutex<Reserve>,
}

/// The connections beyond the limit, oldest first.
#[derive(Debug, Default)]
struct Reserve {
    open: VecDeque<(u64, CancellationToken)>,
    /// The number of the newest one.
    newest: u64,
}

/// Lets one connection be open, until it is dropped.
#[derive(Debug)]
pub(super) enum Permit {
    /// For any request.
    Any(#[expect(dead_code, reason = "held to be dropped")] Place),
    /// For a health probe, until it has to make room.
    Health(Reserved),
}

/// A place in the reserve.
#[derive(Debug)]
pub(super) struct Reserved {
    connections: Arc<Connections>,
    number: u64,
    /// Cancelled when a newer one takes the place.
    pub(super) evicted: CancellationToken,
}

/// A place among those of an address.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Permit {
    /// A permit for one more connection from this address.
    pub(super) fn acquire(connections: &Arc<Connections>, address: IpAddr, limits: Limits) -> Self {
        let mut open = connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = open.values().sum();
        let here = open.get(&address).copied().unwrap_or_default();
        if total < limits.total && here < limits.per_address {
            open.insert(address, here + 1);
            return Self::Any(Place { connections: connections.clone(), address });
        }
        drop(open);
        let mut reserve = connections.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        if reserve.open.len() >= RESERVE
            && let Some((_, oldest)) = reserve.open.pop_front()
        {
            oldest.cancel();
        }
        let evicted = CancellationToken::new();
        reserve.newest += 1;
        let number = reserve.newest;
        reserve.open.push_back((number, evicted.clone()));
        Self::Health(Reserved { connections: connections.clone(), number, evicted })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut reserve = self.connections.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        reserve.open.retain(|(number, _)| *number != self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_given_back_and_the_reserve_goes_round() {
        let connections = Arc::new(Connections::default());
        let (address, limits) = (IpAddr::from([127, 0, 0, 1]), Limits { total: 3, per_address: 2 });
        let any = |permit: &Permit| matches!(permit, Permit::Any(_));
        let first = Permit::acquire(&connections, address, limits);
        let second = Permit::acquire(&connections, address, limits);
        assert!(any(&first) && any(&second));
        let reserved: Vec<_> =
            (0..=RESERVE).map(|_| Permit::acquire(&connections, address, limits)).collect();
        let open =
            |permit: &&Permit| matches!(permit, Permit::Health(place) if !place.evicted.is_cancelled());
        assert_eq!(reserved.iter().filter(open).count(), RESERVE);
        assert!(!open(&&reserved[0]), "the oldest made room");
        let mut reserved = reserved;
        drop(reserved.drain(1..10));
        reserved.extend((0..9).map(|_| Permit::acquire(&connections, address, limits)));
        assert!(open(&&reserved[1]), "those that are closed have made room already");
        let third = Permit::acquire(&connections, IpAddr::from([127, 0, 0, 2]), limits);
        assert!(any(&third));
        assert!(!any(&Permit::acquire(&connections, IpAddr::from([127, 0, 0, 3]), limits)), "three in all");
        drop(first);
        assert!(any(&Permit::acquire(&connections, address, limits)));
    }
}
