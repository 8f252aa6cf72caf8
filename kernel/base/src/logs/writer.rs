//! Writes log lines from a thread of its own: whoever logs never waits for whoever reads. What doesn't fit
//! in the queue is dropped and counted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that may wait to be written: 4 MiB.
const MAX_BYTES: usize = 4 << 20;
/// What a line costs at least.
const MIN_COST: usize = 64;

/// A cheap-clone handle to the queue of lines.
#[derive(Debug, Clone)]
pub(super) struct LineWriter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Held to put lines in and to take them out, never while they are written.
    queue: Mutex<Queue>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines that did not fit since the last time that was told.
    dropped: u64,
    /// Lines were taken out that are not written yet.
    writing: bool,
}

impl LineWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives none, or standard error is closed.
    pub(super) fn start() -> io::Result<Self> {
        // Not the standard library's handle, whose lock would be held while a line can't be written.
        Self::onto(File::from(io::stderr().as_fd().try_clone_to_owned()?))
    }

    /// The same for anything else that is written to.
    pub(super) fn onto(output: impl Write + Send + 'static) -> io::Result<Self> {
        let writer = Self(Arc::default());
        let shared = writer.0.clone();
        thread::Builder::new().name("log".into()).spawn(move || shared.write_to(output))?;
        Ok(writer)
    }

    /// Waits until everything that was logged is written, up to `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let waits = |queue: &mut Queue| queue.writing || !queue.lines.is_empty();
        drop(self.0.emptied.wait_timeout_while(self.0.lock(), limit, waits));
    }
}

impl Shared {
    fn push(&self, line: &[u8]) {
        let mut queue = self.lock();
        if queue.bytes + cost(line) > MAX_BYTES {
            queue.dropped += 1;
            return;
        }
        queue.bytes += cost(line);
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.filled.notify_one();
    }

    fn write_to(&self, mut output: impl Write) {
        loop {
            let mut queue = self.lock();
            while queue.lines.is_empty() {
                queue.writing = false;
                self.emptied.notify_all();
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.writing = true;
            let line = queue.lines.pop_front().unwrap_or_default();
            drop(queue);
            // There is nowhere to say that standard error is gone.
            let _ = output.write_all(&line);
            let mut queue = self.lock();
            queue.bytes -= cost(&line);
            let room = queue.bytes < MAX_BYTES / 2;
            let dropped = if room { std::mem::take(&mut queue.dropped) } else { 0 };
            drop(queue);
            if dropped > 0 {
                tracing::warn!(dropped, "lines of the log were dropped, for whoever reads it was too slow");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cost(line: &[u8]) -> usize {
    line.len().max(MIN_COST)
}

/// Takes a line in.
impl Write for &LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};

    use super::*;

    /// Writes nothing before it is let.
    struct Held {
        released: Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Held {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once the sender is gone nothing is held any more.
            let _ = self.released.recv();
            let _ = self.written.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stops_keeps_nobody_waiting_and_misses_what_does_not_fit() {
        let ((release, released), (written, lines)) = (mpsc::channel(), mpsc::channel());
        let writer = LineWriter::onto(Held { released, written }).unwrap();
        let line = vec![b'x'; 1 << 10];
        for _ in 0..2 * MAX_BYTES / line.len() {
            (&writer).write_all(&line).unwrap();
        }
        assert!(writer.0.lock().dropped >= (MAX_BYTES / line.len()) as u64);
        writer.flush(Duration::from_millis(1));
        drop(release);
        writer.flush(Duration::from_secs(60));
        assert_eq!(writer.0.lock().dropped, 0, "it was told of");
        assert_eq!(lines.try_iter().count(), MAX_BYTES / line.len());
    }
}
