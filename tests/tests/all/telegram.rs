//! The connector against a fake Bot API server: every message answered once, and every fault survived.

use std::time::Duration;

use prx_tests::gateway::Gateway;
use prx_tests::telegram::{FakeTelegram, Fault, TOKEN};
use prx_tests::wait::until;
use serde_json::json;

mod asking;
mod files;
mod groups;
mod rich;
mod webhook;

async fn running(telegram: &FakeTelegram) -> Gateway {
    Gateway::start(&telegram.config(&["*"])).await
}

/// Waits until a chat has been sent so many messages; what they say.
async fn answers(telegram: &FakeTelegram, chat: i64, count: usize) -> Vec<String> {
    let what = format!("{count} answers in chat {chat}");
    telegram
        .until(&what, |telegram| {
            let sent = telegram.sent_to(chat);
            (sent.len() >= count).then_some(sent)
        })
        .await
}

async fn channel_error(gateway: &Gateway) -> String {
    until("the channel to show an error", async || {
        gateway.channel("telegram").await?["error"].as_str().map(str::to_owned)
    })
    .await
}

async fn connected(gateway: &Gateway) {
    until("the channel to be connected", async || {
        (gateway.channel("telegram").await?["status"] == "connected").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_second_bot_is_a_channel_of_its_own() {
    let (home, work) = (FakeTelegram::start().await, FakeTelegram::start().await);
    let second = work.config(&["*"]).replace("[channels_config.telegram]", "[channels_config.work]");
    let gateway = Gateway::start(&(home.config(&["*"]) + &second + "plugin = \"telegram\"\n")).await;
    // The same person, the same numbers, two bots.
    home.write(1, "at home");
    work.write(1, "at work");
    assert!(answers(&home, 1, 1).await[0].contains("at home"));
    assert!(answers(&work, 1, 1).await[0].contains("at work"));
    assert_eq!(gateway.heard("telegram").await, ["at home"]);
    assert_eq!(gateway.heard("work").await, ["at work"]);
    gateway.client().post("/channels/work/restart", json!({})).await.expect(200);
    work.write(1, "still at work");
    assert!(answers(&work, 1, 2).await[1].contains("still at work"));
    assert_eq!(home.sent().len(), 1);
    gateway.stop().await;
    assert_eq!([home.broken_rules(), work.broken_rules()].concat(), Vec::<String>::new());
}

#[tokio::test]
async fn a_hundred_messages_are_each_answered_once_and_in_order() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    for round in 0..10 {
        for user in 1..=10 {
            telegram.write(user, &format!("round {round} of user {user}"));
        }
        telegram.write_unknown_kind();
    }
    telegram.until("a hundred answers", |t| (t.sent().len() >= 100).then_some(())).await;
    connected(&gateway).await;
    let channel = gateway.channel("telegram").await.unwrap();
    assert_eq!(channel["active_sessions"], 10, "{channel}");
    assert!(channel["connected_at"].is_string(), "{channel}");
    assert_eq!(gateway.sessions("telegram").await.len(), 10);

    // Stopping drains: whatever would still have been sent has been sent by then.
    gateway.stop().await;
    for user in 1..=10 {
        let sent = telegram.sent_to(user);
        assert_eq!(sent.len(), 10, "one answer for each message: {sent:?}");
        for (round, text) in sent.iter().enumerate() {
            assert!(text.contains(&format!("round {round} of user {user}")), "in order: {sent:?}");
        }
    }
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
    assert_eq!(telegram.overlapping_polls(), 0, "one poller at a time");
    assert!(!telegram.calls("sendChatAction").is_empty(), "typing is shown while a turn runs");
}

#[tokio::test]
async fn an_offset_is_confirmed_only_when_the_messages_are_committed() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    let mut written = Vec::new();
    for n in 0..40 {
        let text = format!("number {n:02}");
        written.push((telegram.write(1 + n % 4, &text), text));
        let last = written.last().map(|(update, _)| *update).unwrap_or_default();
        if n % 5 == 4 {
            telegram.until("the offset to move", |t| (t.confirmed() > last).then_some(())).await;
        }
        let confirmed = telegram.confirmed();
        let heard = gateway.heard("telegram").await;
        for (update, text) in written.iter().filter(|(update, _)| *update < confirmed) {
            assert!(heard.contains(text), "update {update} is confirmed at {confirmed} but not in the store");
        }
    }
}

#[tokio::test]
async fn a_long_answer_is_split() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    // 10,000 characters, some of them two UTF-16 units wide.
    let text: String = (0..1_000).map(|n| format!("{n:04}🙂rder ")).collect::<String>().trim_end().to_owned();
    telegram.write(5, &text);
    let whole = |sent: &[String]| {
        (0..1_000).all(|n| sent.iter().any(|piece| piece.contains(&format!("{n:04}🙂rder"))))
    };
    let sent = telegram.until("the whole answer", |t| Some(t.sent_to(5)).filter(|sent| whole(sent))).await;
    gateway.stop().await;
    assert!((3..=4).contains(&sent.len()), "as few pieces as will do: {}", sent.len());
    let joined = sent.join(" ");
    let places: Vec<_> = (0..1_000).map(|n| joined.find(&format!("{n:04}🙂rder"))).collect();
    assert!(places.is_sorted(), "the pieces are in order");
    assert_eq!(telegram.broken_rules(), Vec::<String>::new(), "4096 UTF-16 units at most");
}

#[tokio::test]
async fn a_user_who_is_not_allowed_gets_nothing() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start(&telegram.config(&["11", "ada"])).await;
    telegram.write(66, "let me in");
    telegram.write(11, "and me");
    answers(&telegram, 11, 1).await;
    until("the log to say why", async || gateway.output().says(&["66", "allowed_users"]).then_some(())).await;
    assert_eq!(gateway.heard("telegram").await, ["and me"]);
    gateway.stop().await;
    assert_eq!(telegram.sent_to(66), Vec::<String>::new());
}

#[tokio::test]
async fn a_list_that_allows_nobody_says_so() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start(&telegram.config(&[])).await;
    assert!(channel_error(&gateway).await.contains("allowed_users"));
    telegram.write(66, "hello?");
    gateway.stop().await;
    assert_eq!(telegram.sent(), []);
}

#[tokio::test]
async fn another_poller_is_waited_for() {
    let telegram = FakeTelegram::start().await;
    telegram.script("getUpdates", Fault::Refuse(409, "Conflict: terminated by other getUpdates request"));
    telegram.write(1, "after the conflict");
    let gateway = running(&telegram).await;
    let error = channel_error(&gateway).await;
    assert!(error.to_lowercase().contains("poll") || error.contains("409"), "{error}");
    answers(&telegram, 1, 1).await;
    connected(&gateway).await;
    let polls = telegram.calls("getUpdates");
    let pause = polls[1].at - polls[0].at;
    assert!(pause >= Duration::from_millis(950), "a second, that the other may go: {pause:?}");
    assert_eq!(telegram.calls("deleteWebhook").len(), 1, "nobody else began anew meanwhile");
    gateway.stop().await;
    assert_eq!(telegram.sent_to(1).len(), 1);
}

#[tokio::test]
async fn a_bad_token_is_final() {
    let telegram = FakeTelegram::start().await;
    let config = telegram.config(&["*"]).replace("canary", "stolen");
    let gateway = Gateway::start(&config).await;
    let error = channel_error(&gateway).await;
    assert!(error.contains("token"), "{error}");
    assert_eq!(gateway.channel("telegram").await.unwrap()["status"], "disconnected");
    let status = gateway.client().get("/status").await.expect(200);
    assert_eq!(status["channels"], json!({"connected": 0, "total": 1}));
    // The rest of the gateway goes on.
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    gateway.client().post(&path, json!({"content": "hello"})).await.expect(200);
    assert!(!gateway.output().says(&["stolen-AAHdqTcv"]), "no token in the log");
}

#[tokio::test]
async fn a_slow_down_is_obeyed() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    telegram.script("sendMessage", Fault::TooMany(2));
    telegram.write(1, "first");
    telegram.write(1, "second");
    let sent = answers(&telegram, 1, 2).await;
    assert!(sent[0].contains("first") && sent[1].contains("second"), "still in order: {sent:?}");
    let calls = telegram.calls("sendMessage");
    let pause = calls[1].at - calls[0].at;
    assert!(pause >= Duration::from_millis(1_950), "retry_after is 2 s: {pause:?}");
    gateway.stop().await;
    assert_eq!(telegram.sent_to(1).len(), 2);
}

#[tokio::test]
async fn an_address_that_is_shut_out_sends_nothing_more() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    telegram.script("sendMessage", Fault::Page(429));
    telegram.write(1, "first");
    telegram.until("the refusal", |t| t.calls("sendMessage").first()?.status.map(|_| ())).await;
    until("the channel to say so", async || {
        let channel = gateway.channel("telegram").await?;
        let error = channel["error"].as_str()?.to_owned();
        (channel["status"] == "reconnecting" && error.contains("429")).then_some(())
    })
    .await;
    let calls = telegram.call_count();
    gateway.client().post("/channels/telegram/restart", json!({})).await.expect(200);
    until("the wait to go on", async || {
        gateway.channel("telegram").await?["error"].as_str().filter(|why| why.contains("429")).map(|_| ())
    })
    .await;
    gateway.stop().await;
    assert_eq!(telegram.call_count(), calls, "no call of any kind");
}

#[tokio::test]
async fn one_chat_that_must_wait_holds_up_no_other() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    telegram.script("sendMessage", Fault::TooMany(5));
    telegram.write(1, "slow chat");
    telegram.until("the 429", |t| (!t.calls("sendMessage").is_empty()).then_some(())).await;
    telegram.write(2, "other chat");
    answers(&telegram, 2, 1).await;
    assert_eq!(telegram.sent_to(1).len(), 0, "the other chat did not wait for this one");
    answers(&telegram, 1, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn server_errors_are_tried_again() {
    let telegram = FakeTelegram::start().await;
    telegram.script("getUpdates", Fault::Refuse(500, "Internal Server Error"));
    telegram.script("getUpdates", Fault::Refuse(502, "Bad Gateway"));
    telegram.script("getUpdates", Fault::Page(404));
    telegram.script("sendMessage", Fault::Refuse(500, "Internal Server Error"));
    telegram.script("sendMessage", Fault::Page(401));
    let gateway = running(&telegram).await;
    telegram.write(1, "through the storm");
    answers(&telegram, 1, 1).await;
    connected(&gateway).await;
    gateway.stop().await;
    assert_eq!(telegram.sent_to(1).len(), 1, "answered once all the same");
}

#[tokio::test]
async fn dropped_polls_lose_nothing() {
    let telegram = FakeTelegram::start().await;
    telegram.script("getMe", Fault::DropBefore);
    telegram.script("getUpdates", Fault::DropBefore);
    telegram.write(1, "first");
    telegram.script("getUpdates", Fault::DropAfter);
    let gateway = running(&telegram).await;
    answers(&telegram, 1, 1).await;
    telegram.script("getUpdates", Fault::DropAfter);
    telegram.write(1, "second");
    answers(&telegram, 1, 2).await;
    assert_eq!(gateway.heard("telegram").await, ["first", "second"]);
    gateway.stop().await;
    assert_eq!(telegram.sent_to(1).len(), 2);
}

#[tokio::test]
async fn a_send_whose_outcome_is_unknown_is_repeated_once() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    telegram.script("sendMessage", Fault::DropBefore);
    telegram.write(1, "never arrived");
    assert!(answers(&telegram, 1, 1).await[0].contains("never arrived"));
    telegram.script("sendMessage", Fault::DropAfter);
    telegram.write(2, "arrived unheard");
    answers(&telegram, 2, 1).await;
    telegram.write(2, "and on");
    telegram.until("the next answer", |t| t.sent_to(2).last()?.contains("and on").then_some(())).await;
    gateway.stop().await;
    assert_eq!(telegram.sent_to(1).len(), 1);
    assert_eq!(telegram.sent_to(2).len(), 3, "sent once more, and no more than that");
}

#[tokio::test]
async fn an_unknown_outcome_can_be_dropped_instead() {
    let telegram = FakeTelegram::start().await;
    let config = telegram.config(&["*"]) + "on_unknown = \"drop\"\n";
    let gateway = Gateway::start(&config).await;
    telegram.script("sendMessage", Fault::DropAfter);
    telegram.write(2, "arrived unheard");
    answers(&telegram, 2, 1).await;
    telegram.write(2, "and on");
    telegram.until("the next answer", |t| t.sent_to(2).last()?.contains("and on").then_some(())).await;
    gateway.stop().await;
    assert_eq!(telegram.sent_to(2).len(), 2, "never sent twice");
}

#[tokio::test]
async fn a_chat_that_blocked_the_bot_is_left_alone() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    telegram.script("sendMessage", Fault::Refuse(403, "Forbidden: bot was blocked by the user"));
    telegram.write(1, "and I am gone");
    telegram.until("the refusal", |t| t.calls("sendMessage").first()?.status.map(|_| ())).await;
    telegram.write(2, "but I am here");
    answers(&telegram, 2, 1).await;
    gateway.stop().await;
    assert_eq!(telegram.calls("sendMessage").len(), 2, "no retry after 403");
}

#[tokio::test]
async fn marks_that_the_platform_does_not_take_go_out_plain() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    telegram.script("sendMessage", Fault::Refuse(400, "Bad Request: can't parse entities: Unexpected tag"));
    telegram.write(1, "so **bold**");
    assert!(answers(&telegram, 1, 1).await[0].contains("**bold**"));
    gateway.stop().await;
    let modes: Vec<_> =
        telegram.calls("sendMessage").iter().map(|call| call.parameters["parse_mode"].clone()).collect();
    assert_eq!(modes, [json!("HTML"), json!(null)], "once with marks, once without");
}

#[tokio::test]
async fn a_skill_answers_from_a_chat() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    telegram
        .write(1, "/summarize The gateway answers messages. Messages come from chats. Bananas are yellow.");
    assert!(!answers(&telegram, 1, 1).await[0].is_empty());
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
    gateway.stop().await;
}

#[tokio::test]
async fn a_disabled_connector_disconnects_and_comes_back() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    telegram.write(1, "before");
    answers(&telegram, 1, 1).await;
    gateway.client().post("/plugins/telegram/disable", json!({})).await.expect(200);
    until("the channel to be off", async || {
        (gateway.channel("telegram").await?["status"] == "disabled").then_some(())
    })
    .await;
    telegram.write(1, "meanwhile");
    gateway.client().post("/plugins/telegram/enable", json!({})).await.expect(200);
    let sent = answers(&telegram, 1, 2).await;
    assert!(sent[1].contains("meanwhile"), "{sent:?}");
    gateway.stop().await;
    assert_eq!(telegram.overlapping_polls(), 0, "the old poll was over before the new one began");
    assert_eq!(telegram.sent_to(1).len(), 2);
}

#[tokio::test]
async fn the_token_shows_nowhere() {
    let telegram = FakeTelegram::start().await;
    telegram.script("getMe", Fault::DropBefore);
    telegram.script("getUpdates", Fault::Refuse(500, "Internal Server Error"));
    telegram.script("sendMessage", Fault::DropBefore);
    let home = prx_tests::gateway::Home::new(&(telegram.config(&["*"]) + "[logs]\nlevel = \"trace\"\n"));
    let gateway = Gateway::start_in(home).await;
    telegram.write(1, "hello");
    answers(&telegram, 1, 1).await;
    let secret = TOKEN.split_once(':').map(|(_, secret)| secret).unwrap();
    for path in ["/channels", "/plugins", "/plugins/telegram", "/status", "/sessions?channel=telegram"] {
        let answer = gateway.client().get(path).await;
        answer.expect(200);
        assert!(!String::from_utf8_lossy(&answer.body).contains(secret), "{path}");
    }
    assert!(!gateway.output().says(&[secret]), "no log has it, not even at trace");
    gateway.stop().await;
}
