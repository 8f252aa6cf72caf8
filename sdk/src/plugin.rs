/// Makes a component of what was written: exports its capabilities and embeds its manifest.
///
/// Called once in a crate. `connector`, `tool`, `skill`, `provider`, `filter`, `job`, `observer`, `route` and `agent`, as many
/// as there are, name the type that implements the trait of that name; instead of `tool`, `tools` lists typed ones. `manifest`, at the end, is a path
/// from the folder of `Cargo.toml`.
///
/// ```ignore
/// prx_sdk::plugin! { tools: [Weather, Forecast], provider: Oracle, manifest: "plugin.toml" }
/// ```
#[macro_export]
macro_rules! plugin {
    (connector: $plugin:ident, $($rest:tt)+) => {
        $crate::__export!(connector, $plugin, $crate::connector::Connector);
        $crate::plugin! { $($rest)+ }
    };
    (tool: $plugin:ident, $($rest:tt)+) => {
        $crate::__export!(tool, $plugin, $crate::tool::Tool);
        $crate::plugin! { $($rest)+ }
    };
    (tools: [$($tool:ident),+ $(,)?], $($rest:tt)+) => {
        const _: () = {
            struct Tools;

            impl $crate::tool::Tool for Tools {
                fn tools() -> ::std::vec::Vec<$crate::tool::ToolInfo> {
                    ::std::vec![$($crate::tool::info::<$tool>()),+]
                }

                fn call(
                    name: &str,
                    arguments: &str,
                    context: $crate::tool::CallContext,
                ) -> ::std::result::Result<$crate::tool::ToolOutput, $crate::tool::Fault> {
                    match name {
                        $(<$tool as $crate::tool::TypedTool>::NAME => {
                            $crate::tool::call::<$tool>(arguments, &context)
                        })+
                        _ => Err($crate::tool::Fault::bad_input(::std::format!("there is no tool {name}"))),
                    }
                }
            }

            $crate::__export!(tool, Tools, $crate::tool::Tool);
        };
        $crate::plugin! { $($rest)+ }
    };
    (skill: $plugin:ident, $($rest:tt)+) => {
        $crate::__export!(skill, $plugin, $crate::skill::Skill);
        $crate::plugin! { $($rest)+ }
    };
    (agent: $plugin:ident, $($rest:tt)+) => {
        $crate::__export!(agent, $plugin, $crate::agent::Agent);
        $crate::plugin! { $($rest)+ }
    };
    (filter: $plugin:ident, $($rest:tt)+) => {
        $crate::__export!(filter, $plugin, $crate::filter::Filter);
        $crate::plugin! { $($rest)+ }
    };
    (observer: $plugin:ident, $($rest:tt)+) => {
        $crate::__export!(observer, $plugin, $crate::observer::Observer);
        $crate::plugin! { $($rest)+ }
    };
    (job: $plugin:ident, $($rest:tt)+) => {
        $crate::__export!(job, $plugin, $crate::job::Job);
        $crate::plugin! { $($rest)+ }
    };
    (route: $plugin:ident, $($rest:tt)+) => {
        const _: () = {
            const fn implements<T: $crate::route::Route>() {}
            implements::<$plugin>();
        };

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "an export is a symbol with a name of its own")]
        const _: () = {
            struct Served;

            impl $crate::__wasip2::exports::http::incoming_handler::Guest for Served {
                fn handle(
                    request: $crate::__wasip2::http::types::IncomingRequest,
                    out: $crate::__wasip2::http::types::ResponseOutparam,
                ) {
                    $crate::route::serve::<$plugin>(request, out);
                }
            }

            $crate::__wasip2::http::proxy::export!(Served with_types_in $crate::__wasip2);
        };
        $crate::plugin! { $($rest)+ }
    };
    (provider: $plugin:ident, $($rest:tt)+) => {
        $crate::__export!(provider, $plugin, $crate::provider::Provider);
        $crate::plugin! { $($rest)+ }
    };
    (manifest: $path:literal $(,)?) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "names the section in which the gateway looks for the manifest")]
        const _: () = {
            #[used]
            #[unsafe(link_section = "prx:manifest")]
            static MANIFEST: [u8; include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)).len()] =
                *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path));
        };
    };
}

/// Exports one capability. Away from WebAssembly there is nothing to export to: only the trait is checked.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($capability:ident, $plugin:ident, $trait:path) => {
        const _: () = {
            const fn implements<T: $trait>() {}
            implements::<$plugin>();
        };

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "an export is a symbol with a name of its own")]
        const _: () = {
    $crate::wire::$capability::export!($plugin with_types_in $crate::wire::$capability);
        };
    };
}
