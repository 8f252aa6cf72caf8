//! A real `prx serve`, in a home of its own.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::client::Client;
use crate::wait::until;
use crate::{binary, store, wait};

pub use self::output::Output;

mod output;

/// A folder with a configuration file and a data directory. Several gateways may live in it, one after the other.
pub struct Home {
    dir: TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Ended {
    /// How it ended; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error; the home is written `<home>`.
    pub stderr: String,
}

/// A running gateway. Dropping it kills it.
pub struct Gateway {
    home: Option<Home>,
    process: Child,
    output: Output,
    address: SocketAddr,
    client: Client,
}

impl Home {
    /// A home whose `prx.toml` says this, and that requests are not limited: a test is in a hurry.
    pub fn new(config: &str) -> Self {
        let home = Self::empty();
        home.configure(&format!("{config}\n[rate_limits]\nenabled = false\n"));
        home
    }

    /// A home without a configuration file.
    pub fn empty() -> Self {
        Self { dir: TempDir::with_prefix("prx-").expect("a temporary folder") }
    }

    /// Replaces `prx.toml`.
    pub fn configure(&self, config: &str) {
        fs::write(self.path().join("prx.toml"), config).expect("a writable home");
    }

    /// Adds this to `prx.toml`.
    pub fn append(&self, config: &str) {
        let before = fs::read_to_string(self.path().join("prx.toml")).expect("a configuration");
        self.configure(&format!("{before}\n{config}"));
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The file that a plugin of this name is read from.
    pub fn plugin_file(&self, name: &str) -> PathBuf {
        self.data().join("plugins").join(format!("{name}.wasm"))
    }

    /// Puts a plugin file where the gateway looks for it, at once and whole.
    pub fn place_plugin(&self, name: &str, bytes: &[u8]) {
        let file = self.plugin_file(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let partial = file.with_extension("partial");
        fs::write(&partial, bytes).unwrap();
        fs::rename(&partial, &file).unwrap();
    }

    /// Puts what a first start leaves behind into a data directory that nothing was started in: the bundled components,
    /// compiled. [`Gateway::start`] and its like do it by themselves.
    pub async fn warm(&self) {
        if !self.data().join("prx.redb").exists() {
            let from = Self::started_once().await.data();
            self.link_compiled(&from);
            fs::copy(from.join("prx.redb"), self.data().join("prx.redb")).unwrap();
        }
    }

    /// The same for a data directory with a store that knows nothing of what was compiled: a restored one, or an old one.
    pub async fn warm_store(&self) {
        let from = Self::started_once().await.data();
        self.link_compiled(&from);
        store::know_compiled(&self.data()).await;
    }

    async fn started_once() -> &'static Self {
        static STARTED_ONCE: OnceCell<Home> = OnceCell::const_new();
        let first = async || {
            let home = Self::empty();
            let command = home.command(&["serve", "--port", "0"]);
            Gateway::launch(home, command).await.stop().await
        };
        STARTED_ONCE.get_or_init(first).await
    }

    fn link_compiled(&self, from: &Path) {
        fs::create_dir_all(self.data().join("cache")).unwrap();
        // Linked, not copied: a gateway replaces or removes a compiled component, and never writes into one.
        for file in fs::read_dir(from.join("cache")).unwrap() {
            let file = file.unwrap();
            fs::hard_link(file.path(), self.data().join("cache").join(file.file_name())).unwrap();
        }
    }

    /// `prx` with this home's files, and nothing of the environment it could be confused by.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = self.plain(args);
        let config = self.path().join("prx.toml");
        if config.exists() {
            command.arg("--config").arg(config);
        }
        command.arg("--data-dir").arg(self.data());
        command
    }

    /// `prx` as someone runs it who has nothing but a home directory.
    pub fn plain<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(binary::prx());
        command.args(args).current_dir(self.path()).env("HOME", self.path()).stdin(Stdio::null());
        for name in
            ["PRX_CONFIG", "PRX_DATA_DIR", "RUST_LOG", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"]
        {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command to its end.
    pub async fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ended {
        self.finish(self.command(args)).await
    }

    /// Runs what [`Home::command`] or [`Home::plain`] made to its end.
    pub async fn finish(&self, command: Command) -> Ended {
        self.finish_within(command, wait::TEST_TIMEOUT).await
    }

    /// The same for a command that may take its time.
    pub async fn finish_within(&self, command: Command, limit: Duration) -> Ended {
        let mut command = tokio::process::Command::from(command);
        let output = tokio::time::timeout(limit, command.kill_on_drop(true).output());
        let output = output.await.expect("the command ends").expect("the command starts");
        let text = |bytes: &[u8]| output::without_home(&String::from_utf8_lossy(bytes), self.path());
        Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Gateway {
    /// Starts a gateway with this configuration in a new home.
    pub async fn start(config: &str) -> Self {
        Self::start_in(Home::new(config)).await
    }

    /// Starts a gateway in a home.
    pub async fn start_in(home: Home) -> Self {
        Self::start_with(home, &[]).await
    }

    /// Starts a gateway in a home, with further arguments to `serve`. In a new home it finds the bundled components
    /// compiled, as after a first start.
    pub async fn start_with(home: Home, args: &[&str]) -> Self {
        home.warm().await;
        let command = home.command(&[&["serve", "--port", "0"], args].concat());
        let mut gateway = Self::launch(home, command).await;
        let token = gateway.home().run(&["auth", "token"]).await;
        assert_eq!(token.code, Some(0), "prx auth token: {}", token.stderr);
        gateway.sign_in(token.stdout.trim());
        gateway
    }

    /// Has its client use this token.
    pub fn sign_in(&mut self, token: &str) {
        self.client = self.client.with_token(Some(token));
    }

    /// Starts a gateway as told and waits until it listens. Its client has no token yet.
    pub async fn launch(home: Home, mut command: Command) -> Self {
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the gateway starts");
        let output = Output::of(&mut process, home.path());
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        // From here on it ends with this, also where it is waited for in vain.
        let mut gateway =
            Self { home: Some(home), process, output, address: unknown, client: Client::new(unknown, None) };
        let (process, output) = (&mut gateway.process, &gateway.output);
        let address = until("the gateway to listen", async || {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("the gateway ended ({status}) instead of listening:\n{}", output.tail());
            }
            output.lines().iter().find_map(|line| address_in(line))
        })
        .await;
        (gateway.address, gateway.client) = (address, Client::new(address, None));
        gateway
    }

    /// Ends it with `kill -9` and gives its home back.
    pub fn kill(mut self) -> Home {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.home.take().unwrap()
    }

    /// Ends it as an operator does (SIGTERM) and waits for it. Fails the test if it doesn't exit with 0.
    pub async fn stop(mut self) -> Home {
        let status = self.terminate().await;
        assert_eq!(status.code(), Some(0), "a stopped gateway exits with 0:\n{}", self.output.tail());
        self.home.take().unwrap()
    }

    /// Ends it with a signal, waits for it, and says with which code it ended.
    pub async fn end(mut self, signal: Signal) -> (Option<i32>, Home) {
        self.signal(signal);
        let status = self.ended().await;
        (status.code(), self.home.take().unwrap())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("our own child can be signalled");
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let process = &mut self.process;
        until("the gateway to stop", async || process.try_wait().unwrap()).await
    }

    /// Stops it and starts it again in the same home.
    pub async fn restart(self) -> Self {
        Self::start_in(self.stop().await).await
    }

    async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Its files.
    pub fn home(&self) -> &Home {
        self.home.as_ref().expect("a gateway has a home until it is ended")
    }

    /// Its process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A caller with a token for everything.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What it has printed so far, logs included.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// A new session over the API; its id.
    pub async fn open_session(&self, user: &str) -> String {
        let body = serde_json::json!({"channel": "api", "user_id": user, "metadata": {}});
        let session = self.client.post("/sessions", body).await.expect(201);
        session["id"].as_str().expect("a session has an id").to_owned()
    }

    /// Every session of a channel, whatever its status, oldest first.
    pub async fn sessions(&self, channel: &str) -> Vec<Value> {
        let mut all = Vec::new();
        for status in ["active", "idle", "terminated"] {
            let path = format!("/sessions?channel={channel}&status={status}&limit=500");
            let page = self.client.get(&path).await.expect(200);
            all.extend(page["sessions"].as_array().expect("a list of sessions").iter().cloned());
        }
        all.sort_by_key(|session| session["created_at"].as_str().map(str::to_owned));
        all
    }

    /// Every message of a session as `(role, content)`, oldest first.
    pub async fn messages(&self, session: &str) -> Vec<(String, String)> {
        let mut messages: Vec<Value> = Vec::new();
        loop {
            let before = messages.first().map(|oldest| format!("&before={}", oldest["id"].as_str().unwrap()));
            let path = format!("/sessions/{session}/messages?limit=500{}", before.unwrap_or_default());
            let page = self.client.get(&path).await.expect(200);
            let older = page["messages"].as_array().expect("a list of messages");
            messages.splice(0..0, older.iter().cloned());
            if older.len() < 500 {
                break;
            }
        }
        let text = |message: &Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
        messages.iter().map(|message| (text(message, "role"), text(message, "content"))).collect()
    }

    /// Everything that users have said on a channel, over all its sessions.
    pub async fn heard(&self, channel: &str) -> Vec<String> {
        let mut heard = Vec::new();
        for session in self.sessions(channel).await {
            let messages = self.messages(session["id"].as_str().unwrap()).await;
            heard.extend(messages.into_iter().filter(|(role, _)| role == "user").map(|(_, content)| content));
        }
        heard
    }

    /// What `GET /metrics` shows.
    pub async fn metrics(&self) -> String {
        let answer = self.client.send(self.client.bare(Method::GET, "/metrics"), Bytes::new()).await;
        assert_eq!(answer.status, 200, "{answer}");
        String::from_utf8_lossy(&answer.body).into_owned()
    }

    /// What `GET /plugins` says of one plugin.
    pub async fn plugin(&self, name: &str) -> Option<Value> {
        let list = self.client.get("/plugins").await.expect(200);
        let plugins = list["plugins"].as_array().expect("a list of plugins");
        plugins.iter().find(|plugin| plugin["name"] == name).cloned()
    }

    /// What `GET /channels` says of one channel.
    pub async fn channel(&self, name: &str) -> Option<Value> {
        let list = self.client.get("/channels").await.expect(200);
        let channels = list["channels"].as_array().expect("a list of channels");
        channels.iter().find(|channel| channel["name"] == name).cloned()
    }

    /// The names that `GET /skills` lists.
    pub async fn skills(&self) -> Vec<String> {
        let list = self.client.get("/skills").await.expect(200);
        let skills = list["skills"].as_array().expect("a list of skills");
        skills.iter().filter_map(|skill| Some(skill["name"].as_str()?.to_owned())).collect()
    }

    /// An MCP server, as the API shows it.
    pub async fn mcp_server(&self, name: &str) -> Value {
        let list = self.client.get("/mcp").await.expect(200);
        let mut servers = list["servers"].as_array().expect("servers").iter();
        servers.find(|server| server["name"] == name).unwrap_or_else(|| panic!("{list}")).clone()
    }

    /// The same, once it is connected.
    pub async fn mcp_connected(&self, name: &str) -> Value {
        until("the server to be connected", async || {
            Some(self.mcp_server(name).await).filter(|server| server["status"] == "connected")
        })
        .await
    }

    /// Calls a tool over the API.
    pub async fn call_tool(&self, name: &str, arguments: Value) -> crate::client::Answer {
        self.client.post(&format!("/tools/{name}/call"), serde_json::json!({"arguments": arguments})).await
    }
}

impl Drop for Gateway {
    #[expect(clippy::print_stderr, reason = "the log of a failed test says why")]
    fn drop(&mut self) {
        // Fails only for a process that has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("---- the gateway's last words ----\n{}", self.output.tail());
        }
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?.1.split_once("://")?;
    rest.split_whitespace().next()?.parse().ok()
}
