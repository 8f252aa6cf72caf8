//! An agent that hands each message to one of two models: to the second one what has a word in it that is worth it, to the
//! first one everything else. Both see the whole conversation.

use prx_sdk::agent::{Agent, AskModel, Commands, Context, Event, Message, Reply};
use prx_sdk::types::Fault;
use serde::Deserialize;

/// The agent.
pub struct Router;

/// `[agents.<name>]`
#[derive(Deserialize)]
pub struct Config {
    words: Vec<String>,
}

impl Agent for Router {
    type Config = Config;
    type State = ();

    fn handle(cx: &Context<Config>, _: &mut (), event: Event, out: &mut Commands) -> Result<(), Fault> {
        match event {
            Event::Message(message) => {
                let whole = message.conversation().map(|entry| entry.id.clone());
                let mut ask = AskModel::new(1).entries(whole);
                ask.model = choice(&cx.config, &message);
                out.ask_model(ask);
            }
            Event::Failed(_) => out.finish(Reply::Failed),
            Event::Answered(_) | Event::Stopped(_) => out.finish(Reply::Last),
            _ => {}
        }
        Ok(())
    }
}

/// The second model for a message with one of the words; none: the operator's first choice.
fn choice(config: &Config, message: &Message) -> Option<String> {
    let text = message.text.to_lowercase();
    let is_worth_it = config.words.iter().any(|word| text.contains(&word.to_lowercase()));
    message.means.models.get(1).filter(|_| is_worth_it).map(|model| model.name.clone())
}

prx_sdk::plugin! { agent: Router, manifest: "plugin.toml" }

#[cfg(test)]
mod tests {
    use prx_sdk::testing::Conversation;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_worth_it_goes_to_the_second_model() {
        let mut talk = Conversation::<Router>::new(json!({"words": ["proof"]}));
        talk.model("near/small", |request| format!("small, {} messages", request.messages.len()).into());
        talk.model("far/large", |request| format!("large, {} messages", request.messages.len()).into());
        assert_eq!(talk.say("Good morning"), "small, 1 messages");
        assert_eq!(talk.say("A Proof, please"), "large, 3 messages");
        assert_eq!(talk.say("Thanks"), "small, 5 messages");
    }
}
