//! The SDK as it is laid down beside a new plugin: its sources and WIT, with the versions that this workspace builds it
//! with written out, so that nothing is needed but a registry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::{read_text, write_if_changed};

/// What stands before a module of tests, which is left out.
const TESTS: &str = "#[cfg(test)]\nmod tests;\n";

/// The examples that a new plugin can begin as: those with a `template.toml`, by name.
pub(crate) fn templates(examples: &Path) -> Result<Vec<String>, String> {
    let unread = |error| format!("{}: {error}", examples.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(examples).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        if entry.path().join("template.toml").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Writes `sdk.rs`, which includes everything: `FILES`, a path under `vendor/` and a text each, and `LOCK`, the versions of all
/// that the SDK and the examples named depend on; and `examples.rs`, with `EXAMPLES`.
pub(crate) fn embed(workspace: &Path, out_dir: &Path, examples: &[String]) -> Result<(), String> {
    let versions = Versions(read_text(&workspace.join("Cargo.toml"))?);
    let mut files = BTreeMap::new();
    collect(&workspace.join("sdk/src"), "prx-sdk/src", &mut files)?;
    collect(&workspace.join("wit"), "wit", &mut files)?;
    let manifest = versions.write_out(&read_text(&workspace.join("sdk/Cargo.toml"))?)?;
    files.insert("prx-sdk/Cargo.toml".into(), manifest);
    files.insert("prx-sdk/LICENSE".into(), read_text(&workspace.join("LICENSE"))?);

    let mut source = String::from("pub(super) const FILES: &[(&str, &str)] = &[\n");
    for (path, text) in &files {
        let copy = out_dir.join("vendor").join(path);
        fs::create_dir_all(copy.parent().unwrap_or(out_dir)).map_err(|error| error.to_string())?;
        write_if_changed(&copy, text.as_bytes())?;
        let _ = writeln!(source, "    ({path:?}, include_str!({copy:?})),");
    }
    let mut templates = String::from("pub(super) const EXAMPLES: &[Example] = &[\n");
    for name in examples {
        templates.push_str(&example(name, &workspace.join("examples").join(name), &versions)?);
    }
    templates.push_str("];\n");
    write_if_changed(&out_dir.join("examples.rs"), templates.as_bytes())?;
    let packages: Vec<String> = examples.iter().map(|example| format!("prx-{example}")).collect();
    let lock = locked(&read_text(&workspace.join("Cargo.lock"))?, &packages);
    write_if_changed(&out_dir.join("vendor/Cargo.lock"), lock.as_bytes())?;
    let _ = writeln!(
        source,
        "];\npub(super) const LOCK: &str = include_str!({:?});",
        out_dir.join("vendor/Cargo.lock")
    );
    write_if_changed(&out_dir.join("sdk.rs"), source.as_bytes())
}

/// An example, as an expression: what its template says, what it depends on, and its files.
fn example(name: &str, folder: &Path, versions: &Versions) -> Result<String, String> {
    let template = read_text(&folder.join("template.toml"))?;
    let manifest = versions.write_out(&read_text(&folder.join("Cargo.toml"))?)?;
    let begin = manifest.find("[dependencies]").ok_or_else(|| format!("{name} depends on nothing"))?;
    let dependencies = manifest[begin..].trim_end();
    let mut files = String::new();
    for part in ["", "src"] {
        let unread = |error| format!("{}: {error}", folder.join(part).display());
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder.join(part)).map_err(unread)? {
            paths.push(entry.map_err(unread)?.path());
        }
        paths.sort();
        for path in paths {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_plugins = file == "plugin.toml" || file.ends_with(".json") || file.ends_with(".rs");
            if is_plugins {
                let place = if part.is_empty() { file } else { format!("{part}/{file}") };
                let _ = write!(files, "({place:?}, {:?}), ", read_text(&path)?);
            }
        }
    }
    Ok(format!(
        "    Example {{ name: {name:?}, template: {template:?}, dependencies: {dependencies:?}, files: &[{files}] }},\n"
    ))
}

/// The files of a folder that are built, but for what is only compiled for the SDK's own tests.
fn collect(folder: &Path, name: &str, files: &mut BTreeMap<String, String>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = format!("{name}/{file}");
        match path.extension().and_then(|kind| kind.to_str()) {
            _ if matches!(&*file, "tests" | "tests.rs" | "frozen") => {}
            _ if path.is_dir() => collect(&path, &name, files)?,
            Some("rs" | "wit") => _ = files.insert(name, read_text(&path)?.replace(TESTS, "")),
            _ => {}
        }
    }
    Ok(())
}

/// The workspace's manifest, a line a version.
struct Versions(String);

impl Versions {
    /// A package's manifest with what it takes from the workspace written into it.
    fn write_out(&self, manifest: &str) -> Result<String, String> {
        let (mut written, mut table) = (String::new(), "");
        for line in manifest.lines() {
            if line.starts_with('[') {
                table = line.trim_matches(['[', ']']);
            }
            // The workspace's lints are for those who work in it.
            if table == "lints" {
                continue;
            }
            let line =
                match (line.strip_suffix(".workspace = true"), line.split_once(" = { workspace = true, ")) {
                    (Some(key), _) => format!("{key} = {}", self.get(table, key)?),
                    (_, Some((key, rest))) => {
                        let version = self.get(table, key)?;
                        let version = match version.strip_prefix('{') {
                            Some(table) => table.trim_end_matches('}').trim().to_owned(),
                            None => format!("version = {version}"),
                        };
                        format!("{key} = {{ {version}, {rest}")
                    }
                    _ => line.to_owned(),
                };
            written.push_str(&line);
            written.push('\n');
        }
        Ok(format!("{}\n", written.trim_end()))
    }

    fn get(&self, table: &str, key: &str) -> Result<&str, String> {
        let table = if table == "package" { "[workspace.package]" } else { "[workspace.dependencies]" };
        let rest = self.0.split_once(table).map_or("", |(_, rest)| rest);
        let mut lines = rest.lines().take_while(|line| !line.starts_with('['));
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        value.ok_or_else(|| format!("Cargo.toml has no line `{key} = …` under {table}"))
    }
}

/// What of a `Cargo.lock` these packages depend on, themselves left out.
fn locked(lock: &str, packages: &[String]) -> String {
    let mut parts = lock.split("[[package]]\n");
    let head = parts.next().unwrap_or_default();
    let field = |part: &str, key: &str| {
        let value =
            part.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'));
        value.unwrap_or_default().to_owned()
    };
    let parts: Vec<(String, String, &str)> =
        parts.map(|part| (field(part, "name"), field(part, "version"), part)).collect();
    let (mut wanted, mut kept) = (packages.to_vec(), BTreeSet::new());
    while let Some(next) = wanted.pop() {
        // Where there are several versions of a package, the one that is meant stands behind its name.
        let (name, version) = next.split_once(' ').unwrap_or((&next, ""));
        let fits =
            |(of, at, _): &&(String, String, &str)| of == name && (version.is_empty() || at == version);
        for (name, version, part) in parts.iter().filter(fits) {
            if kept.insert((name, version)) {
                let dependencies =
                    part.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\","));
                wanted.extend(dependencies.map(str::to_owned));
            }
        }
    }
    let is_kept = |(name, version, _): &&(String, String, &str)| {
        !packages.contains(name) && kept.contains(&(name, version))
    };
    let parts: Vec<&str> = parts.iter().filter(is_kept).map(|(_, _, part)| part.trim_end()).collect();
    format!("{head}[[package]]\n{}\n", parts.join("\n\n[[package]]\n"))
}
