//! Turns that a route begins, answered by the test.

use std::cell::RefCell;
use std::vec::IntoIter;

use crate::types::{Fault, FaultCode};
use crate::wire::imports::common::{StopReason, ToolSpec};
use crate::wire::imports::turns::{Finished, Input, Opening, Piece};

/// A turn that a route has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunTurn {
    /// Whose it is, and where it is said.
    pub opening: Opening,
    /// What is said.
    pub input: Vec<Input>,
    /// The caller's own tools.
    pub tools: Vec<ToolSpec>,
    /// A JSON object.
    pub options: String,
}

type Answer = Box<dyn FnMut(BegunTurn) -> Result<Vec<Piece>, Fault>>;

thread_local! {
    static ANSWER: RefCell<Option<Answer>> = RefCell::default();
    static AGENTS: RefCell<Vec<String>> = RefCell::new(vec!["default".to_owned()]);
}

/// Answers the turns that routes begin on this thread. Without it they are denied.
pub fn answer_turns(answer: impl FnMut(BegunTurn) -> Result<Vec<Piece>, Fault> + 'static) {
    ANSWER.set(Some(Box::new(answer)));
}

/// Says which agents there are, for this thread. Without it: `default`.
pub fn set_agents(names: &[&str]) {
    AGENTS.set(names.iter().map(|name| (*name).to_owned()).collect());
}

/// The end of a turn with this reply, which has cost 3 and 2 tokens in the session `sess_1`.
pub fn finished(text: &str) -> Piece {
    Piece::Done(Finished {
        text: text.to_owned(),
        calls: Vec::new(),
        stop: StopReason::End,
        input_tokens: 3,
        output_tokens: 2,
        session: "sess_1".to_owned(),
    })
}

/// A turn that is answered.
pub(crate) struct Turn(IntoIter<Piece>);

impl Turn {
    pub(crate) fn next(&mut self) -> Option<Piece> {
        self.0.next()
    }
}

pub(crate) fn start(
    opening: &Opening,
    input: &[Input],
    tools: &[ToolSpec],
    options: &str,
) -> Result<Turn, Fault> {
    let begun = BegunTurn {
        opening: opening.clone(),
        input: input.to_vec(),
        tools: tools.to_vec(),
        options: options.to_owned(),
    };
    ANSWER.with_borrow_mut(|answer| match answer {
        Some(answer) => answer(begun).map(|pieces| Turn(pieces.into_iter())),
        None => {
            Err(Fault::new(FaultCode::Denied, "nobody answers turns in this test: testing::answer_turns"))
        }
    })
}

pub(crate) fn agents() -> Result<Vec<String>, Fault> {
    Ok(AGENTS.with_borrow(Vec::clone))
}
