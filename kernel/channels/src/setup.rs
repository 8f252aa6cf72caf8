//! A channel's setup: its table in the configuration, checked against its plugin's manifest.

use std::sync::Arc;

use serde_json::Value;

use prx_base::config::Settings;
use prx_egress::Policy;
use prx_host::Generation;
use prx_host::manifest::{Feature, Manifest, PluginConfig};
use prx_store::OnUnknown;

/// What `stream_mode` takes. This and the next two keys of a channel's table are the kernel's own: no manifest declares
/// them.
const STREAM_MODES: [&str; 4] = ["off", "typing", "edit", "draft"];
/// What `on_unknown` takes.
const ON_UNKNOWN: [&str; 2] = ["resend", "drop"];
/// The key for whether a new message stops the turn at work.
const INTERRUPTS: &str = "interrupt_on_new_message";

/// A channel's configuration as its pump uses it.
pub(super) struct Setup {
    pub(super) name: String,
    settings: Settings,
    /// For the connector: JSON, defaults filled in, without secrets.
    pub(super) config: String,
    /// Where its requests may go, and which secrets may be put into them.
    pub(super) policy: Arc<Policy>,
    /// What becomes of an operation whose outcome is unknown.
    pub(super) on_unknown: OnUnknown,
    /// A new message in a conversation stops what is still being answered there.
    pub(super) interrupts: bool,
    /// What is shown of a reply in the making.
    pub(super) live_replies: LiveReplyOptions,
}

/// What a channel shows of a reply in the making, as far as its platform can.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LiveReplyOptions {
    /// That the agent is at work.
    pub(super) typing: bool,
    /// The reply so far, as a draft.
    pub(super) draft: bool,
    /// The reply so far, in a message that is edited until it is whole.
    pub(super) edit: bool,
    /// A live reply can be deleted.
    pub(super) delete: bool,
    /// UTF-16 code units that fit in one message.
    pub(super) max_text: usize,
}

impl LiveReplyOptions {
    fn new(mode: &str, manifest: &Manifest) -> Self {
        let Some(channel) = &manifest.channel else { return Self::default() };
        let can = |feature| manifest.can(feature);
        Self {
            typing: mode != "off" && can(Feature::Typing),
            draft: mode == "draft",
            // Where a platform takes no drafts in some of its places, the next best serves there.
            edit: mode == "edit" || (mode == "draft" && can(Feature::Edit)),
            delete: can(Feature::Delete),
            max_text: channel.max_text.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX)),
        }
    }
}

impl Setup {
    /// Checks a channel's table against the manifest of the code that is to serve it.
    ///
    /// # Errors
    /// The table does not fit; says each key and what to do.
    pub(super) fn new(name: &str, settings: &Settings, generation: &Generation) -> Result<Self, String> {
        if !generation.description.connector {
            return Err(format!("plugin {} gives no connector: name another in `plugin`", generation.name()));
        }
        let word = |key| settings.get(key).and_then(Value::as_str);
        let on_unknown = match word("on_unknown") {
            Some("drop") => OnUnknown::Drop,
            _ if generation.manifest.can(Feature::Nonce) => OnUnknown::Resend,
            _ => OnUnknown::ResendOnce,
        };
        let interrupts = settings.get(INTERRUPTS).and_then(Value::as_bool).unwrap_or_default();
        let live_replies =
            LiveReplyOptions::new(word("stream_mode").unwrap_or("typing"), &generation.manifest);
        let checked = check(settings, &generation.manifest).map_err(|problems| problems.join("; "))?;
        let policy = Arc::new(generation.policy(&checked));
        let (name, settings) = (name.into(), settings.clone());
        Ok(Self { name, settings, config: checked.json, policy, on_unknown, interrupts, live_replies })
    }

    /// The same table, for other code.
    ///
    /// # Errors
    /// As for [`Setup::new`].
    pub(super) fn renew(&self, generation: &Generation) -> Result<Self, String> {
        Self::new(&self.name, &self.settings, generation)
    }
}

/// Checks a channel's table against the manifest of its plugin.
///
/// # Errors
/// Everything that is wrong: for each, its key and what to do about it.
pub fn check(settings: &Settings, manifest: &Manifest) -> Result<PluginConfig, Vec<String>> {
    let mut settings = settings.clone();
    settings.remove("plugin");
    let (mode, on_unknown) = (settings.remove("stream_mode"), settings.remove("on_unknown"));
    let mut problems = Vec::new();
    problems.extend(mode.as_ref().and_then(|mode| wrong_word("stream_mode", mode, &STREAM_MODES)));
    problems.extend(on_unknown.and_then(|word| wrong_word("on_unknown", &word, &ON_UNKNOWN)));
    if let Some(wrong) = settings.remove(INTERRUPTS).filter(|value| !value.is_boolean()) {
        problems.push(format!("{INTERRUPTS}: takes true or false, not {wrong}"));
    }
    problems.extend(mode.as_ref().and_then(Value::as_str).and_then(|mode| unsupported_mode(mode, manifest)));
    problems.extend(settings.remove("agent").and_then(|agent| match agent {
        Value::String(_) => None,
        other => Some(format!("agent: takes the name of an agent in quotes, not {other}")),
    }));
    problems.extend(settings.remove("agents").and_then(|agents| {
        let fits = agents.as_object().is_some_and(|table| table.values().all(Value::is_string));
        (!fits).then(|| "agents: takes a table of conversations, each with the name of an agent".to_owned())
    }));
    match manifest.check_config(&settings) {
        Ok(config) if problems.is_empty() => Ok(config),
        Ok(_) => Err(problems),
        Err(more) => Err(problems.into_iter().chain(more).collect()),
    }
}

fn wrong_word(key: &str, value: &Value, words: &[&str]) -> Option<String> {
    let fits = value.as_str().is_some_and(|word| words.contains(&word));
    (!fits).then(|| format!("{key}: takes one of {}, not {value}", words.join(", ")))
}

/// Why a plugin's platform can't show replies in this way.
fn unsupported_mode(mode: &str, manifest: &Manifest) -> Option<String> {
    let wanted = match mode {
        "edit" => Feature::Edit,
        "draft" => Feature::Draft,
        _ => return None,
    };
    let can = manifest.can(wanted);
    let name = &manifest.plugin.name;
    (!can).then(|| format!("stream_mode: {name} has no \"{mode}\"; \"typing\" and \"off\" always work"))
}

/// Returns the plugin that serves a channel: the one its table names, or the one of its own name.
pub fn plugin<'a>(name: &'a str, settings: &'a Settings) -> &'a str {
    settings.get("plugin").and_then(Value::as_str).unwrap_or(name)
}
