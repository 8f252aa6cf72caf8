//! `prx logs`

use std::fmt::Write as _;

use hyper::Method;
use serde_json::Value;

use super::client::{Payload, encoded};
use super::failure::Failure;
use super::output::{Console, printable, say};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Follow the log as it is written
    #[arg(short, long)]
    follow: bool,
    /// Least level: trace, debug, info, warn or error
    #[arg(long, default_value = "info")]
    level: String,
    /// Only this part of the gateway, such as agent or channel::work
    #[arg(long)]
    module: Option<String>,
    /// Since when: 2026-03-21T10:00:00Z, or how long ago, such as 30m
    #[arg(long, default_value = "1h")]
    since: String,
    /// How many past entries to show at most, up to 1000
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

pub(super) async fn run(console: &Console, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { follow, level, module, since, limit } = arguments;
    let module = module.map(|module| format!("&module={}", encoded(&module))).unwrap_or_default();
    let (level, since) = (encoded(&level), encoded(&since));
    let query = format!("level={level}&since={since}&limit={limit}{module}");
    if follow {
        let path = format!("/api/v1/logs/stream?{query}");
        let mut events = console.gateway.stream(Method::GET, &path, Payload::None).await?;
        while let Some((name, data)) = events.next().await? {
            match name.as_str() {
                "gap" => say(&format!("[{} entries are missing here]", data["missed"]))?,
                _ if console.json => say(&data.to_string())?,
                _ => say(&line(&data))?,
            }
        }
        return Ok(());
    }
    let answer = console.gateway.get(&format!("/api/v1/logs?{query}")).await?;
    console.show(&answer, |answer| {
        let entries = answer["entries"].as_array().map_or(&[][..], Vec::as_slice);
        entries.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// An entry as a line for people.
fn line(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let (time, level, module) = (text("timestamp"), text("level").to_uppercase(), text("module"));
    let mut line = format!("{time} {level:5} {module}: {}", text("message"));
    let session = entry.get("session_id").map(|session| ("session_id", session));
    let fields =
        entry["fields"].as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value));
    for (name, value) in session.into_iter().chain(fields) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // Writing to a string can't fail.
        let _ = write!(line, " {name}={value}");
    }
    printable(&line, false)
}
