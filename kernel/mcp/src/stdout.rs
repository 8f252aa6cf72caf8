//! The standard output of a server that is a process: one message a line, and whatever else programs print.

use std::borrow::Cow;

use rmcp::model::ServerJsonRpcMessage;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::mpsc;
use tracing::{Instrument, info, warn};

use super::redact::redact;
use super::wire::{self, Outline};
use prx_base::config::Secret;

/// Longest message in bytes; of a longer one nothing is kept but the id it answers.
const MAX_MESSAGE_BYTES: u64 = 16 << 20;
/// How much is shown of what is no message, in characters.
const MAX_SAID_CHARS: usize = 500;
/// Messages buffered for who reads them.
const BUFFERED: usize = 16;

/// Passes on the messages of a server, one a line. An answer that is too long becomes an error that says so, and what
/// is no message goes to the log with these secrets redacted.
pub(super) fn messages(stdout: ChildStdout, secrets: Vec<Secret>) -> mpsc::Receiver<ServerJsonRpcMessage> {
    let (into, messages) = mpsc::channel(BUFFERED);
    tokio::spawn(forward(BufReader::new(stdout), into, secrets).in_current_span());
    messages
}

/// Returns at the end of its input, or when the reader is gone.
async fn forward(
    mut stdout: BufReader<impl AsyncRead + Unpin>,
    into: mpsc::Sender<ServerJsonRpcMessage>,
    secrets: Vec<Secret>,
) {
    let mut line = Vec::new();
    while matches!((&mut stdout).take(MAX_MESSAGE_BYTES).read_until(b'\n', &mut line).await, Ok(1..)) {
        let messages = if line.len() as u64 == MAX_MESSAGE_BYTES && !line.ends_with(b"\n") {
            replace_oversized(&mut stdout, &mut line).await.into_iter().collect()
        } else {
            let text = as_message(&line, &secrets);
            let messages = text.as_deref().map(wire::read).unwrap_or_default();
            if let Some(text) = text.filter(|_| messages.is_empty()) {
                let said: String = redact(text.trim(), &secrets).chars().take(MAX_SAID_CHARS).collect();
                info!(said, "on its standard output, and no message");
            }
            messages
        };
        for message in messages {
            if into.send(message).await.is_err() {
                return;
            }
        }
        line.clear();
    }
}

/// A line as a message, or none if it is something else.
fn as_message<'a>(line: &'a [u8], secrets: &[Secret]) -> Option<Cow<'a, str>> {
    let text = String::from_utf8_lossy(line);
    if text.trim_start().starts_with('{') || text.trim_start().starts_with("[{") {
        if matches!(text, Cow::Owned(_)) {
            warn!("a message is not UTF-8 throughout: what can't be read is shown as \u{fffd}");
        }
        return Some(text);
    }
    let said = redact(text.trim(), secrets);
    if !said.is_empty() {
        info!(said, "on its standard output, where only messages belong");
    }
    None
}

/// What takes the place of a line that began like this and is too long.
async fn replace_oversized(
    stdout: &mut BufReader<impl AsyncRead + Unpin>,
    line: &mut Vec<u8>,
) -> Option<ServerJsonRpcMessage> {
    let (mut outline, mut bytes) = (Outline::default(), 0);
    loop {
        outline.add(line);
        bytes += line.len();
        let last = line.ends_with(b"\n");
        line.clear();
        if last || !matches!(stdout.take(MAX_MESSAGE_BYTES).read_until(b'\n', line).await, Ok(1..)) {
            break;
        }
    }
    warn!(bytes, "a message is longer than {} MiB and is not read", MAX_MESSAGE_BYTES >> 20);
    let error = format!(
        "the server's answer of {bytes} bytes is not read: {MAX_MESSAGE_BYTES} are the most; ask for less"
    );
    Some(wire::unreadable(&outline.id()?, &error))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn passed_on(said: impl Into<Vec<u8>>) -> Vec<Value> {
        let (into, mut messages) = mpsc::channel(BUFFERED);
        let said = said.into();
        tokio::spawn(async move { forward(BufReader::new(&said[..]), into, Vec::new()).await });
        let mut all = Vec::new();
        while let Some(message) = messages.recv().await {
            all.push(serde_json::to_value(message).unwrap());
        }
        all
    }

    #[tokio::test]
    async fn only_messages_are_passed_on() {
        let said = b"Server is ready\n\n{\"id\":1,\"result\":\"caf\xe9\"}\r\n{\"method\":\"x\"}\n".to_vec();
        let [answer, notice] = &passed_on(said).await[..] else { panic!("two messages") };
        assert_eq!((&answer["id"], &answer["result"]), (&json!(1), &json!("caf\u{fffd}")));
        assert_eq!(notice["method"], "x");
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_an_error_wherever_its_id_is() {
        let long = "\\\"}]{".repeat(5 << 20);
        let text = json!({"content": [{"text": long}]});
        let said = [
            format!("{{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{text}}}"),
            format!("{{\"result\":{text},\"jsonrpc\":\"2.0\",\"id\":\"eight\"}}"),
            format!("{{\"method\":\"notifications/message\",\"params\":{text}}}"),
            "{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}".into(),
        ];
        let messages = passed_on(said.join("\n")).await;
        assert_eq!(messages.len(), 3, "nobody waits for what answers nothing");
        for (message, id) in messages.iter().zip([json!(7), json!("eight")]) {
            assert_eq!(message["id"], id);
            assert!(message["error"]["message"].as_str().unwrap().contains("ask for less"), "{message}");
        }
        assert_eq!(messages[2], json!({"jsonrpc": "2.0", "id": 9, "result": {}}));
    }
}
