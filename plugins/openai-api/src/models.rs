//! The agents, as models.

use crate::error::Refusal;
use prx_sdk::route::Response;
use prx_sdk::turns;
use serde_json::{Value, json};

pub(crate) fn list() -> Result<Response, Refusal> {
    let models: Vec<Value> = turns::agents()?.iter().map(|name| model(name)).collect();
    Ok(Response::json(&json!({"object": "list", "data": models})))
}

pub(crate) fn show(name: &str) -> Result<Response, Refusal> {
    let agents = turns::agents()?;
    match agents.iter().any(|agent| agent == name) {
        true => Ok(Response::json(&model(name))),
        false => Err(Refusal::no_such_model(name, &agents)),
    }
}

fn model(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": 0, "owned_by": "prx"})
}
