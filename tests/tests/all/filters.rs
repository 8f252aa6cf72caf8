//! Filters: what they change or stop is so for everyone, before anyone has seen it; those that fail stop what the operator
//! wants stopped, and nothing behind it.

use prx_tests::client::Answer;
use prx_tests::component::Component;
use prx_tests::discord::FakeDiscord;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::origin::Origin;
use prx_tests::scripted;
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};

const ORDER: &str = "[filters]\norder = [\"filtering\"]\n[filters.filtering]\ndeadline_ms = 2000\n";

/// A gateway whose only filter does what it is told, and whose model says what it was asked.
async fn filtering(more: &str, script: &Value) -> Gateway {
    let home = scripted::home(script, &format!("{ORDER}{more}"));
    home.place_plugin("filtering", &Component::of("filtering").bytes());
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    Gateway::start_in(home).await
}

fn echoing() -> Value {
    json!([{"answers": [[{"show": "request"}]]}])
}

/// A model that calls the tool `hello` with these arguments.
fn calling(arguments: &Value) -> Value {
    json!([{"answers": [
        [{"text": "Let me tell the secret. "}, {"call": {"name": "hello", "arguments": arguments}}],
        [{"text": "That was it."}],
    ]}])
}

async fn say(gateway: &Gateway, session: &str, text: &str) -> Answer {
    gateway.client().post(&format!("/sessions/{session}/messages"), json!({"content": text})).await
}

async fn reply(gateway: &Gateway, text: &str) -> String {
    let session = gateway.open_session("ada").await;
    say(gateway, &session, text).await.expect(200)["content"].as_str().unwrap().to_owned()
}

/// What a session has of what was said, a line each: who and what.
async fn transcript(gateway: &Gateway, session: &str) -> Vec<String> {
    gateway.messages(session).await.into_iter().map(|(role, text)| format!("{role}: {text}")).collect()
}

async fn set(gateway: &Gateway, changes: Value) {
    gateway.client().patch("/config", changes).await.expect(200);
}

async fn issues(gateway: &Gateway) -> String {
    gateway.client().get("/status").await.expect(200)["issues"].to_string()
}

#[tokio::test]
async fn a_reply_that_is_filtered_is_never_shown_early() {
    let (telegram, discord) = (FakeTelegram::start().await, FakeDiscord::start().await);
    let script = json!([{"answers": [[
        {"thinking": "ann@example.org, hm"}, {"text": "Write to ann@exam"},
        {"repeat": {"text": "ple.org and ann@exam", "times": 25, "every_ms": 100}}, {"text": "ple.org."}
    ]]}]);
    let channels = [telegram.config(&["*"]), discord.config(&["*"])]
        .map(|config| format!("{config}stream_mode = \"edit\"\n"));
    let home = scripted::home(&script, &format!("{}[filters]\norder = [\"redact\"]\n", channels.concat()));
    home.place_plugin("redact", &Component::of("prx-redact").bytes());
    let gateway = Gateway::start_in(home).await;
    discord.listening(0).await;
    let expected = format!("Write to {}[redacted].", "[redacted] and ".repeat(25));
    telegram.write(1, "who?");
    discord.write(7, "who?");
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let told = gateway.client().stream(&path, json!({"content": "who?"})).await.rest().await;
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["token", "done"], "{told:?}");
    assert_eq!((&told[0].1["text"], &told[1].1["content"]), (&json!(expected), &json!(expected)));
    telegram.until("the reply", |telegram| (telegram.sent_to(1) == [&*expected]).then_some(())).await;
    discord.until("the reply", |discord| (discord.sent_to(7) == [&*expected]).then_some(())).await;
    assert!(!telegram.calls("sendChatAction").is_empty() && !discord.calls("typing").is_empty());
    assert!(telegram.calls("editMessageText").is_empty() && discord.calls("edit").is_empty());
    assert_eq!((telegram.calls("sendMessage").len(), discord.calls("send").len()), (1, 1));
    assert_eq!(transcript(&gateway, &session).await[1], format!("assistant: {expected}"));
    set(&gateway, json!({"filters.order": []})).await;
    telegram.write(1, "who?");
    telegram.until("an edit", |telegram| telegram.calls("editMessageText").first().map(|_| ())).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_filter_that_fails_stops_what_it_is_to_see_or_lets_it_pass_as_the_operator_says() {
    let gateway = filtering("", &echoing()).await;
    let capabilities = gateway.plugin("filtering").await.unwrap()["capabilities"].clone();
    let stages = ["inbound", "outbound", "before-tool", "after-tool"].map(|stage| format!("filter:{stage}"));
    assert_eq!(capabilities, json!(stages));
    for (mood, why) in [
        ("trap", "it broke off"),
        ("hang", "it did not answer within 2s"),
        ("fault", "not today"),
        ("flood", "it puts in 1048577 bytes; 1048576 are the most"),
        ("burst", "it hands over more than"),
    ] {
        set(
            &gateway,
            json!({"plugins_config.filtering.inbound": mood, "filters.filtering.on_error": "refuse"}),
        )
        .await;
        let said = reply(&gateway, "hello").await;
        assert!(
            said.starts_with("This was stopped, for it could not be checked: the filter filtering"),
            "{mood}: {said}"
        );
        let told = issues(&gateway).await;
        assert!(
            told.contains("filter filtering failed when it was asked last") && told.contains(why),
            "{mood}: {told}"
        );
        set(&gateway, json!({"filters.filtering.on_error": "pass"})).await;
        assert!(reply(&gateway, "hello").await.contains("hello"), "{mood}");
        assert!(issues(&gateway).await.contains("goes on without it"), "{mood}");
    }
}

#[tokio::test]
async fn a_reply_that_can_not_be_checked_is_not_shown_until_its_filter_works_again() {
    let gateway = filtering("", &echoing()).await;
    let failing = json!({
        "plugins_config.filtering.inbound": "", "plugins_config.filtering.outbound": "trap",
        "filters.filtering.on_error": "refuse",
    });
    set(&gateway, failing).await;
    let session = gateway.open_session("ada").await;
    let said = say(&gateway, &session, "hello").await.expect(200)["content"].as_str().unwrap().to_owned();
    assert!(said.contains("could not be checked"), "{said}");
    set(&gateway, json!({"plugins_config.filtering.inbound": "trap"})).await;
    until("it to be quarantined", async || {
        say(&gateway, &session, "hello").await.expect(200);
        issues(&gateway).await.contains("filter filtering is not running").then_some(())
    })
    .await;
    let said = transcript(&gateway, &session).await;
    assert!(
        said.iter().all(|line| line == "user: hello"
            || line.contains("could not be checked")
            || line.contains("not passed on")),
        "{said:?}"
    );
    let mended = json!({"plugins_config.filtering.inbound": "", "plugins_config.filtering.outbound": ""});
    set(&gateway, mended).await;
    gateway.client().post("/plugins/filtering/reload", json!({})).await.expect(200);
    assert!(
        say(&gateway, &session, "and now?").await.expect(200)["content"]
            .as_str()
            .unwrap()
            .contains("and now?")
    );
    assert!(!issues(&gateway).await.contains("filtering"), "{}", issues(&gateway).await);
    gateway.client().post("/plugins/filtering/disable", json!({})).await.expect(200);
    assert!(reply(&gateway, "hello").await.contains("could not be checked"));
    set(&gateway, json!({"filters.order": []})).await;
    assert!(reply(&gateway, "hello").await.contains("hello"));
    gateway.client().post("/plugins/filtering/enable", json!({})).await.expect(200);
    assert!(issues(&gateway).await.contains("plugin filtering is a filter, and is asked about nothing"));
}

#[tokio::test]
async fn new_code_that_breaks_gives_way_to_the_code_before() {
    let gateway = filtering("", &echoing()).await;
    let manifest = "[plugin]\nname = \"filtering\"\nversion = \"2.0.0\"\n[config.outbound]\ntype = \"string\"\n\
                    default = \"trap\"\n";
    let bytes = Component::of("filtering").with_manifest(manifest).bytes();
    let client = gateway.client();
    client.upload(hyper::Method::PUT, "/plugins/filtering", "application/wasm", bytes).await.expect(200);
    assert!(reply(&gateway, "hello").await.contains("hello"), "nobody notices");
    until("the code before to serve", async || {
        (gateway.plugin("filtering").await.unwrap()["version"] == "1.0.0").then_some(())
    })
    .await;
    assert!(reply(&gateway, "hello again").await.contains("hello again"));
}

#[tokio::test]
async fn what_a_filter_puts_in_is_what_the_model_reads_and_what_is_kept() {
    let gateway = filtering("", &echoing()).await;
    set(&gateway, json!({"plugins_config.filtering.inbound": "mask"})).await;
    let session = gateway.open_session("ada").await;
    let asked =
        say(&gateway, &session, "the secret word").await.expect(200)["content"].as_str().unwrap().to_owned();
    assert!(asked.contains("the ****** word") && !asked.contains("the secret"), "{asked}");
    set(&gateway, json!({"plugins_config.filtering.inbound": "stop"})).await;
    let stopped = say(&gateway, &session, "a secret again").await.expect(200);
    assert_eq!(stopped["content"], "no secrets here");
    set(&gateway, json!({"plugins_config.filtering.inbound": ""})).await;
    let asked =
        say(&gateway, &session, "what was that?").await.expect(200)["content"].as_str().unwrap().to_owned();
    assert!(asked.contains("what was that?") && !asked.contains("secret again"), "{asked}");
    let said = transcript(&gateway, &session).await;
    assert_eq!(said[0], "user: the ****** word");
    assert!(
        said[2].starts_with("user: [not passed on") && said[3] == "assistant: no secrets here",
        "{said:?}"
    );
    let gateway = gateway.restart().await;
    assert_eq!(transcript(&gateway, &session).await, said);
}

#[tokio::test]
async fn a_call_that_a_filter_changes_is_checked_and_asked_about_as_it_is_then() {
    let policy = "[tools]\npolicy = { \"hello\" = \"ask\" }\n";
    let gateway = filtering(policy, &calling(&json!({"name": "secret"}))).await;
    set(
        &gateway,
        json!({"plugins_config.filtering.before_tool": "mask", "plugins_config.filtering.outbound": "mask"}),
    )
    .await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let mut told = gateway.client().stream(&path, json!({"content": "go"})).await;
    let question = loop {
        let (name, data) = told.next().await.expect("a question");
        assert!(!data.to_string().contains("secret"), "{name} {data}");
        if name == "approval" {
            break data;
        }
    };
    assert_eq!(question["arguments"], json!({"name": "******"}));
    // What was allowed is what is called, whatever the filter says next.
    set(&gateway, json!({"plugins_config.filtering.before_tool": "say:{\"name\": \"Eve\"}"})).await;
    let decision = format!("/sessions/{session}/approvals/{}", question["id"].as_str().unwrap());
    gateway.client().post(&decision, json!({"decision": "allow"})).await.expect(200);
    told.rest().await;
    let said = transcript(&gateway, &session).await;
    assert_eq!(
        said[1..],
        ["assistant: Let me tell the ******. ", "tool: Hello, ******!", "assistant: That was it."]
    );

    set(&gateway, json!({"tools.policy": {"hello": "allow"}, "plugins_config.filtering.before_tool": ""}))
        .await;
    for (key, mood, result) in [
        ("before_tool", "say:{\"name\": 5}", "The arguments don't fit the tool hello"),
        ("before_tool", "say:[]", "could not be checked"),
        ("before_tool", "stop", "hello was not called: no secrets here"),
        ("after_tool", "mask", "Hello, ******!"),
        ("after_tool", "stop", "no secrets here"),
        ("after_tool", "trap", "could not be checked"),
    ] {
        set(&gateway, json!({format!("plugins_config.filtering.{key}"): mood})).await;
        let session = gateway.open_session("ada").await;
        say(&gateway, &session, "go").await.expect(200);
        let said = transcript(&gateway, &session).await;
        assert!(said[2].starts_with("tool: ") && said[2].contains(result), "{key} {mood}: {said:?}");
        assert_eq!(said[3], "assistant: That was it.", "the turn goes on");
        set(&gateway, json!({format!("plugins_config.filtering.{key}"): ""})).await;
    }
    // Over the API, too.
    set(&gateway, json!({"plugins_config.filtering.after_tool": "mask"})).await;
    let called = gateway.call_tool("hello", json!({"name": "the secret"})).await.expect(200);
    assert_eq!(called["content"], "Hello, the ******!");
    set(&gateway, json!({"plugins_config.filtering.before_tool": "stop"})).await;
    let stopped = gateway.call_tool("hello", json!({"name": "the secret"})).await.error(403, "forbidden");
    assert!(stopped.contains("no secrets here"), "{stopped}");
}

#[tokio::test]
async fn what_a_job_says_passes_the_filters_too() {
    let telegram = FakeTelegram::start().await;
    let config = format!(
        "{}[plugins_config.ticking]\nto = \"telegram/7\"\n[grants.ticking]\nkv = \"64KiB\"\n\
         events = {{ publish = [\"ticking.*\"] }}\n[plugins_config.filtering]\noutbound = \"say:checked\"\n",
        telegram.config(&["*"])
    );
    let home = scripted::home(&echoing(), &format!("{ORDER}{config}"));
    home.place_plugin("filtering", &Component::of("filtering").bytes());
    let manifest = "[plugin]\nname = \"ticking\"\nversion = \"1.0.0\"\n[config.to]\ntype = \"string\"\nextends = \"send\"\n\
                    [permissions]\nkv = \"64KiB\"\nevents = { publish = [\"ticking.*\"] }\n\
                    [[schedule]]\nname = \"both\"\ncron = \"0 0 1 1 *\"\n";
    home.place_plugin("ticking", &Component::of("ticking").with_manifest(manifest).bytes());
    telegram.write(7, "hello");
    let gateway = Gateway::start_in(home).await;
    telegram.until("an answer", |telegram| (telegram.sent_to(7) == ["checked"]).then_some(())).await;
    let done = gateway.client().post("/jobs/ticking/both/run", json!({})).await.expect(200);
    assert_eq!(done["status"], "done", "{done}");
    telegram.until("what it says", |telegram| (telegram.sent_to(7) == ["checked"; 2]).then_some(())).await;
    set(&gateway, json!({"plugins_config.filtering.outbound": "trap"})).await;
    gateway.client().post("/jobs/ticking/both/run", json!({})).await.expect(200);
    let said = telegram.until("the next", |telegram| telegram.sent_to(7).get(2).cloned()).await;
    assert!(said.contains("could not be checked"), "{said}");
}

#[tokio::test]
async fn programs_and_mcp_clients_pass_the_filters_too() {
    let looking = json!([{"answers": [[{"call": {"name": "look_up", "arguments": {"for": "the secret"}}}]]}]);
    let gateway = filtering("", &echoing()).await;
    set(&gateway, json!({"plugins_config.filtering": {"inbound": "mask", "before_tool": "mask"}})).await;
    let completion = async |more: Value| {
        let mut body = json!({"messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "My secret is seven."},
            {"role": "assistant", "content": "I see."},
            {"role": "user", "content": "What is my secret?"},
        ]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request = gateway.client().bare(hyper::Method::POST, "/v1/chat/completions");
        let answer = gateway.client().send(request, body.to_string().into()).await;
        answer.expect(200)["choices"][0]["message"].clone()
    };
    // What is said before, too.
    let shown = completion(json!({})).await["content"].as_str().unwrap().to_owned();
    assert!(shown.contains("My ****** is seven.") && shown.contains("What is my ******?"), "{shown}");

    // A call that the caller is to make.
    set(&gateway, json!({"providers_config.scripted.script": looking.to_string()})).await;
    let tools = json!({"tools": [{"type": "function", "function": {"name": "look_up"}}]});
    let call = completion(tools.clone()).await["tool_calls"][0]["function"].clone();
    assert_eq!(call, json!({"name": "look_up", "arguments": r#"{"for":"the ******"}"#}));
    set(&gateway, json!({"plugins_config.filtering.before_tool": "stop"})).await;
    let stopped = completion(tools).await;
    assert_eq!(
        (&stopped["content"], &stopped["tool_calls"]),
        (&json!("no secrets here"), &Value::Null),
        "{stopped}"
    );

    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "hello", "arguments": {"name": "the secret"}}});
    let request =
        gateway.client().bare(hyper::Method::POST, "/mcp").header("content-type", "application/json");
    let request = request.header("accept", "application/json, text/event-stream");
    let answer = gateway.client().send(request, call.to_string().into()).await.expect(200);
    assert!(
        answer["result"]["isError"] == true && answer.to_string().contains("no secrets here"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_no_filter_or_no_stage_is_refused_by_name() {
    let home = Home::new(ORDER);
    home.place_plugin("filtering", &Component::of("filtering").bytes());
    let gateway = Gateway::start_in(home).await;
    for (change, why) in [
        (json!({"filters.order": ["filtering", "redat"]}), "filters.order: there is no plugin redat"),
        (json!({"filters.order": ["agent"]}), "filters.order: agent is no filter; filters are: filtering"),
        (json!({"filters.order": ["filtering", "filtering"]}), "filters.order: filtering is named twice"),
        (json!({"filters.order": "filtering"}), "filters.order takes a list of texts"),
        (
            json!({"filters.filtering.on_error": "ignore"}),
            "filters.filtering.on_error takes one of refuse, pass",
        ),
        (
            json!({"filters.filtering.deadline_ms": 0}),
            "filters.filtering.deadline_ms takes a whole number from",
        ),
        (json!({"filters.filtering.onerror": "pass"}), "did you mean \"on_error\"?"),
    ] {
        let refused = gateway.client().patch("/config", change.clone()).await.error(400, "bad_request");
        assert!(refused.contains(why), "{change}: {refused}");
    }
    let config = gateway.client().get("/config").await.expect(200);
    assert_eq!(config["filters"]["order"], json!(["filtering"]), "nothing is half done: {config}");
    let writer = gateway.home().run(&["auth", "token", "--scope", "config:write"]).await;
    let writer = gateway.client().with_token(Some(writer.stdout.trim()));
    writer.patch("/config", json!({"filters.order": []})).await.error(403, "forbidden");

    let odd = Component::of("filtering").replace("after-tool", "after-fool").bytes();
    let client = gateway.client();
    let odd = client.upload(hyper::Method::PUT, "/plugins/filtering", "application/wasm", odd).await;
    assert!(odd.error(409, "conflict").contains("after-fool"), "{odd}");
    assert!(reply(&gateway, "hello").await.contains("hello"), "the code before goes on");

    let file = gateway.home().plugin_file("filtering");
    let test = |arguments: &[&str]| {
        let arguments = [&["plugin", "test", file.to_str().unwrap()], arguments].concat();
        let (home, arguments) =
            (gateway.home(), arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>());
        async move { home.run(&arguments).await }
    };
    let mask = ["--settings", r#"{"outbound": "mask"}"#, "--text", "a secret", "--stage"];
    let masked = test(&[&mask[..], &["outbound"]].concat()).await;
    assert!(masked.code == Some(0) && masked.stdout.contains("a ******"), "{masked:?}");
    let passed = test(&[&mask[..], &["inbound"]].concat()).await;
    assert!(passed.code == Some(0) && passed.stdout.contains("pass"), "{passed:?}");
    let unknown = test(&[&mask[..], &["afterwards"]].concat()).await;
    assert!(unknown.code != Some(0) && unknown.stderr.contains("afterwards"), "{unknown:?}");
    assert!(unknown.stderr.contains("before-tool"), "it names those there are: {unknown:?}");

    let home = gateway.stop().await;
    home.configure("[filters]\norder = [\"redat\"]\n");
    let checked = home.run(&["config", "check"]).await;
    assert!(format!("{checked:?}").contains("there is no plugin redat"), "{checked:?}");
}

#[tokio::test]
async fn a_voice_message_is_transcribed_or_waits_for_nobody() {
    let (telegram, service) = (FakeTelegram::start().await, Origin::start().await);
    service.answer("/v1/audio/transcriptions", json!({"text": "Is the harbour open?"}));
    let config = format!(
        "{}[filters]\norder = [\"transcribe\"]\n[filters.transcribe]\non_error = \"pass\"\ndeadline_ms = 20000\n\
         [plugins_config.transcribe]\napi_base = \"{}/v1\"\n",
        telegram.config(&["*"]),
        service.url(),
    );
    let home = scripted::home(&echoing(), &config);
    home.place_plugin("transcribe", &Component::of("prx-transcribe").bytes());
    let gateway = Gateway::start_in(home).await;
    telegram.send_file(1, "voice", ("note.ogg", "OggS and more"), "");
    let asked = telegram.until("an answer", |telegram| telegram.sent_to(1).first().cloned()).await;
    assert!(asked.contains("Is the harbour open?"), "{asked}");
    let body = service.sent("/v1/audio/transcriptions").expect("a recording");
    assert!(String::from_utf8_lossy(&body).contains("OggS and more"));
    service.redirect("/v1/audio/transcriptions", "/elsewhere");
    telegram.send_file(1, "voice", ("note2.ogg", "OggS"), "");
    telegram.until("an answer", |telegram| telegram.sent_to(1).get(1).cloned()).await;
    assert!(issues(&gateway).await.contains("the transcription service answers"));
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
    gateway.stop().await;
}
