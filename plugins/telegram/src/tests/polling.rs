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
        json!({"offset": 0, "limit": 100, "timeout": 30, "allowed_updates": ["message", "edited_message", "callback_query"]})
    );
    assert!(poll.timeout_ms > 30_000);
    assert_eq!(poll.header_text("content-type").as_deref(), Some("application/json"));
}

#[test]
fn a_bot_without_a_menu_is_given_one() {
    let mut talk = Talk::with(config());
    talk.script.start();
    talk.ok("deleteWebhook", json!(true));
    talk.ok("getMe", json!({"id": 99, "username": "PrxBot"}));
    talk.ok("getMyCommands", json!([]));
    let body = talk.body("setMyCommands");
    let names: Vec<_> =
        body["commands"].as_array().expect("commands").iter().map(|c| &c["command"]).collect();
    assert_eq!(names, ["new", "stop", "help"]);
    talk.error("setMyCommands", 404, "Not Found: method not found", json!(null));
    talk.ok("getUpdates", json!([]));
    assert_eq!(status(&talk), &Status::Connected);
}

#[test]
fn a_privacy_mode_that_keeps_a_group_from_it_is_named() {
    for (mention_only, can_read, named) in [
        (false, json!(false), true),
        (true, json!(false), false),
        (false, json!(true), false),
        (false, json!(null), false),
    ] {
        let mut config = config();
        config["mention_only"] = json!(mention_only);
        let mut talk = Talk::with(config);
        talk.script.start();
        talk.ok("deleteWebhook", json!(true));
        talk.ok("getMe", json!({"id": 99, "username": "PrxBot", "can_read_all_group_messages": can_read}));
        assert_eq!(talk.script.logs().join("").contains("/setprivacy"), named);
    }
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

/// The other one ends our poll; how long until the next.
fn conflict(talk: &mut Talk) -> Duration {
    talk.error("getUpdates", 409, "Conflict: terminated by other getUpdates request", json!(null));
    assert!(reconnecting(talk).contains("another poller"), "{}", reconnecting(talk));
    assert!(talk.script.requests().is_empty());
    let wait = talk.only_timer();
    let proofs = proofs(talk);
    assert!(u128::from(proofs[0].good_for_ms) > wait.as_millis(), "nobody else begins anew meanwhile");
    wait
}

#[test]
fn another_poller_is_looked_for_after_a_second_and_less_often_while_it_stays() {
    let mut talk = Talk::listening();
    for longest in [1_500, 3_000, 6_000, 12_000, 24_000, 45_000, 45_000] {
        let wait = conflict(&mut talk);
        let range = Duration::from_millis(longest * 2 / 3)..=Duration::from_millis(longest);
        assert!(range.contains(&wait), "{wait:?} of {longest} ms");
        talk.script.advance(wait);
        assert_eq!(talk.body("getUpdates")["timeout"], 0, "a short poll shows whether it is gone");
    }
    talk.ok("getUpdates", json!([]));
    assert_eq!(status(&talk), &Status::Connected);
    assert!(conflict(&mut talk) >= seconds(30), "two that take the updates from each other in turn");

    talk.script.advance(talk.only_timer());
    talk.ok("getUpdates", json!([]));
    talk.script.advance(seconds(600));
    assert!(conflict(&mut talk) < seconds(2), "that is another one");
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
fn a_token_that_never_worked_ends_it_and_says_what_to_check() {
    for code in [401, 404] {
        let mut talk = Talk::with(config());
        talk.script.start();
        talk.error("deleteWebhook", code, "Unauthorized", json!(null));
        assert!(matches!(status(&talk), Status::Failed(why) if why.contains("bot_token")));
        assert!(talk.script.requests().is_empty() && talk.script.timers().is_empty());
    }
}

#[test]
fn a_token_that_worked_is_tried_again_slowly() {
    let mut talk = Talk::listening();
    for (code, longest) in [(401, 30), (404, 60), (401, 120), (401, 240), (401, 480), (401, 900), (401, 900)]
    {
        talk.error("getUpdates", code, "Unauthorized", json!(null));
        let wait = talk.only_timer();
        assert!(wait * 3 >= seconds(longest * 2) && wait <= seconds(longest), "{wait:?} of {longest} s");
        assert!(reconnecting(&talk).contains("bot_token"), "{}", reconnecting(&talk));
        talk.script.advance(wait);
    }
    talk.ok("getUpdates", json!([message(1, "back")]));
    assert_eq!(status(&talk), &Status::Connected);

    talk.script.restart();
    talk.error("deleteWebhook", 401, "Unauthorized", json!(null));
    assert!(reconnecting(&talk).contains("bot_token"), "it worked before the restart");
    talk.script.feed(Event::ConfigChanged);
    talk.error("deleteWebhook", 401, "Unauthorized", json!(null));
    assert!(matches!(status(&talk), Status::Failed(_)), "it is another one now");
}

#[test]
fn what_something_in_between_answers_says_nothing_of_the_token() {
    for code in [400, 401, 403, 404, 407, 409] {
        let mut talk = Talk::with(config());
        talk.script.start();
        talk.answer("deleteWebhook", code, json!("<html>"));
        assert!(reconnecting(&talk).contains("api_base"), "{}", reconnecting(&talk));
        talk.script.advance(talk.only_timer());
        talk.open();
        talk.answer("getUpdates", code, json!({"error": "Not Found"}));
        assert!(talk.only_timer() <= seconds(1), "{code}");
        talk.script.advance(seconds(1));
        talk.ok("getUpdates", json!([]));
        assert_eq!(status(&talk), &Status::Connected);
    }
}

#[test]
fn without_a_time_to_wait_nothing_goes_out_for_a_minute_and_then_for_two() {
    let mut talk = Talk::listening();
    let first = talk.script.send("7", "one");
    talk.answer("sendMessage", 429, json!("error code: 1015"));
    assert!(
        reconnecting(&talk).contains("429") && reconnecting(&talk).contains("60 s"),
        "{:?}",
        status(&talk)
    );
    let Outcome::RetryAfter(after) = talk.outcome(&first) else { panic!("{:?}", talk.outcome(&first)) };
    assert!((60_000..=61_000).contains(after), "{after}");
    for n in 0..40 {
        let id = talk.script.send(&format!("{}", 100 + n), "hello");
        assert!(matches!(talk.outcome(&id), Outcome::RetryAfter(60_000..=61_000)));
    }
    talk.script.operate(Target::conversation("7"), Operation::Typing);
    talk.ok(
        "getUpdates",
        json!([{"update_id": 1, "callback_query": {"id": "1", "data": "x",
        "from": {"id": 7, "first_name": "Ann"}}}]),
    );
    assert_eq!(talk.script.requests(), [], "no call at all, not even the next poll");
    assert!(matches!(status(&talk), Status::Reconnecting(_)));

    talk.script.advance(talk.only_timer() + seconds(1));
    talk.answer(
        "getUpdates",
        429,
        json!({"ok": false, "error_code": 429, "description": "Too Many Requests"}),
    );
    assert!(reconnecting(&talk).contains("next try in 12"), "{}", reconnecting(&talk));
    talk.script.restart();
    assert_eq!(talk.script.requests(), [], "nor after a restart");
    talk.script.advance(talk.only_timer());
    talk.open();
    assert_eq!(status(&talk), &Status::Connected);
    talk.retry(&first, 2, "one");
    talk.ok("sendMessage", json!({"message_id": 31}));
}

#[test]
fn files_wait_too_when_nothing_goes_out() {
    let mut talk = Talk::listening();
    talk.script.send("7", "one");
    talk.answer("sendMessage", 429, json!("error code: 1015"));
    let photo = json!({"text": null, "photo": [{"file_id": "p"}]});
    talk.ok("getUpdates", json!([message_with(1, "", photo)]));
    assert_eq!(talk.script.requests(), []);
    talk.script.advance(seconds(61));
    assert_eq!(talk.script.requests().len(), 1, "one call goes ahead");
    talk.script.advance(seconds(6));
    assert_eq!(talk.calls("getFile").len(), 1);
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
