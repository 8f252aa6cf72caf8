use prx_sdk::connector::{Choice, HttpResponse};
use prx_sdk::text::units;

use super::*;

pub(super) const MESSAGES: &str = "/channels/50/messages";

pub(super) fn sent(id: u64) -> Value {
    json!({"id": id.to_string(), "channel_id": "50", "content": "x"})
}

pub(super) fn ok(id: &str) -> Outcome {
    Outcome::Ok(Some(id.to_owned()))
}

fn is_retry(outcome: &Outcome, low: u32, high: u32) -> bool {
    matches!(outcome, Outcome::RetryAfter(after) if (low..=high).contains(after))
}

fn long_text() -> String {
    "word ".repeat(1000)
}

pub(super) fn body(talk: &Talk) -> Value {
    talk.call("POST", MESSAGES).body_json()
}

/// Answers the message under way with these rate limit headers.
fn answer_with(talk: &mut Talk, id: u64, headers: &[(&str, &str)]) {
    let token = talk.call("POST", MESSAGES).token;
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let body = sent(id).to_string().into_bytes();
    talk.script.respond(token, HttpResponse { status: 200, headers, body, blob: None, elapsed_ms: 5 });
}

#[test]
fn a_reply_goes_out_as_it_is_and_its_id_is_told() {
    let mut talk = Talk::live();
    let id = talk.script.send("50", "**hi** @everyone");
    let call = talk.call("POST", MESSAGES);
    assert_eq!(call.url_text(), "https://discord.com/api/v10/channels/50/messages");
    assert_eq!(call.header_text("authorization").as_deref(), Some("Bot {secret:bot_token}"));
    assert!(call.header_text("user-agent").is_some_and(|agent| agent.starts_with("DiscordBot (")));
    assert_eq!(call.lane.as_deref(), Some("channel:50"));
    let body = call.body_json();
    assert_eq!((&body["content"], &body["enforce_nonce"]), (&json!("**hi** @everyone"), &json!(true)));
    assert_eq!(body["allowed_mentions"], json!({"parse": []}), "nobody is notified");
    assert!(body["nonce"].as_str().is_some_and(|nonce| (1..=25).contains(&nonce.len())));
    assert_eq!(body.get("message_reference"), None);
    talk.answer("POST", MESSAGES, 200, sent(31));
    assert_eq!(talk.outcome(&id), &ok("31"));
    assert_eq!(talk.script.state().ops[..], []);
}

#[test]
fn a_reply_in_a_server_quotes_what_it_answers_once() {
    let mut talk = Talk::live();
    let target = Target { conversation: "50".into(), thread: None, reply_to: Some("10".into()) };
    talk.script.operate(target, Operation::Send(Content::text(long_text())));
    assert_eq!(body(&talk)["message_reference"], json!({"message_id": "10", "fail_if_not_exists": false}));
    talk.answer("POST", MESSAGES, 200, sent(31));
    assert_eq!(body(&talk).get("message_reference"), None);
}

#[test]
fn five_thousand_characters_go_out_in_order_one_after_the_other() {
    let mut talk = Talk::live();
    let id = talk.script.send("50", &long_text());
    let (mut text, mut nonces) = (Vec::new(), Vec::new());
    for message in 31..34 {
        let body = body(&talk);
        let part = body["content"].as_str().expect("a text").to_owned();
        assert!(units(&part) <= 2000);
        text.push(part);
        nonces.push(body["nonce"].as_str().expect("a nonce").to_owned());
        assert!(talk.script.outcome(&id).is_none());
        talk.answer("POST", MESSAGES, 200, sent(message));
    }
    assert_eq!(text.join(" "), long_text().trim_end());
    assert_eq!(talk.outcome(&id), &ok("31"), "the first part's");
    nonces.dedup();
    assert_eq!(nonces.len(), 3, "each part is a message of its own");
}

#[test]
fn code_is_closed_and_opened_again_where_it_is_split() {
    let mut talk = Talk::live();
    talk.script.send("50", &format!("```rust\n{}```", "let x = 1;\n".repeat(300)));
    let content = body(&talk)["content"].as_str().expect("a text").to_owned();
    assert!(content.starts_with("```rust\n") && content.ends_with("\n```"));
    talk.answer("POST", MESSAGES, 200, sent(31));
    assert!(body(&talk)["content"].as_str().is_some_and(|text| text.starts_with("```rust\nlet")));
}

#[test]
fn the_same_part_goes_out_under_the_same_nonce_whatever_happens_between() {
    let mut talk = Talk::live();
    let id = talk.script.send("50", &long_text());
    talk.answer("POST", MESSAGES, 200, sent(31));
    let second = body(&talk);
    talk.fail("POST", MESSAGES, true);
    assert!(is_retry(talk.outcome(&id), 500, 1000), "the platform knows it again: {:?}", talk.outcome(&id));
    talk.retry(&id, 2, &long_text());
    assert_eq!(body(&talk), second);
    talk.script.restart();
    talk.retry(&id, 3, &long_text());
    assert_eq!(body(&talk), second, "what was committed is not sent again after a crash either");
    talk.script.swap();
    talk.answer("POST", MESSAGES, 200, sent(32));
    talk.answer("POST", MESSAGES, 200, sent(33));
    assert_eq!(talk.outcome(&id), &ok("31"));
    assert_eq!(talk.script.state().ops[..], []);
}

#[test]
fn what_the_platform_forgot_meanwhile_is_unknown() {
    for (after, known) in [(seconds(60), true), (seconds(180), false)] {
        let mut talk = Talk::live();
        let id = talk.script.send("50", "hi");
        talk.script.advance(after);
        talk.fail("POST", MESSAGES, true);
        let outcome = talk.outcome(&id);
        assert_eq!(matches!(outcome, Outcome::RetryAfter(_)), known, "{outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Unknown(_)), !known, "{outcome:?}");
    }
}

#[test]
fn a_call_whose_answer_got_lost_leaves_no_operation_without_an_outcome() {
    for (after, known) in [(seconds(60), true), (seconds(180), false)] {
        let mut talk = Talk::live();
        let lost = talk.script.send("50", "one");
        talk.script.advance(after);
        let kept = talk.script.send("51", "two");
        let requests = talk.script.requests().last().map(|request| request.token).into_iter().collect();
        let resumed = prx_sdk::connector::Resumed { sockets: vec![(1, 1)], requests, timers: Vec::new() };
        talk.script.feed(prx_sdk::connector::Event::Resumed(resumed));
        let outcome = talk.outcome(&lost);
        assert_eq!(matches!(outcome, Outcome::RetryAfter(0)), known, "{outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Unknown(_)), !known, "{outcome:?}");
        assert_eq!(talk.script.outcome(&kept), None);
    }
}

#[test]
fn an_answer_that_names_no_message_is_asked_for_again() {
    let mut talk = Talk::live();
    let id = talk.script.send("50", "hi");
    let first = body(&talk);
    talk.answer("POST", MESSAGES, 200, json!("<html>"));
    assert!(is_retry(talk.outcome(&id), 500, 1000));
    talk.retry(&id, 2, "hi");
    assert_eq!(body(&talk), first);
}

#[test]
fn a_refusal_is_final_and_says_why() {
    for (status, code, why) in [
        (403, 50_001, "Missing Access"),
        (404, 10_003, "Unknown Channel"),
        (400, 50_035, "Invalid Form Body"),
    ] {
        let mut talk = Talk::live();
        let id = talk.script.send("50", "hi");
        talk.answer("POST", MESSAGES, status, json!({"message": why, "code": code}));
        assert!(matches!(talk.outcome(&id), Outcome::Refused(reason) if reason.contains(why)));
        assert_eq!((talk.calls("POST", MESSAGES).len(), talk.script.state().ops.len()), (0, 0));
    }
}

#[test]
fn a_reply_waits_until_a_token_that_worked_does_so_again() {
    let mut talk = Talk::live();
    let id = talk.script.send("50", "hi");
    talk.answer("POST", MESSAGES, 401, json!({"message": "401: Unauthorized", "code": 0}));
    assert_eq!(talk.outcome(&id), &Outcome::RetryAfter(60_000));
    talk.retry(&id, 2, "hi");
    talk.answer("POST", MESSAGES, 403, json!("<html>"));
    assert!(is_retry(talk.outcome(&id), 500, 2_000), "what stands in between says nothing of the message");
    talk.retry(&id, 3, "hi");
    talk.answer("POST", MESSAGES, 200, sent(70));
    assert_eq!(talk.outcome(&id), &ok("70"));
}

#[test]
fn where_it_may_not_quote_what_it_answers_a_reply_goes_out_without() {
    let unknown = json!({"message_reference": {"_errors": [{"code": "X", "message": "Unknown message"}]}});
    for (status, refusal) in [
        (403, json!({"message": "Cannot reply without permission to read message history", "code": 160_002})),
        (400, json!({"message": "Invalid Form Body", "code": 50_035, "errors": unknown})),
    ] {
        let mut talk = Talk::live();
        let target = Target { reply_to: Some("31".into()), ..Target::conversation("50") };
        let id = talk.script.operate(target, Operation::Send(Content::text("hi")));
        assert_eq!(body(&talk)["message_reference"]["message_id"], "31");
        talk.answer("POST", MESSAGES, status, refusal.clone());
        assert_eq!(
            (&body(&talk)["message_reference"], &body(&talk)["content"]),
            (&json!(null), &json!("hi"))
        );
        talk.answer("POST", MESSAGES, status, refusal);
        assert!(matches!(talk.outcome(&id), Outcome::Refused(_)), "once is enough");
    }
}

#[test]
fn what_shuts_the_address_out_is_not_asked_again_for_a_minute_and_then_for_two() {
    let mut talk = Talk::live();
    let first = talk.script.send("50", "one");
    talk.answer("POST", MESSAGES, 429, json!("error code: 1015"));
    assert!(
        talk.reconnecting().contains("429") && talk.reconnecting().contains("60 s"),
        "{}",
        talk.reconnecting()
    );
    assert!(is_retry(talk.outcome(&first), 60_000, 61_000), "{:?}", talk.outcome(&first));
    for channel in 100..140 {
        let id = talk.script.send(&channel.to_string(), "hello");
        assert!(is_retry(talk.outcome(&id), 60_000, 61_000));
    }
    talk.script.operate(Target::conversation("50"), Operation::Typing);
    talk.acknowledge();
    assert_eq!(talk.script.requests(), []);
    assert!(matches!(talk.status(), Status::Reconnecting(_)));

    talk.script.advance(seconds(60));
    assert_eq!(talk.status(), &Status::Connected, "the connection was there all the time");
    talk.retry(&first, 2, "one");
    let second = talk.script.send("51", "two");
    assert_eq!(talk.script.requests().len(), 1, "one goes ahead");
    assert!(is_retry(talk.outcome(&second), 5_000, 6_000));
    talk.answer("POST", MESSAGES, 429, json!({"message": "You are being blocked", "code": 0}));
    assert!(is_retry(talk.outcome(&first), 120_000, 121_000), "{:?}", talk.outcome(&first));
    talk.script.advance(seconds(120));
    talk.retry(&first, 3, "one");
    talk.answer("POST", MESSAGES, 200, sent(70));
    talk.script.send("51", "two");
    assert_eq!(talk.calls("POST", "/channels/51/messages").len(), 1);
}

#[test]
fn trouble_at_the_platform_is_waited_out_longer_each_time() {
    let mut talk = Talk::live();
    let id = talk.script.send("50", "hi");
    for attempt in 1..9_u32 {
        talk.answer("POST", MESSAGES, 503, json!("<html>"));
        let longest = (1000 << (attempt - 1)).min(60_000);
        assert!(is_retry(talk.outcome(&id), longest / 2, longest), "{:?}", talk.outcome(&id));
        talk.script.advance(seconds(1));
        talk.retry(&id, attempt + 1, "hi");
    }
}

#[test]
fn a_slow_down_holds_its_channel_back_and_no_other() {
    let mut talk = Talk::live();
    let id = talk.script.send("50", "hi");
    talk.answer("POST", MESSAGES, 429, json!({"message": "slow", "retry_after": 2.5, "global": false}));
    assert_eq!(talk.outcome(&id), &Outcome::RetryAfter(2500));
    let next = talk.script.send("50", "too early");
    assert!(is_retry(talk.outcome(&next), 2400, 2500), "not even asked");
    assert!(talk.calls("POST", MESSAGES).is_empty());
    talk.script.send("51", "elsewhere");
    assert_eq!(talk.calls("POST", "/channels/51/messages").len(), 1);
    talk.script.advance(Duration::from_millis(2500));
    talk.retry(&id, 2, "hi");
    talk.answer("POST", MESSAGES, 200, sent(31));
    assert_eq!(talk.outcome(&id), &ok("31"));
}

#[test]
fn a_slow_down_for_all_holds_all_back() {
    let mut talk = Talk::live();
    talk.script.send("50", "hi");
    talk.answer("POST", MESSAGES, 429, json!({"message": "slow", "retry_after": 4.0, "global": true}));
    let elsewhere = talk.script.send("51", "elsewhere");
    assert!(is_retry(talk.outcome(&elsewhere), 3900, 4000));
    talk.script.advance(seconds(4));
    talk.script.send("51", "elsewhere");
    assert_eq!(talk.calls("POST", "/channels/51/messages").len(), 1);
}

#[test]
fn a_bucket_that_is_used_up_is_not_asked_before_it_is_full_again() {
    let mut talk = Talk::live();
    let bucket = |remaining| {
        [
            ("x-ratelimit-bucket", "abcd1234"),
            ("x-ratelimit-remaining", remaining),
            ("x-ratelimit-reset-after", "1.5"),
        ]
    };
    talk.script.send("50", "one");
    answer_with(&mut talk, 31, &bucket("1"));
    talk.script.send("50", "two");
    answer_with(&mut talk, 32, &bucket("0"));
    let third = talk.script.send("50", "three");
    assert_eq!(talk.outcome(&third), &Outcome::RetryAfter(1500));
    talk.script.swap();
    talk.script.advance(Duration::from_millis(1500));
    talk.retry(&third, 2, "three");
    answer_with(&mut talk, 33, &bucket("4"));
    assert_eq!(talk.outcome(&third), &ok("33"));
}

#[test]
fn all_calls_together_stay_below_fifty_a_second() {
    let mut talk = Talk::live();
    talk.script.advance(seconds(60));
    let mut went = 0;
    for n in 0..400_u64 {
        talk.script.operate(Target::conversation((100 + n).to_string()), Operation::Send(Content::text("x")));
        went += talk.script.requests().len();
        let open: Vec<u64> = talk.script.requests().iter().map(|request| request.token).collect();
        open.into_iter().for_each(|token| talk.script.answer(token, 200, sent(1)));
        talk.script.advance(Duration::from_millis(5));
    }
    assert!((80..=111).contains(&went), "{went} in two seconds");
}

#[test]
fn typing_is_shown_again_when_it_no_longer_shows() {
    let mut talk = Talk::live();
    let mut calls = 0;
    for _ in 0..20 {
        let id = talk.script.operate(Target::conversation("50"), Operation::Typing);
        assert_eq!(talk.outcome(&id), &Outcome::Ok(None));
        calls += talk.calls("POST", "/channels/50/typing").len();
        if let Some(call) = talk.calls("POST", "/channels/50/typing").first() {
            assert_eq!(call.lane, None, "no message waits for it");
            talk.answer("POST", "/channels/50/typing", 403, json!({}));
        }
        talk.script.advance(seconds(1));
    }
    assert_eq!(calls, 3, "every eight seconds");
    assert_eq!(talk.script.state().ops[..], []);
}

#[test]
fn a_message_can_be_changed_deleted_and_reacted_to() {
    let mut talk = Talk::live();
    let fifty = || Target::conversation("50");
    let id = talk.script.operate(fifty(), Operation::Edit(("31".into(), Content::text("new"))));
    let body = json!({"content": "new", "allowed_mentions": {"parse": []}});
    assert_eq!(talk.call("PATCH", "/channels/50/messages/31").body_json(), body);
    talk.fail("PATCH", "/messages/31", true);
    assert!(is_retry(talk.outcome(&id), 500, 1000), "to edit twice is to edit once");
    let id = talk.script.operate(fifty(), Operation::Edit(("31".into(), Content::text("new"))));
    talk.answer("PATCH", "/messages/31", 200, sent(31));
    assert_eq!(talk.outcome(&id), &ok("31"));

    let id = talk.script.operate(fifty(), Operation::Delete("31".into()));
    talk.answer("DELETE", "/messages/31", 404, json!({"message": "Unknown Message", "code": 10_008}));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(None));

    let id = talk.script.operate(fifty(), Operation::React(("31".into(), "👍".into())));
    talk.answer("PUT", "/channels/50/messages/31/reactions/%F0%9F%91%8D/@me", 204, json!(null));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(None));
}

#[test]
fn what_a_changed_message_has_no_room_for_follows_it() {
    let mut talk = Talk::live();
    let edit = |text: String| Operation::Edit(("31".into(), Content::text(text)));
    let id = talk.script.operate(Target::conversation("50"), edit(long_text()));
    let text = |call: &HttpRequest| call.body_json()["content"].as_str().unwrap_or_default().to_owned();
    let mut parts = vec![text(talk.call("PATCH", "/channels/50/messages/31"))];
    assert!(talk.calls("POST", MESSAGES).is_empty(), "in order");
    talk.answer("PATCH", "/messages/31", 200, sent(31));
    parts.push(text(talk.call("POST", MESSAGES)));
    let second = body(&talk);
    talk.fail("POST", MESSAGES, true);
    talk.script.restart();
    talk.script.feed(prx_sdk::connector::Event::Outbound(Outbound {
        id: id.clone(),
        target: Target::conversation("50"),
        operation: edit(long_text()),
        attempt: 2,
        maybe_duplicate: false,
    }));
    assert_eq!(body(&talk), second, "it goes on from there");
    talk.answer("POST", MESSAGES, 200, sent(32));
    parts.push(text(talk.call("POST", MESSAGES)));
    talk.answer("POST", MESSAGES, 200, sent(33));
    assert_eq!((parts.len(), parts.join(" ")), (3, long_text().trim_end().to_owned()));
    assert_eq!(talk.outcome(&id), &ok("31"));
    assert_eq!(talk.script.state().ops[..], []);
}

#[test]
fn a_change_that_is_not_made_leaves_nothing_behind() {
    let mut talk = Talk::live();
    let id =
        talk.script.operate(Target::conversation("50"), Operation::Edit(("31".into(), Content::text("new"))));
    talk.answer("PATCH", "/messages/31", 503, json!({}));
    assert!(is_retry(talk.outcome(&id), 500, 1000));
    assert_eq!(talk.script.state().ops[..], [], "the next change has another id");
    let id = talk
        .script
        .operate(Target::conversation("50"), Operation::Edit(("31".into(), Content::text(long_text()))));
    talk.answer("PATCH", "/messages/31", 404, json!({"message": "Unknown Message", "code": 10_008}));
    assert!(matches!(talk.outcome(&id), Outcome::Refused(_)), "so that it is sent anew");
}

#[test]
fn a_question_has_buttons_under_its_last_part() {
    let mut talk = Talk::live();
    let choices = (0..7).map(|n| Choice { id: format!("c{n}"), label: format!("Choice {n}") }).collect();
    let id = talk
        .script
        .operate(Target::conversation("50"), Operation::Ask((Content::text(long_text()), choices)));
    assert_eq!(body(&talk).get("components"), None);
    talk.answer("POST", MESSAGES, 200, sent(31));
    talk.answer("POST", MESSAGES, 200, sent(32));
    let rows = body(&talk)["components"].clone();
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "five in a row at most");
    assert_eq!(
        rows[1]["components"][1],
        json!({"type": 2, "style": 2, "label": "Choice 6", "custom_id": "c6"})
    );
    talk.answer("POST", MESSAGES, 200, sent(33));
    assert_eq!(talk.outcome(&id), &ok("31"));
}

#[test]
fn what_cannot_be_done_is_said_at_once() {
    let mut talk = Talk::live();
    let fifty = || Target::conversation("50");
    let draft = talk.script.operate(fifty(), Operation::Draft((1, Content::text("x"))));
    assert_eq!(talk.outcome(&draft), &Outcome::Unsupported);
    let choices = |count: usize, id: &str| {
        (0..count).map(|_| Choice { id: id.to_owned(), label: "x".into() }).collect::<Vec<_>>()
    };
    for (target, operation) in [
        (fifty(), Operation::Send(Content::text(" \n"))),
        (Target::conversation("../me"), Operation::Send(Content::text("x"))),
        (Target::conversation("../me"), Operation::Typing),
        (Target { thread: Some("x".into()), ..fifty() }, Operation::Send(Content::text("x"))),
        (fifty(), Operation::Delete("@me".into())),
        (fifty(), Operation::Edit(("31".into(), Content::text(" ")))),
        (fifty(), Operation::Ask((Content::text("x"), choices(26, "a")))),
        (fifty(), Operation::Ask((Content::text("x"), choices(1, &"a".repeat(101))))),
    ] {
        let id = talk.script.operate(target, operation);
        assert!(matches!(talk.outcome(&id), Outcome::Refused(_)));
    }
    assert!(talk.script.requests().is_empty());
}

#[test]
fn the_state_does_not_grow_with_what_never_comes_back() {
    let mut talk = Talk::live();
    for n in 0..100 {
        let channel = (1000 + n).to_string();
        talk.script.send(&channel, "hi");
        talk.script.advance(seconds(1));
        talk.fail("POST", "/messages", true);
    }
    assert!(talk.script.state().ops.len() <= 64);
    talk.script.restart();
    assert!(talk.script.state().ops.len() <= 64);
}

#[test]
fn a_table_is_shown_as_a_code_block() {
    let mut talk = Talk::live();
    talk.script.send("50", "See:\n\n| a | b |\n|---|---|\n| 1 | 22 |");
    let body = body(&talk);
    assert_eq!(body["content"], "See:\n\n```\na | b\n--+---\n1 | 22\n```");
}
