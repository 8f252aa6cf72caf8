//! Skills of all plugins.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::error::Result;
use crate::http::{Call, Reply};
use crate::kernel::Kernel;
use crate::plugin::SkillEntry;

#[derive(Serialize)]
struct Listed {
    name: String,
    source: String,
    description: String,
    triggers: Vec<String>,
}

pub(super) async fn list(kernel: Arc<Kernel>, _: Call) -> Result<Reply> {
    let listed = |SkillEntry { source, info, .. }: SkillEntry| Listed {
        name: info.name,
        source,
        description: info.description,
        triggers: info.triggers,
    };
    let skills: Vec<_> = kernel.plugins.skills().into_iter().map(listed).collect();
    Reply::ok(&json!({"skills": skills}))
}
