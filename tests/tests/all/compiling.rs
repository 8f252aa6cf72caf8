//! Components are compiled in processes of their own, which end with whoever waits for them.

use std::process::{Child, Stdio};

use hyper::Method;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::usage::children;
use prx_tests::wait::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const WASM: &str = "application/wasm";

/// A component that takes long to compile, and is let in: a minute on a slow machine.
fn slow(name: &str) -> Component {
    Component::hostile(name, "").with_long_functions(5, 2_400_000 / 3)
}

/// Starts an upload, and returns it once so many components are being compiled.
async fn compiling(gateway: &Gateway, name: &str, count: usize) -> tokio::task::JoinHandle<u16> {
    let (client, bytes) = (gateway.client().clone(), slow(name).bytes());
    let upload =
        tokio::spawn(async move { client.upload(Method::POST, "/plugins", WASM, bytes).await.status });
    let process = gateway.process_id();
    until("a compilation", async || (children(process).len() >= count).then_some(())).await;
    upload
}

#[tokio::test]
async fn a_compilation_ends_with_its_request_and_with_the_gateway() {
    let gateway = Gateway::start("").await;
    let process = gateway.process_id();
    let first = compiling(&gateway, "first", 1).await;
    let second = compiling(&gateway, "second", 2).await;
    let (client, bytes) = (gateway.client().clone(), slow("third").bytes());
    let third =
        tokio::spawn(async move { client.upload(Method::POST, "/plugins", WASM, bytes).await.status });
    gateway.call_tool("answer", json!({})).await.error(404, "not_found");
    assert_eq!(children(process).len(), 2, "two at a time");

    for upload in [first, second, third] {
        upload.abort();
    }
    until("the compilations to end", async || children(process).is_empty().then_some(())).await;
    for name in ["first", "second", "third"] {
        assert!(gateway.plugin(name).await.is_none(), "nothing is half done");
        assert!(!gateway.home().plugin_file(name).exists(), "nothing is half done");
    }

    let last = compiling(&gateway, "last", 1).await;
    let compiler = children(process)[0];
    gateway.stop().await;
    assert_eq!(last.await.unwrap(), 503, "it is told that the gateway stops, and not waited for");
    until("the compiler to end", async || gone(compiler).then_some(())).await;
}

/// A gateway that compiles a component in its folder, and does not listen yet.
async fn starting(home: &Home) -> (Child, u32) {
    let mut command = home.command(&["serve", "--port", "0"]);
    let gateway = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let process = gateway.id();
    let compiler = until("a compilation", async || children(process).first().copied()).await;
    (gateway, compiler)
}

#[tokio::test]
async fn a_start_that_compiles_is_stopped_at_once_and_leaves_no_compiler_when_it_is_killed() {
    let home = Home::new("");
    home.warm().await;
    home.place_plugin("slow", &slow("slow").bytes());
    for (signal, code) in [(Signal::TERM, Some(0)), (Signal::KILL, None)] {
        let (mut gateway, compiler) = starting(&home).await;
        kill_process(Pid::from_child(&gateway), signal).unwrap();
        let status = until("the gateway to stop", async || gateway.try_wait().unwrap()).await;
        assert_eq!(status.code(), code);
        // One that went on would be at work for much longer than it takes to look.
        until("the compiler to end", async || gone(compiler).then_some(())).await;
    }
    let cache = std::fs::read_dir(home.data().join("cache")).unwrap().count();
    let warm = std::fs::read_dir(Gateway::start("").await.home().data().join("cache")).unwrap().count();
    assert_eq!(cache, warm, "nothing of it was compiled to its end");
}

/// Whether a process has ended, also one that nobody has asked yet how.
fn gone(process: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return true };
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}
