//! `prx mcp`

use std::time::Duration;

use hyper::Method;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, stdin};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::client::{Payload, path};
use super::failure::Failure;
use super::output::{Console, note, table};

/// How long the browser may take: as long as the gateway waits.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// How long whoever connects may take to say what it wants, and how much it may say, in bytes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REQUEST_BYTES: u64 = 32 << 10;
const PAGE: &str = "You may close this page and go back to the terminal.";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the configured servers and their state
    List,
    /// Disconnect a server and connect to it again
    Reconnect {
        /// The server's name
        name: String,
    },
    /// Log in to a server that wants it, in a browser
    Login {
        /// The server's name
        name: String,
        /// The browser is on another machine: paste the URL that it ends at
        #[arg(long)]
        paste: bool,
        /// The port on 127.0.0.1 that the browser is sent back to; any free one if not said
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Forget the login to a server
    Logout {
        /// The server's name
        name: String,
    },
}

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = console.gateway.get("/api/v1/mcp").await?;
            console.show(&answer, |answer| {
                table(&answer["servers"], &["name", "transport", "status", "connected_at", "tools", "error"])
            })
        }
        Command::Reconnect { name } => {
            let answer = console.gateway.post(&path(&["mcp", &name, "reconnect"]), json!({})).await?;
            console.show(&answer, |_| format!("reconnecting {name}"))
        }
        Command::Login { name, paste, port } => {
            let listener = TcpListener::bind(("127.0.0.1", port)).await?;
            let redirect_uri = format!("http://{}/callback", listener.local_addr()?);
            let asked = json!({ "redirect_uri": redirect_uri });
            let begun = console.gateway.post(&path(&["mcp", &name, "login"]), asked).await?;
            let url = begun["url"].as_str().unwrap_or_default();
            note(&format!("open this in a browser:\n{url}"));
            let redirect = if paste { pasted().await? } else { redirected(&listener, &redirect_uri).await? };
            let told = json!({ "redirect": redirect });
            let done = console.gateway.post(&path(&["mcp", &name, "login", "complete"]), told).await?;
            console.show(&done, |_| format!("logged in to {name}"))
        }
        Command::Logout { name } => {
            console.gateway.send(Method::DELETE, &path(&["mcp", &name, "login"]), Payload::None).await?;
            console.done(&json!({ "name": name, "logged_out": true }), &format!("logged out of {name}"))
        }
    }
}

/// The URL that a browser was sent to: the first that has an answer in it.
async fn redirected(listener: &TcpListener, redirect_uri: &str) -> Result<String, Failure> {
    let answered = timeout(LOGIN_TIMEOUT, async {
        loop {
            let (mut stream, _) = listener.accept().await?;
            let mut line = String::new();
            let mut request = BufReader::new((&mut stream).take(MAX_REQUEST_BYTES));
            let read = timeout(REQUEST_TIMEOUT, request.read_line(&mut line)).await;
            let target = line.split(' ').nth(1).filter(|_| matches!(read, Ok(Ok(1..)))).unwrap_or_default();
            let query = target.strip_prefix("/callback?").map(str::to_owned);
            let (status, page) = if query.is_some() { ("200 OK", PAGE) } else { ("404 Not Found", "") };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
            // Whoever went away has said what there was to say.
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
            if let Some(query) = query {
                return Ok::<_, Failure>(format!("{redirect_uri}?{query}"));
            }
        }
    });
    answered
        .await
        .unwrap_or_else(|_| Err(Failure::new("nobody has logged in within 15 minutes; begin again")))
}

/// The URL that somebody pastes.
async fn pasted() -> Result<String, Failure> {
    note("log in there, then paste the URL that the browser ends at, and press Enter:");
    let mut line = String::new();
    BufReader::new(stdin().take(MAX_REQUEST_BYTES)).read_line(&mut line).await?;
    match line.trim() {
        "" => Err(Failure::new("no URL was pasted; begin again")),
        url => Ok(url.to_owned()),
    }
}
