//! `prx user`

use std::io::{self, BufRead, IsTerminal, Write};

use hyper::Method;

use super::client::{Payload, path};
use super::failure::Failure;
use super::output::{Console, fields, printable};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Erase all that is kept of a person: sessions, messages, files, memories, and what waits or was given up
    Erase {
        /// The channel, or api for sessions made over HTTP
        channel: String,
        /// The person's id there
        user_id: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    let Command::Erase { channel, user_id, yes } = command;
    if !yes && !confirmed(&channel, &user_id)? {
        return Err(Failure::new("nothing was erased"));
    }
    let path = path(&["users", &channel, &user_id]);
    let answer = console.gateway.send(Method::DELETE, &path, Payload::None).await?;
    console.show(&answer, |answer| {
        format!("{}\nit is out of the file after `prx store compact`", fields(&answer["erased"]))
    })
}

fn confirmed(channel: &str, user_id: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new("this can't be undone: say --yes"));
    }
    let whom = printable(&format!("{user_id} on {channel}"), false);
    write!(io::stderr(), "Erase all that is kept of {whom}? This can't be undone. [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
