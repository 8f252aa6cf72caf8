//! A filter that does at each stage what its configuration says.

use std::time::Duration;

use prx_sdk::config;
use prx_sdk::filter::{Fault, Filter, Stage, StageKind, Verdict};
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    inbound: String,
    outbound: String,
    before_tool: String,
    after_tool: String,
}

struct Filtering;

impl Filter for Filtering {
    const STAGES: &[StageKind] =
        &[StageKind::Inbound, StageKind::Outbound, StageKind::BeforeTool, StageKind::AfterTool];

    fn inspect(stage: Stage) -> Result<Verdict, Fault> {
        let config: Config = config::get()?;
        let mood = match stage.kind() {
            StageKind::Inbound => config.inbound,
            StageKind::Outbound => config.outbound,
            StageKind::BeforeTool => config.before_tool,
            StageKind::AfterTool => config.after_tool,
        };
        let text = stage.text();
        match mood.as_str() {
            "mask" if text.contains("secret") => Ok(Verdict::Replace(text.replace("secret", "******"))),
            "stop" if text.contains("secret") => Ok(Verdict::Stop("no secrets here".into())),
            "trap" => trap(),
            "hang" => {
                std::thread::sleep(Duration::from_secs(600));
                Ok(Verdict::Pass)
            }
            "spin" => loop {
                std::hint::spin_loop();
            },
            "fault" => Err(Fault::unavailable("not today")),
            "flood" => Ok(Verdict::Replace("x".repeat((1 << 20) + 1))),
            "burst" => Ok(Verdict::Replace("x".repeat(8 << 20))),
            other => match other.strip_prefix("say:") {
                Some(instead) => Ok(Verdict::Replace(instead.to_owned())),
                None => Ok(Verdict::Pass),
            },
        }
    }
}

#[expect(clippy::panic, reason = "this is what it is for")]
fn trap() -> ! {
    panic!("broken on purpose")
}

prx_sdk::plugin! { filter: Filtering, manifest: "filtering.toml" }
