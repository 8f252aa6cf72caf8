//! Blobs: bytes in files, bounded one by one, in all and by age.

use std::fs;
use std::time::Duration;

use super::*;

const LIMITS: BlobLimits = BlobLimits { each: 8192, total: 20_000 };

async fn keep(store: &Store, bytes: &[u8]) -> Blob {
    let mut blob = store.new_blob(LIMITS).await.unwrap();
    for piece in bytes.chunks(100) {
        blob.write(piece).await.unwrap();
    }
    blob.keep("chat", Some("text/plain".into())).await.unwrap()
}

fn files(home: &Home) -> usize {
    fs::read_dir(home.path().join("blobs")).unwrap().count()
}

#[tokio::test]
async fn a_blob_is_read_in_parts_also_after_a_restart() {
    let home = Home::new();
    let store = home.open();
    let blob = keep(&store, b"ships in the harbour").await;
    assert_eq!((blob.size, blob.channel.as_str()), (20, "chat"));
    let store = home.reopen(store).await;
    assert_eq!(store.blob(&blob.id).unwrap(), Some(blob.clone()));
    let read = async |offset, length| store.read_blob(&blob.id, offset, length).await.unwrap();
    assert_eq!(read(0, 5).await, b"ships");
    assert_eq!(read(13, 100).await, b"harbour");
    assert!(read(20, 5).await.is_empty() && read(1000, 5).await.is_empty());
    for unknown in ["blob_nobody", "../prx.redb", ""] {
        assert_eq!(store.read_blob(unknown, 0, 1).await.unwrap_err().code(), Code::NotFound);
    }
    store.close().await;
}

#[tokio::test]
async fn what_is_not_kept_leaves_nothing_behind() {
    let home = Home::new();
    let store = home.open();
    let mut large = store.new_blob(LIMITS).await.unwrap();
    large.write(&[0; 8192]).await.unwrap();
    assert_eq!(large.write(&[0]).await.unwrap_err().code(), Code::PayloadTooLarge);
    assert_eq!(files(&home), 1);
    drop(large);
    assert_eq!(files(&home), 0);
    let kept = keep(&store, b"kept").await;
    store.close().await;
    fs::write(home.path().join("blobs").join("blob_unknown"), "").unwrap();
    let store = home.open();
    assert_eq!(files(&home), 1, "a file without a row is removed at the next start");
    assert_eq!(store.read_blob(&kept.id, 0, 9).await.unwrap(), b"kept");
    store.close().await;
}

#[tokio::test]
async fn the_oldest_make_room_and_age_ends_all() {
    let home = Home::new();
    let store = home.open();
    // Five of them take more than there is room for, though their bytes alone would not.
    let mut kept = Vec::new();
    for n in 0..5_u8 {
        kept.push(keep(&store, &[n; 10]).await.id);
        home.clock.advance(Duration::from_secs(60));
    }
    let there = |id: &String| store.blob(id).unwrap().is_some();
    assert_eq!(kept.iter().map(there).collect::<Vec<_>>(), [false, true, true, true, true]);
    assert_eq!(files(&home), 4);
    assert_eq!(store.sweep_blobs(Duration::from_secs(150)).await.unwrap(), 2);
    assert_eq!(kept.iter().map(there).collect::<Vec<_>>(), [false, false, false, true, true]);
    assert_eq!(files(&home), 2);
    keep(&store, &[9; 8000]).await;
    assert_eq!(kept.iter().map(there).collect::<Vec<_>>(), [false, false, false, true, true]);
    assert_eq!(store.sweep_blobs(Duration::ZERO).await.unwrap(), 2, "the one of this very moment stays");
    store.close().await;
}
