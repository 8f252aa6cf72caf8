//! Images and files: from a platform into the store, to a model, and back to a platform.
use std::fs;
use std::os::unix::fs::PermissionsExt;

use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::origin::Origin;
use prx_tests::scripted;
use prx_tests::wait::until;
use serde_json::{Value, json};

/// A platform with one message and its file, and a gateway that is connected to it.
async fn connected(file: &str, script: &Value, config: &str) -> (Origin, Gateway) {
    let platform = Origin::start().await;
    platform.answer("/message", json!({"text": "what is this?", "file": "/files/1"}));
    platform.answer("/files/1", json!(file));
    let home = scripted::home(
        script,
        &format!("[channels_config.carrying]\nbase = {:?}\nkey = \"sesame\"\n{config}", platform.url()),
    );
    home.place_plugin("carrying", &Component::of("carrying").bytes());
    (platform, Gateway::start_in(home).await)
}

/// The one message that came in by the channel.
async fn arrived(gateway: &Gateway) -> Value {
    until("the message to arrive", async || {
        let session = gateway.sessions("carrying").await.pop()?;
        let path = format!("/sessions/{}/messages", session["id"].as_str().unwrap());
        gateway.client().get(&path).await.expect(200)["messages"].as_array()?.first().cloned()
    })
    .await
}

async fn sent_to(platform: &Origin, path: &str) -> String {
    let body = until("something to be sent", async || platform.sent(path)).await;
    String::from_utf8(body.to_vec()).unwrap()
}

fn files(home: &Home) -> Vec<fs::DirEntry> {
    fs::read_dir(home.data().join("blobs")).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_file_goes_to_the_model_and_back_to_the_platform() {
    let picture = "a picture of a harbour. ".repeat(200_000);
    let script = json!([{"answers": [[{"show": "request"}]]}]);
    let (platform, gateway) = connected(&picture, &script, "").await;

    let message = arrived(&gateway).await;
    let stored = json!(picture).to_string();
    let attachments = message["attachments"].as_array().unwrap();
    let attachment = &attachments[0];
    assert_eq!(attachments.len(), 1, "what the channel never had is left out: {message}");
    assert_eq!((&attachment["kind"], &attachment["name"]), (&json!("image"), &json!("harbour.png")));
    assert_eq!(attachment["size"], stored.len(), "the store knows better than the connector");

    let blob = attachment["blob"].as_str().unwrap();
    let saved = gateway.home().run(&["session", "save", blob, "got.png"]).await;
    assert_eq!(saved.code, Some(0), "{saved:?}");
    assert_eq!(fs::read_to_string(gateway.home().path().join("got.png")).unwrap(), stored);
    let again = gateway.home().run(&["session", "save", blob, "got.png"]).await;
    assert!(again.code == Some(1) && again.stderr.contains("got.png: File exists"), "{again:?}");
    let none = gateway.home().run(&["session", "save", "blob_none"]).await;
    assert!(none.code == Some(1) && !gateway.home().path().join("blob_none").exists(), "{none:?}");

    let said: String = serde_json::from_str(&sent_to(&platform, "/said").await).unwrap();
    let request: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(request["messages"][0]["attachments"][0]["blob"], attachment["blob"], "{request}");
    assert_eq!(sent_to(&platform, "/upload").await, format!("<sesame{stored}>"));

    let kept = files(gateway.home());
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(kept[0].file_name().to_str(), attachment["blob"].as_str());
}

#[tokio::test]
async fn only_what_a_call_was_given_can_be_read() {
    let (platform, gateway) = connected("a lighthouse", &json!([{"answers": [[{"text": "Hm."}]]}]), "").await;
    let blob = arrived(&gateway).await["attachments"][0]["blob"].as_str().unwrap().to_owned();
    assert_eq!(sent_to(&platform, "/said").await, "\"Hm.\"");

    // From here on the model looks into that file, wherever it is asked.
    let script = json!([{"answers": [[{"show": {"blob": blob}}]]}]);
    let changes = json!({"providers_config.scripted.script": script.to_string()});
    gateway.client().patch("/config", changes).await.expect(200);
    let ask = async |session: &str| {
        let path = format!("/sessions/{session}/messages");
        gateway.client().post(&path, json!({"content": "and now?"})).await
    };
    let session = gateway.sessions("carrying").await[0]["id"].as_str().unwrap().to_owned();
    let answer = ask(&session).await.expect(200);
    assert_eq!(answer["content"], "\"a lighthouse\"", "in its own conversation the file is there");
    let elsewhere = ask(&gateway.open_session("eve").await).await;
    assert!(elsewhere.to_string().contains("was not given the blob"), "{elsewhere}");
}

#[tokio::test]
async fn a_file_that_is_too_large_or_missing_is_told_and_leaves_nothing() {
    let script = json!([{"answers": [[{"text": "Hm."}]]}]);
    let large = "x".repeat(4096);
    let (platform, gateway) = connected(&large, &script, "[store]\nblob_max_bytes = 2048\n").await;
    let reason = sent_to(&platform, "/failed/2").await;
    assert!(reason.contains("larger than it may be"), "{reason}");
    assert!(files(gateway.home()).is_empty());

    platform.answer("/message", json!({"text": "and this?", "file": "/files/2"}));
    gateway.client().post("/channels/carrying/restart", json!({})).await.expect(200);
    let message = arrived(&gateway).await;
    assert_eq!(message["attachments"], Value::Null, "{message}");
    let reason = sent_to(&platform, "/failed/3").await;
    assert!(reason.contains("no such path"), "the platform's own words: {reason}");
}

#[tokio::test]
async fn files_outlive_a_kill() {
    let (platform, gateway) = connected("a gull", &json!([{"answers": [[{"text": "Hm."}]]}]), "").await;
    let blob = arrived(&gateway).await["attachments"][0]["blob"].as_str().unwrap().to_owned();
    let home = gateway.kill();
    let partial = home.data().join("blobs").join("blob_01half.partial");
    fs::write(&partial, "half a file").unwrap();
    let gateway = Gateway::start_in(home).await;
    assert!(!partial.exists(), "what was being written when it ended is gone");
    assert_eq!(arrived(&gateway).await["attachments"][0]["blob"], blob.as_str());
    assert_eq!(fs::read(gateway.home().data().join("blobs").join(&blob)).unwrap(), b"\"a gull\"");
    drop(platform);
}
