//! Replies that grow before the reader's eyes: typing, edits and drafts, and what becomes of them.

use prx_tests::gateway::{Gateway, Home};
use prx_tests::scripted;
use prx_tests::telegram::{FakeTelegram, Fault};
use prx_tests::wait::until;
use serde_json::{Value, json};

/// A model that counts, for longer than a look at a reply takes.
fn counting(times: u64) -> Value {
    json!([{"answers": [[
        {"text": "I count:"}, {"repeat": {"text": " and on", "times": times, "every_ms": 100}}, {"text": ". Done."}
    ]]}])
}

fn home(telegram: &FakeTelegram, mode: &str, script: &Value) -> Home {
    scripted::home(script, &format!("{}stream_mode = {mode:?}\n", telegram.config(&["*"])))
}

fn whole(times: usize) -> String {
    format!("I count:{}. Done.", " and on".repeat(times))
}

#[tokio::test]
async fn a_reply_grows_in_one_message() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start_in(home(&telegram, "edit", &counting(35))).await;
    telegram.write(1, "count");
    telegram.until("the whole reply", |t| (t.sent_to(1) == [whole(35)]).then_some(())).await;
    let first = telegram.calls("sendMessage");
    let begin = first[0].parameters["text"].as_str().unwrap();
    assert!(first.len() == 1 && begin.starts_with("I count:") && !begin.contains("Done"), "{first:?}");
    let edits = telegram.calls("editMessageText");
    assert!(edits.len() >= 2, "it was seen growing: {edits:?}");
    let paced = edits[..edits.len() - 1].windows(2).all(|pair| pair[1].at - pair[0].at >= PACE);
    assert!(paced, "not faster than once a second, but for the last word: {edits:?}");
    let typing = telegram.calls("sendChatAction");
    assert!(!typing.is_empty() && typing.iter().all(|call| call.at < edits.last().unwrap().at));
    gateway.stop().await;
    assert_eq!(telegram.sent_to(1), [whole(35)], "the reply is there once");
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

/// A second, less what a request may be late.
const PACE: std::time::Duration = std::time::Duration::from_millis(900);

#[tokio::test]
async fn a_draft_that_outgrows_a_message_goes_on_in_messages_that_grow() {
    const PIECE: &str = " and on and on and on and on and on and on and on and on";
    let telegram = FakeTelegram::start().await;
    let repeat = json!({"repeat": {"text": PIECE, "times": 100, "every_ms": 60}});
    let script = json!([{"when": "count", "answers": [[{"text": "I count:"}, repeat, {"text": ". Done."}]]}]);
    let gateway = Gateway::start_in(home(&telegram, "draft", &script)).await;
    telegram.write(1, "count");
    telegram.until("the last word", |t| t.sent_to(1).last()?.ends_with("Done.").then_some(())).await;
    telegram.write(1, "and now?");
    telegram.until("the answer after it", |t| (t.sent_to(1).len() == 3).then_some(())).await;
    gateway.stop().await;
    let whole = format!("I count:{}. Done.", PIECE.repeat(100));
    assert_eq!(telegram.sent_to(1)[..2].join(" "), whole, "each word of it is there once");
    assert!(!telegram.drafts().is_empty() && !telegram.calls("editMessageText").is_empty());
    assert!(telegram.calls("deleteMessage").is_empty());
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn a_reply_in_the_making_survives_kills() {
    let telegram = FakeTelegram::start().await;
    let mut gateway = Gateway::start_in(home(&telegram, "edit", &counting(25))).await;
    telegram.write(1, "count");
    telegram.until("the first piece", |t| (t.sent_to(1).len() == 1).then_some(())).await;
    telegram.until("an edit", |t| t.calls("editMessageText").first()?.status.map(|_| ())).await;
    gateway = Gateway::start_in(gateway.kill()).await;
    telegram.until("the whole reply", |t| (t.sent_to(1) == [whole(25)]).then_some(())).await;
    gateway.stop().await;
    assert_eq!(telegram.sent_to(1), [whole(25)], "in the message that was there");
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

/// Half a message that was never heard of again stands there for good: it must not look like the reply.
#[tokio::test]
async fn a_message_whose_id_never_came_is_followed_by_the_whole_reply_which_says_so() {
    for is_killed in [true, false] {
        let telegram = FakeTelegram::start().await;
        let mut gateway = Gateway::start_in(home(&telegram, "edit", &counting(25))).await;
        let fault =
            if is_killed { Fault::Slow(std::time::Duration::from_secs(600)) } else { Fault::DropAfter };
        telegram.script("sendMessage", fault);
        telegram.write(1, "count");
        telegram.until("the first piece", |t| (t.sent_to(1).len() == 1).then_some(())).await;
        if is_killed {
            gateway = Gateway::start_in(gateway.kill()).await;
        }
        telegram.until("the whole reply", |t| (t.sent_to(1).len() == 2).then_some(())).await;
        telegram.write(1, "count again");
        telegram.until("the next one", |t| (t.sent_to(1).get(2) == Some(&whole(25))).then_some(())).await;
        gateway.stop().await;
        let sent = telegram.sent_to(1);
        assert!(sent[0].starts_with("I count:") && !sent[0].contains("Done"), "{is_killed}: {sent:?}");
        assert_eq!(sent[1..], [whole(25) + "\n\n(maybe a repetition)", whole(25)], "{is_killed}");
    }
}

#[tokio::test]
async fn what_can_no_longer_be_edited_is_sent() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start_in(home(&telegram, "edit", &counting(25))).await;
    telegram.write(1, "count");
    telegram.until("the first piece", |t| (t.sent_to(1).len() == 1).then_some(())).await;
    for _ in 0..9 {
        telegram.script("editMessageText", Fault::Refuse(400, "Bad Request: message can't be edited"));
    }
    telegram.until("the whole reply", |t| (t.sent_to(1) == [whole(25)]).then_some(())).await;
    assert_eq!(telegram.calls("deleteMessage").len(), 1, "what was there made way");
    gateway.stop().await;
}

#[tokio::test]
async fn what_follows_an_edit_is_sent_once_more_at_most_when_nobody_knows_whether_it_arrived() {
    for (on_unknown, copies) in [("resend", 2), ("drop", 1)] {
        let telegram = FakeTelegram::start().await;
        let script = json!([{"answers": [[
            {"text": "I count:"}, {"repeat": {"text": " and on", "times": 25, "every_ms": 100}},
            {"text": " and so on".repeat(500)}
        ]]}]);
        let config =
            format!("{}stream_mode = \"edit\"\non_unknown = {on_unknown:?}\n", telegram.config(&["*"]));
        let gateway = Gateway::start_in(scripted::home(&script, &config)).await;
        telegram.write(1, "count");
        telegram.until("the first piece", |t| (t.sent_to(1).len() == 1).then_some(())).await;
        for _ in 0..9 {
            telegram.script("sendMessage", Fault::DropAfter);
        }
        until("the reply to be given up", async || {
            let letters = gateway.client().get("/channels/telegram/dead-letters").await.expect(200);
            letters["dead_letters"][0]["reason"].as_str().filter(|why| why.contains("unknown")).map(drop)
        })
        .await;
        assert_eq!(telegram.sent_to(1).len(), 1 + copies, "on_unknown = {on_unknown:?}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn an_interrupted_reply_ends_as_far_as_it_came() {
    let telegram = FakeTelegram::start().await;
    let script = json!([
        {"when": "count", "answers": [[{"text": "I count:"}, {"repeat": {"text": " and on", "times": 3000, "every_ms": 20}}]]},
        {"answers": [[{"text": "As you like."}]]},
    ]);
    let config =
        format!("{}stream_mode = \"edit\"\ninterrupt_on_new_message = true\n", telegram.config(&["*"]));
    let gateway = Gateway::start_in(scripted::home(&script, &config)).await;
    telegram.write(1, "count");
    telegram.until("an edit", |t| t.calls("editMessageText").first()?.status.map(|_| ())).await;
    telegram.write(1, "enough");
    let sent = telegram.until("the next reply", |t| Some(t.sent_to(1)).filter(|sent| sent.len() == 2)).await;
    assert_eq!(sent[1], "As you like.");
    gateway.stop().await;
    let sent = telegram.sent_to(1);
    assert!(sent.len() == 2 && sent[0].starts_with("I count: and on"), "{sent:?}");
}

#[tokio::test]
async fn a_draft_is_followed_by_the_reply() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start_in(home(&telegram, "draft", &counting(25))).await;
    telegram.write(1, "count");
    telegram.until("the whole reply", |t| (t.sent_to(1) == [whole(25)]).then_some(())).await;
    let drafts = telegram.drafts();
    assert!(drafts.len() >= 2 && drafts.iter().all(|draft| draft.draft == drafts[0].draft), "{drafts:?}");
    assert_eq!(telegram.calls("editMessageText").len(), 0);
    gateway.stop().await;
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn a_way_of_showing_that_there_is_not_is_refused() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start(&telegram.config(&["*"])).await;
    let patch = async |changes: Value| gateway.client().patch("/config", changes).await;
    let refused = patch(json!({"channels_config.telegram.stream_mode": "loud"})).await;
    let message = refused.error(400, "bad_request");
    assert!(message.contains("stream_mode") && message.contains("off, typing, edit, draft"), "{message}");
    patch(json!({"channels_config.telegram.stream_mode": "off"})).await.expect(200);
    telegram.write(1, "hello");
    telegram.until("an answer", |t| (t.sent_to(1).len() == 1).then_some(())).await;
    gateway.stop().await;
    assert_eq!(telegram.calls("sendChatAction").len(), 0);
}
