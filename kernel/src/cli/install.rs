//! `prx plugin install`, `upgrade` and `diff`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::author::scratch::Scratch;
use super::client::{Payload, path};
use super::failure::Failure;
use super::output::{Console, bytes, fields, note, printable, warn};
use prx_base::config::Settings;
use prx_host::{Compiler, DryRun, Look};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The component: a file, or URL#sha256=DIGEST, which the gateway fetches
    source: String,
    /// Put it in the place of this plugin, which must be its own name
    #[arg(long, value_name = "NAME")]
    replace: Option<String>,
    /// Its version may be lower than the one that is installed
    #[arg(long, requires = "replace")]
    downgrade: bool,
    /// It is to have what a removed plugin of its name has left
    #[arg(long)]
    inherit: bool,
    /// Grant it what it asks for, once that has been looked at
    #[arg(long)]
    grant: bool,
    /// Do so without asking
    #[arg(long, requires = "grant")]
    yes: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Upgrade {
    /// The component: a file, or URL#sha256=DIGEST, which the gateway fetches
    source: String,
    /// Its version may be lower than the one that is installed
    #[arg(long)]
    downgrade: bool,
    /// Grant it what else it asks for
    #[arg(long)]
    grant: bool,
    /// Do so without asking
    #[arg(long)]
    yes: bool,
}

/// Where a component is.
enum Source {
    File(Bytes),
    /// With its SHA-256.
    Url(String, String),
}

impl Source {
    fn read(source: &str) -> Result<Self, Failure> {
        if !source.contains("://") {
            let component = fs::read(source).map_err(|error| Failure::about(Path::new(source), &error))?;
            return Ok(Self::File(component.into()));
        }
        let named = source.split_once('#').and_then(|(url, rest)| Some((url, rest.strip_prefix("sha256=")?)));
        let Some((url, sha256)) = named else {
            let url = source.split('#').next().unwrap_or_default();
            let why =
                "without its digest it could be anything that is sent from there; `sha256sum FILE` prints it";
            return Err(Failure::usage(format!("say which component you mean: {url}#sha256=DIGEST; {why}")));
        };
        Ok(Self::Url(url.to_owned(), sha256.to_owned()))
    }

    fn payload(&self) -> Payload {
        match self {
            Self::File(component) => Payload::Component(component.clone()),
            Self::Url(url, sha256) => Payload::Json(json!({ "url": url, "sha256": sha256 })),
        }
    }
}

pub(super) async fn install(console: &Console, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { source: place, replace, downgrade, inherit, grant, yes } = arguments;
    let source = Source::read(&place)?;
    let (method, target) = match &replace {
        Some(name) => (Method::PUT, path(&["plugins", name])),
        None => (Method::POST, path(&["plugins"])),
    };
    let target = format!("{target}?downgrade={downgrade}&inherit={inherit}");
    let refused = match console.gateway.send(method.clone(), &target, source.payload()).await {
        Ok(answer) => return print_status(console, &answer),
        Err(failure) => failure,
    };
    let Some((name, missing)) = missing(&refused) else { return Err(refused) };
    if !grant {
        return Err(with_hint(refused, "or look at it, and grant it: the same command with --grant"));
    }
    note(&format!("{name} asks for:\n{}", fields(&Value::Object(missing.clone()))));
    let command = format!("prx plugin install {place} --grant --yes");
    if !yes && !confirmed(&format!("Grant {name} this?"), &command)? {
        return Err(Failure::new("nothing was granted or installed"));
    }
    let answer = granted(console, &name, missing, (method, &target, &source)).await?;
    print_status(console, &answer)
}

pub(super) async fn upgrade(console: &Console, arguments: Upgrade) -> Result<(), Failure> {
    let Upgrade { source: place, downgrade, grant, yes } = arguments;
    let source = Source::read(&place)?;
    let looked = path(&["plugins"]) + "?dry_run=true";
    let preview = console.gateway.send(Method::POST, &looked, source.payload()).await?;
    let name = preview["name"].as_str().unwrap_or_default();
    let (old, new) = (&preview["installed"], &preview["new"]);
    if old.is_null() {
        return Err(Failure::new(format!("{name} is not installed: prx plugin install {place}")));
    }
    if old["sha256"] == new["sha256"] {
        return console.done(&preview, &format!("{name}: this is what is installed already"));
    }
    note(&format!("{name}:\n{}", differences(old, new).join("\n")));
    let missing = preview["missing"].as_object();
    if let (Some(missing), false) = (missing, grant) {
        let asks = fields(&Value::Object(missing.clone()));
        let why = format!(
            "it asks for more than it is granted:\n{asks}\nto grant it, too: prx plugin upgrade {place} --grant"
        );
        return Err(Failure::new(why));
    }
    let command = format!("prx plugin upgrade {place}{} --yes", if grant { " --grant" } else { "" });
    if !yes && !confirmed(&format!("Put this in the place of {name}?"), &command)? {
        return Err(Failure::new("nothing was changed"));
    }
    let target = format!("{}?downgrade={downgrade}", path(&["plugins", name]));
    let answer = match missing {
        Some(missing) => granted(console, name, missing.clone(), (Method::PUT, &target, &source)).await?,
        None => console.gateway.send(Method::PUT, &target, source.payload()).await?,
    };
    print_status(console, &answer)
}

pub(super) async fn diff(console: &Console, old: &str, new: &Path) -> Result<(), Failure> {
    let (old, new) = if Path::new(old).is_file() {
        (look(Path::new(old)).await?, look(new).await?)
    } else {
        let component = fs::read(new).map_err(|error| Failure::about(new, &error))?;
        let looked = path(&["plugins"]) + "?dry_run=true";
        let preview =
            console.gateway.send(Method::POST, &looked, Payload::Component(component.into())).await?;
        let name = preview["name"].as_str().unwrap_or_default();
        if name != old {
            return Err(Failure::new(format!("{} is {name}, and not {old}", new.display())));
        }
        if preview["installed"].is_null() {
            return Err(Failure::new(format!(
                "there is no file and no plugin named {old}; prx plugin list shows plugins"
            )));
        }
        (preview["installed"].clone(), preview["new"].clone())
    };
    let lines = differences(&old, &new);
    let human = if lines.is_empty() {
        "nothing that can be seen from outside differs".to_owned()
    } else {
        lines.join("\n")
    };
    console.done(&json!({ "old": old, "new": new, "differences": lines }), &human)
}

/// What a component is, without a gateway: loaded as the author's tests do, or where it does not load like that, as far as it
/// says so itself.
async fn look(file: &Path) -> Result<Value, Failure> {
    let component = fs::read(file).map_err(|error| Failure::about(file, &error))?;
    let said = Look::of(&component).map_err(|error| Failure::about(file, &error))?;
    let scratch = Scratch::new()?;
    let loaded =
        DryRun::of(component.into(), Settings::new(), scratch.path(), Compiler::own_program()?).await;
    let look = match loaded {
        Ok(run) => {
            let look = run.generation.look();
            run.close().await;
            look
        }
        Err(_) => said,
    };
    Ok(json!(look))
}

/// Grants what is missing and sends the component again. Where it is refused all the same, the grants are as they were.
async fn granted(
    console: &Console,
    name: &str,
    missing: Map<String, Value>,
    (method, target, source): (Method, &str, &Source),
) -> Result<Value, Failure> {
    let grants = path(&["plugins", name, "grants"]);
    let before = console.gateway.get(&grants).await.ok();
    let before = before.and_then(|view| view["granted"].as_object().cloned()).unwrap_or_default();
    let mut more = before.clone();
    more.extend(missing);
    console.gateway.send(Method::PUT, &grants, Payload::Json(more.into())).await?;
    let answer = console.gateway.send(method, target, source.payload()).await;
    if answer.is_err() {
        console.gateway.send(Method::PUT, &grants, Payload::Json(before.into())).await?;
    }
    answer
}

/// The plugin that was refused and what it lacks, where that is why.
fn missing(failure: &Failure) -> Option<(String, Map<String, Value>)> {
    let Failure::Message { answer: Some(error), .. } = failure else { return None };
    let details = &error["details"];
    Some((details["plugin"].as_str()?.to_owned(), details["missing"].as_object()?.clone()))
}

fn with_hint(failure: Failure, hint: &str) -> Failure {
    match failure {
        Failure::Message { message, code, answer } => {
            Failure::Message { message: format!("{message}\n{hint}"), code, answer }
        }
        usage => usage,
    }
}

/// How a component differs from another one, a line each: what is new begins with `+`, what is gone with `-`.
fn differences(old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for field in ["version", "signed_by", "size"] {
        if old[field] != new[field] {
            let shown = |value: &Value| match (field, value.as_u64()) {
                ("size", Some(size)) => bytes(size),
                _ => one(value),
            };
            lines.push(format!("  {field}: {} -> {}", shown(&old[field]), shown(&new[field])));
        }
    }
    for (field, name) in [("requested", "permissions"), ("secrets", "secrets")] {
        compare(name, &old[field], &new[field], &mut lines);
    }
    for field in ["capabilities", "triggers"] {
        if old[field].is_array() && new[field].is_array() {
            compare(field, &old[field], &new[field], &mut lines);
        } else if old[field] != new[field] {
            lines.push(format!("  {field}: can't be told before it loads"));
        }
    }
    lines
}

fn compare(name: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                compare(&format!("{name}.{key}"), &old[key], &new[key], lines);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            let gone = before.iter().filter(|item| !after.contains(item)).map(|item| ('-', item));
            let come = after.iter().filter(|item| !before.contains(item)).map(|item| ('+', item));
            lines.extend(gone.chain(come).map(|(sign, item)| format!("{sign} {name}: {}", one(item))));
        }
        (old, new) if old == new => {}
        (Value::Null | Value::Bool(false), new) => lines.push(format!("+ {name}: {}", one(new))),
        (old, Value::Null | Value::Bool(false)) => lines.push(format!("- {name}: {}", one(old))),
        (old, new) => lines.push(format!("  {name}: {} -> {}", one(old), one(new))),
    }
}

/// A value for people; it comes from a stranger.
fn one(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => printable(text, false),
        other => printable(&other.to_string(), false),
    }
}

/// Asks whoever is at the terminal. Where nobody is, says with which command nobody is asked.
pub(super) fn confirmed(question: &str, command: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(format!("{question} There is nobody to ask; to have it done: {command}")));
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Prints the plugin's status.
pub(super) fn print_status(console: &Console, answer: &Value) -> Result<(), Failure> {
    let word = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    if let Some(note) = answer["note"].as_str() {
        warn(&format!("{}: {note}", word("name")));
    }
    console.show(answer, |_| {
        format!("{} {} {}", word("name"), word("version"), word("status")).replace("  ", " ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_a_line_each() {
        let old = json!({
            "version": "1.0.0", "size": 2048, "signed_by": null, "secrets": [],
            "requested": {"http": ["https://a.example"], "kv": 1024, "turns": false, "memory": "read"},
            "capabilities": ["tool:a", "tool:b"], "triggers": ["/a"],
        });
        let new = json!({
            "version": "1.1.0", "size": 2048, "signed_by": null, "secrets": ["key\u{1b}[2J"],
            "requested": {"http": ["https://a.example", "https://b.example"], "kv": 4096, "turns": true, "memory": null},
            "capabilities": ["tool:b", "tool:c"], "triggers": null,
        });
        assert_eq!(
            differences(&old, &new),
            [
                "  version: 1.0.0 -> 1.1.0",
                "+ permissions.http: https://b.example",
                "  permissions.kv: 1024 -> 4096",
                "- permissions.memory: read",
                "+ permissions.turns: true",
                "+ secrets: key\\u{1b}[2J",
                "- capabilities: tool:a",
                "+ capabilities: tool:c",
                "  triggers: can't be told before it loads",
            ]
        );
        assert!(differences(&old, &old).is_empty());
    }
}
