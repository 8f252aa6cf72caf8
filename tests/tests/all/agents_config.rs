//! Agents that are not there as they are configured: named, and the others go on; mended without a restart.

use prx_tests::component::Component;
use prx_tests::gateway::Gateway;
use prx_tests::scripted;
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};

const WRONG: &str = r#"
[agents.typo]
plugin = "agnet"
[agents.tool]
plugin = "hello-tool"
[agents.keys]
colour = "red"
[agents.patterns]
tools = ["hello", "nothing.*", "later.*"]
skills = ["juggle"]
[agents.models]
provider = "local/large"
fallbacks = ["nobody/x"]
[mcp_servers.later]
command = "/nothing/there"
"#;

/// What the status says of agents.
async fn problems(gateway: &Gateway) -> Vec<String> {
    let status = gateway.client().get("/status").await.expect(200);
    let details = status["issue_details"].as_array().into_iter().flatten();
    let of_agents = details.filter(|issue| issue["kind"] == "agent");
    of_agents.map(|issue| issue["problem"].as_str().unwrap().to_owned()).collect()
}

async fn open(gateway: &Gateway, agent: &str) -> String {
    let opened = gateway.client().post("/sessions", json!({"agent": agent})).await.expect(201);
    opened["id"].as_str().unwrap().to_owned()
}

async fn patch(gateway: &Gateway, changes: Value) -> prx_tests::client::Answer {
    gateway.client().patch("/config", changes).await
}

#[tokio::test]
async fn what_is_wrong_with_an_agent_is_named_and_the_rest_goes_on() {
    let telegram = FakeTelegram::start().await;
    let channel = telegram.config(&["*"]) + "agent = \"gone\"\n";
    let home = scripted::home(&json!([{"answers": [[{"text": "Fine."}]]}]), &format!("{channel}{WRONG}"));
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    let checked = home.run(&["config", "check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let hard = [
        "agents.typo.plugin: there is no plugin agnet",
        "agents.tool.plugin: hello-tool is no agent",
        "agents.keys.colour",
        "agents.models.fallbacks: \"nobody/x\"",
        "channels_config.telegram.agent: there is no agent gone",
    ];
    let gateway = Gateway::start_in(home).await;
    let soft = [
        "agents.patterns.tools: \"nothing.*\" fits no tool",
        "agents.patterns.skills: \"juggle\" fits no skill",
        "agents.models.provider: local has no model large; it has: local-1",
    ];
    let found = problems(&gateway).await;
    for wanted in hard.iter().chain(&soft) {
        assert!(found.iter().any(|problem| problem.contains(wanted)), "{wanted}: {found:#?}");
    }
    assert_eq!(found.len(), hard.len() + soft.len(), "a server that is not there is no mistake: {found:#?}");
    for wanted in hard {
        let told = checked.stderr.contains(wanted.split(':').next().unwrap());
        assert!(told, "{wanted}: {checked:?}");
    }
    let doctor = gateway.home().run(&["doctor"]).await;
    for wanted in hard.iter().chain(&soft) {
        assert!(doctor.code == Some(1) && doctor.stdout.contains(wanted), "{wanted}: {doctor:?}");
    }
    assert!(gateway.output().says_soon(&["agents.patterns.tools", "nothing.*"]).await);
    let agents = gateway.client().get("/agents").await.expect(200);
    let of =
        |name: &str| agents["agents"].as_array().unwrap().iter().find(|agent| agent["name"] == name).cloned();
    assert!(of("typo").unwrap()["problem"].as_str().unwrap().contains("agnet"));
    assert_eq!(
        (&of("patterns").unwrap()["problem"], &of("default").unwrap()["problem"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(of("patterns").unwrap()["problems"].as_array().unwrap().len(), 2);

    refuses_what_is_new_and_wrong(&gateway).await;
    goes_on_once_it_is_mended(&gateway).await;
    tells_people_one_sentence(&gateway, &telegram).await;
}

/// What is new and wrong is refused, and what merely fits nothing is not.
async fn refuses_what_is_new_and_wrong(gateway: &Gateway) {
    for (changes, wanted) in [
        (json!({"agents.new.plugin": "agnet"}), "agents.new.plugin"),
        (json!({"agents.new.colour": "red"}), "agents.new.colour"),
        (json!({"agents.new.tools": "hello"}), "agents.new.tools"),
        (json!({"agents.new.provider": "nobody/x"}), "agents.new.provider"),
    ] {
        let refused = patch(gateway, changes).await.error(400, "bad_request");
        assert!(refused.contains(wanted), "{refused}");
    }
    patch(gateway, json!({"agents.patterns.tools": ["hello"], "agents.patterns.skills": []}))
        .await
        .expect(200);
    assert!(problems(gateway).await.iter().all(|problem| !problem.contains("agents.patterns")));
}

/// A session of an agent that is down says so; mended, it goes on.
async fn goes_on_once_it_is_mended(gateway: &Gateway) {
    let session = open(gateway, "typo").await;
    let say = async || {
        let path = format!("/sessions/{session}/messages");
        gateway.client().post(&path, json!({"content": "Hello"})).await
    };
    let down = say().await;
    assert!(down.error(503, "unavailable").contains("agnet"), "{down}");
    assert_eq!(down.json()["error"]["details"]["agent"], "typo");
    patch(gateway, json!({"agents.typo.plugin": "agent"})).await.expect(200);
    assert_eq!(say().await.expect(200)["content"], "Fine.");
    patch(gateway, json!({"agents.typo": null})).await.expect(200);
    assert!(
        say().await.error(409, "conflict").contains("There is no agent typo any more; there are: default")
    );
    patch(gateway, json!({"agents.typo.plugin": "agent"})).await.expect(200);
    assert_eq!(say().await.expect(200)["content"], "Fine.");
}

/// People are told in one sentence, without names.
async fn tells_people_one_sentence(gateway: &Gateway, telegram: &FakeTelegram) {
    let heard = async |count: usize| {
        let all = telegram.until("an answer", |telegram| {
            let sent = telegram.sent_to(7);
            (sent.len() >= count).then_some(sent)
        });
        all.await.pop().unwrap()
    };
    telegram.write(7, "Hello");
    let told = heard(1).await;
    assert!(told.contains("not set up right") && !told.contains("gone"), "{told}");
    patch(gateway, json!({"agents.gone.plugin": "agent"})).await.expect(200);
    until("it to be mended", async || {
        problems(gateway).await.iter().all(|told| !told.contains("gone")).then_some(())
    })
    .await;
    telegram.write(7, "Hello again");
    assert_eq!(heard(2).await, "Fine.");
}
