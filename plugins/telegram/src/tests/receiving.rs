use prx_sdk::connector::{LogLevel, Sender};

use super::*;

const GROUP: i64 = -100;

fn in_group(text: &str, fields: Value) -> Value {
    let mut fields = fields;
    fields["chat"] = json!({"id": GROUP, "type": "supergroup"});
    message_with(1, text, fields)
}

/// What of one update reaches the agent: its text.
fn heard(update: Value) -> Option<String> {
    let mut talk = Talk::listening();
    let delivered = talk.updates(json!([update]));
    assert_eq!(talk.script.state().offset, 2);
    delivered.into_iter().next().map(|message| message.text)
}

#[test]
fn a_private_message_is_delivered_with_all_that_a_reply_needs() {
    let mut talk = Talk::listening();
    let delivered = talk.updates(json!([message(500, "hello")]));
    assert_eq!(
        delivered,
        [Inbound {
            dedupe: "99:500".into(),
            target: Target::conversation("7"),
            sender: Sender { id: "7".into(), name: "Ann Lee".into(), is_bot: false, language: None },
            text: "hello".into(),
            attachments: Vec::new(),
            sent_at: 1_700_000_000_000,
            addressed: true,
            choice: None,
            forwarded: Vec::new(),
            group: false,
            reply_to: None
        }]
    );
}

#[test]
fn a_stranger_gets_nothing_and_the_log_says_why_but_not_what() {
    let mut talk = Talk::listening();
    let stranger = json!({"from": {"id": 8, "first_name": "Eve", "username": "eve"}});
    assert_eq!(talk.updates(json!([message_with(1, "let me in", stranger)])), []);
    let why = "update 1 ignored: user 8 (@eve) is not in allowed_users".to_owned();
    let commands = talk.script.commands();
    assert!(commands.contains(&Command::Log((LogLevel::Warn, why))));
    assert!(!format!("{commands:?}").contains("let me in"));
}

#[test]
fn a_username_opens_as_well_as_an_id() {
    let ann = json!({"from": {"id": 12, "first_name": "A", "username": "ANN"}});
    assert_eq!(heard(message_with(1, "hi", ann)).as_deref(), Some("hi"));
}

#[test]
fn bots_are_not_heard() {
    let bot = json!({"from": {"id": 7, "is_bot": true, "first_name": "b"}});
    assert_eq!(heard(message_with(1, "hi", bot)), None);
    assert_eq!(heard(message_with(1, "hi", json!({"from": null}))), None);
}

#[test]
fn who_writes_in_the_name_of_a_chat_is_that_chat() {
    let anonymous = |fields: Value| {
        let mut all = json!({"from": {"id": 1_087_968_824, "is_bot": true, "first_name": "Group",
            "username": "GroupAnonymousBot"}, "sender_chat": {"id": GROUP, "type": "supergroup", "title": "Room"}});
        for (key, value) in fields.as_object().expect("fields") {
            all[key] = value.clone();
        }
        in_group("@prxbot hi", all)
    };
    let under = |allowed: Value, update: Value| {
        let mut config = config();
        config["allowed_users"] = allowed;
        let mut talk = Talk::with(config);
        talk.script.start();
        talk.open();
        let heard = talk.updates(json!([update])).pop().map(|heard| (heard.sender.id, heard.sender.name));
        (heard, talk.script.logs().join("\n"))
    };
    let room = Some((GROUP.to_string(), "Room".to_owned()));
    assert_eq!(under(json!(["*"]), anonymous(json!({}))).0, room);
    assert_eq!(under(json!(["-100"]), anonymous(json!({}))).0, room);
    let (heard, logs) = under(json!(["7"]), anonymous(json!({})));
    assert_eq!(heard, None);
    assert!(logs.contains("chat -100 is not in allowed_users"), "{logs}");
    let channel = json!({"sender_chat": {"id": -9, "type": "channel", "title": "News", "username": "news"}});
    assert_eq!(under(json!(["@News"]), anonymous(channel)).0, Some(("-9".into(), "News".into())));
    assert_eq!(under(json!(["*"]), anonymous(json!({"is_automatic_forward": true}))).0, None);
}

#[test]
fn in_a_group_only_what_is_said_to_the_bot_counts() {
    assert_eq!(heard(in_group("just talking", json!({}))), None);
    assert_eq!(heard(in_group("mail me@prxbot.org, @prxbotter", json!({}))), None);
    assert_eq!(heard(in_group("@prxBOT what is new?", json!({}))).as_deref(), Some("what is new?"));
    assert_eq!(
        heard(in_group("what do you say, @prxbot?", json!({}))).as_deref(),
        Some("what do you say, @prxbot?")
    );
    assert_eq!(heard(in_group("@prxbot", json!({}))).as_deref(), Some("@prxbot"));
    let named = json!({"entities": [{"type": "text_mention", "offset": 0, "length": 3, "user": {"id": 99}}]});
    assert_eq!(heard(in_group("you there", named)).as_deref(), Some("you there"));
}

#[test]
fn a_reply_to_the_bot_is_said_to_it() {
    let reply = json!({"reply_to_message": {"message_id": 1, "from": {"id": 99, "is_bot": true}}});
    assert_eq!(heard(in_group("yes", reply)).as_deref(), Some("yes"));
    let other = json!({"reply_to_message": {"message_id": 1, "from": {"id": 7}}});
    assert_eq!(heard(in_group("yes", other)), None);
    let topic = json!({"reply_to_message": {"from": {"id": 99}, "forum_topic_created": {"name": "x"}}});
    assert_eq!(heard(in_group("yes", topic)), None, "in a topic that the bot opened, not all is said to it");
}

#[test]
fn a_command_for_another_bot_is_ignored_one_for_this_bot_loses_its_name() {
    assert_eq!(heard(in_group("/help@OtherBot", json!({}))), None);
    assert_eq!(heard(in_group("/help@OtherBot @prxbot", json!({}))), None);
    assert_eq!(heard(in_group("/help@PRXBOT me now", json!({}))).as_deref(), Some("/help me now"));
    assert_eq!(heard(message(1, "/starts")).as_deref(), Some("/starts"));
}

#[test]
fn without_mention_only_all_of_a_group_is_heard() {
    let mut config = config();
    config["mention_only"] = json!(false);
    let mut talk = Talk::with(config);
    talk.script.start();
    talk.open();
    let heard = talk.updates(json!([in_group("just talking", json!({}))]));
    assert_eq!((heard.len(), heard[0].addressed), (1, false));
}

#[test]
fn a_group_message_is_replied_to_and_a_topic_is_a_thread() {
    let mut talk = Talk::listening();
    let topic = json!({"message_thread_id": 42, "is_topic_message": true});
    let heard = talk.updates(json!([in_group("@prxbot hi", topic)]));
    let target =
        Target { conversation: GROUP.to_string(), thread: Some("42".into()), reply_to: Some("10".into()) };
    assert_eq!(heard[0].target, target);
    let chain = json!({"message_thread_id": 42});
    let heard = talk.updates(json!([{"update_id": 2, "message": in_group("@prxbot hi", chain)["message"]}]));
    assert_eq!(heard[0].target.thread, None, "outside of a forum nothing can be sent to a thread");
}

#[test]
fn a_caption_counts_as_text_and_the_platforms_own_news_do_not() {
    let shown = json!({"text": null, "caption": "look", "hologram": {}});
    assert_eq!(heard(message_with(1, "", shown)).as_deref(), Some("look"));
    for news in ["hologram", "pinned_message", "new_chat_members", "video_chat_started"] {
        assert_eq!(heard(message_with(1, "", json!({"text": null, news: {}}))), None);
    }
}

#[test]
fn what_is_neither_text_nor_file_is_said_in_words() {
    let place = json!({"latitude": 52.5, "longitude": 13.4});
    for (kind, what, line) in [
        ("location", place.clone(), "[location 52.5, 13.4]"),
        (
            "location",
            json!({"latitude": -1, "longitude": 2.25, "live_period": 60}),
            "[live location -1, 2.25]",
        ),
        (
            "venue",
            json!({"title": "Café", "address": "Hof 1", "location": place}),
            "[venue Café, Hof 1, 52.5, 13.4]",
        ),
        (
            "contact",
            json!({"first_name": "Bo", "last_name": "Li", "phone_number": "+491"}),
            "[contact Bo Li, +491]",
        ),
        ("sticker", json!({"file_id": "x", "emoji": "👍"}), "[sticker 👍]"),
        ("sticker", json!({"file_id": "x"}), "[sticker]"),
        ("dice", json!({"emoji": "🎲", "value": 4}), "[dice 🎲 4]"),
        (
            "poll",
            json!({"question": "Lunch?", "options": [{"text": "Soup"}, {"text": "Salad"}]}),
            "[poll \"Lunch?\": Soup / Salad]",
        ),
        (
            "checklist",
            json!({"title": "Trip", "tasks": [{"text": "pack"}, {"text": "book", "completion_date": 5}]}),
            "[checklist \"Trip\": ☐ pack / ☑ book]",
        ),
        ("game", json!({"title": "Chess"}), "[game Chess]"),
        ("invoice", json!({"title": "Tea"}), "[invoice Tea]"),
        ("story", json!({"id": 3}), "[story]"),
        ("paid_media", json!({"star_count": 5}), "[paid media for 5 stars]"),
        ("giveaway", json!(7), "[giveaway]"),
    ] {
        let mut talk = Talk::listening();
        let heard = talk.updates(json!([message_with(1, "", json!({"text": null, kind: what}))]));
        assert_eq!(heard.iter().map(|heard| heard.text.as_str()).collect::<Vec<_>>(), [line]);
    }
    let reply = json!({"reply_to_message": {"from": {"id": 99}}, "text": null, "sticker": {"emoji": "👎"}});
    assert_eq!(heard(in_group("", reply)).as_deref(), Some("[sticker 👎]"));
    assert_eq!(heard(in_group("", json!({"text": null, "sticker": {"emoji": "👎"}}))), None);
}

#[test]
fn an_edit_that_mentions_the_bot_is_heard_once_and_other_edits_repeat_nothing() {
    let mut talk = Talk::listening();
    let mut number = 0;
    let mut at = |talk: &mut Talk, kind: &str, message: i64, text: &str, fields: Value| {
        number += 1;
        let mut update = in_group(text, fields);
        update["message"]["message_id"] = json!(message);
        update["message"]["date"] = json!(1_700_000_060);
        let heard = talk.updates(json!([{"update_id": number, kind: update["message"]}]));
        heard.into_iter().next().map(|heard| heard.text)
    };
    assert_eq!(at(&mut talk, "message", 1, "what is new?", json!({})), None);
    let edit = "edited_message";
    assert_eq!(at(&mut talk, edit, 1, "what is new, today?", json!({})), None);
    assert_eq!(at(&mut talk, edit, 1, "@prxbot what is new?", json!({})).as_deref(), Some("what is new?"));
    assert_eq!(at(&mut talk, edit, 1, "@prxbot what is really new?", json!({})), None, "it is heard by now");
    assert_eq!(at(&mut talk, "message", 2, "/new@prxbot", json!({})).as_deref(), Some("/new"));
    assert_eq!(at(&mut talk, edit, 2, "/new@prxbot ", json!({})), None, "no command is repeated");
    assert_eq!(
        at(&mut talk, edit, 3, "@prxbot hi", json!({"date": 1})).as_deref(),
        Some("hi"),
        "kept away before"
    );

    talk.updates(json!([{"update_id": 50, "edited_message": in_group("@prxbot old", json!({}))["message"]}]));
    talk.updates(
        json!([{"update_id": 51, "edited_message": message(1, "alone all is heard at once")["message"]}]),
    );
    assert_eq!(talk.script.deliveries(), []);
}

#[test]
fn a_group_that_moves_stays_the_same_conversation() {
    let mut talk = Talk::listening();
    let moves = in_group("", json!({"text": null, "migrate_to_chat_id": -200}));
    talk.updates(json!([moves]));
    let mut after = in_group("@prxbot hi", json!({}));
    after["update_id"] = json!(2);
    after["message"]["chat"]["id"] = json!(-200);
    assert_eq!(talk.updates(json!([after]))[0].target.conversation, GROUP.to_string());
    talk.script.send(&GROUP.to_string(), "hello");
    assert_eq!(talk.body("sendMessage")["chat_id"], -200);
}

#[test]
fn a_text_that_the_app_has_cut_is_one_message() {
    let mut talk = Talk::listening();
    let (first, second) = ("a".repeat(4_096), "b".repeat(4_000));
    assert_eq!(talk.updates(json!([message(1, &first)])), []);
    talk.script.advance(Duration::from_millis(60));
    assert_eq!(talk.updates(json!([message(2, &second)])), [], "there may be still more");
    let stranger = json!({"chat": {"id": 12, "type": "private"}, "from": {"id": 12, "username": "ann"}});
    assert_eq!(talk.updates(json!([message_with(3, "elsewhere", stranger)]))[0].text, "elsewhere");
    let heard = talk.updates(json!([message(4, "the end")]));
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].text, format!("{first}{second}\nthe end"));

    assert_eq!(talk.updates(json!([message(5, &first), message(6, "/stop")])), []);
    talk.script.advance(Duration::from_secs(1));
    let heard: Vec<_> = talk.script.deliveries().into_iter().map(|heard| heard.text.len()).collect();
    assert_eq!(heard, [4_096, 5], "a command belongs to nothing, and waits for its turn");
    assert_eq!(talk.updates(json!([message(7, "short")])).len(), 1, "nothing else waits");
}

#[test]
fn the_rest_of_a_text_needs_no_mention_and_is_the_same_persons() {
    let mut talk = Talk::listening();
    let mut config = config();
    config["allowed_users"] = json!(["*"]);
    talk.script.start();
    talk.open();
    let first = format!("@prxbot {}", "word ".repeat(800).trim_end());
    let mut rest = in_group("and so on", json!({}));
    rest["update_id"] = json!(2);
    let mut other = in_group("just talking", json!({"from": {"id": 8, "first_name": "Bob"}}));
    other["update_id"] = json!(3);
    let heard = talk.updates(json!([in_group(&first, json!({})), other, rest]));
    assert_eq!(heard.len(), 1);
    assert!(heard[0].text.starts_with("word ") && heard[0].text.ends_with("word\nand so on"));
}

#[test]
fn who_presses_start_is_greeted_and_a_stranger_is_not() {
    for text in ["/start", "/start ref_5"] {
        let mut talk = Talk::listening();
        assert_eq!(talk.updates(json!([message(1, text)])), []);
        assert!(talk.body("sendMessage")["text"].as_str().is_some_and(|text| text.contains("/new")));
    }
    let stranger = json!({"from": {"id": 8, "first_name": "Eve"}});
    let mut talk = Talk::listening();
    talk.updates(json!([message_with(1, "/start", stranger)]));
    assert!(talk.calls("sendMessage").is_empty());
}
