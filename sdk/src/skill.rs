//! The `skill` capability: named abilities that a trigger in a message brings in.
//!
//! ```
//! use prx_sdk::skill::{Activation, Fault, Skill, SkillInfo, SkillInput};
//!
//! pub struct Shout;
//!
//! impl Skill for Shout {
//!     fn skills() -> Vec<SkillInfo> {
//!         vec![SkillInfo::new("shout", "Says it loudly.", &["/shout"])]
//!     }
//!
//!     fn activate(name: &str, input: SkillInput) -> Result<Activation, Fault> {
//!         match name {
//!             "shout" => Ok(Activation::Reply(input.text.to_uppercase())),
//!             _ => Err(Fault::bad_input(format!("there is no skill {name}"))),
//!         }
//!     }
//! }
//!
//! prx_sdk::plugin! { skill: Shout, manifest: "plugin.toml" }
//! ```

pub use crate::types::{Fault, FaultCode};
pub use crate::wire::skill::{Activation, Instructions, SkillInfo, SkillInput};

use crate::wire::skill as wire;

/// The skills of a plugin.
pub trait Skill {
    /// The skills there are, the same at every call. Asked once at each load.
    fn skills() -> Vec<SkillInfo>;

    /// Called when a message begins with one of the skill's triggers.
    ///
    /// # Errors
    /// Why the skill cannot be had for this message; an unknown name is `bad-input`.
    fn activate(name: &str, input: SkillInput) -> Result<Activation, Fault>;
}

impl SkillInfo {
    /// A skill's entry in the list.
    pub fn new(name: &str, description: &str, triggers: &[&str]) -> Self {
        let triggers = triggers.iter().map(|&trigger| trigger.to_owned()).collect();
        Self { name: name.to_owned(), description: description.to_owned(), triggers }
    }
}

impl<T: Skill> wire::Guest for T {
    fn skills() -> Vec<SkillInfo> {
        T::skills()
    }

    fn activate(name: String, input: SkillInput) -> Result<Activation, Fault> {
        T::activate(&name, input)
    }
}
