//! One thing to do on the platform, as Bot API calls.

use std::time::Duration;

use prx_sdk::connector::{Context, Http, Operation, Outbound};
use prx_sdk::continued::Part;
use prx_sdk::markdown::linked;
use prx_sdk::operations::Resumable;
use prx_sdk::upload::{Form, Upload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call;
use crate::config::Config;
use crate::rich;
use crate::speech::{Markup, Speech, marked};
use crate::text::{self, MAX_TEXT};

/// Timeout of a call without a file.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of a call with a file.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);

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
    /// Whether this part goes out as a rich message; false: the platform did not take it. None: neither yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rich: Option<bool>,
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
    Say(Speech),
    /// An answer in the making, as far as the platform shows it.
    Draft {
        number: u64,
        text: String,
    },
    Delete {
        message: i64,
        /// Deleted after it, from the end on: the text went on there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        more: Vec<i64>,
    },
    React {
        message: i64,
        emoji: String,
    },
    Typing,
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
        self.plain
            || self.rich == Some(false)
            || self.speech().is_some_and(|speech| speech.message().is_some())
    }
}

impl Op {
    /// The operation that was asked for, or why it can't be done. `None`: there is no such thing on this platform.
    pub fn new(outbound: Outbound) -> Result<Option<Op>, String> {
        let Outbound { id, target, operation, attempt, .. } = outbound;
        let thread = target.thread.as_deref().map(number).transpose()?;
        let chat = Chat { id: number(&target.conversation)?, thread };
        let reply_to = target.reply_to.as_deref().and_then(|id| id.parse().ok());
        let work = match operation {
            Operation::Send(content) => Work::Say(Speech::new(content, reply_to)?),
            Operation::Edit((message, content)) => Work::Say(Speech::edit(number(&message)?, content)?),
            Operation::Ask((content, choices)) => Work::Say(Speech::ask(content, choices, reply_to)?),
            Operation::Delete(message) => Work::Delete { message: number(&message)?, more: Vec::new() },
            Operation::React((message, emoji)) => Work::React { message: number(&message)?, emoji },
            Operation::Typing => Work::Typing,
            Operation::Draft(_) if chat.is_group() => return Ok(None),
            Operation::Draft((number, content)) => Work::Draft { number, text: latest(&content.markdown) },
        };
        Ok(Some(Op { id, token: 0, attempt, chat, work, plain: false, rich: None }))
    }

    /// The same, with a word for the reader if what it sends may be there already.
    pub fn marked(mut self, maybe_repeats: bool) -> Op {
        if let Work::Say(speech) = &mut self.work
            && maybe_repeats
        {
            speech.mark_repetition();
        }
        self
    }

    /// Has the next part go out as a rich message if it gains by that and the server may have them, and not if it has none.
    pub fn choose_markup(&mut self, may_be_rich: bool) {
        self.rich = match self.rich {
            Some(true) if !may_be_rich => None,
            None if may_be_rich && !self.plain && self.gains_by_rich() => Some(true),
            chosen => chosen,
        };
    }

    fn gains_by_rich(&self) -> bool {
        match &self.work {
            Work::Say(speech) => speech.gains_by_rich(),
            Work::Draft { text, .. } => rich::render(text).is_some(),
            _ => false,
        }
    }

    /// Has the next part go out as plain HTML. False: it does already.
    pub fn leave_rich(&mut self) -> bool {
        let leaves = self.markup() == Markup::Rich;
        if leaves {
            self.rich = Some(false);
        }
        leaves
    }

    /// How the next part goes out.
    pub fn markup(&self) -> Markup {
        match self.rich {
            _ if self.plain => Markup::Plain,
            Some(true) => Markup::Rich,
            _ => Markup::Html,
        }
    }

    /// Whether making the next call a second time changes nothing.
    pub fn is_repeatable(&self) -> bool {
        self.speech().is_none_or(Speech::is_repeatable)
    }

    /// The Bot API method of the next call.
    pub fn method(&self) -> &'static str {
        match &self.work {
            Work::Say(speech) => speech.method(self.markup()),
            Work::Draft { .. } if self.markup() == Markup::Rich => "sendRichMessageDraft",
            Work::Draft { .. } => "sendMessageDraft",
            Work::Delete { .. } => "deleteMessage",
            Work::React { .. } => "setMessageReaction",
            Work::Typing => "sendChatAction",
        }
    }

    /// The next call, in the conversation's chat as it is now.
    pub fn call(&self, cx: &Context<Config>, chat: i64) -> Http {
        let parameters = self.parameters(chat);
        match self.speech().and_then(Speech::upload) {
            None => call::post(&cx.config, self.method(), &parameters).timeout(TIMEOUT),
            Some((name, file)) => {
                let mut form = Form::new(cx);
                for (key, value) in parameters.as_object().into_iter().flatten() {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    form = form.text(key, &value);
                }
                let call = Http::post(call::url(&cx.config, self.method())).timeout(UPLOAD_TIMEOUT);
                call.form(form.file(name, file))
            }
        }
    }

    fn parameters(&self, chat: i64) -> Value {
        let mut call = match &self.work {
            Work::Say(speech) => speech.parameters(self.markup()),
            Work::Draft { number, text } => {
                let mut call = marked("text", text, self.markup());
                call["draft_id"] = json!(draft_id(*number));
                call
            }
            Work::Delete { message, .. } => json!({ "message_id": message }),
            Work::React { message, emoji } => {
                let reaction = Some(json!({ "type": "emoji", "emoji": emoji })).filter(|_| !emoji.is_empty());
                json!({ "message_id": message, "reaction": Vec::from_iter(reaction) })
            }
            Work::Typing => json!({ "action": "typing" }),
        };
        call["chat_id"] = json!(chat);
        let in_thread = match &self.work {
            Work::Say(speech) => speech.sends(),
            Work::Draft { .. } | Work::Typing => true,
            Work::Delete { .. } | Work::React { .. } => false,
        };
        if let Some(thread) = self.chat.thread.filter(|_| in_thread) {
            call["message_thread_id"] = json!(thread);
        }
        call
    }

    /// Steps on after a call that went well: whether there is another one to make.
    pub fn advance(&mut self, message: Option<i64>) -> bool {
        (self.plain, self.rich) = (false, None);
        match &mut self.work {
            Work::Say(speech) => speech.advance(message),
            Work::Delete { message, more } => {
                let next = more.pop();
                *message = next.unwrap_or(*message);
                next.is_some()
            }
            _ => false,
        }
    }

    /// The first message of a text that is edited or deleted, as texts are known that go on in others.
    pub fn text(&self) -> Option<String> {
        match &self.work {
            Work::Say(speech) => speech.edited(),
            Work::Delete { message, .. } => Some(*message),
            _ => None,
        }
        .map(|message| self.key(message))
    }

    fn key(&self, message: i64) -> String {
        format!("{}:{message}", self.chat.id)
    }

    /// Goes on in the messages that show the rest of the text. False: they show all of it already.
    pub fn follow(&mut self, shown: Vec<Part>) -> bool {
        match &mut self.work {
            Work::Say(speech) => {
                speech.follow(shown);
                speech.skip_shown()
            }
            Work::Delete { more, .. } => {
                more.extend(shown.iter().skip(1).filter_map(|part| part.id.parse::<i64>().ok()));
                true
            }
            _ => true,
        }
    }

    /// What became of a text, now that nothing is left to be done: its first message, and all that show it.
    pub fn became(&mut self) -> Option<(String, Vec<Part>)> {
        let Work::Say(speech) = &mut self.work else { return None };
        let first = speech.message()?;
        let parts = speech.became();
        Some((self.key(first), parts))
    }

    /// Has it happen in the chat itself, for there is no such topic any more. False: it does already.
    pub fn leave_thread(&mut self) -> bool {
        self.chat.thread.take().is_some()
    }

    /// Has a picture that the platform does not take for one go as a file. False: there is none.
    pub fn degrade(&mut self) -> bool {
        if let Work::Say(speech) = &mut self.work { speech.degrade() } else { false }
    }

    /// Leaves a file out that can't be sent; the text says why. False: the next call does not carry it.
    pub fn leave_out(&mut self, why: &str, is_it: impl Fn(&Upload) -> bool) -> bool {
        if let Work::Say(speech) = &mut self.work { speech.leave_out(why, is_it) } else { false }
    }

    /// The platform's id of what was said, of the first part where it took several.
    pub fn message_id(&self) -> Option<String> {
        self.speech()?.message().map(|id| id.to_string())
    }

    fn speech(&self) -> Option<&Speech> {
        if let Work::Say(speech) = &self.work { Some(speech) } else { None }
    }
}

impl Chat {
    /// Groups and channels have negative ids.
    fn is_group(&self) -> bool {
        self.id < 0
    }
}

/// A draft shows one message: of a longer text, the one that is being written.
fn latest(markdown: &str) -> String {
    let (mut part, mut rest) = text::cut(&linked(markdown), MAX_TEXT);
    while !rest.is_empty() {
        (part, rest) = text::cut(&rest, MAX_TEXT);
    }
    part
}

/// Any number as one that the platform takes: positive, in 31 bits.
fn draft_id(number: u64) -> u64 {
    number % 0x7fff_ffff + 1
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text:?} is no id of this platform"))
}
