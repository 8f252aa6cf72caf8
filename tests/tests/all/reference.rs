//! The gateway against the reference page: every endpoint called as the page has it, every example held against what
//! comes back, every parameter, error code and limit tried.
use std::collections::HashMap;

use bytes::Bytes;
use hyper::Method;
use prx_tests::client::{Answer, Client};
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::page::{Endpoint, Page, Parameter};
use prx_tests::telegram::{FakeTelegram, TOKEN};
use prx_tests::wait::until;
use serde_json::{Value, json};

/// What answers have beyond the page, by path in the answer; of the configuration, it shows but a few keys.
const BEYOND: [(&str, &str); 16] = [
    ("GET /status", ".issues"),
    ("GET /status", ".issue_details"),
    ("GET /status", ".usage"),
    ("GET /logs", ".entries[].fields"),
    ("GET /channels", ".channels[].since"),
    ("GET /channels", ".channels[].last_inbound_at"),
    ("GET /channels", ".channels[].last_outbound_at"),
    ("GET /channels", ".channels[].last_error"),
    ("GET /channels", ".channels[].last_error_at"),
    ("GET /channels", ".channels[].next_retry_at"),
    ("GET /channels", ".channels[].advice"),
    ("POST /plugins/:name/reload", ".generation"),
    ("POST /plugins/:name/reload", ".from"),
    ("POST /plugins/:name/reload", ".to"),
    ("POST /plugins/:name/reload", ".rolled_back"),
    ("POST /plugins/:name/reload", ".compile_ms"),
];

/// A gateway with everything that the page's examples show, in the state in which they show it.
struct World {
    gateway: Gateway,
    telegram: FakeTelegram,
}

impl World {
    async fn start() -> Self {
        let telegram = FakeTelegram::start().await;
        let home = Home::new("");
        home.place_plugin("weather", &Component::of("prx-weather").bytes());
        let connected = telegram.config(&["123456789"]);
        let refused =
            connected.replace(".telegram]", ".discord]\nplugin = \"telegram\"").replace(TOKEN, "1:wrong");
        let server = env!("CARGO_BIN_EXE_prx-test-mcp");
        home.configure(&format!(
            "{connected}{refused}[mcp_servers.filesystem]\ncommand = {server:?}\n[grants.weather]\nhttp = \
             [\"https://api.open-meteo.com\", \"https://geocoding-api.open-meteo.com\"]\n"
        ));
        let gateway = Gateway::start_in(home).await;
        let hook =
            json!({"url": "https://example.com/webhook", "events": ["plugin.failed"], "secret": "whsec_x"});
        gateway.client().post("/hooks", hook).await.expect(201);
        let world = Self { gateway, telegram };
        world.settle().await;
        world
    }

    /// Waits until every connection stands, or is known not to, and somebody has talked to the agent.
    async fn settle(&self) {
        let Self { gateway, telegram } = self;
        // Nothing is asked so often that it would be limited.
        until("connections", async || {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            let all = [gateway.channel("telegram").await?, gateway.channel("discord").await?];
            let mcp = gateway.client().get("/mcp").await.expect(200);
            let states = [&all[0]["status"], &all[1]["status"], &mcp["servers"][0]["status"]];
            (states == ["connected", "disconnected", "connected"]).then_some(())
        })
        .await;
        telegram.write(123_456_789, "/summarize One thing. And another.");
        telegram.until("an answer", |telegram| (!telegram.sent().is_empty()).then_some(())).await;
    }
}

#[tokio::test]
async fn every_example_of_the_page_is_what_comes_back() {
    let world = World::start().await;
    let page = Page::read();
    let client = world.gateway.client();
    let mut ids = HashMap::from([
        ("channels", "telegram".to_owned()),
        ("mcp", "filesystem".to_owned()),
        ("plugins", "weather".to_owned()),
    ]);
    for endpoint in &page.endpoints {
        let name = format!("{} {}", endpoint.method, endpoint.path);
        let section = endpoint.path.split('/').nth(1).unwrap();
        let filled = |part| if part == ":id" || part == ":name" { ids[section].as_str() } else { part };
        let path = endpoint.path.split('/').map(filled).collect::<Vec<_>>().join("/");
        let Some(status) = endpoint.status else {
            follow(client, &format!("{path}?level=info")).await;
            continue;
        };
        let path = if path == "/logs" { "/logs?module=agent".to_owned() } else { path };
        let answer = ask(client, endpoint, &path).await;
        assert_eq!(answer.status, status, "{name}: {answer}");
        for header in &page.headers {
            assert!(answer.headers.contains_key(header), "{name} has no {header}");
        }
        let Some(example) = &endpoint.response else {
            assert!(answer.body.is_empty(), "{name}: {answer}");
            continue;
        };
        assert_eq!(answer.headers["content-type"], "application/json", "{name}");
        let answer = answer.json();
        like(example, &answer, &name, "").unwrap_or_else(|problem| panic!("{name}: {problem} in {answer}"));
        if status == 201 {
            ids.insert(section, answer["id"].as_str().unwrap().to_owned());
        }
    }
}

/// Calls an endpoint as the page does: with the body of its example, or with none.
async fn ask(client: &Client, endpoint: &Endpoint, path: &str) -> Answer {
    let request = client.request(Method::from_bytes(endpoint.method.as_bytes()).unwrap(), path);
    match &endpoint.request {
        Some(body) => {
            client.send(request.header("content-type", "application/json"), body.to_string().into()).await
        }
        None => client.send(request, Bytes::new()).await,
    }
}

/// A stream of events, with entries as the page has them.
async fn follow(client: &Client, path: &str) {
    let mut events = client.follow(path, None).await;
    client.get("/status").await.expect(200);
    let (_, entry) = events.next().await.unwrap();
    assert!(entry["timestamp"].is_string() && entry["message"].is_string(), "{path}: {entry}");
}

/// Whether what came back is like an example: the same keys with the same kinds of values, and the same state.
fn like(example: &Value, given: &Value, name: &str, at: &str) -> Result<(), String> {
    match (example, given) {
        (Value::Object(example), Value::Object(given)) => {
            if let Some(strange) =
                given.keys().find(|key| !example.contains_key(*key) && !beyond(name, at, key))
            {
                return Err(format!("{at}.{strange} is not on the page"));
            }
            example.iter().try_for_each(|(key, example)| {
                let at = format!("{at}.{key}");
                let given = given.get(key).ok_or_else(|| format!("{at} is missing"))?;
                match key.as_str() {
                    "status" if name != "GET /status" => same(example, given, &at),
                    _ => like(example, given, name, &at),
                }
            })
        }
        (Value::Array(examples), Value::Array(given)) => {
            let at = format!("{at}[]");
            let fits = |example: &Value, given: &Value| like(example, given, name, &at);
            for example in examples {
                let mut misfits = given.iter().map(|given| fits(example, given).err());
                if misfits.all(|misfit| misfit.is_some()) {
                    let why = given.last().and_then(|given| fits(example, given).err());
                    let why = why.unwrap_or_else(|| "there is none".to_owned());
                    return Err(format!("{at}: nothing like {example}: {why}"));
                }
            }
            let strange =
                given.iter().find(|given| examples.iter().all(|example| fits(example, given).is_err()));
            strange.map_or(Ok(()), |strange| Err(format!("{at}: no example is like {strange}")))
        }
        (Value::String(example), Value::String(given)) if kind(example) == kind(given) => Ok(()),
        (Value::Number(example), Value::Number(given)) if example.is_u64() == given.is_u64() => Ok(()),
        (Value::Bool(_), Value::Bool(_)) | (Value::Null, Value::Null) => Ok(()),
        _ => Err(format!("{at} is {given}, on the page {example}")),
    }
}

fn beyond(name: &str, at: &str, key: &str) -> bool {
    let at = format!("{at}.{key}");
    name == "GET /config" || BEYOND.iter().any(|(route, place)| *route == name && *place == at)
}

fn same(example: &Value, given: &Value, at: &str) -> Result<(), String> {
    (example == given).then_some(()).ok_or_else(|| format!("{at} is {given}, on the page {example}"))
}

/// What a text is: a moment (and how fine), an id with its prefix, something hidden, or any other.
fn kind(text: &str) -> &str {
    match text {
        "***REDACTED***" => text,
        _ if text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z') => "a moment",
        _ => text.split_once('_').map_or("", |(prefix, _)| match prefix {
            "sess" | "hook" => prefix,
            _ => "",
        }),
    }
}

#[tokio::test]
async fn every_parameter_of_the_page_has_its_type_default_and_values() {
    let gateway = Gateway::start("").await;
    let client = gateway.client();
    let session = gateway.open_session("ada").await;
    let said = json!({"content": "hello"});
    client.post(&format!("/sessions/{session}/messages"), said).await.expect(200);
    let document = client.get("/openapi.json").await.expect(200);
    let mut tried = 0;
    for endpoint in Page::read().endpoints.iter().filter(|endpoint| !endpoint.parameters.is_empty()) {
        let path = &endpoint.path;
        let described = &document["paths"][format!("/api/v1{path}")]["get"]["parameters"];
        for parameter in &endpoint.parameters {
            tried += 1;
            let found =
                described.as_array().unwrap().iter().find(|one| one["name"] == parameter.name.as_str());
            let schema =
                &found.unwrap_or_else(|| panic!("{path}: {} is not described", parameter.name))["schema"];
            check_schema(parameter, schema);
            let get = async |value: &str| {
                client.get(&format!("{path}?module=agent&{}={value}", parameter.name)).await
            };
            if let Some(default) = parameter.default.as_deref().filter(|_| parameter.name != "module") {
                let default = if default == "1 hour ago" { "1h" } else { default };
                let without = client.get(&format!("{path}?module=agent")).await.expect(200);
                assert_eq!(
                    get(default).await.expect(200),
                    without,
                    "{}={default} is the default",
                    parameter.name
                );
            }
            for word in &parameter.words {
                get(word).await.expect(200);
            }
            if parameter.kind != "String" || !parameter.words.is_empty() {
                let refused = get("nonsense").await.error(400, "bad_request");
                let named = parameter.words.iter().all(|word| refused.contains(word.as_str()));
                assert!(refused.contains(&parameter.name) && named, "{refused}");
            }
        }
    }
    assert_eq!(tried, 9, "parameters on the page");
}

fn check_schema(parameter: &Parameter, schema: &Value) {
    let kind = match parameter.kind.as_str() {
        "usize" => "integer",
        "bool" => "boolean",
        _ => "string",
    };
    assert_eq!(schema["type"], kind, "{parameter:?}: {schema}");
    if kind == "integer" || !parameter.words.is_empty() {
        let default = schema["default"].as_str().map_or_else(|| schema["default"].to_string(), str::to_owned);
        assert_eq!(Some(default), parameter.default, "{parameter:?}: {schema}");
    }
    let mut words: Vec<&str> =
        schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    words.sort_unstable();
    let mut expected: Vec<&str> = parameter.words.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(words, expected, "{parameter:?}");
}

#[tokio::test]
async fn every_error_of_the_page_has_its_status_and_code() {
    let gateway = Gateway::start("").await;
    let page = Page::read();
    let client = gateway.client();
    let id = page.error["error"]["message"].as_str().unwrap().split(' ').nth(1).unwrap();
    assert_eq!(
        client.get(&format!("/sessions/{id}")).await.expect(404),
        page.error,
        "as on the page, to the letter"
    );

    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}");
    client.delete(&path).await.expect(204);
    let reader = client.post("/auth/tokens", json!({"scopes": ["logs:read"]})).await.expect(201);
    let mut answers = vec![
        client.get("/sessions?limit=many").await,
        client.with_token(None).get("/sessions").await,
        client.with_token(reader["token"].as_str()).get("/sessions").await,
        client.get(&path.replace("sess_", "sess_0")).await,
        client.delete(&path).await,
    ];
    let limits = json!({"rate_limits.enabled": true, "rate_limits.other": 1});
    client.patch("/config", limits).await.expect(200);
    let limited =
        until("a limit", async || Some(client.get("/tools").await).filter(|answer| answer.status == 429));
    answers.push(limited.await);
    for (status, code) in &page.codes {
        // What nobody can bring about is at least described.
        if *status == 500 {
            continue;
        }
        let answer = answers.iter().find(|answer| answer.status == *status);
        let answer = answer.unwrap_or_else(|| panic!("nothing was answered with {status}"));
        answer.error(*status, code);
        assert_eq!(answer.headers.contains_key("www-authenticate"), *status == 401, "{answer}");
        assert_eq!(answer.headers.contains_key("retry-after"), *status == 429, "{answer}");
    }
}

#[tokio::test]
async fn every_group_of_the_page_has_its_limit() {
    let home = Home::empty();
    home.configure("");
    let gateway = Gateway::start_in(home).await;
    let page = Page::read();
    for (group, limit) in &page.limits {
        let (method, path) = match group.as_str() {
            "Sessions (write)" => (Method::POST, "/sessions"),
            "Sessions (read)" => (Method::GET, "/sessions"),
            "Config (write)" => (Method::PATCH, "/config"),
            "All other endpoints" => (Method::GET, "/config"),
            other => panic!("a group that the page did not have: {other}"),
        };
        let answer = gateway.client().upload(method, path, "application/json", "{}").await;
        let number = |name: &str| answer.headers[name].to_str().unwrap().parse::<u64>().unwrap();
        assert_eq!(number("x-ratelimit-limit"), *limit, "{group}");
        assert_eq!(number("x-ratelimit-remaining"), *limit - 1, "{group}");
        assert!(page.headers.iter().all(|name| answer.headers.contains_key(name)), "{answer}");
    }
}
