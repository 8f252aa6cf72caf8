//! What a model's server wants to see again with an answer of its own, and where in the answer it stood; feature `http`.
//!
//! Servers that sign their models' reasoning refuse the next request if it is missing, changed, or in another place. The
//! words and the calls are kept by the gateway already; here it is noted what stood between them.
//!
//! ```
//! use prx_sdk::parts::{Part, Parts};
//! use prx_sdk::provider::AssistantMessage;
//! use serde_json::json;
//!
//! let mut parts = Parts::default();
//! parts.own(json!({"type": "thinking", "thinking": "Hm.", "signature": "x"}));
//! parts.said("Yes.".len());
//! let message = AssistantMessage { text: "Yes.".to_owned(), tool_calls: Vec::new(), data: parts.data() };
//! let parts = Part::all(&message);
//! assert!(matches!(&parts[0], Part::Own(own) if own["thinking"] == "Hm."));
//! assert_eq!(parts[1], Part::Text("Yes."));
//! ```

use crate::log;
use crate::provider::{AssistantMessage, ProviderData, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most bytes that are kept of one answer. The gateway takes a little more.
const MAX_KEPT_BYTES: usize = 1_000_000;

/// The parts of an answer in the making, in their order.
#[derive(Debug, Default)]
pub struct Parts(Vec<Place>);

/// A part of an answer that was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Part<'a> {
    /// The server's own, as it came.
    Own(Value),
    /// Some of the words.
    Text(&'a str),
    /// A call.
    Call(&'a ToolCall),
}

/// Where something stood.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Own(Value),
    /// So many bytes of the text.
    Text(usize),
    /// The next call.
    Call,
}

impl Parts {
    /// Adds a part of the server's own; answers with its place, for [`Parts::own_mut`].
    pub fn own(&mut self, part: Value) -> usize {
        self.0.push(Place::Own(part));
        self.0.len() - 1
    }

    /// A part of the server's own that has begun.
    pub fn own_mut(&mut self, place: usize) -> Option<&mut Value> {
        match self.0.get_mut(place)? {
            Place::Own(part) => Some(part),
            Place::Text(_) | Place::Call => None,
        }
    }

    /// So many bytes of the answer's words have come.
    pub fn said(&mut self, bytes: usize) {
        match self.0.last_mut() {
            Some(Place::Text(so_far)) => *so_far += bytes,
            _ => self.0.push(Place::Text(bytes)),
        }
    }

    /// A call has begun.
    pub fn called(&mut self) {
        self.0.push(Place::Call);
    }

    /// Leaves out the parts of the server's own that don't serve.
    pub fn retain(&mut self, serves: impl Fn(&Value) -> bool) {
        self.0.retain(|place| match place {
            Place::Own(part) => serves(part),
            Place::Text(_) | Place::Call => true,
        });
    }

    /// To be given with the answer; none where nothing of the server's own came, or more than can be kept.
    pub fn data(&self) -> Option<ProviderData> {
        let has_own = self.0.iter().any(|place| matches!(place, Place::Own(_)));
        let message = has_own.then(|| serde_json::to_string(&self.0).ok()).flatten()?;
        Some(ProviderData { message: within_bound(message), calls: Vec::new() })
            .filter(|data| data.message.is_some())
    }
}

impl<'a> Part<'a> {
    /// The parts of a message in their order. Where nothing of the server's own is known, the words and then the calls.
    pub fn all(message: &'a AssistantMessage) -> Vec<Self> {
        let kept = message.data.as_ref().and_then(|data| data.message.as_deref());
        let places: Vec<Place> = kept.and_then(|kept| serde_json::from_str(kept).ok()).unwrap_or_default();
        let text = message.text.as_str();
        let (mut said, mut calls) = (0, message.tool_calls.iter());
        let last = places.iter().rposition(|place| matches!(place, Place::Text(_)));
        let lengths = places.iter().filter_map(|place| match place {
            Place::Text(bytes) => Some(*bytes),
            _ => None,
        });
        // The gateway may have added to the end of the words. Where they are others, all stand in one place.
        let in_order = lengths.sum::<usize>() <= text.len();
        let mut parts = Vec::new();
        for (at, place) in places.into_iter().enumerate() {
            match place {
                Place::Own(part) => parts.push(Self::Own(part)),
                Place::Text(bytes) if in_order => {
                    let end = if Some(at) == last { text.len() } else { said + bytes };
                    let end = text.floor_char_boundary(end).max(said);
                    parts.push(Self::Text(&text[said..end]));
                    said = end;
                }
                Place::Text(_) => {
                    parts.push(Self::Text(&text[said..]));
                    said = text.len();
                }
                Place::Call => {
                    if last.is_none() && said < text.len() {
                        parts.push(Self::Text(&text[said..]));
                        said = text.len();
                    }
                    parts.extend(calls.next().map(Self::Call));
                }
            }
        }
        if said < text.len() {
            parts.push(Self::Text(&text[said..]));
        }
        parts.extend(calls.map(Self::Call));
        parts.retain(|part| *part != Self::Text(""));
        parts
    }
}

/// A text that is to be kept, unless it is longer than can be: the conversation goes on without.
pub fn within_bound(text: String) -> Option<String> {
    if text.len() <= MAX_KEPT_BYTES {
        return Some(text);
    }
    log::warn(&format!(
        "{} bytes of reasoning came with an answer; {MAX_KEPT_BYTES} can be kept for the next request, which goes without",
        text.len()
    ));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(text: &str, calls: usize, parts: &Parts) -> Vec<String> {
        let call =
            |n: usize| ToolCall { id: format!("c{n}"), name: "list".to_owned(), arguments: "{}".to_owned() };
        let tool_calls = (0..calls).map(call).collect();
        let message = AssistantMessage { text: text.to_owned(), tool_calls, data: parts.data() };
        let one = |part: Part<'_>| match part {
            Part::Own(own) => own.to_string(),
            Part::Text(text) => text.to_owned(),
            Part::Call(call) => call.id.clone(),
        };
        Part::all(&message).into_iter().map(one).collect()
    }

    #[test]
    fn parts_stand_where_they_stood() {
        let mut parts = Parts::default();
        assert_eq!(shown("Hm", 2, &parts), ["Hm", "c0", "c1"]);
        parts.own(json!(1));
        parts.said(2);
        parts.said(1);
        parts.own(json!(2));
        parts.called();
        parts.own(json!(3));
        parts.called();
        assert_eq!(shown("abc", 2, &parts), ["1", "abc", "2", "c0", "3", "c1"]);
        assert_eq!(shown("abc, cut off", 1, &parts), ["1", "abc, cut off", "2", "c0", "3"]);
        assert_eq!(shown("a", 3, &parts), ["1", "a", "2", "c0", "3", "c1", "c2"]);
        parts.retain(|part| *part == json!(3));
        assert_eq!(shown("", 2, &parts), ["c0", "3", "c1"]);
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let mut parts = Parts::default();
        let place = parts.own(json!({"thinking": "x"}));
        assert!(parts.data().is_some());
        *parts.own_mut(place).unwrap() = json!("x".repeat(MAX_KEPT_BYTES));
        assert_eq!(parts.data(), None);
    }
}
