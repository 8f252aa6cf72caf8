//! What one plugin may reach, and with which secrets. Deny by default.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::{Failure, Kind};
use super::origin::Origin;
use super::pattern::Pattern;
use prx_base::config::Secret;

/// Requests that one policy may have in flight, with answers that are still being read.
const MAX_IN_FLIGHT: usize = 256;

/// Origins that requests may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Where to.
    pub origin: Pattern,
    /// The operator named this origin himself, so it may lie inside his network. Any other must resolve to
    /// public addresses only, and so must one that he only named a domain of.
    pub private: bool,
}

/// Secrets by name. A clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Arc<BTreeMap<String, Secret>>);

/// What the requests of one plugin may reach. A clone shares the bound on requests under way.
#[derive(Debug, Clone)]
pub struct Policy {
    origins: Vec<Allowed>,
    secrets: Secrets,
    slots: Arc<Semaphore>,
}

impl Secrets {
    /// The secret of that name, if it is granted.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// The granted names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether no secret is granted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Secret> {
        self.0.values()
    }
}

impl FromIterator<(String, Secret)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (String, Secret)>>(secrets: I) -> Self {
        Self(Arc::new(secrets.into_iter().collect()))
    }
}

impl Policy {
    /// Allows these origins and these secrets, and nothing else.
    pub fn new(origins: Vec<Allowed>, secrets: Secrets) -> Self {
        Self { origins, secrets, slots: Arc::new(Semaphore::new(MAX_IN_FLIGHT)) }
    }

    /// The origins that may be reached.
    pub fn origins(&self) -> &[Allowed] {
        &self.origins
    }

    /// The secrets that may be put into requests.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Whether `origin` may be reached, and if so whether it may be private.
    pub(super) fn admit(&self, origin: &Origin) -> Result<bool, Failure> {
        let mut entries = self.origins.iter().filter(|allowed| allowed.origin.covers(origin)).peekable();
        if entries.peek().is_none() {
            return Err(Failure::unsent(Kind::Denied, origin, "not among the granted origins"));
        }
        Ok(entries.any(|allowed| allowed.private && allowed.origin.is_exact()))
    }

    /// Waits for a place among the requests in flight.
    pub(super) async fn slot(&self, wait: Duration) -> Result<OwnedSemaphorePermit, Failure> {
        let slot = self.slots.clone().acquire_owned();
        match tokio::time::timeout(wait, slot).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(Failure {
                kind: Kind::Timeout,
                sent: false,
                reason: format!("{MAX_IN_FLIGHT} requests of this plugin are under way already"),
            }),
        }
    }
}

impl Default for Policy {
    /// Allows nothing.
    fn default() -> Self {
        Self::new(Vec::new(), Secrets::default())
    }
}
