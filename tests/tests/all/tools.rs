//! Tools in turns: what a model may call, with what, how often, and who is asked first.
use prx_tests::client::{Answer, EventStream};
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::scripted;
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_prx-test-mcp");

/// A home with a scripted model, an MCP server `near`, the tool `hello`, and those that misbehave.
fn home(script: &Value, config: &str) -> Home {
    let home = scripted::home(script, &format!("[mcp_servers.near]\ncommand = {SERVER:?}\n{config}"));
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    home.place_plugin("hostile", &Component::hostile("hostile", "").bytes());
    home
}

async fn start(script: Value, config: &str) -> Gateway {
    let gateway = Gateway::start_in(home(&script, config)).await;
    listed(&gateway, "near.echo").await;
    gateway
}

/// What `GET /tools` says of a tool, once it is there.
async fn listed(gateway: &Gateway, name: &str) -> Value {
    until("the tool to be listed", async || {
        let list = gateway.client().get("/tools").await.expect(200);
        list["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == name).cloned()
    })
    .await
}

async fn follow(gateway: &Gateway, session: &str, text: &str) -> EventStream {
    gateway.client().stream(&format!("/sessions/{session}/messages"), json!({"content": text})).await
}

async fn say(gateway: &Gateway, session: &str, text: &str) -> Answer {
    gateway.client().post(&format!("/sessions/{session}/messages"), json!({"content": text})).await
}

fn all<'a>(events: &'a [(String, Value)], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|(event, _)| event == name).map(|(_, data)| data).collect()
}

/// The results that a turn was given, in the order in which a model is shown them.
async fn results(gateway: &Gateway, session: &str) -> Vec<String> {
    let messages = gateway.messages(session).await;
    messages.into_iter().filter(|(role, _)| role == "tool").map(|(_, content)| content).collect()
}

fn call(name: &str, arguments: Value) -> Value {
    json!({"call": {"name": name, "arguments": arguments}})
}

fn hello(name: &str) -> Value {
    call("hello", json!({"name": name}))
}

/// The one question that a session waits for, as `GET …/approvals` has it.
async fn question(gateway: &Gateway, session: &str) -> Value {
    until("a question", async || {
        let list = gateway.client().get(&format!("/sessions/{session}/approvals")).await.expect(200);
        list["approvals"].as_array().unwrap().first().cloned()
    })
    .await
}

async fn decide(gateway: &Gateway, session: &str, question: &Value, decision: &str) -> Answer {
    let path = format!("/sessions/{session}/approvals/{}", question["id"].as_str().unwrap());
    gateway.client().post(&path, json!({"decision": decision})).await
}

#[tokio::test]
async fn the_calls_of_one_answer_run_side_by_side_and_a_slow_one_times_out() {
    let script = json!([{"answers": [
        [{"text": "Let me see. "}, call("sleep", json!({})), hello("Ada"), call("near__echo", json!({"text": "hi"}))],
        [{"show": "request"}],
    ]}]);
    let gateway = start(script, "[tools]\ntimeout_secs = 1\n").await;
    let session = gateway.open_session("ada").await;
    let mut bus = gateway.client().follow("/events", None).await;
    let told = follow(&gateway, &session, "go").await.rest().await;
    let called: Vec<&Value> = all(&told, "tool_call").into_iter().map(|call| &call["name"]).collect();
    assert_eq!(called, ["sleep", "hello", "near.echo"], "with the tools' own names: {told:?}");
    let ended: Vec<&Value> = all(&told, "tool_result").into_iter().map(|result| &result["id"]).collect();
    assert_eq!(ended[2], &all(&told, "tool_call")[0]["id"], "nobody waits for the slow one: {told:?}");
    let results = results(&gateway, &session).await;
    assert!(results[0].contains("did not answer within 1s (tools.timeout_secs)"), "{results:?}");
    assert_eq!(results[1..], ["Hello, Ada!", "you said\nhi"]);

    let shown: Value = serde_json::from_str(all(&told, "done")[0]["content"].as_str().unwrap()).unwrap();
    let tools = shown["tools"].to_string();
    assert!(tools.contains("near__echo") && !tools.contains("near.echo"), "{tools}");
    let messages = shown["messages"].to_string();
    assert!(messages.contains("near__echo") && messages.contains("you said"), "{messages}");

    let mut executed = Vec::new();
    while executed.len() < 3 {
        let (_, event) = bus.next().await.unwrap();
        if event["type"] == "tool.executed" {
            assert!(
                event["data"]["duration_ms"].is_u64() && event["data"]["session_id"] == session,
                "{event}"
            );
            executed.push(event["data"]["tool"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(executed.last().unwrap(), "sleep", "{executed:?}");
}

#[tokio::test]
async fn arguments_that_dont_fit_go_back_to_the_model_and_to_a_caller() {
    let script = json!([{"answers": [
        [call("hello", json!({"name": 5})), call("hello", json!("{not json")), call("nothing", json!({}))],
        [{"text": "I see."}],
    ]}]);
    let gateway = start(script, "").await;
    let session = gateway.open_session("ada").await;
    say(&gateway, &session, "go").await.expect(200);
    let results = results(&gateway, &session).await;
    assert!(results[0].contains("at /name: 5 is not of type \"string\""), "{results:?}");
    assert!(results[1].contains("JSON object"), "{results:?}");
    assert!(results[2].contains("no tool nothing"), "{results:?}");
    let refused = gateway.call_tool("hello", json!({})).await.error(400, "bad_request");
    assert!(refused.contains("hello") && refused.contains("\"name\" is a required property"), "{refused}");
}

#[tokio::test]
async fn a_turn_makes_so_many_calls_and_no_more() {
    let script = json!([
        {"when": "once", "answers": [[hello("Ada"), hello("Bob"), hello("Cem")], [{"text": "Two of three."}]]},
        {"answers": [[hello("Ada")]]},
    ]);
    let gateway = start(script, "[agent]\nmax_tool_calls_per_turn = 2\n").await;
    let session = gateway.open_session("ada").await;
    assert_eq!(say(&gateway, &session, "once").await.expect(200)["content"], "Two of three.");
    let told = results(&gateway, &session).await;
    assert_eq!(told[..2], ["Hello, Ada!", "Hello, Bob!"]);
    assert!(told[2].contains("agent.max_tool_calls_per_turn"), "{told:?}");
    let other = gateway.open_session("bob").await;
    let reply = say(&gateway, &other, "for ever").await.expect(200);
    assert!(reply["content"].as_str().unwrap().contains("2 tool calls"), "{reply}");
    let told = results(&gateway, &other).await;
    let made = told.iter().filter(|result| result.starts_with("Hello")).count();
    assert_eq!((made, told.len()), (2, 4), "one was refused, and with the next one the turn ended: {told:?}");
}

#[tokio::test]
async fn a_long_result_is_cut_and_an_impossible_one_costs_the_call() {
    let script = json!([{"answers": [
        [call("shout", json!({"bytes": 100_000})), call("shout", json!({"bytes": 64 << 20})), call("near__flood", json!({}))],
        [{"text": "Loud."}],
    ]}]);
    let gateway = start(script, "[tools]\nmax_result_bytes = 1000\ntimeout_secs = 5\n").await;
    let session = gateway.open_session("ada").await;
    assert_eq!(say(&gateway, &session, "go").await.expect(200)["content"], "Loud.");
    let told = results(&gateway, &session).await;
    assert_eq!(told[0], format!("{}\n[cut off: the first 1000 of 100000 bytes]", "x".repeat(1000)));
    assert!(told[1].contains("memory"), "{}", told[1]);
    assert!(told[2].contains("not read") && told[2].contains("ask for less"), "{}", told[2]);
    assert!(gateway.output().says_soon(&["WARN", "mcp", "longer than 16 MiB"]).await);
    let again = gateway.call_tool("near.echo", json!({"text": "hi"})).await.expect(200);
    assert_eq!(again["content"], "you said\nhi", "the server is as good as before");
}

#[tokio::test]
async fn what_the_operator_denies_is_neither_shown_nor_called() {
    let script = json!([{"answers": [[hello("Ada"), call("near__echo", json!({}))], [{"show": "request"}]]}]);
    let policy = "[tools.policy]\nhello = \"deny\"\n\"near.*\" = \"deny\"\n\"near.pid\" = \"allow\"\n";
    let gateway = start(script, policy).await;
    assert_eq!(listed(&gateway, "near.echo").await["policy"], "deny");
    let session = gateway.open_session("ada").await;
    let reply = say(&gateway, &session, "go").await.expect(200);
    let told = results(&gateway, &session).await;
    assert!(told[0].contains("no tool hello") && told[1].contains("no tool near__echo"), "{told:?}");
    let shown: Value = serde_json::from_str(reply["content"].as_str().unwrap()).unwrap();
    let tools = shown["tools"].to_string();
    assert!(
        tools.contains("near__pid") && !tools.contains("hello") && !tools.contains("near__env"),
        "{tools}"
    );
    let refused = gateway.call_tool("hello", json!({"name": "Ada"})).await.error(403, "forbidden");
    assert!(refused.contains("tools.policy"), "{refused}");
    let change = json!({"tools.policy": {"near.*": "ask"}});
    gateway.client().patch("/config", change).await.expect(200);
    assert_eq!(
        listed(&gateway, "near.pid").await["policy"],
        "ask",
        "the table is replaced, and names have dots"
    );
    let wrong = gateway.client().patch("/config", json!({"tools.policy": {"hello": "maybe"}})).await;
    assert!(wrong.error(400, "bad_request").contains("allow, ask, deny"));
}

#[tokio::test]
async fn a_person_is_asked_over_the_api_and_decides() {
    let script = json!([{"answers": [[hello("Ada"), call("near__echo", json!({"text": "hi"}))], [{"text": "So be it."}]]}]);
    let gateway = start(script, "[tools]\npolicy = { hello = \"ask\" }\n").await;
    let session = gateway.open_session("ada").await;
    for (decision, result) in
        [("allow", "Hello, Ada!"), ("deny", "hello was not called: the user does not allow it")]
    {
        let mut events = follow(&gateway, &session, "go").await;
        let mut told = Vec::new();
        while told.last().is_none_or(|(name, _): &(String, Value)| name != "approval") {
            told.push(events.next().await.unwrap());
        }
        let asked = told.last().unwrap().1.clone();
        assert_eq!((&asked["tool"], &asked["arguments"]), (&json!("hello"), &json!({"name": "Ada"})));
        assert_eq!(question(&gateway, &session).await, asked);
        decide(&gateway, &session, &asked, "perhaps").await.error(400, "bad_request");
        let decided = decide(&gateway, &session, &asked, decision).await.expect(200);
        assert_eq!(decided, json!({"id": asked["id"], "decision": decision}));
        told.extend(events.rest().await);
        assert_eq!(all(&told, "done")[0]["content"], "So be it.");
        let results = results(&gateway, &session).await;
        assert_eq!(results[results.len() - 2..], [result, "you said\nhi"]);
        decide(&gateway, &session, &asked, "allow").await.error(404, "not_found");
    }
}

#[tokio::test]
async fn a_question_that_nobody_answers_is_a_no() {
    let script = json!([{"answers": [[hello("Ada")], [{"text": "Without it, then."}]]}]);
    let gateway = start(script, "[tools]\ndefault_policy = \"ask\"\nask_timeout_secs = 1\n").await;
    let session = gateway.open_session("ada").await;
    assert_eq!(say(&gateway, &session, "go").await.expect(200)["content"], "Without it, then.");
    assert_eq!(
        results(&gateway, &session).await,
        ["hello was not called: the user did not allow it within 1s"]
    );
}

#[tokio::test]
async fn a_question_survives_a_stop_that_does_not_wait_for_it() {
    let script = json!([{"answers": [
        [hello("Ada"), call("near__wait", json!({}))],
        [{"text": "Done."}],
    ]}]);
    let config = "[tools]\npolicy = { hello = \"ask\" }\ntimeout_secs = 3\n";
    let gateway = start(script, config).await;
    let session = gateway.open_session("ada").await;
    drop(follow(&gateway, &session, "go").await);
    let asked = question(&gateway, &session).await;
    let output = gateway.output().clone();
    let mut gateway = gateway.restart().await;
    assert!(!output.says(&["turns are cut off"]), "nothing was at work but the question");
    // However often: stopping is no failure of the turn.
    for _ in 0..5 {
        question(&gateway, &session).await;
        gateway = gateway.restart().await;
    }
    let again = question(&gateway, &session).await;
    assert_eq!(asked, again, "the same question, once");
    decide(&gateway, &session, &asked, "allow").await.expect(200);
    until("the reply", async || {
        let messages = gateway.messages(&session).await;
        messages.last().is_some_and(|(_, content)| content == "Done.").then_some(())
    })
    .await;
    let told = results(&gateway, &session).await;
    assert_eq!(told[0], "Hello, Ada!");
    assert!(told[1].contains("did not answer within"), "the other call was waited for, once: {told:?}");
}

#[tokio::test]
async fn a_question_survives_a_crash() {
    let script = json!([{"answers": [[hello("Ada"), call("near__pid", json!({}))], [{"text": "Done."}]]}]);
    let mut gateway = start(script, "[tools]\npolicy = { hello = \"ask\" }\n").await;
    let session = gateway.open_session("ada").await;
    drop(follow(&gateway, &session, "go").await);
    let asked = question(&gateway, &session).await;
    gateway = Gateway::start_in(gateway.kill()).await;
    let again = question(&gateway, &session).await;
    assert_eq!(asked, again, "the same question, once");
    decide(&gateway, &session, &asked, "allow").await.expect(200);
    let told = until("the reply", async || {
        let messages = gateway.messages(&session).await;
        messages.last().is_some_and(|(_, content)| content == "Done.").then_some(messages)
    })
    .await;
    let roles: Vec<&str> = told.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant"]);
    assert_eq!(told[2].1, "Hello, Ada!");
}

#[tokio::test]
async fn a_person_is_asked_on_the_channel_and_presses_a_button() {
    let telegram = FakeTelegram::start().await;
    let long = call("hello", json!({"aaa": format!("`{}\u{202e}", "x".repeat(5_000)), "name": "Ada"}));
    let script = json!([{"answers": [[long], [{"text": "So be it."}]]}]);
    let config = telegram.config(&["*"]) + "[tools]\npolicy = { hello = \"ask\" }\n";
    let gateway = start(script, &config).await;
    for (label, result) in
        [("Allow once", "Hello, Ada!"), ("Deny", "hello was not called: the user does not allow it")]
    {
        let before = telegram.sent().len();
        telegram.write(1, "go");
        let question =
            |t: &FakeTelegram| t.sent()[before..].iter().find(|s| s.text.contains("hello")).cloned();
        let asked = telegram.until("the question", question).await;
        assert!(asked.text.contains("\"name\": \"Ada\""), "every key is shown: {asked:?}");
        assert!(asked.text.contains("bytes are not shown") && asked.text.contains("\\u202e"), "{asked:?}");
        telegram.press(1, &asked, label);
        let done =
            |t: &FakeTelegram| t.sent()[before..].iter().any(|sent| sent.text == "So be it.").then_some(());
        telegram.until("the reply", done).await;
        let session = gateway.sessions("telegram").await[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(results(&gateway, &session).await.last().unwrap(), result);
    }
    telegram.until("the presses to be acknowledged", |t| (t.waiting_presses() == 0).then_some(())).await;
    assert_eq!(gateway.heard("telegram").await, ["go", "go"], "a press is no message");
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn a_person_is_asked_on_the_channel_and_answers_in_words() {
    let telegram = FakeTelegram::start().await;
    let script = json!([{"when": "go", "answers": [[hello("Ada")], [{"text": "So be it."}]]}, {"answers": [[{"text": "Hm."}]]}]);
    let config = telegram.config(&["*"]) + "[tools]\npolicy = { hello = \"ask\" }\n";
    let gateway = start(script, &config).await;
    for (word, result) in
        [("1", "Hello, Ada!"), (" Deny ", "hello was not called: the user does not allow it")]
    {
        let before = telegram.sent_to(1).len();
        telegram.write(1, "go");
        let session = until("the session", async || {
            Some(gateway.sessions("telegram").await.first()?["id"].as_str()?.to_owned())
        })
        .await;
        question(&gateway, &session).await;
        telegram.write(1, word);
        let done =
            |t: &FakeTelegram| t.sent_to(1)[before..].iter().any(|sent| sent == "So be it.").then_some(());
        telegram.until("the reply", done).await;
        assert_eq!(results(&gateway, &session).await.last().unwrap(), result);
    }
    telegram.write(1, "1");
    telegram.until("an answer to it", |t| t.sent_to(1).iter().any(|sent| sent == "Hm.").then_some(())).await;
    assert_eq!(
        gateway.heard("telegram").await,
        ["go", "go", "1"],
        "answers are no messages, until nothing is asked"
    );
}

#[tokio::test]
async fn a_tool_whose_parameters_are_no_schema_is_refused_and_nothing_else() {
    let script = json!([{"answers": [[call("answer", json!({})), hello("Ada")], [{"text": "Well."}]]}]);
    let home = home(&script, "");
    let broken = Component::hostile("hostile", "").replace(r#"{"type":"object"}"#, r#"{"type":"objekt"}"#);
    home.place_plugin("hostile", &broken.bytes());
    let gateway = Gateway::start_in(home).await;
    let tool = listed(&gateway, "answer").await;
    assert!(tool["problem"].as_str().unwrap().contains("objekt"), "{tool}");
    let refused = gateway.call_tool("answer", json!({})).await.error(502, "bad_gateway");
    assert!(refused.contains("plugin:hostile") && refused.contains("objekt"), "{refused}");
    let session = gateway.open_session("ada").await;
    say(&gateway, &session, "go").await.expect(200);
    let told = results(&gateway, &session).await;
    assert!(told[0].contains("no tool answer"), "{told:?}");
    assert_eq!(told[1], "Hello, Ada!");
}
