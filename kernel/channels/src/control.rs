//! What a channel can be asked for, and why a run of its connector ended.

/// A request to a running channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    /// Close politely and end.
    Stop,
    /// Close politely, then connect anew.
    Restart,
}

/// Why a run of a connector ended.
pub(super) enum Exit {
    /// The channel is stopped or restarted.
    Requested(Control),
    /// There is other code, or none: the plugin was disabled, failed or is gone.
    CodeGone,
    /// Nothing is heard from the platform.
    Silent,
    /// The store failed.
    StoreFailed,
}
