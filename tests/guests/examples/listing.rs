//! Tools and skills as the configuration lists them, whatever they are.

use prx_sdk::skill::{Activation, Skill, SkillInfo, SkillInput};
use prx_sdk::tool::{CallContext, Fault, Tool, ToolInfo, ToolOutput};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Default, Deserialize)]
struct Config {
    tools: String,
    skills: String,
}

#[derive(Deserialize)]
struct OneTool {
    name: String,
    #[serde(default)]
    description: String,
    parameters: Value,
}

#[derive(Deserialize)]
struct OneSkill {
    name: String,
    triggers: Vec<String>,
}

struct Listing;

impl Tool for Listing {
    fn tools() -> Vec<ToolInfo> {
        let tool = |OneTool { name, description, parameters }| ToolInfo {
            name,
            description,
            parameters: parameters.to_string(),
            read_only: true,
        };
        listed(|config| config.tools).into_iter().map(tool).collect()
    }

    fn call(name: &str, _: &str, _: CallContext) -> Result<ToolOutput, Fault> {
        Ok(format!("{name} was called").into())
    }
}

impl Skill for Listing {
    fn skills() -> Vec<SkillInfo> {
        let skill = |OneSkill { name, triggers }| SkillInfo { name, description: String::new(), triggers };
        listed(|config| config.skills).into_iter().map(skill).collect()
    }

    fn activate(name: &str, _: SkillInput) -> Result<Activation, Fault> {
        Ok(Activation::Reply(format!("{name} was activated")))
    }
}

prx_sdk::plugin! { tool: Listing, skill: Listing, manifest: "listing.toml" }

fn listed<T: DeserializeOwned>(which: impl Fn(Config) -> String) -> Vec<T> {
    let config = prx_sdk::config::get().map(which).unwrap_or_default();
    serde_json::from_str(&config).unwrap_or_default()
}
