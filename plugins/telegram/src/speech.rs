//! Something to say: text, files and buttons, in as many calls as they need.

use prx_sdk::connector::{Attachment, AttachmentKind, Choice, Content};
use prx_sdk::continued::{Part, Replacing, maybe_repeated};
use prx_sdk::markdown::linked;
use prx_sdk::upload::Upload;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ask::MAX_DATA;
use crate::state::is_false;
use crate::text::{self, MAX_CAPTION, MAX_TEXT};
use crate::{html, rich};

/// The method that puts another text into a message.
pub(crate) const EDIT: &str = "editMessageText";

/// How a text goes out with its marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Markup {
    /// As the HTML that every server knows.
    Html,
    /// As a rich message, which servers know from Bot API 10.1 on.
    Rich,
    /// Without marks.
    Plain,
}

/// A larger picture goes as a file.
const MAX_PHOTO: u64 = 10 << 20;

/// What is still to be said.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Speech {
    /// The message whose text the next part is to replace.
    edit: Option<i64>,
    /// The text that goes out next, and what follows it.
    part: String,
    rest: String,
    /// They follow the text, the first with the last of it as its caption.
    files: Vec<OutgoingFile>,
    /// The data and the label of each.
    buttons: Vec<(String, String)>,
    reply_to: Option<i64>,
    /// The first of the messages that it has become so far.
    first: Option<i64>,
    /// The messages whose places its parts take.
    #[serde(flatten)]
    replacing: Replacing,
    /// The reader is told that it may be there twice.
    #[serde(skip_serializing_if = "is_false")]
    is_marked: bool,
}

/// A file to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutgoingFile {
    #[serde(flatten)]
    file: Upload,
    /// Shown as a picture.
    photo: bool,
}

enum Next<'a> {
    Edit(i64),
    /// There is no part any more for this message.
    Remove(i64),
    Text,
    File(&'a OutgoingFile),
}

impl Speech {
    /// A message, or several.
    pub fn new(content: Content, reply_to: Option<i64>) -> Result<Speech, String> {
        let files: Vec<_> = content.attachments.into_iter().map(OutgoingFile::from).collect();
        if content.markdown.trim().is_empty() && files.is_empty() {
            return Err("the message has no text".to_owned());
        }
        let (part, rest) = text::cut(&linked(&content.markdown), MAX_TEXT);
        Ok(Speech { part, rest, files, reply_to, ..Speech::default() })
    }

    /// Another text for a message; what it has no room for follows in messages of its own.
    pub fn edit(message: i64, content: Content) -> Result<Speech, String> {
        if content.markdown.trim().is_empty() {
            return Err("the message has no text".to_owned());
        }
        Ok(Speech { edit: Some(message), ..Speech::new(content, None)? })
    }

    /// A message with buttons under it.
    pub fn ask(content: Content, choices: Vec<Choice>, reply_to: Option<i64>) -> Result<Speech, String> {
        if choices.iter().any(|choice| choice.id.is_empty() || choice.id.len() > MAX_DATA) {
            return Err(format!("the id of a choice has 1 to {MAX_DATA} bytes on this platform"));
        }
        let label =
            |choice: &Choice| if choice.label.is_empty() { &choice.id } else { &choice.label }.clone();
        let buttons = choices.into_iter().map(|choice| (choice.id.clone(), label(&choice))).collect();
        Ok(Speech { buttons, ..Speech::new(content, reply_to)? })
    }

    fn next(&self) -> Next<'_> {
        let fits_a_caption = self.rest.is_empty() && text::units(&self.part) <= MAX_CAPTION;
        match (self.edit, self.files.first()) {
            (Some(message), _) if self.part.is_empty() => Next::Remove(message),
            (Some(message), _) => Next::Edit(message),
            (None, Some(file)) if fits_a_caption => Next::File(file),
            _ => Next::Text,
        }
    }

    /// Tells the reader that the next part may be there already, unless it takes another's place.
    pub fn mark_repetition(&mut self) {
        if self.edit.is_none() && !self.is_marked {
            let (part, over) = text::cut(&maybe_repeated(&self.part), MAX_TEXT);
            self.rest =
                [over, std::mem::take(&mut self.rest)].join(if self.rest.is_empty() { "" } else { "\n\n" });
            (self.part, self.is_marked) = (part, true);
        }
    }

    /// Whether the next part gains by being a rich message. Captions can't be one.
    pub fn gains_by_rich(&self) -> bool {
        matches!(self.next(), Next::Edit(_) | Next::Text) && rich::render(&self.part).is_some()
    }

    /// The method of the next call.
    pub fn method(&self, markup: Markup) -> &'static str {
        match self.next() {
            Next::Edit(_) => EDIT,
            Next::Remove(_) => "deleteMessage",
            Next::Text if markup == Markup::Rich => "sendRichMessage",
            Next::Text => "sendMessage",
            Next::File(file) if file.photo => "sendPhoto",
            Next::File(_) => "sendDocument",
        }
    }

    /// Whether making the next call twice changes nothing.
    pub fn is_repeatable(&self) -> bool {
        self.edit.is_some()
    }

    /// Whether the next call makes a message.
    pub fn sends(&self) -> bool {
        self.edit.is_none()
    }

    /// The file that the next call carries, under the name of its field.
    pub fn upload(&self) -> Option<(&'static str, &Upload)> {
        match self.next() {
            Next::File(next) => Some((if next.photo { "photo" } else { "document" }, &next.file)),
            _ => None,
        }
    }

    /// The parameters of the next call.
    pub fn parameters(&self, markup: Markup) -> Value {
        let (mut call, last) = match self.next() {
            Next::Edit(message) => {
                let mut call = marked("text", &self.part, markup);
                call["message_id"] = json!(message);
                (call, self.rest.is_empty() && self.files.is_empty())
            }
            Next::Remove(message) => (json!({ "message_id": message }), false),
            Next::Text => (marked("text", &self.part, markup), self.rest.is_empty() && self.files.is_empty()),
            Next::File(_) if self.part.is_empty() => (json!({}), self.files.len() == 1),
            Next::File(_) => (marked("caption", &self.part, markup), self.files.len() == 1),
        };
        if let (Some(message), None, true) = (self.reply_to, self.first, self.sends()) {
            call["reply_parameters"] = json!({ "message_id": message, "allow_sending_without_reply": true });
        }
        if last && !self.buttons.is_empty() {
            let button = |(data, label): &(String, String)| json!([{ "text": label, "callback_data": data }]);
            let rows: Vec<_> = self.buttons.iter().map(button).collect();
            call["reply_markup"] = json!({ "inline_keyboard": rows });
        }
        call
    }

    /// Has the parts of a text take the places of those that are shown of it.
    pub fn follow(&mut self, shown: Vec<Part>) {
        self.replacing.follow(shown);
    }

    /// Steps on after a call that went well: whether there is another one to make.
    pub fn advance(&mut self, message: Option<i64>) -> bool {
        self.step(message);
        self.skip_shown()
    }

    /// Passes over the parts that are shown as they are: whether there is a call to make.
    pub fn skip_shown(&mut self) -> bool {
        while self.edit.is_some() && self.replacing.is_shown(&self.part) {
            self.step(None);
        }
        !self.part.is_empty() || !self.files.is_empty() || self.edit.is_some()
    }

    fn step(&mut self, message: Option<i64>) {
        let is_text = !matches!(self.next(), Next::File(_));
        let message = self.edit.take().or(message);
        if let Some(id) = message.filter(|_| is_text && !self.part.is_empty()) {
            self.replacing.note(id.to_string(), &self.part);
        }
        (self.part, self.rest) = if is_text {
            text::cut(&self.rest, MAX_TEXT)
        } else {
            self.files.remove(0);
            (String::new(), String::new())
        };
        self.first = self.first.or(message);
        self.edit = self.replacing.go_on().and_then(|id| id.parse().ok());
    }

    /// The messages that show the text now.
    pub fn became(&mut self) -> Vec<Part> {
        self.replacing.became()
    }

    /// Has a picture that the platform does not take for one go as a file. False: there is none.
    pub fn degrade(&mut self) -> bool {
        let shown = matches!(self.next(), Next::File(file) if file.photo);
        if let Some(file) = self.files.first_mut().filter(|_| shown) {
            file.photo = false;
        }
        shown
    }

    /// Leaves the file out that the next call carries; the text says why. False: it carries none, or `is_it` denies it.
    pub fn leave_out(&mut self, why: &str, is_it: impl Fn(&Upload) -> bool) -> bool {
        let leaves = self.upload().is_some_and(|(_, file)| is_it(file));
        if leaves {
            let text = self.files.remove(0).file.left_out(&self.part, why);
            (self.part, self.rest) = text::cut(&text, MAX_TEXT);
        }
        leaves
    }

    /// The message whose text is replaced.
    pub fn edited(&self) -> Option<i64> {
        self.edit
    }

    /// The first of the messages that it has become so far.
    pub fn message(&self) -> Option<i64> {
        self.first
    }
}

impl From<Attachment> for OutgoingFile {
    fn from(attachment: Attachment) -> OutgoingFile {
        let mime = attachment.mime.as_deref().filter(|mime| !mime.is_empty());
        let still = mime.is_none_or(|m| matches!(m, "image/jpeg" | "image/png" | "image/webp"));
        let photo = attachment.kind == AttachmentKind::Image && still && attachment.size <= MAX_PHOTO;
        OutgoingFile { file: Upload::from(attachment), photo }
    }
}

/// A message's text or a file's caption in this form: the parameters that carry it.
pub(crate) fn marked(field: &str, text: &str, markup: Markup) -> Value {
    if markup == Markup::Plain {
        return json!({ field: text });
    }
    if markup == Markup::Rich
        && let Some(html) = rich::render(text)
    {
        let mut rich = json!({ "html": html });
        if is_right_to_left(text) {
            rich["is_rtl"] = json!(true);
        }
        return json!({ "rich_message": rich });
    }
    let limit = if field == "caption" { MAX_CAPTION } else { MAX_TEXT };
    json!({ field: html::render(text, limit), "parse_mode": "HTML" })
}

/// Whether the first letter of a text is of a script that is read from the right.
fn is_right_to_left(text: &str) -> bool {
    const SCRIPTS: [std::ops::RangeInclusive<char>; 4] =
        ['\u{590}'..='\u{8ff}', '\u{fb1d}'..='\u{fdff}', '\u{fe70}'..='\u{fefc}', '\u{1e800}'..='\u{1efff}'];
    let first = text.chars().find(|c| c.is_alphabetic());
    first.is_some_and(|c| SCRIPTS.iter().any(|script| script.contains(&c)))
}
