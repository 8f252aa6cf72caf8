use std::collections::BTreeMap;

use futures_util::future::join_all;
use prx_base::config::Secret;
use tokio::sync::broadcast;

use super::*;
use crate::events::MAX_WAIT;

async fn subscribe(store: &Store, events: &[&str]) -> String {
    let events = events.iter().map(|event| (*event).to_owned()).collect();
    let secret = Secret::new("canary");
    store.add_hook(NewHook { url: "https://example.com/in".into(), events, secret }).await.unwrap().id
}

/// What waits for a hook, in the order in which it was queued: the names of events and their data.
fn queued(store: &Store, hook: &str) -> Vec<(String, Value)> {
    let page = store.deliveries(hook, MAX_PAGE, None).unwrap();
    let told = page.items.iter().map(|delivery| {
        let body: Value = serde_json::from_str(&delivery.body).unwrap();
        assert_eq!(body["type"], delivery.event);
        assert!(body["timestamp"].is_string(), "{body}");
        (delivery.event.clone(), body["data"].clone())
    });
    told.collect()
}

fn published(bus: &mut broadcast::Receiver<std::sync::Arc<prx_base::events::Event>>) -> Vec<(String, Value)> {
    std::iter::from_fn(|| bus.try_recv().ok())
        .map(|event| (event.name.as_str().to_owned(), event.data.clone()))
        .collect()
}

/// What the log has, by the number in the data.
fn logged(store: &Store) -> Vec<Value> {
    let page = store.events_after(0, MAX_PAGE).unwrap();
    assert_eq!(page.lost, 0);
    page.events.iter().map(|event| event.data["n"].clone()).collect()
}

fn event(kind: Kind, data: Value) -> NewEvent {
    NewEvent { kind, data }
}

/// Behind every answer the file is copied as `kill -9` would leave it: what the answer says is in the queue of the copy.
#[tokio::test]
async fn every_event_is_queued_in_the_commit_that_it_tells_of() {
    let home = Home::new();
    let store = home.open();
    let hook = subscribe(&store, &["*"]).await;
    let mut bus = store.events().subscribe();
    let mut expected = Vec::new();
    let mut check = |happened: &[(&str, Value)]| {
        expected.extend(happened.iter().map(|(name, data)| ((*name).to_owned(), data.clone())));
        assert_eq!(queued(&home.crash().open(), &hook), expected);
    };

    let session = store.create_session(new_session("api")).await.unwrap().id;
    let data = json!({"session_id": session, "channel": "api", "user_id": "user_123"});
    check(&[("session.created", data)]);
    store.accept_message(&session, store.new_message_id(), "hi".into()).await.unwrap();
    check(&[("message.received", json!({"session_id": session}))]);
    let turn = store.claim_turn(&session).await.unwrap().unwrap();
    let tool = |n| event(Kind::ToolExecuted, json!({"tool": n}));
    store.record_progress(&turn.id(), json!({}), Usage::default(), vec![tool(1)]).await.unwrap();
    check(&[("tool.executed", json!({"tool": 1}))]);
    let outcome = TurnDone { events: vec![tool(2)], end_session: true, ..done(&turn, &["a", "b"]) };
    let completed = store.complete_turn(outcome).await.unwrap();
    check(&[
        ("tool.executed", json!({"tool": 2})),
        ("message.sent", json!({"session_id": session, "message_id": completed.messages[1].id})),
        ("session.terminated", json!({"session_id": session})),
    ]);

    let at = conversation("ann");
    let opened = store.commit_step(step(vec![inbound(&at, "1"), inbound(&at, "1")])).await.unwrap();
    let chat = json!({"session_id": opened.opened[0].id, "channel": "chat"});
    check(&[("session.created", chat.clone()), ("message.received", chat.clone())]);
    let anew = NewInbound { command: Some(Command::NewSession), ..inbound(&at, "2") };
    let next = store.commit_step(step(vec![anew])).await.unwrap().opened[0].id.clone();
    let second = json!({"session_id": next, "channel": "chat"});
    check(&[("session.created", second.clone()), ("message.received", second)]);

    let turn = store.claim_turn(&opened.opened[0].id).await.unwrap().unwrap();
    store.park_turn(&turn.id(), parked("given up")).await.unwrap();
    check(&[("error.occurred", json!({"session_id": turn.session, "reason": "given up"}))]);
    store.terminate_session(&turn.session).await.unwrap();
    check(&[("session.terminated", json!({"session_id": turn.session}))]);
    store.record_event(event(Kind::ConfigUpdated, json!({"updated": []}))).await.unwrap();
    check(&[("config.updated", json!({"updated": []}))]);
    assert_eq!(published(&mut bus), expected, "the bus says the same");
}

#[tokio::test]
async fn a_session_that_times_out_and_an_operation_that_fails_are_told() {
    let home = Home::new();
    let store = home.open();
    let session = store.create_session(new_session("api")).await.unwrap().id;
    let receipt = store.commit_step(step(vec![inbound(&conversation("ann"), "1")])).await.unwrap();
    let turn = store.claim_turn(&receipt.accepted[0].session).await.unwrap().unwrap();
    let outbound = vec![outbound(&conversation("ann"), "hello")];
    store.complete_turn(TurnDone { outbound, ..done(&turn, &["hello"]) }).await.unwrap();
    let hook = subscribe(&store, &["error.occurred", "session.terminated"]).await;

    let entry = store.outbox("chat", 1, None).unwrap().remove(0);
    let failed = OutboxOutcome::Failed { reason: "blocked".into() };
    let outcomes = vec![(entry.id.clone(), failed)];
    let settled = store.commit_step(StepCommit { outcomes, ..step(vec![]) }).await.unwrap();
    assert_eq!(settled.outbox[&entry.id], None, "it has left the outbox");
    home.clock.advance(Duration::from_secs(60));
    store.sweep_sessions(Duration::from_secs(10), Duration::from_secs(100)).await.unwrap();
    home.clock.advance(Duration::from_secs(60));
    store.sweep_sessions(Duration::from_secs(10), Duration::from_secs(100)).await.unwrap();
    let told = queued(&home.crash().open(), &hook);
    let error = json!({"channel": "chat", "operation": entry.id, "reason": "blocked"});
    assert_eq!(told[0], ("error.occurred".into(), error));
    let mut ended: Vec<_> = told[1..].iter().map(|(_, data)| data["session_id"].as_str().unwrap()).collect();
    ended.sort_unstable();
    assert_eq!(ended, [session.as_str(), turn.session.as_str()]);
}

/// What nobody waits for is in the queue as soon as anything behind it is.
#[tokio::test]
async fn what_is_recorded_without_waiting_is_not_lost() {
    let home = Home::new();
    let store = home.open();
    let hook = subscribe(&store, &["plugin.loaded"]).await;
    let busy: Vec<_> = (0..300).map(|_| store.create_session(new_session("api"))).collect();
    for n in 0..400 {
        store.record_event_soon(event(Kind::PluginLoaded, json!({ "n": n })));
    }
    join_all(busy).await;
    store.create_session(new_session("api")).await.unwrap();
    let told = queued(&home.crash().open(), &hook);
    let numbers: Vec<_> = told.iter().map(|(_, data)| data["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..400).collect::<Vec<_>>());
    store.clone().close().await;
    let mut bus = store.events().subscribe();
    store.record_event_soon(event(Kind::PluginLoaded, json!({})));
    assert_eq!(published(&mut bus).len(), 1, "behind the end of the store the bus still learns of it");
}

/// It rides along with the next commit, or waits a moment for one; with an observer it has one of its own.
#[tokio::test]
async fn an_event_that_nobody_takes_costs_no_commit() {
    let home = Home::new();
    let store = home.open();
    let hook = subscribe(&store, &["session.created"]).await;
    let gone = subscribe(&store, &["*"]).await;
    store.remove_hook(&gone).await.unwrap();
    let mut bus = store.events().subscribe();
    let file = || fs::read(home.path().join("prx.redb")).unwrap();
    let before = file();
    let tool = |n| event(Kind::ToolExecuted, json!({ "n": n }));
    store.record_event(tool(1)).await.unwrap();
    store.record_event(tool(2)).await.unwrap();
    assert!(before == file() && published(&mut bus).is_empty(), "nothing was written");
    store.record_event(event(Kind::SessionCreated, json!({ "n": 3 }))).await.unwrap();
    assert_eq!(queued(&store, &hook).len(), 1);
    assert_eq!(logged(&home.crash().open()), [1, 2, 3]);
    assert_eq!(published(&mut bus).len(), 3, "told once it is on disk");

    store.record_event(tool(4)).await.unwrap();
    store.record_event_soon(tool(5));
    tokio::task::yield_now().await;
    assert_eq!(logged(&store), [1, 2, 3]);
    home.clock.advance(MAX_WAIT);
    let told = async { (bus.recv().await.unwrap().seq, bus.recv().await.unwrap().seq) };
    assert_eq!(told.await, (4, 5), "in the commit that nothing else has brought about");
    assert_eq!(logged(&home.crash().open()), [1, 2, 3, 4, 5]);

    store.notice_observer("a").await.unwrap();
    store.record_event(tool(6)).await.unwrap();
    assert_eq!(logged(&home.crash().open()), [1, 2, 3, 4, 5, 6]);
    let store = home.reopen(store).await;
    store.record_event(tool(7)).await.unwrap();
    assert_eq!(logged(&home.crash().open()).last(), Some(&json!(7)));
    store.forget_observers(|_| false).await.unwrap();
    store.record_event(tool(8)).await.unwrap();
    assert_eq!(logged(&store).last(), Some(&json!(7)));
    let store = home.reopen(store).await;
    assert_eq!(logged(&store).last(), Some(&json!(8)), "an orderly end leaves nothing behind");
}

#[tokio::test]
async fn a_hook_that_is_turned_off_gets_nothing_more() {
    let home = Home::new();
    let store = home.open();
    let hooks = [subscribe(&store, &["*"]).await, subscribe(&store, &["*"]).await];
    let mut woken = store.deliveries_queued();
    store.record_event(event(Kind::ToolExecuted, json!({}))).await.unwrap();
    assert!(woken.has_changed().unwrap(), "whoever delivers is woken");
    woken.mark_unchanged();
    let round = store.next_deliveries(&hooks[0], 1).unwrap().unwrap();
    let attempt = Attempt { at: Timestamp::UNIX_EPOCH, status: Some(410), error: None };
    let gone = Settled { id: round.deliveries[0].id.clone(), attempt, outcome: Outcome::Gone };
    let url = round.hook.url.as_str();
    store.settle_deliveries(&hooks[0], url, vec![gone]).await.unwrap();
    for store in [store.clone(), home.crash().open()] {
        store.record_event(event(Kind::ToolExecuted, json!({}))).await.unwrap();
        let waiting = hooks.iter().map(|hook| {
            let deliveries = store.deliveries(hook, 10, None).unwrap().items;
            deliveries.iter().filter(|delivery| delivery.status == DeliveryStatus::Pending).count()
        });
        assert_eq!(waiting.collect::<Vec<_>>(), [0, 3], "two events, and what is wrong with the other hook");
    }
}

#[tokio::test]
async fn the_bus_counts_by_kind() {
    let home = Home::new();
    let store = home.open();
    store.notice_observer("a").await.unwrap();
    let events = [Kind::ToolExecuted, Kind::PluginLoaded, Kind::ToolExecuted];
    for kind in events {
        store.record_event(event(kind, json!({}))).await.unwrap();
    }
    let counted: BTreeMap<_, _> = store
        .events()
        .counted()
        .into_iter()
        .map(|(kind, count)| (kind.map_or("plugin", Kind::name), count))
        .collect();
    assert_eq!(counted, [("plugin.loaded", 1), ("tool.executed", 2)].into_iter().collect());
}
