//! Stores that an earlier version has written.

use redb::{Database, ReadableTable, TableDefinition};

use super::*;

const ROWS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("outbox");
const HOOK_ROWS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("hooks");

/// Changes the file of a store that is closed.
fn edit(home: &Home, edit: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::create(home.path().join("prx.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    edit(&transaction);
    transaction.commit().unwrap();
}

fn entry(id: &str, operation: &str, more: &str) -> String {
    format!(
        r#"{{"id":"{id}","channel":"chat","conversation":{{"channel":"chat","conversation":"ann","thread":null}},"#
    ) + &format!(
        r#""target":{{"conversation":"ann","thread":null,"reply_to":null}},"operation":{operation},"#
    ) + &format!(r#""state":"pending","attempt":0,"maybe_duplicate":false,"not_before":null{more}}}"#)
}

#[tokio::test]
async fn operations_that_an_earlier_version_has_queued_are_read() {
    let file = |kind| Attachment {
        blob: "blob_1".into(),
        kind,
        name: Some("a.png".into()),
        mime: Some("image/png".into()),
        size: 7,
    };
    let say = |attachments| Content { markdown: "**hi**".into(), attachments };
    let file_text = |kind: &str| {
        format!(r#"{{"blob":"blob_1","kind":"{kind}","name":"a.png","mime":"image/png","size":7}}"#)
    };
    let content = r#"{"markdown":"**hi**","attachments":[]}"#;
    let choices = r#"[{"id":"allow:ask_1","label":"Allow once"}]"#;
    let choice = Choice { id: "allow:ask_1".into(), label: "Allow once".into() };
    let mut written = vec![
        (format!(r#"{{"Send":{content}}}"#), Operation::Send(say(vec![]))),
        (format!(r#"{{"Edit":["7",{content}]}}"#), Operation::Edit("7".into(), say(vec![]))),
        (r#"{"Delete":"7"}"#.into(), Operation::Delete("7".into())),
        (r#""Typing""#.into(), Operation::Typing),
        (format!(r#"{{"Draft":[3,{content}]}}"#), Operation::Draft(3, say(vec![]))),
        (r#"{"React":["7","👍"]}"#.into(), Operation::React("7".into(), "👍".into())),
        (format!(r#"{{"Ask":[{content},{choices}]}}"#), Operation::Ask(say(vec![]), vec![choice])),
    ];
    let kinds = ["Image", "Audio", "Video", "Document", "Other"];
    let kinds = kinds.into_iter().zip([
        AttachmentKind::Image,
        AttachmentKind::Audio,
        AttachmentKind::Video,
        AttachmentKind::Document,
        AttachmentKind::Other,
    ]);
    for (name, kind) in kinds {
        let text = format!(r#"{{"Send":{{"markdown":"**hi**","attachments":[{}]}}}}"#, file_text(name));
        written.push((text, Operation::Send(say(vec![file(kind)]))));
    }
    let home = Home::new();
    home.open().close().await;
    edit(&home, |transaction| {
        let mut table = transaction.open_table(ROWS).unwrap();
        for (n, (operation, _)) in written.iter().enumerate() {
            let more =
                if n % 2 == 0 { r#","vain_since":null,"turn":{"session":"sess_1","seq":1}"# } else { "" };
            let id = format!("out_{n:02}");
            table.insert(("chat", id.as_str()), entry(&id, operation, more).as_bytes()).unwrap();
        }
    });
    let store = home.open();
    let read = store.outbox("chat", MAX_PAGE, None).unwrap();
    assert_eq!(read.len(), written.len());
    for (entry, (text, operation)) in read.iter().zip(&written) {
        assert_eq!(&entry.operation, operation);
        assert_eq!(&serde_json::to_string(operation).unwrap(), text, "it is written as before");
    }
}

#[tokio::test]
async fn fields_and_operations_of_another_version_stop_nothing() {
    let home = Home::new();
    home.open().close().await;
    let written = [
        (r#"{"Send":{"markdown":"hi"}}"#, Operation::send("hi", vec![])),
        (r#"{"Send":{"markdown":"hi","attachments":[],"silent":true}}"#, Operation::send("hi", vec![])),
        (r#"{"Wave":{"hands":2}}"#, Operation::Unknown(json!({"Wave": {"hands": 2}}))),
        (r#"null"#, Operation::Unknown(Value::Null)),
    ];
    edit(&home, |transaction| {
        let mut table = transaction.open_table(ROWS).unwrap();
        for (n, (operation, _)) in written.iter().enumerate() {
            let id = format!("out_{n:02}");
            let row = entry(&id, operation, r#","since_later":{"a":1}"#);
            table.insert(("chat", id.as_str()), row.as_bytes()).unwrap();
        }
    });
    let store = home.open();
    let read = store.outbox("chat", MAX_PAGE, None).unwrap();
    let read: Vec<_> = read.into_iter().map(|entry| entry.operation).collect();
    assert_eq!(read, written.map(|(_, operation)| operation));
    // What is not understood goes through the hands of the store unchanged.
    let dispatched = vec!["out_02".to_owned()];
    let receipt = store.commit_step(StepCommit { dispatched, ..step(vec![]) }).await.unwrap();
    let entry = receipt.outbox["out_02"].as_ref().unwrap();
    assert_eq!((entry.state, entry.attempt), (OutboxState::Sending, 1));
    assert_eq!(entry.operation, Operation::Unknown(json!({"Wave": {"hands": 2}})));
    assert_eq!(store.outbox("chat", 1, Some("out_01")).unwrap()[0], *entry);
}

#[tokio::test]
async fn a_store_without_the_index_of_sessions_gets_it_once() {
    let home = Home::new();
    let store = home.open();
    let minute = Duration::from_secs(60);
    let sweep = async || store.sweep_sessions(5 * minute, 60 * minute).await.unwrap();
    let idle = store.create_session(new_session("api")).await.unwrap().id;
    let ended = store.create_session(new_session("chat")).await.unwrap().id;
    store.terminate_session(&ended).await.unwrap();
    home.clock.advance(6 * minute);
    sweep().await;
    let active = store.create_session(new_session("chat")).await.unwrap().id;
    let waiting = store.create_session(new_session("api")).await.unwrap().id;
    store.accept_message(&waiting, store.new_message_id(), "hi".into()).await.unwrap();
    store.close().await;
    edit(&home, |transaction| {
        assert!(transaction.delete_table(crate::index::SESSION_INDEX).unwrap());
        transaction.open_table(META).unwrap().insert(VERSION, 1).unwrap();
        let hook = r#"{"hook":{"id":"hook_1","url":"https://a.example/","events":["*"],"active":true,"#
            .to_owned()
            + r#""created_at":"2026-03-21T10:00:00Z"},"secret":"s","waiting":0,"over":0}"#;
        transaction.open_table(HOOK_ROWS).unwrap().insert("hook_1", hook.as_bytes()).unwrap();
    });
    for _ in 0..2 {
        let store = home.open();
        let listed = |status, channel: Option<&str>| {
            let filter = SessionFilter { status, channel: channel.map(str::to_owned) };
            let page = store.sessions(&filter, 10, 0).unwrap();
            assert_eq!(page.total, page.items.len());
            page.items.into_iter().map(|session| session.id).collect::<Vec<_>>()
        };
        assert_eq!(listed(SessionStatus::Active, None), [active.clone(), waiting.clone()]);
        assert_eq!(listed(SessionStatus::Active, Some("chat")), std::slice::from_ref(&active));
        assert_eq!(listed(SessionStatus::Idle, None), std::slice::from_ref(&idle));
        assert_eq!(listed(SessionStatus::Terminated, Some("chat")), std::slice::from_ref(&ended));
        assert_eq!(store.active_sessions(Some("api")), 1);
        assert_eq!(store.turns_ready().next().await, waiting);
        assert_eq!(store.hooks().unwrap()[0].id, "hook_1");
        store.close().await;
    }
    let database = Database::create(home.path().join("prx.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    assert_eq!(transaction.open_table(META).unwrap().get(VERSION).unwrap().unwrap().value(), 2);
}
