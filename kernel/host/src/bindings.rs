//! The kernel's side of `wit/`: the only place where bindings are generated.
//!
//! One world holds every interface, so that all of them speak of the same types. Which of the exports a
//! component really has is looked up when it is linked.

pub use generated::exports::prx::plugin::{agent, connector, filter, job, observer, provider, skill, tool};
pub use generated::prx::plugin::{common, sink, turns};

pub(super) use wasmtime_wasi_http::p2::bindings::exports::wasi::http::incoming_handler as route;

pub(super) use generated::prx::plugin::{blobs, config, kv, log, memory, transcript};

#[expect(missing_docs, reason = "generated; wit/ documents it")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package prx:kernel;
            world everything {
                include prx:plugin/connector-plugin@0.2.0;
                include prx:plugin/tool-plugin@0.2.0;
                include prx:plugin/skill-plugin@0.2.0;
                include prx:plugin/provider-plugin@0.2.0;
                include prx:plugin/agent-plugin@0.2.0;
                include prx:plugin/job-plugin@0.2.0;
                include prx:plugin/observer-plugin@0.2.0;
                include prx:plugin/filter-plugin@0.2.0;
                include prx:plugin/route-plugin@0.2.0;
            }
        ",
        imports: {
            "prx:plugin/blobs.read": async | trappable,
            "prx:plugin/blobs.write": async | trappable,
            "prx:plugin/kv": async | trappable,
            "prx:plugin/memory": async | trappable,
            "prx:plugin/sink.[method]delta-sink.push": async | trappable,
            "prx:plugin/turns.start": async | trappable,
            "prx:plugin/turns.[method]turn.next": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: {
            "prx:plugin/sink.delta-sink": crate::delta_sink::DeltaSink,
            "prx:plugin/turns.turn": crate::turn_handle::TurnHandle,
        },
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
    });
}

/// The version of `prx:plugin` that the kernel serves.
pub const WIT_VERSION: &str = "0.2";

/// The name of one of a filter's stages.
pub fn stage_name(stage: filter::StageKind) -> &'static str {
    match stage {
        filter::StageKind::Inbound => "inbound",
        filter::StageKind::Outbound => "outbound",
        filter::StageKind::BeforeTool => "before-tool",
        filter::StageKind::AfterTool => "after-tool",
    }
}
