//! What a model can be shown of the files in a conversation; feature `http`, for providers.

#[cfg(test)]
mod tests;

use crate::blobs;
use crate::provider::Message;
use crate::types::Attachment;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

/// Most bytes of all files in one request: they have to fit into an instance's memory several times over.
const MAX_REQUEST_BYTES: u64 = 8 << 20;

/// Most bytes of a file that is shown for what is in it, whatever its kind is said to be.
const MAX_UNNAMED_TEXT_BYTES: u64 = 256 << 10;

/// Kinds of images that models commonly take.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];
/// Kinds of texts, beside `text/…`.
const TEXTS: [&str; 4] = ["application/json", "application/xml", "application/yaml", "application/toml"];

/// A file as a model takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilePart {
    /// An image.
    Image {
        /// `image/jpeg`, `image/png`, `image/gif` or `image/webp`.
        mime: String,
        /// Its bytes in base64.
        data: String,
    },
    /// A PDF.
    Pdf {
        /// Its name, for people.
        name: String,
        /// Its bytes in base64.
        data: String,
    },
    /// A text with its name, or a line about a file that can't be shown.
    Text(String),
}

/// The files of a conversation.
#[derive(Debug, Default)]
pub struct Files(BTreeMap<String, FilePart>);

impl Files {
    /// Reads the files in these messages, the latest first, as far as there is room for them.
    pub fn read(messages: &[Message]) -> Self {
        Self::of(messages, true)
    }

    /// The same for a model that reads nothing but text: of any other file it is told the name.
    pub fn read_texts(messages: &[Message]) -> Self {
        Self::of(messages, false)
    }

    fn of(messages: &[Message], pictures: bool) -> Self {
        let mut room = MAX_REQUEST_BYTES;
        let files = messages.iter().rev().flat_map(|message| match message {
            Message::User(message) => message.attachments.as_slice(),
            Message::Assistant(_) | Message::ToolResult(_) => &[],
        });
        Self(files.map(|file| (file.blob.clone(), shown(file, pictures, &mut room))).collect())
    }

    /// Takes a file out. One that comes twice is shown once.
    pub fn take(&mut self, file: &Attachment) -> Option<FilePart> {
        self.0.remove(&file.blob)
    }
}

fn shown(file: &Attachment, pictures: bool, room: &mut u64) -> FilePart {
    let mime = file.mime.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let name = file.name.as_deref().unwrap_or("without a name");
    let is_text = mime.starts_with("text/") || TEXTS.contains(&mime);
    let about = |why: &str| FilePart::Text(format!("[a file, {name}, {} bytes, {mime}: {why}]", file.size));
    if !is_text && mime != "application/pdf" && !IMAGES.contains(&mime) {
        return text_by_content(file, room).unwrap_or_else(|| about("of a kind that cannot be shown"));
    }
    if !is_text && !pictures {
        return about("this model reads text only");
    }
    let Some(left) = room.checked_sub(file.size) else { return about("too large to be shown") };
    let Ok(bytes) = blobs::whole(&file.blob) else { return about("no longer kept") };
    *room = left;
    if is_text {
        return match String::from_utf8(bytes) {
            Ok(text) => FilePart::Text(format!("[a file, {name}]\n{text}")),
            Err(_) => about("not in UTF-8"),
        };
    }
    let data = STANDARD.encode(bytes);
    match mime {
        "application/pdf" => FilePart::Pdf { name: name.to_owned(), data },
        mime => FilePart::Image { mime: mime.to_owned(), data },
    }
}

/// A small file that is text, though its kind is called otherwise: those who send files guess it by the name, and know
/// few names.
fn text_by_content(file: &Attachment, room: &mut u64) -> Option<FilePart> {
    let left = room.checked_sub(file.size).filter(|_| file.size <= MAX_UNNAMED_TEXT_BYTES)?;
    let text = String::from_utf8(blobs::whole(&file.blob).ok()?).ok()?;
    if text.contains('\0') {
        return None;
    }
    *room = left;
    let name = file.name.as_deref().unwrap_or("without a name");
    Some(FilePart::Text(format!("[a file, {name}]\n{text}")))
}
