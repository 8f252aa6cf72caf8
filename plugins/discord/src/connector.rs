//! Each event to the part that it concerns.

use prx_sdk::connector::{Commands, Connector, Context, Event, Fault, HttpDone};

use crate::config::Config;
use crate::state::State;
use crate::{gateway, menu, protocol, roles, send, shut_out, webhook};

/// The connector: one bot, one connection to the gateway.
pub struct Discord;

impl Connector for Discord {
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
                state.heard.begin(cx.now);
                roles::resume(cx, state, &[], out);
                state.ops.pause_all_but(&[]);
                gateway::begin(cx, state, out);
                state.pending_queue(cx, out).resume(&[], &[]);
            }
            Event::Resumed(resumed) => {
                state.heard.begin(cx.now);
                send::resume(cx, state, &resumed.requests, out);
                gateway::resumed(cx, state, &resumed, out);
                roles::resume(cx, state, &resumed.requests, out);
                state.pending_queue(cx, out).resume(&resumed.requests, &resumed.timers);
            }
            Event::ConfigChanged => {
                state.token_worked = false;
                gateway::begin(cx, state, out);
            }
            Event::HttpDone(done) => answered(cx, state, &done, out),
            Event::WsOpen(opened) => gateway::opened(state, &opened, out),
            Event::WsText((socket, text)) => protocol::received(cx, state, (socket, &text), out),
            Event::WsBinary(_) => state.anomalies.note("a frame that is no text", out),
            Event::WsClosed(closed) => gateway::closed(cx, state, &closed, out),
            Event::Timer(token) => {
                gateway::rang(cx, state, token, out);
                shut_out::rang(cx, state, token, out);
                state.pending_queue(cx, out).timer(token);
            }
            Event::Webhook(call) => webhook::called(cx, state, &call, out),
            Event::Outbound(outbound) => send::outbound(cx, state, outbound, out),
            Event::Stopping(stopping) => gateway::stop(state, stopping.final_, out),
        }
        Ok(())
    }

    /// Reads what it understands of another version's state, for one to go back to this version: the rest begins anew.
    fn migrate(from: u32, state: &[u8]) -> Result<State, Fault> {
        serde_json::from_slice(state)
            .map_err(|error| Fault::bad_input(format!("cannot read state version {from}: {error}")))
    }
}

fn answered(cx: &Context<Config>, state: &mut State, done: &HttpDone, out: &mut Commands) {
    let mut files = state.pending_queue(cx, out);
    if files.awaits_answer(done.token) {
        return files.answered(done.token, &done.outcome);
    }
    shut_out::learn(cx, state, &done.outcome, out);
    if state.menu.asks(done.token) {
        menu::answered(cx, state, &done.outcome, out);
    } else if state.roles.asks(done.token) {
        roles::answered(cx, state, (done.token, &done.outcome), out);
    } else if state.link.asks(done.token) {
        gateway::answered(cx, state, &done.outcome, out);
    } else if let Some(op) = state.ops.take_answered(done.token) {
        send::answered(cx, state, op, &done.outcome, out);
    }
}
