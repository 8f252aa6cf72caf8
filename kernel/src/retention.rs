//! What is let go with time: files, sessions, messages and the audit log, each when it is as old as the operator says; and the
//! room of what is gone, which is given back to the disk while the gateway rests.

use std::time::Duration;

use tracing::{error, info};

use prx_base::Base;
use prx_base::config;
use prx_base::error::Result;
use prx_store::Store;

/// How often expired files and old tokens are removed: every 10 minutes.
const INTERVAL: Duration = Duration::from_secs(600);
/// How many of these it takes until everything else is looked at: an hour.
const ROUNDS: u32 = 6;
/// How long after the start the first look at everything comes: a minute.
const FIRST: Duration = Duration::from_secs(60);
/// How long nothing may be written before the file is compacted: 10 seconds.
const REST: Duration = Duration::from_secs(10);
/// How often that is waited for, before it is left for the next hour.
const RESTS: u32 = 60;
/// Free room in the file that is worth a compaction, in bytes.
const WORTHWHILE: u64 = 8 << 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a token is listed that is good no more: 30 days.
const TOKENS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Lets go of what is old, for as long as the gateway runs.
pub(crate) async fn run(base: Base, store: Store) {
    sweep_often(&base, &store).await;
    base.clock.sleep(FIRST).await;
    // The file as it was when it was last looked at: one that has not changed need not be looked at again.
    let mut looked_at = None;
    loop {
        sweep(&base.config.current().store, &store).await;
        if looked_at != Some(store.commits()) {
            give_back(&base, &store).await;
            looked_at = Some(store.commits());
        }
        for _ in 0..ROUNDS {
            base.clock.sleep(INTERVAL).await;
            sweep_often(&base, &store).await;
        }
    }
}

async fn sweep_often(base: &Base, store: &Store) {
    let days = base.config.current().store.blobs_days;
    match store.sweep_blobs(DAY * days).await {
        Ok(0) => {}
        Ok(count) => info!(count, "images and files of old messages were let go"),
        Err(error) => error!(%error, "images and files can't be swept"),
    }
    if let Err(error) = store.forget_overheard().await {
        error!(%error, "what was overheard can't be swept");
    }
    match store.sweep_tokens(TOKENS_KEPT).await {
        Ok(0) => {}
        Ok(count) => info!(count, "tokens that were revoked or have expired were forgotten"),
        Err(error) => error!(%error, "old tokens can't be swept"),
    }
}

async fn sweep(config: &config::Store, store: &Store) {
    if let Err(error) = sweep_all(config, store).await {
        error!(%error, "what is old can't be let go");
    }
}

async fn sweep_all(config: &config::Store, store: &Store) -> Result<()> {
    if config.messages_days > 0 {
        let erased = store.sweep_messages(DAY * config.messages_days).await?;
        if !erased.is_empty() {
            info!(messages = erased.messages, files = erased.files, "old messages were let go");
        }
    }
    if config.sessions_days > 0 {
        let erased = store.sweep_old_sessions(DAY * config.sessions_days).await?;
        if !erased.is_empty() {
            info!(sessions = erased.sessions, messages = erased.messages, "old sessions were let go");
        }
    }
    store.sweep_audit(DAY * config.audit_days).await.map(drop)
}

/// Compacts the file where half of it is free, once nothing is written for a while.
async fn give_back(base: &Base, store: &Store) {
    if store.file_bytes() < 2 * WORTHWHILE {
        return;
    }
    match store.space_use().await {
        Ok(space) if space.free() >= WORTHWHILE && space.free() * 2 >= space.file => {}
        Ok(_) => return,
        Err(error) => return error!(%error, "how much of the store is free can't be told"),
    }
    for _ in 0..RESTS {
        let before = store.commits();
        base.clock.sleep(REST).await;
        if store.commits() == before {
            match store.compact().await {
                Ok(done) => info!(before = done.before, after = done.after, "the store was compacted"),
                Err(error) => info!(%error, "the store is compacted later"),
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use prx_base::clock::Clock;
    use prx_base::config::{Config, Live};
    use prx_store::NewSession;

    use super::*;

    #[tokio::test]
    async fn sessions_that_are_over_go_when_their_days_are() {
        let home = tempfile::tempdir().expect("a folder");
        let clock = Clock::manual(Timestamp::UNIX_EPOCH + DAY * 20_000);
        let store = Store::open(home.path(), clock.clone()).expect("an empty store");
        let mut config = Config::default();
        config.store.sessions_days = 3;
        let base = Base::new(clock.clone(), Live::new(config), store.events().clone());
        let mut sessions = Vec::new();
        for user in ["over", "open"] {
            let (channel, user_id) = ("api".to_owned(), user.to_owned());
            let metadata = serde_json::json!({});
            let new = NewSession {
                channel,
                user_id,
                metadata,
                conversation: None,
                model: None,
                agent: None,
                language: None,
            };
            sessions.push(store.create_session(new).await.expect("opened").id);
        }
        store.terminate_session(&sessions[0]).await.expect("ended");
        let sweeping = tokio::spawn(run(base, store.clone()));
        let is_there = |session: &String| store.session(session).is_ok();
        // It rests between its looks: each step of the clock wakes it, and is followed by a while to work in.
        let mut steps = 0;
        while is_there(&sessions[0]) {
            clock.advance(INTERVAL);
            tokio::time::sleep(Duration::from_millis(1)).await;
            steps += 1;
            assert!(steps < 100_000, "it is never swept");
        }
        assert!(clock.now() >= Timestamp::UNIX_EPOCH + DAY * 20_003, "not before its days are over");
        assert!(is_there(&sessions[1]), "one that is not over stays");
        sweeping.abort();
        store.close().await;
    }
}
