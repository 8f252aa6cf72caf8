//! A provider that says which code it is, at the beginning and at the end of each answer. A test puts another number
//! into it.

use std::hint::black_box;
use std::thread::sleep;
use std::time::Duration;

use prx_sdk::provider::{
    Completion, Message, Provider, ProviderError, Request, Sink, StopReason, ToolCall, Usage,
};

const MARK: &str = "code number 0000";
/// Between the beginning and the end.
const PIECES: usize = 20;
const PAUSE: Duration = Duration::from_millis(20);

struct Marked;

impl Provider for Marked {
    fn models() -> Vec<String> {
        vec!["marked".into()]
    }

    /// Asked to `hello`, it calls the tool of that name, and answers once it has said it.
    fn complete(request: Request, sink: &Sink) -> Result<Completion, ProviderError> {
        let mut text = String::new();
        let mut say = |piece: &str| {
            sink.text(piece);
            text.push_str(piece);
        };
        say(black_box(MARK));
        for _ in 0..PIECES {
            sleep(PAUSE);
            say(" .");
        }
        say(" ");
        say(black_box(MARK));
        let asked =
            matches!(request.messages.last(), Some(Message::User(message)) if message.text == "hello");
        let hello =
            || ToolCall { id: "call".into(), name: "hello".into(), arguments: r#"{"name":"Ada"}"#.into() };
        let (tool_calls, stop) = match asked {
            true => (vec![hello()], StopReason::ToolUse),
            false => (Vec::new(), StopReason::End),
        };
        Ok(Completion { text, tool_calls, stop, usage: Usage { input: 1, output: 1, cached: 0 }, data: None })
    }
}

prx_sdk::plugin! { provider: Marked, manifest: "marked.toml" }
