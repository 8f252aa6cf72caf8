//! The platform as the caller: it brings updates to the bot's webhook, one at a time, until they are accepted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::api::Outcome;
use super::{Bot, State};
use crate::client::Client;

/// Pause before an update that was not accepted is brought again.
const AGAIN: Duration = Duration::from_millis(100);

/// A webhook as it was set.
#[derive(Debug, Clone)]
pub(super) struct Hook {
    url: String,
    secret: String,
    /// How the last call went that was not accepted: when, in Unix seconds, and what came back.
    refused: Option<(u64, String)>,
}

/// Brings updates for as long as it lives.
pub struct Delivery(JoinHandle<()>);

impl Delivery {
    pub(super) fn start(bot: Arc<Bot>, gateway: SocketAddr) -> Self {
        Self(tokio::spawn(deliver(bot, Client::new(gateway, None))))
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn deliver(bot: Arc<Bot>, gateway: Client) {
    let mut changed = bot.changed.subscribe();
    loop {
        let next = {
            let state = bot.state();
            state.hook.clone().zip(state.waiting.front().cloned())
        };
        let Some((hook, update)) = next else {
            if changed.changed().await.is_err() {
                return;
            }
            continue;
        };
        // Whatever the public address is, it leads to the gateway.
        let path = hook.url.splitn(4, '/').nth(3).unwrap_or_default();
        let answer = gateway.call(Method::POST, &format!("/{path}"), &hook.secret, &update).await;
        if !bot.note_delivery(&update, answer) {
            sleep(AGAIN).await;
        }
    }
}

impl Bot {
    /// Notes how a call went; whether the update was accepted.
    fn note_delivery(&self, update: &Value, answer: Option<u16>) -> bool {
        let mut state = self.state();
        state.deliveries.push(answer);
        let accepted = matches!(answer, Some(200..=299));
        if accepted {
            state.waiting.pop_front();
            state.numbers.confirmed = update["update_id"].as_i64().unwrap_or_default() + 1;
        } else {
            let wrong = |status| format!("Wrong response from the webhook: {status}");
            state.refuse(answer.map_or_else(|| "Connection refused".to_owned(), wrong));
        }
        self.tell(state);
        accepted
    }
}

impl State {
    #[expect(clippy::disallowed_methods, reason = "the platform has a clock of its own")]
    fn refuse(&mut self, reason: String) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        if let Some(hook) = &mut self.hook {
            hook.refused = Some((now.as_secs(), reason));
        }
    }

    pub(super) fn set_webhook(&mut self, parameters: &Value) -> Outcome {
        let text = |field: &str| parameters[field].as_str().unwrap_or_default().to_owned();
        let (url, secret) = (text("url"), text("secret_token"));
        if !url.starts_with("https://") {
            return Err((400, "Bad Request: bad webhook: HTTPS url must be provided for webhook".into()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if !(1..=256).contains(&secret.len()) || !secret.chars().all(allowed) {
            return Err((400, "Bad Request: secret token contains unallowed characters".into()));
        }
        if !parameters["allowed_updates"].is_array() {
            self.broken_rules.push("setWebhook: allowed_updates must be explicit".into());
        }
        if parameters["drop_pending_updates"] == true {
            self.broken_rules.push("setWebhook: pending updates thrown away".into());
        }
        self.webhook_gone = false;
        self.hook = Some(Hook { url, secret, refused: None });
        Ok(json!(true))
    }

    pub(super) fn webhook_info(&self) -> Value {
        let mut info = json!({
            "url": self.hook.as_ref().map_or("", |hook| &hook.url),
            "has_custom_certificate": false,
            "pending_update_count": self.waiting.len(),
        });
        if let Some((when, why)) = self.hook.as_ref().and_then(|hook| hook.refused.as_ref()) {
            info["last_error_date"] = json!(when);
            info["last_error_message"] = json!(why);
        }
        info
    }
}

impl Client {
    /// The status of the answer to the platform's call; none came: none.
    async fn call(&self, method: Method, path: &str, secret: &str, update: &Value) -> Option<u16> {
        let request = self
            .bare(method, path)
            .header("content-type", "application/json")
            .header("x-telegram-bot-api-secret-token", secret);
        self.try_send(request, update.to_string().into()).await.ok().map(|answer| answer.status)
    }
}
