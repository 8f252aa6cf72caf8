//! What is posted, as a message for the agent.

use prx_sdk::connector::{Context, Inbound, Quoted, Sender, Target, Webhook, WebhookReply};
use serde::Deserialize;
use serde_json::json;

use crate::connector::Config;

/// Why something posted is no message: the status of the answer, and what to do about it.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal(u16, String);

#[derive(Deserialize)]
struct Message {
    id: Option<Name>,
    conversation: Name,
    thread: Option<Name>,
    user: User,
    text: String,
    /// More than one person may speak in the conversation.
    group: Option<bool>,
    reply_to: Option<Answered>,
}

/// The message that another one answers.
#[derive(Deserialize)]
struct Answered {
    author: Option<String>,
    text: String,
}

#[derive(Deserialize)]
struct User {
    id: Name,
    name: Option<String>,
    /// BCP 47.
    language: Option<String>,
}

/// What something is called elsewhere; numbers are as good as texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Number(i64),
}

/// The message that was posted.
///
/// # Errors
/// It is none; says why, for whoever posted it.
pub(crate) fn receive(cx: &Context<Config>, webhook: &Webhook) -> Result<Inbound, Refusal> {
    if webhook.method != "POST" || !webhook.path.is_empty() {
        return Err(Refusal(405, "messages are posted to /in/{channel} itself".to_owned()));
    }
    let dedupe = header(webhook, "webhook-id").filter(|id| !id.is_empty());
    let dedupe = dedupe.ok_or_else(|| refusal("the header webhook-id is missing"))?;
    let message: Message = serde_json::from_slice(&webhook.body)
        .map_err(|error| refusal(&format!("the body is no message: {error}")))?;
    let seconds = header(webhook, "webhook-timestamp").and_then(|text| text.parse::<u64>().ok());
    let id = message.user.id.text("user.id")?;
    if message.text.trim().is_empty() {
        return Err(refusal("`text` must not be empty"));
    }
    Ok(Inbound {
        dedupe: dedupe.to_owned(),
        target: Target {
            conversation: message.conversation.text("conversation")?,
            thread: message.thread.map(|thread| thread.text("thread")).transpose()?,
            reply_to: message.id.map(|id| id.text("id")).transpose()?,
        },
        sender: Sender {
            name: message.user.name.unwrap_or_else(|| id.clone()),
            id,
            is_bot: false,
            language: message.user.language,
        },
        text: message.text,
        attachments: Vec::new(),
        sent_at: seconds.map_or(cx.now, |seconds| seconds.saturating_mul(1000)),
        addressed: true,
        choice: None,
        forwarded: Vec::new(),
        group: message.group.unwrap_or_default(),
        reply_to: message.reply_to.map(|Answered { author, text }| Quoted {
            author,
            from_agent: false,
            text,
            is_part: false,
            attachments: Vec::new(),
        }),
    })
}

/// The answer for whoever posted it.
pub(crate) fn answer(received: Result<Inbound, Refusal>) -> WebhookReply {
    let (status, body) = match received {
        Ok(_) => (200, json!({"accepted": true})),
        Err(Refusal(status, reason)) => (status, json!({"accepted": false, "reason": reason})),
    };
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    WebhookReply { status, headers, body: body.to_string().into_bytes() }
}

impl Name {
    fn text(self, field: &str) -> Result<String, Refusal> {
        match self {
            Self::Number(number) => Ok(number.to_string()),
            Self::Text(text) if (1..=256).contains(&text.len()) => Ok(text),
            Self::Text(_) => Err(refusal(&format!("`{field}` must have 1 to 256 bytes"))),
        }
    }
}

fn refusal(reason: &str) -> Refusal {
    Refusal(400, reason.to_owned())
}

fn header<'a>(webhook: &'a Webhook, name: &str) -> Option<&'a str> {
    webhook.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}
