//! Messages that another one answers or passes on, as a connector keeps them until they are delivered with it.

use crate::connector::{Attachment, Inbound, Quoted};
use serde::{Deserialize, Serialize};

/// Most messages that one passes on; the gateway takes no more.
pub const MAX_FORWARDED: usize = 16;

/// Another message, without its files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quote {
    /// Who wrote it, for people; none: the platform doesn't say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// This bot wrote it.
    #[serde(skip_serializing_if = "is_false")]
    pub from_agent: bool,
    /// Its text, or the part of it that was chosen.
    pub text: String,
    /// The text is only the part that the sender chose to quote.
    #[serde(skip_serializing_if = "is_false")]
    pub is_part: bool,
}

/// All that a message quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quotes {
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Quote>,
    /// What it passes on, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forwarded: Vec<Quote>,
}

/// Which message a file belongs to: the one that is delivered, or one that it quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileOf {
    /// The message itself.
    #[default]
    Message,
    /// What it answers.
    ReplyTo,
    /// What it passes on: its place in [`Quotes::forwarded`].
    Forwarded(usize),
}

impl FileOf {
    /// Whether it belongs to the message itself.
    pub fn is_message(&self) -> bool {
        *self == Self::Message
    }
}

impl Quote {
    /// Adds a line of text.
    pub fn add_line(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
    }
}

impl Quotes {
    /// Whether nothing is quoted.
    pub fn is_empty(&self) -> bool {
        self.reply_to.is_none() && self.forwarded.is_empty()
    }

    /// The quoted message that such a file belongs to.
    pub fn of(&mut self, file: FileOf) -> Option<&mut Quote> {
        match file {
            FileOf::Message => None,
            FileOf::ReplyTo => self.reply_to.as_mut(),
            FileOf::Forwarded(place) => self.forwarded.get_mut(place),
        }
    }

    /// What a message that nobody addressed says besides its files, of which only the names are known: its own text, and what
    /// it passes on.
    pub fn overheard(self, text: String, files: impl IntoIterator<Item = (FileOf, String)>) -> String {
        let mut lines: Vec<String> = Some(text).filter(|text| !text.trim().is_empty()).into_iter().collect();
        for quote in self.forwarded {
            let from = quote.author.map(|author| format!(" from {author}")).unwrap_or_default();
            lines.push(format!("[forwarded{from}] {}", quote.text));
        }
        let files = files.into_iter().filter(|(of, _)| *of != FileOf::ReplyTo);
        lines.extend(files.map(|(_, name)| format!("[{name}]")));
        lines.join("\n")
    }

    /// Puts what is quoted into a message, with the files that belong to it. What belongs to no quoted message is the
    /// message's own.
    pub fn put_into(self, message: &mut Inbound, files: Vec<(FileOf, Attachment)>) {
        message.reply_to = self.reply_to.map(Quoted::from);
        message.forwarded = self.forwarded.into_iter().map(Quoted::from).collect();
        for (of, file) in files {
            let quoted = match of {
                FileOf::Message => None,
                FileOf::ReplyTo => message.reply_to.as_mut(),
                FileOf::Forwarded(place) => message.forwarded.get_mut(place),
            };
            quoted.map_or(&mut message.attachments, |quoted| &mut quoted.attachments).push(file);
        }
    }
}

impl From<Quote> for Quoted {
    fn from(Quote { author, from_agent, text, is_part }: Quote) -> Self {
        Self { author, from_agent, text, is_part, attachments: Vec::new() }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}
