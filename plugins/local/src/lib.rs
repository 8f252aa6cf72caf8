//! The default provider: no key, no network, deterministic.
