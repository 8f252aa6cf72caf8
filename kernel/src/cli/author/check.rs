//! `prx plugin check`: what a gateway would say of a component, and what its operator wants to know.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::scratch::Scratch;
use crate::cli::failure::Failure;
use crate::cli::grant;
use crate::cli::output::Console;
use prx_agents::tool::schema_problem;
use prx_host::grants::{self, Allowance};
use prx_host::inspect::{Capability, Inspected};
use prx_host::manifest::{Extends, Key};
use prx_host::{Checked, Compiler, DryRun};

/// Says everything that a gateway would of a component, all at once, and what its operator has to know and to do.
pub(crate) async fn check(console: &Console, file: &Path) -> Result<(), Failure> {
    let bytes = fs::read(file).map_err(|error| Failure::about(file, &error))?;
    let size = bytes.len();
    let scratch = Scratch::new()?;
    let checked = DryRun::check(bytes.into(), scratch.path(), Compiler::own_program()?).await;
    let mut checked = checked.map_err(|faults| refused(file, &faults))?;
    checked.faults.extend(unusable(&checked));
    if !checked.faults.is_empty() {
        return Err(refused(file, &checked.faults));
    }
    let mut answer = about(&checked);
    answer.insert("file".into(), file.display().to_string().into());
    answer.insert("size".into(), size.into());
    let answer = Value::Object(answer);
    console.show(&answer, |answer| shown(answer, &checked.inspected))
}

/// One fault in a line, or several with a line each.
fn refused(file: &Path, faults: &[String]) -> Failure {
    match faults {
        [fault] => Failure::about(file, fault),
        faults => {
            let count = format!("{} things are wrong:\n- {}", faults.len(), faults.join("\n- "));
            Failure::about(file, &count)
        }
    }
}

/// What a gateway loads all the same, and what then never works.
fn unusable(checked: &Checked) -> Vec<String> {
    let tools = checked.description.tools.iter().filter_map(|tool| {
        let problem = schema_problem(&serde_json::from_str(&tool.parameters).ok()?)?;
        Some(format!("its tool {}: {problem}", tool.name))
    });
    let skills = checked.description.skills.iter().flat_map(|skill| {
        let taken = skill.triggers.iter().filter_map(move |trigger| {
            let why = match prx_agents::command(trigger) {
                _ if trigger.trim().is_empty() => "is empty, and so begins no message",
                Some(_) => "is what the gateway itself listens to; choose another word",
                None => return None,
            };
            Some(format!("its skill {}: the trigger {trigger:?} {why}", skill.name))
        });
        let none = skill.triggers.is_empty().then(|| {
            format!(
                "its skill {}: it has no triggers, so nothing brings it in; give it one such as /{0}",
                skill.name
            )
        });
        taken.chain(none)
    });
    tools.chain(skills).collect()
}

/// What it gives, asks for and takes.
fn about(checked: &Checked) -> Map<String, Value> {
    let Inspected { manifest, capabilities, imports, .. } = &checked.inspected;
    let name = &manifest.plugin.name;
    let jobs: Vec<String> =
        manifest.schedules().map(|job| format!("{}: {}", job.name, job.cron.as_str())).collect();
    let triggers = checked.description.skills.iter().flat_map(|skill| &skill.triggers);
    let missing = grants::missing(manifest, &Allowance::default());
    let settings: Map<String, Value> =
        manifest.keys().map(|(name, key)| (name.to_owned(), setting(key))).collect();
    let answer = json!({
        "name": name,
        "version": manifest.plugin.version,
        "capabilities": capabilities,
        "imports": imports,
        "tools": checked.description.tools.iter().map(|tool| &tool.name).collect::<Vec<_>>(),
        "skills": checked.description.skills.iter().map(|skill| &skill.name).collect::<Vec<_>>(),
        "triggers": triggers.collect::<Vec<_>>(),
        "models": checked.description.models,
        "jobs": jobs,
        "routes": routes(&checked.inspected),
        "settings": settings,
        "settings_in": settings_table(&checked.inspected),
        "to_grant": missing.as_ref().map(|grant| grants::lines(name, grant)),
        "grant_command": missing.as_ref().map(|grant| grant::command(name, grant)),
    });
    match answer {
        Value::Object(answer) => answer,
        _ => Map::new(),
    }
}

fn setting(key: &Key) -> Value {
    json!({
        "type": key.r#type,
        "default": key.default,
        "required": key.required,
        "secret": key.secret,
        "values": key.values,
        "extends": key.extends,
        "description": key.description,
    })
}

/// The table of `prx.toml` that its settings stand in.
fn settings_table(found: &Inspected) -> String {
    let (name, has) = (&found.manifest.plugin.name, |capability| found.capabilities.contains(&capability));
    match () {
        () if has(Capability::Channel) && found.capabilities.len() == 1 => format!("channels_config.{name}"),
        () if has(Capability::Agent) => format!("agents.{name}"),
        () if has(Capability::Provider) => format!("providers_config.{name}"),
        () => format!("plugins_config.{name}"),
    }
}

/// What paths lead to it, as far as they are granted.
fn routes(found: &Inspected) -> Vec<String> {
    let own = format!("/ext/{}/", found.manifest.plugin.name);
    let all = [own].into_iter().chain(found.manifest.permissions.routes.iter().cloned());
    all.filter(|_| found.capabilities.contains(&Capability::Route)).collect()
}

/// The same for people: what it is in lines, then what its operator has to do.
fn shown(answer: &Value, found: &Inspected) -> String {
    const OPERATORS: [&str; 4] = ["settings", "settings_in", "to_grant", "grant_command"];
    let mut facts = answer.clone();
    if let Some(facts) = facts.as_object_mut() {
        facts.retain(|name, _| !OPERATORS.contains(&name.as_str()));
    }
    let mut text = crate::cli::output::fields(&facts);
    let keys: Vec<String> = found.manifest.keys().map(|(name, key)| described(name, key)).collect();
    if !keys.is_empty() {
        text.push_str(&format!("\n\nits settings, in prx.toml under [{}]:\n", settings_table(found)));
        text.push_str(&keys.join("\n"));
    }
    if let (Some(lines), Some(command)) = (answer["to_grant"].as_str(), answer["grant_command"].as_str()) {
        text.push_str(&format!("\n\nto grant what it asks for: {command}\nor in prx.toml:\n{lines}"));
    }
    text
}

/// A setting in a line: what it takes, and what it is for.
fn described(name: &str, key: &Key) -> String {
    let kind = match serde_json::to_value(key.r#type) {
        Ok(Value::String(kind)) => kind,
        _ => String::new(),
    };
    let mut words = vec![kind];
    if key.secret {
        words.push("secret (\"file:PATH\", \"env:NAME\" or itself)".into());
    }
    if key.required {
        words.push("required".into());
    }
    words.extend(key.default.as_ref().map(|default| format!("{default} if not set")));
    if !key.values.is_empty() {
        words.push(format!("one of {}", key.values.join(", ")));
    }
    match key.extends {
        Some(Extends::Http) => words.push("setting it grants calls to its origin".into()),
        Some(Extends::Send) => words.push("setting it grants to say something there".into()),
        None => {}
    }
    let end = if key.description.is_empty() { String::new() } else { format!(": {}", key.description) };
    format!("  {name}  {}{end}", words.join(", "))
}
