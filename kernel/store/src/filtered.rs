//! Messages as filters have them: what was there before is not kept.

use super::blobs;
use super::handle::Store;
use super::message::{Message, MessageContext};
use super::messages::MESSAGES;
use super::model::{Filtered, TurnId};
use super::queue::{OPENING, TURNS};
use super::rows::{Failure, Result};
use super::tx::Tx;

/// What stands in the place of a message that goes no further.
const NOT_PASSED_ON: &str = "[not passed on: a filter has stopped this message]";

impl Store {
    /// Changes the message that a turn is about, and notes that filters have looked at it. Does nothing for a turn that is
    /// over.
    pub async fn change_message(
        &self,
        turn: &TurnId,
        content: String,
        context: MessageContext,
    ) -> Result<()> {
        let turn = turn.clone();
        self.write(move |tx| {
            let Some(message) = noted(tx, &turn, Filtered::Passed)? else { return Ok(()) };
            put(tx, &turn, Message { content, context, ..message })
        })
        .await
    }

    /// Takes what was said out of the message that a turn is about, with its files, and notes what is said instead of an
    /// answer. Does nothing for a turn that is over.
    pub async fn stop_message(&self, turn: &TurnId, why: String) -> Result<()> {
        let turn = turn.clone();
        let stop = move |tx: &Tx<'_>| {
            let Some(message) = noted(tx, &turn, Filtered::Stopped(why))? else { return Ok(Vec::new()) };
            let files: Vec<String> = message.attachments.iter().map(|file| file.blob.clone()).collect();
            let context = MessageContext { sender: message.context.sender, ..MessageContext::default() };
            let (content, attachments) = (NOT_PASSED_ON.to_owned(), Vec::new());
            put(tx, &turn, Message { content, attachments, context, ..message })?;
            blobs::remove(tx, &files)
        };
        let files = self.write(stop).await?;
        self.delete_files(&files).await;
        Ok(())
    }
}

/// Notes what has become of a turn's message, and returns that as it was; none for a turn that is over.
fn noted(tx: &Tx<'_>, turn: &TurnId, filtered: Filtered) -> Result<Option<Message>, Failure> {
    let Some(mut row) = tx.get(&TURNS, (&turn.session, turn.seq))? else { return Ok(None) };
    let Some(message) = tx.get(&MESSAGES, (&turn.session, turn.seq, OPENING))? else { return Ok(None) };
    row.filtered = Some(filtered);
    tx.put(&TURNS, (&turn.session, turn.seq), &row)?;
    Ok(Some(message))
}

fn put(tx: &Tx<'_>, turn: &TurnId, message: Message) -> Result<(), Failure> {
    tx.blank(&MESSAGES, (&turn.session, turn.seq, OPENING))?;
    tx.put(&MESSAGES, (&turn.session, turn.seq, OPENING), &message)
}
