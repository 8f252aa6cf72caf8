//! The smallest tool there is.

use prx_sdk::tool::{CallContext, Fault, ToolOutput, TypedTool};

#[derive(serde::Deserialize)]
struct Hello {
    name: String,
}

impl TypedTool for Hello {
    const NAME: &str = "hello";
    const DESCRIPTION: &str = "Greets someone by name.";
    const PARAMETERS: &str = r#"{
        "type": "object",
        "properties": { "name": { "type": "string" } },
        "required": ["name"]
    }"#;

    fn call(self, _: &CallContext) -> Result<ToolOutput, Fault> {
        Ok(format!("Hello, {}!", self.name).into())
    }
}

prx_sdk::plugin! { tools: [Hello], manifest: "plugin.toml" }

#[cfg(test)]
mod tests {
    use prx_sdk::tool;

    use super::*;

    #[test]
    fn someone_is_greeted_by_name() {
        let greeted = tool::call::<Hello>(r#"{"name": "Ada"}"#, &CallContext::default());
        assert_eq!(greeted.unwrap().text, "Hello, Ada!");
        let nameless = tool::call::<Hello>("{}", &CallContext::default()).unwrap_err();
        assert!(nameless.message.contains("name"), "{nameless:?}");
    }
}
