//! Everything wrong has its own clear message, and leaves nothing half done.

use std::net::TcpListener;

use bytes::Bytes;
use hyper::Method;
use prx_tests::component::{Component, core_module};
use prx_tests::gateway::{Ended, Gateway, Home};
use serde_json::json;

const WASM: &str = "application/wasm";
const JSON: &str = "application/json";

#[tokio::test]
async fn a_body_that_makes_no_sense_is_refused_where_it_stops_making_sense() {
    let gateway = Gateway::start("").await;
    let api = gateway.client();
    for (body, words) in [
        ("{\"channel\": ", &["line 1"][..]),
        ("{\"channel\": \"api\",\n \"user_id\": 5}", &["user_id"]),
        ("{\"metadata\": \"none\"}", &["metadata"]),
        ("[]", &[]),
        ("\"api\"", &[]),
        ("", &[]),
    ] {
        let reason = api.upload(Method::POST, "/sessions", JSON, body).await.error(400, "bad_request");
        for word in words {
            assert!(reason.contains(word), "{body}: {reason}");
        }
    }
    for content_type in ["text/plain", "application/x-www-form-urlencoded"] {
        let refused = api.upload(Method::POST, "/sessions", content_type, "{}").await;
        refused.error(415, "unsupported_media_type");
    }
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    for body in [json!({"content": 1}), json!({}), json!({"content": null})] {
        let reason = api.post(&path, body).await.error(400, "bad_request");
        assert!(reason.contains("content"), "{reason}");
    }
    assert_eq!(gateway.messages(&session).await, []);
    assert_eq!(gateway.sessions("api").await.len(), 1, "no refused body has left a session");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let gateway = Gateway::start("[gateway]\nmax_body_bytes = 2048\n").await;
    let long = json!({"channel": "api", "user_id": "x".repeat(4_000)}).to_string();
    let reason =
        gateway.client().upload(Method::POST, "/sessions", JSON, long).await.error(413, "payload_too_large");
    assert!(reason.contains("2048"), "{reason}");
    gateway.open_session("ada").await;
}

#[tokio::test]
async fn an_unknown_id_is_named() {
    let gateway = Gateway::start("").await;
    let api = gateway.client();
    let named = |reason: String| assert!(reason.contains("nowhere"), "{reason}");
    named(api.get("/sessions/sess_nowhere").await.error(404, "not_found"));
    named(api.delete("/sessions/sess_nowhere").await.error(404, "not_found"));
    named(api.get("/sessions/sess_nowhere/messages").await.error(404, "not_found"));
    named(api.post("/sessions/sess_nowhere/messages", json!({"content": "x"})).await.error(404, "not_found"));
    for verb in ["reload", "disable", "enable", "rollback"] {
        named(api.post(&format!("/plugins/nowhere/{verb}"), json!({})).await.error(404, "not_found"));
    }
    named(api.get("/plugins/nowhere").await.error(404, "not_found"));
    named(api.delete("/plugins/nowhere").await.error(404, "not_found"));
    named(gateway.call_tool("nowhere", json!({})).await.error(404, "not_found"));
    assert_eq!(
        api.get("/sessions/sess_xyz").await.json(),
        json!({"error": {"code": "not_found", "message": "Session sess_xyz not found", "details": null}}),
        "as in the reference"
    );
}

#[tokio::test]
async fn a_parameter_that_makes_no_sense_is_named_with_what_it_takes() {
    let gateway = Gateway::start("").await;
    for (query, words) in [
        ("status=sleeping", ["status", "terminated"]),
        ("limit=0", ["limit", "500"]),
        ("limit=501", ["limit", "500"]),
        ("limit=many", ["limit", "500"]),
        ("offset=-1", ["offset", ""]),
    ] {
        let reason = gateway.client().get(&format!("/sessions?{query}")).await.error(400, "bad_request");
        assert!(words.iter().all(|word| reason.contains(word)), "{query}: {reason}");
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_told() {
    let gateway = Gateway::start("").await;
    let good = gateway.home().run(&["auth", "token"]).await.stdout.trim().to_owned();
    let other_secret = format!("{}{}", &good[..good.len() - 43], "A".repeat(43));
    let other_id = format!("prx_nobody_{}", &good[good.len() - 43..]);
    for token in [None, Some(""), Some("prx_"), Some("hunter2"), Some(&*other_secret), Some(&*other_id)] {
        let stranger = gateway.client().with_token(token);
        for path in ["/sessions", "/plugins", "/status", "/nowhere"] {
            stranger.get(path).await.error(401, "unauthorized");
        }
        stranger.post("/plugins/skills/disable", json!({})).await.error(401, "unauthorized");
    }
    let basic = gateway.client().with_token(None).request(Method::GET, "/status");
    let basic =
        gateway.client().send(basic.header("authorization", "Basic cHJ4OnByeA=="), Bytes::new()).await;
    basic.error(401, "unauthorized");
    assert_eq!(gateway.plugin("skills").await.unwrap()["status"], "loaded");
}

#[tokio::test]
async fn a_token_does_what_its_scopes_say() {
    let gateway = Gateway::start("").await;
    let minted = gateway.home().run(&["auth", "token", "--scope", "sessions:read"]).await;
    assert_eq!(minted.code, Some(0), "{}", minted.stderr);
    let reader = gateway.client().with_token(Some(minted.stdout.trim()));
    reader.get("/sessions").await.expect(200);
    let refused = reader.post("/sessions", json!({"channel": "api", "user_id": "ada"})).await;
    assert!(refused.error(403, "forbidden").contains("sessions:write"), "{refused}");
    let refused = reader.post("/plugins/skills/disable", json!({})).await;
    assert!(refused.error(403, "forbidden").contains("plugins:write"), "{refused}");
    let wrong = gateway.home().run(&["auth", "token", "--scope", "everything"]).await;
    one_line(&wrong, &["everything"]);
    let nothing = gateway.client().post("/auth/tokens", json!({"scopes": []})).await;
    assert!(nothing.error(400, "bad_request").contains("scopes"), "{nothing}");
    for _ in 0..3 {
        let made = gateway.client().post("/auth/tokens", json!({"name": "more"})).await.expect(201);
        assert!(made["expires_at"].is_string(), "who does not say what for has it for a day: {made}");
    }
    let page = gateway.client().get("/auth/tokens?limit=2&offset=3").await.expect(200);
    assert_eq!((page["total"].as_u64(), page["tokens"].as_array().unwrap().len()), (Some(5), 2), "{page}");
    let listed = gateway.home().run(&["auth", "list", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["tokens"].as_array().unwrap()[3..], page["tokens"].as_array().unwrap()[..]);
}

#[tokio::test]
async fn a_wrong_route_and_a_wrong_method_differ() {
    let gateway = Gateway::start("").await;
    let api = gateway.client();
    for path in ["/nowhere", "/sessionss", "/plugins/skills/explode", "/"] {
        api.get(path).await.error(404, "not_found");
    }
    api.send(api.bare(Method::GET, "/api/v2/sessions"), Bytes::new()).await.error(404, "not_found");
    let patched = api.upload(Method::PATCH, "/sessions", JSON, "{}").await;
    patched.error(405, "method_not_allowed");
    let allowed = patched.headers["allow"].to_str().unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST") && !allowed.contains("PATCH"), "{allowed}");
}

#[tokio::test]
async fn a_foreign_host_is_refused() {
    let gateway = Gateway::start("").await;
    let request = hyper::Request::get("/api/v1/status/health").header("host", "evil.example");
    let refused = gateway.client().send(request, Bytes::new()).await;
    refused.error(403, "forbidden");
}

/// Installs what is to be refused, and holds the reason against these words.
async fn refused_for(gateway: &Gateway, what: &str, bytes: Bytes, words: &[&str]) {
    let refused = gateway.client().upload(Method::POST, "/plugins", WASM, bytes).await;
    let body = refused.expect(if refused.status == 409 { 409 } else { 400 });
    let code = if refused.status == 409 { "conflict" } else { "bad_request" };
    let reason = refused.error(refused.status, code);
    assert!(words.iter().all(|word| body.to_string().contains(word)), "{what}: {reason}");
    assert!(!reason.contains('\n') || reason.lines().count() < 8, "{what}: short enough to read: {reason}");
}

#[tokio::test]
async fn a_permission_that_nobody_serves_is_refused_by_name() {
    let gateway = Gateway::start("").await;
    let head = "[plugin]\nname = \"intruder\"\nversion = \"1.0.0\"\ndescription = \"x\"\n";
    let named = |rest: &str| Component::of("prx-test-guests").with_manifest(rest).bytes();
    for (what, bytes, words) in [
        (
            "tools of others",
            named(&format!("{head}[permissions]\ntools = [\"a\"]\n")),
            &["line 6", "permissions.tools", "is not served by this version; remove it from the manifest"][..],
        ),
        (
            "files without a measure",
            named(&format!("{head}[permissions]\nfiles = \"much\"\n")),
            &["line 6", "permissions.files", "is no size; write true, or one such as"],
        ),
    ] {
        refused_for(&gateway, what, bytes, words).await;
    }
}

#[tokio::test]
async fn a_file_that_is_no_plugin_is_refused_for_its_own_reason() {
    let gateway = Gateway::start("").await;
    let plugins = gateway.client().get("/plugins").await.expect(200);
    let good = || Component::hostile("intruder", "");
    let named = |rest: &str| Component::of("prx-test-guests").with_manifest(rest).bytes();
    let head = "[plugin]\nname = \"intruder\"\nversion = \"1.0.0\"\ndescription = \"x\"\n";
    for (what, bytes, words) in [
        ("nothing", Bytes::new(), &[][..]),
        ("noise", Bytes::from_static(b"\x7fELF, or so it seems"), &[]),
        ("half of it", good().truncated().bytes(), &[]),
        ("a core module", core_module(), &["component"]),
        ("no manifest", good().without_manifest().bytes(), &["manifest"]),
        ("another WIT", good().replace("prx:plugin/tool@0.2.0", "prx:plugin/tool@0.9.0").bytes(), &["0.9"]),
        (
            "an import of another WIT",
            good().replace("prx:plugin/log@0.2.0", "prx:plugin/log@0.3.0").bytes(),
            &["log", "0.3"],
        ),
        (
            "an import nobody serves",
            good().replace("prx:plugin/log@0.2.0", "prx:plugin/lag@0.2.0").bytes(),
            &["lag"],
        ),
        ("no name", named("[plugin]\nversion = \"1.0.0\"\ndescription = \"x\"\n"), &["name"]),
        ("no TOML", named("[plugin\nname"), &["line 1"]),
        ("a typo", named(&format!("{head}[permisions]\nhttp = []\n")), &["permisions", "permissions"]),
        ("a wrong type", named(&format!("{head}[limits]\nmemory = true\n")), &["memory"]),
        ("a size that is none", named(&format!("{head}[limits]\nmemory = \"huge\"\n")), &["memory", "huge"]),
        ("a path for a name", named(&head.replace("intruder", "../../intruder")), &["name"]),
        (
            "an origin that is none",
            named(&format!("{head}[permissions]\nhttp = [\"everywhere\"]\n")),
            &["everywhere"],
        ),
    ] {
        refused_for(&gateway, what, bytes, words).await;
    }
    let form = gateway.client().upload(Method::POST, "/plugins", "text/plain", good().bytes()).await;
    form.error(415, "unsupported_media_type");
    assert_eq!(gateway.client().get("/plugins").await.expect(200), plugins, "nothing has changed");
    let folder = gateway.home().data().join("plugins");
    let left = std::fs::read_dir(folder).map(Iterator::count).unwrap_or(0);
    assert_eq!(left, 0, "and nothing is left behind");
}

#[tokio::test]
async fn a_mistake_in_the_configuration_is_found_before_anything_starts() {
    for (config, words) in [
        ("[gateway]\nprot = 3120\n", &["prx.toml:2", "prot", "port"][..]),
        ("[gatewy]\nport = 3120\n", &["prx.toml:1", "gatewy", "gateway"]),
        ("[agent]\n\nmax_turns = \"many\"\n", &["prx.toml:3", "max_turns"]),
        ("[gateway]\nport = 99999\n", &["prx.toml:2", "port"]),
        ("[logs]\nlevel = \"loud\"\n", &["prx.toml:2", "level", "loud"]),
        ("[gateway\nport = 1\n", &["prx.toml:1"]),
    ] {
        let home = Home::empty();
        home.configure(config);
        let ended = home.run(&["serve", "--port", "0"]).await;
        assert_eq!(ended.code, Some(78), "{config}{}", ended.stderr);
        one_line(&ended, words);
        assert!(!home.data().join("prx.redb").exists(), "nothing was begun");
    }
    let home = Home::empty();
    let ended = home.run(&["serve", "--port", "0", "--config", "/nowhere/prx.toml"]).await;
    one_line(&ended, &["/nowhere/prx.toml"]);
}

#[tokio::test]
async fn a_mistake_in_a_plugins_table_is_found_too() {
    for (config, words) in [
        (
            "[channels_config.telegram]\nbot_token = \"1:x\"\nallowd_users = []\n",
            &["prx.toml:3", "allowd_users", "allowed_users"][..],
        ),
        ("[plugins_config.skills]\nlenght = 3\n", &["prx.toml:2", "lenght"]),
        ("[mcp_servers.files]\n\ncomand = \"x\"\n", &["prx.toml:3", "comand", "command"]),
        ("[mcp_servers.both]\ncommand = \"x\"\nurl = \"http://127.0.0.1:1\"\n", &["prx.toml:1", "either"]),
    ] {
        let home = Home::new(config);
        home.warm().await;
        let ended = home.run(&["serve", "--port", "0"]).await;
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        // Plugins say which keys there are, so some of them may have been loaded, and logged it.
        let told: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("prx: ")).collect();
        assert_eq!(told.len(), 1, "{}", ended.stderr);
        for word in words {
            assert!(told[0].contains(word), "{word:?} is in {:?}", told[0]);
        }
        // Nothing is half done: with the mistake mended it starts.
        home.configure("");
        Gateway::start_in(home).await.stop().await;
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let home = Home::new("");
    let ended = home.run(&["serve", "--port", &port]).await;
    one_line(&ended, &[&port, "in use"]);
    // The data directory is free again, and whole.
    Gateway::start_in(home).await.stop().await;
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written_is_named() {
    let home = Home::new("");
    std::fs::write(home.data(), "a file, where a folder should be").unwrap();
    let ended = home.run(&["serve", "--port", "0"]).await;
    one_line(&ended, &["<home>/data"]);
    one_line(&home.run(&["auth", "token"]).await, &["<home>/data"]);
}

#[tokio::test]
async fn a_damaged_store_is_named_and_left_alone() {
    let home = Home::new("");
    std::fs::create_dir(home.data()).unwrap();
    let file = home.data().join("prx.redb");
    std::fs::write(&file, "this was never a database").unwrap();
    let ended = home.run(&["serve", "--port", "0"]).await;
    one_line(&ended, &["<home>/data/prx.redb"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "this was never a database");
}

#[tokio::test]
async fn a_second_gateway_leaves_the_first_alone() {
    let gateway = Gateway::start("").await;
    let session = gateway.open_session("ada").await;
    let second = gateway.home().run(&["serve", "--port", "0"]).await;
    one_line(&second, &["<home>/data"]);
    let path = format!("/sessions/{session}/messages");
    gateway.client().post(&path, json!({"content": "still here"})).await.expect(200);
    let status = gateway.home().run(&["status"]).await;
    assert_eq!(status.code, Some(0), "its socket is still there: {}", status.stderr);
}

#[tokio::test]
async fn a_command_that_fails_says_why_in_one_line() {
    let home = Home::new("");
    one_line(&home.run(&["status"]).await, &["prx serve"]);
    let gateway = Gateway::start_in(home).await;
    one_line(&gateway.home().run(&["session", "show", "sess_nowhere"]).await, &["sess_nowhere"]);
    one_line(&gateway.home().run(&["plugin", "reload", "nowhere"]).await, &["nowhere"]);
    one_line(&gateway.home().run(&["auth", "revoke", "nowhere"]).await, &["nowhere"]);
    one_line(&gateway.home().run(&["auth", "token", "--expires", "soon"]).await, &["soon"]);
    let unknown = gateway.home().run(&["frobnicate"]).await;
    assert!(unknown.code == Some(2) && unknown.stderr.contains("frobnicate"), "{unknown:?}");
}

/// A command that failed, and said why in one line of its standard error alone.
#[track_caller]
fn one_line(ended: &Ended, words: &[&str]) {
    assert!(ended.code.is_some_and(|code| code != 0), "it fails: {ended:?}");
    assert_eq!(ended.stdout, "", "nothing on stdout");
    assert_eq!(ended.stderr.trim_end().lines().count(), 1, "one line:\n{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is in {:?}", ended.stderr);
    }
}
