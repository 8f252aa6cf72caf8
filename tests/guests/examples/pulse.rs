//! A connector that greets its platform and says for how long the answer counts. Tests change how it goes on.

use std::hint::black_box;
use std::time::Duration;

use prx_sdk::connector::{Commands, Connector, Context, Event, Fault, Http, HttpOutcome, Segments, Status};
use serde::{Deserialize, Serialize};

/// What happens after the first event; tests write `then:breaks` over it.
static THEN: &str = "then:lives..";

/// Greets, and hears how long that counts.
pub struct Pulse;

/// Where its platform is.
#[derive(Deserialize)]
pub struct Config {
    api_base: String,
}

/// What it remembers.
#[derive(Default, Serialize, Deserialize)]
pub struct State {
    /// The versions that this state was migrated from.
    migrated: Vec<u32>,
    token: u64,
}

impl Connector for Pulse {
    type Config = Config;
    type State = State;

    fn handle(
        cx: &Context<Config>,
        state: &mut State,
        event: Event,
        out: &mut Commands,
    ) -> Result<(), Fault> {
        let breaks = black_box(THEN) == "then:breaks.";
        match event {
            Event::Started => greet(cx, state, "hello", out),
            // Nothing of this is noticed outside, so all of it can be undone.
            Event::Resumed(_) => {
                state.token += 1;
                out.timer(1, Duration::from_millis(20));
            }
            Event::Timer(_) if breaks => return Err(Fault::internal("it breaks on its second event")),
            Event::Timer(_) => greet(cx, state, "again", out),
            Event::HttpDone(done) => heard(&done.outcome, out),
            _ => {}
        }
        Ok(())
    }

    fn migrate(from: u32, state: &[u8]) -> Result<State, Fault> {
        let mut state: State =
            serde_json::from_slice(state).map_err(|error| Fault::internal(error.to_string()))?;
        state.migrated.push(from);
        Ok(state)
    }
}

prx_sdk::plugin! { connector: Pulse, manifest: "pulse.toml" }

fn greet(cx: &Context<Config>, state: &mut State, how: &str, out: &mut Commands) {
    state.token += 1;
    let migrated: Vec<_> = state.migrated.iter().map(u32::to_string).collect();
    let url = format!("{}/{how}?migrated={}", cx.config.api_base, migrated.join(","));
    out.status(Status::Connecting);
    out.http(Http::get(Segments::text(url)).token(state.token).timeout(Duration::from_secs(10)));
}

fn heard(outcome: &HttpOutcome, out: &mut Commands) {
    let HttpOutcome::Response(response) = outcome else { return };
    let Ok(good_for_ms) = response.json::<u64>() else { return };
    out.proof(Duration::from_millis(good_for_ms), None);
    out.status(Status::Connected);
}
