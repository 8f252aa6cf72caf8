//! `[mcp_servers.<name>]`: the program to start or the URL to call, read from the table as written.

use std::time::Duration;

use serde_json::Value;

use prx_base::config::keys::nearest;
use prx_base::config::{Secret, Settings};
use prx_egress::{Allowed, MIN_SECRET_BYTES, Origin, Policy, Segment};

/// The keys that a table takes.
const KEYS: [&str; 11] = [
    "command",
    "args",
    "env",
    "cwd",
    "url",
    "headers",
    "oauth",
    "tools",
    "timeout_secs",
    "start_secs",
    "ping_secs",
];
const OAUTH_KEYS: [&str; 4] = ["client_id", "client_secret", "scopes", "issuer"];
/// How long a server may take to start and to answer for the first time. Many programs fetch themselves first.
const PROGRAM_START: Duration = Duration::from_secs(120);
const SITE_START: Duration = Duration::from_secs(60);
/// How often a connected server is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Longest of these times, in seconds.
const MAX_SECS: u64 = 86_400;

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
    /// The folder it is started in, if not the gateway's own.
    pub(super) cwd: Option<String>,
}

/// A server to call.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) url: String,
    pub(super) headers: Vec<(String, Vec<Segment>)>,
    pub(super) policy: Policy,
}

impl Site {
    /// Its policy, with another secret.
    pub(super) fn policy_with(&self, name: &str, secret: &str) -> Policy {
        let known = self.policy.secrets();
        let all = known.names().filter_map(|name| Some((name.to_owned(), known.get(name)?.clone())));
        let all = all.chain([(name.to_owned(), Secret::new(secret))]);
        Policy::new(self.policy.origins().to_vec(), all.collect())
    }
}

/// What the operator says about logins to a server.
#[derive(Debug, Clone, Default)]
pub(super) struct Oauth {
    /// The URL of the server: tokens are for that, and for no other.
    pub(super) url: String,
    /// Who the gateway is to the authorization server; registered by itself if not said.
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<Secret>,
    /// What is asked for; what the server says if not said.
    pub(super) scopes: Vec<String>,
    /// The authorization server; the one that the server names if not said.
    pub(super) issuer: Option<String>,
}

/// What the operator says about a server, however it is reached.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) tools: Wanted,
    /// How long a call may take without a sign of progress; none: as long as any tool's.
    pub(super) timeout: Option<Duration>,
    /// How long it may take to start and to list its tools.
    pub(super) start: Duration,
    /// How often it is pinged; none: never.
    pub(super) ping: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { tools: Wanted::default(), timeout: None, start: PROGRAM_START, ping: Some(PING_INTERVAL) }
    }
}

/// Which of a server's tools there are to be, by the names that it calls them: all, or those that fit a pattern. A `*`
/// stands for any text.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted(Option<Vec<String>>);

impl Wanted {
    /// Those that fit one of these patterns.
    #[cfg(test)]
    pub(super) fn of(patterns: &[&str]) -> Self {
        Self(Some(patterns.iter().map(|pattern| (*pattern).to_owned()).collect()))
    }

    /// Whether a tool is among them.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| fits(pattern, name)))
    }

    /// A pattern that none of these tools fits.
    pub(super) fn in_vain<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> Option<&str> {
        let mut patterns = self.0.iter().flatten();
        patterns.find(|pattern| !names.clone().any(|name| fits(pattern, name))).map(String::as_str)
    }
}

/// Whether a name is what a pattern says.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
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
    read(settings)?;
    options(settings).map(drop)
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
    let secret = settings.get("oauth").and_then(|oauth| oauth.get("client_secret")).and_then(Value::as_str);
    missing.extend(secret.and_then(Secret::unresolved).map(|why| ("oauth.client_secret".into(), why)));
    missing
}

/// Reads what a table says about a server of either kind.
///
/// # Errors
/// The key that is wrong, and what it takes.
pub(super) fn options(settings: &Settings) -> Result<Options, String> {
    let tools = match settings.contains_key("tools") {
        true => Some(list(settings, "tools")?),
        false => None,
    };
    let start = if is_program(settings) { PROGRAM_START } else { SITE_START };
    let ping = seconds(settings, "ping_secs", 0)?.unwrap_or(PING_INTERVAL);
    Ok(Options {
        tools: Wanted(tools),
        timeout: seconds(settings, "timeout_secs", 1)?,
        start: seconds(settings, "start_secs", 1)?.unwrap_or(start),
        ping: (!ping.is_zero()).then_some(ping),
    })
}

/// What a table says about logins; none where there are none: for a program, and where
/// the requests have an authorization header already.
pub(super) fn login(settings: &Settings) -> Option<Oauth> {
    let headers = settings.get("headers").and_then(Value::as_object);
    let is_set =
        headers.is_some_and(|headers| headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")));
    let url = settings
        .get("url")
        .and_then(Value::as_str)
        .filter(|_| !is_set && !settings.contains_key("command"))?;
    Some(Oauth { url: url.to_owned(), ..oauth(settings).ok()? })
}

fn oauth(settings: &Settings) -> Result<Oauth, String> {
    let Some(table) = settings.get("oauth") else { return Ok(Oauth::default()) };
    let Some(table) = table.as_object() else { return Err("oauth: takes a table".into()) };
    if let Some(unknown) = table.keys().find(|key| !OAUTH_KEYS.contains(&key.as_str())) {
        return Err(format!("oauth.{unknown}: is no key there is; there are: {}", OAUTH_KEYS.join(", ")));
    }
    let within = |problem: String| format!("oauth.{problem}");
    let given = |key: &str| table.get(key).map(|value| text(key, value).map_err(within)).transpose();
    let secret = given("client_secret")?
        .map(|secret| Secret::resolve(&secret).map_err(|problem| format!("oauth.client_secret: {problem}")));
    let oauth = Oauth {
        client_id: given("client_id")?,
        client_secret: secret.transpose()?,
        scopes: list(table, "scopes").map_err(within)?,
        issuer: given("issuer")?,
        url: String::new(),
    };
    if let Some(issuer) = &oauth.issuer {
        Origin::of_url(issuer).map_err(|problem| format!("oauth.issuer: {problem}"))?;
    }
    if oauth.client_secret.is_some() && oauth.client_id.is_none() {
        return Err("oauth.client_secret: belongs to a client_id".into());
    }
    Ok(oauth)
}

/// Reads how a server is reached.
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
            stray("oauth", "url")?;
            let env = texts(settings, "env")?.into_iter().map(|(name, value)| {
                let value = if value.is_empty() { Ok(Secret::new("")) } else { Secret::resolve(&value) };
                value.map(|value| (name.clone(), value)).map_err(|problem| format!("env.{name}: {problem}"))
            });
            let (command, args) = (text("command", command)?, list(settings, "args")?);
            let cwd = settings.get("cwd").map(|folder| text("cwd", folder)).transpose()?;
            Ok(Target::Program(Program { command, args, env: env.collect::<Result<_, _>>()?, cwd }))
        }
        (None, Some(url)) => {
            stray("args", "command")?;
            stray("env", "command")?;
            stray("cwd", "command")?;
            oauth(settings)?;
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

fn seconds(settings: &Settings, key: &str, least: u64) -> Result<Option<Duration>, String> {
    let Some(value) = settings.get(key) else { return Ok(None) };
    match value.as_u64() {
        Some(seconds) if (least..=MAX_SECS).contains(&seconds) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(format!("{key}: takes a number of seconds, {least} to {MAX_SECS}")),
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
    fn what_is_said_of_a_server_is_checked() {
        let wrong = |more: Value| {
            let mut table = json!({"command": "a"});
            table.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            check(table.as_object().unwrap()).expect_err("a problem")
        };
        insta::assert_snapshot!(wrong(json!({"timeout_secs": 0})), @"timeout_secs: takes a number of seconds, 1 to 86400");
        insta::assert_snapshot!(wrong(json!({"start_secs": "60"})), @"start_secs: takes a number of seconds, 1 to 86400");
        insta::assert_snapshot!(wrong(json!({"ping_secs": -1})), @"ping_secs: takes a number of seconds, 0 to 86400");
        insta::assert_snapshot!(wrong(json!({"tools": "echo"})), @"tools: takes a list of texts");
        insta::assert_snapshot!(wrong(json!({"cwd": 7})), @"cwd: takes a text that is not empty");
        let site = json!({"url": "http://127.0.0.1:1/mcp", "cwd": "/"});
        insta::assert_snapshot!(check(site.as_object().unwrap()).unwrap_err(), @"cwd: belongs to a server with command");
    }

    #[test]
    fn a_pattern_stands_for_names() {
        let wanted = Wanted(Some(vec!["read_*".into(), "*_user".into(), "a*b*c".into(), "echo".into()]));
        for name in ["read_", "read_file", "get_user", "abc", "a1b2c", "aabcc", "echo"] {
            assert!(wanted.takes(name), "{name}");
        }
        for name in ["", "rea", "user", "acb", "ab", "echoes", "xecho"] {
            assert!(!wanted.takes(name), "{name}");
        }
        assert!(Wanted::default().takes("anything") && !Wanted(Some(Vec::new())).takes("anything"));
        assert_eq!(wanted.in_vain(["read_file", "get_user", "echo"].into_iter()), Some("a*b*c"));
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
