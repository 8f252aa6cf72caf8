//! A server that is a child process, in a process group of its own so that whatever it starts ends with it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rmcp::model::ServerJsonRpcMessage;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{Instrument, info};

use super::redact::redact;
use super::settings::Program;
use super::spawn::{self, NOT_STARTED, Ours, REFUSED};
use super::stdout;
use prx_base::config::Secret;

/// The variables of the gateway's own environment that a process gets; others may hold secrets.
const INHERITED: [&str; 10] =
    ["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"];
/// How long a process may take to exit that has closed its output.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest line of its standard error in bytes; a longer one is logged in pieces.
const MAX_LINE_BYTES: u64 = 8 << 10;

/// What it writes.
pub(super) type Messages = mpsc::Receiver<ServerJsonRpcMessage>;

/// A running process. Dropping it kills its group.
pub(super) struct Process {
    child: Child,
    group: Option<Pid>,
    stderr: JoinHandle<String>,
    _ours: Option<Ours>,
}

impl Process {
    /// Starts a program, and returns the messages that it writes and where it reads. Its standard error goes to the log.
    ///
    /// # Errors
    /// It can't be started; says why.
    pub(super) async fn start(program: &Program) -> Result<(Self, Messages, ChildStdin), String> {
        if let Some(folder) = program.cwd.as_deref().filter(|folder| !Path::new(folder).is_dir()) {
            return Err(format!("can't start {}: cwd: {folder} is no folder", program.command));
        }
        let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut command = spawn::command(&program.command, &program.args);
        command
            .env_clear()
            .envs(inherited)
            .envs(program.env.iter().map(|(name, value)| (name, value.expose())))
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(folder) = &program.cwd {
            command.current_dir(folder);
        }
        let started = spawn::spawn(command).await;
        let (mut child, ours) =
            started.map_err(|error| format!("can't start {}: {error}", program.command))?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(format!("can't start {}: it has no pipes", program.command));
        };
        let stderr = tokio::spawn(log(stderr, program.secrets()).in_current_span());
        Ok((Self { child, group, stderr, _ours: ours }, stdout::messages(stdout, program.secrets()), stdin))
    }

    /// Its exit status and the last line of its standard error, if it exits about now.
    pub(super) async fn exit_report(&mut self) -> Option<String> {
        let status = timeout(EXIT_TIMEOUT, self.child.wait()).await.ok()?.ok()?;
        let said =
            timeout(EXIT_TIMEOUT, &mut self.stderr).await.ok().and_then(Result::ok).unwrap_or_default();
        if status.code() == Some(NOT_STARTED.into()) && said.starts_with(REFUSED) {
            return Some(said);
        }
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Some(format!("the process ended ({status}){said}"))
    }

    /// Waits up to `limit` for it to exit now that its input is closed, then asks it to and waits again, then kills it.
    pub(super) async fn terminate(mut self, limit: Duration) {
        if timeout(limit, self.child.wait()).await.is_err() {
            self.signal(Signal::TERM);
            let _ = timeout(limit, self.child.wait()).await;
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait().await;
    }

    /// A group that is gone needs no signal.
    fn signal(&self, signal: Signal) {
        let _ = self.group.map(|group| kill_process_group(group, signal));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Logs every line with the process's secrets redacted, and returns the last one.
async fn log(stderr: ChildStderr, secrets: Vec<Secret>) -> String {
    let mut reader = BufReader::new(stderr);
    let mut last = String::new();
    let mut bytes = Vec::new();
    while matches!((&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes).await, Ok(1..)) {
        let line = String::from_utf8_lossy(&bytes);
        let line = redact(line.trim_end(), &secrets);
        bytes.clear();
        if !line.is_empty() {
            info!("{line}");
            last = line;
        }
    }
    last
}
