//! What a token for the configuration may change, key by key: nothing by which its holder runs programs, learns secrets
//! or lets anybody in.
use hyper::Method;
use prx_tests::client::{Answer, Client};
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use serde_json::{Value, json};

const WASM: &str = "application/wasm";

/// The keys of the kernel's own tables that take `admin`.
const ADMIN_KEYS: [&str; 22] = [
    "gateway.host",
    "gateway.port",
    "gateway.allowed_hosts",
    "gateway.cors_origins",
    "gateway.tls_cert",
    "gateway.tls_key",
    "gateway.behind_proxy",
    "gateway.trusted_proxies",
    "store.url",
    "store.sessions_days",
    "store.messages_days",
    "store.audit_days",
    "egress.ca_file",
    "egress.proxy",
    "logs.file",
    "telemetry.otlp_endpoint",
    "telemetry.headers",
    "telemetry.propagate",
    "plugins.sources",
    "plugins.trusted_keys",
    "plugins.require_signature",
    "hooks.allow_private",
];

async fn writer(gateway: &Gateway) -> Client {
    let token = gateway.home().run(&["auth", "token", "--scope", "config:write"]).await;
    gateway.client().with_token(Some(token.stdout.trim()))
}

async fn patch(client: &Client, changes: Value) -> Answer {
    client.patch("/config", changes).await
}

/// Another value than this that the same kind of key takes.
fn another(value: &Value) -> Value {
    match value {
        Value::Bool(truth) => json!(!truth),
        Value::Number(number) => json!(number.as_u64().unwrap() + 1),
        Value::Array(_) => json!(["10.1.0.0/16"]),
        Value::Object(_) => json!({"tool": "deny"}),
        Value::String(word) if word == "allow" => json!("ask"),
        Value::String(word) if word == "info" => json!("debug"),
        Value::String(word) if word == "off" => json!("all"),
        Value::String(word) if word == "UTC" => json!("Europe/Berlin"),
        _ => json!("another"),
    }
}

#[tokio::test]
async fn every_key_of_the_kernel_takes_the_scope_that_the_table_says() {
    let gateway = Gateway::start("").await;
    let writer = writer(&gateway).await;
    let keys = gateway.home().run(&["config", "keys", "--json"]).await;
    let keys: Value = serde_json::from_str(&keys.stdout).unwrap();
    let before = gateway.client().get("/config").await.expect(200);
    let mut guarded = Vec::new();
    for row in keys["keys"].as_array().unwrap() {
        let key = row["key"].as_str().unwrap();
        if row["scope"] == "admin" {
            guarded.push(key);
        }
        if row["takes"].as_str().unwrap().starts_with("only ") {
            continue;
        }
        let value = &before[key.split_once('.').unwrap().0][key.split_once('.').unwrap().1];
        let answer = patch(&writer, json!({key: another(value)})).await;
        if row["scope"] == "admin" {
            let refused = answer.error(403, "forbidden");
            assert!(refused.contains(key) && refused.contains("admin"), "{key}: {refused}");
        } else {
            assert!(matches!(answer.status, 200 | 400), "{key}: {answer}");
            patch(gateway.client(), json!({key: value})).await.expect(200);
        }
    }
    assert_eq!(guarded, ADMIN_KEYS, "whoever adds a key decides whether it is for the operator alone");
    assert_eq!(gateway.client().get("/config").await.expect(200), before);

    // What a model may do with tools is made stricter by anyone who writes the configuration, and looser by the operator.
    patch(&writer, json!({"tools.default_policy": "ask", "tools.policy": {"files.*": "deny"}}))
        .await
        .expect(200);
    for (looser, key) in [
        (json!({"tools.default_policy": null}), "tools.default_policy"),
        (json!({"tools.policy": null}), "tools.policy"),
        (json!({"tools.policy": {"files.*": "deny", "files.read": "allow"}}), "tools.policy"),
        (json!({"tools": {"policy": {"*": "allow"}}}), "tools.policy"),
    ] {
        assert!(patch(&writer, looser).await.error(403, "forbidden").contains(key));
    }
    patch(gateway.client(), json!({"tools.default_policy": null, "tools.policy": null})).await.expect(200);
}

/// Tables of components, with a secret in each.
fn tables() -> String {
    let server = env!("CARGO_BIN_EXE_prx-test-mcp");
    format!(
        "[channels_config.telegram]\nbot_token = \"1:canary\"\napi_base = \"http://127.0.0.1:9\"\n\
         [providers_config.openai]\napi_key = \"canary-key\"\nbase_url = \"http://127.0.0.1:9/v1\"\n\
         [providers_config.anthropic]\nmodel = \"m\"\n\
         [plugins_config.gone]\ncode = \"canary-code\"\nwhere = \"http://127.0.0.1:9\"\nport = 7\n\
         [mcp_servers.files]\ncommand = {server:?}\n[grants.other]\nkv = \"1MiB\"\n"
    )
}

#[tokio::test]
async fn secrets_and_programs_are_the_operators_alone() {
    let gateway = Gateway::start(&tables()).await;
    let writer = writer(&gateway).await;
    let before = gateway.client().get("/config").await.expect(200);
    let (openai, telegram) = ("providers_config.openai", "channels_config.telegram");
    let evil = "http://127.0.0.1:8/";
    for (changes, named) in [
        (json!({"mcp_servers.x.command": "sh"}), "mcp_servers.x.command"),
        (json!({"mcp_servers.x": {"url": evil}}), "mcp_servers.x.url"),
        (
            json!({"mcp_servers": {"files": {"command": "sh", "args": ["-c", "id"]}}}),
            "mcp_servers.files.args",
        ),
        (json!({"mcp_servers.files.env": {"LD_PRELOAD": "/tmp/x"}}), "mcp_servers.files.env"),
        (json!({"mcp_servers.files.env.A": "env:HOME"}), "mcp_servers.files.env"),
        (json!({format!("{openai}.base_url"): evil}), "providers_config.openai.base_url"),
        (json!({format!("{openai}.base_url"): null}), "api_key"),
        (json!({openai: {"base_url": evil, "api_key": "env:HOME"}}), "providers_config.openai.base_url"),
        (json!({format!("{openai}.api_key"): "file:/etc/passwd"}), "providers_config.openai.api_key"),
        (json!({format!("{openai}.model"): "file:/nowhere"}), "providers_config.openai.model"),
        (json!({"providers_config.anthropic.api_key": "env:HOME"}), "providers_config.anthropic.api_key"),
        (json!({"plugins_config": {"new": {"list": ["a", "env:HOME"]}}}), "plugins_config.new.list"),
        (json!({format!("{telegram}.api_base"): evil}), "bot_token"),
        (json!({format!("{telegram}.plugin"): "webhook"}), "channels_config.telegram.plugin"),
        (json!({"plugins_config.gone.where": evil}), "plugins_config.gone.where"),
        (json!({"plugins_config.gone.where": null}), "code"),
        (json!({"grants.other.http": [evil]}), "grants.other"),
        (json!({"grants": {"new": {"memory": "write"}}}), "grants.new"),
        (json!({"grants.other": null}), "grants.other"),
        (json!({"agent.max_turns": 3, "hooks.allow_private": true}), "hooks.allow_private"),
    ] {
        let refused = patch(&writer, changes.clone()).await;
        let words = refused.error(403, "forbidden");
        assert!(words.contains(named) && words.contains("admin"), "{changes}: {words}");
        assert!(!words.contains("No such file") && !words.contains("canary"), "{changes}: {words}");
        assert!(refused.json()["error"]["details"]["problems"].is_array(), "{refused}");
    }
    let put =
        writer.upload(Method::PUT, "/plugins/other/grants", "application/json", r#"{"kv": "2MiB"}"#).await;
    assert!(put.error(403, "forbidden").contains("grants.other"), "{put}");
    assert_eq!(gateway.client().get("/config").await.expect(200), before, "nothing of all that has changed");

    for harmless in [
        json!({format!("{telegram}.allowed_users"): ["7"]}),
        json!({format!("{openai}.model"): "m", "plugins_config.gone.port": 8}),
        json!({format!("{openai}.base_url"): evil, format!("{openai}.api_key"): "a key of my own"}),
        json!({openai: {"base_url": "http://127.0.0.1:7", "api_key": "a key of my own"}}),
        json!({"providers_config.anthropic": {"base_url": evil}}),
        json!({openai: null}),
        json!({telegram: null, "mcp_servers.files": null}),
    ] {
        assert_eq!(patch(&writer, harmless.clone()).await.status, 200, "{harmless}");
    }
    patch(gateway.client(), json!({"mcp_servers.files": {"url": evil}})).await.expect(200);
}

/// A plugin with a key named `pin`, declared like this.
fn keeper(version: u32, pin: &str) -> Component {
    let manifest = format!(
        "[plugin]\nname = \"keeper\"\nversion = \"{version}.0.0\"\ndescription = \"Keeps a pin\"\n{pin}"
    );
    Component::of("prx-hello-tool").with_manifest(&manifest)
}

#[tokio::test]
async fn what_was_secret_once_stays_so_until_the_operator_says_otherwise() {
    let home = Home::new("[plugins_config.keeper]\npin = \"canary\"\n");
    let secret = "[permissions]\nsecrets = [\"pin\"]\n[config.pin]\ntype = \"string\"\nsecret = true\n";
    home.place_plugin("keeper", &keeper(1, secret).bytes());
    let gateway = Gateway::start_in(home).await;
    let hidden = async |gateway: &Gateway| {
        let shown = gateway.client().get("/config").await.expect(200);
        assert_eq!(shown["plugins_config"]["keeper"]["pin"], "***REDACTED***");
    };
    let put = async |gateway: &Gateway, component: Component| {
        gateway.client().upload(Method::PUT, "/plugins/keeper", WASM, component.bytes()).await
    };
    hidden(&gateway).await;
    let plain = || keeper(2, "[config.pin]\ntype = \"string\"\n");
    for other in [plain(), keeper(2, "[config.pin]\ntype = \"array\"\n")] {
        let refused = put(&gateway, other).await;
        let words = refused.error(409, "conflict");
        assert!(words.contains("was a secret (pin)") && words.contains("reveal = [\"pin\"]"), "{words}");
        assert_eq!(refused.json()["error"]["details"]["missing"], json!({"reveal": ["pin"]}));
    }
    assert_eq!(gateway.plugin("keeper").await.unwrap()["version"], "1.0.0");
    put(&gateway, keeper(2, "[config.code]\ntype = \"string\"\n")).await.error(409, "conflict");
    gateway.client().post("/plugins/keeper/disable", json!({})).await.expect(200);
    put(&gateway, plain()).await.error(409, "conflict");
    gateway.client().delete("/plugins/keeper").await.expect(204);
    hidden(&gateway).await;
    gateway.client().upload(Method::POST, "/plugins", WASM, plain().bytes()).await.error(409, "conflict");

    let home = gateway.stop().await;
    home.place_plugin("keeper", &plain().bytes());
    let gateway = Gateway::start_in(home).await;
    assert_eq!(gateway.plugin("keeper").await.unwrap()["status"], "failed", "nor behind the gateway's back");
    hidden(&gateway).await;
    let review = gateway.client().get("/plugins/keeper/grants").await.expect(200);
    assert_eq!(review["missing"], json!({"reveal": ["pin"]}), "{review}");
    assert_eq!(gateway.home().run(&["plugin", "grant", "keeper", "--as-asked"]).await.code, Some(0));
    assert_eq!(gateway.plugin("keeper").await.unwrap()["status"], "loaded");
}

#[tokio::test]
async fn who_takes_a_bundled_plugins_place_is_granted_nothing_of_it() {
    let home = Home::new("");
    home.place_plugin("local", b"no component");
    let gateway = Gateway::start_in(home).await;
    let local = gateway.client().get("/plugins/local").await.expect(200);
    assert_eq!(
        (&local["status"], &local["bundled"]),
        (&json!("loaded"), &json!(true)),
        "junk takes nothing down"
    );
    let status = gateway.client().get("/status").await.expect(200);
    let issue = status["issues"][0].as_str().unwrap();
    assert!(issue.starts_with("plugin local: its file is not used"), "{status}");

    let greedy = "[plugin]\nname = \"memory\"\nversion = \"9.0.0\"\n[permissions]\nmemory = \"write\"\n";
    let greedy = Component::of("prx-memory").with_manifest(greedy).bytes();
    let put = async |bytes| gateway.client().upload(Method::PUT, "/plugins/memory", WASM, bytes).await;
    let refused = put(greedy.clone()).await;
    assert!(refused.error(409, "conflict").contains("[grants.memory]\nmemory = \"write\""), "{refused}");
    let memory = gateway.client().get("/plugins/memory").await.expect(200);
    assert_eq!(
        (&memory["bundled"], &memory["granted"]["memory"]),
        (&json!(true), &json!("write")),
        "{memory}"
    );
    patch(gateway.client(), json!({"grants.memory.memory": "write"})).await.expect(200);
    put(greedy).await.expect(200);
    patch(gateway.client(), json!({"grants.memory": null})).await.expect(200);
    let memory = gateway.client().get("/plugins/memory").await.expect(200);
    assert_eq!(memory["bundled"], true, "what was taken from it must not go on working: {memory}");
    gateway.client().delete("/plugins/memory").await.expect(204);
    let review = gateway.client().get("/plugins/memory/grants").await.expect(200);
    assert_eq!(
        (&review["effective"]["memory"], &review["missing"]),
        (&json!("write"), &Value::Null),
        "{review}"
    );
}
