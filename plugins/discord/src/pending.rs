//! Messages for the agent, as they are kept while their files are fetched.

use prx_sdk::connector::{Attachment, AttachmentKind, Context, Http, HttpOutcome, Inbound, Sender, Target};
use prx_sdk::pending::{self, DOWNLOAD_TIMEOUT, Fetch};
use serde::{Deserialize, Serialize};

use crate::call;
use crate::config::Config;
use crate::message::Media;

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
    pub(crate) url: String,
    name: String,
    mime: Option<String>,
    size: u64,
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
            forwarded: Vec::new(),
            group: false,
            reply_to: None,
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
    fn from(Media { url, filename, content_type, size, .. }: Media) -> Self {
        let name = if filename.trim().is_empty() { "a file".to_owned() } else { filename };
        let mime = content_type.map(|mime| mime.split(';').next().unwrap_or_default().trim().to_owned());
        Self { url, name, mime: mime.filter(|mime| !mime.is_empty()), size }
    }
}
