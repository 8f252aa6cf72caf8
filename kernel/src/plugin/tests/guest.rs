//! Guests small enough to be written by hand.

use bytes::Bytes;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WASI: [&str; 2] = [
    "package wasi:random@0.2.6; interface random { get-random-u64: func() -> u64; }",
    "package wasi:clocks@0.2.6; interface monotonic-clock { now: func() -> u64; }",
];

/// Memory that grows by itself, and an allocator that never frees.
const PRELUDE: &str = r#"
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 8192))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at))
"#;

/// A tool that does `body` and then answers with its arguments. `before` holds its imports, `after` the rest.
pub(super) fn tool(before: &str, body: &str, after: &str) -> Bytes {
    component(
        "include prx:plugin/tool-plugin@0.1.0;",
        &format!(
            r#"(module {before} {PRELUDE}
            (global $calls (mut i32) (i32.const 0))
            (func (export "prx:plugin/tool@0.1.0#tools") (result i32) (i32.const 1024))
            (func (export "prx:plugin/tool@0.1.0#call")
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                (i32.store (i32.const 2052) (local.get 2))
                (i32.store (i32.const 2056) (local.get 3))
                {body}
                (i32.const 2048))
            {after})"#
        ),
    )
}

/// A connector that does `body`, then answers with 16 bytes at 4096 as its state.
pub(super) fn connector(body: &str) -> Bytes {
    component(
        "include prx:plugin/connector-plugin@0.1.0;
         import wasi:random/random@0.2.6;
         import wasi:clocks/monotonic-clock@0.2.6;",
        &format!(
            r#"(module
            (func $random (import "wasi:random/random@0.2.6" "get-random-u64") (result i64))
            (func $now (import "wasi:clocks/monotonic-clock@0.2.6" "now") (result i64))
            {PRELUDE}
            (func (export "prx:plugin/connector@0.1.0#handle")
                (param i32 i32 i64 i64 i32 i32 i32 i32 i32 i32) (result i32)
                {body}
                (i32.store8 (i32.const 2060) (i32.const 1))
                (i32.store (i32.const 2064) (i32.const 4096))
                (i32.store (i32.const 2068) (i32.const 16))
                (i32.const 2048))
            (func (export "prx:plugin/connector@0.1.0#migrate") (param i32 i32 i32) (result i32) (i32.const 3072)))"#
        ),
    )
}

/// A provider that says `count` times nothing on the way to an empty answer.
pub(super) fn provider(count: usize) -> Bytes {
    let push = "(drop (call $push (local.get 10) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))";
    let pushes = push.repeat(count);
    component(
        "include prx:plugin/provider-plugin@0.1.0;",
        &format!(
            r#"(module
            (func $push (import "prx:plugin/sink@0.1.0" "[method]delta-sink.push")
                (param i32 i32 i32 i32 i32 i32) (result i32))
            (func $drop (import "prx:plugin/sink@0.1.0" "[resource-drop]delta-sink") (param i32))
            {PRELUDE}
            (func (export "prx:plugin/provider@0.1.0#models") (result i32) (i32.const 1024))
            (func (export "prx:plugin/provider@0.1.0#complete")
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                {pushes}
                (call $drop (local.get 10))
                (i32.const 2048)))"#
        ),
    )
}

/// A component written as text.
pub(super) fn text(component: &str) -> Bytes {
    wat::parse_str(component).unwrap().into()
}

fn component(world: &str, module: &str) -> Bytes {
    let mut resolve = Resolve::default();
    resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).unwrap();
    for package in WASI {
        resolve.push_str("wasi.wit", package).unwrap();
    }
    let world = format!("package test:guest; world guest {{ {world} }}");
    let package = resolve.push_str("guest.wit", &world).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap().into()
}
