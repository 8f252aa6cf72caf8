//! Messages with files: each waits until its files are in the gateway's blob store, and what was said after it in the
//! same channel waits behind it.

use std::time::Duration;

use prx_sdk::connector::{
    Attachment, AttachmentKind, Commands, Context, Http, HttpOutcome, Inbound, LogLevel, Sender, Target,
};
use serde::{Deserialize, Serialize};

use crate::call;
use crate::config::Config;
use crate::message::Enclosed;
use crate::state::State;

/// With so many messages waiting, the files of further ones are left where they are.
const MAX_PARCELS: usize = 64;
/// The platform lets a person send no more with one message.
const MAX_FILES: usize = 10;
/// How often a file is tried.
const MAX_TRIES: u32 = 3;
/// How long a file may take.
const DOWNLOAD: Duration = Duration::from_secs(120);

/// A message for the agent that can't be handed over yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parcel {
    letter: Letter,
    /// Still to be fetched, the first one now.
    wanted: Vec<File>,
    fetched: Vec<(File, String)>,
    /// The request in flight, or the timer after which it is made again.
    token: u64,
    waiting: bool,
    failures: u32,
}

/// A message for the agent without its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub id: String,
    pub channel: String,
    pub reply_to: Option<String>,
    /// Id and name.
    pub sender: (String, String),
    pub text: String,
    pub sent_at: u64,
    pub addressed: bool,
}

/// A file of a message, and where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct File {
    url: String,
    name: String,
    mime: Option<String>,
    size: u64,
}

/// Hands a message over, now or when what it waits for is there.
pub(crate) fn take(state: &mut State, letter: Letter, files: Vec<Enclosed>, out: &mut Commands) {
    let mut parcel =
        Parcel { letter, wanted: Vec::new(), fetched: Vec::new(), token: 0, waiting: false, failures: 0 };
    let room = if state.parcels.len() < MAX_PARCELS { MAX_FILES } else { 0 };
    for (place, enclosed) in files.into_iter().enumerate() {
        let file = File::from(enclosed);
        match &file.url {
            _ if place >= room => parcel.leave(&file, "too many files wait", out),
            url if !url.starts_with("https://") && !url.starts_with("http://") => {
                parcel.leave(&file, "the platform does not say where it is", out);
            }
            _ => parcel.wanted.push(file),
        }
    }
    state.parcels.push(parcel);
    if let Some(last) = state.parcels.len().checked_sub(1) {
        request(state, last, out);
    }
    release(state, out);
}

/// Takes up what was being fetched, but for what goes on by itself.
pub(crate) fn take_up(state: &mut State, (requests, timers): (&[u64], &[u64]), out: &mut Commands) {
    for index in 0..state.parcels.len() {
        let parcel = &state.parcels[index];
        let open = if parcel.waiting { timers } else { requests };
        if !open.contains(&parcel.token) {
            request(state, index, out);
        }
    }
}

/// The wait of this token is over, if there is one.
pub(crate) fn again(state: &mut State, token: u64, out: &mut Commands) {
    if let Some(index) = state.parcels.iter().position(|parcel| parcel.waiting && parcel.token == token) {
        request(state, index, out);
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
    let mine = |parcel: &Parcel| !parcel.waiting && parcel.token == token && !parcel.wanted.is_empty();
    let Some(index) = state.parcels.iter().position(mine) else { return };
    let parcel = &mut state.parcels[index];
    let file = parcel.wanted.remove(0);
    match fetched(outcome) {
        Ok(blob) => parcel.fetched.push((file, blob)),
        Err((_, true)) if parcel.failures + 1 < MAX_TRIES => {
            let after = call::backoff(cx, parcel.failures);
            parcel.wanted.insert(0, file);
            return wait(state, index, after, out);
        }
        Err((reason, _)) => parcel.leave(&file, &reason, out),
    }
    parcel.failures = 0;
    request(state, index, out);
    release(state, out);
}

/// The blob that a file is kept as; or why it is not, and whether trying again may help.
fn fetched(outcome: &HttpOutcome) -> Result<String, (String, bool)> {
    match outcome {
        HttpOutcome::Response(response) if response.is_success() => {
            response.blob.clone().ok_or_else(|| ("it was not kept".to_owned(), false))
        }
        HttpOutcome::Response(response) => {
            let passes = response.status == 429 || response.status >= 500;
            Err((format!("HTTP {}", response.status), passes))
        }
        HttpOutcome::Failed(failure) => Err((failure.reason.clone(), true)),
    }
}

impl Parcel {
    /// The agent is told what it does not see.
    fn leave(&mut self, file: &File, reason: &str, out: &mut Commands) {
        let line = format!("[{} could not be fetched: {reason}]", file.name);
        out.log(LogLevel::Warn, format!("message {}: {line}", self.letter.id));
        if !self.letter.text.is_empty() {
            self.letter.text.push('\n');
        }
        self.letter.text.push_str(&line);
    }

    fn inbound(self) -> Inbound {
        let Letter { id, channel, reply_to, sender: (sender, name), text, sent_at, addressed } = self.letter;
        Inbound {
            dedupe: id,
            target: Target { reply_to, ..Target::conversation(channel) },
            sender: Sender { id: sender, name, is_bot: false },
            text,
            attachments: self.fetched.into_iter().map(|(file, blob)| file.attachment(blob)).collect(),
            sent_at,
            addressed,
            choice: None,
        }
    }
}

impl File {
    fn attachment(self, blob: String) -> Attachment {
        let kind = match self.mime.as_deref().and_then(|mime| mime.split('/').next()) {
            Some("image") => AttachmentKind::Image,
            Some("audio") => AttachmentKind::Audio,
            Some("video") => AttachmentKind::Video,
            _ => AttachmentKind::Document,
        };
        Attachment { blob, kind, name: Some(self.name), mime: self.mime, size: self.size }
    }
}

impl From<Enclosed> for File {
    fn from(Enclosed { url, filename, content_type, size }: Enclosed) -> Self {
        let name = if filename.trim().is_empty() { "a file".to_owned() } else { filename };
        let mime = content_type.map(|mime| mime.split(';').next().unwrap_or_default().trim().to_owned());
        Self { url, name, mime: mime.filter(|mime| !mime.is_empty()), size }
    }
}

/// Asks for the first of the files. The address itself says who may have it: no token goes there.
fn request(state: &mut State, index: usize, out: &mut Commands) {
    let token = state.token();
    let Some(parcel) = state.parcels.get_mut(index) else { return };
    let Some(file) = parcel.wanted.first() else { return };
    let http = Http::get(file.url.as_str()).header("user-agent", call::USER_AGENT).body_to_blob();
    (parcel.token, parcel.waiting) = (token, false);
    let lane = format!("files:{}", parcel.letter.channel);
    out.http(http.timeout(DOWNLOAD).token(token).lane(lane));
}

fn wait(state: &mut State, index: usize, after: Duration, out: &mut Commands) {
    let token = state.token();
    let parcel = &mut state.parcels[index];
    (parcel.token, parcel.waiting, parcel.failures) = (token, true, parcel.failures + 1);
    out.timer(token, after);
}

/// Hands over what waits for nothing more, in order within each channel.
fn release(state: &mut State, out: &mut Commands) {
    let mut held: Vec<String> = Vec::new();
    for parcel in std::mem::take(&mut state.parcels) {
        if parcel.wanted.is_empty() && !held.contains(&parcel.letter.channel) {
            out.deliver(parcel.inbound());
        } else {
            held.push(parcel.letter.channel.clone());
            state.parcels.push(parcel);
        }
    }
}
