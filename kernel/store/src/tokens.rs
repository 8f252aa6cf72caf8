//! Bearer tokens. Only their digests are kept.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::handle::Store;
use super::kept::Kept;
use super::rows::{MAX_PAGE, Page, Result, Rows};
use super::tx::Effect;
use prx_base::error::Error;

const TOKENS: Rows<&str, TokenRecord> = Rows::new("tokens");

pub(super) const TABLES: &[&dyn Kept] = &[&TOKENS];

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// The part of the token that names it.
    pub id: String,
    /// Given by whoever made it.
    pub name: String,
    /// SHA-256 of the secret part.
    pub sha256: [u8; 32],
    /// What it allows.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good; none for ever.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, roughly.
    pub last_used_at: Option<Timestamp>,
    /// Since when it is good no more.
    pub revoked_at: Option<Timestamp>,
    /// The token whose one-time code it was made with, and with which it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<String>,
}

impl Store {
    /// Adds a token.
    ///
    /// # Errors
    /// `conflict` when there is one of this id.
    pub async fn add_token(&self, token: TokenRecord) -> Result<()> {
        self.write(move |tx| {
            if tx.get(&TOKENS, token.id.as_str())?.is_some() {
                return Err(Error::conflict(format!("Token {} already exists", token.id)).into());
            }
            tx.put(&TOKENS, token.id.as_str(), &token)
        })
        .await
    }

    /// One token, revoked and expired ones included.
    pub fn token(&self, id: &str) -> Result<Option<TokenRecord>> {
        self.read(|snapshot| snapshot.get(&TOKENS, id))
    }

    /// The tokens there are, revoked and expired ones included, oldest first: up to `limit` behind the first `offset`.
    pub fn tokens(&self, limit: usize, offset: usize) -> Result<Page<TokenRecord>> {
        self.read(|snapshot| snapshot.slice(&TOKENS, limit, offset))
    }

    /// Makes a token good no more. Doing so again changes nothing.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn revoke_token(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.write(move |tx| {
            let mut token = tx.get(&TOKENS, id.as_str())?.ok_or_else(|| Error::not_found("Token", &id))?;
            if token.revoked_at.is_some() {
                return Ok(());
            }
            token.revoked_at = Some(tx.now());
            tx.after_commit(Effect::Revoked);
            tx.put(&TOKENS, id.as_str(), &token)
        })
        .await
    }

    /// Forgets tokens that were revoked, or expired, this long ago. Returns how many.
    ///
    /// # Errors
    /// The store has failed.
    pub async fn sweep_tokens(&self, age: Duration) -> Result<usize> {
        let now = self.shared.clock.now();
        let over = |token: &TokenRecord| {
            let end = [token.revoked_at, token.expires_at].into_iter().flatten().min();
            end.and_then(|end| end.checked_add(age).ok()).is_some_and(|forgotten| forgotten <= now)
        };
        let (mut ids, mut offset) = (Vec::new(), 0);
        loop {
            let page = self.tokens(MAX_PAGE, offset)?.items;
            ids.extend(page.iter().filter(|token| over(token)).map(|token| token.id.clone()));
            if page.len() < MAX_PAGE {
                break;
            }
            offset += MAX_PAGE;
        }
        let count = ids.len();
        for batch in ids.chunks(MAX_PAGE).map(<[String]>::to_vec) {
            self.write(move |tx| batch.iter().try_for_each(|id| tx.remove(&TOKENS, id.as_str()).map(drop)))
                .await?;
        }
        Ok(count)
    }

    /// Word whenever a token is revoked, from now on.
    pub fn revocations(&self) -> watch::Receiver<()> {
        self.shared.revoked.subscribe()
    }

    /// Notes when tokens were last used. A crash may undo it.
    pub async fn touch_tokens(&self, used: Vec<(String, Timestamp)>) -> Result<()> {
        self.write_lazily(move |tx| {
            for (id, at) in used {
                let Some(mut token) = tx.get(&TOKENS, id.as_str())? else { continue };
                if token.last_used_at < Some(at) {
                    token.last_used_at = Some(at);
                    tx.put(&TOKENS, id.as_str(), &token)?;
                }
            }
            Ok(())
        })
        .await
    }
}
