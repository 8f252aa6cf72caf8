//! A ban without a time: the calls to the platform over all of it, however many conversations wait.

use prx_sdk::testing::Waiting;

use super::*;

/// How long the platform shuts the address out, in seconds.
const BAN: u64 = 3_600;

/// As many conversations with a reply each, under a ban that says nothing of its end. Returns the calls that were under way
/// when it began, and those that were made during it.
fn banned(conversations: u64, status: u16) -> (usize, usize) {
    let mut talk = Talk::live();
    let begin = |channel: u64| {
        let operation = Operation::Send(Content::text("hello"));
        Waiting::begin(&mut talk.script, Target::conversation(channel.to_string()), operation)
    };
    let mut waiting: Vec<_> = (100..100 + conversations).map(begin).collect();
    let under_way = talk.script.requests().len();
    let mut calls = 0;
    for second in 0..BAN {
        calls += answer_all(&mut talk, status);
        for reply in &mut waiting {
            reply.again(&mut talk.script);
            calls += answer_all(&mut talk, status);
        }
        if second % 10 == 0 {
            talk.acknowledge();
        }
        talk.script.advance(seconds(1));
    }
    // What was shut out is let in again, and nothing is lost.
    for second in 0..2 * BAN {
        for reply in &mut waiting {
            reply.again(&mut talk.script);
            answer_all(&mut talk, 200);
        }
        waiting.retain(|reply| !reply.is_done(&talk.script));
        if waiting.is_empty() {
            break;
        }
        if second % 10 == 0 {
            talk.acknowledge();
        }
        talk.script.advance(seconds(1));
    }
    assert!(waiting.is_empty(), "{} of {conversations} replies are lost", waiting.len());
    (under_way, calls - under_way)
}

/// Answers what is asked: refuses it as what stands in front of a platform does, or takes it.
fn answer_all(talk: &mut Talk, status: u16) -> usize {
    let mut answered = 0;
    while let Some(token) = talk.script.requests().first().map(|request| request.token) {
        let body = if status == 200 { json!({"id": "70"}) } else { json!("error code: 1015") };
        talk.script.answer(token, status, body);
        answered += 1;
    }
    answered
}

/// Before there was such a pause, each conversation asked once a second: 180 calls a minute with three of them, measured
/// as 84 in half a minute.
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
        // No more than these go out at the same time.
        assert_eq!((of_three.0, of_forty.0), (3, 20), "{status}");
        // After 1, 2, 4, 8 and 16 minutes more, and the next one after an hour.
        assert_eq!((of_three.1, of_forty.1), (5, 5), "{status}");
    }
}
