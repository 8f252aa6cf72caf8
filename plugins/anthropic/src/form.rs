//! The form of a request, which changes where a server says that it takes another.

use crate::request::THOUGHTS;
use crate::settings::Settings;
use prx_sdk::learned::Learned;
use prx_sdk::log;
use prx_sdk::refusal::Refusal;
use std::collections::BTreeSet;

/// How often a request is sent in another form.
pub(crate) const MAX_CHANGES: usize = 4;

/// Fields that a request does without, where a server or a model does not know them.
const OPTIONAL: [&str; 2] = ["temperature", "output_config"];
/// How servers say that they don't know a field.
const UNKNOWN: [&str; 7] =
    ["not support", "unsupported", "extra inputs", "not permitted", "unexpected", "deprecated", "unknown"];

thread_local! {
    /// What was learned from refusals.
    static KNOWN: Learned<Form> = const { Learned::new() };
}

/// How a request is put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// The most tokens of an answer that the model takes, where fewer than what is set.
    most_tokens: Option<u32>,
    /// Fields that are left out.
    without: BTreeSet<&'static str>,
    /// The same, in this request only.
    without_now: BTreeSet<&'static str>,
}

impl Form {
    /// The form that this server and model took the last time.
    pub(crate) fn known(settings: &Settings) -> Self {
        KNOWN.with(|known| known.of(&settings.server, settings.model.as_str()))
    }

    /// Remembers that a server has taken this form.
    pub(crate) fn remember(&self, settings: &Settings) {
        let form = Self { without_now: BTreeSet::new(), ..self.clone() };
        KNOWN.with(|known| known.remember(&settings.server, settings.model.as_str(), form));
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        !self.without.contains(field) && !self.without_now.contains(field)
    }

    /// How long an answer may become.
    pub(crate) fn max_tokens(&self, settings: &Settings) -> Option<u32> {
        let most = self.most_tokens.unwrap_or(u32::MAX);
        settings.tuning.max_tokens.map(|set| set.min(most))
    }

    /// Changes it so that this refusal does not come again. False: it is about something else.
    pub(crate) fn change(&mut self, refusal: &Refusal, settings: &Settings) -> bool {
        if !matches!(refusal.status, 400 | 422) || refusal.is_too_long() {
            return false;
        }
        let before = self.clone();
        let said = refusal.message();
        if refusal.mentions("max_tokens") && refusal.mentions("maximum") {
            let below = self.max_tokens(settings).unwrap_or(0);
            let numbers = said.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
            self.most_tokens =
                numbers.filter(|number| (1..below).contains(number)).max().or(self.most_tokens);
        } else if refusal.mentions("expected `thinking`") {
            // A turn that another model has begun has no thoughts to show.
            self.without_now.insert("thinking");
        } else if is_about_thoughts(refusal) {
            self.without_now.insert(THOUGHTS);
        } else if UNKNOWN.iter().any(|word| refusal.mentions(word)) {
            self.without.extend(OPTIONAL.iter().find(|field| refusal.mentions(field)));
        }
        if *self != before {
            log::warn(&format!("asked again in another form, for the API said: {said}"));
        }
        *self != before
    }
}

/// Whether thoughts that were returned are refused: they are another server's or account's, or it takes none.
fn is_about_thoughts(refusal: &Refusal) -> bool {
    refusal.mentions("signature")
        || ["thinking` block", "thinking block", "redacted_thinking", "type: thinking", "'thinking'"]
            .iter()
            .any(|words| refusal.mentions(words))
}
