//! Tool calls from their pieces.

use prx_sdk::provider::{Message, Request, ToolCall};
use serde::Deserialize;
use serde_json::Value;

/// A call or a piece of one. Any part may be missing.
#[derive(Deserialize)]
pub(crate) struct Piece {
    index: Option<u64>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    /// A text, of which this may be a piece; some servers give the object itself.
    arguments: Option<Value>,
}

/// The calls so far, in the order in which they began.
#[derive(Default)]
pub(crate) struct Calls(Vec<Call>);

struct Call {
    index: Option<u64>,
    call: ToolCall,
}

/// How many calls there are in a conversation.
pub(crate) fn count(request: &Request) -> usize {
    let calls = request.messages.iter().map(|message| match message {
        Message::Assistant(message) => message.tool_calls.len(),
        _ => 0,
    });
    calls.sum()
}

impl Calls {
    /// Takes a piece in. Answers how much longer that makes it, in bytes, and with the call if it has just begun.
    /// `earlier` is how many calls the conversation has had, for servers that give no ids.
    pub(crate) fn take(&mut self, piece: Piece, earlier: usize) -> (usize, Option<&ToolCall>) {
        let id = piece.id.filter(|id| !id.is_empty());
        let Function { name, arguments } = piece.function.unwrap_or(Function { name: None, arguments: None });
        let name = name.filter(|name| !name.is_empty());
        let arguments = match arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(whole) => whole.to_string(),
        };
        let length = arguments.len() + name.as_ref().map_or(0, String::len);
        let place = self.0.iter().rposition(|call| call.takes(piece.index, id.as_deref(), name.as_deref()));
        if let Some(place) = place {
            self.0[place].call.arguments.push_str(&arguments);
            return (length, None);
        }
        let id = id.unwrap_or_else(|| format!("call_{}", earlier + self.0.len() + 1));
        let call = ToolCall { id, name: name.unwrap_or_default(), arguments };
        self.0.push(Call { index: piece.index, call });
        (length, self.0.last().map(|begun| &begun.call))
    }

    /// The calls, whole.
    pub(crate) fn into_calls(self) -> Vec<ToolCall> {
        let whole = |Call { mut call, .. }: Call| {
            if call.arguments.trim().is_empty() {
                "{}".clone_into(&mut call.arguments);
            }
            call
        };
        self.0.into_iter().map(whole).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Call {
    /// Whether a piece belongs to this call. Servers that give several calls one index tell them apart by id; of a
    /// piece without index and id, a name says that a call begins.
    fn takes(&self, index: Option<u64>, id: Option<&str>, name: Option<&str>) -> bool {
        let same_id = id.is_none_or(|id| id == self.call.id);
        match index {
            Some(_) => self.index == index && same_id,
            None => same_id && (id.is_some() || name.is_none()),
        }
    }
}
