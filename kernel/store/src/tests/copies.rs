//! Copies of the store, and the look at everything in it.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use redb::{Database, TableDefinition};

use super::*;

/// A session that nothing knows of.
const MOVED: &str = "sess_01HF7YAT00000000000000000A";

/// Keeps a file with these bytes.
async fn kept(store: &Store, bytes: &[u8]) -> Blob {
    let limits = BlobLimits { each: 1 << 20, total: 1 << 20 };
    let mut blob = store.new_blob(limits).await.unwrap();
    blob.write(bytes).await.unwrap();
    blob.keep("api", None).await.unwrap()
}

/// What a data directory with a copy in it would hold.
fn restored(copy: &StoreCopy) -> Home {
    let home = Home::new();
    fs::copy(copy.file(), home.path().join(FILE)).unwrap();
    fs::create_dir(home.path().join("blobs")).unwrap();
    for file in fs::read_dir(copy.blobs()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), home.path().join("blobs").join(file.file_name())).unwrap();
    }
    home
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_what_was_kept_at_its_moment_and_goes_away() {
    let home = Home::new();
    let store = home.open();
    let session = store.create_session(new_session("api")).await.unwrap().id;
    store.accept_message(&session, store.new_message_id(), "hi".into()).await.unwrap();
    store.put_artifact("compiled", [7; 32]).await.unwrap();
    let file = kept(&store, b"picture").await;
    let copy = store.copy().await.unwrap();
    let refused = store.copy().await.unwrap_err();
    assert_eq!(refused.code(), Code::Conflict, "{refused}");
    assert_eq!(fs::metadata(copy.blobs().parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let later = store.create_session(new_session("api")).await.unwrap().id;
    let there = restored(&copy);
    drop(copy);
    assert!(!home.path().join("copy.partial").exists());
    let other = there.open();
    assert_eq!(other.messages(&session, 10, None).unwrap().items[0].content, "hi");
    assert_eq!(other.read_blob(&file.id, 0, 100).await.unwrap(), b"picture");
    assert_eq!(other.session(&later).unwrap_err().code(), Code::NotFound);
    assert_eq!(other.artifact("compiled").unwrap(), None, "what another machine has compiled");
    let checked = other.check().await.unwrap();
    assert_eq!((checked.faults, checked.rows["messages"], checked.files), (vec![], 1, 1));
    other.close().await;
    drop(store.copy().await.unwrap());
    // What a crash has left goes at the start.
    fs::create_dir(home.path().join("copy.partial")).unwrap();
    let store = home.reopen(store).await;
    drop(store.copy().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_let_go_meanwhile_is_left_out_with_its_row() {
    let home = Home::new();
    let store = home.open();
    let (gone, stays) = (kept(&store, b"gone").await, kept(&store, b"stays").await);
    fs::remove_file(home.path().join("blobs").join(&gone.id)).unwrap();
    let copied = restored(&store.copy().await.unwrap());
    let there = copied.open();
    assert_eq!(there.blob(&gone.id).unwrap(), None);
    assert_eq!(there.blob(&stays.id).unwrap().unwrap().size, 5);
    assert_eq!(there.check().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_found_and_named() {
    let home = Home::new();
    let store = home.open();
    let session = store.create_session(new_session("api")).await.unwrap().id;
    store.accept_message(&session, store.new_message_id(), "hi".into()).await.unwrap();
    let (gone, short) = (kept(&store, b"gone").await, kept(&store, b"short").await);
    store.close().await;
    let blobs = home.path().join("blobs");
    fs::remove_file(blobs.join(&gone.id)).unwrap();
    fs::write(blobs.join(&short.id), "s").unwrap();
    let database = Database::create(home.path().join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let rows: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("sessions");
        let mut sessions = transaction.open_table(rows).unwrap();
        sessions.insert("sess_1", b"{\"session\":1}".as_slice()).unwrap();
        // A store whose index names what is not there does not run for long: that one is looked at without a gateway.
        let row = sessions.remove(session.as_str()).unwrap().unwrap().value().to_owned();
        sessions.insert(MOVED, row.as_slice()).unwrap();
        let index: TableDefinition<'static, u128, (u8, &str)> = TableDefinition::new("session_index");
        let mut index = transaction.open_table(index).unwrap();
        let (_, ulid) = session.split_once('_').unwrap();
        index.remove(ulid::Ulid::from_string(ulid).unwrap().0).unwrap();
        let later: TableDefinition<'static, u64, u64> = TableDefinition::new("of_a_later_version");
        transaction.open_table(later).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let store = home.open();
    let orphan = File::create(blobs.join("orphan")).unwrap();
    orphan.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let checked = store.check().await.unwrap();
    let faults = checked.faults.join("\n");
    for words in [
        "sessions: the row \"sess_1\" can't be read: ",
        "of_a_later_version: this version knows no such table",
        &format!("session_index: {MOVED} is not noted as it is"),
        &format!("messages: they are of {session}, which is gone"),
        &format!("blobs: the file of {} is gone", gone.id),
        &format!("blobs: the file of {} has 1 bytes instead of 5", short.id),
        "blobs: the file orphan belongs to nothing",
    ] {
        assert!(faults.contains(words), "{words} in {faults}");
    }
    assert_eq!(checked.fault_count, 7, "{faults}");
    assert!(store.is_healthy(), "looking breaks nothing");
}

#[test]
fn a_page_that_something_else_has_changed_is_found() {
    let home = Home::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = home.open();
        for _ in 0..50 {
            store.create_session(new_session("api")).await.unwrap();
        }
        store.close().await;
        Store::open_verified(home.path(), home.clock.clone()).unwrap().close().await;
    });
    let file = home.path().join(FILE);
    let mut bytes = fs::read(&file).unwrap();
    // Also where the page has been given up since.
    let all: Vec<usize> = (0..bytes.len() - 8).filter(|&at| &bytes[at..at + 8] == b"user_123").collect();
    all.into_iter().for_each(|at| bytes[at] ^= 1);
    fs::write(&file, bytes).unwrap();
    let error = Store::open_verified(home.path(), home.clock.clone()).err().unwrap();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}
