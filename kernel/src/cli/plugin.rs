//! `prx plugin`

use std::fs;
use std::path::PathBuf;

use hyper::Method;
use serde_json::{Value, json};

use super::client::{Payload, path};
use super::failure::Failure;
use super::output::{Console, fields, table};
use super::{author, grant};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create a plugin of your own, in a new folder
    New(author::New),
    /// Put the SDK of this program into a plugin's folder, in the place of an older one
    Sdk(author::Sdk),
    /// Build a plugin's component, or put a manifest into one of another language
    Build(author::Build),
    /// Check a component as a gateway does before it runs it
    Check {
        /// The component
        file: PathBuf,
    },
    /// Load a component on its own, with everything granted, and call a tool of it
    Test(Box<author::Test>),
    /// List plugins
    List,
    /// Show one plugin
    Show {
        /// The plugin's name
        name: String,
    },
    /// Add a plugin, under the name in its manifest
    Install {
        /// The component
        file: PathBuf,
        /// Put it in the place of this plugin, which must be its own name
        #[arg(long, value_name = "NAME")]
        replace: Option<String>,
    },
    /// Reload a plugin; the old code serves until the new one has answered
    Reload {
        /// The plugin's name
        name: String,
    },
    /// Disable a plugin until it is enabled again
    Disable {
        /// The plugin's name
        name: String,
    },
    /// Enable a disabled plugin
    Enable {
        /// The plugin's name
        name: String,
    },
    /// Grant a plugin what it asks for, or show what it is granted
    Grant(Box<grant::Arguments>),
    /// Go back to the component that was replaced last
    Rollback {
        /// The plugin's name
        name: String,
    },
    /// Remove a plugin; where it overrides a bundled one, that one is back
    Remove {
        /// The plugin's name
        name: String,
    },
}

impl Command {
    /// Its name, where it needs no gateway.
    pub(super) fn on_files(&self) -> Option<&'static str> {
        match self {
            Self::New(_) => Some("plugin new"),
            Self::Sdk(_) => Some("plugin sdk"),
            Self::Build(_) => Some("plugin build"),
            Self::Check { .. } => Some("plugin check"),
            Self::Test(_) => Some("plugin test"),
            _ => None,
        }
    }
}

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    match command {
        Command::New(arguments) => author::new(console, &arguments),
        Command::Sdk(arguments) => author::sdk(console, &arguments),
        Command::Build(arguments) => author::build(console, &arguments).await,
        Command::Check { file } => author::check(console, &file).await,
        Command::Test(arguments) => author::test(console, *arguments).await,
        Command::List => {
            let answer = console.gateway.get("/api/v1/plugins").await?;
            console.show(&answer, |answer| {
                table(
                    &answer["plugins"],
                    &["name", "version", "status", "capabilities", "memory_usage_bytes", "error"],
                )
            })
        }
        Command::Show { name } => {
            console.show(&console.gateway.get(&path(&["plugins", &name])).await?, fields)
        }
        Command::Install { file, replace } => {
            let component = fs::read(&file)
                .map_err(|error| Failure::new(format!("can't read {}: {error}", file.display())))?;
            let (method, path) = match replace {
                Some(name) => (Method::PUT, path(&["plugins", &name])),
                None => (Method::POST, path(&["plugins"])),
            };
            print_status(
                console,
                &console.gateway.send(method, &path, Payload::Component(component.into())).await?,
            )
        }
        Command::Reload { name } => act(console, &name, "reload").await,
        Command::Disable { name } => act(console, &name, "disable").await,
        Command::Enable { name } => act(console, &name, "enable").await,
        Command::Grant(arguments) => grant::run(console, *arguments).await,
        Command::Rollback { name } => act(console, &name, "rollback").await,
        Command::Remove { name } => {
            console.gateway.send(Method::DELETE, &path(&["plugins", &name]), Payload::None).await?;
            console.done(&json!({"name": name, "removed": true}), &format!("removed {name}"))
        }
    }
}

async fn act(console: &Console, name: &str, action: &str) -> Result<(), Failure> {
    print_status(console, &console.gateway.post(&path(&["plugins", name, action]), json!({})).await?)
}

/// Prints the plugin's status.
fn print_status(console: &Console, answer: &Value) -> Result<(), Failure> {
    let word = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    console.show(answer, |_| {
        format!("{} {} {}", word("name"), word("version"), word("status")).replace("  ", " ")
    })
}
