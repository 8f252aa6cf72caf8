use std::time::Duration;

use super::*;

/// A store whose outbox holds these, in order.
async fn with_outbox(texts: &[&str]) -> (Home, Store, Vec<OutboxEntry>) {
    let home = Home::new();
    let store = home.open();
    let ann = conversation("ann");
    let receipt = store.commit_step(step(vec![inbound(&ann, "1")])).await.unwrap();
    let turn = store.claim_turn(&receipt.accepted[0].session).await.unwrap().unwrap();
    let outbound = texts.iter().map(|text| outbound(&ann, text)).collect();
    store.complete_turn(TurnDone { outbound, ..done(&turn, &[]) }).await.unwrap();
    let entries = store.outbox("chat", 100, None).unwrap();
    assert_eq!(entries.len(), texts.len());
    (home, store, entries)
}

fn dispatch(entry: &OutboxEntry) -> StepCommit {
    StepCommit { dispatched: vec![entry.id.clone()], ..step(Vec::new()) }
}

fn settle(entry: &OutboxEntry, outcome: OutboxOutcome) -> StepCommit {
    StepCommit { outcomes: vec![(entry.id.clone(), outcome)], ..step(Vec::new()) }
}

fn sent() -> OutboxOutcome {
    OutboxOutcome::Sent { platform_id: Some("99".into()) }
}

#[tokio::test]
async fn entries_stand_in_order_and_leave_when_sent() {
    let (home, store, entries) = with_outbox(&["a", "b", "c"]).await;
    store.outbox_ready("chat").notified().await;
    assert_eq!(entries[0].operation, Operation::send("a", Vec::new()));
    assert_eq!((entries[0].state, entries[0].attempt), (OutboxState::Pending, 0));
    assert_eq!(store.outbox("chat", 1, Some(&entries[0].id)).unwrap(), entries[1..2]);
    assert!(store.outbox("other", 10, None).unwrap().is_empty());
    store.commit_step(dispatch(&entries[1])).await.unwrap();
    let store = home.reopen(store).await;
    let now = store.outbox("chat", 10, None).unwrap();
    assert_eq!((now[1].state, now[1].attempt, now.len()), (OutboxState::Sending, 1, 3));
    store.commit_step(settle(&entries[1], sent())).await.unwrap();
    store.commit_step(settle(&entries[1], sent())).await.unwrap();
    store.commit_step(dispatch(&entries[1])).await.unwrap();
    let left = store.outbox("chat", 10, None).unwrap();
    assert_eq!(left, [entries[0].clone(), entries[2].clone()]);
    store.close().await;
}

#[tokio::test]
async fn a_step_of_another_channel_touches_nothing() {
    let (_home, store, entries) = with_outbox(&["a"]).await;
    let foreign = StepCommit { channel: "other".into(), ..settle(&entries[0], sent()) };
    store.commit_step(foreign).await.unwrap();
    assert_eq!(store.outbox("chat", 10, None).unwrap(), entries);
    store.close().await;
}

#[tokio::test]
async fn a_retry_waits_and_a_failure_becomes_a_dead_letter() {
    let (home, store, entries) = with_outbox(&["a", "b"]).await;
    let later = OutboxOutcome::Retry { after: Duration::from_secs(30), maybe_duplicate: false };
    store.commit_step(dispatch(&entries[0])).await.unwrap();
    store.commit_step(settle(&entries[0], later)).await.unwrap();
    let reason = "chat not found".to_owned();
    store.commit_step(settle(&entries[1], OutboxOutcome::Failed { reason })).await.unwrap();
    let left = store.outbox("chat", 10, None).unwrap();
    assert_eq!((left.len(), left[0].attempt, left[0].maybe_duplicate), (1, 1, false));
    assert_eq!(left[0].not_before, Some(home.clock.now() + Duration::from_secs(30)));
    let letters = store.dead_letters("chat", 10, None).unwrap();
    assert_eq!((&letters[0].entry, letters[0].reason.as_str()), (&entries[1], "chat not found"));
    assert!(store.dead_letters("other", 10, None).unwrap().is_empty());
    store.close().await;
}

#[tokio::test]
async fn an_unknown_outcome_is_tried_once_more_and_no_more() {
    let (home, store, entries) = with_outbox(&["a", "b"]).await;
    store.commit_step(dispatch(&entries[0])).await.unwrap();
    let home = home.crash();
    let store = home.open();
    let recovered = store.recover_outbox("chat", OnUnknown::ResendOnce).await.unwrap();
    assert_eq!((recovered.len(), recovered[0].maybe_duplicate, recovered[0].attempt), (1, true, 1));
    assert_eq!(store.outbox("chat", 10, None).unwrap(), [recovered[0].clone(), entries[1].clone()]);
    assert!(store.recover_outbox("chat", OnUnknown::ResendOnce).await.unwrap().is_empty());

    store.commit_step(dispatch(&entries[0])).await.unwrap();
    let home = home.crash();
    let store = home.open();
    assert!(store.recover_outbox("chat", OnUnknown::ResendOnce).await.unwrap().is_empty());
    assert_eq!(store.outbox("chat", 10, None).unwrap(), entries[1..]);
    assert_eq!(store.dead_letters("chat", 10, None).unwrap()[0].reason, "unknown outcome");

    store.commit_step(dispatch(&entries[1])).await.unwrap();
    let lost = OutboxOutcome::Retry { after: Duration::ZERO, maybe_duplicate: true };
    store.commit_step(settle(&entries[1], lost)).await.unwrap();
    assert!(store.outbox("chat", 10, None).unwrap()[0].maybe_duplicate);
    store.commit_step(dispatch(&entries[1])).await.unwrap();
    let home = home.crash();
    let store = home.open();
    let recovered = store.recover_outbox("chat", OnUnknown::Resend).await.unwrap();
    assert_eq!((recovered.len(), recovered[0].attempt), (1, 2), "its platform takes it only once");
    assert_eq!(store.dead_letters("chat", 10, None).unwrap().len(), 1);
    store.close().await;
}

#[tokio::test]
async fn the_operator_may_choose_to_drop_what_is_unknown() {
    let texts: Vec<String> = (0..MAX_PAGE + 20).map(|n| n.to_string()).collect();
    let (home, store, _) = with_outbox(&["only"]).await;
    store.close().await;
    let store = home.open();
    let ann = conversation("ann");
    let receipt = store.commit_step(step(vec![inbound(&ann, "2")])).await.unwrap();
    let turn = store.claim_turn(&receipt.accepted[0].session).await.unwrap().unwrap();
    let outbound = texts.iter().map(|text| outbound(&ann, text)).collect();
    store.complete_turn(TurnDone { outbound, ..done(&turn, &[]) }).await.unwrap();
    let mut ids: Vec<String> = Vec::new();
    loop {
        let page = store.outbox("chat", MAX_PAGE, ids.last().map(String::as_str)).unwrap();
        if page.is_empty() {
            break;
        }
        ids.extend(page.into_iter().map(|entry| entry.id));
    }
    assert_eq!(ids.len(), texts.len() + 1);
    store.commit_step(StepCommit { dispatched: ids, ..step(Vec::new()) }).await.unwrap();
    assert!(store.recover_outbox("chat", OnUnknown::Drop).await.unwrap().is_empty());
    assert!(store.outbox("chat", 10, None).unwrap().is_empty());
    assert_eq!(store.dead_letters("chat", 10, None).unwrap().len(), 10);
    store.close().await;
}

#[tokio::test]
async fn a_dead_letter_is_replayed_behind_the_rest_or_forgotten() {
    let (_home, store, entries) = with_outbox(&["a", "b", "c"]).await;
    let failed = || OutboxOutcome::Failed { reason: "blocked".into() };
    store.commit_step(settle(&entries[0], failed())).await.unwrap();
    store.commit_step(settle(&entries[1], failed())).await.unwrap();
    let again = store.replay_dead_letter("chat", &entries[0].id).await.unwrap();
    assert!(again.id > entries[2].id, "whoever reads the outbox in order finds it");
    assert_eq!((again.attempt, &again.operation), (0, &entries[0].operation));
    assert_eq!(store.outbox("chat", 10, None).unwrap(), [entries[2].clone(), again]);
    let twice = store.replay_dead_letter("chat", &entries[0].id).await.unwrap_err();
    assert_eq!(twice.code(), prx_base::error::Code::NotFound);
    store.remove_dead_letter("chat", &entries[1].id).await.unwrap();
    assert!(store.dead_letters("chat", 10, None).unwrap().is_empty());
    assert!(store.remove_dead_letter("chat", &entries[1].id).await.is_err());
    store.close().await;
}

#[tokio::test]
async fn a_reply_that_takes_the_place_of_a_message_may_do_so_twice() {
    let (home, store, entries) = with_outbox(&["a"]).await;
    let turn = TurnId { session: "sess_1".into(), seq: 1 };
    let shown = Streamed { turn: turn.clone(), target: json!({}), platform_id: Some("7".into()) };
    let streams = vec![(turn.clone(), Some(shown.clone()))];
    store.commit_step(StepCommit { streams, ..step(Vec::new()) }).await.unwrap();
    assert_eq!(store.streams("chat").unwrap(), [shown]);
    assert!(store.streams("cha").unwrap().is_empty() && store.streams("chats").unwrap().is_empty());

    let reply = NewOutbound { turn: Some(turn.clone()), ..outbound(&conversation("ann"), "whole") };
    let receipt = store.commit_step(step(vec![inbound(&conversation("ann"), "2")])).await.unwrap();
    let claimed = store.claim_turn(&receipt.accepted[0].session).await.unwrap().unwrap();
    assert!(store.turn_waits(&claimed.id()).unwrap());
    store.complete_turn(TurnDone { outbound: vec![reply], ..done(&claimed, &[]) }).await.unwrap();
    assert!(!store.turn_waits(&claimed.id()).unwrap());
    let reply = store.outbox("chat", 10, Some(&entries[0].id)).unwrap().remove(0);
    store.commit_step(dispatch(&reply)).await.unwrap();
    let store = home.reopen(store).await;
    let recovered = store.recover_outbox("chat", OnUnknown::Drop).await.unwrap();
    assert_eq!((recovered.len(), recovered[0].maybe_duplicate), (1, false), "an edit is not dropped");
    let operation = Operation::send("otherwise", Vec::new());
    let instead = OutboxOutcome::Instead { operation: operation.clone() };
    store.commit_step(settle(&reply, instead)).await.unwrap();
    assert_eq!(store.outbox("chat", 10, Some(&entries[0].id)).unwrap()[0].operation, operation);
    assert!(store.streams("chat").unwrap().is_empty());
    store.close().await;
}

#[tokio::test]
async fn a_reply_whose_message_is_not_known_takes_no_place_of_it() {
    let (home, store, entries) = with_outbox(&["a"]).await;
    let receipt = store.commit_step(step(vec![inbound(&conversation("ann"), "2")])).await.unwrap();
    let claimed = store.claim_turn(&receipt.accepted[0].session).await.unwrap().unwrap();
    let doubtful = Streamed { turn: claimed.id(), target: json!({}), platform_id: None };
    let streams = vec![(claimed.id(), Some(doubtful.clone()))];
    store.commit_step(StepCommit { streams, ..step(Vec::new()) }).await.unwrap();
    let reply = NewOutbound { turn: Some(claimed.id()), ..outbound(&conversation("ann"), "whole") };
    store.complete_turn(TurnDone { outbound: vec![reply], ..done(&claimed, &[]) }).await.unwrap();
    let reply = store.outbox("chat", 10, Some(&entries[0].id)).unwrap().remove(0);
    store.commit_step(dispatch(&reply)).await.unwrap();
    let store = home.reopen(store).await;
    assert_eq!(store.streams("chat").unwrap(), [doubtful], "it is remembered");
    let recovered = store.recover_outbox("chat", OnUnknown::Resend).await.unwrap();
    assert_eq!((recovered.len(), recovered[0].maybe_duplicate), (1, true), "it was no edit");
    store.close().await;
}
