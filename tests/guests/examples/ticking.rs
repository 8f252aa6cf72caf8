//! A job that does what it is told, well or badly. What it is told stands in its configuration, or is what the job is called.

use std::time::Duration;

use prx_sdk::action::Outgoing;
use prx_sdk::job::{Action, Job};
use prx_sdk::types::{Fault, UnixMs};
use prx_sdk::{config, kv};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    to: String,
}

struct Ticking;

impl Job for Ticking {
    fn run(name: &str, due: UnixMs, run_id: &str) -> Result<Vec<Action>, Fault> {
        let Config { to } = config::get()?;
        let seen = kv::get("runs")?.unwrap_or_default();
        let seen = String::from_utf8(seen).unwrap_or_default();
        let runs = seen.lines().filter(|run| *run == run_id).count() + 1;
        kv::set("runs", format!("{seen}{run_id}\n").as_bytes())?;
        match name {
            "say" => Ok(vec![Action::send(&to, format!("{name} at {due}"))?]),
            "both" => Ok(vec![
                Action::send(&to, "said")?,
                Action::publish("ticking.ran", &serde_json::json!({"run": run_id, "times": runs}))?,
            ]),
            "ask" => Ok(vec![Action::begin_turn(&to, "/new use the tool")?]),
            "astray" => Ok(vec![Action::send(&to, "said")?, Action::send("nowhere/1", "said")?]),
            "many" => Ok(vec![Action::Send(Outgoing::to(&to, "said")?); 101]),
            "fault" => Err(Fault::unavailable("the other side is down")),
            "hang" => {
                std::thread::sleep(Duration::from_secs(86_400));
                Ok(Vec::new())
            }
            // The first time of a run it waits to be cut off.
            "slow" if runs == 1 => {
                std::thread::sleep(Duration::from_secs(20));
                Ok(Vec::new())
            }
            "slow" => Ok(vec![Action::send(&to, format!("{run_id} the {runs}nd time"))?]),
            _ => trap(),
        }
    }
}

#[expect(clippy::panic, reason = "this is what it is for")]
fn trap() -> ! {
    panic!("broken on purpose")
}

prx_sdk::plugin! { job: Ticking, manifest: "ticking.toml" }
