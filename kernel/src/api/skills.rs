//! Skills of all plugins.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Result;
use crate::http::{Call, Doc, Reply};
use crate::kernel::Kernel;
use crate::plugin::SkillEntry;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Skill")]
struct Listed {
    name: String,
    source: String,
    description: String,
    triggers: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Skills {
    skills: Vec<Listed>,
}

pub(super) const LIST: Doc = Doc::new("List skills").answers::<Skills>(&[200]);

pub(super) async fn list(kernel: Arc<Kernel>, _: Call) -> Result<Reply> {
    let listed = |SkillEntry { source, info, .. }: SkillEntry| Listed {
        name: info.name,
        source,
        description: info.description,
        triggers: info.triggers,
    };
    Reply::ok(&Skills { skills: kernel.plugins.skills().into_iter().map(listed).collect() })
}
