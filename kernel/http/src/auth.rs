//! Bearer tokens: made, read, checked. A token is `prx_<id>_<secret>`; only a SHA-256 of the secret is kept.

use std::borrow::Cow;
use std::collections::HashMap;
use std::future;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use ulid::Ulid;

use super::scope::Scope;
use prx_base::clock::Clock;
use prx_base::error::{Code, Error, Result};
use prx_store::{Store, TokenRecord};

/// How often the expiry of a token is checked while a stream is open, in case the time was set: every 60 seconds.
const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// How many tokens one may go back to, each made with a code of the one before.
pub(super) const MAX_GENERATIONS: usize = 8;

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Whoever may open the socket in the data directory; may do everything.
    Owner,
    /// Whoever has this token.
    Token {
        /// The token's id.
        id: String,
        /// What it may do.
        scopes: Vec<Scope>,
    },
    /// Someone at a route that anyone may call.
    Anyone,
}

impl Caller {
    /// Whether the caller has a scope.
    pub fn may(&self, scope: Scope) -> bool {
        match self {
            Self::Owner => true,
            Self::Token { scopes, .. } => scopes.iter().any(|held| *held == scope || *held == Scope::ADMIN),
            Self::Anyone => false,
        }
    }

    /// # Errors
    /// 403 that names the scope, if the caller doesn't have it.
    pub fn require(&self, scope: Scope) -> Result<()> {
        self.require_either(scope, scope)
    }

    /// Makes sure that the caller has one of two scopes.
    ///
    /// # Errors
    /// 403 that names them, if the caller has neither.
    pub fn require_either(&self, scope: Scope, other: Scope) -> Result<()> {
        if self.may(scope) || self.may(other) {
            return Ok(());
        }
        let or = if scope == other { String::new() } else { format!(" or {other}") };
        Err(Error::new(Code::Forbidden, format!("The token lacks the scope {scope}{or}")))
    }
}

/// A token to be made.
#[derive(Debug)]
pub struct NewToken {
    /// What it is for, in the operator's words.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// How long it is good for; as long as it is not revoked, if not said.
    pub expires_in: Option<Duration>,
}

/// A token just made.
#[derive(Debug)]
pub struct Minted {
    /// The token itself. It is not kept and can't be shown again.
    pub token: String,
    /// What is kept of it.
    pub record: TokenRecord,
}

/// Makes a token and keeps what is needed to know it again.
///
/// # Errors
/// 400 for an expiry out of range, and whatever keeps the store from writing.
pub async fn mint(store: &Store, clock: &Clock, new: NewToken) -> Result<Minted> {
    let now = clock.now();
    let expires_at = match new.expires_in {
        None => None,
        Some(duration) => {
            let end = now.checked_add(duration);
            Some(end.map_err(|error| Error::bad_request("`expires_in` is too long").with_cause(error))?)
        }
    };
    keep(store, clock, |id, sha256| TokenRecord {
        id,
        name: new.name,
        sha256,
        scopes: new.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        created_at: now,
        expires_at,
        last_used_at: None,
        revoked_at: None,
        maker: None,
    })
    .await
}

/// Makes a token with a new id and a new secret, and keeps its record.
pub(super) async fn keep(
    store: &Store,
    clock: &Clock,
    record: impl FnOnce(String, [u8; 32]) -> TokenRecord,
) -> Result<Minted> {
    let id = Ulid::from_parts(clock.now_ms(), u128::from_ne_bytes(random()?)).to_string().to_lowercase();
    let secret = URL_SAFE_NO_PAD.encode(random::<32>()?);
    let record = record(id.clone(), digest(&secret));
    store.add_token(record.clone()).await?;
    Ok(Minted { token: format!("prx_{id}_{secret}"), record })
}

/// Makes sure that a token is good, and those that it goes back to.
///
/// # Errors
/// 401 that says why it is not.
pub(super) fn check(store: &Store, clock: &Clock, record: &TokenRecord) -> Result<()> {
    let mut record = Cow::Borrowed(record);
    for _ in 0..=MAX_GENERATIONS {
        if record.revoked_at.is_some() {
            return Err(unauthorized("The bearer token was revoked"));
        }
        if record.expires_at.is_some_and(|end| end <= clock.now()) {
            return Err(unauthorized("The bearer token has expired"));
        }
        let Some(maker) = &record.maker else { return Ok(()) };
        // Only those are forgotten that were not good for a long time.
        let maker = store.token(maker)?.ok_or_else(|| unauthorized("The bearer token has expired"))?;
        record = Cow::Owned(maker);
    }
    Err(unauthorized("The bearer token is not valid"))
}

/// How many tokens a token goes back to, each made with a code of the one before; no more than a few are counted.
pub(super) fn generation(store: &Store, id: &str) -> Result<usize> {
    let (mut generation, mut maker) = (0, store.token(id)?.and_then(|record| record.maker));
    while let Some(id) = maker.filter(|_| generation < MAX_GENERATIONS) {
        (generation, maker) = (generation + 1, store.token(&id)?.and_then(|record| record.maker));
    }
    Ok(generation)
}

/// Checks tokens against the store and remembers which were used.
pub(super) struct Tokens {
    store: Store,
    clock: Clock,
    /// Written to the store in batches, so that a request doesn't wait for a disk.
    used: Mutex<HashMap<String, Timestamp>>,
}

impl Tokens {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, used: Mutex::default() }
    }

    /// Who has the token in the `Authorization` header.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Caller> {
        let Some(header) = headers.get(AUTHORIZATION) else {
            return Err(unauthorized("A bearer token is needed; `prx auth token` makes one"));
        };
        let bearer = header.to_str().ok().and_then(|text| text.split_once(' '));
        match bearer {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => self.verify(token.trim()),
            _ => Err(unauthorized("The Authorization header must be `Bearer <token>`")),
        }
    }

    fn verify(&self, token: &str) -> Result<Caller> {
        let (id, secret) = parse(token).ok_or_else(|| unauthorized("The bearer token is not valid"))?;
        let record = match self.store.token(id)? {
            Some(record) if bool::from(record.sha256.ct_eq(&digest(secret))) => record,
            _ => return Err(unauthorized("The bearer token is not valid")),
        };
        let now = self.clock.now();
        check(&self.store, &self.clock, &record)?;
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(record.id.clone(), now);
        let scopes = record.scopes.iter().filter_map(|scope| Scope::parse(scope).ok()).collect();
        Ok(Caller::Token { id: record.id, scopes })
    }

    /// Ends when a caller may call no longer, and says why.
    pub(super) async fn end(&self, caller: Caller) -> Error {
        let Caller::Token { id, .. } = caller else { return future::pending().await };
        let mut revoked = self.store.revocations();
        loop {
            let good = match self.store.token(&id) {
                Ok(Some(record)) => check(&self.store, &self.clock, &record).map(|()| record.expires_at),
                Ok(None) => Err(unauthorized("The bearer token is not valid")),
                Err(error) => Err(error),
            };
            let expires_at = match good {
                Ok(expires_at) => expires_at,
                Err(error) => return error,
            };
            tokio::select! {
                _ = revoked.changed() => {}
                () = self.expiry(expires_at) => {}
            }
        }
    }

    /// Ends when a token may have expired.
    async fn expiry(&self, at: Option<Timestamp>) {
        let Some(at) = at else { return future::pending().await };
        let left = Duration::try_from(at.duration_since(self.clock.now())).unwrap_or_default();
        self.clock.sleep(left.min(EXPIRY_CHECK_INTERVAL)).await;
    }

    /// Writes down when which token was last used.
    pub(super) async fn write_uses(&self) {
        let used = mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() {
            return;
        }
        if let Err(error) = self.store.touch_tokens(used.into_iter().collect()).await {
            tracing::warn!(%error, "could not write down when tokens were last used");
        }
    }
}

fn unauthorized(message: &str) -> Error {
    Error::new(Code::Unauthorized, message)
}

/// The id and the secret. The secret may hold underscores, the id can't.
fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.strip_prefix("prx_")?.split_once('_')?;
    let sound = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (sound && secret.len() == 43).then_some((id, secret))
}

pub(super) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use hyper::header::HeaderValue;

    use super::*;

    struct Gate {
        tokens: Tokens,
        store: Store,
        clock: Clock,
        _home: tempfile::TempDir,
    }

    impl Gate {
        fn new() -> Self {
            let home = tempfile::tempdir().expect("a directory");
            let clock = Clock::manual(Timestamp::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
            let store = Store::open(home.path(), clock.clone()).expect("an empty store");
            Self { tokens: Tokens::new(store.clone(), clock.clone()), store, clock, _home: home }
        }

        async fn mint(&self, scopes: &[Scope], expires_in: Option<Duration>) -> Minted {
            let new = NewToken { name: "test".into(), scopes: scopes.to_vec(), expires_in };
            mint(&self.store, &self.clock, new).await.expect("a token")
        }

        fn refusal(&self, authorization: &str) -> String {
            let error = self.present(authorization).expect_err("refused");
            assert_eq!(error.code(), Code::Unauthorized);
            error.message().to_owned()
        }

        fn present(&self, authorization: &str) -> Result<Caller> {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).expect("a header"));
            self.tokens.caller(&headers)
        }
    }

    #[test]
    fn a_secret_may_hold_underscores() {
        let secret = "_".repeat(43);
        assert_eq!(parse(&format!("prx_01abc_{secret}")), Some(("01abc", secret.as_str())));
        for broken in ["", "prx_", "prx_01abc", "prx_01abc_short", "xrp_01abc_", &format!("prx__{secret}")] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }

    #[tokio::test]
    async fn a_minted_token_is_known_again() {
        let gate = Gate::new();
        let minted = gate.mint(&[Scope::SESSIONS_READ], None).await;
        let caller = gate.present(&format!("bearer {}", minted.token)).expect("known");
        assert_eq!(
            caller,
            Caller::Token { id: minted.record.id.clone(), scopes: vec![Scope::SESSIONS_READ] }
        );
        gate.tokens.write_uses().await;
        let kept = gate.store.token(&minted.record.id).expect("readable").expect("there");
        assert_eq!(kept.last_used_at, Some(gate.clock.now()));
    }

    #[tokio::test]
    async fn anything_else_is_unauthorized() {
        let gate = Gate::new();
        let minted = gate.mint(&[Scope::ADMIN], None).await;
        let other = gate.mint(&[Scope::ADMIN], None).await;
        let mixed = format!("{}{}", &minted.token[..31], &other.token[31..]);
        assert_eq!(gate.refusal(&format!("Bearer {mixed}")), "The bearer token is not valid");
        assert_eq!(gate.refusal("Bearer nonsense"), "The bearer token is not valid");
        assert_eq!(
            gate.refusal(&format!("Basic {}", minted.token)),
            "The Authorization header must be `Bearer <token>`"
        );
        assert!(
            gate.tokens.caller(&HeaderMap::new()).expect_err("none").message().contains("prx auth token")
        );
    }

    #[tokio::test]
    async fn an_expired_or_revoked_token_is_unauthorized() {
        let gate = Gate::new();
        let brief = gate.mint(&[Scope::ADMIN], Some(Duration::from_secs(60))).await;
        let bearer = format!("Bearer {}", brief.token);
        gate.clock.advance(Duration::from_secs(59));
        assert!(gate.present(&bearer).is_ok());
        gate.clock.advance(Duration::from_secs(1));
        assert_eq!(gate.refusal(&bearer), "The bearer token has expired");

        let brief = gate.mint(&[Scope::ADMIN], Some(Duration::from_secs(90))).await;
        let caller = gate.present(&format!("Bearer {}", brief.token)).expect("good");
        let mut end = Box::pin(gate.tokens.end(caller));
        for _ in 0..3 {
            assert!((&mut end).now_or_never().is_none());
            gate.clock.advance(Duration::from_secs(30));
        }
        assert_eq!(end.await.message(), "The bearer token has expired");

        let revoked = gate.mint(&[Scope::ADMIN], None).await;
        gate.store.revoke_token(&revoked.record.id).await.expect("revoked");
        assert_eq!(gate.refusal(&format!("Bearer {}", revoked.token)), "The bearer token was revoked");
    }

    #[test]
    fn a_scope_is_held_or_named_as_missing() {
        let reader = Caller::Token { id: "t".into(), scopes: vec![Scope::SESSIONS_READ] };
        let admin = Caller::Token { id: "t".into(), scopes: vec![Scope::ADMIN] };
        for scope in Scope::ALL {
            assert_eq!(reader.may(*scope), *scope == Scope::SESSIONS_READ, "{scope}");
            assert!(admin.may(*scope) && Caller::Owner.may(*scope), "{scope}");
            assert!(!Caller::Anyone.may(*scope), "{scope}");
        }
        let error = reader.require(Scope::SESSIONS_WRITE).expect_err("lacking");
        assert_eq!(
            (error.code(), error.message()),
            (Code::Forbidden, "The token lacks the scope sessions:write")
        );
    }
}
