//! Memories on a real store.

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use prx_base::clock::Clock;
use prx_base::error::Code;
use prx_store::WordHits;

fn open(dir: &TempDir) -> (Memory, Store) {
    let store = Store::open(dir.path(), Clock::manual(Timestamp::UNIX_EPOCH)).unwrap();
    (Memory::new(store.clone()), store)
}

fn owner(user: &str) -> Owner {
    Owner { channel: "chat".into(), user_id: user.into() }
}

async fn remember(memory: &Memory, user: &str, text: &str) -> String {
    memory.remember(&owner(user), text, Vec::new(), None).await.unwrap().id
}

fn recall(memory: &Memory, user: &str, query: &str) -> Vec<String> {
    memory.recall(&owner(user), query, 3).unwrap().into_iter().map(|entry| entry.text).collect()
}

#[tokio::test]
async fn the_most_fitting_come_first_and_only_ones_own() {
    let dir = tempfile::tempdir().unwrap();
    let (memory, store) = open(&dir);
    for text in ["The dog is called Rex.", "The boat is called Nora.", "Lives in Lisbon, near the harbour."] {
        remember(&memory, "ada", text).await;
    }
    remember(&memory, "eve", "The dog is called Nero.").await;
    assert_eq!(recall(&memory, "ada", "what is my DOG's name?")[0], "The dog is called Rex.");
    assert_eq!(recall(&memory, "ada", "lisbon"), ["Lives in Lisbon, near the harbour."]);
    assert_eq!(recall(&memory, "eve", "lisbon dog boat"), ["The dog is called Nero."]);
    assert!(recall(&memory, "ada", "weather?").is_empty() && recall(&memory, "bob", "dog").is_empty());
    let elsewhere = Owner { channel: "other".into(), user_id: "ada".into() };
    assert!(memory.recall(&elsewhere, "dog", 3).unwrap().is_empty(), "the same id elsewhere is someone else");
    assert_eq!(store.memory_entries().unwrap(), 4);
    store.close().await;
}

#[tokio::test]
async fn what_is_forgotten_is_not_found_and_only_its_owner_can() {
    let dir = tempfile::tempdir().unwrap();
    let (memory, store) = open(&dir);
    let rex = remember(&memory, "ada", "The dog is called Rex.").await;
    assert_eq!(remember(&memory, "ada", " The dog is called Rex. ").await, rex, "not twice");
    assert!(!memory.forget(&owner("eve"), &rex).await.unwrap());
    store.close().await;
    let (memory, store) = open(&dir);
    assert_eq!(recall(&memory, "ada", "dog").len(), 1, "also after a restart");
    assert!(memory.forget(&owner("ada"), &rex).await.unwrap());
    assert!(!memory.forget(&owner("ada"), &rex).await.unwrap());
    assert!(recall(&memory, "ada", "dog").is_empty());
    let nothing = WordHits { memories: 0, words: 0, hits: vec![Vec::new()] };
    assert_eq!(store.word_hits(&owner("ada"), &["dog".into()]).unwrap(), nothing);
    store.close().await;
}

#[tokio::test]
async fn tags_are_words_and_everything_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (memory, store) = open(&dir);
    let tagged =
        memory.remember(&owner("ada"), "Rex is a spaniel.", vec!["pets".into()], None).await.unwrap();
    assert_eq!(memory.recall(&owner("ada"), "PETS", 1).unwrap(), [tagged]);
    for (text, tags) in [("", vec![]), (&*"x".repeat(4097), vec![]), ("x", vec![String::new()])] {
        let refused = memory.remember(&owner("ada"), text, tags, None).await.unwrap_err();
        assert_eq!(refused.code(), Code::BadRequest);
    }
    let few = MemoryLimits { each: 1, total: 10 };
    let new = NewMemory {
        owner: owner("ada"),
        text: "one more".into(),
        tags: Vec::new(),
        session: None,
        words: words::of("one more"),
    };
    assert_eq!(store.add_memory(new, few).await.unwrap_err().code(), Code::Conflict);
    store.close().await;
}
