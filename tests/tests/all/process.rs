//! The gateway as a process: what a full disk, signals, and a stop in the midst of everything do to it, and what is left of
//! its children.
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Method;
use prx_tests::client::{Answer, Client, EventStream};
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::models::{Dialect, FakeModel};
use prx_tests::receiver::Receiver;
use prx_tests::scripted;
use prx_tests::system::{System, post};
use prx_tests::telegram::FakeTelegram;
use prx_tests::usage::children;
use prx_tests::wait::until;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How many people write at a time while the gateway is told to stop, and how many read its log.
const PEOPLE: usize = 20;
const READERS: usize = 20;

async fn get(gateway: &Gateway, path: &str) -> Answer {
    let client = gateway.client();
    client.send(client.bare(Method::GET, path), Bytes::new()).await
}

/// How large a file of the gateway may be from here on. A write beyond that fails, as on a full disk.
fn limit_files(gateway: &Gateway, bytes: Option<u64>) {
    let process = Pid::from_raw(gateway.process_id().try_into().unwrap());
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(process, Resource::Fsize, limit).expect("a limit can be lowered and raised again");
}

async fn say(client: &Client, id: &str, conversation: &str, text: &str) -> u16 {
    let message =
        json!({"id": id, "conversation": conversation, "user": {"id": "u-1", "name": "Ada"}, "text": text});
    post(client, "ops", id, &message).await.map_or(0, |answer| answer.status)
}

/// Fills the disk under load. What was acknowledged: the sessions, and the conversations with a message in them.
async fn fill_disk(gateway: &Gateway) -> (Vec<String>, Vec<String>) {
    let size = fs::metadata(gateway.home().data().join("prx.redb")).unwrap().len();
    limit_files(gateway, Some(size + (256 << 10)));
    let (mut sessions, mut conversations) = (Vec::new(), Vec::new());
    let large = json!({"metadata": {"note": "x".repeat(15_000)}, "user_id": "ada"});
    for n in 0.. {
        let (conversation, client) = (format!("c-{n}"), gateway.client());
        let (created, taken) = tokio::join!(
            client.post("/sessions", large.clone()),
            say(client, &conversation, &conversation, "Hello")
        );
        if created.status == 201 {
            sessions.push(created.expect(201)["id"].as_str().unwrap().to_owned());
        } else {
            created.error(503, "unavailable");
        }
        match taken {
            200 => conversations.push(conversation),
            _ if get(gateway, "/livez").await.status == 503 => break,
            _ => {}
        }
    }
    // From here on not even the test whether it takes something again succeeds.
    limit_files(gateway, Some(4096));
    (sessions, conversations)
}

/// Looks at what those who ask are told while the disk takes nothing.
async fn check_what_is_told_of_it(gateway: &Gateway) {
    let client = gateway.client();
    until("the store to stay as it is", async || (get(gateway, "/livez").await.status == 503).then_some(()))
        .await;
    let told = get(gateway, "/livez").await.expect(503);
    assert_eq!(told["live"], false);
    assert!(told["reason"].as_str().unwrap().contains("File too large"), "{told}");
    for path in ["/api/v1/status/health", "/readyz"] {
        assert_eq!(get(gateway, path).await.status, 503, "{path}");
    }
    let doctor = gateway.home().run(&["doctor"]).await;
    assert!(doctor.stdout.contains("the store is opened anew every few seconds"), "{}", doctor.stdout);
    let status = gateway.home().run(&["status"]).await;
    assert!(status.code == Some(1) && status.stdout.contains("the store takes nothing"), "{status:?}");
    assert!(status.stderr.contains("the gateway is unhealthy; `prx doctor`"), "{status:?}");
    client.post("/sessions", json!({"user_id": "ada"})).await.error(503, "unavailable");
    assert_eq!(say(client, "late", "late", "Hello").await, 503, "the platform is told to say it again");
}

#[tokio::test]
async fn a_disk_that_was_full_is_used_again_by_itself_and_nothing_acknowledged_is_lost() {
    let (system, receiver) = (System::start().await, Receiver::start().await);
    let script = json!([
        {"when": "slow", "answers": [[{"wait_ms": 4_000}, {"text": "Slow but sure."}]]},
        {"answers": [[{"text": "Hello yourself."}]]},
    ]);
    let config = system.config("ops") + "[hooks]\nallow_private = true\n";
    let gateway = Gateway::start_in(scripted::home(&script, &config)).await;
    let client = gateway.client();
    let hook = json!({"url": receiver.url(), "events": ["session.created"]});
    client.post("/hooks", hook).await.expect(201);
    until("the channel to run", async || (say(client, "slow", "slow", "slow").await == 200).then_some(()))
        .await;
    let (sessions, conversations) = fill_disk(&gateway).await;

    check_what_is_told_of_it(&gateway).await;

    limit_files(&gateway, None);
    until("the store to be open again", async || (get(&gateway, "/livez").await.status == 200).then_some(()))
        .await;
    until("what was refused to be taken", async || {
        (say(client, "late", "late", "Hello").await == 200).then_some(())
    })
    .await;
    for id in &sessions {
        client.get(&format!("/sessions/{id}")).await.expect(200);
    }
    let expected: Vec<&str> = conversations.iter().map(String::as_str).chain(["slow", "late"]).collect();
    until("everything that was acknowledged to be answered", async || {
        let replies = system.replies();
        let answered = |name: &&str| replies.iter().any(|reply| reply["conversation"] == **name);
        expected.iter().all(answered).then_some(())
    })
    .await;
    let heard = until("the hook to hear of every session", async || {
        let heard: Vec<Value> =
            receiver.received().iter().map(|sent| sent.json()["data"]["session_id"].clone()).collect();
        sessions.iter().all(|id| heard.contains(&json!(id))).then_some(heard)
    })
    .await;
    assert!(heard.len() >= sessions.len());
    let status = until("everything to be well", async || {
        Some(client.get("/status").await.expect(200)).filter(|status| status["status"] == "healthy")
    });
    tokio::time::timeout(Duration::from_secs(60), status).await.expect("nothing is left of it");

    limit_files(&gateway, Some(4096));
    client.post("/sessions", json!({"user_id": "ada"})).await.error(503, "unavailable");
    let output = gateway.output().clone();
    let (code, home) = gateway.end(Signal::TERM).await;
    assert_eq!(code, Some(1), "not everything could be brought to disk");
    assert!(output.says_soon(&["prx: the store could not be brought to disk"]).await, "{}", output.tail());
    let gateway = Gateway::start_in(home).await;
    let slow = gateway.sessions("ops").await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(gateway.messages(&slow).await.len(), 2, "said once, and answered once");
    gateway.stop().await;
}

/// A server that neither ends with its input nor when it is asked to, and how to find its process.
fn stubborn(gateway_home: &Path) -> (String, PathBuf) {
    let noted = gateway_home.join("stubborn.pid");
    // What it leaves behind has no parent from the beginning.
    let orphan = gateway_home.join("orphan.pid");
    let script = format!(
        "(sleep 1 & echo $! > {}); trap '' TERM INT HUP; echo $$ > {}; exec sleep 1000",
        orphan.display(),
        noted.display()
    );
    (format!("[mcp_servers.stubborn]\ncommand = \"sh\"\nargs = [\"-c\", {script:?}]\n"), noted)
}

/// The process that has noted its id in a file.
async fn noted(file: &Path) -> Pid {
    until("a process to note its id", async || {
        Pid::from_raw(fs::read_to_string(file).ok()?.trim().parse().ok()?)
    })
    .await
}

async fn gone(process: Pid) {
    until("a process to be gone", async || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    })
    .await;
}

/// Everything that a gateway can be in the midst of when it is told to stop.
struct Midst {
    telegram: Arc<FakeTelegram>,
    model: FakeModel,
    silent: TcpListener,
    /// How many messages were written on Telegram.
    written: Arc<AtomicUsize>,
}

impl Midst {
    async fn start() -> Self {
        let (telegram, model) = (FakeTelegram::start().await, FakeModel::start(Dialect::OPENAI).await);
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { telegram: Arc::new(telegram), model, silent, written: Arc::default() }
    }

    /// What leads to it, but for the server that is stubborn.
    fn config(&self) -> String {
        let rest = "[hooks]\nallow_private = true\n[rate_limits]\nenabled = false\n";
        format!("{}{}{rest}", self.telegram.config(&["*"]), self.model.config(""))
    }

    /// Many people write all the time.
    fn flood(&self) -> JoinHandle<()> {
        let (telegram, written) = (Arc::clone(&self.telegram), Arc::clone(&self.written));
        tokio::spawn(async move {
            loop {
                let n = written.fetch_add(1, Ordering::SeqCst);
                telegram.write(1 + (n % PEOPLE) as i64, &text(n));
                sleep(Duration::from_millis(10)).await;
            }
        })
    }

    /// Returns once every message is answered.
    ///
    /// # Panics
    /// One was answered twice.
    async fn each_is_answered_once(&self) {
        let count = self.written.load(Ordering::SeqCst);
        let answers = |n: usize| {
            let sent = self.telegram.sent_to(1 + (n % PEOPLE) as i64);
            sent.iter().filter(|sent| sent.contains(&text(n))).count()
        };
        let answered = until("every message to be answered", async || {
            let answered: Vec<usize> = (0..count).map(answers).collect();
            (!answered.contains(&0)).then_some(answered)
        })
        .await;
        let twice: Vec<usize> = (0..count).filter(|n| answered[*n] > 1).collect();
        assert!(twice.is_empty(), "of {count}, these were answered more than once: {twice:?}");
        assert_eq!(self.telegram.broken_rules(), Vec::<String>::new());
    }
}

fn text(n: usize) -> String {
    format!("[{n:05}]")
}

/// Signals that don't stop it are told of, and change nothing.
async fn signals_that_stop_nothing(gateway: &Gateway) {
    for (signal, word) in
        [(Signal::USR1, "means nothing"), (Signal::USR2, "means nothing"), (Signal::HUP, "read again")]
    {
        gateway.signal(signal);
        until("the signal to be told of", async || gateway.output().says(&[word]).then_some(())).await;
    }
}

/// Starts an upload whose component takes long to compile, and returns it once it is being compiled: next to the server.
async fn compile(gateway: &Gateway) -> JoinHandle<Answer> {
    let component = Component::hostile("slow", "").with_long_functions(5, 2_400_000 / 3).bytes();
    let client = gateway.client().clone();
    let upload =
        tokio::spawn(
            async move { client.upload(Method::POST, "/plugins", "application/wasm", component).await },
        );
    let process = gateway.process_id();
    until("the compilation", async || (children(process).len() == 2).then_some(())).await;
    upload
}

#[tokio::test]
async fn a_stop_in_the_midst_of_everything_takes_no_longer_than_it_may_and_loses_nothing() {
    let (midst, home) = (Midst::start().await, Home::empty());
    let (server, pid) = stubborn(home.path());
    home.configure(&format!("{}{server}", midst.config()));
    let gateway = Gateway::start_in(home).await;
    let client = gateway.client().clone();
    let hook = format!("http://{}/hook", midst.silent.local_addr().unwrap());
    client.post("/hooks", json!({"url": hook, "events": ["*"]})).await.expect(201);
    let session = gateway.open_session("ada").await;
    let (_hanging, _) = midst.silent.accept().await.unwrap();
    let stubborn = noted(&pid).await;
    let orphan = noted(&gateway.home().path().join("orphan.pid")).await;
    let reaped = Path::new("/proc").join(orphan.as_raw_nonzero().to_string());
    until("the end of a process without a parent", async || (!reaped.exists()).then_some(())).await;
    let answer = midst.model.live();
    let (path, asking) = (format!("/sessions/{session}/messages"), client.clone());
    let turn = tokio::spawn(async move { asking.post(&path, json!({"content": "Well?"})).await });
    midst.model.until_asked(1).await;
    assert!(answer.say((midst.model.dialect().words)(&["So ", "far "])[..2].concat()).await);
    let flood = midst.flood();
    let readers = join_all((0..READERS).map(|_| client.follow("/logs/stream", None))).await;
    let install = compile(&gateway).await;
    let started = children(gateway.process_id());
    signals_that_stop_nothing(&gateway).await;
    until("many to be answered", async || (midst.telegram.sent_count() > PEOPLE).then_some(())).await;

    let asked = tokio::time::Instant::now();
    let output = gateway.output().clone();
    let (code, home) = gateway.end(Signal::TERM).await;
    let took = asked.elapsed();
    assert_eq!(code, Some(0), "{}", output.tail());
    assert!(took < Duration::from_secs(8), "a stop within gateway.stop_secs, not {took:?}");
    flood.abort();
    gone(stubborn).await;
    for process in started {
        gone(Pid::from_raw(process.try_into().unwrap()).unwrap()).await;
    }
    turn.await.unwrap().error(503, "unavailable");
    install.await.unwrap().error(503, "unavailable");
    join_all(readers.into_iter().map(EventStream::rest)).await;

    fs::remove_file(&pid).unwrap();
    let gateway = Gateway::start_in(home).await;
    midst.each_is_answered_once().await;
    until("the turn that was cut off", async || (gateway.messages(&session).await.len() == 2).then_some(()))
        .await;
    assert!(gateway.plugin("slow").await.is_none(), "nothing is half done");
    let second = noted(&pid).await;
    // Nobody gets to say goodbye.
    let home = gateway.kill();
    gone(second).await;

    let gateway = Gateway::start_in(home).await;
    gateway.signal(Signal::QUIT);
    let output = gateway.output().clone();
    until("the first signal to be obeyed", async || output.says(&["stopping"]).then_some(())).await;
    let (code, _) = gateway.end(Signal::INT).await;
    assert_eq!(code, Some(128 + 2), "a second signal ends it at once");
}

#[tokio::test]
async fn a_reader_of_the_log_that_stops_stops_nobody() {
    let home = Home::new("");
    home.warm().await;
    let mut command = home.command(&["serve", "--port", "0"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit_once("//").unwrap().1.parse().unwrap();
    let client = Client::new(address, None);
    // Nobody reads the pipe of its standard error, which holds 64 KiB.
    for _ in 0..1_000 {
        assert_eq!(client.send(client.bare(Method::GET, "/livez"), Bytes::new()).await.status, 200);
    }
    let pid = Pid::from_child(&process);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let ended = until("the gateway to stop", async || process.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0));
}
