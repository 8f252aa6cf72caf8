/// Makes a component of what was written: exports its capabilities and embeds its manifest.
///
/// Called once in a crate. `connector`, `tool`, `skill` and `provider`, as many as there are, name the type that
/// implements the trait; `manifest`, at the end, is a path from the folder of `Cargo.toml`.
///
/// ```ignore
/// prx_sdk::plugin! { connector: Poller, manifest: "plugin.toml" }
/// ```
#[macro_export]
macro_rules! plugin {
    (connector: $plugin:ident, $($rest:tt)+) => {
        $crate::__export!(connector, $plugin, $crate::connector::Connector);
        $crate::plugin! { $($rest)+ }
    };
    (manifest: $path:literal $(,)?) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "names the section in which the kernel looks for the manifest")]
        const _: () = {
            const TEXT: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path));
            #[used]
            #[unsafe(link_section = "prx:manifest")]
            static MANIFEST: [u8; TEXT.len()] = *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path));
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
