//! The handle that all verbs are called on.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::rows::{Failure, Result, Snapshot};
use super::tx::{Asked, Job, Order, Shared, Tx, failed};

/// A cheap-clone handle to the store of one data directory.
///
/// Every verb fails with `unavailable` once the disk has failed or the store is closed.
#[derive(Clone)]
pub struct Store {
    pub(super) shared: Arc<Shared>,
    pub(super) orders: mpsc::Sender<Order>,
}

impl Store {
    /// Whether the disk still takes what it is given. Once false it stays false until the store is opened anew.
    pub fn is_healthy(&self) -> bool {
        self.shared.is_healthy()
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
        let (caller, answer) = oneshot::channel();
        let asked = Box::new(Asked { verb: Some(verb), answer: None, caller });
        self.orders.send(Order::Verb(Job { durable, asked })).await.map_err(|_| failed())?;
        answer.await.map_err(|_| failed())?
    }
}
