//! Skills that are folders: brought in by a trigger or by the model, their files read, and followed on disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::scripted;
use prx_tests::wait::until;
use serde_json::{Value, json};

/// Puts `examples/skills/meeting-notes` into a home.
fn install_example(home: &Home) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/skills/meeting-notes");
    for file in ["SKILL.md", "assets/template.md"] {
        write(home, &format!("meeting-notes/{file}"), fs::read(from.join(file)).unwrap());
    }
}

fn write(home: &Home, path: &str, text: impl AsRef<[u8]>) {
    let path = home.data().join("skills").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn skill(home: &Home, name: &str, more: &str) {
    write(
        home,
        &format!("{name}/SKILL.md"),
        format!("---\nname: {name}\ndescription: Does {name}.\n{more}---\nDo {name}.\n"),
    );
}

async fn answer(gateway: &Gateway, session: &str, text: &str) -> String {
    let path = format!("/sessions/{session}/messages");
    let answer = gateway.client().post(&path, json!({"content": text})).await.expect(200);
    answer["content"].as_str().unwrap().to_owned()
}

/// The request that the model was sent for a text.
async fn request(gateway: &Gateway, session: &str, text: &str) -> Value {
    let shown = answer(gateway, session, text).await;
    serde_json::from_str(&shown).unwrap_or_else(|_| panic!("no request: {shown}"))
}

/// What a skill said to the model before the message; none if nothing was brought in.
fn brought_in(request: &Value) -> Option<&str> {
    let messages = request["messages"].as_array().unwrap();
    let before = &messages[messages.len().checked_sub(2)?];
    before["text"].as_str().filter(|_| before["role"] == "user")
}

/// What `GET /skills` says of the local ones.
async fn local(gateway: &Gateway) -> Vec<Value> {
    let list = gateway.client().get("/skills").await.expect(200);
    list["skills"].as_array().unwrap().iter().filter(|skill| skill["source"] == "local").cloned().collect()
}

async fn until_local(gateway: &Gateway, names: &[&str]) -> Vec<Value> {
    until("the folders to be listed", async || {
        let listed = local(gateway).await;
        listed.iter().map(|skill| skill["name"].as_str().unwrap()).eq(names.iter().copied()).then_some(listed)
    })
    .await
}

/// The issue of the status that says these words.
async fn until_issue(gateway: &Gateway, words: &str) -> Value {
    until("the status to say it", async || {
        let status = gateway.client().get("/status").await.expect(200);
        let issues = status["issue_details"].as_array().cloned().unwrap_or_default();
        issues.into_iter().find(|issue| issue["problem"].as_str().unwrap().contains(words))
    })
    .await
}

fn tools(request: &Value) -> Vec<&str> {
    request["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

fn call(skill: &str, file: Option<&str>) -> Value {
    let mut arguments = json!({"name": skill});
    if let Some(file) = file {
        arguments["file"] = file.into();
    }
    json!({"call": {"name": "use_skill", "arguments": arguments}})
}

#[tokio::test]
async fn a_folder_serves_by_its_trigger_and_by_the_models_choice() {
    let example = "meeting-notes";
    let files = ["assets/template.md", "../other/SKILL.md", "link.md", "picture.png", "huge.txt", "none.md"];
    let script = json!([
        {"when": "Choose", "answers": [
            [call(example, None)],
            files.map(|file| call(example, Some(file))),
            [call("other", None), call("summarize", Some("a.md")), call("nobody", None)],
            [{"show": "request"}],
        ]},
        {"answers": [[{"show": "request"}]]},
    ]);
    let config = "[agents.plain]\nskills = [\"sum*\"]\n";
    let home = scripted::home(&script, config);
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    install_example(&home);
    skill(&home, "other", "allowed-tools: hel* Bash(git add *)\n");
    skill(&home, "foreign", "allowed-tools: [Bash, Read]\n");
    write(&home, "meeting-notes/picture.png", [0x89, b'P', 0xff]);
    write(&home, "meeting-notes/huge.txt", " ".repeat(300 << 10));
    symlink("/etc/hostname", home.data().join("skills/meeting-notes/link.md")).unwrap();
    let gateway = Gateway::start_in(home).await;

    let listed = local(&gateway).await;
    let names: Vec<&str> = listed.iter().map(|skill| skill["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["foreign", "meeting-notes", "other"]);
    assert_eq!(listed[1]["triggers"], json!(["/notes", "meeting notes"]));
    assert_eq!(listed[2]["triggers"], json!(["/other"]));
    assert!(listed[1]["description"].as_str().unwrap().starts_with("Turns what was said"), "{listed:?}");
    let shown = gateway.home().run(&["skill", "list"]).await.stdout;
    assert!(shown.contains("meeting-notes") && shown.contains("local"), "{shown}");

    let session = gateway.open_session("ada").await;
    is_brought_in_by_its_trigger(&gateway, &session).await;
    is_brought_in_by_the_model(&gateway, &session).await;
    is_given_to_agents_by_name(&gateway).await;
    gateway.stop().await;
}

/// How the example's template is named beside its instructions.
fn template(gateway: &Gateway) -> String {
    let file = gateway.home().data().join("skills/meeting-notes/assets/template.md");
    format!("- assets/template.md ({} bytes)\n", fs::metadata(file).unwrap().len())
}

async fn is_brought_in_by_its_trigger(gateway: &Gateway, session: &str) {
    let asked = request(gateway, session, "/Notes: we met").await;
    let template = template(gateway);
    let said = brought_in(&asked).unwrap();
    assert!(said.starts_with("# Meeting notes\n") && said.contains(&template), "{said}");
    assert!(said.ends_with("- huge.txt (307200 bytes)\n- picture.png (3 bytes)"), "{said}");
    let messages = asked["messages"].as_array().unwrap();
    assert_eq!(messages.last().unwrap()["text"], "/Notes: we met");
    let all = tools(&asked);
    assert!(all.contains(&"hello") && all.contains(&"use_skill") && all.len() > 2, "{all:?}");
    let narrowed = request(gateway, session, "/other").await;
    assert_eq!(tools(&narrowed), ["hello", "use_skill"]);
    let foreign = request(gateway, session, "/foreign").await;
    assert_eq!(tools(&foreign), all, "names of other products say nothing");
    assert!(gateway.output().says_soon(&["tools that there are not here: Bash, Read"]).await);
}

/// The model then reads what lies beside.
async fn is_brought_in_by_the_model(gateway: &Gateway, session: &str) {
    let template = template(gateway);
    let asked = request(gateway, session, "Choose one").await;
    let results: Vec<(&str, bool)> = asked["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|message| message["role"] == "tool")
        .map(|message| (message["text"].as_str().unwrap(), message["is_error"].as_bool().unwrap()))
        .collect();
    assert_eq!(results.len(), 10, "{asked}");
    assert!(results[0].0.starts_with("# Meeting notes\n") && results[0].0.contains(&template));
    assert!(results[1].0.starts_with("# TITLE, DATE\n"), "{results:?}");
    assert_eq!(results.iter().filter(|(_, is_error)| !is_error).count(), 3, "{results:?}");
    for (result, words) in results[2..7].iter().zip([
        "\"../other/SKILL.md\" leads out of the folder",
        "\"link.md\" leads out of the folder",
        "\"picture.png\" is no text in UTF-8",
        "\"huge.txt\" has 307200 bytes; no more than 256 KiB are read",
        "\"none.md\" is not there",
    ]) {
        assert_eq!(*result, (&*format!("meeting-notes: {words}"), true));
    }
    assert_eq!(results[7], ("Do other.", false));
    assert_eq!(results[8], ("summarize: it has no files", true));
    assert!(
        results[9].0.contains("no skill \"nobody\"") && results[9].0.contains("meeting-notes"),
        "{results:?}"
    );
}

async fn is_given_to_agents_by_name(gateway: &Gateway) {
    let body = json!({"user_id": "ada", "agent": "plain"});
    let plain = gateway.client().post("/sessions", body).await.expect(201)["id"].as_str().unwrap().to_owned();
    let asked = request(gateway, &plain, "/notes: we met").await;
    let shown = asked.to_string();
    assert!(
        !shown.contains("Meeting notes") && !shown.contains("meeting-notes") && shown.contains("summarize"),
        "{shown}"
    );
}

#[tokio::test]
async fn folders_are_followed_on_disk() {
    let home = scripted::home(&json!([{"answers": [[{"show": "request"}]]}]), "");
    let gateway = Gateway::start_in(home).await;
    let session = gateway.open_session("ada").await;
    let healthy = gateway.client().get("/status").await.expect(200);
    assert_eq!((&healthy["status"], local(&gateway).await.len()), (&json!("healthy"), 0));

    install_example(gateway.home());
    until_local(&gateway, &["meeting-notes"]).await;
    let asked = request(&gateway, &session, "/notes x").await;
    assert!(brought_in(&asked).unwrap().starts_with("# Meeting notes"));

    // What is broken does not serve, and says why where people look; mended, it serves again.
    write(
        gateway.home(),
        "meeting-notes/SKILL.md",
        "---\nname: meeting-notes\ndescription: A: b\n---\nNew words.\n",
    );
    let issue = until_issue(
        &gateway,
        "the skill meeting-notes is not used: SKILL.md: its front matter can't be read",
    )
    .await;
    assert!(issue["problem"].as_str().unwrap().contains("line 3"), "{issue}");
    assert_eq!(issue["kind"], "skill");
    assert!(issue["fix"].as_str().unwrap().ends_with("looked at again at once"), "{issue}");
    assert_eq!(local(&gateway).await.len(), 0);
    assert!(gateway.output().says_soon(&["the skill meeting-notes is not used"]).await);
    assert!(!request(&gateway, &session, "/notes y").await["tools"].to_string().contains("meeting-notes"));
    write(
        gateway.home(),
        "meeting-notes/SKILL.md",
        "---\nname: meeting-notes\ndescription: \"A: b\"\n---\nNew words.\n",
    );
    let listed = until_local(&gateway, &["meeting-notes"]).await;
    assert_eq!(
        (&listed[0]["description"], &listed[0]["triggers"]),
        (&json!("A: b"), &json!(["/meeting-notes"]))
    );
    let asked = request(&gateway, &session, "/meeting-notes").await;
    assert!(brought_in(&asked).unwrap().starts_with("New words."));

    // A name serves once, whoever came first.
    skill(gateway.home(), "summarize", "");
    until_issue(&gateway, "skill summarize is already given by plugin skills").await;
    gateway.client().post("/plugins/skills/disable", json!({})).await.expect(200);
    until_local(&gateway, &["meeting-notes", "summarize"]).await;
    let refused = gateway.client().post("/plugins/skills/enable", json!({})).await.error(409, "conflict");
    assert!(refused.contains("skill summarize is already given by the folder skills/summarize"), "{refused}");
    fs::remove_dir_all(gateway.home().data().join("skills/summarize")).unwrap();
    until_local(&gateway, &["meeting-notes"]).await;
    gateway.client().post("/plugins/skills/enable", json!({})).await.expect(200);
    assert!(gateway.skills().await.contains(&"summarize".to_owned()));

    let gateway = gateway.restart().await;
    assert_eq!(gateway.client().get("/status").await.expect(200)["status"], "healthy");
    assert_eq!(local(&gateway).await.len(), 1);
    fs::remove_dir_all(gateway.home().data().join("skills")).unwrap();
    until_local(&gateway, &[]).await;
    assert_eq!(brought_in(&request(&gateway, &session, "/meeting-notes").await), None);
    install_example(gateway.home());
    until_local(&gateway, &["meeting-notes"]).await;

    are_left_out_in_safe_mode(gateway).await;
}

async fn are_left_out_in_safe_mode(gateway: Gateway) {
    let gateway = Gateway::start_with(gateway.stop().await, &["--safe-mode"]).await;
    assert_eq!(local(&gateway).await, Vec::<Value>::new());
    assert!(gateway.plugin("scripted").await.is_none(), "nor are plugins of the operator's served");
    let gateway = gateway.restart().await;
    until_local(&gateway, &["meeting-notes"]).await;
    gateway.stop().await;
}
