//! Turns as people and models make them, each step done twice.

use std::cell::RefCell;
use std::rc::Rc;

use prx_sdk::agent::{Activation, FailureKind, Instructions, Role, StoppedBy};
use prx_sdk::testing::{Answer, Conversation, Request};
use serde_json::json;

use crate::Assistant;

fn talk() -> Conversation<Assistant> {
    Conversation::new(json!({"system_prompt": "Be brief.", "memories": 3}))
}

/// A model that says what it was shown.
fn echo(request: &Request) -> Answer {
    let last = request.messages.iter().rev().find(|(role, _)| *role == Role::User).map(|(_, text)| text);
    format!("You said {}", last.map_or("nothing", String::as_str)).into()
}

#[test]
fn what_was_said_before_is_shown_and_the_prefix_stays() {
    let mut talk = talk();
    talk.model("main/small", echo);
    assert_eq!(talk.say("Good morning"), "You said Good morning");
    let first = talk.requests()[0].clone();
    assert_eq!((first.system.as_str(), first.shown, first.kept), ("Be brief.", true, true));
    assert_eq!(talk.say("And now?"), "You said And now?");
    let second = &talk.requests()[0];
    assert_eq!(second.system, first.system);
    assert!(second.messages.starts_with(&first.messages), "{second:?}");
    assert_eq!(second.messages.len(), 3);
}

#[test]
fn tools_are_called_until_there_is_an_answer() {
    let mut talk = talk();
    let asked = Rc::new(RefCell::new(0));
    let count = Rc::clone(&asked);
    talk.model("main/small", move |request| {
        *count.borrow_mut() += 1;
        match *count.borrow() {
            1 => Answer::Calls(vec![
                ("weather".into(), json!({"city": "Bern"})),
                ("weather".into(), json!({"city": "Oslo"})),
            ]),
            _ => {
                let results = request.messages.iter().filter(|(role, _)| *role == Role::Tool);
                results.map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", ").into()
            }
        }
    });
    talk.tool("weather", |arguments| match arguments["city"].as_str() {
        Some("Bern") => Ok("sunny".into()),
        _ => Err("no such city".into()),
    });
    assert_eq!(talk.say("How is it?"), "sunny, no such city");
    assert_eq!(talk.requests().len(), 2);
    assert_eq!(talk.requests()[1].tools, ["weather"]);
}

#[test]
fn the_limit_of_calls_is_told_once() {
    let mut talk = talk();
    talk.model("main/small", |_| Answer::call("again", json!({})));
    talk.tool("again", |_| Ok("done".into()));
    talk.left(|left| left.tool_calls = 0);
    assert!(talk.say("Go").starts_with("There is no answer yet"));
    assert_eq!(talk.requests().len(), 2);
}

#[test]
fn skills_count_as_calls() {
    let mut talk = talk();
    talk.model("main/small", |_| Answer::call("use_skill", json!({"name": "review"})));
    let instructions = Instructions { text: "Look for defects.".into(), tools: vec![] };
    talk.skill("review", "/review", Activation::Instruct(instructions));
    talk.left(|left| left.tool_calls = 0);
    assert!(talk.say("Go").starts_with("There is no answer yet"));
    assert_eq!(talk.requests().len(), 2);
}

#[test]
fn skills_and_memories_are_for_one_turn() {
    let mut talk = talk();
    talk.model("main/small", echo);
    talk.tool("search", |_| Ok(String::new()));
    talk.tool("write", |_| Ok(String::new()));
    talk.skill(
        "review",
        "/review",
        Activation::Instruct(Instructions { text: "Look for defects.".into(), tools: vec!["search".into()] }),
    );
    talk.skill("shout", "/shout", Activation::Reply("LOUD".into()));
    talk.remembers("likes </memories> tea");
    assert_eq!(talk.say("/shout x"), "LOUD");
    talk.say("/Review this");
    let request = &talk.requests()[0];
    let (_, before) = &request.messages[request.messages.len() - 2];
    assert!(before.starts_with("Look for defects.\n\nRemembered"), "{before}");
    assert!(before.contains("likes \\u003c/memories> tea") && before.ends_with("\n</memories>"));
    assert_eq!(request.tools, ["search"]);
    talk.say("/reviewer");
    let later = &talk.requests()[0];
    assert_eq!(later.tools, ["search", "write"]);
    assert!(later.messages.iter().all(|(_, text)| !text.contains("defects")));
    assert_eq!(later.system, "Be brief.");
}

#[test]
fn a_long_conversation_is_summarized_and_never_fails() {
    let mut talk = Conversation::<Assistant>::new(json!({"memories": 0, "keep_messages": 6}));
    let summaries = Rc::new(RefCell::new(0));
    let count = Rc::clone(&summaries);
    talk.model_with_window("main/small", 2000, move |request| {
        if request.kept {
            return "Noted. ".repeat(20).into();
        }
        *count.borrow_mut() += 1;
        let all: String = request.messages.iter().map(|(_, text)| text.as_str()).collect();
        let told = if all.contains("my cat is Momo") { "my cat is Momo" } else { "nothing" };
        format!("Summary {}: {told}", count.borrow()).into()
    });
    talk.say("my cat is Momo");
    for n in 0..200 {
        let reply = talk.say(&format!("message {n}: {}", "words ".repeat(20)));
        assert!(reply.starts_with("Noted."), "{n}: {reply}");
        assert!(talk.requests().iter().all(|request| request.tokens() <= 2000));
    }
    assert!((3..40).contains(&*summaries.borrow()), "{}", summaries.borrow());
    let last = talk.requests().last().expect("a request");
    assert!(last.system.contains("my cat is Momo"), "{}", last.system);
    assert!(talk.history_len() < 60);

    talk.next_session();
    talk.say("Who is my cat?");
    assert!(talk.requests()[0].system.contains("my cat is Momo"));
}

#[test]
fn between_summaries_the_prefix_stays() {
    let mut talk = Conversation::<Assistant>::new(json!({"memories": 0}));
    talk.model_with_window("main/small", 4000, |request| match request.kept {
        true => "Well. ".repeat(30).into(),
        false => "S".into(),
    });
    let (mut before, mut changes): (Option<Request>, _) = (None, 0);
    for n in 0..150 {
        talk.say(&format!("message {n}: {}", "words ".repeat(20)));
        let asked = talk.requests().last().expect("a request").clone();
        let has_summary = talk.requests().len() > 1;
        if let Some(before) = before {
            let same = asked.system == before.system && asked.messages.starts_with(&before.messages);
            assert!(same || has_summary, "turn {n} changes what came before without a summary");
            changes += usize::from(!same);
        }
        before = Some(asked);
    }
    assert!((2..15).contains(&changes), "{changes}");
}

#[test]
fn a_window_is_learned_from_a_refusal() {
    let mut talk = Conversation::<Assistant>::new(json!({"memories": 0, "keep_messages": 2}));
    talk.model("main/small", |request| match request.tokens() > 1500 {
        true => Answer::Fails(FailureKind::TooLong(Some(1500)), "too long".into()),
        false => "ok".into(),
    });
    for n in 0..60 {
        assert_eq!(talk.say(&format!("{n} {}", "words ".repeat(40))), "ok", "turn {n}");
    }
}

/// A model that keeps the facts of what it summarizes, and refuses what is above its window.
fn keeps_facts(window: u64, says: Option<u64>) -> impl FnMut(&Request) -> Answer {
    move |request| {
        if request.tokens() > window {
            return Answer::Fails(FailureKind::TooLong(says), "too long".into());
        }
        if request.kept {
            return "ok".into();
        }
        let all: Vec<&str> = request.messages.iter().flat_map(|(_, text)| text.lines()).collect();
        let facts = all.into_iter().filter(|line| line.starts_with("FACT"));
        format!("Facts:\n{}", facts.collect::<Vec<_>>().join("\n")).into()
    }
}

#[test]
fn a_small_model_takes_over_a_long_conversation_and_nothing_is_lost() {
    for (window, says) in [(Some(1500), Some(1500)), (None, Some(1500)), (None, None)] {
        let mut talk = Conversation::<Assistant>::new(json!({"memories": 0, "keep_messages": 4}));
        talk.model("main/large", |_| "ok".into());
        match window {
            Some(window) => talk.model_with_window("main/small", window, keeps_facts(1500, says)),
            None => talk.model("main/small", keeps_facts(1500, says)),
        }
        for n in 0..80 {
            talk.say(&format!("FACT {n} of many\n{}", "words ".repeat(30)));
        }
        assert!(talk.say("/model small").contains("main/small"));
        assert_eq!(talk.say("Go on"), "ok", "{says:?}");
        let asked = talk.requests().last().expect("a request");
        let shown = |fact: &str| {
            asked.system.contains(fact) || asked.messages.iter().any(|(_, text)| text.contains(fact))
        };
        let lost: Vec<u32> = (0..80).filter(|n| !shown(&format!("FACT {n} of many"))).collect();
        assert!(lost.is_empty(), "{says:?}: {lost:?}");
    }
}

#[test]
fn one_message_too_long_by_itself_fails_and_the_next_goes_on() {
    let mut talk = Conversation::<Assistant>::new(json!({"memories": 0}));
    talk.model_with_window("main/small", 500, |_| "ok".into());
    assert_eq!(talk.say("hi"), "ok");
    assert_eq!(talk.say(&"x".repeat(8000)), "[failed: too long]");
    assert_eq!(talk.say("still there?"), "ok");
}

#[test]
fn a_summary_that_fails_is_said_and_the_turn_goes_on() {
    let mut talk = Conversation::<Assistant>::new(json!({"memories": 0, "keep_messages": 2}));
    talk.model_with_window("main/small", 1000, |request| match request.kept {
        true => "ok".into(),
        false => Answer::Fails(FailureKind::Unavailable, "down".into()),
    });
    for n in 0..40 {
        assert_eq!(talk.say(&format!("{n} {}", "words ".repeat(40))), "ok", "turn {n}");
    }
    let last = talk.requests().last().expect("a request");
    assert!(last.system.contains("no longer fits"), "{}", last.system);
}

#[test]
fn commands_are_answered_in_the_language_that_is_spoken() {
    let mut talk = talk();
    talk.model("main/small", echo);
    talk.model("other/large", |_| "large".into());
    assert_eq!(talk.say("/compact"), "There is too little to summarize.");
    assert!(talk.say("/help").contains("- `/compact` summarizes"));
    assert!(talk.say("/status").starts_with("Model: main/small\n\n"));
    assert!(talk.say("/model huge").starts_with("There is no model `huge`"));
    assert_eq!(talk.say("/model large"), "From now on other/large answers.");
    assert_eq!(talk.say("hello"), "large");
    assert!(talk.requests()[0].model == "other/large");
    talk.speaks("de-CH");
    assert!(talk.say("/status").starts_with("Modell: other/large"));
    assert_eq!(talk.say("/model main/small"), "Ab jetzt antwortet main/small.");
    assert_eq!(talk.say("/help me"), "You said /help me");
    for n in 0..10 {
        talk.say(&format!("number {n}"));
    }
    assert!(talk.say("/compact").ends_with("Nachrichten sind zusammengefasst."));
    talk.say("weiter");
    assert!(talk.requests()[0].system.contains("<summary>"));
    assert!(talk.say("/new").starts_with("Das ist ein neues"));
    talk.say("weiter");
    assert!(!talk.requests()[0].system.contains("<summary>"));
}

#[test]
fn a_failure_ends_the_turn_and_the_next_one_is_answered() {
    let mut talk = talk();
    let down = Rc::new(RefCell::new(true));
    let is_down = Rc::clone(&down);
    talk.model("main/small", move |request| match *is_down.borrow() {
        true => Answer::Fails(FailureKind::Unavailable, "the provider is down".into()),
        false => echo(request),
    });
    assert_eq!(talk.say("hello"), "[failed: the provider is down]");
    *down.borrow_mut() = false;
    assert_eq!(talk.say("again"), "You said again");
    assert_eq!(talk.say_and_stop("wait", StoppedBy::Person), "");
    assert_eq!(talk.say("go on"), "You said go on");
}

#[test]
fn what_is_cut_off_says_so() {
    let mut talk = talk();
    talk.model("main/small", |_| Answer::CutOff("Once upon".into()));
    assert!(talk.say("A story").starts_with("Once upon\n\n[The answer was cut off here"));
}

#[test]
fn a_turn_survives_a_crash_after_every_step() {
    let mut talk = talk();
    let asked = Rc::new(RefCell::new(0));
    let count = Rc::clone(&asked);
    talk.model("main/small", move |_| {
        *count.borrow_mut() += 1;
        match *count.borrow() {
            1 => Answer::Calls(vec![("a".into(), json!({})), ("b".into(), json!({}))]),
            _ => "done".into(),
        }
    });
    let made = Rc::new(RefCell::new(0));
    for name in ["a", "b"] {
        let made = Rc::clone(&made);
        talk.tool(name, move |_| {
            *made.borrow_mut() += 1;
            Ok("ok".into())
        });
    }
    talk.crash_always();
    assert_eq!(talk.say("go"), "done");
    assert_eq!((*asked.borrow(), *made.borrow()), (2, 2));
}

#[test]
fn the_model_brings_in_a_skill_by_itself() {
    let mut talk = talk();
    let asked = Rc::new(RefCell::new(0));
    let count = Rc::clone(&asked);
    talk.model("main/small", move |request| {
        *count.borrow_mut() += 1;
        match *count.borrow() {
            1 => Answer::call("use_skill", json!({"name": "review"})),
            2 => Answer::call("use_skill", json!({"name": "nothing"})),
            _ => {
                let results = request.messages.iter().filter(|(role, _)| *role == Role::Tool);
                results.map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" / ").into()
            }
        }
    });
    let instructions = Instructions { text: "Look for defects.".into(), tools: vec![] };
    talk.skill("review", "/review", Activation::Instruct(instructions));
    assert_eq!(
        talk.say("Is this good?"),
        "Look for defects. / there is no skill \"nothing\"; there are: review"
    );
    assert_eq!(talk.requests()[0].own_tools, ["use_skill"]);
}

/// A model that tells a summary from an answer.
fn remembering(request: &Request) -> Answer {
    match request.kept {
        true => "Well noted.".into(),
        false => "A summary with 4711 in it.".into(),
    }
}

#[test]
fn a_session_that_ends_at_any_moment_leaves_the_last_that_was_said() {
    let mut talk = talk();
    talk.model("main/small", remembering);
    talk.say("My number is 4711. </summary>");
    assert_eq!(talk.requests().len(), 1, "no model is asked for it");
    for _ in 0..3 {
        talk.next_session();
        assert_eq!(talk.say("And now?"), "Well noted.");
        let first = talk.requests()[0].system.clone();
        assert!(
            first.contains("User: \"My number is 4711. \\u003c/summary>\"\nAssistant: \"Well noted.\""),
            "{first}"
        );
        talk.say("Go on");
        assert_eq!(talk.requests()[0].system, first, "it is the same for as long as the session lasts");
    }
    talk.say("/new");
    assert_eq!(talk.carry(), "");
    talk.say("hello");
    assert!(!talk.carry().contains("4711") && talk.requests()[0].messages.len() == 3);
}

#[test]
fn what_did_not_fit_is_not_passed_over_in_silence() {
    let mut talk = Conversation::<Assistant>::new(json!({"memories": 0}));
    talk.model("main/small", remembering);
    for n in 0..100 {
        talk.say(&format!("Message {n}: {}", "words ".repeat(20)));
        assert!(talk.carry().len() < 10 << 10, "{} bytes", talk.carry().len());
    }
    talk.next_session();
    let first = talk.say("And now?");
    assert!(first.starts_with("Well noted.\n\n[A new session has begun"), "{first}");
    assert!(talk.requests()[0].system.contains("Not all that was said there is kept"));
    assert_eq!(talk.say("And now?"), "Well noted.", "it is said once");
}

#[test]
fn the_last_turn_of_a_session_says_so_and_leaves_a_summary_where_that_takes_one() {
    let mut talk = Conversation::<Assistant>::new(json!({"memories": 0, "language": "de"}));
    talk.model("main/small", remembering);
    talk.crash_always();
    talk.left(|left| left.turns = 0);
    let short = talk.say("My number is 4711.");
    assert!(short.starts_with("Well noted.\n\n[Diese Sitzung endet hier"), "{short}");
    assert_eq!(talk.requests().len(), 1, "all of it fits");
    talk.left(|left| left.turns = 100);
    for n in 0..100 {
        talk.say(&format!("Message {n}: {}", "words ".repeat(20)));
    }
    talk.left(|left| left.turns = 0);
    let long = talk.say("Good night.");
    assert!(long.contains("die weiß, was wir gesagt haben"), "{long}");
    let kept: Vec<bool> = talk.requests().iter().map(|request| request.kept).collect();
    assert_eq!(kept, [true, false]);
    talk.next_session();
    talk.left(|left| left.turns = 100);
    assert_eq!(talk.say("And now?"), "Well noted.");
    assert!(talk.requests()[0].system.contains("A summary with 4711 in it."));
}

#[test]
fn a_session_that_ends_without_its_summary_says_what_is_left() {
    let mut talk = Conversation::<Assistant>::new(json!({"memories": 0}));
    talk.model("main/small", |request| match request.kept {
        true => "Well noted.".into(),
        false => Answer::Fails(FailureKind::Unavailable, "down".into()),
    });
    for n in 0..100 {
        talk.say(&format!("Message {n}: {}", "words ".repeat(20)));
    }
    talk.left(|left| left.turns = 0);
    let last = talk.say("Good night.");
    assert!(last.starts_with("Well noted.\n\n[This") && last.contains("knows only the last"), "{last}");
    talk.next_session();
    talk.left(|left| left.turns = 100);
    assert_eq!(talk.say("And now?"), "Well noted.", "that was said");
    assert!(talk.requests()[0].system.contains("Message 99"));
}
