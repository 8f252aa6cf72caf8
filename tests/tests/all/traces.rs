//! Traces of turns, for a collector that speaks OTLP over HTTP.
use hyper::Method;
use prx_tests::collector::{Collector, Span};
use prx_tests::component::Component;
use prx_tests::gateway::Gateway;
use prx_tests::mcp::{self, Site};
use prx_tests::models::{Dialect, FakeModel};
use prx_tests::scripted;
use prx_tests::telegram::{FakeTelegram, Fault};
use prx_tests::wait::{TEST_TIMEOUT, until};
use serde_json::{Value, json};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const KEY: &str = "canary-of-a-collectors-key";
const SAID: &str = "canary-of-what-is-said";

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// What of a span is counted.
fn tokens(span: &Span) -> [Option<&str>; 2] {
    ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"].map(|key| span.attribute(key))
}

#[tokio::test]
async fn a_turn_is_one_trace_with_its_calls_and_nothing_of_what_is_said() {
    let collector = Collector::start().await;
    let site =
        Site::start(json!({"tools/list": [mcp::tools(&["look"])], "tools/call": [mcp::text(SAID)]})).await;
    let script = json!([{"answers": [
        [{"usage": {"input": 7, "output": 3}}, {"call": {"name": "hello", "arguments": {"name": SAID}}},
         {"call": {"name": "site.look", "arguments": {}}}],
        [{"usage": {"input": 10, "output": 2}}, {"text": SAID}],
    ]}]);
    let config = collector.config(&format!("propagate = true\nheaders = {{ x-key = {KEY:?} }}"));
    let config = format!("{config}[mcp_servers.site]\nurl = {:?}\n", site.url());
    let home = scripted::home(&script, &config);
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    let gateway = Gateway::start_in(home).await;
    gateway.mcp_connected("site").await;
    let session = gateway.open_session(SAID).await;
    let said = json!({"content": SAID}).to_string();
    let request = gateway.client().request(Method::POST, &format!("/sessions/{session}/messages"));
    let request = request.header("content-type", "application/json").header("traceparent", CALLER);
    gateway.client().send(request, said.into()).await.expect(200);

    let spans = collector.until(5).await;
    assert_eq!(spans.len(), 5, "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace == "4bf92f3577b34da6a3ce929d0e0e4736"), "{spans:#?}");
    let [turn] = named(&spans, "invoke_agent default")[..] else { panic!("{spans:#?}") };
    assert_eq!(turn.parent, "00f067aa0ba902b7", "it is the caller's");
    assert!(spans.iter().all(|span| span.id == turn.id || span.parent == turn.id), "{spans:#?}");
    let within = |span: &Span| turn.times.0 <= span.times.0 && span.times.1 <= turn.times.1;
    assert!(spans.iter().all(within) && !spans.iter().any(|span| span.is_error), "{spans:#?}");
    for (key, value) in [
        ("gen_ai.operation.name", "invoke_agent"),
        ("gen_ai.agent.name", "default"),
        ("gen_ai.conversation.id", &session),
        ("prx.channel", "api"),
        ("prx.turn.outcome", "completed"),
    ] {
        assert_eq!(turn.attribute(key), Some(value), "{turn:#?}");
    }
    let chats = named(&spans, "chat scripted-1");
    let counted: Vec<_> = chats.iter().map(|chat| tokens(chat)).collect();
    assert_eq!(counted, [[Some("7"), Some("3")], [Some("10"), Some("2")]]);
    assert_eq!(chats[0].attribute("gen_ai.provider.name"), Some("scripted"));
    assert_eq!(chats[0].attribute("gen_ai.response.finish_reasons"), Some("tool_calls"));
    let [hello] = named(&spans, "execute_tool hello")[..] else { panic!("{spans:#?}") };
    assert_eq!(hello.attribute("prx.tool.source"), Some("plugin:hello-tool"));
    let [look] = named(&spans, "execute_tool site.look")[..] else { panic!("{spans:#?}") };
    let passed_on = format!("00-{}-{}-01", look.trace, look.id);
    assert_eq!(site.params("tools/call")["_meta"]["traceparent"], json!(passed_on));

    let all = format!("{spans:?}");
    assert!(!all.contains(SAID) && !all.contains(KEY), "{all}");
    assert!(all.contains("\"service.name\", \"prx\""), "{all}");
    assert!(collector.headers().iter().all(|headers| headers["x-key"] == KEY));
    let config = gateway.client().get("/config").await;
    assert!(!format!("{config}").contains(KEY) && !gateway.output().lines().join("\n").contains(KEY));
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("prx_trace_spans_exported_total 5\n"), "{metrics}");
}

#[tokio::test]
async fn a_turn_of_a_channel_is_a_trace_from_its_update_to_its_reply() {
    let (collector, telegram) = (Collector::start().await, FakeTelegram::start().await);
    let config = format!("{}{}", telegram.config(&["7"]), collector.config(""));
    let gateway = Gateway::start(&config).await;
    for text in ["one", "two"] {
        let before = telegram.sent().len();
        telegram.write(7, text);
        telegram.until("a reply", |telegram| (telegram.sent().len() > before).then_some(())).await;
    }
    let spans = collector.until(6).await;
    let turns = named(&spans, "invoke_agent default");
    assert_eq!(turns.len(), 2, "{spans:#?}");
    assert_ne!(turns[0].trace, turns[1].trace, "a trace a turn");
    for turn in turns {
        assert_eq!((turn.parent.as_str(), turn.attribute("prx.channel")), ("", Some("telegram")));
        let parts = || spans.iter().filter(|span| span.parent == turn.id);
        assert_eq!(parts().count(), 2, "{spans:#?}");
        assert!(parts().all(|span| span.trace == turn.trace), "{spans:#?}");
        let part = |name: &str| parts().find(|span| span.name == name).expect("a part of the turn");
        let (chat, sent) = (part("chat local-1"), part("send telegram"));
        assert_eq!((attempt(sent), sent.is_error), (["1", "sent"], false));
        assert!(sent.times.0 >= chat.times.1, "{spans:#?}");
    }
    // A stop sends what is left.
    telegram.write(7, "three");
    telegram.until("a reply", |telegram| (telegram.sent().len() > 2).then_some(())).await;
    gateway.stop().await;
    collector.until(9).await;
}

/// Which attempt at sending a reply this is, and what came of it.
fn attempt(span: &Span) -> [&str; 2] {
    ["prx.outbox.attempt", "prx.outbox.outcome"].map(|key| span.attribute(key).unwrap_or_default())
}

#[tokio::test]
async fn every_attempt_at_a_reply_is_in_the_trace_of_its_turn_also_after_a_crash() {
    let (collector, telegram) = (Collector::start().await, FakeTelegram::start().await);
    let config = format!("{}{}", telegram.config(&["7"]), collector.config(""));
    let gateway = Gateway::start(&config).await;
    telegram.script("sendMessage", Fault::TooMany(1));
    telegram.script("sendMessage", Fault::Slow(TEST_TIMEOUT));
    telegram.write(7, "one");
    telegram.until("the second attempt", |t| (t.calls("sendMessage").len() == 2).then_some(())).await;
    let before = collector.until(3).await;
    let [turn] = named(&before, "invoke_agent default")[..] else { panic!("{before:#?}") };
    let [refused] = named(&before, "send telegram")[..] else { panic!("{before:#?}") };
    assert_eq!((attempt(refused), refused.is_error), (["1", "retry"], true), "{refused:#?}");

    let gateway = Gateway::start_in(gateway.kill()).await;
    let spans = collector.until(4).await;
    let sent = &spans[3];
    assert_eq!((sent.name.as_str(), attempt(sent)), ("send telegram", ["3", "sent"]), "{spans:#?}");
    assert!(
        [refused, sent].iter().all(|span| span.trace == turn.trace && span.parent == turn.id),
        "{spans:#?}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_collector_that_is_away_costs_no_turn_anything_and_is_told_of() {
    let mut collector = Collector::closed();
    let gateway = Gateway::start(&collector.config("")).await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    gateway.client().post(&path, json!({"content": "hi"})).await.expect(200);
    let issue = async || {
        let status = gateway.client().get("/status").await.expect(200);
        let details = status["issue_details"].as_array().cloned().unwrap_or_default();
        details.into_iter().find(|issue| issue["kind"] == "telemetry")
    };
    let told = until("the issue", issue).await;
    assert!(told["problem"].as_str().unwrap().contains("traces are not exported"), "{told}");
    gateway.client().post(&path, json!({"content": "hi again"})).await.expect(200);
    collector.open().await;
    collector.until(4).await;
    until("the issue to go", async || issue().await.is_none().then_some(())).await;

    // One that refuses is the same, and none at all is none.
    collector.answer(503);
    gateway.client().post(&path, json!({"content": "hi"})).await.expect(200);
    let told = until("the issue", issue).await;
    assert!(told["problem"].as_str().unwrap().contains("503"), "{told}");
    gateway.client().patch("/config", json!({"telemetry.otlp_endpoint": ""})).await.expect(200);
    until("the issue to go", async || issue().await.is_none().then_some(())).await;
    let wrong = gateway.client().patch("/config", json!({"telemetry.otlp_endpoint": "collector"})).await;
    let told = wrong.error(400, "bad_request");
    assert!(told.contains("telemetry.otlp_endpoint"), "{told}");
}

#[tokio::test]
async fn a_providers_server_is_told_of_the_trace_only_where_that_is_wanted() {
    let (collector, model) = (Collector::start().await, FakeModel::start(Dialect::ALL[0]).await);
    let dialect = model.dialect();
    let gateway = Gateway::start(&format!("{}{}", model.config(""), collector.config(""))).await;
    let session = gateway.open_session("ada").await;
    let say = async || {
        model.answer((dialect.words)(&["Hello."])).await;
        let path = format!("/sessions/{session}/messages");
        gateway.client().post(&path, json!({"content": "hi"})).await.expect(200);
    };
    say().await;
    gateway.client().patch("/config", json!({"telemetry.propagate": true})).await.expect(200);
    say().await;
    let told: Vec<Value> = model
        .asked()
        .iter()
        .map(|asked| asked.headers.get("traceparent").map(|value| value.to_str().unwrap()).into())
        .collect();
    let spans = collector.until(4).await;
    let chats: Vec<_> = spans.iter().filter(|span| span.name.starts_with("chat ")).collect();
    let expected = format!("00-{}-{}-01", chats[1].trace, chats[1].id);
    assert_eq!(told, [Value::Null, json!(expected)]);
}
