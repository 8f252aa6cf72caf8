//! Turns that a plugin's route begins on behalf of its caller, and within what the caller may do.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::conversation::{self, Said};
use crate::api::sessions;
use crate::gateway::Gateway;
use prx_agents::{TurnEvent, TurnStream};
use prx_base::error::{Code, Error, Result};
use prx_base::text::{hex, is_format_control};
use prx_base::traces::TraceContext;
use prx_host::bindings::common::{Fault, FaultCode, StopReason, ToolCall};
use prx_host::bindings::turns::{Finished, Opening, Piece};
use prx_host::{CallerTurns, FollowedTurn, WantedTurn};
use prx_http::{Caller, Scope};
use prx_store::{ANONYMOUS, Message, NewExchange, NewSession, Session, Terms, TurnId, Usage};

/// Most characters of a user's name, or of a key.
const MAX_NAME_CHARS: usize = 256;
/// How many of a session's last messages are looked at for calls that wait for their results.
const LOOKED_AT: usize = 200;

/// The caller of a plugin's route.
#[derive(Clone)]
pub(super) struct OfCaller {
    pub(super) gateway: Arc<Gateway>,
    pub(super) caller: Caller,
    /// The channel of the sessions that come about.
    pub(super) plugin: String,
    /// What the request is part of in a trace of the caller's.
    pub(super) trace: Option<TraceContext>,
}

impl fmt::Debug for OfCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} by {}", self.caller, self.plugin)
    }
}

impl CallerTurns for OfCaller {
    fn agents(&self) -> Result<Vec<String>, Fault> {
        let may = self.caller.require_either(Scope::SESSIONS_WRITE, Scope::STATUS_READ);
        may.map_err(|error| fault(&error))?;
        Ok(self.gateway.base.config.current().agents().map(|agent| agent.name).collect())
    }

    fn start(&self, wanted: WantedTurn) -> BoxFuture<'static, Result<Box<dyn FollowedTurn>, Fault>> {
        let caller = self.clone();
        async move {
            let followed = caller.begin(wanted).await.map_err(|error| fault(&error))?;
            Ok(Box::new(followed) as Box<dyn FollowedTurn>)
        }
        .boxed()
    }
}

impl OfCaller {
    async fn begin(&self, mut wanted: WantedTurn) -> Result<Followed> {
        self.caller.require(Scope::SESSIONS_WRITE)?;
        conversation::check(&wanted)?;
        let (session, is_brief) = self.session(&mut wanted).await?;
        let asked = if is_brief { Ok(BTreeSet::new()) } else { self.waiting_calls(&session.id) };
        let begun = match asked.and_then(|asked| conversation::read(wanted, &asked)) {
            Ok((said, terms)) => self.begin_in(&session, said, terms, is_brief).await,
            Err(error) => Err(error),
        };
        if begun.is_err() && is_brief {
            end(&self.gateway, &session.id).await;
        }
        begun
    }

    async fn begin_in(
        &self,
        session: &Session,
        said: Said,
        terms: Terms,
        is_brief: bool,
    ) -> Result<Followed> {
        let Said { history, opening } = said;
        let own = terms.tools.iter().map(|tool| tool.name.clone()).collect();
        let new = NewExchange { id: self.gateway.store.new_message_id(), history, opening, terms };
        let (stream, turn) = self.gateway.turns.submit_exchange(&session.id, new, self.trace).await?;
        Ok(Followed {
            gateway: Arc::clone(&self.gateway),
            turn,
            is_brief,
            own,
            before: session.token_usage,
            stream: Some(stream),
        })
    }

    /// The session of a turn, and whether it ends with it. What the session knows already is left out of what is said.
    async fn session(&self, wanted: &mut WantedTurn) -> Result<(Session, bool)> {
        let store = &self.gateway.store;
        if let Some(id) = &wanted.opening.session {
            let session = store.session(id)?;
            conversation::leave_out_known(&mut wanted.input);
            return Ok((session, false));
        }
        let new = self.new_session(&wanted.opening)?;
        let Some(key) = &wanted.opening.key else { return Ok((store.create_session(new).await?, true)) };
        let key = self.key(&name("key", key)?, &new)?;
        let session = store.keyed_session(&key, new.clone()).await?;
        let page = store.messages(&session.id, LOOKED_AT, None)?;
        if !page.items.is_empty() {
            match conversation::goes_on(&wanted.input, &page.items) {
                true => conversation::leave_out_known(&mut wanted.input),
                // The caller has another conversation in mind, and knows it whole.
                false => return Ok((store.create_session(new).await?, true)),
            }
        }
        Ok((session, false))
    }

    fn new_session(&self, opening: &Opening) -> Result<NewSession> {
        sessions::may_claim(&self.gateway, &self.caller, &self.plugin)?;
        let user = name("user", &opening.user)?;
        let metadata = match serde_json::from_str(&opening.metadata) {
            Ok(Value::Object(metadata)) => sessions::metadata(Some(metadata))?,
            _ => return Err(Error::bad_request("The metadata must be a JSON object")),
        };
        Ok(NewSession {
            channel: self.plugin.clone(),
            user_id: if user.is_empty() { ANONYMOUS.to_owned() } else { user },
            metadata,
            conversation: None,
            model: opening.model.clone().map(|text| sessions::model(&self.gateway, text)).transpose()?,
            agent: opening.agent.clone().map(|name| sessions::agent(&self.gateway, name)).transpose()?,
            language: None,
        })
    }

    /// The key of a session that lasts. Whose names are in it is not to be read from it.
    fn key(&self, key: &str, new: &NewSession) -> Result<String> {
        let caller = match &self.caller {
            Caller::Owner => "",
            Caller::Token { id, .. } => id,
            Caller::Anyone => {
                return Err(Error::new(Code::Forbidden, "Only a caller with a token has sessions"));
            }
        };
        let whole = json!([self.plugin, caller, new.agent, new.model, new.user_id, key]).to_string();
        Ok(hex(&Sha256::digest(whole)))
    }

    /// The calls of the caller's tools that a session waits for.
    fn waiting_calls(&self, session: &str) -> Result<BTreeSet<String>> {
        let page = self.gateway.store.messages(session, LOOKED_AT, None)?;
        let Some(asking) = page.items.iter().rposition(|said| !said.tool_calls.is_empty()) else {
            return Ok(BTreeSet::new());
        };
        let answered: BTreeSet<&str> =
            page.items[asking..].iter().filter_map(|said| said.tool_call_id.as_deref()).collect();
        let calls = page.items[asking].tool_calls.iter().map(|call| call.id.clone());
        Ok(calls.filter(|id| !answered.contains(id.as_str())).collect())
    }
}

fn name(what: &str, text: &str) -> Result<String> {
    let text = text.trim();
    match text.chars().count() <= MAX_NAME_CHARS && !text.chars().any(is_format_control) {
        true => Ok(text.to_owned()),
        false => Err(Error::bad_request(format!(
            "`{what}` must have at most {MAX_NAME_CHARS} characters, and no control characters"
        ))),
    }
}

/// A turn that a guest follows.
struct Followed {
    gateway: Arc<Gateway>,
    turn: TurnId,
    /// Its session ends with it.
    is_brief: bool,
    /// The names of the caller's tools.
    own: BTreeSet<String>,
    /// What the session has cost before.
    before: Usage,
    /// None: it is over.
    stream: Option<TurnStream>,
}

impl FollowedTurn for Followed {
    fn next(&mut self) -> BoxFuture<'_, Option<Piece>> {
        async move {
            loop {
                let event = self.stream.as_mut()?.next().await;
                return Some(match event {
                    Some(TurnEvent::Token(text)) => Piece::Text(text),
                    Some(TurnEvent::Thinking(text)) => Piece::Thinking(text),
                    Some(TurnEvent::Restart { reason }) => Piece::Restart(reason),
                    Some(TurnEvent::Approval(approval)) => Piece::Approval(approval.id),
                    Some(TurnEvent::ToolCall { id, name, arguments }) => {
                        Piece::ToolCall(ToolCall { id, name, arguments: arguments.to_string() })
                    }
                    Some(TurnEvent::ToolResult { id, content, .. }) => Piece::ToolResult((id, content)),
                    Some(TurnEvent::Missed(_) | TurnEvent::ToolCallStarted { .. }) => continue,
                    Some(TurnEvent::Done(message)) => Piece::Done(self.finish(message).await),
                    Some(TurnEvent::Error(error)) => self.fail(&error).await,
                    None => self.fail(&prx_agents::stopping()).await,
                });
            }
        }
        .boxed()
    }
}

impl Followed {
    async fn finish(&mut self, message: Message) -> Finished {
        self.stream = None;
        let after = self.gateway.store.session(&self.turn.session).map(|session| session.token_usage);
        let after = after.unwrap_or(self.before);
        self.end().await;
        let call =
            |call: prx_store::ToolCall| ToolCall { id: call.id, name: call.name, arguments: call.arguments };
        let own = message.tool_calls.into_iter().filter(|call| self.own.contains(&call.name));
        let calls: Vec<ToolCall> = own.map(call).collect();
        Finished {
            text: message.content,
            stop: match (calls.is_empty(), message.stopped) {
                (false, _) => StopReason::ToolUse,
                (true, true) => StopReason::Other,
                (true, false) => StopReason::End,
            },
            calls,
            input_tokens: after.input.saturating_sub(self.before.input),
            output_tokens: after.output.saturating_sub(self.before.output),
            session: self.turn.session.clone(),
        }
    }

    async fn fail(&mut self, error: &Error) -> Piece {
        self.stream = None;
        self.end().await;
        Piece::Failed(fault(error))
    }

    async fn end(&self) {
        if self.is_brief {
            end(&self.gateway, &self.turn.session).await;
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if self.stream.is_none() {
            return;
        }
        let (gateway, turn, is_brief) = (Arc::clone(&self.gateway), self.turn.clone(), self.is_brief);
        tokio::spawn(async move {
            if is_brief {
                end(&gateway, &turn.session).await;
            } else if let Err(error) = gateway.store.cancel_turn(&turn).await {
                tracing::warn!(session_id = turn.session, %error, "a turn that nobody follows any more goes on");
            }
        });
    }
}

/// Ends a session that was made for one turn.
async fn end(gateway: &Gateway, session: &str) {
    if let Err(error) = gateway.turns.end_session(session).await
        && error.code() != Code::Conflict
    {
        tracing::warn!(session_id = session, %error, "a session that is over is not ended");
    }
}

fn fault(error: &Error) -> Fault {
    let code = match error.code() {
        Code::BadRequest | Code::NotFound | Code::Conflict => FaultCode::BadInput,
        Code::Forbidden | Code::Unauthorized => FaultCode::Denied,
        Code::PayloadTooLarge => FaultCode::TooLarge,
        Code::RateLimited => FaultCode::Quota,
        Code::GatewayTimeout | Code::RequestTimeout => FaultCode::Timeout,
        Code::Unavailable | Code::BadGateway => FaultCode::Unavailable,
        _ => FaultCode::Internal,
    };
    Fault { code, message: error.message().to_owned() }
}
