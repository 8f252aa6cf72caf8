use prx_sdk::connector::{Commands, Connector, Context, Event, Proof, Status};

use super::*;
use crate::state::State;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn status(talk: &Talk) -> &Status {
    talk.script.status().expect("a status")
}

fn reconnecting(talk: &Talk) -> &str {
    match status(talk) {
        Status::Reconnecting(reason) => reason,
        other => panic!("{other:?}"),
    }
}

fn proofs(talk: &mut Talk) -> Vec<Proof> {
    let proofs = talk.script.commands().into_iter();
    proofs
        .filter_map(|command| if let Command::Proof(proof) = command { Some(proof) } else { None })
        .collect()
}

#[test]
fn it_takes_the_webhook_down_asks_who_it_is_and_listens() {
    let mut talk = Talk::with(config());
    talk.script.start();
    assert_eq!(status(&talk), &Status::Connecting);
    assert_eq!(
        talk.call("deleteWebhook").url_text(),
        "https://api.telegram.org/bot{secret:bot_token}/deleteWebhook"
    );
    assert_eq!(talk.body("deleteWebhook"), json!({"drop_pending_updates": false}));
    talk.ok("deleteWebhook", json!(true));
    talk.ok("getMe", json!({"id": 99, "username": "PrxBot"}));
    assert_eq!(proofs(&mut talk)[0].latency_ms, Some(20));
    assert_eq!(talk.script.state().bot.username, "PrxBot");

    assert_eq!(talk.body("getUpdates")["timeout"], 0, "the first poll shows at once whether polling works");
    talk.ok("getUpdates", json!([]));
    assert_eq!(status(&talk), &Status::Connected);
    let poll = talk.call("getUpdates");
    assert_eq!(
        poll.body_json(),
        json!({"offset": 0, "limit": 100, "timeout": 30, "allowed_updates": ["message", "callback_query"]})
    );
    assert!(poll.timeout_ms > 30_000);
    assert_eq!(poll.header_text("content-type").as_deref(), Some("application/json"));
}

#[test]
fn every_completed_poll_is_a_proof() {
    let mut talk = Talk::listening();
    for _ in 0..3 {
        talk.ok("getUpdates", json!([]));
        assert_eq!(status(&talk), &Status::Connected);
        let proof = &proofs(&mut talk)[0];
        assert!(proof.good_for_ms > talk.call("getUpdates").timeout_ms);
        assert_eq!(proof.latency_ms, None, "a held poll tells no round trip");
    }
}

#[test]
fn the_offset_moves_with_what_is_delivered_and_the_next_poll_follows() {
    let mut talk = Talk::listening();
    talk.ok("getUpdates", json!([message(500, "one"), message(501, "two")]));
    let commands = talk.script.commands();
    let delivered = commands.iter().rposition(|c| matches!(c, Command::Deliver(_))).expect("delivered");
    assert!(delivered < commands.iter().position(is_http).expect("the next poll"));
    assert_eq!(talk.script.state().offset, 502);
    assert_eq!(talk.body("getUpdates")["offset"], 502);
}

#[test]
fn what_is_not_understood_is_passed_over() {
    let mut talk = Talk::listening();
    let token = talk.call("getUpdates").token;
    let good = message(15, "good");
    let body = format!(
        r#"{{"ok":true,"result":[
            {{"update_id":10,"poll_answer":{{"new":1}}}}, {{"update_id":11,"message":"no message"}},
            {{"update_id":12,"message":{{"date":"x"}}}}, {{"update_id":13,"message":{{"text":"\ud800"}}}},
            {{"no":"number"}}, 14, {good}]}}"#
    );
    let response = prx_sdk::connector::HttpResponse {
        status: 200,
        headers: Vec::new(),
        body: body.into_bytes(),
        blob: None,
        elapsed_ms: 1,
    };
    talk.script.respond(token, response);
    assert_eq!(talk.script.deliveries().into_iter().map(|m| m.text).collect::<Vec<_>>(), ["good"]);
    assert_eq!(talk.body("getUpdates")["offset"], 16);
}

#[test]
fn a_batch_that_would_only_come_again_is_not_polled_without_pause() {
    for batch in [json!([{"no": "number"}]), json!({}), json!([message(3, "old")])] {
        let mut talk = Talk::listening();
        talk.updates(json!([message(9, "new")]));
        assert_eq!(talk.updates(batch), []);
        assert!(talk.calls("getUpdates").is_empty());
        talk.script.advance(talk.only_timer());
        assert_eq!(talk.body("getUpdates")["offset"], 10);
    }
}

#[test]
fn after_a_quiet_week_the_platform_may_number_anew() {
    let mut talk = Talk::listening();
    talk.updates(json!([message(700_000_000, "before")]));
    assert_eq!(talk.updates(json!([message(1000, "after")])).len(), 1);
    assert_eq!(talk.body("getUpdates")["offset"], 1001);
}

#[test]
fn another_poller_is_shown_and_given_time() {
    let mut talk = Talk::listening();
    talk.error("getUpdates", 409, "Conflict: terminated by other getUpdates request", json!(null));
    assert!(reconnecting(&talk).contains("another poller"), "{}", reconnecting(&talk));
    assert!((seconds(30)..=seconds(45)).contains(&talk.only_timer()));
    assert!(talk.script.requests().is_empty());
    talk.script.advance(talk.only_timer());
    talk.ok("getUpdates", json!([]));
    assert_eq!(status(&talk), &Status::Connected);
}

#[test]
fn a_webhook_set_meanwhile_is_taken_down_again() {
    let mut talk = Talk::listening();
    talk.error(
        "getUpdates",
        409,
        "Conflict: can't use getUpdates method while webhook is active",
        json!(null),
    );
    talk.script.advance(talk.only_timer());
    talk.open();
    assert_eq!(status(&talk), &Status::Connected);
}

#[test]
fn a_bad_token_ends_it_and_says_what_to_check() {
    for (code, method) in [(401, "deleteWebhook"), (404, "deleteWebhook"), (401, "getUpdates")] {
        let mut talk = if method == "getUpdates" { Talk::listening() } else { Talk::with(config()) };
        if method != "getUpdates" {
            talk.script.start();
        }
        talk.error(method, code, "Unauthorized", json!(null));
        assert!(matches!(status(&talk), Status::Failed(why) if why.contains("bot_token")));
        assert!(talk.script.requests().is_empty() && talk.script.timers().is_empty());
    }
}

#[test]
fn it_slows_down_as_long_as_it_is_asked_to() {
    let mut talk = Talk::listening();
    talk.error("getUpdates", 429, "Too Many Requests", json!({"retry_after": 17}));
    assert!((seconds(17)..=seconds(18)).contains(&talk.only_timer()));
}

#[test]
fn failures_back_off_from_one_second_to_a_minute_and_success_forgets_them() {
    let mut talk = Talk::listening();
    for longest in [1, 2, 4, 8, 16, 32, 60, 60] {
        talk.answer("getUpdates", 502, json!("<html>"));
        let wait = talk.only_timer();
        assert!(wait * 2 >= seconds(longest) && wait <= seconds(longest), "{wait:?} of {longest} s");
        assert!(reconnecting(&talk).contains("502"));
        talk.script.advance(wait);
    }
    talk.ok("getUpdates", json!([]));
    talk.fail("getUpdates", false);
    assert!(talk.only_timer() <= seconds(1));
}

#[test]
fn a_poll_lost_at_its_end_is_repeated_at_once_a_second_one_is_not() {
    let mut talk = Talk::listening();
    talk.script.advance(seconds(40));
    talk.fail("getUpdates", true);
    assert!(talk.script.timers().is_empty());
    talk.fail("getUpdates", true);
    assert!(talk.only_timer() <= seconds(2));

    let mut talk = Talk::listening();
    talk.script.advance(seconds(3));
    talk.fail("getUpdates", true);
    assert!(talk.only_timer() <= seconds(1), "a connection dropped early is a failure");
}

#[test]
fn without_allowed_users_it_says_so_and_stays_silent() {
    let mut talk = Talk::with(json!({"allowed_users": []}));
    talk.script.start();
    assert!(matches!(status(&talk), Status::Failed(why) if why.contains("allowed_users is empty")));
    assert!(talk.script.requests().is_empty());
}

/// One event under a configuration, as the kernel would hand it over.
fn handle(config: &Value, state: &mut State, event: Event) -> Vec<Command> {
    let config = serde_json::from_value(config.clone()).expect("a configuration");
    let mut out = Commands::default();
    Telegram::handle(&Context::new("test", 0, 1, config), state, event, &mut out).expect("no fault");
    out.into()
}

#[test]
fn a_changed_configuration_starts_it_over() {
    let nobody = json!({"allowed_users": []});
    let mut state = State::default();
    handle(&nobody, &mut state, Event::Started);
    let commands = handle(&config(), &mut state, Event::ConfigChanged);
    assert_eq!(commands[0], Command::Status(Status::Connecting));
    assert!(is_http(&commands[1]));

    let commands = handle(&nobody, &mut state, Event::ConfigChanged);
    assert!(matches!(commands[0], Command::Cancel(1)), "{commands:?}");
    assert!(matches!(&commands[1], Command::Status(Status::Failed(_))));
    assert_eq!(commands.len(), 2);
}

#[test]
fn a_swap_leaves_what_is_on_its_way_alone() {
    let mut talk = Talk::listening();
    talk.script.swap();
    assert_eq!(talk.script.commands(), []);
    talk.updates(json!([message(1, "hello")]));
    talk.fail("getUpdates", false);
    talk.script.commands();
    talk.script.swap();
    assert_eq!(talk.script.commands(), []);
    talk.script.advance(talk.only_timer());
    assert_eq!(talk.body("getUpdates")["offset"], 2);
}

#[test]
fn when_nothing_is_on_its_way_it_begins_again() {
    let mut talk = Talk::listening();
    let nothing =
        prx_sdk::connector::Resumed { sockets: Vec::new(), requests: Vec::new(), timers: Vec::new() };
    talk.script.feed(Event::Resumed(nothing));
    assert_eq!(talk.call("deleteWebhook").lane.as_deref(), Some("poll"));
}

#[test]
fn after_a_restart_it_goes_on_behind_the_last_update() {
    let mut talk = Talk::listening();
    talk.updates(json!([message(500, "one")]));
    talk.script.restart();
    talk.open();
    assert_eq!(talk.body("getUpdates")["offset"], 501);
}

#[test]
fn another_bot_counts_its_own_updates() {
    let mut talk = Talk::listening();
    let first = talk.updates(json!([message(500, "one")]));
    talk.script.restart();
    talk.ok("deleteWebhook", json!(true));
    talk.ok("getMe", json!({"id": 100, "username": "other"}));
    assert_eq!(talk.body("getUpdates")["offset"], 0);
    let second = talk.updates(json!([message(500, "one")]));
    assert_ne!(first[0].dedupe, second[0].dedupe);
}

#[test]
fn stopping_asks_for_nothing_more() {
    let mut talk = Talk::listening();
    talk.script.stop(true);
    assert_eq!(talk.script.commands(), []);
}
