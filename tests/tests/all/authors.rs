//! What `prx plugin` does for those who write plugins, without a gateway.
use std::fs;
use std::path::Path;
use std::time::Duration;

use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use serde_json::{Value, json};

fn file(home: &Home, name: &str, component: &Component) -> String {
    let path = home.path().join(name);
    fs::write(&path, component.bytes()).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn a_new_plugin_builds_and_serves() {
    let gateway = Gateway::start("").await;
    let home = gateway.home();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk").display().to_string();
    let made = home.run(&["plugin", "new", "greeter", "--sdk", &sdk]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let again = home.run(&["plugin", "new", "greeter"]).await;
    assert!(again.code == Some(1) && again.stderr.contains("is there already"), "{again:?}");
    assert_eq!(home.run(&["plugin", "new", "../else"]).await.code, Some(1));

    // The versions are those of this repository, so that nothing has to be looked up.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    fs::copy(lock, home.path().join("greeter/Cargo.lock")).unwrap();
    let mut build = home.command(&["plugin", "build", "greeter", "--json"]);
    build.env("HOME", std::env::var_os("HOME").unwrap());
    build.env("CARGO_TARGET_DIR", env!("CARGO_TARGET_TMPDIR"));
    // It compiles all that a plugin is made of, beside whatever else is being tested.
    let built = home.finish_within(build, Duration::from_secs(600)).await;
    assert_eq!(built.code, Some(0), "{built:?}");
    let built: Value = serde_json::from_str(&built.stdout).unwrap();
    assert_eq!((&built["name"], &built["capabilities"]), (&json!("greeter"), &json!(["tool"])));

    let component = built["file"].as_str().unwrap().replace("<home>", &home.path().display().to_string());
    let called = ["plugin", "test", &component, "--call", "hello", "--arguments", r#"{"name": "Ada"}"#];
    assert_eq!(home.run(&called).await.stdout, "Hello, Ada!\n");
    assert_eq!(home.run(&["plugin", "install", &component]).await.code, Some(0));
    let answer = gateway.call_tool("hello", json!({"name": "Ada"})).await.expect(200);
    assert_eq!(answer["content"], "Hello, Ada!");
}

#[tokio::test]
async fn a_component_is_checked_and_tried_without_a_gateway() {
    let home = Home::empty();
    let weather = file(&home, "weather.wasm", &Component::of("prx-weather"));
    let checked = home.run(&["plugin", "check", &weather]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(
        checked.stdout.contains("[grants.weather]"),
        "what it would have to be granted: {}",
        checked.stdout
    );
    let tried = home.run(&["plugin", "test", &weather]).await;
    assert!(tried.stdout.contains("tool:get_forecast"), "{tried:?}");
    let unset = home.run(&["plugin", "test", &weather, "--settings", r#"{"colour": "red"}"#]).await;
    assert!(unset.code == Some(1) && unset.stderr.contains("colour"), "{unset:?}");

    let digest = file(&home, "digest.wasm", &Component::of("prx-daily-digest"));
    let told = async |event: &str| {
        let settings = r#"{"to": "home/1"}"#;
        home.run(&["plugin", "test", &digest, "--settings", settings, "--event", event, "--json"]).await
    };
    assert_eq!(
        serde_json::from_str::<Value>(&told("message.sent").await.stdout).unwrap(),
        json!({"actions": []})
    );
    let unwanted = told("plugin.loaded").await;
    assert!(
        unwanted.code == Some(1) && unwanted.stderr.contains("its manifest asks for session.created"),
        "{unwanted:?}"
    );

    let hostile = file(&home, "hostile.wasm", &Component::hostile("hostile", ""));
    let trapped = home.run(&["plugin", "test", &hostile, "--call", "trap"]).await;
    assert!(trapped.code == Some(1) && trapped.stderr.contains("it broke off"), "{trapped:?}");
    let cut = file(&home, "cut.wasm", &Component::of("prx-weather").truncated());
    for command in ["check", "test"] {
        let refused = home.run(&["plugin", command, &cut]).await;
        assert!(refused.code == Some(1) && refused.stderr.contains("damaged or cut short"), "{refused:?}");
    }
}

#[tokio::test]
async fn what_a_manifest_lacks_or_may_not_ask_for_is_told_its_author() {
    const HEAD: &str = "[plugin]\nname = \"reaching\"\nversion = \"1.0.0\"\n[permissions]\n";
    let home = Home::empty();
    let check = async |rest: &str| {
        let component = Component::of("reaching").with_manifest(&format!("{HEAD}{rest}"));
        let checked = home.run(&["plugin", "check", &file(&home, "reaching.wasm", &component)]).await;
        assert_eq!(checked.code, Some(1), "{checked:?}");
        checked.stderr
    };
    let unasked = check("http = [\"https://api.example.org\"]\n").await;
    assert!(unasked.contains("imports prx:plugin/kv@"), "{unasked}");
    assert!(unasked.contains("add `kv = \"1MiB\"` under [permissions]"), "{unasked}");
    let unserved = check("kv = \"1KiB\"\ntools = [\"a.b\"]\n").await;
    let told =
        "plugin.toml line 6: permissions.tools: is not served by this version; remove it from the manifest";
    assert!(unserved.contains(told), "{unserved}");
}

#[tokio::test]
async fn a_manifest_is_put_into_a_component_of_another_language() {
    let home = Home::empty();
    let bare = file(&home, "bare.wasm", &Component::of("prx-hello-tool").without_manifest());
    let refused = home.run(&["plugin", "check", &bare]).await;
    assert!(refused.stderr.contains("prx plugin build"), "{refused:?}");
    fs::write(home.path().join("plugin.toml"), "[plugin]\nname = \"other\"\nversion = \"2.0.0\"\n").unwrap();
    let output = home.path().join("other.wasm").display().to_string();
    let built = home.run(&["plugin", "build", "--component", &bare, "--output", &output]).await;
    assert_eq!(built.code, Some(0), "{built:?}");
    let tried = home.run(&["plugin", "test", &output, "--json"]).await;
    let tried: Value = serde_json::from_str(&tried.stdout).unwrap();
    assert_eq!(tried, json!({"name": "other", "capabilities": ["tool:hello"]}));

    fs::write(home.path().join("plugin.toml"), "[plugin]\nname = \"Other\"\nversion = \"2.0.0\"\n").unwrap();
    let wrong = home.run(&["plugin", "build", "--component", &bare, "--output", &output]).await;
    assert!(wrong.code == Some(1) && wrong.stderr.contains("plugin.toml line 2"), "{wrong:?}");
}
