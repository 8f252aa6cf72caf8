//! Observers, and whoever else reads the log of events: told of everything from where they left off, in order.

use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};

const GRANTS: &str = "[grants.watching]\nkv = \"256KiB\"\n\
                      events = { publish = [\"watching.*\"], subscribe = [\"session.*\", \"watching.*\"] }\n";
const CHAT: i64 = 7;

async fn call(gateway: &Gateway, tool: &str, arguments: Value) -> String {
    let body = json!({ "arguments": arguments });
    let answer = gateway.client().post(&format!("/tools/{tool}/call"), body).await.expect(200);
    answer["content"].as_str().unwrap().to_owned()
}

/// The numbers of the events that the observer was told of, in order, those that came twice included.
async fn told(gateway: &Gateway) -> Vec<u64> {
    let told = call(gateway, "told", json!({})).await;
    assert!(!told.contains("watching."), "never of its own: {told}");
    let events = told.lines().filter(|line| !line.starts_with("batch "));
    events.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

async fn until_told(gateway: &Gateway, count: usize) -> Vec<u64> {
    until("the observer to be told", async || {
        let told = told(gateway).await;
        (told.len() >= count).then_some(told)
    })
    .await
}

async fn open(gateway: &Gateway, count: usize) {
    for n in 0..count {
        gateway.open_session(&format!("user{n}")).await;
    }
}

async fn issues(gateway: &Gateway) -> String {
    gateway.client().get("/status").await.expect(200)["issues"].to_string()
}

fn mood(home: &Home, mood: &str) {
    home.configure(&format!(
        "{GRANTS}[plugins_config.watching]\nmood = {mood:?}\n[rate_limits]\nenabled = false\n"
    ));
}

#[tokio::test]
async fn an_observer_is_told_everything_in_order_also_over_restarts_and_crashes() {
    let home = Home::empty();
    mood(&home, "");
    home.place_plugin("watching", &Component::of("watching").bytes());
    let gateway = Gateway::start_in(home).await;
    assert!(
        gateway.plugin("watching").await.unwrap()["capabilities"].to_string().contains("observer:watching")
    );
    let mut events = gateway.client().follow("/events", None).await;
    open(&gateway, 5).await;
    assert_eq!(until_told(&gateway, 5).await.len(), 5);
    let saw = loop {
        let (_, event) = events.next().await.unwrap();
        if event["type"] == "watching.saw" {
            break event;
        }
    };
    assert!(saw["data"]["count"].as_u64().unwrap() >= 1, "{saw}");
    let gateway = gateway.restart().await;
    open(&gateway, 2).await;
    let before = until_told(&gateway, 7).await;
    assert_eq!(before.len(), 7, "an orderly stop repeats nothing: {before:?}");

    let home = gateway.stop().await;
    mood(&home, "slow");
    let gateway = Gateway::start_in(home).await;
    open(&gateway, 3).await;
    let cut_off = until_told(&gateway, 8).await;
    let home = gateway.kill();
    mood(&home, "");
    let gateway = Gateway::start_in(home).await;
    let again = cut_off.len() - before.len();
    let all = until_told(&gateway, 10 + again).await;
    assert_eq!(all.len(), 10 + again, "one batch comes once more: {all:?}");
    let after = &all[cut_off.len()..];
    assert!(after.is_sorted() && after[..again] == cut_off[before.len()..], "{all:?}");
    let mut once = all.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), 10, "nothing is missing: {all:?}");
}

#[tokio::test]
async fn an_observer_that_fails_is_named_and_told_again() {
    let home = Home::empty();
    mood(&home, "fault");
    home.place_plugin("watching", &Component::of("watching").bytes());
    let gateway = Gateway::start_in(home).await;
    open(&gateway, 2).await;
    for (mood, why) in [("fault", "not today"), ("astray", "may not say anything in nowhere/1")] {
        gateway.client().patch("/config", json!({"plugins_config.watching.mood": mood})).await.expect(200);
        until("it to be named", async || {
            let told = issues(&gateway).await;
            (told.contains("the observer of plugin watching failed") && told.contains(why)).then_some(())
        })
        .await;
    }
    gateway.client().patch("/config", json!({"plugins_config.watching.mood": ""})).await.expect(200);
    until("the issue to be gone", async || (!issues(&gateway).await.contains("watching")).then_some(()))
        .await;
    let told = until("the second event to be told behind the first", async || {
        let told = told(&gateway).await;
        let (first, second) = (told.iter().min()?, told.iter().max()?);
        (told.len() > 2 && first < second && told.ends_with(&[*first, *second])).then_some(told)
    })
    .await;

    let asks_nothing = "[plugin]\nname = \"watching\"\nversion = \"1.0.0\"\n[permissions]\nkv = \"256KiB\"\n";
    let bytes = Component::of("watching").with_manifest(asks_nothing).bytes();
    let refused =
        gateway.client().upload(hyper::Method::PUT, "/plugins/watching", "application/wasm", bytes).await;
    assert!(refused.error(409, "conflict").contains("permissions.events.subscribe"));
    open(&gateway, 1).await;
    until("the code before to go on", async || {
        let now = call(&gateway, "told", json!({})).await;
        (now.matches("session.created").count() > told.len()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_observer_that_traps_is_quarantined_and_named_and_goes_on_once_it_is_mended() {
    let home = Home::empty();
    mood(&home, "trap");
    home.place_plugin("watching", &Component::of("watching").bytes());
    let gateway = Gateway::start_in(home).await;
    open(&gateway, 3).await;
    until("it to be quarantined", async || {
        let plugin = gateway.plugin("watching").await.unwrap();
        (plugin["status"] == "failed" && issues(&gateway).await.contains("quarantined after")).then_some(())
    })
    .await;
    let gateway = gateway.restart().await;
    gateway.client().patch("/config", json!({"plugins_config.watching.mood": ""})).await.expect(200);
    gateway.client().post("/plugins/watching/reload", json!({})).await.expect(200);
    let told = until("it to be told of everything", async || {
        let told = told(&gateway).await;
        let mut once = told.clone();
        once.sort_unstable();
        once.dedup();
        (once.len() == 3).then_some((told, once))
    });
    let (told, once) = told.await;
    assert!(told.ends_with(&once), "in order: {told:?}");
    until("the issue to be gone", async || (!issues(&gateway).await.contains("watching")).then_some(()))
        .await;
}

#[tokio::test]
async fn who_comes_too_late_for_the_log_learns_how_much_is_gone() {
    let home = Home::empty();
    mood(&home, "");
    home.place_plugin("watching", &Component::of("watching").bytes());
    let gateway = Gateway::start_in(home).await;
    open(&gateway, 1).await;
    until_told(&gateway, 1).await;
    let mut events = gateway.client().follow("/events", Some("0")).await;
    events.next().await.unwrap();
    let id = events.id().unwrap().to_owned();
    drop(events);
    let home = gateway.stop().await;
    prx_tests::store::fill_event_log(&home, 20).await;
    let gateway = Gateway::start_in(home).await;
    let mut events = gateway.client().follow("/events", Some(&id)).await;
    let (name, gap) = events.next().await.unwrap();
    assert_eq!(name, "gap", "{gap}");
    let (_, event) = events.next().await.unwrap();
    assert_eq!(event["data"]["session_id"], "sess_none");
    let first: u64 = events.id().unwrap().parse().unwrap();
    assert_eq!(gap["missed"].as_u64().unwrap(), first - 1 - id.parse::<u64>().unwrap(), "exactly");
    let lost = until("what the observer has lost to be told", async || {
        let told = issues(&gateway).await;
        let (_, rest) =
            told.split_once("the observer of plugin watching was too far behind and has missed ")?;
        rest.split(' ').next()?.parse::<u64>().ok()
    });
    // It had seen what came before the end, and its own event of that.
    let lost = lost.await;
    assert!(lost >= 4 && lost <= gap["missed"].as_u64().unwrap(), "{lost} of {gap}");
    open(&gateway, 1).await;
    until("it to go on", async || {
        let told = told(&gateway).await;
        (told.len() >= 2 && told.is_sorted()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_follows_events_misses_nothing_between_two_connections() {
    let gateway = Gateway::start("").await;
    let mut events = gateway.client().follow("/events", None).await;
    let first = gateway.open_session("ada").await;
    let (_, created) = events.next().await.unwrap();
    assert_eq!(
        (&created["type"], &created["data"]["session_id"]),
        (&json!("session.created"), &json!(first))
    );
    let id = events.id().expect("an id to come back with").to_owned();
    drop(events);
    let mut missed = vec![gateway.open_session("bea").await, gateway.open_session("cem").await];
    let gateway = gateway.restart().await;
    missed.push(gateway.open_session("dan").await);
    let mut events = gateway.client().follow("/events", Some(&id)).await;
    let mut seen = Vec::new();
    while seen.len() < missed.len() {
        let (_, event) = events.next().await.unwrap();
        if event["type"] == "session.created" {
            seen.push(event["data"]["session_id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(seen, missed);
    let nonsense =
        gateway.client().request(hyper::Method::GET, "/events").header("last-event-id", "yesterday");
    let refused = gateway.client().send(nonsense, bytes::Bytes::new()).await.error(400, "bad_request");
    assert!(refused.contains("Last-Event-ID"), "{refused}");

    let erased = gateway.client().delete("/users/api/ada").await.expect(200);
    assert!(erased["erased"]["events"].as_u64().unwrap() >= 1, "{erased}");
    let mut events = gateway.client().follow("/events", Some("0")).await;
    let mut of_ada = 0;
    while events.id() != Some(&*id) {
        let (_, event) = events.next().await.unwrap();
        assert_ne!(event["data"]["session_id"], first, "who is erased is in no event");
        of_ada += usize::from(event["data"] == json!({"erased": true}));
    }
    assert_eq!(of_ada, 1);
}

#[tokio::test]
async fn the_examples_keep_a_trail_and_say_a_digest() {
    let telegram = FakeTelegram::start().await;
    let home = Home::empty();
    let digest = "[plugins_config.daily-digest]\nto = \"telegram/7\"\n[grants.daily-digest]\nkv = \"16KiB\"\n\
                  events = { subscribe = [\"session.*\", \"message.*\", \"tool.*\", \"error.*\"] }\n\
                  [grants.audit-trail]\nkv = \"1MiB\"\nevents = { subscribe = [\"*\"] }\n";
    home.configure(&format!("{}{digest}[rate_limits]\nenabled = false\n", telegram.config(&["*"])));
    home.place_plugin("audit-trail", &Component::of("prx-audit-trail").bytes());
    home.place_plugin("daily-digest", &Component::of("prx-daily-digest").bytes());
    let gateway = Gateway::start_in(home).await;
    telegram.write(CHAT, "hello");
    telegram.until("an answer", |telegram| telegram.sent_to(CHAT).first().cloned()).await;
    let trail = until("the trail", async || {
        let trail = call(&gateway, "audit_trail", json!({"limit": 100})).await;
        trail.contains("message.sent").then_some(trail)
    });
    let trail = trail.await;
    assert!(trail.contains(" channel.connected ") && trail.contains(" message.received "), "{trail}");
    // It reads the same log, at its own pace.
    let said = until("the digest", async || {
        gateway.client().post("/jobs/daily-digest/digest/run", json!({})).await.expect(200);
        telegram.sent_to(CHAT).into_iter().find(|text| text.contains("1 reply sent"))
    });
    let said = said.await;
    assert!(said.starts_with("Since the last digest:"), "{said}");
    gateway.stop().await;
}
