//! What a component costs: a tool call on a fresh and on a warm instance, a connector's step, compiling and loading
//! what was compiled before.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use divan::Bencher;
use prx_base::clock::Clock;
use prx_egress::Egress;
use prx_host::bindings::common::Segment;
use prx_host::bindings::connector::{Command, Context, Event, HttpDone, HttpOutcome, HttpResponse, Step};
use prx_host::bindings::tool::CallContext;
use prx_host::{Code, Connector, Engine, Limits, Links, Scope, Services};
use prx_store::Store;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::guests::Guests;

#[path = "../../build/guests.rs"]
mod guests;

const TOOL: &str = "prx-hello-tool";
const CONNECTOR: &str = "prx-telegram";

/// What the platform answers, until the connector listens for messages.
const GREETINGS: [&str; 3] =
    ["true", r#"{"id":1,"is_bot":true,"first_name":"Bot","username":"some_bot"}"#, "[]"];

fn main() {
    divan::main();
}

struct Home {
    runtime: Runtime,
    engine: Engine,
    data_dir: TempDir,
}

impl Home {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let data_dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let clock = Clock::system();
        let store = Store::open(data_dir.path(), clock.clone()).unwrap();
        let services = Services { store, egress: Egress::new(clock.clone()), clock };
        Self { engine: Engine::new(data_dir.path(), services).unwrap(), runtime, data_dir }
    }

    fn code(&self, package: &str, reuse: bool) -> Code {
        let artifact = self.runtime.block_on(self.engine.compile(component(package))).unwrap();
        let links = Links {
            name: "bench".into(),
            config: "{}".into(),
            http: None,
            kv_bytes: None,
            file_bytes: None,
            memory: None,
            turns: false,
            limits: Limits { cpu: Duration::from_secs(60), ..Limits::default() },
            reuse,
        };
        self.engine.link(&artifact, 1, links).unwrap()
    }
}

fn component(package: &str) -> Bytes {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guests =
        Guests::new(&workspace, Path::new(env!("CARGO_TARGET_TMPDIR")).join("build").as_path()).unwrap();
    fs::read(&guests.build(&[package.to_owned()], &[]).unwrap()[0]).unwrap().into()
}

fn tool_call(bencher: Bencher, reuse: bool) {
    let home = Home::new();
    let code = home.code(TOOL, reuse);
    let context = CallContext { session: None, call: "call_1".into(), user: None };
    bencher.bench(|| {
        let answer =
            home.runtime.block_on(code.call_tool("hello", r#"{"name":"Ann"}"#, &context, Scope::default()));
        assert_eq!(answer.unwrap().text, "Hello, Ann!");
    });
}

#[divan::bench(threads = [1, 2])]
fn tool_call_fresh(bencher: Bencher) {
    tool_call(bencher, false);
}

#[divan::bench(threads = [1, 2])]
fn tool_call_warm(bencher: Bencher) {
    tool_call(bencher, true);
}

/// A connector that waits for the answer to its request `token`.
struct Listening {
    connector: Connector,
    state: Vec<u8>,
    token: u64,
}

impl Listening {
    async fn new(code: &Code) -> Self {
        let mut listening = Self { connector: code.connector().await.unwrap(), state: Vec::new(), token: 0 };
        listening.settle(Event::Started).await;
        for result in GREETINGS {
            listening.settle(listening.answered(result)).await;
        }
        listening
    }

    fn answered(&self, result: &str) -> Event {
        let body = format!(r#"{{"ok":true,"result":{result}}}"#).into_bytes();
        let response = HttpResponse { status: 200, headers: Vec::new(), body, blob: None, elapsed_ms: 20 };
        Event::HttpDone(HttpDone { token: self.token, outcome: HttpOutcome::Response(response) })
    }

    async fn step(&mut self, event: &Event) -> Step {
        let config = r#"{"allowed_users":["*"],"mention_only":true,"api_base":"https://api.telegram.org","poll_timeout_secs":30,"on_unknown":"resend"}"#;
        let context =
            Context { channel: "bench".into(), now: 1_700_000_000_000, seed: 7, config: config.into() };
        self.connector.handle(&context, &self.state, std::slice::from_ref(event)).await.unwrap()
    }

    async fn settle(&mut self, event: Event) {
        let step = self.step(&event).await;
        self.state = step.state.unwrap_or_default();
        // What it does beside, it does without the answers. The first request of a step, or the one for messages.
        let requests = step.commands.iter().filter_map(|command| match command {
            Command::Http(request) => Some((is_poll(&request.url), request.token)),
            _ => None,
        });
        let first_poll = requests.rev().max_by_key(|(is_poll, _)| *is_poll);
        self.token = first_poll.map_or(self.token, |(_, token)| token);
    }
}

fn is_poll(url: &[Segment]) -> bool {
    url.iter().any(|piece| matches!(piece, Segment::Text(text) if text.contains("getUpdates")))
}

/// One message in an answer of 2 KB.
fn updates() -> String {
    let text = "x".repeat(1700);
    format!(
        r#"[{{"update_id":7,"message":{{"message_id":3,"date":1700000000,"text":"{text}",
        "from":{{"id":5,"is_bot":false,"first_name":"Ann","username":"ann","language_code":"en"}},
        "chat":{{"id":5,"type":"private","first_name":"Ann","username":"ann"}}}}}}]"#
    )
}

#[divan::bench]
fn connector_step(bencher: Bencher) {
    let home = Home::new();
    let code = home.code(CONNECTOR, false);
    let mut listening = home.runtime.block_on(Listening::new(&code));
    let event = listening.answered(&updates());
    let step = home.runtime.block_on(listening.step(&event));
    assert!(step.commands.iter().any(|command| matches!(command, Command::Deliver(_))));
    bencher.bench_local(|| home.runtime.block_on(listening.step(&event)));
}

#[divan::bench]
fn connector_start(bencher: Bencher) {
    let home = Home::new();
    let code = home.code(CONNECTOR, false);
    bencher.bench(|| home.runtime.block_on(code.connector()).unwrap());
}

#[divan::bench(args = [TOOL, CONNECTOR], sample_count = 10)]
fn compile(bencher: Bencher, package: &str) {
    let home = Home::new();
    let component = component(package);
    bencher
        .with_inputs(|| {
            let _ = fs::remove_dir_all(home.data_dir.path().join("cache"));
        })
        .bench_values(|()| home.runtime.block_on(home.engine.compile(component.clone())).unwrap());
}

#[divan::bench(args = [TOOL, CONNECTOR])]
fn cached_load(bencher: Bencher, package: &str) {
    let home = Home::new();
    let component = component(package);
    home.runtime.block_on(home.engine.compile(component.clone())).unwrap();
    bencher.bench(|| home.runtime.block_on(home.engine.compile(component.clone())).unwrap());
}
