//! Messages for the agent, as they are kept while their files are fetched.

use std::fmt;

use prx_sdk::connector::{Attachment, Inbound, Overheard, Sender, Target};
use prx_sdk::pending::{self, Media as _};
use prx_sdk::quotes::{FileOf, MAX_FORWARDED, Quotes};
use serde::{Deserialize, Serialize};

use crate::state::is_false;
use crate::update::{Media, MessageMedia};

/// A message that waits for its files, or behind one that does.
pub(crate) type Pending = pending::Pending<PendingMessage, File>;

/// A message for the agent without its attachments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingMessage {
    pub dedupe: String,
    pub place: Place,
    /// The message that a reply answers.
    pub reply_to: Option<i64>,
    /// Id and name.
    pub sender: (i64, String),
    /// The sender's, as a BCP 47 tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    pub text: String,
    pub sent_at: u64,
    pub addressed: bool,
    pub choice: Option<String>,
    /// Further messages of this group are part of this one.
    #[serde(default)]
    pub album: Option<String>,
    /// What may follow belongs to it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<Awaits>,
    /// Not said to the bot, unless a further picture of its album is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub overheard: bool,
    /// What is not said to the bot is kept all the same, as what was said before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hears: bool,
    /// More than one person may speak there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub group: bool,
    #[serde(default, skip_serializing_if = "Quotes::is_empty")]
    pub quotes: Quotes,
}

/// What belongs to a message and comes as another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Awaits {
    /// The rest of a text that the sender's app has cut; in the midst of a line.
    Rest,
    /// The same, from the next line on.
    NextLine,
    /// What the sender says of a message that was forwarded.
    Comment,
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
    pub kind: MediaKind,
    pub name: Option<String>,
    pub mime: Option<String>,
    pub size: u64,
    /// Where it is, once that is known.
    #[serde(default)]
    pub path: Option<String>,
    /// Which message it belongs to.
    #[serde(default, skip_serializing_if = "FileOf::is_message")]
    pub of: FileOf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    Image,
    Audio,
    Video,
    Document,
}

impl Place {
    /// The same place for the gateway; what goes there answers this message.
    pub(crate) fn target(&self, reply_to: Option<i64>) -> Target {
        Target {
            conversation: self.conversation.to_string(),
            thread: self.thread.map(|thread| thread.to_string()),
            reply_to: reply_to.map(|message| message.to_string()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.thread {
            None => write!(f, "{}", self.conversation),
            Some(thread) => write!(f, "{}/{thread}", self.conversation),
        }
    }
}

impl pending::PendingMessage for PendingMessage {
    type Media = File;

    fn id(&self) -> &str {
        &self.dedupe
    }

    fn conversation(&self) -> String {
        self.place.to_string()
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
        let files = files.iter().map(|file| (file.of, file.title().to_owned()));
        let text = self.quotes.overheard(self.text, files);
        Some(Overheard {
            target: self.place.target(None),
            sender: sender(self.sender, self.language),
            text,
            sent_at: self.sent_at,
        })
        .filter(|said| self.hears && !said.text.is_empty())
    }

    fn inbound(self, attachments: Vec<Attachment>) -> Inbound {
        Inbound {
            dedupe: self.dedupe,
            target: self.place.target(self.reply_to),
            sender: sender(self.sender, self.language),
            text: self.text,
            attachments,
            sent_at: self.sent_at,
            addressed: self.addressed,
            choice: self.choice,
            forwarded: Vec::new(),
            group: self.group,
            reply_to: None,
        }
    }
}

fn sender((id, name): (i64, String), language: Option<String>) -> Sender {
    Sender { id: id.to_string(), name, is_bot: false, language }
}

impl PendingMessage {
    /// Goes on with a text that belongs to it, which may go on in its turn.
    pub(crate) fn go_on(&mut self, text: &str, awaits: Option<Awaits>) {
        match self.awaits {
            Some(Awaits::Rest) => self.text.push_str(text),
            _ => self.add_line(text),
        }
        self.awaits = awaits;
    }

    /// Goes on with what was passed on beside it, and its files.
    pub(crate) fn pass_on(&mut self, quotes: Quotes, files: &mut [File]) {
        let first = self.quotes.forwarded.len();
        self.quotes.forwarded.extend(quotes.forwarded);
        for file in files {
            if let FileOf::Forwarded(place) = &mut file.of {
                *place += first;
            }
        }
        self.awaits = Some(Awaits::Comment);
    }

    /// Goes on with a further picture of its album, which may be one that is passed on.
    pub(crate) fn add_to_album(&mut self, quotes: Quotes, files: &mut [File]) {
        let Some(last) = self.quotes.forwarded.len().checked_sub(1) else { return };
        for quote in quotes.forwarded.iter().filter(|quote| !quote.text.is_empty()) {
            self.quotes.forwarded[last].add_line(&quote.text);
        }
        for file in files.iter_mut().filter(|file| matches!(file.of, FileOf::Forwarded(_))) {
            file.of = FileOf::Forwarded(last);
        }
    }

    /// Whether it has room for something else that is passed on.
    pub(crate) fn may_pass_on(&self) -> bool {
        self.quotes.forwarded.len() < MAX_FORWARDED
    }

    /// Takes it that what belongs to it is said to the bot, and so it is.
    pub(crate) fn address(&mut self) {
        (self.overheard, self.addressed) = (false, true);
    }

    /// Adds a line of text.
    pub(crate) fn add_line(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
    }
}

impl MessageMedia {
    /// The line that says that it was spoken, and for how long.
    pub(crate) fn spoken(&self) -> Option<String> {
        let (words, media) = match (&self.voice, &self.video_note) {
            (Some(voice), _) => ("a voice message", voice),
            (None, Some(video)) => ("a video message", video),
            (None, None) => return None,
        };
        Some(match media.duration {
            Some(seconds) => format!("[{words} of {seconds} s]"),
            None => format!("[{words}]"),
        })
    }

    /// The files to fetch: of a picture the largest of its sizes.
    pub(crate) fn files(mut self) -> Vec<File> {
        let known = [
            (self.photo.pop(), Some(MediaKind::Image), "image/jpeg"),
            (self.document, None, ""),
            (self.audio, Some(MediaKind::Audio), ""),
            (self.voice.map(|voice| voice.named("voice.ogg")), Some(MediaKind::Audio), "audio/ogg"),
            (self.video, Some(MediaKind::Video), ""),
            (self.video_note.map(|video| video.named("video.mp4")), Some(MediaKind::Video), "video/mp4"),
        ];
        known.into_iter().filter_map(|(media, kind, mime)| Some(file(media?, kind, mime))).collect()
    }
}

impl Media {
    /// The same file, by this name if it has none.
    fn named(self, name: &str) -> Media {
        Media { file_name: self.file_name.or_else(|| Some(name.to_owned())), ..self }
    }
}

fn file(media: Media, kind: Option<MediaKind>, usual: &str) -> File {
    let mime = media.mime_type.or((!usual.is_empty()).then(|| usual.to_owned()));
    let by_mime = || match mime.as_deref().and_then(|mime| mime.split('/').next()) {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    };
    let kind = kind.unwrap_or_else(by_mime);
    let (name, size) = (media.file_name, media.file_size.unwrap_or(0));
    File { id: media.file_id, kind, name, mime, size, path: None, of: FileOf::Message }
}
