//! Files of messages, between the shape in which the store keeps them and the one components speak.

use super::bindings::common as wire;
use prx_base::text::file_name;
use prx_store::{Attachment, AttachmentKind};

impl From<Attachment> for wire::Attachment {
    fn from(Attachment { blob, kind, name, mime, size }: Attachment) -> Self {
        Self { blob, kind: kind.into(), name, mime, size }
    }
}

impl From<wire::Attachment> for Attachment {
    fn from(wire::Attachment { blob, kind, name, mime, size }: wire::Attachment) -> Self {
        let name = name.as_deref().and_then(file_name);
        Self { blob, kind: kind.into(), name, mime, size }
    }
}

impl From<AttachmentKind> for wire::AttachmentKind {
    fn from(kind: AttachmentKind) -> Self {
        match kind {
            AttachmentKind::Image => Self::Image,
            AttachmentKind::Audio => Self::Audio,
            AttachmentKind::Video => Self::Video,
            AttachmentKind::Document => Self::Document,
            AttachmentKind::Other => Self::Other,
        }
    }
}

impl From<wire::AttachmentKind> for AttachmentKind {
    fn from(kind: wire::AttachmentKind) -> Self {
        match kind {
            wire::AttachmentKind::Image => Self::Image,
            wire::AttachmentKind::Audio => Self::Audio,
            wire::AttachmentKind::Video => Self::Video,
            wire::AttachmentKind::Document => Self::Document,
            wire::AttachmentKind::Other => Self::Other,
        }
    }
}
