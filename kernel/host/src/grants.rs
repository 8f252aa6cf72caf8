//! What a plugin may do: what its manifest asks for, as far as the operator grants it. Here and nowhere else.

use std::collections::BTreeSet;
use std::time::Duration;

use super::limits::Limits;
use super::links::Links;
use super::manifest::{
    Events, Extends, Manifest, MemoryAccess, PLACE_RULE, Permissions, PluginConfig, check_paths, format_size,
    is_place, parse_size,
};
use super::rights::{self, Rights};
use prx_base::config::{EventGrant, Grant};
use prx_egress::{Allowed, Pattern, Policy};

/// Longest deadline that a manifest can set, for models that think long.
const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// Where permission comes from: the operator, and for a bundled plugin the gateway it is part of.
#[derive(Debug, Clone, Default)]
pub struct Allowance {
    /// What the operator granted. A field that is left out falls back on `verified`.
    pub operator: Grant,
    /// What the bundled plugin asks for, where its own code is to be loaded; nothing for any other code.
    pub verified: Permissions,
    /// Other code in the place of a bundled plugin. What was set for that one was not meant for it, so it has no
    /// secret either that the operator doesn't list.
    pub stands_in: bool,
    /// Configuration keys that were secret in code of this name that was in service.
    pub once_secret: BTreeSet<String>,
}

impl Allowance {
    fn http(&self) -> &[String] {
        self.operator.http.as_ref().unwrap_or(&self.verified.http)
    }

    fn kv(&self) -> Option<u64> {
        self.operator.kv.as_deref().map_or(self.verified.kv, parse_size)
    }

    fn files(&self) -> Option<u64> {
        self.operator.files.as_deref().map_or(self.verified.files, parse_size)
    }

    fn memory(&self) -> Option<MemoryAccess> {
        match self.operator.memory.as_deref() {
            Some("read") => Some(MemoryAccess::Read),
            Some("write") => Some(MemoryAccess::Write),
            Some(_) => None,
            None => self.verified.memory,
        }
    }

    fn send(&self) -> &[String] {
        self.operator.send.as_ref().unwrap_or(&self.verified.send)
    }

    fn turns(&self) -> bool {
        self.operator.turns.unwrap_or(self.verified.turns)
    }

    fn routes(&self) -> &[String] {
        self.operator.routes.as_ref().unwrap_or(&self.verified.routes)
    }

    fn public(&self) -> bool {
        self.operator.public.unwrap_or(self.verified.public)
    }

    fn events(&self) -> Events {
        match &self.operator.events {
            Some(EventGrant { publish, subscribe }) => {
                Events { publish: publish.clone(), subscribe: subscribe.clone() }
            }
            None => self.verified.events.clone(),
        }
    }

    /// Setting a secret for a plugin grants it to that plugin, unless the operator lists the ones he means.
    fn secret(&self, name: &str) -> bool {
        match &self.operator.secrets {
            Some(listed) => listed.iter().any(|known| known == name),
            None => !self.stands_in,
        }
    }

    /// The keys that were secret and that this manifest would have as plain text, without the operator's leave.
    pub(super) fn revealed(&self, manifest: &Manifest) -> Vec<String> {
        let allowed = |name: &str| self.operator.reveal.iter().flatten().any(|known| known == name);
        let plain = manifest.keys().filter(|(name, key)| !key.secret && self.once_secret.contains(*name));
        plain.map(|(name, _)| name.to_owned()).filter(|name| !allowed(name)).collect()
    }
}

/// The operator's word in the configuration file; where it is silent, the one in the store.
pub fn operator(configured: Option<&Grant>, stored: Option<Grant>) -> Grant {
    let (configured, stored) = (configured.cloned().unwrap_or_default(), stored.unwrap_or_default());
    Grant {
        http: configured.http.or(stored.http),
        secrets: configured.secrets.or(stored.secrets),
        kv: configured.kv.or(stored.kv),
        memory: configured.memory.or(stored.memory),
        send: configured.send.or(stored.send),
        turns: configured.turns.or(stored.turns),
        approver: configured.approver.or(stored.approver),
        events: configured.events.or(stored.events),
        routes: configured.routes.or(stored.routes),
        public: configured.public.or(stored.public),
        files: configured.files.or(stored.files),
        reveal: configured.reveal.or(stored.reveal),
    }
}

/// The permissions that are both asked for and allowed.
pub fn granted(asked: &Permissions, allowance: &Allowance) -> Permissions {
    let events = allowance.events();
    Permissions {
        send: rights::places(&asked.send, allowance.send()),
        turns: asked.turns && allowance.turns(),
        routes: asked.routes.iter().filter(|path| allowance.routes().contains(path)).cloned().collect(),
        public: asked.public && allowance.public(),
        events: Events {
            publish: rights::patterns(&asked.events.publish, &events.publish),
            subscribe: rights::patterns(&asked.events.subscribe, &events.subscribe),
        },
        http: origins(&asked.http, allowance.http()),
        secrets: asked.secrets.iter().filter(|name| allowance.secret(name)).cloned().collect(),
        kv: asked.kv.min(allowance.kv()),
        files: asked.files.min(allowance.files()),
        memory: asked.memory.min(allowance.memory()),
        ..Permissions::default()
    }
}

/// The origins that are asked for and allowed. Where only a part of what is asked for is allowed, that part.
fn origins(asked: &[String], allowed: &[String]) -> Vec<String> {
    let read = |texts: &[String]| -> Vec<Pattern> {
        texts.iter().filter_map(|text| Pattern::parse(text).ok()).collect()
    };
    let (allowed, mut granted) = (read(allowed), Vec::new());
    for text in asked {
        let Ok(asked) = Pattern::parse(text) else { continue };
        if allowed.iter().any(|allowed| allowed.includes(&asked)) {
            granted.push(text.clone());
        } else {
            granted.extend(allowed.iter().filter(|part| asked.includes(part)).map(Pattern::to_string));
        }
    }
    granted
}

/// What is asked for and not allowed: the fields of `[grants.<plugin>]` that would have to change, as they would
/// have to be. None when nothing is missing.
pub fn missing(manifest: &Manifest, allowance: &Allowance) -> Option<Grant> {
    let asked = &manifest.permissions;
    let (granted, revealed) = (granted(asked, allowance), allowance.revealed(manifest));
    let allowed = || allowance.operator.reveal.iter().flatten().cloned();
    let wanting: Vec<String> =
        asked.http.iter().filter(|text| !granted.http.contains(text)).cloned().collect();
    let grant = Grant {
        http: (!wanting.is_empty()).then(|| [allowance.http(), &wanting].concat()),
        secrets: (asked.secrets != granted.secrets).then(|| asked.secrets.clone()),
        kv: asked.kv.filter(|_| asked.kv != granted.kv).map(format_size),
        memory: asked.memory.filter(|_| asked.memory != granted.memory).map(|access| access.as_str().into()),
        send: lacks(&asked.send, &granted.send).then(|| joined(allowance.send(), &asked.send)),
        turns: (asked.turns && !granted.turns).then_some(true),
        approver: None,
        events: missing_events(&asked.events, &granted.events, allowance),
        routes: (asked.routes != granted.routes).then(|| joined(allowance.routes(), &asked.routes)),
        public: (asked.public && !granted.public).then_some(true),
        files: asked.files.filter(|_| asked.files != granted.files).map(format_size),
        reveal: (!revealed.is_empty()).then(|| allowed().chain(revealed).collect()),
    };
    (grant != Grant::default()).then_some(grant)
}

/// Whether something of what is asked for is not granted. Places are compared with all their conversations.
fn lacks(asked: &[String], granted: &[String]) -> bool {
    asked
        .iter()
        .any(|asked| !granted.iter().any(|granted| *granted == *asked || *granted == rights::whole(asked)))
}

/// What is allowed, and what of what is asked for is not among it.
fn joined(allowed: &[String], asked: &[String]) -> Vec<String> {
    let more = asked.iter().filter(|asked| !allowed.contains(asked));
    allowed.iter().chain(more).cloned().collect()
}

fn missing_events(asked: &Events, granted: &Events, allowance: &Allowance) -> Option<EventGrant> {
    let whole = |asked: &[String], granted: &[String]| asked.iter().all(|asked| granted.contains(asked));
    if whole(&asked.publish, &granted.publish) && whole(&asked.subscribe, &granted.subscribe) {
        return None;
    }
    let allowed = allowance.events();
    let (publish, subscribe) =
        (joined(&allowed.publish, &asked.publish), joined(&allowed.subscribe, &asked.subscribe));
    Some(EventGrant { publish, subscribe })
}

/// What it may do without being asked, under one configuration.
pub(super) fn rights(manifest: &Manifest, allowance: &Allowance, config: &PluginConfig) -> Rights {
    let granted = granted(&manifest.permissions, allowance);
    let mut send = granted.send;
    send.extend_from_slice(&config.places);
    Rights {
        send,
        turns: granted.turns,
        approver: allowance.operator.approver.clone().filter(|approver| !approver.is_empty()),
        publish: granted.events.publish,
        subscribe: granted.events.subscribe,
    }
}

/// What is wrong with a grant, each with its key.
pub fn check(grant: &Grant) -> Vec<String> {
    let origins = grant.http.iter().flatten().filter_map(|text| Pattern::parse(text).err());
    let origins = origins.map(|error| format!("http: {error}"));
    let no_size = |text: &&str| parse_size(text).is_none();
    let kv = grant.kv.as_deref().filter(no_size);
    let kv = kv.map(|text| format!("kv: takes a size such as 1MiB, not \"{text}\""));
    let files = grant.files.as_deref().filter(no_size);
    let files = files.map(|text| format!("files: takes true, or a size such as 64MiB, not \"{text}\""));
    let nobody = grant.approver.as_deref().filter(|approver| approver.trim().is_empty());
    let nobody = nobody.map(|_| "approver: names nobody; give a user's id, or leave it out".to_owned());
    let places = grant.send.iter().flatten().filter(|place| !is_place(place));
    let places = places.map(|place| format!("send: {place:?} names no place; {PLACE_RULE}"));
    let routes = check_paths(grant.routes.as_deref().unwrap_or_default()).err();
    let routes = routes.map(|wrong| format!("routes: {wrong}"));
    origins.chain(kv).chain(files).chain(nobody).chain(places).chain(routes).collect()
}

/// A grant as the operator would write it into the configuration file.
pub fn lines(plugin: &str, grant: &Grant) -> String {
    let fields = toml::to_string(grant).unwrap_or_default();
    format!("[grants.{plugin}]\n{}", fields.trim_end())
}

/// Where a plugin's requests may go and which secrets they may carry under one configuration. An origin that
/// the operator named himself, in a grant or in that configuration, may lie inside his network.
pub fn policy(manifest: &Manifest, allowance: &Allowance, config: &PluginConfig) -> Policy {
    let granted = granted(&manifest.permissions, allowance);
    let private = allowance.operator.http.is_some();
    let asked = granted.http.iter().filter_map(|text| Pattern::parse(text).ok());
    let named = config.origins.iter().map(|origin| Allowed { origin: origin.clone().into(), private: true });
    let http = asked.map(|origin| Allowed { origin, private }).chain(named).collect();
    // Each header of a granted table is a secret of its own.
    let is_granted = |name: &str| {
        let key = name.split_once('.').map_or(name, |(key, _)| key);
        granted.secrets.iter().any(|granted| granted == key)
    };
    let names = config.secrets.names().filter(|name| is_granted(name));
    Policy::new(
        http,
        names.filter_map(|name| Some((name.to_owned(), config.secrets.get(name)?.clone()))).collect(),
    )
}

/// What a plugin's code is linked to.
pub fn links(manifest: &Manifest, allowance: &Allowance, config: PluginConfig) -> Links {
    let asks_http = !manifest.permissions.http.is_empty()
        || manifest.keys().any(|(_, key)| key.extends == Some(Extends::Http));
    let granted = granted(&manifest.permissions, allowance);
    Links {
        name: manifest.plugin.name.clone(),
        http: asks_http.then(|| policy(manifest, allowance, &config)),
        kv_bytes: granted.kv,
        file_bytes: granted.files,
        memory: granted.memory,
        turns: granted.turns,
        limits: limits(manifest),
        reuse: manifest.instance.reuse,
        config: config.json,
    }
}

/// A manifest can lower what a call may use. Only the deadline can rise, for waiting costs nothing.
fn limits(manifest: &Manifest) -> Limits {
    let (asked, usual) = (&manifest.limits, Limits::default());
    Limits {
        memory_bytes: asked.memory.map_or(usual.memory_bytes, |bytes| bytes.min(usual.memory_bytes)),
        cpu: asked.cpu.map_or(usual.cpu, |cpu| cpu.min(usual.cpu)),
        deadline: asked.deadline.map_or(usual.deadline, |deadline| deadline.min(MAX_DEADLINE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(asked: &[&str], allowed: &[&str]) -> Vec<String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        origins(&owned(asked), &owned(allowed))
    }

    #[test]
    fn what_is_granted_is_what_is_both_asked_for_and_allowed() {
        let (star, one) = ("https://*.example.com", "https://a.example.com");
        assert_eq!(reach(&[one], &[star]), [one]);
        assert_eq!(reach(&[star], &[star]), [star]);
        assert_eq!(reach(&[star], &[one, "https://b.test"]), [one], "a part of what is asked for");
        assert_eq!(reach(&["wss://a.example.com"], &[one]), ["wss://a.example.com"]);
        assert_eq!(reach(&[one], &["https://example.com", "http://a.example.com"]), [""; 0]);
    }
}
