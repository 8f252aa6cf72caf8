use super::*;

/// Goes through the opening until the session is asked for; what asks for it.
fn introduce(talk: &mut Talk) -> Value {
    talk.open();
    talk.script.commands();
    talk.hello();
    let mut sent = talk.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent.remove(0)
}

fn resumes(talk: &mut Talk) {
    assert_eq!(introduce(talk)["op"], 6);
    talk.dispatch("RESUMED", json!({}));
    assert_eq!(talk.status(), &Status::Connected);
}

#[test]
fn a_lost_connection_is_resumed_at_once_where_the_platform_said() {
    for code in [None, Some(1000), Some(1001), Some(1006), Some(4000), Some(4001), Some(4002), Some(4008)] {
        let mut talk = Talk::live();
        talk.hear(message(1, "hi"));
        talk.script.close_socket(talk.socket, code, "why");
        assert!(matches!(talk.status(), Status::Reconnecting(_)), "{code:?}");
        assert_eq!(talk.asked_url(), "wss://gateway-us-1.discord.gg/?v=10&encoding=json", "{code:?}");
        assert_eq!(
            introduce(&mut talk),
            json!({"op": 6, "d": {"token": "{secret:bot_token}", "session_id": "session-1", "seq": 2}})
        );
        assert!(matches!(talk.hear(message(2, "missed")), Some(heard) if heard.text == "missed"));
        talk.dispatch("RESUMED", json!({}));
        assert_eq!(talk.status(), &Status::Connected);
        assert_eq!(talk.script.state().starts.begun, 1, "no session was begun");
    }
}

#[test]
fn a_heartbeat_without_acknowledgement_is_a_lost_connection() {
    let mut talk = Talk::live();
    talk.script.silence_socket(talk.socket);
    assert!(talk.reconnecting().contains("not acknowledged"));
    resumes(&mut talk);
}

#[test]
fn asked_to_reconnect_it_does_so_without_ending_the_session() {
    let mut talk = Talk::live();
    talk.op(7, json!(null));
    assert_eq!(talk.script.closed(), [(1, 4000)]);
    resumes(&mut talk);
}

#[test]
fn a_session_that_may_be_resumed_is_and_one_that_may_not_is_begun_anew() {
    let mut talk = Talk::live();
    talk.op(9, json!(true));
    assert_eq!(talk.script.closed(), [(1, 4000)]);
    resumes(&mut talk);

    talk.script.advance(seconds(60));
    talk.script.commands();
    talk.op(9, json!(false));
    assert_eq!(talk.script.closed(), [(2, 4000)]);
    let wait = talk.only_timer();
    assert!((seconds(1)..=seconds(5)).contains(&wait), "{wait:?}");
    talk.script.advance(wait);
    assert_eq!(talk.asked_url(), "wss://gateway.discord.gg/?v=10&encoding=json", "not where it was resumed");
    assert_eq!(introduce(&mut talk)["op"], 2);
    assert_eq!(talk.script.state().starts.begun, 2);
}

#[test]
fn sessions_that_do_not_last_are_begun_ever_more_slowly() {
    let mut talk = Talk::live();
    let (mut begun, started) = (Vec::new(), talk.script.now());
    // Some end it at the greeting, some after a first event.
    for round in 0..12 {
        if round % 2 == 0 {
            talk.ready();
            talk.dispatch("GUILD_CREATE", json!({"id": "6"}));
        }
        talk.op(9, json!(false));
        while talk.script.connects().is_empty() {
            talk.script.advance(talk.only_timer());
            if !talk.script.requests().is_empty() {
                talk.say_where(900);
            }
        }
        assert_eq!(introduce(&mut talk)["op"], 2);
        begun.push((talk.script.now() - started) / 1000);
    }
    assert_eq!(begun[..8], [5, 15, 35, 75, 155, 315, 635, 1235]);
    talk.ready();
    talk.script.advance(seconds(3600));
    talk.op(9, json!(false));
    assert!(talk.only_timer() <= seconds(5), "one that lasted is followed soon");
}

#[test]
fn a_session_that_is_gone_is_begun_anew_after_a_while() {
    for code in [4003, 4007, 4009] {
        let mut talk = Talk::live();
        talk.script.advance(seconds(60));
        talk.script.close_socket(talk.socket, Some(code), "gone");
        let wait = talk.only_timer();
        assert!((seconds(1)..=seconds(5)).contains(&wait), "{wait:?}");
        talk.script.advance(wait);
        assert_eq!(introduce(&mut talk)["op"], 2, "{code}");
        talk.ready();
        assert_eq!(talk.status(), &Status::Connected);
    }
}

#[test]
fn what_cannot_be_mended_ends_it_and_says_what_to_do() {
    for (code, advice) in [
        (4004, "bot_token"),
        (4010, "servers"),
        (4011, "servers"),
        (4012, "version"),
        (4013, "INTENT"),
        (4014, "MESSAGE CONTENT INTENT"),
    ] {
        let mut talk = Talk::live();
        talk.script.advance(seconds(60));
        talk.script.close_socket(talk.socket, Some(code), "no");
        assert!(
            talk.failed().contains(advice) && talk.failed().contains(&code.to_string()),
            "{}",
            talk.failed()
        );
        assert!(
            talk.script.timers().is_empty() && talk.script.connects().is_empty(),
            "nothing more is tried"
        );
        talk.script.restart();
        assert_eq!(
            talk.calls("GET", "/gateway/bot").len() + talk.script.connects().len(),
            1,
            "until it is asked to"
        );
    }
}

#[test]
fn two_failed_resumes_are_enough() {
    let mut talk = Talk::live();
    talk.script.advance(seconds(60));
    talk.script.close_socket(talk.socket, Some(4000), "first");
    assert_eq!(introduce(&mut talk)["op"], 6);
    talk.script.close_socket(talk.socket, Some(4000), "second");
    talk.script.advance(talk.only_timer());
    assert_eq!(introduce(&mut talk)["op"], 6);
    talk.op(9, json!(true));
    talk.script.advance(talk.only_timer());
    assert_eq!(talk.asked_url(), "wss://gateway.discord.gg/?v=10&encoding=json");
    assert_eq!(introduce(&mut talk)["op"], 2);
    talk.script.close_socket(talk.socket, Some(4000), "third");
    talk.script.advance(talk.only_timer());
    assert_eq!(talk.calls("GET", "/gateway/bot").len(), 1, "then the API is asked for another way in");
}

#[test]
fn a_gateway_that_cannot_be_reached_costs_no_session() {
    let mut talk = Talk::live();
    talk.script.close_socket(talk.socket, None, "network");
    let mut asked = Vec::new();
    for _ in 0..8 {
        asked.push(talk.asked_url());
        let token = talk.script.connects()[0].token;
        talk.script.fail_socket(token, "no route");
        assert!(talk.reconnecting().contains("no route"));
        talk.script.advance(talk.only_timer());
    }
    let elsewhere = asked.iter().filter(|url| url.starts_with("wss://gateway.discord.gg")).count();
    assert!(elsewhere > 0 && asked[0].starts_with("wss://gateway-us-1"), "{asked:?}");
    resumes(&mut talk);
    assert_eq!(talk.script.state().starts.begun, 1);
}

#[test]
fn connections_that_bring_nothing_are_made_ever_more_slowly() {
    let mut talk = Talk::live();
    let mut waited = Duration::ZERO;
    for _ in 0..10 {
        talk.script.close_socket(talk.socket, Some(4000), "again");
        while talk.script.connects().is_empty() {
            let wait = talk.only_timer();
            waited += wait;
            talk.script.advance(wait);
        }
        resumes(&mut talk);
    }
    assert!(waited > seconds(60), "{waited:?}");
    talk.hear(message(5, "something at last"));
    talk.script.close_socket(talk.socket, Some(4000), "again");
    assert_eq!(talk.script.connects().len(), 1, "one that brought something is made again at once");
}

#[test]
fn what_comes_from_a_connection_given_up_is_not_heard() {
    let mut talk = Talk::live();
    let old = talk.socket;
    talk.op(7, json!(null));
    let late = json!({"op": 0, "d": message(3, "late"), "s": 2, "t": "MESSAGE_CREATE"});
    talk.script.feed(prx_sdk::connector::Event::WsText((old, late.to_string())));
    assert_eq!(talk.script.deliveries(), [], "it will come again over the new one");
    assert_eq!(talk.script.state().session.expect("a session").sequence, 1);
}

#[test]
fn while_it_is_deaf_it_does_not_say_connected() {
    let mut talk = Talk::live();
    talk.script.commands();
    talk.acknowledge();
    let proof = talk.proofs()[0];
    assert!(proof.good_for_ms < 2 * INTERVAL, "the proof runs out before the kernel closes the socket");
    talk.script.silence_socket(talk.socket);
    assert!(matches!(talk.status(), Status::Reconnecting(_)));
}
