use ed25519_dalek::{Signer, SigningKey};
use prx_sdk::connector::{Webhook, WebhookReply};

use super::*;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn talk() -> Talk {
    let mut config = config();
    config["public_key"] = json!(hex(key().verifying_key().as_bytes()));
    Talk::live_with(config)
}

fn signed(body: &str) -> Webhook {
    let signature = key().sign(format!("1700000000{body}").as_bytes());
    Webhook {
        token: 77,
        method: "POST".into(),
        path: String::new(),
        query: String::new(),
        headers: vec![
            ("x-signature-ed25519".into(), hex(&signature.to_bytes())),
            ("x-signature-timestamp".into(), "1700000000".into()),
        ],
        body: body.as_bytes().to_vec(),
    }
}

fn json_of(reply: &WebhookReply) -> Value {
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// The id of something made a little before the script's clock.
fn fresh_id(talk: &Talk) -> String {
    ((talk.script.now() - 1_420_070_400_000 - 500) << 22).to_string()
}

fn command(id: &str, user: &str) -> Value {
    json!({
        "id": id, "application_id": APPLICATION, "type": 2, "token": "tok_EN", "version": 1,
        "channel_id": "60", "guild_id": "6", "member": {"user": {"id": user, "username": "u", "global_name": "U"}},
        "data": {"id": "1", "name": "note", "type": 1, "options": [
            {"name": "add", "type": 1, "options": [
                {"name": "text", "type": 3, "value": "buy milk"}, {"name": "count", "type": 4, "value": 2}]}]},
    })
}

fn press(id: &str, user: &str) -> Value {
    json!({
        "id": id, "application_id": APPLICATION, "type": 3, "token": "tok_EN", "channel_id": "50",
        "user": {"id": user, "username": "u"}, "data": {"component_type": 2, "custom_id": "c2"},
        "message": {"id": "31", "components": [{"type": 1, "components": [
            {"type": 2, "custom_id": "c1", "label": "No"}, {"type": 2, "custom_id": "c2", "label": "Yes"}]}]},
    })
}

#[test]
fn a_signed_ping_is_answered() {
    let reply = talk().script.call(signed(r#"{"id": "1", "type": 1, "application_id": "9002"}"#));
    assert_eq!((reply.status, json_of(&reply)), (200, json!({"type": 1})));
}

#[test]
fn without_a_good_signature_nothing_gets_in() {
    let mut talk = talk();
    let body = command(&fresh_id(&talk), "7").to_string();
    let mut refused = Vec::new();
    let mut changed = signed(&body);
    changed.body.push(b' ');
    refused.push(changed);
    let mut later = signed(&body);
    later.headers[1].1 = "1700000001".into();
    refused.push(later);
    for headers in [vec![], vec![("x-signature-ed25519".into(), "zz".into())], signed("other").headers] {
        refused.push(Webhook { headers, ..signed(&body) });
    }
    for call in refused {
        assert_eq!(talk.script.call(call).status, 401);
    }
    assert_eq!(talk.script.deliveries(), []);
    assert_eq!(talk.script.call(signed(&body)).status, 200);
    assert_eq!(talk.script.deliveries().len(), 1);
}

#[test]
fn without_a_key_nothing_gets_in_and_the_log_says_what_to_set() {
    for key in ["", "not a key"] {
        let mut config = config();
        config["public_key"] = json!(key);
        let mut talk = Talk::live_with(config);
        assert_eq!(talk.script.call(signed(r#"{"id": "1", "type": 1}"#)).status, 401);
        assert!(talk.script.logs().iter().any(|line| line.contains("public_key")));
    }
}

#[test]
fn what_is_no_interaction_is_refused() {
    let mut talk = talk();
    for body in ["", "{", "[]", r#"{"id": "../1", "type": 2, "token": "x"}"#, r#"{"id": "1", "type": 2}"#] {
        assert_eq!(talk.script.call(signed(body)).status, 400, "{body}");
    }
    assert_eq!(talk.script.call(Webhook { method: "GET".into(), ..signed("") }).status, 405);
}

#[test]
fn a_command_is_heard_as_one_would_type_it_and_its_answer_takes_the_place_of_waiting() {
    let mut talk = talk();
    let id = fresh_id(&talk);
    let reply = talk.script.call(signed(&command(&id, "7").to_string()));
    assert_eq!((reply.status, json_of(&reply)), (200, json!({"type": 5})));
    let heard = talk.script.deliveries().remove(0);
    assert_eq!((heard.text.as_str(), heard.sender.name.as_str()), ("/note add buy milk 2", "U"));
    assert_eq!(heard.target.conversation, "60");
    assert!(heard.addressed);

    let out = talk.script.operate(heard.target.clone(), Operation::Send(Content::text("word ".repeat(500))));
    let call = talk.call("PATCH", "/webhooks/9002/tok_EN/messages/@original");
    assert_eq!(call.header_text("authorization"), None, "the path is what entitles to it");
    assert_eq!(call.body_json()["allowed_mentions"], json!({"parse": []}));
    talk.fail("PATCH", "/messages/@original", true);
    assert!(matches!(talk.outcome(&out), Outcome::RetryAfter(_)), "to do it again changes nothing");
    let out = talk.script.operate(heard.target.clone(), Operation::Send(Content::text("word ".repeat(500))));
    talk.answer("PATCH", "/messages/@original", 200, json!({"id": "90"}));
    talk.answer("POST", "/webhooks/9002/tok_EN?wait=true", 200, json!({"id": "91"}));
    assert_eq!(talk.outcome(&out), &Outcome::Ok(Some("90".into())));
}

#[test]
fn an_answer_that_comes_too_late_is_a_message_of_its_own() {
    let mut talk = talk();
    let id = fresh_id(&talk);
    talk.script.call(signed(&command(&id, "7").to_string()));
    let target = talk.script.deliveries().remove(0).target;
    talk.script.advance(seconds(15 * 60));
    talk.script.operate(target, Operation::Send(Content::text("at last")));
    let call = talk.call("POST", "/channels/60/messages");
    assert_eq!(call.body_json().get("message_reference"), None);
}

#[test]
fn a_command_over_the_gateway_is_answered_over_rest_before_its_reply() {
    let mut talk = Talk::live();
    let id = fresh_id(&talk);
    talk.dispatch("INTERACTION_CREATE", command(&id, "7"));
    let call = talk.call("POST", &format!("/interactions/{id}/tok_EN/callback"));
    assert_eq!((call.body_json(), call.timeout_ms), (json!({"type": 5}), 3000));
    let lane = call.lane.clone();
    let target = talk.script.deliveries().remove(0).target;
    let out = talk.script.operate(target.clone(), Operation::Send(Content::text("done")));
    assert_eq!(talk.call("PATCH", "/messages/@original").lane, lane, "one after the other");
    talk.answer("PATCH", "/messages/@original", 404, json!({"message": "Unknown Webhook", "code": 10_015}));
    assert_eq!(talk.outcome(&out), &Outcome::RetryAfter(1000), "the platform has not seen it yet");
}

#[test]
fn a_pressed_button_is_the_choice_and_can_be_pressed_once() {
    let mut talk = Talk::live();
    let id = fresh_id(&talk);
    talk.dispatch("INTERACTION_CREATE", press(&id, "7"));
    let heard = talk.script.deliveries().remove(0);
    assert_eq!((heard.text.as_str(), heard.choice.as_deref()), ("Yes", Some("c2")));
    assert_eq!(heard.target, Target::conversation("50"));
    assert_eq!(
        talk.call("POST", "/callback").body_json(),
        json!({"type": 7, "data": {"components": []}}),
        "the buttons go"
    );
}

#[test]
fn in_a_server_only_who_is_asked_closes_the_question() {
    let (close, keep) = (json!({"type": 7, "data": {"components": []}}), json!({"type": 6}));
    for (field, asked, expected) in [
        ("referenced_message", json!({"id": "30", "author": {"id": "7"}}), &close),
        ("referenced_message", json!({"id": "30", "author": {"id": "8"}}), &keep),
        ("interaction_metadata", json!({"id": "30", "user": {"id": "7"}}), &close),
        ("referenced_message", json!(null), &keep),
    ] {
        let mut talk = Talk::live();
        let mut pressed = press(&fresh_id(&talk), "7");
        pressed["member"] = json!({"user": pressed["user"].take()});
        pressed["guild_id"] = json!("6");
        pressed["message"][field] = asked;
        talk.dispatch("INTERACTION_CREATE", pressed);
        assert_eq!(talk.script.deliveries().remove(0).choice.as_deref(), Some("c2"));
        assert_eq!(&talk.call("POST", "/callback").body_json(), expected, "{field}");
    }
}

#[test]
fn who_is_not_allowed_is_told_so_alone() {
    let mut talk = talk();
    for interaction in [command(&fresh_id(&talk), "666"), press("5", "666")] {
        let reply = talk.script.call(signed(&interaction.to_string()));
        let body = json_of(&reply);
        assert_eq!((&body["type"], &body["data"]["flags"]), (&json!(4), &json!(64)));
        assert_eq!(talk.script.deliveries(), []);
    }
}

#[test]
fn other_interactions_are_answered_and_not_heard() {
    let mut talk = talk();
    let of_kind = |kind: u64| json!({"id": "1", "type": kind, "token": "t1", "channel_id": "50"}).to_string();
    assert_eq!(json_of(&talk.script.call(signed(&of_kind(4))))["type"], 8);
    assert_eq!(json_of(&talk.script.call(signed(&of_kind(5))))["type"], 6);
    assert_eq!(talk.script.deliveries(), []);
}

#[test]
fn what_is_open_does_not_grow_without_end() {
    let mut talk = talk();
    let first: u64 = fresh_id(&talk).parse().expect("a number");
    for n in 0..200 {
        talk.script.call(signed(&command(&(first + n).to_string(), "7").to_string()));
    }
    assert_eq!(talk.script.state().commands.len(), 64);
}

#[test]
fn what_a_command_is_answered_grows_under_the_commands_own_address() {
    let mut talk = talk();
    let id = fresh_id(&talk);
    talk.dispatch("INTERACTION_CREATE", command(&id, "7"));
    let target = talk.script.deliveries().remove(0).target;
    talk.script.operate(target.clone(), Operation::Send(Content::text("I count:")));
    talk.answer("PATCH", "/messages/@original", 200, json!({"id": "31"}));
    let long = Operation::Edit(("31".into(), Content::text("word ".repeat(500))));
    let outcome = talk.script.operate(target, long);
    let call = talk.call("PATCH", "/webhooks/9002/tok_EN/messages/31");
    assert_eq!(
        call.header_text("authorization"),
        None,
        "the bot may not be at home where the command was given"
    );
    talk.answer("PATCH", "/messages/31", 200, json!({"id": "31"}));
    talk.answer("POST", "/webhooks/9002/tok_EN?wait=true", 200, json!({"id": "32"}));
    assert_eq!(talk.outcome(&outcome), &Outcome::Ok(Some("31".into())));
}

#[test]
fn an_application_without_commands_gets_some_and_others_are_left_alone() {
    let commands = format!("/applications/{APPLICATION}/commands");
    let mut talk = Talk::live();
    assert_eq!(talk.calls("PUT", &commands).len(), 0, "it has some that were made by hand");
    talk.op(7, json!(null));
    assert_eq!(talk.calls("GET", &commands).len(), 0, "it is known by now");

    let mut talk = Talk::with(config());
    talk.script.start();
    talk.say_where(1000);
    talk.open();
    talk.hello();
    talk.dispatch(
        "READY",
        json!({"user": {"id": ME}, "session_id": "s", "application": {"id": APPLICATION}}),
    );
    talk.answer("GET", &commands, 200, json!([]));
    let made = talk.call("PUT", &commands).body_json();
    let names: Vec<_> = made.as_array().expect("a list").iter().map(|command| &command["name"]).collect();
    assert_eq!(names, ["new", "stop", "help"]);
    talk.answer("PUT", &commands, 403, json!({"message": "Missing Access", "code": 50001}));
    assert!(talk.hear(message(1, "all the same")).is_some());
}
