//! Each table of `providers_config` is a provider, also several of one plugin; and models are listed.
use prx_tests::gateway::{Gateway, Home};
use prx_tests::models::{Dialect, FakeModel, KEY};
use prx_tests::origin::Origin;
use serde_json::{Value, json};

#[tokio::test]
async fn two_servers_of_one_kind_are_two_providers() {
    let (near, far) = (FakeModel::start(Dialect::OPENAI).await, FakeModel::start(Dialect::OPENAI).await);
    let table = |name: &str, url: &str| {
        format!("[providers_config.{name}]\nplugin = \"openai\"\napi_key = {KEY:?}\nbase_url = \"{url}\"\n")
    };
    let model = Dialect::OPENAI.model;
    let config = format!(
        "[provider]\nname = \"near\"\nmodel = {model:?}\nfallbacks = [\"far/{model}\"]\n{}{}models = {{ {model:?} = {{ \
         window = 9000, max_output = 700 }} }}\n",
        table("near", &near.url()),
        table("far", &far.url()),
    );
    let gateway = Gateway::start(&config).await;
    let client = gateway.client();
    let path = format!("/sessions/{}/messages", gateway.open_session("ada").await);
    let say = async |text: &str| client.post(&path, json!({"content": text})).await;
    assert_eq!(say("Hello").await.expect(200)["content"], "You said: Hello");
    assert_eq!((near.asked().len(), far.asked().len()), (1, 0));

    near.refuse(401, &[], "{}");
    assert_eq!(say("And now?").await.expect(200)["content"], "You said: And now?", "the other one");
    assert_eq!(far.asked()[0].body["max_tokens"], 700, "as it is set for the model");
    let status = client.get("/status").await.expect(200);
    let issues = status["issues"].to_string();
    assert!(issues.contains("provider near") && issues.contains("providers_config.near.api_key"), "{issues}");
    let capabilities = gateway.plugin("openai").await.unwrap()["capabilities"].clone();
    assert_eq!(capabilities, json!(["provider:openai", "provider:far", "provider:near"]));
    let providers = client.get("/providers").await.expect(200);
    let of = |name: &str| -> Value {
        let all = providers["providers"].as_array().unwrap();
        all.iter().find(|provider| provider["name"] == name).cloned().unwrap()
    };
    assert_eq!((&of("near")["plugin"], &of("near")["in_use"]), (&json!("openai"), &json!(true)));
    let shown = client.get("/config").await.expect(200);
    assert_eq!(shown["providers_config"]["near"]["plugin"], "openai");
    assert!(!shown.to_string().contains(KEY), "{shown}");

    // A change of one table is felt at once, and by it alone.
    let moved = json!({"providers_config.near.base_url": far.url()});
    client.patch("/config", moved).await.expect(200);
    assert_eq!(say("Moved").await.expect(200)["content"], "You said: Moved");
    assert_eq!((near.asked().len(), far.asked().len()), (2, 2));
    for (change, says) in [
        (json!({"providers_config.near.base_ur": "x"}), "base_url"),
        (json!({"providers_config.new.plugin": "opnai"}), "did you mean \"openai\"?"),
        (json!({"providers_config.new.plugin": "telegram"}), "telegram gives no models"),
        (json!({"providers_config.near.models": {"m": {"windw": 7}}}), "did you mean \"window\"?"),
        (json!({"provider.name": "nobody"}), "far"),
    ] {
        let message = client.patch("/config", change).await.error(400, "bad_request");
        assert!(message.contains(says), "{message}");
    }
    client.post("/plugins/openai/disable", json!({})).await.expect(200);
    let message = say("Anyone?").await.error(503, "unavailable");
    assert!(message.contains("There is no provider near now"), "{message}");
    client.post("/plugins/openai/enable", json!({})).await.expect(200);
    assert_eq!(say("Again").await.expect(200)["content"], "You said: Again");
    assert_eq!(near.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn models_are_listed_as_the_server_says() {
    let origin = Origin::start().await;
    let (large, small) = (json!({"id": "vendor/large", "max_model_len": 32768}), json!({"id": "small"}));
    origin.answer("/v1/models", json!({"object": "list", "data": [large, small]}));
    let config = format!(
        "[provider]\nname = \"near\"\nmodel = \"other\"\n[providers_config.near]\nplugin = \"openai\"\nbase_url = \"{}\"\n\
         models = {{ small = {{ window = 4096 }} }}\n",
        origin.url()
    );
    let gateway = Gateway::start_in(Home::new(&config)).await;
    let listed = gateway.client().get("/providers/near/models").await.expect(200);
    let model = |id: &str, window: Value, in_use: bool| json!({"id": id, "window": window, "max_output": null, "in_use": in_use});
    let expected = [
        model("other", Value::Null, true),
        model("small", json!(4096), false),
        model("vendor/large", json!(32768), false),
    ];
    assert_eq!(listed["models"], json!(expected));
    let shown = gateway.home().run(&["model", "list"]).await;
    assert!(shown.stdout.contains("vendor/large") && shown.stdout.contains("32768"), "{}", shown.stdout);
    let missing = gateway.client().get("/providers/nobody/models").await.error(404, "not_found");
    assert!(missing.contains("nobody"), "{missing}");
    let refused = gateway.client().get("/providers/anthropic/models").await.error(502, "bad_gateway");
    assert!(refused.contains("providers_config.anthropic.api_key"), "{refused}");
}
