//! Each event to the part that it concerns.

use prx_sdk::connector::{Commands, Connector, Context, Event, Fault, HttpDone};

use crate::config::Config;
use crate::state::State;
use crate::{call, menu, migrate, poll, send, webhook};

/// The connector: one bot, long-polled or called by the platform.
pub struct Telegram;

impl Connector for Telegram {
    type Config = Config;
    type State = State;

    const STATE_VERSION: u32 = 2;

    fn handle(
        cx: &Context<Config>,
        state: &mut State,
        event: Event,
        out: &mut Commands,
    ) -> Result<(), Fault> {
        match event {
            Event::Started => {
                state.heard.begin(cx.now);
                state.rich.forget();
                state.ops.pause_all_but(&[]);
                poll::begin(cx, state, out);
                state.pending_queue(cx, out).resume(&[], &[]);
            }
            Event::Resumed(resumed) => {
                state.heard.begin(cx.now);
                send::resume(state, &resumed.requests, out);
                if !state.poll.lives_in(&resumed) {
                    poll::begin(cx, state, out);
                }
                state.pending_queue(cx, out).resume(&resumed.requests, &resumed.timers);
            }
            Event::ConfigChanged => {
                state.token_worked = false;
                state.rich.forget();
                poll::begin(cx, state, out);
            }
            Event::HttpDone(done) => answered(cx, state, &done, out),
            Event::Timer(token) if state.poll.awaits_timer(token) => poll::again(cx, state, out),
            Event::Timer(token) => state.pending_queue(cx, out).timer(token),
            Event::Webhook(call) => webhook::called(cx, state, call, out),
            Event::Outbound(outbound) => send::outbound(cx, state, outbound, out),
            _ => {}
        }
        Ok(())
    }

    fn migrate(from: u32, state: &[u8]) -> Result<State, Fault> {
        match from {
            1 => migrate::from_first(state),
            // What is understood of a later version's state, for one to go back to this version.
            _ => serde_json::from_slice(state)
                .map_err(|error| Fault::bad_input(format!("cannot read state version {from}: {error}"))),
        }
    }
}

fn answered(cx: &Context<Config>, state: &mut State, done: &HttpDone, out: &mut Commands) {
    call::learn(cx, state, &done.outcome, out);
    if state.poll.awaits_answer(done.token) {
        poll::answered(cx, state, &done.outcome, out);
    } else if state.menu == done.token {
        menu::answered(cx, state, &done.outcome, out);
    } else if let Some(op) = state.ops.take_answered(done.token) {
        send::answered(cx, state, op, &done.outcome, out);
    } else {
        state.pending_queue(cx, out).answered(done.token, &done.outcome);
    }
}
