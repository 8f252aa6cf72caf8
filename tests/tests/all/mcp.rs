//! MCP servers: real ones on stdio, and one gateway calling another over HTTP.
use std::fs;
use std::path::Path;

use bytes::Bytes;
use hyper::Method;
use prx_tests::client::Client;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::wait::until;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_prx-test-mcp");

fn near(more: &str) -> String {
    format!("[mcp_servers.near]\ncommand = {SERVER:?}\n{more}")
}

async fn said(gateway: &Gateway, tool: &str, arguments: Value) -> String {
    let result = gateway.call_tool(tool, arguments).await.expect(200);
    assert_eq!(result["is_error"], false, "{result}");
    result["content"].as_str().unwrap().to_owned()
}

async fn process(gateway: &Gateway, tool: &str) -> Pid {
    Pid::from_raw(said(gateway, tool, json!({})).await.parse().unwrap()).unwrap()
}

async fn gone(pid: Pid) {
    until("the process to be gone", async || {
        // Without a parent that takes note, a killed process stays as a zombie.
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        (test_kill_process(pid).is_err() || stat.contains(") Z ")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_servers_tools_are_listed_and_called_over_the_api_and_in_a_turn() {
    let gateway = Gateway::start(&near("")).await;
    let near = gateway.mcp_connected("near").await;
    assert_eq!(near["transport"], "stdio");
    assert_eq!(
        near["tools"],
        json!(["echo", "env", "fail", "pid", "spawn", "grow", "flood", "garble", "wait", "draw"])
    );
    assert!(near["connected_at"].as_str().unwrap().ends_with('Z'), "{near}");
    assert!(near.get("error").is_none(), "{near}");

    let tools = gateway.client().get("/tools").await.expect(200);
    let echo = tools["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "near.echo").unwrap();
    assert_eq!(echo["source"], "mcp:near");
    assert_eq!((&echo["read_only"], &echo["description"]), (&json!(true), &json!("Does echo")));
    let result = gateway.call_tool("near.echo", json!({"text": "hi"})).await.expect(200);
    assert_eq!(result, json!({"content": "you said\nhi", "structured": {"text": "hi"}, "is_error": false}));
    let failed = gateway.call_tool("near.fail", json!({})).await.expect(200);
    assert_eq!(failed, json!({"content": "can't be done", "is_error": true}));
    gateway.call_tool("near.nothing", json!({})).await.error(404, "not_found");

    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let body = json!({"content": "/tool near.echo {\"text\": \"in a turn\"}"});
    let reply = gateway.client().post(&path, body).await.expect(200);
    assert!(reply["content"].as_str().unwrap().contains("you said\nin a turn"), "{reply}");

    assert_eq!(said(&gateway, "near.garble", json!({})).await, "caf\u{fffd}");
    assert!(gateway.output().says_soon(&["WARN", "mcp", "not UTF-8"]).await, "the operator is told");
    assert!(
        gateway.output().says_soon(&["INFO", "mcp", "Debug: garbling"]).await,
        "what is no message is a line of the log"
    );

    said(&gateway, "near.grow", json!({})).await;
    until("the new tool to be listed", async || {
        let near = gateway.mcp_server("near").await;
        near["tools"].as_array().unwrap().contains(&json!("grown")).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_killed_server_is_seen_and_comes_back_by_itself_and_when_asked() {
    let gateway = Gateway::start(&near("")).await;
    gateway.mcp_connected("near").await;
    let first = process(&gateway, "near.pid").await;
    kill_process(first, Signal::KILL).unwrap();
    let seen = until("the loss to be seen", async || {
        let near = gateway.mcp_server("near").await;
        (near["status"] != "connected").then_some(near)
    })
    .await;
    assert_eq!((&seen["tools"], seen.get("connected_at")), (&json!([]), None));
    assert!(seen["error"].as_str().unwrap().contains("signal: 9"), "{seen}");
    gateway.mcp_connected("near").await;
    let second = process(&gateway, "near.pid").await;
    assert_ne!(first, second);

    let answer = gateway.client().post("/mcp/near/reconnect", json!({})).await.expect(200);
    assert_eq!(answer, json!({"name": "near", "status": "reconnecting"}));
    gateway.client().post("/mcp/near/reconnect", json!({})).await.expect(200);
    gateway.mcp_connected("near").await;
    let third = process(&gateway, "near.pid").await;
    assert_ne!(second, third);
    gone(second).await;
    let unknown = gateway.client().post("/mcp/far/reconnect", json!({})).await;
    assert_eq!(unknown.error(404, "not_found"), "MCP server far not found");
    let listed = gateway.home().run(&["mcp", "list"]).await;
    assert!(listed.stdout.contains("near  stdio      connected"), "{}", listed.stdout);
    let asked = gateway.home().run(&["mcp", "reconnect", "near"]).await;
    assert_eq!((asked.code, &*asked.stdout), (Some(0), "reconnecting near\n"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_servers_whole_process_group_ends_with_the_gateway() {
    let gateway = Gateway::start(&near("")).await;
    gateway.mcp_connected("near").await;
    let (child, grandchild) = (process(&gateway, "near.pid").await, process(&gateway, "near.spawn").await);
    assert!(Path::new(&format!("/proc/{}", grandchild.as_raw_nonzero())).exists());
    gateway.stop().await;
    gone(child).await;
    gone(grandchild).await;
}

#[tokio::test]
async fn a_server_that_cant_be_started_says_why_and_stops_nothing() {
    let config = "[mcp_servers.lost]\ncommand = \"/nowhere/to/be/found\"\n\
                  [mcp_servers.torn]\ncommand = \"sh\"\nargs = [\"-c\", \"echo no such luck >&2; exit 3\"]\n\
                  [mcp_servers.shut]\nurl = \"http://127.0.0.1:1/mcp\"\n";
    let gateway = Gateway::start(config).await;
    let expected = [
        ("lost", "can't start /nowhere/to/be/found: No such file or directory"),
        ("torn", "the process ended (exit status: 3): no such luck"),
        ("shut", "http://127.0.0.1:1: Connection refused"),
    ];
    for (name, why) in expected {
        let error = until("the server to be given up for now", async || {
            Some(gateway.mcp_server(name).await["error"].as_str()?.to_owned())
        })
        .await;
        assert!(error.starts_with(why), "{name}: {error}");
    }
    let status = gateway.client().get("/status").await.expect(200);
    assert_eq!(status["status"], "degraded");
    assert!(status["issues"].to_string().contains("MCP server lost is not connected"), "{status}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_servers_environment_is_its_own_and_its_secrets_stay_out_of_the_log() {
    let home = Home::new("");
    let secret = home.path().join("token");
    fs::write(&secret, "canary-4711\n").unwrap();
    // As systemd hands a service its credentials.
    let credentials = home.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("held"), "canary-1812\n").unwrap();
    home.configure(&near(&format!(
        "env = {{ TOKEN = \"file:{}\", PLAIN = \"1\", HELD = \"file:held\", NAMED = \"file:$CREDENTIALS_DIRECTORY/held\" }}\n",
        secret.display()
    )));
    home.warm().await;
    let mut command = home.command(&["serve", "--port", "0"]);
    command.env("OTHERS_SECRET", "canary-0815").env("CREDENTIALS_DIRECTORY", credentials);
    let gateway = Gateway::launch(home, command).await;
    let token = gateway.home().run(&["auth", "token"]).await;
    let client = gateway.client().with_token(Some(token.stdout.trim()));
    let env = async |name: &str| {
        until("the server to answer", async || {
            let body = json!({"arguments": {"name": name}});
            let answer = client.post("/tools/near.env/call", body).await;
            (answer.status == 200).then(|| answer.expect(200)["content"].as_str().unwrap().to_owned())
        })
        .await
    };
    assert_eq!(env("TOKEN").await, "canary-4711");
    assert_eq!(env("PLAIN").await, "1");
    assert_eq!((&*env("HELD").await, &*env("NAMED").await), ("canary-1812", "canary-1812"));
    assert_eq!(env("OTHERS_SECRET").await, "not set");
    assert!(!env("PATH").await.is_empty());
    until("the server's words to be logged", async || {
        let lines = gateway.output().lines();
        lines
            .iter()
            .any(|line| line.contains("mcp::near") && line.contains("hello from the server"))
            .then_some(())
    })
    .await;
    assert!(!gateway.output().lines().iter().any(|line| line.contains("canary-4711")));
}

#[tokio::test]
async fn a_gateway_is_a_server_to_another_one_over_http() {
    let far = Gateway::start(&near("")).await;
    far.mcp_connected("near").await;
    let token = far.home().run(&["auth", "token", "--scope", "tools:write"]).await;
    let home = Home::new("");
    let secret = home.path().join("token");
    fs::write(&secret, token.stdout).unwrap();
    let (address, secret) = (far.address(), secret.display());
    let config = format!(
        "[mcp_servers.far]\nurl = \"http://{address}/mcp\"\nheaders = {{ authorization = \"Bearer file:{secret}\" }}\n\
         [mcp_servers.barred]\nurl = \"http://{address}/mcp\"\n"
    );
    home.configure(&config);
    let gateway = Gateway::start_in(home).await;
    let listed = gateway.mcp_connected("far").await;
    assert_eq!(listed["transport"], "http");
    assert!(listed["tools"].as_array().unwrap().contains(&json!("near__echo")), "{listed}");
    let result = gateway.call_tool("far.near__echo", json!({"text": "from afar"})).await.expect(200);
    assert_eq!(
        result,
        json!({"content": "you said\nfrom afar", "structured": {"text": "from afar"}, "is_error": false})
    );
    let file = json!({"data": "JVBERg==", "uri": "file:///a%20report.pdf"});
    let drawn = gateway.call_tool("far.near__draw", file).await.expect(200);
    let [report] = &drawn["attachments"].as_array().unwrap()[..] else { panic!("{drawn}") };
    assert_eq!((&report["name"], &report["size"]), (&json!("a report.pdf"), &json!(4)), "files come through");
    let failed = gateway.call_tool("far.near__fail", json!({})).await.expect(200);
    assert_eq!(failed, json!({"content": "can't be done", "is_error": true}));
    let barred = until("the server without a token to be refused", async || {
        Some(gateway.mcp_server("barred").await["error"].as_str()?.to_owned())
    })
    .await;
    assert!(barred.contains("401"), "{barred}");

    far.stop().await;
    let call = gateway.call_tool("far.near__echo", json!({})).await;
    assert!(call.status == 404 || call.expect(200)["is_error"] == true);
    let lost = until("the loss to be seen", async || {
        let far = gateway.mcp_server("far").await;
        (far["status"] != "connected").then_some(far)
    })
    .await;
    assert!(lost["error"].as_str().is_some_and(|error| !error.is_empty()), "{lost}");
}

#[tokio::test]
async fn the_gateways_own_server_speaks_plain_json_rpc() {
    let gateway = Gateway::start("").await;
    let rpc = async |client: &Client, body: Value| {
        let request = client
            .bare(Method::POST, "/mcp")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        client.send(request, Bytes::from(body.to_string())).await
    };
    let call = |id: u32, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let api = gateway.client();
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
    });
    let answer = rpc(api, call(1, "initialize", hello)).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let answer = answer.expect(200);
    assert_eq!(answer["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(answer["result"]["serverInfo"]["name"], "prx");
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(rpc(api, ready).await.status, 202);
    assert_eq!(rpc(api, call(2, "ping", json!({}))).await.expect(200)["result"], json!({}));
    let tools = rpc(api, call(3, "tools/list", json!({}))).await.expect(200);
    let listed = gateway.client().get("/tools").await.expect(200);
    let count = |tools: &Value| tools["tools"].as_array().unwrap().len();
    assert_eq!(count(&tools["result"]), count(&listed));
    let nothing = rpc(api, call(4, "tools/call", json!({"name": "nothing"}))).await.expect(200);
    assert_eq!(nothing["error"]["message"], "Tool nothing not found");

    rpc(&api.with_token(None), call(5, "ping", json!({}))).await.error(401, "unauthorized");
    let with_scope = async |scope: &str| {
        let token = gateway.home().run(&["auth", "token", "--scope", scope]).await;
        api.with_token(Some(token.stdout.trim()))
    };
    rpc(&with_scope("mcp:write").await, call(6, "ping", json!({}))).await.error(403, "forbidden");
    let recall = || call(7, "tools/call", json!({"name": "recall", "arguments": {"query": "x"}}));
    let reader = with_scope("tools:read").await;
    let tools = rpc(&reader, call(8, "tools/list", json!({}))).await.expect(200);
    assert_eq!(count(&tools["result"]), count(&listed), "reading is listing");
    let refused = rpc(&reader, recall()).await.expect(200);
    assert!(refused["error"]["message"].as_str().unwrap().contains("tools:write"), "{refused}");
    let called = rpc(&with_scope("tools:write").await, recall()).await.expect(200);
    assert!(called["result"]["content"].is_array(), "{called}");
    let get = api.send(api.bare(Method::GET, "/mcp"), Bytes::new()).await;
    get.error(405, "method_not_allowed");
    assert_eq!(get.headers["allow"], "POST");
}
