//! Channels over HTTP: how they stand, and how they are made to connect anew.

use prx_tests::gateway::Gateway;
use prx_tests::telegram::{FakeTelegram, Fault};
use prx_tests::wait::until;
use serde_json::{Value, json};

async fn connected(gateway: &Gateway) -> Value {
    until("the channel to be connected", async || {
        gateway.channel("telegram").await.filter(|channel| channel["status"] == "connected")
    })
    .await
}

#[tokio::test]
async fn a_restart_closes_before_it_connects() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start(&telegram.config(&["*"])).await;
    let before = connected(&gateway).await;
    for field in ["name", "status", "connected_at", "active_sessions", "since"] {
        assert!(!before[field].is_null(), "{field}: {before}");
    }
    assert!(before.get("error").is_none() && before.get("advice").is_none(), "all is well: {before}");
    for round in 0..3 {
        let restarted = gateway.client().post("/channels/telegram/restart", json!({})).await.expect(200);
        assert_eq!(restarted, json!({"name": "telegram", "status": "reconnecting"}));
        telegram.write(7, &format!("round {round}"));
    }
    telegram.until("three answers", |telegram| (telegram.sent_to(7).len() >= 3).then_some(())).await;
    until("a new connection", async || {
        let channel = gateway.channel("telegram").await?;
        (channel["status"] == "connected" && channel["connected_at"] != before["connected_at"]).then_some(())
    })
    .await;
    gateway.stop().await;
    assert_eq!(telegram.overlapping_polls(), 0, "one connection at a time");
    assert_eq!(telegram.sent_to(7).len(), 3, "nothing is answered twice");
}

#[tokio::test]
async fn health_is_what_the_platform_answered() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start(&telegram.config(&["*"])).await;
    connected(&gateway).await;
    let health = async || gateway.client().get("/channels/telegram/health").await.expect(200);
    let well = health().await;
    assert_eq!(well["healthy"], true);
    assert!(well["latency_ms"].is_u64(), "{well}");
    assert_eq!(well["last_message_at"], Value::Null);

    telegram.script("getUpdates", Fault::Refuse(401, "Unauthorized"));
    let path = "/channels/telegram/restart";
    gateway.client().post(path, json!({})).await.expect(200);
    gateway.client().post("/plugins/telegram/disable", json!({})).await.expect(200);
    until("the channel to be unwell", async || (health().await["healthy"] == false).then_some(())).await;
    until("the plugin to be gone from it", async || {
        (gateway.channel("telegram").await?["status"] == "disabled").then_some(())
    })
    .await;
    let refused = gateway.client().post(path, json!({})).await.error(409, "conflict");
    assert!(refused.contains("enable"), "{refused}");
}

#[tokio::test]
async fn a_channel_that_is_not_configured_is_not_found() {
    let gateway = Gateway::start("").await;
    let shown = gateway.client().get("/channels/nowhere/health").await.error(404, "not_found");
    assert!(shown.contains("nowhere"), "{shown}");
    gateway.client().post("/channels/nowhere/restart", json!({})).await.error(404, "not_found");
    for command in ["restart", "health"] {
        let said = gateway.home().run(&["channel", command, "nowhere"]).await;
        assert!(said.code == Some(1) && said.stderr.contains("nowhere"), "{said:?}");
    }
}

#[tokio::test]
async fn what_was_given_up_is_listed_replayed_and_discarded() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start(&telegram.config(&["*"])).await;
    for _ in 0..2 {
        telegram.script("sendMessage", Fault::Refuse(403, "Forbidden: bot was blocked by the user"));
    }
    telegram.write(1, "first");
    telegram.write(2, "second");
    let path = "/channels/telegram/dead-letters";
    let letters = until("two dead letters", async || {
        let answer = gateway.client().get(path).await.expect(200);
        let letters = answer["dead_letters"].as_array().unwrap().clone();
        (letters.len() == 2).then_some(letters)
    })
    .await;
    let of = |text: &str| {
        letters.iter().find(|letter| letter["text"].as_str().unwrap().contains(text)).unwrap().clone()
    };
    let (first, second) = (of("first"), of("second"));
    assert!(first["reason"].as_str().unwrap().contains("blocked by the user"), "{first}");
    assert_eq!((&first["operation"], &first["conversation"]), (&json!("send"), &json!("1")));

    let channel = gateway.channel("telegram").await.unwrap();
    assert_eq!(channel["status"], "connected", "the platform hears us: {channel}");
    let error = channel["last_error"].as_str().unwrap_or_default();
    assert!(error.contains("could not be delivered: Forbidden: bot was blocked by the user"), "{channel}");
    let issues = gateway.client().get("/status").await.expect(200)["issues"].to_string();
    assert!(issues.contains("channel telegram could not deliver 2 of its replies"), "{issues}");
    assert!(issues.contains("only that person can unblock the bot"), "{issues}");
    let doctor = gateway.home().run(&["doctor"]).await;
    assert!(doctor.stdout.contains("could not deliver 2 of its replies"), "{doctor:?}");

    let earlier = format!("{path}?before={}", letters[1]["id"].as_str().unwrap());
    let earlier = gateway.client().get(&earlier).await.expect(200);
    assert_eq!(earlier["dead_letters"], json!([letters[0]]));

    let replay = format!("{path}/{}/replay", first["id"].as_str().unwrap());
    let replayed = gateway.client().post(&replay, json!({})).await.expect(202);
    assert_ne!(replayed["id"], first["id"]);
    telegram.until("the message after all", |t| (t.sent_to(1).len() == 1).then_some(())).await;
    until("the issue to be gone", async || {
        let status = gateway.client().get("/status").await.expect(200);
        (!status["issues"].to_string().contains("could not deliver")).then_some(())
    })
    .await;
    gateway.client().post(&replay, json!({})).await.error(404, "not_found");

    let listed = gateway.home().run(&["channel", "dead-letters", "telegram"]).await;
    assert!(listed.stdout.contains("blocked by the user") && !listed.stdout.contains("first"), "{listed:?}");
    let id = second["id"].as_str().unwrap();
    let discarded = gateway.home().run(&["channel", "discard", "telegram", id]).await;
    assert_eq!(discarded.code, Some(0), "{discarded:?}");
    let left = gateway.client().get(path).await.expect(200);
    assert_eq!(left, json!({"dead_letters": []}));
    gateway.client().delete(&format!("{path}/{id}")).await.error(404, "not_found");
    gateway.client().get("/channels/nowhere/dead-letters").await.error(404, "not_found");
    gateway.stop().await;
    assert_eq!(telegram.sent_to(2), Vec::<String>::new());
}
