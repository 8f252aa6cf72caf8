//! Tool calls from their pieces.

use crate::kept;
use prx_sdk::calls::NewIds;
use prx_sdk::json;
use prx_sdk::provider::{Request, ToolCall};
use serde_json::{Map, Value};

/// Most calls in one answer.
const MAX_CALLS: usize = 256;

/// A call or a piece of one. Any part may be missing.
#[derive(Default)]
pub(crate) struct Piece {
    /// The server's place for the call.
    pub(crate) index: Option<u64>,
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) arguments: String,
    /// What the server wants to see again with the call.
    pub(crate) kept: Map<String, Value>,
}

/// The calls so far, in the order in which they began.
pub(crate) struct Calls {
    calls: Vec<Call>,
    ids: NewIds,
}

struct Call {
    index: Option<u64>,
    /// What the server calls it.
    server_id: Option<String>,
    call: ToolCall,
    kept: Map<String, Value>,
}

impl Piece {
    /// From what a server sends of a call: `{index, id, function: {name, arguments}}`, or the function itself.
    pub(crate) fn of(value: &Value) -> Self {
        let function = if value["function"].is_object() { &value["function"] } else { value };
        let own = |text: &Value| json::text(text).map(str::to_owned);
        let arguments = match &function["arguments"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            whole => whole.to_string(),
        };
        Self {
            index: json::number(&value["index"]),
            id: own(&value["id"]),
            name: own(&function["name"]),
            arguments,
            kept: kept::wholes(value),
        }
    }
}

impl Calls {
    /// The calls of an answer in this conversation.
    pub(crate) fn new(request: &Request) -> Self {
        Self { calls: Vec::new(), ids: NewIds::of(request) }
    }

    /// Takes a piece in. Answers how much longer that makes it, in bytes, and with the call if it has just begun.
    pub(crate) fn take(&mut self, piece: Piece) -> (usize, Option<&ToolCall>) {
        let Piece { index, id, name, arguments, kept } = piece;
        let length = arguments.len() + name.as_ref().map_or(0, String::len);
        if let Some(call) = self.place(index, id.as_deref(), name.as_deref(), &arguments) {
            let Call { call, kept: so_far, .. } = &mut self.calls[call];
            so_far.extend(kept);
            call.arguments.push_str(&arguments);
            if call.name.is_empty() {
                call.name = name.unwrap_or_default();
            }
            return (length, None);
        }
        if self.calls.len() >= MAX_CALLS {
            return (length, None);
        }
        let call = ToolCall { id: self.ids.next(id.as_deref()), name: name.unwrap_or_default(), arguments };
        self.calls.push(Call { index, server_id: id, call, kept });
        (length, self.calls.last().map(|begun| &begun.call))
    }

    /// The call that a piece belongs to; none: it begins one. Servers that give several calls one index tell them apart
    /// by id. A piece that nothing tells of goes to the call in progress.
    fn place(&self, index: Option<u64>, id: Option<&str>, name: Option<&str>, more: &str) -> Option<usize> {
        let has_id = |call: &Call| id.is_some() && call.server_id.as_deref() == id;
        let known = self.calls.iter().rposition(|call| match index {
            Some(_) if call.index.is_some() => call.index == index && (id.is_none() || has_id(call)),
            _ => has_id(call),
        });
        if let Some(place) = known {
            // One whole call after the other, under one index, and under one id or none.
            let so_far = json::arguments(&self.calls[place].call.arguments);
            let is_another = name.is_some()
                && so_far.is_some()
                && (id.is_none() || json::arguments(more).is_some_and(|more| Some(more) != so_far));
            return (!is_another).then_some(place);
        }
        match name {
            Some(_) => None,
            None if id.is_some() => self.calls.iter().rposition(has_id),
            None => self.calls.len().checked_sub(1),
        }
    }

    /// What the server wants to see again with each call, by its id.
    pub(crate) fn data(&self) -> Vec<(String, String)> {
        let kept = self.calls.iter().filter(|call| !call.kept.is_empty());
        kept.map(|of| (of.call.id.clone(), Value::Object(of.kept.clone()).to_string())).collect()
    }

    /// The calls, whole. `is_cut`: the last may be half a call, and is left out then.
    pub(crate) fn into_calls(self, is_cut: bool) -> Vec<ToolCall> {
        let whole = |Call { mut call, .. }: Call| {
            if call.arguments.trim().is_empty() {
                "{}".clone_into(&mut call.arguments);
            }
            match serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments) {
                Ok(_) if call.arguments.trim_start().starts_with('{') => {}
                _ => match json::arguments(&call.arguments) {
                    Some(object) => call.arguments = Value::Object(object).to_string(),
                    None if is_cut => return None,
                    None => {}
                },
            }
            Some(call)
        };
        self.calls.into_iter().filter_map(whole).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether the server has called one so.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.calls.iter().any(|call| call.server_id.as_deref() == Some(id))
    }

    /// Sets the arguments of the call in this place, or of this id, where a server says at the end what they are.
    pub(crate) fn settle(&mut self, index: Option<u64>, id: Option<&str>, arguments: &str) {
        let is_it = |call: &&mut Call| match id {
            Some(id) => call.server_id.as_deref() == Some(id),
            None => index.is_some() && call.index == index,
        };
        if let Some(call) = self.calls.iter_mut().rev().find(is_it) {
            arguments.clone_into(&mut call.call.arguments);
        }
    }
}
