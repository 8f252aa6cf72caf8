//! The configuration over HTTP and in its file: shown, changed, followed.
use std::fs;

use hyper::Method;
use prx_tests::client::Answer;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::telegram::{FakeTelegram, TOKEN};
use prx_tests::wait::until;
use serde_json::{Value, json};

async fn patch(gateway: &Gateway, changes: Value) -> Answer {
    gateway.client().patch("/config", changes).await
}

async fn config(gateway: &Gateway) -> Value {
    gateway.client().get("/config").await.expect(200)
}

fn file(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.home().path().join("prx.toml")).unwrap()
}

async fn issues(gateway: &Gateway) -> Vec<String> {
    let status = gateway.client().get("/status").await.expect(200);
    let issues: Vec<String> = serde_json::from_value(status["issues"].clone()).unwrap_or_default();
    assert_eq!(status["status"], if issues.is_empty() { "healthy" } else { "degraded" }, "{status}");
    issues
}

async fn channel_becomes(gateway: &Gateway, wanted: &str) {
    let what = format!("the channel to be {wanted}");
    until(&what, async || (gateway.channel("telegram").await?["status"] == wanted).then_some(())).await;
}

#[tokio::test]
async fn every_key_is_shown_and_no_secret_is() {
    let gateway = Gateway::start(
        "[channels_config.telegram]\nbot_token = \"canary-1\"\nallowed_users = [\"123456789\"]\napi_base = \
         \"http://127.0.0.1:9\"\n[plugins_config.gone]\napi_key = \"canary-2\"\nunits = \"metric\"\n\
         [providers_config.gone]\nsecret = \"canary-3\"\n[mcp_servers.files]\nurl = \"http://127.0.0.1:9/\"\n\
         headers = { authorization = \"canary-4\" }\n",
    )
    .await;
    let shown = config(&gateway).await;
    assert_eq!(shown["agent"]["max_turns"], 50, "defaults are shown: {shown}");
    let telegram = &shown["channels_config"]["telegram"];
    assert_eq!(telegram["bot_token"], "***REDACTED***");
    assert_eq!(telegram["allowed_users"], json!(["123456789"]));
    assert_eq!(shown["plugins_config"]["gone"], json!({"api_key": "***REDACTED***", "units": "metric"}));
    for path in ["/config", "/status", "/channels", "/plugins", "/logs?level=trace&limit=1000", "/mcp"] {
        let body = String::from_utf8_lossy(&gateway.client().get(path).await.body).into_owned();
        assert!(!body.contains("canary"), "{path}: {body}");
    }
    let refused = patch(&gateway, json!({"channels_config.telegram.bot_token": "***REDACTED***"})).await;
    assert!(refused.error(400, "bad_request").contains("leave it out"), "{refused}");
    let refused = patch(&gateway, json!({"channels_config.telegram": {"bot_token": ["canary-5"]}})).await;
    assert!(!refused.error(400, "bad_request").contains("canary"), "{refused}");
    assert!(!gateway.output().says(&["canary"]), "no log line has a secret");
}

#[tokio::test]
async fn a_patch_is_all_or_nothing_and_leaves_comments_alone() {
    let home = Home::new("# mine\n[agent]\nmax_turns = 3 # few\n");
    let gateway = Gateway::start_in(home).await;
    let before = file(&gateway);
    let refused = patch(
        &gateway,
        json!({
            "agent.max_turns": 100, "agent.max_turn": 1, "memory.top_k": "many", "nowhere.x": 1,
            "logs.level": "loud", "agent": 7,
        }),
    )
    .await;
    refused.error(400, "bad_request");
    let problems = refused.json()["error"]["details"]["problems"].clone();
    for word in ["max_turn ", "memory.top_k", "nowhere", "logs.level", "agent is"] {
        let named =
            problems.as_array().unwrap().iter().any(|problem| problem.as_str().unwrap().contains(word));
        assert!(named, "{word}: {problems}");
    }
    assert_eq!(file(&gateway), before);
    assert_eq!(config(&gateway).await["agent"]["max_turns"], 3);

    let done = patch(&gateway, json!({"agent.max_turns": 100, "memory.top_k": 15})).await.expect(200);
    assert_eq!(done, json!({"updated": ["agent.max_turns", "memory.top_k"], "reload_required": false}));
    assert!(file(&gateway).starts_with("# mine\n[agent]\nmax_turns = 100 # few\n"), "{}", file(&gateway));
    assert_eq!(config(&gateway).await["memory"]["top_k"], 15);
    let gateway = gateway.restart().await;
    assert_eq!(config(&gateway).await["agent"]["max_turns"], 100, "it is still so after a restart");

    for (body, content_type, status) in
        [("[]", "application/json", 400), ("{", "application/json", 400), ("{}", "text/plain", 415)]
    {
        let refused = gateway.client().upload(Method::PATCH, "/config", content_type, body).await;
        refused.expect(status);
    }
}

#[tokio::test]
async fn a_restart_is_asked_for_exactly_where_one_is_needed() {
    let gateway = Gateway::start("").await;
    for (key, value, restart) in [
        ("gateway.host", json!("127.0.0.1"), true),
        ("gateway.port", json!(4120), true),
        ("gateway.tls_cert", json!(""), true),
        ("gateway.tls_key", json!(""), true),
        ("store.url", json!(""), true),
        ("gateway.cors_origins", json!(["https://example.com"]), false),
        ("agent.system_prompt", json!("Be brief."), false),
        ("rate_limits.other", json!(31), false),
        ("logs.retain_entries", json!(500), false),
        ("plugins.watch", json!(true), false),
        ("plugins.watch", Value::Null, false),
    ] {
        let done = patch(&gateway, json!({key: value})).await.expect(200);
        assert_eq!(done, json!({"updated": [key], "reload_required": restart}));
    }
    for (changes, word) in [
        (json!({"gateway.host": "0.0.0.0"}), "not a loopback address"),
        (json!({"gateway.tls_cert": "/nowhere.pem", "gateway.tls_key": "/nowhere.pem"}), "gateway.tls_cert"),
        (json!({"gateway.tls_cert": "/nowhere.pem"}), "gateway.tls_key"),
    ] {
        let refused = patch(&gateway, changes).await.error(400, "bad_request");
        assert!(refused.contains(word), "with it no gateway would start again: {refused}");
    }
    let open = json!({"gateway.host": "0.0.0.0", "gateway.behind_proxy": true});
    patch(&gateway, open).await.expect(200);
    let bare = patch(&gateway, json!({"gateway.behind_proxy": false})).await.error(400, "bad_request");
    assert!(bare.contains("gateway.behind_proxy = true"), "{bare}");
    assert!(file(&gateway).contains("port = 4120"), "{}", file(&gateway));
    assert_ne!(
        config(&gateway).await["gateway"]["port"],
        4120,
        "--port has the last word, and only while it runs"
    );
    let shown = gateway.client().get("/config").await;
    assert_eq!(shown.json()["gateway"]["host"], "0.0.0.0");
    assert_eq!(shown.headers["x-restart-due"], "gateway.host", "what is shown is not in force");
    let status = gateway.client().get("/status").await.expect(200);
    assert_eq!((&status["restart_due"], &status["status"]), (&json!(["gateway.host"]), &json!("healthy")));
    let doctor = gateway.home().run(&["doctor"]).await;
    assert!(
        doctor.stdout.contains("gateway.host is not in force yet\n    fix: restart the gateway"),
        "{doctor:?}"
    );
    patch(&gateway, json!({"gateway.host": null})).await.expect(200);
    assert!(!gateway.client().get("/config").await.headers.contains_key("x-restart-due"));
}

#[tokio::test]
async fn what_is_changed_is_felt_at_once() {
    let gateway = Gateway::start("").await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}");
    patch(&gateway, json!({"agent.max_turns": 1, "logs.level": "debug"})).await.expect(200);
    gateway.client().post(&format!("{path}/messages"), json!({"content": "one"})).await.expect(200);
    assert_eq!(gateway.client().get(&path).await.expect(200)["status"], "terminated");

    // A refused body is logged at `debug`.
    let debug = async || {
        gateway.client().upload(Method::POST, "/sessions", "application/json", "{").await.expect(400);
        let logs = gateway.client().get("/logs?level=debug&limit=1000").await.expect(200);
        let entries = logs["entries"].as_array().unwrap().clone();
        entries.iter().filter(|entry| entry["level"] == "debug").count()
    };
    patch(&gateway, json!({"logs.level": "trace"})).await.expect(200);
    let seen = debug().await;
    patch(&gateway, json!({"logs.level": "info"})).await.expect(200);
    let before = debug().await;
    assert_eq!(debug().await, before, "nothing below info is kept now; {seen} were before");

    patch(&gateway, json!({"logs.retain_entries": 100})).await.expect(200);
    for _ in 0..120 {
        gateway.client().get("/status/health").await.expect(200);
    }
    let logs = gateway.client().get("/logs?level=trace&limit=1000").await.expect(200);
    assert!(logs["total"].as_u64().unwrap() <= 100, "{}", logs["total"]);

    let limit = async || gateway.client().get("/sessions").await.headers.get("x-ratelimit-limit").cloned();
    assert_eq!(limit().await, None, "the tests' gateways don't limit");
    patch(&gateway, json!({"rate_limits.enabled": true, "rate_limits.sessions_read": 70})).await.expect(200);
    assert_eq!(limit().await.unwrap(), "70");
    patch(&gateway, json!({"rate_limits.sessions_read": 71})).await.expect(200);
    assert_eq!(limit().await.unwrap(), "71");

    let refused = patch(&gateway, json!({"provider.name": "nobody"})).await.error(400, "bad_request");
    assert!(refused.contains("local"), "names those there are: {refused}");
}

#[tokio::test]
async fn a_channel_comes_and_goes_with_its_table() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start("").await;
    let mut events = gateway.client().follow("/events", None).await;
    let table = telegram.config(&["*"]);
    let api_base = table.lines().find_map(|line| line.strip_prefix("api_base = ")).unwrap().trim_matches('"');
    let wrong = json!({"channels_config.telegram": {"bot_tokn": "x", "api_base": api_base}});
    let refused = patch(&gateway, wrong).await.error(400, "bad_request");
    assert!(refused.contains("did you mean \"bot_token\""), "{refused}");
    let refused = patch(&gateway, json!({"channels_config.telegrm.bot_token": "x"})).await;
    assert!(refused.error(400, "bad_request").contains("did you mean \"telegram\""), "{refused}");
    assert_eq!(gateway.channel("telegram").await, None);

    let right = json!({"bot_token": TOKEN, "allowed_users": ["*"], "api_base": api_base});
    patch(&gateway, json!({"channels_config.telegram": right})).await.expect(200);
    channel_becomes(&gateway, "connected").await;
    telegram.write(7, "hello");
    telegram.until("an answer", |telegram| (!telegram.sent_to(7).is_empty()).then_some(())).await;
    let health = gateway.client().get("/channels/telegram/health").await.expect(200);
    assert_eq!((&health["name"], &health["healthy"]), (&json!("telegram"), &json!(true)));
    assert!(health["latency_ms"].is_u64() && health["last_message_at"].is_string(), "{health}");

    patch(&gateway, json!({"channels_config.telegram": null})).await.expect(200);
    until("the channel to be gone", async || gateway.channel("telegram").await.is_none().then_some(())).await;
    let polls = telegram.call_count();
    gateway.client().get("/channels/telegram/health").await.error(404, "not_found");
    let mut kinds = Vec::new();
    while kinds.iter().filter(|kind| *kind == "config.updated").count() < 2 {
        kinds.push(events.next().await.unwrap().1["type"].as_str().unwrap().to_owned());
    }
    assert!(kinds.contains(&"channel.connected".to_owned()), "{kinds:?}");
    gateway.stop().await;
    assert_eq!(telegram.call_count(), polls, "nobody polls any more");
}

#[tokio::test]
async fn a_grant_is_felt_when_given_and_when_taken() {
    let home = Home::new("");
    home.place_plugin("weather", &Component::of("prx-weather").bytes());
    let gateway = Gateway::start_in(home).await;
    assert_eq!(gateway.plugin("weather").await.unwrap()["status"], "failed");
    assert_eq!(issues(&gateway).await.len(), 1);
    let refused = patch(&gateway, json!({"grants.weather.http": ["not an origin"]})).await;
    refused.error(400, "bad_request");
    let origins = json!(["https://api.open-meteo.com", "https://geocoding-api.open-meteo.com"]);
    patch(&gateway, json!({"grants.weather.http": origins})).await.expect(200);
    assert_eq!(gateway.plugin("weather").await.unwrap()["status"], "loaded");
    assert_eq!(issues(&gateway).await, Vec::<String>::new());
    patch(&gateway, json!({"grants.weather": null})).await.expect(200);
    let plugin = gateway.plugin("weather").await.unwrap();
    assert_eq!(plugin["status"], "failed", "what is taken away must not go on working: {plugin}");
    assert_eq!(plugin["capabilities"], json!([]));
}

#[tokio::test]
async fn who_read_an_older_configuration_changes_nothing() {
    let gateway = Gateway::start("").await;
    let read = gateway.client().get("/config").await;
    let tag = read.headers["etag"].to_str().unwrap().to_owned();
    let patch_if = async |tag: &str, value: u32| {
        let request = gateway.client().request(Method::PATCH, "/config");
        let request = request.header("content-type", "application/json").header("if-match", tag);
        gateway.client().send(request, json!({"agent.max_turns": value}).to_string().into()).await
    };
    patch_if("\"nonsense\"", 4).await.error(409, "conflict");
    let done = patch_if(&tag, 5).await;
    done.expect(200);
    patch_if(&tag, 6).await.error(409, "conflict");
    assert_eq!(config(&gateway).await["agent"]["max_turns"], 5);
    patch_if(done.headers["etag"].to_str().unwrap(), 7).await.expect(200);
    patch_if("*", 8).await.expect(200);
    assert_eq!(config(&gateway).await["agent"]["max_turns"], 8);
}

#[tokio::test]
async fn an_edit_of_the_file_does_what_a_patch_does() {
    let gateway = Gateway::start("").await;
    let good = file(&gateway);
    gateway.home().configure(&format!("{good}[agent]\nmax_turns = 9\n"));
    let turns = async || config(&gateway).await["agent"]["max_turns"].clone();
    until("the edit to be in force", async || (turns().await == 9).then_some(())).await;

    for (broken, word) in [
        ("[agent]\nmax_turns = \n", "prx.toml:5: "),
        ("[agent]\nmax_turn = 4\n", "did you mean"),
        ("[channels_config.telegram]\n", "bot_token"),
    ] {
        gateway.home().configure(&format!("{good}{broken}"));
        let what = format!("the status to tell of {broken:?}");
        let told = async || issues(&gateway).await.iter().any(|issue| issue.contains(word)).then_some(());
        until(&what, told).await;
        assert_eq!(turns().await, 9, "the last good one stays in force");
        patch(&gateway, json!({"agent.max_turns": 10})).await.error(409, "conflict");
    }
    assert!(gateway.output().says_soon(&["WARN", "the configuration stays as it was", "max_turn"]).await);
    fs::remove_file(gateway.home().path().join("prx.toml")).unwrap();
    until("the file to be missed", async || {
        issues(&gateway).await.iter().any(|issue| issue.contains("No such file")).then_some(())
    })
    .await;
    gateway.home().configure(&good);
    until("all to be well", async || issues(&gateway).await.is_empty().then_some(())).await;
    assert_eq!(turns().await, 50);
}

#[tokio::test]
async fn without_a_file_a_patch_makes_one() {
    let home = Home::empty();
    let command = home.plain(&["serve", "--port", "0", "--watch"]);
    let gateway = Gateway::launch(home, command).await;
    let prx = async |args: &[&str]| gateway.home().finish(gateway.home().plain(args)).await;
    let set = prx(&["config", "set", "agent.max_turns", "12"]).await;
    assert_eq!((set.code, set.stdout.as_str()), (Some(0), "agent.max_turns is in force\n"), "{}", set.stderr);
    let path = gateway.home().path().join(".config/prx/prx.toml");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "[agent]\nmax_turns = 12\n",
        "the command line stays out of it"
    );
    assert_eq!(prx(&["config", "get", "agent.max_turns"]).await.stdout, "12\n");
    let unknown = prx(&["config", "set", "agent.max_turn", "12"]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("did you mean"), "{unknown:?}");
    fs::write(&path, "[agent]\nmax_turns = 13\n").unwrap();
    until("the edit to be in force", async || {
        (prx(&["config", "get", "agent.max_turns"]).await.stdout == "13\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn options_are_options_wherever_they_stand_and_secrets_come_by_standard_input() {
    let gateway = Gateway::start("").await;
    let home = gateway.home();
    // These tests' commands end with `--config FILE --data-dir DIR`.
    let set = home.run(&["config", "set", "gateway.allowed_hosts", "a.example", "--json", "b.example"]).await;
    let done: Value = serde_json::from_str(&set.stdout).unwrap_or_default();
    assert_eq!(done["updated"], json!(["gateway.allowed_hosts"]), "{set:?}");
    assert_eq!(config(&gateway).await["gateway"]["allowed_hosts"], json!(["a.example", "b.example"]));
    let unknown = home.run(&["config", "set", "agent.system_prompt", "--data-dri"]).await;
    assert!(unknown.code == Some(2) && unknown.stderr.contains("--data-dri"), "{unknown:?}");
    let data = home.data();
    let before = ["--data-dir", data.to_str().unwrap(), "config", "set", "agent.system_prompt"];
    for (words, wanted) in [(&["--", "--brief"][..], "--brief"), (&["-5"], "-5")] {
        assert_eq!(home.finish(home.plain(&[&before[..], words].concat())).await.code, Some(0));
        assert_eq!(config(&gateway).await["agent"]["system_prompt"], wanted);
    }

    let secret = home.path().join("secret");
    fs::write(&secret, "canary-key\n").unwrap();
    let mut command = home.command(&["config", "set", "providers_config.openai.api_key", "-"]);
    command.stdin(fs::File::open(&secret).unwrap());
    let set = home.finish(command).await;
    assert!(
        set.code == Some(0) && set.stderr.contains("others on this machine may read it (mode 0"),
        "{set:?}"
    );
    assert!(!set.stdout.contains("canary") && !set.stderr.contains("canary"), "{set:?}");
    assert!(file(&gateway).contains("api_key = \"canary-key\"\n"), "{}", file(&gateway));
    let set = home.run(&["config", "set", "providers_config.openai.api_key", "null"]).await;
    assert_eq!((set.code, set.stderr.as_str()), (Some(0), ""));

    for (args, code, word) in [
        (&["session", "show", "sess_nowhere", "--json"][..], "not_found", "sess_nowhere"),
        (&["--json", "config", "get", "nowhere"], "failed", "nowhere"),
        (&["config", "frobnicate", "--json"], "usage", "frobnicate"),
    ] {
        let failed = home.run(args).await;
        let error: Value = serde_json::from_str(&failed.stderr).unwrap_or_default();
        assert_eq!((&error["error"]["code"], failed.stdout.as_str()), (&json!(code), ""), "{failed:?}");
        assert!(error["error"]["message"].as_str().unwrap().contains(word), "{error}");
    }
    let session = gateway.open_session("ada").await;
    let ended = home.run(&["session", "end", &session, "--json"]).await;
    let ended: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(ended, json!({"id": session, "status": "terminated"}));

    fs::remove_file(home.data().join("prx.sock")).unwrap();
    until("the socket to be back", async || (home.run(&["status"]).await.code == Some(0)).then_some(()))
        .await;
}

#[tokio::test]
async fn the_command_line_checks_as_serve_does() {
    let home = Home::new("");
    assert_eq!(home.run(&["config", "check"]).await.code, Some(0));
    let doctor = home.run(&["doctor"]).await;
    assert!(doctor.stdout.contains("others on this machine"), "{doctor:?}");
    assert_eq!((doctor.code, home.run(&["doctor", "--fix"]).await.code), (Some(1), Some(0)));
    let well = home.run(&["doctor"]).await;
    assert_eq!((well.code, well.stdout.as_str()), (Some(0), "everything is fine\n"));

    home.configure("[channels_config.telegram]\nbot_token = \"env:NOT_SET_ANYWHERE\"\n");
    home.place_plugin("broken", b"not wasm");
    let check = home.run(&["config", "check"]).await;
    let line = "prx.toml:2: channels_config.telegram.bot_token: ";
    assert!(check.code == Some(0) && check.stderr.contains(line), "it would start: {check:?}");
    assert!(check.stderr.contains("NOT_SET_ANYWHERE is not set in this shell"), "{check:?}");
    let check = home.run(&["config", "check", "--json"]).await;
    let check: Value = serde_json::from_str(&check.stdout).unwrap();
    assert_eq!(check["warnings"][0]["key"], "channels_config.telegram.bot_token", "{check}");
    let doctor = home.run(&["doctor", "--json"]).await;
    let findings: Value = serde_json::from_str(&doctor.stdout).unwrap();
    assert_eq!(findings["findings"].as_array().map(Vec::len), Some(3), "{findings}");

    home.configure("[agent]\nmax_turn = 3\n");
    let (check, serve) = (home.run(&["config", "check"]).await, home.run(&["serve"]).await);
    assert_eq!((check.code, &check.stderr), (Some(78), &serve.stderr), "the same words as serve has");
    assert_eq!(home.run(&["completions", "bash"]).await.code, Some(0));
    let keys = home.run(&["config", "keys"]).await.stdout;
    let line = keys.lines().find(|line| line.starts_with("gateway.port ")).unwrap();
    for word in ["a whole number from 0 to 65535", " 3120 ", " restart "] {
        assert!(line.contains(word), "{line}");
    }
}
