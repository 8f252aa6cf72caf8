//! `prx chat`

use std::io::{self, IsTerminal, Write};

use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Failure;
use super::client::{Client, Sent, path};
use super::output::{Console, print, printable, say};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Go on with this session instead of opening one
    #[arg(long, value_name = "ID")]
    session: Option<String>,
}

/// Earlier messages that are shown when a session goes on.
const LOOK_BACK: usize = 10;

/// Sends each line of standard input and prints what is answered, until the input ends.
pub(super) async fn run(console: &Console, arguments: Arguments) -> Result<(), Failure> {
    let gateway = &console.gateway;
    let session = match arguments.session {
        Some(session) => {
            show_earlier(gateway, &session).await?;
            session
        }
        None => open(gateway).await?,
    };
    aside(&format!("session {session}; end with Ctrl-D, go on with: prx chat --session {session}"));
    let messages = path(&["sessions", &session, "messages"]);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        prompt();
        let Some(line) = lines.next_line().await? else { return Ok(()) };
        if !line.trim().is_empty() {
            converse(gateway, &messages, &line).await?;
        }
    }
}

async fn open(gateway: &Client) -> Result<String, Failure> {
    let user = std::env::var("USER").unwrap_or_else(|_| "owner".into());
    let opened = gateway.post("/api/v1/sessions", json!({"channel": "cli", "user_id": user})).await?;
    Ok(opened["id"].as_str().unwrap_or_default().to_owned())
}

async fn show_earlier(gateway: &Client, session: &str) -> Result<(), Failure> {
    let earlier =
        gateway.get(&format!("{}?limit={LOOK_BACK}", path(&["sessions", session, "messages"]))).await?;
    for message in earlier["messages"].as_array().into_iter().flatten() {
        let mark = if message["role"] == "user" { "> " } else { "" };
        say(&format!("{mark}{}", text(&message["content"])))?;
    }
    Ok(())
}

/// One message and its answer, as it comes. What went wrong with it ends nothing but the answer.
async fn converse(gateway: &Client, messages: &str, line: &str) -> Result<(), Failure> {
    let mut events = gateway.stream(Method::POST, messages, Sent::Json(json!({"content": line}))).await?;
    let mut streamed = false;
    while let Some((name, data)) = events.next().await? {
        match name.as_str() {
            "token" => {
                print(&text(&data["text"]))?;
                streamed = true;
            }
            "tool_call" => aside(&format!("{} {}", text(&data["name"]), data["arguments"])),
            "done" if streamed => say("")?,
            "done" => say(&text(&data["content"]))?,
            "error" => aside(&text(&data["error"]["message"])),
            _ => {}
        }
    }
    Ok(())
}

fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default(), true)
}

/// Says something that is not part of the conversation.
fn aside(text: &str) {
    // A terminal that is gone misses nothing.
    let _ = writeln!(io::stderr(), "[{text}]");
}

fn prompt() {
    if io::stdin().is_terminal() {
        let _ = write!(io::stderr(), "> ");
    }
}
