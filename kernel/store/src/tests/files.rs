use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use redb::Database;

use super::*;

fn refused(home: &Home) -> OpenError {
    match Store::open(home.path(), home.clock.clone()) {
        Ok(_) => panic!("the store opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn directory_and_file_are_made_for_their_owner_only() {
    let home = Home::new();
    let data_dir = home.path().join("share/prx");
    let store = Store::open(&data_dir, home.clock.clone()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data_dir), 0o700);
    assert_eq!(mode(&data_dir.join("prx.redb")), 0o600);
    store.close().await;
}

#[tokio::test]
async fn a_second_open_is_locked_until_the_first_is_closed() {
    let home = Home::new();
    let store = home.open();
    let error = refused(&home);
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(error.to_string().contains("in use by another prx process"), "{error}");
    let other = store.clone();
    home.reopen(store).await.close().await;
    assert_eq!(other.tokens(1, 0).unwrap_err().code(), Code::Unavailable);
    let error = other.create_session(new_session("api")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    other.close().await;
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let home = Home::new();
    let file = home.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    for data_dir in [file.join("data"), file] {
        let error = Store::open(&data_dir, home.clock.clone()).err().unwrap();
        assert!(matches!(error, OpenError::Unwritable { .. }), "{error}");
        assert!(error.to_string().contains(&data_dir.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_corrupt_and_left_as_it_is() {
    let home = Home::new();
    let store = home.open();
    for _ in 0..20 {
        store.create_session(new_session("api")).await.unwrap();
    }
    store.close().await;
    let path = home.path().join("prx.redb");
    let good = fs::read(&path).unwrap();
    let mut zeroed = good.clone();
    zeroed[4096..].fill(0);
    let half = good[..good.len() / 2].to_vec();
    for bad in [b"garbage".repeat(1000), half, zeroed] {
        fs::write(&path, &bad).unwrap();
        let error = refused(&home);
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("is damaged"), "{error}");
    }
    fs::write(&path, &good).unwrap();
    home.open().close().await;
}

#[tokio::test]
async fn a_file_that_was_emptied_is_refused_and_one_that_was_never_written_is_not() {
    let home = Home::new();
    let path = home.path().join("prx.redb");
    fs::write(&path, "").unwrap();
    home.open().close().await;
    fs::write(&path, "").unwrap();
    let error = refused(&home);
    assert!(matches!(error, OpenError::Emptied { .. }), "{error}");
    assert!(error.to_string().contains("restore it from a backup, or remove the file"), "{error}");
    fs::remove_file(&path).unwrap();
    home.open().close().await;
}

#[tokio::test]
async fn a_store_that_failed_is_opened_anew_with_what_was_acknowledged() {
    let home = Home::new();
    let store = home.open();
    let kept = store.create_session(new_session("api")).await.unwrap();
    let turn = store.accept_message(&kept.id, store.new_message_id(), "Hello".into()).await.unwrap();
    assert_eq!(store.turns_ready().next().await, kept.id);
    let mut reopened = store.reopened();
    store.write::<()>(|_| panic!("a defect")).await.unwrap_err();
    assert_eq!(store.problem().unwrap(), "the writer panicked");
    assert_eq!(store.create_session(new_session("api")).await.unwrap_err().code(), Code::Unavailable);
    store.recovered().await;
    reopened.changed().await.unwrap();
    assert_eq!(store.problem(), None);
    assert_eq!((store.session(&kept.id).unwrap().id, store.active_sessions(None)), (kept.id.clone(), 1));
    assert_eq!(store.turns_ready().next().await, kept.id, "whoever works on it is woken");
    assert_eq!(store.claim_turn(&kept.id).await.unwrap().unwrap().seq, turn.seq);
    assert!(store.create_session(new_session("api")).await.unwrap().id > kept.id);
    store.close().await;
}

#[tokio::test]
async fn a_newer_file_is_refused() {
    let home = Home::new();
    home.open().close().await;
    let database = Database::create(home.path().join("prx.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert(VERSION, 99).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = refused(&home);
    assert!(matches!(error, OpenError::Newer { found: 99, served: 2 }), "{error}");
}

#[tokio::test]
async fn what_was_asked_for_before_closing_is_kept() {
    let home = Home::new();
    let store = home.open();
    let asked: Vec<_> = (0..300)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.create_session(new_session("api")).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await;
    let mut kept = 0;
    for session in asked {
        kept += usize::from(session.await.unwrap().is_ok());
    }
    let store = home.open();
    assert_eq!(store.active_sessions(None), kept);
    assert!(kept > 0);
    store.close().await;
}

#[tokio::test]
async fn a_panic_in_the_writer_makes_the_store_unhealthy() {
    let home = Home::new();
    let store = home.open();
    let kept = store.create_session(new_session("api")).await.unwrap();
    let error = store.write::<()>(|_| panic!("a defect")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(!store.is_healthy());
    assert_eq!(store.create_session(new_session("api")).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(store.session(&kept.id).unwrap_err().code(), Code::Unavailable);
    let store = home.reopen(store).await;
    assert!(store.is_healthy());
    assert_eq!(store.session(&kept.id).unwrap(), kept);
    store.close().await;
}

#[tokio::test]
async fn a_verb_that_is_refused_too_late_leaves_nothing() {
    let home = Home::new();
    let store = home.open();
    let error = store
        .write::<()>(|tx| {
            tx.change(META)?.insert("half", 1)?;
            Err(Error::conflict("too late").into())
        })
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(!store.is_healthy());
    let store = home.reopen(store).await;
    let half = store.read(|snapshot| Ok(snapshot.open(META)?.get("half")?.is_some())).unwrap();
    assert!(!half);
    store.close().await;
}

#[tokio::test]
async fn ids_rise_over_a_restart_with_the_clock_set_back() {
    let home = Home::new();
    let store = home.open();
    home.clock.advance(Duration::from_secs(3600));
    let first = store.create_session(new_session("api")).await.unwrap();
    store.close().await;
    let earlier = Clock::manual(first.created_at - Duration::from_secs(86_400));
    for _ in 0..3 {
        let store = Store::open(home.path(), earlier.clone()).unwrap();
        let next = store.create_session(new_session("api")).await.unwrap();
        let listed = store.sessions(&SessionFilter::default(), 500, 0).unwrap().items;
        assert_eq!(listed.last().unwrap(), &next);
        assert!(next.id > first.id);
        store.close().await;
    }
}

/// Reads that go on while the writer works must not keep it from using its space again.
#[tokio::test]
async fn reading_alongside_does_not_make_the_file_grow() {
    let home = Home::new();
    let store = home.open();
    let session = store.create_session(new_session("api")).await.unwrap().id;
    let commit = async |n: u8| {
        let state = Some(ChannelState { version: 1, bytes: vec![n; 4096] });
        let written =
            store.commit_step(StepCommit { state, dispatched: vec!["out_none".into()], ..step(vec![]) });
        let read = async {
            for _ in 0..5 {
                store.session(&session).unwrap();
                store.messages(&session, 50, None).unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(written, read).0.unwrap();
    };
    for n in 0..200 {
        commit(n).await;
    }
    // One snapshot kept open through all of it takes some megabytes.
    let size = fs::metadata(home.path().join("prx.redb")).unwrap().len();
    assert!(size < 512 << 10, "{size} bytes");
    store.close().await;
}
