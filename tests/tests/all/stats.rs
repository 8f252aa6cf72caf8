//! What happened by the minute and by the hour.
use prx_tests::client::Answer;
use prx_tests::gateway::Gateway;
use prx_tests::scripted;
use serde_json::{Value, json};

/// All points of a series together, and the last one's percentiles.
fn sum(answer: &Answer) -> (Value, Value) {
    let shown = answer.expect(200);
    let points = shown["points"].as_array().unwrap();
    let total = |name: &str| points.iter().map(|point| point[name].as_u64().unwrap()).sum::<u64>();
    let names =
        ["messages_received", "messages_sent", "turns", "turns_failed", "input_tokens", "output_tokens"];
    let latency = points.iter().rev().map(|point| &point["latency_ms"]).find(|latency| !latency.is_null());
    (names.map(total).into(), latency.cloned().unwrap_or_default())
}

#[tokio::test]
async fn what_happened_is_shown_by_the_minute_and_the_hour_also_after_a_restart() {
    let script = json!([
        {"when": "break", "answers": [[{"fail": {"message": "no such luck"}}]]},
        {"answers": [[{"usage": {"input": 7, "output": 3}}, {"wait_ms": 20}, {"text": "Done."}]]},
    ]);
    let gateway = Gateway::start_in(scripted::home(&script, "")).await;
    assert_eq!(gateway.client().get("/stats").await.expect(200), json!({"step": "hour", "points": []}));
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let say = async |text: &str| gateway.client().post(&path, json!({"content": text})).await;
    say("hi").await.expect(200);
    say("hi again").await.expect(200);
    assert_eq!(say("break").await.status, 502);
    let expected = json!([3, 2, 3, 1, 14, 6]);
    for step in ["minute", "hour"] {
        let (total, latency) = sum(&gateway.client().get(&format!("/stats?step={step}")).await);
        assert_eq!(total, expected, "{step}");
        let [p50, p90, p99] = ["p50", "p90", "p99"].map(|name| latency[name].as_u64().unwrap());
        assert!((16..60_000).contains(&p50) && p50 <= p90 && p90 <= p99, "{latency}");
    }
    let past = gateway.client().get("/stats?since=2036-01-01T00:00:00Z").await.expect(200);
    assert_eq!(past["points"], json!([]));
    for wrong in ["step=day", "since=soon"] {
        gateway.client().get(&format!("/stats?{wrong}")).await.error(400, "bad_request");
    }
    let gateway = gateway.restart().await;
    let (total, _) = sum(&gateway.client().get("/stats?step=minute&since=1d").await);
    assert_eq!(total, expected, "a stop loses nothing");
    let shown = gateway.client().get("/stats").await.expect(200);
    let at = shown["points"][0]["at"].as_str().unwrap();
    assert!(at.ends_with(":00:00Z"), "{at}");
}
