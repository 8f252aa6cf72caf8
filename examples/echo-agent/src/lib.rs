//! An agent without a model: it says what it heard, and how often it was spoken to.

use prx_sdk::agent::{Agent, Commands, Context, Event, Reply};
use prx_sdk::types::Fault;

/// The agent.
pub struct Echo;

impl Agent for Echo {
    type Config = prx_sdk::agent::NoConfig;
    /// How many messages the session has had.
    type State = u32;

    fn handle(
        _: &Context<Self::Config>,
        heard: &mut u32,
        event: Event,
        out: &mut Commands,
    ) -> Result<(), Fault> {
        match event {
            Event::Message(message) => {
                *heard += 1;
                out.finish(Reply::Text(format!("{heard}: {}", message.text)));
            }
            Event::Stopped(_) | Event::Resumed(_) => out.finish(Reply::Silent),
            _ => {}
        }
        Ok(())
    }
}

prx_sdk::plugin! { agent: Echo, manifest: "plugin.toml" }

#[cfg(test)]
mod tests {
    use prx_sdk::testing::Conversation;
    use serde_json::json;

    use super::*;

    #[test]
    fn it_says_what_it_heard() {
        let mut talk = Conversation::<Echo>::new(json!({}));
        assert_eq!(talk.say("hello"), "1: hello");
        assert_eq!(talk.say("again"), "2: again");
        assert!(talk.requests().is_empty());
    }
}
