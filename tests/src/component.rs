//! Plugin files: built from `examples/` and `tests/guests`, then changed as a test needs them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

use bytes::Bytes;
use wasm_encoder::{
    CodeSection, ComponentInstanceSection, ComponentSection, CustomSection, Function, FunctionSection,
    InstanceSection, MemorySection, MemoryType, Module, ModuleSection, NestedComponentSection, TypeSection,
    ValType,
};
use wasmparser::{Parser, Payload};

use self::guests::Guests;
use crate::binary;

#[path = "../../kernel/build/guests.rs"]
mod guests;

/// The files that cargo makes of these packages and of the further components in the last one.
const PACKAGES: [&str; 19] = [
    "prx-audit-trail",
    "prx-completions",
    "prx-daily-digest",
    "prx-agent",
    "prx-console",
    "prx-echo-agent",
    "prx-router-agent",
    "prx-hello-tool",
    "prx-memory",
    "prx-ntfy",
    "prx-redact",
    "prx-scripted",
    "prx-short-links",
    "prx-standup",
    "prx-transcribe",
    "prx-weather",
    "prx-discord",
    "prx-telegram",
    "prx-test-guests",
];
const FURTHER: [&str; 18] = [
    "asking",
    "carrying",
    "counting",
    "dialing",
    "filing",
    "filtering",
    "listing",
    "making",
    "marked",
    "prying",
    "pulse",
    "reaching",
    "serving",
    "stumbling",
    "talking",
    "ticking",
    "watching",
    "wild",
];

/// A plugin file in the making.
#[derive(Debug, Clone)]
pub struct Component(Vec<u8>);

impl Component {
    /// A component as cargo builds it. All are built once a process, by the first who asks.
    pub fn of(name: &str) -> Self {
        static BUILT: OnceLock<BTreeMap<&str, Vec<u8>>> = OnceLock::new();
        let built = BUILT.get_or_init(|| build().unwrap_or_else(|error| panic!("{error}")));
        Self(built[name].clone())
    }

    /// The component that misbehaves on request (`tests/guests`), under this name and with the rest of a manifest.
    pub fn hostile(name: &str, rest: &str) -> Self {
        let manifest = format!(
            "[plugin]\nname = {name:?}\nversion = \"1.0.0\"\ndescription = \"Misbehaves on request\"\n{rest}"
        );
        Self::of("prx-test-guests").with_manifest(&manifest)
    }

    /// With another manifest than its own.
    #[must_use]
    pub fn with_manifest(self, manifest: &str) -> Self {
        let mut changed = self.without_manifest();
        let section = CustomSection { name: "prx:manifest".into(), data: manifest.as_bytes().into() };
        section.append_to_component(&mut changed.0);
        changed
    }

    /// Without any manifest.
    #[must_use]
    pub fn without_manifest(self) -> Self {
        self.replace("prx:manifest", "prx:obsolete")
    }

    /// With another text of the same length in place of each occurrence of one that must be there.
    #[must_use]
    pub fn replace(mut self, text: &str, by: &str) -> Self {
        assert_eq!(text.len(), by.len(), "the places of everything else stay as they are");
        let places: Vec<usize> =
            (0..self.0.len()).filter(|at| self.0[*at..].starts_with(text.as_bytes())).collect();
        assert!(!places.is_empty(), "{text:?} is not in the component");
        for at in places {
            self.0[at..at + by.len()].copy_from_slice(by.as_bytes());
        }
        self
    }

    /// With so many memories of so many MiB each besides its own.
    #[must_use]
    pub fn with_memories(mut self, count: usize, mebibytes: u64) -> Self {
        let mut memories = MemorySection::new();
        let one = MemoryType {
            minimum: 16 * mebibytes,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        };
        memories.memory(one);
        let mut module = Module::new();
        module.section(&memories);
        let mut instances = InstanceSection::new();
        for _ in 0..count {
            instances.instantiate(0, std::iter::empty::<(&str, wasm_encoder::ModuleArg)>());
        }
        let mut hoard = wasm_encoder::Component::new();
        hoard.section(&ModuleSection(&module)).section(&instances);

        let index = self.nested_components();
        NestedComponentSection(&hoard).append_to_component(&mut self.0);
        let mut instance = ComponentInstanceSection::new();
        instance.instantiate(index, std::iter::empty::<(&str, wasm_encoder::ComponentExportKind, u32)>());
        instance.append_to_component(&mut self.0);
        self
    }

    /// With a module besides that it makes no use of, and that has so many functions without a name. Each of them is
    /// straight on, a constant added so many times.
    #[must_use]
    pub fn with_long_functions(self, count: u32, additions: usize) -> Self {
        let body = [&[0x41, 1][..], &[0x41, 3, 0x6a].repeat(additions), &[0x1a]].concat();
        self.with_functions(0, count, &body)
    }

    /// The same with one function, of so many blocks in a row, each of which takes and gives so many values.
    #[must_use]
    pub fn with_crowded_blocks(self, blocks: usize, values: usize) -> Self {
        let body = [[0x41, 1].repeat(values), [0x02, 1, 0x0b].repeat(blocks), [0x1a].repeat(values)].concat();
        self.with_functions(values, 1, &body)
    }

    /// Type 1 takes and gives so many values.
    fn with_functions(mut self, values: usize, count: u32, body: &[u8]) -> Self {
        let typed = || vec![ValType::I32; values];
        let (mut types, mut declared, mut code) =
            (TypeSection::new(), FunctionSection::new(), CodeSection::new());
        types.ty().function([], []);
        types.ty().function(typed(), typed());
        for _ in 0..count {
            declared.function(0);
            let mut function = Function::new([]);
            function.raw(body.iter().copied()).instructions().end();
            code.function(&function);
        }
        let mut module = Module::new();
        module.section(&types).section(&declared).section(&code);
        ModuleSection(&module).append_to_component(&mut self.0);
        self
    }

    /// Its first part only, as after a download that broke off.
    #[must_use]
    pub fn truncated(mut self) -> Self {
        self.0.truncate(self.0.len() / 2);
        self
    }

    /// The file.
    pub fn bytes(&self) -> Bytes {
        self.0.clone().into()
    }

    fn nested_components(&self) -> u32 {
        let (mut depth, mut count) = (0, 0);
        for payload in Parser::new(0).parse_all(&self.0) {
            match payload.expect("cargo builds a well-formed component") {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentSection { .. } if depth == 1 => count += 1,
                _ => {}
            }
        }
        count
    }
}

fn build() -> Result<BTreeMap<&'static str, Vec<u8>>, String> {
    let guests = Guests::new(binary::workspace(), &binary::build_dir())?;
    // All in one go, connectors that come with the gateway among them: so each thing they are made of is built as it
    // was for the gateway itself.
    let packages = guests.build(&PACKAGES.map(str::to_owned), &["--examples"])?;
    let further = FURTHER.map(|name| guests.artifact(&format!("examples/{name}.wasm")));
    let further = further.into_iter().collect::<Result<Vec<_>, _>>()?;
    let files = packages.iter().chain(&further).map(|file| fs::read(file).expect("what cargo has built"));
    Ok(PACKAGES.into_iter().chain(FURTHER).zip(files).collect())
}

/// A WebAssembly file that is no component.
pub fn core_module() -> Bytes {
    Module::new().finish().into()
}
