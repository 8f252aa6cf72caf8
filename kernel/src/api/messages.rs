//! What is said in a session, and what is answered.

use std::sync::Arc;

use futures_util::{Stream, stream};
use hyper::HeaderMap;
use hyper::header::ACCEPT;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::{approvals, page};
use crate::gateway::Gateway;
use prx_agents::{TurnEvent, TurnStream};
use prx_base::clock::rfc3339;
use prx_base::error::{Code, Result};
use prx_http::describe::Takes;
use prx_http::parameter::{AnyText, Number, Parameter, Required, Text};
use prx_http::{Call, Doc, Envelope, Reply, reply_shutdown_timeout, sse, trace_context};
use prx_store::{Attachment, Message, Quoted, Role};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Message")]
struct MessageView<'a> {
    id: &'a str,
    role: Role,
    content: &'a str,
    created_at: String,
    #[serde(skip_serializing_if = "<[Attachment]>::is_empty")]
    attachments: &'a [Attachment],
    /// It was cut short because the turn was stopped.
    #[serde(skip_serializing_if = "is_false")]
    stopped: bool,
    /// Who said it, where more than one person may speak.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'a str>,
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a Quoted>,
    /// What it passes on from elsewhere: the words of others.
    #[serde(skip_serializing_if = "<[Quoted]>::is_empty")]
    forwarded: &'a [Quoted],
}

fn is_false(value: &bool) -> bool {
    !value
}

impl<'a> From<&'a Message> for MessageView<'a> {
    fn from(message: &'a Message) -> Self {
        let created_at = rfc3339(message.created_at);
        let Message { id, role, content, attachments, stopped, context, .. } = message;
        let sender = context.sender.as_ref().map(|sender| sender.name.as_str());
        let (reply_to, forwarded) = (context.reply_to.as_ref(), context.forwarded.as_slice());
        Self {
            id,
            role: *role,
            content,
            created_at,
            attachments,
            stopped: *stopped,
            sender,
            reply_to,
            forwarded,
        }
    }
}

/// Part of what was said in a session, newest last.
#[derive(Serialize, JsonSchema)]
struct Messages<'a> {
    messages: Vec<MessageView<'a>>,
    total: usize,
}

const CONTENT: Parameter<Required<Text>> = Parameter::new("content", Text, "what is said").required();

pub(super) const SEND: Doc = Doc::new("Send a message and wait for the reply, or stream the turn")
    .takes(Takes::Object(&[&CONTENT]))
    .answers::<MessageView>(&[200])
    .or_as("text/event-stream")
    .fails(&[Code::BadGateway, Code::GatewayTimeout]);

pub(super) async fn send(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let content = call.body.object().await?.get(&CONTENT)?;
    let turn = gateway.turns.submit(call.param("id"), content, trace_context(&call.headers)).await?;
    if wants_events(&call.headers) {
        return Ok(Reply::events(events(turn), gateway.base.clock.clone()));
    }
    let (stopping, clock) = (&gateway.process.stopping, &gateway.base.clock);
    let stopped = async {
        stopping.cancelled().await;
        clock.sleep(reply_shutdown_timeout(&gateway.base.config.current())).await;
    };
    let reply = tokio::select! {
        reply = turn.reply() => reply?,
        () = stopped => return Err(prx_agents::stopping()),
    };
    Reply::ok(&MessageView::from(&reply))
}

const LIMIT: Parameter<Number> = Parameter::new("limit", page::LIMIT, "most messages to return");
const BEFORE: Parameter<AnyText> =
    Parameter::new("before", AnyText, "only messages before the one with this id");

pub(super) const LIST: Doc = Doc::new("List the messages of a session, newest last")
    .query(&[&LIMIT, &BEFORE])
    .answers::<Messages>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let (limit, before) = (call.query.get(&LIMIT)?, call.query.get(&BEFORE)?);
    let page = gateway.store.messages(call.param("id"), limit, before)?;
    Reply::ok(&Messages { messages: page.items.iter().map(MessageView::from).collect(), total: page.total })
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(',')).filter_map(|kind| kind.split(';').next());
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Everything a turn says, up to and with its end.
fn events(turn: TurnStream) -> impl Stream<Item = sse::Event> + Send {
    stream::unfold(Some(turn), |turn| async {
        let mut turn = turn?;
        let event = turn.next().await.unwrap_or_else(|| TurnEvent::Error(prx_agents::stopping()));
        let goes_on = !matches!(event, TurnEvent::Done(_) | TurnEvent::Error(_));
        Some((sse_event(event), goes_on.then_some(turn)))
    })
}

fn sse_event(event: TurnEvent) -> sse::Event {
    let (name, data) = match event {
        TurnEvent::Token(text) => ("token", json!({"text": text})),
        TurnEvent::Thinking(text) => ("thinking", json!({"text": text})),
        TurnEvent::Missed(missed) => ("gap", json!({"missed": missed})),
        TurnEvent::Restart { reason } => ("restart", json!({"reason": reason})),
        TurnEvent::ToolCallStarted { id, name } => ("tool_call_started", json!({"id": id, "name": name})),
        TurnEvent::Approval(approval) => ("approval", json!(approvals::ApprovalView::from(&approval))),
        TurnEvent::ToolCall { id, name, arguments } => {
            ("tool_call", json!({"id": id, "name": name, "arguments": arguments}))
        }
        TurnEvent::ToolResult { id, content, is_error } => {
            ("tool_result", json!({"id": id, "content": content, "is_error": is_error}))
        }
        TurnEvent::Done(message) => ("done", json!(MessageView::from(&message))),
        TurnEvent::Error(error) => ("error", json!(Envelope::from(&error))),
    };
    sse::Event::new(name, &data)
}
