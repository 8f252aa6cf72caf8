//! What is said can be taken back: a person is erased, and the room of what is gone given back.
use std::fs;

use hyper::Method;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::scripted;
use prx_tests::wait::until;
use serde_json::{Value, json};

const CANARY: &str = "canary-of-ann";

fn file_holds(home: &Home, text: &str) -> bool {
    let file = fs::read(home.data().join("prx.redb")).unwrap();
    file.windows(text.len()).any(|part| part == text.as_bytes())
}

async fn say(gateway: &Gateway, session: &str, text: &str, key: &str) -> Value {
    let request = gateway.client().request(Method::POST, &format!("/sessions/{session}/messages"));
    let request = request.header("content-type", "application/json").header("idempotency-key", key);
    gateway.client().send(request, json!({"content": text}).to_string().into()).await.expect(200)
}

async fn remember(gateway: &Gateway, user: &str, text: &str) {
    gateway.client().post("/memory", json!({"user_id": user, "text": text})).await.expect(201);
}

#[tokio::test]
async fn a_person_is_erased_with_everything_that_was_said_also_from_the_file() {
    let endless = json!([{"repeat": {"text": "on and ", "times": 100_000, "every_ms": 5}}]);
    let script = json!([{"when": "go", "answers": [endless]}, {"answers": [[{"text": CANARY}]]}]);
    let gateway = Gateway::start_in(scripted::home(&script, "")).await;
    let (client, home) = (gateway.client(), gateway.home());
    let sessions = [gateway.open_session("ann/1 ü").await, gateway.open_session("ann/1 ü").await];
    let bo = gateway.open_session("bo").await;
    for n in 0..30 {
        say(&gateway, &sessions[0], &format!("{CANARY} {n}"), &format!("ann {n}")).await;
        say(&gateway, &bo, &format!("bo says {n}"), &format!("bo {n}")).await;
    }
    remember(&gateway, "ann/1 ü", CANARY).await;
    remember(&gateway, "bo", "bo's own").await;
    let path = format!("/sessions/{}/messages", sessions[1]);
    let mut at_work = client.stream(&path, json!({"content": format!("go {CANARY}")})).await;
    assert_eq!(at_work.next().await.unwrap().0, "token");

    // Whoever may write sessions may not erase people, and a slip of the hand erases nobody.
    let minted =
        client.post("/auth/tokens", json!({"scopes": ["sessions:write", "memory:write"]})).await.expect(201);
    let writer = client.with_token(minted["token"].as_str());
    assert!(writer.delete("/users/api/bo").await.error(403, "forbidden").contains("admin"));
    let unasked = home.run(&["user", "erase", "api", "ann/1 ü"]).await;
    assert!(unasked.code == Some(1) && unasked.stderr.contains("--yes"), "{unasked:?}");
    assert_eq!(gateway.sessions("api").await.len(), 3);

    let before = gateway.messages(&bo).await;
    let erased = client.delete("/users/api/ann%2F1%20%C3%BC").await.expect(200);
    assert_eq!((&erased["channel"], &erased["user_id"]), (&json!("api"), &json!("ann/1 ü")));
    let erased = &erased["erased"];
    assert_eq!(
        (&erased["sessions"], &erased["memories"], &erased["kept_answers"]),
        (&json!(2), &json!(1), &json!(30))
    );
    assert!(erased["messages"].as_u64() >= Some(61), "{erased}");
    let (last, told) = at_work.rest().await.pop().unwrap();
    assert!(last == "error" && told.to_string().contains("terminated"), "its turn ends first: {last} {told}");
    client.get(&format!("/sessions/{}", sessions[0])).await.error(404, "not_found");
    client.get(&path).await.error(404, "not_found");
    assert_eq!(client.get("/memory?user_id=ann%2F1%20%C3%BC").await.expect(200), json!({"memories": []}));
    assert_eq!(gateway.sessions("api").await.len(), 1);
    assert_eq!(gateway.messages(&bo).await, before);
    let again = home.run(&["user", "erase", "api", "ann/1 ü", "--yes", "--json"]).await;
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert!(again["erased"].as_object().unwrap().values().all(|count| count == 0), "{again}");
    client.delete("/users/api/nobody").await.expect(200);
    let written = client.get("/audit?action=user.erased&limit=3").await.expect(200);
    let first = &written["entries"][2];
    assert_eq!(
        (&first["target"], &first["details"]["erased"]["sessions"]),
        (&json!("api/ann/1 ü"), &json!(2))
    );
    assert!(!written.to_string().contains(CANARY));

    what_is_gone_leaves_the_file(gateway, &bo).await;
}

async fn what_is_gone_leaves_the_file(gateway: Gateway, bo: &str) {
    let (client, home) = (gateway.client(), gateway.home());
    // What goes on is not disturbed.
    let body = json!({"content": "go on"});
    let mut going_on = client.stream(&format!("/sessions/{bo}/messages"), body).await;
    assert_eq!(going_on.next().await.unwrap().0, "token");
    until("the file to be without it", async || {
        let compacted = home.run(&["store", "compact"]).await;
        (compacted.code == Some(0)).then_some(compacted.stdout)
    })
    .await;
    assert_eq!(going_on.next().await.unwrap().0, "token");
    client.post(&format!("/sessions/{bo}/cancel"), json!({})).await.expect(200);
    // The provider has said it to Bo, too, and his words stay.
    client.delete("/users/api/bo").await.expect(200);
    let ann = gateway.open_session("ann/1 ü").await;
    assert_eq!(gateway.messages(&ann).await, [], "the same person may come again");
    let home = gateway.stop().await;
    let offline = home.run(&["store", "compact"]).await;
    assert!(offline.code == Some(0) && offline.stdout.contains(" now"), "{offline:?}");
    let script = fs::read_to_string(home.path().join("prx.toml")).unwrap();
    assert!(script.contains(CANARY), "the words are the script's, too: no log or cache is looked at");
    assert!(!file_holds(&home, CANARY));
    let gateway = Gateway::start_in(home).await;
    assert_eq!(gateway.sessions("api").await.len(), 1);
    gateway.open_session("ann/1 ü").await;
}

#[tokio::test]
async fn nothing_is_there_to_be_compacted_without_a_store() {
    let home = Home::new("");
    let refused = home.run(&["store", "compact"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("there is no store in"), "{refused:?}");
    assert!(!home.data().join("prx.redb").exists(), "looking makes none");
}
