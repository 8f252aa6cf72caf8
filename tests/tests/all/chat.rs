//! `prx chat`: a conversation in the terminal.
use std::process::Stdio;

use prx_tests::component::Component;
use prx_tests::gateway::Gateway;
use prx_tests::mcp::{process, tools};
use prx_tests::scripted;
use prx_tests::terminal::Terminal;
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

/// A model that speaks Markdown, calls a tool that is asked about, and says what would control a terminal.
async fn eloquent() -> Gateway {
    let hello = json!({"call": {"name": "hello", "arguments": {"name": "Ada"}}});
    let evil = "\u{1b}]0;owned\u{7}&#27;[2J\u{202e}";
    let last = json!([{"text": "# Done\n\nAs **asked**, and"}, {"text": " no more.\n\n"}, {"text": evil}]);
    let script = json!([{"answers": [[{"text": "Let me *greet* her."}, hello], last]}]);
    let home = scripted::home(&script, "[tools]\npolicy = { hello = \"ask\" }\n");
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    Gateway::start_in(home).await
}

#[tokio::test]
async fn on_a_terminal_markdown_is_rendered_and_nothing_said_controls_it() {
    let gateway = eloquent().await;
    for (no_color, bold) in [("", "\u{1b}[1masked\u{1b}[0m"), ("1", "As asked, and no more.")] {
        let mut command = gateway.home().command(&["chat"]);
        command.env("NO_COLOR", no_color);
        let mut terminal = Terminal::start(command);
        terminal.until("> ").await;
        // A line is edited, and commands are completed.
        terminal.write("/hel\t");
        terminal.until("/help").await;
        terminal.write("\u{15}greet Adb\u{8}a\r");
        terminal.until("may it call hello? allow or deny").await;
        terminal.until("? ").await;
        terminal.write("allow\r");
        terminal.until(bold).await;
        terminal.until("\\u{1b}]0;owned\\u{7}\\u{1b}[2J\\u{202e}").await;
        terminal.until("Hello, Ada!").await;
        terminal.write("/quit\r");
        let (code, shown) = terminal.end().await;
        assert_eq!(code, Some(0), "{shown}");
        for evil in ["\u{1b}]0;owned", "\u{1b}[2J", "\u{202e}"] {
            assert!(!shown.contains(evil), "{shown:?}");
        }
        assert_eq!(shown.contains("\u{1b}[1m"), no_color.is_empty(), "{shown:?}");
    }
    let said = gateway.sessions("cli").await;
    let said = gateway.messages(said[0]["id"].as_str().unwrap()).await;
    assert_eq!(said[0].1, "greet Ada");
}

#[tokio::test]
async fn on_a_terminal_thoughts_are_shown_tall_answers_are_whole_and_lines_are_remembered() {
    let slowly = |text: String| json!({"repeat": {"text": text, "times": 1, "every_ms": 20}});
    let items: Vec<_> = (1..=60).map(|n| slowly(format!("{n}. item number {n}\n"))).collect();
    let script = json!([
        {"when": "count", "answers": [items]},
        {"answers": [[{"thinking": "They want **something**."}, {"text": "At your service."}]]},
    ]);
    let gateway = Gateway::start_in(scripted::home(&script, "")).await;
    let mut terminal = Terminal::start(gateway.home().command(&["chat"]));
    terminal.until("> ").await;
    terminal.write("count\r");
    terminal.until("item number 60").await;
    terminal.write("think\r");
    terminal.until("At your service.").await;
    terminal.write("/quit\r");
    let (code, shown) = terminal.end().await;
    assert_eq!(code, Some(0), "{shown}");
    assert!((1..=60).all(|n| shown.contains(&format!("item number {n}"))), "{shown:?}");
    // The cursor goes up no further than the terminal is high, or what scrolled away would be overwritten.
    let ups = shown.split("\u{1b}[").filter_map(|part| part.split_once('A')?.0.parse::<usize>().ok());
    let highest = ups.max().expect("something is drawn again");
    assert!((10..24).contains(&highest), "{highest} rows");
    let thought = shown.find("\u{1b}[2mThey ").unwrap_or_else(|| panic!("it is shown, set apart: {shown:?}"));
    assert!(thought < shown.find("At your service.").unwrap(), "{shown:?}");

    // The arrow brings back what was typed in an earlier conversation.
    let mut terminal = Terminal::start(gateway.home().command(&["chat"]));
    terminal.until("> ").await;
    terminal.write("\u{1b}[A\u{1b}[A");
    terminal.until("think").await;
    terminal.write("\r");
    terminal.until("At your service.").await;
    terminal.write("\u{4}");
    assert_eq!(terminal.end().await.0, Some(0));
}

#[tokio::test]
async fn one_question_is_answered_once_with_what_comes_on_standard_input() {
    let script = json!([
        {"when": "fail", "answers": [[{"fail": {"message": "no", "code": "quota", "retryable": false}}]]},
        {"answers": [[{"text": "A **poem**."}]]},
    ]);
    let gateway = Gateway::start_in(scripted::home(&script, "")).await;
    let home = gateway.home();
    let file = home.path().join("poem.txt");
    std::fs::write(&file, "Roses\n```\nare\n```\n").unwrap();
    let mut command = home.command(&["chat", "what", "is this?"]);
    command.stdin(std::fs::File::open(&file).unwrap());
    let answered = home.finish(command).await;
    assert_eq!((answered.code, answered.stdout.as_str()), (Some(0), "A **poem**.\n"), "{answered:?}");
    let sessions = gateway.sessions("cli").await;
    let said = gateway.messages(sessions[0]["id"].as_str().unwrap()).await;
    assert_eq!(said[0].1, "what is this?\n\n````\nRoses\n```\nare\n```\n````");
    let json = home.run(&["chat", "--json", "again"]).await;
    let answer: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(answer["content"], "A **poem**.", "{json:?}");
    let failed = home.run(&["chat", "fail"]).await;
    assert!(failed.code == Some(1) && !failed.stderr.is_empty(), "{failed:?}");
    std::fs::write(&file, [0xff, 0xfe, 0]).unwrap();
    let mut command = home.command(&["chat", "what is this?"]);
    command.stdin(std::fs::File::open(&file).unwrap());
    let refused = home.finish(command).await;
    assert!(refused.stderr.contains("standard input is no text in UTF-8"), "{refused:?}");
}
