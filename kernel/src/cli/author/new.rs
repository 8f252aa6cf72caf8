//! `prx plugin new` and `prx plugin sdk`: a plugin's folder, with the SDK that this program was built with.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::kinds::{Kind, Template};
use crate::cli::failure::Failure;
use crate::cli::output::Console;
use prx_host::manifest::valid_name;

/// The SDK, made by `build.rs`.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
}

const PACKAGE: &str = include_str!("Cargo.toml.in");
const README: &str = include_str!("README.md.in");
const IGNORED: &str = "/target/\n";
/// Where the SDK lies in a plugin's folder.
const VENDOR: &str = "vendor";
/// How packages of the workspace say where it is.
const IN_WORKSPACE: &str = "path = \"sdk\"";

#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// The plugin's name; its folder is called the same
    name: String,
    /// What it is to give; each begins as something small that works
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// A copy of the SDK to build against, instead of the one in this program
    #[arg(long, value_name = "FOLDER")]
    sdk: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Sdk {
    /// The plugin's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub(crate) fn new(console: &Console, arguments: &New) -> Result<(), Failure> {
    let New { name, kind, sdk } = arguments;
    if !valid_name(name) {
        return Err(Failure::new(format!(
            "{name:?} can't be a plugin's name: use a-z, 0-9, _ and -, a letter first, 64 at most"
        )));
    }
    let sdk = sdk.as_deref().map(own_sdk).transpose()?;
    let folder = Path::new(name);
    // A link that leads nowhere is there, too.
    if folder.symlink_metadata().is_ok() {
        return Err(Failure::new(format!("{name} is there already; choose another name")));
    }
    // It comes to be whole, or not at all.
    let begun = tempfile_beside(folder);
    let template = kind.template()?;
    let made = lay_down(&begun, name, &template, sdk.as_deref()).and_then(|()| fs::rename(&begun, folder));
    made.map_err(|error| {
        let _ = fs::remove_dir_all(&begun);
        Failure::about(folder, &format!("can't be made: {error}"))
    })?;
    let about = template.about();
    let text = format!("{name}/ is a plugin with {about}; build it with: prx plugin build {name}");
    console.done(&json!({"name": name, "kind": about, "folder": name}), &text)
}

/// Puts the SDK of this program in the place of the one in a plugin's folder.
pub(crate) fn sdk(console: &Console, arguments: &Sdk) -> Result<(), Failure> {
    let vendor = arguments.folder.join(VENDOR);
    if !vendor.join("prx-sdk").is_dir() {
        let why = "there is no SDK here to put another in the place of: name a folder that `prx plugin new` made, without --sdk";
        return Err(Failure::about(&arguments.folder, &why));
    }
    let begun = tempfile_beside(&vendor);
    let old = tempfile_beside(&vendor.with_file_name("vendor-before"));
    let swapped = lay_down_sdk(&begun)
        .and_then(|()| fs::rename(&vendor, &old))
        .and_then(|()| fs::rename(&begun, &vendor).inspect_err(|_| _ = fs::rename(&old, &vendor)))
        .and_then(|()| fs::remove_dir_all(&old));
    swapped.map_err(|error| {
        let _ = fs::remove_dir_all(&begun);
        Failure::about(&vendor, &format!("can't be replaced: {error}"))
    })?;
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("{} holds the SDK of prx {version}", vendor.display());
    console.done(&json!({"folder": vendor.display().to_string(), "version": version}), &text)
}

/// A folder that holds the SDK, as the manifest of a package names it.
fn own_sdk(folder: &Path) -> Result<String, Failure> {
    let whole = fs::canonicalize(folder).map_err(|error| Failure::about(folder, &error))?;
    let manifest = fs::read_to_string(whole.join("Cargo.toml")).unwrap_or_default();
    if !manifest.lines().any(|line| line.trim() == "name = \"prx-sdk\"") {
        let why = "is no copy of the SDK: its Cargo.toml would name the package prx-sdk";
        return Err(Failure::new(format!("{} {why}", folder.display())));
    }
    Ok(format!("path = {:?}", whole.display().to_string()))
}

/// A name that nobody else uses, for what is to be renamed into its place.
fn tempfile_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn lay_down(folder: &Path, name: &str, template: &Template, sdk: Option<&str>) -> std::io::Result<()> {
    let vendored = format!("path = \"{VENDOR}/prx-sdk\"");
    let dependencies = template.dependencies().replace(IN_WORKSPACE, sdk.unwrap_or(&vendored));
    write(folder, "Cargo.toml", &PACKAGE.replace("{name}", name).replace("{dependencies}", &dependencies))?;
    write(folder, "Cargo.lock", embedded::LOCK)?;
    write(folder, ".gitignore", IGNORED)?;
    write(folder, "README.md", &readme(name, template, sdk))?;
    for (path, text) in template.files(name) {
        write(folder, path, &text)?;
    }
    if sdk.is_none() { lay_down_sdk(&folder.join(VENDOR)) } else { Ok(()) }
}

fn lay_down_sdk(vendor: &Path) -> std::io::Result<()> {
    embedded::FILES.iter().try_for_each(|(path, text)| write(vendor, path, text))
}

fn write(folder: &Path, path: &str, text: &str) -> std::io::Result<()> {
    let file = folder.join(path);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, text)
}

fn readme(name: &str, template: &Template, sdk: Option<&str>) -> String {
    let sdk = match sdk {
        Some(folder) => format!("It is built against a copy of your own (`{folder}` in `Cargo.toml`)."),
        None => format!(
            "`vendor/` holds the SDK and the interfaces that `prx` {} was built with; nothing else is needed but crates.io. \
             `prx plugin sdk`, called here, puts those of a newer `prx` in their place.",
            env!("CARGO_PKG_VERSION")
        ),
    };
    let component = format!("target/wasm32-wasip2/release/plugin_{}.wasm", name.replace('-', "_"));
    let own = [("{sdk}", sdk), ("{component}", component), ("{name}", name.to_owned())];
    let parts = template.parts().into_iter().chain(own);
    parts.fold(README.to_owned(), |text, (part, words)| text.replace(part, &words))
}
