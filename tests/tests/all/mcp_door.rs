//! The gateway's own MCP server, as the clients that there are speak to it.
use std::collections::BTreeSet;
use std::fs;

use bytes::Bytes;
use hyper::Method;
use hyper::http::request::Builder;
use prx_tests::client::{Answer, Client};
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::wait::{TEST_TIMEOUT, until};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

const SERVER: &str = env!("CARGO_BIN_EXE_prx-test-mcp");
/// What the server says when a call of it waits, and when that is cancelled.
const WAITS: &str = "a call waits";
const CANCELLED: &str = "the call is cancelled";
const BOTH: &str = "application/json, text/event-stream";

fn near(more: &str) -> String {
    format!("[mcp_servers.near]\ncommand = {SERVER:?}\n{more}")
}

fn message(id: u32, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn call(id: u32, name: &str, arguments: Value) -> Value {
    message(id, "tools/call", json!({"name": name, "arguments": arguments}))
}

/// A POST to the door, in the session if there is one.
fn post(client: &Client, session: Option<&str>) -> Builder {
    let request = client.bare(Method::POST, "/mcp").header("content-type", "application/json");
    let request = request.header("accept", BOTH);
    session.into_iter().fold(request, |request, session| request.header("mcp-session-id", session))
}

async fn rpc(client: &Client, body: Value) -> Answer {
    client.send(post(client, None), body.to_string().into()).await
}

/// The text of a result, and whether it is an error.
#[track_caller]
fn result(answer: &Value) -> (String, bool) {
    let result = &answer["result"];
    let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (text, result["isError"] == true)
}

/// The names that `tools/list` has, by what they are called by people.
async fn names(gateway: &Gateway) -> Vec<(String, String)> {
    let answer = rpc(gateway.client(), message(1, "tools/list", json!({}))).await.expect(200);
    let text = |tool: &Value, key: &str| tool[key].as_str().unwrap_or_else(|| panic!("{tool}")).to_owned();
    let tools = answer["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| (text(tool, "title"), text(tool, "name"))).collect()
}

#[tokio::test]
async fn every_client_takes_every_name_and_a_name_stays_its_tools() {
    let home = Home::new("");
    let file = home.path().join("tools.json");
    let long = "x".repeat(100);
    let odd = ["fs.read", "fs_read", "fs__read", "fs/read", "näher", "near__echo", &long];
    let schema = json!({"type": "object"});
    let tools: Vec<Value> = odd.iter().map(|name| json!({"name": name, "inputSchema": schema})).collect();
    fs::write(&file, json!(tools).to_string()).unwrap();
    home.configure(&near(&format!("env = {{ TOOLS = {file:?} }}\n[rate_limits]\nenabled = false\n")));
    let gateway = Gateway::start_in(home).await;
    gateway.mcp_connected("near").await;
    let first = names(&gateway).await;
    let shown: BTreeSet<&String> = first.iter().map(|(_, name)| name).collect();
    assert_eq!(shown.len(), first.len(), "no two are the same: {first:?}");
    for name in &shown {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        assert!((1..=64).contains(&name.len()) && name.chars().all(fits), "{name}");
    }
    let own =
        |name: &str| first.iter().find(|(own, _)| own == name).unwrap_or_else(|| panic!("{name}: {first:?}"));
    assert_eq!((&*own("near.echo").1, &*own("recall").1), ("near__echo", "recall"));
    for name in odd {
        let (_, shown) = own(&format!("near.{name}"));
        let answer = rpc(gateway.client(), call(2, shown, json!({}))).await.expect(200);
        assert_eq!(result(&answer), (format!("{name} was called"), false), "{shown}");
    }
    // By its own name a tool is called, too.
    let answer = rpc(gateway.client(), call(3, "near.fs.read", json!({}))).await.expect(200);
    assert_eq!(result(&answer).0, "fs.read was called");

    // Others come and go, and a name stays whose it was.
    rpc(gateway.client(), call(4, "near__grow", json!({}))).await.expect(200);
    let grown = until("the tool that is new", async || {
        let now = names(&gateway).await;
        (now.len() > first.len()).then_some(now)
    })
    .await;
    assert_eq!(grown.iter().filter(|one| first.contains(one)).count(), first.len(), "{grown:?}");
    let home = gateway.stop().await;
    let gateway = Gateway::start_in(home).await;
    gateway.mcp_connected("near").await;
    assert_eq!(names(&gateway).await, first, "over a restart");
    gateway.stop().await;
}

/// How often the server said a line.
fn times(gateway: &Gateway, said: &str) -> usize {
    gateway.output().lines().iter().filter(|line| line.contains(said)).count()
}

async fn said_times(gateway: &Gateway, said: &str, count: usize) {
    until("the server to say it", async || (times(gateway, said) == count).then_some(())).await;
}

#[tokio::test]
async fn a_call_ends_when_its_client_cancels_it_or_hangs_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", silent.local_addr().unwrap());
    let home = Home::new("");
    let manifest = format!(
        "[plugin]\nname = \"reaching\"\nversion = \"1.0.0\"\ndescription = \"\"\n[permissions]\nkv = \"64KiB\"\nhttp = [{origin:?}]\n"
    );
    home.place_plugin("reaching", &Component::of("reaching").with_manifest(&manifest).bytes());
    home.configure(&format!(
        "{}[grants.reaching]\nkv = \"64KiB\"\nhttp = [{origin:?}]\n[rate_limits]\nenabled = false\n",
        near("")
    ));
    let gateway = Gateway::start_in(home).await;
    gateway.mcp_connected("near").await;
    let client = gateway.client();
    let wait = |session: Option<&'static str>| {
        let client = client.clone();
        let body = call(7, "near__wait", json!({})).to_string();
        tokio::spawn(async move { client.send(post(&client, session), body.into()).await })
    };
    let cancel = async |session: Option<&str>, id: u32| {
        let body =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
        let answer = client.send(post(client, session), body.to_string().into()).await;
        assert_eq!((answer.status, answer.body.len()), (202, 0), "{answer}");
    };
    let (one, other) = (wait(Some("one")), wait(Some("other")));
    said_times(&gateway, WAITS, 2).await;
    cancel(Some("one"), 8).await;
    cancel(Some("one"), 7).await;
    let answer = one.await.unwrap().expect(200);
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(7), &json!(-32800)), "{answer}");
    said_times(&gateway, CANCELLED, 1).await;
    assert!(!other.is_finished(), "it has the same id, in another session");
    other.abort();
    said_times(&gateway, CANCELLED, 2).await;
    // Without a session, too.
    let alone = wait(None);
    said_times(&gateway, WAITS, 3).await;
    cancel(None, 7).await;
    alone.await.unwrap().expect(200);
    said_times(&gateway, CANCELLED, 3).await;

    a_components_request_ends(client, &silent).await;
    it_ends_through_a_further_gateway(&gateway).await;
    gateway.stop().await;
}

/// Of a component, the request that it waits for ends.
async fn a_components_request_ends(client: &Client, silent: &TcpListener) {
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let fetch = call(9, "fetch", json!({"url": url})).to_string();
    let fetching = client.clone();
    let fetching = tokio::spawn(async move { fetching.send(post(&fetching, None), fetch.into()).await });
    let (mut asked, _) = timeout(TEST_TIMEOUT, silent.accept()).await.expect("it asks").unwrap();
    assert!(asked.read(&mut [0; 1 << 10]).await.unwrap() > 0);
    fetching.abort();
    let rest = timeout(TEST_TIMEOUT, asked.read_to_end(&mut Vec::new())).await;
    assert!(!matches!(rest.expect("its connection ends"), Ok(1..)));
}

/// And through a further gateway, which is a client itself.
async fn it_ends_through_a_further_gateway(gateway: &Gateway) {
    let (waits, cancelled) = (times(gateway, WAITS), times(gateway, CANCELLED));
    let token = gateway.home().run(&["auth", "token", "--scope", "tools:write"]).await;
    let headers = format!("{{ authorization = \"Bearer {}\" }}", token.stdout.trim());
    let outer = Gateway::start(&format!(
        "[mcp_servers.far]\nurl = \"http://{}/mcp\"\nheaders = {headers}\n",
        gateway.address()
    ))
    .await;
    outer.mcp_connected("far").await;
    let body = call(1, "far__near__wait", json!({})).to_string();
    let through = outer.client().clone();
    let through = tokio::spawn(async move { through.send(post(&through, None), body.into()).await });
    said_times(gateway, WAITS, waits + 1).await;
    through.abort();
    said_times(gateway, CANCELLED, cancelled + 1).await;
    let echo = rpc(outer.client(), call(2, "far__near__echo", json!({"text": "hi"}))).await.expect(200);
    assert_eq!(result(&echo).0, "you said\nhi", "everyone is as good as before");
}

/// Opens a session with these capabilities.
async fn session(client: &Client, capabilities: Value) -> String {
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": capabilities, "clientInfo": {"name": "test", "version": "1"},
    });
    let answer = rpc(client, message(1, "initialize", hello)).await;
    answer.expect(200);
    answer.headers["mcp-session-id"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_tool_with_ask_is_called_after_a_person_has_allowed_it_and_not_otherwise() {
    let gateway =
        Gateway::start(&near("[tools]\npolicy = { \"near.*\" = \"ask\" }\nask_timeout_secs = 60\n")).await;
    gateway.mcp_connected("near").await;
    let client = gateway.client();
    let echo = |id: u32| call(id, "near__echo", json!({"text": "hi"})).to_string();
    let able = session(client, json!({"elicitation": {}})).await;
    for (id, answered, (says, is_error)) in [
        (2, json!({"action": "accept", "content": {}}), ("you said\nhi", false)),
        (3, json!({"action": "decline"}), ("near.echo was not called: the user does not allow it", true)),
        (4, json!({"action": "cancel"}), ("near.echo was not called: the user has not allowed it", true)),
        (5, json!(null), ("near.echo was not called: the user has not allowed it", true)),
    ] {
        let mut events = client.events(post(client, Some(&able)), echo(id).into()).await;
        let (_, asked) = events.next().await.unwrap();
        assert_eq!((&asked["jsonrpc"], &asked["method"]), (&json!("2.0"), &json!("elicitation/create")));
        let shown = asked["params"]["message"].as_str().unwrap();
        assert!(
            shown.contains("May I call the tool `near.echo`") && shown.contains("\"text\": \"hi\""),
            "{shown}"
        );
        assert_eq!(asked["params"]["requestedSchema"]["type"], "object");
        let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": answered}).to_string();
        // Of others it does not count.
        let stranger = client.send(post(client, None), answer.clone().into()).await;
        assert_eq!(stranger.status, 202);
        assert_eq!(client.send(post(client, Some(&able)), answer.into()).await.status, 202);
        let (_, answer) = events.next().await.unwrap();
        assert_eq!(answer["id"], json!(id));
        assert_eq!(result(&answer), (says.to_owned(), is_error), "{answer}");
        assert!(events.next().await.is_none(), "that is all");
    }
    // Nobody is asked about a call that could not be made.
    let wrong =
        client.send(post(client, Some(&able)), call(6, "near__echo", json!("hi")).to_string().into()).await;
    assert!(result(&wrong.expect(200)).0.contains("JSON object"));

    let unable = session(client, json!({"elicitation": {"url": {}}})).await;
    for session in [Some(&*unable), Some("a-session-of-old"), None] {
        let answer = client.send(post(client, session), echo(7).into()).await.expect(200);
        let (words, is_error) = result(&answer);
        assert!(is_error && words.starts_with("near.echo was not called: its policy is `ask`"), "{words}");
        assert!(words.contains("tools.policy = { \"near.echo\" = \"allow\" }"), "{words}");
    }
    let plain = post(client, Some(&able)).header("x-nothing", "");
    let mut plain = plain;
    plain.headers_mut().unwrap().insert("accept", "application/json".parse().unwrap());
    let answer = client.send(plain, echo(8).into()).await.expect(200);
    assert!(result(&answer).0.contains("text/event-stream"), "{answer}");
    gateway.client().patch("/config", json!({"tools.policy": {"near.echo": "allow"}})).await.expect(200);
    assert_eq!(
        result(&rpc(client, serde_json::from_str(&echo(9)).unwrap()).await.expect(200)).0,
        "you said\nhi"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_of_the_protocol_without_sessions_asks_and_calls_once_more() {
    let gateway = Gateway::start(&near("[tools]\npolicy = { \"near.*\" = \"ask\" }\n")).await;
    gateway.mcp_connected("near").await;
    let client = gateway.client();
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    });
    let ask = async |text: &str, more: Value| {
        let mut body = call(1, "near__echo", json!({"text": text}));
        body["params"]["_meta"] = meta.clone();
        body["params"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request = post(client, None).header("mcp-protocol-version", "2026-07-28");
        let request = request.header("mcp-method", "tools/call").header("mcp-name", "near__echo");
        client.send(request, body.to_string().into()).await.expect(200)["result"].clone()
    };
    let asked = ask("hi", json!({})).await;
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let question = &asked["inputRequests"]["allow"];
    assert_eq!(question["method"], "elicitation/create");
    assert!(question["params"]["message"].as_str().unwrap().contains("near.echo"), "{asked}");
    let with = |action: &str, state: &Value| json!({"requestState": state, "inputResponses": {"allow": {"action": action, "content": {}}}});
    let yes = with("accept", &asked["requestState"]);
    assert_eq!(
        ask("something else", yes.clone()).await["resultType"],
        "input_required",
        "that was not asked"
    );
    let called = ask("hi", yes.clone()).await;
    assert_eq!(called["content"][0]["text"], "you said\nhi", "{called}");
    let again = ask("hi", yes).await;
    assert_eq!(again["resultType"], "input_required", "an answer counts once: {again}");
    let refused = ask("hi", with("decline", &again["requestState"])).await;
    assert_eq!(
        (&refused["isError"], refused["content"][0]["text"].as_str()),
        (&json!(true), Some("near.echo was not called: the user does not allow it"))
    );
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_clients_own_protocol() {
    let gateway = Gateway::start("").await;
    let client = gateway.client();
    let bare = |accept: &[&str]| {
        let request = client.bare(Method::POST, "/mcp");
        accept.iter().fold(request, |request, accept| request.header("accept", *accept))
    };
    let ping = Bytes::from(message(1, "ping", json!({})).to_string());
    for accept in [
        &["*/*"][..],
        &[],
        &["application/json"],
        &["text/html, */*;q=0.8"],
        &["application/json", "text/event-stream"],
    ] {
        for kind in [None, Some("application/json; charset=utf-8")] {
            let request =
                kind.into_iter().fold(bare(accept), |request, kind| request.header("content-type", kind));
            let answer = client.send(request, ping.clone()).await;
            assert_eq!(answer.headers["content-type"], "application/json", "{accept:?}");
            assert_eq!(answer.expect(200)["result"], json!({}), "{accept:?}");
        }
    }
    let mut events = client.events(bare(&["text/event-stream"]), ping.clone()).await;
    assert_eq!(events.next().await.unwrap().1["result"], json!({}));
    let neither = client.send(bare(&["text/html"]), ping).await;
    assert_eq!(neither.headers["content-type"], "application/json");
    assert_eq!(neither.expect(406)["error"]["code"], -32600);

    for (body, status, id, code) in [
        ("{\"jsonrpc\": \"2.0\",".to_owned(), 400, json!(null), -32700),
        (String::new(), 400, json!(null), -32700),
        ("[]".to_owned(), 400, json!(null), -32600),
        (json!([message(1, "ping", json!({}))]).to_string(), 400, json!(null), -32600),
        (json!({"jsonrpc": "1.0", "id": 3, "method": "ping"}).to_string(), 400, json!(3), -32600),
        (json!({"id": 3, "method": "ping"}).to_string(), 400, json!(3), -32600),
        (message(4, "ping", json!([])).to_string(), 400, json!(4), -32602),
        (message(5, "tools/call", json!({"arguments": {}})).to_string(), 200, json!(5), -32602),
        (message(6, "tools/call", json!({"name": 7})).to_string(), 200, json!(6), -32602),
        (message(7, "initialize", json!({})).to_string(), 200, json!(7), -32602),
        (message(8, "tools/dance", json!({})).to_string(), 200, json!(8), -32601),
        (call(9, "nothing", json!({})).to_string(), 200, json!(9), -32602),
    ] {
        let answer = client.send(post(client, None), body.clone().into()).await;
        assert_eq!(answer.headers["content-type"], "application/json", "{body}: {answer}");
        let refused = answer.expect(status);
        assert_eq!((&refused["jsonrpc"], &refused["id"]), (&json!("2.0"), &id), "{body}: {refused}");
        assert_eq!(refused["error"]["code"], code, "{body}: {refused}");
        assert!(!refused["error"]["message"].as_str().unwrap().is_empty(), "{refused}");
    }
    let form = bare(&[]).header("content-type", "application/x-www-form-urlencoded");
    client.send(form, "{}".into()).await.error(415, "unsupported_media_type");

    what_a_model_can_mend_is_for_the_model(client).await;
    gateway.stop().await;
}

async fn what_a_model_can_mend_is_for_the_model(client: &Client) {
    for (arguments, says) in [
        (json!({}), "query"),
        (json!({"query": 7}), "query"),
        (json!("{\"query\": \"x\"}"), "takes a JSON object"),
        (json!(["x"]), "takes a JSON object"),
    ] {
        let answer = rpc(client, call(10, "recall", arguments)).await.expect(200);
        let (words, is_error) = result(&answer);
        assert!(is_error && words.contains(says), "{says}: {words}");
    }
    assert!(
        rpc(client, message(11, "tools/call", json!({"name": "recall"}))).await.expect(200)["result"]["isError"]
            == true
    );
}
