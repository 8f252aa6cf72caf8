//! `prx service`

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::Failure;
use super::output::Console;
use super::paths::{Paths, xdg};
use super::terminal::print;

/// The unit of a system's service, as packages install it.
const SYSTEM: &str = include_str!("../../packaging/systemd/prx.service");
/// The unit of a user's service.
const USER: &str = include_str!("../../packaging/systemd/prx-user.service");

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Write a systemd unit that runs this program as it is called here, and say what starts it
    Install(Install),
}

#[derive(Debug, clap::Args)]
pub(super) struct Install {
    /// A service of the system, in /etc/systemd/system, instead of one of this user
    #[arg(long)]
    system: bool,
    /// Print the unit instead of writing it
    #[arg(long)]
    print: bool,
    /// Replace a unit that says something else
    #[arg(long)]
    force: bool,
}

pub(super) fn run(console: &Console, paths: &Paths, command: Command) -> Result<(), Failure> {
    let Command::Install(Install { system, print: printed, force }) = command;
    let unit = unit(system, &env::current_exe()?, paths)?;
    if printed {
        return print(&unit);
    }
    let file = place(system)?;
    let unusable = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    let before = match fs::read_to_string(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        text => Some(text.map_err(unusable)?),
    };
    if before.is_some_and(|before| before != unit) && !force {
        let file = file.display();
        return Err(Failure::new(format!("{file} is there, and says something else; --force replaces it")));
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(unusable)?;
    }
    fs::write(&file, unit).map_err(unusable)?;
    let (user, enable) = match system {
        true => ("", "systemctl daemon-reload && systemctl enable --now prx"),
        false => (" --user", "systemctl --user daemon-reload && systemctl --user enable --now prx"),
    };
    let file = file.display().to_string();
    let text =
        format!("{file} is written; start it with:\n{enable}\nand follow it with:\njournalctl{user} -fu prx");
    console.done(&json!({"file": file, "enable": enable}), &text)
}

/// Where systemd looks for it.
fn place(system: bool) -> Result<PathBuf, Failure> {
    if system {
        return Ok(PathBuf::from("/etc/systemd/system/prx.service"));
    }
    let config = xdg("XDG_CONFIG_HOME", ".config");
    let config = config.ok_or_else(|| Failure::new("HOME is not set; --print prints the unit"))?;
    Ok(config.join("systemd/user/prx.service"))
}

/// The unit with this program, and for a user's service with the files that it is called with.
fn unit(system: bool, program: &Path, paths: &Paths) -> Result<String, Failure> {
    let program = quoted(program)?;
    if system {
        // Its files are where the unit's directives have them made.
        return Ok(SYSTEM.replace("ExecStart=/usr/bin/prx", &format!("ExecStart={program}")));
    }
    let mut line = format!("ExecStart={program}");
    if paths.is_config_named() {
        line.push_str(&format!(" --config {}", quoted(&absolute(&paths.config)?)?));
    }
    line.push_str(&format!(" --data-dir {}", quoted(&absolute(&paths.data_dir)?)?));
    Ok(USER.replace("ExecStart=/usr/bin/prx", &line))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    Ok(std::path::absolute(path)?)
}

/// A path as one word of a unit's command line.
fn quoted(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control));
    let text = text.ok_or_else(|| Failure::new(format!("{} can't stand in a unit", path.display())))?;
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-+@:".contains(character);
    let doubled = text.replace('%', "%%").replace('$', "$$");
    match text.chars().all(plain) {
        true => Ok(doubled),
        false => Ok(format!("\"{}\"", doubled.replace('\\', "\\\\").replace('"', "\\\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_unit() {
        let quoted = |path: &str| quoted(Path::new(path)).unwrap();
        assert_eq!(quoted("/usr/bin/prx"), "/usr/bin/prx");
        assert_eq!(quoted("/home/a b/50%/$x\"\\"), "\"/home/a b/50%%/$$x\\\"\\\\\"");
        assert!(super::quoted(Path::new("/a\nExecStartPre=/bin/evil")).is_err());
    }
}
