//! Rich messages where the server has them, and plain HTML where it has not.

use prx_sdk::connector::{Choice, Content};

use super::sending::{ok, sent};
use super::*;

const TABLE: &str = "Look:\n\n| a | b |\n|---|---|\n| 1 | 2 |";
const RICH: &str =
    "<p>Look:</p><table bordered striped><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>";
const HTML: &str = "Look:\n\n<pre>a | b\n--+--\n1 | 2</pre>";

fn html() -> Value {
    json!({"chat_id": 7, "text": HTML, "parse_mode": "HTML"})
}

#[test]
fn a_table_goes_out_as_a_rich_message_and_what_needs_none_as_before() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", TABLE);
    assert_eq!(talk.call("sendRichMessage").lane.as_deref(), Some("chat:7"));
    assert_eq!(talk.body("sendRichMessage"), json!({"chat_id": 7, "rich_message": {"html": RICH}}));
    talk.ok("sendRichMessage", sent(31));
    assert_eq!(talk.outcome(&id), &ok("31"));
    talk.script.send("7", "# Title\n\n- **plain**");
    assert_eq!(talk.body("sendMessage")["text"], "<b>Title</b>\n\n- <b>plain</b>");
}

#[test]
fn what_is_read_from_the_right_is_shown_so() {
    for (text, is_rtl) in [("**שלום**", json!(true)), ("مرحبا", json!(true)), ("1. Hello שלום", json!(null))]
    {
        let mut talk = Talk::listening();
        talk.script.send("7", &format!("{text}\n\n|a|\n|-|"));
        assert_eq!(talk.body("sendRichMessage")["rich_message"]["is_rtl"], is_rtl, "{text}");
    }
}

#[test]
fn it_is_not_used_where_it_is_turned_off_and_another_word_is_refused() {
    let mut off = config();
    off["rich_messages"] = json!("off");
    let mut talk = Talk::with(off.clone());
    talk.script.start();
    talk.open();
    talk.script.send("7", TABLE);
    assert_eq!(talk.body("sendMessage"), html());
    off["rich_messages"] = json!("always");
    let mut talk = Talk::with(off);
    talk.script.start();
    let status = talk.script.status();
    assert!(format!("{status:?}").contains("rich_messages takes"), "{status:?}");
}

#[test]
fn topics_replies_and_buttons_are_those_of_any_message() {
    let mut talk = Talk::listening();
    let target =
        Target { conversation: "-100".into(), thread: Some("42".into()), reply_to: Some("10".into()) };
    let choices = vec![Choice { id: "yes".into(), label: "Yes".into() }];
    talk.script.operate(target, Operation::Ask((Content::text(TABLE), choices)));
    let keyboard = json!({"inline_keyboard": [[{"text": "Yes", "callback_data": "yes"}]]});
    let body = json!({
        "chat_id": -100, "message_thread_id": 42, "rich_message": {"html": RICH}, "reply_markup": keyboard,
        "reply_parameters": {"message_id": 10, "allow_sending_without_reply": true},
    });
    assert_eq!(talk.body("sendRichMessage"), body);
    talk.error("sendRichMessage", 400, "Bad Request: message thread not found", json!(null));
    assert_eq!(talk.body("sendRichMessage").get("message_thread_id"), None, "in the group itself");
}

#[test]
fn each_part_of_a_long_text_has_its_own_form() {
    let mut talk = Talk::listening();
    let text = format!("{}\n\n{TABLE}\n\n{}", "word ".repeat(700), "word ".repeat(700));
    let id = talk.script.send("7", &text);
    let mut seen = Vec::new();
    for message in 31..34 {
        let rich = !talk.calls("sendRichMessage").is_empty();
        let method = if rich { "sendRichMessage" } else { "sendMessage" };
        seen.push(rich);
        talk.ok(method, sent(message));
        if talk.script.outcome(&id).is_some() {
            break;
        }
    }
    assert_eq!((seen, talk.outcome(&id)), (vec![true, false], &ok("31")));
}

#[test]
fn a_server_without_them_is_asked_once_a_day() {
    for (code, why) in [
        (404, "Not Found: method not found"),
        (404, "Not Found"),
        (400, "Bad Request: method is not supported"),
    ] {
        let mut talk = Talk::listening();
        let id = talk.script.send("7", TABLE);
        talk.error("sendRichMessage", code, why, json!(null));
        assert_eq!(talk.body("sendMessage"), html(), "{why}");
        talk.ok("sendMessage", sent(31));
        assert_eq!(talk.outcome(&id), &ok("31"));
        talk.script.send("7", TABLE);
        talk.script.swap();
        talk.ok("sendMessage", sent(32));
        let told = talk.script.logs().iter().filter(|line| line.contains("older than 10.1")).count();
        assert_eq!(told, 1, "{:?}", talk.script.logs());
        talk.script.advance(Duration::from_secs(24 * 3600));
        talk.script.send("7", TABLE);
        talk.ok("sendRichMessage", sent(33));
    }
}

#[test]
fn a_server_is_asked_again_when_the_channel_starts_anew() {
    let mut talk = Talk::listening();
    talk.script.send("7", TABLE);
    talk.error("sendRichMessage", 404, "Not Found", json!(null));
    talk.ok("sendMessage", sent(31));
    talk.script.restart();
    talk.open();
    talk.script.send("7", TABLE);
    talk.ok("sendRichMessage", sent(32));
}

#[test]
fn what_waits_for_its_next_try_learns_of_it_too() {
    let mut talk = Talk::listening();
    let waits = talk.script.send("7", TABLE);
    talk.error("sendRichMessage", 429, "Too Many Requests", json!({"retry_after": 3}));
    assert_eq!(talk.outcome(&waits), &Outcome::RetryAfter(3_000));
    talk.script.operate(Target::conversation("8"), Operation::Send(Content::text(TABLE)));
    talk.error("sendRichMessage", 404, "Not Found", json!(null));
    talk.ok("sendMessage", sent(31));
    talk.script.advance(Duration::from_secs(3));
    talk.retry(&waits, 2, TABLE);
    assert_eq!(talk.body("sendMessage"), html());
}

#[test]
fn what_the_platform_does_not_take_as_one_goes_out_as_html_and_then_plain() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", TABLE);
    talk.error("sendRichMessage", 400, "Bad Request: RICH_MESSAGE_EMAIL_INVALID", json!(null));
    assert_eq!(talk.body("sendMessage"), html());
    talk.error("sendMessage", 400, "Bad Request: can't parse entities: Unsupported start tag", json!(null));
    assert_eq!(talk.body("sendMessage"), json!({"chat_id": 7, "text": TABLE}));
    talk.ok("sendMessage", sent(31));
    assert_eq!(talk.outcome(&id), &ok("31"));
    talk.script.send("7", TABLE);
    talk.error(
        "sendRichMessage",
        400,
        "Bad Request: can't parse rich message: Unsupported start tag",
        json!(null),
    );
    talk.ok("sendMessage", sent(32));
    talk.script.send("7", TABLE);
    talk.ok("sendRichMessage", sent(33));
}

#[test]
fn what_was_refused_as_one_is_not_tried_as_one_again() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", TABLE);
    talk.error("sendRichMessage", 400, "Bad Request: RICH_MESSAGE_EMAIL_INVALID", json!(null));
    talk.error("sendMessage", 429, "Too Many Requests", json!({"retry_after": 3}));
    talk.script.restart();
    talk.script.advance(Duration::from_secs(3));
    talk.retry(&id, 2, TABLE);
    assert_eq!(talk.body("sendMessage"), html());
}

#[test]
fn a_refusal_that_is_not_about_the_form_is_final_at_once() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", TABLE);
    talk.error("sendRichMessage", 403, "Forbidden: bot was blocked by the user", json!(null));
    assert!(matches!(talk.outcome(&id), Outcome::Refused(why) if why.contains("unblock")));
    assert!(talk.calls("sendMessage").is_empty());
}

#[test]
fn a_doubtful_one_is_sent_once_more_in_its_form_and_says_so() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", TABLE);
    talk.fail("sendRichMessage", true);
    assert!(matches!(talk.outcome(&id), Outcome::Unknown(_)));
    assert!(talk.calls("sendMessage").is_empty(), "not in another form: it may be there");
    talk.retry(&id, 2, TABLE);
    let again = talk.body("sendRichMessage")["rich_message"]["html"].as_str().unwrap().to_owned();
    assert!(again.contains("<table") && again.ends_with("<p>(maybe a repetition)</p>"), "{again}");
}

#[test]
fn what_stands_in_front_of_a_server_and_knows_no_such_method_costs_one_more_try() {
    let mut talk = Talk::listening();
    let id = talk.script.send("7", TABLE);
    let page = json!("<html>404 Not Found</html>");
    talk.answer("sendRichMessage", 404, page.clone());
    assert!(matches!(talk.outcome(&id), Outcome::RetryAfter(_)));
    talk.script.advance(Duration::from_secs(60));
    talk.retry(&id, 2, TABLE);
    talk.answer("sendRichMessage", 404, page);
    assert_eq!(talk.body("sendMessage"), html());
}

#[test]
fn a_text_that_grows_becomes_one_with_its_first_table() {
    let mut talk = Talk::listening();
    let edit = |talk: &mut Talk, text: &str| {
        let content = Content::text(text);
        talk.script.operate(Target::conversation("7"), Operation::Edit(("31".into(), content)))
    };
    edit(&mut talk, "Look:\n\n| a | b |");
    assert!(talk.body("editMessageText")["text"].is_string());
    talk.ok("editMessageText", sent(31));
    let id = edit(&mut talk, TABLE);
    assert_eq!(
        talk.body("editMessageText"),
        json!({"chat_id": 7, "message_id": 31, "rich_message": {"html": RICH}})
    );
    talk.error("editMessageText", 400, "Bad Request: message is not modified", json!(null));
    assert_eq!(talk.outcome(&id), &ok("31"), "it is there as it should be");
    // A server that knows no rich messages sees an edit without a text.
    let id = edit(&mut talk, TABLE);
    talk.error("editMessageText", 400, "Bad Request: message text is empty", json!(null));
    let body = json!({"chat_id": 7, "message_id": 31, "text": HTML, "parse_mode": "HTML"});
    assert_eq!(talk.body("editMessageText"), body);
    talk.ok("editMessageText", sent(31));
    assert_eq!(talk.outcome(&id), &ok("31"));
    talk.script.send("7", TABLE);
    talk.ok("sendMessage", sent(32));
}

#[test]
fn a_draft_is_one_too() {
    let mut talk = Talk::listening();
    let draft = |talk: &mut Talk| {
        talk.script.operate(Target::conversation("7"), Operation::Draft((4, Content::text(TABLE))))
    };
    let id = draft(&mut talk);
    assert_eq!(
        talk.body("sendRichMessageDraft"),
        json!({"chat_id": 7, "draft_id": 5, "rich_message": {"html": RICH}})
    );
    talk.ok("sendRichMessageDraft", json!(true));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(None));
    let id = draft(&mut talk);
    talk.error("sendRichMessageDraft", 404, "Not Found: method not found", json!(null));
    assert_eq!(talk.body("sendMessageDraft")["text"], HTML);
    talk.ok("sendMessageDraft", json!(true));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(None));
    draft(&mut talk);
    talk.error("sendMessageDraft", 404, "Not Found: method not found", json!(null));
}

#[test]
fn what_someone_answers_or_writes_as_one_is_read() {
    let mut talk = Talk::listening();
    let rich = json!({"blocks": [
        {"type": "paragraph", "text": "Look:"},
        {"type": "table", "cells": [[{"text": "a"}, {"text": "b"}], [{"text": "1"}, {"text": "2"}]]},
    ]});
    let answered = json!({"message_id": 5, "from": {"id": 99, "is_bot": true, "first_name": "Prx"}, "rich_message": &rich});
    let heard = talk.updates(json!([message_with(1, "why 2?", json!({"reply_to_message": answered}))]));
    let quote = heard[0].reply_to.as_ref().expect("what it answers");
    assert_eq!((quote.text.as_str(), quote.from_agent), ("Look:\na | b\n1 | 2", true));
    let mut own =
        message_with(2, "", json!({"rich_message": {"blocks": [{"type": "paragraph", "text": "/stop"}]}}));
    own["message"].as_object_mut().expect("a message").remove("text");
    let heard = talk.updates(json!([own]));
    assert_eq!(heard[0].text, "/stop");
    let origin = json!({"type": "user", "sender_user": {"id": 8, "first_name": "Carl"}});
    let mut passed_on = message_with(3, "", json!({"rich_message": rich, "forward_origin": origin}));
    passed_on["message"].as_object_mut().expect("a message").remove("text");
    talk.updates(json!([passed_on]));
    talk.script.advance(Duration::from_secs(1));
    let heard = talk.script.deliveries();
    let forwarded = &heard[0].forwarded[0];
    assert_eq!((heard[0].text.as_str(), forwarded.text.as_str()), ("", "Look:\na | b\n1 | 2"));
}
