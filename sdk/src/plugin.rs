/// Makes a component of what was written: exports the capabilities and embeds the manifest.
///
/// Called once in a crate, at its root. Any of `connector`, `tool`, `skill` and `provider` name the type that implements
/// the trait; `manifest` is a path from the folder of `Cargo.toml`.
///
/// ```ignore
/// prx_sdk::plugin! { connector: Poller, manifest: "plugin.toml" }
/// ```
#[macro_export]
macro_rules! plugin {
    ($($capability:ident: $plugin:ident,)+ manifest: $manifest:literal $(,)?) => {
        $($crate::__export!($capability, $plugin);)+

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "names the section in which the kernel looks for the manifest")]
        const _: () = {
            const TEXT: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $manifest));
            #[used]
            #[unsafe(link_section = "prx:manifest")]
            static MANIFEST: [u8; TEXT.len()] = {
                let mut bytes = [0; TEXT.len()];
                bytes.copy_from_slice(TEXT);
                bytes
            };
        };
    };
}

/// Exports one capability. Away from WebAssembly there is nothing to export to: only the trait is checked.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (connector, $plugin:ident) => {
        $crate::__export!(@ connector, $plugin, $crate::connector::Connector);
    };
    (@ $capability:ident, $plugin:ident, $trait:path) => {
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
