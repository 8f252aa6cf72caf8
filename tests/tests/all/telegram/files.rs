//! Pictures and files that users send reach the model, and those that can't are named to it; what tools make for users
//! is sent to them.
use prx_tests::component::Component;
use prx_tests::gateway::Gateway;
use prx_tests::models::{Dialect, FakeModel};
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
async fn a_picture_reaches_the_vendors_models() {
    for dialect in Dialect::ALL {
        let (telegram, model) = (FakeTelegram::start().await, FakeModel::start(dialect).await);
        let gateway = Gateway::start(&model.config(&telegram.config(&["*"]))).await;
        telegram.send_file(1, "photo", ("harbour", "a picture of a harbour"), "what is this?");
        answers(&telegram, 1, 1).await;
        let asked = model.asked().pop().unwrap().body["messages"].to_string();
        assert!(asked.contains("YSBwaWN0dXJlIG9mIGEgaGFyYm91cg=="), "its bytes in base64: {asked}");
        assert!(asked.contains("what is this?") && asked.contains("image/jpeg"), "{asked}");
        assert_eq!(model.broken_rules(), Vec::<String>::new());
        gateway.stop().await;
    }
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

/// A gateway whose model calls these tools at once and then says so.
async fn making(telegram: &FakeTelegram, calls: &[Value], config: &str) -> Gateway {
    let calls: Vec<Value> =
        calls.iter().map(|arguments| json!({"call": {"name": "make", "arguments": arguments}})).collect();
    let script = json!([{"answers": [calls, [{"text": "There **you** are."}]]}]);
    let home = scripted::home(&script, &(telegram.config(&["*"]) + config));
    home.place_plugin("making", &Component::of("making").bytes());
    Gateway::start_in(home).await
}

#[tokio::test]
async fn files_that_tools_make_are_sent_with_the_reply() {
    let telegram = FakeTelegram::start().await;
    let picture =
        json!({"name": "harbour.png", "mime": "image/png", "text": "a harbour. ", "times": 200_000});
    let gateway = making(&telegram, &[picture, json!({"given": true})], "").await;
    telegram.send_file(1, "document", ("plan.txt", "the plan"), "draw me this");
    let sent = telegram.until("three files", |t| Some(t.sent()).filter(|sent| sent.len() >= 3)).await;
    gateway.stop().await;
    let file =
        |kind: &str, name: &str, content: &str| json!({"kind": kind, "name": name, "content": content});
    let said: Vec<_> = sent.iter().map(|sent| (sent.text.as_str(), &sent.file)).collect();
    assert_eq!(said[0], ("There you are.", &file("photo", "harbour.png", &"a harbour. ".repeat(200_000))));
    assert_eq!(said[1], ("", &file("document", "notes.txt", "some notes")));
    assert_eq!(said[2], ("", &file("document", "plan.txt", "the plan")), "what it was given can go back");
    assert_eq!(telegram.sent().len(), 3);
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_is_gone_by_then_is_named_in_the_reply() {
    let telegram = FakeTelegram::start().await;
    // There is room for two of them: the oldest has to go.
    let room = "[store]\nblobs_max_bytes = 1048576\n";
    let calls = [json!({"count": 2, "times": 40_000}), json!({"times": 40_000})];
    let gateway = making(&telegram, &calls, room).await;
    telegram.write(1, "three of them");
    let sent = telegram.until("two files", |t| Some(t.sent()).filter(|sent| sent.len() >= 2)).await;
    gateway.stop().await;
    let gone = sent[0].text.split_once("\n\n").map(|(text, line)| (text.to_owned(), line.to_owned()));
    let (text, line) = gone.unwrap();
    assert_eq!(text, "There you are.");
    assert_eq!(line, "[notes.txt could not be sent: it is no longer kept]");
    assert_eq!(sent.len(), 2);
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}
