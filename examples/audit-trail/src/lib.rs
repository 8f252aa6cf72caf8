//! Keeps what happens as lines in its own storage, the newest of them, and gives models and callers a tool to read them.
//!
//! What is told twice is kept once: a line's key is the number of its event.

use jiff::Timestamp;
use prx_sdk::observer::{Action, Happening, Observer};
use prx_sdk::tool::{CallContext, Fault, ToolOutput, TypedTool};
use prx_sdk::{config, kv};
use serde::Deserialize;

/// Lines that a call of the tool returns, at most.
const MAX_LINES: usize = 100;
/// Bytes of a line, at most.
const MAX_BYTES: usize = 1000;

#[derive(Deserialize)]
struct Config {
    keep: usize,
}

/// Keeps the lines.
pub struct Trail;

impl Observer for Trail {
    const KINDS: &[&str] = &["*"];

    fn observe(happenings: Vec<Happening>) -> Result<Vec<Action>, Fault> {
        let Config { keep } = config::get()?;
        for happening in happenings {
            kv::set(&key(happening.seq), line(&happening).as_bytes())?;
        }
        let kept = kv::keys("line/", None)?;
        for oldest in kept.iter().take(kept.len().saturating_sub(keep.clamp(1, 900))) {
            kv::delete(oldest)?;
        }
        Ok(Vec::new())
    }
}

/// In the order of the numbers.
fn key(seq: u64) -> String {
    format!("line/{seq:020}")
}

fn line(happening: &Happening) -> String {
    let Happening { seq, kind, at, data } = happening;
    let at = i64::try_from(*at).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let mut line = format!("{} #{seq} {kind} {data}", at.unwrap_or_default());
    line.truncate(line.floor_char_boundary(MAX_BYTES));
    line
}

/// Reads the lines.
#[derive(Deserialize)]
pub struct AuditTrail {
    limit: Option<usize>,
    containing: Option<String>,
}

impl TypedTool for AuditTrail {
    const NAME: &str = "audit_trail";
    const DESCRIPTION: &str = "Lists what has happened in the gateway, newest last: sessions, messages, tools, channels, plugins, errors.";
    const PARAMETERS: &str = r#"{
        "type": "object",
        "properties": {
            "limit": { "type": "integer", "minimum": 1, "maximum": 100, "description": "most lines; 20 if not said" },
            "containing": { "type": "string", "description": "only lines with this in them, such as error.occurred" }
        }
    }"#;
    const READ_ONLY: bool = true;

    fn call(self, _: &CallContext) -> Result<ToolOutput, Fault> {
        let (limit, sought) = (self.limit.unwrap_or(20).min(MAX_LINES), self.containing.unwrap_or_default());
        let mut lines = Vec::new();
        for key in kv::keys("line/", None)?.iter().rev() {
            let line = kv::get(key)?.map(|line| String::from_utf8_lossy(&line).into_owned());
            lines.extend(line.filter(|line| line.contains(&sought)));
            if lines.len() >= limit {
                break;
            }
        }
        lines.reverse();
        if lines.is_empty() {
            return Ok("Nothing of the kind has happened since this plugin was installed.".into());
        }
        Ok(lines.join("\n").into())
    }
}

prx_sdk::plugin! { tools: [AuditTrail], observer: Trail, manifest: "plugin.toml" }

#[cfg(test)]
mod tests {
    use prx_sdk::{testing, tool};
    use serde_json::json;

    use super::*;

    fn read(arguments: &str) -> String {
        tool::call::<AuditTrail>(arguments, &CallContext::default()).unwrap().text
    }

    #[test]
    fn what_happens_is_kept_in_order_and_read() {
        testing::configure(json!({"keep": 3}));
        assert!(read("{}").starts_with("Nothing"));
        let kinds = ["session.created", "message.received", "error.occurred", "session.terminated"];
        testing::observe::<Trail>(&kinds.map(|kind| (kind, json!({"about": kind})))).unwrap();
        let lines = read("{}");
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), 3, "the oldest has made room: {lines:?}");
        assert!(lines[0].ends_with("#2 message.received {\"about\":\"message.received\"}"), "{lines:?}");
        assert!(lines[0].starts_with("1970-01-01T00:00:"), "{lines:?}");
        assert!(read(r#"{"containing": "error.", "limit": 1}"#).contains("#3 error.occurred"));
    }

    #[test]
    fn what_is_told_twice_is_kept_once() {
        testing::configure(json!({"keep": 3}));
        let happening = || Happening { seq: 7, kind: "error.occurred".into(), at: 0, data: "{}".into() };
        Trail::observe(vec![happening()]).unwrap();
        Trail::observe(vec![happening()]).unwrap();
        assert_eq!(read("{}"), "1970-01-01T00:00:00Z #7 error.occurred {}");
    }
}
