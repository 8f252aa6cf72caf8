//! The pause of all REST calls after a 429 that comes from in front of the platform, or that does not say for how long.

use prx_sdk::connector::{Commands, Context, HttpOutcome, LogLevel, Status, Token};

use crate::api::{Failure, SHUT_OUT};
use crate::call;
use crate::config::Config;
use crate::link::Stage;
use crate::state::State;

/// Takes note of whether the platform lets this address in: every answer that comes from there says so.
pub(crate) fn learn(cx: &Context<Config>, state: &mut State, outcome: &HttpOutcome, out: &mut Commands) {
    match call::answer(outcome) {
        Err(Failure::ShutOut(after)) => {
            if let Some(pause) = state.cooldown.begin(cx.now, after) {
                out.log(LogLevel::Warn, format!("{SHUT_OUT}: nothing is sent for {} s", pause.as_secs()));
                show(cx, state, out);
            }
        }
        Err(Failure::Server(_) | Failure::Unknown(_)) => {}
        Ok(_) | Err(_) => {
            let before = state.cooldown.is_over();
            state.cooldown.end(cx.now);
            if !before && state.cooldown.is_over() && state.link.stage == Stage::Live {
                out.status(Status::Connected);
            }
        }
    }
}

/// Shows the pause, if there is one, until it is over. Without a connection there is more to show than that.
pub(crate) fn show(cx: &Context<Config>, state: &mut State, out: &mut Commands) {
    let left = state.cooldown.left(cx.now).filter(|_| state.link.stage == Stage::Live);
    let Some(left) = left else { return };
    let why = format!("{SHUT_OUT}: nothing is sent for {} s", left.as_millis().div_ceil(1000));
    out.status(Status::Reconnecting(why));
    state.cooldown_timer = state.token();
    out.timer(state.cooldown_timer, left);
}

/// A timer rang: if the pause is over, what is not shut out any more is connected.
pub(crate) fn rang(cx: &Context<Config>, state: &mut State, token: Token, out: &mut Commands) {
    if state.cooldown_timer != token || token == 0 {
        return;
    }
    state.cooldown_timer = 0;
    if state.link.stage == Stage::Live && state.cooldown.left(cx.now).is_none() {
        out.status(Status::Connected);
    }
}
