//! One thing to do on the platform, as Bot API calls.

use prx_sdk::connector::{Operation, Outbound};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::html;
use crate::state::State;
use crate::text::{self, MAX_TEXT};

/// An operation with its progress: whatever is needed to make its next call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Op {
    pub id: String,
    /// The request in flight; 0: none.
    pub token: u64,
    pub attempt: u32,
    pub chat: Chat,
    pub work: Work,
    /// The platform could not read the text's marks: this part goes out without.
    pub plain: bool,
}

/// Where it happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chat {
    pub id: i64,
    thread: Option<i64>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// A text in as many messages as it needs, one after the other: `part` is next, `last` was sent before it.
    Send {
        part: String,
        rest: String,
        reply_to: Option<i64>,
        last: Option<i64>,
    },
    Edit {
        message: i64,
        text: String,
    },
    Delete {
        message: i64,
    },
    React {
        message: i64,
        emoji: String,
    },
    Typing,
}

impl Op {
    /// The operation that was asked for, or why it can't be done. `None`: there is no such thing on this platform.
    pub fn new(outbound: Outbound) -> Result<Option<Op>, String> {
        let Outbound { id, target, operation, attempt, .. } = outbound;
        let work = match operation {
            Operation::Send(content) => {
                let (part, rest) = text::cut(&content.markdown, MAX_TEXT);
                let reply_to = target.reply_to.as_deref().and_then(|id| id.parse().ok());
                Work::Send { part, rest, reply_to, last: None }
            }
            Operation::Edit((message, content)) => {
                Work::Edit { message: number(&message)?, text: content.markdown }
            }
            Operation::Delete(message) => Work::Delete { message: number(&message)? },
            Operation::React((message, emoji)) => Work::React { message: number(&message)?, emoji },
            Operation::Typing => Work::Typing,
            Operation::Draft(_) | Operation::Ask(_) => return Ok(None),
        };
        match &work {
            Work::Send { part: text, .. } | Work::Edit { text, .. } if text.trim().is_empty() => {
                return Err("the message has no text".to_owned());
            }
            Work::Edit { text, .. } if text::units(text) > MAX_TEXT => {
                return Err(format!("a message holds {MAX_TEXT} UTF-16 units, the new text has more"));
            }
            _ => {}
        }
        let thread = target.thread.as_deref().map(number).transpose()?;
        let chat = Chat { id: number(&target.conversation)?, thread };
        Ok(Some(Op { id, token: 0, attempt, chat, work, plain: false }))
    }

    /// Whether it would go on elsewhere than at its beginning.
    pub fn has_progress(&self) -> bool {
        self.plain || matches!(self.work, Work::Send { last: Some(_), .. })
    }

    /// Whether doing it a second time changes nothing.
    pub fn is_repeatable(&self) -> bool {
        !matches!(self.work, Work::Send { .. })
    }

    /// The conversation's chat, which may have moved since.
    pub fn chat_id(&self, state: &State) -> i64 {
        state.chat_of(self.chat.id)
    }

    /// The Bot API method of the next call.
    pub fn method(&self) -> &'static str {
        match self.work {
            Work::Send { .. } => "sendMessage",
            Work::Edit { .. } => "editMessageText",
            Work::Delete { .. } => "deleteMessage",
            Work::React { .. } => "setMessageReaction",
            Work::Typing => "sendChatAction",
        }
    }

    /// The parameters of the next call.
    pub fn parameters(&self, state: &State) -> Value {
        let mut call = match &self.work {
            Work::Send { part, reply_to, last, .. } => {
                let mut call = self.marked(part);
                if let (Some(message), None) = (reply_to, last) {
                    call["reply_parameters"] =
                        json!({ "message_id": message, "allow_sending_without_reply": true });
                }
                call
            }
            Work::Edit { message, text } => {
                let mut call = self.marked(text);
                call["message_id"] = json!(message);
                call
            }
            Work::Delete { message } => json!({ "message_id": message }),
            Work::React { message, emoji } => {
                let reaction = Some(json!({ "type": "emoji", "emoji": emoji })).filter(|_| !emoji.is_empty());
                json!({ "message_id": message, "reaction": Vec::from_iter(reaction) })
            }
            Work::Typing => json!({ "action": "typing" }),
        };
        call["chat_id"] = json!(self.chat_id(state));
        if let (Some(thread), Work::Send { .. } | Work::Typing) = (self.chat.thread, &self.work) {
            call["message_thread_id"] = json!(thread);
        }
        call
    }

    fn marked(&self, text: &str) -> Value {
        if self.plain {
            json!({ "text": text })
        } else {
            json!({ "text": html::render(text), "parse_mode": "HTML" })
        }
    }

    /// Steps on after a call that went well: whether there is another one to make.
    pub fn advance(&mut self, message_id: Option<i64>) -> bool {
        let Work::Send { part, rest, last, .. } = &mut self.work else { return false };
        *last = message_id.or(*last);
        self.plain = false;
        (*part, *rest) = text::cut(rest, MAX_TEXT);
        !part.is_empty()
    }

    /// The platform's id of what was sent last.
    pub fn message_id(&self) -> Option<String> {
        match &self.work {
            Work::Send { last, .. } => last.map(|id| id.to_string()),
            Work::Edit { message, .. } => Some(message.to_string()),
            _ => None,
        }
    }
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text:?} is no id of this platform"))
}
