//! Messages for the agent, as they are kept while their files are fetched.

use prx_sdk::connector::{
    Attachment, AttachmentKind, Commands, Context, Http, HttpOutcome, Inbound, Sender, Target,
};
use prx_sdk::pending::{self, DOWNLOAD_TIMEOUT, Fetch, PendingQueue};
use serde::{Deserialize, Serialize};

use crate::call;
use crate::config::Config;
use crate::message::Media;
use crate::state::State;

/// Most files of a message that are fetched: the platform lets a person send no more.
const MAX_FILES: usize = 10;

/// A message that waits for its files, or behind one that does.
pub(crate) type Pending = pending::Pending<PendingMessage, File>;

/// A message for the agent without its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingMessage {
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
pub struct File {
    url: String,
    name: String,
    mime: Option<String>,
    size: u64,
}

impl State {
    /// The messages that wait for their files.
    pub(crate) fn pending_queue<'a>(
        &'a mut self,
        cx: &'a Context<Config>,
        out: &'a mut Commands,
    ) -> PendingQueue<'a, PendingMessage> {
        PendingQueue::new(cx, (&mut self.pending, &mut self.tokens), out)
    }
}

/// Delivers a message once its files are fetched.
pub(crate) fn take(
    cx: &Context<Config>,
    state: &mut State,
    (mut message, files): (PendingMessage, Vec<Media>),
    out: &mut Commands,
) {
    let mut queue = state.pending_queue(cx, out);
    let room = if queue.is_full() { 0 } else { MAX_FILES };
    let mut wanted = Vec::with_capacity(files.len().min(room));
    for (place, media) in files.into_iter().enumerate() {
        let file = File::from(media);
        match &file.url {
            _ if place >= room => queue.leave_out(&mut message, &file, "too many files wait"),
            url if !url.starts_with("https://") && !url.starts_with("http://") => {
                queue.leave_out(&mut message, &file, "the platform does not say where it is");
            }
            _ => wanted.push(file),
        }
    }
    queue.push(message, wanted);
}

impl pending::PendingMessage for PendingMessage {
    type Media = File;

    fn id(&self) -> &str {
        &self.id
    }

    fn conversation(&self) -> String {
        self.channel.clone()
    }

    fn text(&mut self) -> &mut String {
        &mut self.text
    }

    fn inbound(self, attachments: Vec<Attachment>) -> Inbound {
        let PendingMessage { id, channel, reply_to, sender: (sender, name), text, sent_at, addressed } = self;
        Inbound {
            dedupe: id,
            target: Target { reply_to, ..Target::conversation(channel) },
            sender: Sender { id: sender, name, is_bot: false },
            text,
            attachments,
            sent_at,
            addressed,
            choice: None,
        }
    }
}

impl pending::Media for File {
    type Config = Config;

    /// The address itself says who may have it: no token goes there.
    fn request(&self, _: &Context<Config>) -> Http {
        Http::get(self.url.as_str())
            .header("user-agent", call::USER_AGENT)
            .body_to_blob()
            .timeout(DOWNLOAD_TIMEOUT)
    }

    fn answered(&mut self, outcome: &HttpOutcome) -> Fetch {
        Fetch::of(outcome)
    }

    fn title(&self) -> &str {
        &self.name
    }

    fn attachment(self, blob: String) -> Attachment {
        let kind = AttachmentKind::of(self.mime.as_deref().unwrap_or_default());
        Attachment { blob, kind, name: Some(self.name), mime: self.mime, size: self.size }
    }
}

impl From<Media> for File {
    fn from(Media { url, filename, content_type, size }: Media) -> Self {
        let name = if filename.trim().is_empty() { "a file".to_owned() } else { filename };
        let mime = content_type.map(|mime| mime.split(';').next().unwrap_or_default().trim().to_owned());
        Self { url, name, mime: mime.filter(|mime| !mime.is_empty()), size }
    }
}
