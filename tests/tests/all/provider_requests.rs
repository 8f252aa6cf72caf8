//! What an operator adds to the requests for models: headers, which may be secret, and fields of the body.
use std::fs;

use prx_tests::gateway::{Gateway, Home};
use prx_tests::models::{Dialect, FakeModel};
use prx_tests::wait::until;
use serde_json::{Value, json};

const CANARY: &str = "canary-9vKx2LmQ7pRt";

#[tokio::test]
async fn headers_and_fields_of_the_operators_own_go_along_and_secrets_stay() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let home = Home::new("");
        let file = home.path().join("account");
        fs::write(&file, format!("{CANARY}\n")).unwrap();
        let more = format!(
            "headers = {{ X-Title = \"PRX in a test\", x-account = \"file:{0}\", x-more = \"Bearer file:{0}\" }}\n\
             extra = {{ top_k = 40, metadata = {{ user_id = \"u\" }} }}",
            file.display()
        );
        home.configure(&format!("{}[rate_limits]\nenabled = false\n", model.config(&more)));
        let gateway = Gateway::start_in(home).await;
        let client = gateway.client();
        let say = async |text: &str| {
            let path = format!("/sessions/{}/messages", gateway.open_session("ada").await);
            client.post(&path, json!({"content": text})).await.expect(200)
        };
        let answer = say(&format!("PRX in a test knows {CANARY}")).await;
        assert_eq!(answer["content"], "You said: PRX in a test knows ***REDACTED***");
        let asked = model.asked().remove(0);
        let of = |name: &str| {
            asked.headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            (of("x-title"), of("x-account")),
            (vec!["PRX in a test".to_owned()], vec![CANARY.to_owned()])
        );
        assert_eq!(of("x-more"), [format!("Bearer {CANARY}")]);
        assert_eq!((&asked.body["top_k"], &asked.body["metadata"]["user_id"]), (&json!(40), &json!("u")));

        let shown = client.get("/config").await.expect(200);
        let table = &shown["providers_config"][dialect.provider];
        let hidden = "***REDACTED***";
        assert_eq!(table["headers"], json!({"X-Title": hidden, "x-account": hidden, "x-more": hidden}));
        assert_eq!(table["extra"]["top_k"], 40);
        let logs = client.get("/logs?level=trace&limit=1000").await.expect(200).to_string();
        assert!(!logs.contains(CANARY) && !shown.to_string().contains(CANARY), "{logs}");

        // A new value in the file is taken up by itself, and one header is set by its own key.
        fs::write(&file, "other-5sWq8zNd").unwrap();
        until("the new value", async || {
            say("And now?").await;
            let asked = model.asked().pop().unwrap();
            (asked.headers["x-account"] == "other-5sWq8zNd").then_some(())
        })
        .await;
        let key = format!("providers_config.{}.headers.X-Title", dialect.provider);
        client.patch("/config", json!({ key: "Another" })).await.expect(200);
        say("Who asks?").await;
        assert_eq!(model.asked().pop().unwrap().headers["x-title"], "Another");
        assert_eq!(model.broken_rules(), Vec::<String>::new());
        gateway.stop().await;
    }
}

#[tokio::test]
async fn what_can_not_be_added_is_refused_with_its_name() {
    let gateway = Gateway::start("").await;
    let client = gateway.client();
    let many: Value =
        (0..33).map(|n| (format!("x-{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    let wide: Value = (0..65).map(|n| (format!("f{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    for provider in ["openai", "anthropic"] {
        for (key, value, says) in [
            ("headers", json!(["X-Title: PRX"]), "headers must be a table of headers"),
            ("headers", json!({"Host": "example.com"}), "headers.Host is a header of the gateway's own"),
            (
                "headers",
                json!({"content-length": "7"}),
                "headers.content-length is a header of the gateway's own",
            ),
            (
                "headers",
                json!({"Content-Type": "text/plain"}),
                "headers.Content-Type is a header of the gateway's own",
            ),
            ("headers", json!({"X A": "v"}), "headers.X A is no name of a header"),
            ("headers", json!({"X-A": "v\r\nX-B: w"}), "headers.X-A has line breaks"),
            ("headers", json!({"X-A": 7}), "headers.X-A must be a text"),
            ("headers", json!({"X-A": ""}), "headers.X-A the secret is empty"),
            ("headers", json!({"X-A": "v".repeat(9000)}), "headers.X-A has 9000 bytes"),
            ("headers", json!({"X-A": "v", "x-a": "w"}), "is set twice"),
            ("headers", json!({"X-A": "env:PRX_NOT_SET"}), "PRX_NOT_SET is not set"),
            ("headers", many.clone(), "headers has 33 headers; 32 can be set"),
            ("extra", json!("{\"top_k\": 40}"), "extra must be a table"),
            ("extra", json!({"messages": []}), "extra can't have `messages`"),
            ("extra", json!({"stream": false}), "extra can't have `stream`"),
            ("extra", json!({"tools": []}), "extra can't have `tools`"),
            ("extra", json!({"model": "m"}), "extra can't have `model`"),
            ("extra", json!({"x": "y".repeat(70_000)}), "65536 can be set"),
            ("extra", wide.clone(), "extra has 65 entries; 64 can be set"),
        ] {
            let key = format!("providers_config.{provider}.{key}");
            let message = client.patch("/config", json!({ key: value })).await.error(400, "bad_request");
            let said = message.replace(": ", " ");
            assert!(
                said.contains(&format!("providers_config.{provider}.")) && said.contains(says),
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn a_word_that_is_none_is_refused_and_so_is_a_start_with_what_can_not_be() {
    let gateway = Gateway::start("").await;
    let client = gateway.client();
    for (key, says) in [
        ("api", "must be one of chat, responses, auto, not \"nonsense\""),
        ("token_limit", "must be one of max_tokens, max_completion_tokens, auto"),
        ("schemas", "must be one of whole, plain, auto"),
        ("max_tools", "must be a whole number"),
    ] {
        let key = format!("providers_config.openai.{key}");
        let message =
            client.patch("/config", json!({ key.as_str(): "nonsense" })).await.error(400, "bad_request");
        assert!(message.contains(&key) && message.contains(says), "{message}");
    }

    let home = Home::new("[providers_config.openai]\nextra = { messages = [] }\n");
    let checked = home.run(&["config", "check"]).await;
    assert_eq!(checked.code, Some(78), "{checked:?}");
    assert!(checked.stderr.contains("providers_config.openai.extra"), "{}", checked.stderr);
    // What is missing elsewhere takes down the provider alone.
    home.configure("[providers_config.openai]\nheaders = { X-A = \"env:PRX_NOT_SET\" }\n");
    let gateway = Gateway::start_in(home).await;
    let issues = gateway.client().get("/status").await.expect(200)["issues"].to_string();
    assert!(issues.contains("PRX_NOT_SET"), "{issues}");
}
