use prx_sdk::connector::{Segments, Status, Webhook};

use super::*;

const URL: &str = "https://bot.example.org/in/telegram";

pub(super) fn hooked_config() -> Value {
    let mut config = config();
    config["webhook"] = json!(true);
    config["webhook_url"] = json!(URL);
    config
}

fn info(fields: Value) -> Value {
    let mut info = json!({"url": URL, "has_custom_certificate": false, "pending_update_count": 0});
    for (key, value) in fields.as_object().expect("fields") {
        info[key] = value.clone();
    }
    info
}

/// Known as @prxbot with the id 99, its webhook set up.
fn hooked() -> Talk {
    let mut talk = Talk::with(hooked_config());
    talk.script.start();
    talk.ok("getMe", json!({"id": 99, "is_bot": true, "username": "PrxBot"}));
    talk.ok("setWebhook", json!(true));
    talk.ok("getWebhookInfo", info(json!({})));
    talk
}

/// The platform calls: what it is answered in that same step, and what is delivered with it.
fn call(talk: &mut Talk, method: &str, body: &[u8]) -> (u16, Vec<String>) {
    talk.script.deliveries();
    let reply = talk.script.call(Webhook {
        token: 5,
        method: method.into(),
        path: String::new(),
        query: String::new(),
        headers: Vec::new(),
        body: body.to_vec(),
    });
    (reply.status, talk.script.deliveries().into_iter().map(|message| message.text).collect())
}

fn bring(talk: &mut Talk, update: &Value) -> (u16, Vec<String>) {
    call(talk, "POST", update.to_string().as_bytes())
}

#[test]
fn the_platform_is_told_where_to_call_and_what_secret_to_show() {
    let mut talk = Talk::with(hooked_config());
    talk.script.start();
    assert!(talk.calls("deleteWebhook").is_empty());
    talk.ok("getMe", json!({"id": 99, "username": "PrxBot"}));
    let set = talk.call("setWebhook");
    assert!(Segments(set.body.clone()).to_string().contains("{secret:webhook_secret}"));
    assert_eq!(
        set.body_json(),
        json!({
            "url": URL, "allowed_updates": ["message", "edited_message", "callback_query"], "max_connections": 1,
            "drop_pending_updates": false, "secret_token": "{secret:webhook_secret}",
        })
    );
    talk.ok("setWebhook", json!(true));
    assert_eq!(talk.script.status(), Some(&Status::Connecting), "not before it is seen to be there");
    talk.ok("getWebhookInfo", info(json!({})));
    assert_eq!(talk.script.status(), Some(&Status::Connected));
    assert!(talk.calls("getUpdates").is_empty());
}

#[test]
fn an_update_is_answered_in_the_step_that_delivers_it() {
    let mut talk = hooked();
    assert_eq!(bring(&mut talk, &message(500, "hello")), (200, vec!["hello".to_owned()]));
    assert_eq!(bring(&mut talk, &json!({"update_id": 501, "hologram": {}})), (200, vec![]));
    let stranger = json!({"from": {"id": 8, "first_name": "Eve"}});
    assert_eq!(bring(&mut talk, &message_with(502, "let me in", stranger)), (200, vec![]));
    assert_eq!(talk.script.state().offset, 0, "a poll, one day, gets what was never taken");
}

#[test]
fn what_is_no_update_is_refused_and_changes_nothing() {
    let mut talk = hooked();
    let before = talk.script.state();
    assert_eq!(call(&mut talk, "GET", b"").0, 405);
    for body in [&b""[..], b"{", b"[]", b"\xff\xfe", b"{\"update_id\": \"x\"}", b"null"] {
        assert_eq!(call(&mut talk, "POST", body).0, 400);
    }
    assert_eq!(talk.script.state(), before);
    assert_eq!(call(&mut Talk::listening(), "POST", b"{}").0, 404, "this channel polls");
}

#[test]
fn before_it_is_known_whose_token_it_is_an_update_has_to_come_again() {
    let mut talk = Talk::with(hooked_config());
    talk.script.start();
    assert_eq!(bring(&mut talk, &message(500, "hello")), (503, vec![]));
    talk.ok("getMe", json!({"id": 99, "username": "PrxBot"}));
    assert_eq!(bring(&mut talk, &message(500, "hello")).0, 200);
}

#[test]
fn how_the_webhook_fares_is_looked_at_each_minute() {
    let mut talk = hooked();
    assert_eq!(talk.only_timer(), Duration::from_secs(60));
    talk.script.advance(Duration::from_secs(60));
    let now = talk.script.now() / 1000;
    let error = json!({"pending_update_count": 3, "last_error_date": now - 5, "last_error_message": "Connection refused"});
    talk.ok("getWebhookInfo", info(error));
    let refused = |status: Option<&Status>| match status {
        Some(Status::Reconnecting(why)) => why.contains("webhook_url: Connection refused"),
        _ => false,
    };
    assert!(refused(talk.script.status()), "{:?}", talk.script.status());
    assert_eq!(bring(&mut talk, &message(500, "hello")).0, 200);
    talk.script.advance(Duration::from_secs(60));
    let old = json!({"pending_update_count": 3, "last_error_date": now - 600, "last_error_message": "x"});
    talk.ok("getWebhookInfo", info(old));
    assert_eq!(talk.script.status(), Some(&Status::Connected));
}

#[test]
fn a_webhook_that_leads_elsewhere_is_shown_and_set_up_again_later() {
    let mut talk = hooked();
    talk.script.advance(Duration::from_secs(60));
    talk.ok("getWebhookInfo", info(json!({"url": "https://other.example.org/secret-path"})));
    let status = format!("{:?}", talk.script.status());
    assert!(status.contains("another program") && !status.contains("secret-path"), "{status}");
    assert!(talk.only_timer() >= Duration::from_secs(1));
    talk.script.advance(talk.only_timer());
    talk.ok("setWebhook", json!(true));
    talk.ok("getWebhookInfo", info(json!({})));
    assert_eq!(talk.script.status(), Some(&Status::Connected));
}

#[test]
fn a_webhook_that_can_not_be_set_up_says_what_to_check() {
    let mut talk = Talk::with(hooked_config());
    talk.script.start();
    talk.ok("getMe", json!({"id": 99, "username": "PrxBot"}));
    talk.ok("getMyCommands", json!([{"command": "mine"}]));
    talk.error("setWebhook", 400, "Bad Request: bad webhook: HTTPS url must be provided", json!(null));
    let failed = |talk: &Talk, word: &str| match talk.script.status() {
        Some(Status::Failed(why)) => why.contains(word) && talk.script.requests().is_empty(),
        _ => false,
    };
    assert!(failed(&talk, "webhook_url"));

    let mut talk = Talk::with(hooked_config());
    talk.script.start();
    talk.ok("getMe", json!({"id": 99, "username": "PrxBot"}));
    talk.ok("getMyCommands", json!([{"command": "mine"}]));
    let token = talk.call("setWebhook").token;
    talk.script.fail(token, false, "the secret \"webhook_secret\" is not granted");
    assert!(failed(&talk, "webhook_secret"));

    let mut config = hooked_config();
    config["webhook_url"] = json!("");
    let mut talk = Talk::with(config);
    talk.script.start();
    assert!(failed(&talk, "webhook_url is empty"));
}

#[test]
fn trouble_while_it_is_set_up_is_waited_out() {
    let mut talk = Talk::with(hooked_config());
    talk.script.start();
    talk.ok("getMe", json!({"id": 99, "username": "PrxBot"}));
    talk.answer("setWebhook", 502, json!("<html>"));
    talk.script.advance(talk.only_timer());
    talk.error("setWebhook", 429, "Too Many Requests", json!({"retry_after": 4}));
    assert!(talk.only_timer() >= Duration::from_secs(4));
    talk.script.advance(talk.only_timer());
    talk.ok("setWebhook", json!(true));
    talk.fail("getWebhookInfo", false);
    talk.script.swap();
    talk.script.advance(talk.only_timer());
    talk.ok("getWebhookInfo", info(json!({})));
    assert_eq!(talk.script.status(), Some(&Status::Connected));
}
