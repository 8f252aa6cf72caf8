//! `<data-dir>/skills`: one folder a skill.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use prx_base::error::{Error, Result};

use super::file::{self, SKILL_FILE, why};
use super::listing::{self, Listing, is_hidden};
use super::skill::Skill;

/// Most skills.
pub(crate) const MAX_SKILLS: usize = 256;
/// Most entries of the folder of all skills that are looked at.
const MAX_ENTRIES: usize = 4096;
/// Most bytes of a SKILL.md: an agent keeps its instructions with a turn.
const MAX_SKILL_BYTES: u64 = 64 << 10;
/// Most bytes of a file beside it.
const MAX_FILE_BYTES: u64 = 256 << 10;
/// Most bytes of a file's path, and how many folders deep it may lie.
const MAX_PATH: usize = 1024;
const MAX_DEPTH: usize = 16;

/// A cheap-clone handle to the folder of all skills.
#[derive(Debug, Clone)]
pub struct SkillFolder(Arc<Path>);

/// What lies in the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The skills that can be used, by name.
    pub skills: Vec<Skill>,
    /// The folders that are none, by name, and why.
    pub broken: Vec<(String, String)>,
    /// Why the folder itself can't be read.
    pub unreadable: Option<String>,
}

impl SkillFolder {
    /// The folder in this data directory. It need not be there.
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("skills").into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder, for its owner only, where there is none.
    ///
    /// # Errors
    /// It can't be made.
    pub fn make(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }

    /// A skill as it is on disk now, and its instructions in Markdown.
    ///
    /// # Errors
    /// Why it can't be used.
    pub async fn skill(&self, name: &str) -> Result<(Skill, String)> {
        let name = name.to_owned();
        self.run(move |folder| folder.open().and_then(|root| skill(&root, &name))).await
    }

    /// The files beside a skill's SKILL.md.
    ///
    /// # Errors
    /// Its folder can't be read.
    pub async fn beside(&self, name: &str) -> Result<Listing> {
        let name = name.to_owned();
        self.run(move |folder| folder.open().and_then(|root| Ok(listing::of(&enter(&root, &name)?)))).await
    }

    /// A text by its path within a skill's folder.
    ///
    /// # Errors
    /// Why it can't be read, for who wrote the path.
    pub async fn file(&self, name: &str, path: &str) -> Result<String> {
        let (name, path) = (name.to_owned(), path.to_owned());
        self.run(move |folder| {
            check_path(&path)?;
            let within = enter(&folder.open()?, &name)?;
            file::read(&within, &path, MAX_FILE_BYTES).map_err(|why| format!("{path:?} {why}"))
        })
        .await
    }

    /// All that lies in it, where blocking is fine.
    pub(crate) fn scan(&self) -> Found {
        let names = self.names().map_err(|error| format!("the folder {}", why(&error)));
        match names.and_then(|names| Ok((names, self.open()?))) {
            Ok((names, root)) => look_at(&names, &root),
            Err(why) => Found { unreadable: Some(why), ..Found::default() },
        }
    }

    /// The folders in it, and the links that may lead to some, by name. Files and what is hidden are left alone.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)?.take(MAX_ENTRIES) {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if !is_hidden(&name) && (kind.is_dir() || kind.is_symlink()) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self) -> Result<Dir, String> {
        let opened = Dir::open_ambient_dir(&self.0, ambient_authority());
        opened.map_err(|error| format!("the folder {}", why(&error)))
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> Result<R, String> + Send + 'static,
    ) -> Result<R> {
        let folder = self.clone();
        let done = tokio::task::spawn_blocking(move || work(folder)).await.map_err(Error::internal)?;
        done.map_err(Error::bad_request)
    }
}

fn look_at(names: &[String], root: &Dir) -> Found {
    let mut found = Found::default();
    for name in names.iter().take(MAX_SKILLS) {
        match skill(root, name) {
            Ok((skill, _)) => found.skills.push(skill),
            Err(why) => found.broken.push((name.clone(), why)),
        }
    }
    if let Some(first) = names.get(MAX_SKILLS) {
        let more = names.len() - MAX_SKILLS;
        let why = format!(
            "{MAX_SKILLS} skills are the most: it is left out, with what comes after it by name ({more} in all)"
        );
        found.broken.push((first.clone(), why));
    }
    found
}

/// The skill of this name in the folder of all, and its instructions.
fn skill(root: &Dir, name: &str) -> Result<(Skill, String), String> {
    let folder = enter(root, name)?;
    match file::read(&folder, SKILL_FILE, MAX_SKILL_BYTES) {
        Ok(text) => Skill::parse(name, &text).map_err(|why| format!("{SKILL_FILE}: {why}")),
        Err(why) => Err(match misspelled(&folder) {
            Some(name) => format!("its {name} has to be called {SKILL_FILE}"),
            None => format!("its {SKILL_FILE} {why}"),
        }),
    }
}

fn enter(root: &Dir, name: &str) -> Result<Dir, String> {
    root.open_dir(name).map_err(|error| match error.kind() {
        ErrorKind::NotADirectory => "it is no folder".to_owned(),
        _ => format!("its folder {}", why(&error)),
    })
}

/// What is called almost like the file that is missed.
fn misspelled(folder: &Dir) -> Option<String> {
    let names = folder.entries().ok()?.flatten().take(MAX_ENTRIES).map(|entry| entry.file_name());
    names
        .filter_map(|name| name.into_string().ok())
        .find(|name| name != SKILL_FILE && name.eq_ignore_ascii_case(SKILL_FILE))
}

fn check_path(path: &str) -> Result<(), String> {
    if path.len() > MAX_PATH || Path::new(path).components().count() > MAX_DEPTH {
        return Err(format!(
            "a path of {MAX_PATH} bytes and {MAX_DEPTH} parts is the longest; this one has {} bytes",
            path.len()
        ));
    }
    let hidden = Path::new(path).components().any(|part| match part {
        Component::Normal(name) => name.to_str().is_some_and(is_hidden),
        _ => false,
    });
    match hidden {
        true => Err(format!("{path:?} is hidden, and stays so")),
        false if path.is_empty() => Err("a path within the skill's folder is wanted".to_owned()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
