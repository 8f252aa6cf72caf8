use super::*;
use crate::event_log::MAX_EVENTS;

fn event(data: Value) -> NewEvent {
    NewEvent { kind: Kind::ConfigUpdated, data }
}

#[tokio::test]
async fn the_log_keeps_the_newest_events_and_says_how_many_are_gone() {
    let home = Home::new();
    let store = home.open();
    store.notice_observer("a").await.unwrap();
    assert_eq!(store.newest_event().unwrap(), 0);
    let large = "x".repeat(1 << 20);
    for n in 0..20 {
        store.record_event(event(json!({ "n": n, "text": large }))).await.unwrap();
    }
    let page = store.events_after(0, MAX_PAGE).unwrap();
    let first = page.events.first().unwrap();
    assert_eq!(page.lost, first.seq - 1);
    assert_eq!((page.lost + page.events.len() as u64, page.events.last().unwrap().seq), (20, 20));
    assert!((14..=16).contains(&page.events.len()), "16 MiB of them: {}", page.events.len());
    assert_eq!(first.data["n"], first.seq - 1, "in order");
    let behind = store.events_after(18, 1).unwrap();
    assert_eq!((behind.events.len(), behind.events[0].seq, behind.lost), (1, 19, 0));
    assert_eq!(store.events_after(20, 1).unwrap(), EventPage::default());
    assert_eq!(store.events_after(u64::MAX, 1).unwrap(), EventPage::default());
}

#[tokio::test]
async fn the_log_keeps_so_many_events_and_no_more() {
    let home = Home::new();
    let store = home.open();
    let many = MAX_EVENTS + 50;
    for n in 1..=many {
        store.record_event_soon(event(json!({ "n": n })));
    }
    let store = home.reopen(store).await;
    assert_eq!(store.newest_event().unwrap(), many);
    let page = store.events_after(7, 1).unwrap();
    assert_eq!((page.events[0].seq, page.lost), (51, 43), "of those behind the seventh");
    assert_eq!(page.events[0].data["n"], 51);
}

#[tokio::test]
async fn what_a_plugin_does_is_done_with_the_note_of_it_or_not_at_all() {
    let home = Home::new();
    let store = home.open();
    let publish = || Action::Publish("a.b".into(), json!({}));
    let record = store.notice_observer("a").await.unwrap();
    assert_eq!((record.seen, record.lost), (0, 0));
    assert!(store.advance_observer("a", 3, 2, vec![publish()]).await.unwrap());
    assert!(!store.advance_observer("b", 3, 2, vec![publish()]).await.unwrap(), "nobody has noticed it");
    assert_eq!(store.newest_event().unwrap(), 1);
    let record = store.notice_observer("a").await.unwrap();
    assert_eq!((record.seen, record.lost, record.lost_at.is_some()), (3, 2, true));
    store.forget_observers(|plugin| plugin != "a").await.unwrap();
    assert_eq!(store.observer("a").unwrap(), None);

    store.notice_job("a", "daily").await.unwrap();
    let due = home.clock.now();
    let first = store.begin_job("a", "daily", due, false).await.unwrap();
    let again = store.begin_job("a", "daily", due + Duration::from_secs(60), false).await.unwrap();
    assert_eq!(
        (&again.run_id, again.due, again.attempt),
        (&first.run_id, due, 2),
        "what was cut off goes on"
    );
    assert_eq!(store.finish_job("a", "daily", "run_other", Ok(vec![publish()])).await.unwrap(), None);
    let ended = store.finish_job("a", "daily", &first.run_id, Ok(vec![publish()])).await.unwrap().unwrap();
    assert_eq!((ended.actions, ended.problem), (1, None));
    assert_eq!(
        store.finish_job("a", "daily", &first.run_id, Ok(vec![publish()])).await.unwrap(),
        None,
        "once"
    );
    assert_eq!(store.newest_event().unwrap(), 2);
    assert_eq!(store.job("a", "daily").unwrap().unwrap().through, due);
    store.forget_jobs(|_, _| false).await.unwrap();
    assert_eq!(store.job("a", "daily").unwrap(), None);
}
