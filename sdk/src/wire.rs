//! Generated from `wit/`. Plugins never name what is here: each module of this crate re-exports its own part.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]

pub mod imports {
    wit_bindgen::generate!({
        inline: "
            package prx:sdk;
            world imports {
                import prx:plugin/common@0.2.0;
                import prx:plugin/log@0.2.0;
                import prx:plugin/config@0.2.0;
                import prx:plugin/kv@0.2.0;
                import prx:plugin/blobs@0.2.0;
                import prx:plugin/memory@0.2.0;
                import prx:plugin/sink@0.2.0;
                import prx:plugin/transcript@0.2.0;
                import prx:plugin/turns@0.2.0;
            }
        ",
        path: "../wit",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq, Eq],
    });
    pub use prx::plugin::{blobs, common, config, kv, log, memory, sink, transcript, turns};
}

macro_rules! capability {
    ($name:ident, $world:literal, { $($with:tt)* }) => {
        pub mod $name {
            wit_bindgen::generate!({
                world: $world,
                path: "../wit",
                with: { $($with)* },
                additional_derives: [PartialEq, Eq],
                pub_export_macro: true,
            });
            pub use exports::prx::plugin::$name::*;
        }
    };
}

/// One that imports what the gateway gives to all but connectors.
macro_rules! importing_capability {
    ($name:ident, $world:literal, { $($with:tt)* }) => {
        capability!($name, $world, {
            "prx:plugin/common@0.2.0": crate::wire::imports::common,
            "prx:plugin/log@0.2.0": crate::wire::imports::log,
            "prx:plugin/config@0.2.0": crate::wire::imports::config,
            "prx:plugin/kv@0.2.0": crate::wire::imports::kv,
            "prx:plugin/blobs@0.2.0": crate::wire::imports::blobs,
            "prx:plugin/memory@0.2.0": crate::wire::imports::memory,
            $($with)*
        });
    };
}

capability!(connector, "connector-plugin", {
    "prx:plugin/common@0.2.0": crate::wire::imports::common,
});
importing_capability!(tool, "tool-plugin", {});
importing_capability!(skill, "skill-plugin", {});
importing_capability!(provider, "provider-plugin", {
    "prx:plugin/sink@0.2.0": crate::wire::imports::sink,
});
capability!(agent, "agent-plugin", {
    "prx:plugin/common@0.2.0": crate::wire::imports::common,
    "prx:plugin/log@0.2.0": crate::wire::imports::log,
    "prx:plugin/config@0.2.0": crate::wire::imports::config,
    "prx:plugin/transcript@0.2.0": crate::wire::imports::transcript,
});
capability!(filter, "filter-plugin", {
    "prx:plugin/common@0.2.0": crate::wire::imports::common,
    "prx:plugin/log@0.2.0": crate::wire::imports::log,
    "prx:plugin/config@0.2.0": crate::wire::imports::config,
    "prx:plugin/kv@0.2.0": crate::wire::imports::kv,
    "prx:plugin/blobs@0.2.0": crate::wire::imports::blobs,
});
capability!(job, "job-plugin", {
    "prx:plugin/common@0.2.0": crate::wire::imports::common,
    "prx:plugin/log@0.2.0": crate::wire::imports::log,
    "prx:plugin/config@0.2.0": crate::wire::imports::config,
    "prx:plugin/kv@0.2.0": crate::wire::imports::kv,
});
capability!(observer, "observer-plugin", {
    "prx:plugin/common@0.2.0": crate::wire::imports::common,
    "prx:plugin/log@0.2.0": crate::wire::imports::log,
    "prx:plugin/config@0.2.0": crate::wire::imports::config,
    "prx:plugin/kv@0.2.0": crate::wire::imports::kv,
});
