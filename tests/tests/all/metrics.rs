//! What Prometheus is told of turns, models, tools and the rest, and the dashboard that shows it.
use std::collections::BTreeSet;
use std::fs;

use prx_tests::component::Component;
use prx_tests::gateway::Gateway;
use prx_tests::scripted;
use prx_tests::telegram::FakeTelegram;
use serde_json::{Value, json};

fn value(page: &str, sample: &str) -> f64 {
    let found = page.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no {sample} in {page}"))
}

#[tokio::test]
async fn turns_models_and_tools_are_counted_and_timed_under_names_of_the_operators() {
    let script = json!([
        {"when": "break", "answers": [[{"fail": {"message": "no such luck"}}]]},
        {"when": "greet", "answers": [
            [{"usage": {"input": 7, "output": 3}}, {"call": {"name": "hello", "arguments": {"name": "Ada"}}}],
            [{"call": {"name": "made-up-by-a-model", "arguments": {}}}],
            [{"usage": {"input": 10, "output": 2}}, {"text": "Done."}],
        ]},
    ]);
    let home = scripted::home(&script, "");
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    let gateway = Gateway::start_in(home).await;
    let session = gateway.open_session("someone-made-up").await;
    let path = format!("/sessions/{session}/messages");
    let say = async |text: &str| gateway.client().post(&path, json!({"content": text})).await;
    say("greet").await.expect(200);
    assert_eq!(say("break").await.status, 502);
    let page = gateway.metrics().await;
    for (sample, expected) in [
        ("prx_turns_total{agent=\"default\",outcome=\"completed\"}", 1.0),
        ("prx_turns_total{agent=\"default\",outcome=\"failed\"}", 1.0),
        ("prx_turn_duration_seconds_count", 1.0),
        ("prx_model_calls_total{provider=\"scripted\",outcome=\"answered\"}", 3.0),
        ("prx_tokens_total{provider=\"scripted\",direction=\"input\"}", 17.0),
        ("prx_tokens_total{provider=\"scripted\",direction=\"output\"}", 5.0),
        ("prx_model_call_duration_seconds_bucket{provider=\"scripted\",le=\"+Inf\"}", 4.0),
        ("prx_tool_calls_total{source=\"plugin:hello-tool\",outcome=\"done\"}", 1.0),
        ("prx_tool_call_duration_seconds_count{source=\"plugin:hello-tool\"}", 1.0),
        ("prx_build_info{version=\"0.1.0\"}", 1.0),
        ("prx_plugin_loaded{plugin=\"hello-tool\"}", 1.0),
        ("prx_issues{kind=\"provider\"}", 1.0),
    ] {
        assert!((value(&page, sample) - expected).abs() < 1e-9, "{sample} in {page}");
    }
    assert!(value(&page, "prx_model_calls_total{provider=\"scripted\",outcome=\"failed\"}") >= 1.0);
    assert!(value(&page, "prx_store_file_bytes") > 0.0 && value(&page, "prx_store_commits_total") > 0.0);
    assert!(value(&page, "prx_turn_duration_seconds_sum") > 0.0);
    let strangers = [session.as_str(), "someone-made-up", "made-up-by-a-model"];
    assert!(!strangers.iter().any(|name| page.contains(name)), "what anyone can make up is no label: {page}");
}

#[tokio::test]
async fn a_channels_outbox_and_dead_letters_are_gauges() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start(&telegram.config(&["7"])).await;
    gateway.client().get("/channels").await.expect(200);
    let page = gateway.metrics().await;
    for family in ["prx_outbox_entries", "prx_dead_letters", "prx_channel_connected"] {
        assert!(page.contains(&format!("{family}{{channel=\"telegram\"}} ")), "{family} in {page}");
    }
}

/// Every expression that a dashboard asks for.
fn expressions(panel: &Value, found: &mut Vec<String>) {
    match panel {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| expressions(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_dashboard_asks_for_nothing_that_there_is_not() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/grafana/dashboard.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);
    assert!(asked.len() > 30, "{} expressions", asked.len());
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = asked.iter().flat_map(|expression| expression.split(|c| !is_name(c)));
    let shown: BTreeSet<&str> =
        words.filter(|word| word.starts_with("prx_") || word.starts_with("process_")).collect();
    let gateway = Gateway::start("").await;
    let page = gateway.metrics().await;
    let kinds = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let kinds: Vec<(&str, &str)> = kinds.collect();
    let is_there = |name: &str| {
        kinds.iter().any(|(family, kind)| match *kind {
            "histogram" => ["_bucket", "_sum", "_count"].iter().any(|part| name == format!("{family}{part}")),
            _ => name == *family,
        })
    };
    let missing: Vec<_> = shown.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in {page}");
    let is_shown = |family: &str| shown.iter().any(|name| name.strip_prefix(family).is_some());
    let unseen: Vec<_> = kinds.iter().filter(|(family, _)| !is_shown(family)).collect();
    assert!(unseen.is_empty(), "nothing shows {unseen:?}");
}
