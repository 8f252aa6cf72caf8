//! What a message answers, what it passes on, and what is said in servers.

use prx_sdk::connector::{HttpResponse, Quoted};

use super::*;

fn quoted(author: Option<&str>, text: &str) -> Quoted {
    let author = author.map(str::to_owned);
    Quoted { author, from_agent: false, text: text.into(), is_part: false, attachments: Vec::new() }
}

fn answering(referenced: Value) -> Option<Quoted> {
    let mut message = message(5, "and is that still true?");
    (message["type"], message["referenced_message"]) = (json!(19), referenced);
    let heard = Talk::live().hear(message).expect("heard");
    assert_eq!(heard.text, "and is that still true?");
    heard.reply_to
}

fn forward(id: u64, snapshot: Value) -> Value {
    let mut message = message(id, "");
    message["message_reference"] = json!({"type": 1, "message_id": "1", "channel_id": "2"});
    message["message_snapshots"] = json!([{"message": snapshot}]);
    message
}

/// Finishes the one download in flight.
fn download(talk: &mut Talk, url: &str) {
    let token = talk.call("GET", url).token;
    let blob = Some("blob_1".to_owned());
    talk.script.respond(
        token,
        HttpResponse { status: 200, headers: Vec::new(), body: Vec::new(), blob, elapsed_ms: 2 },
    );
}

#[test]
fn what_is_answered_comes_along() {
    let bob = json!({"id": "8", "username": "bob", "global_name": "Bob"});
    let own = json!({"id": "3", "author": {"id": ME, "username": "prx"}, "content": "Canberra."});
    assert_eq!(answering(own), Some(Quoted { from_agent: true, ..quoted(Some("prx"), "Canberra.") }));
    for (said, text) in [
        (json!({"content": "hi <@7>", "mentions": [{"id": "7", "username": "ann"}]}), "hi @ann"),
        (json!({"content": "look", "embeds": [{"title": "A page"}]}), "look\n[embed A page]"),
        (json!({"sticker_items": [{"name": "wave"}]}), "[sticker wave]"),
        (json!({"poll": {"question": {"text": "Lunch?"}, "answers": []}}), "[poll \"Lunch?\": ]"),
    ] {
        let mut referenced = said;
        referenced["author"] = bob.clone();
        assert_eq!(answering(referenced), Some(quoted(Some("Bob"), text)));
    }
    let passed_on = json!({"author": bob, "message_snapshots": [{"message": {"content": "We owe."}}]});
    assert_eq!(answering(passed_on), Some(quoted(Some("Bob (forwarded)"), "We owe.")));
    for odd in [json!(null), json!("odd"), json!({"author": {"id": 5}})] {
        assert_eq!(answering(odd), Some(quoted(None, "[a message that was deleted]")));
    }
}

#[test]
fn a_file_of_what_is_answered_is_fetched() {
    let mut talk = Talk::live();
    let file = json!([{"filename": "cat.png", "content_type": "image/png", "size": 5, "url": "https://cdn.discordapp.com/cat"}]);
    let mut message = in_server(5, "<@9001> what is this?", mentioning_me());
    message["type"] = json!(19);
    message["referenced_message"] =
        json!({"id": "3", "author": {"id": "8", "username": "bob"}, "attachments": file});
    assert!(talk.hear(message).is_none());
    download(&mut talk, "https://cdn.discordapp.com/cat");
    let heard = talk.script.deliveries().remove(0);
    assert!(heard.group && heard.attachments.is_empty());
    assert_eq!(heard.reply_to.expect("quoted").attachments[0].blob, "blob_1");
}

#[test]
fn what_is_passed_on_is_not_the_senders_own_and_waits_for_a_comment() {
    let mut talk = Talk::live();
    assert!(talk.hear(forward(1, json!({"content": "/new", "embeds": []}))).is_none());
    talk.script.advance(seconds(1));
    let heard = talk.script.deliveries().remove(0);
    assert_eq!((heard.text.as_str(), heard.group, heard.reply_to), ("", false, None));
    assert_eq!(heard.forwarded, [quoted(None, "/new")]);

    assert!(talk.hear(forward(2, json!({"content": "We owe 3000 euros."}))).is_none());
    let heard = talk.hear(message(3, "is that so?")).expect("heard");
    assert_eq!(
        (heard.text.as_str(), heard.forwarded),
        ("is that so?", vec![quoted(None, "We owe 3000 euros.")])
    );
    assert_eq!(talk.hear(message(4, "and now?")).expect("heard").forwarded, []);
}

#[test]
fn in_a_server_a_comment_makes_what_was_passed_on_said_to_the_bot() {
    let mut talk = Talk::live();
    let mut passed_on = forward(1, json!({"content": "We owe."}));
    (passed_on["guild_id"], passed_on["channel_id"]) = (json!("6"), json!("60"));
    assert!(talk.hear(passed_on.clone()).is_none());
    let heard = talk.hear(in_server(2, "<@9001> true?", mentioning_me())).expect("heard");
    assert_eq!((heard.text.as_str(), heard.addressed), ("true?", true));
    assert_eq!(heard.forwarded, [quoted(None, "We owe.")]);
    assert_eq!(heard.target.reply_to.as_deref(), Some("2"));
    passed_on["id"] = json!("3");
    assert!(talk.hear(passed_on).is_none());
    talk.script.advance(seconds(1));
    assert_eq!(talk.script.deliveries(), [], "without a comment it is not for the bot");
}

#[test]
fn a_thread_in_which_the_bot_was_addressed_stays_addressed_and_knows_what_it_began_with() {
    let mut talk = Talk::live();
    let mut starter = in_server(1, "", json!({"type": 21}));
    starter["channel_id"] = json!("61");
    starter["referenced_message"] =
        json!({"id": "61", "author": {"id": "8", "username": "bob"}, "content": "Postgres 17?"});
    assert!(talk.hear(starter).is_none());
    let mut in_thread = |id: u64, thread: &str, text: &str, fields: Value| {
        let mut message = in_server(id, text, fields);
        message["channel_id"] = json!(thread);
        talk.hear(message)
    };
    assert_eq!(in_thread(2, "61", "hm", json!({})), None);
    let heard = in_thread(3, "61", "<@9001> what do you think?", mentioning_me()).expect("heard");
    assert_eq!(heard.reply_to, Some(quoted(Some("bob"), "Postgres 17?")));
    let heard = in_thread(4, "61", "and the cost?", json!({})).expect("it stays addressed");
    assert_eq!((heard.addressed, heard.reply_to), (true, None));
    for (thread, mark) in [("62", json!({"position": 4})), ("63", json!({"channel_type": 11}))] {
        let mut first = mentioning_me();
        first.as_object_mut().expect("an object").extend(mark.as_object().expect("an object").clone());
        assert!(in_thread(5, thread, "before", mark.clone()).is_none());
        assert!(in_thread(6, thread, "<@9001> hi", first).is_some());
        assert!(in_thread(7, thread, "and more", mark).is_some());
    }
    let mut plain = mentioning_me();
    plain["position"] = json!(0);
    assert!(in_thread(8, "60", "<@9001> hi", plain).is_some());
    assert!(in_thread(9, "60", "just talking", json!({"position": 0})).is_none(), "no thread");
    let reply = json!({"type": 19, "referenced_message": {"id": "8", "author": {"id": "7"}}});
    assert!(in_thread(10, "60", "what answers it is said to the bot", reply).is_some());
}

#[test]
fn what_is_said_in_servers_is_kept_where_that_is_asked_for() {
    let mut config = config();
    config["hear_groups"] = json!(true);
    let mut talk = Talk::live_with(config.clone());
    assert!(talk.hear(in_server(1, "let us cook", json!({}))).is_none());
    let stranger = json!({"author": {"id": "666", "username": "mallory"}, "attachments": [{"filename": "a.png", "url": "https://x.org/a"}]});
    assert!(talk.hear(in_server(2, "with meat", stranger)).is_none());
    assert!(talk.hear(in_server(3, "news", json!({"type": 6}))).is_none());
    assert!(talk.hear(in_server(4, "by a program", json!({"webhook_id": "5"}))).is_none());
    let overheard = talk.script.overheard();
    let said: Vec<_> = overheard.iter().map(|said| (said.sender.name.as_str(), said.text.as_str())).collect();
    assert_eq!(said, [("Ann Lee", "let us cook"), ("mallory", "with meat\n[a.png]")]);
    assert_eq!(overheard[0].target, Target::conversation("60"));
    config["allowed_guilds"] = json!(["1"]);
    let mut elsewhere = Talk::live_with(config);
    assert!(elsewhere.hear(in_server(1, "let us cook", json!({}))).is_none());
    assert!(elsewhere.script.overheard().is_empty(), "it does not listen in this server");
}
