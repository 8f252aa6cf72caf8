//! Looks at a component before anything is compiled: bounds, manifest, exports, imports. It walks the bytes
//! once and holds on to nothing but names, so that garbage costs what reading it costs.

use std::collections::BTreeSet;

use serde::Serialize;
use wasmparser::{ComponentExternalKind, ComponentInstance, ComponentTypeRef, Instance, Parser, Payload};

use self::signatures::Signatures;
use self::work::{MAX_LOOP_DEPTH, Work};
use super::manifest::{Manifest, ManifestError};
use super::signature::{PublicKey, SignatureError, signer};

mod signatures;
mod work;

/// Largest component, in bytes. A Python interpreter with its library takes 18 MB.
pub const MAX_BYTES: usize = 64 << 20;
/// Most functions in all modules of a component.
const MAX_FUNCTIONS: u64 = 60_000;
/// Most types of one module, and most of its imports: what every engine allows.
const MAX_TYPES: u64 = 1_000_000;
/// Most work for the compiler, in all and in one function; a unit is a byte of ordinary code. A minute or two.
const MAX_WORK: u64 = 96 << 20;
const MAX_FUNCTION_WORK: u64 = 16 << 20;
/// How deep components and modules may lie in one another.
const MAX_DEPTH: usize = 8;
/// Most instances that instantiating the component makes. Nested components multiply.
const MAX_INSTANCES: u64 = 1_000;
/// Largest manifest, in bytes.
const MAX_MANIFEST: usize = 64 << 10;

/// What a component exports that serves routes.
const ROUTES: &str = "wasi:http/incoming-handler";

/// The custom section that holds a manifest.
pub const SECTION: &str = "prx:manifest";

/// What a component gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// A connector.
    Channel,
    /// Tools.
    Tool,
    /// Skills.
    Skill,
    /// A model provider.
    Provider,
    /// An agent.
    Agent,
    /// What runs at set times.
    Job,
    /// What is told what happens.
    Observer,
    /// Routes over HTTP.
    Route,
    /// What looks at what flows.
    Filter,
}

/// What a component says of itself without being run.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// Its manifest.
    pub manifest: Manifest,
    /// What it exports of `prx:plugin`, in whatever version.
    pub capabilities: BTreeSet<Capability>,
    /// The interfaces it imports, with their versions.
    pub imports: BTreeSet<String>,
    /// The interfaces that it exports and the kernel uses, with their versions.
    pub exports: BTreeSet<String>,
    /// Most instances of modules that one instance of it is made of.
    pub core_instances: u64,
    /// Who has signed it.
    pub signer: Option<PublicKey>,
}

/// Why a component cannot be a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// The bytes are something else.
    #[error("this is no WebAssembly component: it does not begin like one")]
    NotWasm,
    /// A module that has not been made into a component.
    #[error("this is a core WebAssembly module, not a component: build it with --target wasm32-wasip2")]
    CoreModule,
    /// The bytes begin like a component and go wrong later.
    #[error("this component is damaged or cut short: {0}")]
    Malformed(String),
    /// It goes beyond a bound.
    #[error("this component has {found} {what}; the most is {most}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much of it there is, or how much was counted before giving up.
        found: u64,
        /// How much there may be.
        most: u64,
    },
    /// It has no manifest, or no single one.
    #[error(
        "this component has {0} in a custom section `{SECTION}`: build it with prx_sdk::plugin! or `prx plugin build`"
    )]
    NoManifest(&'static str),
    /// The manifest has a mistake.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It imports a component, where only interfaces can be given.
    #[error("imports {0}, a component, which this kernel does not serve")]
    ImportsComponent(String),
    /// It imports something else that is no interface.
    #[error("wants {0}, which this kernel doesn't serve")]
    ImportsItem(String),
    /// Its signature is none.
    #[error("{name} {version} {why}")]
    Signature {
        /// The plugin's name.
        name: String,
        /// Its version.
        version: String,
        /// What is wrong with it.
        why: SignatureError,
    },
    /// It exports nothing that the kernel knows, or not what its manifest says.
    #[error("{}", .0.join("; "))]
    Capabilities(Vec<String>),
}

impl InspectError {
    /// All that is wrong, one by one.
    pub fn each(&self) -> Vec<String> {
        match self {
            Self::Manifest(error) => error.each(),
            Self::Capabilities(wrong) => wrong.clone(),
            error => vec![error.to_string()],
        }
    }

    /// Whether the bytes are no component at all, as opposed to one that this kernel will not have.
    pub fn is_garbage(&self) -> bool {
        matches!(self, Self::NotWasm | Self::CoreModule | Self::Malformed(_) | Self::TooLarge { .. })
    }
}

/// Looks at a component. Takes time and memory in proportion to its size; for large ones, call it where
/// blocking is fine.
///
/// # Errors
/// The first thing that keeps the component from being a plugin.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, InspectError> {
    at_most("bytes", bytes.len() as u64, MAX_BYTES as u64)?;
    if !bytes.starts_with(b"\0asm") {
        return Err(InspectError::NotWasm);
    }
    if Parser::is_core_wasm(bytes) {
        return Err(InspectError::CoreModule);
    }
    if !Parser::is_component(bytes) {
        return Err(InspectError::Malformed("its header is of no known version".into()));
    }
    let mut walk = Walk::default();
    for payload in Parser::new(0).parse_all(bytes) {
        walk.step(payload.map_err(malformed)?)?;
    }
    let mut found = walk.finish()?;
    found.signer = signer(bytes).map_err(|why| {
        let plugin = &found.manifest.plugin;
        InspectError::Signature { name: plugin.name.clone(), version: plugin.version.clone(), why }
    })?;
    Ok(found)
}

#[derive(Default)]
struct Walk<'a> {
    /// For each component that is being read, outermost first: how many instances it makes.
    open: Vec<Level>,
    functions: u64,
    work: u64,
    /// The most that any component read so far makes of either kind.
    heaviest: Made,
    manifest: Option<&'a [u8]>,
    capabilities: BTreeSet<Capability>,
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

/// A component or a module that is being read.
#[derive(Default)]
struct Level {
    made: Made,
    /// Of a module.
    signatures: Signatures,
}

/// What instantiating a component makes.
#[derive(Debug, Clone, Copy, Default)]
struct Made {
    /// Instances of any kind, groups of exports among them.
    instances: u64,
    /// Those of modules. Where components meet, the compiler adds one.
    core: u64,
}

impl<'a> Walk<'a> {
    fn step(&mut self, payload: Payload<'a>) -> Result<(), InspectError> {
        match payload {
            Payload::Version { .. } => {
                self.open.push(Level::default());
                at_most("levels of nesting", self.open.len() as u64, MAX_DEPTH as u64)?;
            }
            Payload::End(_) => {
                let closed = self.open.pop().unwrap_or_default();
                self.heaviest.instances = self.heaviest.instances.max(closed.made.instances);
                self.heaviest.core = self.heaviest.core.max(closed.made.core);
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    let instantiates = matches!(instance.map_err(malformed)?, Instance::Instantiate { .. });
                    self.make(Made { instances: 1, core: u64::from(instantiates) })?;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    if let ComponentInstance::Instantiate { .. } = instance.map_err(malformed)? {
                        let Made { instances, core } = self.heaviest;
                        self.make(Made { instances: 1 + instances, core: 1 + core })?;
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(malformed)?;
                    self.import(import.name.name, import.ty)?;
                }
            }
            Payload::ComponentExportSection(section) if self.open.len() == 1 => {
                for export in section {
                    let export = export.map_err(malformed)?;
                    self.export(export.name.name, export.kind)?;
                }
            }
            Payload::CustomSection(section) if section.name() == SECTION => self.manifest(section.data())?,
            payload => self.step_in_module(payload)?,
        }
        Ok(())
    }

    fn step_in_module(&mut self, payload: Payload<'a>) -> Result<(), InspectError> {
        match payload {
            Payload::TypeSection(section) => {
                at_most("types", section.count().into(), MAX_TYPES)?;
                self.signatures(|signatures| signatures.types(section))?;
            }
            Payload::ImportSection(section) => {
                at_most("imports of one module", section.count().into(), MAX_TYPES)?;
                self.signatures(|signatures| signatures.imports(section))?;
            }
            Payload::FunctionSection(section) => {
                at_most("functions", section.count().into(), MAX_FUNCTIONS)?;
                self.signatures(|signatures| signatures.functions(section))?;
            }
            Payload::CodeSectionStart { count, .. } => {
                self.functions += u64::from(count);
                at_most("functions", self.functions, MAX_FUNCTIONS)?;
            }
            Payload::CodeSectionEntry(body) => {
                let Some(module) = self.open.last_mut() else { return Ok(()) };
                let work = Work::of(&body, &mut module.signatures).map_err(malformed)?;
                at_most("loops in one another", work.loop_depth, MAX_LOOP_DEPTH)?;
                at_most("units of work in one function", work.units(), MAX_FUNCTION_WORK)?;
                self.work = self.work.saturating_add(work.units());
                at_most("units of work for the compiler", self.work, MAX_WORK)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Counts what the component being read makes. It cannot be more than the heaviest for any component in it, as
    /// whatever it instantiates has been read before.
    fn make(&mut self, more: Made) -> Result<(), InspectError> {
        let Some(level) = self.open.last_mut() else { return Ok(()) };
        level.made.instances = level.made.instances.saturating_add(more.instances);
        level.made.core = level.made.core.saturating_add(more.core);
        at_most("instances", level.made.instances, MAX_INSTANCES)
    }

    fn signatures(
        &mut self,
        read: impl FnOnce(&mut Signatures) -> Result<(), wasmparser::BinaryReaderError>,
    ) -> Result<(), InspectError> {
        self.open.last_mut().map_or(Ok(()), |module| read(&mut module.signatures)).map_err(malformed)
    }

    fn manifest(&mut self, data: &'a [u8]) -> Result<(), InspectError> {
        at_most("bytes of manifest", data.len() as u64, MAX_MANIFEST as u64)?;
        match self.manifest {
            Some(other) if other != data => Err(InspectError::NoManifest("more than one manifest")),
            _ => {
                self.manifest = Some(data);
                Ok(())
            }
        }
    }

    fn import(&mut self, name: &str, kind: ComponentTypeRef) -> Result<(), InspectError> {
        if self.open.len() == 1 {
            self.imports.insert(name.to_owned());
        }
        // With a component as a parameter nobody could say beforehand how many instances there will be.
        match kind {
            ComponentTypeRef::Component(_) => Err(InspectError::ImportsComponent(name.to_owned())),
            ComponentTypeRef::Instance(_) => Ok(()),
            _ if self.open.len() == 1 => Err(InspectError::ImportsItem(name.to_owned())),
            _ => Ok(()),
        }
    }

    fn export(&mut self, name: &str, kind: ComponentExternalKind) -> Result<(), InspectError> {
        let interface = name.split_once('@').map_or(name, |(interface, _)| interface);
        let own = interface.strip_prefix("prx:plugin/");
        if own.is_none() && interface != ROUTES {
            return Ok(());
        }
        let capability = match own.unwrap_or(interface) {
            ROUTES => Capability::Route,
            "connector" => Capability::Channel,
            "tool" => Capability::Tool,
            "skill" => Capability::Skill,
            "provider" => Capability::Provider,
            "agent" => Capability::Agent,
            "job" => Capability::Job,
            "observer" => Capability::Observer,
            "filter" => Capability::Filter,
            _ => {
                let message = format!("exports {name}, which this kernel does not know how to use");
                return Err(InspectError::Capabilities(vec![message]));
            }
        };
        if kind == ComponentExternalKind::Instance {
            self.capabilities.insert(capability);
        }
        self.exports.insert(name.to_owned());
        Ok(())
    }

    fn finish(self) -> Result<Inspected, InspectError> {
        let manifest = self.manifest.ok_or(InspectError::NoManifest("no manifest"))?;
        let manifest = std::str::from_utf8(manifest)
            .map_err(|error| InspectError::Malformed(format!("its manifest is not UTF-8: {error}")))?;
        let manifest = Manifest::parse(manifest)?;
        let wrong = self.unfit(&manifest);
        if !wrong.is_empty() {
            return Err(InspectError::Capabilities(wrong.into_iter().map(str::to_owned).collect()));
        }
        let Self { capabilities, imports, exports, heaviest, .. } = self;
        // The outermost component has been closed last, and holds all others.
        Ok(Inspected {
            manifest,
            capabilities,
            imports,
            exports,
            core_instances: heaviest.core,
            signer: None,
        })
    }
}

impl Walk<'_> {
    /// Where what it exports and what its manifest says don't go together.
    fn unfit(&self, manifest: &Manifest) -> Vec<&'static str> {
        let has = |capability| self.capabilities.contains(&capability);
        if self.capabilities.is_empty() {
            return vec![
                "exports none of connector, tool, skill, provider, agent, job, observer and filter of prx:plugin, and no \
                 wasi:http/incoming-handler",
            ];
        }
        let is_pure = |capability| matches!(capability, &Capability::Channel | &Capability::Agent);
        let sees_nothing = manifest.permissions.events.subscribe.is_empty();
        let has_schedule = !manifest.schedule.is_empty();
        let rules = [
            (
                manifest.channel.is_some() && !has(Capability::Channel),
                "its manifest has [channel], but it exports no connector",
            ),
            (
                manifest.agent.is_some() && !has(Capability::Agent),
                "its manifest has [agent], but it exports no agent",
            ),
            (
                manifest.routes.is_some() && !has(Capability::Route),
                "its manifest has [routes], but it exports no wasi:http/incoming-handler",
            ),
            (has_schedule && !has(Capability::Job), "its manifest has [[schedule]], but it exports no job"),
            (
                !has_schedule && has(Capability::Job),
                "it exports a job, but its manifest has no [[schedule]] to run it by",
            ),
            (
                sees_nothing && has(Capability::Observer),
                "it exports an observer, but its manifest asks for no events: add permissions.events.subscribe",
            ),
            (
                manifest.permissions.files.is_some() && self.capabilities.iter().all(is_pure),
                "its manifest asks for permissions.files, but connectors and agents have no files: what they keep is in \
                 their state",
            ),
            (
                has(Capability::Agent) && self.capabilities.len() > 1,
                "it exports an agent and something else: an agent goes alone",
            ),
        ];
        rules.into_iter().filter_map(|(is_broken, why)| is_broken.then_some(why)).collect()
    }
}

fn at_most(what: &'static str, found: u64, most: u64) -> Result<(), InspectError> {
    if found > most { Err(InspectError::TooLarge { what, found, most }) } else { Ok(()) }
}

fn malformed(error: wasmparser::BinaryReaderError) -> InspectError {
    InspectError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests;
