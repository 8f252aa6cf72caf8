//! What a socket tells its pump.

use tokio::sync::OwnedSemaphorePermit;

use super::keepalive::Acknowledged;
use prx_egress::{Failure, Frame, Kind};

/// Something that happened on a socket.
pub(super) enum SocketEvent {
    /// It is open.
    Opened,
    /// A frame came. Its permit is held until the connector has handled it.
    Frame {
        /// As it came.
        frame: Frame,
        /// The heartbeat that the frame acknowledges.
        acknowledged: Option<Acknowledged>,
        /// Its share of the receive buffer.
        permit: OwnedSemaphorePermit,
    },
    /// It is over, or never began.
    Closed(Disconnect),
}

/// How a socket ended that nobody had asked to close.
pub(super) struct Disconnect {
    pub(super) code: Option<u16>,
    pub(super) reason: String,
    /// The heartbeat was not acknowledged.
    pub(super) silent: bool,
    /// What went wrong, if something did.
    pub(super) fault: Option<Kind>,
}

impl Disconnect {
    /// The other side closed it.
    pub(super) fn closed(code: Option<u16>, reason: String) -> Self {
        Self { code, reason, silent: false, fault: None }
    }

    /// The connection failed.
    pub(super) fn failed(failure: Failure) -> Self {
        Self { code: None, reason: failure.reason, silent: false, fault: Some(failure.kind) }
    }

    /// The heartbeat timed out.
    pub(super) fn silent() -> Self {
        let reason = "what kept it alive was not acknowledged".to_owned();
        Self { code: None, reason, silent: true, fault: None }
    }
}
