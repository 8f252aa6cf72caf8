//! What a gateway prints, line by line, as it prints it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long a line may take from the moment at which it is told to the log: a bound against hanging, not a measure.
const SOON: Duration = Duration::from_secs(20);

/// The lines a process has printed so far. Its home folder is written `<home>`.
#[derive(Debug, Clone, Default)]
pub struct Output(Arc<Mutex<Vec<String>>>);

impl Output {
    /// Reads both streams of a process until it ends.
    pub(super) fn of(process: &mut Child, home: &Path) -> Self {
        let output = Self::default();
        output.read(process.stdout.take().expect("a piped stdout"), home.to_path_buf());
        output.read(process.stderr.take().expect("a piped stderr"), home.to_path_buf());
        output
    }

    fn read(&self, stream: impl Read + Send + 'static, home: PathBuf) {
        let lines = Arc::clone(&self.0);
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = without_home(&String::from_utf8_lossy(&line), &home);
                lines.lock().unwrap().push(line);
            }
        });
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Whether a line says all of this.
    pub fn says(&self, words: &[&str]) -> bool {
        self.0.lock().unwrap().iter().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// Whether a line says all of this, now or soon: the log is written behind what it tells of.
    pub async fn says_soon(&self, words: &[&str]) -> bool {
        let told = async {
            while !self.says(words) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, told).await.is_ok()
    }

    /// The last lines, for a message about a failure; without requests that went well.
    pub fn tail(&self) -> String {
        let lines = self.0.lock().unwrap();
        let telling: Vec<&str> =
            lines.iter().map(String::as_str).filter(|l| !l.contains(" status=200 ")).collect();
        telling[telling.len().saturating_sub(40)..].join("\n")
    }
}

pub(super) fn without_home(text: &str, home: &Path) -> String {
    text.replace(&home.display().to_string(), "<home>")
}
