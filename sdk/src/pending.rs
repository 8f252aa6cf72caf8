//! Messages that wait for their files, for a connector whose platform keeps files apart from the text.
//!
//! A connector says what a message is without its files ([`PendingMessage`]) and how a file is requested ([`Media`]);
//! what it keeps in its state is a list of [`Pending`] messages. [`PendingQueue`] does the rest:
//!
//! - a message is delivered once its files are in the gateway's blob store; later messages of the same conversation wait
//!   behind it, those of other conversations don't;
//! - a download that fails for now is retried after a backoff, three attempts in all;
//! - a download that fails for good costs only that file: the agent is told its name and why;
//! - a message to which more belongs, a further picture or the rest of a text, can wait a moment for that;
//! - files of a message that another one answers or passes on go with that one's, and come with what is quoted;
//! - after a restart or a swap of the code, open downloads go on where they were.
//!
//! ```
//! # use prx_sdk::connector::{Attachment, AttachmentKind, Commands, Context, Event, Http, HttpOutcome, Inbound, Sender, Target};
//! use prx_sdk::pending::{DOWNLOAD_TIMEOUT, Fetch, Media, Pending, PendingMessage, PendingQueue};
//! # use serde::{Deserialize, Serialize};
//!
//! /// A message as the platform sends it.
//! #[derive(Serialize, Deserialize)]
//! struct Message {
//!     id: String,
//!     room: String,
//!     text: String,
//! }
//!
//! /// A file as the platform describes it.
//! #[derive(Serialize, Deserialize)]
//! struct File {
//!     name: String,
//!     url: String,
//! }
//!
//! impl PendingMessage for Message {
//!     type Media = File;
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
//! #           sender: Sender { id: "7".into(), name: "Ann".into(), is_bot: false, language: None },
//! #           sent_at: 0, addressed: true, group: false, reply_to: None, forwarded: Vec::new(), choice: None,
//! #       }
//!     }
//! }
//!
//! impl Media for File {
//!     type Config = ();
//!
//!     fn request(&self, _: &Context<()>) -> Http {
//!         Http::get(self.url.as_str()).body_to_blob().timeout(DOWNLOAD_TIMEOUT)
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
//!     last_token: u64,
//!     pending: Vec<Pending<Message, File>>,
//! }
//!
//! fn handle(cx: &Context<()>, state: &mut State, event: Event, out: &mut Commands) {
//!     let mut queue = PendingQueue::new(cx, (&mut state.pending, &mut state.last_token), out);
//!     match event {
//!         Event::Started => queue.resume(&[], &[]),
//!         Event::Resumed(resumed) => queue.resume(&resumed.requests, &resumed.timers),
//!         Event::HttpDone(done) => queue.answered(done.token, &done.outcome),
//!         Event::Timer(token) => queue.timer(token),
//!         // A message came: queue.push(message, files)
//!         _ => {}
//!     }
//! }
//! ```

#[cfg(test)]
mod tests;

use crate::connector::{
    Attachment, Commands, Context, Http, HttpFailureKind, HttpOutcome, Inbound, LogLevel, Overheard, Token,
};
use crate::cooldown::Cooldown;
use crate::quotes::{FileOf, Quotes};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Most messages that should be pending at once; beyond it a connector asks the platform for no more, or leaves files out.
pub const MAX_PENDING: usize = 64;

/// Timeout of one download.
pub const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Most files of one message that others join.
const MAX_JOINED_FILES: usize = 16;

/// Most attempts at one request of a file.
const MAX_ATTEMPTS: u32 = 3;

/// The pause after a 429 that does not say how long it stands.
const DEFAULT_PAUSE: Duration = Duration::from_secs(60);
/// The longest that a file is waited for; it keeps its message from being delivered.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// A message for the agent without its files.
pub trait PendingMessage {
    /// A file that belongs to it.
    type Media: Media;

    /// The platform's id of it, for the operator's log.
    fn id(&self) -> &str;

    /// Its conversation. Messages of one conversation are delivered in the order in which they were pushed.
    fn conversation(&self) -> String;

    /// Its text, to which a line is added for each file that could not be fetched.
    fn text(&mut self) -> &mut String;

    /// Whether it is for the agent. What is not, and does not become so while it waits for more, is dropped; its files are
    /// not fetched.
    fn is_wanted(&self) -> bool {
        true
    }

    /// What is kept of one that was dropped, as something that was said and not to the agent.
    fn overheard(self, files: Vec<Self::Media>) -> Option<Overheard>
    where
        Self: Sized,
    {
        drop(files);
        None
    }

    /// What it quotes, where the connector keeps that. It is put into the delivered message, with its files.
    fn quotes(&mut self) -> Option<&mut Quotes> {
        None
    }

    /// The message as the agent gets it.
    fn inbound(self, attachments: Vec<Attachment>) -> Inbound;
}

/// A file of a message, before it is fetched.
pub trait Media {
    /// The channel's configuration.
    type Config;

    /// The next request: for the file itself, into a blob and with the [`DOWNLOAD_TIMEOUT`], or for where it is.
    /// [`PendingQueue`] sets its token and its lane.
    fn request(&self, cx: &Context<Self::Config>) -> Http;

    /// Reads the answer to its request, and keeps in `self` what the next request needs.
    fn answered(&mut self, outcome: &HttpOutcome) -> Fetch;

    /// Its name for people.
    fn title(&self) -> &str;

    /// Which message it belongs to.
    fn file_of(&self) -> FileOf {
        FileOf::Message
    }

    /// The attachment, now that the file is kept as this blob.
    fn attachment(self, blob: String) -> Attachment;
}

/// The outcome of a request for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// It is kept as the blob of this id.
    Kept(String),
    /// The answer told where the file is: another request follows.
    Next,
    /// It failed for now, for this reason: retried after this long, or else after a backoff.
    Later(String, Option<Duration>),
    /// It failed for good, for this reason.
    Lost(String),
}

impl Fetch {
    /// The outcome of a request for the file itself.
    pub fn of(outcome: &HttpOutcome) -> Self {
        match outcome {
            HttpOutcome::Response(response) if response.is_success() => match &response.blob {
                Some(blob) => Self::Kept(blob.clone()),
                None => Self::Lost("it was not kept".to_owned()),
            },
            HttpOutcome::Response(response) => {
                let reason = format!("HTTP {}", response.status);
                let asked = response.header("retry-after").and_then(|seconds| seconds.trim().parse().ok());
                let asked = asked.map(Duration::from_secs);
                match response.status {
                    429 | 500.. if asked.is_some_and(|asked| asked > MAX_PAUSE) => Self::Lost(reason),
                    429 => Self::Later(reason, asked.or(Some(DEFAULT_PAUSE))),
                    500.. => Self::Later(reason, asked),
                    _ => Self::Lost(reason),
                }
            }
            HttpOutcome::Failed(failure) if failure.kind == HttpFailureKind::TooLarge => {
                Self::Lost(failure.reason.clone())
            }
            HttpOutcome::Failed(failure) => Self::Later(failure.reason.clone(), None),
        }
    }
}

/// A message that waits for its files, or behind one that does. Kept in the connector's state, in order of arrival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending<M, F> {
    #[serde(rename = "letter")]
    message: M,
    /// Still to be fetched, the first one now.
    wanted: Vec<F>,
    /// Fetched, each with its blob's id.
    fetched: Vec<(F, String)>,
    /// The request in flight, or the timer of its retry.
    #[serde(default)]
    token: Token,
    /// The token is a timer's.
    #[serde(default)]
    waiting: bool,
    #[serde(default)]
    failures: u32,
    /// The timer until which more may join it; 0: none may.
    #[serde(default, skip_serializing_if = "is_zero")]
    open: Token,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(token: &Token) -> bool {
    *token == 0
}

/// Fetches the files of pending messages, and delivers each message once it is complete.
pub struct PendingQueue<'a, M: PendingMessage> {
    cx: &'a Context<<M::Media as Media>::Config>,
    list: &'a mut Vec<Pending<M, M::Media>>,
    last_token: &'a mut Token,
    out: &'a mut Commands,
    cooldown: Option<&'a mut Cooldown>,
}

impl<'a, M: PendingMessage> PendingQueue<'a, M> {
    /// The queue of the messages in `list`. `last_token` is the last token that the connector has used for anything.
    pub fn new(
        cx: &'a Context<<M::Media as Media>::Config>,
        (list, last_token): (&'a mut Vec<Pending<M, M::Media>>, &'a mut Token),
        out: &'a mut Commands,
    ) -> Self {
        Self { cx, list, last_token, out, cooldown: None }
    }

    /// The same queue whose files come from an origin that may be in a pause: they are requested after it.
    pub fn behind(self, cooldown: &'a mut Cooldown) -> Self {
        Self { cooldown: Some(cooldown), ..self }
    }

    /// Whether it waits for the answer to the request of this token.
    pub fn awaits_answer(&self, token: Token) -> bool {
        token != 0 && self.list.iter().any(|pending| !pending.waiting && pending.token == token)
    }

    /// Adds a message, and delivers it at once if it waits for nothing.
    pub fn push(&mut self, message: M, files: Vec<M::Media>) {
        self.add(message, files, 0);
    }

    /// Adds a message to which more belongs that may come within this long. Until then it waits.
    pub fn push_open(&mut self, message: M, files: Vec<M::Media>, pause: Duration) {
        let open = self.set_pause(0, pause);
        self.add(message, files, open);
    }

    fn add(&mut self, message: M, files: Vec<M::Media>, open: Token) {
        let (wanted, fetched) = (files, Vec::new());
        self.list.push(Pending { message, wanted, fetched, token: 0, waiting: false, failures: 0, open });
        self.request(self.list.len() - 1);
        self.deliver_complete();
    }

    /// Adds to the first message that still waits, for its files or for more, and that `is_it` accepts: these files, and
    /// whatever `change` does, also to them. It then waits for more this long; None: nothing more belongs to it. Returns whether there
    /// is such a message.
    pub fn join(
        &mut self,
        is_it: impl Fn(&M) -> bool,
        mut files: Vec<M::Media>,
        pause: Option<Duration>,
        change: impl FnOnce(&mut M, &mut [M::Media]),
    ) -> bool {
        let waits = |pending: &Pending<M, M::Media>| {
            let room = MAX_JOINED_FILES.saturating_sub(pending.wanted.len() + pending.fetched.len());
            (!pending.wanted.is_empty() || pending.open != 0)
                && files.len() <= room
                && is_it(&pending.message)
        };
        let Some(index) = self.list.iter().position(waits) else { return false };
        let open = self.list[index].open;
        let open = match pause {
            Some(pause) => self.set_pause(open, pause),
            None => {
                if open != 0 {
                    self.out.cancel(open);
                }
                0
            }
        };
        let pending = &mut self.list[index];
        pending.open = open;
        let idle = pending.wanted.is_empty() || !pending.message.is_wanted();
        change(&mut pending.message, &mut files);
        pending.wanted.extend(files);
        if idle {
            self.request(index);
        }
        self.deliver_complete();
        true
    }

    /// Sets the timer of a message that waits for more.
    fn set_pause(&mut self, before: Token, pause: Duration) -> Token {
        if before == 0 {
            *self.last_token += 1;
        }
        let token = if before == 0 { *self.last_token } else { before };
        self.out.timer(token, pause);
        token
    }

    /// Requests again what was being fetched, but for the requests and timers that are still open: those of a
    /// [`Resumed`](crate::connector::Resumed), and none after a start.
    pub fn resume(&mut self, requests: &[Token], timers: &[Token]) {
        for index in 0..self.list.len() {
            let pending = &self.list[index];
            let open = if pending.waiting { timers } else { requests };
            if !open.contains(&pending.token) {
                self.request(index);
            }
            let pending = &mut self.list[index];
            if !timers.contains(&pending.open) {
                pending.open = 0;
            }
        }
        self.deliver_complete();
    }

    /// Retries after a timer, or waits no longer for more; one that is about neither is ignored.
    pub fn timer(&mut self, token: Token) {
        let whole = self.list.iter_mut().find(|pending| pending.open == token && token != 0);
        if let Some(pending) = whole {
            pending.open = 0;
            return self.deliver_complete();
        }
        if let Some(index) = self.list.iter().position(|pending| pending.waiting && pending.token == token) {
            self.request(index);
        }
    }

    /// Takes the outcome of a request; one that is not about a file is ignored.
    pub fn answered(&mut self, token: Token, outcome: &HttpOutcome) {
        let asks = |pending: &Pending<M, M::Media>| !pending.waiting && pending.token == token && token != 0;
        let Some(index) = self.list.iter().position(asks) else { return };
        let pending = &mut self.list[index];
        let Some(file) = pending.wanted.first_mut() else { return };
        match file.answered(outcome) {
            Fetch::Next => return self.request(index),
            Fetch::Later(_, after) if pending.failures + 1 < MAX_ATTEMPTS => return self.wait(index, after),
            Fetch::Kept(blob) => pending.fetched.push((pending.wanted.remove(0), blob)),
            Fetch::Later(reason, _) | Fetch::Lost(reason) => {
                let file = pending.wanted.remove(0);
                leave_out(&mut pending.message, &file, &reason, self.out);
            }
        }
        pending.failures = 0;
        self.request(index);
        self.deliver_complete();
    }

    /// Adds a line to a message about a file that is not fetched at all.
    pub fn leave_out(&mut self, message: &mut M, file: &M::Media, reason: &str) {
        leave_out(message, file, reason, self.out);
    }

    /// Whether [`MAX_PENDING`] messages are pending.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MAX_PENDING
    }

    /// Requests the first file that a message waits for. Those of one conversation are fetched one after the other.
    fn request(&mut self, index: usize) {
        let pending = &mut self.list[index];
        let Some(file) = pending.wanted.first().filter(|_| pending.message.is_wanted()) else { return };
        *self.last_token += 1;
        (pending.token, pending.waiting) = (*self.last_token, false);
        let pause = self.cooldown.as_mut().and_then(|cooldown| cooldown.wait(self.cx.now));
        if let Some(pause) = pause {
            pending.waiting = true;
            return self.out.timer(pending.token, pause);
        }
        let lane = format!("files:{}", pending.message.conversation());
        self.out.http(file.request(self.cx).token(pending.token).lane(lane));
    }

    fn wait(&mut self, index: usize, after: Option<Duration>) {
        *self.last_token += 1;
        let pending = &mut self.list[index];
        let after = after.unwrap_or_else(|| self.cx.backoff(pending.failures));
        (pending.token, pending.waiting, pending.failures) = (*self.last_token, true, pending.failures + 1);
        self.out.timer(pending.token, after);
    }

    /// Delivers what waits for nothing more, in order within each conversation.
    fn deliver_complete(&mut self) {
        let mut held: Vec<String> = Vec::new();
        for pending in std::mem::take(self.list) {
            if pending.open == 0 && !pending.message.is_wanted() {
                let said = pending.message.overheard(pending.wanted);
                said.into_iter().for_each(|said| self.out.overhear(said));
                continue;
            }
            let conversation = pending.message.conversation();
            if pending.wanted.is_empty() && pending.open == 0 && !held.contains(&conversation) {
                self.out.deliver(delivered(pending.message, pending.fetched));
            } else {
                held.push(conversation);
                self.list.push(pending);
            }
        }
    }
}

/// A complete message, its files where they belong.
fn delivered<M: PendingMessage>(mut message: M, fetched: Vec<(M::Media, String)>) -> Inbound {
    let files = fetched.into_iter().map(|(file, blob)| (file.file_of(), file.attachment(blob)));
    match message.quotes().map(std::mem::take).filter(|quotes| !quotes.is_empty()) {
        None => message.inbound(files.map(|(_, file)| file).collect()),
        Some(quotes) => {
            let files = files.collect();
            let mut inbound = message.inbound(Vec::new());
            quotes.put_into(&mut inbound, files);
            inbound
        }
    }
}

/// Tells the agent, and the operator, which file is missing and why.
fn leave_out<M: PendingMessage>(message: &mut M, file: &M::Media, reason: &str, out: &mut Commands) {
    let line = format!("[{} could not be fetched: {reason}]", file.title());
    out.log(LogLevel::Warn, format!("message {}: {line}", message.id()));
    let of = file.file_of();
    if let Some(quote) = message.quotes().and_then(|quotes| quotes.of(of)) {
        return quote.add_line(&line);
    }
    let text = message.text();
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&line);
}
