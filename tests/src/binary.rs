//! The `prx` binary under test, as cargo builds it, next to this very test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

/// The freshly built binary, or the one that `PRX_BIN` names, to measure one version beside another. Cargo decides whether
/// there is anything to build, once a process.
pub(crate) fn prx() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = env::var_os("PRX_BIN") {
            return PathBuf::from(path);
        }
        let built = profile_dir();
        let profile = match built.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        // The whole workspace, and an example, are selected so that features unify as they do for `cargo test
        // --workspace`, those that only tests need included: nothing is built twice.
        let status = cargo()
            .args(["build", "--quiet", "--workspace", "--bin", "prx", "--example", "marked"])
            .args(["--profile", profile, "--target-dir"])
            .arg(target_dir())
            .status()
            .expect("cargo starts");
        assert!(status.success(), "the gateway does not build");
        let binary = built.join("prx");
        assert!(fs::exists(&binary).unwrap_or(false), "cargo built no prx binary");
        binary
    })
}

/// `target/`, wherever this test was built.
fn target_dir() -> PathBuf {
    profile_dir().parent().expect("a profile folder lies in target").to_path_buf()
}

/// Where cargo keeps what build scripts make, of the profile this test was built with.
pub(crate) fn build_dir() -> PathBuf {
    profile_dir().join("build")
}

/// The workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// Cargo, without what the cargo that runs this test says about itself.
fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let ours =
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_BIN_") || name.starts_with("DEP_");
        if ours
            || matches!(&*name, "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH" | "CARGO_CRATE_NAME" | "OUT_DIR")
        {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

fn profile_dir() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    test.ancestors().nth(2).expect("target/<profile>/deps/<test>").to_path_buf()
}
