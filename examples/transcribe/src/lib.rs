//! A filter that turns voice messages into text. The operator gives it time (`filters.transcribe.deadline_ms`), and says what
//! becomes of a message when the service does not answer (`on_error`).

use prx_sdk::filter::{Attachment, Fault, Filter, Said, Stage, StageKind, Verdict};
use prx_sdk::types::{AttachmentKind, FaultCode};
use prx_sdk::{blobs, config, http};
use serde::Deserialize;

/// Larger recordings stay as they are, in bytes.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Deserialize)]
struct Config {
    api_base: String,
    model: String,
}

#[derive(Deserialize)]
struct Transcription {
    text: String,
}

struct Transcribe;

impl Filter for Transcribe {
    const STAGES: &[StageKind] = &[StageKind::Inbound];

    fn inspect(stage: Stage) -> Result<Verdict, Fault> {
        let Stage::Inbound(Said { text, attachments, .. }) = stage else { return Ok(Verdict::Pass) };
        let is_voice = |file: &&Attachment| file.kind == AttachmentKind::Audio && file.size <= MAX_BYTES;
        let heard = attachments.iter().filter(is_voice).map(transcribe).collect::<Result<Vec<_>, _>>()?;
        if heard.is_empty() {
            return Ok(Verdict::Pass);
        }
        let parts = std::iter::once(text).chain(heard).filter(|part| !part.trim().is_empty());
        Ok(Verdict::Replace(parts.collect::<Vec<_>>().join("\n\n")))
    }
}

prx_sdk::plugin! { filter: Transcribe, manifest: "plugin.toml" }

fn transcribe(file: &Attachment) -> Result<String, Fault> {
    let Config { api_base, model } = config::get()?;
    let boundary = "prx-transcribe-7f3a9c51d0";
    let name = file.name.as_deref().unwrap_or("voice.ogg").replace(['"', '\r', '\n'], "_");
    let mime = file.mime.as_deref().unwrap_or("audio/ogg").replace(['\r', '\n'], "");
    let field = |name: &str| format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"");
    let mut body = format!("{}\r\n\r\n{model}\r\n", field("model")).into_bytes();
    let head = format!("{}; filename=\"{name}\"\r\ncontent-type: {mime}\r\n\r\n", field("file"));
    body.extend_from_slice(head.as_bytes());
    body.extend(blobs::whole(&file.blob)?);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let request = http::post(format!("{}/audio/transcriptions", api_base.trim_end_matches('/')))
        .header("content-type", format!("multipart/form-data; boundary={boundary}"))
        .timeout(std::time::Duration::from_secs(110))
        .body(body);
    let request = if config::has_secret("api_key") { request.bearer("api_key") } else { request };
    let response = request.send()?;
    if !response.is_success() {
        let message = format!("the transcription service answers {}", response.status);
        return Err(Fault { code: FaultCode::Unavailable, message });
    }
    Ok(response.json::<Transcription>()?.text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use prx_sdk::http::Response;
    use prx_sdk::testing;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_voice_message_becomes_text_behind_what_was_written() {
        testing::configure(json!({"api_base": "https://speech.example.org/v1/", "model": "small"}));
        testing::set_secrets(&["api_key"]);
        let voice = testing::give("audio/ogg", "OggS...");
        let picture = testing::give("image/png", "PNG");
        testing::serve(|request| {
            assert_eq!(request.url, "https://speech.example.org/v1/audio/transcriptions");
            let body = String::from_utf8_lossy(&request.body);
            assert!(body.contains("name=\"model\"\r\n\r\nsmall\r\n") && body.contains("OggS..."), "{body}");
            assert!(!body.contains("PNG"));
            assert!(request.headers.contains(&("authorization".into(), "Bearer {secret:api_key}".into())));
            Ok(Response::new(200, json!({"text": " Good morning. "}).to_string()))
        });
        let said = Said { attachments: vec![picture.clone(), voice], ..testing::said("Listen:") };
        let verdict = testing::inspect::<Transcribe>(Stage::Inbound(said)).unwrap();
        assert_eq!(verdict, Verdict::Replace("Listen:\n\nGood morning.".into()));
        let said = Said { attachments: vec![picture], ..testing::said("Look!") };
        assert_eq!(testing::inspect::<Transcribe>(Stage::Inbound(said)).unwrap(), Verdict::Pass);
    }

    #[test]
    fn what_the_service_cannot_do_is_no_text() {
        testing::configure(json!({"api_base": "https://speech.example.org/v1", "model": "small"}));
        let voice = testing::give("audio/ogg", "OggS...");
        testing::serve(|_| Ok(Response::new(503, "")));
        let said = Said { attachments: vec![voice], ..testing::said("") };
        let fault = testing::inspect::<Transcribe>(Stage::Inbound(said)).unwrap_err();
        assert_eq!(
            (fault.code, &*fault.message),
            (FaultCode::Unavailable, "the transcription service answers 503")
        );
    }
}
