//! Jobs: run at their times and when asked for, once; what they may not do is undone, and what went wrong is said.

use std::time::Duration;

use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::receiver::Receiver;
use prx_tests::scripted;
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};

const CHAT: i64 = 7;
/// The last of its times was New Year, and the next one is: nothing comes about by itself.
const NEW_YEAR: &str = "0 0 1 1 *";

/// A plugin that has these jobs, and these lines in its manifest besides.
fn ticking(jobs: &[&str], rest: &str) -> Component {
    let jobs: String =
        jobs.iter().map(|job| format!("[[schedule]]\nname = {job:?}\ncron = {NEW_YEAR:?}\n")).collect();
    Component::of("ticking").with_manifest(&format!(
        "[plugin]\nname = \"ticking\"\nversion = \"1.0.0\"\n[config.to]\ntype = \"string\"\nextends = \"send\"\n\
         {rest}\n{jobs}"
    ))
}

const EVENTS: &str = "[permissions]\nkv = \"64KiB\"\nevents = { publish = [\"ticking.*\"] }\n";
const GRANTS: &str = "[plugins_config.ticking]\nto = \"telegram/7\"\n[grants.ticking]\nkv = \"64KiB\"\n\
                      events = { publish = [\"ticking.*\"] }\n";

async fn run(gateway: &Gateway, name: &str) -> Value {
    gateway.client().post(&format!("/jobs/ticking/{name}/run"), json!({})).await.expect(200)
}

async fn job(gateway: &Gateway, name: &str) -> Value {
    let all = gateway.client().get("/jobs").await.expect(200);
    let found = all["jobs"].as_array().unwrap().iter().find(|job| job["name"] == name);
    found.cloned().unwrap_or_else(|| panic!("no job {name}"))
}

async fn issues(gateway: &Gateway) -> String {
    gateway.client().get("/status").await.expect(200)["issues"].to_string()
}

/// A gateway with a platform on which somebody has written, so that something can be said there.
async fn with_chat(home: &Home, telegram: &FakeTelegram, config: &str) {
    home.configure(&format!("{}{config}[rate_limits]\nenabled = false\n", telegram.config(&["*"])));
    telegram.write(CHAT, "hello");
}

#[tokio::test]
async fn what_a_run_does_is_done_once_and_told() {
    let (telegram, receiver) = (FakeTelegram::start().await, Receiver::start().await);
    let home = Home::empty();
    let zone = "[jobs]\ntime_zone = \"Europe/Berlin\"\n[hooks]\nallow_private = true\n";
    with_chat(&home, &telegram, &format!("{GRANTS}{zone}")).await;
    home.place_plugin("ticking", &ticking(&["both", "astray", "many", "fault"], EVENTS).bytes());
    let gateway = Gateway::start_in(home).await;
    telegram.until("an answer", |telegram| (!telegram.sent_to(CHAT).is_empty()).then_some(())).await;
    let before = telegram.sent_to(CHAT).len();
    let hook = json!({"url": receiver.url(), "events": ["ticking.ran"]});
    gateway.client().post("/hooks", hook).await.expect(201);

    let listed = gateway.client().get("/jobs").await.expect(200);
    assert_eq!(listed["time_zone"], "Europe/Berlin");
    let both = &listed["jobs"][0];
    assert_eq!(
        (&both["name"], &both["cron"], &both["last_run"]),
        (&json!("both"), &json!(NEW_YEAR), &Value::Null)
    );
    assert!(both["next_run_at"].as_str().unwrap().ends_with("-12-31T23:00:00Z"), "{both}");
    let plugin = gateway.plugin("ticking").await.unwrap();
    assert_eq!(plugin["capabilities"][0], "job:both", "{plugin}");

    let done = run(&gateway, "both").await;
    assert_eq!(
        (&done["status"], &done["actions"], &done["asked"]),
        (&json!("done"), &json!(2), &json!(true))
    );
    telegram.until("what it says", |telegram| (telegram.sent_to(CHAT).len() > before).then_some(())).await;
    let told = receiver.until(1).await.remove(0).json();
    assert_eq!((&told["type"], &told["data"]["run"]), (&json!("ticking.ran"), &done["run_id"]));

    for (name, why) in [
        ("astray", "action 2: may not say anything in nowhere/1"),
        ("many", "it wants to do 101 things at once; 100 are the most"),
        ("fault", "the other side is down"),
    ] {
        let failed = run(&gateway, name).await;
        assert_eq!((&failed["status"], &failed["actions"]), (&json!("failed"), &json!(0)), "{failed}");
        assert!(failed["problem"].as_str().unwrap().contains(why), "{failed}");
        assert_eq!(job(&gateway, name).await["last_run"], failed);
        let told = issues(&gateway).await;
        assert!(told.contains(&format!("job {name} of plugin ticking failed the last time")), "{told}");
    }
    let sent = gateway.home().run(&["job", "run", "ticking", "both"]).await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    telegram.until("both", |telegram| (telegram.sent_to(CHAT).len() == before + 2).then_some(())).await;
    let failed = gateway.home().run(&["job", "run", "ticking", "fault"]).await;
    assert!(failed.code == Some(1) && failed.stderr.contains("the other side is down"), "{failed:?}");
    let listed = gateway.home().run(&["job", "list"]).await;
    assert!(listed.stdout.contains("ticking") && listed.stdout.contains(NEW_YEAR), "{listed:?}");
    gateway.client().post("/jobs/ticking/nothing/run", json!({})).await.error(404, "not_found");
    gateway.stop().await;
    let texts = telegram.sent_to(CHAT).split_off(before);
    assert_eq!(texts, ["said", "said"], "nothing of a run that failed is done");
}

#[tokio::test]
async fn a_job_that_traps_or_hangs_is_noted_and_the_next_one_runs() {
    let home = Home::new(GRANTS);
    let limits = format!("{EVENTS}[limits]\ndeadline = \"1s\"\n");
    home.place_plugin("ticking", &ticking(&["trap", "hang", "both"], &limits).bytes());
    let gateway = Gateway::start_in(home).await;
    let (trap, hang) = (run(&gateway, "trap").await, run(&gateway, "hang").await);
    assert!(trap["problem"].as_str().unwrap().contains("it broke off"), "{trap}");
    assert_eq!(hang["problem"], "it did not answer within 1s");
    let unknown = run(&gateway, "both").await;
    let why = "action 1: there is no channel \"telegram\"; there are: none is configured";
    assert_eq!(unknown["problem"], why);
    assert!(issues(&gateway).await.contains("job hang of plugin ticking failed the last time"));
    gateway.client().post("/plugins/ticking/disable", json!({})).await.expect(200);
    assert_eq!(job(&gateway, "both").await["next_run_at"], Value::Null);
    gateway.client().post("/jobs/ticking/both/run", json!({})).await.error(503, "unavailable");
    gateway.client().delete("/plugins/ticking").await.expect(204);
    assert_eq!(gateway.client().get("/jobs").await.expect(200)["jobs"], json!([]));
}

#[tokio::test]
async fn a_run_that_a_crash_cuts_off_is_made_once_more_under_its_id() {
    let telegram = FakeTelegram::start().await;
    let home = Home::empty();
    with_chat(&home, &telegram, GRANTS).await;
    home.place_plugin("ticking", &ticking(&["slow", "both"], EVENTS).bytes());
    let gateway = Gateway::start_in(home).await;
    telegram.until("an answer", |telegram| (!telegram.sent_to(CHAT).is_empty()).then_some(())).await;
    let before = telegram.sent_to(CHAT).len();
    let client = gateway.client().clone();
    let asked = tokio::spawn(async move { client.try_post("/jobs/ticking/slow/run", json!({})).await });
    let first = until("the run", async || {
        let running = job(&gateway, "slow").await["running"].clone();
        running.is_object().then_some(running)
    });
    let first = first.await;
    // What it has kept by itself: that it was here.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let twice = gateway.client().post("/jobs/ticking/slow/run", json!({})).await.error(409, "conflict");
    assert!(twice.contains("is running its job slow"), "{twice}");
    gateway.client().post("/jobs/ticking/both/run", json!({})).await.error(409, "conflict");
    let home = gateway.kill();
    asked.abort();
    let gateway = Gateway::start_in(home).await;
    let last = until("its end", async || {
        let last = job(&gateway, "slow").await["last_run"].clone();
        last.is_object().then_some(last)
    });
    let last = last.await;
    assert_eq!((&last["run_id"], &last["due"]), (&first["run_id"], &first["due"]));
    assert_eq!((&last["attempt"], &last["status"]), (&json!(2), &json!("done")), "{last}");
    let said = telegram.until("what it says", |telegram| telegram.sent_to(CHAT).get(before).cloned()).await;
    assert_eq!(said, format!("{} the 2nd time", first["run_id"].as_str().unwrap()));
    let gateway = gateway.restart().await;
    assert_eq!(job(&gateway, "slow").await["last_run"], last, "and not again");
    gateway.stop().await;
    assert_eq!(telegram.sent_to(CHAT).len(), before + 1);
}

#[tokio::test]
async fn a_time_that_passed_is_made_up_for_once_unless_the_plugin_was_disabled() {
    let telegram = FakeTelegram::start().await;
    let home = Home::empty();
    with_chat(&home, &telegram, GRANTS).await;
    home.place_plugin("ticking", &ticking(&["say"], EVENTS).bytes());
    let gateway = Gateway::start_in(home).await;
    telegram.until("an answer", |telegram| (!telegram.sent_to(CHAT).is_empty()).then_some(())).await;
    let before = telegram.sent_to(CHAT).len();
    assert_eq!(
        job(&gateway, "say").await["last_run"],
        Value::Null,
        "what was due before it was there is not"
    );
    let home = gateway.stop().await;
    prx_tests::store::rewind_job(&home, "ticking", "say").await;
    let gateway = Gateway::start_in(home).await;
    let last = until("the run", async || {
        let last = job(&gateway, "say").await["last_run"].clone();
        last.is_object().then_some(last)
    });
    let last = last.await;
    assert_eq!((&last["status"], &last["asked"]), (&json!("done"), &json!(false)), "{last}");
    assert!(
        last["due"].as_str().unwrap().ends_with("-01-01T00:00:00Z"),
        "the last of those that passed: {last}"
    );
    telegram.until("what it says", |telegram| telegram.sent_to(CHAT).get(before).cloned()).await;

    gateway.client().post("/plugins/ticking/disable", json!({})).await.expect(200);
    let home = gateway.stop().await;
    prx_tests::store::rewind_job(&home, "ticking", "say").await;
    let gateway = Gateway::start_in(home).await;
    assert_eq!(job(&gateway, "say").await["next_run_at"], Value::Null);
    let home = gateway.stop().await;
    assert!(prx_tests::store::is_dealt_with(&home, "ticking", "say").await, "it passes without the plugin");
    let gateway = Gateway::start_in(home).await;
    gateway.client().post("/plugins/ticking/enable", json!({})).await.expect(200);
    let asked = run(&gateway, "say").await;
    assert_eq!(asked["asked"], true);
    gateway.stop().await;
    assert_eq!(telegram.sent_to(CHAT).len(), before + 2, "once at its time, once asked for");
}

#[tokio::test]
async fn a_turn_that_a_job_begins_takes_its_text_as_data_and_asks_nobody() {
    let telegram = FakeTelegram::start().await;
    let script = json!([
        {"when": "tool", "answers": [
            [{"call": {"name": "hello", "arguments": {"name": "Ada"}}}], [{"show": "request"}],
        ]},
        {"answers": [[{"text": "Fine."}]]},
    ]);
    let home = Home::empty();
    let config = format!(
        "{}{}[tools]\ndefault_policy = \"ask\"\n{}",
        scripted::settings(&script),
        GRANTS.replace("kv", "turns = true\nkv"),
        ""
    );
    with_chat(&home, &telegram, &config).await;
    home.place_plugin("scripted", &Component::of("prx-scripted").bytes());
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    let asking = EVENTS.replace("kv", "turns = true\nkv");
    home.place_plugin("ticking", &ticking(&["ask"], &asking).bytes());
    let gateway = Gateway::start_in(home).await;
    telegram.until("an answer", |telegram| telegram.sent_to(CHAT).first().cloned()).await;
    assert_eq!(run(&gateway, "ask").await["status"], "done");
    let shown = telegram.until("the reply", |telegram| telegram.sent_to(CHAT).get(1).cloned()).await;
    assert!(shown.contains("> /new use the tool"), "what it says is quoted: {shown}");
    assert!(shown.contains("grants.ticking.approver"), "nobody is asked: {shown}");
    let sessions = gateway.sessions("telegram").await;
    assert_eq!(sessions.len(), 1, "it is no command: {sessions:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn what_can_not_be_granted_or_is_no_time_is_refused_by_name() {
    let gateway = Gateway::start("").await;
    let upload = async |component: Component| {
        let bytes = component.bytes();
        gateway.client().upload(hyper::Method::POST, "/plugins", "application/wasm", bytes).await
    };
    let head = "[plugin]\nname = \"ticking\"\nversion = \"1.0.0\"\n[permissions]\nkv = \"64KiB\"\n";
    let schedule = |cron: &str| format!("[[schedule]]\nname = \"say\"\ncron = {cron:?}\n");
    for (rest, words) in [
        (schedule("61 * * * *"), &["line 8", "schedule.cron", "61", "30 8 * * MON-FRI"][..]),
        (schedule("* * *"), &["it has 3 fields"]),
        (schedule("0 0 30 2 *"), &["no day is ever like that"]),
        (schedule(NEW_YEAR).repeat(2), &["line 9", "two named \"say\""]),
        (String::new(), &["exports a job", "[[schedule]]"]),
        (format!("send = [\"\"]\n{}", schedule(NEW_YEAR)), &["permissions.send", "channel/conversation"]),
        (format!("turns = true\n{}", schedule(NEW_YEAR)), &["permissions.turns", "`send`"]),
        (
            format!("events = {{ publish = [\"session.*\"] }}\n{}", schedule(NEW_YEAR)),
            &["permissions.events.publish", "begin with \"ticking.\""],
        ),
    ] {
        let refused = upload(Component::of("ticking").with_manifest(&format!("{head}{rest}"))).await;
        let told = refused.error(409, "conflict");
        assert!(words.iter().all(|word| told.contains(word)), "{rest}: {told}");
    }
    let wide =
        format!("{head}send = [\"telegram\"]\nturns = true\nevents = {{ subscribe = [\"session.*\"] }}\n");
    let refused =
        upload(Component::of("ticking").with_manifest(&format!("{wide}{}", schedule(NEW_YEAR)))).await;
    refused.error(409, "conflict");
    let missing = refused.json()["error"]["details"]["missing"].clone();
    let wanted = json!({
        "kv": "64KiB", "send": ["telegram"], "turns": true, "events": {"subscribe": ["session.*"]},
    });
    assert_eq!(missing, wanted);
    let zone = json!({"jobs.time_zone": "Mars/Olympus"});
    let told = gateway.client().patch("/config", zone).await.error(400, "bad_request");
    assert!(told.contains("jobs.time_zone") && told.contains("Europe/Berlin"), "{told}");
    assert!(gateway.plugin("ticking").await.is_none(), "nothing is half done");
}
