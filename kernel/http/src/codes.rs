//! One-time codes: whoever has a token makes one, and whoever shows it within a minute gets a token of its own for it, which
//! may do the same. So a page in a browser is opened without a token in its address, and its token ends apart from its
//! maker's. Only digests of codes are kept, in memory.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use subtle::{Choice, ConstantTimeEq};

use super::auth::{self, Caller, Minted};
use super::scope::Scope;
use prx_base::clock::Clock;
use prx_base::error::{Code, Error, Result};
use prx_store::{Store, TokenRecord};

/// How long a code may be used: a minute.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// How long the token is good that it is exchanged for: 12 hours.
const TOKEN_GOOD_FOR: Duration = Duration::from_secs(12 * 60 * 60);
/// Codes of one token that may be used at a time; the oldest makes room.
const MAX_OF_ONE: usize = 5;
/// Those of all.
const MAX: usize = 1_000;

/// A cheap-clone handle to the codes that may be used now.
#[derive(Debug, Clone, Default)]
pub struct Codes(Arc<Mutex<Vec<OpenCode>>>);

/// What is kept of a code.
#[derive(Debug)]
struct OpenCode {
    sha256: [u8; 32],
    /// The id of the token that made it; none: it was the owner of the data directory.
    maker: Option<String>,
    expires_at: Timestamp,
}

/// A code just made.
#[derive(Debug)]
pub struct NewCode {
    /// The code itself. It is not kept and can't be shown again.
    pub code: String,
    /// Until when it may be used.
    pub expires_at: Timestamp,
}

impl Codes {
    /// Makes a code for what its maker may do.
    ///
    /// # Errors
    /// `conflict` where the maker's token goes back to others over so many codes that a further one would not be good.
    pub fn make(&self, store: &Store, clock: &Clock, maker: &Caller) -> Result<NewCode> {
        let maker = match maker {
            Caller::Owner => None,
            Caller::Token { id, .. } => Some(id.clone()),
            Caller::Anyone => return Err(Error::new(Code::Forbidden, "A code takes a token to make")),
        };
        if let Some(id) = &maker
            && auth::generation(store, id)? >= auth::MAX_GENERATIONS
        {
            return Err(Error::conflict(
                "This token comes from a code of a token from a code, and so on, too many times; use one that \
                 `prx auth token` made",
            ));
        }
        let code = URL_SAFE_NO_PAD.encode(auth::random::<32>()?);
        let expires_at = clock.now() + GOOD_FOR;
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_this = |other: &OpenCode| other.maker == maker;
        if open.iter().filter(|other| of_this(other)).count() >= MAX_OF_ONE
            && let Some(oldest) = open.iter().position(of_this)
        {
            open.remove(oldest);
        } else if open.len() >= MAX {
            open.remove(0);
        }
        open.push(OpenCode { sha256: auth::digest(&code), maker, expires_at });
        Ok(NewCode { code, expires_at })
    }

    /// Takes a code, and makes a token with the scopes of the one that made it, which ends with that one, and after 12 hours
    /// at the latest. The code is used up, whatever comes of it.
    ///
    /// # Errors
    /// 401 where there is no such code, in the same words for one that was used, is too old, or whose maker's token is not
    /// good any more.
    pub async fn exchange(&self, store: &Store, clock: &Clock, code: &str) -> Result<Minted> {
        let now = clock.now();
        let open = self.take(code, now).ok_or_else(wrong)?;
        let mut expires_at = now + TOKEN_GOOD_FOR;
        let scopes = match &open.maker {
            None => vec![Scope::ADMIN.as_str().to_owned()],
            Some(id) => {
                let maker = store.token(id)?.ok_or_else(wrong)?;
                auth::check(store, clock, &maker).map_err(|_| wrong())?;
                expires_at = maker.expires_at.map_or(expires_at, |end| end.min(expires_at));
                maker.scopes
            }
        };
        let name = "console".to_owned();
        auth::keep(store, clock, |id, sha256| TokenRecord {
            id,
            name,
            sha256,
            scopes,
            created_at: now,
            expires_at: Some(expires_at),
            last_used_at: None,
            revoked_at: None,
            maker: open.maker,
        })
        .await
    }

    /// Takes the code out, looking at all there are in the same time whether or not it is among them.
    fn take(&self, code: &str, now: Timestamp) -> Option<OpenCode> {
        let sha256 = auth::digest(code);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut kept) = (None, Vec::with_capacity(open.len()));
        for other in mem::take(&mut *open) {
            let same: Choice = other.sha256.ct_eq(&sha256);
            match (bool::from(same), other.expires_at > now) {
                (true, true) => taken = Some(other),
                (false, true) => kept.push(other),
                (_, false) => {}
            }
        }
        *open = kept;
        taken
    }
}

fn wrong() -> Error {
    Error::new(Code::Unauthorized, "The code is wrong, was used before or is too old; make another one")
}

#[cfg(test)]
mod tests {
    use super::super::auth::{NewToken, mint};
    use super::*;

    struct World {
        codes: Codes,
        store: Store,
        clock: Clock,
        _home: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let home = tempfile::tempdir().expect("a directory");
            let clock = Clock::manual(Timestamp::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
            let store = Store::open(home.path(), clock.clone()).expect("an empty store");
            Self { codes: Codes::default(), store, clock, _home: home }
        }

        async fn token(&self, expires_in: Option<Duration>) -> TokenRecord {
            let new = NewToken { name: "test".into(), scopes: vec![Scope::SESSIONS_READ], expires_in };
            mint(&self.store, &self.clock, new).await.expect("a token").record
        }

        fn make(&self, id: &str) -> Result<NewCode> {
            let maker = Caller::Token { id: id.to_owned(), scopes: vec![] };
            self.codes.make(&self.store, &self.clock, &maker)
        }

        async fn exchange(&self, code: &str) -> Result<TokenRecord> {
            Ok(self.codes.exchange(&self.store, &self.clock, code).await?.record)
        }
    }

    #[tokio::test]
    async fn a_code_is_good_once_and_for_a_minute() {
        let world = World::new();
        let maker = world.token(None).await;
        let code = world.make(&maker.id).unwrap();
        let token = world.exchange(&code.code).await.unwrap();
        assert_eq!((token.name.as_str(), &token.scopes), ("console", &maker.scopes));
        assert_eq!(token.expires_at, Some(world.clock.now() + TOKEN_GOOD_FOR));
        for wrong in [code.code.as_str(), "", "nonsense"] {
            assert_eq!(world.exchange(wrong).await.unwrap_err().code(), Code::Unauthorized);
        }
        let late = world.make(&maker.id).unwrap();
        world.clock.advance(GOOD_FOR);
        assert_eq!(late.expires_at, world.clock.now());
        assert_eq!(world.exchange(&late.code).await.unwrap_err().code(), Code::Unauthorized);
        assert!(world.codes.0.lock().unwrap().is_empty(), "nothing is left behind");
    }

    #[tokio::test]
    async fn a_token_from_a_code_ends_with_its_maker() {
        let world = World::new();
        let maker = world.token(Some(Duration::from_secs(3_600))).await;
        let code = world.make(&maker.id).unwrap();
        let unused = world.make(&maker.id).unwrap();
        let mut token = world.exchange(&code.code).await.unwrap();
        assert_eq!(token.expires_at, maker.expires_at);
        // And so on, as long as anybody could mean it.
        let mut made = 1;
        while let Ok(code) = world.make(&token.id) {
            token = world.exchange(&code.code).await.unwrap();
            auth::check(&world.store, &world.clock, &token).unwrap();
            made += 1;
        }
        assert_eq!(made, auth::MAX_GENERATIONS);
        world.store.revoke_token(&maker.id).await.unwrap();
        let ended = auth::check(&world.store, &world.clock, &token).unwrap_err();
        assert_eq!(ended.message(), "The bearer token was revoked");
        assert_eq!(world.exchange(&unused.code).await.unwrap_err().code(), Code::Unauthorized);
    }

    #[tokio::test]
    async fn few_codes_are_open_at_a_time() {
        let world = World::new();
        let (one, other) = (world.token(None).await, world.token(None).await);
        let first = world.make(&one.id).unwrap();
        let others = world.make(&other.id).unwrap();
        let codes: Vec<_> = (0..MAX_OF_ONE).map(|_| world.make(&one.id).unwrap()).collect();
        assert!(world.exchange(&first.code).await.is_err(), "it has made room");
        for code in codes.iter().chain([&others]) {
            world.exchange(&code.code).await.unwrap();
        }
    }
}
