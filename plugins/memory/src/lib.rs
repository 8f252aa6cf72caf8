//! Tools with which a model remembers, recalls and forgets. What fits a message is recalled for its turn anyway; these
//! are for what the model wants to keep, look up or drop itself.

#[cfg(test)]
mod tests;

use prx_sdk::memory::{self, MemoryEntry};
use prx_sdk::tool::{CallContext, Fault, ToolOutput, TypedTool};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Remember {
    text: String,
    #[serde(default)]
    tags: Vec<String>,
}

impl TypedTool for Remember {
    const NAME: &str = "remember";
    const DESCRIPTION: &str = "Keeps a fact about the user for later conversations: a name, a preference, a plan. One \
        fact a call, as a sentence that can be understood on its own. Not for secrets, and not for what anyone else \
        but the user said.";
    const PARAMETERS: &str = r#"{
        "type": "object",
        "properties": {
            "text": { "type": "string", "minLength": 1, "maxLength": 4096, "description": "The fact, as a sentence" },
            "tags": {
                "type": "array", "maxItems": 16, "items": { "type": "string", "minLength": 1, "maxLength": 64 },
                "description": "Further words under which it should be found"
            }
        },
        "required": ["text"]
    }"#;

    fn call(self, _: &CallContext) -> Result<ToolOutput, Fault> {
        let id = memory::remember(&self.text, &self.tags)?;
        Ok(ToolOutput::structured(format!("Remembered as {id}."), &json!({"id": id})))
    }
}

#[derive(Deserialize)]
struct Recall {
    query: String,
    #[serde(default = "usual")]
    limit: u32,
}

const fn usual() -> u32 {
    5
}

impl TypedTool for Recall {
    const NAME: &str = "recall";
    const DESCRIPTION: &str = "Looks up what was remembered about the user, by words that it may be told in. Gives the \
        id of each memory, which `forget` takes.";
    const PARAMETERS: &str = r#"{
        "type": "object",
        "properties": {
            "query": { "type": "string", "minLength": 1, "description": "Words to look for" },
            "limit": { "type": "integer", "minimum": 1, "maximum": 100, "default": 5 }
        },
        "required": ["query"]
    }"#;
    const READ_ONLY: bool = true;

    fn call(self, _: &CallContext) -> Result<ToolOutput, Fault> {
        let found = memory::recall(&self.query, self.limit)?;
        if found.is_empty() {
            return Ok(ToolOutput::structured("Nothing is remembered about that.", &json!({"memories": []})));
        }
        let lines: Vec<String> = found.iter().map(|entry| format!("{}: {}", entry.id, entry.text)).collect();
        let memories: Vec<Value> = found.iter().map(shown).collect();
        Ok(ToolOutput::structured(lines.join("\n"), &json!({"memories": memories})))
    }
}

#[derive(Deserialize)]
struct Forget {
    id: String,
}

impl TypedTool for Forget {
    const NAME: &str = "forget";
    const DESCRIPTION: &str = "Forgets something about the user that is wrong, or that the user wants forgotten. \
        `recall` gives the ids.";
    const PARAMETERS: &str = r#"{
        "type": "object",
        "properties": { "id": { "type": "string", "description": "As recall gives it: mem_…" } },
        "required": ["id"]
    }"#;

    fn call(self, _: &CallContext) -> Result<ToolOutput, Fault> {
        match memory::forget(&self.id)? {
            true => Ok("Forgotten.".into()),
            false => Err(Fault::bad_input(format!("there is no memory {}; recall gives the ids", self.id))),
        }
    }
}

prx_sdk::plugin! { tools: [Remember, Recall, Forget], manifest: "plugin.toml" }

fn shown(entry: &MemoryEntry) -> Value {
    json!({"id": entry.id, "text": entry.text, "tags": entry.tags})
}
