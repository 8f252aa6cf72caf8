//! `kill -9` at random moments: nothing is lost, nothing is taken in twice.

use std::collections::BTreeMap;
use std::time::Duration;

use prx_tests::gateway::{Gateway, Home};
use prx_tests::random::Random;
use prx_tests::telegram::FakeTelegram;
use serde_json::json;

const KILLS: u64 = 20;
const USERS: i64 = 5;

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
    }

    let answered = |telegram: &FakeTelegram, user: i64, text: &String| {
        telegram.sent_to(user).iter().filter(|sent| sent.contains(text)).count()
    };
    let all = |telegram: &FakeTelegram| {
        written.iter().all(|(user, texts)| texts.iter().all(|text| answered(telegram, *user, text) > 0))
    };
    telegram.until("every message to be answered", |t| all(t).then_some(())).await;

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
    gateway.stop().await;
    for (user, texts) in &written {
        let sent = telegram.sent_to(*user);
        let firsts: Vec<_> =
            texts.iter().map(|text| sent.iter().position(|sent| sent.contains(text))).collect();
        assert!(firsts.is_sorted(), "in order: {sent:?}");
        for text in texts {
            assert!(answered(&telegram, *user, text) <= 2, "sent once more at most: {sent:?}");
        }
    }
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
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
