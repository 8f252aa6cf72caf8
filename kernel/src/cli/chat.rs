//! `prx chat`

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};

use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::client::{Client, Payload, path};
use super::failure::Failure;
use super::output::{Console, files, print, printable, say};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Continue this session instead of opening a new one
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// What answers in the new session: MODEL of the configured provider, or PROVIDER/MODEL; `prx model list` has them
    #[arg(long, value_name = "MODEL", conflicts_with = "session")]
    model: Option<String>,
    /// Who answers in the new session: one of the agents in the configuration
    #[arg(long, value_name = "NAME", conflicts_with = "session")]
    agent: Option<String>,
}

/// Earlier messages that are shown when a session goes on.
const EARLIER_MESSAGES: usize = 10;
/// Letters of a tool's result that are shown.
const MAX_RESULT_CHARS: usize = 200;

/// Sends each line of standard input and prints what is answered, until the input ends. Ctrl-C stops an answer, and
/// between two of them the conversation.
pub(super) async fn run(console: &Console, arguments: Arguments) -> Result<(), Failure> {
    let gateway = &console.gateway;
    let session = match arguments.session {
        Some(session) => {
            show_earlier(gateway, &session).await?;
            session
        }
        None => open(gateway, arguments.model, arguments.agent).await?,
    };
    note(&format!("session {session}; end with Ctrl-D, go on with: prx chat --session {session}"));
    let lines = BufReader::new(tokio::io::stdin()).lines();
    let mut chat = Chat { gateway, session, lines, interrupts: signal(SignalKind::interrupt())? };
    loop {
        prompt();
        let line = tokio::select! {
            line = chat.lines.next_line() => line?,
            _ = chat.interrupts.recv() => None,
        };
        let Some(line) = line else { return Ok(()) };
        if !line.trim().is_empty() {
            chat.converse(&line).await?;
        }
    }
}

async fn open(gateway: &Client, model: Option<String>, agent: Option<String>) -> Result<String, Failure> {
    let user = std::env::var("USER").unwrap_or_else(|_| "owner".into());
    let mut session = json!({"channel": "cli", "user_id": user});
    if let Some(model) = model {
        session["model"] = model.into();
    }
    if let Some(agent) = agent {
        session["agent"] = agent.into();
    }
    let opened = gateway.post("/api/v1/sessions", session).await?;
    Ok(opened["id"].as_str().unwrap_or_default().to_owned())
}

async fn show_earlier(gateway: &Client, session: &str) -> Result<(), Failure> {
    let earlier = gateway
        .get(&format!("{}?limit={EARLIER_MESSAGES}", path(&["sessions", session, "messages"])))
        .await?;
    for message in earlier["messages"].as_array().into_iter().flatten() {
        let content = text(&message["content"]);
        match message["role"].as_str() {
            Some("user") => say(&format!("> {content}"))?,
            Some("tool") => note(&shortened(&content)),
            // An answer that only called tools.
            _ if content.is_empty() => {}
            _ => say(&content)?,
        }
    }
    Ok(())
}

struct Chat<'a> {
    gateway: &'a Client,
    session: String,
    lines: Lines<BufReader<Stdin>>,
    /// Listened to from the beginning, so that none is missed between two pieces of an answer.
    interrupts: Signal,
}

/// What was shown of an answer so far.
#[derive(Default)]
struct Answer {
    streamed: bool,
    /// Calls that wait to be allowed, oldest first.
    asked: VecDeque<Value>,
}

impl Chat<'_> {
    /// One message and its answer, as it comes. What went wrong with it ends nothing but the answer.
    async fn converse(&mut self, line: &str) -> Result<(), Failure> {
        let messages = path(&["sessions", &self.session, "messages"]);
        let message = Payload::Json(json!({"content": line}));
        let mut events = self.gateway.stream(Method::POST, &messages, message).await?;
        let mut answer = Answer::default();
        loop {
            tokio::select! {
                event = events.next() => match event? {
                    Some((name, data)) => answer.show(&name, &data)?,
                    None => return Ok(()),
                },
                line = self.lines.next_line(), if !answer.asked.is_empty() => {
                    self.decide(&mut answer, line?.as_deref()).await;
                }
                _ = self.interrupts.recv() => self.tell(&["cancel"], json!({})).await,
            }
        }
    }

    /// Takes a line for the answer to the oldest question; the end of the input is a no.
    async fn decide(&self, answer: &mut Answer, line: Option<&str>) {
        let Some(asked) = answer.asked.front() else { return };
        let choices = asked["question"]["choices"].as_array();
        let body = match (choices, line.map(|line| line.trim().to_lowercase()).as_deref()) {
            (Some(choices), Some(said)) => match chosen(choices, said) {
                Some(id) => json!({ "choice": id }),
                None => return note("answer with the number of a choice, or its words"),
            },
            // Without an answer the question expires; the turn is stopped.
            (Some(_), None) => return self.tell(&["cancel"], json!({})).await,
            (None, Some("a" | "allow" | "y" | "yes")) => json!({"decision": "allow"}),
            (None, Some("d" | "deny" | "n" | "no") | None) => json!({"decision": "deny"}),
            (None, Some(_)) => return note("answer with allow or deny, yes or no"),
        };
        if let Some(asked) = answer.asked.pop_front() {
            self.tell(&["approvals", &text(&asked["id"])], body).await;
        }
    }

    /// Tells the turn at work something. If it is over by now, that is no failure of the conversation.
    async fn tell(&self, segments: &[&str], body: Value) {
        let segments = [&["sessions", &self.session], segments].concat();
        if let Err(Failure::Message { message, .. }) = self.gateway.post(&path(&segments), body).await {
            note(&message);
        }
    }
}

impl Answer {
    fn show(&mut self, name: &str, data: &Value) -> Result<(), Failure> {
        match name {
            "token" => {
                print(&text(&data["text"]))?;
                self.streamed = true;
            }
            "restart" => {
                self.end_line()?;
                note(&format!("the answer begins anew: {}", text(&data["reason"])));
            }
            "tool_call" => {
                self.end_line()?;
                note(&format!(
                    "{} {}",
                    text(&data["name"]),
                    printable(&data["arguments"].to_string(), false)
                ));
            }
            "tool_result" => note(&shortened(&text(&data["content"]))),
            "approval" => {
                self.end_line()?;
                note(&question(data));
                self.asked.push_back(data.clone());
            }
            "done" => {
                match self.streamed {
                    true => say("")?,
                    false => say(&text(&data["content"]))?,
                }
                files(data).iter().for_each(|file| note(file));
                if data["stopped"] == true {
                    note("stopped");
                }
            }
            "error" => {
                self.end_line()?;
                note(&text(&data["error"]["message"]));
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the line of what was said so far; what follows is said anew.
    fn end_line(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.streamed) { say("") } else { Ok(()) }
    }
}

/// The id of the choice that a line names: by its number, from 1, or by its words.
fn chosen(choices: &[Value], said: &str) -> Option<String> {
    let is_it = |at: usize, choice: &Value| {
        said.parse() == Ok(at + 1) || text(&choice["label"]).to_lowercase() == said
    };
    let found = choices.iter().enumerate().find(|(at, choice)| is_it(*at, choice));
    found.and_then(|(_, choice)| choice["id"].as_str()).map(str::to_owned)
}

/// What a person is asked: what the agent wants to know, whether a tool may be called, or what its server wants to know.
fn question(approval: &Value) -> String {
    if let Some(choices) = approval["question"]["choices"].as_array() {
        let mut words = text(&approval["question"]["text"]);
        for (at, choice) in choices.iter().enumerate() {
            words.push_str(&format!("\n{}: {}", at + 1, text(&choice["label"])));
        }
        return words;
    }
    let (tool, asked) = (text(&approval["tool"]), &approval["elicitation"]);
    if asked.is_null() {
        return format!("may it call {tool}? allow or deny");
    }
    let mut words = format!("the server of {tool} asks: {}", text(&asked["message"]));
    if asked["url"].is_string() {
        words.push_str(&format!("\nit wants this page opened: {}", text(&asked["url"])));
    } else if asked["content"].as_object().is_some_and(|content| !content.is_empty()) {
        words.push_str(&format!("\nyes answers {}", printable(&asked["content"].to_string(), false)));
    }
    words + "\nyes or no"
}

fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default(), true)
}

/// The beginning of a text, on one line.
fn shortened(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let begin: String = line.chars().take(MAX_RESULT_CHARS).collect();
    if begin.len() < line.len() { format!("{begin}…") } else { begin }
}

/// Says something that is not part of the conversation.
fn note(text: &str) {
    // A terminal that is gone misses nothing.
    let _ = writeln!(io::stderr(), "[{text}]");
}

fn prompt() {
    if io::stdin().is_terminal() {
        let _ = write!(io::stderr(), "> ");
    }
}
