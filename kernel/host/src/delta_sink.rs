//! The resource `delta-sink` of `prx:plugin/sink`, as the bindings need to know it.

/// A handle with which a guest names the sink of its call. The deltas go to whoever made the call.
#[derive(Debug)]
pub struct DeltaSink;
