//! Which sessions there is something to do for.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::ids::lock;

/// Sessions in the order in which they came; each at most once.
///
/// A cheap-clone handle. Of sessions with turns waiting: whoever takes one's id owns its queue until
/// [`claim_turn`](crate::Store::claim_turn) says that it is empty.
#[derive(Clone, Default)]
pub struct Ready(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    line: Mutex<Line>,
    wake: Notify,
}

#[derive(Default)]
struct Line {
    order: VecDeque<String>,
    members: HashSet<String>,
}

impl Ready {
    /// Takes the id of the session that has waited longest; waits for one. Dropping the future loses nothing.
    pub async fn next(&self) -> String {
        loop {
            let wake = self.0.wake.notified();
            if let Some(session) = self.take() {
                return session;
            }
            wake.await;
        }
    }

    pub(super) fn push(&self, session: String) {
        let line = &mut *lock(&self.0.line);
        if line.members.insert(session.clone()) {
            line.order.push_back(session);
            self.0.wake.notify_one();
        }
    }

    fn take(&self) -> Option<String> {
        let line = &mut *lock(&self.0.line);
        let session = line.order.pop_front()?;
        line.members.remove(&session);
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sessions_come_out_once_and_in_order() {
        let ready = Ready::default();
        for session in ["b", "a", "b", "c"] {
            ready.push(session.into());
        }
        assert_eq!([ready.next().await, ready.next().await, ready.next().await], ["b", "a", "c"]);
        ready.push("b".into());
        assert_eq!(ready.next().await, "b");
    }

    #[tokio::test]
    async fn every_waiter_gets_one() {
        let ready = Ready::default();
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let ready = ready.clone();
                tokio::spawn(async move { ready.next().await })
            })
            .collect();
        for session in 0..8 {
            ready.push(session.to_string());
            tokio::task::yield_now().await;
        }
        let mut got = Vec::new();
        for waiter in waiters {
            got.push(waiter.await.unwrap());
        }
        got.sort();
        assert_eq!(got, (0..8).map(|session| session.to_string()).collect::<Vec<_>>());
    }
}
