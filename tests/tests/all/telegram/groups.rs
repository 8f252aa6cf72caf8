//! Groups: what is said to the bot is heard, each topic is a session of its own, and a group that moves goes on.

use prx_tests::gateway::Gateway;
use prx_tests::models::{Dialect, FakeModel};
use prx_tests::scripted;
use prx_tests::telegram::{FakeTelegram, Sent};
use prx_tests::wait::until;
use serde_json::{Value, json};

use super::{answers, running};

const GROUP: i64 = -100_500;

fn group() -> Value {
    json!({"id": GROUP, "type": "supergroup", "title": "Room", "is_forum": true})
}

fn in_topic(topic: i64, text: &str) -> Value {
    json!({"text": format!("@prx_test_bot {text}"), "message_thread_id": topic, "is_topic_message": true})
}

async fn sent_in_group(telegram: &FakeTelegram, count: usize) -> Vec<Sent> {
    answers(telegram, GROUP, count).await;
    telegram.sent().into_iter().filter(|sent| sent.chat == GROUP).collect()
}

#[tokio::test]
async fn a_group_hears_what_is_said_to_the_bot_and_each_topic_is_a_session() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    telegram.say(1, &group(), json!({"text": "not for the bot"}));
    telegram.say(1, &group(), json!({"text": "/help@another_bot"}));
    telegram.say(1, &group(), in_topic(7, "in seven"));
    telegram.say(2, &group(), in_topic(8, "in eight"));
    telegram.say(3, &group(), in_topic(7, "again in seven"));
    telegram.say(4, &group(), json!({"text": "@prx_test_bot in none"}));
    let sent = sent_in_group(&telegram, 4).await;
    let threads = |word: &str| {
        sent.iter().filter(|sent| sent.text.contains(word)).map(|s| s.thread).collect::<Vec<_>>()
    };
    assert_eq!(threads("in seven"), [Some(7), Some(7)]);
    assert_eq!((threads("in eight"), threads("in none")), (vec![Some(8)], vec![None]));
    assert_eq!(gateway.sessions("telegram").await.len(), 3);
    gateway.stop().await;
    assert_eq!(telegram.sent_to(GROUP).len(), 4, "what is not for the bot is not answered");
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_stops_what_is_done_for_another() {
    let telegram = FakeTelegram::start().await;
    let endless = json!([{"repeat": {"text": "on and ", "times": 100_000, "every_ms": 5}}]);
    let script = json!([{"when": "go", "answers": [endless]}, {"answers": [[{"text": "At your service."}]]}]);
    let config = telegram.config(&["*"]) + "interrupt_on_new_message = true\n";
    let gateway = Gateway::start_in(scripted::home(&script, &config)).await;
    let say = |user: i64, text: &str| {
        telegram.say(user, &group(), json!({"text": format!("@prx_test_bot {text}")}))
    };
    say(1, "go");
    let session = until("the turn to be at work", async || {
        let sessions = gateway.sessions("telegram").await;
        Some(sessions.first()?["id"].as_str()?.to_owned())
    })
    .await;
    say(2, "/stop");
    say(3, "hello");
    until("both to be heard", async || (gateway.heard("telegram").await.len() == 3).then_some(())).await;
    let said = gateway.messages(&session).await;
    assert!(said.iter().all(|(role, _)| role == "user"), "the turn goes on: {said:?}");
    say(1, "/stop");
    answers(&telegram, GROUP, 3).await;
    let page = gateway.client().get(&format!("/sessions/{session}/messages")).await.expect(200);
    let stopped = page["messages"].as_array().unwrap().iter().filter(|message| message["stopped"] == true);
    assert_eq!(stopped.count(), 1, "{page}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_group_that_moves_goes_on_in_its_session() {
    const MOVED: i64 = -100_900;
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    telegram.say(1, &json!({"id": -5, "type": "group"}), json!({"text": "@prx_test_bot before"}));
    answers(&telegram, -5, 1).await;
    telegram.say(1, &json!({"id": -5, "type": "group"}), json!({"migrate_to_chat_id": MOVED}));
    telegram.say(1, &json!({"id": MOVED, "type": "supergroup"}), json!({"text": "@prx_test_bot after"}));
    assert!(answers(&telegram, MOVED, 1).await[0].contains("after"));
    assert_eq!(gateway.sessions("telegram").await.len(), 1);
    assert_eq!(gateway.heard("telegram").await, ["before", "after"]);
    gateway.stop().await;
}

#[tokio::test]
async fn the_model_is_told_who_speaks_what_was_said_before_and_what_is_answered() {
    let (telegram, model) = (FakeTelegram::start().await, FakeModel::start(Dialect::OPENAI).await);
    let config = model.config(&(telegram.config(&["*"]) + "hear_groups = true\n"));
    let gateway = Gateway::start(&config).await;
    telegram.say(1, &group(), json!({"text": "I am vegetarian"}));
    telegram.say(2, &group(), json!({"text": "@prx_test_bot what can I cook?"}));
    let first = model.until_told(1).await;
    let said = "[said here before, not to you]\n> User 1: I am vegetarian\n\nUser 2: what can I cook?";
    assert!(first.contains(said), "{first}");
    answers(&telegram, GROUP, 1).await;

    let carl = json!({"id": 3, "first_name": "Carl"});
    let answered = json!({"message_id": 9, "from": carl, "text": "We should move to Postgres 17."});
    let ask = json!({"text": "@prx_test_bot what do you think?", "reply_to_message": answered});
    telegram.say(1, &group(), ask);
    let second = model.until_told(2).await;
    let said =
        "[in reply to a message from Carl]\n> We should move to Postgres 17.\n\nUser 1: what do you think?";
    assert!(second.contains(said) && !second.contains("vegetarian"), "{second}");
    answers(&telegram, GROUP, 2).await;

    telegram.say(1, &group(), json!({"text": "forget this"}));
    telegram.say(2, &group(), json!({"text": "/new@prx_test_bot"}));
    answers(&telegram, GROUP, 3).await;
    telegram.say(2, &group(), json!({"text": "@prx_test_bot hello"}));
    let third = model.until_told(3).await;
    assert!(third.contains("User 2: hello") && !third.contains("forget this"), "{third}");
    answers(&telegram, GROUP, 4).await;

    // The bytes of a picture that is answered, and the words of others that are passed on.
    telegram.send_file(1, "photo", ("harbour", "a picture of a harbour"), "mine");
    model.until_told(4).await;
    let private = json!({"id": 1, "type": "private"});
    let photo = json!({"message_id": 8, "from": carl, "photo": [{"file_id": "photos/1-harbour"}]});
    telegram.say(1, &private, json!({"text": "what is in this?", "reply_to_message": photo}));
    let fifth = model.until_told(5).await;
    assert!(fifth.contains("[in reply to a message from Carl, with a picture]"), "{fifth}");
    assert!(fifth.contains("YSBwaWN0dXJlIG9mIGEgaGFyYm91cg=="), "{fifth}");
    let origin = json!({"type": "user", "sender_user": carl});
    telegram.say(1, &private, json!({"text": "We owe you 3000 euros.", "forward_origin": origin}));
    telegram.say(1, &private, json!({"text": "is that so?"}));
    let sixth = model.until_told(6).await;
    let said = "[forwarded from Carl, not the sender's own words]\n> We owe you 3000 euros.\n\nis that so?";
    assert!(sixth.contains(said), "{sixth}");
    assert_eq!(model.broken_rules(), Vec::<String>::new());
    gateway.stop().await;
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}
