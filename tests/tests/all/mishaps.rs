//! What goes badly in one turn, and what the turns after it are spared.
use std::time::Duration;

use prx_tests::client::{Answer, EventStream};
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::models::{Dialect, FakeModel};
use prx_tests::scripted;
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};
use tokio::time::sleep;

/// A home with a scripted model, the tool `hello`, and an MCP server `near`.
fn home(script: &Value, config: &str) -> Home {
    let server = env!("CARGO_BIN_EXE_prx-test-mcp");
    let home = scripted::home(script, &format!("[mcp_servers.near]\ncommand = {server:?}\n{config}"));
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    home
}

async fn start(script: Value, config: &str) -> Gateway {
    let gateway = Gateway::start_in(home(&script, config)).await;
    until("the server's tools", async || {
        let tools = gateway.client().get("/tools").await.expect(200);
        tools.to_string().contains("near.wait").then_some(())
    })
    .await;
    gateway
}

async fn say(gateway: &Gateway, session: &str, text: &str) -> Answer {
    gateway.client().post(&format!("/sessions/{session}/messages"), json!({"content": text})).await
}

async fn follow(gateway: &Gateway, session: &str, text: &str) -> EventStream {
    gateway.client().stream(&format!("/sessions/{session}/messages"), json!({"content": text})).await
}

/// What a model was shown that says it: the messages, and who says each.
fn shown(answer: &Value) -> (Vec<Value>, Vec<String>) {
    let request: Value = serde_json::from_str(answer["content"].as_str().unwrap()).unwrap();
    let messages = request["messages"].as_array().unwrap().clone();
    let role = |message: &Value| message["role"].as_str().unwrap().to_owned();
    let roles = messages.iter().map(role).collect();
    (messages, roles)
}

fn hello(name: &str) -> Value {
    json!({"call": {"name": "hello", "arguments": {"name": name}}})
}

/// The event that a stream ends with.
async fn last(events: EventStream) -> (String, Value) {
    events.rest().await.pop().unwrap()
}

#[tokio::test]
async fn a_session_that_is_ended_ends_its_turns_and_tells_everyone_who_waits() {
    let endless = json!([{"repeat": {"text": "on and ", "times": 100_000, "every_ms": 5}}]);
    let script = json!([{"when": "pay", "answers": [[hello("Ada")]]}, {"answers": [endless]}]);
    let gateway = start(script, "[tools]\npolicy = { hello = \"ask\" }\n").await;
    for text in ["go", "pay"] {
        let session = gateway.open_session("ada").await;
        let mut at_work = follow(&gateway, &session, text).await;
        at_work.next().await.unwrap();
        let path = format!("/sessions/{session}/messages");
        let behind = async { gateway.client().post(&path, json!({"content": "and then?"})).await };
        let end = async {
            until("the second message", async || (gateway.messages(&session).await.len() == 2).then_some(()))
                .await;
            gateway.client().delete(&format!("/sessions/{session}")).await.expect(204);
        };
        let (behind, ()) = tokio::join!(behind, end);
        assert!(behind.error(409, "conflict").contains("was terminated"), "{text}");
        let (name, told) = last(at_work).await;
        assert_eq!((name.as_str(), &told["error"]["code"]), ("error", &json!("conflict")), "{text}: {told}");
        until("the turn to be over", async || {
            gateway.output().says(&["the turn is over, with its session", &session]).then_some(())
        })
        .await;
        let questions = gateway.client().get(&format!("/sessions/{session}/approvals")).await.expect(200);
        assert_eq!(questions["approvals"], json!([]), "{text}");
    }
    assert!(!gateway.output().says(&["put aside"]), "nothing has failed");
}

#[tokio::test]
async fn what_a_tool_has_done_is_known_after_a_turn_that_failed() {
    let fail = json!({"message": "the account is empty", "code": "quota"});
    let script = json!([
        {"when": "send it", "answers": [[hello("Ada")], [{"text": "So I "}, {"fail": fail}]]},
        {"answers": [[{"show": "request"}]]},
    ]);
    let gateway = start(script, "").await;
    let session = gateway.open_session("ada").await;
    for _ in 0..2 {
        say(&gateway, &session, "send it").await.error(502, "bad_gateway");
    }
    let (messages, roles) = shown(&say(&gateway, &session, "and?").await.expect(200));
    let failed = ["user", "assistant", "tool", "assistant"];
    assert_eq!(roles, [&failed[..], &failed, &["user"]].concat(), "{messages:?}");
    assert!(messages[2].to_string().contains("Hello, Ada!"), "{messages:?}");
    assert!(messages[3].to_string().contains("there was no answer"), "{messages:?}");
}

#[tokio::test]
async fn a_file_that_the_model_does_not_take_is_left_out_from_then_on() {
    let telegram = FakeTelegram::start().await;
    let fail = json!({"message": "Could not process image", "code": "bad-input"});
    let script = json!([
        {"when": "look", "answers": [[{"fail": fail}]]},
        {"answers": [[{"show": "request"}]]},
    ]);
    let _gateway = start(script, &telegram.config(&["*"])).await;
    telegram.send_file(1, "photo", ("harbour", "no picture at all"), "look at this");
    let answer =
        async |count: usize| telegram.until("an answer", |t| t.sent_to(1).get(count - 1).cloned()).await;
    let sorry = answer(1).await;
    assert!(sorry.contains("Could not process image") && sorry.contains("/new"), "{sorry}");
    assert!(sorry.contains("left out"), "{sorry}");
    telegram.write(1, "never mind, hi");
    let (messages, roles) = shown(&json!({"content": answer(2).await}));
    assert_eq!(roles, ["user", "assistant", "user"], "{messages:?}");
    assert_eq!(messages[0].get("attachments").cloned().unwrap_or(json!([])), json!([]), "{messages:?}");
    assert!(messages[0].to_string().contains("look at this\\n[left out"), "{messages:?}");
}

#[tokio::test]
async fn one_that_is_silent_is_not_waited_for_twice_where_another_may_answer() {
    let model = FakeModel::start(Dialect::ALL[0]).await;
    let provider = model.dialect().provider;
    let config = model.config("timeout_secs = 1").replacen(
        "[provider]",
        "[provider]\nfallbacks = [\"local/local-1\"]",
        1,
    );
    let gateway = Gateway::start(&config).await;
    let session = gateway.open_session("ada").await;
    model.be_silent();
    let answer = say(&gateway, &session, "anyone?").await.expect(200);
    assert!(answer["content"].as_str().unwrap().contains("stand-in"), "{answer}");
    assert_eq!(model.asked().len(), 1);
    assert!(gateway.output().says_soon(&[provider, "timeout_secs", "no answer"]).await, "why is in the log");
}

#[tokio::test]
async fn an_answer_that_is_not_whole_says_so() {
    let script = json!([
        {"when": "long", "answers": [[{"text": "Once upon a "}, {"stop": "length"}]]},
        {"answers": [[{"stop": "refused"}]]},
    ]);
    let gateway = start(script, "").await;
    let session = gateway.open_session("ada").await;
    let told = follow(&gateway, &session, "something long").await.rest().await;
    let said: String = told.iter().filter_map(|(_, data)| data["text"].as_str()).collect();
    let reply = told.last().unwrap().1["content"].as_str().unwrap();
    assert_eq!(reply, said, "who follows it reads the same");
    assert!(reply.starts_with("Once upon a \n\n[") && reply.contains("cut off"), "{reply}");
    let refused = say(&gateway, &session, "something else").await.expect(200);
    assert_eq!(refused["content"], "[The model will not answer this.]");
}

#[tokio::test]
async fn a_long_turn_is_remembered_by_the_next() {
    let calls: Vec<Value> = (0..6).map(|n| json!([hello(&format!("n{n}"))])).collect();
    let all: Vec<Value> = calls.into_iter().chain([json!([{"text": "Found it."}])]).collect();
    let script = json!([{"when": "research", "answers": all}, {"answers": [[{"show": "request"}]]}]);
    let gateway = start(script, "[agent]\nhistory_messages = 4\n").await;
    let session = gateway.open_session("ada").await;
    say(&gateway, &session, "before").await.expect(200);
    say(&gateway, &session, "do some research").await.expect(200);
    let (messages, roles) = shown(&say(&gateway, &session, "summarise it").await.expect(200));
    assert_eq!((roles.len(), roles[0].as_str()), (17, "user"), "all that the model has room for: {roles:?}");
    assert!(messages[2].to_string().contains("do some research"), "{messages:?}");
    assert!(messages[4].to_string().contains("Hello, n0!"), "{messages:?}");
}

#[tokio::test]
async fn a_call_that_is_done_is_not_made_again_after_a_crash_beside_one_at_work() {
    let call = |name: &str| json!({"call": {"name": name}});
    let script = json!([{"answers": [[call("near__pid"), call("near__wait")], [{"text": "Done."}]]}]);
    let gateway = start(script, "[tools]\ntimeout_secs = 5\n").await;
    let session = gateway.open_session("ada").await;
    let mut events = follow(&gateway, &session, "go").await;
    let result = loop {
        let (name, data) = events.next().await.unwrap();
        if name == "tool_result" {
            break data["content"].clone();
        }
    };
    let gateway = Gateway::start_in(gateway.kill()).await;
    let told = until("the reply", async || {
        let messages = gateway.messages(&session).await;
        messages.last().is_some_and(|(_, content)| content == "Done.").then_some(messages)
    })
    .await;
    assert_eq!(told[2].1, result, "the process that did it is gone: {told:?}");
    assert!(
        told[3].1.contains("outcome of this call is unknown"),
        "the other one is not made again: {told:?}"
    );
}

#[tokio::test]
async fn a_person_may_take_longer_than_a_turn() {
    let script = json!([{"answers": [[hello("Ada")], [{"text": "So be it."}]]}]);
    let gateway =
        start(script, "[agent]\nturn_timeout_secs = 3\n[tools]\npolicy = { hello = \"ask\" }\n").await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/approvals");
    let decide = async {
        let question = until("a question", async || {
            let list = gateway.client().get(&path).await.expect(200);
            list["approvals"].as_array().unwrap().first().cloned()
        })
        .await;
        sleep(Duration::from_millis(3_500)).await;
        let path = format!("{path}/{}", question["id"].as_str().unwrap());
        gateway.client().post(&path, json!({"decision": "allow"})).await.expect(200);
    };
    let (reply, ()) = tokio::join!(say(&gateway, &session, "go"), decide);
    assert_eq!(reply.expect(200)["content"], "So be it.");
}

#[tokio::test]
async fn a_turn_that_takes_the_gateway_down_again_and_again_is_given_up_and_the_person_told() {
    let (telegram, model) = (FakeTelegram::start().await, FakeModel::start(Dialect::ALL[0]).await);
    (0..5).for_each(|_| model.be_silent());
    let mut gateway = Gateway::start(&model.config(&telegram.config(&["*"]))).await;
    telegram.write(1, "poison");
    telegram.write(1, "and then?");
    for attempt in 1..=5 {
        model.until_asked(attempt).await;
        gateway = Gateway::start_in(gateway.kill()).await;
    }
    let told = telegram.until("both answers", |t| Some(t.sent_to(1)).filter(|sent| sent.len() == 2)).await;
    assert!(told[0].contains("could not be answered") && told[0].contains("given up"), "{told:?}");
    assert_eq!(told[1], "You said: and then?");
    gateway.stop().await;
}
