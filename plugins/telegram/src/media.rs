//! Messages and their media: asked for by id, and then fetched from where the platform says they are.

use std::time::Duration;

use prx_sdk::connector::{Attachment, AttachmentKind, Context, Http, HttpOutcome, Segments};
use prx_sdk::pending::{DOWNLOAD_TIMEOUT, Fetch};
use prx_sdk::quotes::FileOf;
use serde_json::json;

use crate::api::{Failure, Located};
use crate::call;
use crate::config::Config;
use crate::pending::{File, MediaKind};

impl prx_sdk::pending::Media for File {
    type Config = Config;

    fn request(&self, cx: &Context<Config>) -> Http {
        match &self.path {
            None => call::post(&cx.config, "getFile", &json!({ "file_id": self.id }))
                .timeout(3 * call::CALL_TIMEOUT),
            Some(path) => Http::get(download_url(&cx.config, path)).body_to_blob().timeout(DOWNLOAD_TIMEOUT),
        }
    }

    fn answered(&mut self, outcome: &HttpOutcome) -> Fetch {
        // Where it is, is told for a while only: the next try asks again.
        if self.path.take().is_some() {
            return Fetch::of(outcome);
        }
        match self.locate(outcome) {
            Ok(()) => Fetch::Next,
            Err(Failure::RateLimited(seconds)) => Fetch::Later(
                Failure::RateLimited(seconds).reason().to_owned(),
                seconds.map(|seconds| Duration::from_secs(seconds.into())),
            ),
            Err(
                Failure::Server(reason)
                | Failure::Unknown(reason)
                | Failure::Conflict(reason)
                | Failure::Token(reason),
            ) => Fetch::Later(reason, None),
            Err(failure) => Fetch::Lost(failure.reason().to_owned()),
        }
    }

    fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(match self.kind {
            MediaKind::Image => "a picture",
            MediaKind::Audio => "a recording",
            MediaKind::Video => "a video",
            MediaKind::Document => "a file",
        })
    }

    fn file_of(&self) -> FileOf {
        self.of
    }

    fn attachment(self, blob: String) -> Attachment {
        let kind = match self.kind {
            MediaKind::Image => AttachmentKind::Image,
            MediaKind::Audio => AttachmentKind::Audio,
            MediaKind::Video => AttachmentKind::Video,
            MediaKind::Document => AttachmentKind::Document,
        };
        Attachment { blob, kind, name: self.name, mime: self.mime, size: self.size }
    }
}

impl File {
    /// The same file, of this message.
    pub(crate) fn of(self, of: FileOf) -> File {
        File { of, ..self }
    }

    /// Takes in where it is, and how large.
    fn locate(&mut self, outcome: &HttpOutcome) -> Result<(), Failure> {
        let nowhere = || Failure::Refused("the platform does not say where it is".to_owned());
        let located: Located = serde_json::from_str(call::answer(outcome)?.get()).map_err(|_| nowhere())?;
        self.path = Some(located.file_path.filter(|path| !path.is_empty()).ok_or_else(nowhere)?);
        self.size = located.file_size.unwrap_or(self.size);
        Ok(())
    }
}

fn download_url(config: &Config, path: &str) -> Segments {
    let path: String = path.chars().filter(|c| !c.is_control() && !matches!(c, '?' | '#' | '\\')).collect();
    let base = Segments::text(format!("{}/file/bot", config.api_base()));
    base.secret("bot_token").then(format!("/{}", path.trim_start_matches('/')))
}
