use prx_sdk::connector::{Attachment, AttachmentKind, Choice};

use super::*;

const MESSAGES: &str = "/channels/50/messages";

fn sent(id: u64) -> Value {
    json!({"id": id.to_string(), "channel_id": "50", "content": "x"})
}

fn ok(id: &str) -> Outcome {
    Outcome::Ok(Some(id.to_owned()))
}

fn file(name: &str, size: u64) -> Attachment {
    let mime = Some("image/png".to_owned());
    Attachment {
        blob: format!("blob_{name}"),
        kind: AttachmentKind::Image,
        name: Some(name.into()),
        mime,
        size,
    }
}

fn files(count: usize, size: u64) -> Vec<Attachment> {
    (0..count).map(|n| file(&format!("{n}.png"), size)).collect()
}

fn content(markdown: &str, attachments: Vec<Attachment>) -> Content {
    Content { markdown: markdown.into(), attachments }
}

fn send(talk: &mut Talk, markdown: &str, attachments: Vec<Attachment>) -> String {
    talk.script.operate(Target::conversation("50"), Operation::Send(content(markdown, attachments)))
}

/// Asks once more for a message with files.
fn retry(talk: &mut Talk, id: &str, attempt: u32, content: Content) {
    talk.script.feed(prx_sdk::connector::Event::Outbound(Outbound {
        id: id.to_owned(),
        target: Target::conversation("50"),
        operation: Operation::Send(content),
        attempt,
        maybe_duplicate: false,
    }));
}

/// The message of a form, and the head and content of each of its files.
fn form(call: &HttpRequest) -> (Value, Vec<(String, String)>) {
    let kind = call.header_text("content-type").expect("a type");
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a form").to_owned();
    let body = call.body_text();
    let whole = body.strip_suffix(&format!("--{boundary}--\r\n")).expect("an end");
    let border = format!("--{boundary}\r\n");
    let mut parts = whole.split(&border).skip(1).map(|part| {
        let (head, value) = part.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), value.strip_suffix("\r\n").expect("an end").to_owned())
    });
    let (head, message) = parts.next().expect("a message");
    assert_eq!(
        head,
        "content-disposition: form-data; name=\"payload_json\"\r\ncontent-type: application/json"
    );
    (serde_json::from_str(&message).expect("JSON"), parts.collect())
}

fn posted(talk: &Talk) -> (Value, Vec<(String, String)>) {
    form(talk.call("POST", MESSAGES))
}

fn blobs(files: &[(String, String)]) -> Vec<&str> {
    files.iter().map(|(_, blob)| blob.as_str()).collect()
}

#[test]
fn a_file_goes_out_with_its_text_in_one_message() {
    let mut talk = Talk::live();
    let id = send(&mut talk, "**see** @everyone", vec![file("cat.png", 4321)]);
    let (message, files) = posted(&talk);
    assert_eq!(message["content"], "**see** @everyone");
    assert_eq!(
        (&message["enforce_nonce"], &message["allowed_mentions"]),
        (&json!(true), &json!({"parse": []}))
    );
    assert!(message["nonce"].as_str().is_some_and(|nonce| (1..=25).contains(&nonce.len())));
    assert_eq!(message["attachments"], json!([{"id": 0, "filename": "cat.png"}]));
    let head =
        "content-disposition: form-data; name=\"files[0]\"; filename=\"cat.png\"\r\ncontent-type: image/png";
    assert_eq!(files, [(head.to_owned(), "{blob:blob_cat.png}".to_owned())]);
    let call = talk.call("POST", MESSAGES);
    assert_eq!(call.lane.as_deref(), Some("channel:50"));
    assert_eq!(call.header_text("authorization").as_deref(), Some("Bot {secret:bot_token}"));
    talk.answer("POST", MESSAGES, 200, sent(31));
    assert_eq!(talk.outcome(&id), &ok("31"));
    assert_eq!(talk.script.state().ops[..], []);
}

#[test]
fn a_file_alone_needs_no_text_and_no_name() {
    let mut talk = Talk::live();
    let nameless = Attachment { name: None, mime: None, kind: AttachmentKind::Audio, ..file("x", 1) };
    send(&mut talk, "", vec![nameless]);
    let (message, files) = posted(&talk);
    assert_eq!(
        (&message["content"], &message["attachments"][0]["filename"]),
        (&json!(""), &json!("recording"))
    );
    assert!(
        files[0].0.ends_with("filename=\"recording\"\r\ncontent-type: application/octet-stream"),
        "{files:?}"
    );
}

#[test]
fn no_name_ends_the_head_that_it_stands_in() {
    let mut talk = Talk::live();
    send(&mut talk, "see", vec![file("a\"; x=\"\r\n\r\nb\\.png", 1)]);
    let (message, files) = posted(&talk);
    let name = "a_; x=_____b_.png";
    assert_eq!(message["attachments"][0]["filename"], name);
    assert!(files[0].0.contains(&format!("filename=\"{name}\"\r\n")), "{files:?}");
}

#[test]
fn files_go_with_the_end_of_a_long_text_ten_to_a_message() {
    let mut talk = Talk::live();
    let text = "word ".repeat(500);
    let id = send(&mut talk, &text, files(12, 1));
    assert!(
        talk.call("POST", MESSAGES).body_json()["content"].as_str().is_some_and(|text| text.len() > 1900)
    );
    talk.answer("POST", MESSAGES, 200, sent(31));
    let (second, ten) = posted(&talk);
    assert!(second["content"].as_str().is_some_and(|text| text.starts_with("word")));
    assert_eq!(blobs(&ten), (0..10).map(|n| format!("{{blob:blob_{n}.png}}")).collect::<Vec<_>>());
    talk.answer("POST", MESSAGES, 200, sent(32));
    let (third, two) = posted(&talk);
    assert_eq!(
        (&third["content"], blobs(&two)),
        (&json!(""), vec!["{blob:blob_10.png}", "{blob:blob_11.png}"])
    );
    assert_eq!(third["attachments"][0]["id"], 0, "counted in each message");
    assert_ne!(second["nonce"], third["nonce"]);
    talk.answer("POST", MESSAGES, 200, sent(33));
    assert_eq!(talk.outcome(&id), &ok("31"));
}

#[test]
fn a_file_over_the_limit_is_named_instead() {
    let mut talk = Talk::live();
    let (fits, too_large) = (file("a.png", 10 << 20), file("film.mkv", (10 << 20) + 1));
    send(&mut talk, "see", vec![too_large.clone(), fits]);
    let (message, files) = posted(&talk);
    let line = "[film.mkv could not be sent: it is larger than the platform takes]";
    assert_eq!(
        (&message["content"], blobs(&files)),
        (&json!(format!("see\n{line}")), vec!["{blob:blob_a.png}"])
    );
    let mut talk = Talk::live();
    send(&mut talk, "", vec![too_large]);
    assert_eq!(talk.call("POST", MESSAGES).body_json()["content"], line);
}

#[test]
fn a_request_that_is_too_large_goes_out_in_smaller_ones() {
    let mut talk = Talk::live();
    let id = send(&mut talk, "see", files(3, 9 << 20));
    let refuse = |talk: &mut Talk| {
        talk.answer("POST", MESSAGES, 413, json!({"message": "Request entity too large", "code": 40_005}));
    };
    let (before, two) = posted(&talk);
    assert_eq!(two.len(), 2, "the third has no room beside them");
    refuse(&mut talk);
    let (message, one) = posted(&talk);
    assert_eq!((&message["content"], blobs(&one)), (&json!("see"), vec!["{blob:blob_0.png}"]));
    assert_eq!(message["nonce"], before["nonce"], "the refused one is no message");
    refuse(&mut talk);
    let named = |n: u32| format!("[{n}.png could not be sent: it is larger than the platform takes]");
    let (message, one) = posted(&talk);
    assert_eq!(message["content"], format!("see\n{}", named(0)));
    assert_eq!(blobs(&one), ["{blob:blob_1.png}"]);
    talk.answer("POST", MESSAGES, 200, sent(31));
    refuse(&mut talk);
    assert_eq!(talk.call("POST", MESSAGES).body_json()["content"], named(2), "and that is all");
    talk.answer("POST", MESSAGES, 200, sent(32));
    assert_eq!(talk.outcome(&id), &ok("31"));
}

#[test]
fn a_text_without_files_that_is_too_large_is_refused() {
    let mut talk = Talk::live();
    let id = talk.script.send("50", "hi");
    talk.answer("POST", MESSAGES, 413, json!({"message": "Request entity too large", "code": 40_005}));
    assert!(matches!(talk.outcome(&id), Outcome::Refused(why) if why.contains("too large")));
}

#[test]
fn a_file_that_is_no_longer_kept_is_named_instead() {
    let mut talk = Talk::live();
    let id = send(&mut talk, "see", files(2, 1));
    let token = talk.call("POST", MESSAGES).token;
    talk.script.fail(token, false, "channel discord has no blob blob_1.png, or not any more");
    let (message, files) = posted(&talk);
    assert_eq!(message["content"], "see\n[1.png could not be sent: it is no longer kept]");
    assert_eq!(blobs(&files), ["{blob:blob_0.png}"]);
    let token = talk.call("POST", MESSAGES).token;
    talk.script.fail(token, false, "connection refused");
    assert!(matches!(talk.outcome(&id), Outcome::RetryAfter(_)), "that is not about a file");
}

#[test]
fn files_go_out_under_the_same_nonce_whatever_happens_between() {
    let mut talk = Talk::live();
    let all = || content("see", files(11, 1));
    let id = send(&mut talk, "see", files(11, 1));
    talk.answer("POST", MESSAGES, 200, sent(31));
    let second = posted(&talk);
    assert_eq!(second.1.len(), 1);
    talk.fail("POST", MESSAGES, true);
    assert!(matches!(talk.outcome(&id), Outcome::RetryAfter(_)), "the platform knows it again");
    retry(&mut talk, &id, 2, all());
    assert_eq!(posted(&talk), second);
    talk.script.restart();
    retry(&mut talk, &id, 3, all());
    assert_eq!(posted(&talk), second, "what was sent is not sent again after a crash either");
    talk.answer("POST", MESSAGES, 200, sent(32));
    assert_eq!(talk.outcome(&id), &ok("31"));
}

#[test]
fn files_wait_for_their_bucket_like_any_message() {
    let mut talk = Talk::live();
    let id = send(&mut talk, "see", files(1, 1));
    talk.answer("POST", MESSAGES, 429, json!({"message": "slow", "retry_after": 2.5, "global": false}));
    assert_eq!(talk.outcome(&id), &Outcome::RetryAfter(2500));
    let next = send(&mut talk, "", files(1, 1));
    assert!(matches!(talk.outcome(&next), Outcome::RetryAfter(_)));
    assert!(talk.calls("POST", MESSAGES).is_empty());
}

#[test]
fn a_question_has_its_buttons_under_the_last_of_its_files() {
    let mut talk = Talk::live();
    let choices = vec![Choice { id: "c".into(), label: "Yes".into() }];
    let ask = Operation::Ask((content("which?", files(11, 1)), choices));
    talk.script.operate(Target::conversation("50"), ask);
    assert_eq!(posted(&talk).0.get("components"), None);
    talk.answer("POST", MESSAGES, 200, sent(31));
    assert_eq!(posted(&talk).0["components"][0]["components"][0]["custom_id"], "c");
}

#[test]
fn a_message_is_changed_with_its_files() {
    let mut talk = Talk::live();
    let edit = |talk: &mut Talk, content| {
        talk.script.operate(Target::conversation("50"), Operation::Edit(("31".into(), content)))
    };
    let id = edit(&mut talk, content("new", files(2, 1)));
    let (message, two) = form(talk.call("PATCH", "/channels/50/messages/31"));
    assert_eq!((&message["content"], two.len()), (&json!("new"), 2));
    assert_eq!(message["attachments"].as_array().map(Vec::len), Some(2), "twice they are there once");
    assert_eq!(message.get("nonce"), None);
    talk.fail("PATCH", "/messages/31", true);
    assert!(matches!(talk.outcome(&id), Outcome::RetryAfter(_)));
    let id = edit(&mut talk, content("new", files(11, 1)));
    talk.answer("PATCH", "/messages/31", 200, sent(31));
    assert_eq!(posted(&talk).1.len(), 1, "the eleventh");
    talk.answer("POST", MESSAGES, 200, sent(32));
    assert_eq!(talk.outcome(&id), &ok("31"));
    edit(&mut talk, content("no files", Vec::new()));
    let body = talk.call("PATCH", "/messages/31").body_json();
    assert_eq!(body, json!({"content": "no files", "allowed_mentions": {"parse": []}}), "those it has stay");
}

#[test]
fn a_command_is_answered_with_files_too() {
    let mut talk = Talk::live();
    // Made now, for its id tells how long it can be answered.
    let id = ((talk.script.now() - 1_420_070_400_000) << 22).to_string();
    talk.dispatch(
        "INTERACTION_CREATE",
        json!({"id": id, "application_id": APPLICATION, "type": 2, "token": "tok", "channel_id": "50",
            "user": {"id": "7", "username": "ann"}, "data": {"name": "draw"}}),
    );
    let target = talk.script.deliveries().remove(0).target;
    talk.script.operate(target, Operation::Send(content("see", files(11, 1))));
    let original = form(talk.call("PATCH", "/messages/@original"));
    assert_eq!((&original.0["content"], original.1.len()), (&json!("see"), 10));
    talk.answer("PATCH", "/messages/@original", 200, sent(31));
    assert_eq!(form(talk.call("POST", "?wait=true")).1.len(), 1);
}

#[test]
fn an_operation_that_an_older_version_has_begun_goes_on() {
    let parts = json!({"part": "two", "rest": "", "sent": 1, "reply_to": null, "first": "31", "choices": []});
    let op = |work: Value| {
        let op = json!({"id": "o", "token": 0, "attempt": 1, "since": 0, "channel": "50", "work": work})
            .to_string();
        serde_json::from_str::<crate::op::Op>(&op).expect("it can be read")
    };
    assert_eq!(op(json!({"send": parts})).kind(), "send");
    let edit = op(json!({"edit": {"message": "31", "text": "new"}}));
    assert_eq!((edit.kind(), edit.files().len()), ("edit", 0));
    let crate::op::Work::Send(parts) = edit.work else { panic!("{edit:?}") };
    assert_eq!((parts.edit.as_deref(), parts.part.as_str()), (Some("31"), "new"));
}
