//! Limits of one call: memory summed over everything it allocates, computing time, and a deadline.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use wasmtime::ResourceLimiter;

/// Most linear memory that an operator can allow one instance.
pub const MAX_MEMORY_BYTES: u64 = 64 << 20;

/// Most memory of all instances of one plugin, in multiples of what one may have.
const PLUGIN_MEMORY_FACTOR: u64 = 8;

/// Most instances of modules, memories and tables in one instance of a component. The engine's pools are shared: these
/// keep one plugin from using them up with many small things.
pub(super) const MAX_CORE_INSTANCES_EACH: usize = 64;
pub(super) const MAX_MEMORIES_EACH: usize = 4;
pub(super) const MAX_TABLES_EACH: usize = 32;

/// How long a guest may compute before others get their turn; a limit is noticed within as much.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// What one call of a component may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memories and tables of the instance, summed. At most [`MAX_MEMORY_BYTES`] have an effect.
    pub memory_bytes: u64,
    /// Time spent computing, in the guest and in the kernel on its behalf, and as much again for each half minute
    /// that the call lasts. Waiting costs nothing.
    pub cpu: Duration,
    /// Time from the call to its answer, waiting included.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, cpu: Duration::from_secs(2), deadline: Duration::from_secs(30) }
    }
}

/// A limit that a guest ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exceeded {
    Cpu,
    Memory,
    /// What all instances of the plugin may have together.
    PluginMemory,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "out of computing time",
            Self::Memory => "out of memory",
            Self::PluginMemory => "out of the plugin's memory",
        })
    }
}

impl std::error::Error for Exceeded {}

/// Bytes that the live instances of one plugin hold.
#[derive(Debug)]
pub(super) struct Gauge {
    bytes: AtomicU64,
    /// The most there ever were.
    peak: AtomicU64,
    most: u64,
}

impl Gauge {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            bytes: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            most: limits.memory_bytes.saturating_mul(PLUGIN_MEMORY_FACTOR),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    pub(super) fn most(&self) -> u64 {
        self.most
    }

    fn take(&self, bytes: u64) -> bool {
        let before = self.bytes.fetch_add(bytes, Relaxed);
        let fits = before.saturating_add(bytes) <= self.most;
        match fits {
            true => _ = self.peak.fetch_max(before.saturating_add(bytes), Relaxed),
            false => _ = self.bytes.fetch_sub(bytes, Relaxed),
        }
        fits
    }
}

/// Counts one store's memories and tables against its limit and its plugin's.
#[derive(Debug)]
pub(super) struct Limiter {
    held: u64,
    most: u64,
    refused: Option<Exceeded>,
    gauge: Arc<Gauge>,
}

impl Limiter {
    pub(super) fn new(limits: &Limits, gauge: Arc<Gauge>) -> Self {
        Self { held: 0, most: limits.memory_bytes, refused: None, gauge }
    }

    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Whether the guest ever asked for more than it may have, and of what.
    pub(super) fn refused(&self) -> Option<Exceeded> {
        self.refused
    }

    fn grow(&mut self, current: usize, desired: usize, unit: u64) -> bool {
        let more = (desired.saturating_sub(current) as u64).saturating_mul(unit);
        let refused = match self.held.saturating_add(more) <= self.most {
            false => Some(Exceeded::Memory),
            true if self.gauge.take(more) => None,
            true => Some(Exceeded::PluginMemory),
        };
        match refused {
            None => self.held += more,
            Some(_) => self.refused = refused,
        }
        refused.is_none()
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.gauge.bytes.fetch_sub(self.held, Relaxed);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, 1))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, size_of::<usize>() as u64))
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES_EACH
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES_EACH
    }

    fn tables(&self) -> usize {
        MAX_TABLES_EACH
    }
}
