//! `prx plugin test` with a provider that is asked, and with a connector or an agent whose transcript is played.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::cli::failure::Failure;
use crate::cli::output::{Console, fields};
use prx_base::config::Settings;
use prx_host::bindings::{agent, connector, provider};
use prx_host::{CallError, DryRun, Scope};

/// When a transcript begins, in Unix milliseconds; each step is a second later than the one before.
const BEGIN_MS: u64 = 1_700_000_000_000;
/// Pieces of an answer that may wait to be taken.
const MAX_WAITING: usize = 64;

/// Has the provider answer one message, and shows what came of it.
pub(super) async fn ask(
    console: &Console,
    dry_run: &DryRun,
    model: String,
    text: String,
) -> Result<(), Failure> {
    let message = provider::UserMessage { text, attachments: Vec::new() };
    let request = provider::Request {
        model,
        system: String::new(),
        messages: vec![provider::Message::User(message)],
        tools: Vec::new(),
        options: "{}".into(),
    };
    let (deltas, mut taken) = mpsc::channel(MAX_WAITING);
    let count = async {
        let mut pieces = 0;
        while taken.recv().await.is_some() {
            pieces += 1;
        }
        pieces
    };
    let asked = dry_run.generation.code.complete(&request, deltas, Scope::default());
    let (answer, pieces) = tokio::join!(asked, count);
    let answer = answer.map_err(|error| Failure::new(format!("its provider: {error}")))?;
    let answer = answer.map_err(|error| {
        let again = if error.retryable { "; it would be asked again" } else { "" };
        Failure::new(format!("its provider: {}{again}", error.fault.message))
    })?;
    let calls: Vec<String> =
        answer.tool_calls.iter().map(|call| format!("{}({})", call.name, call.arguments)).collect();
    let shown = json!({
        "text": answer.text,
        "calls": calls,
        "stop": answer.stop,
        "input_tokens": answer.usage.input,
        "output_tokens": answer.usage.output,
        "pieces": pieces,
    });
    console.show(&shown, fields)
}

/// What happens, and what is to come of it; without `commands` anything may.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step<E> {
    events: Vec<E>,
    commands: Option<Vec<Value>>,
}

/// Plays a transcript, and shows what the connector or agent wants at each step. Nothing of it is done.
pub(super) async fn play(
    console: &Console,
    dry_run: &DryRun,
    settings: &Settings,
    file: &Path,
) -> Result<(), Failure> {
    let generation = &dry_run.generation;
    let config = generation.manifest.check_config(settings).map_err(|problems| {
        Failure::new(format!("its configuration in --settings is not right: {}", problems.join("; ")))
    })?;
    let text = fs::read_to_string(file).map_err(|error| Failure::about(file, &error))?;
    let mut played = Played { file, state: Vec::new(), steps: Vec::new() };
    if generation.description.agent {
        for (number, step) in steps::<agent::Event>(file, &text)?.into_iter().enumerate() {
            let context = turn(generation.name(), &config.json, number);
            let done = generation.code.handle_turn(&context, &played.state, &step.events, Scope::default());
            let done = done.await.map(|done| (done.commands, done.state));
            played.take(number, done, step.commands)?;
        }
    } else if generation.description.connector {
        let mut connector = generation.code.connector().await.map_err(Failure::new)?;
        for (number, step) in steps::<connector::Event>(file, &text)?.into_iter().enumerate() {
            let (channel, now, seed) = (generation.name().to_owned(), at(number), number as u64);
            let context = connector::Context { channel, now, seed, config: config.json.clone() };
            let done = connector.handle(&context, &played.state, &step.events).await;
            played.take(number, done.map(|done| (done.commands, done.state)), step.commands)?;
        }
    } else {
        return Err(Failure::new(
            "it has neither a connector nor an agent, whose transcript could be played",
        ));
    }
    console.show(&json!({ "steps": played.steps }), |answer| format!("{:#}", answer["steps"]))
}

fn steps<E: DeserializeOwned>(file: &Path, text: &str) -> Result<Vec<Step<E>>, Failure> {
    let wrong = |error: serde_json::Error| {
        let why = format!("takes a JSON list of {{\"events\": […], \"commands\": […]}}: {error}");
        Failure::about(file, &why)
    };
    let mut steps: Value = serde_json::from_str(text).map_err(wrong)?;
    as_bytes(&mut steps);
    serde_json::from_value(steps).map_err(wrong)
}

fn at(number: usize) -> u64 {
    BEGIN_MS + 1000 * number as u64
}

fn turn(name: &str, config: &str, number: usize) -> agent::Context {
    let session = agent::Session {
        id: "test".into(),
        channel: "api".into(),
        group: false,
        language: None,
        metadata: "{}".into(),
        carried: None,
    };
    let left = agent::Allowance { model_calls: 20, tool_calls: 50, tokens: None, ms: 600_000, turns: 10 };
    let (agent, config) = (name.to_owned(), config.to_owned());
    agent::Context { agent, config, now: at(number), seed: number as u64, session, left }
}

/// How far a transcript is.
struct Played<'a> {
    file: &'a Path,
    state: Vec<u8>,
    /// What it wants, a list a step.
    steps: Vec<Value>,
}

impl Played<'_> {
    /// Takes in what came of a step.
    fn take<C: Serialize>(
        &mut self,
        number: usize,
        done: Result<(Vec<C>, Option<Vec<u8>>), CallError>,
        wanted: Option<Vec<Value>>,
    ) -> Result<(), Failure> {
        let step = format!("step {}", number + 1);
        let wrong = |why: String| Failure::about(self.file, &format!("{step}: {why}"));
        let (commands, state) = done.map_err(|error| wrong(error.to_string()))?;
        let mut commands = serde_json::to_value(commands).map_err(Failure::new)?;
        as_text(&mut commands);
        if let Some(mut wanted) = wanted.map(Value::Array) {
            as_text(&mut wanted);
            if let Err(difference) = differs(&wanted, &commands, "commands") {
                return Err(wrong(format!("{difference}\nit wants: {commands:#}")));
            }
        }
        self.state = state.unwrap_or_else(|| std::mem::take(&mut self.state));
        self.steps.push(commands);
        Ok(())
    }
}

/// Holds what is wanted against what there is: of an object only what is named, of a list all of it.
fn differs(wanted: &Value, found: &Value, place: &str) -> Result<(), String> {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().try_for_each(|(name, value)| {
            differs(value, found.get(name).unwrap_or(&Value::Null), &format!("{place}.{name}"))
        }),
        (Value::Array(wanted), Value::Array(found)) if wanted.len() != found.len() => {
            Err(format!("{place} has {} entries, not {}", found.len(), wanted.len()))
        }
        (Value::Array(wanted), Value::Array(found)) => {
            let mut pairs = wanted.iter().zip(found).enumerate();
            pairs.try_for_each(|(at, (wanted, found))| differs(wanted, found, &format!("{place}[{at}]")))
        }
        _ if wanted == found => Ok(()),
        _ => Err(format!("{place} is {found}, not {wanted}")),
    }
}

/// Bodies in a transcript may be texts, where the interface has bytes.
fn as_bytes(value: &mut Value) {
    each_body(value, &mut |body| {
        if let Value::String(text) = body {
            *body = text.bytes().map(Value::from).collect();
        }
    });
}

/// The other way round, for people; what is no text stays as it is.
fn as_text(value: &mut Value) {
    each_body(value, &mut |body| {
        let bytes = body.as_array().filter(|bytes| !bytes.is_empty());
        let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
        let bytes: Option<Vec<u8>> = bytes.and_then(|bytes| bytes.iter().map(byte).collect());
        if let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
            *body = text.into();
        }
    });
}

fn each_body(value: &mut Value, change: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if matches!(name.as_str(), "body" | "Bytes") {
                    change(value);
                }
                each_body(value, change);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_body(item, change)),
        _ => {}
    }
}
