//! A component that behaves badly on request. Tests give it a manifest for what they need.

use std::hint::black_box;
use std::time::Duration;

use prx_sdk::provider::{Completion, Message, Provider, ProviderError, Request, Sink, StopReason, Usage};
use prx_sdk::tool::{CallContext, Tool, ToolInfo, ToolOutput};
use prx_sdk::types::Fault;
use serde_json::Value;

/// What `answer` says. Tests write another version of the same length over it.
static VERSION: &str = "generation-one";

/// What happens when an instance starts; tests write `trap...` or `spin...` over `nothing`.
static AT_START: &str = "at-start:nothing";

struct Misbehaving;

impl Tool for Misbehaving {
    fn tools() -> Vec<ToolInfo> {
        let names = [
            ("answer", "Says its version"),
            ("refuse", "Fails politely, for the reason given as `why`"),
            ("spin", "Computes for ever"),
            ("swell", "Asks for ever more memory"),
            ("recurse", "Calls itself for ever"),
            ("trap", "Breaks"),
            ("shout", "Answers with `bytes` bytes"),
            ("babble", "Logs `lines` lines with newlines and escape codes in them"),
            ("sleep", "Waits for a day"),
        ];
        names
            .into_iter()
            .map(|(name, description)| ToolInfo {
                name: name.into(),
                description: description.into(),
                parameters: r#"{"type":"object"}"#.into(),
                read_only: true,
            })
            .collect()
    }

    fn call(name: &str, arguments: &str, _: CallContext) -> Result<ToolOutput, Fault> {
        let arguments: Value =
            serde_json::from_str(arguments).map_err(|error| Fault::bad_input(error.to_string()))?;
        let number = |key: &str| arguments[key].as_u64().unwrap_or(0);
        match name {
            "answer" => Ok(black_box(VERSION).into()),
            "refuse" => Err(Fault::bad_input(arguments["why"].as_str().unwrap_or("no reason given"))),
            "spin" => spin(),
            "swell" => swell(),
            "recurse" => Ok(recurse(1).to_string().into()),
            "trap" => trap(),
            "shout" => Ok("x".repeat(number("bytes") as usize).into()),
            "babble" => Ok(babble(number("lines"))),
            "sleep" => Ok(sleep()),
            _ => Err(Fault::bad_input(format!("there is no tool {name}"))),
        }
    }
}

impl Provider for Misbehaving {
    fn models() -> Vec<String> {
        vec!["moody".into()]
    }

    /// Does what it is told last, if that is something bad.
    fn complete(request: Request, _: &Sink) -> Result<Completion, ProviderError> {
        let text = match request.messages.last() {
            Some(Message::User(message)) => match message.text.as_str() {
                "trap" => trap(),
                "spin" => spin(),
                "swell" => swell(),
                text => format!("heard: {text}"),
            },
            _ => String::new(),
        };
        let usage = Usage { input: 1, output: 1, cached: 0 };
        Ok(Completion { text, tool_calls: Vec::new(), stop: StopReason::End, usage, data: None })
    }
}

prx_sdk::plugin! { tool: Misbehaving, provider: Misbehaving, manifest: "plugin.toml" }

/// Runs when an instance starts, before anything is called.
#[cfg(target_family = "wasm")]
#[used]
#[expect(unsafe_code, reason = "the linker calls what stands in this section")]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = at_start;

#[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "only a component has a start"))]
extern "C" fn at_start() {
    match black_box(AT_START) {
        "at-start:trap..." => trap(),
        "at-start:spin..." => spin(),
        _ => {}
    }
}

fn spin() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n).wrapping_add(1);
    }
}

fn swell() -> ! {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 1 << 20]));
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if black_box(true) { recurse(depth + 1) + frame[(depth % 64) as usize] } else { depth }
}

#[expect(clippy::panic, reason = "this is what it is for")]
fn trap() -> ! {
    panic!("broken on purpose")
}

fn babble(lines: u64) -> ToolOutput {
    for n in 0..lines {
        prx_sdk::log::info(&format!("line {n}\nERROR forged line\x1b[2J"));
    }
    "said it all".into()
}

fn sleep() -> ToolOutput {
    std::thread::sleep(Duration::from_secs(86_400));
    "slept well".into()
}
