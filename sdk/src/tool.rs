//! The `tool` capability: what a model, or anyone over the API, may call.
//!
//! Mostly a tool is a type: its fields are the arguments.
//!
//! ```
//! use prx_sdk::tool::{CallContext, Fault, ToolOutput, TypedTool};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Add {
//!     a: i64,
//!     b: i64,
//! }
//!
//! impl TypedTool for Add {
//!     const NAME: &str = "add";
//!     const DESCRIPTION: &str = "Adds two whole numbers.";
//!     const PARAMETERS: &str = r#"{
//!         "type": "object",
//!         "properties": { "a": { "type": "integer" }, "b": { "type": "integer" } },
//!         "required": ["a", "b"]
//!     }"#;
//!
//!     fn call(self, _: &CallContext) -> Result<ToolOutput, Fault> {
//!         Ok((self.a + self.b).to_string().into())
//!     }
//! }
//!
//! prx_sdk::plugin! { tools: [Add], manifest: "plugin.toml" }
//! # use prx_sdk::tool;
//! let sum = tool::call::<Add>(r#"{"a": 2, "b": 3}"#, &CallContext::default());
//! assert_eq!(sum.unwrap().text, "5");
//! ```
//!
//! [`Tool`] is for a plugin that learns its tools only when it runs, from its configuration for instance.

pub use crate::types::{Attachment, AttachmentKind, Fault, FaultCode};
pub use crate::wire::tool::{CallContext, ToolInfo, ToolOutput};

use crate::wire::tool as wire;
use serde::de::DeserializeOwned;

/// The tools of a plugin.
pub trait Tool {
    /// The tools there are, the same at every call. Asked once at each load.
    fn tools() -> Vec<ToolInfo>;

    /// Calls one of them with a JSON object that is meant to fit its parameters, but was not checked.
    ///
    /// # Errors
    /// Why the tool could not do its work; a model reads the message, too. An unknown name or arguments that do not
    /// fit are `bad-input`.
    fn call(name: &str, arguments: &str, context: CallContext) -> Result<ToolOutput, Fault>;
}

/// One tool as a type, whose fields are the arguments.
pub trait TypedTool: DeserializeOwned {
    /// The name by which it is called: lower case letters, digits, `_`.
    const NAME: &str;

    /// What it does and when to use it, for the model that chooses.
    const DESCRIPTION: &str;

    /// JSON Schema of the arguments, an object.
    const PARAMETERS: &str;

    /// Whether a call changes nothing outside.
    const READ_ONLY: bool = false;

    /// Does the work.
    ///
    /// # Errors
    /// Why it could not; a model reads the message, too.
    fn call(self, context: &CallContext) -> Result<ToolOutput, Fault>;
}

/// A typed tool's entry in the list.
pub fn info<T: TypedTool>() -> ToolInfo {
    ToolInfo {
        name: T::NAME.to_owned(),
        description: T::DESCRIPTION.to_owned(),
        parameters: T::PARAMETERS.to_owned(),
        read_only: T::READ_ONLY,
    }
}

/// Calls a typed tool with arguments as JSON.
///
/// # Errors
/// `bad-input` when the arguments do not fit the type; otherwise the tool's own.
pub fn call<T: TypedTool>(arguments: &str, context: &CallContext) -> Result<ToolOutput, Fault> {
    let tool: T = serde_json::from_str(arguments)
        .map_err(|e| Fault::bad_input(format!("arguments of {} do not fit: {e}", T::NAME)))?;
    tool.call(context)
}

impl ToolOutput {
    /// Text for the model, and the same as a JSON value.
    pub fn structured(text: impl Into<String>, value: &serde_json::Value) -> Self {
        Self { structured: Some(value.to_string()), ..Self::from(text.into()) }
    }

    /// Adds a file for the person: one that the call has made ([`blobs::make`](crate::blobs::make)) or was given.
    #[must_use]
    pub fn with(mut self, file: Attachment) -> Self {
        self.attachments.push(file);
        self
    }
}

impl From<String> for ToolOutput {
    fn from(text: String) -> Self {
        Self { text, structured: None, attachments: Vec::new() }
    }
}

impl From<&str> for ToolOutput {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

#[allow(clippy::derivable_impls, reason = "the type is generated")]
impl Default for CallContext {
    /// A call from nowhere, as in a test.
    fn default() -> Self {
        Self { session: None, call: String::new(), user: None }
    }
}

impl<T: Tool> wire::Guest for T {
    fn tools() -> Vec<ToolInfo> {
        T::tools()
    }

    fn call(name: String, arguments: String, context: CallContext) -> Result<ToolOutput, Fault> {
        T::call(&name, &arguments, context)
    }
}
