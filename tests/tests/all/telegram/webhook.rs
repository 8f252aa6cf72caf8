//! The same connector, called by the platform instead of polling.

use bytes::Bytes;
use hyper::Method;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::json;

use super::{answers, channel_error, connected};

const SECRET: &str = "canary-secret_of-the-webhook";

/// `at`: where the platform is told to call.
fn config(telegram: &FakeTelegram, at: &str) -> String {
    let webhook = format!("webhook = true\nwebhook_url = {at:?}\nwebhook_secret = {SECRET:?}\n");
    telegram.config(&["*"]) + &webhook
}

fn home(telegram: &FakeTelegram) -> Home {
    Home::new(&config(telegram, "https://bot.example.org/in/telegram"))
}

#[tokio::test]
async fn every_message_is_answered_once_and_in_order_over_a_crash() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start_in(home(&telegram)).await;
    let delivery = telegram.deliver_to(gateway.address());
    let write = |rounds: std::ops::Range<usize>| {
        for round in rounds {
            (1..=4).for_each(|user| {
                telegram.write(user, &format!("[{user}-{round:02}]"));
            });
            telegram.write_unknown_kind();
        }
    };
    write(0..5);
    telegram.until("some answers", |t| (t.sent().len() >= 8).then_some(())).await;
    drop(delivery);
    let gateway = Gateway::start_in(gateway.kill()).await;
    let _delivery = telegram.deliver_to(gateway.address());
    write(5..10);
    for user in 1..=4 {
        let last = format!("[{user}-09]");
        telegram.until("the last answer", |t| t.sent_to(user).last()?.contains(&last).then_some(())).await;
    }
    connected(&gateway).await;
    let mut heard = gateway.heard("telegram").await;
    heard.sort();
    let all = (1..=4).flat_map(|user| (0..10).map(move |round| format!("[{user}-{round:02}]")));
    assert_eq!(heard, all.collect::<Vec<_>>(), "each was taken in exactly once");
    gateway.stop().await;
    for user in 1..=4 {
        let sent = telegram.sent_to(user);
        let firsts = (0..10).map(|n| sent.iter().position(|text| text.contains(&format!("[{user}-{n:02}]"))));
        assert!(firsts.clone().all(|place| place.is_some()) && firsts.is_sorted(), "{sent:?}");
    }
    assert_eq!(telegram.calls("getUpdates").len(), 0, "it does not poll");
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn who_does_not_know_the_secret_is_not_heard() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start_in(home(&telegram)).await;
    connected(&gateway).await;
    let stranger = gateway.client().with_token(None);
    let update = json!({"update_id": 5, "message": {"message_id": 1, "date": 1, "text": "let me in",
        "chat": {"id": 1, "type": "private"}, "from": {"id": 1, "first_name": "Eve"}}});
    for secret in [None, Some(""), Some("canary-secret_of-the-webhooK"), Some("wrong")] {
        let call = stranger.bare(Method::POST, "/in/telegram").header("content-type", "application/json");
        let call = secret.into_iter().fold(call, |call, s| call.header("x-telegram-bot-api-secret-token", s));
        let answer = stranger.send(call, Bytes::from(update.to_string())).await;
        assert_eq!(answer.status, 401, "{secret:?}: {answer}");
    }
    let odd = stranger.bare(Method::POST, "/in/telegram").header("x-telegram-bot-api-secret-token", SECRET);
    assert_eq!(stranger.send(odd, "{\"half\":".into()).await.status, 400);
    assert_eq!(gateway.heard("telegram").await, Vec::<String>::new());
    let _delivery = telegram.deliver_to(gateway.address());
    telegram.write(1, "the real one");
    answers(&telegram, 1, 1).await;
    assert!(!gateway.output().says(&[SECRET]), "no secret in the log");
    gateway.stop().await;
}

#[tokio::test]
async fn a_channel_goes_from_polling_to_a_webhook_and_back() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start(&telegram.config(&["*"])).await;
    let _delivery = telegram.deliver_to(gateway.address());
    telegram.write(1, "by poll");
    answers(&telegram, 1, 1).await;
    let change = async |webhook: bool| {
        let changes = json!({
            "channels_config.telegram.webhook": webhook,
            "channels_config.telegram.webhook_url": "https://bot.example.org/in/telegram",
            "channels_config.telegram.webhook_secret": SECRET,
        });
        gateway.client().patch("/config", changes).await.expect(200);
    };
    change(true).await;
    telegram.until("the webhook", |t| t.calls("getWebhookInfo").last()?.status.map(|_| ())).await;
    telegram.write(1, "by webhook");
    answers(&telegram, 1, 2).await;
    change(false).await;
    until("the webhook to be gone", async || (telegram.calls("deleteWebhook").len() == 2).then_some(()))
        .await;
    telegram.write(1, "by poll again");
    answers(&telegram, 1, 3).await;
    assert_eq!(gateway.heard("telegram").await, ["by poll", "by webhook", "by poll again"]);
    gateway.stop().await;
    assert_eq!(telegram.sent_to(1).len(), 3);
    assert_eq!(telegram.deliveries(), [Some(200)]);
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn a_webhook_that_can_not_be_set_up_says_what_to_check() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start(&config(&telegram, "http://bot.example.org/in/telegram")).await;
    let error = channel_error(&gateway).await;
    assert!(error.contains("HTTPS") && error.contains("webhook_url"), "{error}");
    assert_eq!(gateway.channel("telegram").await.unwrap()["status"], "disconnected");
    gateway.stop().await;
}
