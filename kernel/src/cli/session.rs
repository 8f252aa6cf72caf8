//! `prx session`

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hyper::Method;
use serde_json::json;

use super::client::{Payload, encoded, path};
use super::failure::Failure;
use super::output::{Console, bytes, fields, table};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List sessions
    List {
        /// active, idle or terminated
        #[arg(long, default_value = "active")]
        status: String,
        /// Only those of this channel
        #[arg(long)]
        channel: Option<String>,
        /// How many to list at most, up to 500
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// How many to leave out at the beginning
        #[arg(long, default_value_t = 0)]
        offset: usize,
    },
    /// Show one session
    Show {
        /// The session's id
        id: String,
    },
    /// Cancel the running turn of a session; what was said so far stays
    Cancel {
        /// The session's id
        id: String,
    },
    /// Save a file that goes with a message
    Save {
        /// Its `blob`, as the message's attachments and `prx chat` have it
        blob: String,
        /// Where it goes, which must not be there yet [default: its blob's name, in this folder]
        file: Option<PathBuf>,
    },
    /// End a session
    End {
        /// The session's id
        id: String,
    },
}

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { status, channel, limit, offset } => {
            let channel =
                channel.map(|channel| format!("&channel={}", encoded(&channel))).unwrap_or_default();
            let status = encoded(&status);
            let query = format!("/api/v1/sessions?status={status}&limit={limit}&offset={offset}{channel}");
            let answer = console.gateway.get(&query).await?;
            console.show(&answer, |answer| {
                let sessions = &answer["sessions"];
                let listed =
                    table(sessions, &["id", "channel", "user_id", "status", "created_at", "last_activity"]);
                format!("{listed}\n{} in all", answer["total"])
            })
        }
        Command::Show { id } => console.show(&console.gateway.get(&path(&["sessions", &id])).await?, fields),
        Command::Cancel { id } => {
            let answer = console.gateway.post(&path(&["sessions", &id, "cancel"]), json!({})).await?;
            console.show(&answer, |answer| match answer["cancelled"] == true {
                true => format!("stopped {id}"),
                false => format!("nothing to stop in {id}"),
            })
        }
        Command::Save { blob, file } => {
            let file = file.unwrap_or_else(|| PathBuf::from(blob.replace('/', "_")));
            let size = save(console, &path(&["blobs", &blob]), &file).await?;
            let file = file.display().to_string();
            console
                .done(&json!({"blob": blob, "file": file, "size": size}), &format!("{file}: {}", bytes(size)))
        }
        Command::End { id } => {
            console.gateway.send(Method::DELETE, &path(&["sessions", &id]), Payload::None).await?;
            console.done(&json!({"id": id, "status": "terminated"}), &format!("ended {id}"))
        }
    }
}

/// Saves an answer to a new file, whole or not at all; says how large it is.
async fn save(console: &Console, path: &str, file: &Path) -> Result<u64, Failure> {
    let failed = |error: io::Error| Failure::new(format!("{}: {error}", file.display()));
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    let mut size = 0;
    let saved = console.gateway.download(path, |piece| {
        size += piece.len() as u64;
        to.write_all(piece).map_err(failed)
    });
    if let Err(failure) = saved.await {
        // Half of it is of no use.
        let _ = fs::remove_file(file);
        return Err(failure);
    }
    Ok(size)
}
