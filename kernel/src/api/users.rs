//! People: all that is kept of one, erased.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::gateway::Gateway;
use prx_base::error::{Code, Error, Result};
use prx_http::{Call, Doc, Reply};
use prx_store::{Erased, Owner, SessionStatus};

/// How long turns that were ended may take to notice: 10 seconds. What they write later finds no session.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked for what has come meanwhile.
const MAX_ROUNDS: usize = 3;

/// What was erased of a person, in numbers.
#[derive(Serialize, JsonSchema)]
struct ErasedUser {
    channel: String,
    user_id: String,
    erased: Erased,
}

pub(super) const ERASE: Doc = Doc::new(
    "Erase all that is kept of a person: sessions, messages, files, memories, and what waits or was given up",
)
.answers::<ErasedUser>(&[200]);

/// Ends the person's turns, then erases. Once there is nothing more it says so in zeros.
pub(super) async fn erase(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let owner =
        Owner { channel: call.param("channel").to_owned(), user_id: call.param("user_id").to_owned() };
    let mut erased = Erased::default();
    for _ in 0..MAX_ROUNDS {
        end_sessions(&gateway, &owner).await?;
        let more = gateway.store.erase_user(&owner).await?;
        erased.add(more);
        if more.is_empty() {
            break;
        }
    }
    let details = serde_json::to_value(erased).map_err(Error::internal)?;
    let target = format!("{}/{}", owner.channel, owner.user_id);
    let Owner { channel, user_id } = owner;
    Ok(Reply::ok(&ErasedUser { channel, user_id, erased })?.noting(target, json!({ "erased": details })))
}

async fn end_sessions(gateway: &Gateway, owner: &Owner) -> Result<()> {
    let sessions = gateway.store.sessions_of(owner).await?;
    let open = sessions.iter().filter(|session| session.status != SessionStatus::Terminated);
    for session in open {
        match gateway.turns.end_session(&session.id).await {
            // It has ended by itself meanwhile, or is gone.
            Err(error) if matches!(error.code(), Code::Conflict | Code::NotFound) => {}
            ended => ended?,
        }
    }
    let ids: Vec<_> = sessions.into_iter().map(|session| session.id).collect();
    gateway.turns.wait_for_end(&ids, TURN_TIMEOUT).await;
    Ok(())
}
