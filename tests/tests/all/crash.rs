//! `kill -9` at random moments: nothing is lost, nothing is taken in twice.

use std::collections::BTreeMap;
use std::time::Duration;

use prx_tests::gateway::{Gateway, Home};
use prx_tests::random::Random;
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};

const KILLS: u64 = 20;
const USERS: i64 = 5;
const LETTERS: &str = "/channels/telegram/dead-letters?limit=500";

#[tokio::test]
async fn chats_survive_twenty_kills() {
    let mut random = Random::announced();
    let telegram = FakeTelegram::start().await;
    let mut gateway = Gateway::start_in(Home::new(&telegram.config(&["*"]))).await;
    let mut written: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for round in 0..KILLS {
        for user in 1..=USERS {
            for n in 0..2 {
                let text = format!("[{user}-{round:02}-{n}]");
                telegram.write(user, &text);
                written.entry(user).or_default().push(text);
            }
        }
        // Ten messages make for far more calls than this.
        let moment = telegram.call_count() + random.below(12) as usize;
        telegram.until("the moment of the kill", |t| (t.call_count() >= moment).then_some(())).await;
        tokio::time::sleep(Duration::from_micros(random.below(8_000))).await;
        gateway = Gateway::start_in(gateway.kill()).await;
        // A turn that was at work at five kills in a row is given up.
        if round % 4 == 3 {
            settled(&gateway, &telegram, &written).await;
        }
    }
    let kept = settled(&gateway, &telegram, &written).await;
    for letter in &kept {
        assert_eq!(letter["reason"], "unknown outcome", "{letter}");
    }

    let mut heard = gateway.heard("telegram").await;
    heard.sort();
    let mut expected: Vec<String> = written.values().flatten().cloned().collect();
    expected.sort();
    assert_eq!(heard, expected, "each message was taken in exactly once");
    for session in gateway.sessions("telegram").await {
        let messages = gateway.messages(session["id"].as_str().unwrap()).await;
        for turn in messages.chunks(2) {
            assert_eq!(turn.len(), 2, "every turn is done: {turn:?}");
            assert_eq!((turn[0].0.as_str(), turn[1].0.as_str()), ("user", "assistant"));
            assert!(turn[1].1.contains(&turn[0].1), "{turn:?}");
        }
    }
    for (user, texts) in &written {
        let sent = telegram.sent_to(*user);
        let firsts = texts.iter().filter_map(|text| sent.iter().position(|sent| sent.contains(text)));
        assert!(firsts.is_sorted(), "in order: {sent:?}");
        for text in texts {
            assert!(answered(&telegram, *user, text) <= 2, "sent once more at most: {sent:?}");
        }
    }
    for letter in &kept {
        let replay = format!("/channels/telegram/dead-letters/{}/replay", letter["id"].as_str().unwrap());
        gateway.client().post(&replay, json!({})).await.expect(202);
    }
    let all = |telegram: &FakeTelegram| {
        written.iter().all(|(user, texts)| texts.iter().all(|text| answered(telegram, *user, text) > 0))
    };
    telegram.until("what was kept to be sent", |t| all(t).then_some(())).await;
    gateway.stop().await;
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

/// Waits until every message is answered or its answer kept; the answers that are kept.
///
/// A reply that was on its way at two kills in a row is a dead letter, for the operator to say whether it is sent again: to
/// this platform nothing is sent more than twice unasked.
async fn settled(
    gateway: &Gateway,
    telegram: &FakeTelegram,
    written: &BTreeMap<i64, Vec<String>>,
) -> Vec<Value> {
    until("every message to be answered, or its answer to be kept", async || {
        let kept =
            gateway.client().get(LETTERS).await.expect(200)["dead_letters"].as_array().unwrap().clone();
        let is_kept = |text: &str| kept.iter().any(|letter| letter["text"].as_str().unwrap().contains(text));
        let mut all = written.iter().flat_map(|(user, texts)| texts.iter().map(move |text| (*user, text)));
        all.all(|(user, text)| answered(telegram, user, text) > 0 || is_kept(text)).then_some(kept)
    })
    .await
}

/// How often a user was sent a text.
fn answered(telegram: &FakeTelegram, user: i64, text: &str) -> usize {
    telegram.sent_to(user).iter().filter(|sent| sent.contains(text)).count()
}

#[tokio::test]
async fn what_the_api_accepted_survives_kills() {
    let mut random = Random::announced();
    let mut gateway = Gateway::start("[agent]\nmax_turns = 1000000\n").await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let mut acknowledged = Vec::new();
    for round in 0..8 {
        let client = gateway.client().clone();
        let (path, first) = (path.clone(), round * 100);
        let posting = tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for n in first.. {
                let text = format!("[{n:04}]");
                match client.try_post(&path, json!({"content": text})).await {
                    Ok(answer) if answer.status == 200 => acknowledged.push(text),
                    Ok(answer) => return Err(answer.to_string()),
                    Err(_) => break,
                }
            }
            Ok(acknowledged)
        });
        tokio::time::sleep(Duration::from_millis(20 + random.below(200))).await;
        let home = gateway.kill();
        acknowledged.extend(posting.await.unwrap().unwrap());
        gateway = Gateway::start_in(home).await;
    }
    // One more turn: when it is answered, those before it have been.
    gateway.client().post(&path, json!({"content": "[last]"})).await.expect(200);
    let messages = gateway.messages(&session).await;
    let heard: Vec<&String> =
        messages.iter().filter(|(role, _)| role == "user").map(|(_, text)| text).collect();
    let mut once = heard.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), heard.len(), "nothing was taken in twice");
    for text in &acknowledged {
        assert!(heard.contains(&text), "{text} was answered and is gone");
    }
    for turn in messages.chunks(2) {
        assert_eq!(turn.len(), 2, "a turn that was cut off is taken up again: {turn:?}");
        assert!(turn[1].1.contains(&turn[0].1), "{turn:?}");
    }
    gateway.stop().await;
}
