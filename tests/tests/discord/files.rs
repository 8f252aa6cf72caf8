//! Files that people send reach the agent, and files that it has for them reach the platform.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use prx_tests::discord::{FakeDiscord, Fault};
use prx_tests::gateway::{Gateway, Home};
use prx_tests::wait::until;
use redb::{Database, ReadableTable, TableDefinition};
use serde_json::{Value, json};

use super::{answered, listening, no_rule_broken};

/// Every message of the one session, in order.
async fn messages(gateway: &Gateway) -> Vec<Value> {
    let session = &gateway.sessions("discord").await[0];
    let path = format!("/sessions/{}/messages", session["id"].as_str().unwrap());
    gateway.client().get(&path).await.expect(200)["messages"].as_array().unwrap().clone()
}

fn blob(home: &Home, attachment: &Value) -> String {
    let path = home.data().join("blobs").join(attachment["blob"].as_str().unwrap());
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_picture_reaches_the_agent_and_a_file_that_is_gone_is_named_to_it() {
    let discord = FakeDiscord::start().await;
    let gateway = listening(&discord).await;
    let files = [discord.file("cat.png", "image/png"), discord.file("gone.txt", "text/plain; charset=utf-8")];
    discord.write_with(1, "look", json!({"attachments": files}));
    discord.write(1, "and answer soon");
    answered(&discord, 1, 2).await;
    let said = messages(&gateway).await;
    assert_eq!(said[0]["content"], "look\n[gone.txt could not be fetched: HTTP 404]", "{said:?}");
    assert_eq!(said[2]["content"], "and answer soon", "what came later waited: {said:?}");
    let [cat] = &said[0]["attachments"].as_array().unwrap()[..] else { panic!("{said:?}") };
    assert_eq!((&cat["kind"], &cat["name"]), (&json!("image"), &json!("cat.png")), "{cat}");
    assert_eq!(blob(gateway.home(), cat), FakeDiscord::content("cat.png"));
    gateway.stop().await;
    no_rule_broken(&discord);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_named_to_the_agent_and_a_document_is_one() {
    let discord = FakeDiscord::start().await;
    let home = Home::new(&(discord.config(&["*"]) + "[store]\nblob_max_bytes = 1024\n"));
    let gateway = Gateway::start_in(home).await;
    discord.listening(0).await;
    let large = discord.file("film.mkv", "video/x-matroska");
    discord.write_with(1, "see", json!({"attachments": [large, discord.file("a.pdf", "application/pdf")]}));
    answered(&discord, 1, 1).await;
    let said = messages(&gateway).await;
    let text = said[0]["content"].as_str().unwrap();
    assert!(text.starts_with("see\n[film.mkv could not be fetched: "), "{text}");
    assert!(text.contains("larger than it may be"), "{text}");
    let [document] = &said[0]["attachments"].as_array().unwrap()[..] else { panic!("{said:?}") };
    assert_eq!((&document["kind"], &document["name"]), (&json!("document"), &json!("a.pdf")));
    assert_eq!(blob(gateway.home(), document), FakeDiscord::content("a.pdf"));
    gateway.stop().await;
}

/// Replies that were given up, by channel and id.
const DEAD_LETTERS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("dead_letters");

/// Gives these files to the one reply that was given up. No agent sends files of itself yet.
fn enclose(home: &Home, files: &Value) -> String {
    let database = Database::open(home.data().join("prx.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(DEAD_LETTERS).unwrap();
    let (id, mut letter) = {
        let (key, row) = table.first().unwrap().unwrap();
        (key.value().1.to_owned(), serde_json::from_slice::<Value>(row.value()).unwrap())
    };
    letter["entry"]["operation"]["Send"]["attachments"] = files.clone();
    table.insert(("discord", id.as_str()), letter.to_string().as_bytes()).unwrap();
    drop(table);
    transaction.commit().unwrap();
    id
}

#[tokio::test]
async fn files_go_out_with_the_reply_and_one_that_is_too_large_is_named_in_it() {
    let discord = FakeDiscord::start().await;
    let gateway = listening(&discord).await;
    discord.script("send", Fault::Refuse(403, 50_007, "Cannot send messages to this user"));
    let files = [discord.file("cat.png", "image/png"), discord.file("notes.txt", "text/plain")];
    discord.write_with(1, "send them back", json!({"attachments": files}));
    until("the reply to be given up", async || {
        let letters = gateway.client().get("/channels/discord/dead-letters").await.expect(200);
        (letters["dead_letters"].as_array()?.len() == 1).then_some(())
    })
    .await;
    let said = messages(&gateway).await;
    let enclosed = |file: &Value, kind: &str, size: u64| json!({"blob": file["blob"], "kind": kind, "name": file["name"], "mime": file["mime"], "size": size});
    let (cat, notes) = (&said[0]["attachments"][0], &said[0]["attachments"][1]);
    let mut film = enclosed(cat, "Video", (10 << 20) + 1);
    film["name"] = json!("film.mkv");

    let home = gateway.stop().await;
    let id = enclose(&home, &json!([enclosed(cat, "Image", 18), film, enclosed(notes, "Document", 20)]));
    let gateway = Gateway::start_in(home).await;
    discord.script("send", Fault::DropAfter);
    let replay = format!("/channels/discord/dead-letters/{id}/replay");
    gateway.client().post(&replay, json!({})).await.expect(202);
    discord.until("the reply to be recognized", |d| (d.recognized() == 1).then_some(())).await;
    gateway.stop().await;
    let [sent] = &discord.sent()[..] else { panic!("once: {discord:?}") };
    assert!(sent.text.contains("send them back"), "{sent:?}");
    assert!(sent.text.ends_with("\n[film.mkv could not be sent: it is larger than the platform takes]"));
    let file = |name: &str| (name.to_owned(), FakeDiscord::content(name));
    assert_eq!(sent.files, [file("cat.png"), file("notes.txt")]);
    no_rule_broken(&discord);
}
