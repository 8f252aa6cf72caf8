//! Agents are swapped while conversations go on, with streaming, tool calls and approvals under way: every turn ends complete
//! and once, code that does not work is taken back, and states move along.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::join_all;
use hyper::Method;
use prx_tests::component::Component;
use prx_tests::gateway::Gateway;
use prx_tests::scale::scaled;
use prx_tests::scripted;
use prx_tests::wait::until;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

/// What a person may say, and what is said to it.
const TALK: [(&str, &str); 4] = [
    ("hi", "Fine."),
    ("tell me", "One word after the other. One word after the other. One word after the other. "),
    ("use the tool", "It said hello."),
    ("with leave", "It was allowed."),
];

fn script() -> Value {
    let call = |name: &str, arguments: Value| json!({"call": {"name": name, "arguments": arguments}});
    let words = json!({"repeat": {"text": "One word after the other. ", "times": 3, "every_ms": 15}});
    json!([
        {"when": "tell me", "answers": [[words]]},
        {"when": "use the tool", "answers": [[call("hello", json!({"name": "Ada"}))], [{"text": "It said hello."}]]},
        {"when": "with leave", "answers": [[call("answer", json!({}))], [{"text": "It was allowed."}]]},
        {"answers": [[{"text": "Fine."}]]},
    ])
}

/// The agent that counts, as of a version of its state, and how it goes on.
fn counting(state_version: u32, then: &str) -> Component {
    let version = if then == "counts" { format!("{state_version}.0.0") } else { "9.9.9".to_owned() };
    let manifest = format!(
        "[plugin]\nname = \"counting\"\nversion = {version:?}\ndescription = \"Counts its turns\"\n[agent]\nstate_version = \
         {state_version}\n"
    );
    Component::of("counting").with_manifest(&manifest).replace("then:counts", &format!("then:{then}"))
}

async fn start() -> Gateway {
    let config = "[agent]\nmax_turns = 1000000\n[tools.policy]\nanswer = \"ask\"\n[agents.counts]\nplugin = \"counting\"\n\
                  tools = [\"hello\", \"answer\"]\n";
    let home = scripted::home(&script(), config);
    home.place_plugin("counting", &counting(1, "counts").bytes());
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    home.place_plugin("hostile", &Component::hostile("hostile", "").bytes());
    Gateway::start_in(home).await
}

async fn open(gateway: &Gateway, agent: &str) -> String {
    let opened = gateway.client().post("/sessions", json!({"user_id": "ann", "agent": agent})).await;
    opened.expect(201)["id"].as_str().unwrap().to_owned()
}

/// Allows whatever a session asks for, once.
async fn allow(gateway: &Gateway, session: &str) {
    let path = format!("/sessions/{session}/approvals");
    let question = until("a question", async || {
        let list = gateway.client().get(&path).await.expect(200);
        list["approvals"].as_array().unwrap().first().cloned()
    })
    .await;
    let path = format!("{path}/{}", question["id"].as_str().unwrap());
    gateway.client().post(&path, json!({"decision": "allow"})).await.expect(200);
}

/// One turn, streamed. What was shown in the end, and what the reply is.
async fn turn(gateway: &Gateway, session: &str, text: &str) -> (String, String) {
    let path = format!("/sessions/{session}/messages");
    let stream = gateway.client().stream(&path, json!({"content": text})).await;
    let allowed = async {
        if text == "with leave" {
            allow(gateway, session).await;
        }
    };
    let (events, ()) = tokio::join!(stream.rest(), allowed);
    let mut shown = String::new();
    for (name, data) in &events {
        match name.as_str() {
            "token" => shown.push_str(data["text"].as_str().unwrap()),
            "restart" => shown.clear(),
            _ => {}
        }
    }
    let (name, reply) = events.last().expect("an end");
    assert_eq!(name, "done", "{text}: {events:?}");
    (shown, reply["content"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned())
}

/// Someone who talks with an agent without pause, or at a pace, until it is over, and then looks at the transcript.
async fn talk(gateway: &Gateway, n: usize, over: &Cell<bool>, pace: Duration) {
    let counts = n % 2 == 1;
    let session = open(gateway, if counts { "counts" } else { "default" }).await;
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = Vec::new();
    while !over.get() || said.len() < TALK.len() {
        ticks.tick().await;
        let (text, wanted) = TALK[(said.len() + n) % TALK.len()];
        let (shown, reply) = turn(gateway, &session, text).await;
        assert_eq!(shown, reply, "what was shown is what was said");
        let number = said.len() + 1;
        if counts {
            let begins = format!("{wanted} [{number}; ");
            assert!(reply.starts_with(&begins), "turn {number} of {session}: {reply}, not {begins}");
        } else {
            assert_eq!(reply, wanted, "turn {number} of {session}");
        }
        said.push((text, reply));
    }
    complete(gateway, &session, &said).await;
}

/// The transcript has each turn whole, once, and nothing else.
async fn complete(gateway: &Gateway, session: &str, said: &[(&str, String)]) {
    let mut messages = gateway.messages(session).await.into_iter();
    let mut next = |wanted: &str, turn: usize| {
        let (role, content) =
            messages.next().unwrap_or_else(|| panic!("{session}: turn {turn} is not whole"));
        assert_eq!(role, wanted, "{session}, turn {turn}: {content}");
        content
    };
    for (turn, (text, reply)) in said.iter().enumerate() {
        assert_eq!(next("user", turn), *text);
        match *text {
            "use the tool" => {
                next("assistant", turn);
                assert_eq!(next("tool", turn), "Hello, Ada!");
            }
            "with leave" => {
                next("assistant", turn);
                assert_eq!(next("tool", turn), "generation-one");
            }
            _ => {}
        }
        assert_eq!(next("assistant", turn), *reply);
    }
    assert_eq!(messages.next(), None, "{session}: something was said twice");
    let session = gateway.client().get(&format!("/sessions/{session}")).await.expect(200);
    assert_eq!(session["turn_count"], said.len());
}

async fn put(gateway: &Gateway, component: &Component) {
    gateway
        .client()
        .upload(Method::PUT, "/plugins/counting", "application/wasm", component.bytes())
        .await
        .expect(200);
}

async fn version(gateway: &Gateway) -> String {
    gateway.plugin("counting").await.unwrap()["version"].as_str().unwrap().to_owned()
}

/// So many rounds of reloads, of which some bring code that does not work, and some a migration. The version of the state
/// that they end with.
async fn reload(gateway: &Gateway, rounds: usize) -> u32 {
    let mut state_version = 1;
    for round in 0..rounds {
        let reloaded = gateway.client().post("/plugins/agent/reload", json!({})).await.expect(200);
        assert_eq!(reloaded["status"], "loaded", "{round}: {reloaded}");
        match round % 4 {
            1 => {
                let then = ["breaks", "faults", "spoils"][round / 4 % 3];
                put(gateway, &counting(state_version, then)).await;
                let is_back = async || (version(gateway).await != "9.9.9").then_some(());
                until("the code before to serve again", is_back).await;
            }
            3 => {
                state_version += 1;
                put(gateway, &counting(state_version, "counts")).await;
            }
            _ => drop(gateway.client().post("/plugins/counting/reload", json!({})).await.expect(200)),
        }
    }
    state_version
}

#[tokio::test]
async fn agents_are_reloaded_under_load_and_every_turn_ends_complete_and_once() {
    let (rounds, talkers) = (scaled(12, 50), scaled(6, 20));
    // Twenty conversations a second, or as many as there can be of a few.
    let pace = Duration::from_millis(if talkers == 20 { 1000 } else { 1 });
    let gateway = start().await;
    let over = Cell::new(false);
    let talks = join_all((0..talkers).map(|n| talk(&gateway, n, &over, pace)));
    let reloads = async {
        let state_version = reload(&gateway, rounds).await;
        over.set(true);
        state_version
    };
    let (state_version, _) = tokio::join!(reloads, talks);
    assert_eq!(version(&gateway).await, format!("{state_version}.0.0"));
    let session = open(&gateway, "counts").await;
    assert_eq!(turn(&gateway, &session, "hi").await.1, "Fine. [1; ]");
    eprintln!("{rounds} rounds of reloads, {} migrations", state_version - 1);
    gateway.stop().await;
}

#[tokio::test]
async fn code_that_fails_in_the_middle_of_a_turn_is_taken_back_and_the_turn_goes_on() {
    let gateway = start().await;
    let session = open(&gateway, "counts").await;
    assert_eq!(turn(&gateway, &session, "hi").await.1, "Fine. [1; ]");
    for (n, then) in ["breaks", "faults", "spoils"].into_iter().enumerate() {
        put(&gateway, &counting(1, then)).await;
        assert_eq!(version(&gateway).await, "9.9.9");
        let reply = turn(&gateway, &session, "use the tool").await.1;
        assert_eq!(
            reply,
            format!("It said hello. [{}; ]", n + 2),
            "{then}: the turn goes on in the code before"
        );
        until("the code before to serve again", async || (version(&gateway).await == "1.0.0").then_some(()))
            .await;
    }
    let plugin = gateway.plugin("counting").await.unwrap();
    assert_eq!(plugin["status"], "loaded", "{plugin}");
    put(&gateway, &counting(2, "counts")).await;
    assert_eq!(
        turn(&gateway, &session, "use the tool").await.1,
        "It said hello. [5; 1]",
        "its state moves along"
    );
    let gateway = gateway.restart().await;
    assert_eq!(version(&gateway).await, "2.0.0", "the next start has the code that works");
    assert_eq!(turn(&gateway, &session, "hi").await.1, "Fine. [6; 1]");
    gateway.stop().await;
}
