//! What a component is linked to: the kernel's imports that it is granted, and nothing else.

use std::iter;

use super::bindings::WIT_VERSION;
use super::inspect::{Capability, Inspected};
use super::limits::Limits;
use super::manifest::MemoryAccess;
use prx_egress::Policy;

/// The version of WASI that the kernel serves.
const WASI_VERSION: &str = "0.2";

/// What one plugin gets: the outcome of manifest and grant.
#[derive(Debug, Clone)]
pub struct Links {
    /// The plugin's name; its storage and its log lines are kept under it.
    pub name: String,
    /// Its configuration as JSON, without secrets.
    pub config: String,
    /// Where `wasi:http` may go. None: it isn't linked.
    pub http: Option<Policy>,
    /// How much `prx:plugin/kv` may keep. None: it isn't linked.
    pub kv_bytes: Option<u64>,
    /// How much it may keep in files of a private directory. None: it has none.
    pub file_bytes: Option<u64>,
    /// What it may do with what the agent remembers. None: `prx:plugin/memory` isn't linked.
    pub memory: Option<MemoryAccess>,
    /// Whether it may begin turns on behalf of who calls its routes. If not, `prx:plugin/turns` isn't linked.
    pub turns: bool,
    /// What one call may use.
    pub limits: Limits,
    /// Whether an instance that answered may serve another call of a tool, skill or provider.
    pub reuse: bool,
}

/// Why a component can't be linked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It imports something that its manifest doesn't ask for.
    #[error("imports {import}, but its manifest doesn't ask for it: add `{line}` under [permissions]")]
    NotAsked {
        /// The import, with its version.
        import: String,
        /// A line with which the manifest would ask for it.
        line: &'static str,
    },
    /// It imports or exports another version of an interface that the kernel serves.
    #[error(
        "wants {interface}; this kernel serves {served}: build it with what belongs to this version (`prx plugin sdk`)"
    )]
    Version {
        /// The interface, with its version.
        interface: String,
        /// The version there is.
        served: &'static str,
    },
    /// It is of no version, or requires another gateway.
    #[error("{0}")]
    Versions(String),
    /// It imports what no grant brings.
    #[error("wants {0}, which this kernel doesn't serve")]
    NotServed(String),
    /// Its private directory can't be made.
    #[error("its private directory can't be made: {0}")]
    Files(String),
    /// One instance of it takes more than it may of what all plugins share.
    #[error("each of its instances needs {found} {what}; the most is {most}")]
    TooMany {
        /// What it takes too much of.
        what: &'static str,
        /// How much.
        found: u32,
        /// How much it may take.
        most: usize,
    },
    /// It speaks of an interface by the right name, in other shapes.
    #[error("doesn't fit this kernel's interfaces: {0}")]
    Mismatch(String),
}

/// Whether `links` has everything that a component imports, in the versions that the kernel serves. Nothing else checks
/// that beforehand; what slips through is not linked.
///
/// # Errors
/// What it requires of the gateway, every import that isn't served or asked for, and export of another version, by name.
pub(super) fn check(component: &Inspected, links: &Links) -> Result<(), Vec<LinkError>> {
    let serves_routes = component.capabilities.contains(&Capability::Route);
    let imports = component.imports.iter().map(|import| {
        // What a request is, who is asked knows as well as who asks.
        let is_shape = import.starts_with("wasi:http/types@");
        if is_shape && serves_routes { fits(import, WASI_VERSION) } else { check_import(import, links) }
    });
    let exports = component
        .exports
        .iter()
        .map(|export| fits(export, if export.starts_with("wasi:") { WASI_VERSION } else { WIT_VERSION }));
    let required = component.manifest.check_requires().map_err(LinkError::Versions);
    let wrong: Vec<LinkError> =
        iter::once(required).chain(imports).chain(exports).filter_map(Result::err).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn check_import(import: &str, links: &Links) -> Result<(), LinkError> {
    let interface = import.split_once('@').map_or(import, |(interface, _)| interface);
    let not_asked = |line| Err(LinkError::NotAsked { import: import.to_owned(), line });
    match interface {
        "prx:plugin/kv" => {
            fits(import, WIT_VERSION)?;
            if links.kv_bytes.is_none() { not_asked("kv = \"1MiB\"") } else { Ok(()) }
        }
        "prx:plugin/turns" => {
            fits(import, WIT_VERSION)?;
            if links.turns { Ok(()) } else { not_asked("turns = true") }
        }
        "prx:plugin/memory" => {
            fits(import, WIT_VERSION)?;
            if links.memory.is_none() { not_asked("memory = \"read\"") } else { Ok(()) }
        }
        "prx:plugin/log"
        | "prx:plugin/config"
        | "prx:plugin/blobs"
        | "prx:plugin/sink"
        | "prx:plugin/common"
        | "prx:plugin/transcript" => fits(import, WIT_VERSION),
        "wasi:http/types" | "wasi:http/outgoing-handler" => {
            fits(import, WASI_VERSION)?;
            if links.http.is_none() { not_asked("http = [\"https://api.example.com\"]") } else { Ok(()) }
        }
        _ => match interface.split_once('/') {
            // Sockets are denied: see the imports.
            Some((
                "wasi:cli" | "wasi:clocks" | "wasi:filesystem" | "wasi:io" | "wasi:random" | "wasi:sockets",
                _,
            )) => fits(import, WASI_VERSION),
            _ => Err(LinkError::NotServed(import.to_owned())),
        },
    }
}

/// Whether the interface is of the `served` minor version.
fn fits(interface: &str, served: &'static str) -> Result<(), LinkError> {
    let version = interface.split_once('@').map_or("", |(_, version)| version);
    let patch = version.strip_prefix(served).and_then(|rest| rest.strip_prefix('.'));
    match patch {
        Some(_) => Ok(()),
        None => Err(LinkError::Version { interface: interface.to_owned(), served }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(kv: bool, http: bool) -> Links {
        Links {
            name: "guest".into(),
            config: "{}".into(),
            http: http.then(Policy::default),
            kv_bytes: kv.then_some(1024),
            file_bytes: None,
            memory: None,
            turns: false,
            limits: Limits::default(),
            reuse: false,
        }
    }

    fn said(import: &str, links: &Links) -> String {
        check_import(import, links).map_or_else(|error| error.to_string(), |()| "fine".into())
    }

    #[test]
    fn an_import_is_refused_by_name() {
        let nothing = granted(false, false);
        assert_eq!(
            said("prx:plugin/kv@0.2.0", &nothing),
            "imports prx:plugin/kv@0.2.0, but its manifest doesn't ask for it: add `kv = \"1MiB\"` under [permissions]"
        );
        assert!(said("prx:plugin/memory@0.2.0", &nothing).contains("add `memory = \"read\"`"));
        assert!(
            said("wasi:http/outgoing-handler@0.2.4", &nothing)
                .contains("add `http = [\"https://api.example.com\"]`")
        );
        assert_eq!(
            said("prx:plugin/kv@0.3.0", &granted(true, true)),
            "wants prx:plugin/kv@0.3.0; this kernel serves 0.2: build it with what belongs to this version (`prx plugin sdk`)"
        );
        assert!(
            said("wasi:io/poll@0.3.0", &nothing)
                .starts_with("wants wasi:io/poll@0.3.0; this kernel serves 0.2")
        );
        for import in ["wasi:nn/graph@0.2.0", "acme:thing/x@1.0.0", "prx:plugin/tools@0.2.0", "greet"] {
            assert_eq!(
                said(import, &granted(true, true)),
                format!("wants {import}, which this kernel doesn't serve")
            );
        }
    }

    #[test]
    fn what_is_granted_is_served() {
        let links = granted(true, true);
        for import in [
            "prx:plugin/kv@0.2.0",
            "prx:plugin/log@0.2.7",
            "wasi:http/types@0.2.4",
            "wasi:cli/exit@0.2.9",
            "wasi:sockets/tcp@0.2.4",
        ] {
            assert_eq!(said(import, &links), "fine", "{import}");
        }
    }
}
