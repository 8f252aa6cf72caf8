//! Nothing that the platform says, however odd, makes the connector fail, lose its place or go on without end.

use prx_sdk::connector::{Attachment, AttachmentKind, Event, HttpDone, HttpOutcome, HttpResponse, Webhook};
use prx_sdk::testing::Chance;

use super::*;

fn odd_text(chance: &mut Chance) -> String {
    let signs =
        ["/cmd", "<@9001>", "@", " ", "**", "`", "```\n", "\u{1F600}", "ß", "\0", "..", "7", "wss://x"];
    (0..chance.below(12)).map(|_| signs[chance.below(signs.len())]).collect()
}

fn odd_value(chance: &mut Chance, depth: usize) -> Value {
    match chance.below(if depth == 0 { 7 } else { 9 }) {
        0 => Value::Null,
        1 => json!(chance.below(2) == 0),
        2 => json!(chance.below(90_000)),
        3 => json!(chance.next()),
        4 => json!(chance.next() as f64 / 3.0),
        5 => json!(odd_text(chance)),
        6 => json!(["7", "6", "50", ME, "READY", "tok"][chance.below(6)]),
        7 => (0..chance.below(4)).map(|_| odd_value(chance, depth - 1)).collect(),
        _ => odd_object(chance, depth - 1),
    }
}

fn odd_object(chance: &mut Chance, depth: usize) -> Value {
    let keys = [
        "op",
        "d",
        "s",
        "t",
        "id",
        "channel_id",
        "guild_id",
        "author",
        "content",
        "type",
        "mentions",
        "token",
        "data",
        "options",
        "value",
        "custom_id",
        "message",
        "member",
        "user",
        "session_id",
        "heartbeat_interval",
        "referenced_message",
        "url",
        "attachments",
        "filename",
        "size",
        "session_start_limit",
        "retry_after",
        "global",
    ];
    (0..chance.below(8))
        .map(|_| (keys[chance.below(keys.len())].to_owned(), odd_value(chance, depth)))
        .collect()
}

fn good_frame(chance: &mut Chance, talk: &Talk) -> Value {
    let next = talk.script.state().session.map_or(1, |session| session.sequence.saturating_add(1));
    let event = |name: &str, data: Value| json!({"op": 0, "t": name, "s": next, "d": data});
    match chance.below(8) {
        0 => json!({"op": 10, "d": {"heartbeat_interval": 30_000}}),
        1 => json!({"op": 11}),
        2 => json!({"op": ([1, 7, 9][chance.below(3)]), "d": chance.below(2) == 0}),
        3 => event("RESUMED", json!({})),
        4 => event(
            "READY",
            json!({"user": {"id": ME}, "session_id": "s", "resume_gateway_url": "wss://r.discord.gg"}),
        ),
        5 => event(
            "INTERACTION_CREATE",
            json!({"id": chance.below(99).to_string(), "type": 2 + chance.below(4), "token": "tok", "channel_id": "50",
                "user": {"id": "7"}, "data": {"name": "x", "custom_id": "c", "options": odd_value(chance, 3)}}),
        ),
        6 => {
            let mut with_file = message(chance.next() >> 8, "look");
            with_file["attachments"] = json!([{"filename": odd_text(chance), "size": 5,
                "url": "https://cdn.discordapp.com/a"}, odd_object(chance, 1)]);
            event("MESSAGE_CREATE", with_file)
        }
        _ => event("MESSAGE_CREATE", message(chance.next() >> 8, "hello")),
    }
}

/// A good frame of which one field is something else, or nothing good at all.
fn frame(chance: &mut Chance, talk: &Talk) -> String {
    let mut frame = good_frame(chance, talk);
    match chance.below(8) {
        0 => return odd_value(chance, 3).to_string(),
        1 => {
            let text = frame.to_string();
            return text.chars().take(chance.below(text.len())).collect();
        }
        2 => frame[["op", "d", "s", "t"][chance.below(4)]] = odd_value(chance, 3),
        3 if frame["d"].is_object() => {
            let keys = [
                "id",
                "author",
                "type",
                "content",
                "mentions",
                "user",
                "session_id",
                "data",
                "token",
                "attachments",
            ];
            frame["d"][keys[chance.below(keys.len())]] = odd_value(chance, 2);
        }
        4 => return odd_text(chance),
        _ => {}
    }
    frame.to_string()
}

fn response(chance: &mut Chance, url: &str) -> HttpResponse {
    let good = if url.ends_with("/gateway/bot") {
        json!({"url": "wss://gateway.discord.gg", "session_start_limit": {"remaining": 900, "reset_after": 80_000_000}})
    } else {
        json!({"id": "31"})
    };
    let (status, body) = match chance.below(5) {
        0 => (200, (0..chance.below(60)).map(|_| chance.next() as u8).collect()),
        1 => (200, odd_value(chance, 3).to_string().into_bytes()),
        2 => {
            let body = json!({"message": odd_text(chance), "code": chance.below(90_000),
                "retry_after": odd_value(chance, 0), "global": chance.below(2) == 0});
            ([302, 400, 403, 404, 429, 500, 504, 0, 65535][chance.below(9)], body.to_string().into_bytes())
        }
        _ => (200, good.to_string().into_bytes()),
    };
    let headers = vec![
        ("x-ratelimit-remaining".to_owned(), chance.below(3).to_string()),
        ("x-ratelimit-reset-after".to_owned(), odd_value(chance, 0).to_string()),
        ("x-ratelimit-bucket".to_owned(), odd_text(chance)),
        ("retry-after".to_owned(), odd_value(chance, 0).to_string()),
    ];
    let blob = (url.contains("cdn.") && status == 200).then(|| odd_text(chance));
    HttpResponse { status, headers, body, blob, elapsed_ms: 1 }
}

fn odd_files(chance: &mut Chance) -> Vec<Attachment> {
    let file = |chance: &mut Chance| Attachment {
        blob: odd_text(chance),
        kind: AttachmentKind::Other,
        name: (chance.below(3) > 0).then(|| odd_text(chance)),
        mime: (chance.below(3) > 0).then(|| odd_text(chance)),
        size: chance.next() >> (36 + chance.below(28)),
    };
    (0..chance.below(14)).map(|_| file(chance)).collect()
}

fn webhook(chance: &mut Chance) -> Webhook {
    let headers = ["x-signature-ed25519", "x-signature-timestamp", "x"]
        .map(|name| (name.to_owned(), odd_text(chance)))
        .to_vec();
    let body = odd_value(chance, 2).to_string().into_bytes();
    let method = ["POST", "GET", ""][chance.below(3)].to_owned();
    Webhook { token: chance.next(), method, path: odd_text(chance), query: odd_text(chance), headers, body }
}

fn step(talk: &mut Talk, chance: &mut Chance) {
    let socket = talk.script.sockets().first().copied();
    let connect = talk.script.connects().first().map(|connect| connect.token);
    let requests = talk.script.requests();
    let request = requests.get(chance.below(requests.len())).map(|r| (r.token, r.url_text()));
    match (chance.below(16), socket, connect, request) {
        (0, ..) => {
            let words = "word ".repeat(chance.below(900));
            let markdown = format!("{} {words}", odd_text(chance));
            let content = Content { markdown, attachments: odd_files(chance) };
            let operation = match chance.below(3) {
                0 => Operation::Edit(("31".into(), content)),
                _ => Operation::Send(content),
            };
            talk.script.operate(Target::conversation(["50", "51", "x"][chance.below(3)]), operation);
        }
        (1, ..) => talk.script.swap(),
        (2, ..) => talk.script.feed(Event::Timer(chance.next())),
        (3, ..) => {
            talk.script.call(webhook(chance));
        }
        (4, ..) => {
            let outcome = HttpOutcome::Response(response(chance, "/gateway/bot"));
            talk.script.feed(Event::HttpDone(HttpDone { token: 1 << 40, outcome }));
        }
        (5, Some(socket), ..) => {
            let code =
                [None, Some(1000), Some(4000), Some(4003), Some(4007), Some(4009), Some(0)][chance.below(7)];
            talk.script.close_socket(socket, code, &odd_text(chance));
        }
        (6, Some(socket), ..) if chance.below(4) == 0 => talk.script.silence_socket(socket),
        (7, _, Some(token), _) => talk.script.fail_socket(token, &odd_text(chance)),
        (8, .., Some((token, _))) => talk.script.fail(token, chance.below(2) == 0, "lost"),
        (9, .., Some((token, url))) => {
            let response = response(chance, &url);
            talk.script.respond(token, response);
        }
        (10, ..) => talk.script.advance(Duration::from_millis(chance.below(90_000) as u64)),
        (_, Some(socket), ..) => {
            let frame = frame(chance, talk);
            talk.script.receive(socket, frame);
        }
        (_, _, Some(token), _) => {
            talk.socket += 1;
            talk.script.open_socket(token, talk.socket);
        }
        (.., Some((token, url))) => {
            let response = response(chance, &url);
            talk.script.respond(token, response);
        }
        _ => talk.script.advance(seconds(100)),
    }
}

/// Whether anything can still bring it on: a socket, a request, a timer.
fn is_alive(talk: &Talk) -> bool {
    let script = &talk.script;
    !script.sockets().is_empty()
        || !script.connects().is_empty()
        || !script.requests().is_empty()
        || !script.timers().is_empty()
}

#[test]
fn nothing_the_platform_says_makes_it_fail_or_stop() {
    let (mut delivered, mut largest, mut stopped) = (0, 0, 0);
    for seed in 0..30 {
        let mut chance = Chance::new(seed);
        let mut talk = Talk::live();
        for _ in 0..150 {
            step(&mut talk, &mut chance);
            assert!(talk.script.sockets().len() <= 1, "one connection at a time");
            assert!(talk.script.connects().len() <= 1);
            delivered += talk.script.deliveries().len();
            largest = largest.max(serde_json::to_string(&talk.script.state()).expect("a state").len());
            if !is_alive(&talk) {
                let given_up = matches!(talk.script.status(), Some(Status::Failed(_)));
                assert!(given_up, "nothing would bring it on any more: {:?}", talk.script.state());
                stopped += 1;
                talk.script.restart();
            }
        }
    }
    assert!(delivered > 60, "the test reaches what it is meant for: {delivered}");
    assert!(stopped < 100, "it gives up only where it must: {stopped}");
    assert!(largest < 200_000, "{largest}");
}
