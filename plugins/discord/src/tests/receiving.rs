use super::*;

fn heard(message: Value) -> Option<String> {
    Talk::live().hear(message).map(|heard| heard.text)
}

#[test]
fn a_message_is_delivered_with_all_that_is_known() {
    let mut talk = Talk::live();
    let heard = talk.hear(message(175_928_847_299_117_063, "hello")).expect("heard");
    assert_eq!(heard.dedupe, "175928847299117063");
    assert_eq!(heard.target, Target::conversation("50"));
    assert_eq!((heard.sender.id.as_str(), heard.sender.name.as_str()), ("7", "Ann Lee"));
    assert_eq!((heard.text.as_str(), heard.sent_at), ("hello", 1_462_015_105_796));
    assert!(heard.addressed && heard.choice.is_none());
}

#[test]
fn its_place_in_the_session_is_kept_with_what_it_delivered() {
    let mut talk = Talk::live();
    talk.dispatch("MESSAGE_CREATE", message(1, "hi"));
    let commands = talk.script.commands();
    assert!(commands.iter().any(|command| matches!(command, Command::Deliver(_))));
    assert_eq!(talk.script.state().session.expect("a session").sequence, 2);
}

#[test]
fn only_people_who_are_allowed_are_heard() {
    let by = |author: Value| {
        let mut message = message(1, "hi");
        message["author"] = author;
        heard(message)
    };
    assert!(by(json!({"id": "7", "username": "x"})).is_some());
    assert!(by(json!({"id": "8", "username": "ANN"})).is_some());
    assert_eq!(by(json!({"id": "8", "username": "bob"})), None);
    assert_eq!(by(json!({"id": "7", "username": "ann", "bot": true})), None);
    assert_eq!(by(json!({"id": ME, "username": "ann"})), None, "not itself");
    let mut by_webhook = message(1, "hi");
    by_webhook["webhook_id"] = json!("77");
    assert_eq!(heard(by_webhook), None);
}

#[test]
fn who_is_not_allowed_is_named_in_the_log() {
    let mut talk = Talk::live();
    let mut message = message(1, "secret words");
    message["author"] = json!({"id": "666", "username": "mallory"});
    talk.hear(message);
    let logs = talk.script.logs().join("\n");
    assert!(
        logs.contains("666") && logs.contains("allowed_users") && !logs.contains("secret words"),
        "{logs}"
    );
}

#[test]
fn in_a_server_only_what_is_said_to_the_bot_counts() {
    assert_eq!(heard(in_server(1, "just talking", json!({}))), None);
    assert_eq!(heard(in_server(1, "<@9001> what is new?", mentioning_me())).as_deref(), Some("what is new?"));
    assert_eq!(heard(in_server(1, "<@!9001>: hi", mentioning_me())).as_deref(), Some("hi"));
    assert_eq!(
        heard(in_server(1, "and you, <@9001>?", mentioning_me())).as_deref(),
        Some("and you, <@9001>?")
    );
    assert_eq!(heard(in_server(1, "<@9001>", mentioning_me())).as_deref(), Some("<@9001>"));
    let answer =
        |author: &str| json!({"type": 19, "referenced_message": {"id": "3", "author": {"id": author}}});
    assert_eq!(heard(in_server(1, "yes", answer(ME))).as_deref(), Some("yes"));
    assert_eq!(heard(in_server(1, "yes", answer("8"))), None);
    assert_eq!(heard(in_server(1, "yes", json!({"referenced_message": null}))), None);
}

#[test]
fn without_mention_only_all_of_a_server_is_heard() {
    let mut config = config();
    config["mention_only"] = json!(false);
    let heard = Talk::live_with(config).hear(in_server(1, "just talking", json!({}))).expect("heard");
    assert!(!heard.addressed);
}

#[test]
fn only_servers_on_the_list_are_listened_to() {
    let mut config = config();
    config["allowed_guilds"] = json!(["6"]);
    let mut talk = Talk::live_with(config);
    assert!(talk.hear(in_server(1, "<@9001> hi", mentioning_me())).is_some());
    let mut elsewhere = in_server(2, "<@9001> hi", mentioning_me());
    elsewhere["guild_id"] = json!("66");
    assert_eq!(talk.hear(elsewhere), None);
    assert!(talk.hear(message(3, "hi")).is_some(), "alone with the bot there is no server");
}

#[test]
fn a_message_in_a_server_is_replied_to_and_a_thread_is_a_place_of_its_own() {
    let mut talk = Talk::live();
    let heard = talk.hear(in_server(1, "<@9001> hi", mentioning_me())).expect("heard");
    let target = |conversation: &str, message: &str| Target {
        conversation: conversation.into(),
        thread: None,
        reply_to: Some(message.into()),
    };
    assert_eq!(heard.target, target("60", "1"));
    let mut in_thread = in_server(2, "<@9001> hi", mentioning_me());
    in_thread["channel_id"] = json!("61");
    assert_eq!(talk.hear(in_thread).expect("heard").target, target("61", "2"));
}

#[test]
fn the_platforms_own_news_and_empty_messages_are_none() {
    for kind in [1, 6, 7, 8, 18, 21, 46] {
        let mut news = message(1, "pinned");
        news["type"] = json!(kind);
        assert_eq!(heard(news), None, "{kind}");
    }
    assert_eq!(heard(message(1, " \n")), None);
}

#[test]
fn what_is_not_understood_is_passed_over_and_logged_once() {
    let mut talk = Talk::live();
    for n in 0..50 {
        talk.dispatch("MESSAGE_CREATE", json!({"id": n}));
        talk.dispatch("TYPING_START", json!(null));
        talk.op(77, json!({}));
        talk.script.receive(1, r#"{"op":0,"d":{"#);
        talk.script.feed(prx_sdk::connector::Event::WsBinary((1, vec![0xff; 64])));
    }
    assert!(talk.hear(message(5, "still here")).is_some());
    let logs = talk.script.logs();
    for kind in ["message", "unknown kind", "can't be read", "no text"] {
        let lines = logs.iter().filter(|line| line.contains(kind)).count();
        assert!((1..=4).contains(&lines), "{kind}: {logs:#?}");
    }
    assert_eq!(talk.script.state().session.expect("a session").sequence, talk.sequence);
}
