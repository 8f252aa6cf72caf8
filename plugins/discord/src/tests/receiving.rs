use super::*;

fn heard(message: Value) -> Option<String> {
    Talk::live().hear(message).map(|heard| heard.text)
}

#[test]
fn a_message_is_delivered_with_all_that_is_known() {
    let mut talk = Talk::live();
    let heard = talk.hear(message(175_928_847_299_117_063, "hello")).expect("heard");
    assert_eq!(heard.dedupe, "175928847299117063");
    assert_eq!(heard.target, Target::conversation("50"));
    assert_eq!((heard.sender.id.as_str(), heard.sender.name.as_str()), ("7", "Ann Lee"));
    assert_eq!((heard.text.as_str(), heard.sent_at), ("hello", 1_462_015_105_796));
    assert!(heard.addressed && heard.choice.is_none());
}

#[test]
fn its_place_in_the_session_is_kept_with_what_it_delivered() {
    let mut talk = Talk::live();
    talk.dispatch("MESSAGE_CREATE", message(1, "hi"));
    let commands = talk.script.commands();
    assert!(commands.iter().any(|command| matches!(command, Command::Deliver(_))));
    assert_eq!(talk.script.state().session.expect("a session").sequence, 2);
}

#[test]
fn only_people_who_are_allowed_are_heard() {
    let by = |author: Value| {
        let mut message = message(1, "hi");
        message["author"] = author;
        heard(message)
    };
    assert!(by(json!({"id": "7", "username": "x"})).is_some());
    assert!(by(json!({"id": "8", "username": "ANN"})).is_some());
    assert_eq!(by(json!({"id": "8", "username": "bob"})), None);
    assert_eq!(by(json!({"id": "7", "username": "ann", "bot": true})), None);
    assert_eq!(by(json!({"id": ME, "username": "ann"})), None, "not itself");
    let mut by_webhook = message(1, "hi");
    by_webhook["webhook_id"] = json!("77");
    assert_eq!(heard(by_webhook), None);
}

#[test]
fn who_is_not_allowed_is_named_in_the_log() {
    let mut talk = Talk::live();
    let mut message = message(1, "secret words");
    message["author"] = json!({"id": "666", "username": "mallory"});
    talk.hear(message);
    let logs = talk.script.logs().join("\n");
    assert!(
        logs.contains("666") && logs.contains("allowed_users") && !logs.contains("secret words"),
        "{logs}"
    );
}

#[test]
fn in_a_server_only_what_is_said_to_the_bot_counts() {
    assert_eq!(heard(in_server(1, "just talking", json!({}))), None);
    assert_eq!(heard(in_server(1, "<@9001> what is new?", mentioning_me())).as_deref(), Some("what is new?"));
    assert_eq!(heard(in_server(1, "<@!9001>: hi", mentioning_me())).as_deref(), Some("hi"));
    assert_eq!(heard(in_server(1, "and you, <@9001>?", mentioning_me())).as_deref(), Some("and you, @prx?"));
    assert_eq!(heard(in_server(1, "<@9001>", mentioning_me())).as_deref(), Some("@prx"));
    let answer =
        |author: &str| json!({"type": 19, "referenced_message": {"id": "3", "author": {"id": author}}});
    assert_eq!(heard(in_server(1, "yes", answer(ME))).as_deref(), Some("yes"));
    assert_eq!(heard(in_server(1, "yes", answer("8"))), None);
    assert_eq!(heard(in_server(1, "yes", json!({"referenced_message": null}))), None);
}

#[test]
fn without_mention_only_all_of_a_server_is_heard() {
    let mut config = config();
    config["mention_only"] = json!(false);
    let heard = Talk::live_with(config).hear(in_server(1, "just talking", json!({}))).expect("heard");
    assert!(!heard.addressed);
}

#[test]
fn only_servers_on_the_list_are_listened_to() {
    let mut config = config();
    config["allowed_guilds"] = json!(["6"]);
    let mut talk = Talk::live_with(config);
    assert!(talk.hear(in_server(1, "<@9001> hi", mentioning_me())).is_some());
    let mut elsewhere = in_server(2, "<@9001> hi", mentioning_me());
    elsewhere["guild_id"] = json!("66");
    assert_eq!(talk.hear(elsewhere), None);
    assert!(talk.hear(message(3, "hi")).is_some(), "alone with the bot there is no server");
}

#[test]
fn a_message_in_a_server_is_replied_to_and_a_thread_is_a_place_of_its_own() {
    let mut talk = Talk::live();
    let heard = talk.hear(in_server(1, "<@9001> hi", mentioning_me())).expect("heard");
    let target = |conversation: &str, message: &str| Target {
        conversation: conversation.into(),
        thread: None,
        reply_to: Some(message.into()),
    };
    assert_eq!(heard.target, target("60", "1"));
    let mut in_thread = in_server(2, "<@9001> hi", mentioning_me());
    in_thread["channel_id"] = json!("61");
    assert_eq!(talk.hear(in_thread).expect("heard").target, target("61", "2"));
}

#[test]
fn the_platforms_own_news_and_empty_messages_are_none() {
    for kind in [1, 6, 7, 8, 18, 21, 46] {
        let mut news = message(1, "pinned");
        news["type"] = json!(kind);
        assert_eq!(heard(news), None, "{kind}");
    }
    assert_eq!(heard(message(1, " \n")), None);
}

#[test]
fn who_mentions_the_bots_own_role_speaks_to_it() {
    let role = |text: &str| json!({"mention_roles": [text]});
    let roles = json!([{"id": "54", "name": "@everyone"}, {"id": "56", "tags": {"bot_id": "77"}},
        {"id": "55", "name": "prx", "tags": {"bot_id": ME}}]);
    let mut talk = Talk::live();
    assert_eq!(talk.hear(in_server(1, "<@&55> what is new?", role("55"))), None, "not yet");
    assert_eq!(talk.hear(in_server(2, "ask <@&55>", role("55"))), None);
    talk.script.restart();
    talk.open();
    talk.hello();
    talk.dispatch("RESUMED", json!({}));
    talk.answer("GET", "/guilds/6/roles", 200, roles);
    let heard: Vec<_> =
        talk.script.deliveries().into_iter().map(|heard| (heard.text, heard.addressed)).collect();
    assert_eq!(heard, [("what is new?".to_owned(), true), ("ask @prx".to_owned(), true)]);

    assert_eq!(talk.hear(in_server(3, "<@&54> hear", role("54"))), None, "that is another one");
    assert_eq!(talk.hear(in_server(4, "<@&55> and now?", role("55"))).expect("heard").text, "and now?");
    assert_eq!(talk.calls("GET", "/guilds/6/roles").len(), 0, "it is known by now");

    let mut stranger = in_server(5, "<@&55> hi", role("55"));
    stranger["author"] = json!({"id": "8", "username": "bob"});
    stranger["guild_id"] = json!("66");
    assert_eq!(talk.hear(stranger), None);
    assert_eq!(talk.calls("GET", "/guilds/66/roles").len(), 0, "no stranger makes it call");

    let mut elsewhere = in_server(6, "<@&55> hi", role("55"));
    elsewhere["guild_id"] = json!("67");
    talk.hear(elsewhere.clone());
    talk.answer("GET", "/guilds/67/roles", 403, json!({"message": "Missing Access", "code": 50001}));
    assert_eq!(talk.script.deliveries(), []);
    talk.hear(elsewhere);
    assert_eq!(talk.calls("GET", "/guilds/67/roles").len(), 0, "a failure is not repeated at once");
}

#[test]
fn names_stand_for_what_is_mentioned() {
    let fields = json!({
        "mentions": [{"id": ME, "username": "prx"}, {"id": "78", "username": "bob", "global_name": "Bob R."}],
        "mention_channels": [{"id": "501", "guild_id": "6", "type": 0, "name": "general"}],
    });
    for (text, shown) in [
        ("<@9001> ask <@78> and <@!78>", "ask @Bob R. and @Bob R."),
        ("<@9001> in <#501>, not <#502>", "in #general, not <#502>"),
        ("<@9001> <:pepe:1><a:party_2:22> :)", ":pepe::party_2: :)"),
        ("<@9001> </play song:33> 1 < 2 <b>", "/play song 1 < 2 <b>"),
        ("<@9001> `<@78>` ```\n<:pepe:1>\n``` <@79>", "`<@78>` ```\n<:pepe:1>\n``` <@79>"),
        ("<@9001> `` ` <@78> `` ` <@78>", "`` ` <@78> `` ` @Bob R."),
    ] {
        assert_eq!(heard(in_server(1, text, fields.clone())).as_deref(), Some(shown), "{text}");
    }
}

#[test]
fn what_a_message_shows_beside_its_text_is_said_in_words() {
    let shown = |fields: Value| {
        let mut message = message(1, "");
        for (key, value) in fields.as_object().expect("fields") {
            message[key] = value.clone();
        }
        heard(message)
    };
    let embed = json!({"type": "rich", "title": "Build 7", "description": "failed", "url": "https://ci.example.org/7",
        "fields": [{"name": "Step", "value": "test"}], "footer": {"text": "CI"}});
    let section =
        json!({"type": 9, "components": [{"type": 10, "content": "failed"}], "accessory": {"type": 11}});
    let card = json!({"type": 17, "components": [{"type": 10, "content": "Build 8"}, {"type": 14}, section]});
    for (fields, line) in [
        (json!({"sticker_items": [{"id": "1", "name": "Wave", "format_type": 1}]}), "[sticker Wave]"),
        (
            json!({"poll": {"question": {"text": "Lunch?"}, "answers": [
                {"answer_id": 1, "poll_media": {"text": "Soup"}}, {"poll_media": {"emoji": {"name": "🍕"}}}]}}),
            "[poll \"Lunch?\": Soup / 🍕]",
        ),
        (json!({"embeds": [embed]}), "[embed Build 7 | failed | Step: test | CI | https://ci.example.org/7]"),
        (json!({"components": [card, 7, {"type": 10}]}), "[card Build 8 | failed]"),
        (json!({"content": "look", "embeds": [{"description": "so"}, {}, 7]}), "look\n[embed so]"),
        (json!({"activity": {"type": 3}}), "[an invitation to an activity]"),
        (json!({"sticker_items": [{}], "poll": 5, "embeds": "x"}), "[sticker]\n[poll \"\": ]"),
    ] {
        assert_eq!(shown(fields).as_deref(), Some(line));
    }
    assert_eq!(shown(json!({"embeds": [{}], "components": [{}]})), None);
    let long = json!({"embeds": [{"description": "x".repeat(5_000)}]});
    assert_eq!(shown(long).expect("heard").chars().count(), 1_002);
}

#[test]
fn an_edit_that_mentions_the_bot_is_heard_once_and_other_edits_repeat_nothing() {
    let mut talk = Talk::live();
    let id = (talk.script.now() + 60_000 - 1_420_070_400_000) << 22;
    let edit = |talk: &mut Talk, message: Value| {
        talk.dispatch("MESSAGE_UPDATE", message);
        talk.script.deliveries().pop().map(|heard| heard.text)
    };
    assert_eq!(talk.hear(in_server(id, "what is new?", json!({}))), None);
    let mentioned = in_server(id, "<@9001> what is new?", mentioning_me());
    assert_eq!(edit(&mut talk, mentioned.clone()).as_deref(), Some("what is new?"));
    assert_eq!(edit(&mut talk, mentioned), None, "it is heard by now");

    let command = in_server(id + 1, "<@9001> /new", mentioning_me());
    assert!(talk.hear(command).is_some());
    assert_eq!(edit(&mut talk, in_server(id + 1, "<@9001> /new!", mentioning_me())), None);
    assert_eq!(
        edit(&mut talk, in_server(1, "<@9001> old", mentioning_me())),
        None,
        "from before it listened"
    );
    assert_eq!(edit(&mut talk, in_server(id + 2, "still not for the bot", json!({}))), None);
    assert_eq!(edit(&mut talk, message(id + 3, "alone with the bot all is heard at once")), None);
    assert_eq!(edit(&mut talk, json!({"id": "9", "channel_id": "60", "embeds": []})), None, "a part of one");
}

#[test]
fn what_is_not_understood_is_passed_over_and_logged_once() {
    let mut talk = Talk::live();
    for n in 0..50 {
        talk.dispatch("MESSAGE_CREATE", json!({"id": n}));
        talk.dispatch("TYPING_START", json!(null));
        talk.op(77, json!({}));
        talk.script.receive(1, r#"{"op":0,"d":{"#);
        talk.script.feed(prx_sdk::connector::Event::WsBinary((1, vec![0xff; 64])));
    }
    assert!(talk.hear(message(5, "still here")).is_some());
    let logs = talk.script.logs();
    for kind in ["message", "unknown kind", "can't be read", "no text"] {
        let lines = logs.iter().filter(|line| line.contains(kind)).count();
        assert!((1..=4).contains(&lines), "{kind}: {logs:#?}");
    }
    assert_eq!(talk.script.state().session.expect("a session").sequence, talk.sequence);
}
