//! What is kept goes into one file and comes back elsewhere, whatever goes on meanwhile.
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::GzDecoder;
use prx_tests::gateway::{Ended, Gateway, Home};
use prx_tests::scale::scaled;
use prx_tests::wait::until;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// People who write at the same time, each in a session of their own.
const WRITERS: usize = 20;

fn said(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// The command with a limit to how large a file may become, in blocks of 512 bytes.
fn limited(home: &Home, args: &[&str], blocks: usize) -> Command {
    let whole = home.command(args);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""));
    shell.arg(whole.get_program()).args(whole.get_args()).current_dir(home.path());
    shell.env("HOME", home.path());
    shell
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_that_is_taken_while_messages_arrive_has_each_that_was_answered_before() {
    let before = scaled(60, 6_000);
    let gateway = Gateway::start("[agent]\nmax_turns = 1000000\n").await;
    let answered: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let mut writers = JoinSet::new();
    let pace = Duration::from_millis(scaled(500, 100) as u64);
    for writer in 0..WRITERS {
        let session = gateway.open_session(&format!("user-{writer}")).await;
        let (client, answered) = (gateway.client().clone(), Arc::clone(&answered));
        writers.spawn(async move {
            let mut pace = interval(pace);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for n in 0.. {
                pace.tick().await;
                let text = format!("[{writer}:{n}]");
                let path = format!("/sessions/{session}/messages");
                client.post(&path, json!({"content": text})).await.expect(200);
                answered.lock().unwrap().push((session.clone(), text));
            }
        });
    }
    until("enough messages", async || (answered.lock().unwrap().len() >= before).then_some(())).await;
    let expected = answered.lock().unwrap().clone();
    let made = said(&gateway.home().run(&["backup", "now.prx", "--json"]).await);
    writers.abort_all();
    let file = gateway.home().path().join("now.prx");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{made}");
    assert_eq!(names(&gateway.home().data()).iter().filter(|name| name.contains("partial")).count(), 0);
    let elsewhere = Home::empty();
    let restored = elsewhere.plain(&["restore", &file.display().to_string(), "--json", "--data-dir", "data"]);
    let mut restored = restored;
    restored.args(["--config", "prx.toml"]);
    let restored = said(&elsewhere.finish(restored).await);
    assert_eq!(restored["faults"], json!([]), "{restored}");
    elsewhere.warm_store().await;
    let there = Gateway::start_in(elsewhere).await;
    let mut sessions: Vec<&String> = expected.iter().map(|(session, _)| session).collect();
    sessions.sort();
    sessions.dedup();
    for session in sessions {
        let kept = there.messages(session).await;
        for (_, text) in expected.iter().filter(|(of, _)| of == session) {
            let times = kept.iter().filter(|(role, content)| role == "user" && content == text).count();
            assert_eq!(times, 1, "{text} of {session}");
        }
    }
    let config = fs::read_to_string(there.home().path().join("prx.toml")).unwrap();
    assert!(config.contains("max_turns = 1000000"), "{config}");
    let checked = said(&there.home().run(&["store", "check", "--json"]).await);
    assert_eq!(checked["faults"], json!([]), "{checked}");
    assert_eq!(checked["rows"]["sessions"], WRITERS, "{checked}");
}

#[tokio::test]
async fn a_restore_is_whole_or_nothing_and_says_what_is_in_its_way() {
    let gateway = Gateway::start("").await;
    let session = gateway.open_session("ada").await;
    let home = gateway.home();
    fs::create_dir_all(home.data().join("skills/tea")).unwrap();
    fs::write(home.data().join("skills/tea/SKILL.md"), "---\nname: tea\ndescription: Tea.\n---\nBoil.\n")
        .unwrap();
    let refused = async |args: &[&str], why: &str| {
        let ended = home.run(args).await;
        assert!(ended.code == Some(1) && ended.stderr.contains(why), "{why}: {ended:?}");
    };
    let full = home.finish(limited(home, &["backup", "a.prx"], 4)).await;
    assert!(full.code == Some(1) && full.stderr.contains("a.prx.partial: File too large"), "{full:?}");
    assert!(!names(home.path()).iter().any(|name| name.starts_with("a.prx")), "{full:?}");
    // What an attempt has left that was killed is in nobody's way.
    fs::write(home.path().join("a.prx.partial"), "half").unwrap();
    let made = home.run(&["backup", "a.prx"]).await;
    assert!(
        made.code == Some(0) && made.stdout.contains("a.prx: ") && made.stdout.contains("verified"),
        "{made:?}"
    );
    refused(&["backup", "prx.toml"], "prx.toml is there, and is no backup").await;
    refused(&["backup", "none/a.prx"], "none/a.prx.partial: No such file or directory").await;
    refused(&["restore", "a.prx", "--force"], "a gateway runs on <home>/data; stop it").await;
    let nowhere = home.finish(home.plain(&["restore", "none.prx", "--data-dir", "other"])).await;
    assert!(nowhere.stderr.contains("none.prx: No such file or directory"), "{nowhere:?}");
    let audit = gateway.client().get("/audit").await.expect(200);
    let audited =
        audit["entries"].as_array().unwrap().iter().filter(|deed| deed["action"] == "store.backed_up");
    assert_eq!(audited.count(), 2, "{audit}");
    let narrow = home.run(&["auth", "token", "--scope", "status:read"]).await;
    let narrow = gateway.client().with_token(Some(narrow.stdout.trim()));
    narrow.get("/store/backup").await.error(403, "forbidden");
    narrow.get("/store/check").await.error(403, "forbidden");

    let home = gateway.stop().await;
    // Also without a gateway, in place of the one that is there.
    let again = home.run(&["backup", "a.prx"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let occupied = home.run(&["restore", "a.prx"]).await;
    assert!(occupied.stderr.contains("<home>/data is not empty"), "{occupied:?}");
    let full = home.finish(limited(&home, &["restore", "a.prx", "--force"], 4)).await;
    assert!(full.code == Some(1) && full.stderr.contains("File too large"), "{full:?}");
    let held = prx_store::Store::open(&home.data(), prx_base::clock::Clock::system()).unwrap();
    let in_use = home.run(&["restore", "a.prx", "--force"]).await;
    assert!(in_use.code == Some(1) && in_use.stderr.contains("in use by another prx process"), "{in_use:?}");
    held.close().await;
    assert!(!names(home.path()).iter().any(|name| name.starts_with("data.")), "{:?}", names(home.path()));
    fs::write(home.data().join("skills/tea/SKILL.md"), "changed since").unwrap();
    let forced = home.run(&["restore", "a.prx", "--force"]).await;
    assert!(forced.code == Some(0) && forced.stderr.contains("what was there before is in"), "{forced:?}");
    home.warm_store().await;
    let gateway = Gateway::start_in(home).await;
    assert_eq!(gateway.skills().await.iter().filter(|name| *name == "tea").count(), 1);
    gateway.client().get(&format!("/sessions/{session}")).await.expect(200);
    let aside =
        names(gateway.home().path()).into_iter().find(|name| name.starts_with("data.before-")).unwrap();
    let aside = gateway.home().path().join(aside);
    assert_eq!(fs::read_to_string(aside.join("skills/tea/SKILL.md")).unwrap(), "changed since");
}

#[tokio::test]
async fn a_store_that_an_earlier_version_has_written_goes_on_and_a_later_one_is_refused() {
    let home = Home::new("");
    let packed = include_bytes!("../../stores/before-agents.redb.gz");
    let mut store = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut store).unwrap();
    fs::create_dir(home.data()).unwrap();
    fs::write(home.data().join("prx.redb"), store).unwrap();
    let checked = said(&home.run(&["store", "check", "--json"]).await);
    assert_eq!((&checked["faults"], &checked["rows"]["messages"]), (&json!([]), &json!(2)), "{checked}");
    home.warm_store().await;
    let gateway = Gateway::start_in(home).await;
    let sessions = gateway.sessions("api").await;
    let session = sessions[0]["id"].as_str().unwrap();
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    assert_eq!(gateway.messages(session).await[0].1, "Hello from before");
    let path = format!("/sessions/{session}/messages");
    let memories = gateway.client().get("/memory?user_id=ada&channel=api").await.expect(200);
    assert!(memories.to_string().contains("likes tea"), "{memories}");
    let hooks = gateway.client().get("/hooks").await.expect(200);
    assert!(hooks.to_string().contains("hooks.example.org"), "{hooks}");
    // It goes on, where it is not over by its age.
    let answer = gateway.client().post(&path, json!({"content": "and now"})).await;
    assert!(answer.status == 200 || answer.status == 409, "{answer}");
    let home = gateway.stop().await;
    let database = redb::Database::create(home.data().join("prx.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    transaction.open_table(meta).unwrap().insert("version", 1_000).unwrap();
    transaction.commit().unwrap();
    drop(database);
    for args in [["serve", "--port=0"].as_slice(), &["store", "check"], &["backup", "a.prx"]] {
        let refused = home.run(args).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(
            refused.stderr.contains("was written by a newer prx (format 1000, this one serves 2)"),
            "{refused:?}"
        );
    }
    assert!(!home.path().join("a.prx.partial").exists());
}
