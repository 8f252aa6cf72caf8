//! `prx plugin grant`

use hyper::Method;
use serde_json::{Map, Value, json};

use super::client::{Payload, path};
use super::failure::Failure;
use super::output::{Console, fields};
use prx_base::config::Grant;

/// What to grant, in addition to what is granted already. Without any, shows the grants.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The plugin's name; it need not be installed yet
    name: String,
    /// An origin that it may call, such as https://api.example.org; may be given several times
    #[arg(long, value_name = "ORIGIN")]
    http: Vec<String>,
    /// A secret of its configuration that may go into its requests; those not named are then withheld
    #[arg(long, value_name = "KEY")]
    secret: Vec<String>,
    /// How much it may keep, such as 1MiB
    #[arg(long, value_name = "SIZE")]
    kv: Option<String>,
    /// How much it may keep in files of a private directory, such as 64MiB
    #[arg(long, value_name = "SIZE")]
    files: Option<String>,
    /// What it may do with what the agent remembers
    #[arg(long, value_parser = ["read", "write"])]
    memory: Option<String>,
    /// Where it may say something unasked: CHANNEL, or CHANNEL/CONVERSATION, with * for any piece; may be given several times
    #[arg(long, value_name = "PLACE")]
    send: Vec<String>,
    /// It may begin turns where it may say something
    #[arg(long)]
    turns: bool,
    /// Who is asked about the tools of those turns, by the platform's id; without it they are refused
    #[arg(long, value_name = "USER")]
    approver: Option<String>,
    /// An event of its own that it may make, such as NAME.*; may be given several times
    #[arg(long, value_name = "EVENT")]
    publish: Vec<String>,
    /// An event that it may see, such as session.*; may be given several times
    #[arg(long, value_name = "EVENT")]
    subscribe: Vec<String>,
    /// A prefix of paths that it may serve, such as /v1; may be given several times
    #[arg(long, value_name = "PATH")]
    route: Vec<String>,
    /// Its routes may be called without a token
    #[arg(long)]
    public: bool,
    /// A key that was secret once, and whose value it may read from now on
    #[arg(long, value_name = "KEY")]
    reveal: Vec<String>,
    /// Everything that it asks for
    #[arg(long)]
    as_asked: bool,
    /// Revoke everything else: only what is given here is granted
    #[arg(long)]
    reset: bool,
}

/// What to take back.
#[derive(Debug, clap::Args)]
pub(super) struct Revoke {
    /// The plugin's name
    name: String,
    /// What to take back, such as http, kv or events; or one of several, such as http=https://api.example.org. Without any,
    /// everything
    what: Vec<String>,
}

pub(super) async fn revoke(console: &Console, Revoke { name, what }: Revoke) -> Result<(), Failure> {
    let path = path(&["plugins", &name, "grants"]);
    let current = console.gateway.get(&path).await?;
    let granted = current["granted"].as_object().cloned().unwrap_or_default();
    let left = if what.is_empty() {
        Map::new()
    } else {
        without(granted, &what).map_err(|why| Failure::new(format!("{name}: {why}")))?
    };
    let answer = console.gateway.send(Method::PUT, &path, Payload::Json(left.into())).await?;
    console.show(&answer, fields)
}

/// What is left of a grant without some of it.
fn without(mut granted: Map<String, Value>, what: &[String]) -> Result<Map<String, Value>, String> {
    for word in what {
        let (field, one) =
            word.split_once('=').map_or((word.as_str(), None), |(field, one)| (field, Some(one)));
        let known: Vec<&String> = granted.keys().collect();
        if !granted.contains_key(field) {
            let known = if known.is_empty() { "nothing".to_owned() } else { format!("{known:?}") };
            return Err(format!("`{field}` is not granted; granted is {known}"));
        }
        let Some(one) = one else {
            granted.remove(field);
            continue;
        };
        let list = granted.get_mut(field).and_then(Value::as_array_mut);
        let list = list.ok_or_else(|| format!("`{field}` is granted as a whole: take back `{field}`"))?;
        let before = list.len();
        list.retain(|item| item.as_str() != Some(one));
        if list.len() == before {
            return Err(format!("{one:?} is not among what `{field}` has: {}", Value::Array(list.clone())));
        }
        if list.is_empty() {
            granted.remove(field);
        }
    }
    Ok(granted)
}

pub(super) async fn run(console: &Console, arguments: Arguments) -> Result<(), Failure> {
    let path = path(&["plugins", &arguments.name, "grants"]);
    if !arguments.changes_anything() {
        return console.show(&console.gateway.get(&path).await?, fields);
    }
    let current = match console.gateway.get(&path).await {
        Ok(current) => current,
        // Granted beforehand: what it asks for isn't known yet.
        Err(_) if !arguments.as_asked => json!({}),
        Err(failure) => return Err(failure),
    };
    let merged = Value::Object(arguments.merged(&current));
    let answer = console.gateway.send(Method::PUT, &path, Payload::Json(merged)).await?;
    console.show(&answer, fields)
}

/// The command that grants this, and nothing else of a plugin to which nothing is granted yet.
pub(super) fn command(plugin: &str, grant: &Grant) -> String {
    let mut words = vec!["prx plugin grant".to_owned(), plugin.to_owned()];
    let mut lists = |flag: &str, values: &[String]| {
        words.extend(values.iter().map(|value| format!("--{flag} {}", quoted(value))));
    };
    let list = |values: &Option<Vec<String>>| values.clone().unwrap_or_default();
    let one = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
    let events = grant.events.clone().unwrap_or_default();
    lists("http", &list(&grant.http));
    lists("secret", &list(&grant.secrets));
    lists("kv", &one(&grant.kv));
    lists("files", &one(&grant.files));
    lists("memory", &one(&grant.memory));
    lists("send", &list(&grant.send));
    lists("publish", &events.publish);
    lists("subscribe", &events.subscribe);
    lists("route", &list(&grant.routes));
    lists("reveal", &list(&grant.reveal));
    for (is_asked, flag) in [(grant.turns, "--turns"), (grant.public, "--public")] {
        words.extend((is_asked == Some(true)).then(|| flag.to_owned()));
    }
    words.join(" ")
}

/// A word as shells take it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

impl Arguments {
    fn changes_anything(&self) -> bool {
        let Self { http, secret, send, publish, subscribe, route, reveal, .. } = self;
        let Self { kv, files, memory, approver, .. } = self;
        let lists = [http, secret, send, publish, subscribe, route, reveal];
        let singles = [kv, files, memory, approver];
        let flags = [self.turns, self.public, self.as_asked, self.reset];
        lists.iter().any(|list| !list.is_empty())
            || singles.iter().any(|single| single.is_some())
            || flags.contains(&true)
    }

    fn merged(self, current: &Value) -> Map<String, Value> {
        let mut merged = match &current["granted"] {
            Value::Object(granted) if !self.reset => granted.clone(),
            _ => Map::new(),
        };
        // `missing` has the fields as they would have to be, what is granted already included.
        if let Some(missing) = current["missing"].as_object().filter(|_| self.as_asked) {
            merged.extend(missing.clone());
        }
        add(&mut merged, "http", self.http);
        add(&mut merged, "secrets", self.secret);
        add(&mut merged, "reveal", self.reveal);
        add(&mut merged, "send", self.send);
        add(&mut merged, "routes", self.route);
        let mut events = merged.get("events").and_then(Value::as_object).cloned().unwrap_or_default();
        add(&mut events, "publish", self.publish);
        add(&mut events, "subscribe", self.subscribe);
        if !events.is_empty() {
            merged.insert("events".to_owned(), events.into());
        }
        for (flag, key) in [(self.turns, "turns"), (self.public, "public")] {
            if flag {
                merged.insert(key.to_owned(), true.into());
            }
        }
        let single =
            [("kv", self.kv), ("files", self.files), ("memory", self.memory), ("approver", self.approver)];
        merged.extend(single.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))));
        merged
    }
}

fn add(merged: &mut Map<String, Value>, key: &str, more: Vec<String>) {
    if more.is_empty() {
        return;
    }
    let mut list = merged.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let new: Vec<Value> = more.into_iter().map(Value::from).filter(|item| !list.contains(item)).collect();
    list.extend(new);
    merged.insert(key.to_owned(), list.into());
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn the_command_for_a_grant_grants_it() {
        let grant = json!({
            "http": ["https://*.example.org"], "secrets": ["key"], "kv": "1MiB", "files": "64MiB", "memory": "read",
            "send": ["work/*"], "turns": true, "events": {"publish": ["x.done"], "subscribe": ["*"]},
            "routes": ["/v1"], "public": true, "reveal": ["old"],
        });
        let said = command("x", &serde_json::from_value(grant.clone()).unwrap());
        let words = said.split_whitespace().skip(2).map(|word| word.trim_matches('\''));
        assert_eq!(Value::Object(Line::parse_from(words).arguments.merged(&json!({}))), grant, "{said}");
        assert!(said.contains("--subscribe '*'"), "{said}");
    }

    #[test]
    fn what_is_taken_back_is_what_is_named() {
        let granted =
            json!({"http": ["https://a.example", "https://b.example"], "kv": "1MiB", "turns": true});
        let left = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            without(granted.as_object().cloned().unwrap_or_default(), &words).map(Value::Object)
        };
        assert_eq!(
            left(&["kv", "http=https://a.example"]),
            Ok(json!({"http": ["https://b.example"], "turns": true}))
        );
        assert_eq!(left(&["http=https://a.example", "http=https://b.example", "kv", "turns"]), Ok(json!({})));
        for (words, why) in [
            (["memory"], "`memory` is not granted"),
            (["http=https://c.example"], "https://b.example"),
            (["kv=1MiB"], "take back `kv`"),
        ] {
            assert!(left(&words).is_err_and(|said| said.contains(why)), "{words:?}");
        }
    }

    #[test]
    fn what_is_said_is_added_to_what_is_granted() {
        let current = json!({
            "granted": {"http": ["https://a.example"], "kv": "1MiB"},
            "missing": {"http": ["https://a.example", "https://b.example"], "memory": "read"},
        });
        let merged = |words: &str| {
            let words = ["grant"].into_iter().chain(words.split_whitespace());
            Value::Object(Line::parse_from(words).arguments.merged(&current))
        };
        assert_eq!(
            merged("x --http https://a.example --http https://c.example --memory write"),
            json!({"http": ["https://a.example", "https://c.example"], "kv": "1MiB", "memory": "write"})
        );
        assert_eq!(
            merged("x --as-asked"),
            json!({"http": ["https://a.example", "https://b.example"], "kv": "1MiB", "memory": "read"})
        );
        assert_eq!(merged("x --reset"), json!({}));
        assert_eq!(merged("x --reset --secret key"), json!({"secrets": ["key"]}));
        assert_eq!(merged("x --reset --reveal key"), json!({"reveal": ["key"]}));
        assert_eq!(
            merged(
                "x --reset --send work --turns --route /v1 --public --approver 7 --publish x.* --subscribe session.*"
            ),
            json!({
                "send": ["work"],
                "turns": true,
                "routes": ["/v1"],
                "public": true,
                "approver": "7",
                "events": {"publish": ["x.*"], "subscribe": ["session.*"]},
            })
        );
    }
}
