//! A stranger's agent: whatever it does costs the turn that it does it in, and nothing else.

use std::collections::BTreeSet;

use prx_tests::client::Answer;
use prx_tests::component::Component;
use prx_tests::gateway::Gateway;
use prx_tests::scripted;
use serde_json::{Value, json};

/// What comes of a deed.
enum Then {
    /// The turn fails with this status, and with this in its error.
    Fails(u16, &'static str),
    /// It fails with that status and text, which is not for its breaking a rule.
    FailsWith(u16, &'static str),
    /// It is an answer that begins so: what was asked for was not had, or does no harm.
    Says(&'static str),
}
use Then::{Fails, FailsWith, Says};

/// Why something is too large to be looked at.
const AT_ONCE: &str = "hands over more than 4194304 bytes at once";
/// Why a question is too large.
const OF_ITS_OWN: &str = "bytes of its own in a question to a model; the most is 1048576";

/// What the agent does, what the person says to it, and what comes of that.
const DEEDS: &[(&str, &str, Then)] = &[
    // It breaks, or does not come to an end.
    ("spins", "hi", Fails(504, "computing for 1s")),
    ("swells", "hi", Fails(502, "memory")),
    ("panics", "hi", Fails(502, "unreachable")),
    ("faults", "hi", Fails(502, "it will not")),
    ("blames", "hi", Fails(502, "it does not like what it hears")),
    ("wants-nothing", "hi", Fails(502, "asks for nothing")),
    ("fails-without-failure", "hi", Fails(502, "a failure that there is not")),
    ("asks-on", "hi", FailsWith(429, "asked models 30 times, which is the most")),
    ("asks-beyond-its-budget", "hi", Fails(502, "more than 2000 steps")),
    ("steps", "hi", Fails(502, "more than 2000 steps")),
    ("says-on", "hi", Fails(502, "101 things that it says before its reply; the most is 100")),
    // It is too large.
    ("state", "hi", Fails(502, "bytes of state; the most is 262144")),
    ("state-by-far", "hi", Fails(502, AT_ONCE)),
    ("carry", "hi", Fails(502, "bytes for the next session; the most is 65536")),
    ("carry-by-far", "hi", Fails(502, AT_ONCE)),
    ("reply", "hi", Fails(502, "1048577 bytes of a reply; the most is 1048576")),
    ("reply-by-far", "hi", Fails(502, AT_ONCE)),
    ("say", "hi", Fails(502, "1048577 bytes of a text; the most is 1048576")),
    ("say-by-far", "hi", Fails(502, AT_ONCE)),
    ("log", "hi", Says("written")),
    ("log-by-far", "hi", Fails(502, AT_ONCE)),
    ("logs-on", "hi", Says("written")),
    ("asks-a-person", "hi", Fails(502, "5120 bytes of a question to a person; the most is 4096")),
    ("asks-with-many-choices", "hi", Fails(502, "9 choices; the most is 8")),
    ("asks-without-choices", "hi", Fails(502, "asks a person with no choices")),
    ("commands", "hi", Fails(502, "10000 commands; the most is 1000")),
    ("system", "hi", Fails(502, OF_ITS_OWN)),
    ("system-by-far", "hi", Fails(502, AT_ONCE)),
    ("text", "hi", Fails(502, OF_ITS_OWN)),
    ("text-by-far", "hi", Fails(502, AT_ONCE)),
    ("asks-at-length", "hi", Fails(502, "names an entry twice")),
    // It takes tools that it was not given, or that no model asks for.
    ("calls-unasked", "hi", Fails(502, "a call that no model asks for: hello call_1")),
    ("calls-another", "use the tool", Fails(502, "a call that no model asks for: answer call_1")),
    ("calls-otherwise", "use the tool", Fails(502, "a call that no model asks for: hello call_1")),
    ("calls-twice", "use the tool", Fails(502, "a call that no model asks for: hello call_1")),
    ("calls-the-denied", "use the denied", Says("ToolOutcome::Refused: There is no tool answer")),
    ("calls-the-unknown", "use the unknown", Says("ToolOutcome::Refused: There is no tool nothing")),
    ("calls-without-means", "use the tool", Says("ToolOutcome::Refused: There is no tool hello")),
    ("answers-unasked", "hi", Fails(502, "answers a call that there is not: call_9")),
    ("answers-twice", "use the tool", Fails(502, "answers a call that there is not: call_1")),
    ("answers-beside", "use the tool", Fails(502, "answers a call that there is not: call_1")),
    ("brings-in", "hi", Says("no skill: summarize is not among the skills of this agent")),
    // It names what is not there, or not as it was.
    ("asks-about-others", "hi", Fails(502, "an entry that there is not: msg_")),
    ("forgets-others", "hi", Fails(502, "an entry that there is not: msg_")),
    ("asks-about-all", "hi", Fails(502, "an entry that there is not: msg_")),
    ("reads-others", "hi", Says("read None")),
    ("asks-about-nothing", "hi", Fails(502, "asks a model about nothing")),
    ("splits", "use the tool", Says("{")),
    ("half-a-call", "use the tool", Fails(502, "not before it the entry that has asked for the call")),
    ("turns-round", "use the tool", Fails(502, "not before it the entry that has asked for the call")),
    ("overlaps", "use the tool", Fails(502, "names an entry twice")),
    ("backwards", "use the tool", Fails(502, "asks a model about nothing")),
    (
        "begins-with-a-result",
        "use the tool",
        Fails(502, "not before it the entry that has asked for the call"),
    ),
    ("doubles", "use the tool", Fails(502, "names an entry twice")),
    ("asks-twice", "hi", Fails(502, "asks twice under the token 1")),
    (
        "asks-anyone",
        "hi",
        FailsWith(502, "local/local-1 may not be chosen here: set agents.asks-anyone.models"),
    ),
    // It tells models what is no request.
    ("options-no-json", "hi", Fails(502, "options of a question are no JSON object")),
    ("options-no-object", "hi", Fails(502, "options of a question are no JSON object")),
    ("options-much", "hi", Fails(502, "bytes of options; the most is 65536")),
    ("options-model", "hi", Fails(502, "sets model in the options of a question")),
    ("options-stream", "hi", Fails(502, "sets stream in the options of a question")),
    ("options-messages", "hi", Fails(502, "sets messages in the options of a question")),
    ("tools-many", "hi", Fails(502, "10000 tools of its own; the most is 64")),
    ("tools-no-schema", "hi", Fails(502, "own tool own are no JSON Schema of an object")),
    ("tools-odd-schema", "hi", Fails(502, "own tool own are no JSON Schema of an object")),
    ("tools-odd-name", "hi", Fails(502, "whose name models don't take")),
    ("tools-twice", "hi", Fails(502, "two tools of its own with the name own")),
    ("tools-of-others", "hi", Fails(502, "its own tool has the name of another one: hello")),
    // It asks for what is cut down, or comes to nothing.
    ("recalls", "hi", Says("0 memories")),
];

const FINISHES: &[(&str, &str, Then)] = &[
    ("finishes-twice", "hi", Fails(502, "goes on behind the end of the turn")),
    ("cancels-nothing", "hi", Says("cancelled")),
    ("ends", "hi", Says("Good-bye.")),
];

fn deeds() -> impl Iterator<Item = &'static (&'static str, &'static str, Then)> {
    DEEDS.iter().chain(FINISHES)
}

async fn open(gateway: &Gateway, agent: &str) -> String {
    let opened = gateway.client().post("/sessions", json!({"user_id": "eve", "agent": agent})).await;
    opened.expect(201)["id"].as_str().unwrap().to_owned()
}

async fn say(gateway: &Gateway, session: &str, text: &str) -> Answer {
    gateway.client().post(&format!("/sessions/{session}/messages"), json!({"content": text})).await
}

/// A gateway with an agent for each deed, all of them one plugin, and with an entry of a session that is none of theirs.
async fn start() -> Gateway {
    let call = |name: &str| json!({"call": {"name": name, "id": "call_1", "arguments": {"name": "Ada"}}});
    let script = json!([
        {"when": "use the tool", "answers": [[call("hello")], [{"text": "It said hello."}]]},
        {"when": "use the denied", "answers": [[call("answer")], [{"text": "It did not."}]]},
        {"when": "use the unknown", "answers": [[call("nothing")], [{"text": "It did not."}]]},
        {"when": "show", "answers": [[{"show": "request"}]]},
        {"answers": [[{"text": "Fine."}]]},
    ]);
    let agents = deeds().map(|(deed, ..)| {
        let more = match *deed {
            "asks-anyone" => "entry = \"local/local-1\"\n",
            "calls-without-means" => "tools = []\n",
            "brings-in" => "skills = []\n",
            _ => "",
        };
        format!("[agents.{deed}]\nplugin = \"wild\"\ndeed = {deed:?}\n{more}")
    });
    let agents: String = agents.collect();
    let limits =
        "[agent]\nmax_turns = 1000000\n[tools.policy]\nanswer = \"deny\"\n[agents.tame]\nplugin = \"wild\"\n";
    let home = scripted::home(&script, &format!("{limits}{agents}"));
    home.place_plugin("wild", &Component::of("wild").bytes());
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    home.place_plugin("hostile", &Component::hostile("hostile", "").bytes());
    let gateway = Gateway::start_in(home).await;
    let other = open(&gateway, "default").await;
    say(&gateway, &other, "A secret of somebody else's").await.expect(200);
    let messages = gateway.client().get(&format!("/sessions/{other}/messages")).await.expect(200);
    let entry = messages["messages"][0]["id"].as_str().unwrap();
    for deed in ["asks-about-others", "asks-about-all", "forgets-others", "reads-others"] {
        gateway.client().patch("/config", json!({format!("agents.{deed}.entry"): entry})).await.expect(200);
    }
    gateway
}

/// What is wrong with the answer to a deed.
fn judge(deed: &str, then: &Then, answer: &Answer) -> Result<(), String> {
    let wrong = |what: &str| {
        Err(format!("{deed}: {what}: {}", &answer.to_string().chars().take(600).collect::<String>()))
    };
    let body = answer.json();
    let message = body["error"]["message"].as_str().unwrap_or_default();
    let content = body["content"].as_str().unwrap_or_default();
    match then {
        Fails(status, _) | FailsWith(status, _) if answer.status != *status => {
            wrong(&format!("not {status}"))
        }
        Fails(_, why) | FailsWith(_, why) if !message.contains(why) => {
            wrong(&format!("it does not say {why:?}"))
        }
        Fails(..) if !message.contains(deed) || !message.contains("wild") => {
            wrong("it does not say whose fault it is")
        }
        Says(text) if answer.status != 200 || !content.starts_with(text) => {
            wrong(&format!("it does not say {text:?}"))
        }
        Says("{") => misfit(content).map_or(Ok(()), |misfit| wrong(&misfit)),
        _ => Ok(()),
    }
}

/// What no vendor would take of a request: calls without results right behind them, and results without calls.
fn misfit(request: &str) -> Option<String> {
    let Ok(request) = serde_json::from_str::<Value>(request) else { return Some("no request".into()) };
    let mut open: BTreeSet<&str> = BTreeSet::new();
    for message in request["messages"].as_array().unwrap() {
        if message["role"] == "tool" {
            let id = message["id"].as_str().unwrap();
            if !open.remove(id) {
                return Some(format!("a result of no call: {message}"));
            }
            continue;
        }
        if !open.is_empty() {
            return Some(format!("calls without results: {open:?}"));
        }
        let calls = message["tool_calls"].as_array();
        open = calls.into_iter().flatten().filter_map(|call| call["id"].as_str()).collect();
    }
    None
}

/// The session goes on with another agent, which is shown what can be shown.
async fn goes_on(gateway: &Gateway, deed: &str, session: &str) -> Result<(), String> {
    let good = json!({format!("agents.{deed}"): {"plugin": "agent"}});
    let set = gateway.client().patch("/config", good).await;
    if set.status != 200 {
        return Err(format!("{deed}: another agent can't be set: {set}"));
    }
    let shown = say(gateway, session, "show").await;
    if deed == "ends" {
        let is_over = shown.status == 409;
        return if is_over { Ok(()) } else { Err(format!("{deed}: the session is not over: {shown}")) };
    }
    if shown.status != 200 {
        return Err(format!("{deed}: the session does not go on: {shown}"));
    }
    match misfit(shown.json()["content"].as_str().unwrap_or_default()) {
        None => Ok(()),
        Some(misfit) => Err(format!("{deed}: {misfit}: {shown}")),
    }
}

#[tokio::test]
async fn whatever_a_strangers_agent_does_costs_its_own_turn() {
    let gateway = start().await;
    let tame = open(&gateway, "tame").await;
    let mut wrong = Vec::new();
    for (deed, text, then) in deeds() {
        let session = open(&gateway, deed).await;
        let (answer, health, other) = tokio::join!(
            say(&gateway, &session, text),
            gateway.client().get("/status/health"),
            say(&gateway, &tame, "hi"),
        );
        health.expect(200);
        wrong.extend(judge(deed, then, &answer).err());
        for other in [other, say(&gateway, &tame, "and on").await] {
            if other.status != 200 || other.json()["content"] != "Fine." {
                wrong.push(format!("{deed}: another session of its plugin: {other}"));
            }
        }
        wrong.extend(goes_on(&gateway, deed, &session).await.err());
    }
    assert!(wrong.is_empty(), "{} deeds of {}:\n{}", wrong.len(), deeds().count(), wrong.join("\n"));
    assert_eq!(gateway.plugin("wild").await.unwrap()["status"], "loaded");
    gateway.stop().await;
}
