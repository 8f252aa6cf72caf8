//! The question by which a platform finds out whether a webhook is wanted, answered by the rule in the manifest.

use percent_encoding::percent_decode_str;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::webhook::{Webhook, WebhookReply};
use prx_base::config::Secret;
use prx_host::manifest::Challenge;

/// Most bytes of a question, and of what it has echoed.
const MAX_BYTES: usize = 16 << 10;

/// A rule, and the secret that it goes by.
pub(super) struct Answerer {
    rule: Challenge,
    secret: Option<Secret>,
}

impl Answerer {
    pub(super) fn new(rule: Challenge, secret: Option<Secret>) -> Self {
        Self { rule, secret }
    }

    /// The answer to a question in the query of a GET that shows the secret. None: it is no such question.
    pub(super) fn asked(&self, webhook: &Webhook) -> Option<WebhookReply> {
        let token = self.rule.token.as_ref().filter(|_| webhook.method == "GET")?;
        let (shown, secret) = (parameter(&webhook.query, token)?, self.secret.as_ref()?);
        let is_right: bool = shown.as_bytes().ct_eq(secret.expose().as_bytes()).into();
        is_right.then(|| parameter(&webhook.query, &self.rule.echo)).flatten().map(echo)
    }

    /// The answer to a question in the JSON of a POST that has been verified. None: it is no such question.
    pub(super) fn posted(&self, webhook: &Webhook) -> Option<WebhookReply> {
        let kind = self.rule.r#type.as_ref()?;
        if webhook.method != "POST" || webhook.body.len() > MAX_BYTES {
            return None;
        }
        let question: Value = serde_json::from_slice(&webhook.body).ok()?;
        let is_question = question["type"].as_str() == Some(kind);
        question[self.rule.echo.as_str()].as_str().filter(|_| is_question).map(|text| echo(text.to_owned()))
    }
}

/// The first parameter of this name in a query.
fn parameter(query: &str, name: &str) -> Option<String> {
    if query.len() > MAX_BYTES {
        return None;
    }
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let mut parameters = query.split('&').filter_map(|pair| pair.split_once('='));
    parameters.find(|(key, _)| decoded(key) == name).map(|(_, value)| decoded(value))
}

fn echo(text: String) -> WebhookReply {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = vec![
        header("content-type", "text/plain; charset=utf-8"),
        header("x-content-type-options", "nosniff"),
    ];
    WebhookReply { status: 200, headers, body: text.into_bytes() }
}
