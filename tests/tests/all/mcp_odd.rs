//! MCP servers as they are in the field: slow ones, ones that know half of the protocol, ones that bend it. What is odd
//! about one takes away nothing else of it.
use std::fs;

use prx_tests::gateway::{Gateway, Home};
use prx_tests::mcp::{Site, process, text, tools};
use prx_tests::wait::until;
use serde_json::json;

const SERVER: &str = env!("CARGO_BIN_EXE_prx-test-mcp");

/// What servers say to who comes with a session that they forgot.
const FORGOTTEN: [(u16, &str); 4] = [
    (
        400,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#,
    ),
    (
        400,
        r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}"#,
    ),
    (404, "Session not found"),
    (400, ""),
];

async fn said(gateway: &Gateway, tool: &str) -> String {
    let answer = gateway.call_tool(tool, json!({})).await.expect(200);
    assert_eq!(answer["is_error"], false, "{tool}: {answer}");
    answer["content"].as_str().unwrap().to_owned()
}

fn over_http(name: &str, url: &str, more: &str) -> String {
    format!("[mcp_servers.{name}]\nurl = {url:?}\n{more}\n")
}

#[tokio::test]
async fn a_server_that_does_one_thing_after_the_other_is_not_taken_for_dead() {
    let home = Home::new("");
    // Longer than a ping and the wait for its answer.
    let slow = json!({
        "tools/list": [tools(&["nap", "stir"])],
        "tools/call:nap": [{"sleep_ms": 7000, "result": text("rested")["result"]}],
        "tools/call:stir": [{"notify": ["notifications/tools/list_changed"], "sleep_ms": 1000, "result": text("done")["result"]}],
    });
    let mute =
        json!({"tools/list": [tools(&["nap"])], "ping": [{"silent": true}], "tools/call": [text("here")]});
    let site = Site::start(slow.clone()).await;
    let quick = "ping_secs = 1";
    home.configure(&format!(
        "{}{}{}",
        process(&home, SERVER, "slow", &slow, quick),
        process(&home, SERVER, "mute", &mute, quick),
        over_http("far", &site.url(), quick)
    ));
    let gateway = Gateway::start_in(home).await;
    let mut since = Vec::new();
    for name in ["slow", "far", "mute"] {
        since.push(gateway.mcp_connected(name).await["connected_at"].clone());
    }
    let napped = tokio::join!(
        said(&gateway, "slow.nap"),
        said(&gateway, "far.nap"),
        said(&gateway, "slow.stir"),
        said(&gateway, "far.stir")
    );
    assert_eq!(napped, ("rested".into(), "rested".into(), "done".into(), "done".into()));
    assert!(
        gateway.output().says_soon(&["mcp::mute", "it is pinged no more"]).await,
        "{}",
        gateway.output().tail()
    );
    assert_eq!(said(&gateway, "mute.nap").await, "here");
    for (name, since) in ["slow", "far", "mute"].into_iter().zip(since) {
        let server = gateway.mcp_server(name).await;
        assert_eq!((&server["status"], &server["connected_at"]), (&json!("connected"), &since), "{server}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_odd_list_of_tools_is_read_as_far_as_it_can_be() {
    let home = Home::new("");
    let odd = json!({"tools": [
        {"name": "bare"}, {"name": "nothing", "inputSchema": null}, {"name": "anything", "inputSchema": true},
        {"description": "who am I?"}, {"name": "worded", "inputSchema": {"type": "string"}},
        {"name": "drafted", "inputSchema": {"type": "object", "properties": {
            "n": {"type": "integer", "minimum": 0, "exclusiveMinimum": true},
        }}},
        {"name": "plain", "description": "Does it", "inputSchema": {"type": "object"}},
    ], "nextCursor": ""});
    let circle = json!({"tools": [{"name": "again"}], "nextCursor": "here"});
    let modest = json!({"protocolVersion": "2025-06-18", "capabilities": {}});
    let scripts = [
        ("odd", json!({"tools/list": [{"result": odd}], "tools/call": [text("done")]}), ""),
        ("circle", json!({"tools/list": [{"result": circle}]}), ""),
        ("modest", json!({"initialize": [{"result": modest}], "tools/list": [tools(&["echo"])]}), ""),
        ("none", json!({"initialize": [{"result": modest}]}), ""),
        (
            "picked",
            json!({"tools/list": [tools(&["read_file", "write_file", "stat"])]}),
            "tools = [\"read_*\", \"stat\", \"sat\"]",
        ),
        ("lost", json!({"tools/list": [{"result": {"tools": "many"}}]}), ""),
    ];
    let config: String =
        scripts.iter().map(|(name, script, more)| process(&home, SERVER, name, script, more)).collect();
    home.configure(&config);
    let gateway = Gateway::start_in(home).await;
    let listed = [
        (
            "odd",
            json!(["bare", "nothing", "anything", "worded", "drafted", "plain"]),
            "1 of its tools have no name and are left out",
        ),
        ("circle", json!(["again", "again"]), "it lists the same page of its tools again and again"),
        ("modest", json!(["echo"]), ""),
        ("none", json!([]), ""),
        ("picked", json!(["read_file", "stat"]), "tools: \"sat\" is none of its tools"),
        ("lost", json!([]), "its answer to tools/list has no list of tools"),
    ];
    for (name, names, problem) in listed {
        let server = gateway.mcp_connected(name).await;
        assert_eq!(server["tools"], names, "{server}");
        assert!(server["problem"].as_str().unwrap_or_default().starts_with(problem), "{server}");
    }
    let tools = gateway.client().get("/tools").await.expect(200);
    let tool =
        |name: &str| tools["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == name).unwrap();
    for name in ["odd.bare", "odd.nothing", "odd.anything"] {
        assert_eq!(tool(name)["parameters"], json!({"type": "object"}));
    }
    assert_eq!(
        tool("odd.drafted")["parameters"]["properties"]["n"],
        json!({"type": "integer", "exclusiveMinimum": 0})
    );
    let problem = "its inputSchema is for the type \"string\"; the arguments of a tool are an object";
    assert_eq!(tool("odd.worded")["problem"], problem);
    assert_eq!(said(&gateway, "odd.bare").await, "done");
    let status = gateway.client().get("/status").await.expect(200);
    assert!(status["issues"].to_string().contains("tool odd.worded of mcp:odd is left out"), "{status}");
    gateway.stop().await;
}

#[tokio::test]
async fn what_cant_be_read_of_an_answer_costs_no_more_than_itself() {
    let home = Home::new("");
    let blocks = json!({"content": [{"type": "text", "text": "done"}, {"type": "video", "data": "AA=="}, {"type": "image"}]});
    let deep = format!("{{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}{}}}", "[".repeat(300), "]".repeat(300));
    let script = json!({
        "tools/list": [tools(&["mixed", "deep", "blunt", "long", "endless"])],
        "tools/call:mixed": [{"result": blocks, "error": null}],
        "tools/call:deep": [{"line": deep}],
        "tools/call:blunt": [{"error": "no such luck"}],
        "tools/call:long": [{"progress": {"times": 15, "every_ms": 400}, "result": text("at last")["result"]}],
        "tools/call:endless": [{"silent": true}],
    });
    let site = Site::start(script.clone()).await;
    let folder = home.path().join("work");
    fs::create_dir(&folder).unwrap();
    let quick = "timeout_secs = 5";
    home.configure(&format!(
        "{}{}[mcp_servers.lost]\ncommand = {SERVER:?}\ncwd = \"/nowhere/to/be/found\"\n\
         [mcp_servers.sulking]\ncommand = \"sh\"\nargs = [\"-c\", \"read line; echo '{{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":0,\\\"result\\\":{{}}}}'; cat > /dev/null\"]\n\
         [mcp_servers.here]\ncommand = \"sh\"\nargs = [\"-c\", \"echo it is $PWD >&2; exit 3\"]\ncwd = {folder:?}\n\
         [mcp_servers.late]\ncommand = \"sleep\"\nargs = [\"1000\"]\nstart_secs = 1\n",
        process(&home, SERVER, "near", &script, quick),
        over_http("far", &site.url(), quick)
    ));
    let gateway = Gateway::start_in(home).await;
    for name in ["near", "far"] {
        gateway.mcp_connected(name).await;
        let mixed = said(&gateway, &format!("{name}.mixed")).await;
        assert_eq!(
            mixed,
            "done\n[content of the kind video, which can't be shown here]\n\
             [content of the kind image: it can't be read, missing field `data`]"
        );
        let failed = async |tool: &str| {
            let answer = gateway.call_tool(&format!("{name}.{tool}"), json!({})).await.expect(200);
            assert_eq!(answer["is_error"], true, "{answer}");
            answer["content"].as_str().unwrap().to_owned()
        };
        assert_eq!(failed("blunt").await, "no such luck");
        assert_eq!(said(&gateway, &format!("{name}.long")).await, "at last", "progress renews the time");
    }
    let endless = gateway.call_tool("near.endless", json!({})).await.expect(200);
    assert_eq!(endless["content"], "near.endless did not answer within 5s (mcp_servers.near.timeout_secs)");
    let deep = gateway.call_tool("far.deep", json!({})).await.expect(200);
    assert!(deep["content"].as_str().unwrap().contains("recursion limit"), "{deep}");
    assert!(said(&gateway, "far.mixed").await.starts_with("done"), "the next call is answered");

    let expected = [
        ("lost", "can't start ", "cwd: /nowhere/to/be/found is no folder"),
        ("sulking", "its answer to initialize is none", ""),
        ("here", "the process ended (exit status: 3): it is ", "/work"),
        ("late", "no answer within 1 s (start_secs)", ""),
    ];
    for (name, begin, end) in expected {
        let error = until("the server to be given up for now", async || {
            Some(gateway.mcp_server(name).await["error"].as_str()?.to_owned())
        })
        .await;
        assert!(error.starts_with(begin) && error.ends_with(end), "{name}: {error}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_site_that_moved_or_forgot_is_served_all_the_same() {
    let home = Home::new("");
    let token = home.path().join("token");
    fs::write(&token, "canary-4711").unwrap();
    let site = Site::start(json!({"tools/list": [tools(&["echo"])], "tools/call": [text("here")]})).await;
    let away = site.url().replace("127.0.0.1", "localhost");
    let elsewhere =
        Site::start(json!({"initialize": [{"status": 308, "headers": {"location": away}}]})).await;
    let zipped = Site::start(
        json!({"initialize": [{"status": 403, "headers": {"content-encoding": "br"}, "line": "\u{1f}"}]}),
    )
    .await;
    let secret = format!("headers = {{ authorization = \"Bearer file:{}\" }}", token.display());
    home.configure(&format!(
        "{}{}{}{}{}[rate_limits]\nenabled = false\n",
        over_http("moved", &site.url().replace("/mcp", "/moved/mcp"), &secret),
        over_http("elsewhere", &elsewhere.url(), ""),
        over_http("old", &site.url().replace("/mcp", "/sse"), &secret),
        over_http("zipped", &zipped.url(), ""),
        over_http("secretive", &zipped.url(), &secret),
    ));
    let gateway = Gateway::start_in(home).await;
    gateway.mcp_connected("moved").await;
    assert_eq!(said(&gateway, "moved.echo").await, "here");
    assert!(
        site.seen().iter().all(|seen| seen.contains("canary-4711") && seen.contains("identity")),
        "{:?}",
        site.seen()
    );
    gateway.mcp_connected("old").await;
    assert_eq!(said(&gateway, "old.echo").await, "here");
    let begun = site.asked("initialize") + 1;
    for (count, (status, body)) in (begun..).zip(FORGOTTEN) {
        site.forget(status, body);
        assert_eq!(said(&gateway, "moved.echo").await, "here", "after {status} {body}");
        assert_eq!(site.asked("initialize"), count, "one new session");
    }
    let expected = [
        (
            "elsewhere",
            format!(
                "HTTP 308 Permanent Redirect: it redirects to another origin; if that is right, set url to {away}"
            ),
        ),
        ("zipped", "HTTP 403 Forbidden, and its body is in br, which was not asked for".into()),
        ("secretive", "HTTP 403 Forbidden".into()),
    ];
    for (name, why) in expected {
        let error = until("the server to be refused", async || {
            Some(gateway.mcp_server(name).await["error"].as_str()?.to_owned())
        })
        .await;
        assert_eq!(error, why, "{name}");
    }
    gateway.stop().await;
}
