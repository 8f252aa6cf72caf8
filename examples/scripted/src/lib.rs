//! A provider that says what its script says: for tests of plugins, of gateways and of what people see.
//!
//! The script is JSON, in `providers_config.scripted.script`: a list of scenes. A message plays the first scene whose
//! `when` is part of it; a scene without `when` is for any. A scene has one answer for each time that the model is
//! asked in that turn: one before the first tools are called, one after their results, and so on; the last one is
//! repeated. An answer is a list of steps. The same conversation always gets the same answer.
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
//! | `{"text": "…"}`, `{"thinking": "…"}` | says a piece |
//! | `{"repeat": {"text": "…", "times": 500, "every_ms": 20}}` | says a piece again and again, with a pause before each |
//! | `{"wait_ms": 200}` | waits |
//! | `{"call": {"name": "…", "arguments": {…}, "id": "…"}}` | asks for a tool; arguments that are a string go out as they are, an `id` is made where there is none |
//! | `{"usage": {"input": 40, "output": 3, "cached": 0}}` | says what it cost, without which it cost nothing |
//! | `{"stop": "length"}` | says why it stopped: `end`, `tool-use`, `length`, `refused`, `other` |
//! | `{"show": "request"}` | says, as JSON, everything that it was given |
//! | `{"show": {"blob": "blob_…"}}` | says what is in a file that it was given |
//! | `{"fail": {"message": "…", "code": "unavailable", "retryable": true, "retry_after_ms": 50, "times": 2}}` | fails, after whatever it said before; with `times`, only the first times that anyone comes to this step |
//!
//! It counts those `times` in its storage: grant it `kv = "64KiB"`.

mod play;
mod script;
#[cfg(test)]
mod tests;

use prx_sdk::config;
use prx_sdk::provider::{Completion, Provider, ProviderError, Request, Sink};

use self::play::Player;
use self::script::Script;

/// The one model. A request may name another: the script answers for that as well.
const MODEL: &str = "scripted-1";

/// Plays the operator's script.
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
