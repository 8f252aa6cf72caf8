//! Which files of a crate use which others, read from their text: paths that begin with `crate`, `self`, `super`, or a
//! module that is declared or imported. A name that a file re-exports from below leads to where it comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{read, rust_files};

/// The path of a module or of something in it, from the root of its crate.
type Name = Vec<String>;

/// The modules of a crate that have a file, tests aside.
pub(super) struct Crate(BTreeMap<Name, Module>);

struct Module {
    file: String,
    code: String,
    /// What else it imports or re-exports, by the name it has here.
    exports: BTreeMap<String, Name>,
    /// Modules that it imports.
    imported: BTreeMap<String, Name>,
}

impl Crate {
    /// Reads the files of a package. The binary's own `main.rs` is not one of them: nothing can use it.
    pub(super) fn read(root: &Path, package: &str) -> Self {
        let source = root.join(package).join("src");
        let mut modules = BTreeMap::new();
        for file in rust_files(&source) {
            let inside = file.strip_prefix(&source).unwrap().with_extension("");
            let mut name: Name = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if name.iter().any(|part| part == "tests") || name == ["main"] {
                continue;
            }
            if name.last().is_some_and(|last| last == "mod") || name == ["lib"] {
                name.pop();
            }
            let file = file.strip_prefix(root).unwrap().display().to_string();
            let code = without_tests(&read(&root.join(&file)));
            modules.insert(name, Module { file, code, exports: BTreeMap::new(), imported: BTreeMap::new() });
        }
        let mut new = Self(modules);
        let names: Vec<Name> = new.0.keys().cloned().collect();
        for name in names {
            new.take_in_statements(&name);
        }
        new
    }

    /// Which file uses which others.
    pub(super) fn uses(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, module) in &self.0 {
            let used = uses.entry(module.file.clone()).or_default();
            for path in paths(&module.code) {
                used.extend(self.absolute(name, &path).and_then(|path| self.file_of(path)));
            }
            used.remove(&module.file);
        }
        uses
    }

    /// Reads the `use` statements of a module. Those that only re-export what lies below it make it no user of that.
    fn take_in_statements(&mut self, name: &Name) {
        let mut code = String::new();
        let (mut exports, mut imported) = (BTreeMap::new(), BTreeMap::new());
        for statement in self.0[name].code.split_inclusive(';') {
            let (head, list) = statement.split_once("use ").unwrap_or((statement, ""));
            let word = head.lines().last().unwrap_or_default().trim();
            if list.is_empty() || !(word.is_empty() || word.starts_with("pub")) {
                code.push_str(statement);
                continue;
            }
            let public = !word.is_empty();
            let found: Vec<Name> = paths(list).iter().filter_map(|path| self.absolute(name, path)).collect();
            if !public || found.iter().any(|path| !path.starts_with(name)) {
                code.push_str(statement);
            }
            for path in found {
                let known = if self.0.contains_key(&path) { &mut imported } else { &mut exports };
                known.insert(path.last().cloned().unwrap_or_default(), path);
            }
        }
        let module = self.0.get_mut(name).unwrap();
        *module = Module { file: module.file.clone(), code, exports, imported };
    }

    /// A path from the root of the crate; none if it leads to another crate or nowhere.
    fn absolute(&self, module: &Name, path: &[String]) -> Option<Name> {
        let mut at = module.clone();
        let mut rest = path;
        match rest[0].as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    at.pop()?;
                    rest = &rest[1..];
                }
                return Some([&at[..], rest].concat());
            }
            first => {
                let child = [&module[..], &rest[..1]].concat();
                at = match self.0[module].imported.get(first) {
                    Some(imported) => imported.clone(),
                    None => Some(child).filter(|child| self.0.contains_key(child))?,
                };
            }
        }
        Some([&at[..], &rest[1..]].concat())
    }

    /// The file in which what a path leads to is, past re-exports.
    fn file_of(&self, path: Name) -> Option<String> {
        let depth = (0..=path.len()).rev().find(|depth| self.0.contains_key(&path[..*depth]))?;
        let module = &self.0[&path[..depth]];
        match path.get(depth).and_then(|name| module.exports.get(name)) {
            Some(origin) if *origin != path => self.file_of([origin, &path[depth + 1..]].concat()),
            _ => Some(module.file.clone()),
        }
    }
}

/// A source without its comments and what is compiled for tests alone.
pub(super) fn without_tests(source: &str) -> String {
    let mut code = String::new();
    let mut lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            code.push_str(line);
            code.push('\n');
        } else if lines.by_ref().find(|line| !line.starts_with("#[")).is_some_and(|item| item.ends_with('{'))
        {
            lines.by_ref().find(|line| line.starts_with('}'));
        }
    }
    code
}

/// Every path of more than one part in a source, groups taken apart.
fn paths(code: &str) -> Vec<Name> {
    let mut found = Vec::new();
    let mut rest = code;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if word > 0 && before != ':' && before != '.' && rest[word..].starts_with("::") {
            let after = tree(rest, &[], &mut found);
            before = '}';
            rest = after;
        } else {
            let step = word.max(first.len_utf8());
            before = rest[..step].chars().next_back().unwrap_or(' ');
            rest = &rest[step..];
        }
    }
    found
}

/// Reads one path, or one branch of a group, and answers with what is left.
fn tree<'a>(text: &'a str, stem: &[String], found: &mut Vec<Name>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = tree(rest, stem, found).trim_start();
            // `as` and what follows it.
            rest = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
            match rest.strip_prefix(',') {
                Some(more) if !more.trim_start().starts_with('}') => rest = more,
                more => return more.unwrap_or(rest).trim_start().trim_start_matches('}'),
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match rest.strip_prefix("::") {
        Some(more) if !more.starts_with('<') => tree(more, &[stem, &[name.to_owned()]].concat(), found),
        _ if name == "self" || name.is_empty() => {
            found.push(stem.to_vec());
            rest
        }
        _ => {
            found.push([stem, &[name.to_owned()]].concat());
            rest
        }
    }
}
