//! State that earlier versions wrote.

use prx_sdk::connector::Fault;
use serde_json::{Value, json};

use crate::state::State;

/// Reads the state of version 1: an operation was sending a text, or putting another in the place of one.
pub(crate) fn from_first(state: &[u8]) -> Result<State, Fault> {
    let unread = |error: serde_json::Error| Fault::internal(format!("cannot read state version 1: {error}"));
    let mut state: Value = serde_json::from_slice(state).map_err(unread)?;
    for op in state.get_mut("ops").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(work) = op.get_mut("work") else { continue };
        let say = if let Some(send) = work.get("send") {
            let field = |name: &str| send.get(name).cloned().unwrap_or_default();
            json!({ "part": field("part"), "rest": field("rest"), "reply_to": field("reply_to"), "first": field("last") })
        } else if let Some(edit) = work.get("edit") {
            json!({ "edit": edit.get("message"), "part": edit.get("text") })
        } else {
            continue;
        };
        *work = json!({ "say": say });
    }
    serde_json::from_value(state).map_err(unread)
}
