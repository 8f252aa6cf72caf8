//! An agent that shows a model the whole conversation, makes the calls that it asks for, and counts its turns. Tests change
//! how it goes on.

use std::hint::black_box;

use prx_sdk::agent::{Agent, Answered, AskModel, Commands, Context, Event, NoConfig, Reply};
use prx_sdk::types::Fault;
use serde::{Deserialize, Serialize};

/// What happens at a model's answer; tests write `then:breaks`, `then:faults` or `then:spoils` over it.
static THEN: &str = "then:counts";

/// The agent.
pub struct Counting;

/// What it remembers.
#[derive(Default, Serialize, Deserialize)]
pub struct State {
    /// The turns that it has ended.
    turns: u32,
    /// The versions that this state was migrated from.
    migrated: Vec<u32>,
    token: u64,
    /// The tools that it waits for.
    waits: Vec<u64>,
    /// What the model is shown.
    shown: Vec<String>,
    tools: Vec<String>,
}

impl Agent for Counting {
    type Config = NoConfig;
    type State = State;

    fn handle(
        _: &Context<NoConfig>,
        state: &mut State,
        event: Event,
        out: &mut Commands,
    ) -> Result<(), Fault> {
        match event {
            Event::Message(message) => {
                state.shown = message.conversation().map(|entry| entry.id.clone()).collect();
                state.tools = message.means.tools.into_iter().map(|tool| tool.name).collect();
                state.waits.clear();
                ask(state, out);
            }
            Event::Answered(answered) => return said(state, answered, out),
            Event::ToolDone(done) => {
                state.waits.retain(|token| *token != done.token);
                if state.waits.is_empty() {
                    ask(state, out);
                }
            }
            Event::Resumed((open, _)) if open.is_empty() => ask(state, out),
            Event::Failed(_) => out.finish(Reply::Failed),
            Event::Stopped(_) => out.finish(Reply::Last),
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

prx_sdk::plugin! { agent: Counting, manifest: "counting.toml" }

fn ask(state: &mut State, out: &mut Commands) {
    state.token += 1;
    let mut ask = AskModel::new(state.token).entries(state.shown.iter().cloned());
    ask.tools.clone_from(&state.tools);
    out.ask_model(ask);
}

/// Makes the calls of an answer, or ends the turn with it and its number.
fn said(state: &mut State, answered: Answered, out: &mut Commands) -> Result<(), Fault> {
    match black_box(THEN) {
        "then:breaks" => broken(),
        "then:faults" => return Err(Fault::internal("it fails at its second step")),
        "then:spoils" => out.forget_before("msg_of_nobody"),
        _ => {}
    }
    state.shown.push(answered.entry.id);
    if answered.calls.is_empty() {
        state.turns += 1;
        let migrated: Vec<String> = state.migrated.iter().map(u32::to_string).collect();
        let count = format!("{} [{}; {}]", answered.text, state.turns, migrated.join(" "));
        out.finish(Reply::Text(count));
    }
    for call in answered.calls {
        state.token += 1;
        state.waits.push(state.token);
        out.call_tool(state.token, call);
    }
    Ok(())
}

#[expect(clippy::panic, reason = "this is what it is for")]
fn broken() -> ! {
    panic!("it breaks at its second step")
}
