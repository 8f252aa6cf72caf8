//! Questions that a turn asks a person: before it calls a tool, for an MCP server while that works on a call, and for its
//! agent.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::handle::Store;
use super::kept::Kept;
use super::model::{Command, Decision, NewInbound, NewOutbound, TurnId};
use super::operation::Choice;
use super::rows::{Failure, LAST_ID, MAX_PAGE, Result, Rows};
use super::sessions::SessionRow;
use super::tx::{Effect, Tx};
use super::{outbox, queue};
use prx_base::error::Error;

/// By session and id; they go when their turn is over.
const APPROVALS: Rows<(&str, &str), Approval> = Rows::new("approvals");

pub(super) const TABLES: &[&dyn Kept] = &[&APPROVALS];

/// A question, and its answer once there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// `ask_<ulid>`
    pub id: String,
    /// What is to be allowed.
    pub asked: NewApproval,
    /// Since when.
    pub asked_at: Timestamp,
    /// The moment from which no answer counts as none.
    pub expires_at: Timestamp,
    /// The answer; the first one counts.
    pub decision: Option<Decision>,
}

/// A question to be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewApproval {
    /// The turn that asks.
    pub turn: TurnId,
    /// The call's id in that turn; of a question of the agent's, its own name for that.
    pub call: String,
    /// The tool; empty where the agent asks.
    pub tool: String,
    /// What it is to be called with.
    pub arguments: Value,
    /// What the tool's server asks while it is called; none: whether it may be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elicitation: Option<Elicitation>,
    /// What the agent asks; none: it is about a tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// Who may answer on the channel, by the platform's id; over the API whoever may write to the session.
    pub user: Option<String>,
    /// How long the question stands.
    #[serde(rename = "patience")]
    pub timeout: Duration,
}

/// What an MCP server asks a person, as far as yes or no answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Elicitation {
    /// Which question of its call it is, from 1. A call that is made again after a crash asks the same ones again.
    pub number: u32,
    /// The server's words.
    pub message: String,
    /// The page that the person is asked to open.
    pub url: Option<String>,
    /// What yes answers, by the names that the server gave; none where a page is to be opened.
    pub content: Option<Value>,
}

/// What an agent asks a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Its words, in CommonMark.
    pub text: String,
    /// What may be answered, by the agent's own ids.
    pub choices: Vec<Choice>,
}

impl Question {
    /// The place of the choice with this id.
    pub fn place(&self, id: &str) -> Option<u8> {
        self.choices.iter().position(|choice| choice.id == id).and_then(|at| u8::try_from(at).ok())
    }

    /// The choice that a person has said in words: its number, from 1, or its label.
    fn said(&self, text: &str) -> Option<u8> {
        let (text, number) = (text.trim(), text.trim().parse::<usize>().ok());
        let is_it = |at: usize, choice: &Choice| {
            number == Some(at + 1) || choice.label.to_lowercase() == text.to_lowercase()
        };
        let at = self.choices.iter().enumerate().position(|(at, choice)| is_it(at, choice));
        at.and_then(|at| u8::try_from(at).ok())
    }
}

impl Approval {
    /// The ids of the choices that a person has: to allow, and to deny.
    pub fn choices(id: &str) -> [String; 2] {
        [format!("allow:{id}"), format!("deny:{id}")]
    }

    /// The id of the choice at this place of a question that has choices.
    pub fn choice(id: &str, place: usize) -> String {
        format!("{place}:{id}")
    }

    /// What a message decides; none if it is no answer.
    fn decided_by(&self, inbound: &NewInbound) -> Option<Decision> {
        match (&inbound.choice, &self.asked.question) {
            (Some(choice), None) => {
                let [allow, deny] = Self::choices(&self.id);
                let words = [(allow, Decision::Allow), (deny, Decision::Deny)];
                words.into_iter().find(|(word, _)| word == choice).map(|(_, decision)| decision)
            }
            (Some(choice), Some(question)) => {
                let at = (0..question.choices.len()).find(|at| Self::choice(&self.id, *at) == *choice)?;
                u8::try_from(at).ok().map(Decision::Chosen)
            }
            (None, None) => match inbound.command {
                Some(Command::Decide(decision)) => Some(decision),
                _ => None,
            },
            (None, Some(question)) => question.said(&inbound.text).map(Decision::Chosen),
        }
    }
}

impl Store {
    /// An id for a question that is about to be asked, so that its choices can be named.
    pub fn new_approval_id(&self) -> String {
        self.shared.ids.next("ask", self.shared.clock.now())
    }

    /// Asks a question under an id from [`Store::new_approval_id`], with what is to be sent about it. A turn that asks
    /// again, after a crash, gets the question that it asked before, which may be answered by now.
    ///
    /// # Errors
    /// `conflict` when the turn is over.
    pub async fn ask_approval(
        &self,
        id: String,
        asked: NewApproval,
        outbound: Option<NewOutbound>,
    ) -> Result<Approval> {
        self.write(move |tx| {
            if !queue::waits(tx, &asked.turn)? {
                return Err(Error::conflict("The turn that asks is over").into());
            }
            let asked_before = all(tx, &asked.turn.session)?;
            let same = |known: &Approval| {
                let known = &known.asked;
                known.turn == asked.turn
                    && known.call == asked.call
                    && known.elicitation == asked.elicitation
                    && known.question == asked.question
            };
            if let Some(known) = asked_before.into_iter().find(same) {
                return Ok(known);
            }
            let expires_at = tx.now().checked_add(asked.timeout).unwrap_or(Timestamp::MAX);
            let approval = Approval { id, asked, asked_at: tx.now(), expires_at, decision: None };
            put(tx, &approval)?;
            if let Some(outbound) = outbound {
                outbox::add(tx, outbound)?;
            }
            Ok(approval)
        })
        .await
    }

    /// The questions of a session that wait for an answer, oldest first.
    ///
    /// # Errors
    /// `not_found` for the session.
    pub fn approvals(&self, session: &str) -> Result<Vec<Approval>> {
        let mut open = self.read(|snapshot| {
            SessionRow::see(snapshot, session)?;
            snapshot.page(&APPROVALS, (session, "")..(session, LAST_ID), MAX_PAGE)
        })?;
        open.retain(|approval| approval.decision.is_none());
        Ok(open)
    }

    /// One question, answered or not.
    ///
    /// # Errors
    /// `not_found`, also once its turn is over.
    pub fn approval(&self, session: &str, id: &str) -> Result<Approval> {
        let found = self.read(|snapshot| snapshot.get(&APPROVALS, (session, id)))?;
        found.ok_or_else(|| Error::not_found("Approval", id))
    }

    /// Answers a question, and has its turn go on. The first answer counts, and comes back.
    ///
    /// # Errors
    /// `not_found`, also once its turn is over.
    pub async fn decide_approval(&self, session: &str, id: &str, decision: Decision) -> Result<Decision> {
        let (session, id) = (session.to_owned(), id.to_owned());
        self.write(move |tx| {
            let approval = tx.get(&APPROVALS, (&session, &id))?;
            decide(tx, approval.ok_or_else(|| Error::not_found("Approval", &id))?, decision)
        })
        .await
    }
}

/// Takes a message as the answer to the oldest open question of a session that it may answer: a choice of that
/// question, or in words. False: it is no such answer.
pub(super) fn answer(tx: &Tx<'_>, session: &str, inbound: &NewInbound) -> Result<bool, Failure> {
    let user = Some(&inbound.user_id);
    let mut open = all(tx, session)?;
    open.retain(|approval| approval.decision.is_none() && approval.asked.user.as_ref() == user);
    let found = open.into_iter().find_map(|approval| {
        let decision = approval.decided_by(inbound)?;
        Some((approval, decision))
    });
    let Some((approval, decision)) = found else { return Ok(false) };
    decide(tx, approval, decision)?;
    Ok(true)
}

/// Forgets the questions of a session, whose turn is over.
pub(super) fn forget(tx: &Tx<'_>, session: &str) -> Result<(), Failure> {
    tx.clear(&APPROVALS, (session, "")..(session, LAST_ID))
}

/// Forgets the questions of a session that is erased, and tells how many those were.
pub(super) fn erase(tx: &Tx<'_>, session: &str) -> Result<usize, Failure> {
    let asked = all(tx, session)?.len();
    if asked > 0 {
        forget(tx, session)?;
    }
    Ok(asked)
}

fn all(tx: &Tx<'_>, session: &str) -> Result<Vec<Approval>, Failure> {
    tx.page(&APPROVALS, (session, "")..(session, LAST_ID), MAX_PAGE)
}

fn decide(tx: &Tx<'_>, mut approval: Approval, decision: Decision) -> Result<Decision, Failure> {
    if let Some(known) = approval.decision {
        return Ok(known);
    }
    approval.decision = Some(decision);
    put(tx, &approval)?;
    tx.after_commit(Effect::TurnNotified(approval.asked.turn.session));
    Ok(decision)
}

fn put(tx: &Tx<'_>, approval: &Approval) -> Result<(), Failure> {
    tx.put(&APPROVALS, (&approval.asked.turn.session, &approval.id), approval)
}
