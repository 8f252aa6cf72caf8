//! `prx plugin`

use std::path::PathBuf;

use hyper::Method;
use serde_json::{Value, json};

use super::client::{Payload, path};
use super::failure::Failure;
use super::output::{Console, fields, printable, table};
use super::{author, grant, install, sign};

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
    Install(install::Arguments),
    /// Put a newer version of a plugin in its place, once the difference has been looked at
    Upgrade(install::Upgrade),
    /// Show how two components differ, or a plugin and a component: permissions, tools, triggers, secrets, size
    Diff {
        /// A component, or the name of a plugin that is installed
        old: String,
        /// The component that might follow it
        new: PathBuf,
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
    /// Take back what a plugin is granted
    Revoke(grant::Revoke),
    /// Make a key to sign components with
    Keygen {
        /// The file that the secret key goes into; its public one is printed
        file: PathBuf,
    },
    /// Sign a component, so that nobody else can change it, or take its name
    Sign(sign::Arguments),
    /// Go back to the component that was replaced last, or to one before it
    Rollback {
        /// The plugin's name
        name: String,
        /// How many components to go back; `prx plugin show` lists them
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
        n: u16,
    },
    /// Compare a plugin's files with what was installed; of all plugins without a name. Fails where something differs
    Verify {
        /// The plugin's name
        name: Option<String>,
    },
    /// Remove a plugin; where it overrides a bundled one, that one is back
    Remove {
        /// The plugin's name
        name: String,
        /// Erase what is kept of it, too: storage, files, grants, settings, and who may have its name
        #[arg(long)]
        purge: bool,
        /// Do so without asking
        #[arg(long, requires = "purge")]
        yes: bool,
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
            Self::Keygen { .. } => Some("plugin keygen"),
            Self::Sign(_) => Some("plugin sign"),
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
            console.show(&console.gateway.get(&path(&["plugins", &name])).await?, shown)
        }
        Command::Install(arguments) => install::install(console, arguments).await,
        Command::Upgrade(arguments) => install::upgrade(console, arguments).await,
        Command::Diff { old, new } => install::diff(console, &old, &new).await,
        Command::Keygen { file } => sign::keygen(console, &file),
        Command::Sign(arguments) => sign::sign(console, &arguments),
        Command::Revoke(arguments) => grant::revoke(console, arguments).await,
        Command::Reload { name } => act(console, &name, "reload").await,
        Command::Disable { name } => act(console, &name, "disable").await,
        Command::Enable { name } => act(console, &name, "enable").await,
        Command::Grant(arguments) => grant::run(console, *arguments).await,
        Command::Rollback { name, n } => act(console, &name, &format!("rollback?n={n}")).await,
        Command::Verify { name } => verify(console, name).await,
        Command::Remove { name, purge: false, .. } => {
            console.gateway.send(Method::DELETE, &path(&["plugins", &name]), Payload::None).await?;
            console.done(&json!({"name": name, "removed": true}), &format!("removed {name}"))
        }
        Command::Remove { name, yes, .. } => {
            let question =
                format!("Erase {name} with its storage, files, grants and settings? This can't be undone.");
            if !yes && !install::confirmed(&question, &format!("prx plugin remove {name} --purge --yes"))? {
                return Err(Failure::new("nothing was removed"));
            }
            let path = path(&["plugins", &name]) + "?purge=true";
            let answer = console.gateway.send(Method::DELETE, &path, Payload::None).await?;
            console.show(&answer, fields)
        }
    }
}

async fn act(console: &Console, name: &str, action: &str) -> Result<(), Failure> {
    let path = format!("{}/{action}", path(&["plugins", name]));
    install::print_status(console, &console.gateway.post(&path, json!({})).await?)
}

/// A plugin, with what there is to go back to as a table.
fn shown(plugin: &Value) -> String {
    let mut rest = plugin.clone();
    let mut earlier = rest.as_object_mut().and_then(|rest| rest.remove("earlier")).unwrap_or_default();
    let rows = earlier.as_array_mut().map_or(&mut [][..], Vec::as_mut_slice);
    if rows.is_empty() {
        return fields(&rest);
    }
    for (n, row) in rows.iter_mut().enumerate() {
        row["n"] = (n + 1).into();
    }
    let columns = ["n", "version", "sha256", "size", "source", "installed_at", "installed_by"];
    let name = printable(plugin["name"].as_str().unwrap_or_default(), false);
    format!(
        "{}\n\nearlier, for `prx plugin rollback {name} N`:\n{}",
        fields(&rest),
        table(&earlier, &columns)
    )
}

async fn verify(console: &Console, name: Option<String>) -> Result<(), Failure> {
    let names = match name {
        Some(name) => vec![name],
        None => {
            let all = console.gateway.get("/api/v1/plugins").await?;
            let all = all["plugins"].as_array().cloned().unwrap_or_default();
            all.iter().filter_map(|plugin| Some(plugin["name"].as_str()?.to_owned())).collect()
        }
    };
    let mut found = Vec::new();
    for name in &names {
        found.push(console.gateway.get(&path(&["plugins", name, "verify"])).await?);
    }
    let differing = found.iter().filter(|plugin| plugin["ok"] != true).count();
    console.show(&json!({ "plugins": found }), |all| table(&all["plugins"], &["name", "ok", "problems"]))?;
    match differing {
        0 => Ok(()),
        1 => Err(Failure::new("the files of 1 plugin are not what was installed")),
        n => Err(Failure::new(format!("the files of {n} plugins are not what was installed"))),
    }
}
