//! All tables there are.

use super::kept::Kept;
use super::tx::META;
use super::{
    agents, approvals, audit, blobs, channels, deliveries, erasure, event_log, exchanges, guests, hooks,
    idempotency, jobs, kv, mcp_logins, memory, messages, observers, outbox, overheard, plugins, sessions,
    spending, stats, streams, tokens, turns,
};

/// A noun's tables a line.
const ALL: [&[&dyn Kept]; 28] = [
    &[&META],
    sessions::TABLES,
    messages::TABLES,
    turns::TABLES,
    blobs::TABLES,
    channels::TABLES,
    agents::TABLES,
    approvals::TABLES,
    audit::TABLES,
    outbox::TABLES,
    overheard::TABLES,
    spending::TABLES,
    stats::TABLES,
    streams::TABLES,
    hooks::TABLES,
    deliveries::TABLES,
    erasure::TABLES,
    guests::TABLES,
    tokens::TABLES,
    plugins::TABLES,
    jobs::TABLES,
    exchanges::TABLES,
    kv::TABLES,
    event_log::TABLES,
    observers::TABLES,
    mcp_logins::TABLES,
    memory::TABLES,
    idempotency::TABLES,
];

/// Every table, in the order in which they are made.
pub(super) fn all() -> impl Iterator<Item = &'static dyn Kept> {
    ALL.into_iter().flatten().copied()
}
