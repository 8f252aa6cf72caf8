//! `prx hook`

use std::io::{self, BufRead};

use hyper::Method;
use serde_json::{Map, Value, json};

use super::client::{Payload, encoded, path};
use super::failure::Failure;
use super::output::{Console, fields, say, table};
use prx_http::duration;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List webhooks
    List,
    /// Register a webhook; without a secret one is made, and shown this once
    Add {
        /// Where events are delivered
        url: String,
        /// Which events, such as session.created; may be repeated
        #[arg(long = "event", value_name = "EVENT", default_value = "*")]
        events: Vec<String>,
        /// Read the secret from standard input
        #[arg(long)]
        secret_stdin: bool,
    },
    /// Show a webhook, how its deliveries go, and what mends it
    Show {
        /// The webhook's id
        id: String,
    },
    /// Change a webhook; what is not said stays
    Set {
        /// The webhook's id
        id: String,
        #[command(flatten)]
        change: Change,
    },
    /// Deliver a test event
    Test {
        /// The webhook's id
        id: String,
    },
    /// List deliveries, newest last
    Deliveries {
        /// The webhook's id
        id: String,
        /// How many to list at most, up to 500
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Deliver something once more
    Replay {
        /// The webhook's id
        id: String,
        /// The delivery's id
        #[arg(required_unless_present = "failed")]
        delivery: Option<String>,
        /// All that were given up and are still in its list
        #[arg(long, conflicts_with = "delivery")]
        failed: bool,
    },
    /// Remove a webhook, and what waits for it
    Remove {
        /// The webhook's id
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Change {
    /// Where events are delivered
    #[arg(long)]
    url: Option<String>,
    /// Which events instead of those before; may be repeated
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// Turn it on or off; what waits is delivered once it is on
    #[arg(long)]
    active: Option<bool>,
    /// Have a new secret made, and show it this once
    #[arg(long, conflicts_with = "secret_stdin")]
    rotate_secret: bool,
    /// Read a new secret from standard input
    #[arg(long)]
    secret_stdin: bool,
    /// How long the secret before signs, too, such as 2h [default: 1d]
    #[arg(long, value_name = "DURATION")]
    overlap: Option<String>,
}

const DELIVERY_COLUMNS: [&str; 6] = ["id", "event", "status", "attempts", "created_at", "next_attempt_at"];

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = console.gateway.get("/api/v1/hooks").await?;
            console.show(&answer, |answer| {
                table(&answer["hooks"], &["id", "url", "events", "active", "created_at"])
            })
        }
        Command::Add { url, events, secret_stdin } => {
            let mut body = json!({ "url": url, "events": events });
            if secret_stdin {
                body["secret"] = json!(secret()?);
            }
            console.show(&console.gateway.post("/api/v1/hooks", body).await?, fields)
        }
        Command::Show { id } => console.show(&console.gateway.get(&path(&["hooks", &id])).await?, state),
        Command::Set { id, change } => {
            let body = Payload::Json(Value::Object(change.body()?));
            console.show(&console.gateway.send(Method::PATCH, &path(&["hooks", &id]), body).await?, state)
        }
        Command::Test { id } => {
            let answer = console.gateway.post(&path(&["hooks", &id, "test"]), json!({})).await?;
            console.show(&answer, |answer| {
                let delivery = answer["id"].as_str().unwrap_or_default();
                format!("on its way as {delivery}; see `prx hook deliveries {id}`")
            })
        }
        Command::Deliveries { id, limit } => {
            let answer = deliveries(console, &id, limit, None).await?;
            console.show(&answer, |answer| table(&answer["deliveries"], &DELIVERY_COLUMNS))
        }
        Command::Replay { id, delivery: Some(delivery), .. } => {
            let answer = replay(console, &id, &delivery).await?;
            console.show(&answer, |_| format!("on its way again: {delivery}"))
        }
        Command::Replay { id, .. } => replay_failed(console, &id).await,
        Command::Remove { id } => {
            console.gateway.send(Method::DELETE, &path(&["hooks", &id]), Payload::None).await?;
            console.show(&Value::Null, |_| format!("removed {id}"))
        }
    }
}

impl Change {
    fn body(self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        set("url", self.url.map(Value::from));
        set("events", (!self.events.is_empty()).then(|| json!(self.events)));
        set("active", self.active.map(Value::from));
        set("rotate_secret", self.rotate_secret.then_some(Value::Bool(true)));
        set("secret", self.secret_stdin.then(secret).transpose()?.map(Value::from));
        let overlap = self.overlap.map(|text| duration::parse("--overlap", &text)).transpose()?;
        set("overlap_secs", overlap.map(|overlap| overlap.as_secs().into()));
        match body.is_empty() {
            true => Err(Failure::new("nothing is to change; see `prx hook set --help`")),
            false => Ok(body),
        }
    }
}

/// The first line of standard input.
fn secret() -> Result<String, Failure> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => Err(Failure::new("standard input has no secret")),
        secret => Ok(secret.to_owned()),
    }
}

/// A hook's fields, and its problems in sentences.
fn state(answer: &Value) -> String {
    let mut shown = answer.clone();
    let problems = shown.as_object_mut().and_then(|shown| shown.remove("problems")).unwrap_or_default();
    let line = |problem: &Value| {
        let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        format!("\nproblem: {}\n    fix: {}", text("problem"), text("fix"))
    };
    let problems: String = problems.as_array().into_iter().flatten().map(line).collect();
    format!("{}{problems}", fields(&shown))
}

async fn deliveries(
    console: &Console,
    id: &str,
    limit: usize,
    before: Option<&str>,
) -> Result<Value, Failure> {
    let before = before.map(|before| format!("&before={}", encoded(before))).unwrap_or_default();
    console.gateway.get(&format!("{}?limit={limit}{before}", path(&["hooks", id, "deliveries"]))).await
}

async fn replay(console: &Console, id: &str, delivery: &str) -> Result<Value, Failure> {
    console.gateway.post(&path(&["hooks", id, "deliveries", delivery, "replay"]), json!({})).await
}

/// Replays all that were given up, oldest first.
async fn replay_failed(console: &Console, id: &str) -> Result<(), Failure> {
    const PAGE: usize = 500;
    let (mut failed, mut before) = (Vec::new(), None);
    loop {
        let answer = deliveries(console, id, PAGE, before.as_deref()).await?;
        let page = answer["deliveries"].as_array().cloned().unwrap_or_default();
        let of_page = page.iter().filter(|delivery| delivery["status"] == "failed");
        failed.extend(of_page.filter_map(|delivery| delivery["id"].as_str().map(str::to_owned)));
        before = page.first().and_then(|oldest| oldest["id"].as_str().map(str::to_owned));
        if page.len() < PAGE {
            break;
        }
    }
    failed.sort_unstable();
    for delivery in &failed {
        replay(console, id, delivery).await?;
    }
    if console.json {
        return say(&format!("{:#}", json!({ "replayed": failed })));
    }
    say(&format!("{} on their way again", failed.len()))
}
