use hyper::Method;
use serde_json::{Value, json};

use super::{FakeTelegram, Fault, TOKEN, html};
use crate::client::{Answer, Client};

async fn call(telegram: &FakeTelegram, method: &str, parameters: Value) -> Answer {
    let client = Client::new(telegram.server.address, None);
    let path = format!("/bot{TOKEN}/{method}");
    client.send(client.bare(Method::POST, &path), parameters.to_string().into()).await
}

fn poll(offset: i64, timeout: u64) -> Value {
    json!({"offset": offset, "timeout": timeout, "limit": 100, "allowed_updates": ["message"]})
}

fn numbers(answer: &Answer) -> Vec<i64> {
    let updates = answer.expect(200)["result"].as_array().cloned().unwrap_or_default();
    updates.iter().filter_map(|update| update["update_id"].as_i64()).collect()
}

#[tokio::test]
async fn an_offset_confirms_what_lies_before_it() {
    let telegram = FakeTelegram::start().await;
    assert_eq!(call(&telegram, "getUpdates", poll(0, 0)).await.status, 409, "the webhook is still set");
    call(&telegram, "deleteWebhook", json!({})).await.expect(200);
    let (first, second) = (telegram.write(1, "one"), telegram.write(1, "two"));
    assert_eq!(numbers(&call(&telegram, "getUpdates", poll(0, 0)).await), [first, second]);
    assert_eq!(numbers(&call(&telegram, "getUpdates", poll(0, 0)).await), [first, second], "not confirmed");
    assert_eq!(numbers(&call(&telegram, "getUpdates", poll(second, 0)).await), [second]);
    assert_eq!(numbers(&call(&telegram, "getUpdates", poll(first, 0)).await), [second], "gone for good");
    assert_eq!(telegram.confirmed(), second);
}

#[tokio::test]
async fn a_newer_poll_ends_an_older_one() {
    let telegram = FakeTelegram::start().await;
    call(&telegram, "deleteWebhook", json!({})).await.expect(200);
    let newer = async {
        telegram.until("the first poll", |t| (!t.calls("getUpdates").is_empty()).then_some(())).await;
        let newer = call(&telegram, "getUpdates", poll(0, 30));
        let writing = async {
            telegram.until("the second poll", |t| (t.calls("getUpdates").len() == 2).then_some(())).await;
            telegram.write(1, "hello")
        };
        tokio::join!(newer, writing)
    };
    let (older, (newer, written)) = tokio::join!(call(&telegram, "getUpdates", poll(0, 30)), newer);
    assert_eq!(older.status, 409);
    assert_eq!(numbers(&newer), [written]);
    assert_eq!(telegram.overlapping_polls(), 1);
}

#[tokio::test]
async fn a_message_is_held_to_the_rules() {
    let telegram = FakeTelegram::start().await;
    let send = async |chat: i64, text: String| {
        call(&telegram, "sendMessage", json!({"chat_id": chat, "text": text})).await.status
    };
    assert_eq!(send(1, "hello".into()).await, 400, "the chat has not written to the bot");
    telegram.write(1, "hi");
    assert_eq!(send(1, "🙂".repeat(2048)).await, 200);
    assert_eq!(send(1, "🙂".repeat(2049)).await, 400);
    assert_eq!(send(1, " ".into()).await, 400);
    assert_eq!(telegram.sent_to(1).len(), 1);
    assert_eq!(telegram.broken_rules().len(), 3);
    let stranger = Client::new(telegram.server.address, None);
    let refused = stranger.send(stranger.bare(Method::POST, "/bot1:wrong/getMe"), "{}".into()).await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn a_fault_meets_one_call() {
    let telegram = FakeTelegram::start().await;
    telegram.script("getMe", Fault::TooMany(3));
    telegram.script("getMe", Fault::Refuse(500, "Internal Server Error"));
    let slow_down = call(&telegram, "getMe", json!({})).await.expect(429);
    assert_eq!(slow_down["parameters"]["retry_after"], 3);
    call(&telegram, "getMe", json!({})).await.expect(500);
    call(&telegram, "getMe", json!({})).await.expect(200);
    let answered: Vec<_> = telegram.calls("getMe").iter().map(|call| call.status).collect();
    assert_eq!(answered, [Some(429), Some(500), Some(200)]);
}

#[test]
fn marks_are_read() {
    assert_eq!(html::plain("<b>1 &lt; 2</b> &amp; <a href=\"x\">so</a>").as_deref(), Ok("1 < 2 & so"));
    for wrong in ["<b>", "</b>", "<b><i></b></i>", "<blink>x</blink>", "a < b"] {
        assert!(html::plain(wrong).is_err(), "{wrong}");
    }
    let rich = "<h1>T</h1><p>a<br>b</p><table bordered><tr><th>x</th><td>1 &lt; 2</td></tr></table><hr/>";
    assert_eq!(html::rich(rich).as_deref(), Ok("T\na\nb\n x  1 < 2"));
    for wrong in ["<p>", "<p></h1>", "<marquee>x</marquee>", &"<p></p>".repeat(501)] {
        assert!(html::rich(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn rich_messages_are_known_only_where_there_are_some() {
    let rich = json!({"chat_id": 1, "rich_message": {"html": "<p>hi</p>"}});
    let mut edit = rich.clone();
    edit["message_id"] = json!(501);
    for (telegram, statuses) in [
        (FakeTelegram::start().await, [404, 404, 400]),
        (FakeTelegram::start_with_rich_messages().await, [200, 400, 400]),
    ] {
        telegram.write(1, "hi");
        for (method, body, status) in [
            ("sendRichMessage", &rich, statuses[0]),
            ("sendRichMessageDraft", &rich, statuses[1]),
            ("editMessageText", &edit, statuses[2]),
        ] {
            assert_eq!(call(&telegram, method, body.clone()).await.status, status, "{method}");
        }
    }
}
