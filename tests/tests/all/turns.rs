//! Turns: who answers, what it may cost, how it is stopped, and what a model is shown.

use prx_tests::client::EventStream;
use prx_tests::gateway::Gateway;
use prx_tests::scripted;
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};

type TurnEvents = Vec<(String, Value)>;

async fn start(script: Value, config: &str) -> Gateway {
    Gateway::start_in(scripted::home(&script, config)).await
}

async fn follow(gateway: &Gateway, session: &str, text: &str) -> EventStream {
    gateway.client().stream(&format!("/sessions/{session}/messages"), json!({"content": text})).await
}

async fn say(gateway: &Gateway, session: &str, text: &str) -> prx_tests::client::Answer {
    gateway.client().post(&format!("/sessions/{session}/messages"), json!({"content": text})).await
}

fn tokens(events: &[(String, Value)]) -> String {
    events.iter().filter(|(name, _)| name == "token").filter_map(|(_, data)| data["text"].as_str()).collect()
}

fn one<'a>(events: &'a [(String, Value)], name: &str) -> &'a Value {
    let found: Vec<&Value> = events.iter().filter(|(event, _)| event == name).map(|(_, data)| data).collect();
    assert_eq!(found.len(), 1, "one {name}: {events:?}");
    found[0]
}

/// An answer that goes on for ever, as far as a test is concerned.
fn endless() -> Value {
    json!([{"repeat": {"text": "on and ", "times": 100_000, "every_ms": 5}}])
}

#[tokio::test]
async fn a_turn_is_stopped_and_keeps_what_it_said() {
    let script = json!([{"when": "go", "answers": [endless()]}, {"answers": [[{"show": "request"}]]}]);
    let gateway = start(script, "").await;
    let session = gateway.open_session("ada").await;
    let cancel = format!("/sessions/{session}/cancel");
    let nothing = gateway.client().post(&cancel, json!({})).await.expect(200);
    assert_eq!(nothing, json!({"id": session, "cancelled": false}));

    let mut events = follow(&gateway, &session, "go").await;
    let first = events.next().await.unwrap();
    assert_eq!(first.0, "token");
    let stopped = gateway.client().post(&cancel, json!({})).await.expect(200);
    assert_eq!(stopped, json!({"id": session, "cancelled": true}));
    let mut told: TurnEvents = vec![first];
    told.extend(events.rest().await);
    let (last, reply) = told.last().unwrap();
    assert_eq!((last.as_str(), &reply["stopped"]), ("done", &json!(true)), "{reply}");
    assert_eq!(reply["content"], tokens(&told), "what was said is the reply");

    let page = gateway.client().get(&format!("/sessions/{session}/messages")).await.expect(200);
    assert_eq!(page["messages"][1], *reply);
    let shown = gateway.client().get(&format!("/sessions/{session}")).await.expect(200);
    assert!(shown["token_usage"]["output"].as_u64() > Some(0), "what was broken off is counted: {shown}");
    let next = say(&gateway, &session, "what was said?").await.expect(200);
    let content = next["content"].as_str().unwrap();
    assert!(content.contains("on and") && content.contains("stopped here by the user"), "{content}");
    assert_eq!(next.get("stopped"), None);

    gateway.client().post("/sessions/sess_none/cancel", json!({})).await.error(404, "not_found");
    gateway.client().delete(&format!("/sessions/{session}")).await.expect(204);
    gateway.client().post(&cancel, json!({})).await.error(409, "conflict");
}

#[tokio::test]
async fn a_turn_that_waits_for_a_tool_is_stopped_and_the_call_is_told_so() {
    let script = json!([
        {"when": "go", "answers": [[{"text": "Let me wait. "}, {"call": {"name": "near.wait"}}]]},
        {"answers": [[{"show": "request"}]]},
    ]);
    let server = env!("CARGO_BIN_EXE_prx-test-mcp");
    let gateway = start(script, &format!("[mcp_servers.near]\ncommand = {server:?}\n")).await;
    until("the server's tools", async || {
        let tools = gateway.client().get("/tools").await.expect(200);
        tools.to_string().contains("near.wait").then_some(())
    })
    .await;
    let session = gateway.open_session("ada").await;
    let mut events = follow(&gateway, &session, "go").await;
    while events.next().await.unwrap().0 != "tool_call" {}
    let ended = gateway.home().run(&["session", "cancel", &session]).await;
    assert_eq!((ended.code, ended.stdout), (Some(0), format!("stopped {session}\n")));
    let told = events.rest().await;
    assert_eq!(one(&told, "done")["stopped"], true);
    let roles: Vec<String> = gateway.messages(&session).await.into_iter().map(|(role, _)| role).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant"]);
    let next = say(&gateway, &session, "and?").await.expect(200);
    assert!(next["content"].as_str().unwrap().contains("the user stopped the turn"), "{next}");
    let ended = gateway.home().run(&["session", "cancel", &session]).await;
    assert_eq!(ended.stdout, format!("nothing to stop in {session}\n"));
}

#[tokio::test]
async fn a_reader_who_leaves_stops_nothing() {
    let script = json!([{"answers": [[{"repeat": {"text": "word ", "times": 100, "every_ms": 5}}]]}]);
    let gateway = start(script, "").await;
    let session = gateway.open_session("ada").await;
    let mut events = follow(&gateway, &session, "go").await;
    assert_eq!(events.next().await.unwrap().0, "token");
    drop(events);
    let reply = until("the whole reply", async || gateway.messages(&session).await.get(1).cloned()).await;
    assert_eq!(reply, ("assistant".to_owned(), "word ".repeat(100)));
}

#[tokio::test]
async fn the_word_stop_on_a_channel_stops_the_turn_at_work() {
    let telegram = FakeTelegram::start().await;
    let script =
        json!([{"when": "go", "answers": [endless()]}, {"answers": [[{"text": "At your service."}]]}]);
    let gateway = start(script, &telegram.config(&["*"])).await;
    telegram.write(1, "go");
    until("the turn to be at work", async || {
        let sessions = gateway.sessions("telegram").await;
        (!sessions.is_empty()).then_some(())
    })
    .await;
    // A second message waits behind the turn; the word does not.
    telegram.write(1, "and then?");
    telegram.write(1, "/stop");
    telegram
        .until("both replies", |t| t.sent_to(1).iter().any(|sent| sent.contains("At your")).then_some(()))
        .await;
    let session = gateway.sessions("telegram").await[0]["id"].as_str().unwrap().to_owned();
    let roles: Vec<String> = gateway.messages(&session).await.into_iter().map(|(role, _)| role).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"], "the word is no message");
    let page = gateway.client().get(&format!("/sessions/{session}/messages")).await.expect(200);
    assert_eq!(page["messages"][1]["stopped"], true, "{page}");
    telegram.write(1, "/stop");
    telegram.until("an answer to it", |t| (t.sent_to(1).len() >= 3).then_some(())).await;
    assert_eq!(
        gateway.heard("telegram").await.last().unwrap(),
        "/stop",
        "with nothing at work it is a message"
    );
}

#[tokio::test]
async fn a_new_message_interrupts_where_the_operator_says_so() {
    let telegram = FakeTelegram::start().await;
    let script =
        json!([{"when": "go", "answers": [endless()]}, {"answers": [[{"text": "At your service."}]]}]);
    let config = telegram.config(&["*"]) + "interrupt_on_new_message = true\n";
    let gateway = start(script, &config).await;
    telegram.write(1, "go");
    until("the turn to be at work", async || (!gateway.sessions("telegram").await.is_empty()).then_some(()))
        .await;
    telegram.write(1, "no, wait");
    telegram
        .until("the reply", |t| t.sent_to(1).iter().any(|sent| sent.contains("At your")).then_some(()))
        .await;
    let session = gateway.sessions("telegram").await[0]["id"].as_str().unwrap().to_owned();
    let page = gateway.client().get(&format!("/sessions/{session}/messages")).await.expect(200);
    assert_eq!(page["messages"][1]["stopped"], true, "{page}");
    let wrong = json!({"channels_config.telegram.interrupt_on_new_message": "yes"});
    let refused = gateway.client().patch("/config", wrong).await.error(400, "bad_request");
    assert!(refused.contains("interrupt_on_new_message"), "{refused}");
}

#[tokio::test]
async fn a_provider_that_fails_is_tried_again_and_the_reader_is_told() {
    let busy = json!({"message": "overloaded", "retryable": true, "retry_after_ms": 20, "times": 2});
    let script = json!([
        {"when": "before", "answers": [[{"fail": busy}, {"text": "Here it is."}]]},
        {"when": "midway", "answers": [[{"text": "Here "}, {"fail": busy}, {"text": "it is."}]]},
    ]);
    let gateway = start(script, "").await;
    let session = gateway.open_session("ada").await;
    let told = follow(&gateway, &session, "before").await.rest().await;
    assert_eq!(one(&told, "done")["content"], "Here it is.");
    assert!(!told.iter().any(|(name, _)| name == "restart"), "nothing was taken back: {told:?}");

    let told = follow(&gateway, &session, "midway").await.rest().await;
    assert_eq!(one(&told, "done")["content"], "Here it is.");
    let anew: Vec<usize> =
        told.iter().enumerate().filter(|(_, (name, _))| name == "restart").map(|(at, _)| at).collect();
    assert_eq!(anew.len(), 2, "{told:?}");
    assert!(told[anew[0]].1["reason"].as_str().unwrap().contains("overloaded"), "{told:?}");
    assert_eq!(tokens(&told[anew[1]..]), "Here it is.", "what follows is the whole reply: {told:?}");
    assert!(gateway.output().says_soon(&["overloaded", "no answer"]).await);
}

#[tokio::test]
async fn another_provider_answers_when_the_first_cant() {
    let refuse = json!({"message": "the key is refused", "code": "denied"});
    let senseless = json!({"message": "this makes no sense", "code": "bad-input"});
    let script = json!([
        {"when": "senseless", "answers": [[{"fail": senseless}]]},
        {"when": "well", "answers": [[{"text": "I am."}]]},
        {"answers": [[{"text": "Half a "}, {"fail": refuse}]]},
    ]);
    let gateway = start(script, "").await;
    let session = gateway.open_session("ada").await;
    let alone = say(&gateway, &session, "anyone?").await.error(502, "bad_gateway");
    assert!(alone.contains("the key is refused"), "{alone}");
    let status = gateway.client().get("/status").await.expect(200);
    assert!(status["issues"].to_string().contains("the key is refused"), "{status}");

    let patch = async |change: Value| gateway.client().patch("/config", change).await;
    patch(json!({"provider.fallbacks": ["local/local-1"]})).await.expect(200);
    let told = follow(&gateway, &session, "anyone?").await.rest().await;
    assert!(one(&told, "done")["content"].as_str().unwrap().contains("stand-in"), "{told:?}");
    one(&told, "restart");
    let elsewhere = say(&gateway, &session, "senseless").await.expect(200);
    assert!(elsewhere["content"].as_str().unwrap().contains("stand-in"), "another may take it: {elsewhere}");
    say(&gateway, &session, "are you well").await.expect(200);
    assert_eq!(gateway.client().get("/status").await.expect(200)["status"], "healthy");

    patch(json!({"provider.name": "local", "provider.model": "local-1"})).await.expect(200);
    let live = say(&gateway, &session, "and now?").await.expect(200);
    assert!(live["content"].as_str().unwrap().contains("stand-in"), "{live}");
    let unknown = patch(json!({"provider.fallbacks": ["nobody/x"]})).await.error(400, "bad_request");
    assert!(unknown.contains("provider.fallbacks") && unknown.contains("local"), "{unknown}");
    let bare = patch(json!({"provider.fallbacks": ["local"]})).await.error(400, "bad_request");
    assert!(bare.contains("provider/model"), "{bare}");
}

#[tokio::test]
async fn silence_ends_a_turn_and_length_does_not() {
    let slow = json!([{"repeat": {"text": "word ", "times": 8, "every_ms": 400}}]);
    let script = json!([
        {"when": "silent", "answers": [[{"wait_ms": 25_000}]]},
        {"when": "slow", "answers": [slow]},
        {"when": "stuck", "answers": [[{"text": "So far."}, {"wait_ms": 25_000}]]},
        {"answers": [[{"show": "request"}]]},
    ]);
    let gateway = start(script, "[agent]\nturn_timeout_secs = 2\n").await;
    let session = gateway.open_session("ada").await;
    let late = say(&gateway, &session, "silent").await.error(504, "gateway_timeout");
    assert!(late.contains("agent.turn_timeout_secs"), "{late}");
    assert_eq!(say(&gateway, &session, "slow").await.expect(200)["content"], "word ".repeat(8));
    let stuck = say(&gateway, &session, "stuck").await.expect(200);
    let said = stuck["content"].as_str().unwrap_or_default();
    assert!(said.starts_with("So far.") && said.contains("broke off here"), "{said}");
    let shown = say(&gateway, &session, "and?").await.expect(200)["content"].to_string();
    assert!(shown.contains("So far."), "it is part of the conversation: {shown}");
}

#[tokio::test]
async fn budgets_are_checked_before_a_model_is_asked() {
    let script = json!([{"answers": [[{"text": "Fine."}, {"usage": {"input": 40, "output": 5}}]]}]);
    let gateway = start(script, "[agent]\nmax_tokens_per_session = 80\n").await;
    let (first, second) = (gateway.open_session("ada").await, gateway.open_session("bob").await);
    for _ in 0..2 {
        say(&gateway, &first, "hi").await.expect(200);
    }
    let shown = gateway.client().get(&format!("/sessions/{first}")).await.expect(200);
    assert_eq!(
        (&shown["token_usage"], &shown["tokens_left"]),
        (&json!({"input": 80, "output": 10}), &json!(0))
    );
    let over = say(&gateway, &first, "hi").await.error(429, "rate_limited");
    assert!(over.contains("agent.max_tokens_per_session"), "{over}");
    say(&gateway, &second, "hi").await.expect(200);

    let gateway = gateway.restart().await;
    let usage = gateway.client().get("/status").await.expect(200)["usage"].clone();
    assert_eq!(usage, json!({"today": {"input": 120, "output": 15}}), "over all sessions, and kept");
    let budgets = json!({"agent.max_tokens_per_session": 0, "agent.max_tokens_per_day": 135});
    gateway.client().patch("/config", budgets).await.expect(200);
    let over = say(&gateway, &second, "hi").await.error(429, "rate_limited");
    assert!(over.contains("agent.max_tokens_per_day"), "{over}");
    let status = gateway.client().get("/status").await.expect(200);
    assert_eq!(status["usage"]["max_tokens_per_day"], 135);
    assert!(status["issues"].to_string().contains("today's tokens"), "{status}");
}

#[tokio::test]
async fn the_word_new_on_a_channel_begins_another_session() {
    let telegram = FakeTelegram::start().await;
    let script = json!([
        {"when": "what", "answers": [[{"show": "request"}]]},
        {"answers": [[{"text": "Fine."}, {"usage": {"input": 40, "output": 45}}]]},
    ]);
    let config = format!("[agent]\nmax_tokens_per_session = 80\n{}", telegram.config(&["*"]));
    let gateway = start(script, &config).await;
    let mut sent = 0;
    let mut say = async |text: &str| {
        telegram.write(1, text);
        sent += 1;
        telegram.until("an answer", |t| t.sent_to(1).get(sent - 1).cloned()).await
    };
    assert_eq!(say("hi").await, "Fine.");
    let over = say("hi again").await;
    assert!(over.contains("85 of its 80 tokens") && over.contains("say /new"), "{over}");
    assert!(say("/new").await.contains("new conversation"));
    let told = say("what do you know?").await;
    assert!(told.contains("what do you know?") && !told.contains("hi again"), "{told}");
    assert_eq!(gateway.sessions("telegram").await.len(), 2);
}

#[tokio::test]
async fn a_model_is_shown_what_there_is_room_for() {
    let script = json!([
        {"when": "what do you know", "answers": [[{"show": "request"}]]},
        {"answers": [[{"text": "Noted."}]]},
    ]);
    let gateway = start(script, "[agent]\nmax_context_tokens = 2000\n").await;
    let session = gateway.open_session("ada").await;
    for n in 0..4 {
        say(&gateway, &session, &format!("[{n}] {}", "x".repeat(2_000))).await.expect(200);
    }
    let told = say(&gateway, &session, "what do you know?").await.expect(200)["content"].to_string();
    let known = [0, 1, 2, 3].map(|n| told.contains(&format!("[{n}]")));
    assert_eq!([known[0], known[3]], [false, true], "the oldest turn is summarized");
    let large = say(&gateway, &session, &"x".repeat(10_000)).await.error(400, "bad_request");
    assert!(large.contains("agent.max_context_tokens"), "{large}");
    assert_eq!(say(&gateway, &session, "short").await.expect(200)["content"], "Noted.");
}
