//! MCP servers that answer as a test wrote, odd or not, one request after the other: as a process, and over HTTP.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use crate::gateway::Home;
use crate::server::{Reply, Server, Service};

/// What a server answers: lists of answers by method, or `tools/call:NAME` for one tool; the last of a list is repeated.
///
/// An answer is what JSON-RPC says (`result` or `error`), with `sleep_ms` before it, `progress` `{times, every_ms}` during
/// that, `notify` a list of methods to notify of before, `silent` for no answer, `line` for a text instead of an answer, and
/// over HTTP `status` and `headers`. With `echo` the answer is a text, the parameters of the request.
///
/// `ask` is a list of parameters of `elicitation/create`: each is sent when the one before is answered, or with `at_once` all
/// of them together, and what comes back is the text of the answer, unless it has a `result`. With `rash` nothing is waited for.
pub struct Script {
    answers: Value,
    asked: Mutex<HashMap<String, usize>>,
    /// The parameters of the last request of each method.
    params: Mutex<HashMap<String, Value>>,
    /// Who waits for the answer to which question.
    questions: Mutex<HashMap<String, UnboundedSender<Value>>>,
}

/// An answer, and when.
pub struct Step {
    /// What is said while it is on its way, each after so long.
    pub before: Vec<(Duration, Value)>,
    /// How long it takes from there.
    pub wait: Duration,
    /// The answer, if there is one.
    line: Option<String>,
    id: Value,
    told: Value,
}

impl Step {
    /// What is asked before the answer, and whether all at once.
    pub fn questions(&self) -> (Vec<Value>, bool) {
        (self.told["ask"].as_array().cloned().unwrap_or_default(), self.told["at_once"] == true)
    }

    /// Whether the answers to its questions are waited for.
    pub fn waits(&self) -> bool {
        self.told["rash"] != true
    }

    /// The answer, if there is one, after these answers to its questions.
    pub fn line(&self, answers: &[Value]) -> Option<String> {
        match answers.is_empty() || !self.told["result"].is_null() {
            true => self.line.clone(),
            false => {
                let said = text(&json!(answers).to_string())["result"].take();
                Some(json!({"jsonrpc": "2.0", "id": self.id, "result": said}).to_string())
            }
        }
    }
}

impl Script {
    /// One that answers `initialize` and `ping` by itself, and knows nothing else but this.
    pub fn new(answers: Value) -> Self {
        Self { answers, asked: Mutex::default(), params: Mutex::default(), questions: Mutex::default() }
    }

    /// The script in a file.
    pub fn read(file: &str) -> Self {
        Self::new(serde_json::from_slice(&fs::read(file).expect("a script")).expect("a script"))
    }

    /// How often it was asked for this.
    pub fn asked(&self, method: &str) -> usize {
        self.asked.lock().unwrap().get(method).copied().unwrap_or_default()
    }

    /// The parameters of the last request of this method.
    pub fn params(&self, method: &str) -> Value {
        self.params.lock().unwrap().get(method).cloned().unwrap_or_default()
    }

    /// A request that puts a question, and where its answer comes.
    pub fn question(&self, params: &Value) -> (Value, UnboundedReceiver<Value>) {
        let mut questions = self.questions.lock().unwrap();
        let id = format!("q{}", questions.len());
        let (sender, answer) = unbounded_channel();
        questions.insert(id.clone(), sender);
        (json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": params}), answer)
    }

    /// Takes in the answer to a question, as JSON-RPC says it.
    fn answered(&self, message: &Value) {
        let questions = self.questions.lock().unwrap();
        if let Some(waiting) = message["id"].as_str().and_then(|id| questions.get(id)) {
            let said = message.get("result").or(message.get("error")).cloned().unwrap_or_default();
            // A rash one does not wait.
            let _ = waiting.send(said);
        }
    }

    /// What it does with a message; nothing with one that wants no answer.
    pub fn step(&self, message: &Value) -> Option<Step> {
        let Some(method) = message["method"].as_str() else {
            self.answered(message);
            return None;
        };
        self.params.lock().unwrap().insert(method.to_owned(), message["params"].clone());
        let tool = message["params"]["name"].as_str().filter(|_| method == "tools/call");
        let keys = [tool.map(|tool| format!("{method}:{tool}")), Some(method.to_owned())];
        let known = |key: &String| Some((key.clone(), self.answers.get(key)?.as_array()?.clone()));
        let found = keys.into_iter().flatten().find_map(|key| known(&key));
        let at = {
            let mut asked = self.asked.lock().unwrap();
            let count = asked.entry(found.as_ref().map_or(method, |(key, _)| key).to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        let id = message.get("id")?;
        let mut told = match found {
            Some((_, list)) => list[at.min(list.len() - 1)].clone(),
            None => unscripted(method),
        };
        if told["echo"] == true {
            let mut params = message["params"].clone();
            params.as_object_mut().unwrap().remove("_meta");
            told["result"] = text(&params.to_string())["result"].take();
        }
        let token = &message["params"]["_meta"]["progressToken"];
        let every = Duration::from_millis(told["progress"]["every_ms"].as_u64().unwrap_or_default());
        let progress = (0..told["progress"]["times"].as_u64().unwrap_or_default()).map(|done| {
            let about = json!({"progressToken": token, "progress": done});
            (every, json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": about}))
        });
        let notices = told["notify"].as_array().into_iter().flatten();
        let notices = notices.map(|method| (Duration::ZERO, json!({"jsonrpc": "2.0", "method": method})));
        let mut answer = json!({"jsonrpc": "2.0", "id": id});
        for key in ["result", "error", "id"] {
            if let Some(value) = told.get(key) {
                answer[key] = value.clone();
            }
        }
        let line = told["line"].as_str().map_or_else(|| answer.to_string(), str::to_owned);
        Some(Step {
            before: notices.chain(progress).collect(),
            wait: Duration::from_millis(told["sleep_ms"].as_u64().unwrap_or_default()),
            line: (told["silent"] != true).then_some(line),
            id: id.clone(),
            told,
        })
    }
}

fn unscripted(method: &str) -> Value {
    match method {
        "initialize" => json!({"result": {
            "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": "scripted", "version": "1"},
        }}),
        "ping" => json!({"result": {}}),
        _ => json!({"error": {"code": -32601, "message": format!("there is no {method}")}}),
    }
}

/// A list of tools, each with this schema, as an answer.
pub fn tools(names: &[&str]) -> Value {
    let tool = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}});
    json!({"result": {"tools": names.iter().map(tool).collect::<Vec<_>>()}})
}

/// A text, as the answer of a tool.
pub fn text(text: &str) -> Value {
    json!({"result": {"content": [{"type": "text", "text": text}]}})
}

/// The lines of a configuration for a server that is a process with this script.
pub fn process(home: &Home, program: &str, name: &str, script: &Value, more: &str) -> String {
    let file: PathBuf = home.path().join(format!("{name}.json"));
    fs::write(&file, script.to_string()).unwrap();
    format!("[mcp_servers.{name}]\ncommand = {program:?}\nenv = {{ SCRIPT = {file:?} }}\n{more}\n")
}

/// A server over HTTP with sessions, at `/mcp`; `/moved/…` leads there, and `/sse` is the same by the older protocol.
pub struct Site {
    server: Server,
    state: Arc<State>,
}

struct State {
    script: Arc<Script>,
    sessions: Mutex<HashSet<String>>,
    /// What it says to who comes with a session that it does not know.
    forgotten: Mutex<(u16, String)>,
    /// One request after the other.
    turn: tokio::sync::Mutex<()>,
    seen: Mutex<Vec<String>>,
    /// The stream of who came by the older protocol.
    old: Mutex<Option<mpsc::Sender<std::io::Result<Bytes>>>>,
}

impl Site {
    /// Starts one.
    pub async fn start(answers: Value) -> Self {
        let state = Arc::new(State {
            script: Arc::new(Script::new(answers)),
            sessions: Mutex::default(),
            forgotten: Mutex::new((404, String::new())),
            turn: tokio::sync::Mutex::default(),
            seen: Mutex::default(),
            old: Mutex::default(),
        });
        Self { server: Server::start(Arc::clone(&state)).await, state }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.server.address)
    }

    /// Forgets all sessions, and from now on says this to who comes with one.
    pub fn forget(&self, status: u16, body: &str) {
        self.state.sessions.lock().unwrap().clear();
        *self.state.forgotten.lock().unwrap() = (status, body.into());
    }

    /// How often it was asked for this.
    pub fn asked(&self, method: &str) -> usize {
        self.state.script.asked(method)
    }

    /// The parameters of the last request of this method.
    pub fn params(&self, method: &str) -> Value {
        self.state.script.params(method)
    }

    /// The headers of every request, as text.
    pub fn seen(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().clone()
    }
}

impl State {
    /// As protocol 2024-11-05 says: all messages come by the stream.
    fn answer_older(&self, request: &Request<Bytes>, path: &str) -> Reply {
        let mut old = self.old.lock().unwrap();
        match (request.method().as_str(), path, &*old) {
            ("GET", "/sse", _) => {
                let (pieces, answer) = mpsc::channel(16);
                pieces.try_send(Ok("event: endpoint\ndata: /post?session=1\n\n".into())).unwrap();
                *old = Some(pieces);
                Reply::Stream(vec![("content-type", "text/event-stream".into())], answer)
            }
            ("POST", "/post", Some(pieces)) => {
                let step = self.script.step(&serde_json::from_slice(request.body()).unwrap());
                if let Some(line) = step.and_then(|step| step.line(&[])) {
                    pieces.try_send(Ok(format!("event: message\ndata: {line}\n\n").into())).unwrap();
                }
                Reply::Json(202, String::new())
            }
            _ => Reply::Json(405, String::new()),
        }
    }
}

impl Service for State {
    async fn answer(&self, request: Request<Bytes>) -> Reply {
        let path = request.uri().path().to_owned();
        if let Some(rest) = path.strip_prefix("/moved") {
            return Reply::Headed(307, vec![("location", rest.to_owned())], String::new());
        }
        self.seen.lock().unwrap().push(format!("{} {path} {:?}", request.method(), request.headers()));
        if path == "/sse" || path == "/post" {
            return self.answer_older(&request, &path);
        }
        if path != "/mcp" {
            return Reply::Json(404, "{}".into());
        }
        match *request.method() {
            Method::POST => {}
            Method::DELETE => return Reply::Json(200, String::new()),
            _ => return Reply::Json(405, String::new()),
        }
        let message: Value = serde_json::from_slice(request.body()).unwrap();
        let session = request.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        if session.is_some_and(|session| !self.sessions.lock().unwrap().contains(&session)) {
            let (status, body) = self.forgotten.lock().unwrap().clone();
            return Reply::Json(status, body);
        }
        if message.get("method").is_none() {
            self.script.answered(&message);
            return Reply::Json(202, String::new());
        }
        // Not as those do that answer many at once.
        let _turn = self.turn.lock().await;
        let Some(step) = self.script.step(&message) else { return Reply::Json(202, String::new()) };
        let status = step.told["status"].as_u64().unwrap_or(200);
        let mut headers: Vec<(&'static str, String)> = Vec::new();
        for name in ["content-encoding", "location", "www-authenticate"] {
            headers.extend(step.told["headers"][name].as_str().map(|value| (name, value.to_owned())));
        }
        if message["method"] == "initialize" {
            let session = format!("s{}", self.script.asked("initialize"));
            self.sessions.lock().unwrap().insert(session.clone());
            headers.push(("mcp-session-id", session));
        }
        if step.before.is_empty() && step.questions().0.is_empty() {
            sleep(step.wait).await;
            let line = step.line(&[]).unwrap_or_default();
            return Reply::Headed(u16::try_from(status).unwrap(), headers, line);
        }
        headers.push(("content-type", "text/event-stream".into()));
        let (pieces, answer) = mpsc::channel(16);
        tokio::spawn(stream(Arc::clone(&self.script), step, pieces));
        Reply::Stream(headers, answer)
    }
}

/// Says what comes before an answer, and the answer, as events.
async fn stream(script: Arc<Script>, step: Step, pieces: mpsc::Sender<std::io::Result<Bytes>>) {
    let say = async |message: String| drop(pieces.send(Ok(format!("data: {message}\n\n").into())).await);
    for (after, message) in &step.before {
        sleep(*after).await;
        say(message.to_string()).await;
    }
    let (questions, at_once) = step.questions();
    let (mut waiting, mut answers) = (Vec::new(), Vec::new());
    for params in &questions {
        let (request, answer) = script.question(params);
        say(request.to_string()).await;
        waiting.push(answer);
        if !at_once && step.waits() {
            answers.extend(waiting.pop().unwrap().recv().await);
        }
    }
    for mut answer in waiting.into_iter().filter(|_| step.waits()) {
        answers.extend(answer.recv().await);
    }
    sleep(step.wait).await;
    if let Some(line) = step.line(&answers) {
        say(line).await;
    }
}
