use prx_sdk::connector::{Attachment, AttachmentKind, HttpResponse};

use super::*;

const PICTURE: &str = "https://cdn.discordapp.com/attachments/50/1/cat.png?ex=1&hm=2";

fn with_files(id: u64, text: &str, files: Value) -> Value {
    let mut message = message(id, text);
    message["attachments"] = files;
    message
}

fn picture() -> Value {
    json!([{"id": "1", "filename": "cat.png", "content_type": "image/png", "size": 4321, "url": PICTURE}])
}

/// Finishes the one download in flight.
fn download(talk: &mut Talk, url: &str, status: u16, blob: Option<&str>) {
    let token = talk.call("GET", url).token;
    let blob = blob.map(str::to_owned);
    let response = HttpResponse { status, headers: Vec::new(), body: Vec::new(), blob, elapsed_ms: 20 };
    talk.script.respond(token, response);
}

#[test]
fn a_picture_is_fetched_without_the_token_and_delivered_with_its_text() {
    let mut talk = Talk::live();
    assert!(talk.hear(with_files(1, "look", picture())).is_none());
    let get = talk.call("GET", PICTURE);
    assert!(get.body_to_blob && get.header_text("authorization").is_none(), "{get:?}");
    download(&mut talk, PICTURE, 200, Some("blob_1"));
    let heard = talk.script.deliveries().remove(0);
    assert_eq!((heard.dedupe.as_str(), heard.text.as_str()), ("1", "look"));
    let mime = Some("image/png".to_owned());
    let kind = AttachmentKind::Image;
    let expected = Attachment { blob: "blob_1".into(), kind, name: Some("cat.png".into()), mime, size: 4321 };
    assert_eq!(heard.attachments, [expected]);
    assert_eq!(talk.script.state().pending, []);
}

#[test]
fn a_file_alone_is_a_message() {
    let mut talk = Talk::live();
    talk.hear(with_files(
        1,
        "",
        json!([{"filename": "a.pdf", "size": 7, "url": "https://cdn.discordapp.com/a"}]),
    ));
    download(&mut talk, "https://cdn.discordapp.com/a", 200, Some("blob_1"));
    let heard = talk.script.deliveries().remove(0);
    assert_eq!((heard.text.as_str(), heard.attachments[0].kind), ("", AttachmentKind::Document));
}

#[test]
fn what_is_said_later_waits_behind_it_and_other_channels_do_not() {
    let mut talk = Talk::live();
    talk.hear(with_files(1, "look", picture()));
    assert!(talk.hear(message(2, "is it not nice?")).is_none());
    let mut elsewhere = message(3, "elsewhere");
    elsewhere["channel_id"] = json!("51");
    assert_eq!(talk.hear(elsewhere).expect("it waits for nothing").text, "elsewhere");
    download(&mut talk, PICTURE, 200, Some("blob_1"));
    let texts: Vec<String> = talk.script.deliveries().into_iter().map(|heard| heard.text).collect();
    assert_eq!(texts, ["look", "is it not nice?"]);
}

#[test]
fn a_file_that_cannot_be_fetched_costs_only_itself() {
    let mut talk = Talk::live();
    let two = json!([picture()[0], {"filename": "gone.txt", "url": "https://cdn.discordapp.com/gone"},
        {"filename": "nowhere.txt", "url": "file:///etc/passwd"}]);
    talk.hear(with_files(1, "look", two));
    for _ in 0..2 {
        download(&mut talk, PICTURE, 503, None);
        talk.script.advance(seconds(60));
        talk.acknowledge();
    }
    download(&mut talk, PICTURE, 200, Some("blob_1"));
    download(&mut talk, "https://cdn.discordapp.com/gone", 404, None);
    let heard = talk.script.deliveries().remove(0);
    let lines: Vec<&str> = heard.text.lines().collect();
    assert_eq!(lines[0], "look");
    assert!(lines[1].contains("nowhere.txt") && lines[2].contains("gone.txt could not be fetched: HTTP 404"));
    assert_eq!(heard.attachments.len(), 1);
}

#[test]
fn files_of_an_unknown_shape_cost_only_themselves() {
    let told = "still here\n[a file could not be fetched: the platform does not say where it is]";
    for (files, text) in [(json!([{"filename": "a", "url": 5}]), told), (json!({"no": "list"}), "still here")]
    {
        let heard = Talk::live().hear(with_files(1, "still here", files)).expect("heard");
        assert_eq!(heard.text, text);
    }
}

#[test]
fn what_is_being_fetched_outlives_a_swap_and_a_restart() {
    let mut talk = Talk::live();
    talk.hear(with_files(1, "look", picture()));
    talk.script.swap();
    assert_eq!(talk.calls("GET", PICTURE).len(), 1, "it goes on by itself");
    talk.script.restart();
    download(&mut talk, PICTURE, 200, Some("blob_1"));
    assert_eq!(talk.script.deliveries().len(), 1);
}

#[test]
fn a_file_that_is_larger_than_the_gateway_keeps_is_asked_for_once() {
    let mut talk = Talk::live();
    talk.hear(with_files(1, "look", picture()));
    let token = talk.call("GET", PICTURE).token;
    talk.script.too_large(token);
    let heard = talk.script.deliveries().remove(0);
    assert!(heard.text.starts_with("look\n[cat.png could not be fetched: "), "{}", heard.text);
}
