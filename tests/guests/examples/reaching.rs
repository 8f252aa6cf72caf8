//! A component that reaches for more than it is granted. Tests give it a manifest for what they need.

use prx_sdk::tool::{CallContext, Tool, ToolInfo, ToolOutput};
use prx_sdk::types::Fault;
use prx_sdk::{http, kv};
use serde_json::{Value, json};

struct Reaching;

impl Tool for Reaching {
    fn tools() -> Vec<ToolInfo> {
        let tool = |name: &str, read_only: bool, description: &str| ToolInfo {
            name: name.into(),
            description: description.into(),
            parameters: r#"{"type":"object"}"#.into(),
            read_only,
        };
        vec![
            tool("fetch", false, "Asks for `url`, with the header `name: value` if there is one"),
            tool("look", true, "The same, where that changes nothing"),
            tool("hoard", false, "Keeps `bytes` bytes under each of `keys` keys"),
        ]
    }

    fn call(name: &str, arguments: &str, _: CallContext) -> Result<ToolOutput, Fault> {
        let arguments: Value =
            serde_json::from_str(arguments).map_err(|error| Fault::bad_input(error.to_string()))?;
        match name {
            "fetch" | "look" => fetch(&arguments),
            "hoard" => hoard(&arguments),
            _ => Err(Fault::bad_input(format!("there is no tool {name}"))),
        }
    }
}

prx_sdk::plugin! { tool: Reaching, manifest: "reaching.toml" }

fn fetch(arguments: &Value) -> Result<ToolOutput, Fault> {
    let text = |key: &str| arguments[key].as_str().unwrap_or_default();
    let mut request = http::get(text("url"));
    if !text("name").is_empty() {
        request = request.header(text("name"), text("value"));
    }
    let response = request.send()?;
    let status = response.status;
    let body = response.text()?;
    Ok(ToolOutput::structured(format!("{status} {body}"), &json!({"status": status, "body": body})))
}

fn hoard(arguments: &Value) -> Result<ToolOutput, Fault> {
    let number = |key: &str| arguments[key].as_u64().unwrap_or_default();
    let value = vec![7; number("bytes") as usize];
    for n in 0..number("keys") {
        kv::set(&format!("key-{n}"), &value)?;
    }
    Ok("kept".into())
}
