//! `prx session`

use hyper::Method;
use serde_json::json;

use super::client::{Payload, encoded, path};
use super::failure::Failure;
use super::output::{Console, fields, table};

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
        Command::End { id } => {
            console.gateway.send(Method::DELETE, &path(&["sessions", &id]), Payload::None).await?;
            console.done(&json!({"id": id, "status": "terminated"}), &format!("ended {id}"))
        }
    }
}
