//! No bytes from the platform make the connector fault or trap, lose its place in the updates, or leave an operation
//! without an outcome. The input is a transcript: each line an event, its first byte says which.
//!
//! `cargo +nightly fuzz run transcript -- -max_total_time=60`

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use prx_sdk::connector::{
    Attachment, AttachmentKind, Choice, Content, HttpRequest, HttpResponse, Event, Operation, Target, Webhook,
};
use prx_sdk::testing::Script;
use prx_telegram::Telegram;
use serde_json::json;

fuzz_target!(|transcript: &[u8]| {
    let (first, rest) = transcript.split_first().unwrap_or((&0, &[]));
    let mut script = Script::<Telegram>::new(json!({
        "allowed_users": ["7"],
        "api_base": "https://api.telegram.org",
        "webhook": first % 2 == 1,
        "webhook_url": "https://bot.example.org/in/telegram",
    }));
    script.start();
    for line in rest.split(|byte| *byte == b'\n') {
        let before = serde_json::to_value(script.state()).expect("a state");
        event(&mut script, line);
        let after = serde_json::to_value(script.state()).expect("a state");
        let place = |state: &serde_json::Value| state["offset"].as_i64().unwrap_or(0);
        let (same_bot, renumbered) = (before["bot"] == after["bot"], place(&before) > 100_000);
        assert!(place(&after) >= place(&before) || !same_bot || renumbered);
        script.commands();
    }
    settle(&mut script);
});

fn event(script: &mut Script<Telegram>, line: &[u8]) {
    let Some((kind, body)) = line.split_first() else { return };
    let text = || String::from_utf8_lossy(body).into_owned();
    match kind {
        b'a'..=b'h' => answer(script, usize::from(kind - b'a'), 200, body),
        b'i' => {
            let (status, body) = body.split_at(body.len().min(2));
            let status = status.iter().fold(0, |status, byte| status << 8 | u16::from(*byte));
            answer(script, 0, status, body);
        }
        b'j' => lose(script, body.first().is_some_and(|byte| byte % 2 == 0)),
        b'k' => script.swap(),
        b'l' => script.restart(),
        b'm' => script.advance(Duration::from_secs(body.len() as u64 * 10)),
        b'n' => script.feed(Event::Webhook(Webhook {
            token: 1,
            method: "POST".into(),
            path: String::new(),
            query: String::new(),
            headers: Vec::new(),
            body: body.to_vec(),
        })),
        b'o' => operate(script, Operation::Send(content(text(), 0))),
        b'p' => operate(script, Operation::Send(content(text(), 2))),
        b'q' => operate(script, Operation::Edit(("31".into(), content(text().repeat(40), 0)))),
        b'r' => operate(script, Operation::Draft((1, content(text(), 0)))),
        b's' => {
            let choice = Choice { id: text(), label: text() };
            operate(script, Operation::Ask((content(text(), 0), vec![choice])));
        }
        b't' => operate(script, Operation::React((text(), text()))),
        _ => {}
    }
}

fn answer(script: &mut Script<Telegram>, index: usize, status: u16, body: &[u8]) {
    let Some(HttpRequest { token, body_to_blob, .. }) = script.requests().get(index).cloned() else { return };
    let blob = body_to_blob.then(|| "blob".to_owned());
    script.respond(token, HttpResponse { status, headers: Vec::new(), body: body.to_vec(), blob, elapsed_ms: 1 });
}

fn lose(script: &mut Script<Telegram>, sent: bool) {
    if let Some(token) = script.requests().first().map(|request| request.token) {
        script.fail(token, sent, "lost");
    }
}

fn operate(script: &mut Script<Telegram>, operation: Operation) {
    script.operate(Target::conversation("7"), operation);
}

fn content(markdown: String, files: usize) -> Content {
    let kind = AttachmentKind::Image;
    let file = |_| Attachment { blob: "b".into(), kind, name: Some(markdown.clone()), mime: None, size: 1 };
    let attachments = (0..files).map(file).collect();
    Content { markdown, attachments }
}

/// Whatever is still on its way fails: afterwards no operation and no message waits for anything.
fn settle(script: &mut Script<Telegram>) {
    script.stop(false);
    for _ in 0..50_000 {
        let open = |request: &&HttpRequest| request.lane.as_deref() != Some("poll");
        if let Some(token) = script.requests().iter().find(open).map(|request| request.token) {
            script.fail(token, true, "lost");
        } else if script.state().pending.is_empty() {
            break;
        } else {
            script.advance(Duration::from_secs(120));
        }
    }
    let state = script.state();
    assert!(state.pending.is_empty() && state.ops.iter().all(|op| op.token == 0), "{state:?}");
}
