use futures_util::future::join_all;

use super::*;
use prx_base::config::Secret;

const URL: &str = "https://example.com/in";

fn new_hook(events: &[&str]) -> NewHook {
    let events = events.iter().map(|event| (*event).to_owned()).collect();
    NewHook { url: URL.into(), events, secret: Secret::new("canary") }
}

/// Lets so many things happen, each with its number.
async fn happen(store: &Store, count: usize) {
    let event = |n| NewEvent { kind: Kind::SessionCreated, data: json!({ "n": n }) };
    for recorded in join_all((0..count).map(|n| store.record_event(event(n)))).await {
        recorded.unwrap();
    }
}

fn number(delivery: &Delivery) -> u64 {
    let body: Value = serde_json::from_str(&delivery.body).unwrap();
    body["data"]["n"].as_u64().unwrap()
}

fn settled(delivery: &Delivery, outcome: Outcome) -> Settled {
    let attempt = Attempt { at: Timestamp::UNIX_EPOCH, status: None, error: None };
    Settled { id: delivery.id.clone(), attempt, outcome }
}

#[tokio::test]
async fn a_notice_is_queued_for_those_who_take_it() {
    let home = Home::new();
    let store = home.open();
    let wanted = [&["session.created"][..], &["*"], &["message.sent", "session.created"]];
    for events in wanted {
        store.add_hook(new_hook(events)).await.unwrap();
    }
    let other = store.add_hook(new_hook(&["message.sent"])).await.unwrap();
    happen(&store, 2).await;
    let home = home.crash();
    let store = home.open();
    for hook in store.hooks().unwrap() {
        let round = store.next_deliveries(&hook.id, 10).unwrap().unwrap();
        let numbers: Vec<_> = round.deliveries.iter().map(number).collect();
        assert_eq!(numbers, if hook.id == other.id { vec![] } else { vec![0, 1] });
        assert_eq!((round.secrets[0].expose(), format!("{round:?}").contains("canary")), ("canary", false));
    }
}

#[tokio::test]
async fn deliveries_come_by_when_they_are_due() {
    let home = Home::new();
    let store = home.open();
    let hook = store.add_hook(new_hook(&["*"])).await.unwrap().id;
    happen(&store, 3).await;
    let next = || store.next_deliveries(&hook, 10).unwrap().unwrap().deliveries;
    let [a, b, c] = next().try_into().unwrap();
    let later = |secs| Outcome::Retry(home.clock.now() + Duration::from_secs(secs));
    let outcomes = vec![settled(&a, later(60)), settled(&b, later(30)), settled(&c, Outcome::Delivered)];
    store.settle_deliveries(&hook, URL, outcomes).await.unwrap();
    let order: Vec<_> = next().iter().map(|delivery| (delivery.id.clone(), delivery.attempts)).collect();
    assert_eq!(order, [(b.id.clone(), 1), (a.id.clone(), 1)]);

    store.replay_delivery(&hook, &a.id).await.unwrap();
    store.replay_delivery(&hook, &c.id).await.unwrap();
    let order: Vec<_> = next().into_iter().map(|delivery| delivery.id).collect();
    assert_eq!(order, [a.id.clone(), c.id.clone(), b.id.clone()]);
    let page = store.deliveries(&hook, 2, None).unwrap();
    assert_eq!((page.total, &page.items[0].id, &page.items[1].id), (3, &b.id, &c.id));
    let older = store.deliveries(&hook, 2, Some(&b.id)).unwrap();
    assert_eq!((older.items.len(), &older.items[0].id), (1, &a.id));
    let unknown = store.replay_delivery(&hook, "dlv_none").await.unwrap_err();
    assert_eq!(unknown.message(), "Delivery dlv_none not found");
}

#[tokio::test]
async fn a_dead_receiver_fills_no_disk() {
    let home = Home::new();
    let store = home.open();
    let hook = store.add_hook(new_hook(&["*"])).await.unwrap().id;
    happen(&store, 9_999).await;
    let dropped = || {
        let state = store.hook_state(&hook).unwrap();
        (state.waiting, state.dropped, state.record.lost)
    };
    assert_eq!(dropped(), (9_999, 0, 0));
    happen(&store, 4).await;
    assert_eq!(dropped(), (10_000, 3, 3));
    let test = Notice::new("hook.test", Timestamp::UNIX_EPOCH, &json!({}));
    let full = store.notify_hook(&hook, test).await.unwrap_err();
    assert_eq!(full.code(), Code::Conflict);
    for round in 1..=2 {
        let next = store.next_deliveries(&hook, 300).unwrap().unwrap().deliveries;
        let failed = next.iter().map(|delivery| settled(delivery, Outcome::Failed)).collect();
        store.settle_deliveries(&hook, URL, failed).await.unwrap();
        let over = [300, 500][round - 1];
        assert_eq!(store.deliveries(&hook, 1, None).unwrap().total, 10_000 - 300 * round + over);
    }
    assert_eq!(dropped(), (9_400, 3, 3), "what was missed stays known");
    loop {
        let next = store.next_deliveries(&hook, 500).unwrap().unwrap().deliveries;
        if next.is_empty() {
            break;
        }
        let taken = next.iter().map(|delivery| settled(delivery, Outcome::Delivered)).collect();
        store.settle_deliveries(&hook, URL, taken).await.unwrap();
    }
    assert_eq!(dropped(), (0, 0, 3), "the queue was empty since");
}

#[tokio::test]
async fn a_removed_hook_leaves_nothing() {
    let home = Home::new();
    let store = home.open();
    let hook = store.add_hook(new_hook(&["*"])).await.unwrap().id;
    let other = store.add_hook(new_hook(&["*"])).await.unwrap().id;
    happen(&store, 2).await;
    let round = store.next_deliveries(&hook, 1).unwrap().unwrap();
    store.remove_hook(&hook).await.unwrap();
    let late = vec![settled(&round.deliveries[0], Outcome::Gone)];
    store.settle_deliveries(&hook, URL, late).await.unwrap();
    assert!(store.next_deliveries(&hook, 1).unwrap().is_none());
    for gone in [store.remove_hook(&hook).await, store.deliveries(&hook, 1, None).map(drop)] {
        assert_eq!(gone.unwrap_err().message(), format!("Hook {hook} not found"));
    }
    assert_eq!(store.deliveries(&other, 10, None).unwrap().total, 2);
}

#[tokio::test]
async fn there_is_a_bound_on_hooks() {
    let home = Home::new();
    let store = home.open();
    for _ in 0..100 {
        store.add_hook(new_hook(&["*"])).await.unwrap();
    }
    assert_eq!(store.add_hook(new_hook(&["*"])).await.unwrap_err().code(), Code::Conflict);
}

#[tokio::test]
async fn a_full_queue_and_what_is_given_up_are_announced_without_an_end() {
    let home = Home::new();
    let store = home.open();
    let (one, other) =
        (store.add_hook(new_hook(&["*"])).await.unwrap(), store.add_hook(new_hook(&["*"])).await.unwrap());
    let errors = |id: &str| {
        let next = store.next_deliveries(id, 500).unwrap().unwrap().deliveries;
        next.into_iter().filter(|delivery| delivery.event == "error.occurred").collect::<Vec<_>>()
    };
    happen(&store, 1).await;
    let next = store.next_deliveries(&one.id, 1).unwrap().unwrap().deliveries;
    store.settle_deliveries(&one.id, URL, vec![settled(&next[0], Outcome::Failed)]).await.unwrap();
    assert_eq!((errors(&one.id).len(), errors(&other.id).len()), (0, 1));
    let told = errors(&other.id);
    store.settle_deliveries(&other.id, URL, vec![settled(&told[0], Outcome::Failed)]).await.unwrap();
    assert_eq!(
        (errors(&one.id).len(), errors(&other.id).len()),
        (0, 0),
        "an error of telling an error ends it"
    );
    happen(&store, 10_001).await;
    let lost = |id: &str| store.hook_state(id).unwrap().record.lost;
    assert!(lost(&one.id) > 0 && lost(&other.id) > 0);
}

#[tokio::test]
async fn an_answer_from_where_a_hook_led_before_turns_nothing_off() {
    let home = Home::new();
    let store = home.open();
    let hook = store.add_hook(new_hook(&["*"])).await.unwrap().id;
    happen(&store, 2).await;
    let next = store.next_deliveries(&hook, 2).unwrap().unwrap().deliveries;
    let elsewhere = HookChange { url: Some("https://example.com/new".into()), ..HookChange::default() };
    store.change_hook(&hook, elsewhere).await.unwrap();
    store.settle_deliveries(&hook, URL, vec![settled(&next[0], Outcome::Gone)]).await.unwrap();
    assert!(store.hook_state(&hook).unwrap().hook.active);
    let now = "https://example.com/new";
    store.settle_deliveries(&hook, now, vec![settled(&next[1], Outcome::Gone)]).await.unwrap();
    assert!(!store.hook_state(&hook).unwrap().hook.active);
    happen(&store, 1).await;
    assert_eq!(store.hook_state(&hook).unwrap().waiting, 0, "nothing is queued while it is turned off");
}
