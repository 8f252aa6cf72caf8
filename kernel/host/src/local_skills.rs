//! Skills that are folders of the operator's: followed on disk, and listed beside those of plugins.

use tracing::{info, warn};

use super::registry::Plugins;
use prx_base::error::Result;
use prx_skill_folders::{Follower, Found, Listing, Skill, SkillFolder};

/// A skill that is a folder, and serves.
pub struct LocalSkill {
    folder: SkillFolder,
    name: String,
}

impl LocalSkill {
    /// What it says now, and its instructions in Markdown.
    ///
    /// # Errors
    /// It was changed this very moment, and can't be used any more: why.
    pub async fn read(&self) -> Result<(Skill, String)> {
        self.folder.skill(&self.name).await
    }

    /// The files that lie beside its instructions.
    ///
    /// # Errors
    /// Its folder can't be read any more.
    pub async fn beside(&self) -> Result<Listing> {
        self.folder.beside(&self.name).await
    }

    /// One of these files, by its path within the skill's folder.
    ///
    /// # Errors
    /// Why it can't be read, for who wrote the path.
    pub async fn file(&self, path: &str) -> Result<String> {
        self.folder.file(&self.name, path).await
    }
}

impl Plugins {
    /// Reads the folder of skills. What is returned follows it from then on, for as long as it is polled. In safe mode there
    /// are none.
    pub async fn follow_skills(&self) -> impl Future<Output = ()> + Send + use<> {
        let plugins = self.clone();
        let mut follower =
            plugins.0.skills.clone().map(|folder| Follower::new(folder, plugins.0.base.clock.clone()));
        if let Some(follower) = &mut follower {
            plugins.take_skills(follower.scan().await).await;
        }
        async move {
            let Some(mut follower) = follower else { return };
            loop {
                follower.changed().await;
                plugins.take_skills(follower.scan().await).await;
            }
        }
    }

    /// The skill of this name, if it is a folder, and serves.
    pub fn local_skill(&self, name: &str) -> Option<LocalSkill> {
        let folder = self.0.skills.clone()?;
        self.catalog().has_local_skill(name).then(|| LocalSkill { folder, name: name.to_owned() })
    }

    /// The folders that are no skills, or may not serve, and why.
    pub fn skill_problems(&self) -> Vec<String> {
        self.catalog().skill_problems()
    }

    /// Where the folders of skills lie, unless none are served.
    pub fn skill_folder(&self) -> Option<&SkillFolder> {
        self.0.skills.as_ref()
    }

    async fn take_skills(&self, found: Found) {
        let before = self.catalog();
        {
            let _changing = self.0.changing.lock().await;
            self.0.catalog.rcu(|catalog| std::sync::Arc::new(catalog.with_local_skills(found.clone())));
        }
        let after = self.catalog();
        let (old, new) = (before.found_skills(), after.found_skills());
        for skill in new.skills.iter().filter(|skill| !old.skills.contains(skill)) {
            info!(skill = skill.name, "a skill of the folder was read");
            if !skill.unknown.is_empty() {
                let keys = skill.unknown.join(", ");
                info!(skill = skill.name, "keys of its front matter that mean nothing here: {keys}");
            }
        }
        let is_gone = |skill: &&Skill| !new.skills.iter().any(|other| other.name == skill.name);
        for skill in old.skills.iter().filter(is_gone) {
            info!(skill = skill.name, "a skill of the folder is gone");
        }
        let known = before.skill_problems();
        for problem in after.skill_problems().iter().filter(|problem| !known.contains(problem)) {
            warn!("{problem}");
        }
    }
}
