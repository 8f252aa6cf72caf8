//! Texts that grow beyond one message.

use prx_sdk::connector::Content;

use super::sending::{MESSAGES, ok, sent};
use super::*;

#[test]
fn a_text_that_grows_goes_on_in_the_next_message_and_is_there_once() {
    let words = |count: usize| (0..count).map(|word| format!("word {word:04}")).collect::<Vec<_>>().join(" ");
    let mut talk = Talk::live();
    let edit = |talk: &mut Talk, text: &str| {
        let operation = Operation::Edit(("31".into(), Content::text(text)));
        talk.script.operate(Target::conversation("50"), operation)
    };
    edit(&mut talk, &words(250));
    talk.answer("PATCH", "/messages/31", 200, sent(31));
    talk.answer("POST", MESSAGES, 200, sent(32));
    let id = edit(&mut talk, &words(300));
    let second = talk.call("PATCH", "/messages/32").body_json();
    assert!(second["content"].as_str().is_some_and(|text| text.ends_with("0299")));
    talk.answer("PATCH", "/messages/32", 200, sent(32));
    assert_eq!(talk.outcome(&id), &ok("31"));
    let id = edit(&mut talk, &words(300));
    assert_eq!(talk.outcome(&id), &ok("31"), "all of it is there");
    let id = edit(&mut talk, "Short after all.");
    talk.answer("PATCH", "/messages/31", 200, sent(31));
    talk.answer("DELETE", "/messages/32", 404, json!({"message": "Unknown Message", "code": 10008}));
    assert_eq!(talk.outcome(&id), &ok("31"));
}
