//! A connector that carries one message with a file. Its platform answers `/message` with `{text, file}`; the bytes of
//! `file` come as the message's attachment and go back to `/upload`, and replies go to `/said`.

use prx_sdk::connector::{
    Attachment, AttachmentKind, Commands, Connector, Context, Event, Fault, Http, HttpDone, HttpOutcome,
    Inbound, Operation, Outcome, Sender, Status, Target,
};
use prx_sdk::types::Segments;
use serde_json::{Value, json};
use std::time::Duration;

/// Its tokens.
const MESSAGE: u64 = 1;
const FILE: u64 = 2;
const UPLOAD: u64 = 3;

/// The one message.
pub struct Carrying;

impl Connector for Carrying {
    type Config = Value;
    type State = Value;

    fn handle(
        cx: &Context<Self::Config>,
        state: &mut Self::State,
        event: Event,
        out: &mut Commands,
    ) -> Result<(), Fault> {
        let url = |path: &str| format!("{}{path}", cx.config["base"].as_str().unwrap_or_default());
        match event {
            Event::Started => {
                out.status(Status::Connected);
                out.proof(Duration::from_secs(3600), None);
                out.http(Http::get(url("/message")).token(MESSAGE));
            }
            Event::HttpDone(HttpDone { token, outcome: HttpOutcome::Response(response) }) => match token {
                MESSAGE => {
                    *state = response.json().unwrap_or_default();
                    let file = state["file"].as_str().unwrap_or_default();
                    out.http(Http::get(url(file)).token(FILE).body_to_blob());
                }
                FILE => {
                    let failed = format!("{}: {}", response.status, String::from_utf8_lossy(&response.body));
                    let blob = response.blob.clone().unwrap_or(failed);
                    let pieces = Segments::text("<").secret("key").blob(&blob).then(">");
                    out.http(Http::post(url("/upload")).token(UPLOAD).body(pieces));
                    out.deliver(message(state["text"].as_str().unwrap_or_default(), &blob));
                }
                _ => {}
            },
            Event::HttpDone(HttpDone { token, outcome: HttpOutcome::Failed(failure) }) => {
                out.http(Http::post(url(&format!("/failed/{token}"))).token(9).body(failure.reason));
            }
            Event::Outbound(outbound) => {
                if let Operation::Send(content) = outbound.operation {
                    out.http(Http::post(url("/said")).token(10).json(&json!(content.markdown)));
                }
                out.done(outbound.id, Outcome::Ok(None));
            }
            _ => {}
        }
        Ok(())
    }
}

prx_sdk::plugin! { connector: Carrying, manifest: "carrying.toml" }

/// With the file, and with one that nobody ever had.
fn message(text: &str, blob: &str) -> Inbound {
    let attachment = |blob: &str| Attachment {
        blob: blob.into(),
        kind: AttachmentKind::Image,
        name: Some("harbour.png".into()),
        mime: Some("image/png".into()),
        size: 1,
    };
    Inbound {
        dedupe: "1".into(),
        target: Target { conversation: "c".into(), thread: None, reply_to: None },
        sender: Sender { id: "7".into(), name: "Ada".into(), is_bot: false, language: None },
        text: text.into(),
        attachments: vec![attachment(blob), attachment("blob_01hzzzzzzzzzzzzzzzzzzzzzzz")],
        sent_at: 0,
        addressed: true,
        choice: None,
        forwarded: Vec::new(),
        group: false,
        reply_to: None,
    }
}
