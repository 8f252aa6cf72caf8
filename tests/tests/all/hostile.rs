//! Components that misbehave get a typed error; everything else goes on.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use hyper::Method;
use prx_tests::attacks::Attacks;
use prx_tests::client::Answer;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::origin::Origin;
use prx_tests::sockets::{Peer, SocketServer};
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};

use super::tool_bounds;

const WASM: &str = "application/wasm";
const LIMITS: &str = "[limits]\nmemory = \"16MiB\"\ncpu = \"800ms\"\ndeadline = \"2s\"\n";

/// A gateway with the misbehaving component as `hostile` and the well-behaved one as `hello-tool`.
async fn with_hostile() -> Gateway {
    let home = Home::new("");
    home.place_plugin("hostile", &Component::hostile("hostile", LIMITS).bytes());
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    Gateway::start_in(home).await
}

/// Everything but the offender works.
async fn all_is_well(gateway: &Gateway) {
    assert_eq!(gateway.client().get("/status/health").await.expect(200), json!({"healthy": true}));
    let hello = gateway.call_tool("hello", json!({"name": "Ada"})).await.expect(200);
    assert_eq!((&hello["content"], &hello["is_error"]), (&json!("Hello, Ada!"), &json!(false)));
    let answer = gateway.call_tool("answer", json!({})).await.expect(200);
    assert_eq!(answer["content"], "generation-one", "one bad call costs that call");
}

/// Why a tool could not do its work: that is an answer, unlike a defect of its component.
#[track_caller]
fn failure(answer: &Answer) -> String {
    let body = answer.expect(200);
    assert_eq!(body["is_error"], true, "{answer}");
    body["content"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn each_offence_costs_the_one_call() {
    let gateway = with_hostile().await;
    for (tool, arguments, (status, code), reason) in [
        ("spin", json!({}), (504, "gateway_timeout"), "computing"),
        ("sleep", json!({}), (504, "gateway_timeout"), "2s"),
        ("swell", json!({}), (502, "bad_gateway"), "memory"),
        ("recurse", json!({}), (502, "bad_gateway"), "broke off"),
        ("trap", json!({}), (502, "bad_gateway"), "unreachable"),
        ("shout", json!({"bytes": 64 << 20}), (502, "bad_gateway"), "memory"),
    ] {
        let call = gateway.call_tool(tool, arguments);
        let (offence, ()) = tokio::join!(call, all_is_well(&gateway));
        let message = offence.error(status, code);
        assert!(message.contains(reason) && message.contains("hostile"), "{tool}: {offence}");
        all_is_well(&gateway).await;
        assert_eq!(gateway.plugin("hostile").await.unwrap()["status"], "loaded", "{tool}");
    }
}

/// Uploads a component as a new plugin, which must be refused. What it got: the status, and the reason after the name.
async fn refused(gateway: &Gateway, component: &Component, status: u16, reason: &str) -> String {
    let answer = gateway.client().upload(Method::POST, "/plugins", WASM, component.bytes()).await;
    let code = if status == 400 { "bad_request" } else { "conflict" };
    let message = answer.error(status, code);
    assert!(message.contains(reason), "{message}");
    format!("{status}: {message}")
}

/// Calls a tool so many times at once. What they got: how many of each status, and what the last of each said.
async fn at_once(gateway: &Gateway, tool: &str, count: usize) -> Vec<Answer> {
    join_all((0..count).map(|_| gateway.call_tool(tool, json!({})))).await
}

fn statuses(answers: &[Answer]) -> String {
    let mut kinds = BTreeMap::<u16, (usize, String)>::new();
    for answer in answers {
        let kind = kinds.entry(answer.status).or_default();
        *kind = (kind.0 + 1, answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned());
    }
    let told = |(status, (count, message))| format!("{count} times {status}: {message}");
    kinds.into_iter().map(told).collect::<Vec<_>>().join("; ")
}

/// Tools that are beyond bounds, of a plugin and of an MCP server.
async fn odd_tools(gateway: &Gateway, attacks: &mut Attacks<'_>) {
    let tools = "a schema that doubles 40 times, one that does below its value, 14 × 2,000 patterns, 450 KB of description";
    let got = "each tool is left out with its problem, or its description cut; calls of them 502, 400";
    let of_a_plugin = async {
        tool_bounds::install(gateway).await;
        tool_bounds::each_costs_itself(gateway, "listed_").await;
        got.to_owned()
    };
    attacks.run(&format!("a plugin: {tools}"), of_a_plugin).await;
    let of_a_server = async {
        tool_bounds::each_costs_itself(gateway, "near.").await;
        got.to_owned()
    };
    attacks.run(&format!("an MCP server: {tools}"), of_a_server).await;
}

#[tokio::test]
async fn attacks_leave_everyone_else_alone() {
    let gateway = Gateway::start_in(tool_bounds::home()).await;
    let client = gateway.client();
    let greedy = Component::hostile("greedy", "[limits]\ndeadline = \"2s\"\n").with_memories(3, 1);
    tool_bounds::connected(&gateway).await;
    let mut attacks = Attacks::on(&gateway).await;

    let hostile = || Component::hostile("other", LIMITS);
    let work = "units of work in one function; the most is 16777216";
    for (done, component, status, reason) in [
        (
            "1,000 blocks that take and give 1,000 values",
            hostile().with_crowded_blocks(1_000, 1_000),
            400,
            work,
        ),
        ("a function of 4 MB", hostile().with_long_functions(1, 4_000_000 / 3), 400, work),
        ("five memories an instance", hostile().with_memories(4, 1), 409, "needs 5 memories; the most is 4"),
        (
            "a trap at its start",
            hostile().replace("at-start:nothing", "at-start:trap..."),
            409,
            "unreachable",
        ),
        (
            "spinning at its start",
            hostile().replace("at-start:nothing", "at-start:spin..."),
            409,
            "computing",
        ),
    ] {
        attacks.run(done, refused(&gateway, &component, status, reason)).await;
        assert!(gateway.plugin("other").await.is_none(), "nothing is half done");
    }

    client.upload(Method::POST, "/plugins", WASM, greedy.bytes()).await.expect(201);
    let sleeping = async {
        let answers = at_once(&gateway, "sleep", 280).await;
        let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
        assert!(!busy.is_empty(), "{}", statuses(&answers));
        let message = busy[0].error(503, "unavailable");
        assert!(message.contains("greedy") && message.contains("62 at a time"), "{message}");
        statuses(&answers)
    };
    attacks.run("280 sleeping calls with four memories each", sleeping).await;
    gateway.call_tool("answer", json!({})).await.expect(200);
    client.delete("/plugins/greedy").await.expect(204);

    let spinning = Component::hostile("spinning", LIMITS);
    client.upload(Method::POST, "/plugins", WASM, spinning.bytes()).await.expect(201);
    let spun = async {
        let answers = at_once(&gateway, "spin", 256).await;
        assert!(answers.iter().all(|answer| matches!(answer.status, 503 | 504)), "{}", statuses(&answers));
        let plugin = client.get("/plugins/spinning").await.expect(200);
        assert_eq!(plugin["status"], "failed", "it is quarantined when its last call ends: {plugin}");
        statuses(&answers)
    };
    attacks.run("256 spinning calls", spun).await;

    odd_tools(&gateway, &mut attacks).await;
    println!("{attacks}");
    attacks.expect_harmless();
}

#[tokio::test]
async fn many_offences_at_once_leave_room_for_others() {
    let gateway = with_hostile().await;
    let offences = (0..20).map(|_| gateway.call_tool("spin", json!({})));
    let offences = join_all(offences);
    let others = async {
        for _ in 0..10 {
            let hello = gateway.call_tool("hello", json!({"name": "Ada"})).await.expect(200);
            assert_eq!(hello["content"], "Hello, Ada!");
        }
    };
    let (offences, ()) = tokio::join!(offences, others);
    for offence in offences {
        assert!(matches!(offence.status, 503 | 504), "{offence}");
    }
}

#[tokio::test]
async fn a_plugin_that_goes_on_is_quarantined() {
    let gateway = with_hostile().await;
    for _ in 0..5 {
        gateway.call_tool("trap", json!({})).await.error(502, "bad_gateway");
    }
    let plugin = until("the quarantine", async || {
        gateway.plugin("hostile").await.filter(|plugin| plugin["status"] == "failed")
    })
    .await;
    assert_eq!(plugin["name"], "hostile");
    let shown = gateway.client().get("/plugins/hostile").await.expect(200);
    assert!(shown["error"].as_str().is_some_and(|error| !error.is_empty()), "it says why: {shown}");
    let gone = gateway.call_tool("answer", json!({})).await;
    assert!(gone.status >= 400, "{gone}");
    gateway.call_tool("hello", json!({"name": "Ada"})).await.expect(200);
    gateway.client().post("/plugins/hostile/reload", json!({})).await.expect(200);
    all_is_well(&gateway).await;
}

#[tokio::test]
async fn a_broken_start_is_refused() {
    let gateway = with_hostile().await;
    for start in ["at-start:trap...", "at-start:spin..."] {
        let broken = Component::hostile("broken", LIMITS).replace("at-start:nothing", start);
        let refused = gateway.client().upload(Method::POST, "/plugins", WASM, broken.bytes()).await;
        let reason = refused.error(409, "conflict");
        assert!(reason.contains("broken") && !reason.contains("answer"), "{reason}");
        assert!(gateway.plugin("broken").await.is_none(), "nothing is half done");
        assert!(!gateway.home().plugin_file("broken").exists(), "nothing is half done");
        all_is_well(&gateway).await;
    }
}

#[tokio::test]
async fn small_memories_are_summed() {
    let gateway = with_hostile().await;
    // Many tiny ones, and a few that are each below the limit and together above it.
    for (count, mebibytes) in [(400, 1), (12, 8)] {
        let hoard = Component::hostile("hoard", "").with_memories(count, mebibytes);
        let refused = gateway.client().upload(Method::POST, "/plugins", WASM, hoard.bytes()).await;
        let reason = refused.error(409, "conflict");
        assert!(reason.contains("memor"), "{count} memories of {mebibytes} MiB: {reason}");
        assert!(gateway.plugin("hoard").await.is_none());
        all_is_well(&gateway).await;
    }
    gateway.client().delete("/plugins/hostile").await.expect(204);
    let modest = Component::hostile("modest", "").with_memories(2, 1);
    gateway.client().upload(Method::POST, "/plugins", WASM, modest.bytes()).await.expect(201);
}

#[tokio::test]
async fn a_broken_plugin_in_the_folder_stops_nothing() {
    let home = Home::new("");
    let good = Component::of("prx-hello-tool");
    home.place_plugin("hello-tool", &good.bytes());
    home.place_plugin(
        "traps",
        &Component::hostile("traps", LIMITS).replace("at-start:nothing", "at-start:trap...").bytes(),
    );
    home.place_plugin(
        "spins",
        &Component::hostile("spins", LIMITS).replace("at-start:nothing", "at-start:spin...").bytes(),
    );
    home.place_plugin("hoards", &Component::hostile("hoards", "").with_memories(12, 8).bytes());
    home.place_plugin("half", &Component::hostile("half", "").truncated().bytes());
    let gateway = Gateway::start_in(home).await;
    for name in ["traps", "spins", "hoards", "half"] {
        let plugin = gateway.plugin(name).await.unwrap_or_else(|| panic!("{name} is listed"));
        assert_eq!(plugin["status"], "failed", "{plugin}");
        let shown = gateway.client().get(&format!("/plugins/{name}")).await.expect(200);
        assert!(shown["error"].is_string(), "it says why: {shown}");
    }
    gateway.call_tool("hello", json!({"name": "Ada"})).await.expect(200);
}

#[tokio::test]
async fn a_flood_of_log_lines_stays_small_and_on_its_lines() {
    let home = Home::new("");
    home.place_plugin("hostile", &Component::hostile("hostile", "").bytes());
    let gateway = Gateway::start_in(home).await;
    gateway.call_tool("babble", json!({"lines": 100_000})).await;
    let health = gateway.client().get("/status/health").await.expect(200);
    assert_eq!(health["healthy"], true);
    let lines = gateway.output().lines();
    assert!(lines.len() < 10_000, "what goes beyond the rate is dropped: {} lines", lines.len());
    assert!(lines.iter().any(|line| line.contains("line 0")), "the first ones are there");
    assert!(!lines.iter().any(|line| line.starts_with("ERROR forged")), "a line stays a line");
    assert!(!lines.iter().any(|line| line.contains("\x1b[2J")), "escape codes are escaped");
}

#[tokio::test]
async fn a_connector_that_floods_its_channel_is_held_back() {
    let server = SocketServer::start().await;
    let url = server.url();
    let home =
        Home::new(&format!("[channels_config.talking]\ngateway_url = {url:?}\ntoken = \"canary-token\"\n"));
    home.place_plugin("talking", &Component::of("talking").bytes());
    let gateway = Gateway::start_in(home).await;
    let mut peer = server.accept().await;
    peer.send(json!({"op": "hello", "interval": 60_000})).await;
    peer.receive("identify").await;
    let count = async |peer: &mut Peer| {
        peer.send(json!({"op": "count"})).await;
        peer.receive("count").await["count"].as_u64().unwrap()
    };
    peer.send(json!({"op": "flood", "lines": 20_000})).await;
    assert_eq!(count(&mut peer).await, 3);
    let lines = gateway.output().lines();
    assert!(lines.len() < 10_000, "what goes beyond the rate is dropped: {} lines", lines.len());
    assert!(lines.iter().any(|line| line.contains("line 0")), "the first ones are there");
    assert!(!lines.iter().any(|line| line.starts_with("ERROR forged")), "a line stays a line");

    for (what, told) in [("timers", "timers set"), ("requests", "requests under way")] {
        peer.send(json!({"op": "flood", what: 1_000})).await;
        let before = count(&mut peer).await;
        peer.send(json!({"op": "flood", what: 5_000})).await;
        assert_eq!(count(&mut peer).await, before + 1, "what asks for too much is put aside");
        let channel = gateway.channel("talking").await.unwrap();
        let error = channel["last_error"].as_str().unwrap_or_default();
        assert!(error.contains("more than 1024") && error.contains(told), "{channel}");
    }
    assert_eq!(gateway.plugin("talking").await.unwrap()["status"], "loaded");
    gateway.stop().await;
}

/// The reaching component as `reaching`, asking for these origins, granted those.
async fn reaching(asks: &[String], granted: Option<&[String]>) -> Gateway {
    let grant = match granted {
        Some(origins) => format!("[grants.reaching]\nhttp = {origins:?}\nkv = \"64KiB\"\n"),
        None => String::new(),
    };
    let home = Home::new(&grant);
    let manifest = format!(
        "[plugin]\nname = \"reaching\"\nversion = \"1.0.0\"\ndescription = \"Reaches\"\n[permissions]\nhttp = \
         {asks:?}\nkv = \"64KiB\"\n"
    );
    home.place_plugin("reaching", &Component::of("reaching").with_manifest(&manifest).bytes());
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    Gateway::start_in(home).await
}

async fn fetch(gateway: &Gateway, url: &str) -> Value {
    let answer = gateway.call_tool("fetch", json!({"url": url})).await;
    if answer.status == 200 {
        answer.json()
    } else {
        json!({"is_error": true, "content": answer.to_string()})
    }
}

#[tokio::test]
async fn a_host_without_a_grant_is_out_of_reach() {
    let (granted, other) = (Origin::start().await, Origin::start().await);
    granted.answer("/open", json!({"says": "welcome"}));
    granted.redirect("/away", &format!("{}/secret", other.url()));
    other.answer("/secret", json!({"says": "you should not be here"}));

    let gateway = reaching(&[granted.url()], Some(&[granted.url()])).await;
    let open = fetch(&gateway, &format!("{}/open", granted.url())).await;
    assert!(open["content"].as_str().unwrap().contains("welcome"), "{open}");
    let port = other.url().rsplit(':').next().unwrap().to_owned();
    for url in [
        format!("{}/secret", other.url()),
        format!("http://localhost:{port}/secret"),
        format!("http://2130706433:{port}/secret"),
        format!("http://0177.0.0.1:{port}/secret"),
        format!("http://[::ffff:127.0.0.1]:{port}/secret"),
        format!("http://user:pass@127.0.0.1:{port}/secret"),
        "https://api.example.org/".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        let denied = fetch(&gateway, &url).await;
        assert_eq!(denied["is_error"], true, "{url}: {denied}");
    }
    let away = fetch(&gateway, &format!("{}/away", granted.url())).await;
    assert!(!away.to_string().contains("should not"), "a redirect leads to no other host: {away}");
    assert_eq!(other.asked(), Vec::<String>::new(), "not one request has arrived");
    gateway.call_tool("hello", json!({"name": "Ada"})).await.expect(200);
}

#[tokio::test]
async fn what_the_operator_did_not_grant_is_not_there() {
    let origin = Origin::start().await;
    origin.answer("/open", json!({}));
    let gateway = reaching(&[origin.url()], None).await;
    let plugin = gateway.client().get("/plugins/reaching").await.expect(200);
    if plugin["status"] == "loaded" {
        let denied = fetch(&gateway, &format!("{}/open", origin.url())).await;
        assert_eq!(denied["is_error"], true, "{denied}");
        failure(&gateway.call_tool("hoard", json!({"keys": 1, "bytes": 1})).await);
    } else {
        assert_eq!(plugin["status"], "failed", "{plugin}");
        assert!(
            plugin["error"].as_str().is_some_and(|error| error.contains("grant")),
            "it says why: {plugin}"
        );
    }
    assert_eq!(origin.asked(), Vec::<String>::new());
    gateway.call_tool("hello", json!({"name": "Ada"})).await.expect(200);
}

#[tokio::test]
async fn wider_permissions_wait_for_their_grant() {
    let (granted, wanted) = (Origin::start().await, Origin::start().await);
    let gateway = reaching(&[granted.url()], Some(&[granted.url()])).await;
    let manifest = format!(
        "[plugin]\nname = \"reaching\"\nversion = \"2.0.0\"\ndescription = \"Reaches further\"\n[permissions]\nhttp = \
         {:?}\nkv = \"64KiB\"\n",
        [granted.url(), wanted.url()]
    );
    let wider = Component::of("reaching").with_manifest(&manifest);
    let refused = gateway.client().upload(Method::PUT, "/plugins/reaching", WASM, wider.bytes()).await;
    let reason = refused.error(409, "conflict");
    let said = format!("{reason} {}", refused.json()["error"]["details"]);
    assert!(said.contains(&wanted.url()), "it says what is missing: {said}");
    assert_eq!(gateway.plugin("reaching").await.unwrap()["version"], "1.0.0");
}

#[tokio::test]
async fn a_quota_is_kept() {
    let origin = Origin::start().await;
    let gateway = reaching(&[origin.url()], Some(&[origin.url()])).await;
    let kept = gateway.call_tool("hoard", json!({"keys": 4, "bytes": 1_000})).await.expect(200);
    assert_eq!(kept["is_error"], false, "{kept}");
    let refused = gateway.call_tool("hoard", json!({"keys": 100, "bytes": 1_000})).await;
    assert!(!failure(&refused).is_empty(), "64 KiB are granted: {refused}");
}

#[tokio::test]
async fn a_header_cannot_smuggle() {
    let origin = Origin::start().await;
    origin.answer("/open", json!({}));
    let gateway = reaching(&[origin.url()], Some(&[origin.url()])).await;
    let url = format!("{}/open", origin.url());
    for (name, value) in
        [("x-note", "a\r\nx-forged: b"), ("host", "internal.example"), ("transfer-encoding", "chunked")]
    {
        let arguments = json!({"url": url, "name": name, "value": value});
        let refused = gateway.call_tool("fetch", arguments).await;
        assert!(!failure(&refused).is_empty(), "{name}: {refused}");
    }
    assert_eq!(origin.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_message_that_breaks_the_provider_costs_that_message() {
    let home = Home::new("[provider]\nname = \"hostile\"\nmodel = \"moody\"\n");
    home.place_plugin("hostile", &Component::hostile("hostile", LIMITS).bytes());
    let gateway = Gateway::start_in(home).await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let say = async |text: &str| gateway.client().post(&path, json!({"content": text})).await;
    for poison in ["trap", "spin"] {
        let refused = say(poison).await;
        assert!(refused.status >= 500, "{poison}: {refused}");
        assert!(!refused.json()["error"]["message"].as_str().unwrap().is_empty(), "{poison}: {refused}");
        assert_eq!(
            say("and on").await.expect(200)["content"],
            "heard: and on",
            "the session goes on after {poison}"
        );
    }
    assert_eq!(gateway.client().get("/status/health").await.expect(200)["healthy"], true);
}

#[tokio::test]
async fn a_channel_whose_plugin_is_no_connector_says_so() {
    let telegram = FakeTelegram::start().await;
    let config =
        telegram.config(&["*"]) + "[channels_config.wrong]\nplugin = \"local\"\n[channels_config.missing]\n";
    let gateway = Gateway::start(&config).await;
    for name in ["wrong", "missing"] {
        let channel = gateway.channel(name).await.unwrap_or_else(|| panic!("{name} is listed"));
        assert_eq!(channel["status"], "disconnected", "{channel}");
        assert!(channel["error"].as_str().is_some_and(|error| !error.is_empty()), "{channel}");
    }
    telegram.write(1, "but this one works");
    telegram.until("an answer", |t| (!t.sent().is_empty()).then_some(())).await;
}
