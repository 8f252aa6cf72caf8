//! Reads a manifest and says what is wrong with it: in which line, and what to do about it.

use std::collections::BTreeSet;
use std::fmt;

use super::schedule::MAX_SCHEDULES;
use super::schema::{Extends, Key, Manifest, Permissions, Type};
use super::values::{NAME_RULE, PLACE_RULE, is_place, valid_name};
use prx_base::config::fits;
use prx_base::config::keys::nearest;
use prx_base::events::Kind;
use prx_egress::{Origin, Pattern};

/// What is wrong with a manifest, mistake by mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError(Vec<Mistake>);

/// A mistake in a manifest: where it is and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    line: usize,
    key: String,
    message: String,
}

impl ManifestError {
    /// The mistakes, one by one.
    pub fn each(&self) -> Vec<String> {
        self.0.iter().map(Mistake::to_string).collect()
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.each().join("; "))
    }
}

impl std::error::Error for ManifestError {}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin.toml line {}: ", self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl Manifest {
    /// Reads a manifest. Anything that is not understood is an error; the first one hides what else there may be, while
    /// of what is understood and makes no sense, all is reported.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest = toml::from_str(text).map_err(|error| ManifestError(vec![explain(text, error)]));
        let mut manifest: Self = manifest?;
        if let Some(routes) = &manifest.routes {
            (manifest.permissions.routes, manifest.permissions.public) =
                (routes.paths.clone(), routes.public);
        }
        let mut wrong: Vec<Mistake> = manifest.check_keys(text);
        let checks = [Self::check_served, Self::check_schedules, Self::check_unasked, Self::check_webhook];
        wrong.extend(checks.iter().filter_map(|check| check(&manifest, text).err()));
        for secret in &manifest.permissions.secrets {
            if !manifest.config.get(secret).is_some_and(|key| key.get_ref().secret) {
                let line = line_with(text, "secrets");
                let message = format!("`{secret}` is no configuration key with secret = true");
                wrong.push(Mistake { line, key: "permissions.secrets".into(), message });
            }
        }
        if wrong.is_empty() { Ok(manifest) } else { Err(ManifestError(wrong)) }
    }

    fn check_keys(&self, text: &str) -> Vec<Mistake> {
        let keys = self.config.iter().filter_map(|(name, key)| {
            let message = self.check_key(name, key.get_ref()).err()?;
            Some(Mistake { line: line_of(text, key.span().start), key: format!("config.{name}"), message })
        });
        keys.collect()
    }

    /// Whether it asks for nothing that the gateway does not serve.
    fn check_served(&self, text: &str) -> Result<(), Mistake> {
        match &self.permissions.tools {
            Some(value) if asks(value.get_ref()) => Err(Mistake {
                line: line_of(text, value.span().start),
                key: "permissions.tools".into(),
                message: "is not served by this version; remove it from the manifest".into(),
            }),
            _ => Ok(()),
        }
    }

    fn check_schedules(&self, text: &str) -> Result<(), Mistake> {
        let mut names = BTreeSet::new();
        for (n, schedule) in self.schedule.iter().enumerate() {
            let wrong = |message: String| {
                let line = line_of(text, schedule.span().start);
                Err(Mistake { line, key: "schedule".into(), message })
            };
            let name = &schedule.get_ref().name;
            if n == MAX_SCHEDULES {
                return wrong(format!("a plugin has {MAX_SCHEDULES} schedules at most"));
            }
            if !names.insert(name) {
                return wrong(format!("there are two named \"{name}\"; give each job one name"));
            }
        }
        Ok(())
    }

    /// Whether what it does unasked is written as it can be granted.
    fn check_unasked(&self, text: &str) -> Result<(), Mistake> {
        let Permissions { send, turns, events, .. } = &self.permissions;
        let wrong = |key: &str, message: String| {
            let word = key.rsplit('.').next().unwrap_or(key);
            Err(Mistake { line: line_with(text, word), key: format!("permissions.{key}"), message })
        };
        if let Some(place) = send.iter().find(|place| !is_place(place)) {
            return wrong("send", format!("{place:?} names no place; {PLACE_RULE}"));
        }
        let may_say = !send.is_empty() || self.keys().any(|(_, key)| key.extends == Some(Extends::Send));
        if *turns && !may_say && self.routes.is_none() {
            let why =
                "a turn's reply has to go somewhere: ask for `send`, too, or say [routes] for those who call";
            return wrong("turns", why.into());
        }
        let own = format!("{}.", self.plugin.name);
        if let Some(event) = events.publish.iter().find(|event| !event.starts_with(&own)) {
            return wrong(
                "events.publish",
                format!("{event:?} is not its own to make; begin with \"{own}\""),
            );
        }
        match events.subscribe.iter().find(|event| !may_happen(event)) {
            Some(event) => wrong(
                "events.subscribe",
                format!("{event:?} is no event there is; there are {}", Kind::names().join(", ")),
            ),
            None => Ok(()),
        }
    }

    fn check_webhook(&self, text: &str) -> Result<(), Mistake> {
        let Some(webhook) = self.channel.as_ref().and_then(|channel| channel.webhook.as_ref()) else {
            return Ok(());
        };
        let (rule, line) = (webhook.get_ref(), line_of(text, webhook.span().start));
        let wrong = |message: String| Err(Mistake { line, key: "channel.webhook".into(), message });
        if let Err(message) = rule.check() {
            return wrong(message.into());
        }
        let is_secret = |name: &str| self.config.get(name).is_some_and(|key| key.get_ref().secret);
        match rule.secrets().find(|name| !is_secret(name)) {
            None => Ok(()),
            Some(name) => wrong(format!("`{name}` is no configuration key with secret = true")),
        }
    }

    fn check_key(&self, name: &str, key: &Key) -> Result<(), String> {
        if !valid_name(name) || name == "plugin" {
            return Err(format!("a key is {NAME_RULE}, and not `plugin`"));
        }
        let may_be_secret = matches!(key.r#type, Type::String | Type::Headers);
        if key.secret && (!may_be_secret || key.default.is_some() || key.extends.is_some()) {
            return Err("a secret is a string, or headers, with neither default nor extends".into());
        }
        if key.r#type == Type::Headers && !key.secret {
            return Err("headers may be credentials: add secret = true".into());
        }
        if !key.reserved.is_empty() && key.r#type != Type::Table {
            return Err("reserved names are those of a table".into());
        }
        if key.secret && !self.permissions.secrets.iter().any(|secret| secret == name) {
            return Err(format!("a secret that no request may carry: add \"{name}\" to permissions.secrets"));
        }
        if key.required && key.default.is_some() {
            return Err("either required or with a default".into());
        }
        match key.extends {
            Some(Extends::Http) if key.r#type != Type::String => {
                return Err("extends = \"http\" takes a string that holds a URL".into());
            }
            Some(Extends::Send) if key.r#type != Type::String || key.default.is_some() => {
                return Err(
                    "extends = \"send\" takes a string that holds `channel/conversation`, without a default"
                        .into(),
                );
            }
            _ => {}
        }
        if !key.values.is_empty() && (key.r#type != Type::String || key.secret) {
            return Err("values are those of a string that is no secret".into());
        }
        let Some(default) = &key.default else { return Ok(()) };
        key.r#type.check(default).map_err(|wanted| format!("the default must be {wanted}"))?;
        key.check_words(default).map_err(|wanted| format!("the default {wanted}"))?;
        match (key.extends, default.as_str()) {
            (Some(Extends::Http), Some(url)) if !url.is_empty() => self.check_default_url(url),
            _ => Ok(()),
        }
    }

    /// A default is the plugin's word, so it needs the permission that an operator's word would give.
    fn check_default_url(&self, url: &str) -> Result<(), String> {
        let origin = Origin::reached_by(url).map_err(|error| format!("the default is no URL: {error}"))?;
        let covers = |asked: &String| Pattern::parse(asked).is_ok_and(|asked| asked.covers(&origin));
        let asked = self.permissions.http.iter().any(covers);
        if asked { Ok(()) } else { Err(format!("its default needs permissions.http to have \"{origin}\"")) }
    }
}

/// Whether an event of such a name can come about: one of the gateway's, or a plugin's own.
fn may_happen(pattern: &str) -> bool {
    let is_own = |(plugin, name): (&str, &str)| valid_name(plugin) && !name.is_empty();
    Kind::ALL.iter().any(|kind| fits(pattern, kind.name())) || pattern.split_once('.').is_some_and(is_own)
}

/// The first line that begins with a word, to say where it is.
fn line_with(text: &str, word: &str) -> usize {
    text.lines().position(|line| line.trim_start().starts_with(word)).map_or(1, |n| n + 1)
}

/// Whether a value asks for anything; `false` and what is empty do not.
fn asks(value: &toml::Value) -> bool {
    match value {
        toml::Value::Boolean(asked) => *asked,
        toml::Value::Array(items) => !items.is_empty(),
        toml::Value::Table(table) => table.values().any(asks),
        _ => true,
    }
}

/// Turns the parser's error into one that names the line, the key and the nearest word that would do.
fn explain(text: &str, mut error: toml::de::Error) -> Mistake {
    let line = line_of(text, error.span().map_or(0, |span| span.start));
    let mut message = error.message().trim_end().replace('\n', ", ");
    // Without the input the parser's own text is the message, then the key in backticks on a line of its own.
    error.set_input(None);
    let shown = error.to_string();
    let key = shown.rsplit("in `").next().filter(|_| shown.contains("\nin `")).unwrap_or_default();
    let key = key.trim_end().trim_end_matches('`').to_owned();
    if let Some(("unknown", what)) = message.split_once(' ') {
        let what = if what.starts_with("field") { "key" } else { "value" };
        let mut words = message.split('`').skip(1).step_by(2);
        let (word, known) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>());
        message = match nearest(word, known.iter().copied()) {
            Some(near) => format!("{word:?} is no {what} there is; did you mean \"{near}\"?"),
            None => format!("{word:?} is no {what} there is; there are: {}", known.join(", ")),
        };
    }
    Mistake { line, key, message }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
