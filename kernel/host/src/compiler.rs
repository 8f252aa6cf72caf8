//! Compiling in a process of its own. What it takes to compile a component is its author's to choose, within wide
//! bounds: a process has limits that the system keeps, and can be ended at any time.

use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::thread;

use std::os::unix::process::ExitStatusExt;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::inspect::MAX_BYTES;
use super::tunables::compiling;

/// The word after the program's name with which it is a compiler, and nothing else: see [`run_compiler`].
pub const COMPILE: &str = "compile-for-gateway";

/// Most address space of a compilation, in bytes: several times what the largest component takes that is let in.
const MAX_ADDRESS_SPACE: u64 = 3 << 30;
/// Most processor time of a compilation, in seconds, and how much later one that does not heed the signal is killed.
const MAX_CPU_SECS: u64 = 120;
const CPU_GRACE_SECS: u64 = 5;
/// How much a compilation gives way to everything else on the machine while there is something to give way to: nice(2).
const NICENESS: i32 = 10;
/// Largest image, in bytes.
const MAX_IMAGE_BYTES: u64 = 512 << 20;
/// Most of what a compilation says of its failure, in bytes.
const MAX_REASON_BYTES: u64 = 4 << 10;

/// `EX_DATAERR`: the bytes are no component; the reason is on standard error.
const INVALID: u8 = 65;
/// `EX_OSERR`: there was no memory for it.
const NO_MEMORY: u8 = 71;
/// `EX_IOERR`: it was not given what it needs, or nobody takes what it made.
const BROKEN: u8 = 74;

/// Signals by which a process is ended, as all systems number them.
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// Why a component is not compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The bytes are no component that this engine can run.
    #[error("is not a component that can be compiled: {0}")]
    Invalid(String),
    /// Compiling them takes more than there is for it.
    #[error("costs too much to compile: {0}")]
    Costly(String),
    /// The compiler itself failed.
    #[error("could not be compiled: {0}")]
    Failed(String),
    /// The gateway stops.
    #[error("is not compiled any more: the gateway is stopping")]
    Stopped,
}

/// Where components are compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Compiler {
    /// In this process, without limits: for tests, whose programs are no compilers.
    #[default]
    Here,
    /// In a process of this program, which calls [`run_compiler`] when its first argument is [`COMPILE`].
    Process(PathBuf),
}

/// How a compilation shares the processors with everything else on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// Like everything else: nothing works before it is done.
    Start,
    /// It gives way to messages.
    GivesWay,
}

impl Haste {
    fn niceness(self) -> i32 {
        match self {
            Self::Start => 0,
            Self::GivesWay => NICENESS,
        }
    }
}

impl Compiler {
    /// In a process of the program that runs now.
    ///
    /// # Errors
    /// The system doesn't say which program that is.
    pub fn own_program() -> io::Result<Self> {
        // On Linux that leads to the same program also after its file was replaced.
        let running = Path::new("/proc/self/exe");
        Ok(Self::Process(if running.exists() { running.to_owned() } else { env::current_exe()? }))
    }

    /// The image of a component for an engine with this reservation for each memory, for somebody who is waited for or
    /// has time. Dropping it ends the compilation.
    pub(super) async fn image(
        &self,
        reservation: u64,
        haste: Haste,
        component: &[u8],
    ) -> Result<Vec<u8>, CompileError> {
        match self {
            Self::Here => here(reservation, component.to_vec()).await,
            Self::Process(program) => aside(program, reservation, haste, component).await,
        }
    }
}

async fn here(reservation: u64, component: Vec<u8>) -> Result<Vec<u8>, CompileError> {
    let compile = move || compiling(reservation)?.precompile_component(&component);
    let compiled = tokio::task::spawn_blocking(compile).await.map_err(failed)?;
    compiled.map_err(|error| CompileError::Invalid(format!("{error:#}")))
}

async fn aside(
    program: &Path,
    reservation: u64,
    haste: Haste,
    component: &[u8],
) -> Result<Vec<u8>, CompileError> {
    let words = [reservation.to_string(), component.len().to_string(), haste.niceness().to_string()];
    let mut command = Command::new(program);
    command
        .arg0("prx")
        .arg(COMPILE)
        .args(words)
        .env_clear()
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| failed(format!("{}: {error}", program.display())))?;
    let (Some(mut input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(failed("the compiler has no pipes"));
    };
    // One that ends before it has read everything says why by its status.
    let _ = input.write_all(component).await;
    let (image, reason) =
        tokio::try_join!(read(output, MAX_IMAGE_BYTES), read(errors, MAX_REASON_BYTES)).map_err(failed)?;
    if image.len() as u64 > MAX_IMAGE_BYTES {
        return Err(CompileError::Costly(format!("its image is larger than {} MiB", MAX_IMAGE_BYTES >> 20)));
    }
    let status = child.wait().await.map_err(failed)?;
    // Held until here: a compiler whose input ends has nobody left to work for.
    drop(input);
    match status.success() {
        true => Ok(image),
        false => Err(unsuccessful(status, &String::from_utf8_lossy(&reason))),
    }
}

/// All there is to read, and at most a byte more than `most`.
async fn read(from: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

fn unsuccessful(status: ExitStatus, reason: &str) -> CompileError {
    let reason = reason.trim();
    let memory = MAX_ADDRESS_SPACE >> 30;
    match (status.signal(), status.code().and_then(|code| u8::try_from(code).ok())) {
        (_, Some(INVALID)) => CompileError::Invalid(reason.to_owned()),
        (Some(SIGXCPU), _) => CompileError::Costly(format!(
            "it was given up after {MAX_CPU_SECS} s of processor time, the most there is for it"
        )),
        (Some(SIGABRT), _) | (_, Some(NO_MEMORY)) => {
            CompileError::Costly(format!("it takes more than {memory} GiB of memory, the most there is for it"))
        }
        (Some(SIGKILL), _) => CompileError::Costly(
            "the system ended it, as it does when memory is short; build a smaller component, or give the machine \
             more memory"
                .into(),
        ),
        _ => failed(format!("the compiler ended with {status}: {reason}")),
    }
}

fn failed(error: impl std::fmt::Display) -> CompileError {
    CompileError::Failed(error.to_string())
}

/// What a program does that was started to compile one component: takes it from standard input, and writes its image to
/// standard output. `words` are its arguments after [`COMPILE`]: the reservation of address space for each memory and
/// the length of the component, both in bytes, and its niceness. Ends the process when its input ends before it is done.
pub fn run_compiler(words: impl Iterator<Item = OsString>) -> ExitCode {
    match compile(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, reason)) => {
            // The code says it too, if nobody reads this.
            let _ = write!(io::stderr(), "{reason}");
            ExitCode::from(code)
        }
    }
}

/// # Errors
/// The exit code, and the reason.
fn compile(words: impl Iterator<Item = OsString>) -> Result<(), (u8, String)> {
    let broken = |error: io::Error| (BROKEN, error.to_string());
    let usage = || {
        (
            BROKEN,
            format!("{COMPILE} takes a reservation and the length of a component, in bytes, and a niceness"),
        )
    };
    let (reservation, length, niceness) = numbers(words).ok_or_else(usage)?;
    restrict(niceness).map_err(broken)?;
    let component = take(length).map_err(broken)?;
    watch_input().map_err(broken)?;
    let image = compiling(reservation).and_then(|engine| engine.precompile_component(&component));
    let image = image.map_err(|error| {
        let code = if error.is::<wasmtime::OutOfMemory>() { NO_MEMORY } else { INVALID };
        (code, format!("{error:#}"))
    })?;
    io::stdout().write_all(&image).map_err(broken)
}

fn numbers(mut words: impl Iterator<Item = OsString>) -> Option<(u64, usize, i32)> {
    let reservation = words.next()?.to_str()?.parse().ok()?;
    let length = words.next()?.to_str()?.parse().ok()?;
    let niceness = words.next()?.to_str()?.parse().ok()?;
    (length <= MAX_BYTES).then_some((reservation, length, niceness))
}

fn restrict(niceness: i32) -> io::Result<()> {
    limit(Resource::As, MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE)?;
    limit(Resource::Cpu, MAX_CPU_SECS, MAX_CPU_SECS + CPU_GRACE_SECS)?;
    limit(Resource::Core, 0, 0)?;
    nice(niceness)?;
    Ok(())
}

/// Never more than there is already.
fn limit(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let (current, maximum) = (Some(current.min(most)), Some(maximum.min(most)));
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
}

fn take(length: usize) -> io::Result<Vec<u8>> {
    let mut component = vec![0; length];
    io::stdin().read_exact(&mut component)?;
    Ok(component)
}

/// Ends this process when whoever waits for it is gone, also when they were killed.
fn watch_input() -> io::Result<()> {
    let watch = || {
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(BROKEN.into());
    };
    thread::Builder::new().name("input".into()).stack_size(128 << 10).spawn(watch)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As wait(2) gives it: the signal, or the exit code above it.
    fn told(status: i32, reason: &str) -> CompileError {
        unsuccessful(ExitStatus::from_raw(status), reason)
    }

    #[test]
    fn how_a_compiler_ends_says_why() {
        assert_eq!(told(i32::from(INVALID) << 8, "bad magic\n"), CompileError::Invalid("bad magic".into()));
        for (status, limit) in [
            (SIGXCPU, "120 s"),
            (SIGABRT, "3 GiB"),
            (i32::from(NO_MEMORY) << 8, "3 GiB"),
            (SIGKILL, "memory"),
        ] {
            let error = told(status, "");
            assert!(matches!(&error, CompileError::Costly(why) if why.contains(limit)), "{status}: {error}");
        }
        for status in [11, i32::from(BROKEN) << 8, 101 << 8] {
            let error = told(status, "it broke");
            assert!(matches!(&error, CompileError::Failed(why) if why.contains("it broke")), "{error}");
        }
    }
}
