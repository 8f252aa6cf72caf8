//! A canary in every secret: it sings in no answer, no log line, no error, no metric and no file but its own.
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hyper::Method;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::origin::Origin;
use prx_tests::receiver::Receiver;
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::json;

const CANARY: &str = "canary";

/// A home whose every secret is a canary: written out, in a file, and in the environment.
fn home(telegram: &FakeTelegram, origin: &Origin) -> Home {
    let home = Home::new("");
    let secret = home.path().join("secret");
    fs::write(&secret, "canary-in-a-file\n").unwrap();
    let (file, server, url) = (secret.display(), env!("CARGO_BIN_EXE_prx-test-mcp"), origin.url());
    let works = telegram.config(&["*"]);
    let refused =
        works.replace(".telegram]", ".refused]\nplugin = \"telegram\"").replace("7000001:", "7000002:");
    home.configure(&format!(
        "{works}{refused}[logs]\nlevel = \"trace\"\n[hooks]\nallow_private = true\n[rate_limits]\nenabled = false\n\
         [providers_config.gone]\napi_key = \"canary-of-a-provider\"\nbase_url = \"http://u:canary-in-a-url@127.0.0.1:9\"\n\
         [plugins_config.gone]\npassword = [\"canary-in-a-list\"]\n\
         [mcp_servers.near]\ncommand = {server:?}\nenv = {{ TOKEN = \"file:{file}\", KEY = \"env:CANARY\" }}\n\
         [mcp_servers.torn]\ncommand = \"sh\"\nargs = [\"-c\", \"echo my key is $KEY >&2; exit 3\"]\n\
         env = {{ KEY = \"canary-of-a-process\" }}\n\
         [mcp_servers.far]\nurl = \"{url}/mcp\"\nheaders = {{ authorization = \"Bearer canary-in-a-header\" }}\n"
    ));
    home
}

/// The blob of the file that someone has sent.
async fn sent_file(gateway: &Gateway) -> String {
    let session = gateway.sessions("telegram").await[0]["id"].as_str().unwrap().to_owned();
    let list = gateway.client().get(&format!("/sessions/{session}/messages")).await.expect(200);
    list["messages"][0]["attachments"][0]["blob"].as_str().unwrap().to_owned()
}

/// What every readable route answers, and some errors.
async fn answers(gateway: &Gateway, hook: &str, session: &str) -> Vec<String> {
    let blob = sent_file(gateway).await;
    let client = gateway.client();
    let document = client.get("/openapi.json").await.expect(200);
    let mut answers = Vec::new();
    for path in document["paths"].as_object().unwrap().iter().filter(|(_, path)| path.get("get").is_some()) {
        let id = match path.0 {
            path if path.contains("/hooks/") => hook,
            path if path.contains("/blobs/") => &blob,
            _ => session,
        };
        let name = match path.0 {
            path if path.contains("/channels/") => "refused",
            path if path.contains("/providers/") => "local",
            _ => "telegram",
        };
        let path = path.0.replace("{id}", id).replace("{name}", name);
        if path.ends_with("/stream") || path.ends_with("/events") || path.starts_with("/in/") {
            continue;
        }
        let answer = client
            .send(
                client.bare(Method::GET, &format!("{path}?level=trace&limit=500&user_id=ada")),
                Bytes::new(),
            )
            .await;
        assert_eq!(answer.status, 200, "{path}: {answer}");
        answers.push(format!("{path}: {}", String::from_utf8_lossy(&answer.body)));
    }
    let table = "channels_config.telegram";
    for (path, body) in [
        ("/hooks", json!({"url": "nowhere", "events": ["*"], "secret": "canary-refused"})),
        ("/hooks", json!({"url": "https://a.example", "events": ["x"], "secret": "canary-refused"})),
        ("/mcp/far/reconnect", json!({})),
        ("/channels/refused/restart", json!({})),
        ("/tools/near.fail/call", json!({})),
    ] {
        answers.push(format!("{path}: {}", client.post(path, body).await));
    }
    for changes in [
        json!({format!("{table}.bot_token"): ["canary-refused"]}),
        json!({format!("{table}.bot_tokn"): "canary-refused"}),
        json!({format!("{table}"): {"bot_token": "canary-refused", "more": "canary-refused"}}),
        json!({"mcp_servers.near.env": "canary-refused"}),
        json!({"providers_config.gone.api_key": "canary-taken"}),
    ] {
        answers.push(format!("{changes}", changes = client.patch("/config", changes).await));
    }
    answers
}

/// What the command line says of it.
async fn commands(gateway: &Gateway) -> Vec<String> {
    let mut said = Vec::new();
    for args in [
        &["config", "get"][..],
        &["config", "get", "channels_config", "--json"],
        &["config", "check"],
        &["doctor"],
        &["logs", "--level", "trace", "--limit", "1000"],
        &["mcp", "list"],
        &["channel", "list"],
        &["auth", "list", "--json"],
    ] {
        let ended = gateway.home().run(args).await;
        said.push(format!("prx {args:?}: {}{}", ended.stdout, ended.stderr));
    }
    said
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn holds(file: &Path, text: &str) -> bool {
    fs::read(file).unwrap_or_default().windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn no_secret_is_seen_anywhere_but_in_its_own_place() {
    let (telegram, origin, receiver) =
        (FakeTelegram::start().await, Origin::start().await, Receiver::start().await);
    origin.echo("/mcp");
    let home = home(&telegram, &origin);
    home.warm().await;
    let mut command = home.command(&["serve", "--port", "0"]);
    command.env("CANARY", "canary-in-the-environment");
    let mut gateway = Gateway::launch(home, command).await;
    let token = gateway.home().run(&["auth", "token"]).await.stdout.trim().to_owned();
    gateway.sign_in(&token);
    let events = gateway.client().follow("/events", None).await;
    let log = gateway.client().follow("/logs/stream?level=trace", None).await;

    let hook = json!({"url": receiver.url(), "events": ["*"], "secret": "canary-of-a-hook"});
    let hook = gateway.client().post("/hooks", hook).await.expect(201);
    let session = gateway.open_session("ada").await;
    telegram.send_file(7, "document", ("plan.txt", "the plan"), "hello");
    telegram.until("an answer", |telegram| (!telegram.sent_to(7).is_empty()).then_some(())).await;
    receiver.until(1).await;
    until("everything to have gone its way", async || {
        let mcp = gateway.client().get("/mcp").await.expect(200)["servers"].clone();
        let told = mcp.as_array()?.iter().filter(|server| server["error"].is_string()).count();
        let refused = gateway.channel("refused").await?["error"].is_string();
        (told == 2 && refused).then_some(())
    })
    .await;
    assert!(!origin.asked().is_empty(), "the header was sent, and came back in an error");

    let mut seen = answers(&gateway, hook["id"].as_str().unwrap(), &session).await;
    seen.extend(commands(&gateway).await);
    let output = gateway.output().clone();
    let (home, events, log) = tokio::join!(gateway.stop(), events.rest(), log.rest());
    seen.extend(events.into_iter().chain(log).map(|(_, data)| data.to_string()));
    seen.extend(output.lines());
    let secret = &token[token.len() - 43..];
    for text in &seen {
        assert!(!text.contains(CANARY) && !text.contains(secret), "{text}");
    }
    assert!(seen.iter().any(|text| text.contains("my key is ***REDACTED***")), "what was said is kept");
    let of = |text| files(home.path()).into_iter().filter(|file| holds(file, text)).collect::<Vec<_>>();
    let own = |name: &str| vec![home.path().join(name)];
    assert_eq!(of(secret), Vec::<PathBuf>::new(), "only a digest is kept of a token");
    assert_eq!(of("canary-of-a-hook"), own("data/prx.redb"));
    assert_eq!(of("canary-in-a-file"), own("secret"));
    assert_eq!(of("canary-in-the-environment"), Vec::<PathBuf>::new());
    for text in
        ["canary-AAH", "canary-taken", "canary-in-a-header", "canary-of-a-process", "canary-in-a-list"]
    {
        assert_eq!(of(text), own("prx.toml"), "{text}");
    }
    assert_eq!(of("canary-refused"), Vec::<PathBuf>::new());
}
