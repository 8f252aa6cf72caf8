//! `kill -9` in the middle of turns with tools: what a tool has done is not done again once its result is on disk, and every
//! message is answered, once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prx_tests::component::Component;
use prx_tests::discord::FakeDiscord;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::models::{Dialect, FakeModel, Thought};
use prx_tests::origin::Origin;
use prx_tests::random::Random;
use prx_tests::scale::scaled;
use prx_tests::wait::until;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

const USERS: u64 = 3;
const DIALECT: Dialect = Dialect::OPENAI;

/// What tools have done: how often each call arrived, by what it asks for, and how often it had when the model saw its result.
type Counts = Arc<Mutex<BTreeMap<String, usize>>>;

fn text(n: usize) -> String {
    format!("[{n:05}]")
}

/// The number in a text.
fn number(text: &str) -> Option<usize> {
    text.split_once('[')?.1.get(..5)?.parse().ok()
}

/// How often each path was asked for.
fn calls(origin: &Origin) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for path in origin.asked() {
        *counts.entry(path).or_default() += 1;
    }
    counts
}

/// What the user said last, and whether tools have answered since.
fn last_question(body: &Value) -> (usize, bool) {
    let messages = body["messages"].as_array().unwrap();
    let asked = messages.iter().rposition(|message| message["role"] == "user").unwrap();
    let number = number(&messages[asked]["content"].to_string()).unwrap();
    (number, asked + 1 < messages.len())
}

/// A model that for each message wants one thing done and one thing looked at, and says that it is done.
async fn model(origin: &Arc<Origin>) -> (FakeModel, Counts) {
    let (model, seen) = (FakeModel::start(DIALECT).await, Counts::default());
    let (noted, origin) = (Arc::clone(&seen), Arc::clone(origin));
    model.think(move |body| {
        let (n, is_done) = last_question(body);
        let paths = [format!("/do?n={n}"), format!("/look?n={n}")];
        if is_done {
            let counts = calls(&origin);
            let mut noted = noted.lock().unwrap();
            for path in paths {
                noted.entry(path.clone()).or_insert_with(|| counts.get(&path).copied().unwrap_or(0));
            }
            return Thought::Says(format!("Done: {}", text(n)));
        }
        let call = |id: &str, name: &'static str, path: &str| {
            (format!("call_{n}_{id}"), name, json!({"url": format!("{}{path}", origin.url())}))
        };
        Thought::Calls(vec![call("a", "fetch", &paths[0]), call("b", "look", &paths[1])])
    });
    (model, seen)
}

fn home(model: &FakeModel, discord: &FakeDiscord, origin: &Origin) -> Home {
    let url = origin.url();
    let grant =
        format!("[grants.reaching]\nhttp = [{url:?}]\nkv = \"64KiB\"\n[agent]\nmax_turns = 1000000\n");
    let home = Home::new(&format!("{}{}{grant}", model.config(""), discord.config(&["*"])));
    let manifest = format!(
        "[plugin]\nname = \"reaching\"\nversion = \"1.0.0\"\ndescription = \"Reaches\"\n[permissions]\nhttp = [{url:?}]\nkv = \
         \"64KiB\"\n"
    );
    home.place_plugin("reaching", &Component::of("reaching").with_manifest(&manifest).bytes());
    home
}

#[tokio::test]
async fn no_call_is_made_again_and_no_reply_is_lost_or_doubled() {
    let kills = scaled(5, 50);
    let mut random = Random::announced();
    let origin = Arc::new(Origin::start().await);
    ["/do", "/look"].iter().for_each(|path| origin.answer(path, json!("RESULT")));
    origin.pace(Duration::from_millis(60));
    let (model, seen) = model(&origin).await;
    let discord = FakeDiscord::start().await;
    let mut gateway = Gateway::start_in(home(&model, &discord, &origin)).await;
    discord.listening(0).await;
    let mut written = 0;
    let of = |n: usize| 1 + (n as u64 % USERS);
    let answers =
        |d: &FakeDiscord, n: usize| d.sent_to(of(n)).iter().filter(|sent| sent.contains(&text(n))).count();
    for kill in 0..kills {
        for user in 1..=USERS {
            discord.write(user, &text(written));
            written += 1;
        }
        // Calls of models and of tools; a turn has two of each.
        let heard = || model.asked().len() + origin.asked().len();
        let moment = heard() + 3 + random.below(10) as usize;
        let is_time = until("the moment of the kill", async || (heard() >= moment).then_some(()));
        // All may be answered before so much was asked.
        let _ = timeout(Duration::from_secs(5), is_time).await;
        sleep(Duration::from_micros(random.below(40_000))).await;
        let home = gateway.kill();
        let connections = discord.connections().len();
        gateway = Gateway::start_in(home).await;
        discord.until("a session", |d| d.connections().get(connections..)?.last()?.ready_at).await;
        // A turn that was at work at five kills in a row is given up.
        if kill % 4 == 3 || kill + 1 == kills {
            discord.until("every answer", |d| (0..written).all(|n| answers(d, n) > 0).then_some(())).await;
        }
    }
    let sessions = gateway.sessions("discord").await;
    let mut turns = BTreeMap::new();
    for session in sessions {
        for turn in gateway.messages(session["id"].as_str().unwrap()).await.chunks(5) {
            assert!(turns.insert(number(&turn[0].1).unwrap(), turn.to_vec()).is_none(), "{turn:?}");
        }
    }
    gateway.stop().await;

    for n in 0..written {
        assert_eq!(answers(&discord, n), 1, "message {n}: {:?}", discord.sent_to(of(n)));
    }
    let seen = seen.lock().unwrap().clone();
    let [unknown, repeated] = each_is_whole(&turns, &calls(&origin), &seen);
    assert_eq!(turns.len(), written);
    assert!(kills < 50 || unknown > 0, "no kill came in the middle of a call");
    eprintln!(
        "{written} turns, {kills} kills: {unknown} calls of an unknown outcome, {repeated} looks made again"
    );
    assert_eq!(discord.broken_rules(), Vec::<String>::new());
    assert_eq!(model.broken_rules(), Vec::<String>::new());
}

/// Looks whether every turn is whole, and what it says of its calls is what has arrived. How many calls are of an unknown
/// outcome, and how many that only look were made again.
fn each_is_whole(
    turns: &BTreeMap<usize, Vec<(String, String)>>,
    made: &BTreeMap<String, usize>,
    seen: &BTreeMap<String, usize>,
) -> [usize; 2] {
    let (mut unknown, mut repeated) = (0, 0);
    for (n, turn) in turns {
        let roles: Vec<&str> = turn.iter().map(|(role, _)| role.as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant"], "{turn:?}");
        assert_eq!(turn[4].1, format!("Done: {}", text(*n)));
        let [done, looked] = [format!("/do?n={n}"), format!("/look?n={n}")].map(|path| {
            let count = made.get(&path).copied().unwrap_or(0);
            assert_eq!(count, seen[&path], "{path} is called after its result was there");
            count
        });
        let is_known = turn[2].1.contains("RESULT");
        let is_said = turn[2].1.contains("The outcome of this call is unknown");
        assert!(done <= 1 && if is_known { done == 1 } else { is_said }, "done {done} times: {turn:?}");
        assert!(turn[3].1.contains("RESULT"), "what changes nothing is made again: {turn:?}");
        unknown += usize::from(!is_known);
        repeated += looked - 1;
    }
    [unknown, repeated]
}
