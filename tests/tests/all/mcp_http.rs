//! An MCP server over HTTP that dies and comes back, and how often a server is started when many ask for it.
use std::fs;
use std::net::TcpListener;

use futures_util::future::join_all;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::wait::until;
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_prx-test-mcp");

async fn becomes(gateway: &Gateway, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until("the server to stand as wanted", async || {
        Some(gateway.mcp_server(name).await).filter(|server| wanted(server))
    })
    .await
}

fn connected(server: &Value) -> bool {
    server["status"] == "connected"
}

/// A gateway as an MCP server at a port of its own, with the tools of a server on stdio.
async fn far(home: Home, port: u16) -> Gateway {
    home.warm().await;
    let command = home.command(&["serve", "--port", &port.to_string()]);
    Gateway::launch(home, command).await
}

async fn lost(gateway: &Gateway) {
    let failed = gateway.call_tool("far.near__echo", json!({})).await;
    assert!(failed.status == 404 || failed.expect(200)["is_error"] == true, "{failed}");
    let far = becomes(gateway, "far", |server| !connected(server) && server["error"].is_string()).await;
    assert_eq!((&far["tools"], far.get("connected_at")), (&json!([]), None));
    let tools = gateway.client().get("/tools").await.expect(200);
    assert!(!tools.to_string().contains("far."), "{tools}");
}

#[tokio::test]
async fn a_killed_server_over_http_comes_back_by_itself_and_when_asked() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let far_home = Home::new(&format!("[mcp_servers.near]\ncommand = {SERVER:?}\n"));
    let token = far_home
        .run(&["auth", "token", "--scope", "tools:write", "--scope", "tools:read", "--scope", "mcp:read"])
        .await
        .stdout;
    let home = Home::new("");
    let secret = home.path().join("token");
    fs::write(&secret, &token).unwrap();
    home.configure(&format!(
        "[mcp_servers.far]\nurl = \"http://127.0.0.1:{port}/mcp\"\nheaders = {{ authorization = \"Bearer file:{}\" }}\n\
         [rate_limits]\nenabled = false\n",
        secret.display()
    ));
    let up = async |home| {
        let mut far = far(home, port).await;
        far.sign_in(token.trim());
        becomes(&far, "near", connected).await;
        far
    };
    let there = up(far_home).await;
    let gateway = Gateway::start_in(home).await;
    becomes(&gateway, "far", connected).await;
    let session = gateway.open_session("ada").await;
    let said = json!({"content": "/tool far.near__echo {\"text\": \"from afar\"}"});
    let reply = gateway.client().post(&format!("/sessions/{session}/messages"), said).await.expect(200);
    assert!(reply["content"].as_str().unwrap().contains("from afar"), "{reply}");

    let far_home = there.kill();
    lost(&gateway).await;
    let there = up(far_home).await;
    becomes(&gateway, "far", connected).await;

    let far_home = there.kill();
    lost(&gateway).await;
    let _there = up(far_home).await;
    let asked = gateway.client().post("/mcp/far/reconnect", json!({})).await.expect(200);
    assert_eq!(asked, json!({"name": "far", "status": "reconnecting"}));
    becomes(&gateway, "far", connected).await;
    let answer = gateway.call_tool("far.near__echo", json!({"text": "again"})).await.expect(200);
    assert_eq!(answer["structured"], json!({"text": "again"}));
}

#[tokio::test]
async fn however_many_ask_there_is_one_attempt() {
    let gateway = Gateway::start(&format!("[mcp_servers.near]\ncommand = {SERVER:?}\n")).await;
    becomes(&gateway, "near", connected).await;
    let starts =
        || gateway.output().lines().iter().filter(|line| line.contains("hello from the server")).count();
    assert_eq!(starts(), 1);
    let asked = (0..30).map(|_| gateway.client().post("/mcp/near/reconnect", json!({})));
    for answer in join_all(asked).await {
        answer.expect(200);
    }
    becomes(&gateway, "near", connected).await;
    let pid = gateway.call_tool("near.pid", json!({})).await.expect(200);
    assert_eq!(pid["is_error"], false, "{pid}");
    assert!((2..=3).contains(&starts()), "thirty requests, {} starts", starts());
    gateway.stop().await;
}
