//! An agent that asks which of three it is to be, and says what was chosen.

use prx_sdk::agent::{Agent, Choice, Command, Commands, Context, Event, NoConfig, Reply};
use prx_sdk::types::Fault;

/// Asks, whatever is said.
pub struct Asking;

const QUESTION: u64 = 1;

impl Agent for Asking {
    type Config = NoConfig;
    type State = ();

    fn handle(_: &Context<NoConfig>, _: &mut (), event: Event, out: &mut Commands) -> Result<(), Fault> {
        match event {
            Event::Message(_) => {
                let choice = |id: &str, label: &str| Choice { id: id.into(), label: label.into() };
                let choices = vec![choice("r", "Red"), choice("g", "Green"), choice("b", "Dark blue")];
                out.push(Command::AskPerson((QUESTION, ("Which **colour**?".into(), choices))));
            }
            Event::Chosen((QUESTION, Some(choice))) => {
                out.say("Noted.");
                out.finish(Reply::Text(format!("It is {choice}.")));
            }
            Event::Chosen((QUESTION, None)) => out.finish(Reply::Text("Nothing was chosen.".into())),
            Event::Stopped(_) => out.finish(Reply::Text("Stopped.".into())),
            _ => {}
        }
        Ok(())
    }
}

prx_sdk::plugin! { agent: Asking, manifest: "asking.toml" }
