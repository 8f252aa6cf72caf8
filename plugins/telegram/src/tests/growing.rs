//! Texts that grow beyond one message.

use prx_sdk::connector::Content;

use super::sending::{ok, sent};
use super::*;

/// A text of this many words, each of ten characters.
fn words(count: usize) -> String {
    (0..count).map(|word| format!("word {word:04}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_text_that_grows_goes_on_in_the_next_message_and_is_there_once() {
    let mut talk = Talk::listening();
    let edit = |talk: &mut Talk, text: &str| {
        let content = Content::text(text);
        talk.script.operate(Target::conversation("7"), Operation::Edit(("31".into(), content)))
    };
    let text = |talk: &Talk, method: &str| {
        let body = talk.body(method);
        (body["message_id"].as_i64(), body["text"].as_str().expect("a text").to_owned())
    };
    edit(&mut talk, &words(300));
    talk.ok("editMessageText", sent(31));
    edit(&mut talk, &words(500));
    assert!(text(&talk, "editMessageText").1.len() > 4_000);
    talk.ok("editMessageText", sent(31));
    talk.ok("sendMessage", sent(32));
    let id = edit(&mut talk, &words(600));
    let (message, second) = text(&talk, "editMessageText");
    assert!(message == Some(32) && second.ends_with("0599"), "the first says what it said: {message:?}");
    talk.ok("editMessageText", sent(32));
    assert_eq!(talk.outcome(&id), &ok("31"));
    talk.script.restart();
    talk.open();
    let id = edit(&mut talk, &words(600));
    assert_eq!(talk.outcome(&id), &ok("31"), "all of it is there");
    edit(&mut talk, &words(1_000));
    assert_eq!(text(&talk, "editMessageText").0, Some(32));
    talk.ok("editMessageText", sent(32));
    assert!(text(&talk, "sendMessage").1.ends_with("0999"));
    talk.ok("sendMessage", sent(33));
    let id = edit(&mut talk, "Short after all.");
    assert_eq!(text(&talk, "editMessageText"), (Some(31), "Short after all.".into()));
    talk.ok("editMessageText", sent(31));
    for message in [32, 33] {
        assert_eq!(talk.body("deleteMessage")["message_id"], message);
        talk.ok("deleteMessage", json!(true));
    }
    assert_eq!(talk.outcome(&id), &ok("31"));
}

#[test]
fn a_text_of_several_messages_is_deleted_as_a_whole() {
    let mut talk = Talk::listening();
    talk.script.send("7", &words(500));
    talk.ok("sendMessage", sent(31));
    talk.ok("sendMessage", sent(32));
    let id = talk.script.operate(Target::conversation("7"), Operation::Delete("31".into()));
    for message in [31, 32] {
        assert_eq!(talk.body("deleteMessage")["message_id"], message);
        talk.error("deleteMessage", 400, "Bad Request: message to delete not found", json!(null));
    }
    assert_eq!(talk.outcome(&id), &Outcome::Ok(None));
}
