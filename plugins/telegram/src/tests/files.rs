use prx_sdk::connector::{Attachment, AttachmentKind, Content, HttpResponse};

use super::*;

fn photo(update: i64, caption: &str, fields: Value) -> Value {
    let sizes = json!([{"file_id": "small", "file_size": 10}, {"file_id": "large", "file_size": 5000}]);
    let mut all = json!({"text": null, "caption": caption, "photo": sizes});
    for (key, value) in fields.as_object().expect("fields") {
        all[key] = value.clone();
    }
    message_with(update, "", all)
}

/// Finishes the one download in flight.
fn download(talk: &mut Talk, path: &str, status: u16, blob: Option<&str>) {
    let token = talk.call(path).token;
    let body = Vec::new();
    let blob = blob.map(str::to_owned);
    talk.script.respond(token, HttpResponse { status, headers: Vec::new(), body, blob, elapsed_ms: 20 });
}

fn picture(blob: &str) -> Attachment {
    let mime = Some("image/jpeg".to_owned());
    Attachment { blob: blob.into(), kind: AttachmentKind::Image, name: None, mime, size: 4321 }
}

fn texts(messages: &[Inbound]) -> Vec<&str> {
    messages.iter().map(|message| message.text.as_str()).collect()
}

#[test]
fn a_picture_is_fetched_into_the_blob_store_and_delivered_with_its_caption() {
    let mut talk = Talk::listening();
    assert_eq!(talk.updates(json!([photo(5, "look", json!({}))])), []);
    assert_eq!(talk.body("getUpdates")["offset"], 6, "what is still to be fetched is kept in the state");
    assert_eq!(talk.body("getFile"), json!({"file_id": "large"}));
    talk.ok("getFile", json!({"file_id": "large", "file_size": 4321, "file_path": "photos/file_1.jpg"}));
    let get = talk.call("photos/file_1.jpg");
    assert_eq!(
        (get.method.as_str(), get.url_text().as_str(), get.body_to_blob),
        ("GET", "https://api.telegram.org/file/bot{secret:bot_token}/photos/file_1.jpg", true)
    );
    download(&mut talk, "photos/file_1.jpg", 200, Some("blob_1"));
    let heard = talk.script.deliveries();
    assert_eq!((heard[0].text.as_str(), &heard[0].attachments), ("look", &vec![picture("blob_1")]));
    assert_eq!(heard[0].dedupe, "99:5");
    assert_eq!(talk.script.state().pending, []);
}

#[test]
fn each_kind_of_file_is_called_what_it_is() {
    for (field, file, kind, mime) in [
        (
            "document",
            json!({"file_id": "f", "file_name": "a.pdf", "mime_type": "application/pdf"}),
            AttachmentKind::Document,
            Some("application/pdf"),
        ),
        (
            "document",
            json!({"file_id": "f", "mime_type": "image/png"}),
            AttachmentKind::Image,
            Some("image/png"),
        ),
        ("document", json!({"file_id": "f"}), AttachmentKind::Document, None),
        ("voice", json!({"file_id": "f", "duration": 3}), AttachmentKind::Audio, Some("audio/ogg")),
        (
            "audio",
            json!({"file_id": "f", "mime_type": "audio/mpeg"}),
            AttachmentKind::Audio,
            Some("audio/mpeg"),
        ),
        (
            "video",
            json!({"file_id": "f", "mime_type": "video/mp4"}),
            AttachmentKind::Video,
            Some("video/mp4"),
        ),
        ("video_note", json!({"file_id": "f"}), AttachmentKind::Video, Some("video/mp4")),
    ] {
        let mut talk = Talk::listening();
        let name = file["file_name"].as_str().map(str::to_owned);
        talk.updates(json!([message_with(1, "", json!({"text": null, field: file}))]));
        talk.ok("getFile", json!({"file_path": "f/1"}));
        download(&mut talk, "f/1", 200, Some("b"));
        let heard = talk.script.deliveries();
        let attachment = &heard[0].attachments[0];
        assert_eq!((attachment.kind, attachment.mime.as_deref()), (kind, mime), "{field}");
        let (name, text) = match field {
            "voice" => (Some("voice.ogg".to_owned()), "[a voice message of 3 s]"),
            "video_note" => (Some("video.mp4".to_owned()), "[a video message]"),
            _ => (name, ""),
        };
        assert_eq!((&attachment.name, heard[0].text.as_str()), (&name, text));
    }
}

#[test]
fn what_is_said_after_a_picture_waits_for_it_and_other_chats_do_not() {
    let mut talk = Talk::listening();
    let other = json!({"chat": {"id": -100, "type": "group"}, "text": "@prxbot elsewhere"});
    let batch = json!([photo(5, "first", json!({})), message(6, "second"), message_with(7, "", other)]);
    assert_eq!(texts(&talk.updates(batch)), ["elsewhere"]);
    assert_eq!(talk.updates(json!([message(8, "third")])), []);
    talk.ok("getFile", json!({"file_path": "f/1"}));
    download(&mut talk, "f/1", 200, Some("b"));
    assert_eq!(texts(&talk.script.deliveries()), ["first", "second", "third"]);
}

#[test]
fn an_album_is_one_message() {
    let mut talk = Talk::listening();
    let album = || json!({"media_group_id": "g", "chat": {"id": -100, "type": "group"}});
    let batch = json!([
        photo(5, "@prxbot look at these", album()),
        photo(6, "", album()),
        message_with(7, "", json!({"chat": {"id": -100, "type": "group"}, "text": "@prxbot well?"})),
    ]);
    assert_eq!(talk.updates(batch), []);
    for blob in ["one", "two"] {
        talk.ok("getFile", json!({"file_path": "f/1", "file_size": 4321}));
        download(&mut talk, "f/1", 200, Some(blob));
    }
    assert_eq!(texts(&talk.script.deliveries()), Vec::<&str>::new(), "there may be more pictures");
    talk.script.advance(Duration::from_secs(1));
    let heard = talk.script.deliveries();
    assert_eq!(texts(&heard), ["look at these", "well?"]);
    assert_eq!(heard[0].attachments, [picture("one"), picture("two")]);
}

#[test]
fn pictures_of_an_album_that_come_one_by_one_are_one_message() {
    let mut talk = Talk::listening();
    let album = || json!({"media_group_id": "g", "chat": {"id": -100, "type": "group"}});
    for (number, blob) in [(5, "one"), (6, "two"), (7, "three")] {
        let caption = if number == 5 { "@prxbot look at these" } else { "" };
        assert_eq!(talk.updates(json!([photo(number, caption, album())])), []);
        talk.ok("getFile", json!({"file_path": "f/1", "file_size": 4321}));
        download(&mut talk, "f/1", 200, Some(blob));
        talk.script.advance(Duration::from_millis(500));
    }
    talk.script.advance(Duration::from_millis(500));
    let heard = talk.script.deliveries();
    assert_eq!(texts(&heard), ["look at these"]);
    assert_eq!(heard[0].attachments, [picture("one"), picture("two"), picture("three")]);
    talk.updates(json!([photo(8, "", album())]));
    assert!(talk.calls("getFile").is_empty(), "what comes much later is not said to the bot");
}

#[test]
fn an_album_is_said_to_the_bot_if_one_of_its_pictures_is() {
    let album = |id: &str| json!({"media_group_id": id, "chat": {"id": -100, "type": "group"}});
    let mut talk = Talk::listening();
    talk.updates(json!([photo(5, "the first", album("g")), photo(6, "the last", album("h"))]));
    assert!(talk.calls("getFile").is_empty(), "not yet said to the bot");
    talk.updates(json!([photo(7, "@prxbot compare these", album("g"))]));
    for blob in ["one", "two"] {
        talk.ok("getFile", json!({"file_path": "f/1", "file_size": 4321}));
        download(&mut talk, "f/1", 200, Some(blob));
    }
    talk.script.advance(Duration::from_secs(1));
    let heard = talk.script.deliveries();
    assert_eq!(texts(&heard), ["the first\ncompare these"]);
    assert_eq!((heard[0].attachments.len(), heard[0].addressed), (2, true));
    assert_eq!(talk.script.state().pending.len(), 0, "what was not said to the bot is gone");
}

#[test]
fn a_strangers_picture_is_not_fetched() {
    let mut talk = Talk::listening();
    let stranger = json!({"from": {"id": 8, "first_name": "Eve"}});
    assert_eq!(talk.updates(json!([photo(5, "look", stranger)])), []);
    assert!(talk.calls("getFile").is_empty());
}

#[test]
fn a_file_that_can_not_be_fetched_is_named_to_the_agent() {
    let mut talk = Talk::listening();
    let file = json!({"file_id": "f", "file_name": "film.mkv", "file_size": 99_000_000});
    talk.updates(json!([message_with(1, "", json!({"text": null, "caption": "see", "document": file}))]));
    talk.error("getFile", 400, "Bad Request: file is too big", json!(null));
    let heard = talk.script.deliveries();
    assert_eq!(heard[0].text, "see\n[film.mkv could not be fetched: Bad Request: file is too big]");
    assert_eq!(heard[0].attachments, []);

    let mut talk = Talk::listening();
    talk.updates(json!([photo(1, "", json!({}))]));
    talk.ok("getFile", json!({"file_path": "f/1"}));
    download(&mut talk, "f/1", 404, None);
    assert_eq!(texts(&talk.script.deliveries()), ["[a picture could not be fetched: HTTP 404]"]);
}

#[test]
fn trouble_with_a_file_is_waited_out_three_times() {
    let mut talk = Talk::listening();
    talk.updates(json!([photo(1, "look", json!({}))]));
    talk.error("getFile", 429, "Too Many Requests", json!({"retry_after": 2}));
    assert_eq!(talk.only_timer(), Duration::from_secs(2));
    talk.script.swap();
    talk.script.advance(Duration::from_secs(2));
    talk.ok("getFile", json!({"file_path": "f/1"}));
    talk.fail("f/1", true);
    talk.script.advance(talk.only_timer());
    talk.ok("getFile", json!({"file_path": "f/1"}));
    talk.fail("f/1", true);
    assert_eq!(
        texts(&talk.script.deliveries()),
        ["look\n[a picture could not be fetched: connection reset]"]
    );
}

#[test]
fn a_restart_goes_on_with_what_was_being_fetched() {
    let mut talk = Talk::listening();
    talk.updates(json!([photo(1, "look", json!({})), message(2, "and?")]));
    talk.ok("getFile", json!({"file_path": "f/1"}));
    talk.script.swap();
    assert_eq!(talk.calls("f/1").len(), 1, "a swap leaves it alone");
    talk.script.restart();
    assert_eq!(talk.calls("f/1").len(), 1);
    download(&mut talk, "f/1", 200, Some("b"));
    assert_eq!(texts(&talk.script.deliveries()), ["look", "and?"]);
}

#[test]
fn with_too_much_to_fetch_no_more_is_asked_for() {
    let mut talk = Talk::listening();
    let one_each = |n: i64| photo(n, "", json!({"chat": {"id": -n, "type": "private"}}));
    talk.updates((1..=64).map(one_each).collect());
    assert!(talk.calls("getUpdates").is_empty());
    assert_eq!(talk.calls("getFile").len(), 64, "side by side");
    talk.script.advance(Duration::from_secs(1));
    assert_eq!(talk.body("getUpdates")["offset"], 65);
}

#[test]
fn media_of_an_unknown_shape_costs_only_itself() {
    let mut talk = Talk::listening();
    let odd = json!({"photo": {"file_id": 5}, "text": "still here"});
    assert_eq!(texts(&talk.updates(json!([message_with(1, "", odd)]))), ["still here"]);
}

fn attachment(kind: AttachmentKind, name: &str, mime: &str) -> Attachment {
    let mime = (!mime.is_empty()).then(|| mime.to_owned());
    Attachment { blob: "blob_7".into(), kind, name: Some(name.into()), mime, size: 4321 }
}

fn send(talk: &mut Talk, markdown: &str, attachments: Vec<Attachment>) -> String {
    let content = Content { markdown: markdown.into(), attachments };
    talk.script.operate(Target::conversation("7"), Operation::Send(content))
}

/// The fields of a form, and the head and content of its file.
fn form(talk: &Talk, method: &str) -> (Vec<(String, String)>, String) {
    let call = talk.call(method);
    let kind = call.header_text("content-type").expect("a type");
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a form").to_owned();
    let body = call.body_text();
    let whole = body.strip_suffix(&format!("--{boundary}--\r\n")).expect("an end");
    let border = format!("--{boundary}\r\n");
    let parts = whole.split(&border);
    let mut fields: Vec<(String, String)> = parts
        .skip(1)
        .map(|part| part.split_once("\r\n\r\n").expect("a head"))
        .map(|(head, value)| (head.to_owned(), value.strip_suffix("\r\n").expect("an end").to_owned()))
        .collect();
    let (head, blob) = fields.pop().expect("a file");
    assert_eq!(blob, "{blob:blob_7}");
    let name = |head: &str| head.split('"').nth(1).unwrap_or_default().to_owned();
    (fields.iter().map(|(head, value)| (name(head), value.clone())).collect(), head)
}

fn field(fields: &[(String, String)], name: &str) -> Option<String> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

#[test]
fn a_picture_goes_out_with_its_text_as_caption() {
    let mut talk = Talk::listening();
    let id = send(&mut talk, "**see**", vec![attachment(AttachmentKind::Image, "a.png", "image/png")]);
    let (fields, head) = form(&talk, "sendPhoto");
    assert_eq!(
        head,
        "content-disposition: form-data; name=\"photo\"; filename=\"a.png\"\r\ncontent-type: image/png"
    );
    assert_eq!(field(&fields, "chat_id").as_deref(), Some("7"));
    assert_eq!(field(&fields, "caption").as_deref(), Some("<b>see</b>"));
    assert_eq!(field(&fields, "parse_mode").as_deref(), Some("HTML"));
    talk.ok("sendPhoto", json!({"message_id": 31}));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(Some("31".into())));
}

#[test]
fn a_text_longer_than_a_caption_goes_before_its_files() {
    let mut talk = Talk::listening();
    let text = "word ".repeat(300);
    let files = || {
        vec![
            attachment(AttachmentKind::Document, "a\"\r\n.pdf", ""),
            attachment(AttachmentKind::Video, "b", ""),
        ]
    };
    let id = send(&mut talk, &text, files());
    assert_eq!(talk.body("sendMessage")["text"], text.trim_end());
    talk.ok("sendMessage", json!({"message_id": 31}));
    let (fields, head) = form(&talk, "sendDocument");
    assert!(head.starts_with("content-disposition: form-data; name=\"document\"; filename=\"a___.pdf\"\r\n"));
    assert_eq!(field(&fields, "caption"), None);
    talk.fail("sendDocument", true);
    assert!(matches!(talk.outcome(&id), Outcome::Unknown(_)), "it may have arrived");
    let content = Content { markdown: text.clone(), attachments: files() };
    talk.attempt(&id, 2, Operation::Send(content));
    talk.ok("sendDocument", json!({"message_id": 32}));
    assert!(form(&talk, "sendDocument").1.contains("\"b\""), "the second file");
    talk.ok("sendDocument", json!({"message_id": 33}));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(Some("31".into())));
    let caption = "x".repeat(1024);
    send(&mut talk, &caption, files());
    assert_eq!(field(&form(&talk, "sendDocument").0, "caption"), Some(caption), "1024 units are a caption");
}

#[test]
fn a_file_alone_needs_no_text() {
    let mut talk = Talk::listening();
    let id = send(&mut talk, "", vec![attachment(AttachmentKind::Audio, "", "audio/ogg")]);
    assert!(form(&talk, "sendDocument").1.contains("filename=\"recording\""));
    talk.ok("sendDocument", json!({"message_id": 31}));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(Some("31".into())));
}

#[test]
fn a_file_that_can_not_be_sent_is_named_in_the_text() {
    let mut talk = Talk::listening();
    let two = vec![
        attachment(AttachmentKind::Video, "film.mkv", ""),
        attachment(AttachmentKind::Document, "a.pdf", ""),
    ];
    let id = send(&mut talk, "see", two);
    talk.error("sendDocument", 413, "Request Entity Too Large", json!(null));
    let (fields, head) = form(&talk, "sendDocument");
    assert!(head.contains("a.pdf"), "{head}");
    let named = "[film.mkv could not be sent: it is larger than the platform takes]";
    assert_eq!(field(&fields, "caption"), Some(format!("see\n{named}")));
    let token = talk.call("sendDocument").token;
    talk.script.fail(token, false, "channel telegram has no blob blob_7, or not any more");
    let gone = "[a.pdf could not be sent: it is no longer kept]";
    assert_eq!(talk.body("sendMessage")["text"], format!("see\n{named}\n{gone}"));
    talk.ok("sendMessage", json!({"message_id": 31}));
    assert_eq!(talk.outcome(&id), &Outcome::Ok(Some("31".into())));
}

#[test]
fn a_file_that_is_larger_than_the_gateway_keeps_is_asked_for_once() {
    let mut talk = Talk::listening();
    talk.updates(json!([photo(1, "look", json!({}))]));
    talk.ok("getFile", json!({"file_path": "f/1"}));
    let token = talk.call("f/1").token;
    talk.script.too_large(token);
    let heard = talk.script.deliveries();
    assert!(heard[0].text.starts_with("look\n[a picture could not be fetched: "), "{}", heard[0].text);
}

#[test]
fn a_picture_that_is_none_to_the_platform_goes_as_a_file() {
    let mut talk = Talk::listening();
    let id = send(&mut talk, "see", vec![attachment(AttachmentKind::Image, "a.png", "")]);
    talk.error("sendPhoto", 400, "Bad Request: PHOTO_INVALID_DIMENSIONS", json!(null));
    assert_eq!(field(&form(&talk, "sendDocument").0, "caption").as_deref(), Some("see"));
    talk.error("sendDocument", 400, "Bad Request: PHOTO_INVALID", json!(null));
    assert!(matches!(talk.outcome(&id), Outcome::Refused(_)), "once");
    let animated = attachment(AttachmentKind::Image, "a.gif", "image/gif");
    let huge = Attachment { size: 11 << 20, ..attachment(AttachmentKind::Image, "a.png", "image/png") };
    for file in [animated, huge] {
        let mut talk = Talk::listening();
        send(&mut talk, "", vec![file]);
        assert_eq!(talk.calls("sendDocument").len(), 1);
    }
}
