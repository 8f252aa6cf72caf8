//! What a service manager, packages and containers take: units, notices, man pages.
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use prx_tests::gateway::{Gateway, Home};
use prx_tests::wait::until;

/// What comes on a socket, as it comes.
fn heard(socket: UnixDatagram) -> Arc<Mutex<Vec<String>>> {
    let all: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&all);
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length) = socket.recv(&mut piece) {
            heard.lock().unwrap().push(String::from_utf8_lossy(&piece[..length]).into_owned());
        }
    });
    all
}

#[tokio::test]
async fn the_service_manager_is_told_when_it_is_ready_that_it_lives_and_that_it_stops() {
    let home = Home::new("");
    home.warm().await;
    let path = home.path().join("notify.sock");
    let all = heard(UnixDatagram::bind(&path).unwrap());
    let mut command = home.command(&["serve", "--port", "0"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").env_remove("WATCHDOG_PID");
    let gateway = Gateway::launch(home, command).await;
    until("readiness, and three signs of life", async || {
        let all = all.lock().unwrap();
        let lives = all.iter().filter(|told| *told == "WATCHDOG=1").count();
        let ready = all.iter().any(|told| told.starts_with("READY=1\nSTATUS=listening on http://127.0.0.1:"));
        (ready && lives >= 3).then_some(())
    })
    .await;
    let _home = gateway.stop().await;
    until("the stop", async || {
        all.lock().unwrap().iter().any(|told| told.starts_with("STOPPING=1")).then_some(())
    })
    .await;
    // Whoever is meant by another name, or nobody, is told nothing.
    let home = Home::new("");
    home.warm().await;
    let mut command = home.command(&["serve", "--port", "0"]);
    command.env("NOTIFY_SOCKET", home.path().join("gone.sock")).env("WATCHDOG_USEC", "x");
    Gateway::launch(home, command).await.stop().await;
}

#[tokio::test]
async fn a_unit_is_written_once_and_names_this_program() {
    let home = Home::empty();
    let install = |more: &[&str]| {
        let mut command = home.plain(&[&["service", "install", "--data-dir", "my data"], more].concat());
        command.env_remove("XDG_CONFIG_HOME");
        command
    };
    let written = home.finish(install(&[])).await;
    assert_eq!(written.code, Some(0), "{written:?}");
    assert!(written.stdout.contains("systemctl --user enable --now prx"), "{written:?}");
    let file = home.path().join(".config/systemd/user/prx.service");
    let unit = fs::read_to_string(&file).unwrap();
    let line = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    let data = format!("{}/my data", home.path().canonicalize().unwrap().display());
    assert!(line.ends_with(&format!("/prx --data-dir \"{data}\" serve")), "{line}");
    assert!(unit.contains("Type=notify") && unit.contains("WatchdogSec="), "{unit}");
    assert_eq!(home.finish(install(&[])).await.code, Some(0), "the same again");
    fs::write(&file, "# mine\n").unwrap();
    let refused = home.finish(install(&[])).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("says something else"), "{refused:?}");
    assert_eq!(home.finish(install(&["--force"])).await.code, Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), unit);
    let system = home.finish(install(&["--system", "--print"])).await;
    assert!(
        system.stdout.contains("/prx --config /etc/prx/prx.toml --data-dir /var/lib/prx serve"),
        "{system:?}"
    );
    // Where systemd is, it takes both.
    let Ok(found) = Command::new("systemd-analyze").arg("--version").output() else { return };
    assert!(found.status.success());
    let unit = home.path().join("prx.service");
    fs::write(&unit, &system.stdout).unwrap();
    let verified = Command::new("systemd-analyze").arg("verify").arg(&unit).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("prx.service"), "{said}");
}

#[tokio::test]
async fn every_command_has_a_man_page_and_completions() {
    let home = Home::empty();
    let written = home.finish(home.plain(&["man", "man1"])).await;
    assert_eq!(written.code, Some(0), "{written:?}");
    for page in ["prx.1", "prx-chat.1", "prx-plugin-install.1", "prx-backup.1"] {
        let text = fs::read_to_string(home.path().join("man1").join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = home.finish(home.plain(&["completions", shell])).await;
        assert!(script.stdout.contains("backup"), "{shell}");
    }
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel/packaging");
    let container = fs::read_to_string(packaging.join("Containerfile")).unwrap();
    for words in ["HEALTHCHECK", "USER 10001", "ENTRYPOINT [\"prx\"]"] {
        assert!(container.contains(words), "{words}");
    }
    let served = Home::empty();
    fs::copy(packaging.join("compose/prx.toml"), served.path().join("prx.toml")).unwrap();
    let checked = served.run(&["config", "check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}
