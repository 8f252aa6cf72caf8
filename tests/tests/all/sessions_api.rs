//! Sessions and their messages over HTTP.

use prx_tests::gateway::Gateway;
use prx_tests::wait::until;
use serde_json::{Value, json};

#[tokio::test]
async fn a_session_is_created_read_and_terminated() {
    let gateway = Gateway::start("").await;
    let api = gateway.client();
    let body = json!({"channel": "api", "user_id": "user_123", "metadata": {"source": "web-app"}});
    let answer = api.post("/sessions", body).await;
    assert!(answer.headers.contains_key("x-request-id"));
    assert_eq!(answer.headers["content-type"], "application/json");
    let created = answer.expect(201);
    let keys: Vec<&String> = created.as_object().unwrap().keys().collect();
    let mut expected = ["id", "channel", "user_id", "status", "created_at", "metadata"];
    expected.sort_unstable();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected, "the fields of the reference, no more and no less");
    let id = created["id"].as_str().unwrap();
    assert!(
        id.strip_prefix("sess_").is_some_and(|ulid| ulid.len() == 26 && ulid == ulid.to_lowercase()),
        "{id}"
    );
    assert_eq!((&created["status"], &created["user_id"]), (&json!("active"), &json!("user_123")));
    assert!(is_timestamp(&created["created_at"]), "{created}");

    let path = format!("/sessions/{id}");
    let shown = api.get(&path).await.expect(200);
    assert_eq!(shown["metadata"], json!({"source": "web-app"}));
    assert_eq!(shown["turn_count"], 0);
    assert_eq!(shown["token_usage"], json!({"input": 0, "output": 0}));
    assert!(is_timestamp(&shown["last_activity"]), "{shown}");

    let ended = api.delete(&path).await;
    assert_eq!((ended.status, ended.body.len()), (204, 0));
    assert_eq!(api.get(&path).await.expect(200)["status"], "terminated");
    api.delete(&path).await.error(409, "conflict");
    let late = api.post(&format!("{path}/messages"), json!({"content": "Still there?"})).await;
    late.error(409, "conflict");
}

#[tokio::test]
async fn lists_filter_and_page_and_count_everything_that_matches() {
    let gateway = Gateway::start("").await;
    let api = gateway.client();
    let mut ids = Vec::new();
    for n in 0..7 {
        let channel = if n % 2 == 0 { "api" } else { "web" };
        let body = json!({"channel": channel, "user_id": format!("user_{n}")});
        ids.push(api.post("/sessions", body).await.expect(201)["id"].clone());
    }
    api.delete(&format!("/sessions/{}", ids[0].as_str().unwrap())).await.expect(204);

    let listed = async |query: &str| {
        let page = api.get(&format!("/sessions{query}")).await.expect(200);
        let ids: Vec<Value> = page["sessions"].as_array().unwrap().iter().map(|s| s["id"].clone()).collect();
        (ids, page["total"].as_u64().unwrap())
    };
    assert_eq!(listed("").await, (ids[1..].to_vec(), 6), "active ones, oldest first");
    assert_eq!(listed("?channel=web").await, (vec![ids[1].clone(), ids[3].clone(), ids[5].clone()], 3));
    assert_eq!(listed("?status=terminated").await, (vec![ids[0].clone()], 1));
    assert_eq!(listed("?limit=2&offset=3").await, (ids[4..6].to_vec(), 6), "the total is of all that match");
    assert_eq!(listed("?offset=100").await, (vec![], 6));
    assert_eq!(listed("?status=idle").await, (vec![], 0));
}

#[tokio::test]
async fn messages_are_answered_in_order_and_kept() {
    let gateway = Gateway::start("").await;
    let api = gateway.client();
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    for n in 0..5 {
        let reply = api.post(&path, json!({"content": format!("question {n}")})).await.expect(200);
        assert!(reply["id"].as_str().unwrap().starts_with("msg_"), "{reply}");
        assert!(reply["content"].as_str().unwrap().contains(&format!("question {n}")), "{reply}");
        assert!(is_timestamp(&reply["created_at"]), "{reply}");
    }
    let messages = gateway.messages(&session).await;
    let roles: Vec<&str> = messages.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant"].repeat(5));

    let page = api.get(&format!("{path}?limit=3")).await.expect(200);
    assert_eq!(page["total"], 10);
    let newest = page["messages"].as_array().unwrap();
    assert_eq!(newest.len(), 3);
    assert!(newest[1]["content"] == "question 4", "newest last: {page}");
    let before = newest[0]["id"].as_str().unwrap();
    let older = api.get(&format!("{path}?limit=2&before={before}")).await.expect(200);
    assert_eq!(older["messages"][1]["content"], "question 3");

    let shown = api.get(&format!("/sessions/{session}")).await.expect(200);
    assert_eq!(shown["turn_count"], 5);
    assert!(shown["token_usage"]["output"].as_u64() > Some(0), "{shown}");
}

#[tokio::test]
async fn one_session_has_one_turn_at_a_time() {
    let gateway = Gateway::start("").await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let calls = (0..20).map(|n| gateway.client().post(&path, json!({"content": format!("parallel {n:02}")})));
    for answer in futures_util::future::join_all(calls).await {
        answer.expect(200);
    }
    let messages = gateway.messages(&session).await;
    assert_eq!(messages.len(), 40);
    for turn in messages.chunks(2) {
        assert_eq!((turn[0].0.as_str(), turn[1].0.as_str()), ("user", "assistant"));
        assert!(turn[1].1.contains(&turn[0].1), "each answer follows its question: {turn:?}");
    }
}

#[tokio::test]
async fn an_answer_can_be_streamed() {
    let gateway = Gateway::start("").await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let events = gateway.client().stream(&path, json!({"content": "word by word"})).await.rest().await;
    let (last, message) = events.last().expect("a stream has events");
    assert_eq!(last, "done", "{events:?}");
    assert!(message["content"].as_str().unwrap_or_default().contains("word by word"), "{message}");
    assert!(events.iter().any(|(name, _)| name == "token"), "{events:?}");
    let kept = gateway.messages(&session).await;
    assert_eq!(kept.last().map(|(_, content)| content.as_str()), message["content"].as_str());
}

#[tokio::test]
async fn a_session_idles_wakes_and_ends() {
    let gateway = Gateway::start("[agent]\nsession_idle_secs = 1\nsession_timeout_secs = 2\n").await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}");
    let becomes = async |wanted: &str| {
        let what = format!("the session to be {wanted}");
        until(&what, async || {
            let status = gateway.client().get(&path).await.expect(200)["status"].clone();
            (status == wanted).then_some(())
        })
        .await;
    };
    becomes("idle").await;
    gateway.client().post(&format!("{path}/messages"), json!({"content": "Wake up"})).await.expect(200);
    assert_eq!(gateway.client().get(&path).await.expect(200)["status"], "active");
    becomes("terminated").await;
}

#[tokio::test]
async fn a_session_ends_with_its_last_turn() {
    let gateway = Gateway::start("[agent]\nmax_turns = 2\n").await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}");
    for n in 0..2 {
        let body = json!({"content": format!("turn {n}")});
        gateway.client().post(&format!("{path}/messages"), body).await.expect(200);
    }
    assert_eq!(gateway.client().get(&path).await.expect(200)["status"], "terminated");
    let third = gateway.client().post(&format!("{path}/messages"), json!({"content": "turn 2"})).await;
    third.error(409, "conflict");
}

/// As in the reference: `2026-03-21T10:00:00Z`, or finer.
fn is_timestamp(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T')
}
