//! How a private directory is counted.

use std::fs::{self, File};

use super::*;

struct Home {
    dir: tempfile::TempDir,
    files: Files,
}

impl Home {
    fn new(quota: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = Folders::new(dir.path()).of("guest", quota).unwrap();
        Self { dir, files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("files/guest").join(name)
    }
}

#[tokio::test]
async fn what_is_there_already_counts_and_what_was_removed_no_longer_does() {
    let home = Home::new(100);
    fs::create_dir(home.path("sub")).unwrap();
    fs::write(home.path("sub/old"), [0; 60]).unwrap();
    assert!(home.files.take(1).is_err(), "nobody has counted yet");
    assert!(home.files.reserve(41).await.is_err());
    home.files.reserve(40).await.unwrap().landed();
    assert_eq!(home.files.room(), 0, "it counts as written");
    fs::remove_file(home.path("sub/old")).unwrap();
    assert!(home.files.reserve(1).await.is_err(), "nobody has said that there is less");
    home.files.shrunk();
    home.files.reserve(100).await.unwrap().landed();
}

#[tokio::test]
async fn what_is_under_way_counts_although_it_is_not_there_yet() {
    let home = Home::new(100);
    let growth = home.files.reserve(80).await.unwrap();
    home.files.shrunk();
    assert!(home.files.reserve(21).await.is_err());
    drop(growth);
    home.files.shrunk();
    drop(home.files.reserve(21).await.expect("it came to nothing"));
}

#[tokio::test]
async fn a_removed_file_counts_until_it_is_closed() {
    let home = Home::new(100);
    fs::write(home.path("gone"), [0; 70]).unwrap();
    let open = Arc::new(File::open(home.path("gone")).unwrap());
    home.files.opened(&open);
    fs::remove_file(home.path("gone")).unwrap();
    home.files.shrunk();
    assert!(home.files.reserve(31).await.is_err());
    drop(open);
    home.files.shrunk();
    home.files.reserve(31).await.unwrap().landed();
}

#[tokio::test]
async fn files_are_counted_too_and_what_is_too_deep_is_full() {
    let home = Home::new(100);
    for n in 0..MAX_ENTRIES {
        fs::write(home.path(&n.to_string()), []).unwrap();
    }
    assert!(home.files.reserve_entry().await.is_err());
    fs::remove_file(home.path("0")).unwrap();
    home.files.shrunk();
    home.files.reserve_entry().await.unwrap().landed();

    let home = Home::new(100);
    fs::create_dir_all(home.path(&"d/".repeat(40))).unwrap();
    assert!(home.files.reserve(1).await.is_err());
}
