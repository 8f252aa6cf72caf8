//! Idempotency: a request that is retried with its `Idempotency-Key` is answered as it was, and done once. That it was
//! begun is on disk before anything is done, so that a crash in between doesn't have it done twice.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::header::HeaderName;
use hyper::http::request;
use hyper::{HeaderMap, Method, StatusCode};
use sha2::{Digest, Sha256};

use super::auth::Caller;
use super::body::{Body, BodyDigest};
use super::reply::{Keepable, Reply};
use prx_base::clock::Clock;
use prx_base::error::{Error, Result};
use prx_store::{KeptAnswer, Store};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest `Idempotency-Key`, in characters.
const MAX_KEY_CHARS: usize = 255;

/// An idempotency key, which is its caller's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// The id of the token, or `owner`.
    caller: String,
    text: String,
}

/// The requests with a key that were answered, and those that are being answered.
pub(super) struct Idempotency {
    store: Store,
    clock: Clock,
    /// The keys that are being answered. Held to look, never across a wait.
    in_flight: Arc<Mutex<HashSet<Key>>>,
}

/// The right to answer the request with a key, which only one holds at a time.
pub(super) struct Claim {
    store: Store,
    clock: Clock,
    key: Key,
    /// Method and path.
    target: String,
    in_flight: Arc<Mutex<HashSet<Key>>>,
}

impl Idempotency {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, in_flight: Arc::default() }
    }

    /// Takes a request with a key; none for one without.
    ///
    /// # Errors
    /// 400 for a key that is none, 409 while the same key is being answered.
    pub(super) fn claim(&self, caller: &Caller, head: &request::Parts) -> Result<Option<Claim>> {
        let caller = match caller {
            Caller::Owner => "owner",
            Caller::Token { id, .. } => id,
            Caller::Anyone => return Ok(None),
        };
        let Some(text) = key(&head.headers)?.filter(|_| head.method == Method::POST) else { return Ok(None) };
        let key = Key { caller: caller.to_owned(), text: text.to_owned() };
        if !lock(&self.in_flight).insert(key.clone()) {
            return Err(Error::conflict("A request with this Idempotency-Key is still being answered"));
        }
        Ok(Some(Claim {
            store: self.store.clone(),
            clock: self.clock.clone(),
            key,
            target: head.uri.to_string(),
            in_flight: self.in_flight.clone(),
        }))
    }
}

impl Claim {
    /// The reply to the same request, if it was answered before.
    ///
    /// # Errors
    /// 409 if the key came with another request, or the answer must not be given twice; whatever keeps the body
    /// from being read.
    pub(super) async fn kept(&self, body: &mut Body) -> Result<Option<Reply>> {
        let Some(kept) = self.store.kept_answer(&self.key.caller, &self.key.text)? else { return Ok(None) };
        // Where the body was not looked at the first time, it doesn't matter now.
        let same = kept.fingerprint == self.fingerprint(None)
            || kept.fingerprint == self.fingerprint(Some(&body.digest().await?));
        if !same {
            return Err(Error::conflict("This Idempotency-Key came with another request before"));
        }
        let Some(json) = kept.body else {
            let message = "This request came before, and its answer is not kept: look at what has come of it, or use \
                           another Idempotency-Key to make another";
            return Err(Error::conflict(message));
        };
        Ok(Some(Reply::kept(kept.status, json)))
    }

    /// Keeps that the request is about to be done.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub(super) async fn begin(&self) -> Result<()> {
        self.write(StatusCode::ACCEPTED, None, None).await
    }

    /// Forgets a request that failed, so that the client may retry it.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub(super) async fn forget(self) -> Result<()> {
        self.store.forget_answer(&self.key.caller, &self.key.text).await
    }

    /// Keeps an answer, so that it can be given again, if it is a success. A stream, a secret and what is very large are
    /// not given again; that they were is kept.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub(super) async fn keep(self, reply: Reply, digest: &BodyDigest) -> Result<Reply> {
        let (reply, body) = match reply.keepable().await {
            Keepable::No(reply) => return self.forget().await.map(|()| reply),
            Keepable::WithoutBody(reply) => (reply, None),
            Keepable::Whole(reply, body) => (reply, Some(body)),
        };
        self.write(reply.0.status(), digest.get(), body).await?;
        Ok(reply)
    }

    async fn write(&self, status: StatusCode, digest: Option<&[u8; 32]>, body: Option<String>) -> Result<()> {
        let fingerprint = self.fingerprint(digest);
        let (target, status) = (self.target.clone(), status.as_u16());
        let answer = KeptAnswer { fingerprint, target, status, body, at: self.clock.now() };
        self.store.keep_answer(&self.key.caller, &self.key.text, answer).await
    }

    fn fingerprint(&self, body: Option<&[u8; 32]>) -> [u8; 32] {
        let whole = Sha256::new().chain_update(&self.target).chain_update(body.map_or(&[][..], |body| body));
        whole.finalize().into()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.in_flight).remove(&self.key);
    }
}

fn key(headers: &HeaderMap) -> Result<Option<&str>> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let sound = |key: &&str| {
        (1..=MAX_KEY_CHARS).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    key.to_str().ok().filter(sound).map(Some).ok_or_else(|| {
        let accepted = format!("1 to {MAX_KEY_CHARS} characters of ASCII, none of them a space");
        Error::bad_request(format!("`Idempotency-Key` must be {accepted}"))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
