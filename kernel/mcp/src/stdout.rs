//! The standard output of a server that is a process: one message a line, and whatever else programs print.

use std::borrow::Cow;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::process::ChildStdout;
use tracing::{Instrument, info, warn};

use super::redact::redact;
use prx_base::config::Secret;

/// Longest message in bytes; of a longer one nothing is kept but the id it answers.
const MAX_MESSAGE_BYTES: u64 = 16 << 20;
/// Bytes buffered for the reader of the messages.
const BUFFER_BYTES: usize = 64 << 10;
/// Longest outline of a message, in bytes.
const MAX_OUTLINE_BYTES: usize = 1 << 10;

/// Passes on the messages of a server, one a line. An answer that is too long becomes an error that says so, and what
/// is no message goes to the log with these secrets redacted.
pub(super) fn messages(stdout: ChildStdout, secrets: Vec<Secret>) -> DuplexStream {
    let (messages, into) = duplex(BUFFER_BYTES);
    tokio::spawn(forward(BufReader::new(stdout), into, secrets).in_current_span());
    messages
}

/// Returns at the end of its input, or when the reader is gone.
async fn forward(
    mut stdout: BufReader<impl AsyncRead + Unpin>,
    mut into: DuplexStream,
    secrets: Vec<Secret>,
) {
    let mut line = Vec::new();
    while matches!((&mut stdout).take(MAX_MESSAGE_BYTES).read_until(b'\n', &mut line).await, Ok(1..)) {
        let message = if line.len() as u64 == MAX_MESSAGE_BYTES && !line.ends_with(b"\n") {
            replace_oversized(&mut stdout, &mut line).await
        } else {
            as_message(&line, &secrets)
        };
        if let Some(message) = message
            && into.write_all(message.as_bytes()).await.is_err()
        {
            return;
        }
        line.clear();
    }
}

/// A line as a message, or none if it is something else.
fn as_message<'a>(line: &'a [u8], secrets: &[Secret]) -> Option<Cow<'a, str>> {
    let text = String::from_utf8_lossy(line);
    if text.trim_start().starts_with('{') {
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
async fn replace_oversized<'a>(
    stdout: &mut BufReader<impl AsyncRead + Unpin>,
    line: &mut Vec<u8>,
) -> Option<Cow<'a, str>> {
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
    let message: serde_json::Value = serde_json::from_slice(&outline.kept).ok()?;
    let id = message.get("id").filter(|_| message.get("method").is_none())?;
    let error = format!(
        "the server's answer of {bytes} bytes is not read: {MAX_MESSAGE_BYTES} are the most; ask for less"
    );
    let answer = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32603, "message": error } });
    Some(format!("{answer}\n").into())
}

/// A JSON object without what is nested in it.
#[derive(Default)]
struct Outline {
    kept: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Outline {
    fn add(&mut self, json: &[u8]) {
        for &byte in json {
            let before = self.depth;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            if before.min(self.depth) <= 1 && self.kept.len() < MAX_OUTLINE_BYTES {
                self.kept.push(byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    async fn passed_on(said: impl Into<Vec<u8>>) -> Vec<Value> {
        let (mut read, into) = duplex(BUFFER_BYTES);
        let said = said.into();
        tokio::spawn(async move { forward(BufReader::new(&said[..]), into, Vec::new()).await });
        let mut text = String::new();
        read.read_to_string(&mut text).await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn only_messages_are_passed_on() {
        let said = b"Server is ready\n\n{\"id\":1,\"result\":\"caf\xe9\"}\r\n{\"method\":\"x\"}\n".to_vec();
        let messages = passed_on(said).await;
        assert_eq!(messages, [json!({"id": 1, "result": "caf\u{fffd}"}), json!({"method": "x"})]);
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
