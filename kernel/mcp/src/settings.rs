//! `[mcp_servers.<name>]`: the program to start or the URL to call, read from the table as written.

use serde_json::Value;

use prx_base::config::keys::nearest;
use prx_base::config::{Secret, Settings};
use prx_egress::{Allowed, MIN_SECRET_BYTES, Origin, Policy, Segment};

/// The keys that a table takes.
const KEYS: [&str; 5] = ["command", "args", "env", "url", "headers"];

/// How a server is reached.
#[derive(Debug)]
pub(super) enum Target {
    /// Through the standard input and output of a process.
    Program(Program),
    /// Over streamable HTTP.
    Site(Site),
}

/// A process to start.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) command: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, Secret)>,
}

/// A server to call.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) url: String,
    pub(super) headers: Vec<(String, Vec<Segment>)>,
    pub(super) policy: Policy,
}

impl Program {
    /// The values of its environment that must not be logged.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let all = self.env.iter().map(|(_, value)| value);
        all.filter(|value| value.expose().len() >= MIN_SECRET_BYTES).cloned().collect()
    }
}

/// Whether a table describes a process.
pub(super) fn is_program(settings: &Settings) -> bool {
    settings.contains_key("command") || !settings.contains_key("url")
}

/// Checks a table without connecting.
///
/// # Errors
/// The key below the table's own that is wrong, where there is one, and what it takes.
pub fn check(settings: &Settings) -> Result<(), String> {
    read(settings).map(drop)
}

/// The values that a table names as `env:NAME` or `file:PATH` and that are not there: their keys below the table's own,
/// and why.
pub fn unresolved(settings: &Settings) -> Vec<(String, String)> {
    let mut missing = Vec::new();
    for key in ["env", "headers"] {
        for (name, value) in settings.get(key).and_then(Value::as_object).into_iter().flatten() {
            let text = value.as_str().unwrap_or_default();
            let text = if key == "headers" { without_scheme(text).1 } else { text };
            missing.extend(Secret::unresolved(text).map(|why| (format!("{key}.{name}"), why)));
        }
    }
    missing
}

/// Reads a table.
///
/// # Errors
/// It can't be served; says which key is wrong and what it takes.
pub(super) fn read(settings: &Settings) -> Result<Target, String> {
    if let Some(unknown) = settings.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(match nearest(unknown, KEYS) {
            Some(near) => format!("{unknown}: is no key there is; did you mean \"{near}\"?"),
            None => format!("{unknown}: is no key there is; there are: {}", KEYS.join(", ")),
        });
    }
    let stray = |key: &str, of: &str| match settings.contains_key(key) {
        true => Err(format!("{key}: belongs to a server with {of}")),
        false => Ok(()),
    };
    match (settings.get("command"), settings.get("url")) {
        (Some(_), Some(_)) => Err("takes either command or url, not both".into()),
        (None, None) => Err("takes command (a program to start) or url (a server to call)".into()),
        (Some(command), None) => {
            stray("headers", "url")?;
            let env = texts(settings, "env")?.into_iter().map(|(name, value)| {
                let value = if value.is_empty() { Ok(Secret::new("")) } else { Secret::resolve(&value) };
                value.map(|value| (name.clone(), value)).map_err(|problem| format!("env.{name}: {problem}"))
            });
            let (command, args) = (text("command", command)?, list(settings, "args")?);
            Ok(Target::Program(Program { command, args, env: env.collect::<Result<_, _>>()? }))
        }
        (None, Some(url)) => {
            stray("args", "command")?;
            stray("env", "command")?;
            site(text("url", url)?, texts(settings, "headers")?).map(Target::Site)
        }
    }
}

/// The operator named the URL himself, so it may lie inside his network.
fn site(url: String, given: Vec<(String, String)>) -> Result<Site, String> {
    let origin = Origin::of_url(&url).map_err(|problem| format!("url: {problem}"))?;
    let mut secrets = Vec::new();
    let mut headers = Vec::new();
    for (name, value) in given {
        let (scheme, value) = without_scheme(&value);
        let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme} ") };
        let secret = Secret::resolve(value).map_err(|problem| format!("headers.{name}: {problem}"))?;
        let segment = if secret.expose().len() < MIN_SECRET_BYTES {
            Segment::Text(secret.expose().to_owned())
        } else {
            secrets.push((name.clone(), secret));
            Segment::Secret(name.clone())
        };
        headers.push((name, vec![Segment::Text(scheme), segment]));
    }
    let policy =
        Policy::new(vec![Allowed { origin: origin.into(), private: true }], secrets.into_iter().collect());
    Ok(Site { url, headers, policy })
}

/// A header's scheme, such as `Bearer`, which is no part of the secret that follows it; empty if there is none.
fn without_scheme(value: &str) -> (&str, &str) {
    match value.split_once(' ') {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => (scheme, rest),
        _ => ("", value),
    }
}

fn text(key: &str, value: &Value) -> Result<String, String> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("{key}: takes a text that is not empty")),
    }
}

fn list(settings: &Settings, key: &str) -> Result<Vec<String>, String> {
    let Some(value) = settings.get(key) else { return Ok(Vec::new()) };
    let items = value
        .as_array()
        .and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
    items.ok_or_else(|| format!("{key}: takes a list of texts"))
}

fn texts(settings: &Settings, key: &str) -> Result<Vec<(String, String)>, String> {
    let Some(value) = settings.get(key) else { return Ok(Vec::new()) };
    let pair = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    let pairs = value.as_object().and_then(|table| table.iter().map(pair).collect());
    pairs.ok_or_else(|| format!("{key}: takes a table of texts"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(table: Value) -> String {
        read(table.as_object().expect("a table")).expect_err("a problem")
    }

    #[test]
    fn a_table_that_cant_be_served_says_why() {
        insta::assert_snapshot!(problem(json!({})), @"takes command (a program to start) or url (a server to call)");
        insta::assert_snapshot!(problem(json!({"command": "a", "url": "b"})), @"takes either command or url, not both");
        insta::assert_snapshot!(problem(json!({"comand": "a"})), @r#"comand: is no key there is; did you mean "command"?"#);
        insta::assert_snapshot!(problem(json!({"command": 5})), @"command: takes a text that is not empty");
        insta::assert_snapshot!(problem(json!({"command": "a", "args": [1]})), @"args: takes a list of texts");
        insta::assert_snapshot!(problem(json!({"command": "a", "env": []})), @"env: takes a table of texts");
        insta::assert_snapshot!(problem(json!({"command": "a", "headers": {}})), @"headers: belongs to a server with url");
        insta::assert_snapshot!(problem(json!({"url": "ftp://a"})), @"url: the URL's scheme is neither http nor https");
        insta::assert_snapshot!(
            problem(json!({"command": "a", "env": {"A": "env:PRX_NOT_SET"}})),
            @"env.A: the environment variable PRX_NOT_SET is not set; set it for `prx serve` and start that again, or use file:PATH"
        );
    }

    #[test]
    fn only_the_secret_part_of_a_header_is_secret() {
        let table = json!({"url": "http://127.0.0.1:1/mcp", "headers": {"authorization": "Bearer canary-1", "x-org": "7"}});
        let Ok(Target::Site(site)) = read(table.as_object().expect("a table")) else { panic!("a site") };
        assert_eq!(site.policy.secrets().get("authorization").map(Secret::expose), Some("canary-1"));
        assert!(site.policy.secrets().get("x-org").is_none());
        assert!(!format!("{site:?}").contains("canary"));
    }
}
