//! Each event to the part that it concerns.

use prx_sdk::connector::{Commands, Connector, Context, Event, Fault};

use crate::config::Config;
use crate::state::State;
use crate::{poll, send};

/// The connector: one bot, long-polled.
pub struct Telegram;

impl Connector for Telegram {
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
                state.pause_all_but(&[]);
                poll::begin(cx, state, out);
            }
            Event::Resumed(resumed) => {
                state.pause_all_but(&resumed.requests);
                if !state.poll.lives_in(&resumed) {
                    poll::begin(cx, state, out);
                }
            }
            Event::ConfigChanged => poll::begin(cx, state, out),
            Event::HttpDone(done) if state.poll.awaits_answer(done.token) => {
                poll::answered(cx, state, &done.outcome, out);
            }
            Event::HttpDone(done) => {
                if let Some(op) = state.take_op(done.token) {
                    send::answered(cx, state, op, &done.outcome, out);
                }
            }
            Event::Timer(token) if state.poll.awaits_timer(token) => poll::again(cx, state, out),
            Event::Outbound(outbound) => send::outbound(cx, state, outbound, out),
            _ => {}
        }
        Ok(())
    }
}
