//! `prx plugin build`: a package's component, or a manifest put into one of another language.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::check::check;
use crate::cli::failure::Failure;
use crate::cli::output::Console;
use prx_host::inspect::{SECTION, inspect};
use prx_host::manifest::Manifest;

/// What components are built for.
const TARGET: &str = "wasm32-wasip2";

#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// The folder of the plugin's package, for one in Rust
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// A component that was built in another language: puts the manifest into a copy of it
    #[arg(long, value_name = "FILE", requires = "output")]
    component: Option<PathBuf>,
    /// Where that copy goes
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn build(console: &Console, arguments: &Build) -> Result<(), Failure> {
    let file = match (&arguments.component, &arguments.output) {
        (Some(component), Some(output)) => add_manifest(component, &arguments.folder, output)?,
        _ => cargo(&arguments.folder)?,
    };
    check(console, &file).await
}

/// Builds a package and answers with its component.
fn cargo(folder: &Path) -> Result<PathBuf, Failure> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        let why = "there is no Cargo.toml here: name the folder of a plugin, or begin one with `prx plugin new NAME`";
        return Err(Failure::about(folder, &why));
    }
    ensure_target(folder)?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    cargo.arg("--manifest-path").arg(&manifest);
    let built = cargo.stderr(Stdio::inherit()).output().map_err(|error| no_rust("cargo", &error))?;
    if !built.status.success() {
        let why = format!("it does not build (cargo: {}); the reason stands above", built.status);
        return Err(Failure::about(folder, &why));
    }
    let lines = String::from_utf8_lossy(&built.stdout);
    let messages = lines.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut files = messages.flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default());
    let component = files.find_map(|file| Some(file.as_str()?.to_owned()).filter(|f| f.ends_with(".wasm")));
    let none = || Failure::new("the package makes no component: it needs crate-type = [\"cdylib\"]");
    component.map(PathBuf::from).ok_or_else(none)
}

/// Whether the Rust that is used in this folder has a standard library for components.
fn ensure_target(folder: &Path) -> Result<(), Failure> {
    let mut rustc = Command::new("rustc");
    // A toolchain file in the folder counts.
    rustc.current_dir(folder).args(["--print", "target-libdir", "--target", TARGET]);
    let printed = rustc.output().map_err(|error| no_rust("rustc", &error))?;
    let libraries = String::from_utf8_lossy(&printed.stdout);
    if printed.status.success() && Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    Err(Failure::new(format!("this Rust can't build components yet: rustup target add {TARGET}")))
}

fn no_rust(program: &str, error: &std::io::Error) -> Failure {
    Failure::new(format!("{program} can't be run: {error}; install Rust, see https://rustup.rs"))
}

/// Writes a copy of a component with the manifest that is in `folder` in it.
fn add_manifest(component: &Path, folder: &Path, output: &Path) -> Result<PathBuf, Failure> {
    let path = folder.join("plugin.toml");
    let manifest = fs::read_to_string(&path).map_err(|error| Failure::about(&path, &error))?;
    Manifest::parse(&manifest).map_err(Failure::new)?;
    let mut bytes = fs::read(component).map_err(|error| Failure::about(component, &error))?;
    let mut section = Vec::new();
    leb128(SECTION.len(), &mut section);
    section.extend_from_slice(SECTION.as_bytes());
    section.extend_from_slice(manifest.as_bytes());
    // A custom section has the number 0.
    bytes.push(0);
    leb128(section.len(), &mut bytes);
    bytes.extend_from_slice(&section);
    inspect(&bytes).map_err(|error| Failure::about(component, &error))?;
    fs::write(output, bytes).map_err(|error| Failure::about(output, &error))?;
    Ok(output.to_owned())
}

fn leb128(mut number: usize, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
