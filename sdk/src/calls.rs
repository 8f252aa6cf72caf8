//! Ids and names of tool calls in a conversation, as every server takes them; feature `http`.
//!
//! Servers differ in the ids that they give and take: some name each call `call_0`, others refuse an id that comes twice
//! or has not nine letters. A conversation may go from one to another.

use crate::provider::{Message, Request};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Letters of an id that every server takes: the strictest wants so many.
const ID_LENGTH: usize = 9;
/// Most letters of a tool's name.
const MAX_NAME_LENGTH: usize = 64;

/// The ids of a conversation's calls, in the order in which they are asked for: no two the same, each of nine letters and
/// digits. The same conversation always gets the same, so that servers find what they have kept of it.
#[derive(Debug, Default)]
pub struct CallIds {
    given: BTreeSet<String>,
    /// Of the last message with calls, those whose results are still to come.
    open: BTreeMap<String, VecDeque<String>>,
}

impl CallIds {
    /// The ids of one assistant's message begin: results from here on belong to its calls.
    pub fn begin(&mut self) {
        self.open.clear();
    }

    /// The id for a call that came with this one.
    pub fn call(&mut self, id: &str) -> String {
        let new = self.unique(id);
        self.open.entry(id.to_owned()).or_default().push_back(new.clone());
        new
    }

    /// The id of the call that the result with this one answers.
    pub fn result(&mut self, id: &str) -> String {
        match self.open.get_mut(id).and_then(VecDeque::pop_front) {
            Some(call) => call,
            None => self.unique(id),
        }
    }

    fn unique(&mut self, id: &str) -> String {
        let is_plain = id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let mut new = if is_plain { id.to_owned() } else { hashed(id, 0) };
        let mut round = 1;
        while !self.given.insert(new.clone()) {
            new = hashed(id, round);
            round += 1;
        }
        new
    }
}

/// An id made from another: FNV-1a, in letters and digits.
fn hashed(id: &str, round: u64) -> String {
    let bytes = id.bytes().chain(round.to_le_bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let letter = |_| {
        let letter = b"0123456789abcdefghijklmnopqrstuvwxyz"[(hash % 36) as usize];
        hash /= 36;
        char::from(letter)
    };
    (0..ID_LENGTH).map(letter).collect()
}

/// The ids for the calls of an answer: the server's own, unless the conversation has had them.
#[derive(Debug, Default)]
pub struct NewIds {
    used: BTreeSet<String>,
}

impl NewIds {
    /// For an answer in this conversation.
    pub fn of(request: &Request) -> Self {
        let calls = request.messages.iter().flat_map(|message| match message {
            Message::Assistant(message) => message.tool_calls.as_slice(),
            Message::User(_) | Message::ToolResult(_) => &[],
        });
        Self { used: calls.map(|call| call.id.clone()).collect() }
    }

    /// The id for the next call, which the server calls so, if at all.
    pub fn next(&mut self, server_id: Option<&str>) -> String {
        let own = server_id.filter(|id| !id.is_empty() && !self.used.contains(*id)).map(str::to_owned);
        let made = || (self.used.len() + 1..).map(|n| format!("call_{n}")).find(|id| !self.used.contains(id));
        let id = own.or_else(made).unwrap_or_default();
        self.used.insert(id.clone());
        id
    }
}

/// A tool's name with the letters that every server takes, 1 to 64 of `a-z A-Z 0-9 _ -`. Names of tools that there are
/// are such already; a model may have called one that it made up.
pub fn name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let name: String = name.chars().map(plain).take(MAX_NAME_LENGTH).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_valid_everywhere_and_stay_the_same() {
        let all = || {
            let mut ids = CallIds::default();
            let mut made = Vec::new();
            for _ in 0..3 {
                ids.begin();
                let calls = [ids.call("call_0"), ids.call("call_0"), ids.call("")];
                assert_eq!([ids.result("call_0"), ids.result("call_0"), ids.result("")], calls);
                made.extend(calls);
            }
            made
        };
        let made = all();
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 9, "{made:?}");
        assert!(
            made.iter().all(|id| id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric())),
            "{made:?}"
        );
        assert_eq!(all(), made);
        let mut ids = CallIds::default();
        assert_eq!((ids.call("abcDEF123").as_str(), ids.call("abcDEF123").len()), ("abcDEF123", 9));
    }

    #[test]
    fn results_belong_to_the_last_calls() {
        let mut ids = CallIds::default();
        let first = ids.call("a");
        ids.begin();
        let (b, again) = (ids.call("b"), ids.call("a"));
        assert_eq!((ids.result("a"), ids.result("b")), (again, b));
        assert_ne!(ids.result("a"), first, "nobody asked for it");
    }

    #[test]
    fn ids_of_an_answer_are_new() {
        let mut ids = NewIds::default();
        let made = [Some("x"), Some("x"), None, Some(""), Some("call_9")].map(|id| ids.next(id));
        assert_eq!(made, ["x", "call_2", "call_3", "call_4", "call_9"]);
    }

    #[test]
    fn names_are_plain() {
        for (made_up, plain) in [
            ("get_weather", "get_weather"),
            ("functions.hello:0", "functions_hello_0"),
            ("", "unnamed"),
            ("ü", "_"),
        ] {
            assert_eq!(name(made_up), plain);
        }
        assert_eq!(name(&"x".repeat(70)).len(), 64);
    }
}
