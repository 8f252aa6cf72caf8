use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::{OnceCell, broadcast};

use super::*;
use crate::{Delivery, Services};
use prx_base::clock::Clock;
use prx_base::config::{self, Config, Grant};
use prx_base::error::Code;
use prx_base::events::{Event, Name};
use prx_egress::Egress;

#[path = "guest.rs"]
mod guest;

const OTHER: &str = "[plugin]\nname=\"other\"\nversion=\"1.0.0\"\n";
const SKILLS_2: &str = "[plugin]\nname=\"skills\"\nversion=\"2.0.0\"\n";

struct Gateway {
    plugins: Plugins,
    store: Store,
    events: broadcast::Receiver<Arc<Event>>,
}

/// A data directory in which the bundled plugins have been compiled already.
async fn data_dir() -> TempDir {
    static COMPILED: OnceCell<TempDir> = OnceCell::const_new();
    let compiled = COMPILED.get_or_init(async || {
        let folder = tempfile::tempdir().unwrap();
        start(folder.path(), Config::default(), true).await.stop().await;
        folder
    });
    let (from, to) = (compiled.await.path(), tempfile::tempdir().unwrap());
    fs::copy(from.join("prx.redb"), to.path().join("prx.redb")).unwrap();
    fs::DirBuilder::new().mode(0o700).create(to.path().join("cache")).unwrap();
    for file in fs::read_dir(from.join("cache")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.path().join("cache").join(file.file_name())).unwrap();
    }
    to
}

async fn start(data_dir: &Path, config: Config, safe_mode: bool) -> Gateway {
    let gateway = empty(data_dir, config, safe_mode).await;
    gateway.plugins.load_all().await.unwrap();
    gateway
}

/// A gateway that has loaded nothing yet.
async fn empty(data_dir: &Path, config: Config, safe_mode: bool) -> Gateway {
    let clock = Clock::system();
    let store = Store::open(data_dir, clock.clone()).unwrap();
    let services =
        Services { store: store.clone(), egress: Egress::new(clock.clone()), clock: clock.clone() };
    let events = store.events().clone();
    let subscribed = events.subscribe();
    let base = Base::new(clock, config::Live::new(config), events);
    let engine = Engine::new(data_dir, services).unwrap();
    let options = Options { bundled: crate::components::bundled(), data_dir: data_dir.to_owned(), safe_mode };
    let plugins = Plugins::new(base, store.clone(), engine, options).await.unwrap();
    Gateway { plugins, store, events: subscribed }
}

impl Gateway {
    async fn new() -> (Self, TempDir) {
        let folder = data_dir().await;
        (start(folder.path(), Config::default(), false).await, folder)
    }

    async fn with(name: &str, component: &Bytes) -> (Self, TempDir) {
        let folder = data_dir().await;
        put(folder.path(), name, component);
        (start(folder.path(), Config::default(), false).await, folder)
    }

    async fn stop(self) {
        drop(self.plugins);
        self.store.close().await;
    }

    fn status(&self, name: &str) -> (Status, String) {
        let status = self.plugins.get(name).unwrap();
        (status.status, status.error.unwrap_or_default())
    }

    async fn activate(&self, name: &str) -> Result<skill::Activation, CallError> {
        activate(&self.plugins, name).await
    }

    /// Whether the skill's plugin gave an answer, if only that it has no skill by its new name.
    async fn answers(&self, name: &str) -> bool {
        matches!(self.activate(name).await, Ok(_) | Err(CallError::Fault(_)))
    }

    /// The events so far that were not asked for before. What was recorded for the next commit is in it.
    async fn kinds(&mut self) -> Vec<(Kind, String)> {
        self.store.kv_delete("nobody", "nothing").await.unwrap();
        let mut kinds = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            let Name::Kind(kind) = event.name else { continue };
            kinds.push((kind, event.data["name"].as_str().unwrap().to_owned()));
        }
        kinds
    }
}

fn delivery() -> Delivery {
    Delivery { source: "upload".into(), by: None, downgrade: false, inherit: false }
}

async fn activate(plugins: &Plugins, name: &str) -> Result<skill::Activation, CallError> {
    let input =
        skill::SkillInput { text: "One. Two. Three.".into(), history: vec![], session: "sess_1".into() };
    plugins.activate(name, &input, Scope::default()).await
}

fn put(data_dir: &Path, name: &str, component: &[u8]) {
    let folder = data_dir.join("plugins");
    fs::create_dir_all(&folder).unwrap();
    let partial = folder.join("partial");
    fs::write(&partial, component).unwrap();
    fs::rename(partial, folder.join(format!("{name}.wasm"))).unwrap();
}

#[tokio::test]
async fn what_came_with_the_gateway_serves() {
    let (gateway, _folder) = Gateway::new().await;
    let skills = gateway.plugins.get("skills").unwrap();
    assert_eq!((skills.status, skills.generation, skills.bundled), (Status::Loaded, 1, true));
    assert_eq!(skills.capabilities, ["skill:code_review", "skill:summarize"]);
    assert!(skills.memory_usage_bytes > 0);
    assert!(gateway.plugins.skills().iter().all(|entry| entry.source == "builtin"));
    assert_eq!(gateway.plugins.models("local").unwrap(), ["local-1"]);
    assert!(gateway.answers("summarize").await);
    assert!(matches!(gateway.activate("juggle").await, Err(CallError::NoSuch(_))));
    assert_eq!(gateway.plugins.get("juggler").unwrap_err().to_string(), "Plugin juggler not found");
    assert!(gateway.plugins.list().iter().all(|plugin| plugin.status == Status::Loaded));
}

#[tokio::test]
async fn of_two_rivals_the_first_by_name_gets_it_whoever_is_ready_first() {
    let folder = data_dir().await;
    let rival = |name: &str| guest::skills(&OTHER.replace("other", name), "rival");
    let (first, second) = (rival("another"), rival("other"));
    put(folder.path(), "other", &second);
    let gateway = start(folder.path(), Config::default(), false).await;
    gateway.stop().await;

    // By now the second is compiled already, and the first is not.
    put(folder.path(), "another", &first);
    let gateway = start(folder.path(), Config::default(), false).await;
    assert_eq!(gateway.status("another"), (Status::Loaded, String::new()));
    let refused = "Plugin other: skill rival______ is already given by plugin another";
    assert_eq!(gateway.status("other"), (Status::Failed, refused.to_owned()));
}

#[tokio::test]
async fn loading_tells_how_far_it_is_and_can_be_given_up() {
    let folder = data_dir().await;
    let gateway = empty(folder.path(), Config::default(), false).await;
    let mut progress = gateway.plugins.progress();
    assert_eq!(*progress.borrow_and_update(), Progress::default());
    assert!(gateway.plugins.list().is_empty());
    tokio::select! {
        biased;
        _ = gateway.plugins.load_all() => panic!("it has only begun"),
        changed = progress.changed() => changed.unwrap(),
    }
    let total = crate::components::bundled().all().count();
    assert_eq!(*progress.borrow_and_update(), Progress { loaded: 0, total });
    assert!(gateway.plugins.list().iter().all(|plugin| plugin.generation == 0), "nothing goes on by itself");

    gateway.plugins.load_all().await.unwrap();
    assert_eq!(*progress.borrow(), Progress { loaded: total, total });
    assert!(gateway.plugins.list().iter().all(|plugin| plugin.status == Status::Loaded));
}

#[tokio::test]
async fn calls_go_on_while_their_plugin_is_reloaded() {
    let (gateway, _folder) = Gateway::new().await;
    let plugins = gateway.plugins.clone();
    let (stop, mut stopped) = watch::channel(false);
    let caller = tokio::spawn(async move {
        let mut calls = 0;
        while !*stopped.borrow_and_update() {
            activate(&plugins, "summarize").await.unwrap();
            calls += 1;
        }
        calls
    });
    for round in 2..12 {
        assert_eq!(gateway.plugins.reload("skills").await.unwrap().to, round);
    }
    stop.send(true).unwrap();
    assert!(caller.await.unwrap() > 0);
}

#[tokio::test]
async fn a_broken_file_changes_nothing_but_says_why() {
    let (mut gateway, folder) = Gateway::with("other", &guest::skills(OTHER, "other")).await;
    gateway.kinds().await;
    let whole = guest::skills(OTHER, "other");
    let broken: [(&[u8], Code, &str); 5] = [
        (b"#!/bin/sh", Code::BadRequest, "no WebAssembly component"),
        (&whole[..whole.len() / 2], Code::BadRequest, "damaged or cut short"),
        (&guest::skills(SKILLS_2, "other"), Code::Conflict, "its manifest says that it is `skills`"),
        (&guest::skills("[plugin]\nname=\"other\"\n", "other"), Code::Conflict, "missing field `version`"),
        (
            &guest::trapping(&whole, "prx:plugin/skill@0.2.0#skills"),
            Code::Conflict,
            "when it was asked to describe itself, it broke off",
        ),
    ];
    for (bytes, code, reason) in broken {
        put(folder.path(), "other", bytes);
        let error = gateway.plugins.reload("other").await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().starts_with("Plugin other: ") && error.message().contains(reason), "{error}");
        assert!(gateway.answers("other____").await);
        let status = gateway.plugins.get("other").unwrap();
        assert_eq!((status.status, status.generation), (Status::Loaded, 1));
        assert!(status.error.unwrap().contains(reason));
    }
    assert_eq!(gateway.kinds().await, []);
    gateway.plugins.rollback("other", 1).await.unwrap();
    assert_eq!(gateway.plugins.get("other").unwrap().error, None);
    assert_eq!(fs::read(folder.path().join("plugins/other.wasm")).unwrap(), whole);
}

#[tokio::test]
async fn a_broken_plugin_does_not_stop_the_start() {
    let (gateway, _folder) = Gateway::with("other", &Bytes::from_static(b"\0asm")).await;
    let (status, reason) = gateway.status("other");
    assert_eq!(status, Status::Failed);
    assert!(reason.contains("Plugin other: this component is damaged"), "{reason}");
    assert_eq!(gateway.plugins.get("other").unwrap().version, "unknown");
    assert!(gateway.answers("summarize").await);
}

#[tokio::test]
async fn disabled_stays_disabled_until_it_is_enabled() {
    let folder = data_dir().await;
    let mut gateway = start(folder.path(), Config::default(), false).await;
    gateway.kinds().await;
    let connector = gateway.plugins.connector("skills");
    let generation = connector.borrow().clone().unwrap();
    assert_eq!(gateway.plugins.disable("skills").await.unwrap().status, Status::Disabled);
    assert!(gateway.plugins.skills().is_empty());
    assert!(connector.borrow().is_none());
    assert!(matches!(gateway.activate("summarize").await, Err(CallError::NoSuch(_))));
    gateway.plugins.reload("skills").await.unwrap();
    assert_eq!(gateway.status("skills").0, Status::Disabled);
    assert!(generation.code.describe().await.is_ok(), "who holds it goes on using it");
    drop((connector, generation));
    gateway.stop().await;

    let mut gateway = start(folder.path(), Config::default(), false).await;
    assert_eq!(gateway.status("skills").0, Status::Disabled);
    assert!(gateway.plugins.skills().is_empty());
    gateway.kinds().await;
    assert_eq!(gateway.plugins.enable("skills").await.unwrap().status, Status::Loaded);
    assert!(gateway.answers("summarize").await);
    assert_eq!(gateway.kinds().await, [(Kind::PluginLoaded, "skills".to_owned())]);
}

#[tokio::test]
async fn a_file_stands_in_for_a_bundled_plugin() {
    let (gateway, folder) = Gateway::with("skills", &guest::skills(SKILLS_2, "summarize")).await;
    let status = gateway.plugins.get("skills").unwrap();
    assert_eq!((status.version.as_str(), status.bundled), ("2.0.0", false));
    assert!(gateway.plugins.skills().iter().all(|entry| entry.source == "plugin:skills"));
    let back = gateway.plugins.remove("skills").await.unwrap().unwrap();
    assert_eq!((back.version.as_str(), back.bundled, back.generation), ("0.1.0", true, 2));
    assert!(!folder.path().join("plugins/skills.wasm").exists());
    assert_eq!(gateway.plugins.remove("skills").await.unwrap_err().code(), Code::Conflict);
}

#[tokio::test]
async fn safe_mode_leaves_the_operators_files_alone() {
    let folder = data_dir().await;
    put(folder.path(), "skills", &guest::skills(SKILLS_2, "summarize"));
    put(folder.path(), "other", &guest::skills(OTHER, "other"));
    let gateway = start(folder.path(), Config::default(), true).await;
    assert!(gateway.plugins.get("skills").unwrap().bundled);
    assert!(gateway.plugins.get("other").is_err());
    let refused = gateway.plugins.install(None, guest::skills(OTHER, "other"), delivery()).await.unwrap_err();
    assert!(refused.message().contains("safe mode"));
}

#[tokio::test]
async fn installed_replaced_rolled_back_and_removed() {
    let (gateway, folder) = Gateway::new().await;
    let file = folder.path().join("plugins/other.wasm");
    let (first, second) = (guest::skills(OTHER, "first"), guest::skills(OTHER, "second"));
    assert_eq!(gateway.plugins.install(None, first.clone(), delivery()).await.unwrap().to, 1);
    assert!(gateway.answers("first____").await);

    let taken = gateway.plugins.install(None, second.clone(), delivery()).await.unwrap_err();
    assert!(taken.message().contains("is there already; PUT /plugins/other replaces it"), "{taken}");
    let bundled =
        gateway.plugins.install(None, guest::skills(SKILLS_2, "summarize"), delivery()).await.unwrap_err();
    assert_eq!(bundled.code(), Code::Conflict);
    let misnamed = gateway.plugins.install(Some("another"), second.clone(), delivery()).await.unwrap_err();
    assert!(misnamed.message().contains("says that it is other"), "{misnamed}");

    gateway.plugins.install(Some("other"), second.clone(), delivery()).await.unwrap();
    assert_eq!(fs::read(&file).unwrap(), second);
    assert!(gateway.answers("second___").await);
    assert!(!gateway.answers("first____").await);
    gateway.plugins.rollback("other", 1).await.unwrap();
    assert_eq!(fs::read(&file).unwrap(), first);
    assert!(gateway.answers("first____").await);
    gateway.plugins.rollback("other", 1).await.unwrap();
    assert_eq!(fs::read(&file).unwrap(), second);

    assert!(gateway.plugins.remove("other").await.unwrap().is_none());
    assert!(gateway.plugins.get("other").is_err());
    assert_eq!(fs::read_dir(folder.path().join("plugins")).unwrap().count(), 0);
    assert_eq!(gateway.plugins.rollback("skills", 1).await.unwrap_err().code(), Code::Conflict);
}

#[tokio::test]
async fn what_is_withdrawn_leaves_the_code_before_in_its_place() {
    let (gateway, folder) = Gateway::new().await;
    let file = folder.path().join("plugins/other.wasm");
    let (first, second) = (guest::skills(OTHER, "first"), guest::skills(OTHER, "second"));
    let serving = |name: &str| gateway.plugins.connector(name).borrow().clone().unwrap();
    gateway.plugins.install(None, first.clone(), delivery()).await.unwrap();
    let before = serving("other");
    gateway.plugins.install(Some("other"), second.clone(), delivery()).await.unwrap();
    let bad = serving("other");
    gateway.plugins.withdraw(Arc::clone(&bad), Arc::clone(&before), "it stumbles".into()).await;
    let status = gateway.plugins.get("other").unwrap();
    assert_eq!((status.generation, status.error.as_deref()), (1, Some("it stumbles")));
    assert!(gateway.answers("first____").await);
    assert_eq!(fs::read(&file).unwrap(), first);
    assert_eq!(gateway.plugins.rollback("other", 1).await.unwrap().to, 3, "a number is given once");
    assert_eq!(fs::read(&file).unwrap(), second, "what was withdrawn is not lost");
    gateway.plugins.withdraw(bad, before, "too late".into()).await;
    assert_eq!(gateway.plugins.get("other").unwrap().generation, 3, "other code serves by now");

    let bundled = serving("skills");
    put(folder.path(), "skills", &guest::skills(SKILLS_2, "summarize"));
    gateway.plugins.reload("skills").await.unwrap();
    gateway.plugins.withdraw(serving("skills"), bundled, "it stumbles".into()).await;
    assert!(gateway.plugins.get("skills").unwrap().bundled);
    assert!(!folder.path().join("plugins/skills.wasm").exists(), "the next start serves it, too");
    gateway.plugins.rollback("skills", 1).await.unwrap();
    assert_eq!(gateway.plugins.get("skills").unwrap().version, "2.0.0");
}

#[tokio::test]
async fn a_capability_belongs_to_one_plugin() {
    let (gateway, folder) = Gateway::new().await;
    let rival = guest::skills(OTHER, "summarize");
    let refused = gateway.plugins.install(None, rival.clone(), delivery()).await.unwrap_err();
    assert_eq!(refused.message(), "Plugin other: skill summarize is already given by plugin skills");
    assert!(!folder.path().join("plugins/other.wasm").exists());

    gateway.plugins.disable("skills").await.unwrap();
    gateway.plugins.install(None, rival, delivery()).await.unwrap();
    let refused = gateway.plugins.enable("skills").await.unwrap_err();
    assert_eq!(refused.message(), "Plugin skills: skill summarize is already given by plugin other");
    assert_eq!(gateway.status("skills").0, Status::Disabled);
    gateway.plugins.remove("other").await.unwrap();
    assert!(gateway.plugins.enable("skills").await.is_ok());
}

#[tokio::test]
async fn traps_in_a_row_end_in_quarantine() {
    let whole = guest::skills(OTHER, "other");
    let trapping = guest::trapping(&whole, "prx:plugin/skill@0.2.0#activate");
    let (mut gateway, folder) = Gateway::with("other", &trapping).await;
    let connector = gateway.plugins.connector("other");
    gateway.kinds().await;
    for _ in 0..MAX_FAILURES_IN_A_ROW {
        assert_eq!(gateway.status("other").0, Status::Loaded);
        assert!(matches!(gateway.activate("other____").await, Err(CallError::Trap(_))));
    }
    let (status, reason) = gateway.status("other");
    assert_eq!(status, Status::Failed);
    assert!(reason.contains("quarantined after 5 calls in a row failed"), "{reason}");
    assert_eq!(gateway.kinds().await, [(Kind::PluginFailed, "other".to_owned())]);
    assert!(connector.borrow().is_none());
    assert!(matches!(gateway.activate("other____").await, Err(CallError::NoSuch(_))));
    assert!(gateway.answers("summarize").await, "others go on");

    put(folder.path(), "other", &whole);
    assert_eq!(gateway.plugins.enable("other").await.unwrap().status, Status::Loaded);
    assert!(gateway.answers("other____").await);
}

#[tokio::test]
async fn more_than_is_granted_is_refused_with_the_difference() {
    let wishes = format!("{OTHER}[permissions]\nhttp=[\"https://a.example\"]\nkv=\"1MiB\"");
    let component = guest::skills(&wishes, "other");
    let lines = "[grants.other]\nhttp = [\"https://a.example\"]\nkv = \"1MiB\"";
    let folder = data_dir().await;
    put(folder.path(), "other", &component);
    let gateway = start(folder.path(), Config::default(), false).await;
    let (status, reason) = gateway.status("other");
    assert_eq!(status, Status::Failed);
    assert!(reason.ends_with(lines), "{reason}");
    assert_eq!(gateway.plugins.get("other").unwrap().version, "1.0.0");
    let put_over = guest::skills(&wishes.replace("other", "skills"), "summarize");
    let refused = gateway.plugins.install(Some("skills"), put_over, delivery()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Conflict);
    assert!(gateway.plugins.get("skills").unwrap().bundled, "a name brings no more than was verified");
    gateway.stop().await;

    let mut config = Config::default();
    let http = Some(vec!["https://a.example".to_owned()]);
    let grant = Grant { http, kv: Some("2MiB".into()), ..Grant::default() };
    config.components.grants.insert("other".into(), grant);
    let gateway = start(folder.path(), config, false).await;
    assert_eq!(gateway.status("other"), (Status::Loaded, String::new()));
    let granted = gateway.plugins.get("other").unwrap().about.granted;
    assert_eq!(granted.kv, Some(1 << 20), "never more than was asked for");
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_is_told() {
    let manifest = format!("{OTHER}[config.place]\ntype=\"string\"\nrequired=true");
    let (gateway, folder) = Gateway::with("other", &guest::skills(&manifest, "other")).await;
    let (status, reason) = gateway.status("other");
    assert_eq!(status, Status::Failed);
    assert!(reason.contains("[plugins_config.other] is not right: place: required, and not set"), "{reason}");
    gateway.stop().await;
    let mut config = Config::default();
    let settings = serde_json::from_value(json!({ "place": "Bern" })).unwrap();
    config.components.plugins_config.insert("other".into(), settings);
    let gateway = start(folder.path(), config, false).await;
    assert_eq!(gateway.status("other").0, Status::Loaded);
}

#[tokio::test]
async fn a_watched_plugin_follows_its_file() {
    let (gateway, folder) = Gateway::new().await;
    let _watch = gateway.plugins.watch(Clock::system()).unwrap();
    let mut other = gateway.plugins.connector("other");
    let mut skills = gateway.plugins.connector("skills");
    let file = |name: &str| folder.path().join(format!("plugins/{name}.wasm"));
    let limit = Duration::from_secs(60);
    let follows = async {
        put(folder.path(), "other", &guest::skills(OTHER, "first"));
        other.wait_for(|serving| serving.as_ref().is_some_and(|g| g.number == 1)).await.unwrap();
        put(folder.path(), "other", &guest::skills(OTHER, "second"));
        other.wait_for(|serving| serving.as_ref().is_some_and(|g| g.number == 2)).await.unwrap();
        fs::remove_file(file("other")).unwrap();
        other.wait_for(Option::is_none).await.unwrap();

        put(folder.path(), "skills", &guest::skills(SKILLS_2, "summarize"));
        skills.wait_for(|serving| serving.as_ref().is_some_and(|g| !g.bundled)).await.unwrap();
        fs::remove_file(file("skills")).unwrap();
        skills.wait_for(|serving| serving.as_ref().is_some_and(|g| g.bundled)).await.unwrap();
    };
    tokio::time::timeout(limit, follows).await.unwrap();
    assert!(gateway.plugins.get("other").is_err());
}
