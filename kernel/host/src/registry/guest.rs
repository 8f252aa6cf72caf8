//! Third parties' plugins, made from the bundled skills by changing bytes in place.

use bytes::Bytes;
use wasmparser::{ExternalKind, Parser, Payload};

use crate::components::bundled;

const MANIFEST: &str = include_str!("../../../../plugins/skills/plugin.toml");

/// A plugin with this manifest, whose skills are called `name` and something else, and triggered by much the same.
pub(super) fn skills(manifest: &str, name: &str) -> Bytes {
    assert!(manifest.len() <= MANIFEST.len(), "no place for {} bytes of manifest", manifest.len());
    let manifest = format!("{manifest}{}", "\n".repeat(MANIFEST.len() - manifest.len()));
    let mut bytes = bundled().find("skills").unwrap().to_vec();
    swap(&mut bytes, MANIFEST, &manifest);
    swap(&mut bytes, "summarize", &format!("{name:_<9}"));
    swap(&mut bytes, "code_review", &format!("{name:_<11}"));
    swap(&mut bytes, "/review", &format!("/{name:_<6.6}"));
    swap(&mut bytes, "review this", &format!("{name:.<11}"));
    swap(&mut bytes, "tldr", &format!("{name:-<4.4}"));
    bytes.into()
}

/// The same plugin with a function that traps.
pub(super) fn trapping(component: &Bytes, export: &str) -> Bytes {
    let (mut imported, mut index, mut bodies) = (0, None, Vec::new());
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::ImportSection(section) if index.is_none() => {
                let imports = section.into_imports().map(Result::unwrap);
                imported = imports.filter(|import| matches!(import.ty, wasmparser::TypeRef::Func(_))).count();
            }
            Payload::ExportSection(section) => {
                let mut exports = section.into_iter().map(Result::unwrap);
                let found = exports.find(|found| found.name == export && found.kind == ExternalKind::Func);
                index = index.or(found.map(|found| found.index as usize));
                if found.is_some() {
                    bodies.clear();
                }
            }
            Payload::CodeSectionEntry(body) => {
                bodies.push(body.get_operators_reader().unwrap().original_position()..body.range().end)
            }
            _ => {}
        }
    }
    let body = bodies[index.unwrap() - imported].clone();
    let mut bytes = component.to_vec();
    bytes[body.start] = 0x00;
    bytes[body.start + 1..body.end - 1].fill(0x01);
    bytes.into()
}

fn swap(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut found = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} is not in the component");
}
