//! Whose memories belong to a turn.

use prx_base::error::Result;
use prx_store::{ANONYMOUS, Owner, Store, Turn};

/// Whose memories belong to a turn: those of the person who said what it answers. None for someone without a
/// name, and for what is said over the API in a conversation of a channel.
pub(super) fn owner(store: &Store, turn: &Turn) -> Result<Option<Owner>> {
    if let Some(inbound) = &turn.inbound {
        let channel = inbound.conversation.channel.clone();
        return Ok(Some(Owner { channel, user_id: inbound.user_id.clone() }));
    }
    let session = store.session(&turn.session)?;
    if session.conversation.is_some() {
        // Someone else than the person, who is only heard on the channel, speaks in the person's conversation.
        return Ok(None);
    }
    let owner = Owner { channel: session.channel, user_id: session.user_id };
    Ok((owner.user_id != ANONYMOUS).then_some(owner))
}
