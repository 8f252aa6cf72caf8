//! How sessions end and go on with agents: what was said is carried along, in the person's language, and goes with the person.

use std::fs;

use prx_tests::client::{Answer, Client};
use prx_tests::gateway::{Gateway, Home};
use prx_tests::scripted;
use prx_tests::system::{System, post};
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};

/// A model that says what it is shown.
fn showing() -> Value {
    json!([{"answers": [[{"show": "request"}]]}])
}

async fn open(client: &Client, more: Value) -> String {
    client.post("/sessions", more).await.expect(201)["id"].as_str().unwrap().to_owned()
}

async fn say(client: &Client, session: &str, text: &str) -> Answer {
    client.post(&format!("/sessions/{session}/messages"), json!({"content": text})).await
}

async fn answer(client: &Client, session: &str, text: &str) -> String {
    say(client, session, text).await.expect(200)["content"].as_str().unwrap().to_owned()
}

/// The session that goes on where this one has ended.
async fn next(client: &Client, session: &str) -> String {
    let refused = say(client, session, "Still there?").await;
    let message = refused.error(409, "conflict");
    let next = refused.json()["error"]["details"]["next_session"].as_str().unwrap().to_owned();
    assert!(message.contains(session) && message.contains(&next), "{message}");
    next
}

fn file_holds(home: &Home, text: &str) -> bool {
    let file = fs::read(home.data().join("prx.redb")).unwrap();
    file.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn a_session_that_has_had_its_turns_goes_on_in_the_next_one() {
    let gateway = Gateway::start_in(scripted::home(&showing(), "[agent]\nmax_turns = 2\n")).await;
    let client = gateway.client();
    let new = json!({"user_id": "ann", "metadata": {"from": "web"}, "model": "scripted/scripted-1", "language": "de"});
    let first = open(client, new).await;
    assert!(!answer(client, &first, "My word is heron-4711.").await.contains("Sitzung"));
    let last = answer(client, &first, "And that was it.").await;
    assert!(last.contains("\n\n[Diese Sitzung endet hier"), "{last}");
    assert_eq!(client.get(&format!("/sessions/{first}")).await.expect(200)["status"], "terminated");
    let second = next(client, &first).await;
    assert_eq!(next(client, &first).await, second, "whoever asks again is told the same");
    let shown = client.get(&format!("/sessions/{second}")).await.expect(200);
    assert_eq!(
        (&shown["user_id"], &shown["metadata"], &shown["model"], &shown["language"], &shown["status"]),
        (
            &json!("ann"),
            &json!({"from": "web"}),
            &json!("scripted/scripted-1"),
            &json!("de"),
            &json!("active")
        )
    );

    let gateway = gateway.restart().await;
    let client = gateway.client();
    assert_eq!(next(client, &first).await, second);
    let told = answer(client, &second, "What was it?").await;
    assert!(told.contains("heron-4711"), "{told}");
    // It ends before a turn of its own, and what it was given goes on.
    client.delete(&format!("/sessions/{second}")).await.expect(204);
    let third = next(client, &second).await;
    assert_eq!(next(client, &first).await, second);
    client.delete(&format!("/sessions/{third}")).await.expect(204);
    let fourth = next(client, &third).await;
    assert!(answer(client, &fourth, "And now?").await.contains("heron-4711"));

    client.delete("/users/api/ann").await.expect(200);
    for session in [&first, &second, &third, &fourth] {
        client.get(&format!("/sessions/{session}")).await.error(404, "not_found");
        say(client, session, "Still there?").await.error(404, "not_found");
    }
    let home = gateway.stop().await;
    assert_eq!(home.run(&["store", "compact"]).await.code, Some(0));
    assert!(!file_holds(&home, "heron-4711"));
}

#[tokio::test]
async fn a_conversation_goes_on_after_a_pause_and_begins_anew_when_it_is_told_to() {
    let telegram = FakeTelegram::start().await;
    let times = "[agent]\nsession_idle_secs = 1\nsession_timeout_secs = 1\n";
    let home = scripted::home(&showing(), &format!("{}{times}", telegram.config(&["*"])));
    let gateway = Gateway::start_in(home).await;
    let heard = async |count: usize| {
        let all = telegram.until("an answer", |telegram| {
            let sent = telegram.sent_to(7);
            (sent.len() >= count).then_some(sent)
        });
        all.await.pop().unwrap()
    };
    telegram.write(7, "My word is heron-4711.");
    heard(1).await;
    let first = until("the session to end", async || {
        let all = gateway.client().get("/sessions?status=terminated&channel=telegram").await.expect(200);
        all["sessions"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let longer = json!({"agent.session_idle_secs": 600, "agent.session_timeout_secs": 600});
    gateway.client().patch("/config", longer).await.expect(200);
    // Who asks over the API is told the conversation's own next session.
    let second = next(gateway.client(), &first).await;
    telegram.write(7, "What was it?");
    assert!(heard(2).await.contains("heron-4711"));
    let here = gateway.client().get(&format!("/sessions/{second}")).await.expect(200);
    assert_eq!((&here["channel"], &here["turn_count"]), (&json!("telegram"), &json!(1)));

    telegram.write(7, "/new");
    heard(3).await;
    telegram.write(7, "And now?");
    assert!(!heard(4).await.contains("heron-4711"));
}

#[tokio::test]
async fn the_agent_speaks_the_language_that_is_heard() {
    let telegram = FakeTelegram::start().await;
    let system = System::start().await;
    let agents = "[agents.english]\nlanguage = \"en\"\n[agents.german]\nlanguage = \"de\"\n";
    let config = format!("{}{}{agents}", telegram.config(&["*"]), system.config("ops"));
    let gateway = Gateway::start_in(scripted::home(&showing(), &config)).await;
    let client = gateway.client();
    let private = json!({"id": 7, "type": "private", "first_name": "Uwe"});
    let said = async |language: Value, count: usize| {
        let from = json!({"id": 7, "is_bot": false, "first_name": "Uwe", "language_code": language});
        telegram.say(7, &private, json!({"text": "/help", "from": from}));
        let all = telegram.until("help", |telegram| {
            let sent = telegram.sent_to(7);
            (sent.len() >= count).then_some(sent)
        });
        all.await.pop().unwrap()
    };
    assert!(said(json!("de-AT"), 1).await.contains("Sprich mit mir"));
    assert!(said(Value::Null, 2).await.contains("Sprich mit mir"), "the last that was heard");
    let session = gateway.sessions("telegram").await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(client.get(&format!("/sessions/{session}")).await.expect(200)["language"], "de-AT");
    assert!(said(json!("<script>"), 3).await.contains("Sprich mit mir"), "that is no language");
    assert!(said(json!("en"), 4).await.contains("You can talk to me"));

    let message = json!({"conversation": "t", "user": {"id": "u", "language": "de"}, "text": "/help"});
    until("the message to be taken", async || {
        let taken = post(client, "ops", "msg_1", &message).await.ok()?;
        (taken.status == 200).then_some(())
    })
    .await;
    assert!(system.until(1).await[0]["text"].as_str().unwrap().contains("Sprich mit mir"));

    for (more, wanted) in [
        (json!({"language": "de"}), "Sprich mit mir"),
        (json!({"language": "de", "agent": "english"}), "You can talk to me"),
        (json!({"agent": "german"}), "Sprich mit mir"),
        (json!({"language": "fr"}), "You can talk to me"),
    ] {
        let session = open(client, more.clone()).await;
        assert!(answer(client, &session, "/help").await.contains(wanted), "{more}");
    }
    for wrong in ["de_DE", "Deutsch, bitte", "d"] {
        let refused = client.post("/sessions", json!({"language": wrong})).await.error(400, "bad_request");
        assert!(refused.contains(wrong) && refused.contains("BCP 47"), "{refused}");
    }
}
