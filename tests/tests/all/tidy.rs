//! The house is in order: crates use those below them, files of a crate import downwards, a file fits a sitting, the
//! kernel knows no vendor, and the routes are those that are documented.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use self::imports::Crate;

mod imports;

/// The crates under `kernel/`, and which of them each may use. The binary may use all.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("base", &[]),
    ("store", &["base"]),
    ("egress", &["base"]),
    ("http", &["base", "store"]),
    ("skill-folders", &["base"]),
    ("host", &["base", "store", "egress", "skill-folders"]),
    ("mcp", &["base", "store", "egress"]),
    ("hooks", &["base", "store", "egress"]),
    ("background", &["base", "store", "host"]),
    ("agents", &["base", "store", "egress", "host", "mcp"]),
    ("channels", &["base", "store", "egress", "host"]),
];

/// Imports that may close a circle of files: what the paths of the two files begin with, and the reason.
const CIRCLES: [(&str, &str, &str); 2] = [
    ("sdk/src/http.rs", "sdk/src/", "what sends a request is another file in the sandbox than in a test"),
    ("sdk/src/blobs.rs", "sdk/src/testing/", "in a test, the harness holds the files"),
];

const VENDORS: [&str; 8] =
    ["telegram", "discord", "anthropic", "openai", "slack", "whatsapp", "gemini", "mistral"];

#[test]
fn crates_use_those_below_them() {
    let found: BTreeSet<String> = fs::read_dir(root().join("kernel"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .map(|folder| folder.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        found,
        MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect(),
        "the crates under kernel/"
    );
    for (name, allowed) in MAY_USE {
        let manifest = read(&root().join("kernel").join(name).join("Cargo.toml"));
        for used in manifest.lines().filter_map(|line| line.strip_prefix("prx-")) {
            let used = used.split(['.', ' ', '=']).next().unwrap();
            assert!(allowed.contains(&used), "prx-{name} must not use prx-{used}");
        }
    }
}

#[test]
fn files_of_a_crate_import_downwards() {
    let (mut wrong, mut used_exceptions) = (Vec::new(), BTreeSet::new());
    for folder in
        MAY_USE.iter().map(|(name, _)| format!("kernel/{name}")).chain(["kernel".into(), "sdk".into()])
    {
        let uses = Crate::read(root(), &folder).uses();
        assert!(uses.values().any(|used| !used.is_empty()), "{folder} has files that use each other");
        let excepted = |from: &str, to: &str| {
            CIRCLES.iter().position(|(one, other, _)| from.starts_with(one) && to.starts_with(other))
        };
        let mut kept = uses.clone();
        kept.iter_mut().for_each(|(from, all)| all.retain(|to| excepted(from, to).is_none()));
        for (from, to) in uses.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to))) {
            match excepted(from, to) {
                Some(exception) if reaches(&uses, to, from) => _ = used_exceptions.insert(exception),
                None if reaches(&kept, to, from) => wrong.push(format!("{from} -> {to}")),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "these imports go in circles: {wrong:#?}");
    let idle: Vec<_> =
        (0..CIRCLES.len()).filter(|at| !used_exceptions.contains(at)).map(|at| CIRCLES[at]).collect();
    assert!(idle.is_empty(), "no longer in a circle, to be deleted here: {idle:#?}");
}

/// Whether a file uses another, however many files lie between them.
fn reaches(uses: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let (mut seen, mut next) = (BTreeSet::from([from]), vec![from]);
    while let Some(file) = next.pop() {
        next.extend(
            uses.get(file).into_iter().flatten().map(String::as_str).filter(|used| seen.insert(used)),
        );
    }
    from != to && seen.contains(to)
}

#[test]
fn files_fit_a_sitting() {
    for folder in ["kernel", "sdk", "plugins", "examples", "tests"] {
        for file in rust_files(&root().join(folder)) {
            let lines = read(&file).lines().count();
            assert!(lines <= 500, "{} has {lines} lines; 500 are the most", shown(&file));
        }
    }
    for part in ["tidy.rs", "tidy/imports.rs"] {
        let lines = read(&root().join("tests/tests/all").join(part)).lines().count();
        assert!((1..200).contains(&lines), "{part}, a part of this very test, stays under 200 lines");
    }
}

#[test]
fn the_kernel_knows_no_vendor() {
    let mut files = rust_files(&root().join("kernel"));
    assert!(files.len() > 150, "the kernel's files are found");
    // A benchmark measures bundled components, whatever their names.
    files.retain(|file| file.iter().all(|part| part != "benches"));
    for file in files {
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
    let api = root().join("kernel/src/api");
    let table = imports::without_tests(&read(&api.join("table.rs")));
    let lines = table.lines().filter_map(|line| {
        let (call, rest) = line.trim().split_once("(\"/api/v1")?;
        let method = call.to_uppercase();
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

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}
