use prx_sdk::connector::{Content, Event};

use super::*;
use crate::text::units;

pub(super) fn sent(message_id: i64) -> Value {
    json!({"message_id": message_id, "date": 1, "chat": {"id": 7}})
}

pub(super) fn ok(message_id: &str) -> Outcome {
    Outcome::Ok(Some(message_id.to_owned()))
}

fn is_retry(outcome: &Outcome, low: u32, high: u32) -> bool {
    matches!(outcome, Outcome::RetryAfter(after) if (low..=high).contains(after))
}

fn long_text() -> String {
    "word ".repeat(2000)
}

#[test]
fn a_reply_goes_out_as_html_and_its_id_is_told() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", "**hi** <you>");
    let call = talk.call("sendMessage");
    assert_eq!(call.url_text(), "https://api.telegram.org/bot{secret:bot_token}/sendMessage");
    assert_eq!(call.lane.as_deref(), Some("chat:7"));
    assert_eq!(
        call.body_json(),
        json!({"chat_id": 7, "text": "<b>hi</b> &lt;you&gt;", "parse_mode": "HTML"})
    );
    talk.ok("sendMessage", sent(31));
    assert_eq!(talk.outcome(&id), &ok("31"));
    assert_eq!(talk.script.state().ops[..], []);
}

#[test]
fn a_reply_in_a_topic_goes_there_and_quotes_what_it_answers() {
    let mut talk = Talk::listening();
    let target =
        Target { conversation: "-100".into(), thread: Some("42".into()), reply_to: Some("10".into()) };
    talk.script.operate(target, Operation::Send(Content::text(long_text())));
    let first = talk.body("sendMessage");
    assert_eq!((&first["message_thread_id"], &first["chat_id"]), (&json!(42), &json!(-100)));
    assert_eq!(first["reply_parameters"], json!({"message_id": 10, "allow_sending_without_reply": true}));
    talk.ok("sendMessage", sent(31));
    let second = talk.body("sendMessage");
    assert_eq!((&second["message_thread_id"], second.get("reply_parameters")), (&json!(42), None));
}

#[test]
fn ten_thousand_characters_go_out_in_order_one_after_the_other() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", &long_text());
    let mut text = Vec::new();
    for message_id in 31..34 {
        let part = talk.body("sendMessage")["text"].as_str().expect("a text").to_owned();
        assert!(units(&part) <= 4096);
        text.push(part);
        assert!(talk.script.outcome(&id).is_none());
        talk.ok("sendMessage", sent(message_id));
    }
    assert_eq!(text.join(" "), long_text().trim_end());
    assert_eq!(talk.outcome(&id), &ok("31"));
}

#[test]
fn a_later_attempt_goes_on_with_the_part_whose_outcome_is_open() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", &long_text());
    talk.ok("sendMessage", sent(31));
    let second = talk.body("sendMessage");
    talk.error("sendMessage", 429, "Too Many Requests", json!({"retry_after": 3}));
    assert_eq!(talk.outcome(&id), &Outcome::RetryAfter(3000));
    talk.script.advance(Duration::from_secs(3));
    talk.retry(&id, 2, &long_text());
    assert_eq!(talk.body("sendMessage"), second);
    talk.script.restart();
    talk.retry(&id, 3, &long_text());
    assert_eq!(talk.body("sendMessage"), second, "what was committed is not sent again after a crash either");
    talk.ok("sendMessage", sent(32));
    talk.ok("sendMessage", sent(33));
    assert_eq!(talk.outcome(&id), &ok("31"));
    assert_eq!(talk.script.state().ops[..], []);
}

#[test]
fn a_swap_between_two_parts_changes_nothing() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", &long_text());
    talk.ok("sendMessage", sent(31));
    talk.script.swap();
    talk.ok("sendMessage", sent(32));
    talk.ok("sendMessage", sent(33));
    assert_eq!(talk.outcome(&id), &ok("31"));
}

#[test]
fn marks_that_the_platform_cannot_read_go_out_plain_once() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", &format!("**a** {}", long_text()));
    let why = "Bad Request: can't parse entities: Unexpected end tag";
    talk.error("sendMessage", 400, why, json!(null));
    let plain = talk.body("sendMessage");
    assert!(plain["text"].as_str().is_some_and(|text| text.starts_with("**a** word")));
    assert_eq!(plain.get("parse_mode"), None);
    talk.ok("sendMessage", sent(31));
    assert_eq!(talk.body("sendMessage")["parse_mode"], "HTML", "the next part gets its chance");
    talk.error("sendMessage", 400, why, json!(null));
    talk.error("sendMessage", 400, why, json!(null));
    assert_eq!(talk.outcome(&id), &Outcome::Refused(why.into()));
    assert_eq!(talk.script.state().ops[..], []);
}

#[test]
fn a_refusal_is_final_and_says_why() {
    for (code, why, advice) in [
        (403, "Forbidden: bot was blocked by the user", "; only that person can unblock the bot"),
        (403, "Forbidden: bot was kicked from the supergroup chat", "; add the bot to the group again"),
        (
            400,
            "Bad Request: not enough rights to send text messages to the chat",
            "; in the group's permissions, or the bot's own as an administrator, allow it to send messages, and media for \
             files",
        ),
        (400, "Bad Request: chat not found", ""),
        (413, "Request Entity Too Large", ""),
    ] {
        let mut talk = Talk::listening();
        let id = talk.script.send("7", "hi");
        talk.error("sendMessage", code, why, json!(null));
        assert_eq!(talk.outcome(&id), &Outcome::Refused(format!("{why}{advice}")));
        assert_eq!((talk.calls("sendMessage").len(), talk.script.state().ops.len()), (0, 0));
    }
}

#[test]
fn a_reply_waits_until_a_token_that_worked_does_so_again() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", "hi");
    talk.error("sendMessage", 401, "Unauthorized", json!(null));
    assert_eq!(talk.outcome(&id), &Outcome::RetryAfter(60_000));
    talk.retry(&id, 2, "hi");
    talk.answer("sendMessage", 404, json!("<html>"));
    assert!(matches!(talk.outcome(&id), Outcome::RetryAfter(500..=2_000)), "{:?}", talk.outcome(&id));
    talk.retry(&id, 3, "hi");
    talk.ok("sendMessage", json!({"message_id": 31}));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(Some("31".into())));
}

#[test]
fn a_topic_that_is_gone_is_answered_in_the_chat_itself() {
    for why in ["Bad Request: message thread not found", "Bad Request: TOPIC_CLOSED"] {
        let mut talk = Talk::listening();
        let target = Target { thread: Some("4".into()), ..Target::conversation("-5") };
        let id = talk.script.operate(target, Operation::Send(prx_sdk::connector::Content::text("hi")));
        assert_eq!(talk.body("sendMessage")["message_thread_id"], 4);
        talk.error("sendMessage", 400, why, json!(null));
        assert_eq!(talk.body("sendMessage")["message_thread_id"], json!(null));
        assert_eq!(talk.body("sendMessage")["text"], "hi");
        talk.error("sendMessage", 400, why, json!(null));
        assert_eq!(talk.outcome(&id), &Outcome::Refused(why.into()), "once is enough");
    }
}

#[test]
fn a_group_that_moved_is_found_at_its_new_place() {
    let mut talk = Talk::listening();
    let id = talk.script.send("-5", "hi");
    let moved = json!({"migrate_to_chat_id": -1005});
    talk.error("sendMessage", 400, "Bad Request: group chat was upgraded", moved.clone());
    assert_eq!(talk.body("sendMessage")["chat_id"], -1005);
    talk.error("sendMessage", 400, "Bad Request: group chat was upgraded", moved);
    assert!(matches!(talk.outcome(&id), Outcome::Refused(_)), "no endless moving");
    talk.script.send("-5", "again");
    let call = talk.call("sendMessage");
    assert_eq!((&call.body_json()["chat_id"], call.lane.as_deref()), (&json!(-1005), Some("chat:-1005")));
}

#[test]
fn trouble_at_the_platform_is_waited_out_longer_each_time() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", "hi");
    for attempt in 1..9_u32 {
        talk.answer("sendMessage", 500, json!("<html>"));
        let longest = (1000 << (attempt - 1)).min(60_000);
        assert!(is_retry(talk.outcome(&id), longest / 2, longest), "{:?}", talk.outcome(&id));
        talk.retry(&id, attempt + 1, "hi");
    }
}

#[test]
fn whether_it_arrived_decides_between_retry_and_unknown() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", "hi");
    talk.fail("sendMessage", false);
    assert!(is_retry(talk.outcome(&id), 500, 1000));
    talk.retry(&id, 2, "hi");
    talk.fail("sendMessage", true);
    assert_eq!(talk.outcome(&id), &Outcome::Unknown("connection reset".into()));
    talk.retry(&id, 3, "hi");
    talk.answer("sendMessage", 504, json!({}));
    assert!(matches!(talk.outcome(&id), Outcome::Unknown(_)), "a gateway gave up, the platform may not have");
    talk.retry(&id, 4, "hi");
    talk.answer("sendMessage", 200, json!("<html>"));
    assert!(matches!(talk.outcome(&id), Outcome::Unknown(_)));
}

#[test]
fn a_call_whose_answer_got_lost_leaves_no_operation_without_an_outcome() {
    let mut talk = Talk::listening();
    let edit = Operation::Edit(("31".into(), Content::text("new")));
    let changed = talk.script.operate(Target::conversation("7"), edit);
    let (lost, kept) = (talk.script.send("7", "one"), talk.script.send("7", "two"));
    let tokens: Vec<u64> = talk.script.requests().iter().map(|request| request.token).collect();
    let requests = vec![tokens[0], tokens[3]];
    let resumed = prx_sdk::connector::Resumed { sockets: Vec::new(), requests, timers: Vec::new() };
    talk.script.feed(prx_sdk::connector::Event::Resumed(resumed));
    assert_eq!(talk.outcome(&changed), &Outcome::RetryAfter(0), "an edit can be made twice");
    assert!(matches!(talk.outcome(&lost), Outcome::Unknown(reason) if reason.contains("lost")));
    assert_eq!(talk.script.outcome(&kept), None);
}

#[test]
fn typing_is_well_whatever_becomes_of_it() {
    let mut talk = Talk::listening();
    let id = talk.script.operate(Target::conversation("7"), Operation::Typing);
    assert_eq!(talk.outcome(&id), &Outcome::Ok(None));
    let call = talk.call("sendChatAction");
    assert_eq!(call.body_json(), json!({"chat_id": 7, "action": "typing"}));
    assert_eq!(call.lane, None, "no message waits for it");
    talk.error("sendChatAction", 403, "Forbidden", json!(null));
    assert_eq!(talk.script.state().ops[..], []);
}

#[test]
fn a_message_can_be_changed_and_no_change_is_fine() {
    let mut talk = Talk::listening();
    let edit = || Operation::Edit(("31".into(), Content::text("`new`")));
    let id = talk.script.operate(Target::conversation("7"), edit());
    let body = json!({"chat_id": 7, "message_id": 31, "text": "<code>new</code>", "parse_mode": "HTML"});
    assert_eq!(talk.body("editMessageText"), body);
    talk.error("editMessageText", 400, "Bad Request: message is not modified: …", json!(null));
    assert_eq!(talk.outcome(&id), &ok("31"));
    let id = talk.script.operate(Target::conversation("7"), edit());
    talk.fail("editMessageText", true);
    assert!(is_retry(talk.outcome(&id), 500, 1000), "to edit twice is to edit once");
}

#[test]
fn a_change_to_a_longer_text_goes_on_in_further_messages() {
    let mut talk = Talk::listening();
    let edit = || Operation::Edit(("31".into(), Content::text(long_text())));
    let id = talk.script.operate(Target::conversation("7"), edit());
    let first = talk.body("editMessageText");
    assert_eq!(first["message_id"], 31);
    talk.error("editMessageText", 400, "Bad Request: message is not modified: …", json!(null));
    let second = talk.body("sendMessage");
    talk.error("sendMessage", 429, "Too Many Requests", json!({"retry_after": 3}));
    assert_eq!(talk.outcome(&id), &Outcome::RetryAfter(3000));
    talk.script.advance(Duration::from_secs(3));
    talk.attempt(&id, 2, edit());
    assert_eq!(talk.body("sendMessage"), second, "the first part is not changed again");
    talk.ok("sendMessage", sent(32));
    let third = talk.body("sendMessage");
    talk.ok("sendMessage", sent(33));
    assert_eq!(talk.outcome(&id), &ok("31"));
    let parts = [first, second, third].map(|call| call["text"].as_str().unwrap_or_default().to_owned());
    assert_eq!(parts.join(" "), long_text().trim_end());
}

#[test]
fn a_draft_shows_what_is_being_written_in_private_chats() {
    let mut talk = Talk::listening();
    let draft = |text: &str| Operation::Draft((u64::MAX, Content::text(text)));
    let id = talk.script.operate(Target::conversation("7"), draft("**so** far"));
    let call = talk.call("sendMessageDraft");
    assert_eq!(call.lane.as_deref(), Some("chat:7"), "it does not overtake the answer, nor come after it");
    let body = call.body_json();
    assert_eq!((&body["chat_id"], &body["text"]), (&json!(7), &json!("<b>so</b> far")));
    assert!(body["draft_id"].as_u64().is_some_and(|id| (1..1 << 31).contains(&id)));
    talk.ok("sendMessageDraft", json!(true));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(None));

    let id = talk.script.operate(Target::conversation("7"), draft(&long_text()));
    let latest = talk.body("sendMessageDraft");
    assert!(latest["text"].as_str().is_some_and(|text| units(text) < 4096 && long_text().contains(text)));
    talk.error("sendMessageDraft", 404, "Not Found: method not found", json!(null));
    assert_eq!(talk.outcome(&id), &Outcome::Unsupported, "a Bot API server from before there were drafts");

    let id = talk.script.operate(Target::conversation("7"), draft(" "));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(None), "nothing is said yet");
    let id = talk.script.operate(Target::conversation("-100"), draft("x"));
    assert_eq!(talk.outcome(&id), &Outcome::Unsupported);
    assert!(talk.calls("sendMessageDraft").is_empty());
}

#[test]
fn a_message_can_be_deleted_and_reacted_to() {
    let mut talk = Talk::listening();
    let id = talk.script.operate(Target::conversation("7"), Operation::Delete("31".into()));
    assert_eq!(talk.body("deleteMessage"), json!({"chat_id": 7, "message_id": 31}));
    talk.error("deleteMessage", 400, "Bad Request: message to delete not found", json!(null));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(None));
    let id = talk.script.operate(Target::conversation("7"), Operation::React(("31".into(), "👍".into())));
    assert_eq!(talk.body("setMessageReaction")["reaction"], json!([{"type": "emoji", "emoji": "👍"}]));
    talk.ok("setMessageReaction", json!(true));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(None));
}

#[test]
fn what_cannot_be_done_is_said_at_once() {
    let mut talk = Talk::listening();
    let seven = || Target::conversation("7");
    for (target, operation) in [
        (seven(), Operation::Send(Content::text(" \n"))),
        (Target::conversation("nobody"), Operation::Send(Content::text("x"))),
        (seven(), Operation::Edit(("31".into(), Content::text("")))),
        (seven(), Operation::Delete("x".into())),
        (Target { thread: Some("x".into()), ..seven() }, Operation::Typing),
    ] {
        let id = talk.script.operate(target, operation);
        assert!(matches!(talk.outcome(&id), Outcome::Refused(_)));
    }
    assert_eq!(talk.script.requests().len(), 1, "only the poll");
}

#[test]
fn the_state_does_not_grow_with_what_never_comes_back() {
    let mut talk = Talk::listening();
    for _ in 0..100 {
        talk.script.send("7", &"word ".repeat(1000));
        talk.ok("sendMessage", sent(1));
        talk.fail("sendMessage", true);
    }
    assert!(talk.script.state().ops.len() <= 64);
    talk.script.send("7", "x");
    talk.script.restart();
    assert!(talk.script.state().ops.len() <= 64);
    talk.script.feed(Event::Timer(12345));
}

#[test]
fn a_wait_that_a_chat_asks_for_is_known_to_all_that_goes_there() {
    let mut talk = Talk::listening();
    talk.script.send("7", "one");
    talk.error("sendMessage", 429, "Too Many Requests", json!({"retry_after": 30}));
    talk.script.advance(Duration::from_secs(10));
    let edit = Operation::Edit(("31".into(), prx_sdk::connector::Content::text("more")));
    let edit = talk.script.operate(Target::conversation("7"), edit);
    assert_eq!(talk.outcome(&edit), &Outcome::RetryAfter(20_000));
    talk.script.operate(Target::conversation("7"), Operation::Typing);
    assert_eq!((talk.calls("editMessageText").len(), talk.calls("sendChatAction").len()), (0, 0));
    talk.script.send("8", "another chat");
    assert_eq!(talk.calls("sendMessage").len(), 1);
    talk.script.advance(Duration::from_secs(20));
    talk.retry("out_1", 2, "one");
    assert_eq!(talk.calls("sendMessage").len(), 2);
}

#[test]
fn a_message_in_a_group_changes_no_more_often_than_the_platform_takes() {
    let mut talk = Talk::listening();
    let edit = |talk: &mut Talk, chat: &str, text: &str| {
        let edit = Operation::Edit(("31".into(), prx_sdk::connector::Content::text(text)));
        let id = talk.script.operate(Target::conversation(chat), edit);
        if !talk.calls("editMessageText").is_empty() {
            talk.ok("editMessageText", json!({"message_id": 31}));
        }
        talk.outcome(&id).clone()
    };
    assert!(matches!(edit(&mut talk, "-5", "a"), Outcome::Ok(_)));
    talk.script.advance(Duration::from_secs(1));
    assert_eq!(edit(&mut talk, "-5", "a b"), Outcome::RetryAfter(2_200));
    talk.script.advance(Duration::from_millis(2_200));
    assert!(matches!(edit(&mut talk, "-5", "a b c"), Outcome::Ok(_)));
    assert!(matches!(edit(&mut talk, "7", "a"), Outcome::Ok(_)));
    assert!(
        matches!(edit(&mut talk, "7", "a b"), Outcome::Ok(_)),
        "with a person alone there is no such limit"
    );
}

#[test]
fn what_may_be_there_already_says_so_and_nothing_else_does() {
    const WORD: &str = "(maybe a repetition)";
    let mut talk = Talk::listening();
    let id = talk.script.send("7", "hi");
    talk.fail("sendMessage", true);
    assert!(matches!(talk.outcome(&id), Outcome::Unknown(_)));
    talk.retry(&id, 2, "hi");
    assert_eq!(talk.body("sendMessage")["text"], format!("hi\n\n{WORD}"));
    talk.ok("sendMessage", sent(31));

    let id = talk.script.send("7", &long_text());
    talk.ok("sendMessage", sent(32));
    talk.fail("sendMessage", true);
    talk.retry(&id, 2, &long_text());
    let second = talk.body("sendMessage")["text"].as_str().expect("a text").to_owned();
    assert!(prx_sdk::text::units(&second) <= 4_096);
    talk.ok("sendMessage", sent(33));
    let third = talk.body("sendMessage")["text"].as_str().expect("a text").to_owned();
    talk.ok("sendMessage", sent(34));
    assert_eq!([second, third].join(" ").matches(WORD).count(), 1);

    let id = talk.script.send("7", "hi");
    talk.fail("sendMessage", false);
    talk.script.advance(Duration::from_secs(2));
    talk.retry(&id, 2, "hi");
    assert_eq!(talk.body("sendMessage")["text"], "hi", "it did certainly not arrive");
}
