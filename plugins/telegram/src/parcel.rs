//! Messages with media: each waits until its files are in the gateway's blob store, and what was said after it in the
//! same conversation waits behind it.

use std::time::Duration;

use prx_sdk::connector::{Attachment, Commands, Context, Http, HttpOutcome, LogLevel, Segments};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::{Located, Trouble};
use crate::call;
use crate::config::Config;
use crate::letter::{File, Letter, Place};
use crate::state::State;

/// With so many messages waiting no further ones are asked for.
const MAX_PARCELS: usize = 64;
/// How often a file is tried.
const MAX_TRIES: u32 = 3;
/// How long a file may take.
const DOWNLOAD: Duration = Duration::from_secs(120);

/// A message that can't be handed over yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parcel {
    letter: Letter,
    /// Further messages of this group are part of this one.
    album: Option<String>,
    /// Still to be fetched, the first one now.
    wanted: Vec<File>,
    /// Fetched, each with its blob's id.
    fetched: Vec<(File, String)>,
    step: Step,
}

/// Where the first of the files stands.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Step {
    /// The request in flight, or the timer after which it is made again.
    token: u64,
    waiting: bool,
    /// Where the file is, once that is known.
    path: Option<String>,
    failures: u32,
}

impl State {
    /// Whether so much waits that more should not be asked for.
    pub fn is_full(&self) -> bool {
        self.parcels.len() >= MAX_PARCELS
    }
}

/// Hands a message over, now or when what it waits for is there.
pub(crate) fn take(
    cx: &Context<Config>,
    state: &mut State,
    letter: Letter,
    (album, wanted): (Option<String>, Vec<File>),
    out: &mut Commands,
) {
    let parcel = Parcel { letter, album, wanted, fetched: Vec::new(), step: Step::default() };
    state.parcels.push(parcel);
    if let Some(last) = state.parcels.len().checked_sub(1) {
        request(cx, state, last, out);
    }
    release(state, out);
}

/// Adds to a message that still waits what belongs to it, if there is such a message.
pub(crate) fn join<'a>(
    state: &'a mut State,
    place: &Place,
    sender: i64,
    (album, files): (Option<&str>, &[File]),
) -> Option<&'a mut Letter> {
    let parcel = state.parcels.iter_mut().find(|parcel| {
        let same = parcel.letter.place == *place && parcel.letter.sender.0 == sender;
        same && album.is_some() && parcel.album.as_deref() == album && !parcel.wanted.is_empty()
    })?;
    parcel.wanted.extend_from_slice(files);
    Some(&mut parcel.letter)
}

/// Takes up what was being fetched, but for what goes on by itself.
pub(crate) fn take_up(
    cx: &Context<Config>,
    state: &mut State,
    (requests, timers): (&[u64], &[u64]),
    out: &mut Commands,
) {
    for index in 0..state.parcels.len() {
        let step = &state.parcels[index].step;
        let open = if step.waiting { timers } else { requests };
        if !open.contains(&step.token) {
            request(cx, state, index, out);
        }
    }
}

/// The wait of this token is over, if there is one.
pub(crate) fn again(cx: &Context<Config>, state: &mut State, token: u64, out: &mut Commands) {
    let waits = |parcel: &Parcel| parcel.step.waiting && parcel.step.token == token;
    if let Some(index) = state.parcels.iter().position(waits) {
        request(cx, state, index, out);
    }
}

/// The request of this token was answered, or it failed; what is not about a file is ignored.
pub(crate) fn answered(
    cx: &Context<Config>,
    state: &mut State,
    token: u64,
    outcome: &HttpOutcome,
    out: &mut Commands,
) {
    let mine = |parcel: &Parcel| !parcel.step.waiting && parcel.step.token == token && token != 0;
    let Some(index) = state.parcels.iter().position(mine) else { return };
    let parcel = &mut state.parcels[index];
    let result =
        if parcel.step.path.is_some() { parcel.downloaded(outcome) } else { parcel.located(outcome) };
    match result {
        Ok(()) => {}
        Err(Trouble::Pace(seconds)) if parcel.step.failures + 1 < MAX_TRIES => {
            return wait(state, index, Duration::from_secs(seconds.into()), out);
        }
        Err(Trouble::Server(_) | Trouble::Unknown(_) | Trouble::Conflict(_))
            if parcel.step.failures + 1 < MAX_TRIES =>
        {
            let after = call::backoff(cx, parcel.step.failures);
            return wait(state, index, after, out);
        }
        Err(trouble) => parcel.give_up(&trouble, out),
    }
    request(cx, state, index, out);
    release(state, out);
}

impl Parcel {
    /// The next file: known by where it is, or fetched with its size as it is.
    fn located(&mut self, outcome: &HttpOutcome) -> Result<(), Trouble> {
        let nowhere = || Trouble::Refused("the platform does not say where it is".to_owned());
        let located: Located = serde_json::from_str(call::answer(outcome)?.get()).map_err(|_| nowhere())?;
        self.step.path = Some(located.file_path.filter(|path| !path.is_empty()).ok_or_else(nowhere)?);
        if let (Some(file), Some(size)) = (self.wanted.first_mut(), located.file_size) {
            file.size = size;
        }
        Ok(())
    }

    fn downloaded(&mut self, outcome: &HttpOutcome) -> Result<(), Trouble> {
        let blob = match outcome {
            HttpOutcome::Response(response) if response.is_success() => response.blob.clone(),
            HttpOutcome::Response(response) => return Err(foreign(response.status)),
            HttpOutcome::Failed(failure) => return Err(Trouble::Server(failure.reason.clone())),
        };
        let blob = blob.ok_or_else(|| Trouble::Refused("it was not kept".to_owned()))?;
        if !self.wanted.is_empty() {
            self.fetched.push((self.wanted.remove(0), blob));
        }
        self.step = Step::default();
        Ok(())
    }

    /// The agent is told what it does not see.
    fn give_up(&mut self, trouble: &Trouble, out: &mut Commands) {
        if self.wanted.is_empty() {
            return;
        }
        let file = self.wanted.remove(0);
        let line = format!("[{} could not be fetched: {}]", file.title(), trouble.reason());
        out.log(LogLevel::Warn, format!("message {}: {line}", self.letter.dedupe));
        self.letter.add_line(&line);
        self.step = Step::default();
    }

    fn attachments(&mut self) -> Vec<Attachment> {
        self.fetched.drain(..).map(|(file, blob)| file.attachment(blob)).collect()
    }
}

fn foreign(status: u16) -> Trouble {
    let reason = format!("HTTP {status}");
    match status {
        429 => Trouble::Pace(1),
        500.. => Trouble::Server(reason),
        _ => Trouble::Refused(reason),
    }
}

/// Asks where the first of the files is or, once that is known, for the file itself.
fn request(cx: &Context<Config>, state: &mut State, index: usize, out: &mut Commands) {
    let token = state.token();
    let Some(parcel) = state.parcels.get_mut(index) else { return };
    let Some(file) = parcel.wanted.first() else { return };
    let http = match &parcel.step.path {
        None => call::post(&cx.config, "getFile", &json!({ "file_id": file.id })).timeout(3 * call::GRACE),
        Some(path) => Http::get(download_url(&cx.config, path)).body_to_blob().timeout(DOWNLOAD),
    };
    parcel.step.token = token;
    parcel.step.waiting = false;
    out.http(http.token(token).lane(format!("files:{}", parcel.letter.place.conversation)));
}

fn download_url(config: &Config, path: &str) -> Segments {
    let path: String = path.chars().filter(|c| !c.is_control() && !matches!(c, '?' | '#' | '\\')).collect();
    let base = Segments::text(format!("{}/file/bot", config.api_base()));
    base.secret("bot_token").then(format!("/{}", path.trim_start_matches('/')))
}

/// Tries the first of the files again later, from asking where it is: that is told for a while only.
fn wait(state: &mut State, index: usize, after: Duration, out: &mut Commands) {
    let token = state.token();
    let step = &mut state.parcels[index].step;
    *step = Step { token, waiting: true, path: None, failures: step.failures + 1 };
    out.timer(token, after);
}

/// Hands over what waits for nothing more, in order within each conversation.
fn release(state: &mut State, out: &mut Commands) {
    let mut held: Vec<Place> = Vec::new();
    for mut parcel in std::mem::take(&mut state.parcels) {
        if parcel.wanted.is_empty() && !held.contains(&parcel.letter.place) {
            let attachments = parcel.attachments();
            out.deliver(parcel.letter.inbound(attachments));
        } else {
            held.push(parcel.letter.place.clone());
            state.parcels.push(parcel);
        }
    }
}
