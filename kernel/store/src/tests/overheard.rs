//! What is said in a conversation and not to the agent comes with the next message that is, and no later one.

use super::*;

/// When the clock of [`Home`] begins.
const START: &str = "2026-03-21T10:00:00Z";

fn heard(place: &Conversation, user: &str, text: &str) -> (usize, Conversation, Overheard) {
    let sender = Sender { id: user.into(), name: user.to_uppercase() };
    (0, place.clone(), Overheard { sender, text: text.into(), at: START.parse().unwrap() })
}

async fn hear(store: &Store, said: Vec<(usize, Conversation, Overheard)>) {
    store.commit_step(StepCommit { overheard: said, ..step(Vec::new()) }).await.unwrap();
}

/// What came before a message.
async fn before(store: &Store, message: NewInbound) -> Vec<String> {
    let receipt = store.commit_step(step(vec![message])).await.unwrap();
    let turn = store.claim_turn(&receipt.accepted[0].session).await.unwrap().unwrap();
    store.complete_turn(done(&turn, &["yes"])).await.unwrap();
    turn.message.context.overheard.into_iter().map(|said| said.text).collect()
}

#[tokio::test]
async fn what_was_said_before_comes_once_and_is_bounded() {
    let home = Home::new();
    let store = home.open();
    let (here, there) = (conversation("here"), conversation("there"));
    hear(&store, vec![heard(&here, "ann", "one"), heard(&there, "bo", "elsewhere")]).await;
    hear(&store, vec![heard(&here, "bo", "two")]).await;
    let store = home.reopen(store).await;
    let in_group = NewInbound { group: true, ..inbound(&here, "1") };
    assert_eq!(before(&store, in_group).await, ["one", "two"]);
    assert_eq!(before(&store, inbound(&here, "2")).await, [""; 0]);
    for n in 0..40 {
        hear(&store, vec![heard(&here, "ann", &n.to_string())]).await;
    }
    let kept = before(&store, inbound(&here, "3")).await;
    assert_eq!((kept.len(), kept[0].as_str(), kept[29].as_str()), (30, "10", "39"));
    let large = "x".repeat(6 << 10);
    hear(&store, (0..5).map(|_| heard(&here, "ann", &large)).collect()).await;
    assert_eq!(before(&store, inbound(&here, "4")).await.len(), 2, "16 KiB are the most");
    let (_, place, after) = heard(&here, "ann", "after");
    let both = vec![heard(&here, "ann", "before"), (1, place, after)];
    let receipt =
        store.commit_step(StepCommit { overheard: both, ..step(vec![inbound(&here, "4b")]) }).await.unwrap();
    let turn = store.claim_turn(&receipt.accepted[0].session).await.unwrap().unwrap();
    store.complete_turn(done(&turn, &["yes"])).await.unwrap();
    let before_it = turn.message.context.overheard;
    assert_eq!(before_it.iter().map(|said| said.text.as_str()).collect::<Vec<_>>(), ["before"]);
    assert_eq!(before(&store, inbound(&here, "4c")).await, ["after"]);
    hear(&store, vec![heard(&here, "ann", "forgotten")]).await;
    let anew = NewInbound { command: Some(Command::NewSession), ..inbound(&here, "5") };
    assert_eq!(before(&store, anew).await, [""; 0]);
}

#[tokio::test]
async fn what_was_overheard_is_let_go_with_the_day_and_with_its_person() {
    let home = Home::new();
    let store = home.open();
    let here = conversation("here");
    let yesterday =
        START.parse::<Timestamp>().unwrap().checked_sub(Duration::from_secs(25 * 60 * 60)).unwrap();
    let (.., said) = heard(&here, "ann", "old");
    hear(&store, vec![(0, here.clone(), Overheard { at: yesterday, ..said }), heard(&here, "7", "mine")])
        .await;
    hear(&store, vec![heard(&here, "bo", "his")]).await;
    store.forget_overheard().await.unwrap();
    let erased = store.erase_user(&Owner { channel: "chat".into(), user_id: "7".into() }).await.unwrap();
    assert_eq!(erased.messages, 1);
    let by_bo = NewInbound { user_id: "bo".into(), ..inbound(&here, "1") };
    assert_eq!(before(&store, by_bo).await, ["his"]);
    hear(&store, vec![heard(&here, "7", "mine again"), heard(&here, "bo", "his again")]).await;
    let asked = NewInbound { user_id: "bo".into(), ..inbound(&here, "2") };
    let receipt = store.commit_step(step(vec![asked])).await.unwrap();
    let erased = store.erase_user(&Owner { channel: "chat".into(), user_id: "7".into() }).await.unwrap();
    assert_eq!(erased.messages, 1, "of what was overheard with another's message");
    let left =
        store.claim_turn(&receipt.accepted[0].session).await.unwrap().unwrap().message.context.overheard;
    assert_eq!(left.iter().map(|said| said.text.as_str()).collect::<Vec<_>>(), ["his again"]);
}
