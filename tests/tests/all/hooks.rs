//! Outgoing webhooks: registered as the reference page has it, delivered signed, never lost, and careful with secrets.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use base64::Engine as _;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use prx_tests::component::Component;
use prx_tests::gateway::Gateway;
use prx_tests::receiver::Receiver;
use prx_tests::scripted;
use prx_tests::wait::until;
use serde_json::{Value, json};

const INSIDE: &str = "[hooks]\nallow_private = true\n";
const CANARY: &str = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnk=";

async fn register(gateway: &Gateway, url: &str, events: &[&str]) -> Value {
    let body = json!({"url": url, "events": events, "secret": CANARY});
    gateway.client().post("/hooks", body).await.expect(201)
}

fn base64(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The one delivery of a hook, when it is as wanted.
async fn delivery(gateway: &Gateway, hook: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until("the delivery", async || {
        let list = gateway.client().get(&format!("/hooks/{hook}/deliveries")).await.expect(200);
        let deliveries = list["deliveries"].as_array().expect("a list of deliveries");
        assert_eq!(list["total"], deliveries.len());
        deliveries.first().filter(|delivery| wanted(delivery)).cloned()
    })
    .await
}

#[tokio::test]
async fn a_hook_is_registered_told_listed_and_removed() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(INSIDE).await;
    let hook = register(&gateway, &receiver.url(), &["session.created", "message.received"]).await;
    assert_eq!(keys(&hook), ["active", "created_at", "events", "id", "url"]);
    let id = hook["id"].as_str().unwrap();
    assert!(id.starts_with("hook_") && id.len() == 31, "{id}");
    assert_eq!(hook["events"], json!(["session.created", "message.received"]));
    assert_eq!((&hook["url"], &hook["active"]), (&json!(receiver.url()), &json!(true)));
    assert_eq!(gateway.client().get("/hooks").await.expect(200), json!({"hooks": [hook]}));

    let session = gateway.open_session("ada").await;
    let received = receiver.until(1).await.remove(0);
    assert_eq!(received.signature, received.signed(b"canary-canary-canary"));
    let body = received.json();
    assert_eq!(keys(&body), ["data", "timestamp", "type"]);
    assert_eq!((&body["type"], &body["data"]["session_id"]), (&json!("session.created"), &json!(session)));

    let delivered = delivery(&gateway, id, |delivery| delivery["status"] == "delivered").await;
    assert_eq!((&delivered["id"], &delivered["attempts"]), (&json!(received.id), &json!(1)));
    assert_eq!(delivered["last_attempt"]["status_code"], 200);
    let replay = format!("/hooks/{id}/deliveries/{}/replay", received.id);
    gateway.client().post(&replay, json!({})).await.expect(202);
    assert_eq!(receiver.until(2).await[1].id, received.id);
    let test = gateway.client().post(&format!("/hooks/{id}/test"), json!({})).await.expect(202);
    let tested = receiver.until(3).await.remove(2);
    assert_eq!((&test["id"], tested.json()["type"].as_str()), (&json!(tested.id), Some("hook.test")));

    gateway.client().delete(&format!("/hooks/{id}")).await.expect(204);
    gateway.client().delete(&format!("/hooks/{id}")).await.error(404, "not_found");
    assert_eq!(gateway.client().get("/hooks").await.expect(200), json!({"hooks": []}));
    gateway.open_session("ada").await;
    gateway.stop().await;
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn what_was_queued_before_a_kill_arrives_after_it_under_the_same_id() {
    let mut receiver = Receiver::closed();
    let gateway = Gateway::start(INSIDE).await;
    let hook = register(&gateway, &receiver.url(), &["*"]).await;
    let hook = hook["id"].as_str().unwrap();
    let session = gateway.open_session("ada").await;
    let queued = delivery(&gateway, hook, |delivery| delivery["attempts"] == 1).await;
    assert_eq!(
        (&queued["status"], &queued["last_attempt"]["status_code"]),
        (&json!("pending"), &Value::Null)
    );

    let home = gateway.kill();
    receiver.open().await;
    let gateway = Gateway::start_in(home).await;
    let received = until("the session's webhook", async || {
        receiver
            .received()
            .into_iter()
            .find(|webhook| webhook.json()["data"]["session_id"] == session.as_str())
    })
    .await;
    assert_eq!(queued["id"], json!(received.id));
    assert_eq!(received.signature, received.signed(b"canary-canary-canary"));
    gateway.stop().await;
}

/// What was tried in vain for long enough waits for minutes: it is asked for now.
async fn deliver_now(gateway: &Gateway, hook: &str) {
    let deliveries = format!("/hooks/{hook}/deliveries");
    let listed = gateway.client().get(&format!("{deliveries}?limit=500")).await.expect(200);
    let waiting =
        listed["deliveries"].as_array().unwrap().iter().filter(|delivery| delivery["status"] == "pending");
    for delivery in waiting {
        let replay = format!("{deliveries}/{}/replay", delivery["id"].as_str().unwrap());
        gateway.client().post(&replay, json!({})).await.expect(202);
    }
}

/// Behind the last answer of each round there is nothing but a `kill -9`.
#[tokio::test]
async fn what_was_answered_directly_before_a_kill_is_delivered_after_it() {
    const SESSIONS: usize = 12;
    let call = json!({"call": {"name": "hello", "arguments": {"name": "Ada"}}});
    let script = json!([{"answers": [[call], [{"text": "done"}]]}]);
    let mut home = scripted::home(&script, INSIDE);
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    let mut receiver = Receiver::closed();
    let mut expected = BTreeMap::new();
    let mut hook = String::new();
    for round in 0..4 {
        let gateway = Gateway::start_in(home).await;
        if round == 0 {
            hook = register(&gateway, &receiver.url(), &["*"]).await["id"].as_str().unwrap().to_owned();
        }
        let client = gateway.client();
        let sessions = join_all((0..SESSIONS).map(|_| gateway.open_session("ada"))).await;
        let mut happened = vec!["session.created"];
        if round > 0 {
            let path = |session: &String| format!("/sessions/{session}/messages");
            let say = async |session| client.post(&path(session), json!({"content": "go"})).await.expect(200);
            join_all(sessions.iter().map(say)).await;
            happened.extend(["message.received", "tool.executed", "message.sent"]);
        }
        if round > 1 {
            let calls = (0..SESSIONS).map(|_| gateway.call_tool("hello", json!({"name": "Bo"})));
            join_all(calls).await.iter().for_each(|called| assert_eq!(called.status, 200));
            *expected.entry(("tool.executed", String::new())).or_default() += SESSIONS;
        }
        if round > 2 {
            let end = async |session| client.delete(&format!("/sessions/{session}")).await.expect(204);
            join_all(sessions.iter().map(end)).await;
            happened.push("session.terminated");
        }
        home = gateway.kill();
        for session in sessions {
            expected.extend(happened.iter().map(|name| ((*name, session.clone()), 1)));
        }
    }
    receiver.open().await;
    let gateway = Gateway::start_in(home).await;
    deliver_now(&gateway, &hook).await;
    // Deliveries arrive at least once, under one id: each event has exactly one.
    let arrived = || {
        let mut ids = BTreeSet::new();
        let mut arrived = BTreeMap::new();
        for webhook in receiver.received().into_iter().filter(|webhook| ids.insert(webhook.id.clone())) {
            let body = webhook.json();
            let session = body["data"]["session_id"].as_str().unwrap_or_default().to_owned();
            let known = expected.keys().find(|(name, _)| body["type"] == *name);
            if let Some((name, _)) = known {
                *arrived.entry((*name, session)).or_default() += 1;
            }
        }
        arrived
    };
    until("every event to arrive", async || {
        let arrived = arrived();
        expected.keys().all(|event| arrived.contains_key(event)).then_some(())
    })
    .await;
    until("each to arrive once", async || (arrived() == expected).then_some(())).await;
    gateway.stop().await;
}

#[tokio::test]
async fn events_that_a_full_queue_does_not_take_are_an_issue_of_the_gateway() {
    const FULL: usize = 10_000;
    let receiver = Receiver::closed();
    let gateway = Gateway::start(INSIDE).await;
    let hook = register(&gateway, &receiver.url(), &["session.created"]).await;
    let id = hook["id"].as_str().unwrap();
    let opened = stream::iter(0..FULL + 5).map(|_| gateway.open_session("ada")).buffer_unordered(64);
    assert_eq!(opened.count().await, FULL + 5);
    let status = gateway.client().get("/status").await.expect(200);
    let issues = status["issues"].to_string();
    assert!(issues.contains(&format!("hook {id} has lost 5 events")), "{issues}");
    assert!(issues.contains(&format!("GET /hooks/{id}/deliveries")), "{issues}");
    let metrics = gateway.metrics().await;
    let sample = |outcome: &str| format!("prx_hook_deliveries_total{{hook=\"{id}\",outcome=\"{outcome}\"}}");
    assert!(metrics.contains(&format!("{} 5\n", sample("lost"))), "{metrics}");
    assert!(metrics.contains(&format!("prx_hook_deliveries_waiting{{hook=\"{id}\"}} {FULL}\n")), "{metrics}");
    assert_eq!(status["status"], "degraded");
    gateway.client().delete(&format!("/hooks/{id}")).await.expect(204);
    assert_eq!(gateway.client().get("/status").await.expect(200)["status"], "healthy");
}

#[tokio::test]
async fn a_secret_is_shown_once_if_it_was_made_here_and_never_otherwise() {
    let receiver = Receiver::closed();
    let gateway = Gateway::start(INSIDE).await;
    let body = json!({"url": receiver.url(), "events": ["*"]});
    let made = gateway.client().post("/hooks", body).await.expect(201);
    assert_eq!(keys(&made), ["active", "created_at", "events", "id", "secret", "url"]);
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");

    let given = register(&gateway, &receiver.url(), &["*"]).await;
    let id = given["id"].as_str().unwrap();
    gateway.open_session("ada").await;
    delivery(&gateway, id, |delivery| delivery["attempts"] == 1).await;
    let client = gateway.client();
    let answers = [
        client.get("/hooks").await,
        client.get(&format!("/hooks/{id}/deliveries")).await,
        client.post(&format!("/hooks/{id}/test"), json!({})).await,
        client.post("/hooks", json!({"url": "nowhere", "events": ["*"], "secret": CANARY})).await,
        client.post("/hooks", json!({"url": "https://a.example", "events": ["x"], "secret": CANARY})).await,
    ];
    for secret in [CANARY, secret.as_str(), "canary-canary"] {
        assert!(!given.to_string().contains(secret));
        assert!(answers.iter().all(|answer| !answer.to_string().contains(secret)));
        assert!(!gateway.output().says(&[secret]));
    }
    let home = gateway.stop().await;
    let holding: Vec<_> = fs::read_dir(home.data())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .filter(|path| fs::read(path).unwrap().windows(CANARY.len()).any(|part| part == CANARY.as_bytes()))
        .collect();
    assert_eq!(holding, [home.data().join("prx.redb")]);
}

#[tokio::test]
async fn a_hook_that_cannot_work_is_refused_and_changes_nothing() {
    let gateway = Gateway::start("").await;
    let refused = [
        (json!({"events": ["*"]}), "`url` is missing"),
        (json!({"url": 5, "events": ["*"]}), "`url` must be a string"),
        (json!({"url": "example.com/webhook", "events": ["*"]}), "`url` must be a whole http or https URL"),
        (json!({"url": "ftp://example.com/", "events": ["*"]}), "`url` must be a whole http or https URL"),
        (json!({"url": "http://127.0.0.1:9/", "events": ["*"]}), "loopback or private"),
        (json!({"url": "http://[fd00::1]/", "events": ["*"]}), "loopback or private"),
        (json!({"url": "http://169.254.169.254/", "events": ["*"]}), "loopback or private"),
        (json!({"url": "https://example.com/"}), "`events` is missing"),
        (json!({"url": "https://example.com/", "events": "*"}), "`events` must be a list of strings"),
        (
            json!({"url": "https://example.com/", "events": []}),
            "`events` must not be empty; there are *, session.",
        ),
        (
            json!({"url": "https://example.com/", "events": ["session.made"]}),
            "there are *, session.created, ",
        ),
        (json!({"url": "https://example.com/", "events": ["*"], "secret": ""}), "`secret` must not be empty"),
        (json!({"url": "https://example.com/", "events": ["*"], "secret": 1}), "`secret` must be a string"),
    ];
    for (body, expected) in refused {
        let message = gateway.client().post("/hooks", body.clone()).await.error(400, "bad_request");
        assert!(message.contains(expected), "{body}: {message}");
    }
    assert_eq!(gateway.client().get("/hooks").await.expect(200), json!({"hooks": []}));
    for path in ["/hooks/hook_none/test", "/hooks/hook_none/deliveries/dlv_none/replay"] {
        gateway.client().post(path, json!({})).await.error(404, "not_found");
    }
    gateway.client().get("/hooks/hook_none/deliveries").await.error(404, "not_found");
    gateway.client().get("/hooks/hook_none/deliveries?limit=0").await.error(400, "bad_request");

    let minted = gateway.client().post("/auth/tokens", json!({"scopes": ["hooks:read"]})).await.expect(201);
    let reader = gateway.client().with_token(minted["token"].as_str());
    reader.get("/hooks").await.expect(200);
    let body = json!({"url": "https://example.com/", "events": ["*"]});
    assert!(reader.post("/hooks", body).await.error(403, "forbidden").contains("hooks:write"));
}

/// The operator's day with a receiver that says that it is gone: what is seen where, and what brings it back.
#[tokio::test]
async fn a_hook_that_was_turned_off_is_seen_and_brought_back() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(INSIDE).await;
    let client = gateway.client();
    let url = receiver.url();
    let added = gateway.home().run(&["hook", "add", &url, "--event", "session.created", "--json"]).await;
    let added: Value = serde_json::from_str(&added.stdout).unwrap();
    let (id, secret) = (added["id"].as_str().unwrap(), added["secret"].as_str().unwrap());
    let watcher = Receiver::start().await;
    register(&gateway, &watcher.url(), &["error.occurred"]).await;
    let path = format!("/hooks/{id}");

    receiver.answer(410);
    gateway.open_session("ada").await;
    let told = watcher.until(1).await.remove(0).json();
    assert_eq!((&told["type"], &told["data"]["hook_id"]), (&json!("error.occurred"), &json!(id)));
    assert!(told["data"]["reason"].as_str().unwrap().contains("410 Gone"), "{told}");
    let status = client.get("/status").await.expect(200);
    let issues = status["issues"].to_string();
    assert_eq!(status["status"], "degraded");
    assert!(
        issues.contains("410 Gone") && issues.contains(&format!("prx hook set {id} --active true")),
        "{issues}"
    );
    let doctor = gateway.home().run(&["doctor"]).await;
    assert!(
        doctor.stdout.contains("410 Gone") && !doctor.stdout.contains("comes back by itself"),
        "{}",
        doctor.stdout
    );
    assert!(gateway.metrics().await.contains(&format!("prx_hook_active{{hook=\"{id}\"}} 0\n")));
    gateway.open_session("while it is off").await;
    let off = client.post(&format!("{path}/test"), json!({})).await.error(409, "conflict");
    assert!(off.contains("turn it on first"), "{off}");

    // The fix that was named is one.
    receiver.answer(200);
    let fixed = gateway.home().run(&["hook", "set", id, "--active", "true"]).await;
    assert_eq!(fixed.code, Some(0), "{}", fixed.stderr);
    let replayed = gateway.home().run(&["hook", "replay", id, "--failed"]).await;
    assert_eq!(replayed.stdout.trim(), "1 on their way again", "{}", replayed.stderr);
    let again = receiver.until(2).await.remove(1);
    assert_eq!(again.signature, again.signed(&base64(secret.strip_prefix("whsec_").unwrap())));
    until("the gateway to be well", async || {
        (client.get("/status").await.expect(200)["status"] == "healthy").then_some(())
    })
    .await;

    rotate_and_pause(&gateway, &receiver, id, secret).await;
}

async fn rotate_and_pause(gateway: &Gateway, receiver: &Receiver, id: &str, secret: &str) {
    let (client, path) = (gateway.client(), format!("/hooks/{id}"));
    // The secret is replaced without a receiver that refuses meanwhile.
    let rotated = client.patch(&path, json!({"rotate_secret": true})).await.expect(200);
    let new = rotated["secret"].as_str().unwrap().to_owned();
    assert!(rotated["previous_secret_until"].is_string() && new != secret);
    let changes = json!({"events": ["session.terminated"], "url": receiver.url()});
    let changed = client.patch(&path, changes).await.expect(200);
    assert!(changed.get("secret").is_none() && !client.get(&path).await.to_string().contains(&new));
    gateway.open_session("not taken any more").await;
    client.post(&format!("{path}/test"), json!({})).await.expect(202);
    let signed = receiver.until(3).await.remove(2);
    let signature = |secret: &str| signed.signed(&base64(secret.strip_prefix("whsec_").unwrap()));
    assert_eq!(signed.signature, format!("{} {}", signature(&new), signature(secret)));

    // What waits while the operator has turned it off is delivered when he turns it on, after a restart, too.
    client.patch(&path, json!({"active": false, "events": ["*"]})).await.expect(200);
    assert_eq!(client.get("/status").await.expect(200)["status"], "healthy");
    for (body, word) in [
        (json!({"url": "http://10.0.0.1:x/"}), "`url`"),
        (json!({"events": []}), "`events`"),
        (json!({"active": "yes"}), "`active` must be true or false"),
        (json!({"overlap_secs": 604_801}), "from 0 to 604800"),
        (json!({"secret": "a", "rotate_secret": true}), "`secret`"),
    ] {
        let refused = client.patch(&path, body.clone()).await.error(400, "bad_request");
        assert!(refused.contains(word), "{body}: {refused}");
    }
    client.patch("/hooks/hook_none", json!({"active": true})).await.error(404, "not_found");
    assert_eq!(client.get(&path).await.expect(200)["active"], false, "what is refused changes nothing");
}
