//! An agent that does one thing that agents may not, the one that its settings name.

use std::hint::black_box;

use prx_sdk::agent::{
    Agent, Answered, AskModel, Choice, Command, Commands, Context, Event, LogLevel, Message, Part, Reply,
    Role, ToolCall, ToolDone, ToolSpec,
};
use prx_sdk::types::Fault;
use serde::{Deserialize, Serialize};

/// Ten million bytes, and then some.
const FAR_TOO_MUCH: usize = 10 << 20;
/// A little more than anything of it may have.
const TOO_MUCH: usize = (1 << 20) + 1;

/// The agent.
pub struct Wild;

/// `[agents.<name>]`
#[derive(Deserialize)]
pub struct Config {
    deed: String,
    /// An entry of another session.
    entry: String,
}

/// What it remembers.
#[derive(Default, Serialize, Deserialize)]
pub struct State {
    token: u64,
    /// The message, and what was said to it.
    entries: Vec<String>,
    ballast: String,
}

impl Agent for Wild {
    type Config = Config;
    type State = State;

    fn handle(
        cx: &Context<Config>,
        state: &mut State,
        event: Event,
        out: &mut Commands,
    ) -> Result<(), Fault> {
        match event {
            Event::Message(message) => begin(&cx.config, state, &message, out)?,
            Event::Answered(answered) => said(&cx.config, state, answered, out),
            Event::ToolDone(done) => done_with(&cx.config, state, &done, out),
            Event::Failed(_) if cx.config.deed == "asks-beyond-its-budget" => ask(state, out),
            Event::Failed(_) => out.finish(Reply::Failed),
            Event::Recalled((_, memories)) => recalled(&cx.config, state, memories.len(), out),
            Event::Activated((_, Err(fault))) => {
                out.finish(Reply::Text(format!("no skill: {}", fault.message)));
            }
            Event::Activated((_, Ok(_))) => out.finish(Reply::Text("a skill that it was not given".into())),
            _ => out.finish(Reply::Silent),
        }
        Ok(())
    }
}

prx_sdk::plugin! { agent: Wild, manifest: "wild.toml" }

impl Config {
    /// What it does, and with how many bytes.
    fn deed(&self) -> (&str, usize) {
        match self.deed.strip_suffix("-by-far") {
            Some(deed) => (deed, FAR_TOO_MUCH),
            None => (&self.deed, TOO_MUCH),
        }
    }
}

fn write(lines: usize, line: &str, out: &mut Commands) {
    (0..lines).for_each(|_| out.log(LogLevel::Error, line));
    out.finish(Reply::Text("written".into()));
}

fn ask_person(text: &str, choices: usize, out: &mut Commands) {
    let choice = |n: usize| Choice { id: n.to_string(), label: format!("Choice {n}") };
    out.push(Command::AskPerson((1, (text.to_owned(), (0..choices).map(choice).collect()))));
}

/// What it does with a message.
fn begin(config: &Config, state: &mut State, message: &Message, out: &mut Commands) -> Result<(), Fault> {
    state.entries = vec![message.entry.id.clone()];
    let (deed, much) = config.deed();
    match deed {
        "nothing wrong" => out.finish(Reply::Text("Fine.".into())),
        "spins" => spin(),
        "swells" => swell(),
        "panics" => panic(),
        "faults" => return Err(Fault::internal("it will not")),
        "blames" => return Err(Fault::bad_input("it does not like what it hears")),
        "wants-nothing" => {}
        "state" => {
            state.ballast = "x".repeat(much);
            out.finish(Reply::Text("kept".into()));
        }
        "carry" => {
            out.carry(vec![0; much]);
            out.finish(Reply::Text("kept".into()));
        }
        "reply" => out.finish(Reply::Text("x".repeat(much))),
        "say" => out.say("x".repeat(much)),
        "log" => write(1, &"x".repeat(much), out),
        "logs-on" => write(999, "on and on", out),
        "asks-a-person" => ask_person(&"x".repeat(5 << 10), 2, out),
        "asks-with-many-choices" => ask_person("Which?", 9, out),
        "asks-without-choices" => ask_person("Which?", 0, out),
        "commands" => (0..10_000).for_each(|n| out.recall(n, "anything", 1)),
        "says-on" | "steps" | "recalls" => out.recall(1, "anything", 1_000_000),
        "calls-unasked" => out.call_tool(1, call("call_1", "hello")),
        "answers-unasked" => {
            out.tool_result("call_9", "It said hello.", false);
            out.finish(Reply::Text("answered".into()));
        }
        "forgets-others" => {
            out.forget_before(config.entry.clone());
            out.finish(Reply::Text("forgotten".into()));
        }
        "reads-others" => out.finish(Reply::Text(read(&config.entry))),
        "finishes-twice" => {
            out.finish(Reply::Text("first".into()));
            out.finish(Reply::Text("second".into()));
        }
        "fails-without-failure" => out.finish(Reply::Failed),
        "cancels-nothing" => {
            out.push(Command::Cancel(99));
            out.finish(Reply::Text("cancelled".into()));
        }
        "ends" => out.end_session(Reply::Text("Good-bye.".into())),
        "brings-in" => out.activate_skill(1, "summarize", "Anything."),
        deed => {
            let mut first = question(config, state, message);
            first.tools.extend(message.means.tools.iter().map(|tool| tool.name.clone()));
            odd(config, &mut first);
            out.ask_model(first);
            if deed == "asks-twice" {
                out.ask_model(AskModel::new(state.token).entries(state.entries.clone()));
            }
        }
    }
    Ok(())
}

fn read(entry: &str) -> String {
    format!("read {:?}", prx_sdk::transcript::read(entry, 0, 100))
}

fn question(config: &Config, state: &mut State, message: &Message) -> AskModel {
    state.token += 1;
    let ask = AskModel::new(state.token);
    match config.deed.as_str() {
        "asks-about-others" => ask.entries([config.entry.clone()]),
        "asks-about-nothing" => ask,
        "asks-about-all" => ask.between(config.entry.clone(), message.entry.id.clone()),
        "asks-at-length" => ask.entries((0..10_000).map(|_| message.entry.id.clone())),
        _ => ask.entries([message.entry.id.clone()]),
    }
}

/// What is odd about a question.
fn odd(config: &Config, ask: &mut AskModel) {
    let (deed, much) = config.deed();
    let tool = |name: &str, parameters: &str| ToolSpec {
        name: name.into(),
        description: "Its own".into(),
        parameters: parameters.into(),
    };
    match deed {
        "asks-anyone" => ask.model = Some(config.entry.clone()),
        "options-no-json" => ask.options = "max_tokens = 5".into(),
        "options-no-object" => ask.options = "[5]".into(),
        "options-much" => ask.options = format!("{{\"user\": {:?}}}", "x".repeat(much)),
        "options-model" => ask.options = r#"{"model": "another"}"#.into(),
        "options-stream" => ask.options = r#"{"stream": false}"#.into(),
        "options-messages" => ask.options = r#"{"messages": []}"#.into(),
        "tools-many" => ask.own_tools = (0..10_000).map(|n| tool(&format!("own_{n}"), "{}")).collect(),
        "tools-no-schema" => ask.own_tools = vec![tool("own", "a name and a place")],
        "tools-odd-schema" => ask.own_tools = vec![tool("own", r#"{"type": "a name"}"#)],
        "tools-odd-name" => ask.own_tools = vec![tool("own tool", "{}")],
        "tools-twice" => ask.own_tools = vec![tool("own", "{}"), tool("own", "{}")],
        "tools-of-others" => ask.own_tools = vec![tool("hello", r#"{"type": "object"}"#)],
        "system" => ask.system = "x".repeat(much),
        "text" => ask.messages.push(Part::Text((Role::User, "x".repeat(much)))),
        _ => {}
    }
}

/// What it does with a model's answer.
fn said(config: &Config, state: &mut State, answered: Answered, out: &mut Commands) {
    state.entries.push(answered.entry.id);
    let Some(asked) = answered.calls.into_iter().next() else {
        match config.deed.as_str() {
            "asks-on" | "asks-beyond-its-budget" => ask(state, out),
            _ => out.finish(Reply::Last),
        }
        return;
    };
    match config.deed.as_str() {
        "calls-another" => out.call_tool(7, call(&asked.id, "answer")),
        "calls-otherwise" => out.call_tool(7, call(&asked.id, &asked.name)),
        "calls-twice" => {
            out.call_tool(7, asked.clone());
            out.call_tool(8, asked);
        }
        "answers-twice" => {
            out.tool_result(asked.id.clone(), "It said hello.", false);
            out.tool_result(asked.id, "It said good-bye.", false);
            out.finish(Reply::Text("answered".into()));
        }
        "answers-beside" => {
            out.call_tool(7, asked.clone());
            out.tool_result(asked.id, "It said good-bye.", false);
        }
        _ => out.call_tool(7, asked),
    }
}

/// What it does with the result of a tool.
fn done_with(config: &Config, state: &mut State, done: &ToolDone, out: &mut Commands) {
    let result = done.entry.id.clone();
    state.token += 1;
    let mut ask = AskModel::new(state.token);
    let whole = |id: &String| Part::Entry(id.clone());
    let [question, answer] = [&state.entries[0], &state.entries[1]];
    ask.messages = match config.deed.as_str() {
        "splits" => {
            vec![whole(question), whole(answer), Part::Text((Role::User, "show".into())), whole(&result)]
        }
        "half-a-call" => vec![whole(question), whole(&result)],
        "doubles" => vec![whole(question), whole(answer), whole(answer)],
        "overlaps" => {
            vec![
                Part::Entries((question.clone(), result.clone())),
                Part::Entries((answer.clone(), result.clone())),
            ]
        }
        "backwards" => vec![Part::Entries((answer.clone(), question.clone()))],
        "begins-with-a-result" => vec![Part::Entries((result.clone(), result))],
        "turns-round" => vec![whole(question), whole(&result), whole(answer)],
        _ => return out.finish(Reply::Text(format!("{:?}: {}", done.outcome, done.text))),
    };
    out.ask_model(ask);
}

fn recalled(config: &Config, state: &mut State, count: usize, out: &mut Commands) {
    state.token += 1;
    match config.deed.as_str() {
        "says-on" => {
            out.say("And on.");
            out.recall(state.token, "anything", 1);
        }
        "steps" => out.recall(state.token, "anything", 1),
        _ => out.finish(Reply::Text(format!("{count} memories"))),
    }
}

fn ask(state: &mut State, out: &mut Commands) {
    state.token += 1;
    out.ask_model(AskModel::new(state.token).entries(state.entries[..1].iter().cloned()));
}

fn call(id: &str, name: &str) -> ToolCall {
    ToolCall { id: id.into(), name: name.into(), arguments: r#"{"name": "Eve"}"#.into() }
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

#[expect(clippy::panic, reason = "this is what it is for")]
fn panic() -> ! {
    panic!("broken on purpose")
}
