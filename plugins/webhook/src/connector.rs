//! Each event to the part that it concerns.

use prx_sdk::connector::{Commands, Connector, Context, Event, Fault, Status};
use serde::{Deserialize, Serialize};

use crate::{message, reply};

/// The connector: messages are posted to it, it posts replies.
pub struct Webhook;

/// What the operator set; the secrets never get here.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub(crate) reply_url: String,
}

/// What outlives a call: the replies that are on their way.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(crate) last_token: u64,
    pub(crate) replies: Vec<reply::Posted>,
}

impl Connector for Webhook {
    type Config = Config;
    type State = State;

    fn handle(
        cx: &Context<Config>,
        state: &mut State,
        event: Event,
        out: &mut Commands,
    ) -> Result<(), Fault> {
        match event {
            Event::Started => {
                // What was on its way is asked for again.
                state.replies.clear();
                // Nobody is called before there is something to say: it is ready once it can be called.
                out.status(Status::Connected);
            }
            Event::Resumed(resumed) => {
                reply::resume(state, &resumed.requests, out);
                out.status(Status::Connected);
            }
            Event::Webhook(webhook) => {
                let answer = message::receive(cx, &webhook);
                if let Ok(inbound) = &answer {
                    out.deliver(inbound.clone());
                    out.status(Status::Connected);
                }
                out.webhook_reply(webhook.token, message::answer(answer));
            }
            Event::Outbound(outbound) => reply::post(cx, state, outbound, out),
            Event::HttpDone(done) => reply::answered(cx, state, &done, out),
            _ => {}
        }
        Ok(())
    }
}
