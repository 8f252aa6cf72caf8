//! One session after the other: in a conversation, and where one has ended and the same person goes on.

use super::agents;
use super::handle::Store;
use super::model::{NewSession, Session};
use super::rows::{Failure, Result};
use super::sessions::{SESSIONS, SessionRow, of_conversation};
use super::tx::Tx;
use prx_base::error::Error;

impl Store {
    /// The session that goes on where this one has ended, with what it has left: for the same person, in the same place. It is
    /// made when it is asked for first, and is the same from then on, whatever becomes of it.
    ///
    /// # Errors
    /// `not_found`; `conflict` while the session has not ended.
    pub async fn next_session(&self, id: &str) -> Result<String> {
        let id = id.to_owned();
        self.write(move |tx| {
            let mut ended = SessionRow::load(tx, &id)?;
            if ended.is_open() {
                return Err(Error::conflict(format!("Session {id} has not ended")).into());
            }
            if let Some(next) = &ended.next
                && tx.get(&SESSIONS, next.as_str())?.is_some()
            {
                return Ok(next.clone());
            }
            let newest =
                ended.session.conversation.as_ref().map(|place| of_conversation(tx, place)).transpose()?;
            if let Some(newest) = newest.flatten().filter(|newest| newest.session.id != id) {
                ended.next = Some(newest.session.id.clone());
                ended.save(tx)?;
                return Ok(newest.session.id);
            }
            let Session { channel, user_id, metadata, conversation, model, agent, language, .. } =
                ended.session.clone();
            let new = NewSession { channel, user_id, metadata, conversation, model, agent, language };
            let mut row = open_after(tx, new, Some(ended), true)?;
            row.save(tx)?;
            row.announce(tx)?;
            Ok(row.session.id)
        })
        .await
    }

    /// Forgets all that agents have kept of sessions, and what has gone on from there to the sessions after them.
    pub(super) async fn forget_kept(&self, sessions: &[String]) -> Result<()> {
        for session in sessions {
            let mut chain = vec![session.clone()];
            chain.extend(self.carried_on(session).await?);
            // From the far end, so that what is cut off by a crash finds its way again.
            for session in chain.into_iter().rev() {
                self.write(move |tx| agents::forget(tx, &session)).await?;
            }
        }
        Ok(())
    }

    /// The sessions to which something has come from this one, each from the one before.
    async fn carried_on(&self, session: &str) -> Result<Vec<String>> {
        let mut chain: Vec<String> = Vec::new();
        let mut last = session.to_owned();
        loop {
            let next = self.read(|snapshot| {
                let row: Option<SessionRow> = snapshot.get(&SESSIONS, last.as_str())?;
                let Some(next) = row.and_then(|row| row.next) else { return Ok(None) };
                Ok(agents::seems_given(snapshot, &next)?.then_some(next))
            })?;
            match next {
                Some(next) if !chain.contains(&next) => chain.push(next.clone()),
                _ => return Ok(chain),
            }
            last.clone_from(&chain[chain.len() - 1]);
            tokio::task::yield_now().await;
        }
    }
}

/// A session behind the one before it, whose turns may still be worked on. It is given what that has left, if it `goes_on`
/// from there.
pub(super) fn open_after(
    tx: &Tx<'_>,
    new: NewSession,
    before: Option<SessionRow>,
    goes_on: bool,
) -> Result<SessionRow, Failure> {
    let mut row = SessionRow::open(tx, new)?;
    let Some(mut before) = before else { return Ok(row) };
    before.next = Some(row.session.id.clone());
    before.save(tx)?;
    if goes_on {
        agents::pass_on(tx, &before.session, &row.session.id)?;
    }
    if let Some(mut busy) = before.busy(tx)? {
        row.predecessor = Some(busy.session.id.clone());
        busy.successor = Some(row.session.id.clone());
        busy.save(tx)?;
    }
    Ok(row)
}
