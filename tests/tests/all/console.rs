//! The page for people: its files as a browser asks for them, and the plugin that serves them as any other one. What the page
//! does is tested in a browser, by `tests/console.sh`.

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use prx_tests::client::{Answer, Client};
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use serde_json::{Value, json};

const HOME: &str = "/console/";
const WASM: &str = "application/wasm";

async fn ask(client: &Client, method: Method, path: &str) -> Answer {
    client.send(client.bare(method, path), Bytes::new()).await
}

async fn get(gateway: &Gateway, path: &str) -> Answer {
    ask(&gateway.client().with_token(None), Method::GET, path).await
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// The address of the script that the page names.
fn script(page: &Answer) -> String {
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    let rest = text.split("<script type=\"module\" src=\"").nth(1).unwrap_or_else(|| panic!("{text}"));
    format!("{HOME}{}", rest.split('"').next().unwrap())
}

#[tokio::test]
async fn anyone_may_load_it_and_it_may_do_nothing() {
    let gateway = Gateway::start("").await;
    let root = get(&gateway, "/").await;
    assert_eq!((root.status, header(&root.headers, "location")), (303, HOME));
    for path in ["/console", "/ext/console/", "/ext/console"] {
        let answer = get(&gateway, path).await;
        assert_eq!((answer.status, header(&answer.headers, "location")), (303, HOME), "{path}");
    }
    let page = get(&gateway, HOME).await;
    assert_eq!((page.status, header(&page.headers, "content-type")), (200, "text/html; charset=utf-8"));
    let policies: Vec<_> = page.headers.get_all("content-security-policy").iter().collect();
    assert_eq!(policies.len(), 1, "as it says it, and no sandbox: {policies:?}");
    assert!(
        header(&page.headers, "content-security-policy")
            .starts_with("default-src 'none'; script-src 'self';")
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(header(&page.headers, name), value);
    }
    let tag = header(&page.headers, "etag");
    let nobody = gateway.client().with_token(None);
    let same = nobody.send(nobody.bare(Method::GET, HOME).header("if-none-match", tag), Bytes::new()).await;
    assert_eq!((same.status, same.body.len()), (304, 0));

    let script = script(&page);
    let file = get(&gateway, &script).await;
    assert_eq!((file.status, header(&file.headers, "content-type")), (200, "text/javascript; charset=utf-8"));
    assert!(header(&file.headers, "cache-control").contains("immutable"));
    let packed =
        nobody.send(nobody.bare(Method::GET, &script).header("accept-encoding", "gzip"), Bytes::new()).await;
    assert_eq!(header(&packed.headers, "content-encoding"), "gzip");
    assert!(packed.body.len() < file.body.len());
    let head = ask(&nobody, Method::HEAD, &script).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(header(&head.headers, "content-length"), file.body.len().to_string());

    assert_eq!(get(&gateway, "/console/nothing").await.status, 404);
    assert_eq!(ask(&nobody, Method::POST, HOME).await.status, 405);
    get(&gateway, "/consol").await.error(401, "unauthorized");
    let plugin = gateway.client().get("/plugins/console").await.expect(200);
    let mut granted = plugin["granted"].clone();
    for (key, value) in [("routes", json!(["/console", "/"])), ("public", json!(true))] {
        assert_eq!(granted.as_object_mut().unwrap().remove(key), Some(value), "{plugin}");
    }
    let is_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(table) => table.values().all(|value| *value == json!([])),
        _ => false,
    };
    assert!(granted.as_object().unwrap().values().all(is_nothing), "and nothing else: {granted}");
}

#[tokio::test]
async fn it_is_switched_off_and_on_like_any_other() {
    let gateway = Gateway::start("").await;
    gateway.client().post("/plugins/console/disable", json!({})).await.expect(200);
    for path in ["/", HOME, "/ext/console/"] {
        get(&gateway, path).await.error(401, "unauthorized");
        ask(gateway.client(), Method::GET, path).await.error(404, "not_found");
    }
    gateway.client().get("/status").await.expect(200);
    let gateway = gateway.restart().await;
    get(&gateway, HOME).await.error(401, "unauthorized");
    gateway.client().post("/plugins/console/enable", json!({})).await.expect(200);
    assert_eq!((get(&gateway, HOME).await.status, get(&gateway, "/").await.status), (200, 303));
}

#[tokio::test]
async fn a_file_in_its_place_is_granted_and_kept_apart() {
    let gateway = Gateway::start("").await;
    let before = script(&get(&gateway, HOME).await);
    let file = Component::of("prx-console").bytes();
    let put = async || gateway.client().upload(Method::PUT, "/plugins/console", WASM, file.clone()).await;
    let refused = put().await;
    refused.error(409, "conflict");
    let details = &refused.json()["error"]["details"];
    assert_eq!(
        (&details["plugin"], &details["missing"]["public"]),
        (&json!("console"), &json!(true)),
        "{details}"
    );
    assert_eq!(get(&gateway, &before).await.status, 200, "the one before goes on");

    let grant = details["missing"].to_string();
    let path = "/plugins/console/grants";
    gateway.client().upload(Method::PUT, path, "application/json", grant).await.expect(200);
    put().await.expect(200);
    let page = get(&gateway, HOME).await;
    let policies: Vec<_> = page.headers.get_all("content-security-policy").iter().collect();
    assert!(policies.iter().any(|policy| policy.to_str().unwrap().starts_with("sandbox")), "{policies:?}");
    gateway.client().delete("/plugins/console").await;
    let page = get(&gateway, HOME).await;
    assert_eq!(
        page.headers.get_all("content-security-policy").iter().count(),
        1,
        "what came with it serves again"
    );
    assert_eq!(get(&gateway, &script(&page)).await.status, 200);
}

#[tokio::test]
async fn who_comes_with_a_plugin_is_told_its_name() {
    let home = Home::new("");
    home.place_plugin("weather", &Component::of("prx-weather").bytes());
    let gateway = Gateway::start_in(home).await;
    let weather = Component::of("prx-weather").bytes();
    let there = gateway.client().upload(Method::POST, "/plugins", WASM, weather).await;
    there.error(409, "conflict");
    assert_eq!(there.json()["error"]["details"], json!({"plugin": "weather"}));
}

/// All that stands in lists of words that a part of the API's description allows.
fn allowed(described: &Value, words: &mut Vec<String>) {
    match described {
        Value::Object(fields) => {
            let listed = fields.get("enum").and_then(Value::as_array).into_iter().flatten();
            words.extend(listed.filter_map(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| allowed(value, words));
        }
        Value::Array(items) => items.iter().for_each(|item| allowed(item, words)),
        _ => {}
    }
}

#[tokio::test]
async fn what_can_be_chosen_on_it_is_what_there_is() {
    let gateway = Gateway::start("").await;
    let described = gateway.client().get("/openapi.json").await.expect(200);
    let release = script(&get(&gateway, HOME).await).replace("app.js", "");
    for (path, file, mark) in [("/auth/tokens", "pages/tokens.js", ':'), ("/hooks", "ui/hooks.js", '.')] {
        let mut there_are = Vec::new();
        allowed(&described["paths"][format!("/api/v1{path}")]["post"]["requestBody"], &mut there_are);
        there_are.retain(|word| word.contains(mark));
        assert!(there_are.len() > 10, "{path}: {there_are:?}");
        let text = String::from_utf8(get(&gateway, &format!("{release}{file}")).await.body.to_vec()).unwrap();
        let offered = text.split('"').filter(|word| {
            let is_word = word.chars().all(|c| c.is_ascii_lowercase() || c == mark);
            is_word && word.contains(mark) && !word.starts_with(mark)
        });
        let mut offered: Vec<&str> = offered.collect();
        offered.sort_unstable();
        there_are.sort();
        assert_eq!(offered, there_are, "{file}");
    }
    let body = &described["paths"]["/api/v1/plugins/{name}/grants"]["put"]["requestBody"];
    let kinds = body["content"]["application/json"]["schema"]["properties"].as_object().unwrap();
    assert!(kinds.len() > 8, "{kinds:?}");
    let form =
        String::from_utf8(get(&gateway, &format!("{release}ui/grants.js")).await.body.to_vec()).unwrap();
    for kind in kinds.keys() {
        let is_there =
            [format!("\"{kind}\""), format!("granted.{kind}")].iter().any(|word| form.contains(word));
        assert!(is_there, "{kind} can be granted, and not on the page");
    }
}

#[tokio::test]
async fn each_key_says_what_it_takes_and_who_has_set_it() {
    let gateway = Gateway::start("[agent]\nmax_turns = 7\n[provider]\nname = \"local\"\n").await;
    let key = async |path: &str| {
        let all = gateway.client().get("/config/keys").await.expect(200);
        all["keys"].as_array().unwrap().iter().find(|row| row["key"] == path).cloned().unwrap()
    };
    let turns = key("agent.max_turns").await;
    assert_eq!(
        (&turns["set_by"], &turns["kind"], &turns["default"], &turns["scope"], &turns["change"]),
        (&json!("file"), &json!("integer"), &json!(50), &json!("config:write"), &json!("at once"))
    );
    assert_eq!(key("provider.name").await["set_by"], "file", "also where it says the default");
    assert_eq!(key("agent.history_messages").await["set_by"], "default");
    let port = key("gateway.port").await;
    assert_eq!(
        (&port["set_by"], &port["change"], &port["scope"]),
        (&json!("command line"), &json!("restart"), &json!("admin"))
    );
    assert_eq!(key("logs.level").await["words"], json!(["trace", "debug", "info", "warn", "error"]));

    gateway
        .client()
        .patch("/config", json!({"agent.max_turns": null, "agent.history_messages": 9}))
        .await
        .expect(200);
    assert_eq!(key("agent.max_turns").await["set_by"], "default");
    assert_eq!(key("agent.history_messages").await["set_by"], "file");
    let made = gateway.client().post("/auth/tokens", json!({"name": "x", "scopes": ["status:read"]})).await;
    let other = gateway.client().with_token(made.expect(201)["token"].as_str());
    other.get("/config/keys").await.error(403, "forbidden");
}
