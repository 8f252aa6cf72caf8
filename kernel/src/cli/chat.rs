//! `prx chat`

use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use self::answer::{Answer, shortened, text};
use self::lines::{Lines, Typed};
use super::client::{Client, Payload, path};
use super::failure::Failure;
use super::output::Console;
use super::terminal::{note, say};

mod answer;
mod lines;
mod live;
mod markdown;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Ask this alone, and print the answer; what comes on standard input goes along as a file
    question: Vec<String>,
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
/// Most bytes of a file on standard input.
const MAX_FILE_BYTES: u64 = 768 << 10;
/// How often a growing answer is drawn at most: every 40 ms.
const FRAME: Duration = Duration::from_millis(40);
/// What people may say to the bundled agent, and what is this command's own.
const COMMANDS: [&str; 8] = ["/compact", "/help", "/model", "/new", "/quit", "/status", "/stop", "/agent"];
/// What a line is asked for with.
const PROMPT: &str = "> ";
/// The same where a question waits.
const ASKED: &str = "? ";

/// Asks what the command line says. Without, sends each line of standard input and prints what is answered, until the input
/// ends. Ctrl-C stops an answer, a second one leaves.
pub(super) async fn run(console: &Console, arguments: Arguments) -> Result<(), Failure> {
    let gateway = &console.gateway;
    let Arguments { question, session, model, agent } = arguments;
    let question = match question.join(" ") {
        question if question.trim().is_empty() => None,
        question => Some(with_file(question)?),
    };
    let session = match session {
        Some(session) if question.is_some() => session,
        Some(session) => {
            show_earlier(gateway, &session).await?;
            session
        }
        None => open(gateway, model, agent).await?,
    };
    if let (Some(question), true) = (&question, console.json) {
        let messages = path(&["sessions", &session, "messages"]);
        let answer = gateway.post(&messages, json!({ "content": question })).await?;
        return say(&format!("{answer:#}"));
    }
    let words = if question.is_some() { Vec::new() } else { words(gateway).await };
    let lines = Lines::new(words)?;
    let mut chat = Chat { gateway, session, lines, interrupts: signal(SignalKind::interrupt())? };
    match question {
        Some(question) => match chat.converse(&question).await? {
            Course::Failed(why) => Err(Failure::new(why)),
            Course::Done | Course::Left => Ok(()),
        },
        None => chat.go_on().await,
    }
}

/// A question with what comes on standard input.
fn with_file(question: String) -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        return Ok(question);
    }
    let mut bytes = Vec::new();
    io::stdin().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Failure::new(format!("standard input has more than {MAX_FILE_BYTES} bytes")));
    }
    let file = String::from_utf8(bytes).map_err(|_| Failure::new("standard input is no text in UTF-8"))?;
    if file.trim().is_empty() {
        return Ok(question);
    }
    // Longer than any fence in it.
    let longest = file.lines().map(|line| line.trim_start().chars().take_while(|c| *c == '`').count()).max();
    let fence = "`".repeat(longest.unwrap_or(0).max(2) + 1);
    Ok(format!("{question}\n\n{fence}\n{}\n{fence}", file.trim_end_matches('\n')))
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

/// What is completed: commands, skills' triggers, and the names of agents and models.
async fn words(gateway: &Client) -> Vec<String> {
    let mut words: Vec<String> = COMMANDS.map(str::to_owned).into();
    // Whoever may not see them types them.
    let agents = gateway.get("/api/v1/agents").await.unwrap_or_default();
    for agent in agents["agents"].as_array().into_iter().flatten() {
        words.push(format!("/agent {}", text(&agent["name"])));
        let models = agent["models"].as_array().into_iter().flatten().chain([&agent["model"]]);
        words.extend(models.map(|model| format!("/model {}", text(model))));
    }
    let skills = gateway.get("/api/v1/skills").await.unwrap_or_default();
    for skill in skills["skills"].as_array().into_iter().flatten() {
        words.extend(skill["triggers"].as_array().into_iter().flatten().map(text));
    }
    words.sort();
    words.dedup();
    words
}

async fn show_earlier(gateway: &Client, session: &str) -> Result<(), Failure> {
    let earlier = gateway
        .get(&format!("{}?limit={EARLIER_MESSAGES}", path(&["sessions", session, "messages"])))
        .await?;
    for message in earlier["messages"].as_array().into_iter().flatten() {
        let content = text(&message["content"]);
        match message["role"].as_str() {
            Some("user") => say(&format!("> {content}"))?,
            Some("tool") => note(&format!("[{}]", shortened(&content))),
            // An answer that only called tools.
            _ if content.is_empty() => {}
            _ => match live::paper() {
                Some(paper) => say(&markdown::lines(&content, paper).join("\n"))?,
                None => say(&content)?,
            },
        }
    }
    Ok(())
}

struct Chat<'a> {
    gateway: &'a Client,
    session: String,
    lines: Lines,
    /// Listened to from the beginning, so that none is missed between two pieces of an answer.
    interrupts: Signal,
}

/// What became of a message.
enum Course {
    Done,
    /// There is no answer, and why.
    Failed(String),
    /// Whoever asked doesn't want to hear it.
    Left,
}

impl Chat<'_> {
    /// One line after the other, until there are no more.
    async fn go_on(&mut self) -> Result<(), Failure> {
        self.tell_session();
        loop {
            self.prompt(PROMPT);
            let typed = tokio::select! {
                typed = self.lines.next(PROMPT) => typed?,
                _ = self.interrupts.recv() => Typed::Interrupt,
            };
            let Typed::Line(line) = typed else { return Ok(()) };
            match line.trim() {
                "" => {}
                "/quit" => return Ok(()),
                line if line.starts_with("/agent ") => {
                    self.turn_to(line.trim_start_matches("/agent ").trim()).await
                }
                _ => {
                    if let Course::Left = self.converse(&line).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn tell_session(&self) {
        let session = &self.session;
        note(&format!("[session {session}; end with Ctrl-D, go on with: prx chat --session {session}]"));
    }

    /// Where lines are not edited, nobody else shows that one is waited for.
    fn prompt(&self, prompt: &str) {
        if matches!(self.lines, Lines::Plain(_)) && io::stdin().is_terminal() {
            // A terminal that is gone misses nothing.
            let _ = write!(io::stderr(), "{prompt}");
        }
    }

    /// Goes on with another agent, in a session of its own.
    async fn turn_to(&mut self, agent: &str) {
        match open(self.gateway, None, Some(agent.to_owned())).await {
            Ok(session) => {
                self.session = session;
                self.tell_session();
            }
            Err(failure) => note(&format!("[{}]", failure.message())),
        }
    }

    /// One message and its answer, as it comes. What went wrong with it ends nothing but the answer.
    async fn converse(&mut self, line: &str) -> Result<Course, Failure> {
        let messages = path(&["sessions", &self.session, "messages"]);
        let message = Payload::Json(json!({"content": line}));
        let mut events = self.gateway.stream(Method::POST, &messages, message).await?;
        let mut answer = Answer::new(live::paper());
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut interrupted = false;
        loop {
            let is_asked = !answer.asked.is_empty();
            let typed = tokio::select! {
                event = events.next() => match event? {
                    Some((name, data)) => {
                        answer.show(&name, &data)?;
                        if name == "approval" {
                            self.prompt(ASKED);
                        }
                        continue;
                    }
                    None => return Ok(answer.failure.map_or(Course::Done, Course::Failed)),
                },
                _ = frames.tick() => {
                    answer.draw()?;
                    continue;
                }
                typed = self.lines.next(ASKED), if is_asked => typed?,
                _ = self.interrupts.recv() => Typed::Interrupt,
            };
            match typed {
                Typed::Interrupt if interrupted => return Ok(Course::Left),
                Typed::Interrupt => {
                    interrupted = true;
                    self.tell(&["cancel"], json!({})).await;
                }
                typed => self.decide(&mut answer, typed).await,
            }
        }
    }

    /// Takes a line for the answer to the oldest question; the end of the input is a no.
    async fn decide(&self, answer: &mut Answer, typed: Typed) {
        let body = match typed {
            Typed::Line(line) => match answer.decision(&line) {
                Ok(body) => body,
                Err(what) => return note(&format!("[{what}]")),
            },
            // Without an answer the question expires; the turn is stopped.
            _ if answer.has_choices() => {
                answer.asked.clear();
                return self.tell(&["cancel"], json!({})).await;
            }
            _ => json!({"decision": "deny"}),
        };
        if let Some(asked) = answer.asked.pop_front() {
            self.tell(&["approvals", &text(&asked["id"])], body).await;
        }
    }

    /// Tells the turn at work something. If it is over by now, that is no failure of the conversation.
    async fn tell(&self, segments: &[&str], body: Value) {
        let segments = [&["sessions", &self.session], segments].concat();
        if let Err(failure) = self.gateway.post(&path(&segments), body).await {
            note(&format!("[{}]", failure.message()));
        }
    }
}
