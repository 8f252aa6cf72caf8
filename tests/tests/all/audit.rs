//! Who did what: the audit log, and what a line of the access log says.
use std::fs;

use bytes::Bytes;
use hyper::Method;
use prx_tests::client::Answer;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::wait::until;
use serde_json::{Value, json};

const CANARY: &str = "canary-of-a-secret";

/// Asks with what a proxy and a program say of themselves.
async fn ask(
    gateway: &Gateway,
    method: Method,
    path: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> Answer {
    let request = gateway.client().request(method, path).header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    gateway.client().send(request, body.to_string().into()).await
}

async fn entries(gateway: &Gateway, query: &str) -> Vec<Value> {
    let page = gateway.client().get(&format!("/audit?limit=500{query}")).await.expect(200);
    page["entries"].as_array().unwrap().clone()
}

/// What an administrator has done: the ids of a hook and of a token, and the token itself.
struct Done {
    hook: String,
    reader: String,
    auditor: String,
}

/// Does something of everything, and last of all revokes the token that it is done with.
async fn administer(gateway: &Gateway, admin: &str) -> Done {
    let hook =
        json!({"url": format!("https://example.com/{CANARY}?k={CANARY}"), "events": ["*"], "secret": CANARY});
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let said = [("x-request-id", "lb-7/1"), ("user-agent", "probe/1.0"), ("traceparent", trace)];
    let made = ask(gateway, Method::POST, "/hooks", &hook, &said).await;
    assert_eq!(made.headers["x-request-id"], "lb-7/1");
    let hook = made.expect(201)["id"].as_str().unwrap().to_owned();
    let forged = [("x-request-id", "a b\"c")];
    let fresh =
        ask(gateway, Method::PATCH, &format!("/hooks/{hook}"), &json!({"active": false}), &forged).await;
    assert!(
        fresh.headers["x-request-id"].to_str().unwrap().starts_with("req_"),
        "an id that is none is not taken over"
    );
    let client = gateway.client();
    let changes = json!({"agent.system_prompt": CANARY, "agent.max_turns": 7});
    client.patch("/config", changes).await.expect(200);
    client.post("/plugins/skills/disable", json!({})).await.expect(200);
    client.post("/plugins/skills/enable", json!({})).await.expect(200);
    let grants = json!({"http": ["https://example.com"]}).to_string();
    client.upload(Method::PUT, "/plugins/skills/grants", "application/json", grants).await.expect(200);
    client.patch("/config", json!({"agent.max_turns": "many"})).await.error(400, "bad_request");
    let token =
        client.post("/auth/tokens", json!({"name": "ci", "scopes": ["audit:read"]})).await.expect(201);
    let (auditor, reader) = (token["token"].as_str().unwrap(), token["id"].as_str().unwrap().to_owned());
    gateway.home().run(&["hook", "remove", &hook]).await;
    client.delete(&format!("/auth/tokens/{admin}")).await.expect(204);
    Done { hook, reader, auditor: auditor.to_owned() }
}

#[tokio::test]
async fn who_changed_what_is_written_down_and_outlives_a_kill() {
    let gateway = Gateway::start("").await;
    let admin = entries(&gateway, "&action=token").await.remove(0);
    assert_eq!(
        (&admin["actor"], &admin["action"], &admin["token_id"]),
        (&json!("owner"), &json!("token.created"), &Value::Null)
    );
    let admin = admin["target"].as_str().unwrap().to_owned();
    let Done { hook, reader, auditor } = administer(&gateway, &admin).await;

    // Directly behind the answer there is nothing but a kill.
    let mut gateway = Gateway::start_in(gateway.kill()).await;
    gateway.sign_in(&auditor);
    let all = entries(&gateway, "").await;
    let told = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
        [text("actor"), text("action"), text("target")].join(" ")
    };
    let mut told: Vec<_> = all.iter().map(told).collect();
    told.reverse();
    told.retain(|line| !line.starts_with("owner token."));
    let expected = [
        format!("token hook.created {hook}"),
        format!("token hook.changed {hook}"),
        "token config.updated ".into(),
        "token plugin.disabled skills".into(),
        "token plugin.enabled skills".into(),
        "token grants.replaced skills".into(),
        format!("token token.created {reader}"),
        format!("owner hook.removed {hook}"),
        format!("token token.revoked {admin}"),
    ];
    assert_eq!(told, expected);
    let created = entries(&gateway, &format!("&action=hook.created&token_id={admin}")).await.remove(0);
    assert_eq!((&created["address"], &created["request_id"]), (&json!("127.0.0.1"), &json!("lb-7/1")));
    assert_eq!(created["details"]["origin"], "https://example.com");
    let updated = entries(&gateway, "&action=config").await.remove(0);
    assert_eq!(updated["details"]["keys"], json!(["agent.max_turns", "agent.system_prompt"]));
    assert!(!json!(all).to_string().contains(CANARY), "no secret, and no value of a setting");
    assert_eq!(entries(&gateway, &format!("&target={hook}")).await.len(), 3);
    gateway.client().get("/hooks").await.error(403, "forbidden");
    let newest = gateway.client().get("/audit?limit=1").await.expect(200);
    let next = newest["next"].as_str().unwrap();
    assert_eq!(entries(&gateway, &format!("&before={next}")).await, all[1..]);
    let listed = gateway.home().run(&["audit", "--action", "hook", "--limit", "2"]).await;
    assert!(
        listed.stdout.contains("hook.removed") && listed.stdout.contains("--before aud_"),
        "{}",
        listed.stdout
    );
}

#[tokio::test]
async fn an_edit_of_a_file_is_written_down_as_one() {
    let watching = "[plugins]\nwatch = true\n[rate_limits]\nenabled = false\n";
    let home = Home::empty();
    home.configure(watching);
    home.place_plugin("edited", &Component::hostile("edited", "").bytes());
    let gateway = Gateway::start_in(home).await;
    let plugins = async |gateway: &Gateway| {
        let all = entries(gateway, "&target=edited").await;
        let told = |entry: &Value| format!("{} {}", entry["actor"], entry["action"]).replace('"', "");
        all.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(plugins(&gateway).await, ["file plugin.installed"]);
    // The same once more is no change, also over a start.
    let gateway = gateway.restart().await;
    gateway.client().post("/plugins/edited/reload", json!({})).await.expect(200);
    assert_eq!(plugins(&gateway).await, ["token plugin.reloaded", "file plugin.installed"]);
    let other = Component::hostile("edited", "[limits]\ndeadline = \"2s\"\n").bytes();
    gateway.home().place_plugin("edited", &other);
    until("the file to be taken up", async || {
        (plugins(&gateway).await[0] == "file plugin.replaced").then_some(())
    })
    .await;
    fs::remove_file(gateway.home().plugin_file("edited")).unwrap();
    until("the end of the file to be noticed", async || {
        (plugins(&gateway).await[0] == "file plugin.removed").then_some(())
    })
    .await;
    assert_eq!(plugins(&gateway).await.len(), 4);

    gateway.home().configure(&format!("[agent]\nmax_turns = 9\n{watching}"));
    let edited =
        until("the edit to be taken up", async || entries(&gateway, "&action=config").await.pop()).await;
    assert_eq!((&edited["actor"], &edited["details"]["keys"]), (&json!("file"), &json!(["agent.max_turns"])));
}

/// What an operator reads who looks for a caller, and what a flood of strangers and probes does to that.
#[tokio::test]
async fn a_line_says_who_called_and_a_flood_is_one_line() {
    let home = Home::new("");
    let config = fs::read_to_string(home.path().join("prx.toml")).unwrap();
    home.configure(&config.replace("enabled = false", "enabled = true\nother = 1000"));
    let gateway = Gateway::start_in(home).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let said = [("user-agent", "probe/1.0\u{e9}"), ("traceparent", &*parent), ("x-request-id", "known")];
    ask(&gateway, Method::GET, "/hooks", &json!({}), &said).await.expect(200);
    let token = entries(&gateway, "&action=token").await[0]["target"].as_str().unwrap().to_owned();
    let line = [
        "request_id=\"known\"",
        "address=127.0.0.1",
        &format!("caller={token:?}"),
        "user_agent=\"probe/1.0\"",
        trace,
    ];
    until("the line", async || gateway.output().says(&line).then_some(())).await;
    gateway.home().run(&["status"]).await;
    until("the owner's line", async || {
        gateway.output().says(&["route=\"/api/v1/status\"", "caller=\"owner\""]).then_some(())
    })
    .await;

    let stranger = gateway.client().with_token(Some("prx_01_wrong"));
    for _ in 0..40 {
        stranger.get("/sessions").await.error(401, "unauthorized");
        gateway.client().get("/status/health").await.expect(200);
        let probe = gateway.client().bare(Method::GET, "/livez");
        gateway.client().send(probe, Bytes::new()).await.expect(200);
    }
    gateway.metrics().await;
    let sum = until("the sum", async || {
        let lines = gateway.output().lines();
        lines.iter().find(|line| line.contains("requests without a valid token, from 1 addresses")).cloned()
    })
    .await;
    assert!(sum.contains("first_address=\"127.0.0.1\"") && sum.contains("WARN"), "{sum}");
    let noisy = |word: &str| gateway.output().says(&[word]);
    for word in ["/livez\"", "/status/health\"", "route=\"/metrics\"", "status=401", "status=429"] {
        assert!(!noisy(word), "{word}");
    }
    let refused =
        until("the refused in the audit log", async || entries(&gateway, "&action=auth").await.pop()).await;
    assert_eq!((&refused["actor"], &refused["action"]), (&json!("anyone"), &json!("auth.refused")));
    assert!(refused["details"]["requests"].as_u64() > Some(0), "{refused}");
}
