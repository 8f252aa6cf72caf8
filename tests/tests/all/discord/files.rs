//! Files that people send reach the agent, and files that it has for them reach the platform.
use prx_tests::component::Component;
use prx_tests::discord::{FakeDiscord, Fault};
use prx_tests::gateway::{Gateway, Home};
use prx_tests::scripted;
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

#[tokio::test]
async fn files_go_out_with_the_reply_and_one_that_is_too_large_is_named_in_it() {
    let discord = FakeDiscord::start().await;
    let file = |name: &str, mime: &str, text: &str, times: u32| {
        let arguments =
            json!({"name": name, "mime": mime, "text": text, "times": times, "given": name == "sea.png"});
        json!({"call": {"name": "make", "arguments": arguments}})
    };
    let calls = [
        file("sea.png", "image/png", "blue ", 500_000),
        file("film.mkv", "video/x-matroska", "x", (10 << 20) + 1),
        file("notes.txt", "text/plain", "some notes", 1),
    ];
    let script = json!([{"answers": [calls, [{"text": "There you are."}]]}]);
    let home = scripted::home(&script, &discord.config(&["*"]));
    home.place_plugin("making", &Component::of("making").bytes());
    let gateway = Gateway::start_in(home).await;
    discord.listening(0).await;
    discord.script("send", Fault::DropAfter);
    discord.write_with(1, "what is there?", json!({"attachments": [discord.file("cat.png", "image/png")]}));
    discord.until("the reply to be recognized", |d| (d.recognized() == 1).then_some(())).await;
    let said = messages(&gateway).await;
    gateway.stop().await;
    let [sent] = &discord.sent()[..] else { panic!("once: {discord:?}") };
    assert_eq!(
        sent.text,
        "There you are.\n[film.mkv could not be sent: it is larger than the platform takes]"
    );
    let file = |name: &str, content: &str| (name.to_owned(), content.to_owned());
    let (sea, cat) = ("blue ".repeat(500_000), FakeDiscord::content("cat.png"));
    assert_eq!(sent.files, [file("sea.png", &sea), file("cat.png", &cat), file("notes.txt", "some notes")]);
    let attached = said.last().unwrap()["attachments"].as_array().unwrap();
    assert_eq!(attached.len(), 4, "the API shows all of them: {said:?}");
    no_rule_broken(&discord);
}
