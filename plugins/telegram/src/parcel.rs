//! Messages and their media: asked for by id, and then fetched from where the platform says they are.

use std::time::Duration;

use prx_sdk::connector::{Attachment, AttachmentKind, Commands, Context, Http, HttpOutcome, Segments};
use prx_sdk::parcel::{self, DOWNLOAD, Fetch, Parcels};
use serde_json::json;

use crate::api::{Located, Trouble};
use crate::call;
use crate::config::Config;
use crate::letter::{File, Kind, Letter};
use crate::state::State;

/// A message that can't be handed over yet.
pub(crate) type Parcel = parcel::Parcel<Letter, File>;

impl State {
    /// The messages that wait for their files.
    pub(crate) fn parcels<'a>(
        &'a mut self,
        cx: &'a Context<Config>,
        out: &'a mut Commands,
    ) -> Parcels<'a, Letter> {
        Parcels::new(cx, (&mut self.parcels, &mut self.tokens), out)
    }

    /// Whether so much waits that more should not be asked for.
    pub fn is_full(&self) -> bool {
        self.parcels.len() >= parcel::MOST
    }
}

impl parcel::File for File {
    type Config = Config;

    fn request(&self, cx: &Context<Config>) -> Http {
        match &self.path {
            None => {
                call::post(&cx.config, "getFile", &json!({ "file_id": self.id })).timeout(3 * call::GRACE)
            }
            Some(path) => Http::get(download_url(&cx.config, path)).body_to_blob().timeout(DOWNLOAD),
        }
    }

    fn answered(&mut self, outcome: &HttpOutcome) -> Fetch {
        // Where it is, is told for a while only: the next try asks again.
        if self.path.take().is_some() {
            return Fetch::of(outcome);
        }
        match self.locate(outcome) {
            Ok(()) => Fetch::Next,
            Err(Trouble::Pace(seconds)) => Fetch::Later(
                Trouble::Pace(seconds).reason().to_owned(),
                Some(Duration::from_secs(seconds.into())),
            ),
            Err(Trouble::Server(reason) | Trouble::Unknown(reason) | Trouble::Conflict(reason)) => {
                Fetch::Later(reason, None)
            }
            Err(trouble) => Fetch::Lost(trouble.reason().to_owned()),
        }
    }

    fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(match self.kind {
            Kind::Image => "a picture",
            Kind::Audio => "a recording",
            Kind::Video => "a video",
            Kind::Document => "a file",
        })
    }

    fn attachment(self, blob: String) -> Attachment {
        let kind = match self.kind {
            Kind::Image => AttachmentKind::Image,
            Kind::Audio => AttachmentKind::Audio,
            Kind::Video => AttachmentKind::Video,
            Kind::Document => AttachmentKind::Document,
        };
        Attachment { blob, kind, name: self.name, mime: self.mime, size: self.size }
    }
}

impl File {
    /// Takes in where it is, and how large.
    fn locate(&mut self, outcome: &HttpOutcome) -> Result<(), Trouble> {
        let nowhere = || Trouble::Refused("the platform does not say where it is".to_owned());
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
