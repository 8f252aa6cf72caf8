use proptest::prelude::*;
use wasm_encoder::{
    CodeSection, Component, ComponentExportKind, ComponentExportSection, ComponentImportSection,
    ComponentInstanceSection, ComponentTypeRef as TypeRef, ComponentTypeSection, ComponentValType,
    CustomSection, Function, FunctionSection, InstanceType, Module, ModuleArg, ModuleSection,
    NestedComponentSection, TypeSection, ValType,
};

use super::*;

const MANIFEST: &str = "[plugin]\nname = \"guest\"\nversion = \"0.1.0\"\n";

fn section(manifest: &str) -> CustomSection<'_> {
    CustomSection { name: SECTION.into(), data: manifest.as_bytes().into() }
}

/// What the component exports: empty instances under these names.
fn export(component: &mut Component, names: &[&str]) {
    let mut instances = ComponentInstanceSection::new();
    let mut exports = ComponentExportSection::new();
    for (index, name) in names.iter().enumerate() {
        instances.export_items(std::iter::empty::<(&str, ComponentExportKind, u32)>());
        exports.export(*name, ComponentExportKind::Instance, index as u32, None);
    }
    component.section(&instances);
    component.section(&exports);
}

fn plugin(manifest: &str, exports: &[&str]) -> Vec<u8> {
    let mut component = Component::new();
    export(&mut component, exports);
    component.section(&section(manifest));
    component.finish()
}

fn module(functions: u32, body: usize) -> Module {
    code(functions, 0, &vec![0x01; body])
}

/// So many functions with so many locals and this body.
fn code(functions: u32, locals: u32, body: &[u8]) -> Module {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
    for _ in 0..functions {
        declared.function(0);
        let mut function = Function::new([(locals, ValType::I32)]);
        function.raw(body.iter().copied()).instructions().end();
        code.function(&function);
    }
    module.section(&types).section(&declared).section(&code);
    module
}

fn holding(module: &Module) -> Vec<u8> {
    let mut component = Component::new();
    component.section(&ModuleSection(module));
    component.section(&section(MANIFEST));
    component.finish()
}

fn told(bytes: &[u8]) -> String {
    inspect(bytes).unwrap_err().to_string()
}

#[test]
fn capabilities_are_what_is_exported() {
    let names = ["prx:plugin/tool@0.2.0", "prx:plugin/skill@0.2.0", "wasi:cli/run@0.2.0"];
    let found = inspect(&plugin(MANIFEST, &names)).unwrap();
    assert_eq!(found.manifest.plugin.name, "guest");
    assert_eq!(found.capabilities, BTreeSet::from([Capability::Tool, Capability::Skill]));
    assert!(found.imports.is_empty());
}

#[test]
fn imports_are_named() {
    let mut component = Component::new();
    let mut types = ComponentTypeSection::new();
    types.instance(&InstanceType::new());
    let mut imports = ComponentImportSection::new();
    imports.import("prx:plugin/kv@0.3.0", TypeRef::Instance(0));
    component.section(&types).section(&imports).section(&section(MANIFEST));
    let mut exports = ComponentExportSection::new();
    exports.export("prx:plugin/tool@0.2.0", ComponentExportKind::Instance, 0, None);
    component.section(&exports);
    let found = inspect(&component.finish()).unwrap();
    assert_eq!(found.imports, BTreeSet::from(["prx:plugin/kv@0.3.0".to_owned()]));
}

#[test]
fn an_import_that_is_no_interface_is_refused() {
    let mut component = Component::new();
    let mut types = ComponentTypeSection::new();
    types.function().params(std::iter::empty::<(&str, ComponentValType)>()).result(None);
    let mut imports = ComponentImportSection::new();
    imports.import("prx:plugin/kv@0.2.0", TypeRef::Func(0));
    component.section(&types).section(&imports).section(&section(MANIFEST));
    assert!(told(&component.finish()).contains("wants prx:plugin/kv@0.2.0, which this kernel doesn't serve"));
}

#[test]
fn the_manifest_may_lie_in_a_module() {
    let mut inner = Module::new();
    inner.section(&section(MANIFEST));
    let mut component = Component::new();
    component.section(&ModuleSection(&inner));
    export(&mut component, &["prx:plugin/tool@0.2.0"]);
    assert!(inspect(&component.clone().finish()).is_ok());
    component.section(&section("[plugin]\nname = \"other\"\nversion = \"1.0.0\"\n"));
    assert!(told(&component.finish()).contains("more than one manifest"));
}

#[test]
fn what_is_no_plugin_is_told_apart() {
    assert!(told(b"").contains("no WebAssembly component"));
    assert!(told(b"#!/bin/sh\nexit 0\n").contains("no WebAssembly component"));
    assert!(told(&Module::new().finish()).contains("core WebAssembly module"));
    assert!(told(b"\0asm\x63\0\x01\0").contains("no known version"));
    let whole = plugin(MANIFEST, &["prx:plugin/tool@0.2.0"]);
    assert!(told(&whole[..whole.len() - 1]).contains("damaged or cut short"));
    assert!(told(&Component::new().finish()).contains("no manifest in a custom section `prx:manifest`"));
    assert!(told(&plugin(MANIFEST, &[])).contains("exports none of"));
    assert!(told(&plugin(MANIFEST, &["prx:plugin/oracle@0.2.0"])).contains("does not know how to use"));
    assert!(
        told(&plugin("[plugin]\nname = 3", &[])).contains("plugin.toml line 2: plugin.name: invalid type")
    );
    let tool = ["prx:plugin/tool@0.2.0"];
    assert!(told(&plugin(&format!("{MANIFEST}[channel]"), &tool)).contains("exports no connector"));
    let schedule = format!("{MANIFEST}[[schedule]]\nname = \"a\"\ncron = \"* * * * *\"");
    assert!(told(&plugin(&schedule, &tool)).contains("its manifest has [[schedule]], but it exports no job"));
    assert!(told(&plugin(MANIFEST, &["prx:plugin/job@0.2.0"])).contains("no [[schedule]] to run it by"));
}

#[test]
fn bounds_hold_before_anything_is_compiled() {
    assert!(told(&holding(&module(100_000, 0))).contains("functions; the most is 60000"));
    let (open, end) = ([0x03, 0x40], [0x0b]);
    let deep = [open.repeat(100), end.repeat(100)].concat();
    assert!(told(&holding(&code(1, 0, &deep))).contains("loops in one another; the most is 64"));
    let looping = [&open[..], &end].concat().repeat(5_000);
    assert!(told(&holding(&code(1, 100, &looping))).contains("units of work in one function"));
    let looping = [&open[..], &end].concat().repeat(1_000);
    assert!(told(&holding(&code(200, 100, &looping))).contains("units of work for the compiler"));
    assert!(
        told(&plugin(&format!("{MANIFEST}#{}", "x".repeat(MAX_MANIFEST)), &[])).contains("bytes of manifest")
    );
    let mut huge = plugin(MANIFEST, &[]);
    huge.resize(MAX_BYTES + 1, 0);
    assert!(told(&huge).contains("bytes; the most is 67108864"));
}

/// A function that does `body` so many times with so many values on the stack. Type 1 takes and gives as many, as does
/// function 1.
fn crowded(values: usize, times: usize, body: &[u8]) -> Vec<u8> {
    let typed = || vec![ValType::I32; values];
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function(typed(), typed());
    let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
    declared.function(0).function(1);
    let one = [0x41, 1];
    let body = [one.repeat(values), body.repeat(times), [0x1a].repeat(values)].concat();
    for body in [body, vec![0]] {
        let mut function = Function::new([]);
        function.raw(body).instructions().end();
        code.function(&function);
    }
    module.section(&types).section(&declared).section(&code);
    holding(&module)
}

#[test]
fn values_that_are_passed_count() {
    for (what, body) in [
        ("blocks", &[0x02, 1, 0x0b][..]),
        ("loops", &[0x03, 1, 0x0b]),
        ("ifs", &[0x41, 1, 0x04, 1, 0x05, 0x0b]),
        ("calls", &[0x10, 1]),
        ("indirect calls", &[0x41, 0, 0x11, 1, 0]),
        ("branches", &[0x02, 1, 0x0c, 0, 0x0b]),
        ("tables of branches", &[0x02, 1, 0x41, 0, 0x0e, 1, 0, 0, 0x0b]),
    ] {
        let refused = told(&crowded(1_000, 1_000, body));
        assert!(refused.contains("units of work in one function; the most is 16777216"), "{what}: {refused}");
        let few = told(&crowded(1_000, 10, body));
        assert!(few.contains("exports none of"), "{what}: {few}");
    }
    assert!(told(&crowded(4, 20_000, &[0x02, 1, 0x0b])).contains("units of work in one function"));
    assert!(told(&crowded(1, 5_000, &[0x02, 1, 0x0b])).contains("exports none of"), "as in people's code");
}

#[test]
fn one_long_function_is_more_work_than_many_short_ones() {
    let refused = told(&holding(&module(1, 4 << 20)));
    assert!(refused.contains("units of work in one function; the most is 16777216"), "{refused}");
    assert!(told(&holding(&module(40, 100 << 10))).contains("exports none of"));
}

#[test]
fn nesting_has_an_end() {
    let mut nested = Component::new();
    for _ in 0..20_000 {
        let mut outer = Component::new();
        outer.section(&NestedComponentSection(&nested));
        nested = outer;
    }
    assert!(told(&nested.finish()).contains("levels of nesting"));
}

/// Six components, each of which makes ten instances of the one before: a million in a few hundred bytes.
#[test]
fn instances_cannot_multiply_without_end() {
    let mut component = Component::new();
    for depth in 0..6u32 {
        let mut inner = Component::new();
        if depth == 0 {
            inner.section(&ModuleSection(&Module::new()));
            let mut instances = wasm_encoder::InstanceSection::new();
            instances.instantiate(0, std::iter::empty::<(&str, ModuleArg)>());
            inner.section(&instances);
        } else {
            let mut aliases = wasm_encoder::ComponentAliasSection::new();
            aliases.alias(wasm_encoder::Alias::Outer {
                kind: wasm_encoder::ComponentOuterAliasKind::Component,
                count: 1,
                index: depth - 1,
            });
            inner.section(&aliases);
            let mut instances = ComponentInstanceSection::new();
            for _ in 0..10 {
                instances.instantiate(0, std::iter::empty::<(&str, ComponentExportKind, u32)>());
            }
            inner.section(&instances);
        }
        component.section(&NestedComponentSection(&inner));
    }
    component.section(&section(MANIFEST));
    assert!(told(&component.finish()).contains("instances; the most is 1000"));
}

#[test]
fn a_component_is_no_import() {
    let mut component = Component::new();
    let mut types = ComponentTypeSection::new();
    types.component(&wasm_encoder::ComponentType::new());
    let mut imports = ComponentImportSection::new();
    imports.import("guest", TypeRef::Component(0));
    component.section(&types).section(&imports);
    assert!(told(&component.finish()).contains("imports guest, a component"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = inspect(&bytes);
        let _ = inspect(&[b"\0asm\x0d\0\x01\0", &bytes[..]].concat());
    }

    #[test]
    fn no_edit_of_a_component_makes_it_panic(edits in prop::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        let mut bytes = holding(&code(3, 7, &[0x03, 0x40, 0x20, 0, 0x0d, 0, 0x0b]));
        bytes.extend(&plugin(MANIFEST, &["prx:plugin/tool@0.2.0"])[8..]);
        for (at, byte) in edits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let _ = inspect(&bytes);
    }
}
