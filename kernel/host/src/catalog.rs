//! A snapshot of all plugins: the generation of each that serves, and which plugin gives which capability.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::bindings::{skill, tool};
use super::generation::Generation;
use super::grants;
use super::manifest::{Manifest, Permissions};
use super::route_table::RouteTable;
use prx_skill_folders::{Found, Skill};

/// The state of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "PluginState")]
pub enum Status {
    /// It serves.
    Loaded,
    /// The operator switched it off.
    Disabled,
    /// It could not be loaded, or was quarantined.
    Failed,
}

/// The outcome of a reload: code that was put in the place of other code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The plugin's name.
    pub name: String,
    /// The generation that was there before.
    pub from: Option<u64>,
    /// The generation that is there now.
    pub to: u64,
    /// How long compiling it took; next to nothing where it was in the cache.
    pub compile_ms: u64,
    /// What whoever put it there should know of its version.
    pub note: Option<String>,
}

/// How a component came.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// `upload`, or the URL that it was fetched from.
    pub source: String,
    /// Who sent it: the id of a token, or `owner`; none where that is not known.
    pub by: Option<String>,
    /// A lower version than the one that is installed is meant.
    pub downgrade: bool,
    /// What removed code of the same name has left is meant for it.
    pub inherit: bool,
}

/// A plugin as the API shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Plugin")]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// Its version; `unknown` when its manifest cannot be read.
    pub version: String,
    /// Its state.
    pub status: Status,
    /// What it gives, or would give if it were enabled.
    pub capabilities: Vec<String>,
    /// Linear memory of its instances, and its compiled image.
    pub memory_usage_bytes: u64,
    /// The generation of its code that serves; the newest one there was where none does.
    pub generation: u64,
    /// Whether its code came with the gateway.
    pub bundled: bool,
    /// Why it failed, or why its last reload was refused.
    pub error: Option<String>,
    /// What it is and what it may do.
    #[serde(flatten)]
    pub about: PluginAbout,
}

/// The part of a plugin's status that comes from its manifest.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct PluginAbout {
    /// What it is for.
    pub description: String,
    /// What it asks for.
    pub requested: Permissions,
    /// What of that it is granted.
    pub granted: Permissions,
}

/// How a plugin stands whose manifest could be read.
#[derive(Clone)]
pub struct Standing {
    /// What it says about itself.
    pub manifest: Arc<Manifest>,
    /// Its state.
    pub status: Status,
    /// Its code, while it serves.
    pub serving: Option<Arc<Generation>>,
}

/// The code of an agent, or of a filter.
#[derive(Clone)]
pub struct TriedCode {
    /// The code that serves.
    pub newest: Arc<Generation>,
    /// While that is on probation: the code that served before.
    pub before: Option<Arc<Generation>>,
}

/// A tool and who gives it.
#[derive(Debug, Clone)]
pub struct ToolEntry {
    /// The plugin's name.
    pub plugin: String,
    /// The tool.
    pub info: tool::ToolInfo,
}

/// A skill and who gives it.
#[derive(Debug, Clone)]
pub struct SkillEntry {
    /// `builtin`, `plugin:<name>`, or `local` for a folder of the operator's.
    pub source: String,
    /// The skill.
    pub info: skill::SkillInfo,
}

/// What is known of one plugin.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) status: Status,
    /// Known as soon as it could be read, also when the plugin failed.
    pub(super) manifest: Option<Arc<Manifest>>,
    /// The code that serves, or that would if the plugin were enabled.
    pub(super) generation: Option<Arc<Generation>>,
    /// Of an agent or a filter: the code that served before, until this one has passed its probation.
    pub(super) before: Option<Arc<Generation>>,
    /// The number of the newest generation there was.
    pub(super) newest: u64,
    pub(super) error: Option<String>,
}

impl Entry {
    /// A plugin of which nothing has been loaded.
    pub(super) fn blank(disabled: bool) -> Self {
        let status = if disabled { Status::Disabled } else { Status::Failed };
        Self { status, manifest: None, generation: None, before: None, newest: 0, error: None }
    }

    /// The generation that serves.
    pub(super) fn serving(&self) -> Option<&Arc<Generation>> {
        self.generation.as_ref().filter(|_| self.status == Status::Loaded)
    }

    fn show(&self, name: &str) -> PluginStatus {
        let generation = self.generation.as_deref();
        let about = self.manifest.as_deref().map(|manifest| PluginAbout {
            description: manifest.plugin.description.clone(),
            requested: manifest.permissions.clone(),
            granted: generation.map_or_else(Permissions::default, |generation| {
                grants::granted(&manifest.permissions, &generation.allowance)
            }),
        });
        PluginStatus {
            name: name.to_owned(),
            version: self.manifest.as_ref().map_or("unknown", |manifest| &manifest.plugin.version).to_owned(),
            status: self.status,
            capabilities: generation.map(Generation::capabilities).unwrap_or_default(),
            memory_usage_bytes: generation.map_or(0, Generation::memory_bytes),
            generation: generation.map_or(self.newest, |generation| generation.number),
            bundled: generation.is_some_and(|generation| generation.bundled),
            error: self.error.clone(),
            about: about.unwrap_or_default(),
        }
    }
}

/// The rest of a message that begins with a skill's trigger, in any case and by whole words; none if it does not.
fn after_trigger<'a>(message: &'a str, trigger: &str) -> Option<&'a str> {
    let message = message.trim_start();
    let (begin, rest) = message.split_at_checked(trigger.len())?;
    let whole = rest.chars().next().is_none_or(|next| !next.is_alphanumeric() && !matches!(next, '-' | '_'));
    let fits = !trigger.is_empty() && whole && begin.eq_ignore_ascii_case(trigger);
    let glue = |c: char| c.is_whitespace() || matches!(c, ':' | ',');
    fits.then(|| rest.trim_start_matches(glue).trim_end())
}

/// An immutable snapshot. Readers keep theirs while a new one takes its place.
#[derive(Clone, Default)]
pub(super) struct Catalog {
    /// Rises with each change.
    revision: u64,
    entries: BTreeMap<String, Entry>,
    tools: BTreeMap<String, Arc<Generation>>,
    skills: BTreeMap<String, Arc<Generation>>,
    routes: RouteTable,
    local: LocalSkills,
}

/// The skills that are folders.
#[derive(Clone, Default)]
struct LocalSkills {
    /// What lay there when it was looked at last.
    found: Arc<Found>,
    /// Those that serve, by name.
    serving: BTreeMap<String, skill::SkillInfo>,
    /// Those that don't, because something else gives what they would give.
    conflicts: Vec<(String, String)>,
}

/// Who gives a skill.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Giver<'a> {
    Plugin(&'a str),
    Folder(&'a str),
}

impl fmt::Display for Giver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plugin(name) => write!(f, "plugin {name}"),
            Self::Folder(name) => write!(f, "the folder skills/{name}"),
        }
    }
}

impl Catalog {
    /// The same, but with this entry under this name; without one if there is none.
    pub(super) fn with(&self, name: &str, entry: Option<Entry>) -> Self {
        let mut entries = self.entries.clone();
        match entry {
            Some(entry) => entries.insert(name.to_owned(), entry),
            None => entries.remove(name),
        };
        let local = self.local.clone();
        let mut catalog = Self { revision: self.revision + 1, entries, local, ..Self::default() };
        for generation in catalog.entries.values().filter_map(Entry::serving) {
            for tool in &generation.description.tools {
                catalog.tools.insert(tool.name.clone(), Arc::clone(generation));
            }
            for skill in &generation.description.skills {
                catalog.skills.insert(skill.name.clone(), Arc::clone(generation));
            }
            catalog.routes.insert(generation.name(), generation.prefixes());
        }
        catalog.settle_local_skills();
        catalog
    }

    /// The same, but with these folders as the local skills.
    pub(super) fn with_local_skills(&self, found: Found) -> Self {
        let mut catalog = Self { revision: self.revision + 1, ..self.clone() };
        catalog.local.found = Arc::new(found);
        catalog.settle_local_skills();
        catalog
    }

    /// Decides which local skills serve: those that did so before come first, as code that serves does.
    fn settle_local_skills(&mut self) {
        let before = std::mem::take(&mut self.local.serving);
        self.local.conflicts.clear();
        let found = Arc::clone(&self.local.found);
        let (first, others): (Vec<&Skill>, Vec<&Skill>) =
            found.skills.iter().partition(|skill| before.contains_key(&skill.name));
        for local in first.into_iter().chain(others) {
            let info = skill::SkillInfo {
                name: local.name.clone(),
                description: local.description.clone(),
                triggers: local.triggers.clone(),
            };
            let candidate = (Giver::Folder(&local.name), std::slice::from_ref(&info));
            match self.skill_conflict(candidate) {
                Some(conflict) => self.local.conflicts.push((local.name.clone(), conflict)),
                None => _ = self.local.serving.insert(local.name.clone(), info),
            }
        }
    }

    /// Whether that skill is a folder, and serves.
    pub(super) fn has_local_skill(&self, name: &str) -> bool {
        self.local.serving.contains_key(name)
    }

    /// The folders that were found when they were looked at last.
    pub(super) fn found_skills(&self) -> &Found {
        &self.local.found
    }

    /// The folders that are no skills, or may not serve, and why.
    pub(super) fn skill_problems(&self) -> Vec<String> {
        let found = &*self.local.found;
        let unreadable = found.unreadable.iter().map(|why| format!("no local skill is used: {why}"));
        let broken = found.broken.iter().chain(&self.local.conflicts);
        unreadable.chain(broken.map(|(name, why)| format!("the skill {name} is not used: {why}"))).collect()
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter()
    }

    /// The generation of that plugin, if it serves.
    pub(super) fn serving(&self, name: &str) -> Option<&Arc<Generation>> {
        self.entry(name).and_then(Entry::serving)
    }

    /// Who gives that tool.
    pub(super) fn tool(&self, name: &str) -> Option<&Arc<Generation>> {
        self.tools.get(name)
    }

    /// Who serves what a path leads to, and where in the path begins what is for it to read.
    pub(super) fn route(&self, path: &str) -> Option<(&Arc<Generation>, usize)> {
        let (plugin, at) = self.routes.find(path)?;
        Some((self.serving(plugin).filter(|generation| generation.description.route)?, at))
    }

    /// Who gives that skill.
    pub(super) fn skill(&self, name: &str) -> Option<&Arc<Generation>> {
        self.skills.get(name)
    }

    /// The first capability of `candidate` that another plugin gives already, and which.
    pub(super) fn conflict(&self, candidate: &Generation) -> Option<String> {
        let other = |holder: &&Arc<Generation>| holder.name() != candidate.name();
        let tools = candidate.description.tools.iter().filter_map(|tool| {
            let holder = self.tool(&tool.name).filter(other)?;
            Some(format!("tool {} is already given by plugin {}", tool.name, holder.name()))
        });
        let skills = self.skill_conflict((Giver::Plugin(candidate.name()), &candidate.description.skills));
        let routes = self.routes.conflict(candidate.name(), &candidate.prefixes());
        tools.chain(skills).chain(routes).next()
    }

    /// The first of these skills that someone else gives already, by its name or by a trigger.
    fn skill_conflict(&self, (giver, candidates): (Giver<'_>, &[skill::SkillInfo])) -> Option<String> {
        let others = || self.given_skills().filter(|(other, _)| *other != giver);
        let names = candidates.iter().filter_map(|skill| {
            let (holder, _) = others().find(|(_, held)| held.name == skill.name)?;
            Some(format!("skill {} is already given by {holder}", skill.name))
        });
        let triggers = candidates.iter().flat_map(|skill| &skill.triggers).filter_map(|trigger| {
            let holds = |held: &skill::SkillInfo| {
                held.triggers.iter().any(|held| after_trigger(trigger, held).is_some())
            };
            let (holder, _) = others().find(|(_, held)| holds(held))?;
            Some(format!("what begins with {trigger:?} already triggers a skill of {holder}"))
        });
        names.chain(triggers).next()
    }

    /// Every skill that serves, and who gives it.
    fn given_skills(&self) -> impl Iterator<Item = (Giver<'_>, &skill::SkillInfo)> {
        let serving = self.entries.values().filter_map(Entry::serving);
        let of_plugins = serving.flat_map(|generation| {
            let giver = Giver::Plugin(generation.name());
            generation.description.skills.iter().map(move |skill| (giver, skill))
        });
        of_plugins.chain(self.local.serving.iter().map(|(name, skill)| (Giver::Folder(name), skill)))
    }

    pub(super) fn show(&self, name: &str) -> Option<PluginStatus> {
        self.entry(name).map(|entry| entry.show(name))
    }

    pub(super) fn list(&self) -> Vec<PluginStatus> {
        self.entries.iter().map(|(name, entry)| entry.show(name)).collect()
    }

    pub(super) fn tools(&self) -> Vec<ToolEntry> {
        let serving = self.entries.values().filter_map(Entry::serving);
        let of = |generation: &Arc<Generation>| {
            let plugin = generation.name().to_owned();
            let infos = generation.description.tools.clone();
            infos.into_iter().map(move |info| ToolEntry { plugin: plugin.clone(), info })
        };
        serving.flat_map(of).collect()
    }

    pub(super) fn skills(&self) -> Vec<SkillEntry> {
        let serving = self.entries.values().filter_map(Entry::serving);
        let of = |generation: &Arc<Generation>| {
            let plugin = generation.name().to_owned();
            let source = if generation.bundled { "builtin".to_owned() } else { format!("plugin:{plugin}") };
            let infos = generation.description.skills.clone();
            infos.into_iter().map(move |info| SkillEntry { source: source.clone(), info })
        };
        let local = self.local.serving.values();
        let local = local.map(|info| SkillEntry { source: "local".to_owned(), info: info.clone() });
        serving.flat_map(of).chain(local).collect()
    }
}
