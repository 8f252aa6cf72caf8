//! Builds components with a cargo of their own, whatever the cargo that asks for them was called with.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What every component is compiled for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// The variables for cargo that say where packages come from, as opposed to how they are built.
const KEPT: [&str; 6] =
    ["CARGO_HOME", "CARGO_HTTP_", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];

/// Where components are built.
pub(crate) struct Guests {
    workspace: PathBuf,
    target_dir: PathBuf,
}

impl Guests {
    /// For a build script: `workspace` is the folder with the root `Cargo.toml`, `out_dir` what cargo gave the
    /// script as `OUT_DIR`. The components get a target folder of their own beside its profiles, because the
    /// cargo that runs the script holds the lock of the other one.
    pub(crate) fn new(workspace: &Path, out_dir: &Path) -> Result<Self, String> {
        let workspace =
            workspace.canonicalize().map_err(|error| format!("{}: {error}", workspace.display()))?;
        let profile = out_dir
            .ancestors()
            .find(|folder| folder.file_name() == Some(OsStr::new("build")))
            .and_then(Path::parent)
            .ok_or_else(|| format!("{} is not inside a target folder", out_dir.display()))?;
        let mut target_dir = profile.parent().unwrap_or(profile);
        if target_dir.file_name() == env::var_os("TARGET").as_deref() {
            target_dir = target_dir.parent().unwrap_or(target_dir);
        }
        Ok(Self { workspace, target_dir: target_dir.join("guests") })
    }

    /// Builds the libraries of these packages, and what `further` selects of them, in one go. Answers with the
    /// libraries' components, in order.
    pub(crate) fn build(&self, packages: &[String], further: &[&str]) -> Result<Vec<PathBuf>, String> {
        let selected: Vec<&str> = packages.iter().flat_map(|package| ["--package", package]).collect();
        self.cargo(&[&["--lib"], further, &selected[..]].concat())?;
        packages.iter().map(|package| self.artifact(&format!("{}.wasm", package.replace('-', "_")))).collect()
    }

    /// Runs `cargo build` for the component target and profile with further arguments.
    fn cargo(&self, arguments: &[&str]) -> Result<(), String> {
        ensure_target()?;
        let mut cargo = clean(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()).as_ref());
        cargo.current_dir(&self.workspace).args(["build", "--target", TARGET, "--profile", "guest"]);
        cargo.arg("--target-dir").arg(&self.target_dir).args(arguments);
        let status = cargo.status().map_err(|error| format!("cannot run cargo: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("building the components failed: {cargo:?}")) }
    }

    /// A file that was built, by its name in the profile's folder.
    pub(crate) fn artifact(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.target_dir.join(TARGET).join("guest").join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(format!("{} was not built: does its package have crate-type = [\"cdylib\"]?", path.display()))
    }
}

/// Installs the standard library for components where there is none yet.
fn ensure_target() -> Result<(), String> {
    let printed = clean("rustc".as_ref())
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("cannot run rustc: {error}"))?;
    if Path::new(String::from_utf8_lossy(&printed.stdout).trim()).is_dir() {
        return Ok(());
    }
    let added = clean("rustup".as_ref()).args(["target", "add", TARGET]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => {
            Err(format!("`rustup target add {TARGET}` failed; the components cannot be built without it"))
        }
        Err(_) => Err(format!(
            "this Rust has no standard library for {TARGET} and there is no rustup to install it: install your \
             distribution's package for {TARGET}, or Rust from https://rustup.rs"
        )),
    }
}

/// A command that knows nothing of the flags, wrappers and targets of the build it is started from.
fn clean(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let steers = text.starts_with("CARGO_") || text.starts_with("RUSTC") || text.starts_with("RUSTFLAGS");
        if steers && !KEPT.iter().any(|kept| text.starts_with(kept)) {
            command.env_remove(&name);
        }
    }
    command.env_remove("CLIPPY_ARGS");
    command
}
