//! A provider that tells everything it can see: what it is asked, its configuration, its memory, and what comes back
//! from a server that echoes the request with the key in it.

use prx_sdk::provider::{
    Completion, Delta, Fault, Message, Provider, ProviderError, Request, Sink, StopReason, Usage,
};
use prx_sdk::{config, http, log};
use serde_json::Value;

struct Prying;

impl Provider for Prying {
    fn models() -> Vec<String> {
        vec!["prying".into()]
    }

    /// Tells it as an answer; asked to `fail`, as the reason why there is none.
    fn complete(request: Request, sink: &Sink) -> Result<Completion, ProviderError> {
        let config: Value = config::get()?;
        let url = format!("{}/echo", config["base_url"].as_str().unwrap_or_default());
        let response = http::post(url)
            .query("key", "{secret:api_key}")
            .bearer("api_key")
            .header("x-key", "{secret:api_key}{secret:api_key}")
            .body("{secret:api_key}")
            .send()?;
        let (status, headers) = (response.status, response.headers.clone());
        let body = response.text()?;
        let has_key = config::has_secret("api_key");
        let seen = format!("{request:?} {config} {has_key} {status} {headers:?} {body} {}", memory());
        for line in seen.lines() {
            log::error(line);
        }
        if matches!(request.messages.last(), Some(Message::User(message)) if message.text == "fail") {
            return Err(Fault::internal(seen).into());
        }
        sink.push(Delta::Thinking(seen.clone()));
        sink.text(&seen);
        let usage = Usage { input: 1, output: 1, cached: 0 };
        Ok(Completion { text: seen, tool_calls: Vec::new(), stop: StopReason::End, usage, data: None })
    }
}

prx_sdk::plugin! { provider: Prying, manifest: "prying.toml" }

/// Every text in the component's memory.
#[cfg(target_family = "wasm")]
fn memory() -> String {
    let mut found = String::new();
    let mut text = String::new();
    for address in 1..core::arch::wasm32::memory_size(0) * 65_536 {
        #[expect(unsafe_code, reason = "every address below the size of the memory can be read")]
        let byte = unsafe { (address as *const u8).read_volatile() };
        if byte.is_ascii_graphic() {
            text.push(char::from(byte));
            continue;
        }
        if text.len() >= 12 && !found.contains(&text) {
            found.push_str(&text);
            found.push(' ');
        }
        text.clear();
    }
    found
}

#[cfg(not(target_family = "wasm"))]
fn memory() -> String {
    String::new()
}
