//! Components against their limits and grants, each a real one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::bindings::connector::{Context, Event};
use super::bindings::provider::{Message, Request, UserMessage};
use super::bindings::tool::CallContext;
use super::{CallError, Code, CompileError, Description, Engine, Limits, LinkError, Links, Scope, Services};
use prx_base::clock::Clock;
use prx_egress::Egress;
use prx_store::Store;

mod guest;

struct Host {
    engine: Engine,
    data_dir: TempDir,
}

impl Host {
    fn new() -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let store = Store::open(data_dir.path(), clock.clone()).unwrap();
        let services = Services { store, egress: Egress::new(clock.clone()), clock };
        Self { engine: Engine::new(data_dir.path(), services).unwrap(), data_dir }
    }

    async fn link(&self, component: &Bytes, links: Links) -> Result<Code, LinkError> {
        let artifact = self.engine.compile(component.clone()).await.unwrap();
        self.engine.link(&artifact, 1, links)
    }

    async fn code(&self, component: &Bytes) -> Code {
        self.link(component, links()).await.unwrap()
    }
}

fn links() -> Links {
    Links {
        name: "guest".into(),
        config: "{}".into(),
        http: None,
        kv_bytes: None,
        file_bytes: None,
        memory: None,
        turns: false,
        limits: Limits {
            memory_bytes: 1 << 20,
            cpu: Duration::from_secs(10),
            deadline: Duration::from_secs(20),
        },
        reuse: false,
    }
}

/// The bundled component that says this of itself.
async fn bundled(host: &Host, limits: Limits, is: impl Fn(&Description) -> bool) -> Code {
    for (_, component) in crate::components::bundled().all() {
        let links = Links { kv_bytes: Some(1024), limits, ..links() };
        // One that asks for more than these links is none of those that are looked for here.
        let Ok(code) = host.link(&Bytes::from_static(component), links).await else { continue };
        if is(&code.describe().await.unwrap()) {
            return code;
        }
    }
    panic!("no bundled component is like that")
}

/// Enough for a component that does real work.
fn roomy() -> Limits {
    Limits { memory_bytes: 2 << 20, ..links().limits }
}

/// For what never stops computing by itself.
fn briefly() -> Links {
    Links { limits: Limits { cpu: Duration::from_millis(300), ..links().limits }, ..links() }
}

async fn call(code: &Code, arguments: &str) -> Result<String, CallError> {
    let context = CallContext { session: None, call: "call_1".into(), user: None };
    code.call_tool("any", arguments, &context, Scope::default()).await.map(|output| output.text)
}

fn trap(outcome: Result<String, CallError>) -> String {
    match outcome {
        Err(CallError::Trap(reason)) => reason,
        other => panic!("expected a trap, got {other:?}"),
    }
}

#[tokio::test]
async fn a_tool_answers() {
    let host = Host::new();
    let code = host.code(&guest::tool("", "")).await;
    assert_eq!(call(&code, r#"{"a":1}"#).await.unwrap(), r#"{"a":1}"#);
    let description = code.describe().await.unwrap();
    assert_eq!((description.tools.len(), description.models, description.connector), (0, None, false));
}

#[tokio::test]
async fn what_is_not_exported_is_no_such_thing() {
    let host = Host::new();
    let code = host.code(&guest::text("(component)")).await;
    assert_eq!(call(&code, "{}").await, Err(CallError::NoSuch("tools".into())));
    assert!(matches!(code.connector().await.err(), Some(CallError::NoSuch(_))));
}

#[tokio::test(flavor = "current_thread")]
async fn a_spinning_guest_is_cut_off_and_holds_up_nobody() {
    let host = Host::new();
    let spinning = host.link(&guest::tool("(loop (br 0))", ""), briefly()).await.unwrap();
    let answering = host.code(&guest::tool("", "")).await;
    let (done, mut order) = mpsc::unbounded_channel();
    let spin = async {
        let outcome = call(&spinning, "{}").await;
        done.send("spin").unwrap();
        outcome
    };
    let answer = async {
        let outcome = call(&answering, "hello").await;
        done.send("answer").unwrap();
        outcome
    };
    let (spun, answered) = tokio::join!(spin, answer);
    assert_eq!(spun, Err(CallError::CpuLimit(briefly().limits.cpu)));
    assert_eq!(answered.unwrap(), "hello");
    assert_eq!(order.recv().await, Some("answer"));
}

#[tokio::test]
async fn what_comes_after_the_answer_is_limited_like_a_call() {
    let host = Host::new();
    let traps = host.link(&guest::leaving("unreachable"), Links { reuse: true, ..links() }).await.unwrap();
    for _ in 0..2 {
        assert!(trap(call(&traps, "{}").await).contains("unreachable"));
    }
    let spins = host.link(&guest::leaving("(loop (br 0))"), briefly()).await.unwrap();
    assert_eq!(call(&spins, "{}").await, Err(CallError::CpuLimit(briefly().limits.cpu)));
}

#[tokio::test]
async fn computing_side_by_side_past_the_deadline_is_a_defect() {
    let host = Host::new();
    let limits = Limits { deadline: Duration::from_millis(300), ..links().limits };
    let spins = host.link(&guest::tool("(loop (br 0))", ""), Links { limits, ..links() }).await.unwrap();
    for outcome in join_all((0..10).map(|_| call(&spins, "{}"))).await {
        assert_eq!(outcome, Err(CallError::Crowded(limits.deadline)));
        assert!(outcome.is_err_and(|error| error.is_defect()));
    }
    let answers = host.link(&guest::tool("", ""), Links { limits, ..links() }).await.unwrap();
    assert_eq!(call(&answers, "their slots are given back").await.unwrap(), "their slots are given back");
}

#[tokio::test]
async fn an_instance_that_takes_too_much_is_refused_with_numbers() {
    let host = Host::new();
    for (what, pieces, told) in [
        ("(memory 0)", 5, "each of its instances needs 5 memories; the most is 4"),
        ("(table 1 funcref)", 33, "each of its instances needs 33 tables; the most is 32"),
    ] {
        let instances = "(core instance (instantiate $piece))".repeat(pieces);
        let component = guest::text(&format!("(component (core module $piece {what}) {instances})"));
        assert_eq!(host.link(&component, links()).await.err().unwrap().to_string(), told);
    }
}

#[tokio::test]
async fn init_is_limited_like_a_call() {
    let host = Host::new();
    let spins = guest::tool("", "(func $init (loop (br 0))) (start $init)");
    let spins = host.link(&spins, briefly()).await.unwrap();
    assert_eq!(call(&spins, "{}").await, Err(CallError::CpuLimit(briefly().limits.cpu)));
    let traps = host.code(&guest::tool("", "(func $init unreachable) (start $init)")).await;
    assert!(trap(call(&traps, "{}").await).contains("unreachable"));
    assert!(traps.describe().await.is_err());
}

#[tokio::test]
async fn endless_recursion_is_a_trap() {
    let host = Host::new();
    let code =
        host.code(&guest::tool("(call $deeper)", "(func $deeper (call $deeper) (call $deeper))")).await;
    assert!(trap(call(&code, "{}").await).contains("stack exhausted"));
}

#[tokio::test]
async fn memory_is_bounded_in_one_piece_and_in_many() {
    let host = Host::new();
    let greedy = "(drop (memory.grow (i32.const 16))) unreachable";
    let code = host.code(&guest::tool(greedy, "")).await;
    assert_eq!(call(&code, "{}").await, Err(CallError::OutOfMemory(1 << 20)));

    let pieces = "(core instance (instantiate $piece))".repeat(4);
    let many = guest::text(&format!("(component (core module $piece (memory 5)) {pieces})"));
    assert_eq!(host.code(&many).await.describe().await, Err(CallError::OutOfMemory(1 << 20)));

    let tables = "(core instance (instantiate $piece))".repeat(8);
    let many = guest::text(&format!("(component (core module $piece (table 18000 funcref)) {tables})"));
    assert_eq!(host.code(&many).await.describe().await, Err(CallError::OutOfMemory(1 << 20)));
}

#[tokio::test]
async fn what_all_instances_hold_is_known_and_let_go() {
    let host = Host::new();
    let code = host.link(&guest::tool("", ""), Links { reuse: true, ..links() }).await.unwrap();
    let before = code.memory_bytes();
    call(&code, "{}").await.unwrap();
    assert_eq!(code.memory_bytes(), before + 65536);
    let code = host.code(&guest::tool("", "")).await;
    call(&code, "{}").await.unwrap();
    assert_eq!(code.memory_bytes(), before);
}

#[tokio::test]
async fn a_huge_answer_is_refused() {
    let host = Host::new();
    let huge = "(drop (memory.grow (i32.const 100))) (i32.store (i32.const 2052) (i32.const 0))
                (i32.store (i32.const 2056) (i32.const 6000000))";
    let code =
        host.link(&guest::tool(huge, ""), Links { limits: Limits::default(), ..links() }).await.unwrap();
    let said = trap(call(&code, "{}").await);
    assert!(said.contains("bytes at once"), "{said}");
}

#[tokio::test]
async fn only_a_clean_instance_serves_again() {
    const COUNT: &str = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store8 (i32.const 4096) (i32.add (global.get $calls) (i32.const 48)))
        (i32.store (i32.const 2052) (i32.const 4096))
        (if (i32.eq (local.get 3) (i32.const 4)) (then unreachable))
        (i32.store (i32.const 2056) (i32.const 1))";
    let host = Host::new();
    let fresh = host.code(&guest::tool(COUNT, "")).await;
    assert_eq!((call(&fresh, "").await.unwrap(), call(&fresh, "").await.unwrap()), ("1".into(), "1".into()));

    let kept = host.link(&guest::tool(COUNT, ""), Links { reuse: true, ..links() }).await.unwrap();
    assert_eq!((call(&kept, "").await.unwrap(), call(&kept, "").await.unwrap()), ("1".into(), "2".into()));
    assert!(trap(call(&kept, "trap").await).contains("unreachable"));
    assert_eq!(call(&kept, "").await.unwrap(), "1");
}

#[tokio::test]
async fn what_is_not_granted_is_not_linked() {
    const KV: &str = r#"(import "prx:plugin/kv@0.2.0" (instance (export "any" (func))))"#;
    let host = Host::new();
    let component = guest::importing(KV, "", "");
    let refused = host.link(&component, links()).await.err().unwrap();
    assert!(matches!(&refused, LinkError::Mismatch(why) if why.contains("prx:plugin/kv@0.2.0")), "{refused}");
    let kv = r#"(import "prx:plugin/kv@0.2.0" (instance))"#;
    let granted = Links { kv_bytes: Some(1024), ..links() };
    let granted = host.link(&guest::importing(kv, "", ""), granted).await.unwrap();
    assert_eq!(call(&granted, "fine").await.unwrap(), "fine");
}

#[tokio::test]
async fn a_connector_gives_the_same_step_for_the_same_input() {
    let host = Host::new();
    let code = bundled(&host, roomy(), |description| description.connector).await;
    let context = |now, seed| Context { channel: "test".into(), now, seed, config: "{}".into() };
    let mut used = code.connector().await.unwrap();
    used.handle(&context(7, 1), b"", &[Event::Started]).await.unwrap();
    let again = used.handle(&context(8, 2), b"", &[Event::Started]).await.unwrap();
    let mut fresh = code.connector().await.unwrap();
    assert_eq!(fresh.handle(&context(8, 2), b"", &[Event::Started]).await.unwrap(), again);
}

#[tokio::test]
async fn a_connector_that_was_given_up_is_dead() {
    let host = Host::new();
    let code = bundled(&host, roomy(), |description| description.connector).await;
    let context = Context { channel: "test".into(), now: 0, seed: 0, config: "{}".into() };
    let mut connector = code.connector().await.unwrap();
    connector.handle(&context, b"", &[Event::Started]).await.unwrap();
    let overlong = vec![0; 2 << 20];
    assert_eq!(connector.handle(&context, &overlong, &[]).await, Err(CallError::OutOfMemory(2 << 20)));
    assert_eq!(connector.handle(&context, b"", &[Event::Started]).await, Err(CallError::Stopped));
}

#[tokio::test]
async fn waiting_costs_no_computing_time_but_ends_at_the_deadline() {
    let host = Host::new();
    let limits = Limits { cpu: Duration::from_millis(500), deadline: Duration::from_secs(1), ..roomy() };
    let code = bundled(&host, limits, |description| description.models.is_some()).await;
    let said =
        UserMessage { text: "one two three four five six seven eight".into(), attachments: Vec::new() };
    let request = Request {
        model: code.describe().await.unwrap().models.unwrap().remove(0),
        system: String::new(),
        messages: vec![Message::User(said)],
        tools: Vec::new(),
        options: "{}".into(),
    };
    let (deltas, _unread) = mpsc::channel(1);
    let waited = code.complete(&request, deltas, Scope::default()).await;
    assert_eq!(waited, Err(CallError::Deadline(limits.deadline)));
    // An answer that grows may take longer than that.
    let (deltas, mut read) = mpsc::channel(1);
    let slowly = async {
        let mut waited = Duration::ZERO;
        while read.recv().await.is_some() {
            tokio::time::sleep(limits.deadline / 5).await;
            waited += limits.deadline / 5;
        }
        waited
    };
    let (answer, waited) = tokio::join!(code.complete(&request, deltas, Scope::default()), slowly);
    assert!(!answer.unwrap().unwrap().text.is_empty());
    assert!(waited > limits.deadline);
}

#[tokio::test]
async fn a_changed_artifact_is_noticed_and_made_anew() {
    let host = Host::new();
    let component = guest::tool("", "");
    host.code(&component).await;
    let files = artifacts(host.data_dir.path());
    let [file] = &files[..] else { panic!("{files:?}") };
    let original = fs::read(file).unwrap();
    let mut changed = original.clone();
    changed[original.len() / 2] ^= 1;
    fs::write(file, &changed).unwrap();
    assert_eq!(call(&host.code(&component).await, "still").await.unwrap(), "still");
    assert_ne!(fs::read(file).unwrap(), changed);

    fs::remove_file(file).unwrap();
    assert_eq!(call(&host.code(&component).await, "still").await.unwrap(), "still");
    assert_eq!(artifacts(host.data_dir.path()), files);
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let host = Host::new();
    for bytes in [&b""[..], b"garbage", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0\xff"] {
        let refused = host.engine.compile(Bytes::from_static(bytes)).await.err();
        assert!(matches!(refused, Some(CompileError::Invalid(_))), "{bytes:?}: {refused:?}");
    }
}

#[tokio::test]
async fn calls_run_on_any_thread() {
    let host = Host::new();
    let code = host.code(&guest::tool("", "")).await;
    let calls: Vec<_> = (0..50)
        .map(|n| {
            let code = code.clone();
            tokio::spawn(async move { call(&code, &n.to_string()).await })
        })
        .collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), n.to_string());
    }
}

fn artifacts(data_dir: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(data_dir.join("cache")).unwrap().map(|entry| entry.unwrap().path()).collect()
}
