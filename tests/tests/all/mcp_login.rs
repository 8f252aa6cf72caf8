//! Logins to MCP servers that want one, against an authorization server on loopback.
use std::process::Stdio;

use prx_tests::client::Answer;
use prx_tests::gateway::Gateway;
use prx_tests::mcp::{text, tools};
use prx_tests::oauth::Guarded;
use prx_tests::wait::until;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

async fn becomes(gateway: &Gateway, wanted: impl Fn(&Value) -> bool) -> Value {
    until("the server to stand as wanted", async || {
        Some(gateway.mcp_server("far").await).filter(|server| wanted(server))
    })
    .await
}

fn connected(server: &Value) -> bool {
    server["status"] == "connected"
}

async fn begin(gateway: &Gateway) -> String {
    let asked = json!({"redirect_uri": "http://127.0.0.1:1/callback"});
    let begun = gateway.client().post("/mcp/far/login", asked).await.expect(200);
    begun["url"].as_str().unwrap().to_owned()
}

async fn complete(gateway: &Gateway, redirect: &str) -> Answer {
    gateway.client().post("/mcp/far/login/complete", json!({"redirect": redirect})).await
}

async fn called(gateway: &Gateway) -> String {
    let answer = gateway.call_tool("far.echo", json!({})).await.expect(200);
    answer["content"].as_str().unwrap().to_owned()
}

async fn guarded() -> Guarded {
    Guarded::start(json!({"tools/list": [tools(&["echo"])], "tools/call": [text("let in")]})).await
}

fn config(guarded: &Guarded) -> String {
    format!("[mcp_servers.far]\nurl = {:?}\n", guarded.url())
}

const WANTED: &str = "needs login: prx mcp login far (HTTP 401 Unauthorized";

/// Nobody is told of tokens, codes or what they were made of.
async fn nobody_is_told(gateway: &Gateway) {
    let log = gateway.output().lines().join("\n");
    let config = gateway.client().get("/config").await.expect(200).to_string();
    let audit = gateway.client().get("/audit").await.expect(200).to_string();
    for told in [&log, &config, &audit] {
        assert!(!told.contains("canary-") && !told.contains("code-0"), "{told}");
    }
    assert!(audit.contains("mcp_server.logged_in"), "{audit}");
}

/// What goes wrong costs nothing but itself.
async fn what_goes_wrong_says_what_to_do(gateway: &Gateway, guarded: &Guarded) {
    complete(gateway, "http://127.0.0.1:1/callback?code=x&state=y").await.error(409, "conflict");
    let ended = guarded.browse(&begin(gateway).await);
    let stranger = complete(gateway, &ended.replace("state=", "state=x")).await;
    assert_eq!(
        stranger.error(400, "bad_request"),
        "`redirect` has not the state of the login that waits: it belongs to another one"
    );
    let other = complete(gateway, &ended.replace("iss=", "iss=https%3A%2F%2Fexample.org&x=")).await;
    assert!(other.error(400, "bad_request").contains("another authorization server"));
    complete(gateway, "not a URL").await.error(400, "bad_request");
    guarded.plan(|plan| plan.consents = false);
    let denied = complete(gateway, &guarded.browse(&begin(gateway).await)).await;
    assert_eq!(
        denied.error(409, "conflict"),
        "the login was refused, access_denied: not today; begin again with prx mcp login far"
    );
    guarded.plan(|plan| (plan.consents, plan.codes) = (true, false));
    let refused = complete(gateway, &guarded.browse(&begin(gateway).await)).await;
    assert!(
        refused.error(409, "conflict").starts_with("the code was refused: invalid_grant: it is good no more")
    );
    guarded.plan(|plan| plan.codes = true);
}

/// Logs in on the command line: the browser visits it, or what it ends at is pasted.
async fn login(gateway: &Gateway, guarded: &Guarded, args: &[&str], visit: bool) {
    let mut command = Command::from(gateway.home().command(&[&["mcp", "login", "far"][..], args].concat()));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let url = loop {
        let line = said.next_line().await.unwrap().expect("a URL");
        if line.starts_with("http") {
            break line;
        }
    };
    let ended = guarded.browse(&url);
    if visit {
        let (address, path) = ended.strip_prefix("http://").unwrap().split_once('/').unwrap();
        for path in ["favicon.ico", path] {
            let mut browser = TcpStream::connect(address).await.unwrap();
            browser
                .write_all(format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())
                .await
                .unwrap();
            let mut page = String::new();
            browser.read_to_string(&mut page).await.unwrap();
            assert_eq!(page.contains("go back to the terminal"), path.starts_with("callback"), "{page}");
        }
    } else {
        child.stdin.take().unwrap().write_all(format!("{ended}\n").as_bytes()).await.unwrap();
    }
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "logged in to far\n");
    becomes(gateway, connected).await;
}

#[tokio::test]
async fn a_person_logs_in_and_the_tokens_are_renewed_until_they_are_revoked() {
    let guarded = guarded().await;
    let gateway = Gateway::start(&config(&guarded)).await;
    let wanted = becomes(&gateway, |server| server["error"].is_string()).await;
    assert_eq!(wanted["error"], format!("{WANTED})"));
    let status = gateway.client().get("/status").await.expect(200);
    assert!(status["issues"].to_string().contains("needs login: prx mcp login far"), "{status}");

    what_goes_wrong_says_what_to_do(&gateway, &guarded).await;

    // A login outlives the gateway, begun or done.
    let ended = guarded.browse(&begin(&gateway).await);
    let gateway = gateway.restart().await;
    let done = complete(&gateway, &ended).await.expect(200);
    assert_eq!(done, json!({"name": "far", "status": "reconnecting"}));
    complete(&gateway, &ended).await.error(409, "conflict");
    becomes(&gateway, connected).await;
    assert_eq!(called(&gateway).await, "let in");
    let gateway = gateway.restart().await;
    becomes(&gateway, connected).await;

    // A token that is refused is renewed once, with the refresh token that came last.
    for _ in 0..2 {
        guarded.revoke(false);
        assert_eq!(called(&gateway).await, "let in");
    }
    assert_eq!(guarded.given(), 3);
    guarded.plan(|plan| plan.answers = false);
    guarded.revoke(false);
    assert!(called(&gateway).await.contains("its token can't be renewed: HTTP 503"));
    guarded.plan(|plan| plan.answers = true);
    gateway.client().post("/mcp/far/reconnect", json!({})).await.expect(200);
    becomes(&gateway, connected).await;
    assert_eq!(called(&gateway).await, "let in");

    guarded.revoke(true);
    assert!(called(&gateway).await.starts_with(WANTED));
    let wanted = becomes(&gateway, |server| !connected(server) && server["error"].is_string()).await;
    assert_eq!(
        wanted["error"],
        format!("{WANTED}; the login before has ended: invalid_grant: it is good no more)")
    );
    let asked = guarded.seen().len();
    gateway.client().post("/mcp/far/reconnect", json!({})).await.expect(200);
    becomes(&gateway, |server| server["status"] == "disconnected").await;
    assert_eq!(guarded.seen().len(), asked, "what was refused for good is not asked again");

    nobody_is_told(&gateway).await;
    gateway.stop().await;
}

/// A refresh token is good once: whoever goes away while the answer is on its way loses nothing.
#[tokio::test]
async fn tokens_that_come_after_their_caller_has_gone_are_kept() {
    let guarded = guarded().await;
    let gateway = Gateway::start(&config(&guarded)).await;
    becomes(&gateway, |server| server["error"].is_string()).await;
    let asked = async |count: usize| {
        until("a request for tokens", async || (guarded.seen().len() == count).then_some(())).await
    };

    // A login, by a caller that waits no longer.
    let ended = guarded.browse(&begin(&gateway).await);
    let held = guarded.hold().await;
    let (client, redirect) = (gateway.client(), json!({"redirect": ended}));
    tokio::select! {
        _ = client.post("/mcp/far/login/complete", redirect) => panic!("answered before the authority was"),
        () = asked(1) => {}
    }
    drop(held);
    until("the login", async || {
        gateway.client().post("/mcp/far/reconnect", json!({})).await.expect(200);
        gateway.mcp_server("far").await["status"].as_str().filter(|status| *status == "connected").map(drop)
    })
    .await;

    // A renewal, for a connection that is made anew.
    let held = guarded.hold().await;
    guarded.revoke(false);
    let (call, ()) = tokio::join!(called(&gateway), async {
        asked(2).await;
        gateway.client().post("/mcp/far/reconnect", json!({})).await.expect(200);
        drop(held);
    });
    becomes(&gateway, connected).await;
    assert_eq!(called(&gateway).await, "let in", "after {call}");

    // Another one, for a gateway that stops.
    let held = guarded.hold().await;
    guarded.revoke(false);
    tokio::select! {
        _ = called(&gateway) => panic!("answered before the authority was"),
        () = asked(3) => {}
    }
    // It is told to stop first.
    let (gateway, ()) = tokio::join!(gateway.restart(), async { drop(held) });
    becomes(&gateway, connected).await;
    assert_eq!(called(&gateway).await, "let in");
    gateway.stop().await;
}

#[tokio::test]
async fn the_command_line_listens_for_the_browser_or_takes_what_is_pasted() {
    let guarded = guarded().await;
    // Renewed before each request: it is good for less than a minute.
    guarded.plan(|plan| plan.lasts = 30);
    let gateway = Gateway::start(&config(&guarded)).await;
    becomes(&gateway, |server| server["error"].is_string()).await;

    login(&gateway, &guarded, &[], true).await;
    assert_eq!(called(&gateway).await, "let in");
    assert!(guarded.given() > 2, "{}", guarded.given());
    let out = gateway.home().run(&["mcp", "logout", "far"]).await;
    assert_eq!((out.code, &*out.stdout), (Some(0), "logged out of far\n"));
    becomes(&gateway, |server| server["error"] == format!("{WANTED})")).await;
    let again = gateway.home().run(&["mcp", "logout", "far"]).await;
    assert!(
        again.code != Some(0) && again.stderr.contains("Login to the MCP server far not found"),
        "{}",
        again.stderr
    );
    login(&gateway, &guarded, &["--paste"], false).await;

    // One that registers nobody says what to set; a client of the operator's own is used.
    guarded.plan(|plan| plan.registers = false);
    let asked = json!({"redirect_uri": "http://127.0.0.1:1/callback"});
    let alone = gateway.client().post("/mcp/far/login", asked.clone()).await;
    assert!(alone.error(409, "conflict").contains("set mcp_servers.far.oauth.client_id"));
    let evil = gateway.client().post("/mcp/far/login", json!({"redirect_uri": "http://example.org/"})).await;
    assert!(evil.error(400, "bad_request").contains("https URL"));
    let own = json!({"mcp_servers": {"far": {"url": guarded.url(), "oauth": {"client_id": "ours", "client_secret": "canary-secret"}}}});
    gateway.client().patch("/config", own).await.expect(200);
    let shown = gateway.client().get("/config").await.expect(200);
    assert!(!shown.to_string().contains("canary-"), "{shown}");
    let begun = until("the change to be taken up", async || {
        let answer = gateway.client().post("/mcp/far/login", asked.clone()).await;
        (answer.status == 200).then(|| answer.expect(200))
    })
    .await;
    assert!(begun["url"].as_str().unwrap().contains("client_id=ours"), "{begun}");
    complete(&gateway, &guarded.browse(begun["url"].as_str().unwrap())).await.expect(200);
    becomes(&gateway, connected).await;
    gateway.stop().await;
}
