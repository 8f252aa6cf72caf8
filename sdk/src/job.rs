//! The `job` capability: what a plugin does at set times. The manifest names them:
//!
//! ```toml
//! [[schedule]]
//! name = "good-morning"
//! cron = "0 8 * * MON-FRI"
//!
//! [config.to]
//! type = "string"
//! required = true
//! extends = "send"
//! description = "Where it is said, as channel/conversation"
//! ```
//!
//! ```
//! use prx_sdk::job::{Action, Fault, Job, UnixMs};
//! use prx_sdk::{config, testing};
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! #[derive(Deserialize)]
//! struct Config {
//!     to: String,
//! }
//!
//! struct Morning;
//!
//! impl Job for Morning {
//!     fn run(_name: &str, _due: UnixMs, _run_id: &str) -> Result<Vec<Action>, Fault> {
//!         let config: Config = config::get()?;
//!         Ok(vec![Action::send(&config.to, "Good morning!")?])
//!     }
//! }
//!
//! testing::configure(json!({"to": "work/4711"}));
//! let actions = testing::run_job::<Morning>("good-morning", 0, "run_1").unwrap();
//! assert_eq!(actions, [Action::send("work/4711", "Good morning!").unwrap()]);
//! ```

pub use crate::action::{Action, Outgoing};
pub use crate::types::{Fault, UnixMs};

use crate::wire::job as wire;

/// The jobs of a plugin.
pub trait Job {
    /// Runs the job of this name for the time that it was due at. Never twice at once, and no other job of the plugin
    /// beside it.
    ///
    /// Where the gateway ends in the middle it is run once more under the same `run_id`: what it has done by itself until
    /// then, in its storage or over the network, it may find done. What it returns takes effect once.
    ///
    /// # Errors
    /// Why it could not do its work; the operator reads it, and the next time is the next one.
    fn run(name: &str, due: UnixMs, run_id: &str) -> Result<Vec<Action>, Fault>;
}

impl<T: Job> wire::Guest for T {
    fn run(name: String, due: UnixMs, run_id: String) -> Result<Vec<Action>, Fault> {
        T::run(&name, due, &run_id)
    }
}
