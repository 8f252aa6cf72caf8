//! Backups as they are written, and as they may come back.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Value, json};
use tar::{Archive, Builder, EntryType, Header as TarHeader};
use tempfile::TempDir;

use super::form::{HEADER, MANIFEST, Problem};
use super::restore::{Restore, Restored};
use super::{Found, Source, read};
use prx_base::clock::Clock;
use prx_store::{BlobLimits, Store};

/// A data directory, and a place to restore it to.
struct Place {
    dir: TempDir,
}

impl Place {
    /// With a file of a message, a plugin and a skill in it, and what is in no backup.
    async fn new() -> (Self, Vec<u8>) {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let data = place.path("data");
        let store = Store::open(&data, Clock::system()).unwrap();
        let mut blob = store.new_blob(BlobLimits { each: 1 << 20, total: 1 << 20 }).await.unwrap();
        blob.write(b"a picture").await.unwrap();
        blob.keep("api", None).await.unwrap();
        for (file, text) in [
            ("plugins/hello.wasm", "component"),
            ("plugins/hello.wasm.serving", "component"),
            ("plugins/other.wasm.partial", "half"),
            ("skills/tea/SKILL.md", "---\n"),
            ("skills/tea/how/long.md", "minutes"),
            ("files/notes/2026/a", "its own"),
            ("cache/hello.cwasm", "native"),
        ] {
            let file = data.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", data.join("skills/tea/link")).unwrap();
        let copy = store.copy().await.unwrap();
        let config = Some("[agent]\nmax_turns = 7\n".to_owned());
        let source = Source { data_dir: data, config, copy, at: Timestamp::UNIX_EPOCH };
        let mut backup = Vec::new();
        source.write(&mut backup).unwrap();
        store.close().await;
        (place, backup)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn restore(&self, name: &str, backup: &[u8], force: bool) -> Result<Restored, Problem> {
        let (data_dir, config) = (self.path(name), self.path(&format!("{name}.toml")));
        let restore = Restore { data_dir: &data_dir, config: &config, force, at: Timestamp::UNIX_EPOCH };
        restore.run(backup, async |_: &Path| Ok(())).await
    }

    /// What is in it, but for the data directory that the backup is of.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name != "data");
        names.sort();
        names
    }
}

fn found(backup: &[u8]) -> Result<Found, Problem> {
    read(backup, |path, bytes| {
        io::copy(bytes, &mut io::sink()).map(drop).map_err(|error| Problem::broken(path, &error))
    })
}

/// The entries of a backup, changed and put together again.
fn rewritten(backup: &[u8], change: impl FnOnce(&mut Vec<(String, Vec<u8>)>)) -> Vec<u8> {
    let mut entries = Vec::new();
    for entry in Archive::new(GzDecoder::new(backup)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        entries.push((entry.path().unwrap().to_string_lossy().into_owned(), bytes));
    }
    change(&mut entries);
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, bytes) in entries {
        let mut header = TarHeader::new_ustar();
        // Also where the path is one that no library writes.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(EntryType::Regular);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// The same with the JSON of one entry changed.
fn told(backup: &[u8], name: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    rewritten(backup, |entries| {
        let (_, bytes) = entries.iter_mut().find(|(path, _)| path == name).unwrap();
        let mut json = serde_json::from_slice(bytes).unwrap();
        change(&mut json);
        *bytes = json.to_string().into_bytes();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_comes_back_and_nothing_else() {
    let (place, backup) = Place::new().await;
    let left_out = found(&backup).unwrap().left_out;
    assert_eq!(left_out, ["skills/tea/link: it is no file"]);
    let restored = place.restore("there", &backup, false).await.unwrap();
    assert_eq!((restored.found.files, restored.moved_aside), (8, vec![]));
    let there = |file: &str| fs::read_to_string(place.path("there").join(file));
    assert_eq!(there("plugins/hello.wasm").unwrap(), "component");
    assert_eq!(there("skills/tea/how/long.md").unwrap(), "minutes");
    assert_eq!(there("files/notes/2026/a").unwrap(), "its own");
    for file in
        ["plugins/other.wasm.partial", "cache/hello.cwasm", "skills/tea/link", "prx.toml", "backup.json"]
    {
        assert!(there(file).is_err(), "{file}");
    }
    assert_eq!(fs::read_to_string(place.path("there.toml")).unwrap(), "[agent]\nmax_turns = 7\n");
    let store = Store::open(&place.path("there"), Clock::system()).unwrap();
    let checked = store.check().await.unwrap();
    assert_eq!((checked.faults, checked.files), (vec![], 1));
    store.close().await;
    // Once more it would be in the way of what is there now.
    let refused = place.restore("there", &backup, false).await.unwrap_err().to_string();
    assert!(refused.contains("there is not empty") && refused.contains("--force"), "{refused}");
    fs::write(place.path("there.toml"), "# mine\n").unwrap();
    let forced = place.restore("there", &backup, true).await.unwrap();
    assert_eq!(forced.moved_aside.len(), 2);
    let names =
        ["there", "there.before-19700101T000000Z", "there.toml", "there.toml.before-19700101T000000Z"];
    assert_eq!(place.names(), names);
    assert_eq!(fs::read_to_string(&forced.moved_aside[0]).unwrap(), "# mine\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_says_something_else_stops_a_restore_in_time() {
    let (place, backup) = Place::new().await;
    fs::write(place.path("there.toml"), "# mine\n").unwrap();
    let refused = place.restore("there", &backup, false).await.unwrap_err().to_string();
    assert!(refused.contains("there.toml is there, and says something else"), "{refused}");
    assert_eq!(place.names(), ["there.toml"]);
    // An empty folder is a place; what an attempt has left that was killed is none.
    fs::create_dir(place.path("other")).unwrap();
    fs::create_dir(place.path("other.restoring")).unwrap();
    fs::write(place.path("other.restoring/half"), "half").unwrap();
    place.restore("other", &backup, false).await.unwrap();
    assert!(!place.path("other/half").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_newer_or_foreign_is_refused_by_name_and_leaves_nothing() {
    let (place, backup) = Place::new().await;
    let last = backup.len() - 1;
    let mut flipped = backup.clone();
    flipped[last - 5] ^= 1;
    let remove = |name: &str| rewritten(&backup, |entries| entries.retain(|(path, _)| path != name));
    let add =
        |path: &str| rewritten(&backup, |entries| entries.insert(2, (path.to_owned(), b"foreign".to_vec())));
    let changed = rewritten(&backup, |entries| {
        let (_, bytes) = entries.iter_mut().find(|(path, _)| path == "plugins/hello.wasm").unwrap();
        bytes[0] ^= 1;
    });
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "it is no backup of prx"),
        (b"something else".to_vec(), "it is no backup of prx"),
        (rewritten(&backup, |entries| entries.rotate_left(1)), "it is no backup of prx"),
        (backup[..backup.len() / 2].to_vec(), "is damaged"),
        (backup[..last - 20].to_vec(), "is damaged"),
        (backup[..last].to_vec(), "is damaged"),
        (flipped, "is damaged"),
        ([backup.as_slice(), b"more"].concat(), "it goes on behind its end"),
        (changed, "\"plugins/hello.wasm\" is not what was written"),
        (remove("skills/tea/SKILL.md"), "\"skills/tea/SKILL.md\" is missing"),
        (remove("prx.redb"), "\"prx.redb\" is missing"),
        (remove(MANIFEST), "it ends before its manifest"),
        (add("plugins/evil.wasm"), "\"plugins/evil.wasm\" is in it, and not in its manifest"),
        (add("plugins/hello.wasm"), "\"plugins/hello.wasm\" is in it twice"),
        (add("../evil"), "\"../evil\" leads out of the data directory"),
        (add("/tmp/evil"), "\"/tmp/evil\" leads out of the data directory"),
        (add("prx.sock"), "\"prx.sock\" does not belong into one"),
        (
            told(&backup, HEADER, |header| header["format"] = json!(2)),
            "restore it with prx 0.1.0 or a later one",
        ),
        (told(&backup, HEADER, |header| header["store"] = json!(99)), "store 99), and 0.1.0 reads form 1"),
        (told(&backup, HEADER, |header| header["prx"] = json!(1)), "what it says of itself"),
    ];
    for (bad, why) in cases {
        let said = found(&bad).unwrap_err().to_string();
        assert!(said.contains(why), "{why}: {said}");
        assert_eq!(place.restore("there", &bad, false).await.unwrap_err().to_string(), said);
        assert_eq!(place.names(), Vec::<String>::new(), "{why}");
    }
    found(&backup).unwrap();
}

/// Takes so many bytes, then has no room.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_said() {
    let (place, backup) = Place::new().await;
    let store = Store::open(&place.path("data"), Clock::system()).unwrap();
    for room in [0, 100, backup.len() / 2] {
        let copy = store.copy().await.unwrap();
        let source = Source { data_dir: place.path("data"), config: None, copy, at: Timestamp::UNIX_EPOCH };
        let said = source.write(Full(room)).unwrap_err().to_string();
        assert!(said.contains("no storage space") || said.contains("No space"), "{said}");
    }
    assert!(!place.path("data/copy.partial").exists());
}
