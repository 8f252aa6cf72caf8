//! The form of a request. It begins as most servers take it, and changes where one says that it takes another.

use crate::settings::{Api, Settings};
use prx_sdk::learned::Learned;
use prx_sdk::log;
use prx_sdk::provider::Request;
use prx_sdk::refusal::Refusal;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How often a request is sent in another form.
pub(crate) const MAX_CHANGES: usize = 6;

/// What some servers refuse at the top of a tool's schema.
pub(crate) const TOP_KEYS: [&str; 5] = ["oneOf", "anyOf", "allOf", "enum", "not"];
/// Fields that a request does without, where a server does not know them.
const OPTIONAL: [&str; 11] = [
    "stream_options",
    "temperature",
    "reasoning_effort",
    "reasoning_content",
    "reasoning_details",
    "thinking_blocks",
    "extra_content",
    "provider_specific_fields",
    "thought_signature",
    "include",
    "reasoning",
];
/// How servers say that they don't know a field.
const UNKNOWN: [&str; 10] = [
    "unsupported",
    "not support",
    "unrecognized",
    "unknown",
    "extra inputs",
    "extra fields",
    "not permitted",
    "unexpected",
    "not allowed",
    "please remove",
];

thread_local! {
    /// What was learned from refusals.
    static KNOWN: Learned<Form> = const { Learned::new() };
}

/// How a request is put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    responses: bool,
    /// It goes to the other of the two addresses that may be meant.
    pub(crate) other_base: bool,
    /// Both addresses were tried, for this request.
    asked_both: bool,
    /// The newer name for the most tokens of an answer.
    new_token_limit: bool,
    /// How many tools are offered.
    max_tools: Option<usize>,
    /// Letters of a tool's description.
    pub(crate) max_description: Option<usize>,
    /// Tools' schemas have nothing at their top but properties.
    plain_schemas: bool,
    /// Reasoning is wanted with every answer that calls tools, also with another model's.
    pub(crate) wants_reasoning: bool,
    /// The same of a call's signature.
    pub(crate) wants_signatures: bool,
    /// Nothing of earlier answers' reasoning is returned, in this request.
    without_reasoning: bool,
    /// Fields that are left out.
    without: BTreeSet<&'static str>,
}

impl Form {
    /// The form that this server and model took the last time.
    pub(crate) fn known(settings: &Settings) -> Self {
        KNOWN.with(|known| known.of(&settings.server, settings.model.as_str()))
    }

    /// Remembers that a server has taken this form.
    pub(crate) fn remember(&self, settings: &Settings) {
        let form = Self { asked_both: false, without_reasoning: false, ..self.clone() };
        KNOWN.with(|known| known.remember(&settings.server, settings.model.as_str(), form));
    }

    /// The API to ask.
    pub(crate) fn api(&self, settings: &Settings) -> Api {
        settings.api.unwrap_or(if self.responses { Api::Responses } else { Api::Chat })
    }

    /// What the most tokens of an answer are called. OpenAI's newer models refuse the older name, most other servers know no
    /// other.
    pub(crate) fn token_limit(&self, settings: &Settings) -> &'static str {
        match settings.fixed.new_token_limit.unwrap_or(self.new_token_limit) {
            true => "max_completion_tokens",
            false => "max_tokens",
        }
    }

    /// How many tools are offered at most, as it is set or as the server says.
    pub(crate) fn max_tools(&self, settings: &Settings) -> usize {
        settings.fixed.max_tools.or(self.max_tools).unwrap_or(usize::MAX)
    }

    /// Whether tools' schemas have nothing at their top but properties.
    pub(crate) fn has_plain_schemas(&self, settings: &Settings) -> bool {
        settings.fixed.plain_schemas.unwrap_or(self.plain_schemas)
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        !self.without.contains(field)
    }

    /// Whether a field with reasoning of an earlier answer is returned.
    pub(crate) fn returns(&self, field: &str) -> bool {
        !self.without_reasoning && self.has(field)
    }

    /// Changes it so that this refusal does not come again. False: it is about something else.
    pub(crate) fn change(&mut self, refusal: &Refusal, request: &Request, settings: &Settings) -> bool {
        if !matches!(refusal.status, 400 | 404 | 405 | 422 | 500) || refusal.is_too_long() {
            return false;
        }
        let before = self.clone();
        let is_no_address = matches!(refusal.status, 404 | 405);
        if asks_for_responses(refusal) {
            self.responses |= settings.api.is_none();
        } else if is_no_address && !refusal.mentions("model") {
            if settings.has_other_base() && !self.asked_both {
                (self.other_base, self.asked_both) = (!self.other_base, true);
            }
        } else if !is_no_address {
            self.learn(refusal, request, settings);
        }
        if *self != before {
            log::warn(&format!("asked again in another form, for the server said: {}", refusal.message()));
        }
        *self != before
    }

    fn learn(&mut self, refusal: &Refusal, request: &Request, settings: &Settings) {
        let fixed = &settings.fixed;
        let limit = |below: usize| limit(refusal.message(), below);
        let is_limit = ["too long", "too many", "maximum", "at most", "more than", "exceed"];
        let is_limit =
            refusal.is("array_above_max_length") || is_limit.iter().any(|word| refusal.mentions(word));
        if refusal.mentions("max_completion_tokens") {
            self.new_token_limit = fixed.new_token_limit.is_none();
        } else if is_about_reasoning(refusal) {
            self.without_reasoning = true;
        } else if is_missing(refusal) && refusal.mentions("reasoning_content") {
            self.wants_reasoning = true;
        } else if is_missing(refusal) && refusal.mentions("thought_signature") {
            self.wants_signatures = true;
        } else if refusal.mentions("encrypted content is not supported")
            || refusal.param.as_deref().is_some_and(|param| param.starts_with("include"))
        {
            self.without.insert("include");
        } else if refusal.mentions("does not support tools") || refusal.mentions("tools are not supported") {
            self.without.insert("tools");
        } else if refusal.is("invalid_function_parameters") || names_top_key(refusal) {
            self.plain_schemas |= fixed.plain_schemas.is_none()
                && request.tools.iter().any(|tool| has_top_key(&tool.parameters));
        } else if is_limit && refusal.mentions("description") {
            self.max_description = Some(limit(usize::MAX).unwrap_or(1024));
        } else if is_limit && refusal.mentions("tools") && !refusal.mentions("name") {
            let most = request.tools.len().min(self.max_tools(settings));
            self.max_tools = limit(most).filter(|_| fixed.max_tools.is_none()).or(self.max_tools);
        } else if UNKNOWN.iter().any(|word| refusal.mentions(word)) {
            // A degree of thinking that there isn't is the operator's to change.
            let is_value = |field: &str| field.starts_with("reasoning") && refusal.is("unsupported_value");
            let is_it = |field: &&&str| refusal.mentions(field) && !is_value(field);
            self.without.extend(OPTIONAL.iter().find(is_it));
        }
    }
}

/// Whether a server says that it wants to be asked through the Responses API.
pub(crate) fn asks_for_responses(refusal: &Refusal) -> bool {
    ["v1/responses", "responses api", "responses endpoint", "chatcompletion operation does not work"]
        .iter()
        .any(|words| refusal.mentions(words))
}

/// Whether it is the reasoning of an earlier answer that a server can't read: it is another server's, or another account's.
fn is_about_reasoning(refusal: &Refusal) -> bool {
    let words =
        ["thought signature is not valid", "invalid signature", "corrupted thought", "without its required"];
    refusal.is("invalid_encrypted_content")
        || (refusal.mentions("encrypted content") && refusal.mentions("verif"))
        || (refusal.mentions("item with id") && refusal.mentions("not found"))
        || words.iter().any(|word| refusal.mentions(word))
}

fn is_missing(refusal: &Refusal) -> bool {
    ["missing", "must be passed back", "must be provided", "is required"]
        .iter()
        .any(|words| refusal.mentions(words))
}

/// Whether a refusal is about what stands at the top of a schema.
fn names_top_key(refusal: &Refusal) -> bool {
    refusal.mentions("schema") && ["oneof", "anyof", "allof"].iter().any(|key| refusal.mentions(key))
}

fn has_top_key(schema: &str) -> bool {
    let schema: Map<String, Value> = serde_json::from_str(schema).unwrap_or_default();
    TOP_KEYS.iter().any(|key| schema.contains_key(*key))
}

/// The limit that a text names, if it is below this: the number that follows, or the largest there is.
fn limit(text: &str, below: usize) -> Option<usize> {
    let numbers = |text: &str| -> Vec<usize> {
        let all = text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
        all.filter(|number| (1..below).contains(number)).collect()
    };
    let after = ["maximum", "at most", "more than"].iter().find_map(|word| text.split_once(word));
    let named = after.and_then(|(_, rest)| numbers(rest).first().copied());
    named.or_else(|| numbers(text).into_iter().max())
}
