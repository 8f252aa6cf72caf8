//! The log in a file: it is written beside standard error, by a thread of its own, and makes room for a new one when it is as
//! large as it may be. Whoever rotates files by other means has it opened anew by a signal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::stopwatch;
use crate::config;

/// How long a file that could not be opened or written is left alone: 2 seconds. Lines that come meanwhile are not in it.
const RETRY: Duration = Duration::from_secs(2);

/// A cheap-clone handle to where the log's file is, and how it does.
#[derive(Debug, Clone, Default)]
pub(super) struct LogFile(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// There is to be a file.
    is_on: AtomicBool,
    /// Held to look and to change, never while something is written.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    wanted: Wanted,
    /// The file is to be opened, also where it is open.
    reopen: bool,
    /// Why lines are not in it.
    problem: Option<String>,
}

/// Where it is, and how large it and those before it get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wanted {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
}

impl LogFile {
    /// Follows the configuration.
    pub(super) fn configure(&self, config: &config::Logs) {
        let wanted = Wanted {
            path: PathBuf::from(&config.file),
            max_bytes: config.file_max_bytes,
            keep: config.file_keep,
        };
        let mut state = self.0.lock();
        if state.wanted.path != wanted.path {
            (state.reopen, state.problem) = (true, None);
        }
        self.0.is_on.store(!config.file.is_empty(), Ordering::Relaxed);
        state.wanted = wanted;
    }

    /// Opens it anew with the next line: somebody may have moved it.
    pub(super) fn reopen(&self) {
        self.0.lock().reopen = true;
    }

    /// Whether there is to be one.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// Why lines are not in it, with its path.
    pub(super) fn problem(&self) -> Option<String> {
        let state = self.0.lock();
        let problem = state.problem.as_ref()?;
        Some(format!("{}: {problem}", state.wanted.path.display()))
    }

    /// What writes it.
    pub(super) fn writer(&self) -> impl Write + Send + 'static {
        Rotating { file: self.clone(), open: None, failed_at: None }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file as it is open, and its size.
struct Rotating {
    file: LogFile,
    open: Option<(File, u64)>,
    failed_at: Option<Instant>,
}

/// Takes a line in whole, or loses it.
impl Write for Rotating {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let (wanted, reopen) = {
            let mut state = self.file.0.lock();
            (state.wanted.clone(), std::mem::take(&mut state.reopen))
        };
        if reopen {
            (self.open, self.failed_at) = (None, None);
        }
        let rests = self.failed_at.is_some_and(|failed_at| failed_at.elapsed() < RETRY);
        if wanted.path.as_os_str().is_empty() || rests {
            return Ok(line.len());
        }
        let written = self.append(line, &wanted);
        self.failed_at = written.is_err().then(stopwatch);
        if written.is_err() {
            self.open = None;
        }
        self.tell(written.err().map(|error| error.to_string()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Rotating {
    fn append(&mut self, line: &[u8], wanted: &Wanted) -> io::Result<()> {
        let (mut file, mut size) = match self.open.take() {
            Some(open) => open,
            None => open(&wanted.path)?,
        };
        let added = line.len() as u64;
        if wanted.max_bytes > 0 && size > 0 && size + added > wanted.max_bytes {
            rotate(&wanted.path, wanted.keep)?;
            (file, size) = open(&wanted.path)?;
        }
        file.write_all(line)?;
        self.open = Some((file, size + added));
        Ok(())
    }

    /// Notes how it went. What was said of it last is not said again.
    fn tell(&self, problem: Option<String>) {
        let mut state = self.file.0.lock();
        if state.problem.is_some() == problem.is_some() {
            return;
        }
        state.problem.clone_from(&problem);
        drop(state);
        match problem {
            Some(problem) => {
                tracing::warn!("the log's file can't be written; lines are not in it: {problem}")
            }
            None => tracing::info!("the log's file is written again"),
        }
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// Moves the file to `<path>.1`, the one there to `<path>.2`, and so on; the last one goes.
fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return fs::remove_file(path);
    }
    for number in (1..keep).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(path, 1))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(path: &Path, max_bytes: u64, keep: u32) -> LogFile {
        let file = LogFile::default();
        let path = path.to_string_lossy().into_owned();
        let config = config::Logs {
            file: path,
            file_max_bytes: max_bytes,
            file_keep: keep,
            ..config::Logs::default()
        };
        file.configure(&config);
        file
    }

    #[test]
    fn a_full_file_makes_room_and_the_oldest_goes() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("prx.log");
        let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap_or_default();
        let file = configured(&path, 10, 2);
        let mut writer = file.writer();
        for line in ["one\n", "two\n", "three\n", "a long line, whole\n", "five\n"] {
            writer.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(read("prx.log"), "five\n");
        assert_eq!((read("prx.log.1"), read("prx.log.2")), ("a long line, whole\n".into(), "three\n".into()));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 3);
        // Another process goes on where this one ends.
        configured(&path, 10, 2).writer().write_all(b"six\n").unwrap();
        assert_eq!(read("prx.log"), "five\nsix\n");
    }

    #[test]
    fn a_file_that_was_moved_is_opened_anew_when_that_is_asked_for() {
        let home = tempfile::tempdir().unwrap();
        let (path, moved) = (home.path().join("prx.log"), home.path().join("moved"));
        let file = configured(&path, 0, 0);
        let mut writer = file.writer();
        writer.write_all(b"one\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        writer.write_all(b"two\n").unwrap();
        file.reopen();
        writer.write_all(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_file_that_can_t_be_written_is_a_problem_and_keeps_nobody_waiting() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("nowhere").join("prx.log");
        let file = configured(&path, 0, 0);
        let mut writer = file.writer();
        writer.write_all(b"one\n").unwrap();
        assert!(file.problem().unwrap().starts_with(&path.display().to_string()));
        fs::create_dir(path.parent().unwrap()).unwrap();
        file.reopen();
        writer.write_all(b"two\n").unwrap();
        assert_eq!(file.problem(), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    }
}
