//! A request for a chat completion, read.

use crate::content::{self, MAX_PICTURES};
use crate::error::Refusal;
use prx_sdk::route::Request;
use prx_sdk::turns::{self, Input, Opening, ToolCall, ToolSpec};
use serde_json::{Map, Value, json};

/// What the name of a session begins with.
const SESSION: &str = "sess_";

/// A request, as the gateway takes it and as it is to be answered.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// What the caller calls the agent.
    pub(crate) model: String,
    pub(crate) opening: Opening,
    pub(crate) input: Vec<Input>,
    pub(crate) tools: Vec<ToolSpec>,
    pub(crate) options: Map<String, Value>,
    /// The answer is to come as events.
    pub(crate) streams: bool,
    /// With what it has cost at their end.
    pub(crate) streams_usage: bool,
}

impl Wanted {
    pub(crate) fn read(request: &mut Request) -> Result<Self, Refusal> {
        let body = request.body.whole()?;
        let body: Value = serde_json::from_slice(&body)
            .map_err(|error| Refusal::of("body", format!("The body is no JSON: {error}")))?;
        let Value::Object(body) = body else {
            return Err(Refusal::of("body", "The body must be a JSON object"));
        };
        refuse_unsupported(&body)?;
        let agent = agent(&body)?;
        let mut opening = Opening { agent: Some(agent.clone()), ..Opening::by(user(&body)?) };
        place(&mut opening, request);
        let (instructions, input) = messages(&body)?;
        opening.instructions = instructions;
        Ok(Self {
            model: agent,
            opening,
            input,
            tools: tools(&body)?,
            options: options(&body)?,
            streams: flag(&body, "stream")?,
            streams_usage: body
                .get("stream_options")
                .is_some_and(|options| options["include_usage"].as_bool() == Some(true)),
        })
    }
}

/// What would be misunderstood if it were let pass.
fn refuse_unsupported(body: &Map<String, Value>) -> Result<(), Refusal> {
    let asks = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
    if body.get("n").and_then(Value::as_u64).is_some_and(|n| n > 1) {
        return Err(Refusal::unsupported("n", "there is one choice for a request; leave `n` out"));
    }
    for name in ["functions", "function_call"] {
        if asks(name) {
            return Err(Refusal::unsupported(name, "use `tools`"));
        }
    }
    if asks("audio") {
        return Err(Refusal::unsupported("audio", "answers are text"));
    }
    let format = body.get("response_format").and_then(|format| format["type"].as_str());
    if let Some(format) = format.filter(|format| *format != "text") {
        let message = format!("{format:?} can't be promised here; ask for it in words");
        return Err(Refusal::unsupported("response_format", message));
    }
    Ok(())
}

/// The agent that a request names as its model.
fn agent(body: &Map<String, Value>) -> Result<String, Refusal> {
    let agents = turns::agents()?;
    let name = match body.get("model") {
        None | Some(Value::Null) => "default",
        Some(Value::String(name)) => name,
        Some(_) => return Err(Refusal::of("model", "takes the name of an agent")),
    };
    match agents.iter().any(|agent| agent == name) {
        true => Ok(name.to_owned()),
        false => Err(Refusal::no_such_model(name, &agents)),
    }
}

fn user(body: &Map<String, Value>) -> Result<String, Refusal> {
    match body.get("user") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(user)) => Ok(user.clone()),
        Some(_) => Err(Refusal::of("user", "takes a text")),
    }
}

/// Where it is said: in the session of this id or name, or in the user's; otherwise in one of its own.
fn place(opening: &mut Opening, request: &Request) {
    let named = request.header("x-session-id").map(str::trim).filter(|id| !id.is_empty());
    match named {
        Some(id) if id.starts_with(SESSION) => opening.session = Some(id.to_owned()),
        Some(name) => opening.key = Some(name.to_owned()),
        None if !opening.user.trim().is_empty() => opening.key = Some(String::new()),
        None => {}
    }
    opening.metadata = json!({"api": "openai"}).to_string();
}

fn messages(body: &Map<String, Value>) -> Result<(String, Vec<Input>), Refusal> {
    let all = match body.get("messages") {
        Some(Value::Array(all)) if !all.is_empty() => all,
        _ => return Err(Refusal::of("messages", "takes a list of at least one message")),
    };
    let (mut instructions, mut input, mut pictures) = (Vec::new(), Vec::new(), 0);
    for (n, message) in all.iter().enumerate() {
        let at = format!("messages[{n}]");
        let content = |pictures| content::read(&message["content"], &at, pictures);
        match message["role"].as_str().unwrap_or_default() {
            "system" | "developer" => instructions.push(content(false)?.text),
            "user" => {
                let said = content(true)?;
                pictures += said.files.len();
                if pictures > MAX_PICTURES {
                    return Err(Refusal::of(at, format!("a request has {MAX_PICTURES} pictures at most")));
                }
                if said.text.trim().is_empty() && said.files.is_empty() {
                    return Err(Refusal::of(format!("{at}.content"), "says nothing"));
                }
                input.push(Input::User((said.text, said.files)));
            }
            "assistant" => input.push(Input::Assistant((content(false)?.text, calls(message, &at)?))),
            "tool" => {
                let id = message["tool_call_id"].as_str();
                let id = id.ok_or_else(|| Refusal::of(format!("{at}.tool_call_id"), "takes a text"))?;
                input.push(Input::Tool((id.to_owned(), content(false)?.text)));
            }
            role => {
                let message =
                    format!("{role:?} is no role; there are system, developer, user, assistant, tool");
                return Err(Refusal::of(format!("{at}.role"), message));
            }
        }
    }
    Ok((instructions.join("\n\n"), input))
}

fn calls(message: &Value, at: &str) -> Result<Vec<ToolCall>, Refusal> {
    let calls = match &message["tool_calls"] {
        Value::Null => return Ok(Vec::new()),
        Value::Array(calls) => calls,
        _ => return Err(Refusal::of(format!("{at}.tool_calls"), "takes a list")),
    };
    let call = |(n, call): (usize, &Value)| {
        let text = |value: &Value, what: &str| {
            let text = value.as_str().map(str::to_owned);
            text.ok_or_else(|| Refusal::of(format!("{at}.tool_calls[{n}].{what}"), "takes a text"))
        };
        Ok(ToolCall {
            id: text(&call["id"], "id")?,
            name: text(&call["function"]["name"], "function.name")?,
            arguments: text(&call["function"]["arguments"], "function.arguments")?,
        })
    };
    calls.iter().enumerate().map(call).collect()
}

fn tools(body: &Map<String, Value>) -> Result<Vec<ToolSpec>, Refusal> {
    let all = match body.get("tools") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(all)) => all,
        Some(_) => return Err(Refusal::of("tools", "takes a list")),
    };
    match body.get("tool_choice") {
        Some(Value::String(choice)) if choice == "none" => return Ok(Vec::new()),
        None | Some(Value::Null) => {}
        Some(Value::String(choice)) if choice == "auto" => {}
        Some(_) => {
            let message = "takes auto or none: nobody can make a model call a tool here";
            return Err(Refusal::unsupported("tool_choice", message));
        }
    }
    let tool = |(n, tool): (usize, &Value)| {
        let at = format!("tools[{n}]");
        if tool["type"] != "function" {
            return Err(Refusal::unsupported(format!("{at}.type"), "takes function"));
        }
        let function = &tool["function"];
        let name = function["name"].as_str();
        let name = name.ok_or_else(|| Refusal::of(format!("{at}.function.name"), "takes a text"))?;
        let parameters = match &function["parameters"] {
            Value::Null => json!({"type": "object", "properties": {}}),
            parameters => parameters.clone(),
        };
        Ok(ToolSpec {
            name: name.to_owned(),
            description: function["description"].as_str().unwrap_or_default().to_owned(),
            parameters: parameters.to_string(),
        })
    };
    all.iter().enumerate().map(tool).collect()
}

/// Of what a model can be asked with, that which every provider knows.
fn options(body: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let mut options = Map::new();
    if let Some(value) = body.get("temperature").filter(|value| !value.is_null()) {
        if !value.is_number() {
            return Err(Refusal::of("temperature", "takes a number"));
        }
        options.insert("temperature".to_owned(), value.clone());
    }
    for name in ["max_completion_tokens", "max_tokens"] {
        let Some(value) = body.get(name).filter(|value| !value.is_null()) else { continue };
        match value.as_u64().filter(|most| (1..=u64::from(u32::MAX)).contains(most)) {
            Some(most) => _ = options.entry("max_tokens").or_insert_with(|| most.into()),
            None => return Err(Refusal::of(name, "takes a whole number from 1 on")),
        }
    }
    Ok(options)
}

fn flag(body: &Map<String, Value>, name: &str) -> Result<bool, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Refusal::of(name, "takes true or false")),
    }
}
