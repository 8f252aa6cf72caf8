//! No bytes from the platform make the connector fault or trap, open a second connection, stop without saying why, or
//! leave an operation without an outcome. The input is a transcript: each line an event, its first byte says which.
//!
//! `cargo +nightly fuzz run transcript -- -max_total_time=60`

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use prx_discord::Discord;
use prx_sdk::connector::{
    Attachment, AttachmentKind, Choice, Content, Event, HttpResponse, Operation, Socket, Status, Target, Webhook,
};
use prx_sdk::testing::Script;
use serde_json::json;

fuzz_target!(|transcript: &[u8]| {
    let mut script = Script::<Discord>::new(json!({
        "allowed_users": ["7"],
        "api_base": "https://discord.com/api/v10",
        "public_key": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    }));
    let mut sockets = 0;
    script.start();
    for line in transcript.split(|byte| *byte == b'\n') {
        event(&mut script, &mut sockets, line);
        assert!(script.sockets().len() + script.connects().len() <= 1, "one connection at a time");
        if script.sockets().is_empty() && script.connects().is_empty() {
            let goes_on = !script.requests().is_empty() || !script.timers().is_empty();
            assert!(goes_on || matches!(script.status(), Some(Status::Failed(_))), "{:?}", script.state());
        }
    }
    settle(&mut script);
});

fn event(script: &mut Script<Discord>, sockets: &mut Socket, line: &[u8]) {
    let Some((kind, body)) = line.split_first() else { return };
    let text = || String::from_utf8_lossy(body).into_owned();
    let socket = script.sockets().first().copied();
    match (kind, socket) {
        (b'a'..=b'd', Some(socket)) => script.receive(socket, text()),
        (b'a'..=b'd', None) => connect(script, sockets),
        (b'e', Some(socket)) => script.close_socket(socket, number(body), "bye"),
        (b'f', Some(socket)) => script.silence_socket(socket),
        (b'g', Some(socket)) => script.feed(Event::WsBinary((socket, body.to_vec()))),
        (b'h', _) => answer(script, 200, body),
        (b'i', _) => answer(script, number(body).unwrap_or_default(), body.get(2..).unwrap_or_default()),
        (b'j', _) => lose(script, body.len() % 2 == 0),
        (b'k', _) => script.swap(),
        (b'l', _) => script.restart(),
        (b'm', _) => script.advance(Duration::from_millis(body.len() as u64 * 700)),
        (b'n', _) => post(script, body),
        (b'o', _) => operate(script, Operation::Send(Content::text(text()))),
        (b'p', _) => operate(script, Operation::Send(Content::text(text().repeat(300)))),
        (b'q', _) => operate(script, Operation::Edit((text(), Content::text(text())))),
        (b'r', _) => operate(script, Operation::React(("31".into(), text()))),
        (b's', _) => {
            let choice = Choice { id: text(), label: text() };
            operate(script, Operation::Ask((Content::text(text()), vec![choice])));
        }
        (b't', _) => operate(script, Operation::Typing),
        (b'u', _) => operate(script, Operation::Send(with_files(body, text()))),
        (b'v', _) => operate(script, Operation::Edit(("31".into(), with_files(body, text().repeat(300))))),
        _ => {}
    }
}

fn number(body: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*body.first_chunk()?))
}

fn connect(script: &mut Script<Discord>, sockets: &mut Socket) {
    if let Some(token) = script.connects().first().map(|connect| connect.token) {
        *sockets += 1;
        script.open_socket(token, *sockets);
    }
}

/// The last part of the body, behind a `|`, is a header's.
fn answer(script: &mut Script<Discord>, status: u16, body: &[u8]) {
    let Some(request) = script.requests().first() else { return };
    let (token, to_blob) = (request.token, request.body_to_blob);
    let mut parts = body.rsplitn(2, |byte| *byte == b'|').map(|part| String::from_utf8_lossy(part).into_owned());
    let (last, first) = (parts.next().unwrap_or_default(), parts.next());
    let names = ["x-ratelimit-bucket", "x-ratelimit-remaining", "x-ratelimit-reset-after", "retry-after"];
    let headers = first.iter().flat_map(|_| names.map(|name| (name.to_owned(), last.clone()))).collect();
    let body = first.unwrap_or(last).into_bytes();
    let blob = (to_blob && status == 200).then(|| "blob_1".to_owned());
    script.respond(token, HttpResponse { status, headers, body, blob, elapsed_ms: 1 });
}

fn lose(script: &mut Script<Discord>, sent: bool) {
    if let Some(token) = script.requests().first().map(|request| request.token) {
        script.fail(token, sent, "lost");
    }
}

fn post(script: &mut Script<Discord>, body: &[u8]) {
    let (signature, body) = body.split_at(body.len().min(128));
    let headers = vec![
        ("x-signature-ed25519".to_owned(), String::from_utf8_lossy(signature).into_owned()),
        ("x-signature-timestamp".to_owned(), "1".to_owned()),
    ];
    let reply = script.call(Webhook {
        token: 1,
        method: "POST".into(),
        path: String::new(),
        query: String::new(),
        headers,
        body: body.to_vec(),
    });
    assert_eq!(reply.status, 401, "nobody can sign this");
}

/// As many files as the first byte says, each as large as that times half a mebibyte.
fn with_files(body: &[u8], markdown: String) -> Content {
    let count = body.first().map_or(0, |byte| u64::from(byte % 24));
    let file = |n: u64| Attachment {
        blob: format!("blob_{n}"),
        kind: AttachmentKind::Document,
        name: Some(markdown.chars().take(40).collect()),
        mime: None,
        size: n * count << 19,
    };
    let attachments = (0..count).map(file).collect();
    Content { markdown, attachments }
}

fn operate(script: &mut Script<Discord>, operation: Operation) {
    script.operate(Target::conversation("50"), operation);
}

/// Whatever is still on its way fails: afterwards no operation waits for anything.
fn settle(script: &mut Script<Discord>) {
    script.stop(false);
    while let Some(token) = script.requests().first().map(|request| request.token) {
        script.fail(token, true, "lost");
    }
    let state = script.state();
    assert!(state.ops.iter().all(|op| op.token == 0), "{state:?}");
}
