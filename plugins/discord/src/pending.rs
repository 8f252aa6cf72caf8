//! Messages for the agent, as they are kept while their files are fetched.

use prx_sdk::connector::{
    Attachment, AttachmentKind, Context, Http, HttpOutcome, Inbound, Overheard, Sender, Target,
};
use prx_sdk::pending::{self, DOWNLOAD_TIMEOUT, Fetch};
use prx_sdk::quotes::{FileOf, Quotes};
use serde::{Deserialize, Serialize};

use crate::call;
use crate::config::Config;
use crate::message::Media;
use crate::state::is_false;

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
    /// More than one person may speak there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub group: bool,
    /// What the sender says of what is passed on belongs to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub awaits_comment: bool,
    /// Not said to the bot, unless a comment is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub overheard: bool,
    /// What is not said to the bot is kept all the same, as what was said before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hears: bool,
    #[serde(default, skip_serializing_if = "Quotes::is_empty")]
    pub quotes: Quotes,
}

/// A file of a message, and where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub(crate) url: String,
    name: String,
    mime: Option<String>,
    size: u64,
    /// Which message it belongs to.
    #[serde(default, skip_serializing_if = "FileOf::is_message")]
    of: FileOf,
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

    fn is_wanted(&self) -> bool {
        !self.overheard
    }

    fn quotes(&mut self) -> Option<&mut Quotes> {
        Some(&mut self.quotes)
    }

    fn overheard(self, files: Vec<File>) -> Option<Overheard> {
        let files = files.into_iter().map(|file| (file.of, file.name));
        let text = self.quotes.overheard(self.text, files);
        Some(Overheard {
            target: Target::conversation(self.channel),
            sender: Sender { id: self.sender.0, name: self.sender.1, is_bot: false, language: None },
            text,
            sent_at: self.sent_at,
        })
        .filter(|said| self.hears && !said.text.is_empty())
    }

    fn inbound(self, attachments: Vec<Attachment>) -> Inbound {
        Inbound {
            dedupe: self.id,
            target: Target { reply_to: self.reply_to, ..Target::conversation(self.channel) },
            sender: Sender { id: self.sender.0, name: self.sender.1, is_bot: false, language: None },
            text: self.text,
            attachments,
            sent_at: self.sent_at,
            addressed: self.addressed,
            choice: None,
            forwarded: Vec::new(),
            group: self.group,
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

    fn file_of(&self) -> FileOf {
        self.of
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
        Self { url, name, mime: mime.filter(|mime| !mime.is_empty()), size, of: FileOf::Message }
    }
}

impl From<(FileOf, Media)> for File {
    fn from((of, media): (FileOf, Media)) -> Self {
        Self { of, ..Self::from(media) }
    }
}
