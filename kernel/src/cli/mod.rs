//! The command line: `serve` runs the gateway, everything else is a thin client of its API.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use tokio::runtime::Builder;

use self::client::Client;
use self::failure::Failure;
use self::paths::Paths;
use self::remote::Remote;
use prx_host::COMPILE;

mod audit;
mod auth;
mod author;
mod backup;
mod channel;
mod chat;
mod client;
mod config;
mod console;
mod doctor;
mod failure;
mod grant;
mod hook;
mod install;
mod job;
mod logs;
mod mcp;
mod model;
mod notify;
mod output;
mod paths;
mod plugin;
mod remote;
mod serve;
mod service;
mod session;
mod sign;
mod signals;
mod skill;
mod status;
mod store;
mod terminal;
mod tool;
mod user;

/// A self-hosted gateway for AI agents whose channels, skills, tools and model providers are WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "prx", version)]
struct CommandLine {
    #[command(flatten)]
    paths: paths::PathArguments,
    #[command(flatten)]
    elsewhere: paths::Elsewhere,
    /// Print the API's answer as it is, and errors in its form
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway in the foreground
    Serve(serve::Arguments),
    /// Make, list and revoke tokens; works whether or not the gateway runs
    #[command(subcommand)]
    Auth(auth::Command),
    /// Show the status of the gateway; fails where it is unhealthy
    Status,
    /// Print a link that opens the page of the gateway in a browser, once, within a minute
    Console,
    /// Talk to the agent
    Chat(chat::Arguments),
    /// Install, update and write plugins
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// List, show, cancel and end sessions
    #[command(subcommand)]
    Session(session::Command),
    /// List and restart channels, and handle their dead letters
    #[command(subcommand)]
    Channel(channel::Command),
    /// Register webhooks, and see what became of their deliveries
    #[command(subcommand)]
    Hook(hook::Command),
    /// List what plugins do at set times, and run it
    #[command(subcommand)]
    Job(job::Command),
    /// List MCP servers and reconnect to them
    #[command(subcommand)]
    Mcp(mcp::Command),
    /// List models
    #[command(subcommand)]
    Model(model::Command),
    /// List and call tools
    #[command(subcommand)]
    Tool(tool::Command),
    /// List skills
    #[command(subcommand)]
    Skill(skill::Command),
    /// Show, change and check the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// List who changed what of the gateway, newest first
    Audit(audit::Arguments),
    /// Show the recent log
    Logs(logs::Arguments),
    /// Write everything that is kept into one file: store, configuration, files, plugins and skills; works whether or not
    /// the gateway runs
    Backup(backup::BackUp),
    /// Make a data directory and a configuration from a backup
    Restore(backup::Restore),
    /// Look after the store
    #[command(subcommand)]
    Store(store::Command),
    /// Erase what is kept of people
    #[command(subcommand)]
    User(user::Command),
    /// Find problems and say how to fix them
    Doctor(doctor::Arguments),
    /// Run the gateway as a service of systemd
    #[command(subcommand)]
    Service(service::Command),
    /// Write the man pages of all commands into a folder
    Man {
        /// The folder; it is made where it is not there
        folder: PathBuf,
    },
    /// Print a shell completion script
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Command {
    /// Its name, where it works on files of this machine alone, and would do nothing on a gateway elsewhere.
    fn on_files(&self) -> Option<&'static str> {
        match self {
            Self::Serve(_) => Some("serve"),
            Self::Restore(_) => Some("restore"),
            Self::Doctor(_) => Some("doctor"),
            Self::Completions { .. } => Some("completions"),
            Self::Man { .. } => Some("man"),
            Self::Service(_) => Some("service"),
            Self::Config(config::Command::Check) => Some("config check"),
            Self::Config(config::Command::Keys) => Some("config keys"),
            Self::Plugin(command) => command.on_files(),
            _ => None,
        }
    }
}

/// Does what the command line says. Whatever goes wrong is told on standard error.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os();
    // The gateway compiles in processes of its own program. Nobody else starts one, so it is no command.
    if words.nth(1).is_some_and(|word| word == COMPILE) {
        return prx_host::run_compiler(words);
    }
    let words: Vec<OsString> = std::env::args_os().collect();
    // Also where the rest of the line is wrong.
    let json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    match run(words.into_iter()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if json => failure.report_json(),
        Err(failure) => failure.report(),
    }
}

fn run(words: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let matches = CommandLine::command().try_get_matches_from(words)?;
    let url_given = matches.value_source("url") == Some(ValueSource::CommandLine);
    let CommandLine { paths, mut elsewhere, json, command } = CommandLine::from_arg_matches(&matches)?;
    if let Some(name) = command.on_files() {
        if url_given {
            let what = "works on files of this machine, and with no gateway elsewhere; leave --url out";
            return Err(Failure::usage(format!("`prx {name}` {what}")));
        }
        elsewhere.url = None;
    }
    let paths = Paths::find(paths)?;
    if let Command::Serve(arguments) = command {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let done = runtime.block_on(serve::run(paths, arguments));
        // What still computes, such as a plugin that is compiled, keeps nobody waiting.
        runtime.shutdown_background();
        return done;
    }
    let gateway = match elsewhere.url.as_deref() {
        None | Some("") => Client::here(&paths.data_dir),
        Some(url) => Client::elsewhere(Remote::new(url, &elsewhere)?),
    };
    let console = output::Console::new(gateway, json);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        match command {
            Command::Serve(_) => Ok(()),
            Command::Completions { shell } => completions(shell),
            Command::Man { folder } => man(&folder),
            Command::Service(command) => service::run(&console, &paths, command),
            Command::Auth(command) => auth::run(&console, &paths, command).await,
            Command::Status => status::run(&console).await,
            Command::Console => console::run(&console).await,
            Command::Chat(arguments) => chat::run(&console, arguments).await,
            Command::Plugin(command) => plugin::run(&console, command).await,
            Command::Session(command) => session::run(&console, command).await,
            Command::Channel(command) => channel::run(&console, command).await,
            Command::Hook(command) => hook::run(&console, command).await,
            Command::Job(command) => job::run(&console, command).await,
            Command::Mcp(command) => mcp::run(&console, command).await,
            Command::Model(command) => model::run(&console, command).await,
            Command::Tool(command) => tool::run(&console, command).await,
            Command::Skill(command) => skill::run(&console, command).await,
            Command::Config(command) => config::run(&console, &paths, command).await,
            Command::Audit(arguments) => audit::run(&console, arguments).await,
            Command::Logs(arguments) => logs::run(&console, arguments).await,
            Command::Backup(arguments) => backup::back_up(&console, &paths, arguments).await,
            Command::Restore(arguments) => backup::restore(&console, &paths, arguments).await,
            Command::Store(command) => store::run(&console, &paths, command).await,
            Command::User(command) => user::run(&console, command).await,
            Command::Doctor(arguments) => doctor::run(&console, &paths, arguments).await,
        }
    });
    // A line of standard input that is waited for keeps nobody.
    runtime.shutdown_background();
    done
}

fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "prx", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

/// A page for `prx`, and one for each of its commands, such as `prx-plugin-list.1`.
fn man(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(CommandLine::command(), folder))
        .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }
}
