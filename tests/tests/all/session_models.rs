//! A session may name the model that answers in it.
use prx_tests::client::Client;
use prx_tests::gateway::Gateway;
use prx_tests::models::{Dialect, FakeModel};
use prx_tests::origin::Origin;
use serde_json::{Value, json};

const PATH: &str = "/v1/chat/completions";

/// A server of chat completions that takes every model.
async fn server() -> Origin {
    let origin = Origin::start().await;
    let message = json!({"role": "assistant", "content": "Here."});
    origin.answer(PATH, json!({"choices": [{"message": message, "finish_reason": "stop"}]}));
    origin
}

/// What a server was asked last.
fn asked(server: &Origin) -> Value {
    serde_json::from_slice(&server.sent(PATH).expect("it was asked")).unwrap()
}

/// How often a server was asked for an answer.
fn asked_for(server: &Origin) -> usize {
    server.asked().iter().filter(|path| *path == PATH).count()
}

async fn open(client: &Client, model: &str) -> String {
    let opened = client.post("/sessions", json!({"user_id": "ada", "model": model})).await.expect(201);
    opened["id"].as_str().unwrap().to_owned()
}

async fn say(client: &Client, session: &str) -> Value {
    client.post(&format!("/sessions/{session}/messages"), json!({"content": "Hello"})).await.expect(200)
}

/// Two servers. The first answers where nothing is said; the second has a model set that a session may overrule.
fn config(near: &Origin, far: &Origin) -> String {
    let table = |name: &str, url: &str, more: &str| {
        format!("[providers_config.{name}]\nplugin = \"openai\"\nbase_url = \"{url}\"\n{more}\n")
    };
    format!(
        "[provider]\nname = \"near\"\nmodel = \"usual\"\nfallbacks = [\"far/backup\", \"near/small\"]\n{}{}",
        table("near", &near.url(), "models = { small = { max_output = 77 }, narrow = { window = 300 } }"),
        table("far", &far.url(), "model = \"backup\""),
    )
}

#[tokio::test]
async fn the_model_that_a_session_names_answers_in_it() {
    let (near, far) = (server().await, server().await);
    let gateway = Gateway::start(&config(&near, &far)).await;
    let client = gateway.client();
    let (plain, small) = (gateway.open_session("ada").await, open(client, "small").await);
    let large = open(client, "far/vendor/large").await;
    say(client, &plain).await;
    assert_eq!(asked(&near)["model"], "usual");
    say(client, &small).await;
    assert_eq!((&asked(&near)["model"], &asked(&near)["max_tokens"]), (&json!("small"), &json!(77)));
    say(client, &large).await;
    assert_eq!(asked(&far)["model"], "vendor/large", "and not the one that is set for the provider");

    let shown = async |client: &Client, id: &str| client.get(&format!("/sessions/{id}")).await.expect(200);
    assert_eq!(shown(client, &small).await["model"], "near/small");
    assert_eq!(shown(client, &plain).await.get("model"), None);
    let narrow = open(client, "narrow").await;
    let (long, before) = (json!({"content": "word ".repeat(1000)}), asked_for(&near));
    client.post(&format!("/sessions/{narrow}/messages"), long).await.expect(200);
    assert_eq!(asked_for(&near), before, "its window counts, so that it is not even asked");
    assert_eq!(asked(&far)["model"], "backup");

    let gateway = gateway.restart().await;
    let client = gateway.client();
    client.patch("/config", json!({"provider.model": "newer"})).await.expect(200);
    assert_eq!(shown(client, &large).await["model"], "far/vendor/large");
    say(client, &small).await;
    assert_eq!(asked(&near)["model"], "small", "whatever is configured by now");

    // Where it can't answer, the fallbacks do, and none is asked twice.
    near.echo(PATH);
    let before = asked_for(&near);
    say(client, &small).await;
    assert_eq!((&asked(&far)["model"], asked_for(&near)), (&json!("backup"), before + 1));
    let logs = client.get("/logs?level=warn").await.expect(200).to_string();
    assert!(logs.contains("\"model\":\"small\""), "{logs}");
}

#[tokio::test]
async fn a_model_that_can_not_be_is_refused_with_what_can() {
    let (near, far) = (server().await, server().await);
    let gateway = Gateway::start(&config(&near, &far)).await;
    let client = gateway.client();
    for (model, says) in [
        (json!("nobody/x"), "there are the providers: anthropic, far, local, near, openai"),
        (json!("vendor/large"), "\"near/vendor/large\""),
        (json!("near/"), "begins with no provider and its model"),
        (json!("/large"), "begins with no provider and its model"),
        (json!(""), "`model`"),
        (json!("x".repeat(10_000)), "`model`"),
        (json!("a\nb"), "`model`"),
        (json!(7), "`model`"),
    ] {
        let opened = client.post("/sessions", json!({"model": model})).await;
        let message = opened.error(400, "bad_request");
        assert!(message.contains(says) && message.len() < 2000, "{message}");
    }
    client.post("/sessions", json!({"model": null})).await.expect(201);

    // One that went away later: the turn says so, and the session goes on when it is back.
    client.patch("/config", json!({"provider.fallbacks": []})).await.expect(200);
    let session = open(client, "far/large").await;
    client.patch("/config", json!({"providers_config.far": null})).await.expect(200);
    let gone = client.post(&format!("/sessions/{session}/messages"), json!({"content": "Hello"})).await;
    assert!(gone.error(503, "unavailable").contains("There is no provider far now"), "{gone}");
    let back = json!({"providers_config.far": {"plugin": "openai", "base_url": far.url()}});
    client.patch("/config", back).await.expect(200);
    assert_eq!(say(client, &session).await["content"], "Here.");
}

#[tokio::test]
async fn a_model_that_its_server_refuses_is_the_sessions_to_change() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let gateway = Gateway::start(&model.config("")).await;
        let client = gateway.client();
        // The server refuses every model but its own.
        let session = open(client, "gone-1").await;
        let answer = client.post(&format!("/sessions/{session}/messages"), json!({"content": "Hello"})).await;
        let said = answer.error(502, "bad_gateway");
        assert!(said.contains("this session names it") && said.contains("prx model list"), "{said}");
        let plain = gateway.open_session("ada").await;
        say(client, &plain).await;

        client.patch("/config", json!({"provider.model": "gone-2"})).await.expect(200);
        let answer = client.post(&format!("/sessions/{plain}/messages"), json!({"content": "Hello"})).await;
        let said = answer.error(502, "bad_gateway");
        assert!(!said.contains("this session names it"), "{said}");
        say(client, &open(client, dialect.model).await).await;
        gateway.stop().await;
    }
}
