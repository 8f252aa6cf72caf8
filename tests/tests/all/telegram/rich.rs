//! Tables as rich messages, where the server has them.

use prx_tests::gateway::Gateway;
use prx_tests::scripted;
use prx_tests::telegram::{FakeTelegram, Sent};
use serde_json::json;

const TABLE: &str = "Look:\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nSo it is.";

/// A gateway whose model answers with a table, a piece at a time, unless it is greeted.
async fn answering(telegram: &FakeTelegram, mode: &str) -> Gateway {
    let pieces: Vec<_> = TABLE.split_inclusive('\n').map(|line| json!({"text": line})).collect();
    let slowly = json!([{"text": "I"}, {"repeat": {"text": " think", "times": 25, "every_ms": 100}}, {"text": ".\n\n"}]);
    let slowly: Vec<_> = slowly.as_array().unwrap().iter().chain(&pieces).cloned().collect();
    let script = json!([
        {"when": "hello", "answers": [[{"text": "**Hello.**"}]]},
        {"when": "slowly", "answers": [slowly]},
        {"answers": [pieces]},
    ]);
    let config = format!("{}stream_mode = {mode:?}\n", telegram.config(&["*"]));
    Gateway::start_in(scripted::home(&script, &config)).await
}

async fn sent(telegram: &FakeTelegram, count: usize) -> Vec<Sent> {
    telegram.until("the replies", |t| (t.sent_count() == count).then(|| t.sent())).await
}

#[tokio::test]
async fn a_table_is_one_and_other_replies_are_what_they_were() {
    let telegram = FakeTelegram::start_with_rich_messages().await;
    let gateway = answering(&telegram, "typing").await;
    telegram.write(1, "a table, please");
    telegram.write(1, "hello");
    let sent = sent(&telegram, 2).await;
    assert!(sent[0].rich && sent[0].text.ends_with(" 1  2\nSo it is."), "{sent:?}");
    assert_eq!((sent[1].rich, sent[1].text.as_str()), (false, "Hello."));
    gateway.stop().await;
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn a_reply_that_grows_becomes_one_in_its_place() {
    for mode in ["edit", "draft"] {
        let telegram = FakeTelegram::start_with_rich_messages().await;
        let gateway = answering(&telegram, mode).await;
        telegram.write(1, "a table, slowly");
        let whole =
            |t: &FakeTelegram| t.sent().first().filter(|sent| sent.text.ends_with("So it is.")).cloned();
        let sent = telegram.until("the whole reply", whole).await;
        assert!(sent.rich && sent.text.starts_with("I think"), "{mode}: {sent:?}");
        let shown = telegram.calls("editMessageText").len() + telegram.drafts().len();
        assert!(shown >= 2, "{mode}: it was seen growing: {telegram:?}");
        gateway.stop().await;
        assert_eq!(telegram.sent_count(), 1, "{mode}");
        assert_eq!(telegram.broken_rules(), Vec::<String>::new(), "{mode}");
    }
}

#[tokio::test]
async fn a_server_without_them_is_asked_once_and_shows_tables_all_the_same() {
    let telegram = FakeTelegram::start().await;
    let gateway = answering(&telegram, "typing").await;
    for count in 1..=2 {
        telegram.write(1, "a table, please");
        let sent = sent(&telegram, count).await;
        assert!(!sent[count - 1].rich && sent[count - 1].text.contains("a | b\n--+--\n1 | 2"), "{sent:?}");
    }
    assert_eq!(telegram.calls("sendRichMessage").len(), 1);
    gateway.client().post("/channels/telegram/restart", json!({})).await.expect(200);
    telegram.write(1, "a table, please");
    sent(&telegram, 3).await;
    assert_eq!(telegram.calls("sendRichMessage").len(), 2, "it may be another one now");
    gateway.stop().await;
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}
