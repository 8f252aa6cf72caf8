//! Shapes that more than one interface speaks of.

pub use crate::wire::imports::common::{
    Attachment, AttachmentKind, Fault, FaultCode, Field, Segment, UnixMs,
};

/// A text in pieces, of which some are put in by the kernel: a secret by name, a blob by id.
///
/// ```
/// use prx_sdk::types::Segments;
/// let url = Segments::text("https://api.example.org/bot").secret("bot_token").then("/getMe");
/// assert_eq!(url.to_string(), "https://api.example.org/bot{secret:bot_token}/getMe");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments(pub Vec<Segment>);

impl Segments {
    /// Begins with this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self(vec![Segment::Text(text.into())])
    }

    /// Adds this text.
    pub fn then(self, text: impl Into<String>) -> Self {
        self.and(Segment::Text(text.into()))
    }

    /// Adds the value of a configuration key that the manifest declares `secret`; the plugin never sees it.
    pub fn secret(self, key: impl Into<String>) -> Self {
        self.and(Segment::Secret(key.into()))
    }

    /// Adds the contents of a blob, by id.
    pub fn blob(self, id: impl Into<String>) -> Self {
        self.and(Segment::Blob(id.into()))
    }

    /// Adds one piece.
    pub fn and(mut self, segment: Segment) -> Self {
        self.0.push(segment);
        self
    }
}

/// What it will look like: secrets as `{secret:KEY}`, blobs as `{blob:ID}`, bytes as UTF-8 where they are.
impl std::fmt::Display for Segments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Text(text) => f.write_str(text)?,
                Segment::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes))?,
                Segment::Secret(key) => write!(f, "{{secret:{key}}}")?,
                Segment::Blob(id) => write!(f, "{{blob:{id}}}")?,
            }
        }
        Ok(())
    }
}

impl From<&str> for Segments {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Segments {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Vec<u8>> for Segments {
    fn from(bytes: Vec<u8>) -> Self {
        Self(vec![Segment::Bytes(bytes)])
    }
}

impl From<Vec<Segment>> for Segments {
    fn from(segments: Vec<Segment>) -> Self {
        Self(segments)
    }
}

impl AttachmentKind {
    /// What a person would call a file of this media type.
    pub fn of(mime: &str) -> Self {
        match mime.split('/').next() {
            Some("image") => Self::Image,
            Some("audio") => Self::Audio,
            Some("video") => Self::Video,
            _ => Self::Document,
        }
    }
}

impl Fault {
    /// A fault of this kind; `message` is for the operator and holds no secret.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The caller's arguments make no sense; the message says which and what would.
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self::new(FaultCode::BadInput, message)
    }

    /// The operator's configuration makes no sense; the message says which key and what would.
    pub fn bad_config(message: impl Into<String>) -> Self {
        Self::new(FaultCode::BadConfig, message)
    }

    /// A service that the plugin relies on cannot be reached or does not work.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(FaultCode::Unavailable, message)
    }

    /// A defect in the plugin that it noticed itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(FaultCode::Internal, message)
    }
}
