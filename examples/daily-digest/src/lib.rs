//! Counts what happens (an observer) and says the counts in a conversation once a day (a job).
//!
//! Both may be called again for what they have done: after a crash an observer is told some events once more, and a job is
//! run once more under the same id. Counts and the last digest are therefore kept under one key, with the number of the last
//! event that was counted and the id of the last run.

use std::collections::BTreeMap;

use prx_sdk::job::{Action, Job, UnixMs};
use prx_sdk::observer::{Happening, Observer};
use prx_sdk::types::Fault;
use prx_sdk::{config, kv};
use serde::{Deserialize, Serialize};

/// What is counted, and what one and several of it are called.
const COUNTED: [(&str, &str, &str); 5] = [
    ("session.created", "new session", "new sessions"),
    ("message.received", "message received", "messages received"),
    ("message.sent", "reply sent", "replies sent"),
    ("tool.executed", "tool call", "tool calls"),
    ("error.occurred", "error", "errors"),
];
const KEY: &str = "state";

#[derive(Deserialize)]
struct Config {
    to: String,
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    /// The number of the last event that is counted.
    through: u64,
    counts: BTreeMap<String, u64>,
    /// The run that has said the last digest, and what it was.
    last: Option<(String, String)>,
}

impl State {
    fn read() -> Result<Self, Fault> {
        match kv::get(KEY)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| Fault::internal(error.to_string())),
            None => Ok(Self::default()),
        }
    }

    fn keep(&self) -> Result<(), Fault> {
        let bytes = serde_json::to_vec(self).map_err(|error| Fault::internal(error.to_string()))?;
        kv::set(KEY, &bytes)
    }

    fn digest(&self) -> String {
        let counts = COUNTED.iter().filter_map(|(kind, one, several)| match self.counts.get(*kind)? {
            1 => Some(format!("- 1 {one}")),
            count => Some(format!("- {count} {several}")),
        });
        let counts: Vec<String> = counts.collect();
        match counts.is_empty() {
            true => "Since the last digest nothing has happened.".to_owned(),
            false => format!("Since the last digest:\n\n{}", counts.join("\n")),
        }
    }
}

/// The whole plugin.
pub struct Digest;

impl Observer for Digest {
    const KINDS: &[&str] = &["*"];

    fn observe(happenings: Vec<Happening>) -> Result<Vec<Action>, Fault> {
        let mut state = State::read()?;
        for happening in happenings {
            if happening.seq > state.through {
                state.through = happening.seq;
                *state.counts.entry(happening.kind).or_default() += 1;
            }
        }
        state.keep()?;
        Ok(Vec::new())
    }
}

impl Job for Digest {
    fn run(_: &str, _: UnixMs, run_id: &str) -> Result<Vec<Action>, Fault> {
        let Config { to } = config::get()?;
        let mut state = State::read()?;
        let text = match &state.last {
            Some((run, text)) if run == run_id => text.clone(),
            _ => {
                let text = state.digest();
                state.counts.clear();
                state.last = Some((run_id.to_owned(), text.clone()));
                state.keep()?;
                text
            }
        };
        Ok(vec![Action::send(&to, text)?])
    }
}

prx_sdk::plugin! { observer: Digest, job: Digest, manifest: "plugin.toml" }

#[cfg(test)]
mod tests {
    use prx_sdk::testing;
    use serde_json::json;

    use super::*;

    fn digest(run_id: &str) -> String {
        match testing::run_job::<Digest>("digest", 0, run_id).unwrap().remove(0) {
            Action::Send(said) if (&*said.channel, &*said.conversation) == ("work", "7") => said.text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_happens_is_counted_and_said_once() {
        testing::configure(json!({"to": "work/7"}));
        assert_eq!(digest("run_1"), "Since the last digest nothing has happened.");
        let told = ["session.created", "message.received", "message.received"].map(|kind| (kind, json!({})));
        testing::observe::<Digest>(&told).unwrap();
        let said = "Since the last digest:\n\n- 1 new session\n- 2 messages received";
        assert_eq!(digest("run_2"), said);
        assert_eq!(digest("run_2"), said, "a run that is made once more says the same");
        assert_eq!(digest("run_3"), "Since the last digest nothing has happened.");
    }

    #[test]
    fn what_is_told_twice_is_counted_once() {
        testing::configure(json!({"to": "work/7"}));
        let happening = || Happening { seq: 7, kind: "error.occurred".into(), at: 0, data: "{}".into() };
        for _ in 0..2 {
            Digest::observe(vec![happening()]).unwrap();
        }
        assert_eq!(digest("run_1"), "Since the last digest:\n\n- 1 error");
    }
}
