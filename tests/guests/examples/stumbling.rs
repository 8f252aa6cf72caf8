//! A connector that loads and migrates like any other, and fails on the first event it is given.

use prx_sdk::connector::{Commands, Connector, Context, Event, Fault};

/// Nothing but the failure.
pub struct Stumbling;

impl Connector for Stumbling {
    type Config = serde_json::Value;
    type State = serde_json::Value;

    fn handle(
        _: &Context<Self::Config>,
        _: &mut Self::State,
        _: Event,
        _: &mut Commands,
    ) -> Result<(), Fault> {
        Err(Fault::internal("it stumbles over the first event"))
    }
}

prx_sdk::plugin! { connector: Stumbling, manifest: "stumbling.toml" }
