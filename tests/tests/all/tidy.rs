//! The house is in order: arrows point one way, files fit a sitting, the kernel knows no vendor, and the routes are
//! those that are documented.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Who may use whom: a module uses those in the lines above its own, and those beside it as long as nothing goes in
/// circles. What `APART` says stays apart.
const LAYERS: [&[&str]; 8] = [
    &["error", "clock"],
    &["config", "events", "logs", "egress", "store"],
    &["http", "plugin", "memory", "mcp"],
    &["tool"],
    &["channel", "session", "webhook"],
    &["kernel"],
    &["api"],
    &["cli", "main", "lib"],
];
/// HTTP knows no resource, and plugins and what they serve don't know HTTP.
const APART: [(&str, &[&str]); 2] = [("http", &["plugin", "memory", "mcp"]), ("tool", &["http"])];

const VENDORS: [&str; 8] =
    ["telegram", "discord", "anthropic", "openai", "slack", "whatsapp", "gemini", "mistral"];

#[test]
fn arrows_point_one_way() {
    let uses = edges();
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut wrong = Vec::new();
    for (from, to) in uses.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to))) {
        let apart = APART.iter().any(|(one, others)| {
            (from == one && others.contains(&to.as_str())) || (to == one && others.contains(&from.as_str()))
        });
        match (layer(from), layer(to)) {
            (Some(from), Some(to)) if to <= from && !apart => {}
            (Some(_), Some(_)) => wrong.push(format!("{from} must not use {to}")),
            _ => wrong.push(format!("{from} uses {to}: which layer is each of them in?")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // Modules that use nothing that is left are taken away until nothing is; what stays is a circle.
    let mut left = uses;
    loop {
        let names: BTreeSet<String> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|_, used| used.iter().any(|module| names.contains(module)));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "these use each other in a circle: {left:#?}");
}

#[test]
fn files_fit_a_sitting() {
    for folder in ["kernel", "sdk", "plugins", "examples", "tests"] {
        for file in rust_files(&root().join(folder)) {
            let lines = read(&file).lines().count();
            assert!(lines <= 500, "{} has {lines} lines; 500 are the most", shown(&file));
        }
    }
    let tidy = read(&root().join("tests/tests/tidy.rs")).lines().count();
    assert!(tidy < 200, "this test itself stays under 200 lines");
}

#[test]
fn the_kernel_knows_no_vendor() {
    for file in rust_files(&root().join("kernel/src")) {
        for (number, line) in read(&file).lines().enumerate() {
            let line = line.to_lowercase();
            let named = VENDORS.iter().find(|vendor| line.contains(**vendor));
            assert!(named.is_none(), "{}:{}: {}", shown(&file), number + 1, named.unwrap_or(&""));
        }
    }
}

#[test]
fn routes_are_those_of_the_reference() {
    let (served, reference) = (served(), reference());
    assert!(reference.len() > 15, "the reference has its routes: {reference:?}");
    let (later, beyond) = (differing("later"), differing("beyond"));
    let missing: Vec<_> = reference.difference(&served).filter(|route| !later.contains(*route)).collect();
    assert!(missing.is_empty(), "in the reference, but not served: {missing:?}");
    let early: Vec<_> = later.intersection(&served).collect();
    assert!(early.is_empty(), "served now: delete them from tests/reference/routes.txt: {early:?}");
    let unknown: Vec<_> = served.difference(&reference).filter(|route| !beyond.contains(*route)).collect();
    assert!(unknown.is_empty(), "served, but documented nowhere: {unknown:?}");
}

/// The routes that `routes.txt` marks with this word.
fn differing(word: &str) -> BTreeSet<String> {
    let list = read(&root().join("tests/reference/routes.txt"));
    list.lines().filter_map(|line| Some(line.strip_prefix(word)?.trim().to_owned())).collect()
}

/// The routes under `/api/v1` in the kernel's table, as `GET /sessions/{}`. A line of it is `get("/api/v1/…", …)`.
fn served() -> BTreeSet<String> {
    let table = without_tests(&read(&root().join("kernel/src/api/mod.rs")));
    let lines = table.lines().filter_map(|line| {
        let (call, rest) = line.trim().split_once("(\"/api/v1")?;
        let method = if call == "open" { "GET".to_owned() } else { call.to_uppercase() };
        let path: Vec<&str> = rest.split('"').next()?.split('/').collect();
        let path: Vec<&str> =
            path.into_iter().map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
        Some(format!("{method} {}", path.join("/")))
    });
    lines.collect()
}

/// The routes that the reference page documents, in the same form.
fn reference() -> BTreeSet<String> {
    let page = read(&root().join("tests/reference/api-reference.txt"));
    let lines = page.lines().filter_map(|line| {
        let (method, path) = line.split_once(" /api/v1")?;
        let known = ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method);
        let path: Vec<&str> =
            path.split('/').map(|part| if part.starts_with(':') { "{}" } else { part }).collect();
        known.then(|| format!("{method} {}", path.join("/")))
    });
    lines.collect()
}

/// Which top-level module of the kernel uses which others, leaving tests aside.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let source = root().join("kernel/src");
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in rust_files(&source) {
        let inside: Vec<_> =
            file.strip_prefix(&source).unwrap_or(&file).iter().map(|part| part.to_string_lossy()).collect();
        if inside.iter().any(|part| part.starts_with("tests")) {
            continue;
        }
        let module = inside[0].trim_end_matches(".rs").to_owned();
        for mention in without_tests(&read(&file)).split("crate::").skip(1) {
            let group =
                mention.strip_prefix('{').map_or(mention, |group| group.split("};").next().unwrap_or(group));
            let used = if group.len() == mention.len() { vec![group] } else { group.split(',').collect() };
            for used in used {
                let name: String =
                    used.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                if !name.is_empty() && name != module {
                    uses.entry(module.clone()).or_default().insert(name);
                }
            }
        }
    }
    uses
}

fn without_tests(source: &str) -> String {
    let code = source.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    code.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if entry.is_dir() {
            files.extend(rust_files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}
