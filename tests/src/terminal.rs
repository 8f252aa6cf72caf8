//! A terminal that a program writes to, and that is typed at.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::wait::until;

/// A program on a terminal of 80 columns and 24 rows. Dropping it kills the program.
pub struct Terminal {
    process: Child,
    master: File,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts a program there.
    pub fn start(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("a terminal of our own");
        unlockpt(&master).expect("a terminal of our own");
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("a size");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let slave = || {
            let opened = OpenOptions::new().read(true).write(true).open(path);
            Stdio::from(opened.expect("the program's end"))
        };
        command.stdin(slave()).stdout(slave()).stderr(slave()).env("TERM", "xterm");
        let process = command.spawn().expect("the program starts");
        // The command holds the program's end open.
        drop(command);
        let master = File::from(master);
        let mut reader = master.try_clone().expect("a second handle");
        let shown = Arc::new(Mutex::new(String::new()));
        let all = Arc::clone(&shown);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut piece) {
                all.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        });
        Self { process, master, shown }
    }

    /// Types something.
    pub fn write(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("the terminal takes it");
    }

    /// Everything that was written to it, control sequences included.
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits until this was written to it.
    pub async fn until(&self, text: &str) {
        until(&format!("{text:?}"), async || self.shown().contains(text).then_some(())).await;
    }

    /// Waits for the program to end; its exit code, and all that was written.
    pub async fn end(mut self) -> (Option<i32>, String) {
        let process = &mut self.process;
        let status = until("the program to end", async || process.try_wait().unwrap()).await;
        (status.code(), self.shown())
    }
}

impl Drop for Terminal {
    #[expect(clippy::print_stderr, reason = "what stood there says why a test failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the terminal ----\n{:?}", self.shown());
        }
        // Fails only for a process that has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
