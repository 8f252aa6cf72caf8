//! Skills as folders, in the Agent Skills format: `<data-dir>/skills/NAME/SKILL.md` says in its front matter what the skill is
//! for and in Markdown how to go about it; files beside it are read where the instructions speak of them. All of it is
//! untrusted text: nothing here is run, no link leads out of the folder, and everything that is read has a bound.

mod file;
mod folder;
mod follow;
mod front_matter;
mod listing;
mod skill;

pub use self::folder::{Found, SkillFolder};
pub use self::follow::Follower;
pub use self::listing::{Beside, Listing};
pub use self::skill::Skill;
