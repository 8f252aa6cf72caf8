//! The handle that all verbs are called on.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::rows::{Failure, Result, Snapshot};
use super::tx::{Asked, Job, Order, Shared, Tx, failed};

/// A cheap-clone handle to the store of one data directory.
///
/// Every verb fails with `unavailable` while the disk does not take what it is given, and once the store is closed. After
/// a failure the file is opened anew every few seconds; what was acknowledged is in it then, as after a crash.
#[derive(Clone)]
pub struct Store {
    pub(super) shared: Arc<Shared>,
    pub(super) orders: mpsc::Sender<Order>,
}

impl Store {
    /// Whether the disk takes what it is given. Once false it stays false until the file could be opened anew.
    pub fn is_healthy(&self) -> bool {
        self.shared.is_healthy()
    }

    /// Why the store takes nothing, while it doesn't; also after it was closed without all of it on disk.
    pub fn problem(&self) -> Option<String> {
        self.shared.problem()
    }

    /// Waits until the store takes verbs again; at once while it does. After a failure everything that follows from what
    /// is on disk is to be taken up as after a crash. Never ends once the store is closed.
    pub async fn recovered(&self) {
        let mut reopened = self.reopened();
        while !self.is_healthy() && reopened.changed().await.is_ok() {}
    }

    /// Changes when the file was opened anew after a failure.
    pub fn reopened(&self) -> watch::Receiver<u64> {
        self.shared.reopened.subscribe()
    }

    /// Finishes every verb that was asked for, brings it to disk and lets go of the file. Other handles fail from
    /// then on. A store that is merely dropped does the same on its own time.
    pub async fn close(self) {
        let (closer, closed) = oneshot::channel();
        // An error on either way says that it is closed already.
        if self.orders.send(Order::Close(closer)).await.is_ok() {
            let _ = closed.await;
        }
    }

    /// One bounded look at what is committed.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Snapshot) -> Result<T, Failure>) -> Result<T> {
        self.shared.read(look)
    }

    /// Runs a verb and comes back once it is on disk. Dropping the future does not call the verb back.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Tx<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.submit(true, verb).await
    }

    /// Runs a verb that a crash may undo, because whoever asked for it would ask again.
    pub(super) async fn write_lazily<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Tx<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.submit(false, verb).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        durable: bool,
        verb: impl FnOnce(&Tx<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        if !self.is_healthy() {
            return Err(failed());
        }
        let (caller, answer) = oneshot::channel();
        let asked = Box::new(Asked { verb: Some(verb), answer: None, caller });
        self.orders.send(Order::Verb(Job { durable, asked })).await.map_err(|_| failed())?;
        answer.await.map_err(|_| failed())?
    }
}
