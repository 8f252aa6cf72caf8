//! `[telemetry]`: traces for a collector.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// `[telemetry]`
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// The collector that traces are sent to, by OTLP over HTTP; empty: none.
    pub otlp_endpoint: String,
    /// Headers that go with them. Each is a secret, and may be `env:NAME` or `file:PATH`.
    pub headers: BTreeMap<String, String>,
    /// Providers' servers and MCP servers are told the trace that a request is part of.
    pub propagate: bool,
}

/// Of the headers, the names only.
impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("otlp_endpoint", &self.otlp_endpoint)
            .field("headers", &self.headers.keys())
            .field("propagate", &self.propagate)
            .finish()
    }
}
