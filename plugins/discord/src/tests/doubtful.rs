//! What is said to readers and operators where a message may be there twice, or not at all.

use super::sending::{MESSAGES, body};
use super::*;

#[test]
fn what_the_platform_does_not_know_again_says_that_it_may_be_a_repetition() {
    for (wait, text) in [(seconds(1), "hi"), (seconds(600), "hi\n\n(maybe a repetition)")] {
        let mut talk = Talk::live();
        let id = talk.script.send("50", "hi");
        talk.fail("POST", MESSAGES, true);
        talk.script.advance(wait);
        talk.script.feed(prx_sdk::connector::Event::Outbound(Outbound {
            id,
            target: Target::conversation("50"),
            operation: Operation::Send(Content::text("hi")),
            attempt: 2,
            maybe_duplicate: true,
        }));
        assert_eq!(body(&talk)["content"], text);
    }
}

#[test]
fn a_refusal_for_a_permission_names_it() {
    for (code, permission) in
        [(50_001, "View Channel"), (50_013, "Send Messages"), (50_007, "direct messages")]
    {
        let mut talk = Talk::live();
        let id = talk.script.send("50", "hi");
        talk.answer("POST", MESSAGES, 403, json!({"message": "Missing", "code": code}));
        let Outcome::Refused(reason) = talk.outcome(&id) else { panic!("{:?}", talk.outcome(&id)) };
        assert!(reason.starts_with("Missing (HTTP 403); ") && reason.contains(permission), "{reason}");
    }
}
