//! A message for the agent, as it is kept while something of it is still to come.

use std::fmt;

use prx_sdk::connector::{Attachment, Inbound, Sender, Target};
use prx_sdk::parcel;
use serde::{Deserialize, Serialize};

use crate::update::{Enclosed, Media};

/// A message for the agent without its attachments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    pub dedupe: String,
    pub place: Place,
    /// The message that a reply answers.
    pub reply_to: Option<i64>,
    /// Id and name.
    pub sender: (i64, String),
    pub text: String,
    pub sent_at: u64,
    pub addressed: bool,
    pub choice: Option<String>,
    /// Further messages of this group are part of this one.
    #[serde(default)]
    pub album: Option<String>,
}

/// What a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub conversation: i64,
    pub thread: Option<i64>,
}

/// A file that belongs to a message: first to be fetched by its id, then kept as a blob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub id: String,
    pub kind: Kind,
    pub name: Option<String>,
    pub mime: Option<String>,
    pub size: u64,
    /// Where it is, once that is known.
    #[serde(default)]
    pub path: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Image,
    Audio,
    Video,
    Document,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.thread {
            None => write!(f, "{}", self.conversation),
            Some(thread) => write!(f, "{}/{thread}", self.conversation),
        }
    }
}

impl parcel::Letter for Letter {
    type File = File;

    fn id(&self) -> &str {
        &self.dedupe
    }

    fn conversation(&self) -> String {
        self.place.to_string()
    }

    fn text(&mut self) -> &mut String {
        &mut self.text
    }

    fn inbound(self, attachments: Vec<Attachment>) -> Inbound {
        Inbound {
            dedupe: self.dedupe,
            target: Target {
                conversation: self.place.conversation.to_string(),
                thread: self.place.thread.map(|thread| thread.to_string()),
                reply_to: self.reply_to.map(|message| message.to_string()),
            },
            sender: Sender { id: self.sender.0.to_string(), name: self.sender.1, is_bot: false },
            text: self.text,
            attachments,
            sent_at: self.sent_at,
            addressed: self.addressed,
            choice: self.choice,
        }
    }
}

impl Letter {
    /// Adds a line of text.
    pub(crate) fn add_line(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
    }
}

impl Media {
    /// The files to fetch: of a picture the largest of its sizes.
    pub(crate) fn files(mut self) -> Vec<File> {
        let known = [
            (self.photo.pop(), Some(Kind::Image), "image/jpeg"),
            (self.document, None, ""),
            (self.audio, Some(Kind::Audio), ""),
            (self.voice, Some(Kind::Audio), "audio/ogg"),
            (self.video, Some(Kind::Video), ""),
            (self.video_note, Some(Kind::Video), "video/mp4"),
        ];
        known.into_iter().filter_map(|(enclosed, kind, mime)| Some(file(enclosed?, kind, mime))).collect()
    }
}

fn file(enclosed: Enclosed, kind: Option<Kind>, usual: &str) -> File {
    let mime = enclosed.mime_type.or((!usual.is_empty()).then(|| usual.to_owned()));
    let by_mime = || match mime.as_deref().and_then(|mime| mime.split('/').next()) {
        Some("image") => Kind::Image,
        Some("audio") => Kind::Audio,
        Some("video") => Kind::Video,
        _ => Kind::Document,
    };
    let kind = kind.unwrap_or_else(by_mime);
    let (name, size) = (enclosed.file_name, enclosed.file_size.unwrap_or(0));
    File { id: enclosed.file_id, kind, name, mime, size, path: None }
}
