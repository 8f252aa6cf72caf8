//! One-time codes: a page in a browser gets a token of its own.
use prx_tests::client::Client;
use prx_tests::gateway::Gateway;
use prx_tests::wait::until;
use serde_json::{Value, json};

async fn code(client: &Client) -> String {
    client.post("/auth/codes", json!({})).await.expect(201)["code"].as_str().unwrap().to_owned()
}

async fn exchange(client: &Client, code: &str) -> Value {
    client.with_token(None).post("/auth/exchange", json!({"code": code})).await.expect(201)
}

#[tokio::test]
async fn a_link_opens_the_page_once_with_a_token_that_ends_with_its_maker() {
    let gateway = Gateway::start("").await;
    let printed = gateway.home().run(&["console"]).await;
    let (link, said) = printed.stdout.split_once('\n').unwrap();
    let (page, linked) = link.split_once("#code=").unwrap();
    assert_eq!(page, format!("http://{}/console/", gateway.address()));
    assert!(said.contains("within a minute"), "{said}");
    let owners = exchange(gateway.client(), linked).await;
    assert_eq!((&owners["name"], &owners["scopes"]), (&json!("console"), &json!(["admin"])));
    let again = gateway.client().with_token(None).post("/auth/exchange", json!({"code": linked})).await;
    again.error(401, "unauthorized");

    // Someone with a smaller token gets one that is as small, and ends with it.
    let made = json!({"name": "reader", "scopes": ["status:read"], "expires_in": "1h"});
    let made = gateway.client().post("/auth/tokens", made).await.expect(201);
    let reader = gateway.client().with_token(made["token"].as_str());
    let token = exchange(&reader, &code(&reader).await).await;
    let page = gateway.client().with_token(token["token"].as_str());
    let shown = page.get("/auth/self").await.expect(200);
    let expected = json!({"id": token["id"], "name": "console", "scopes": ["status:read"], "expires_at": made["expires_at"]});
    assert_eq!(shown, expected);
    page.get("/status").await.expect(200);
    page.get("/sessions").await.error(403, "forbidden");
    let listed = gateway.client().get("/auth/tokens").await.expect(200);
    assert!(listed["tokens"].as_array().unwrap().iter().any(|listed| listed["id"] == token["id"]));
    let audit = gateway.client().get(&format!("/audit?target={}", token["id"].as_str().unwrap())).await;
    let entry = &audit.expect(200)["entries"][0];
    assert_eq!((&entry["action"], &entry["details"]["maker"]), (&json!("token.created"), &made["id"]));
    gateway.client().delete(&format!("/auth/tokens/{}", made["id"].as_str().unwrap())).await.expect(204);
    page.get("/status").await.error(401, "unauthorized");

    // Nobody without a token makes one, and guesses are told of.
    let anyone = gateway.client().with_token(None);
    anyone.post("/auth/codes", json!({})).await.error(401, "unauthorized");
    let guess = "A".repeat(43);
    anyone.post("/auth/exchange", json!({"code": guess})).await.error(401, "unauthorized");
    anyone.post("/auth/exchange", json!({})).await.error(400, "bad_request");
    until("guesses in the log", async || {
        gateway.output().says(&["requests without a valid token"]).then_some(())
    })
    .await;
    let log = gateway.output().lines().join("\n");
    for secret in [linked, &guess, token["token"].as_str().unwrap()] {
        assert!(!log.contains(secret), "no code and no token is in the log");
    }
}
