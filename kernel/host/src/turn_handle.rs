//! The resource `turn` of `prx:plugin/turns`, as the bindings need to know it.

/// A handle with which a guest names a turn that it follows. The turn itself is part of the call.
#[derive(Debug)]
pub struct TurnHandle(pub(crate) u32);
