//! What a program says on behalf of its caller, read and bounded.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use prx_agents::{OptionsFlaw, ToolFlaw};
use prx_base::error::{Code, Error, Result};
use prx_host::WantedTurn;
use prx_host::bindings::common::ToolSpec;
use prx_host::bindings::turns::Input;
use prx_store::{CallerTool, Message, NewMessage, Role, Terms, ToolCall};

/// Most things that are said in one exchange.
const MAX_SAID: usize = 2000;
/// Most bytes of all of them, and of what is wanted besides.
const MAX_BYTES: usize = 8 << 20;
/// Most of the caller's own tools.
const MAX_TOOLS: usize = 128;
/// Most bytes of all of them.
const MAX_TOOL_BYTES: usize = 512 << 10;
/// A conversation, and what begins the turn.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) history: Vec<NewMessage>,
    pub(super) opening: NewMessage,
}

/// Whether it has its bounds.
///
/// # Errors
/// 413: how much there may be.
pub(super) fn check(wanted: &WantedTurn) -> Result<()> {
    let WantedTurn { opening, input, options, .. } = wanted;
    let bytes: usize = input.iter().map(size).sum();
    if input.len() > MAX_SAID || bytes + opening.instructions.len() + options.len() > MAX_BYTES {
        let message = format!("A conversation has {MAX_SAID} messages and {MAX_BYTES} bytes at most");
        return Err(Error::new(Code::PayloadTooLarge, message));
    }
    Ok(())
}

/// What is wanted of the turn, and what is said. `asked`: calls of the caller's tools that the session waits for.
///
/// # Errors
/// 400 and 413: what is wrong with it.
pub(super) fn read(wanted: WantedTurn, asked: &BTreeSet<String>) -> Result<(Said, Terms)> {
    let WantedTurn { opening, input, tools, options } = wanted;
    let said = conversation(input, asked)?;
    let terms = Terms {
        instructions: opening.instructions,
        tools: own_tools(tools)?,
        options: self::options(&options)?,
    };
    Ok((said, terms))
}

/// Leaves what follows the agent's last words: the session knows the rest.
pub(super) fn leave_out_known(input: &mut Vec<Input>) {
    let last = input.iter().rposition(|said| matches!(said, Input::Assistant(_)));
    input.drain(..last.map_or(0, |last| last + 1));
}

/// Whether what is said goes on where a session stands: its agent's last words are those that the caller knows, or the caller
/// knows none.
pub(super) fn goes_on(input: &[Input], session: &[Message]) -> bool {
    let last = input.iter().rev().find_map(|said| match said {
        Input::Assistant(words) => Some(words),
        _ => None,
    });
    let Some((text, calls)) = last else { return true };
    let words = session.iter().rfind(|said| said.role == Role::Assistant);
    words.is_some_and(|words| {
        let has = |id: &str| words.tool_calls.iter().any(|call| call.id == id);
        words.content.trim() == text.trim() && calls.iter().all(|call| has(&call.id))
    })
}

fn size(said: &Input) -> usize {
    match said {
        Input::User((text, _)) => text.len(),
        Input::Assistant((text, calls)) => {
            text.len()
                + calls
                    .iter()
                    .map(|call| call.id.len() + call.name.len() + call.arguments.len())
                    .sum::<usize>()
        }
        Input::Tool((id, text)) => id.len() + text.len(),
    }
}

fn conversation(input: Vec<Input>, asked: &BTreeSet<String>) -> Result<Said> {
    let mut asked = asked.clone();
    let mut history = Vec::with_capacity(input.len());
    let mut is_begun = !asked.is_empty();
    for said in input {
        history.push(match said {
            Input::User((text, files)) => {
                if text.trim().is_empty() && files.is_empty() {
                    return Err(Error::bad_request("A message of a person says nothing"));
                }
                is_begun = true;
                let attachments = files.into_iter().map(Into::into).collect();
                NewMessage { attachments, ..NewMessage::user(text) }
            }
            Input::Assistant((text, calls)) => {
                if !calls.is_empty() && !is_begun {
                    return Err(Error::bad_request(
                        "A conversation with calls of tools begins with a person",
                    ));
                }
                asked.extend(calls.iter().map(|call| call.id.clone()));
                let call = |call: prx_host::bindings::common::ToolCall| ToolCall {
                    id: call.id,
                    name: call.name,
                    arguments: call.arguments,
                };
                NewMessage {
                    tool_calls: calls.into_iter().map(call).collect(),
                    ..NewMessage::assistant(text)
                }
            }
            Input::Tool((id, text)) => {
                if !asked.remove(&id) {
                    let message = format!("There is the result of a call that nobody has asked for: {id:?}");
                    return Err(Error::bad_request(message));
                }
                NewMessage::tool(id, text, false)
            }
        });
    }
    match history.pop() {
        Some(opening) if opening.role != Role::Assistant => Ok(Said { history, opening }),
        _ => Err(Error::bad_request("The last message must be of a person, or the result of a tool")),
    }
}

fn own_tools(tools: Vec<ToolSpec>) -> Result<Vec<CallerTool>> {
    let bytes: usize =
        tools.iter().map(|tool| tool.name.len() + tool.description.len() + tool.parameters.len()).sum();
    if tools.len() > MAX_TOOLS || bytes > MAX_TOOL_BYTES {
        let message = format!("{MAX_TOOLS} tools and {MAX_TOOL_BYTES} bytes of them are the most");
        return Err(Error::new(Code::PayloadTooLarge, message));
    }
    match prx_agents::tool_flaw(&tools) {
        Some(ToolFlaw::Name(name)) => {
            let message = format!("A tool has the name {name:?}; it takes 1 to 64 of a-z, A-Z, 0-9, _ and -");
            return Err(Error::bad_request(message));
        }
        Some(ToolFlaw::Twice(name)) => {
            return Err(Error::bad_request(format!("Two tools have the name {name}")));
        }
        Some(ToolFlaw::Schema(name)) => {
            let message = format!("The parameters of the tool {name} are no JSON Schema of an object");
            return Err(Error::bad_request(message));
        }
        None => {}
    }
    let own = |ToolSpec { name, description, parameters }| CallerTool { name, description, parameters };
    Ok(tools.into_iter().map(own).collect())
}

fn options(text: &str) -> Result<Map<String, Value>> {
    prx_agents::options(text).map_err(|flaw| match flaw {
        OptionsFlaw::Ours(name) => Error::bad_request(format!("`{name}` is no option")),
        OptionsFlaw::NoObject => Error::bad_request("The options must be a JSON object"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Input {
        Input::User((text.to_owned(), Vec::new()))
    }

    fn asking(id: &str) -> Input {
        let call = prx_host::bindings::common::ToolCall {
            id: id.to_owned(),
            name: "look".to_owned(),
            arguments: "{}".to_owned(),
        };
        Input::Assistant((String::new(), vec![call]))
    }

    fn result(id: &str) -> Input {
        Input::Tool((id.to_owned(), "found".to_owned()))
    }

    fn said(input: Vec<Input>) -> String {
        match conversation(input, &BTreeSet::from(["earlier".to_owned()])) {
            Ok(said) => format!("{} and then {:?}", said.history.len(), said.opening.role),
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn a_conversation_ends_with_what_is_to_be_answered() {
        assert_eq!(said(vec![user("a")]), "0 and then User");
        assert_eq!(said(vec![user("a"), asking("1"), result("1")]), "2 and then Tool");
        assert_eq!(said(vec![result("earlier")]), "0 and then Tool");
        assert!(said(vec![user("a"), asking("1")]).starts_with("The last message must be"));
        assert!(said(Vec::new()).starts_with("The last message must be"));
        assert!(said(vec![user(" ")]).contains("says nothing"));
        assert!(
            said(vec![user("a"), asking("1"), result("1"), result("1")]).contains("nobody has asked for")
        );
        let first = conversation(vec![asking("1"), result("1")], &BTreeSet::new()).unwrap_err();
        assert!(first.message().contains("begins with a person"));
    }

    #[test]
    fn tools_are_what_models_take() {
        let tool = |name: &str, parameters: &str| ToolSpec {
            name: name.to_owned(),
            description: String::new(),
            parameters: parameters.to_owned(),
        };
        assert!(own_tools(vec![tool("a", "{}"), tool("b-c_D1", r#"{"type": "object"}"#)]).is_ok());
        for wrong in [
            vec![tool("a b", "{}")],
            vec![tool("", "{}")],
            vec![tool("a", "{}"), tool("a", "{}")],
            vec![tool("a", "[]")],
            vec![tool("a", r#"{"type": "string"}"#)],
            vec![tool("a", &format!("{{\"x\": {:?}}}", "y".repeat(MAX_TOOL_BYTES)))],
        ] {
            assert!(own_tools(wrong.clone()).is_err(), "{wrong:?}");
        }
        assert!(options("{}").is_ok() && options("[]").is_err() && options(r#"{"model": "x"}"#).is_err());
    }
}
