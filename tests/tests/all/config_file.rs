//! The configuration's file as operators have it: linked, cut short, with foreign line ends, with secrets elsewhere.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use prx_tests::gateway::{Gateway, Home};
use prx_tests::telegram::{FakeTelegram, TOKEN};
use prx_tests::wait::until;
use serde_json::{Value, json};

async fn turns(gateway: &Gateway) -> Value {
    gateway.client().get("/config").await.expect(200)["agent"]["max_turns"].clone()
}

async fn turns_become(gateway: &Gateway, wanted: u64) {
    until(&format!("{wanted} turns"), async || (turns(gateway).await == wanted).then_some(())).await;
}

async fn issue(gateway: &Gateway, words: &str) {
    let told = async || {
        let status = gateway.client().get("/status").await.expect(200);
        let issues = status["issues"].as_array()?.iter().filter_map(Value::as_str).collect::<Vec<_>>();
        issues.iter().any(|issue| issue.contains(words)).then_some(())
    };
    until(&format!("the status to say {words:?}"), told).await;
}

#[tokio::test]
async fn a_linked_file_is_followed_and_changed_where_it_is() {
    let home = Home::new("");
    let link = home.path().join("prx.toml");
    let folders = ["one", "two"].map(|name| home.path().join(name));
    let files = folders.clone().map(|folder| folder.join("prx.toml"));
    for (folder, file) in folders.iter().zip(&files) {
        fs::create_dir(folder).unwrap();
        fs::write(file, "# theirs\r\n[agent]\r\nmax_turns = 3 # few\r\n[rate_limits]\r\nenabled = false\r\n")
            .unwrap();
    }
    fs::remove_file(&link).unwrap();
    // As an orchestrator does it: the path leads through a folder that is a link.
    symlink("one", home.path().join("now")).unwrap();
    symlink("now/prx.toml", &link).unwrap();
    let gateway = Gateway::start_in(home).await;
    assert_eq!(turns(&gateway).await, 3);
    let edited = fs::read_to_string(&files[0]).unwrap().replace("= 3", "= 4");
    fs::write(&files[0], edited).unwrap();
    turns_become(&gateway, 4).await;
    let text = fs::read_to_string(&files[1]).unwrap().replace("= 3", "= 5");
    fs::write(&files[1], text).unwrap();
    symlink("two", gateway.home().path().join("next")).unwrap();
    fs::rename(gateway.home().path().join("next"), gateway.home().path().join("now")).unwrap();
    turns_become(&gateway, 5).await;

    let changes = json!({"agent.max_turns": 6, "memory.top_k": 2});
    gateway.client().patch("/config", changes).await.expect(200);
    let text = fs::read_to_string(&files[1]).unwrap();
    assert!(text.starts_with("# theirs\r\n[agent]\r\nmax_turns = 6 # few\r\n"), "{text:?}");
    assert!(
        text.contains("\r\n[memory]\r\ntop_k = 2\r\n") && !text.replace("\r\n", "").contains('\n'),
        "{text:?}"
    );
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_dir(&folders[1]).unwrap().count(), 1, "no copy with secrets is left");
    let gateway = gateway.restart().await;
    assert_eq!(turns(&gateway).await, 6);
}

#[tokio::test]
async fn a_file_that_is_empty_all_of_a_sudden_is_no_configuration() {
    let gateway = Gateway::start("[agent]\nmax_turns = 3\n").await;
    let good = fs::read_to_string(gateway.home().path().join("prx.toml")).unwrap();
    for empty in ["", "\n"] {
        gateway.home().configure(empty);
        issue(&gateway, "is empty; put it back").await;
        assert_eq!(turns(&gateway).await, 3, "the last good one stays in force");
        let refused = gateway.client().patch("/config", json!({"agent.max_turns": 4})).await;
        assert!(refused.error(409, "conflict").contains("is empty"), "{refused}");
        gateway.home().configure(&good);
        until("all to be well", async || {
            (gateway.client().get("/status").await.expect(200)["status"] == "healthy").then_some(())
        })
        .await;
    }
    // An edit that nobody has noticed yet is not lost.
    gateway.home().configure(&good.replace("= 3", "= 5 # mine"));
    gateway.client().patch("/config", json!({"memory.top_k": 4})).await.expect(200);
    let text = fs::read_to_string(gateway.home().path().join("prx.toml")).unwrap();
    assert!(text.contains("max_turns = 5 # mine") && text.contains("top_k = 4"), "{text}");
    assert_eq!(turns(&gateway).await, 5);

    let home = gateway.stop().await;
    home.configure("");
    for args in [&["serve", "--port", "0"][..], &["config", "check"]] {
        let ended = home.run(args).await;
        assert!(ended.code == Some(78) && ended.stderr.contains("is empty, and was not"), "{ended:?}");
    }
    home.configure("# the defaults are meant\n[rate_limits]\nenabled = false\n");
    let gateway = Gateway::start_in(home).await;
    assert_eq!(turns(&gateway).await, 50);
}

#[tokio::test]
async fn a_secret_that_is_missing_takes_down_what_needs_it_and_nothing_else() {
    let telegram = FakeTelegram::start().await;
    let home = Home::new("");
    let secret = home.path().join("token");
    let server = env!("CARGO_BIN_EXE_prx-test-mcp");
    let table =
        telegram.config(&["*"]).replace(&format!("\"{TOKEN}\""), &format!("\"file:{}\"", secret.display()));
    assert!(table.contains("file:"), "{table}");
    home.configure(&format!(
        "{table}[mcp_servers.near]\ncommand = {server:?}\nenv = {{ KEY = \"env:NOT_SET_ANYWHERE\" }}\n\
         [providers_config.openai]\napi_key = \"env:NOT_SET_ANYWHERE\"\n[rate_limits]\nenabled = false\n"
    ));
    let gateway = Gateway::start_in(home).await;
    for words in [
        "channel telegram is not connected: channels_config.telegram: bot_token: ",
        "plugin openai failed: ",
        "MCP server near is not connected: env.KEY: the environment variable NOT_SET_ANYWHERE is not set",
    ] {
        issue(&gateway, words).await;
    }
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    gateway.client().post(&path, json!({"content": "still here"})).await.expect(200);
    gateway.client().patch("/config", json!({"agent.max_turns": 4})).await.expect(200);

    let connected = async || (gateway.channel("telegram").await?["status"] == "connected").then_some(());
    fs::write(&secret, format!("{TOKEN}\n")).unwrap();
    until("the secret to be taken up", connected).await;
    fs::write(&secret, "1:revoked\n").unwrap();
    until("the new secret to be taken up", async || connected().await.is_none().then_some(())).await;
    fs::write(&secret, TOKEN).unwrap();
    until("the old one to be back", connected).await;
}

/// A file that is mounted over another one, for as long as this lives.
struct Mounted(PathBuf);

impl Mounted {
    /// None: this user, or this machine, can't mount.
    fn over(file: &Path, place: &Path) -> Option<Self> {
        let mounted = Command::new("mount").arg("--bind").args([file, place]).output();
        mounted.is_ok_and(|ended| ended.status.success()).then(|| Self(place.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[tokio::test]
async fn a_mounted_file_is_followed_and_changed_where_it_is() {
    let home = Home::new("");
    let (place, mounted) = (home.path().join("prx.toml"), tempfile::tempdir().unwrap());
    let file = mounted.path().join("theirs.toml");
    fs::write(&file, "[agent]\nmax_turns = 3 # few\n[rate_limits]\nenabled = false\n").unwrap();
    let Some(_mounted) = Mounted::over(&file, &place) else {
        println!("NOT TESTED: nothing can be mounted here");
        return;
    };
    let gateway = Gateway::start_in(home).await;
    assert_eq!(turns(&gateway).await, 3);
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("= 3", "= 4")).unwrap();
    turns_become(&gateway, 4).await;
    gateway.client().patch("/config", json!({"agent.max_turns": 5})).await.expect(200);
    assert!(fs::read_to_string(&file).unwrap().starts_with("[agent]\nmax_turns = 5 # few\n"));
    assert_eq!(turns(&gateway).await, 5);
    for folder in [gateway.home().path(), &gateway.home().data(), mounted.path()] {
        let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
        let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        let copy = |name: &String| name.contains("partial") || name.contains("backup");
        assert!(!names.iter().any(copy), "no copy of its secrets is left: {names:?}");
    }
    gateway.stop().await;
}
