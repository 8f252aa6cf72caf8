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
            }
        ",
        path: "../wit",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq, Eq],
    });
    pub use prx::plugin::{blobs, common, config, kv, log, memory, sink};
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

capability!(connector, "connector-plugin", {
    "prx:plugin/common@0.2.0": crate::wire::imports::common,
});
capability!(tool, "tool-plugin", {
    "prx:plugin/common@0.2.0": crate::wire::imports::common,
    "prx:plugin/log@0.2.0": crate::wire::imports::log,
    "prx:plugin/config@0.2.0": crate::wire::imports::config,
    "prx:plugin/kv@0.2.0": crate::wire::imports::kv,
    "prx:plugin/blobs@0.2.0": crate::wire::imports::blobs,
    "prx:plugin/memory@0.2.0": crate::wire::imports::memory,
});
capability!(skill, "skill-plugin", {
    "prx:plugin/common@0.2.0": crate::wire::imports::common,
    "prx:plugin/log@0.2.0": crate::wire::imports::log,
    "prx:plugin/config@0.2.0": crate::wire::imports::config,
    "prx:plugin/kv@0.2.0": crate::wire::imports::kv,
    "prx:plugin/blobs@0.2.0": crate::wire::imports::blobs,
    "prx:plugin/memory@0.2.0": crate::wire::imports::memory,
});
capability!(provider, "provider-plugin", {
    "prx:plugin/common@0.2.0": crate::wire::imports::common,
    "prx:plugin/log@0.2.0": crate::wire::imports::log,
    "prx:plugin/config@0.2.0": crate::wire::imports::config,
    "prx:plugin/kv@0.2.0": crate::wire::imports::kv,
    "prx:plugin/blobs@0.2.0": crate::wire::imports::blobs,
    "prx:plugin/memory@0.2.0": crate::wire::imports::memory,
    "prx:plugin/sink@0.2.0": crate::wire::imports::sink,
});
