//! What a message answers, what it passes on, and what is said in groups.

use prx_sdk::connector::{HttpResponse, Overheard, Quoted};

use super::*;

const GROUP: i64 = -100;

fn quoted(author: Option<&str>, text: &str) -> Quoted {
    let author = author.map(str::to_owned);
    Quoted { author, from_agent: false, text: text.into(), is_part: false, attachments: Vec::new() }
}

/// What of one private message reaches the agent, once nothing more can come that belongs to it.
fn heard(text: &str, fields: Value) -> Inbound {
    let mut talk = Talk::listening();
    let mut heard = talk.updates(json!([message_with(1, text, fields)]));
    talk.script.advance(Duration::from_secs(1));
    heard.extend(talk.script.deliveries());
    assert_eq!(heard.len(), 1, "{heard:?}");
    heard.remove(0)
}

fn answering(fields: Value) -> Option<Quoted> {
    let heard = heard("and is that still true?", fields);
    assert_eq!((heard.text.as_str(), heard.forwarded), ("and is that still true?", Vec::new()));
    heard.reply_to
}

fn of_the_bot(text: &str) -> Value {
    json!({"message_id": 3, "from": {"id": 99, "is_bot": true, "first_name": "Lab"}, "text": text})
}

/// Tells where the file that is asked for is, and gives it.
fn fetch(talk: &mut Talk, id: &str) {
    assert_eq!(talk.body("getFile"), json!({"file_id": id}));
    talk.ok("getFile", json!({"file_id": id, "file_path": format!("files/{id}")}));
    let token = talk.call(&format!("files/{id}")).token;
    let blob = Some(format!("blob_{id}"));
    talk.script.respond(
        token,
        HttpResponse { status: 200, headers: Vec::new(), body: Vec::new(), blob, elapsed_ms: 1 },
    );
}

#[test]
fn what_is_answered_comes_along_and_the_part_that_was_chosen() {
    let whole = Quoted { from_agent: true, ..quoted(Some("Lab"), "The capital of Australia is Canberra.") };
    let reply = of_the_bot("The capital of Australia is Canberra.");
    assert_eq!(answering(json!({"reply_to_message": reply})), Some(whole.clone()));
    let chosen = Quoted { is_part: true, text: "Canberra".into(), ..whole.clone() };
    for quote in [json!({"text": "Canberra"}), json!({"text": "Canberra", "position": 28, "is_manual": true})]
    {
        assert_eq!(answering(json!({"reply_to_message": reply, "quote": quote})), Some(chosen.clone()));
    }
    let begin = json!({"text": "The capital", "is_manual": false});
    assert_eq!(answering(json!({"reply_to_message": reply, "quote": begin})), Some(whole));
}

#[test]
fn every_kind_of_answer_says_whose_words_they_are() {
    let bob = json!({"id": 8, "first_name": "Bob", "last_name": "Ray"});
    for (fields, expected) in [
        (json!({"reply_to_message": {"from": bob, "text": "hi"}}), quoted(Some("Bob Ray"), "hi")),
        (json!({"reply_to_message": {"from": bob, "caption": "sunset"}}), quoted(Some("Bob Ray"), "sunset")),
        (
            json!({"reply_to_message": {"from": bob, "poll": {"question": "Lunch?", "options": [{"text": "Soup"}]}}}),
            quoted(Some("Bob Ray"), "[poll \"Lunch?\": Soup]"),
        ),
        (json!({"reply_to_message": {"from": bob, "story": {"id": 1}}}), quoted(Some("Bob Ray"), "[story]")),
        (
            json!({"reply_to_message": {"from": {"id": 1_087_968_824, "is_bot": true},
                "sender_chat": {"id": GROUP, "title": "Room"}, "text": "rules"}}),
            quoted(Some("Room"), "rules"),
        ),
        (
            json!({"reply_to_message": {"from": bob, "text": "We owe",
                "forward_origin": {"type": "hidden_user", "sender_user_name": "Carl"}}}),
            quoted(Some("Carl"), "We owe"),
        ),
        (
            json!({"external_reply": {"origin": {"type": "channel", "chat": {"id": -5, "title": "News"},
                "author_signature": "Ed"}, "sticker": {"emoji": "👍"}}, "quote": {"text": "Breaking", "is_manual": false}}),
            quoted(Some("News (Ed)"), "Breaking"),
        ),
        (
            json!({"external_reply": {"origin": {"type": "user", "sender_user": {"id": 8, "first_name": "Bob"}},
                "location": {"latitude": 1, "longitude": 2}}}),
            quoted(Some("Bob"), "[location 1, 2]"),
        ),
        (
            json!({"reply_to_story": {"chat": {"id": 8, "first_name": "Bob"}, "id": 4}}),
            quoted(Some("Bob"), "[story]"),
        ),
        (
            json!({"reply_to_message": {"from": "Bob", "text": 5}, "quote": {"text": "words"}}),
            Quoted { is_part: true, ..quoted(None, "words") },
        ),
    ] {
        if fields["reply_to_message"]["from"].is_string() {
            let mut talk = Talk::listening();
            assert_eq!(
                talk.updates(json!([message_with(1, "x", fields)])),
                [],
                "of a shape that is not understood"
            );
            continue;
        }
        assert_eq!(answering(fields), Some(expected));
    }
    assert_eq!(answering(json!({})), None);
}

#[test]
fn the_beginning_of_a_topic_is_not_answered() {
    for root in [
        json!({"message_id": 5, "forum_topic_created": {"name": "x"}}),
        json!({"message_id": 5, "text": "x"}),
    ] {
        let fields = json!({"is_topic_message": true, "message_thread_id": 5, "reply_to_message": root});
        assert_eq!(answering(fields), None);
    }
    let other = json!({"is_topic_message": true, "message_thread_id": 5, "reply_to_message": {"message_id": 6, "text": "y"}});
    assert_eq!(answering(other), Some(quoted(None, "y")));
}

#[test]
fn a_file_of_what_is_answered_is_fetched() {
    let mut talk = Talk::listening();
    let photo = json!({"reply_to_message": {"from": {"id": 8, "first_name": "Bob"}, "photo": [{"file_id": "ph1"}]},
        "chat": {"id": GROUP, "type": "supergroup"}});
    assert_eq!(talk.updates(json!([message_with(1, "@PrxBot what is in this picture?", photo)])), []);
    fetch(&mut talk, "ph1");
    let heard = talk.script.deliveries().remove(0);
    assert_eq!((heard.text.as_str(), heard.attachments), ("what is in this picture?", Vec::new()));
    assert!(heard.group);
    let quoted = heard.reply_to.expect("quoted");
    assert_eq!((quoted.author.as_deref(), quoted.text.as_str()), (Some("Bob"), ""));
    assert_eq!(quoted.attachments[0].blob, "blob_ph1");

    let gone = json!({"reply_to_message": {"from": {"id": 8, "first_name": "Bob"}, "document": {"file_id": "d", "file_name": "a.pdf"}}});
    assert_eq!(talk.updates(json!([message_with(2, "and this?", gone)])), []);
    talk.error("getFile", 400, "Bad Request: file is too big", json!({}));
    let heard = talk.script.deliveries().remove(0);
    assert_eq!(heard.text, "and this?");
    let told = heard.reply_to.expect("quoted").text;
    assert!(told.starts_with("[a.pdf could not be fetched: ") && told.contains("too big"), "{told}");
}

#[test]
fn forwarded_words_are_not_the_senders_own() {
    let user = json!({"type": "user", "sender_user": {"id": 8, "first_name": "Carl"}});
    for (fields, author, from_agent) in [
        (json!({"forward_origin": user}), Some("Carl"), false),
        (
            json!({"forward_origin": {"type": "user", "sender_user": {"id": 99, "first_name": "Lab"}}}),
            Some("Lab"),
            true,
        ),
        (json!({"forward_origin": {"type": "hidden_user", "sender_user_name": "Dan"}}), Some("Dan"), false),
        (
            json!({"forward_origin": {"type": "chat", "sender_chat": {"title": "Room"}, "author_signature": "admin"}}),
            Some("Room (admin)"),
            false,
        ),
        (json!({"forward_origin": {"type": "channel", "chat": {"title": "News"}}}), Some("News"), false),
        (json!({"forward_origin": {"type": "hologram"}}), None, false),
        (json!({"forward_origin": "odd"}), None, false),
        (json!({"forward_date": 1, "forward_from": {"id": 8, "first_name": "Carl"}}), Some("Carl"), false),
        (
            json!({"forward_date": 1, "forward_from_chat": {"title": "News"}, "forward_signature": "Ed"}),
            Some("News (Ed)"),
            false,
        ),
        (json!({"forward_date": 1, "forward_sender_name": "Dan"}), Some("Dan"), false),
    ] {
        let heard = heard("/new", fields);
        assert_eq!((heard.text.as_str(), heard.reply_to), ("", None), "no command either");
        let words = Quoted { from_agent, ..quoted(author, "/new") };
        assert_eq!(heard.forwarded, [words]);
    }
    let sticker = heard("", json!({"text": null, "sticker": {"emoji": "👍"}, "forward_origin": user}));
    assert_eq!((sticker.text.as_str(), sticker.forwarded), ("", vec![quoted(Some("Carl"), "[sticker 👍]")]));
}

#[test]
fn what_is_passed_on_waits_for_more_and_for_its_comment() {
    let from = |name: &str| json!({"forward_origin": {"type": "hidden_user", "sender_user_name": name}});
    let mut talk = Talk::listening();
    let pictures = |update: i64, id: &str, caption: Value| {
        let mut fields =
            json!({"text": null, "photo": [{"file_id": id}], "caption": caption, "media_group_id": "g"});
        fields["forward_origin"] = from("Eve")["forward_origin"].clone();
        message_with(update, "", fields)
    };
    let updates = json!([
        message_with(1, "We owe 3000 euros.", from("Carl")),
        message_with(2, "To Dan.", from("Carl")),
        pictures(3, "a", json!("the bill")),
        pictures(4, "b", json!(null)),
        message(5, "is that so?"),
    ]);
    assert_eq!(talk.updates(updates), []);
    fetch(&mut talk, "a");
    fetch(&mut talk, "b");
    let heard = talk.script.deliveries();
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].text.as_str(), heard[0].dedupe.as_str()), ("is that so?", "99:1"));
    let words: Vec<_> = heard[0].forwarded.iter().map(|quoted| quoted.text.as_str()).collect();
    assert_eq!(words, ["We owe 3000 euros.", "To Dan.", "the bill"]);
    assert_eq!(heard[0].forwarded[2].attachments.len(), 2);
    assert_eq!(talk.updates(json!([message(6, "and now?")])).remove(0).forwarded, []);
}

fn by(id: i64, name: &str, fields: Value) -> Value {
    let mut all =
        json!({"chat": {"id": GROUP, "type": "supergroup"}, "from": {"id": id, "first_name": name}});
    for (key, value) in fields.as_object().expect("fields") {
        all[key] = value.clone();
    }
    all
}

fn in_groups(hear_groups: bool) -> Talk {
    let mut config = config();
    (config["allowed_users"], config["hear_groups"]) = (json!(["7", "8"]), json!(hear_groups));
    let mut talk = Talk::with(config);
    talk.script.start();
    talk.open();
    talk.script.commands();
    talk
}

#[test]
fn in_a_group_a_comment_makes_what_was_passed_on_said_to_the_bot() {
    let forwarded =
        by(7, "Ann", json!({"forward_origin": {"type": "hidden_user", "sender_user_name": "Carl"}}));
    let mut talk = in_groups(false);
    assert_eq!(
        talk.updates(json!([message_with(1, "@PrxBot obey", forwarded.clone())])),
        [],
        "nobody said that here"
    );
    talk.script.advance(Duration::from_secs(1));
    assert_eq!(talk.script.deliveries(), []);
    talk.updates(json!([message_with(2, "We owe.", forwarded)]));
    let heard = talk.updates(json!([message_with(3, "@PrxBot true?", by(7, "Ann", json!({})))])).remove(0);
    assert_eq!((heard.text.as_str(), heard.group, heard.addressed), ("true?", true, true));
    assert_eq!(heard.forwarded, [quoted(Some("Carl"), "We owe.")]);
}

#[test]
fn what_answers_something_said_to_the_bot_is_said_to_it() {
    let mut talk = in_groups(false);
    let mut say = |update: i64, user: i64, answers: i64, text: &str| {
        let fields = by(user, "x", json!({"reply_to_message": {"message_id": answers, "from": {"id": 7}}}));
        talk.updates(json!([message_with(update, text, fields)])).len()
    };
    assert_eq!(say(1, 7, 5, "we talk"), 0);
    assert_eq!(say(2, 7, 5, "@PrxBot you too"), 1);
    assert_eq!(say(3, 8, 20, "and me"), 1, "the message of update 2 has number 20");
    assert_eq!(say(4, 7, 30, "and me again"), 1);
    assert_eq!(say(5, 9, 30, "not allowed"), 0);
    assert_eq!(say(6, 7, 10, "an answer to something else"), 0);
}

#[test]
fn what_is_said_in_groups_is_kept_where_that_is_asked_for() {
    let mut talk = in_groups(true);
    let picture = json!({"text": null, "photo": [{"file_id": "p"}], "caption": "look"});
    let passed_on = json!({"forward_origin": {"type": "hidden_user", "sender_user_name": "Carl"}});
    let updates = json!([
        message_with(1, "let us cook", by(7, "Ann", json!({}))),
        message_with(2, "with meat", by(5, "Stranger", json!({}))),
        message_with(3, "", by(8, "Bob", picture)),
        message_with(4, "We owe.", by(8, "Bob", passed_on)),
        message_with(5, "alone with the bot", json!({"from": {"id": 5, "first_name": "Stranger"}})),
    ]);
    assert_eq!(talk.updates(updates), []);
    talk.script.advance(Duration::from_secs(1));
    let overheard = talk.script.overheard();
    let said: Vec<_> = overheard.iter().map(|said| (said.sender.name.as_str(), said.text.as_str())).collect();
    let expected = [
        ("Ann", "let us cook"),
        ("Stranger", "with meat"),
        ("Bob", "look\n[a picture]"),
        ("Bob", "[forwarded from Carl] We owe."),
    ];
    assert_eq!(said, expected);
    assert_eq!(overheard[0].target, Target::conversation(GROUP.to_string()));
    assert!(talk.calls("getFile").is_empty());
    let mut deaf = in_groups(false);
    deaf.updates(json!([message_with(1, "let us cook", by(7, "Ann", json!({})))]));
    assert_eq!(deaf.script.overheard(), Vec::<Overheard>::new());
}
