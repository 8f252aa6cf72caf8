//! A question is asked with buttons, and pressing one answers it.

use prx_tests::component::Component;
use prx_tests::gateway::Gateway;
use prx_tests::scripted;
use prx_tests::telegram::{FakeTelegram, Sent};
use serde_json::{Value, json};

/// A gateway whose model wants to call a tool that a person has to allow.
async fn asking(telegram: &FakeTelegram) -> Gateway {
    let call = json!({"call": {"name": "hello", "arguments": {"name": "Ada"}}});
    let script = json!([{"answers": [[call], [{"show": "request"}]]}]);
    let config = telegram.config(&["1"]) + "[tools]\npolicy = { hello = \"ask\" }\n";
    let home = scripted::home(&script, &config);
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    Gateway::start_in(home).await
}

async fn question(telegram: &FakeTelegram) -> Sent {
    telegram.until("a question", |t| t.sent().into_iter().rfind(|sent| !sent.keyboard.is_null())).await
}

#[tokio::test]
async fn a_press_of_a_button_answers_the_question() {
    let (english, german) = ("May I call the tool hello", "Darf ich das Werkzeug hello");
    for (language, words, allow, label, result) in [
        ("en", english, "Allow once", "Allow once", "Hello, Ada!"),
        ("de-AT", german, "Einmal erlauben", "Ablehnen", "was not called"),
    ] {
        let telegram = FakeTelegram::start().await;
        let gateway = asking(&telegram).await;
        let from = json!({"id": 1, "is_bot": false, "first_name": "Uwe", "language_code": language});
        let private = json!({"id": 1, "type": "private", "first_name": "Uwe"});
        telegram.say(1, &private, json!({"text": "greet her", "from": from}));
        let asked = question(&telegram).await;
        assert!(asked.text.contains(words), "{}", asked.text);
        telegram.press(66, &asked, allow);
        telegram.press(1, &asked, label);
        let answered = |t: &FakeTelegram| t.sent_to(1).into_iter().find(|text| text.contains("greet her"));
        assert!(telegram.until("the reply", answered).await.contains(result));
        telegram.until("every press to be acknowledged", |t| (t.waiting_presses() == 0).then_some(())).await;
        let closed =
            |t: &FakeTelegram| t.sent().iter().all(|sent| sent.keyboard == Value::Null).then_some(());
        telegram.until("the buttons to be gone", closed).await;
        assert!(
            gateway.output().says_soon(&["66", "allowed_users"]).await,
            "a stranger's press counts for nothing"
        );
        gateway.stop().await;
        assert_eq!(telegram.sent_to(1).len(), 2, "the question and the reply");
        assert_eq!(telegram.broken_rules(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_question_outlives_a_kill_and_its_buttons_still_work() {
    let telegram = FakeTelegram::start().await;
    let gateway = asking(&telegram).await;
    telegram.write(1, "greet her");
    let asked = question(&telegram).await;
    let gateway = Gateway::start_in(gateway.kill()).await;
    telegram.press(1, &asked, "Allow once");
    let answered = |t: &FakeTelegram| t.sent_to(1).into_iter().find(|text| text.contains("greet her"));
    assert!(telegram.until("the reply", answered).await.contains("Hello, Ada!"));
    gateway.stop().await;
}
