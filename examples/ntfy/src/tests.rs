//! Transcripts with a server.

use prx_sdk::connector::{HttpResponse, Outcome, Status};
use prx_sdk::testing::Script;
use serde_json::json;

use super::*;

fn started() -> Script<Ntfy> {
    let mut talk = Script::new(json!({"topic": "home", "poll_seconds": 5, "base_url": "https://ntfy.test/"}));
    talk.start();
    talk
}

#[test]
fn what_is_published_is_heard_once_and_its_own_words_are_not() {
    let mut talk = started();
    assert_eq!(talk.request(POLL).url_text(), "https://ntfy.test/home/json?poll=1&since=1700000000");
    assert_eq!(talk.request(POLL).header_text("authorization").unwrap(), "Bearer {secret:access_token}");
    let lines = [
        json!({"id": "a", "time": 1_700_000_001, "event": "message", "title": "Door", "message": "Who is there?"}),
        json!({"id": "b", "time": 1_700_000_002, "event": "message", "message": "It is me", "tags": ["prx"]}),
        json!({"id": "c", "time": 1_700_000_003, "event": "keepalive"}),
    ];
    let body = lines.map(|line| line.to_string()).join("\n") + "\nno JSON\n";
    let (headers, body) = (Vec::new(), body.into_bytes());
    talk.respond(POLL, HttpResponse { status: 200, headers, body, blob: None, elapsed_ms: 7 });
    let heard = talk.deliveries();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!((&*heard[0].dedupe, &*heard[0].text), ("a", "Door\nWho is there?"));
    assert_eq!(talk.status(), Some(&Status::Connected));
    talk.advance(Duration::from_secs(5));
    assert!(talk.request(POLL).url_text().ends_with("since=b"));
    talk.restart();
    assert!(talk.request(POLL).url_text().ends_with("since=b"), "the place is kept");
}

#[test]
fn a_reply_is_published_and_what_fails_is_told() {
    let mut talk = started();
    let sent = talk.send("home", "**Hello**");
    assert_eq!(
        (talk.request(2).url_text(), talk.request(2).body_text()),
        ("https://ntfy.test/home".into(), "**Hello**".into())
    );
    talk.answer(2, 200, json!({"id": "x", "time": 1, "event": "message"}));
    assert_eq!(talk.outcome(&sent), Some(&Outcome::Ok(Some("x".into()))));
    for (status, again) in [(429, true), (503, true), (403, false)] {
        let sent = talk.send("home", "Hello");
        let token = talk.requests().last().unwrap().token;
        talk.answer(token, status, "");
        assert_eq!(matches!(talk.outcome(&sent), Some(Outcome::RetryAfter(_))), again, "{status}");
    }
    let lost = talk.send("home", "Hello");
    let token = talk.requests().last().unwrap().token;
    talk.fail(token, true, "the connection ended");
    assert!(matches!(talk.outcome(&lost), Some(Outcome::Unknown(_))));
}

#[test]
fn a_server_that_is_away_is_asked_again_and_a_bad_token_is_said() {
    let mut talk = started();
    talk.answer(POLL, 502, "");
    assert!(matches!(talk.status(), Some(Status::Reconnecting(why)) if why.contains("502")));
    talk.advance(Duration::from_secs(60));
    talk.answer(POLL, 200, "");
    assert_eq!(talk.status(), Some(&Status::Connected));
    talk.advance(Duration::from_secs(5));
    talk.answer(POLL, 403, "");
    assert!(matches!(talk.status(), Some(Status::Failed(why)) if why.contains("access_token")));
}
