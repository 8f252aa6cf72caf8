//! Agents: who answers where, swapped and gone in the middle of conversations.

use std::fs;

use prx_tests::client::Answer;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::mcp::{process, tools};
use prx_tests::scripted;
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};

async fn open(gateway: &Gateway, more: Value) -> Answer {
    let mut body = json!({"user_id": "ann"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    gateway.client().post("/sessions", body).await
}

async fn say(gateway: &Gateway, session: &str, text: &str) -> Answer {
    gateway.client().post(&format!("/sessions/{session}/messages"), json!({"content": text})).await
}

async fn answer(gateway: &Gateway, session: &str, text: &str) -> String {
    say(gateway, session, text).await.expect(200)["content"].as_str().unwrap().to_owned()
}

fn home(script: &Value, config: &str) -> Home {
    let home = scripted::home(script, config);
    home.place_plugin("echo-agent", &Component::of("prx-echo-agent").bytes());
    home.place_plugin("router-agent", &Component::of("prx-router-agent").bytes());
    home
}

#[tokio::test]
async fn a_session_is_answered_by_the_agent_that_it_names() {
    let config = "[agents.parrot]\nplugin = \"echo-agent\"\n\
                  [agents.plain]\nsystem_prompt = \"You are plain.\"\ntools = []\n\
                  [agents.router]\nplugin = \"router-agent\"\nmodels = [\"local/local-1\"]\n";
    let home = home(&json!([{"answers": [[{"show": "request"}]]}]), config);
    let gateway = Gateway::start_in(home).await;
    let agents = gateway.client().get("/agents").await.expect(200);
    let names: Vec<&str> =
        agents["agents"].as_array().unwrap().iter().map(|agent| agent["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["default", "parrot", "plain", "router"]);
    let plugins = gateway.client().get("/plugins").await.expect(200).to_string();
    assert!(plugins.contains("agent:agent") && plugins.contains("agent:echo-agent"), "{plugins}");

    let of = async |agent: &str| {
        let opened = open(&gateway, json!({"agent": agent})).await.expect(201);
        assert_eq!(opened["agent"], agent);
        opened["id"].as_str().unwrap().to_owned()
    };
    let parrot = of("parrot").await;
    assert_eq!(answer(&gateway, &parrot, "hello").await, "1: hello");
    let plain = of("plain").await;
    let shown = answer(&gateway, &plain, "hello").await;
    assert!(shown.contains("You are plain."), "{shown}");
    let router = of("router").await;
    assert!(answer(&gateway, &router, "A proof, please").await.contains("A proof, please"));
    let unknown = open(&gateway, json!({"agent": "nobody"})).await.error(400, "bad_request");
    assert!(unknown.contains("default, parrot, plain, router"), "{unknown}");

    let gateway = gateway.restart().await;
    assert_eq!(answer(&gateway, &parrot, "again").await, "2: again", "its state is kept");
    gateway.stop().await;
}

#[tokio::test]
async fn what_an_agent_may_not_do_fails_its_turn_and_the_next_one_goes_on() {
    let config = "[agents.wild]\nplugin = \"hostile\"\n";
    let home = home(&json!([{"answers": [[{"text": "Fine."}]]}]), config);
    let gateway = Gateway::start_in(home).await;
    let session =
        open(&gateway, json!({"agent": "wild"})).await.expect(201)["id"].as_str().unwrap().to_owned();
    let gone = say(&gateway, &session, "hello").await.error(503, "unavailable");
    assert!(gone.contains("wild") && gone.contains("hostile"), "{gone}");
    let other = open(&gateway, json!({})).await.expect(201)["id"].as_str().unwrap().to_owned();
    assert_eq!(answer(&gateway, &other, "hello").await, "Fine.");
    gateway.stop().await;
}

#[tokio::test]
async fn an_agent_asks_a_person_by_buttons_in_words_and_over_the_api() {
    let telegram = FakeTelegram::start().await;
    let config = telegram.config(&["*"]) + "agent = \"asker\"\n[agents.asker]\nplugin = \"asking\"\n";
    let home = home(&json!([{"answers": [[{"text": "Fine."}]]}]), &config);
    home.place_plugin("asking", &Component::of("asking").bytes());
    let gateway = Gateway::start_in(home).await;

    for (said, reply) in [(None, "It is g."), (Some("3"), "It is b."), (Some("dark BLUE"), "It is b.")] {
        let before = telegram.sent().len();
        telegram.write(1, "hi");
        let asked = telegram.until("the question", |t| t.sent().into_iter().nth(before)).await;
        assert!(asked.text.contains("Which colour?"), "{asked:?}");
        match said {
            None => drop(telegram.press(1, &asked, "Green")),
            Some(said) => drop(telegram.write(1, said)),
        }
        let done =
            |t: &FakeTelegram| t.sent()[before + 1..].iter().any(|sent| sent.text == reply).then_some(());
        telegram.until("the reply", done).await;
        let said = telegram.sent()[before + 1..].iter().filter(|sent| sent.text == "Noted.").count();
        assert_eq!(said, 1, "what is said before the end");
    }

    let session =
        open(&gateway, json!({"agent": "asker"})).await.expect(201)["id"].as_str().unwrap().to_owned();
    drop(gateway.client().stream(&format!("/sessions/{session}/messages"), json!({"content": "hi"})).await);
    let asked = question(&gateway, &session).await;
    assert_eq!(asked["question"]["text"], "Which **colour**?");
    assert_eq!(asked["question"]["choices"][2], json!({"id": "b", "label": "Dark blue"}));
    let gateway = Gateway::start_in(gateway.kill()).await;
    assert_eq!(asked, question(&gateway, &session).await, "the same question, once");
    let path = format!("/sessions/{session}/approvals/{}", asked["id"].as_str().unwrap());
    for wrong in [json!({"decision": "allow"}), json!({"choice": "x"}), json!({})] {
        let told = gateway.client().post(&path, wrong).await.error(400, "bad_request");
        assert!(told.contains("one of r, g, b"), "{told}");
    }
    let chosen = gateway.client().post(&path, json!({"choice": "r"})).await.expect(200);
    assert_eq!((&chosen["decision"], &chosen["choice"]), (&json!("chosen"), &json!("r")));
    until("the reply", async || {
        let messages = gateway.messages(&session).await;
        messages.last().is_some_and(|(_, content)| content == "It is r.").then_some(())
    })
    .await;
    gateway.stop().await;
}

async fn question(gateway: &Gateway, session: &str) -> Value {
    let path = format!("/sessions/{session}/approvals");
    until("a question", async || {
        let list = gateway.client().get(&path).await.expect(200);
        list["approvals"].as_array().unwrap().first().cloned()
    })
    .await
}

#[tokio::test]
async fn what_one_agent_left_at_work_the_next_one_is_told_of() {
    let call = json!({"call": {"name": "near__wait", "arguments": {}}});
    let script = json!([{"answers": [[call], [{"show": "request"}]]}]);
    let home = home(&script, "[agents.default]\nplugin = \"agent\"\n");
    let listed = json!({"tools/list": [tools(&["wait"])], "tools/call": [{"silent": true}]});
    home.append(&process(&home, env!("CARGO_BIN_EXE_prx-test-mcp"), "near", &listed, ""));
    let gateway = Gateway::start_in(home).await;
    gateway.mcp_connected("near").await;
    let session = open(&gateway, json!({})).await.expect(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/sessions/{session}/messages");
    let mut events = gateway.client().stream(&path, json!({"content": "go"})).await;
    while events.next().await.unwrap().0 != "tool_call" {}
    let home = gateway.kill();
    let file = home.path().join("prx.toml");
    let config =
        fs::read_to_string(&file).unwrap().replace("plugin = \"agent\"", "plugin = \"router-agent\"");
    fs::write(&file, config).unwrap();
    let gateway = Gateway::start_in(home).await;
    let told = until("the reply", async || {
        let messages = gateway.messages(&session).await;
        messages.last().filter(|(role, _)| role == "assistant").map(|(_, content)| content.clone())
    })
    .await;
    assert!(told.contains("given up while it was at work"), "{told}");
    gateway.stop().await;
}
