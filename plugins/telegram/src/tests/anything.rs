//! No answer of the platform, however odd, makes the connector fail or lose its place.

use prx_sdk::connector::{
    Attachment, AttachmentKind, Choice, Content, Event, HttpDone, HttpOutcome, HttpResponse, Webhook,
};

use super::*;
use prx_sdk::testing::Chance;

fn odd_value(chance: &mut Chance, depth: usize) -> Value {
    match chance.below(if depth == 0 { 7 } else { 9 }) {
        0 => Value::Null,
        1 => json!(chance.below(2) == 0),
        2 => json!(chance.below(90_000)),
        3 => json!(chance.next() as i64),
        4 => json!(chance.next() as f64 / 3.0),
        5 => json!(odd_text(chance)),
        6 => json!(["private", "group", "supergroup", "Too Many Requests"][chance.below(4)]),
        7 => (0..chance.below(4)).map(|_| odd_value(chance, depth - 1)).collect(),
        _ => odd_update(chance, depth - 1),
    }
}

fn odd_text(chance: &mut Chance) -> String {
    let signs =
        ["/cmd", "@prxbot", "@", " ", "**", "`", "```\n", "[a](https://x)", "\u{1F600}", "ß", "\0", "<"];
    (0..chance.below(12)).map(|_| signs[chance.below(signs.len())]).collect()
}

fn odd_update(chance: &mut Chance, depth: usize) -> Value {
    let keys = [
        "update_id",
        "message",
        "chat",
        "from",
        "id",
        "text",
        "caption",
        "type",
        "entities",
        "is_bot",
        "date",
        "migrate_to_chat_id",
        "reply_to_message",
        "sender_chat",
        "message_thread_id",
        "username",
        "result",
        "callback_query",
        "data",
        "reply_markup",
        "photo",
        "document",
        "file_id",
        "media_group_id",
        "url",
        "pending_update_count",
        "last_error_date",
    ];
    (0..chance.below(8))
        .map(|_| (keys[chance.below(keys.len())].to_owned(), odd_value(chance, depth)))
        .collect()
}

/// A good update of which one field is something else, or nothing good at all.
fn update(chance: &mut Chance, near: i64) -> Value {
    let number = near.saturating_add(chance.below(8) as i64 - 3);
    let mut update = message_with(number.min(1 << 50), "x", json!({"text": odd_text(chance)}));
    match chance.below(7) {
        0 => return odd_value(chance, 3),
        1 => update["message"] = odd_value(chance, 3),
        2 => {
            let keys = [
                "from",
                "chat",
                "text",
                "date",
                "entities",
                "message_id",
                "reply_to_message",
                "sender_chat",
                "photo",
            ];
            update["message"][keys[chance.below(keys.len())]] = odd_value(chance, 2);
        }
        3 => {
            update["message"]["photo"] = json!([{"file_id": odd_text(chance)}]);
            update["message"]["media_group_id"] = [json!("g"), json!(null)][chance.below(2)].clone();
        }
        4 => {
            let mut press =
                json!({"id": "1", "from": {"id": 7, "first_name": "A"}, "data": odd_text(chance)});
            press["message"] = update["message"].take();
            press[["id", "from", "data", "message", "other"][chance.below(5)]] = odd_value(chance, 2);
            update = json!({"update_id": update["update_id"], "callback_query": press});
        }
        _ => {}
    }
    update
}

/// What the platform would say to this request, but for what is odd in its updates.
fn good_body(chance: &mut Chance, url: &str, near: i64) -> Value {
    let result = match url.rsplit('/').next() {
        Some("getMe") => json!({"id": 99, "username": "prxbot"}),
        Some("getFile") => json!({"file_id": "x", "file_path": odd_text(chance), "file_size": 5}),
        Some("getWebhookInfo") => {
            json!({"url": "https://bot.example.org/in/telegram", "pending_update_count": 0})
        }
        Some("getUpdates") => (0..chance.below(5)).map(|_| update(chance, near)).collect(),
        _ => json!({"message_id": 5}),
    };
    json!({"ok": true, "result": result})
}

fn odd_body(chance: &mut Chance, good: &[u8]) -> Vec<u8> {
    let odd = match chance.below(5) {
        0 => return (0..chance.below(60)).map(|_| chance.next() as u8).collect(),
        1 => return good[..chance.below(good.len())].to_vec(),
        2 => json!({"ok": false, "error_code": 400 + chance.below(120), "description": odd_text(chance),
            "parameters": {"retry_after": chance.below(100), "migrate_to_chat_id": chance.next() as i64}}),
        3 => json!({"ok": chance.below(2) == 0, "result": odd_value(chance, 2)}),
        _ => odd_value(chance, 3),
    };
    odd.to_string().into_bytes()
}

fn response(chance: &mut Chance, url: &str, near: i64) -> HttpResponse {
    let good = good_body(chance, url, near).to_string().into_bytes();
    let (status, body) = match chance.below(4) {
        0 => (200, odd_body(chance, &good)),
        1 => ([302, 400, 403, 409, 429, 500, 504, 0, 65535][chance.below(9)], odd_body(chance, &good)),
        _ => (200, good),
    };
    let blob = (chance.below(3) > 0).then(|| "blob".to_owned());
    HttpResponse { status, headers: Vec::new(), body, blob, elapsed_ms: 1 }
}

fn operation(chance: &mut Chance) -> Operation {
    let file = |chance: &mut Chance| Attachment {
        blob: "b".into(),
        kind: [AttachmentKind::Image, AttachmentKind::Document][chance.below(2)],
        name: Some(odd_text(chance)),
        mime: None,
        size: chance.next(),
    };
    let content = Content {
        markdown: format!("{} {}", odd_text(chance), "word ".repeat(chance.below(2000))),
        attachments: (0..chance.below(3)).map(|_| file(chance)).collect(),
    };
    let message = ["31", "x"][chance.below(2)].to_owned();
    match chance.below(8) {
        0 => Operation::Edit((message, content)),
        1 => Operation::Delete(message),
        2 => Operation::Typing,
        3 => Operation::Draft((chance.next(), content)),
        4 => Operation::React((message, odd_text(chance))),
        5 => Operation::Ask((content, vec![Choice { id: odd_text(chance), label: odd_text(chance) }])),
        _ => Operation::Send(content),
    }
}

fn step(talk: &mut Talk, chance: &mut Chance) {
    let near = talk.script.state().offset;
    let open = talk.script.requests();
    let picked = open.get(chance.below(open.len())).map(|request| (request.token, request.url_text()));
    match (chance.below(12), picked) {
        (0, _) => {
            let operation = operation(chance);
            talk.script.operate(Target::conversation(["7", "-100", "x"][chance.below(3)]), operation);
        }
        (1, _) => talk.script.swap(),
        (2, _) => {
            talk.script.feed(Event::Timer(chance.next()));
            talk.script.advance(Duration::from_secs(chance.below(100) as u64));
        }
        (3, _) => {
            let outcome = HttpOutcome::Response(response(chance, "/getUpdates", near));
            talk.script.feed(Event::HttpDone(HttpDone { token: 1 << 40, outcome }));
        }
        (4, _) => {
            let good = update(chance, near).to_string().into_bytes();
            let body = if chance.below(2) == 0 { odd_body(chance, &good) } else { good };
            let method = ["POST", "GET"][chance.below(8) / 7].to_owned();
            let (path, query, headers) = (String::new(), String::new(), Vec::new());
            talk.script.feed(Event::Webhook(Webhook { token: 1, method, path, query, headers, body }));
        }
        (5, Some((token, _))) => talk.script.fail(token, chance.below(2) == 0, "lost"),
        (_, Some((token, url))) => talk.script.respond(token, response(chance, &url, near)),
        (_, None) => talk.script.advance(Duration::from_secs(100)),
    }
}

#[test]
fn nothing_the_platform_says_makes_it_fail_or_lose_its_place() {
    let (mut delivered, mut longest) = (0, 0);
    for seed in 0..30 {
        let mut chance = Chance::new(seed);
        let hooked = seed % 3 == 2;
        let mut talk = if hooked { Talk::with(webhook::hooked_config()) } else { Talk::listening() };
        talk.script.restart();
        for _ in 0..150 {
            let before = talk.script.state();
            step(&mut talk, &mut chance);
            let after = talk.script.state();
            let same_bot = before.bot.id == after.bot.id;
            // A number far above all others is taken for the end of the old numbering, later.
            let in_range = before.offset < 100_000;
            assert!(after.offset >= before.offset || !same_bot || !in_range, "{before:?} -> {after:?}");
            delivered += talk.script.deliveries().len();
            longest = longest.max(serde_json::to_string(&after.poll).expect("a poll").len());
            talk.script.commands();
            if talk.script.requests().is_empty() && talk.script.timers().is_empty() {
                talk.script.restart();
            }
        }
    }
    assert!(delivered > 100, "the test reaches what it is meant for: {delivered}");
    assert!(longest < 200);
}
