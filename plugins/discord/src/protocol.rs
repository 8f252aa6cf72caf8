//! What is said over an open connection to the gateway.

use std::time::Duration;

use prx_sdk::connector::{Commands, Context, Keepalive, Pattern, Segments, Socket, Status};

use crate::config::Config;
use crate::frame::{self, Frame, Hello, Ready};
use crate::gateway;
use crate::interact::{self, Interaction};
use crate::link::Stage;
use crate::menu;
use crate::message::Message;
use crate::receive;
use crate::session::Session;
use crate::shut_out;
use crate::state::{Me, State};

/// The heartbeat interval if the platform's HELLO names none, in milliseconds.
const DEFAULT_INTERVAL_MS: u32 = 41_250;
/// The shortest heartbeat interval that is kept, in milliseconds.
const MIN_INTERVAL_MS: u32 = 100;
/// The longest heartbeat interval that is kept, in milliseconds.
const MAX_INTERVAL_MS: u32 = 600_000;
/// Timeout for the platform to begin a session, or to resume one and replay what was missed.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// The rate limit of frames sent, in milliseconds between two: the platform takes 120 a minute, the kernel's heartbeats
/// among them.
const SEND_EVERY_MS: u64 = 1_100;
/// Most frames sent at once.
const SENDS_AT_ONCE: u64 = 50;

/// A frame came.
pub(crate) fn received(
    cx: &Context<Config>,
    state: &mut State,
    (socket, text): (Socket, &str),
    out: &mut Commands,
) {
    if !state.link.is_open(socket) {
        return;
    }
    let Some(frame) = Frame::read(text) else {
        return state.anomalies.note("a frame that can't be read", out);
    };
    match frame.op {
        frame::DISPATCH => dispatched(cx, state, &frame, out),
        frame::HEARTBEAT => heartbeat(cx, state, out),
        frame::RECONNECT => gateway::drop_connection(cx, state, "the platform asks to reconnect", out),
        frame::INVALID_SESSION => invalid(cx, state, frame.data() == Some(true), out),
        frame::HELLO => hello(cx, state, frame.data(), out),
        frame::ACKNOWLEDGED => acknowledged(state, out),
        _ => state.anomalies.note("a frame of an unknown kind", out),
    }
}

/// The platform's HELLO: starts the heartbeat, and resumes the session or begins one.
fn hello(cx: &Context<Config>, state: &mut State, frame: Option<Hello>, out: &mut Commands) {
    if state.link.stage != Stage::Greet {
        return state.anomalies.note("a second greeting", out);
    }
    let interval = frame.map_or(DEFAULT_INTERVAL_MS, |hello| hello.heartbeat_interval);
    let interval = interval.clamp(MIN_INTERVAL_MS, MAX_INTERVAL_MS);
    state.link.interval_ms = interval;
    let first = u32::try_from(cx.random_between(0, interval.into())).unwrap_or(interval);
    keep_alive(state, first, out);
    let introduction = match &state.session {
        Some(session) => frame::resume(session),
        None => {
            state.starts.begin(cx);
            frame::identify()
        }
    };
    state.link.resuming = state.session.is_some();
    state.link.stage = Stage::Introduce;
    // Both count among the frames of a minute, whatever is left of it.
    let _ = state.link.sends.take(cx.now, SEND_EVERY_MS, SENDS_AT_ONCE);
    out.ws_send(state.link.socket, introduction);
    out.timer(state.link.overdue, READY_TIMEOUT);
}

fn dispatched(cx: &Context<Config>, state: &mut State, frame: &Frame<'_>, out: &mut Commands) {
    let event = frame.event().unwrap_or_default();
    if event == "READY" {
        return match frame.data::<Ready>() {
            Some(ready) => ready_for(cx, state, (ready, frame.sequence()), out),
            None => gateway::drop_connection(cx, state, "the platform's session can't be read", out),
        };
    }
    note_sequence(state, frame.sequence(), out);
    state.link.attempts.fruitful |= event != "RESUMED";
    match event {
        "RESUMED" => live(cx, state, out),
        "MESSAGE_CREATE" => match frame.data::<Message>().filter(Message::is_whole) {
            Some(message) => receive::message(cx, state, (message, frame.raw()), out),
            None => state.anomalies.note("a message that can't be read", out),
        },
        // Of an edit, only a part may come.
        "MESSAGE_UPDATE" => {
            if let Some(edited) = frame.data::<Message>().filter(Message::is_whole) {
                receive::edited(cx, state, (edited, frame.raw()), out);
            }
        }
        "INTERACTION_CREATE" => match frame.data::<Interaction>().filter(Interaction::is_whole) {
            Some(interaction) => interact::from_gateway(cx, state, interaction, out),
            None => state.anomalies.note("an interaction that can't be read", out),
        },
        _ => {}
    }
}

fn ready_for(
    cx: &Context<Config>,
    state: &mut State,
    (ready, sequence): (Ready, Option<u64>),
    out: &mut Commands,
) {
    let Ready { session_id: id, resume_gateway_url: url, user, application } = ready;
    let application = if application.id.is_empty() { user.id.clone() } else { application.id };
    state.me = Me { id: user.id, application, name: user.username };
    state.session = Some(Session { id, url, sequence: sequence.unwrap_or_default() });
    let interval = state.link.interval_ms;
    keep_alive(state, interval, out);
    live(cx, state, out);
    menu::look(cx, state, out);
}

fn live(cx: &Context<Config>, state: &mut State, out: &mut Commands) {
    let link = &mut state.link;
    if link.stage != Stage::Introduce {
        return;
    }
    link.stage = Stage::Live;
    link.attempts.resumes = 0;
    out.cancel(link.overdue);
    out.status(Status::Connected);
    out.proof(good_for(link.interval_ms), None);
    state.token_worked = true;
    shut_out::show(cx, state, out);
}

/// Moves on in the session. What the kernel sends as heartbeat moves along.
fn note_sequence(state: &mut State, sequence: Option<u64>, out: &mut Commands) {
    let (Some(session), Some(sequence)) = (&mut state.session, sequence) else { return };
    if sequence > session.sequence {
        session.sequence = sequence;
        let interval = state.link.interval_ms;
        keep_alive(state, interval, out);
    }
}

/// The platform asks for a heartbeat now.
fn heartbeat(cx: &Context<Config>, state: &mut State, out: &mut Commands) {
    if state.link.sends.take(cx.now, SEND_EVERY_MS, SENDS_AT_ONCE).is_err() {
        return state.anomalies.note("heartbeats asked for without end", out);
    }
    out.ws_send(state.link.socket, frame::heartbeat(state.session.as_ref()));
}

/// The round trip is the kernel's to tell: it sent the heartbeat.
fn acknowledged(state: &State, out: &mut Commands) {
    if state.link.stage == Stage::Live {
        out.proof(good_for(state.link.interval_ms), None);
    }
}

fn invalid(cx: &Context<Config>, state: &mut State, may_resume: bool, out: &mut Commands) {
    if may_resume {
        gateway::drop_connection(cx, state, "the platform could not take up the session yet", out);
    } else {
        gateway::start_over(cx, state, "the session is no longer valid", out);
    }
}

/// An acknowledgement stands until half an interval after the next one is due.
fn good_for(interval_ms: u32) -> Duration {
    Duration::from_millis(u64::from(interval_ms) * 3 / 2)
}

fn keep_alive(state: &State, first_after_ms: u32, out: &mut Commands) {
    let Segments(payload) = frame::heartbeat(state.session.as_ref());
    let acknowledged_by = Some(Pattern { pointer: "/op".to_owned(), equals: "11".to_owned() });
    let interval_ms = state.link.interval_ms;
    let keepalive = Keepalive { interval_ms, first_after_ms, payload, acknowledged_by, missed_limit: 1 };
    out.ws_keepalive(state.link.socket, keepalive);
}
