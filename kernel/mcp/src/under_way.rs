//! Calls of a server that are under way, and what it asks a person in them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::RequestId;
use rmcp::service::InboundStreamOrigin;
use serde_json::{Value, json};
use tokio::sync::{RwLock, RwLockReadGuard, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::door::Answer;
use super::elicitation;
use prx_store::Elicitation;

/// Most questions in one call.
pub(super) const MAX_QUESTIONS: u32 = 8;
/// Most reasons that are told why a question of a call was not put to anybody.
const MAX_NOTES: usize = 4;

/// Who is asked what a server wants to know while it works on a call.
#[derive(Debug, Clone)]
pub struct Person {
    session: String,
    questions: mpsc::Sender<Question>,
}

/// A question that waits for a person's answer. One that is dropped was put away.
#[derive(Debug)]
pub struct Question {
    /// The server that asks.
    pub server: String,
    /// What it asks.
    pub asked: Elicitation,
    answer: oneshot::Sender<Result<Answer, String>>,
}

/// The calls of one server that are under way.
#[derive(Default)]
pub(super) struct Calls {
    /// Oldest first. The lock is never held across an await.
    open: Mutex<Vec<Arc<Call>>>,
    /// Held for reading while a request is sent and its id is not known yet.
    sending: RwLock<()>,
}

/// One call.
pub(super) struct Call {
    server: String,
    person: Option<Person>,
    /// The request that has no answer yet.
    request: Mutex<Option<RequestId>>,
    asked: AtomicU32,
    /// How many questions have no answer yet.
    waiting: watch::Sender<usize>,
    /// Why questions were not put to anybody, for whoever reads the result.
    notes: Mutex<Vec<String>>,
    over: CancellationToken,
}

/// A call, until this is dropped.
pub(super) struct Open {
    calls: Arc<Calls>,
    call: Arc<Call>,
}

impl Person {
    /// Who speaks in this session, and the questions to be put there, until the call is over.
    pub fn new(session: String) -> (Self, mpsc::Receiver<Question>) {
        let (questions, asked) = mpsc::channel(MAX_QUESTIONS as usize);
        (Self { session, questions }, asked)
    }
}

impl Question {
    /// Takes what the person said.
    pub fn answer(self, answer: Answer) {
        // The server may have stopped to wait.
        let _ = self.answer.send(Ok(answer));
    }

    /// Declines it without having asked anybody; says why.
    pub fn decline(self, why: String) {
        let _ = self.answer.send(Err(why));
    }

    /// Whether nobody waits for the answer any more.
    pub fn is_withdrawn(&self) -> bool {
        self.answer.is_closed()
    }

    /// Returns when nobody waits for the answer any more.
    pub async fn withdrawn(&mut self) {
        self.answer.closed().await;
    }
}

impl Calls {
    /// Counts a call as under way until what this returns is dropped.
    pub(super) fn open(self: &Arc<Self>, server: &str, person: Option<Person>) -> Open {
        let call = Arc::new(Call {
            server: server.to_owned(),
            person,
            request: Mutex::default(),
            asked: AtomicU32::new(0),
            waiting: watch::Sender::new(0),
            notes: Mutex::default(),
            over: CancellationToken::new(),
        });
        lock(&self.open).push(Arc::clone(&call));
        Open { calls: Arc::clone(self), call }
    }

    /// Whether a call is under way.
    pub(super) fn any(&self) -> bool {
        !lock(&self.open).is_empty()
    }

    /// Holds back the server's questions until this is dropped: a request is sent, and its id is to be noted.
    pub(super) async fn sending(&self) -> RwLockReadGuard<'_, ()> {
        self.sending.read().await
    }

    /// Puts a question of the server to whom it concerns, and returns what the server is answered.
    pub(super) async fn elicit(&self, origin: Option<&InboundStreamOrigin>, params: &Value) -> Value {
        match self.call_of(origin).await {
            Ok(call) => call.elicit(params).await,
            Err(why) => {
                warn!("a question of the server is declined: {why}");
                declined()
            }
        }
    }

    /// The call that a question belongs to: the one that the transport says, or the only one. A question about one
    /// person's call never goes to another one.
    async fn call_of(&self, origin: Option<&InboundStreamOrigin>) -> Result<Arc<Call>, &'static str> {
        drop(self.sending.write().await);
        let open = lock(&self.open);
        if let Some(InboundStreamOrigin::OutboundRequest(id)) = origin {
            let found = open.iter().find(|call| lock(&call.request).as_ref() == Some(id));
            return found.cloned().ok_or("it belongs to no call");
        }
        let Some(first) = open.first() else { return Err("no call is under way that it could belong to") };
        if open.iter().any(|call| call.session() != first.session()) {
            return Err(
                "calls of several conversations are under way, and it does not say to which it belongs",
            );
        }
        let may_ask = |call: &&Arc<Call>| call.asked.load(Ordering::Acquire) < MAX_QUESTIONS;
        Ok(Arc::clone(open.iter().find(may_ask).unwrap_or(first)))
    }
}

impl Call {
    fn session(&self) -> Option<&str> {
        self.person.as_ref().map(|person| person.session.as_str())
    }

    /// Notes which request the server works on for this call.
    pub(super) fn sent(&self, request: RequestId) {
        *lock(&self.request) = Some(request);
    }

    /// Tells how many of its questions have no answer yet.
    pub(super) fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    /// Why questions of it were not put to anybody, in sentences.
    pub(super) fn notes(&self) -> Vec<String> {
        lock(&self.notes).clone()
    }

    /// Puts a question to the person, and returns what the server is answered.
    pub(super) async fn elicit(&self, params: &Value) -> Value {
        let number = self.asked.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        match self.put(params, number).await {
            Ok(answer) => answer,
            Err(why) => {
                warn!("a question of the server is declined: {why}");
                let note = format!("[a question of the server was declined without asking anybody: {why}]");
                let mut notes = lock(&self.notes);
                if notes.len() < MAX_NOTES && !notes.contains(&note) {
                    notes.push(note);
                }
                declined()
            }
        }
    }

    async fn put(&self, params: &Value, number: u32) -> Result<Value, String> {
        if number > MAX_QUESTIONS {
            return Err(format!("a call has {MAX_QUESTIONS} questions at most"));
        }
        let asked = elicitation::read(params, number)?;
        let Some(person) = &self.person else {
            return Err("the call was not made in a conversation, so that there is nobody to ask".into());
        };
        let content = asked.content.clone();
        let (answer, answered) = oneshot::channel();
        let question = Question { server: self.server.clone(), asked, answer };
        let _waiting = Waiting::begin(&self.waiting);
        // There is room for as many as there may be.
        let put = person.questions.try_send(question);
        put.map_err(|_| "nobody is there any more who could be asked".to_owned())?;
        let answer = tokio::select! {
            answer = answered => answer.unwrap_or(Ok(Answer::None))?,
            () = self.over.cancelled() => Answer::None,
        };
        Ok(match (answer, content) {
            (Answer::Accepted, Some(content)) => json!({"action": "accept", "content": content}),
            (Answer::Accepted, None) => json!({"action": "accept"}),
            (Answer::Declined, _) => declined(),
            (Answer::None, _) => json!({"action": "cancel"}),
        })
    }
}

impl std::ops::Deref for Open {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.call
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.call.over.cancel();
        lock(&self.calls.open).retain(|call| !Arc::ptr_eq(call, &self.call));
    }
}

/// A question without an answer, until this is dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|count| *count += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

fn declined() -> Value {
    json!({"action": "decline"})
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
