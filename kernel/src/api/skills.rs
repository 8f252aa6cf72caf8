//! Skills of all plugins, and of the operator's folders.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::gateway::Gateway;
use prx_base::error::Result;
use prx_host::SkillEntry;
use prx_http::{Call, Doc, Reply};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Skill")]
struct SkillView {
    name: String,
    source: String,
    description: String,
    triggers: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Skills {
    skills: Vec<SkillView>,
}

pub(super) const LIST: Doc = Doc::new("List skills").answers::<Skills>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let listed = |SkillEntry { source, info, .. }: SkillEntry| SkillView {
        name: info.name,
        source,
        description: info.description,
        triggers: info.triggers,
    };
    Reply::ok(&Skills { skills: gateway.plugins.skills().into_iter().map(listed).collect() })
}
