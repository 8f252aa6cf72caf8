//! Updates that the platform brings by itself, and how it is told where to.

use prx_sdk::connector::{Commands, Context, Http, LogLevel, Segments, Status, Webhook, WebhookReply};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::call;
use crate::config::Config;
use crate::receive;
use crate::stage;
use crate::state::State;
use crate::update::UPDATES;

pub(crate) const ELSEWHERE: &str =
    "the bot's webhook leads elsewhere now: does another program use this bot token?";

/// What `getWebhookInfo` tells.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Info {
    url: String,
    pending_update_count: u64,
    last_error_date: u64,
    last_error_message: String,
}

impl Info {
    pub(crate) fn leads_to(&self, config: &Config) -> bool {
        self.url == config.webhook_url
    }

    /// What has kept updates from coming since then, in Unix milliseconds.
    pub(crate) fn failure(&self, since: u64) -> Option<String> {
        let fresh = self.last_error_date.saturating_mul(1000) >= since && self.last_error_date > 0;
        (fresh && self.pending_update_count > 0).then(|| {
            let (count, error) = (self.pending_update_count, &self.last_error_message);
            format!("{count} updates wait at the platform, which can't deliver them to webhook_url: {error}")
        })
    }
}

/// Has the platform call this channel. One call at a time: those of one chat stay in order.
pub(crate) fn set_up(config: &Config) -> Http {
    let fields = json!({
        "url": config.webhook_url,
        "allowed_updates": UPDATES,
        "max_connections": 1,
        "drop_pending_updates": false,
    });
    let opened = fields.to_string();
    let opened = opened.trim_end_matches('}');
    // The platform takes letters, digits, `_` and `-` only, which mean themselves in JSON.
    let body = Segments::text(format!("{opened},\"secret_token\":\"")).secret("webhook_secret").then("\"}");
    call::post(config, "setWebhook", &json!({})).body(body)
}

/// Why the platform would not be told, and what to do about it.
pub(crate) fn advice(reason: &str) -> String {
    format!(
        "the webhook can't be set up ({reason}): check webhook_url, which must be a public https address, and \
         webhook_secret, which takes 1 to 256 letters, digits, `_` and `-`"
    )
}

/// The platform calls. The kernel has compared the secret that it shows with `webhook_secret`.
pub(crate) fn called(cx: &Context<Config>, state: &mut State, call: Webhook, out: &mut Commands) {
    let status = take(cx, state, &call, out);
    let reply = WebhookReply { status, headers: Vec::new(), body: Vec::new() };
    out.webhook_reply(call.token, reply);
}

/// The status that answers a call. Whatever is not 2xx comes again.
fn take(cx: &Context<Config>, state: &mut State, call: &Webhook, out: &mut Commands) -> u16 {
    if !cx.config.webhook {
        return 404;
    }
    if call.method != "POST" {
        return 405;
    }
    let known = state.poll.is_on() && state.bot.id != 0;
    if !known || state.is_full() {
        return 503;
    }
    let read = serde_json::from_slice::<&RawValue>(&call.body).ok();
    let Some((number, raw)) = read.and_then(|raw| Some((receive::number(raw)?, raw))) else {
        out.log(LogLevel::Warn, "a webhook call brought something that is no update");
        return 400;
    };
    receive::update(cx, state, number, raw, out);
    out.proof(stage::good_for(&cx.config), None);
    if state.poll.has_webhook() {
        out.status(Status::Connected);
    }
    200
}
