//! An observer that keeps what it is told, and fails as it is told.

use std::time::Duration;

use prx_sdk::job::Action;
use prx_sdk::observer::{Happening, Observer};
use prx_sdk::tool::{CallContext, Fault, ToolOutput, TypedTool};
use prx_sdk::{config, kv};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    mood: String,
}

struct Watching;

impl Observer for Watching {
    const KINDS: &[&str] = &["session.*", "watching.*"];

    fn observe(happenings: Vec<Happening>) -> Result<Vec<Action>, Fault> {
        let Config { mood } = config::get()?;
        let mut told = told()?;
        told.push_str(&format!("batch {}\n", happenings.len()));
        for happening in &happenings {
            told.push_str(&format!("{} {}\n", happening.seq, happening.kind));
        }
        kv::set("told", told.as_bytes())?;
        match mood.as_str() {
            "fault" => Err(Fault::unavailable("not today")),
            "trap" => trap(),
            "slow" => {
                std::thread::sleep(Duration::from_secs(20));
                Ok(Vec::new())
            }
            "astray" => Ok(vec![Action::send("nowhere/1", "said")?]),
            _ => Ok(vec![Action::publish("watching.saw", &serde_json::json!({"count": happenings.len()}))?]),
        }
    }
}

fn told() -> Result<String, Fault> {
    Ok(String::from_utf8(kv::get("told")?.unwrap_or_default()).unwrap_or_default())
}

/// What it was told.
#[derive(Deserialize)]
struct Told {}

impl TypedTool for Told {
    const NAME: &str = "told";
    const DESCRIPTION: &str = "Says what it was told.";
    const PARAMETERS: &str = r#"{"type": "object"}"#;

    fn call(self, _: &CallContext) -> Result<ToolOutput, Fault> {
        told().map(ToolOutput::from)
    }
}

#[expect(clippy::panic, reason = "this is what it is for")]
fn trap() -> ! {
    panic!("broken on purpose")
}

prx_sdk::plugin! { tools: [Told], observer: Watching, manifest: "watching.toml" }
