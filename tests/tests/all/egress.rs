//! The way out as the operator has it: through a proxy, and with authorities of his own.
use std::fs;

use prx_tests::gateway::{Gateway, Home};
use prx_tests::receiver::Receiver;
use prx_tests::wait::until;
use serde_json::{Value, json};

/// Asks for a test delivery, and waits for what comes of it.
async fn tested(gateway: &Gateway, hook: &str) -> Value {
    let test = gateway.client().post(&format!("/hooks/{hook}/test"), json!({})).await.expect(202);
    until("the delivery to be over", async || {
        let list = gateway.client().get(&format!("/hooks/{hook}/deliveries")).await.expect(200);
        let mut deliveries = list["deliveries"].as_array().unwrap().iter();
        deliveries.find(|one| one["id"] == test["id"] && one["status"] != "pending").cloned()
    })
    .await
}

/// The proxy is a receiver that takes requests for any host.
#[tokio::test]
async fn requests_go_through_the_proxy_of_the_environment_or_of_the_settings() {
    let proxy = Receiver::start().await;
    let address = proxy.url().replace("http://", "").replace("/webhook", "");
    let home = Home::new("");
    home.warm().await;
    let mut command = home.command(&["serve", "--port", "0"]);
    command.env("HTTP_PROXY", format!("http://me:s3cret@{address}"));
    let mut gateway = Gateway::launch(home, command).await;
    let token = gateway.home().run(&["auth", "token"]).await;
    gateway.sign_in(token.stdout.trim());
    let client = gateway.client();
    let hook = json!({"url": "http://receiver.test/in", "events": ["*"]});
    let hook = client.post("/hooks", hook).await.expect(201)["id"].as_str().unwrap().to_owned();
    let delivered = tested(&gateway, &hook).await;
    assert_eq!((&delivered["status"], proxy.received().len()), (&json!("delivered"), 1), "{delivered}");

    // The settings go before the environment, and are taken up at once.
    client.patch("/config", json!({"egress.proxy": "direct"})).await.expect(200);
    let failed = tested(&gateway, &hook).await;
    assert_eq!((&failed["status"], proxy.received().len()), (&json!("failed"), 1), "{failed}");
    let set = format!("http://me:s3cret@{address}");
    client.patch("/config", json!({"egress.proxy": set})).await.expect(200);
    assert_eq!(tested(&gateway, &hook).await["status"], "delivered");
    let shown = client.get("/config").await.expect(200);
    assert!(!shown.to_string().contains("s3cret"), "{}", shown["egress"]);

    let empty = gateway.home().path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    for (key, value, word) in [
        ("egress.proxy", "socks5://me:s3cret@a:1".to_owned(), "scheme socks5"),
        ("egress.ca_file", "/nowhere/ca.pem".to_owned(), "can't be read"),
        ("egress.ca_file", empty.display().to_string(), "has no certificate in it"),
    ] {
        let refused = client.patch("/config", json!({key: value})).await.error(400, "bad_request");
        assert!(refused.contains(key) && refused.contains(word) && !refused.contains("s3cret"), "{refused}");
    }
    assert_eq!(tested(&gateway, &hook).await["status"], "delivered", "what is refused changes nothing");
    assert!(!gateway.output().says(&["s3cret"]));
    gateway.stop().await;
}
