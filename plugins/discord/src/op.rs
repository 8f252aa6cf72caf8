//! One thing to do on the platform, as REST calls.

use prx_sdk::connector::{Choice, Content, Operation, Outbound, Target};
use prx_sdk::continued::{Part, Replacing, maybe_repeated};
use prx_sdk::markdown::simplified;
use prx_sdk::operations::Resumable;
use prx_sdk::text;
use prx_sdk::upload::{GONE, TOO_LARGE, Upload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::message::is_id;
use crate::state::is_false;
use crate::upload::{self, MAX_FILE};

/// The most that one message holds. The platform counts characters; UTF-16 units are never fewer.
pub(crate) const MAX_TEXT: usize = 2000;
const MAX_CHOICES: usize = 25;
const MAX_CHOICE_ID: usize = 100;
const MAX_LABEL: usize = 80;

/// An operation with its progress: whatever is needed to make its next call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Op {
    pub id: String,
    /// The request in flight; 0: none.
    pub token: u64,
    pub attempt: u32,
    /// When the next call went out for the first time; 0: it did not.
    pub since: u64,
    pub channel: String,
    pub work: Work,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    #[serde(alias = "edit")]
    Send(Parts),
    Delete {
        message: String,
        /// Deleted after it, from the end on: the text went on there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        more: Vec<String>,
    },
    React {
        message: String,
        emoji: String,
    },
}

/// A text and its files in as many messages as they need, one after the other.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parts {
    /// The message that the first part takes the place of. As version 0.1.0 wrote it: with the text alone.
    #[serde(alias = "message")]
    pub edit: Option<String>,
    #[serde(alias = "text")]
    pub part: String,
    pub rest: String,
    /// How many were sent.
    pub sent: u32,
    /// The message that it answers, or `i` and the id of the command that it answers.
    pub reply_to: Option<String>,
    /// The platform's id of the first one.
    pub first: Option<String>,
    /// Buttons under the last one: what each gives back and says.
    pub choices: Vec<(String, String)>,
    /// Still to be sent, from the end of the text on.
    files: Vec<Upload>,
    /// Each file in a message of its own.
    apart: bool,
    /// The messages whose places its parts take.
    #[serde(flatten)]
    replacing: Replacing,
    /// The reader is told that it may be there twice.
    #[serde(skip_serializing_if = "is_false")]
    is_marked: bool,
}

impl Resumable for Op {
    fn id(&self) -> &str {
        &self.id
    }

    fn token(&self) -> u64 {
        self.token
    }

    fn clear_token(&mut self) {
        self.token = 0;
    }

    fn has_progress(&self) -> bool {
        let Work::Send(parts) = &self.work else { return false };
        parts.sent > 0 || (self.since > 0 && parts.edit.is_none())
    }
}

impl Op {
    /// The operation that was asked for, or why it can't be done. `None`: there is no such thing on this platform.
    pub(crate) fn new(outbound: Outbound) -> Result<Option<Op>, String> {
        let Outbound { id, target, operation, attempt, .. } = outbound;
        let Target { conversation, thread, reply_to } = target;
        // A thread is a channel of its own.
        let channel = platform_id(thread.unwrap_or(conversation))?;
        let work = match operation {
            Operation::Send(content) => Work::Send(Parts::new(content, reply_to, Vec::new())?),
            Operation::Ask((content, choices)) => Work::Send(Parts::new(content, reply_to, asked(choices)?)?),
            Operation::Edit((message, content)) => {
                let edit = Some(platform_id(message)?);
                Work::Send(Parts { edit, ..Parts::new(content, reply_to, Vec::new())? })
            }
            Operation::Delete(message) => Work::Delete { message: platform_id(message)?, more: Vec::new() },
            Operation::React((message, emoji)) if emoji.contains(|c| c != '.') => {
                Work::React { message: platform_id(message)?, emoji }
            }
            Operation::React(_) | Operation::Typing | Operation::Draft(_) => return Ok(None),
        };
        Ok(Some(Op { id, token: 0, attempt, since: 0, channel, work }))
    }

    /// The same, with a word for the reader if what it sends may be there already.
    pub(crate) fn marked(mut self, maybe_repeats: bool) -> Op {
        if let Work::Send(parts) = &mut self.work
            && maybe_repeats
        {
            parts.mark_repetition();
        }
        self
    }

    /// The kind of the next call, as the platform counts them.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.work {
            Work::Send(parts) if parts.removes() => "delete",
            Work::Send(parts) if parts.edit.is_some() => "edit",
            Work::Send(_) => "send",
            Work::Delete { .. } => "delete",
            Work::React { .. } => "react",
        }
    }

    /// Whether the next call makes a message.
    pub(crate) fn sends(&self) -> bool {
        self.kind() == "send"
    }

    /// Steps on after a call that went well: whether there is another one to make.
    pub(crate) fn advance(&mut self, message: Option<String>) -> bool {
        match &mut self.work {
            Work::Send(parts) => {
                self.since = 0;
                parts.files.drain(..parts.files().len());
                parts.sent += 1;
                parts.step(message);
                parts.skip_shown()
            }
            Work::Delete { message, more } => {
                let next = more.pop();
                let is_more = next.is_some();
                *message = next.unwrap_or_default();
                is_more
            }
            Work::React { .. } => false,
        }
    }

    /// The first message of a text that is edited or deleted, as texts are known that go on in others.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.work {
            Work::Send(parts) => parts.edit.as_deref(),
            Work::Delete { message, .. } => Some(message),
            Work::React { .. } => None,
        }
    }

    /// Goes on in the messages that show the rest of the text. False: they show all of it already.
    pub(crate) fn follow(&mut self, shown: Vec<Part>) -> bool {
        match &mut self.work {
            Work::Send(parts) => {
                parts.replacing.follow(shown);
                parts.skip_shown()
            }
            Work::Delete { more, .. } => {
                more.extend(shown.into_iter().skip(1).map(|part| part.id).filter(|id| is_id(id)));
                true
            }
            Work::React { .. } => true,
        }
    }

    /// What became of a text, now that nothing is left to be done: its first message, and all that show it.
    pub(crate) fn became(&mut self) -> Option<(String, Vec<Part>)> {
        let Work::Send(parts) = &mut self.work else { return None };
        Some((parts.first.clone()?, parts.replacing.became()))
    }

    /// The files that go with the next call.
    pub(crate) fn files(&self) -> &[Upload] {
        match &self.work {
            Work::Send(parts) => parts.files(),
            Work::Delete { .. } | Work::React { .. } => &[],
        }
    }

    /// Has files that were too much for one message go out one by one, and one that is too much by itself not at all.
    /// False: there are none.
    pub(crate) fn lighten(&mut self) -> bool {
        let Work::Send(parts) = &mut self.work else { return false };
        match parts.files().len() {
            0 => return false,
            1 => parts.leave_out(0, TOO_LARGE),
            _ => parts.apart = true,
        }
        true
    }

    /// Which of the files a failure is about that names its blob.
    pub(crate) fn missing(&self, reason: &str) -> Option<usize> {
        self.files().iter().position(|file| file.is_missing_in(reason))
    }

    /// Leaves out a file that there is no more.
    pub(crate) fn leave_out(&mut self, place: usize) {
        if let Work::Send(parts) = &mut self.work {
            parts.leave_out(place, GONE);
        }
    }

    /// Has the message go out as an answer to none. False: it is none.
    pub(crate) fn drop_reference(&mut self) -> bool {
        let Work::Send(parts) = &mut self.work else { return false };
        parts.reply_to.take_if(|message| is_id(message)).is_some()
    }

    /// The platform's id of what it is about: of the first message, where it took several.
    pub(crate) fn message(&self) -> Option<String> {
        match &self.work {
            Work::Send(parts) => parts.first.clone(),
            _ => None,
        }
    }

    /// The body of the next message. Sent again under the same nonce, the platform makes no second one of it.
    pub(crate) fn message_body(&self, parts: &Parts) -> Value {
        let mut body = parts.body();
        body["nonce"] = json!(nonce(&self.id, parts.sent));
        body["enforce_nonce"] = json!(true);
        if let (Some(message), 0) = (parts.reply_to.as_ref().filter(|id| is_id(id)), parts.sent) {
            body["message_reference"] = json!({"message_id": message, "fail_if_not_exists": false});
        }
        body
    }
}

impl Parts {
    fn new(
        content: Content,
        reply_to: Option<String>,
        choices: Vec<(String, String)>,
    ) -> Result<Parts, String> {
        let (text, files) = sorted(content)?;
        let (part, rest) = text::cut(&simplified(&text), MAX_TEXT);
        Ok(Parts { part, rest, reply_to, choices, files, ..Parts::default() })
    }

    /// Whether the next call deletes a message for which there is no part any more.
    fn removes(&self) -> bool {
        self.edit.is_some() && self.part.is_empty() && self.files().is_empty()
    }

    /// Passes over the parts that are shown as they are: whether there is a call to make.
    fn skip_shown(&mut self) -> bool {
        while self.edit.is_some() && self.replacing.is_shown(&self.part) && self.files().is_empty() {
            self.step(None);
        }
        !self.part.is_empty() || !self.files.is_empty() || self.edit.is_some()
    }

    fn step(&mut self, message: Option<String>) {
        let message = self.edit.take().or(message);
        if let Some(id) = message.clone().filter(|_| !self.part.is_empty()) {
            self.replacing.note(id, &self.part);
        }
        self.first = self.first.take().or(message);
        (self.part, self.rest) = text::cut(&self.rest, MAX_TEXT);
        self.edit = self.replacing.go_on().filter(|id| is_id(id));
    }

    /// The files that go with the next message: none before the last of the text.
    fn files(&self) -> &[Upload] {
        let most = if self.apart { self.files.len().min(1) } else { upload::together(&self.files) };
        if self.rest.is_empty() { &self.files[..most] } else { &[] }
    }

    /// The text says what is not there.
    fn leave_out(&mut self, place: usize, why: &str) {
        let text = self.files.remove(place).left_out(&self.part, why);
        (self.part, self.rest) = text::cut(&text, MAX_TEXT);
    }

    /// Tells the reader that the next part may be there already, unless it takes another's place.
    fn mark_repetition(&mut self) {
        if self.edit.is_none() && !self.is_marked {
            let (part, over) = text::cut(&maybe_repeated(&self.part), MAX_TEXT);
            self.rest =
                [over, std::mem::take(&mut self.rest)].join(if self.rest.is_empty() { "" } else { "\n\n" });
            (self.part, self.is_marked) = (part, true);
        }
    }

    fn is_last(&self) -> bool {
        self.rest.is_empty() && self.files().len() == self.files.len()
    }

    /// What every message says, whichever way it goes out. Nobody is notified of a name in it.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({"content": self.part, "allowed_mentions": {"parse": []}});
        if self.is_last() && !self.choices.is_empty() {
            let button = |(id, label): &(String, String)| json!({"type": 2, "style": 2, "label": label, "custom_id": id});
            let row = |five: &[(String, String)]| json!({"type": 1, "components": five.iter().map(button).collect::<Vec<_>>()});
            body["components"] = self.choices.chunks(5).map(row).collect();
        }
        body
    }
}

fn asked(choices: Vec<Choice>) -> Result<Vec<(String, String)>, String> {
    if !(1..=MAX_CHOICES).contains(&choices.len()) {
        return Err(format!("a question has 1 to {MAX_CHOICES} choices, not {}", choices.len()));
    }
    let button = |choice: Choice| {
        if choice.id.is_empty() || text::units(&choice.id) > MAX_CHOICE_ID {
            return Err(format!("a choice's id has 1 to {MAX_CHOICE_ID} characters"));
        }
        let label: String = choice.label.chars().take(MAX_LABEL / 2).collect();
        Ok((choice.id.clone(), if label.trim().is_empty() { choice.id } else { label }))
    };
    choices.into_iter().map(button).collect()
}

/// The text, and the files that the platform takes; the text names those that it does not take.
fn sorted(content: Content) -> Result<(String, Vec<Upload>), String> {
    let files = content.attachments.into_iter().map(Upload::from);
    let (left_out, files): (Vec<_>, Vec<_>) = files.partition(|file| file.size > MAX_FILE);
    let mut text = content.markdown;
    for file in left_out {
        text = file.left_out(&text, TOO_LARGE);
    }
    if text.trim().is_empty() && files.is_empty() {
        return Err("the message has no text".to_owned());
    }
    Ok((text, files))
}

fn platform_id(text: String) -> Result<String, String> {
    if is_id(&text) { Ok(text) } else { Err(format!("{text:?} is no id of this platform")) }
}

/// At most 25 characters, the same for every attempt at the same part, and another for any other.
fn nonce(id: &str, part: u32) -> String {
    // FNV-1a: ids are unique already, they are only too long.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}.{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_short_and_one_of_a_kind() {
        let nonces: std::collections::BTreeSet<String> =
            (0..10_000).map(|n| nonce(&format!("out_01kb{:022}", n / 2), n % 2)).collect();
        assert_eq!(nonces.len(), 10_000);
        assert!(nonce("out_01kb6v2s8z1c9q4m3t5w7x0y2a", 12_345_678).len() <= 25);
    }
}
