//! The methods of the Bot API, as the platform answers them.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Bot, Call, Fault, State, TOKEN};
use crate::form;
use crate::server::{Reply, Service};

/// The status and description of a refusal.
pub(super) type Refusal = (u16, String);
/// What a method comes to.
pub(super) type Outcome = Result<Value, Refusal>;

impl Service for Bot {
    async fn answer(&self, request: Request<Bytes>) -> Reply {
        let path = request.uri().path();
        let (file, path) = match path.strip_prefix("/file") {
            Some(path) => (true, path),
            None => (false, path),
        };
        let Some((token, method)) = path.strip_prefix("/bot").and_then(|rest| rest.split_once('/')) else {
            return refusal(404, "Not Found");
        };
        if token != TOKEN {
            return refusal(401, "Unauthorized");
        }
        if file {
            return self.download(method);
        }
        let (call, fault) = self.note(method, &request);
        let reply = self.perform(method, call, fault).await;
        let mut state = self.state();
        state.calls[call].status = Some(match &reply {
            Reply::Json(status, _) | Reply::Headed(status, ..) => *status,
            Reply::Stream(..) => 200,
            Reply::Drop => 0,
        });
        self.tell(state);
        reply
    }
}

impl Bot {
    /// Records a call; its number, and the fault that is in store for it.
    fn note(&self, method: &str, request: &Request<Bytes>) -> (usize, Option<Fault>) {
        let mut state = self.state();
        let kind = request.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let parameters = match (form::parse(kind, request.body()), serde_json::from_slice(request.body())) {
            (Some(fields), _) => fields,
            (None, Ok(parameters)) => parameters,
            _ if request.body().is_empty() && request.uri().query().is_none() => json!({}),
            _ => {
                state.broken_rules.push(format!("{method}: parameters that are no JSON"));
                json!({})
            }
        };
        state.calls.push(Call { method: method.into(), parameters, at: Instant::now(), status: None });
        let call = state.calls.len() - 1;
        let fault = state.faults.get_mut(method).and_then(std::collections::VecDeque::pop_front);
        self.tell(state);
        (call, fault)
    }

    async fn perform(&self, method: &str, call: usize, fault: Option<Fault>) -> Reply {
        match fault {
            None => self.outcome(method, call).await.into(),
            Some(Fault::Refuse(status, description)) => refusal(status, description),
            Some(Fault::TooMany(seconds)) => too_many(seconds),
            Some(Fault::Page(status)) => Reply::Json(status, "<html>error code: 1015</html>".to_owned()),
            Some(Fault::DropBefore) => Reply::Drop,
            Some(Fault::DropAfter) => {
                let _ = self.outcome(method, call).await;
                Reply::Drop
            }
            Some(Fault::Slow(while_)) => {
                let outcome = self.outcome(method, call).await;
                sleep(while_).await;
                outcome.into()
            }
        }
    }

    async fn outcome(&self, method: &str, call: usize) -> Outcome {
        let parameters = self.state().calls[call].parameters.clone();
        if method == "getUpdates" {
            return self.get_updates(&parameters).await;
        }
        let mut state = self.state();
        let outcome = state.call(method, &parameters);
        // What an older server has not can only be asked for.
        let asks_for_rich =
            !state.has_rich && (method.contains("Rich") || parameters["rich_message"].is_object());
        let excused = |why: &str| asks_for_rich || why.ends_with("message is not modified");
        if let Some((status, description)) = outcome.as_ref().err().filter(|(_, why)| !excused(why)) {
            state.broken_rules.push(format!("{method}: {status} {description}"));
        }
        self.tell(state);
        outcome
    }

    /// The long poll: waits for an update, for its time, or for a newer poll.
    async fn get_updates(&self, parameters: &Value) -> Outcome {
        let mine = self.begin_poll(parameters)?;
        let _running = RunningPoll(self);
        let limit = parameters["limit"].as_u64().unwrap_or(100).clamp(1, 100) as usize;
        let seconds = parameters["timeout"].as_u64().unwrap_or(0);
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut changed = self.changed.subscribe();
        loop {
            {
                let state = self.state();
                if state.numbers.poll != mine {
                    let why = "Conflict: terminated by other getUpdates request; make sure that only one bot \
                               instance is running";
                    return Err((409, why.into()));
                }
                if !state.waiting.is_empty() || Instant::now() >= deadline {
                    return Ok(state.waiting.iter().take(limit).cloned().collect());
                }
            }
            // Its time being up is seen at the head of the loop.
            let _ = timeout_at(deadline, changed.changed()).await;
        }
    }

    fn begin_poll(&self, parameters: &Value) -> Result<u64, Refusal> {
        let mut state = self.state();
        if !state.webhook_gone {
            state.broken_rules.push("getUpdates before deleteWebhook".into());
            return Err((409, "Conflict: can't use getUpdates method while webhook is active".into()));
        }
        state.check_poll(parameters);
        if let Some(offset) = parameters["offset"].as_i64().filter(|offset| *offset > 0) {
            state.numbers.confirmed = state.numbers.confirmed.max(offset);
            state.waiting.retain(|update| update["update_id"].as_i64() >= Some(offset));
        }
        if state.numbers.running_polls > 0 {
            state.numbers.overlapping_polls += 1;
        }
        state.numbers.running_polls += 1;
        state.numbers.poll += 1;
        let mine = state.numbers.poll;
        self.tell(state);
        Ok(mine)
    }
}

struct RunningPoll<'a>(&'a Bot);

impl Drop for RunningPoll<'_> {
    fn drop(&mut self) {
        self.0.state().numbers.running_polls -= 1;
    }
}

impl State {
    fn check_poll(&mut self, parameters: &Value) {
        if !parameters["allowed_updates"].is_array() {
            self.broken_rules.push("getUpdates: allowed_updates must be explicit".into());
        }
        // A poll that comes back at once is a probe; one that waits waits long.
        if !matches!(parameters["timeout"].as_u64(), None | Some(0 | 25..=50)) {
            self.broken_rules.push(format!("getUpdates: timeout {}", parameters["timeout"]));
        }
        if parameters["limit"].as_u64().is_some_and(|limit| limit > 100) {
            self.broken_rules.push(format!("getUpdates: limit {}", parameters["limit"]));
        }
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Outcome {
        match method {
            "getMe" => Ok(json!({
                "id": 7_000_001, "is_bot": true, "first_name": "Prx", "username": "prx_test_bot",
                "can_join_groups": true, "can_read_all_group_messages": false, "supports_inline_queries": false,
            })),
            "getMyCommands" => Ok(self.menu.clone()),
            "setMyCommands" => {
                self.menu = parameters["commands"].clone();
                Ok(json!(true))
            }
            "setWebhook" => self.set_webhook(parameters),
            "getWebhookInfo" => Ok(self.webhook_info()),
            "deleteWebhook" => {
                if parameters["drop_pending_updates"] == true {
                    self.broken_rules.push("deleteWebhook: pending updates thrown away".into());
                }
                self.webhook_gone = true;
                self.hook = None;
                Ok(json!(true))
            }
            "sendChatAction" => self.chat(parameters).map(|_| json!(true)),
            "sendMessage" => self.send(parameters, said(parameters)?, false),
            "sendRichMessage" if self.has_rich => self.send(parameters, rich(parameters)?, true),
            "sendRichMessageDraft" if self.has_rich => self.draft(parameters, rich(parameters)?),
            "sendPhoto" => self.send_file(parameters, "photo"),
            "sendDocument" => self.send_file(parameters, "document"),
            "sendMessageDraft" => self.draft(parameters, said(parameters)?),
            "editMessageText" if self.has_rich && parameters["rich_message"].is_object() => {
                self.edit_message(parameters, rich(parameters)?, true)
            }
            "editMessageText" => self.edit_message(parameters, said(parameters)?, false),
            "deleteMessage" => self.delete_message(parameters),
            "editMessageReplyMarkup" => self.edit_keyboard(parameters),
            "answerCallbackQuery" => self.answer_press(parameters),
            "getFile" => self.locate(parameters),
            _ => Err((404, "Not Found: method not found".into())),
        }
    }
}

fn said(parameters: &Value) -> Result<String, Refusal> {
    text(parameters, "text", 1..=4096)
}

/// What a rich message says, if the platform takes it.
fn rich(parameters: &Value) -> Result<String, Refusal> {
    let html = parameters["rich_message"]["html"].as_str().unwrap_or_default();
    let text = super::html::rich(html)
        .map_err(|why| (400, format!("Bad Request: can't parse rich message: {why}")))?;
    match text.chars().count() {
        0 => Err((400, "Bad Request: RICH_MESSAGE_EMPTY".into())),
        1..=32_768 => Ok(text),
        _ => Err((400, "Bad Request: message is too long".into())),
    }
}

/// What a text says once its marks are read, if it is of a length that will do.
pub(super) fn text(parameters: &Value, field: &str, units: RangeInclusive<usize>) -> Result<String, Refusal> {
    let text = parameters[field].as_str().unwrap_or_default();
    let text = match parameters["parse_mode"].as_str() {
        Some("HTML") => super::html::plain(text)
            .map_err(|why| (400, format!("Bad Request: can't parse entities: {why}")))?,
        _ => text.to_owned(),
    };
    match text.encode_utf16().count() {
        _ if text.trim().is_empty() && *units.start() > 0 => {
            Err((400, "Bad Request: message text is empty".into()))
        }
        count if units.contains(&count) => Ok(text),
        _ => Err((400, "Bad Request: message is too long".into())),
    }
}

fn too_many(seconds: u64) -> Reply {
    let description = format!("Too Many Requests: retry after {seconds}");
    let body = json!({
        "ok": false, "error_code": 429, "description": description, "parameters": {"retry_after": seconds},
    });
    Reply::Headed(429, vec![("retry-after", seconds.to_string())], body.to_string())
}

pub(super) fn refusal(status: u16, description: &str) -> Reply {
    Reply::Json(status, json!({"ok": false, "error_code": status, "description": description}).to_string())
}

impl From<Outcome> for Reply {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(result) => Self::Json(200, json!({"ok": true, "result": result}).to_string()),
            Err((status, description)) => refusal(status, &description),
        }
    }
}
