//! A provider of models that answers from a script: for testing agents, tools and gateways without a model.
//!
//! The script is JSON, in `providers_config.scripted.script`: a list of scenes. A message plays the first scene whose
//! `when` it contains; a scene without `when` matches every message. A scene has one answer for each request of a turn:
//! the first before any tool is called, the next after the tools' results, and so on; the last one is repeated. An
//! answer is a list of steps. The same conversation always gets the same answer.
//!
//! ```json
//! [
//!     {
//!         "when": "weather",
//!         "answers": [
//!             [{"text": "Let me look. "}, {"call": {"name": "get_weather", "arguments": {"place": "Lisbon"}}}],
//!             [{"wait_ms": 200}, {"text": "It rains."}, {"usage": {"input": 40, "output": 3}}]
//!         ]
//!     },
//!     {"answers": [[{"text": "Hm."}]]}
//! ]
//! ```
//!
//! | step | does |
//! |---|---|
//! | `{"text": "…"}`, `{"thinking": "…"}` | streams a piece of text or of reasoning |
//! | `{"repeat": {"text": "…", "times": 500, "every_ms": 20}}` | streams a piece several times, with a pause before each |
//! | `{"wait_ms": 200}` | waits |
//! | `{"call": {"name": "…", "arguments": {…}, "id": "…"}}` | calls a tool; arguments that are a string go out as they are, a missing `id` is made up |
//! | `{"usage": {"input": 40, "output": 3, "cached": 0}}` | reports usage, otherwise zero |
//! | `{"stop": "length"}` | sets the reason why it stopped: `end`, `tool-use`, `length`, `refused`, `other` |
//! | `{"show": "request"}` | streams the whole request as JSON |
//! | `{"show": {"blob": "blob_…"}}` | streams the contents of a file that came with the request |
//! | `{"fail": {"message": "…", "code": "unavailable", "retryable": true, "retry_after_ms": 50, "times": 2}}` | fails, after what it streamed so far; with `times`, only so many times in all |
//!
//! It counts `times` in its key-value storage: grant it `kv = "64KiB"`.

mod play;
mod script;
#[cfg(test)]
mod tests;

use prx_sdk::config;
use prx_sdk::provider::{Completion, Provider, ProviderError, Request, Sink};

use self::play::Player;
use self::script::Script;

/// The one model that is listed. A request may name any other.
const MODEL: &str = "scripted-1";

/// Answers from the operator's script.
pub struct Scripted;

#[derive(serde::Deserialize)]
struct Config {
    script: String,
}

impl Provider for Scripted {
    fn models() -> Vec<String> {
        vec![MODEL.to_owned()]
    }

    fn complete(request: Request, sink: &Sink) -> Result<Completion, ProviderError> {
        let config: Config = config::get()?;
        let script = Script::parse(&config.script)?;
        let (place, steps) = script.answer(&request)?;
        Player::new(&request, sink, place).play(steps)
    }
}

prx_sdk::plugin! { provider: Scripted, manifest: "plugin.toml" }
