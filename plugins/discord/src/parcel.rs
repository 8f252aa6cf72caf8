//! Messages and their files, which the platform keeps elsewhere.

use prx_sdk::connector::{
    Attachment, AttachmentKind, Commands, Context, Http, HttpOutcome, Inbound, Sender, Target,
};
use prx_sdk::parcel::{self, DOWNLOAD, Fetch, Parcels};
use serde::{Deserialize, Serialize};

use crate::call;
use crate::config::Config;
use crate::message::Enclosed;
use crate::state::State;

/// The platform lets a person send no more with one message.
const MAX_FILES: usize = 10;

/// A message for the agent that can't be handed over yet.
pub(crate) type Parcel = parcel::Parcel<Letter, File>;

/// A message for the agent without its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    pub id: String,
    pub channel: String,
    pub reply_to: Option<String>,
    /// Id and name.
    pub sender: (String, String),
    pub text: String,
    pub sent_at: u64,
    pub addressed: bool,
}

/// A file of a message, and where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct File {
    url: String,
    name: String,
    mime: Option<String>,
    size: u64,
}

impl State {
    /// The messages that wait for their files.
    pub(crate) fn parcels<'a>(
        &'a mut self,
        cx: &'a Context<Config>,
        out: &'a mut Commands,
    ) -> Parcels<'a, Letter> {
        Parcels::new(cx, (&mut self.parcels, &mut self.tokens), out)
    }
}

/// Hands a message over, now or when what it waits for is there.
pub(crate) fn take(
    cx: &Context<Config>,
    state: &mut State,
    (mut letter, files): (Letter, Vec<Enclosed>),
    out: &mut Commands,
) {
    let mut parcels = state.parcels(cx, out);
    let room = if parcels.is_full() { 0 } else { MAX_FILES };
    let mut wanted = Vec::with_capacity(files.len().min(room));
    for (place, enclosed) in files.into_iter().enumerate() {
        let file = File::from(enclosed);
        match &file.url {
            _ if place >= room => parcels.leave(&mut letter, &file, "too many files wait"),
            url if !url.starts_with("https://") && !url.starts_with("http://") => {
                parcels.leave(&mut letter, &file, "the platform does not say where it is");
            }
            _ => wanted.push(file),
        }
    }
    parcels.take(letter, wanted);
}

impl parcel::Letter for Letter {
    type File = File;

    fn id(&self) -> &str {
        &self.id
    }

    fn conversation(&self) -> String {
        self.channel.clone()
    }

    fn text(&mut self) -> &mut String {
        &mut self.text
    }

    fn inbound(self, attachments: Vec<Attachment>) -> Inbound {
        let Letter { id, channel, reply_to, sender: (sender, name), text, sent_at, addressed } = self;
        Inbound {
            dedupe: id,
            target: Target { reply_to, ..Target::conversation(channel) },
            sender: Sender { id: sender, name, is_bot: false },
            text,
            attachments,
            sent_at,
            addressed,
            choice: None,
        }
    }
}

impl parcel::File for File {
    type Config = Config;

    /// The address itself says who may have it: no token goes there.
    fn request(&self, _: &Context<Config>) -> Http {
        Http::get(self.url.as_str()).header("user-agent", call::USER_AGENT).body_to_blob().timeout(DOWNLOAD)
    }

    fn answered(&mut self, outcome: &HttpOutcome) -> Fetch {
        Fetch::of(outcome)
    }

    fn title(&self) -> &str {
        &self.name
    }

    fn attachment(self, blob: String) -> Attachment {
        let kind = AttachmentKind::of(self.mime.as_deref().unwrap_or_default());
        Attachment { blob, kind, name: Some(self.name), mime: self.mime, size: self.size }
    }
}

impl From<Enclosed> for File {
    fn from(Enclosed { url, filename, content_type, size }: Enclosed) -> Self {
        let name = if filename.trim().is_empty() { "a file".to_owned() } else { filename };
        let mime = content_type.map(|mime| mime.split(';').next().unwrap_or_default().trim().to_owned());
        Self { url, name, mime: mime.filter(|mime| !mime.is_empty()), size }
    }
}
