//! Pictures and files that users send reach the model, and those that can't are named to it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use prx_tests::gateway::Gateway;
use prx_tests::scripted;
use prx_tests::telegram::{FakeTelegram, Fault};
use serde_json::{Value, json};

use super::{answers, running};

/// What users have said, with what came along, once so many answers were sent.
async fn heard(telegram: &FakeTelegram, gateway: &Gateway, count: usize) -> Vec<Value> {
    answers(telegram, 1, count).await;
    let session = &gateway.sessions("telegram").await[0];
    let path = format!("/sessions/{}/messages", session["id"].as_str().unwrap());
    let messages = gateway.client().get(&path).await.expect(200)["messages"].as_array().unwrap().clone();
    messages.into_iter().filter(|message| message["role"] == "user").collect()
}

#[tokio::test]
async fn a_picture_and_a_file_reach_the_model_in_order() {
    let telegram = FakeTelegram::start().await;
    // The model says what it was given with the last message.
    let script =
        json!([{"when": "what", "answers": [[{"show": "request"}]]}, {"answers": [[{"text": "Yes."}]]}]);
    let gateway = Gateway::start_in(scripted::home(&script, &telegram.config(&["*"]))).await;
    telegram.send_file(1, "photo", ("harbour", "a picture of a harbour"), "what is this?");
    telegram.write(1, "and answer soon");
    telegram.send_file(1, "document", ("notes.txt", "some notes"), "");
    let said = heard(&telegram, &gateway, 3).await;
    let texts: Vec<_> = said.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(texts, ["what is this?", "and answer soon", ""], "what came later waited for the picture");
    let given = &telegram.sent_to(1)[0];
    assert!(given.contains(said[0]["attachments"][0]["blob"].as_str().unwrap()), "{given}");
    let (photo, document) = (&said[0]["attachments"][0], &said[2]["attachments"][0]);
    assert_eq!((&photo["kind"], &photo["size"]), (&json!("image"), &json!(22)), "{photo}");
    assert_eq!((&document["kind"], &document["name"]), (&json!("document"), &json!("notes.txt")));
    let blob = gateway.home().data().join("blobs").join(document["blob"].as_str().unwrap());
    assert_eq!(std::fs::read_to_string(blob).unwrap(), "some notes");
    gateway.stop().await;
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_can_not_be_had_is_named_to_the_model() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    telegram.script("getFile", Fault::Refuse(500, "Internal Server Error"));
    telegram.script("getFile", Fault::Refuse(400, "Bad Request: file is too big"));
    telegram.send_file(1, "document", ("film.mkv", "too much"), "see this");
    let said = heard(&telegram, &gateway, 1).await;
    let told = "see this\n[film.mkv could not be fetched: Bad Request: file is too big]";
    assert_eq!(said[0]["content"], told);
    assert_eq!(telegram.calls("getFile").len(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_being_fetched_survives_a_kill() {
    let telegram = FakeTelegram::start().await;
    let gateway = running(&telegram).await;
    telegram.script("getFile", Fault::Slow(std::time::Duration::from_secs(30)));
    let update = telegram.send_file(1, "photo", ("harbour", "a picture"), "what is this?");
    telegram.until("the file to be asked for", |t| (!t.calls("getFile").is_empty()).then_some(())).await;
    telegram.until("the update to be confirmed", |t| (t.confirmed() > update).then_some(())).await;
    let gateway = Gateway::start_in(gateway.kill()).await;
    let said = heard(&telegram, &gateway, 1).await;
    assert_eq!(
        (&said[0]["content"], &said[0]["attachments"][0]["size"]),
        (&json!("what is this?"), &json!(9))
    );
    gateway.stop().await;
    assert_eq!(telegram.sent_to(1).len(), 1);
}
