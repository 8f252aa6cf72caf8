use std::time::Duration;

use redb::ReadableTableMetadata;

use super::super::channels::{SEEN, SEEN_AT};
use super::*;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_step_is_kept_whole() {
    let home = Home::new();
    let store = home.open();
    assert_eq!(store.channel_state("chat").unwrap(), None);
    let state = ChannelState { version: 3, bytes: vec![0, 159, 146, 150] };
    let (ann, ben) = (conversation("ann"), conversation("ben"));
    let messages = vec![inbound(&ann, "1"), inbound(&ben, "2"), inbound(&ann, "3"), inbound(&ann, "1")];
    let receipt =
        store.commit_step(StepCommit { state: Some(state.clone()), ..step(messages) }).await.unwrap();
    assert_eq!((receipt.accepted.len(), receipt.duplicates, receipt.opened.len()), (3, 1, 2));
    assert_eq!(receipt.accepted[0].session, receipt.opened[0].id);
    assert_eq!(receipt.accepted[2], TurnId { session: receipt.opened[0].id.clone(), seq: 2 });

    let home = home.crash();
    let store = home.open();
    assert_eq!(store.channel_state("chat").unwrap(), Some(state));
    assert_eq!(store.active_sessions(Some("chat")), 2);
    let ready = store.turns_ready();
    assert_eq!([ready.next().await, ready.next().await], [&*receipt.opened[0].id, &*receipt.opened[1].id]);
    let turn = store.claim_turn(&receipt.opened[0].id).await.unwrap().unwrap();
    let info = turn.inbound.unwrap();
    assert_eq!((turn.message.content.as_str(), info.user_name.as_str()), ("text of 1", "Ann"));
    assert_eq!((info.conversation, info.target), (ann, json!({"chat": "ann"})));
    store.close().await;
}

#[tokio::test]
async fn a_message_is_known_for_seven_days_and_forgotten_after() {
    let home = Home::new();
    let store = home.open();
    let ann = conversation("ann");
    let send = |key: &str| store.commit_step(step(vec![inbound(&ann, key)]));
    assert_eq!(send("1").await.unwrap().duplicates, 0);
    home.clock.advance(7 * DAY);
    assert_eq!(send("1").await.unwrap().duplicates, 1);
    home.clock.advance(Duration::from_millis(1));
    assert_eq!(send("2").await.unwrap().duplicates, 0);
    assert_eq!(send("1").await.unwrap().duplicates, 0);
    assert_eq!(send("2").await.unwrap().duplicates, 1);
    store.close().await;
}

#[tokio::test]
async fn forgetting_is_bounded_and_keeps_up() {
    let home = Home::new();
    let store = home.open();
    let ann = conversation("ann");
    let many = (0..100).map(|n| inbound(&ann, &format!("old {n}"))).collect();
    store.commit_step(step(many)).await.unwrap();
    home.clock.advance(8 * DAY);
    let seen = |store: &Store| {
        let counts = |snapshot: &crate::rows::Snapshot| {
            Ok((snapshot.open(SEEN)?.len()?, snapshot.open(SEEN_AT)?.len()?))
        };
        let (seen, seen_at) = store.read(counts).unwrap();
        assert_eq!(seen, seen_at);
        seen
    };
    assert_eq!(seen(&store), 100);
    let mut left = 100_u64;
    for n in 0..8 {
        store.commit_step(step(vec![inbound(&ann, &format!("new {n}"))])).await.unwrap();
        let now = seen(&store);
        assert!(left.saturating_sub(now) <= 16, "{left} became {now}");
        left = now;
    }
    assert_eq!(left, 8);
    store.close().await;
}

#[tokio::test]
async fn a_conversation_without_turns_left_gets_a_fresh_session_that_waits_for_the_old_one() {
    let home = Home::new();
    let store = home.open();
    let ann = conversation("ann");
    let messages = (0..5).map(|n| inbound(&ann, &n.to_string())).collect();
    let receipt = store.commit_step(StepCommit { max_turns: 3, ..step(messages) }).await.unwrap();
    let [first, second] = [&receipt.opened[0].id, &receipt.opened[1].id];
    assert_eq!(receipt.accepted.iter().filter(|turn| turn.session == *first).count(), 3);
    let ready = store.turns_ready();
    assert_eq!([ready.next().await, ready.next().await], [first.as_str(), second.as_str()]);
    for left in (0..3).rev() {
        assert!(store.claim_turn(second).await.unwrap().is_none());
        let turn = store.claim_turn(first).await.unwrap().unwrap();
        let outcome = TurnDone { end_session: left == 0, ..done(&turn, &["ok"]) };
        store.complete_turn(outcome).await.unwrap();
    }
    assert_eq!(store.session(first).unwrap().status, SessionStatus::Terminated);
    assert_eq!(ready.next().await, *second);
    assert_eq!(store.claim_turn(second).await.unwrap().unwrap().message.content, "text of 3");
    let receipt = store.commit_step(step(vec![inbound(&ann, "5")])).await.unwrap();
    assert_eq!(receipt.accepted[0], TurnId { session: second.clone(), seq: 3 });
    store.close().await;
}

#[tokio::test]
async fn ending_a_session_in_between_lets_nobody_overtake() {
    let home = Home::new();
    let store = home.open();
    let ann = conversation("ann");
    let mut opened: Vec<String> = Vec::new();
    for key in ["1", "2", "3", "4"] {
        if key == "4" {
            store.terminate_session(&opened[1]).await.unwrap();
        }
        let step = StepCommit { max_turns: 1, ..step(vec![inbound(&ann, key)]) };
        opened.push(store.commit_step(step).await.unwrap().opened.remove(0).id);
    }
    let ready = store.turns_ready();
    for id in &opened {
        assert_eq!(ready.next().await, *id);
    }
    let line = [&opened[0], &opened[2], &opened[3]];
    for (at, session) in line.into_iter().enumerate() {
        for later in &line[at + 1..] {
            assert!(store.claim_turn(later).await.unwrap().is_none());
        }
        let turn = store.claim_turn(session).await.unwrap().unwrap();
        store.complete_turn(TurnDone { end_session: true, ..done(&turn, &["ok"]) }).await.unwrap();
        if let Some(next) = line.get(at + 1) {
            assert_eq!(ready.next().await, **next);
        }
    }
    store.close().await;
}

#[tokio::test]
async fn a_terminated_conversation_begins_anew_and_threads_are_their_own() {
    let home = Home::new();
    let store = home.open();
    let ann = conversation("ann");
    let thread = Conversation { thread: Some("9".into()), ..ann.clone() };
    let receipt = store.commit_step(step(vec![inbound(&ann, "1"), inbound(&thread, "2")])).await.unwrap();
    assert_eq!(receipt.opened.len(), 2);
    store.terminate_session(&receipt.opened[0].id).await.unwrap();
    let receipt = store.commit_step(step(vec![inbound(&ann, "3"), inbound(&thread, "4")])).await.unwrap();
    assert_eq!(receipt.opened.len(), 1);
    assert_eq!(receipt.opened[0].conversation, Some(ann));
    store.close().await;
}

#[tokio::test]
async fn a_step_that_only_changes_state_is_there_after_closing() {
    let home = Home::new();
    let store = home.open();
    for n in 0..200_u8 {
        let state = ChannelState { version: 1, bytes: vec![n] };
        store.commit_step(StepCommit { state: Some(state), ..step(Vec::new()) }).await.unwrap();
    }
    let store = home.reopen(store).await;
    assert_eq!(store.channel_state("chat").unwrap().unwrap().bytes, [199]);
    store.close().await;
}
