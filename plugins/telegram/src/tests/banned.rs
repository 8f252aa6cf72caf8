//! A ban without a time: the calls to the platform over all of it, however many conversations wait.

use prx_sdk::connector::Content;
use prx_sdk::testing::Waiting;

use super::sending::sent;
use super::*;

/// How long the platform shuts the address out, in seconds.
const BAN: u64 = 3_600;

/// As many conversations with a reply each, under a ban that says nothing of its end. Returns the calls that were under way
/// when it began, and those that were made during it.
fn banned(conversations: i64, status: u16) -> (usize, usize) {
    let mut talk = Talk::listening();
    let begin = |chat: i64| {
        let operation = Operation::Send(Content::text("hello"));
        Waiting::begin(&mut talk.script, Target::conversation(chat.to_string()), operation)
    };
    let mut waiting: Vec<_> = (100..100 + conversations).map(begin).collect();
    let under_way = talk.script.requests().len();
    let mut calls = 0;
    for _ in 0..BAN {
        calls += refuse_all(&mut talk, status);
        for reply in &mut waiting {
            reply.again(&mut talk.script);
            calls += refuse_all(&mut talk, status);
        }
        talk.script.advance(Duration::from_secs(1));
    }
    // What was shut out is let in again, and nothing is lost.
    talk.script.advance(Duration::from_secs(BAN));
    for _ in 0..60 {
        for reply in &mut waiting {
            reply.again(&mut talk.script);
        }
        for method in ["deleteWebhook", "getMe", "getMyCommands", "getUpdates", "sendMessage"] {
            while let Some(token) = talk.calls(method).first().map(|call| call.token) {
                let is_listening =
                    method == "getUpdates" && talk.calls(method)[0].body_json()["timeout"] == 30;
                if is_listening {
                    break;
                }
                let result = match method {
                    "getMe" => json!({"id": 99, "is_bot": true, "username": "PrxBot"}),
                    "getUpdates" | "getMyCommands" => json!([]),
                    "sendMessage" => sent(31),
                    _ => json!(true),
                };
                talk.script.answer(token, 200, json!({"ok": true, "result": result}));
            }
        }
        waiting.retain(|reply| !reply.is_done(&talk.script));
        talk.script.advance(Duration::from_secs(1));
    }
    assert!(waiting.is_empty(), "{} of {conversations} replies are lost", waiting.len());
    (under_way, calls - under_way)
}

/// Refuses what is asked, as what stands in front of a platform does.
fn refuse_all(talk: &mut Talk, status: u16) -> usize {
    let mut refused = 0;
    while let Some(token) = talk.script.requests().first().map(|request| request.token) {
        talk.script.answer(token, status, json!("error code: 1015"));
        refused += 1;
    }
    refused
}

/// Before there was such a pause, each conversation asked once a second and the poll besides: 180 to 240 calls a minute with
/// three of them.
#[test]
fn an_hour_of_it_costs_a_handful_of_calls_however_many_wait() {
    for status in [429, 403] {
        let (of_three, of_forty) = (banned(3, status), banned(40, status));
        println!(
            "{status}: {} calls in {} min with 3 conversations, {} with 40, and those that were under way",
            of_three.1,
            BAN / 60,
            of_forty.1
        );
        assert_eq!((of_three.0, of_forty.0), (4, 41), "{status}: each of them, and the poll");
        // After 1, 2, 4, 8 and 16 minutes more, and the next one after an hour.
        assert_eq!((of_three.1, of_forty.1), (5, 5), "{status}");
    }
}
