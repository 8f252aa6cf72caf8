use std::time::Duration;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn listed(store: &Store, status: SessionStatus, channel: Option<&str>) -> Vec<String> {
    let filter = SessionFilter { status, channel: channel.map(Into::into) };
    let page = store.sessions(&filter, 500, 0).unwrap();
    assert_eq!(page.total, page.items.len());
    page.items.into_iter().map(|session| session.id).collect()
}

#[tokio::test]
async fn a_session_is_kept_as_it_was_made() {
    let home = Home::new();
    let store = home.open();
    let made = store.create_session(new_session("api")).await.unwrap();
    assert!(made.id.starts_with("sess_") && made.id == made.id.to_lowercase());
    assert_eq!((made.status, made.turn_count), (SessionStatus::Active, 0));
    assert_eq!((made.created_at, made.last_activity), (home.clock.now(), home.clock.now()));
    let store = home.reopen(store).await;
    assert_eq!(store.session(&made.id).unwrap(), made);
    assert_eq!(made.metadata, json!({"source": "web-app"}));
    let missing = store.session("sess_xyz").unwrap_err();
    assert_eq!((missing.code(), missing.message()), (Code::NotFound, "Session sess_xyz not found"));
    store.close().await;
}

#[tokio::test]
async fn pages_follow_creation_and_total_counts_all_that_match() {
    let home = Home::new();
    let store = home.open();
    let mut ids = Vec::new();
    for n in 0..12 {
        let channel = if n % 3 == 0 { "web" } else { "api" };
        ids.push(store.create_session(new_session(channel)).await.unwrap().id);
        home.clock.advance(Duration::from_millis(n % 2));
    }
    let store = home.reopen(store).await;
    let all = SessionFilter::default();
    let page = store.sessions(&all, 5, 4).unwrap();
    assert_eq!(page.total, 12);
    assert_eq!(
        page.items.iter().map(|session| &session.id).collect::<Vec<_>>(),
        ids[4..9].iter().collect::<Vec<_>>()
    );
    assert!(store.sessions(&all, 5, 12).unwrap().items.is_empty());
    let web = SessionFilter { channel: Some("web".into()), ..all };
    let page = store.sessions(&web, 2, 1).unwrap();
    assert_eq!((page.total, &page.items[0].id, page.items.len()), (4, &ids[3], 2));
    assert_eq!((store.active_sessions(Some("web")), store.active_sessions(None)), (4, 12));
    assert_eq!(store.active_sessions(Some("elsewhere")), 0);
    store.close().await;
}

#[tokio::test]
async fn terminating_ends_a_session_once_and_parks_its_turns() {
    let home = Home::new();
    let store = home.open();
    let session = store.create_session(new_session("api")).await.unwrap().id;
    let one = store.accept_message(&session, store.new_message_id(), "one".into()).await.unwrap();
    let two = store.accept_message(&session, store.new_message_id(), "two".into()).await.unwrap();
    let claimed = store.claim_turn(&session).await.unwrap().unwrap();
    assert_eq!(store.turn_state(&claimed.id()).unwrap(), TurnState::GoesOn);
    let unanswered = store.terminate_session(&session).await.unwrap();
    assert_eq!(unanswered, [one.message.id, two.message.id]);
    assert_eq!(store.turn_state(&claimed.id()).unwrap(), TurnState::Over);
    assert_eq!(store.notified_turns().next().await, session, "the one at work is told");
    let ended = store.session(&session).unwrap();
    assert_eq!(ended.status, SessionStatus::Terminated);
    assert_eq!(store.terminate_session(&session).await.unwrap_err().code(), Code::Conflict);
    assert_eq!(
        store.accept_message(&session, store.new_message_id(), "three".into()).await.unwrap_err().code(),
        Code::Conflict
    );
    assert_eq!(store.terminate_session("sess_xyz").await.unwrap_err().code(), Code::NotFound);
    assert!(store.claim_turn(&session).await.unwrap().is_none());
    let late = store.complete_turn(done(&claimed, &["too late"])).await.unwrap();
    assert!(!late.applied && late.session == ended);
    let parked = store.parked_turns(10).unwrap();
    assert_eq!(
        parked.iter().map(|parked| parked.turn.message.content.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert!(parked.iter().all(|parked| parked.reason == "the session was terminated"));
    let store = home.reopen(store).await;
    assert_eq!(listed(&store, SessionStatus::Terminated, None), *std::slice::from_ref(&session));
    assert!(listed(&store, SessionStatus::Active, None).is_empty());
    assert_eq!(store.messages(&session, 10, None).unwrap().total, 2);
    store.close().await;
}

#[tokio::test]
async fn quiet_sessions_become_idle_then_end_and_a_message_wakes_them() {
    let home = Home::new();
    let store = home.open();
    let quiet = store.create_session(new_session("api")).await.unwrap().id;
    let busy = store.create_session(new_session("api")).await.unwrap().id;
    store.accept_message(&busy, store.new_message_id(), "still at it".into()).await.unwrap();
    let sweep = || store.sweep_sessions(5 * MINUTE, 60 * MINUTE);
    home.clock.advance(5 * MINUTE - Duration::from_secs(1));
    assert!(sweep().await.unwrap().is_empty());
    home.clock.advance(Duration::from_secs(1));
    let swept = sweep().await.unwrap();
    assert_eq!((swept.len(), &swept[0].id, swept[0].status), (1, &quiet, SessionStatus::Idle));
    assert!(sweep().await.unwrap().is_empty());
    assert_eq!(listed(&store, SessionStatus::Idle, Some("api")), *std::slice::from_ref(&quiet));
    assert_eq!(listed(&store, SessionStatus::Active, Some("api")), *std::slice::from_ref(&busy));

    let turn = store.accept_message(&quiet, store.new_message_id(), "hello again".into()).await.unwrap();
    assert_eq!(store.session(&quiet).unwrap().status, SessionStatus::Active);
    store.complete_turn(done(&turn, &["hello"])).await.unwrap();
    home.clock.advance(5 * MINUTE);
    assert_eq!(sweep().await.unwrap()[0].status, SessionStatus::Idle);
    home.clock.advance(60 * MINUTE);
    let swept = sweep().await.unwrap();
    assert_eq!((swept.len(), swept[0].status), (1, SessionStatus::Terminated));
    assert_eq!(listed(&store, SessionStatus::Terminated, None), [quiet]);
    assert_eq!(store.session(&busy).unwrap().status, SessionStatus::Active);
    store.close().await;
}

#[tokio::test]
async fn a_sweep_after_a_long_sleep_ends_at_once_what_is_long_over() {
    let home = Home::new();
    let store = home.open();
    let made = (0..600).map(|_| store.create_session(new_session("api")));
    futures_util::future::try_join_all(made).await.unwrap();
    home.clock.advance(600 * MINUTE);
    let swept = store.sweep_sessions(5 * MINUTE, 60 * MINUTE).await.unwrap();
    assert_eq!(swept.len(), 600);
    assert!(swept.iter().all(|session| session.status == SessionStatus::Terminated));
    assert_eq!(store.active_sessions(None), 0);
    store.close().await;
}
