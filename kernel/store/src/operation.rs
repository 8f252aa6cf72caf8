//! What is to be done on a platform, in the shape in which the outbox keeps it.
//!
//! This is the store's own shape and no connector's: a field that connectors learn later is added here with a default,
//! so that what is queued stays readable over an update.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::message::{Attachment, AttachmentKind};

/// Something to be done on a platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Operation {
    /// Say something.
    Send(Content),
    /// Replace the message of this platform id.
    Edit(String, Content),
    /// Delete the message of this platform id.
    Delete(String),
    /// Show that an answer is being made.
    Typing,
    /// Show an answer in the making, under its number.
    Draft(u64, Content),
    /// Put a reaction on the message of this platform id.
    React(String, String),
    /// Ask a question with choices.
    Ask(Content, Vec<Choice>),
    /// Something that this version does not know, as it was kept.
    #[serde(untagged)]
    Unknown(Value),
}

/// Something to say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// CommonMark.
    #[serde(default)]
    pub markdown: String,
    /// Files that go with it.
    #[serde(default, with = "files")]
    pub attachments: Vec<Attachment>,
}

/// What a person may choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Comes back with the choice.
    pub id: String,
    /// What the button says.
    pub label: String,
}

impl Operation {
    /// Says something.
    pub fn send(markdown: impl Into<String>, attachments: Vec<Attachment>) -> Self {
        Self::Send(Content { markdown: markdown.into(), attachments })
    }
}

/// Files as an operation keeps them: their kinds are written with a capital letter.
mod files {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Attachment, AttachmentKind};

    #[derive(Serialize, Deserialize)]
    struct File {
        blob: String,
        #[serde(with = "Kind")]
        kind: AttachmentKind,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        mime: Option<String>,
        #[serde(default)]
        size: u64,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "AttachmentKind")]
    enum Kind {
        Image,
        Audio,
        Video,
        Document,
        Other,
    }

    pub(super) fn serialize<S: Serializer>(files: &[Attachment], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            files.iter().cloned().map(|Attachment { blob, kind, name, mime, size }| File {
                blob,
                kind,
                name,
                mime,
                size,
            }),
        )
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Vec<Attachment>, D::Error> {
        let files = Vec::<File>::deserialize(deserializer)?.into_iter();
        Ok(files
            .map(|File { blob, kind, name, mime, size }| Attachment { blob, kind, name, mime, size })
            .collect())
    }
}
