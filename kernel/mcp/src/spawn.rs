//! How programs are started: none of them outlives the gateway, whatever ends it.
//!
//! On Linux the gateway's own binary is started first. It asks the kernel to be killed with its parent, makes sure that the
//! parent is still there, and becomes the program. The signal follows the thread that has started it, so that is one which
//! lives as long as the gateway. Elsewhere the end of its standard input is all that tells a program of a `kill -9`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::thread;

use rustix::process::{Pid, Signal, getppid};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The first argument by which this binary is asked to become a program.
const BECOME: &str = "become-program-of";
/// The exit code of a shell for what can't be started.
const NOT_STARTED: u8 = 127;

/// Whether this binary calls [`become_program`] when it starts.
static BECOMES: AtomicBool = AtomicBool::new(false);
/// The processes that were started here and not waited for yet.
static OURS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

type Job = Box<dyn FnOnce() + Send>;

/// To be called first of all by a binary whose MCP servers are to end with it. Where the arguments ask for it, this process
/// becomes another program; this returns only if it can't be started, with the exit code to end with.
pub fn become_program(mut words: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    BECOMES.store(cfg!(target_os = "linux"), Ordering::Relaxed);
    if words.nth(1).as_deref() != Some(BECOME.as_ref()) {
        return None;
    }
    let parent = words.next().and_then(|id| id.to_str()?.parse().ok()).and_then(Pid::from_raw);
    let program = words.next().unwrap_or_default();
    // Only a kernel that doesn't know of it refuses this.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if parent.is_none() || getppid() != parent {
        return Some(ExitCode::from(NOT_STARTED));
    }
    let error = std::process::Command::new(&program).args(words).exec();
    let _ = writeln!(io::stderr(), "can't start {}: {error}", program.display());
    Some(ExitCode::from(NOT_STARTED))
}

/// Whether a process was started here and is still waited for.
pub fn is_ours(process: u32) -> bool {
    ours().contains(&process)
}

/// A process that was started here, until whoever holds this has waited for it.
#[derive(Debug)]
pub(super) struct Ours(u32);

impl Drop for Ours {
    fn drop(&mut self) {
        ours().remove(&self.0);
    }
}

/// The command that starts a program.
pub(super) fn command(program: &str, arguments: &[String]) -> Command {
    let mut command = if BECOMES.load(Ordering::Relaxed) {
        let mut command = Command::new("/proc/self/exe");
        command.arg(BECOME).arg(std::process::id().to_string()).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments);
    command
}

/// Starts a command, from the thread that lives as long as the gateway.
///
/// # Errors
/// What the system says.
pub(super) async fn spawn(mut command: Command) -> io::Result<(Child, Option<Ours>)> {
    let (started, child) = oneshot::channel();
    let runtime = Handle::current();
    let job: Job = Box::new(move || {
        let _runtime = runtime.enter();
        // Under the lock, so that it is known as ours before it can have ended.
        let mut ours = ours();
        let child = command.spawn().map(|child| {
            let known = child.id().map(|id| {
                ours.insert(id);
                Ours(id)
            });
            (child, known)
        });
        drop(ours);
        // Whoever gave up meanwhile kills it by dropping it.
        let _ = started.send(child);
    });
    spawner()?.send(job).map_err(|_| io::Error::other("the thread that starts programs is gone"))?;
    child.await.map_err(io::Error::other)?
}

/// Where the thread that starts programs takes its jobs.
fn spawner() -> io::Result<&'static mpsc::Sender<Job>> {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    if let Some(spawner) = SPAWNER.get() {
        return Ok(spawner);
    }
    let (jobs, waiting) = mpsc::channel::<Job>();
    thread::Builder::new()
        .name("children".into())
        .spawn(move || waiting.into_iter().for_each(|job| job()))?;
    // A thread that came second ends when its sender is dropped here.
    Ok(SPAWNER.get_or_init(|| jobs))
}

fn ours() -> std::sync::MutexGuard<'static, BTreeSet<u32>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}
