//! Builds the bundled plugins, every package in `plugins/`, and embeds them, and the SDK for those who write others.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::exit;

use self::guests::Guests;

#[path = "build/guests.rs"]
mod guests;
#[path = "build/sdk.rs"]
mod sdk;

fn main() {
    if let Err(reason) = run() {
        println!("cargo::error={reason}");
        exit(1);
    }
}

fn run() -> Result<(), String> {
    // Where the script runs, not where it was built: a target folder may have been copied.
    let package =
        env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set: run this through cargo")?;
    let workspace = Path::new(&package).join("..");
    for input in ["plugins", "sdk", "wit", "Cargo.toml", "Cargo.lock"] {
        rerun_if_changed(&workspace.join(input))?;
    }
    // The harness, which is no part of the bundled plugins.
    rerun_if_changed(&workspace.join("sdk/src/testing"))?;
    let templates = sdk::templates(&workspace.join("examples"))?;
    for template in &templates {
        rerun_if_changed(&workspace.join("examples").join(template))?;
    }
    for script in ["build.rs", "build/guests.rs", "build/sdk.rs"] {
        println!("cargo::rerun-if-changed={script}");
    }

    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run this through cargo")?);
    sdk::embed(&workspace, &out_dir, &templates)?;
    let names = bundled(&workspace.join("plugins"))?;
    let packages: Vec<String> = names.iter().map(|name| format!("prx-{name}")).collect();
    let components = Guests::new(&workspace, &out_dir)?.build(&packages, &[])?;

    let mut source = String::from("&[\n");
    for (name, component) in names.iter().zip(components) {
        let copy = out_dir.join(format!("{name}.wasm"));
        write_if_changed(&copy, &read(&component)?)?;
        let _ = writeln!(source, "    ({name:?}, include_bytes!({copy:?})),");
    }
    source.push_str("]\n");
    write_if_changed(&out_dir.join("bundled.rs"), source.as_bytes())
}

/// Watches a file, or the files of a folder but for those that are only compiled for tests. A file that is new is
/// named by one that is there: by its module, its package, or `Cargo.lock`.
fn rerun_if_changed(path: &Path) -> Result<(), String> {
    const TESTS: [&str; 4] = ["tests", "tests.rs", "testing", "fuzz"];
    if !path.is_dir() {
        println!("cargo::rerun-if-changed={}", path.display());
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("{}: {error}", path.display()))?;
        if !TESTS.iter().any(|name| entry.file_name() == *name) {
            rerun_if_changed(&entry.path())?;
        }
    }
    Ok(())
}

/// The folders in `plugins/` that are packages. The package in `plugins/x` is `prx-x`, and so is its plugin `x`.
fn bundled(plugins: &Path) -> Result<Vec<String>, String> {
    let folders = fs::read_dir(plugins).map_err(|error| format!("{}: {error}", plugins.display()))?;
    let mut names: Vec<String> = folders
        .filter_map(Result::ok)
        .filter(|folder| folder.path().join("Cargo.toml").is_file())
        .map(|folder| folder.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Leaves an unchanged file as old as it is, so that nothing that includes it is built again.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
