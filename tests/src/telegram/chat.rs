//! What a bot can do in a chat: send, change, ask, and show what it is about to say.

use serde_json::{Value, json};

use super::api::{Outcome, Refusal, text};
use super::{Draft, Sent, State};

impl State {
    pub(super) fn chat(&self, parameters: &Value) -> Result<i64, Refusal> {
        let chat = number(&parameters["chat_id"]);
        chat.filter(|chat| self.chats.contains(chat)).ok_or((400, "Bad Request: chat not found".into()))
    }

    pub(super) fn send(&mut self, parameters: &Value, text: String, rich: bool) -> Outcome {
        let chat = self.chat(parameters)?;
        let keyboard = object(&parameters["reply_markup"]);
        for button in
            keyboard["inline_keyboard"].as_array().into_iter().flatten().flat_map(Value::as_array).flatten()
        {
            if !button["callback_data"].as_str().is_some_and(|data| (1..=64).contains(&data.len())) {
                return Err((400, "Bad Request: BUTTON_DATA_INVALID".into()));
            }
        }
        self.numbers.message += 1;
        let message = self.numbers.message;
        let thread = number(&parameters["message_thread_id"]);
        let sent = Sent { chat, message, text, rich, thread, keyboard, file: Value::Null };
        let described = described(&sent);
        self.sent.push(sent);
        Ok(described)
    }

    pub(super) fn send_file(&mut self, parameters: &Value, kind: &str) -> Outcome {
        let file = &parameters[kind];
        if !file.is_object() {
            return Err((400, format!("Bad Request: there is no {kind} in the request")));
        }
        let caption = text(parameters, "caption", 0..=1024)?;
        let described = self.send(parameters, caption, false)?;
        if let Some(sent) = self.sent.last_mut() {
            sent.file = json!({ "kind": kind, "name": file["name"], "content": file["content"] });
        }
        Ok(described)
    }

    pub(super) fn draft(&mut self, parameters: &Value, text: String) -> Outcome {
        let chat = self.chat(parameters)?;
        if chat < 0 {
            return Err((400, "Bad Request: TEXTDRAFT_PEER_INVALID".into()));
        }
        match parameters["draft_id"].as_i64() {
            None | Some(0) => Err((400, "Bad Request: TEXTDRAFT_RANDOM_ID_INVALID".into())),
            Some(draft) => {
                self.drafts.push(Draft { chat, draft, text, sent_before: self.sent.len() });
                Ok(json!(true))
            }
        }
    }

    pub(super) fn edit_message(&mut self, parameters: &Value, text: String, rich: bool) -> Outcome {
        let sent = self.sent(parameters)?;
        if sent.text == text && sent.rich == rich {
            return Err((400, "Bad Request: message is not modified".into()));
        }
        (sent.text, sent.rich) = (text, rich);
        Ok(described(sent))
    }

    pub(super) fn delete_message(&mut self, parameters: &Value) -> Outcome {
        let message = self.sent(parameters)?.message;
        self.sent.retain(|sent| sent.message != message);
        Ok(json!(true))
    }

    pub(super) fn edit_keyboard(&mut self, parameters: &Value) -> Outcome {
        let keyboard = object(&parameters["reply_markup"]);
        let sent = self.sent(parameters)?;
        if sent.keyboard == keyboard {
            return Err((400, "Bad Request: message is not modified".into()));
        }
        sent.keyboard = keyboard;
        Ok(described(sent))
    }

    pub(super) fn answer_press(&mut self, parameters: &Value) -> Outcome {
        let id = parameters["callback_query_id"].as_str().unwrap_or_default();
        let waiting = self.presses.iter().position(|press| press == id);
        let waiting =
            waiting.ok_or((400, "Bad Request: query is too old or query ID is invalid".to_owned()))?;
        self.presses.remove(waiting);
        Ok(json!(true))
    }

    fn sent(&mut self, parameters: &Value) -> Result<&mut Sent, Refusal> {
        let (chat, message) = (self.chat(parameters)?, number(&parameters["message_id"]).unwrap_or(0));
        let sent = self.sent.iter_mut().find(|sent| sent.chat == chat && sent.message == message);
        sent.ok_or((400, "Bad Request: message to edit not found".to_owned()))
    }
}

/// A number, be it from JSON or from a form.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// An object, be it from JSON or from a form.
fn object(value: &Value) -> Value {
    value.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}

fn described(sent: &Sent) -> Value {
    let Sent { chat, message, text, .. } = sent;
    let mut described = json!({
        "message_id": message,
        "from": {"id": 7_000_001, "is_bot": true, "first_name": "Prx", "username": "prx_test_bot"},
        "chat": {"id": chat, "type": "private", "first_name": format!("User {chat}")},
        "date": 1_774_000_000 + message,
    });
    match sent.rich {
        true => described["rich_message"] = json!({"blocks": [{"type": "paragraph", "text": text}]}),
        false => described["text"] = json!(text),
    }
    described
}
