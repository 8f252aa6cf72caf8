use prx_sdk::connector::{Event, HttpResponse, Resumed};

use super::*;

#[test]
fn it_asks_where_the_gateway_is_greets_and_listens() {
    let mut talk = Talk::with(config());
    talk.script.start();
    assert_eq!(talk.status(), &Status::Connecting);
    let call = talk.call("GET", "/gateway/bot");
    assert_eq!(call.url_text(), "https://discord.com/api/v10/gateway/bot");
    assert_eq!(call.header_text("authorization").as_deref(), Some("Bot {secret:bot_token}"));
    assert!(call.header_text("user-agent").is_some_and(|agent| agent.starts_with("DiscordBot (https://")));
    talk.say_where(1000);
    assert_eq!(talk.asked_url(), "wss://gateway.discord.gg/?v=10&encoding=json");

    talk.open();
    assert_eq!(talk.sent(), Vec::<Value>::new(), "the platform speaks first");
    talk.hello();
    let [identify] = &talk.sent()[..] else { panic!("one frame") };
    assert_eq!(
        identify,
        &json!({"op": 2, "d": {"token": "{secret:bot_token}", "intents": 37_376,
            "properties": {"os": "linux", "browser": "prx", "device": "prx"}}})
    );
    assert_eq!(talk.status(), &Status::Connecting, "not before the platform says so");
    talk.ready();
    assert_eq!(talk.status(), &Status::Connected);
    let state = talk.script.state();
    assert_eq!((state.me.id.as_str(), state.me.application.as_str()), (ME, APPLICATION));
    let session = state.session.expect("a session");
    assert_eq!((session.id.as_str(), session.sequence), ("session-1", 1));
    assert_eq!(state.starts.begun, 1);
    assert!(talk.script.timers().is_empty(), "nothing is overdue any more");
}

#[test]
fn the_kernel_is_told_how_the_heart_beats() {
    let mut firsts = Vec::new();
    for round in 0..40 {
        let mut talk = Talk::with(config());
        (0..round).for_each(|_| talk.script.feed(Event::Timer(0)));
        talk.script.start();
        talk.say_where(1000);
        talk.open();
        talk.hello();
        let kept = talk.script.keepalive(talk.socket).expect("a keepalive").clone();
        assert_eq!((kept.interval_ms, kept.missed_limit), (INTERVAL, 1));
        assert!(kept.first_after_ms <= INTERVAL, "{}", kept.first_after_ms);
        let pattern = kept.acknowledged_by.expect("a pattern");
        assert_eq!((pattern.pointer.as_str(), pattern.equals.as_str()), ("/op", "11"));
        assert_eq!(Segments(kept.payload).to_string(), r#"{"d":null,"op":1}"#);
        firsts.push(kept.first_after_ms);
    }
    let (low, high) = (INTERVAL / 4, INTERVAL * 3 / 4);
    assert!(
        firsts.iter().any(|first| *first < low) && firsts.iter().any(|first| *first > high),
        "{firsts:?}"
    );
}

#[test]
fn the_heartbeat_names_the_last_event_seen() {
    let mut talk = Talk::live();
    let beat = |talk: &Talk| {
        let kept = talk.script.keepalive(talk.socket).expect("a keepalive");
        (Segments(kept.payload.clone()).to_string(), kept.interval_ms)
    };
    assert_eq!(beat(&talk), (r#"{"d":1,"op":1}"#.to_owned(), INTERVAL));
    talk.dispatch("GUILD_CREATE", json!({"id": "6"}));
    talk.hear(message(1, "hi"));
    assert_eq!(beat(&talk), (r#"{"d":3,"op":1}"#.to_owned(), INTERVAL));
    assert_eq!(talk.script.state().session.expect("a session").sequence, 3);
}

#[test]
fn a_heartbeat_that_is_asked_for_comes_at_once() {
    let mut talk = Talk::live();
    talk.hear(message(1, "hi"));
    talk.op(1, json!(null));
    assert_eq!(talk.sent(), [json!({"op": 1, "d": 2})]);
}

#[test]
fn no_more_frames_go_out_than_the_platform_takes() {
    let mut talk = Talk::live();
    talk.script.advance(seconds(600));
    let mut most = 0;
    let mut sent: Vec<u64> = Vec::new();
    for _ in 0..2_000 {
        talk.op(1, json!(null));
        talk.script.advance(Duration::from_millis(100));
        sent.extend(std::iter::repeat_n(talk.script.now(), talk.sent().len()));
        let minute = sent.iter().filter(|at| talk.script.now() - **at < 60_000).count();
        most = most.max(minute);
    }
    assert!((100..=115).contains(&most), "{most} in a minute");
    let lines = talk.script.logs().len();
    assert!(lines <= 4, "a flood is logged once per kind: {lines}");
}

#[test]
fn an_acknowledged_heartbeat_is_a_proof() {
    let mut talk = Talk::with(config());
    talk.script.start();
    talk.say_where(1000);
    talk.open();
    talk.hello();
    talk.script.commands();
    talk.acknowledge();
    assert_eq!(talk.proofs().len(), 0, "before a session there is nothing to prove");
    talk.ready();
    assert_eq!(talk.proofs().len(), 1);
    talk.acknowledge();
    let proof = talk.proofs()[0];
    assert_eq!((proof.good_for_ms, proof.latency_ms), (INTERVAL * 3 / 2, None));
}

#[test]
fn a_gateway_of_the_operators_own_is_used_for_everything() {
    let mut config = config();
    config["gateway_url"] = json!("wss://proxy.example.org/discord/");
    config["api_base"] = json!("https://proxy.example.org/api/");
    let mut talk = Talk::with(config);
    talk.script.start();
    assert_eq!(talk.call("GET", "/gateway/bot").url_text(), "https://proxy.example.org/api/gateway/bot");
    talk.say_where(1000);
    assert_eq!(talk.asked_url(), "wss://proxy.example.org/discord/?v=10&encoding=json");
    talk.open();
    talk.hello();
    talk.ready();
    talk.op(7, json!(null));
    assert_eq!(talk.asked_url(), "wss://proxy.example.org/discord/?v=10&encoding=json");
}

#[test]
fn where_nobody_is_allowed_nothing_is_opened() {
    let mut config = config();
    config["allowed_users"] = json!([" @ "]);
    let mut talk = Talk::with(config);
    talk.script.start();
    assert!(talk.failed().contains("allowed_users"));
    assert!(talk.script.requests().is_empty());
}

#[test]
fn a_token_that_is_refused_ends_it_with_advice() {
    let mut talk = Talk::with(config());
    talk.script.start();
    talk.answer("GET", "/gateway/bot", 401, json!({"message": "401: Unauthorized", "code": 0}));
    assert!(talk.failed().contains("bot_token"), "{}", talk.failed());
    assert!(talk.script.timers().is_empty() && talk.script.requests().is_empty());
}

#[test]
fn without_sessions_left_for_today_it_waits() {
    let mut talk = Talk::with(config());
    talk.script.start();
    talk.say_where(0);
    assert!(talk.reconnecting().contains("session"), "{}", talk.reconnecting());
    assert!(talk.script.connects().is_empty());
    assert_eq!(talk.only_timer(), Duration::from_millis(14_400_000));
    talk.script.restart();
    assert!(talk.script.connects().is_empty(), "the count outlives a restart");
    talk.script.advance(talk.only_timer());
    talk.say_where(1000);
    assert_eq!(talk.script.connects().len(), 1);
}

#[test]
fn sessions_begin_five_seconds_apart_and_are_counted() {
    let mut talk = Talk::with(config());
    talk.script.start();
    talk.say_where(1000);
    for begun in 1..=3 {
        talk.open();
        talk.hello();
        assert_eq!(talk.sent()[0]["op"], 2);
        let starts = talk.script.state().starts;
        assert_eq!((starts.begun, starts.remaining), (begun, 1000 - begun));
        talk.op(9, json!(false));
        let at = talk.script.now();
        while talk.script.connects().is_empty() {
            talk.script.advance(talk.only_timer());
        }
        assert_eq!(talk.script.now() - at, 5_000 << (begun - 1), "and further while none of them lasts");
    }
}

#[test]
fn trouble_of_the_api_is_waited_out_longer_each_time() {
    let mut talk = Talk::with(config());
    talk.script.start();
    for failure in 0..9_u32 {
        match failure % 3 {
            0 => talk.answer("GET", "/gateway/bot", 500, json!("<html>")),
            1 => talk.fail("GET", "/gateway/bot", true),
            _ => talk.answer("GET", "/gateway/bot", 200, json!({"shards": 1})),
        }
        let longest = Duration::from_millis((1000 << failure.saturating_sub(1)).min(60_000));
        let wait = talk.only_timer();
        assert!(wait >= longest / 2 && wait <= longest, "{failure}: {wait:?}");
        talk.script.advance(wait);
    }
    talk.answer("GET", "/gateway/bot", 429, json!({"message": "slow", "retry_after": 7.5, "global": false}));
    assert_eq!(talk.only_timer(), Duration::from_millis(7_500));
    talk.script.advance(talk.only_timer());
    talk.answer("GET", "/gateway/bot", 429, json!("error code: 1015"));
    assert_eq!(talk.only_timer(), seconds(60));
    assert!(talk.proofs().iter().any(|proof| proof.good_for_ms > 60_000), "nobody else asks meanwhile");
    talk.script.restart();
    assert_eq!(talk.script.requests(), [], "nor after a restart");
}

#[test]
fn a_token_that_worked_is_tried_again_slowly_and_one_that_never_did_is_not() {
    let refused = json!({"message": "401: Unauthorized", "code": 0});
    let mut talk = Talk::with(config());
    talk.script.start();
    talk.answer("GET", "/gateway/bot", 403, json!("<html>"));
    assert!(talk.reconnecting().contains("403"));
    talk.script.advance(talk.only_timer());
    talk.answer("GET", "/gateway/bot", 401, refused.clone());
    assert!(talk.failed().contains("bot_token"));

    talk.script.restart();
    talk.say_where(1000);
    talk.script.restart();
    talk.script.advance(seconds(7_200));
    talk.script.restart();
    for longest in [30, 60, 120] {
        talk.answer("GET", "/gateway/bot", 401, refused.clone());
        assert!(talk.reconnecting().contains("bot_token"), "{}", talk.reconnecting());
        let wait = talk.only_timer();
        assert!(wait * 3 >= seconds(longest * 2) && wait <= seconds(longest), "{wait:?} of {longest} s");
        talk.script.advance(wait);
    }
    talk.say_where(1000);
    assert_eq!(talk.script.connects().len(), 1);
}

#[test]
fn limits_that_make_no_sense_ask_nobody_without_pause() {
    let mut talk = Talk::with(config());
    talk.script.start();
    let token = talk.call("GET", "/gateway/bot").token;
    let body = br#"{"url": "wss://x", "session_start_limit": {"remaining": 0, "reset_after": 0}}"#.to_vec();
    talk.script
        .respond(token, HttpResponse { status: 200, headers: vec![], body, blob: None, elapsed_ms: 1 });
    assert!(talk.script.requests().is_empty());
    assert!(talk.only_timer() >= seconds(60));
}

#[test]
fn every_stage_has_an_end() {
    let mut talk = Talk::with(config());
    talk.script.start();
    talk.say_where(1000);
    talk.script.advance(talk.only_timer());
    assert!(talk.script.connects().is_empty(), "what never opens is given up");
    assert!(talk.reconnecting().contains("in time"));
    talk.script.advance(talk.only_timer());
    talk.say_where(1000);
    talk.open();
    talk.script.advance(talk.only_timer());
    assert_eq!(talk.script.closed(), [(1, 4000)], "a gateway that does not greet");
    talk.script.advance(talk.only_timer());
    talk.say_where(1000);
    talk.open();
    talk.hello();
    talk.script.commands();
    talk.script.advance(talk.only_timer());
    assert_eq!(talk.script.closed(), [(2, 4000)], "a gateway that gives no session");
    assert!(talk.script.sockets().is_empty());
}

#[test]
fn a_swap_keeps_the_connection_at_every_stage() {
    let mut talk = Talk::with(config());
    talk.script.start();
    let swap = |talk: &mut Talk| {
        talk.script.commands();
        talk.script.swap();
        assert_eq!(talk.script.commands(), [], "it goes on as it was");
    };
    swap(&mut talk);
    talk.say_where(1000);
    swap(&mut talk);
    talk.open();
    swap(&mut talk);
    talk.hello();
    swap(&mut talk);
    talk.ready();
    swap(&mut talk);
    talk.hear(message(1, "hi")).expect("heard");
    talk.op(9, json!(false));
    swap(&mut talk);
    assert_eq!(talk.script.timers().len(), 1);
}

#[test]
fn a_socket_that_went_while_code_was_swapped_is_missed() {
    let mut talk = Talk::live();
    talk.script.feed(Event::Resumed(Resumed { sockets: vec![], requests: vec![], timers: vec![] }));
    assert_eq!(talk.asked_url(), "wss://gateway-us-1.discord.gg/?v=10&encoding=json");
    talk.open();
    talk.script.feed(Event::Resumed(Resumed {
        sockets: vec![(9, 9), (2, 2)],
        requests: vec![],
        timers: vec![],
    }));
    assert!(talk.script.closed().contains(&(9, 4000)), "a socket that nobody knows is closed");
}

#[test]
fn a_restart_takes_the_session_up_again() {
    let mut talk = Talk::live();
    talk.hear(message(1, "hi"));
    talk.script.restart();
    assert_eq!(talk.asked_url(), "wss://gateway-us-1.discord.gg/?v=10&encoding=json");
    talk.open();
    talk.hello();
    let resume = json!({"op": 6, "d": {"token": "{secret:bot_token}", "session_id": "session-1", "seq": 2}});
    assert_eq!(talk.sent(), [resume]);
    assert_eq!(talk.hear(message(2, "missed")).expect("heard").text, "missed");
    talk.dispatch("RESUMED", json!({}));
    assert_eq!(talk.status(), &Status::Connected);
    assert_eq!(talk.script.state().starts.begun, 1);
}

#[test]
fn stopping_for_a_restart_keeps_the_session_and_disabling_ends_it() {
    let mut talk = Talk::live();
    talk.script.stop(false);
    assert_eq!(talk.script.closed(), [(1, 4000)]);
    assert!(talk.script.state().session.is_some());
    let mut talk = Talk::live();
    talk.script.stop(true);
    assert_eq!(talk.script.closed(), [(1, 1000)]);
    assert_eq!(talk.script.state().session, None);
}

#[test]
fn another_configuration_is_another_connection() {
    let mut talk = Talk::live();
    talk.script.feed(Event::ConfigChanged);
    assert_eq!(talk.script.closed(), [(1, 4000)]);
    assert_eq!(talk.script.connects().len(), 1);
}
