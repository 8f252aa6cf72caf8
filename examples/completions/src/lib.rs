//! A provider for servers that speak chat completions, in its smallest form: text and calls of tools, streamed.
//!
//! What a server sends is read by [`prx_sdk::server`], and why it refuses by [`prx_sdk::refusal`]: servers differ, and these
//! know how. Files are left out; a model is told their names.

use prx_sdk::calls::{CallIds, NewIds};
use prx_sdk::config;
use prx_sdk::http::{self, Response};
use prx_sdk::provider::{
    Completion, Delta, Fault, FaultCode, Message, ModelInfo, Provider, ProviderError, Request, Sink,
    StopReason, ToolCall, ToolSpec, Usage,
};
use prx_sdk::refusal::{Refusal, may_pass};
use prx_sdk::server::{Chunk, Server};
use serde::Deserialize;
use serde_json::{Value, json};

#[cfg(test)]
mod tests;

/// Most calls of tools in one answer.
const MAX_CALLS: usize = 64;
/// Most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 2 << 20;

/// The provider.
pub struct Completions;

#[derive(Deserialize)]
struct Config {
    base_url: String,
}

impl Provider for Completions {
    /// The server knows, and is asked by `list_models`.
    fn models() -> Vec<String> {
        Vec::new()
    }

    fn list_models() -> Result<Vec<ModelInfo>, ProviderError> {
        let server = server()?;
        server.read_models(send(&server, http::get(format!("{}/models", server.base_url())), None)?)
    }

    fn complete(request: Request, sink: &Sink) -> Result<Completion, ProviderError> {
        let server = server()?;
        let asked = http::post(format!("{}/chat/completions", server.base_url())).json(&body(&request));
        let response = send(&server, asked, Some(&request))?;
        let mut answer = Answer::default();
        let mut chunks = server.read(response)?;
        for chunk in chunks.by_ref() {
            match chunk? {
                Chunk::Json { value, .. } if value["error"].is_object() => {
                    return Err(refused(&Refusal::of(&value["error"])));
                }
                Chunk::Json { value, .. } => answer.take(&value, sink)?,
                Chunk::Error(error) => return Err(refused(&Refusal::of(&error))),
                Chunk::Stray(_) => {}
                Chunk::Done => break,
            }
        }
        chunks.finish();
        answer.completion(&request, sink)
    }
}

prx_sdk::plugin! { provider: Completions, manifest: "plugin.toml" }

fn server() -> Result<Server, Fault> {
    let Config { base_url } = config::get()?;
    Ok(Server::new(provider(), base_url.trim_end_matches('/')))
}

/// Under which name the operator set it up.
fn provider() -> String {
    config::provider_name("completions")
}

/// Asks the server; `request` is what it is asked to answer, if it is.
fn send(server: &Server, asked: http::Request, request: Option<&Request>) -> Result<Response, ProviderError> {
    let asked = if config::has_secret("api_key") { asked.bearer("api_key") } else { asked };
    let response = asked.timeout(server.timeout()).send().map_err(|error| server.no_answer(error))?;
    if response.is_success() {
        return Ok(response);
    }
    let refusal = Refusal::read(response);
    Err(match request {
        Some(request) if refusal.is_too_long() => refusal.too_long(request, &provider()),
        _ => refused(&refusal),
    })
}

/// Why a server says no: what passes by itself is asked for again.
fn refused(refusal: &Refusal) -> ProviderError {
    let said = refusal.message();
    match refusal.status {
        429 => ProviderError::passing(Fault::new(FaultCode::Quota, said), refusal.retry_after),
        0 => ProviderError::passing(Fault::unavailable(said), None),
        status if may_pass(status) => ProviderError::passing(Fault::unavailable(said), refusal.retry_after),
        401 | 403 => Fault::new(FaultCode::Denied, format!("the server refuses api_key: {said}")).into(),
        _ => Fault::bad_config(said).into(),
    }
}

/// The request, as the server takes it.
fn body(request: &Request) -> Value {
    let mut ids = CallIds::default();
    let system = Some(&request.system).filter(|system| !system.is_empty());
    let mut messages: Vec<Value> =
        system.map(|text| json!({"role": "system", "content": text})).into_iter().collect();
    for message in &request.messages {
        messages.push(match message {
            Message::User(said) => {
                let names = said.attachments.iter().map(|file| file.name.as_deref().unwrap_or("unnamed"));
                let files: String = names.map(|name| format!("\n[a file: {name}]")).collect();
                json!({"role": "user", "content": format!("{}{files}", said.text)})
            }
            Message::Assistant(said) => {
                ids.begin();
                let calls = said.tool_calls.iter().map(|call| {
                    let function = json!({"name": call.name, "arguments": call.arguments});
                    json!({"id": ids.call(&call.id), "type": "function", "function": function})
                });
                let calls: Vec<Value> = calls.collect();
                match calls.is_empty() {
                    true => json!({"role": "assistant", "content": said.text}),
                    false => json!({"role": "assistant", "content": said.text, "tool_calls": calls}),
                }
            }
            Message::ToolResult(result) => {
                json!({"role": "tool", "tool_call_id": ids.result(&result.id), "content": result.text})
            }
        });
    }
    let mut body = json!({
        "model": request.model,
        "messages": messages,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if !request.tools.is_empty() {
        let tool = |tool: &ToolSpec| {
            let parameters: Value = serde_json::from_str(&tool.parameters).unwrap_or_else(|_| json!({}));
            let function =
                json!({"name": tool.name, "description": tool.description, "parameters": parameters});
            json!({"type": "function", "function": function})
        };
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    // What the operator set for this model, such as its temperature.
    if let (Some(body), Ok(Value::Object(options))) =
        (body.as_object_mut(), serde_json::from_str(&request.options))
    {
        options.into_iter().for_each(|(key, value)| _ = body.entry(key).or_insert(value));
    }
    body
}

/// What of an answer has come.
#[derive(Default)]
struct Answer {
    text: String,
    /// Id, name and arguments of each call.
    calls: Vec<(String, String, String)>,
    reason: Option<String>,
    usage: Value,
    bytes: usize,
}

impl Answer {
    /// Takes a chunk in, and passes on what is said in it.
    fn take(&mut self, chunk: &Value, sink: &Sink) -> Result<(), ProviderError> {
        if chunk["usage"].is_object() {
            self.usage = chunk["usage"].clone();
        }
        let choice = &chunk["choices"][0];
        // A server that doesn't stream sends a whole `message` instead.
        let said = [&choice["delta"], &choice["message"]].into_iter().find(|said| said.is_object());
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.reason = Some(reason.to_owned());
        }
        let Some(said) = said else { return Ok(()) };
        let text = said["content"].as_str().unwrap_or_default();
        self.grow(text.len())?;
        if !text.is_empty() {
            self.text.push_str(text);
            sink.text(text);
        }
        for (place, piece) in said["tool_calls"].as_array().into_iter().flatten().enumerate() {
            self.call(place, piece)?;
        }
        Ok(())
    }

    /// A piece of a call: the first has its name, the others go on with its arguments.
    fn call(&mut self, place: usize, piece: &Value) -> Result<(), ProviderError> {
        let index = piece["index"].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(place);
        if index >= MAX_CALLS {
            return Err(Fault::unavailable(format!("more than {MAX_CALLS} calls in one answer")).into());
        }
        if index >= self.calls.len() {
            self.calls.resize_with(index + 1, Default::default);
        }
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (id, name) = (word(&piece["id"]), word(&piece["function"]["name"]));
        let arguments = word(&piece["function"]["arguments"]);
        self.grow(id.len() + name.len() + arguments.len())?;
        let call = &mut self.calls[index];
        call.0.push_str(&id);
        call.1.push_str(&name);
        call.2.push_str(&arguments);
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), ProviderError> {
        self.bytes += bytes;
        if self.bytes > MAX_ANSWER_BYTES {
            return Err(Fault::unavailable(format!("an answer of more than {MAX_ANSWER_BYTES} bytes")).into());
        }
        Ok(())
    }

    fn completion(self, request: &Request, sink: &Sink) -> Result<Completion, ProviderError> {
        let Self { text, calls, reason, usage, .. } = self;
        if reason.is_none() && text.is_empty() && calls.is_empty() {
            return Err(ProviderError::passing(Fault::unavailable("the server's answer was empty"), None));
        }
        let mut ids = NewIds::of(request);
        let calls = calls.into_iter().filter(|(_, name, _)| !name.is_empty()).map(|(id, name, arguments)| {
            let arguments = if arguments.is_empty() { "{}".to_owned() } else { arguments };
            ToolCall { id: ids.next(Some(&id)), name, arguments }
        });
        let tool_calls: Vec<ToolCall> = calls.collect();
        for call in &tool_calls {
            sink.push(Delta::ToolCallStarted((call.id.clone(), call.name.clone())));
        }
        let stop = match reason.as_deref() {
            _ if !tool_calls.is_empty() => StopReason::ToolUse,
            Some("length") => StopReason::Length,
            Some("content_filter") => StopReason::Refused,
            _ => StopReason::End,
        };
        let count = |place: &str| usage.pointer(place).and_then(Value::as_u64).unwrap_or(0);
        let usage = Usage {
            input: count("/prompt_tokens"),
            output: count("/completion_tokens"),
            cached: count("/prompt_tokens_details/cached_tokens"),
        };
        Ok(Completion { text, tool_calls, stop, usage, data: None })
    }
}
