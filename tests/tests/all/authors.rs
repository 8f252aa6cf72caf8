//! What `prx plugin` does for those who write plugins, without a gateway.
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use serde_json::{Value, json};

fn file(home: &Home, name: &str, component: &Component) -> String {
    let path = home.path().join(name);
    fs::write(&path, component.bytes()).unwrap();
    path.display().to_string()
}

/// The words for `--kind`.
const KINDS: [&str; 9] =
    ["tool", "skill", "connector", "provider", "agent", "filter", "observer", "job", "route"];

/// A command in this home, with the Rust of whoever runs the tests and everything built in one folder.
fn with_rust(home: &Home, mut command: Command) -> Command {
    command.env("HOME", std::env::var_os("HOME").unwrap()).current_dir(home.path());
    command.env("CARGO_TARGET_DIR", env!("CARGO_TARGET_TMPDIR"));
    // What is built here is run a few times.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
    command
}

#[tokio::test]
async fn a_new_plugin_builds_and_serves() {
    let gateway = Gateway::start("").await;
    let home = gateway.home();
    let made = home.run(&["plugin", "new", "greeter"]).await;
    assert_eq!(made.code, Some(0), "{made:?}");

    let build = with_rust(home, home.command(&["plugin", "build", "greeter", "--json"]));
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
async fn each_kind_begins_with_something_that_passes_its_tests() {
    let home = Home::empty();
    for kind in KINDS {
        let name = format!("my-{kind}");
        // One copy of the SDK for all of them is built once.
        let sdk = if kind == "tool" { &[][..] } else { &["--sdk", "my-tool/vendor/prx-sdk"][..] };
        let made = home.run(&[&["plugin", "new", &name, "--kind", kind], sdk].concat()).await;
        assert_eq!(made.code, Some(0), "{made:?}");
        let text = |file: &str| fs::read_to_string(home.path().join(&name).join(file)).unwrap();
        assert!(text("plugin.toml").contains(&format!("name = {name:?}")), "{}", text("plugin.toml"));
        let readme = text("README.md");
        let is_filled_in = !["{name}", "{component}", "{try}"].iter().any(|part| readme.contains(part));
        assert!(is_filled_in && readme.starts_with(&format!("# {name}\n")), "{readme}");
        assert_eq!(text(".gitignore"), "/target/\n");
        // Each is a workspace of its own; here they are members of one.
        let package = text("Cargo.toml");
        let (package, _) = package.split_once("# Small, and nothing unwinds").unwrap();
        fs::write(home.path().join(&name).join("Cargo.toml"), package).unwrap();
    }
    assert!(fs::read_to_string(home.path().join("my-skill/src/lib.rs")).unwrap().contains("`/my-skill`"));
    let workspace = "[workspace]\nresolver = \"3\"\nmembers = [\"my-*\"]\nexclude = [\"my-tool/vendor\"]\n";
    fs::write(home.path().join("Cargo.toml"), workspace).unwrap();
    fs::copy(home.path().join("my-tool/Cargo.lock"), home.path().join("Cargo.lock")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    // What is needed is what this very test was built with.
    cargo.args(["test", "--offline", "--quiet"]);
    let tested = home.finish_within(with_rust(&home, cargo), Duration::from_secs(600)).await;
    assert_eq!(tested.code, Some(0), "{tested:?}");
    let runs = |line: &str| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<u32>().ok();
    let passed: Vec<u32> = tested.stdout.lines().filter_map(runs).filter(|passed| *passed > 0).collect();
    assert_eq!(passed.len(), KINDS.len(), "each has tests: {tested:?}");
}

#[tokio::test]
async fn what_can_not_be_begun_or_built_is_told_and_leaves_nothing() {
    let home = Home::empty();
    let refused = async |arguments: &[&str], why: &str| {
        let ended = home.run(arguments).await;
        assert!(ended.code != Some(0) && ended.stderr.contains(why), "{arguments:?}: {ended:?}");
    };
    fs::create_dir(home.path().join("taken")).unwrap();
    refused(&["plugin", "new", "taken"], "taken is there already; choose another name").await;
    for name in ["../else", "Upper", "1st", ""] {
        refused(&["plugin", "new", name], "can't be a plugin's name: use a-z, 0-9, _ and -").await;
    }
    refused(&["plugin", "new", "x", "--kind", "toll"], "tool, skill, connector, provider, agent").await;
    refused(&["plugin", "new", "x", "--sdk", "nowhere"], "nowhere: ").await;
    refused(&["plugin", "new", "x", "--sdk", "taken"], "taken is no copy of the SDK").await;
    refused(&["plugin", "sdk", "taken"], "there is no SDK here").await;
    refused(&["plugin", "build", "taken"], "there is no Cargo.toml here").await;
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["taken"]);

    assert_eq!(home.run(&["plugin", "new", "x"]).await.code, Some(0));
    let source = home.path().join("x/vendor/prx-sdk/src/lib.rs");
    let whole = fs::read_to_string(&source).unwrap();
    fs::write(&source, "older").unwrap();
    fs::write(home.path().join("x/vendor/prx-sdk/src/gone.rs"), "").unwrap();
    let renewed = home.run(&["plugin", "sdk", "x"]).await;
    assert!(renewed.code == Some(0) && renewed.stdout.contains("holds the SDK of prx"), "{renewed:?}");
    assert_eq!(fs::read_to_string(&source).unwrap(), whole);
    assert!(!home.path().join("x/vendor/prx-sdk/src/gone.rs").exists());

    let build = async |path: &Path| {
        let mut build = home.command(&["plugin", "build", "x"]);
        build.env("PATH", path);
        home.finish(build).await.stderr
    };
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let none = build(&bin).await;
    assert!(none.contains("rustc can't be run") && none.contains("install Rust"), "{none}");
    fs::write(bin.join("rustc"), "#!/bin/sh\necho /nowhere\n").unwrap();
    fs::set_permissions(bin.join("rustc"), Permissions::from_mode(0o755)).unwrap();
    let no_target = build(&bin).await;
    assert!(no_target.contains("rustup target add wasm32-wasip2"), "{no_target}");
}

#[tokio::test]
async fn a_component_is_checked_and_tried_without_a_gateway() {
    let home = Home::empty();
    let weather = file(&home, "weather.wasm", &Component::of("prx-weather"));
    let checked = home.run(&["plugin", "check", &weather]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let told = [
        "get_forecast",
        "its settings, in prx.toml under [plugins_config.weather]:",
        "if not set, setting it grants calls to its origin: ",
        "prx plugin grant weather --http https://api.open-meteo.com --http https://",
        "[grants.weather]",
    ];
    for words in told {
        assert!(checked.stdout.contains(words), "{words}: {}", checked.stdout);
    }
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

    let standup = file(&home, "standup.wasm", &Component::of("prx-standup"));
    let told = home.run(&["plugin", "test", &standup, "--skill", "standup", "--text", "fixed it"]).await;
    assert!(told.stdout.contains("Done, Next and Blocked"), "{told:?}");
    let none = home.run(&["plugin", "test", &standup, "--skill", "sitdown"]).await;
    assert!(none.stderr.contains("there is no skill sitdown; there are: standup"), "{none:?}");

    let hostile = file(&home, "hostile.wasm", &Component::hostile("hostile", ""));
    let trapped = home.run(&["plugin", "test", &hostile, "--call", "trap"]).await;
    assert!(trapped.code == Some(1) && trapped.stderr.contains("it broke off"), "{trapped:?}");
    assert!(
        trapped.stderr.contains("wasm trap") || trapped.stderr.contains("plugin::hostile"),
        "{trapped:?}"
    );
    assert!(
        trapped.stderr.contains(" ms, with ") && trapped.stderr.contains(" of memory at most"),
        "{trapped:?}"
    );
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
    let unasked = check("").await;
    // All at once, and with what would be said by the code that can't be linked.
    assert!(
        unasked.contains("2 things are wrong:\n- ") || unasked.contains("3 things are wrong:\n- "),
        "{unasked}"
    );
    assert!(unasked.contains("imports prx:plugin/kv@"), "{unasked}");
    assert!(unasked.contains("add `kv = \"1MiB\"` under [permissions]"), "{unasked}");
    assert!(unasked.contains("add `http = [\"https://api.example.com\"]`"), "{unasked}");
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

/// Where an example keeps what it is tried with.
fn example(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path);
    file.display().to_string()
}

#[tokio::test]
async fn what_talks_is_tried_against_a_file() {
    let home = Home::empty();
    let ntfy = file(&home, "ntfy.wasm", &Component::of("prx-ntfy"));
    let settings = r#"{"topic": "home", "access_token": "tk_1"}"#;
    let play = async |component: &str, transcript: &str, settings: &str| {
        let arguments = ["plugin", "test", component, "--transcript", transcript, "--settings", settings];
        home.run(&arguments).await
    };
    let played = play(&ntfy, &example("ntfy/transcript.json"), settings).await;
    assert!(played.code == Some(0) && played.stdout.contains("Who is there?"), "{played:?}");
    // The text of a wrong transcript is shown with what there was instead.
    let wrong = home.path().join("wrong.json").display().to_string();
    let right = fs::read_to_string(example("ntfy/transcript.json")).unwrap();
    fs::write(&wrong, right.replace("[1, 5000]", "[1, 9000]")).unwrap();
    let differs = play(&ntfy, &wrong, settings).await;
    assert!(
        differs.code == Some(1) && differs.stderr.contains("step 2: commands[3].Timer[1] is 5000, not 9000")
    );
    // The manifest's keys count, and what isn't set has its default.
    let unset = play(&ntfy, &wrong, "{}").await;
    assert!(unset.code == Some(1) && unset.stderr.contains("topic: required, and not set"), "{unset:?}");
    fs::write(&wrong, "[{\"events\": [\"Begun\"]}]").unwrap();
    let unknown = play(&ntfy, &wrong, settings).await;
    assert!(unknown.stderr.contains("Begun") && unknown.stderr.contains("a JSON list of"), "{unknown:?}");

    let agent = file(&home, "echo.wasm", &Component::of("prx-echo-agent"));
    let played = play(&agent, &example("echo-agent/transcript.json"), "{}").await;
    assert!(played.code == Some(0) && played.stdout.contains("2: again"), "{played:?}");

    let provider = file(&home, "completions.wasm", &Component::of("prx-completions"));
    let answers = example("completions/answers.json");
    let ask = async |server: &str| {
        let settings = json!({"base_url": server}).to_string();
        let asked =
            ["plugin", "test", &provider, "--ask", "Hello", "--model", "small", "--answers", &answers];
        home.run(&[&asked[..], &["--settings", &settings, "--json"]].concat()).await
    };
    let answered = ask("{server}/v1").await;
    let answer: Value = serde_json::from_str(&answered.stdout).unwrap_or_else(|_| panic!("{answered:?}"));
    assert_eq!((&answer["text"], &answer["pieces"]), (&json!("Hello, you."), &json!(2)));
    assert!(answered.stderr.contains("it asks: POST /v1/chat/completions"), "{answered:?}");
    let away = ask("http://127.0.0.1:1/v1").await;
    assert!(away.code == Some(1) && away.stderr.contains("no answer came from"), "{away:?}");
}
