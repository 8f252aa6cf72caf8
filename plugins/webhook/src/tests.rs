//! Transcripts: what is posted, and what the connector makes of it.

use std::time::Duration;

use prx_sdk::connector::{
    Attachment, AttachmentKind, Command, Content, Event, HttpRequest, HttpResponse, Operation, Outcome,
    Status, Target, Webhook,
};
use prx_sdk::testing::Script;
use serde_json::{Value, json};

type Talk = Script<crate::Webhook>;

fn started() -> Talk {
    let mut talk = Talk::new(json!({"reply_url": "https://ops.example/replies"}));
    talk.start();
    assert_eq!(talk.status(), Some(&Status::Connected), "it can be called");
    talk.commands();
    talk
}

fn webhook(body: impl Into<Vec<u8>>) -> Webhook {
    let headers =
        [("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", "v1,x")];
    Webhook {
        token: 7,
        method: "POST".to_owned(),
        path: String::new(),
        query: String::new(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: body.into(),
    }
}

fn message() -> Value {
    json!({"id": 12, "conversation": "ticket-7", "user": {"id": "u-1", "name": "Ada"}, "text": "Hello"})
}

/// The answer to what is posted: its status and its reason.
fn posted(talk: &mut Talk, webhook: Webhook) -> (u16, String) {
    talk.feed(Event::Webhook(webhook));
    let answers: Vec<_> = talk
        .commands()
        .into_iter()
        .filter_map(|command| match command {
            Command::WebhookReply((7, reply)) => Some(reply),
            _ => None,
        })
        .collect();
    assert_eq!(answers.len(), 1, "there is one answer");
    let body: Value = serde_json::from_slice(&answers[0].body).expect("JSON");
    (answers[0].status, body["reason"].as_str().unwrap_or_default().to_owned())
}

fn respond(talk: &mut Talk, token: u64, status: u16, headers: &[(&str, &str)]) {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    talk.respond(token, HttpResponse { status, headers, body: Vec::new(), blob: None, elapsed_ms: 1 });
}

#[test]
fn what_is_posted_is_delivered_and_answered_in_one_step() {
    let mut talk = started();
    talk.feed(Event::Webhook(webhook(message().to_string())));
    let inbound = talk.deliveries().remove(0);
    assert_eq!((inbound.dedupe.as_str(), inbound.text.as_str()), ("msg_1", "Hello"));
    assert_eq!((inbound.target.conversation.as_str(), inbound.target.thread), ("ticket-7", None));
    assert_eq!(inbound.target.reply_to.as_deref(), Some("12"));
    assert_eq!((inbound.sender.id.as_str(), inbound.sender.name.as_str()), ("u-1", "Ada"));
    assert_eq!((inbound.sent_at, inbound.addressed), (1_700_000_000_000, true));
    assert_eq!(talk.status(), Some(&Status::Connected));
    let answered = talk
        .commands()
        .into_iter()
        .any(|command| matches!(command, Command::WebhookReply((7, reply)) if reply.status == 200));
    assert!(answered);
}

#[test]
fn what_may_be_left_out_may_be_null_too() {
    let mut talk = started();
    let body =
        json!({"id": null, "conversation": 5, "thread": null, "user": {"id": 6}, "text": "Hi", "more": [1]});
    talk.feed(Event::Webhook(webhook(body.to_string())));
    let inbound = talk.deliveries().remove(0);
    assert_eq!((inbound.target.conversation.as_str(), inbound.target.reply_to), ("5", None));
    assert_eq!(inbound.sender.name, "6");
}

#[test]
fn a_conversation_may_be_of_several_people_and_a_message_may_answer_another() {
    let mut talk = started();
    let mut body = message();
    body["group"] = json!(true);
    body["reply_to"] = json!({"author": "Bob", "text": "We move on Monday."});
    talk.feed(Event::Webhook(webhook(body.to_string())));
    let inbound = talk.deliveries().remove(0);
    let answered = inbound.reply_to.expect("quoted");
    assert!(inbound.group);
    assert_eq!((answered.author.as_deref(), answered.text.as_str()), (Some("Bob"), "We move on Monday."));
    (body["group"], body["reply_to"]) = (json!(null), json!(null));
    talk.feed(Event::Webhook(webhook(body.to_string())));
    let inbound = talk.deliveries().remove(0);
    assert_eq!((inbound.group, inbound.reply_to), (false, None));
}

#[test]
fn what_is_no_message_is_refused_with_a_reason() {
    let mut talk = started();
    for (body, reason) in [
        ("", "the body is no message"),
        ("{\"text\": \"half", "the body is no message"),
        ("[]", "the body is no message"),
        ("{\"text\": 5, \"conversation\": \"a\", \"user\": {\"id\": 1}}", "the body is no message"),
        ("{\"conversation\": \"a\", \"user\": {\"id\": 1}}", "missing field `text`"),
        ("{\"text\": \" \", \"conversation\": \"a\", \"user\": {\"id\": 1}}", "`text` must not be empty"),
        ("{\"text\": \"x\", \"conversation\": \"\", \"user\": {\"id\": 1}}", "`conversation` must have"),
        ("{\"text\": \"x\", \"conversation\": \"a\", \"user\": {\"id\": \"\"}}", "`user.id` must have"),
    ] {
        let (status, told) = posted(&mut talk, webhook(body));
        assert_eq!(status, 400, "{body}");
        assert!(told.contains(reason), "{body}: {told}");
    }
    let elsewhere = Webhook { path: "x".to_owned(), ..webhook(message().to_string()) };
    assert_eq!(posted(&mut talk, elsewhere).0, 405);
    let get = Webhook { method: "GET".to_owned(), ..webhook(message().to_string()) };
    assert_eq!(posted(&mut talk, get).0, 405);
    let unnamed = Webhook { headers: Vec::new(), ..webhook(message().to_string()) };
    assert!(posted(&mut talk, unnamed).1.contains("webhook-id"));
    assert_eq!(posted(&mut talk, webhook([0xff, 0xfe, 0])).0, 400);
    assert_eq!(talk.deliveries(), []);
}

#[test]
fn a_reply_is_posted_with_the_token_and_its_id() {
    let mut talk = started();
    let target =
        Target { conversation: "ticket-7".into(), thread: Some("t".into()), reply_to: Some("12".into()) };
    let id = talk.operate(target, Operation::Send(Content::text("Hello, **Ada**.")));
    let post: &HttpRequest = &talk.requests()[0];
    assert_eq!((post.method.as_str(), post.url_text().as_str()), ("POST", "https://ops.example/replies"));
    assert_eq!(post.header_text("authorization").as_deref(), Some("Bearer {secret:reply_token}"));
    assert_eq!(post.header_text("webhook-id"), Some(id.clone()));
    let body = json!({
        "id": id, "conversation": "ticket-7", "thread": "t", "reply_to": "12", "text": "Hello, **Ada**.",
    });
    assert_eq!(post.body_json(), body);
    let token = post.token;
    respond(&mut talk, token, 204, &[]);
    assert_eq!(talk.outcome(&id), Some(&Outcome::Ok(None)));
    assert_eq!(talk.state().replies, []);
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_refused() {
    for (status, headers, low, high) in [
        (503, &[][..], 500, 1000),
        (500, &[], 500, 1000),
        (429, &[("retry-after", "7")], 7000, 7000),
        (429, &[("Retry-After", "99999999999999999999")], 500, 1000),
        (408, &[("Retry-After", "86400")], 3_600_000, 3_600_000),
    ] {
        let mut talk = started();
        let id = talk.send("a", "Hello");
        let token = talk.requests()[0].token;
        respond(&mut talk, token, status, headers);
        let outcome = talk.outcome(&id);
        assert!(
            matches!(outcome, Some(Outcome::RetryAfter(ms)) if (low..=high).contains(ms)),
            "{status}: {outcome:?}"
        );
        assert!(matches!(talk.status(), Some(Status::Reconnecting(reason)) if reason.contains("answered")));
    }
    for status in [301, 400, 401, 404, 410, 422] {
        let mut talk = started();
        let id = talk.send("a", "Hello");
        let token = talk.requests()[0].token;
        respond(&mut talk, token, status, &[]);
        let expected = Outcome::Refused(format!("reply_url answered {status}"));
        assert_eq!(talk.outcome(&id), Some(&expected));
    }
    for sent in [true, false] {
        let mut talk = started();
        let id = talk.send("a", "Hello");
        let token = talk.requests()[0].token;
        talk.fail(token, sent, "no answer in time");
        assert!(matches!(talk.outcome(&id), Some(Outcome::RetryAfter(_))), "its id tells the two apart");
    }
}

#[test]
fn files_are_named_and_what_is_no_message_is_not_sent() {
    let mut talk = started();
    let typing = talk.operate(Target::conversation("a"), Operation::Typing);
    assert_eq!(talk.outcome(&typing), Some(&Outcome::Unsupported));
    let attachment = Attachment {
        blob: "b".into(),
        kind: AttachmentKind::Image,
        name: None,
        mime: Some("image/png".into()),
        size: 1,
    };
    let content = Content { markdown: "see".into(), attachments: vec![attachment] };
    talk.operate(Target::conversation("a"), Operation::Send(content));
    let files = json!([{"blob": "b", "name": null, "mime": "image/png", "size": 1}]);
    assert_eq!(talk.requests()[0].body_json()["attachments"], files);
}

#[test]
fn a_reply_whose_answer_got_lost_is_posted_again() {
    let mut talk = started();
    let (lost, kept) = (talk.send("a", "one"), talk.send("b", "two"));
    let tokens: Vec<u64> = talk.requests().iter().map(|request| request.token).collect();
    talk.advance(Duration::from_secs(1));
    talk.feed(Event::Resumed(prx_sdk::connector::Resumed {
        sockets: Vec::new(),
        requests: vec![tokens[1]],
        timers: Vec::new(),
    }));
    assert_eq!(talk.outcome(&lost), Some(&Outcome::RetryAfter(0)));
    assert_eq!(talk.outcome(&kept), None);
    respond(&mut talk, tokens[1], 200, &[]);
    assert_eq!(talk.outcome(&kept), Some(&Outcome::Ok(None)));
}
