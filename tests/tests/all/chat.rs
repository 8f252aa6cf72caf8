//! `prx chat`: a conversation in the terminal.
use std::process::Stdio;

use prx_tests::component::Component;
use prx_tests::gateway::Gateway;
use prx_tests::mcp::{process, tools};
use prx_tests::scripted;
use prx_tests::wait::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

/// A running `prx chat`.
struct Chat {
    process: Child,
    input: Option<ChildStdin>,
    said: Pipe,
    asides: Pipe,
}

/// What has come of an output so far, and the task that reads it to its end.
struct Pipe(Arc<Mutex<String>>, JoinHandle<()>);

impl Chat {
    fn start(gateway: &Gateway, more: &[&str]) -> Self {
        let mut command = Command::from(gateway.home().command(&[&["chat"], more].concat()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take();
        let said = read(process.stdout.take().unwrap());
        let asides = read(process.stderr.take().unwrap());
        Self { process, input, said, asides }
    }

    async fn write(&mut self, line: &str) {
        self.input.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn until(&self, text: &str) {
        until(text, async || {
            let both = format!("{}{}", self.said.text(), self.asides.text());
            both.contains(text).then_some(())
        })
        .await;
    }

    /// Ends its input, and waits for it to end well. What it has said, and what it said besides.
    async fn end(mut self) -> (String, String) {
        drop(self.input.take());
        let process = &mut self.process;
        let status = until("the chat to end", async || process.try_wait().unwrap()).await;
        assert_eq!(status.code(), Some(0), "{}", self.asides.text());
        (self.said.whole().await, self.asides.whole().await)
    }
}

impl Pipe {
    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    async fn whole(self) -> String {
        self.1.await.unwrap();
        self.0.lock().unwrap().clone()
    }
}

fn read(mut stream: impl AsyncRead + Unpin + Send + 'static) -> Pipe {
    let text = Arc::new(Mutex::new(String::new()));
    let all = text.clone();
    let reader = tokio::spawn(async move {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut piece).await {
            all.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    });
    Pipe(text, reader)
}

#[tokio::test]
async fn an_answer_comes_as_it_is_made_and_tools_are_asked_for() {
    let hello = json!({"call": {"name": "hello", "arguments": {"name": "Ada"}}});
    let script =
        json!([{"answers": [[{"text": "Let me greet her."}, hello], [{"text": "So "}, {"text": "be it."}]]}]);
    let home = scripted::home(&script, "[tools]\npolicy = { hello = \"ask\" }\n");
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    let gateway = Gateway::start_in(home).await;
    let mut chat = Chat::start(&gateway, &[]);
    chat.write("greet Ada").await;
    chat.until("[may it call hello? allow or deny]").await;
    chat.write("maybe").await;
    chat.until("[answer with allow or deny, yes or no]").await;
    chat.write("allow").await;
    chat.until("So be it.").await;
    let (said, asides) = chat.end().await;
    assert_eq!(said, "Let me greet her.\nSo be it.\n");
    for aside in ["[hello {\"name\":\"Ada\"}]", "[Hello, Ada!]"] {
        assert!(asides.contains(aside), "{asides}");
    }

    let session =
        asides.split_whitespace().find(|word| word.starts_with("sess_")).unwrap().trim_end_matches(';');
    let mut again = Chat::start(&gateway, &["--session", session]);
    again.until("> greet Ada\nLet me greet her.\nSo be it.\n").await;
    again.write("greet her again").await;
    again.until("[may it call hello? allow or deny]").await;
    let (said, asides) = again.end().await;
    assert!(said.ends_with("So be it.\n") && asides.contains("the user does not allow it"), "{said}{asides}");
}

#[tokio::test]
async fn what_an_mcp_server_asks_is_shown_and_answered() {
    let call = json!({"call": {"name": "near__book", "arguments": {}}});
    let home = scripted::home(&json!([{"answers": [[call], [{"text": "So be it."}]]}]), "");
    let sure = json!({"message": "Really?", "requestedSchema": {
        "type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"],
    }});
    let page =
        json!({"message": "Log in", "mode": "url", "elicitationId": "7", "url": "https://example.org/"});
    let script = json!({"tools/list": [tools(&["book"])], "tools/call": [{"ask": [sure, page]}]});
    home.append(&process(&home, env!("CARGO_BIN_EXE_prx-test-mcp"), "near", &script, ""));
    let gateway = Gateway::start_in(home).await;
    gateway.mcp_connected("near").await;
    let mut chat = Chat::start(&gateway, &[]);
    chat.write("go").await;
    chat.until("[the server of near.book asks: Really?\nyes answers {\"sure\":true}\nyes or no]").await;
    chat.write("yes").await;
    chat.until("asks: Log in\nit wants this page opened: https://example.org/\nyes or no]").await;
    chat.write("no").await;
    chat.until("So be it.").await;
    let (_, asides) = chat.end().await;
    let told = r#"[{"action":"accept","content":{"sure":true}},{"action":"decline"}]"#;
    assert!(asides.contains(told), "{asides}");
}

#[tokio::test]
async fn ctrl_c_stops_the_answer_and_then_the_conversation() {
    let endless = json!([{"repeat": {"text": "on and ", "times": 100_000, "every_ms": 5}}]);
    let script = json!([{"when": "go", "answers": [endless]}, {"answers": [[{"text": "At your service."}]]}]);
    let gateway = Gateway::start_in(scripted::home(&script, "")).await;
    let mut chat = Chat::start(&gateway, &[]);
    let pid = Pid::from_raw(i32::try_from(chat.process.id().unwrap()).unwrap()).unwrap();
    chat.write("go").await;
    chat.until("on and on and").await;
    kill_process(pid, Signal::INT).unwrap();
    chat.until("[stopped]").await;
    chat.write("still there?").await;
    chat.until("At your service.").await;
    // It waits for the next line, with the input still open.
    let process = &mut chat.process;
    let status = until("the chat to end", async || {
        kill_process(pid, Signal::INT).ok();
        process.try_wait().unwrap()
    })
    .await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_model_is_chosen_for_the_new_session() {
    let script = json!([{"answers": [[{"text": "At your service."}]]}]);
    let home = scripted::home(&script, "");
    let gateway = Gateway::start_in(home).await;
    let mut chat = Chat::start(&gateway, &["--model", "scripted/other"]);
    chat.write("hello").await;
    chat.until("At your service.").await;
    chat.end().await;
    let sessions = gateway.sessions("cli").await;
    let id = sessions[0]["id"].as_str().unwrap();
    let shown = gateway.home().run(&["session", "show", id]).await;
    assert!(shown.stdout.contains("scripted/other"), "{}", shown.stdout);
    let refused = gateway.home().run(&["chat", "--model", "nobody/x"]).await;
    assert!(refused.code != Some(0) && refused.stderr.contains("scripted"), "{}", refused.stderr);
    let both = gateway.home().run(&["chat", "--model", "x", "--session", id]).await;
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}

#[tokio::test]
async fn an_agent_is_chosen_for_the_new_session() {
    let home = scripted::home(&json!([]), "[agents.parrot]\nplugin = \"echo-agent\"\n");
    home.place_plugin("echo-agent", &Component::of("prx-echo-agent").bytes());
    let gateway = Gateway::start_in(home).await;
    let mut chat = Chat::start(&gateway, &["--agent", "parrot"]);
    chat.write("hello").await;
    chat.until("1: hello").await;
    chat.end().await;
    let sessions = gateway.sessions("cli").await;
    let shown = gateway.home().run(&["session", "show", sessions[0]["id"].as_str().unwrap()]).await;
    assert!(shown.stdout.contains("parrot"), "{}", shown.stdout);
    let refused = gateway.home().run(&["chat", "--agent", "nobody"]).await;
    assert!(refused.code != Some(0) && refused.stderr.contains("default, parrot"), "{}", refused.stderr);
}
