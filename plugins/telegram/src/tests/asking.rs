use prx_sdk::connector::{Choice, Content};

use super::*;

fn choice(id: &str, label: &str) -> Choice {
    Choice { id: id.into(), label: label.into() }
}

fn ask(text: &str, choices: Vec<Choice>) -> Operation {
    Operation::Ask((Content::text(text), choices))
}

/// Someone presses a button under message 31 in this chat.
fn press(update: i64, user: i64, chat: Value, data: &str) -> Value {
    json!({"update_id": update, "callback_query": {
        "id": "press-1", "chat_instance": "x", "data": data,
        "from": {"id": user, "is_bot": false, "first_name": "Ann"},
        "message": {"message_id": 31, "date": 1_700_000_000, "chat": chat, "text": "May I?",
            "from": {"id": 99, "is_bot": true, "first_name": "Prx"},
            "reply_markup": {"inline_keyboard": [
                [{"text": "Yes, do", "callback_data": "allow"}], [{"text": "a link", "url": "https://x"}],
                [{"text": "No", "callback_data": "deny"}]]}},
    }})
}

fn private() -> Value {
    json!({"id": 7, "type": "private"})
}

#[test]
fn a_question_has_a_button_for_each_choice_under_its_last_part() {
    let mut talk = Talk::listening();
    let choices = || vec![choice("allow", "Yes, do"), choice("deny", "")];
    let id = talk.script.operate(Target::conversation("7"), ask("May **I**?", choices()));
    let keyboard = json!({"inline_keyboard": [
        [{"text": "Yes, do", "callback_data": "allow"}], [{"text": "deny", "callback_data": "deny"}]]});
    let body = talk.body("sendMessage");
    assert_eq!((&body["text"], &body["reply_markup"]), (&json!("May <b>I</b>?"), &keyboard));
    talk.ok("sendMessage", json!({"message_id": 31}));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(Some("31".into())));

    talk.script.operate(Target::conversation("7"), ask(&"word ".repeat(1000), choices()));
    assert_eq!(talk.body("sendMessage").get("reply_markup"), None);
    talk.ok("sendMessage", json!({"message_id": 32}));
    assert_eq!(talk.body("sendMessage")["reply_markup"], keyboard);
}

#[test]
fn a_choice_that_a_button_can_not_carry_is_refused() {
    for id in ["", &"x".repeat(65)] {
        let mut talk = Talk::listening();
        let id = talk.script.operate(Target::conversation("7"), ask("May I?", vec![choice(id, "Yes")]));
        assert!(matches!(talk.outcome(&id), Outcome::Refused(why) if why.contains("64 bytes")));
    }
}

#[test]
fn a_press_is_acknowledged_and_becomes_a_choice_that_can_not_be_made_twice() {
    let mut talk = Talk::listening();
    let heard = talk.updates(json!([press(5, 7, private(), "allow")]));
    assert_eq!((heard[0].choice.as_deref(), heard[0].text.as_str()), (Some("allow"), "Yes, do"));
    assert_eq!((&heard[0].target, heard[0].addressed), (&Target::conversation("7"), true));
    assert_eq!(heard[0].dedupe, "99:5");
    assert_eq!(talk.body("answerCallbackQuery"), json!({"callback_query_id": "press-1"}));
    assert_eq!(talk.body("editMessageReplyMarkup"), json!({"chat_id": 7, "message_id": 31}));
    talk.error("answerCallbackQuery", 400, "Bad Request: query is too old", json!(null));
    talk.error("editMessageReplyMarkup", 400, "Bad Request: message is not modified", json!(null));
    assert_eq!(talk.script.requests().len(), 1, "only the poll");
}

#[test]
fn a_press_in_a_topic_belongs_to_its_session() {
    let mut talk = Talk::listening();
    let mut update = press(5, 7, json!({"id": -100, "type": "supergroup"}), "deny");
    update["callback_query"]["message"]["message_thread_id"] = json!(42);
    update["callback_query"]["message"]["is_topic_message"] = json!(true);
    let heard = talk.updates(json!([update]));
    let target =
        Target { conversation: "-100".into(), thread: Some("42".into()), reply_to: Some("31".into()) };
    assert_eq!(heard[0].target, target);
}

#[test]
fn in_a_group_only_who_is_asked_closes_the_question() {
    let group = || json!({"id": -100, "type": "supergroup"});
    let answers =
        |user: i64| json!({"message_id": 30, "chat": group(), "from": {"id": user, "first_name": "A"}});
    for (answered, closed) in [(answers(7), 1), (answers(8), 0), (json!(null), 0)] {
        let mut talk = Talk::listening();
        let mut update = press(5, 7, group(), "allow");
        update["callback_query"]["message"]["reply_to_message"] = answered;
        let heard = talk.updates(json!([update]));
        assert_eq!(
            heard[0].choice.as_deref(),
            Some("allow"),
            "whose it is to answer is not known here for sure"
        );
        assert_eq!(talk.calls("answerCallbackQuery").len(), 1);
        assert_eq!(talk.calls("editMessageReplyMarkup").len(), closed);
    }
}

#[test]
fn every_press_is_acknowledged_also_one_that_leads_nowhere() {
    let without = |field: &str| {
        let mut update = press(1, 7, private(), "allow");
        update["callback_query"].as_object_mut().expect("a press").remove(field);
        update
    };
    let mut odd = press(1, 7, private(), "allow");
    odd["callback_query"]["message"] = json!("gone");
    for update in [press(1, 8, private(), "allow"), without("message"), without("data"), odd] {
        let mut talk = Talk::listening();
        assert_eq!(talk.updates(json!([update])), [], "a stranger, a game, a message that is gone");
        assert_eq!(talk.body("answerCallbackQuery")["callback_query_id"], "press-1");
        assert!(talk.calls("editMessageReplyMarkup").is_empty());
        assert!(!talk.script.logs().is_empty());
    }
}
