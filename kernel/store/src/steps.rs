//! Steps in the middle of a turn.

use serde_json::Value;

use super::agents;
use super::handle::Store;
use super::model::{AgentCommit, NewOutbound, TurnId, Usage};
use super::queue::TURNS;
use super::rows::Result;
use super::sessions::SessionRow;
use super::{events, outbox, spending};
use prx_base::events::NewEvent;

/// A step in the middle of a turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TurnStep {
    /// What a later attempt at the turn would need.
    pub progress: Value,
    /// What has been spent since the last time.
    pub usage: Usage,
    /// What has happened since.
    pub events: Vec<NewEvent>,
    /// What is said before the end.
    pub outbound: Vec<NewOutbound>,
    /// What its agent keeps.
    pub agent: AgentCommit,
}

impl Store {
    /// Keeps a step of a turn, all of it or nothing. Of a turn that is over only what it has cost is counted.
    ///
    /// # Errors
    /// `not_found` for the session.
    pub async fn record_step(&self, turn: &TurnId, step: TurnStep) -> Result<()> {
        let id = turn.clone();
        self.write(move |tx| {
            if step.usage != Usage::default() {
                let mut session = SessionRow::load(tx, &id.session)?;
                spending::count(tx, &mut session, step.usage)?;
                session.save(tx)?;
            }
            for event in step.events {
                events::announce(tx, event.kind, event.data)?;
            }
            let Some(mut row) = tx.get(&TURNS, (&id.session, id.seq))? else { return Ok(()) };
            row.progress = Some(step.progress);
            tx.put(&TURNS, (&id.session, id.seq), &row)?;
            for said in step.outbound {
                outbox::add(tx, said)?;
            }
            agents::keep(tx, &id.session, &step.agent)
        })
        .await
    }
}
