//! `prx plugin keygen` and `sign`. None of them needs a gateway.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::Failure;
use super::output::Console;
use prx_host::inspect::inspect;
use prx_host::signature::{self, SigningKey};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The component
    file: PathBuf,
    /// The file with the secret key, as `prx plugin keygen` has made it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the signed component goes; without it, into the same file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Makes a key. A file that is there already is left alone: it may be a key that somebody's plugins are known by.
pub(super) fn keygen(console: &Console, file: &Path) -> Result<(), Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(Failure::new)?;
    let key = SigningKey::from_seed(seed).map_err(Failure::new)?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written = made.and_then(|mut file| {
        writeln!(file, "{}", key.secret_text())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::about(file, &error))?;
    let (public, file) = (key.public().to_string(), file.display().to_string());
    let text = format!(
        "{public}\n\nThe secret key is in {file}: keep it to yourself, and a copy of it. Sign with: prx plugin sign FILE --key \
         {file}\nWho installs what you sign puts this under [plugins.trusted_keys]: NAME = \"{public}\""
    );
    console.done(&json!({ "public_key": public, "file": file }), &text)
}

pub(super) fn sign(console: &Console, arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { file, key, output } = arguments;
    let text = fs::read_to_string(key).map_err(|error| Failure::about(key, &error))?;
    let signing: SigningKey = text.parse().map_err(|_| {
        let why = "is no secret key: one is a line that begins with `ed25519-secret:`, as `prx plugin keygen FILE` writes it";
        Failure::new(format!("{} {why}", key.display()))
    })?;
    let component = fs::read(file).map_err(|error| Failure::about(file, &error))?;
    let signed = signature::sign(&component, &signing);
    // What is no plugin would only be refused by whoever gets it.
    let found = inspect(&signed).map_err(|error| Failure::about(file, &error))?;
    let output = output.as_ref().unwrap_or(file);
    let mut partial = output.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, &signed)
        .and_then(|()| fs::rename(&partial, output))
        .map_err(|error| Failure::about(output, &error))?;
    let plugin = &found.manifest.plugin;
    let answer = json!({
        "file": output.display().to_string(),
        "name": plugin.name,
        "version": plugin.version,
        "signed_by": signing.public().to_string(),
    });
    let text = format!(
        "{} {} is signed with {}: {}",
        plugin.name,
        plugin.version,
        signing.public(),
        output.display()
    );
    console.done(&answer, &text)
}
