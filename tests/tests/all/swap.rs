//! Components are swapped under load: no request fails, no message is lost or doubled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::Method;
use prx_tests::client::Client;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::origin::Origin;
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const RELOADS: usize = 50;
const CLIENTS: usize = 4;

#[tokio::test]
async fn fifty_reloads_each_go_unnoticed() {
    let telegram = FakeTelegram::start().await;
    let config = telegram.config(&["*"]) + "[agent]\nmax_turns = 1000000\n";
    let gateway = Gateway::start_in(Home::new(&config)).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let session = gateway.open_session(&format!("client {n}")).await;
        clients.push((session.clone(), chatter(gateway.client().clone(), session, Arc::clone(&over))));
    }

    let mut written = 0;
    for round in 0..RELOADS {
        for plugin in ["telegram", "skills", "local"] {
            telegram.write(1 + (written % 4), &format!("[{written:04}]"));
            written += 1;
            let path = format!("/plugins/{plugin}/reload");
            let reloaded = gateway.client().post(&path, json!({})).await.expect(200);
            assert_eq!(reloaded["status"], "loaded", "{plugin}, round {round}");
        }
    }
    over.store(true, Ordering::Relaxed);

    for (session, chatter) in clients {
        let said = chatter.await.unwrap();
        let messages = gateway.messages(&session).await;
        assert!(said > 0, "every client was heard");
        assert_eq!(messages.len(), 2 * said, "no message lost, none doubled");
        for (n, turn) in messages.chunks(2).enumerate() {
            assert!(turn[0].1.contains(&format!("[{n:05}]")), "in order: {turn:?}");
        }
    }
    let count = written as usize;
    telegram.until("every chat message to be answered", |t| (t.sent().len() >= count).then_some(())).await;
    let mut heard = gateway.heard("telegram").await;
    heard.sort();
    assert_eq!(heard, (0..written).map(|n| format!("[{n:04}]")).collect::<Vec<_>>());
    gateway.stop().await;
    for n in 0..written {
        let answers =
            telegram.sent_to(1 + (n % 4)).iter().filter(|text| text.contains(&format!("[{n:04}]"))).count();
        assert_eq!(answers, 1, "message {n}");
    }
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
    assert_eq!(telegram.overlapping_polls(), 0, "the poll is not torn down by a swap");
}

#[tokio::test]
async fn a_connector_that_waits_is_swapped_at_once() {
    let telegram = FakeTelegram::start().await;
    let gateway = Gateway::start(&telegram.config(&["*"])).await;
    let polls = |telegram: &FakeTelegram| telegram.calls("getUpdates").len();
    telegram
        .until("the long poll", |t| {
            t.calls("getUpdates").last().filter(|c| c.parameters["timeout"] != 0).map(|_| ())
        })
        .await;
    let before = polls(&telegram);
    let report = gateway.client().post("/plugins/telegram/reload", json!({})).await.expect(200);
    assert_eq!(report["rolled_back"], false);
    assert_eq!((&report["from"], &report["to"], &report["generation"]), (&json!(1), &json!(2), &json!(2)));
    assert_eq!(report["connections_kept"], 1, "{report}");
    assert!(report["compile_ms"].is_u64() && report["pause_ms"].is_f64(), "{report}");
    assert_eq!(polls(&telegram), before, "the poll that was open goes on");
    telegram.write(1, "to the new code");
    telegram.until("an answer", |t| (!t.sent().is_empty()).then_some(())).await;
    gateway.stop().await;
}

/// Says one thing after the other until it is over; how many it said. Every second one brings a skill in.
fn chatter(client: Client, session: String, over: Arc<AtomicBool>) -> JoinHandle<usize> {
    let path = format!("/sessions/{session}/messages");
    tokio::spawn(async move {
        let mut said = 0;
        while !over.load(Ordering::Relaxed) {
            let skill = if said % 2 == 1 { "/summarize " } else { "" };
            let text =
                format!("{skill}[{said:05}] One sentence says a thing. Another sentence says one more.");
            client.post(&path, json!({"content": text})).await.expect(200);
            said += 1;
        }
        said
    })
}

#[tokio::test]
async fn a_connector_that_fails_on_its_first_event_is_rolled_back() {
    let telegram = FakeTelegram::start().await;
    let grants = "[grants.telegram]\nhttp = [\"https://api.telegram.org\"]\nsecrets = [\"bot_token\", \"webhook_secret\"]\n";
    let gateway = Gateway::start(&format!("{}{grants}", telegram.config(&["*"]))).await;
    telegram.write(1, "before");
    telegram.until("the first answer", |t| (t.sent().len() == 1).then_some(())).await;
    let stumbling = Component::of("stumbling").bytes();
    let replaced =
        gateway.client().upload(Method::PUT, "/plugins/telegram", "application/wasm", stumbling).await;
    let reason = replaced.error(409, "conflict");
    assert!(reason.contains("stumbles over the first event"), "it says why: {reason}");
    let report = &replaced.json()["error"]["details"];
    assert_eq!(
        (&report["rolled_back"], &report["from"], &report["to"]),
        (&json!(true), &json!(1), &json!(2))
    );
    assert!(report["pause_ms"].is_f64() && report["connections_kept"].as_u64() > Some(0), "{report}");
    let plugin = gateway.client().get("/plugins/telegram").await.expect(200);
    assert_eq!(
        (&plugin["generation"], &plugin["bundled"], &plugin["status"]),
        (&json!(1), &json!(true), &json!("loaded"))
    );
    assert_ne!(plugin["version"], "9.9.9");
    assert!(!gateway.home().plugin_file("telegram").exists(), "the next start has the old code, too");
    telegram.write(1, "after");
    telegram.until("the second answer", |t| (t.sent().len() == 2).then_some(())).await;
    assert_eq!(gateway.channel("telegram").await.unwrap()["status"], "connected");
    gateway.client().post("/plugins/telegram/reload", json!({})).await.expect(200);
    gateway.stop().await;
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

/// The connector that greets, as this version of itself.
fn pulse(state_version: u32) -> Component {
    let manifest = format!(
        "[plugin]\nname = \"pulse\"\nversion = \"{state_version}.0.0\"\ndescription = \"Greets\"\n[channel]\nstate_version \
         = {state_version}\n[config.api_base]\ntype = \"string\"\nrequired = true\nextends = \"http\"\n"
    );
    Component::of("pulse").with_manifest(&manifest)
}

/// A gateway whose channel `pulse` runs the first version, and the platform it greets.
async fn with_pulse(good_for_ms: u64) -> (Gateway, Origin) {
    let platform = Origin::start().await;
    platform.answer("/hello", json!(good_for_ms));
    platform.answer("/again", json!(good_for_ms));
    let home = Home::new(&format!("[channels_config.pulse]\napi_base = {:?}\n", platform.url()));
    home.place_plugin("pulse", &pulse(1).bytes());
    let gateway = Gateway::start_in(home).await;
    standing(&gateway, "connected").await;
    (gateway, platform)
}

async fn standing(gateway: &Gateway, status: &str) -> Value {
    until(&format!("the channel to be {status}"), async || {
        gateway.channel("pulse").await.filter(|channel| channel["status"] == status)
    })
    .await
}

#[tokio::test]
async fn a_state_migrates_with_its_code_and_comes_back_with_it() {
    let (gateway, platform) = with_pulse(60_000).await;
    let put = async |component: Component| {
        gateway.client().upload(Method::PUT, "/plugins/pulse", "application/wasm", component.bytes()).await
    };
    let refused = put(pulse(2).replace("then:lives..", "then:breaks.")).await;
    assert!(refused.error(409, "conflict").contains("breaks on its second event"));
    until("the events to be handled again by the old code", async || {
        platform.asked().contains(&"/again?migrated=".to_owned()).then_some(())
    })
    .await;
    let plugin = gateway.client().get("/plugins/pulse").await.expect(200);
    assert_eq!((&plugin["version"], &plugin["generation"]), (&json!("1.0.0"), &json!(1)));

    let report = put(pulse(2)).await.expect(200);
    assert_eq!((&report["version"], &report["rolled_back"]), (&json!("2.0.0"), &json!(false)));
    assert_eq!((&report["from"], &report["to"], &report["generation"]), (&json!(1), &json!(3), &json!(3)));
    until("the new code with the migrated state", async || {
        platform.asked().contains(&"/again?migrated=1".to_owned()).then_some(())
    })
    .await;
    assert_eq!(gateway.client().post("/plugins/pulse/rollback", json!({})).await.status, 200);
    until("the old code with a state that it migrates, too", async || {
        platform.asked().contains(&"/again?migrated=1,2".to_owned()).then_some(())
    })
    .await;
    standing(&gateway, "connected").await;
    assert_eq!(platform.asked()[0], "/hello?migrated=");
    assert_eq!(
        platform.asked().iter().filter(|path| path.starts_with("/hello")).count(),
        1,
        "one connection"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_platform_that_falls_silent_is_connected_to_anew() {
    let (gateway, platform) = with_pulse(700).await;
    let before = standing(&gateway, "connected").await;
    let greetings = || platform.asked().iter().filter(|path| path.starts_with("/hello")).count();
    until("the silence to be noticed", async || (greetings() >= 2).then_some(())).await;
    platform.answer("/hello", json!(60_000));
    let mended = until("a connection that stays", async || {
        let channel = gateway.channel("pulse").await?;
        let lasts =
            gateway.output().says(&["made anew"]) && channel["connected_at"] != before["connected_at"];
        (lasts && channel["status"] == "connected").then_some(channel)
    })
    .await;
    assert!(mended["connected_at"].as_str() > before["connected_at"].as_str(), "{mended}");
    assert!(mended["last_error"].as_str().unwrap_or_default().contains("nothing heard"), "{mended}");
    gateway.stop().await;
}
