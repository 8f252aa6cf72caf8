//! Messages that come with files, for a connector whose platform keeps the files apart from what is said.
//!
//! A connector says what a message is without its files ([`Letter`]) and how a file is asked for ([`File`]); what it
//! keeps in its state is a list of [`Parcel`]s. [`Parcels`] then does what is the same everywhere:
//!
//! - each message waits until its files are in the gateway's blob store, and what was said after it in the same
//!   conversation waits behind it; other conversations don't;
//! - a file that can't be had for now is asked for again, with a pause, three times in all;
//! - one that can't be had at all costs only itself: the agent is told its name and why;
//! - after a restart or a swap, what was being fetched is taken up where it was.
//!
//! ```
//! # use prx_sdk::connector::{Attachment, AttachmentKind, Commands, Context, Event, Http, HttpOutcome, Inbound, Sender, Target};
//! use prx_sdk::parcel::{DOWNLOAD, Fetch, File, Letter, Parcel, Parcels};
//! # use serde::{Deserialize, Serialize};
//!
//! /// What the platform says of a message.
//! #[derive(Serialize, Deserialize)]
//! struct Said {
//!     id: String,
//!     room: String,
//!     text: String,
//! }
//!
//! /// What it says of a file.
//! #[derive(Serialize, Deserialize)]
//! struct Enclosed {
//!     name: String,
//!     url: String,
//! }
//!
//! impl Letter for Said {
//!     type File = Enclosed;
//!
//!     fn id(&self) -> &str {
//!         &self.id
//!     }
//!
//!     fn conversation(&self) -> String {
//!         self.room.clone()
//!     }
//!
//!     fn text(&mut self) -> &mut String {
//!         &mut self.text
//!     }
//!
//!     fn inbound(self, attachments: Vec<Attachment>) -> Inbound {
//!         // …
//! #       Inbound {
//! #           dedupe: self.id, target: Target::conversation(self.room), text: self.text, attachments,
//! #           sender: Sender { id: "7".into(), name: "Ann".into(), is_bot: false },
//! #           sent_at: 0, addressed: true, choice: None,
//! #       }
//!     }
//! }
//!
//! impl File for Enclosed {
//!     type Config = ();
//!
//!     fn request(&self, _: &Context<()>) -> Http {
//!         Http::get(self.url.as_str()).body_to_blob().timeout(DOWNLOAD)
//!     }
//!
//!     fn answered(&mut self, outcome: &HttpOutcome) -> Fetch {
//!         Fetch::of(outcome)
//!     }
//!
//!     fn title(&self) -> &str {
//!         &self.name
//!     }
//!
//!     fn attachment(self, blob: String) -> Attachment {
//!         // …
//! #       Attachment { blob, kind: AttachmentKind::Document, name: Some(self.name), mime: None, size: 0 }
//!     }
//! }
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct State {
//!     tokens: u64,
//!     parcels: Vec<Parcel<Said, Enclosed>>,
//! }
//!
//! fn handle(cx: &Context<()>, state: &mut State, event: Event, out: &mut Commands) {
//!     let mut parcels = Parcels::new(cx, (&mut state.parcels, &mut state.tokens), out);
//!     match event {
//!         Event::Started => parcels.take_up((&[], &[])),
//!         Event::Resumed(resumed) => parcels.take_up((&resumed.requests, &resumed.timers)),
//!         Event::HttpDone(done) => parcels.answered(done.token, &done.outcome),
//!         Event::Timer(token) => parcels.rang(token),
//!         // A message that came some other way: parcels.take(said, files)
//!         _ => {}
//!     }
//! }
//! ```

#[cfg(test)]
mod tests;

use crate::connector::{
    Attachment, Commands, Context, Http, HttpFailure, HttpOutcome, Inbound, LogLevel, Token,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// With so many messages waiting, a connector does well to ask for no more, or to leave their files where they are.
pub const MOST: usize = 64;

/// How long a file may take.
pub const DOWNLOAD: Duration = Duration::from_secs(120);

/// How often a file is tried.
const TRIES: u32 = 3;

/// A message for the agent without its files.
pub trait Letter {
    /// A file that belongs to it.
    type File: File;

    /// What the platform calls it, for the operator's log.
    fn id(&self) -> &str;

    /// Where it was said. What is said in one conversation is handed over in the order in which it was taken in.
    fn conversation(&self) -> String;

    /// Its text, to which a line is added for each file that could not be had.
    fn text(&mut self) -> &mut String;

    /// The message as the agent gets it.
    fn inbound(self, attachments: Vec<Attachment>) -> Inbound;
}

/// A file of a message, as it is known before it is fetched.
pub trait File {
    /// The channel's configuration.
    type Config;

    /// Asks for the file itself, into a blob and with time for it ([`DOWNLOAD`]), or for where it is. It gets a token and
    /// a lane from [`Parcels`].
    fn request(&self, cx: &Context<Self::Config>) -> Http;

    /// What the answer to its request means. What it tells of the file is kept in `self`, for the next request.
    fn answered(&mut self, outcome: &HttpOutcome) -> Fetch;

    /// What a person would call it.
    fn title(&self) -> &str;

    /// The file, now that it is kept as this blob.
    fn attachment(self, blob: String) -> Attachment;
}

/// What came of asking for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// It is kept as the blob of this id.
    Kept(String),
    /// Something was learned that the next request needs.
    Next,
    /// Not now, for this reason; perhaps after this long. None: after a pause that grows.
    Later(String, Option<Duration>),
    /// It can't be had, for this reason.
    Lost(String),
}

impl Fetch {
    /// What the answer to a request for the file itself means.
    pub fn of(outcome: &HttpOutcome) -> Self {
        match outcome {
            HttpOutcome::Response(response) if response.is_success() => match &response.blob {
                Some(blob) => Self::Kept(blob.clone()),
                None => Self::Lost("it was not kept".to_owned()),
            },
            HttpOutcome::Response(response) => {
                let reason = format!("HTTP {}", response.status);
                let passes = response.status == 429 || response.status >= 500;
                if passes { Self::Later(reason, None) } else { Self::Lost(reason) }
            }
            HttpOutcome::Failed(failure) if failure.is_too_large() => Self::Lost(failure.reason.clone()),
            HttpOutcome::Failed(failure) => Self::Later(failure.reason.clone(), None),
        }
    }
}

impl HttpFailure {
    /// Whether the answer is larger than the gateway takes: the next one will be, too.
    pub fn is_too_large(&self) -> bool {
        self.reason.contains("larger than it may be")
    }
}

/// A message that can't be handed over yet. Kept in the connector's state, in the order in which messages came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel<L, F> {
    letter: L,
    /// Still to be fetched, the first one now.
    wanted: Vec<F>,
    /// Fetched, each with its blob's id.
    fetched: Vec<(F, String)>,
    /// The request in flight, or the timer after which it is made again.
    #[serde(default)]
    token: Token,
    #[serde(default)]
    waiting: bool,
    #[serde(default)]
    failures: u32,
}

/// The messages that wait, at work.
pub struct Parcels<'a, L: Letter> {
    cx: &'a Context<<L::File as File>::Config>,
    list: &'a mut Vec<Parcel<L, L::File>>,
    tokens: &'a mut Token,
    out: &'a mut Commands,
}

impl<'a, L: Letter> Parcels<'a, L> {
    /// The messages in `list`. `tokens` is the last token that the connector has used for anything.
    pub fn new(
        cx: &'a Context<<L::File as File>::Config>,
        (list, tokens): (&'a mut Vec<Parcel<L, L::File>>, &'a mut Token),
        out: &'a mut Commands,
    ) -> Self {
        Self { cx, list, tokens, out }
    }

    /// Takes a message in, and hands it over at once if it waits for nothing.
    pub fn take(&mut self, letter: L, files: Vec<L::File>) {
        let (wanted, fetched) = (files, Vec::new());
        self.list.push(Parcel { letter, wanted, fetched, token: 0, waiting: false, failures: 0 });
        self.request(self.list.len() - 1);
        self.release();
    }

    /// Adds files to a message that still waits for its own, if there is such a one, and answers with it.
    pub fn join(&mut self, is_it: impl Fn(&L) -> bool, files: &[L::File]) -> Option<&mut L>
    where
        L::File: Clone,
    {
        let waits = |parcel: &&mut Parcel<L, L::File>| !parcel.wanted.is_empty() && is_it(&parcel.letter);
        let parcel = self.list.iter_mut().find(waits)?;
        parcel.wanted.extend_from_slice(files);
        Some(&mut parcel.letter)
    }

    /// Takes up what was being fetched, but for the requests and timers that still go on: those of a
    /// [`Resumed`](crate::connector::Resumed), and none after a start.
    pub fn take_up(&mut self, (requests, timers): (&[Token], &[Token])) {
        for index in 0..self.list.len() {
            let parcel = &self.list[index];
            let open = if parcel.waiting { timers } else { requests };
            if !open.contains(&parcel.token) {
                self.request(index);
            }
        }
    }

    /// A timer has rung; one that is not about a file is ignored.
    pub fn rang(&mut self, token: Token) {
        if let Some(index) = self.list.iter().position(|parcel| parcel.waiting && parcel.token == token) {
            self.request(index);
        }
    }

    /// A request was answered, or it failed; one that is not about a file is ignored.
    pub fn answered(&mut self, token: Token, outcome: &HttpOutcome) {
        let asks = |parcel: &Parcel<L, L::File>| !parcel.waiting && parcel.token == token && token != 0;
        let Some(index) = self.list.iter().position(asks) else { return };
        let parcel = &mut self.list[index];
        let Some(file) = parcel.wanted.first_mut() else { return };
        match file.answered(outcome) {
            Fetch::Next => return self.request(index),
            Fetch::Later(_, after) if parcel.failures + 1 < TRIES => return self.wait(index, after),
            Fetch::Kept(blob) => parcel.fetched.push((parcel.wanted.remove(0), blob)),
            Fetch::Later(reason, _) | Fetch::Lost(reason) => {
                let file = parcel.wanted.remove(0);
                leave(&mut parcel.letter, &file, &reason, self.out);
            }
        }
        parcel.failures = 0;
        self.request(index);
        self.release();
    }

    /// Has a message say that a file of it can't be had, before it is even asked for.
    pub fn leave(&mut self, letter: &mut L, file: &L::File, reason: &str) {
        leave(letter, file, reason, self.out);
    }

    /// Whether so many messages wait that no more should.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MOST
    }

    /// Asks for the first of the files that a message waits for. Those of one conversation come one after the other.
    fn request(&mut self, index: usize) {
        let parcel = &mut self.list[index];
        let Some(file) = parcel.wanted.first() else { return };
        *self.tokens += 1;
        (parcel.token, parcel.waiting) = (*self.tokens, false);
        let lane = format!("files:{}", parcel.letter.conversation());
        self.out.http(file.request(self.cx).token(parcel.token).lane(lane));
    }

    fn wait(&mut self, index: usize, after: Option<Duration>) {
        *self.tokens += 1;
        let parcel = &mut self.list[index];
        let after = after.unwrap_or_else(|| self.cx.backoff(parcel.failures));
        (parcel.token, parcel.waiting, parcel.failures) = (*self.tokens, true, parcel.failures + 1);
        self.out.timer(parcel.token, after);
    }

    /// Hands over what waits for nothing more, in order within each conversation.
    fn release(&mut self) {
        let mut held: Vec<String> = Vec::new();
        for parcel in std::mem::take(self.list) {
            let conversation = parcel.letter.conversation();
            if parcel.wanted.is_empty() && !held.contains(&conversation) {
                let files = parcel.fetched.into_iter().map(|(file, blob)| file.attachment(blob)).collect();
                self.out.deliver(parcel.letter.inbound(files));
            } else {
                held.push(conversation);
                self.list.push(parcel);
            }
        }
    }
}

/// The agent is told what it does not see.
fn leave<L: Letter>(letter: &mut L, file: &L::File, reason: &str, out: &mut Commands) {
    let line = format!("[{} could not be fetched: {reason}]", file.title());
    out.log(LogLevel::Warn, format!("message {}: {line}", letter.id()));
    let text = letter.text();
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&line);
}
