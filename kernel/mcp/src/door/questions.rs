//! Questions that a client is to put to a person. Protocols up to 2025-11-25 send them within the answer to a call, which
//! goes on with what comes back; later ones have the client make the call once more, with the answer in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Client;

/// Most calls of one caller that wait to be made once more; the oldest gives way, and is asked about again.
const MAX_ASKED: usize = 64;

/// A cheap-clone handle to every question that has no answer yet.
#[derive(Debug, Clone, Default)]
pub struct Questions(Arc<Open>);

/// The locks are never held across an await.
#[derive(Debug, Default)]
struct Open {
    pending: Mutex<BTreeMap<(Client, String), oneshot::Sender<Answer>>>,
    asked: Mutex<Vec<Asked>>,
}

/// What a person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Accepted,
    /// No.
    Declined,
    /// Nothing: the question was put away, or the client could not ask.
    None,
}

/// What is to be put to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Who is asked: nobody else's answer counts.
    pub caller: String,
    /// What it is about. An answer to it is none to anything else.
    pub call: Value,
}

/// A call that is to be made once more.
#[derive(Debug)]
struct Asked {
    id: String,
    ask: Ask,
    until: Timestamp,
}

/// A question within an answer, until this is dropped.
#[derive(Debug)]
pub struct Pending {
    questions: Questions,
    key: (Client, String),
    answer: oneshot::Receiver<Answer>,
}

impl Answer {
    /// Reads an answer as clients give it.
    pub fn read(result: Option<&Value>) -> Self {
        match result.and_then(|result| result["action"].as_str()) {
            Some("accept") => Self::Accepted,
            Some("decline") => Self::Declined,
            _ => Self::None,
        }
    }
}

impl Questions {
    /// The parameters of a question that takes nothing but yes or no.
    pub fn parameters(message: &str) -> Value {
        json!({"message": message, "requestedSchema": {"type": "object", "properties": {}}})
    }

    /// Puts a question to one client.
    pub fn put(&self, client: Client, random: u128) -> Pending {
        let key = (client, id(random));
        let (sender, answer) = oneshot::channel();
        lock(&self.0.pending).insert(key.clone(), sender);
        Pending { questions: self.clone(), key, answer }
    }

    /// Takes in what a client answers. What nobody has asked, or no longer waits for, is ignored.
    pub fn answer(&self, client: Client, id: &Value, result: Option<&Value>) {
        let Some(id) = id.as_str() else { return };
        if let Some(waiting) = lock(&self.0.pending).remove(&(client, id.to_owned())) {
            // Who asked may have gone.
            let _ = waiting.send(Answer::read(result));
        }
    }

    /// Remembers what was asked until the call is made once more, and returns under which id.
    pub fn remember(&self, ask: Ask, random: u128, now: Timestamp, timeout: Duration) -> String {
        let mut asked = lock(&self.0.asked);
        asked.retain(|one| one.until > now);
        let own = |one: &Asked| one.ask.caller == ask.caller;
        if asked.iter().filter(|one| own(one)).count() >= MAX_ASKED
            && let Some(oldest) = asked.iter().position(own)
        {
            asked.remove(oldest);
        }
        let id = id(random);
        let until = now.checked_add(timeout).unwrap_or(Timestamp::MAX);
        asked.push(Asked { id: id.clone(), ask, until });
        id
    }

    /// Whether this was asked under this id, and not too long ago. It counts once.
    pub fn recall(&self, id: &str, ask: &Ask, now: Timestamp) -> bool {
        let mut asked = lock(&self.0.asked);
        let found = asked.iter().position(|one| one.id == id && one.ask == *ask && one.until > now);
        found.map(|at| asked.remove(at)).is_some()
    }
}

impl Pending {
    /// The request that puts it.
    pub fn request(&self, message: &str) -> Value {
        let params = Questions::parameters(message);
        json!({"jsonrpc": "2.0", "id": self.key.1, "method": "elicitation/create", "params": params})
    }

    /// Waits for the answer.
    pub async fn answered(&mut self) -> Answer {
        (&mut self.answer).await.unwrap_or(Answer::None)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        lock(&self.questions.0.pending).remove(&self.key);
    }
}

fn id(random: u128) -> String {
    format!("ask_{random:032x}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(caller: &str, n: u32) -> Ask {
        Ask { caller: caller.into(), call: json!({"n": n}) }
    }

    #[test]
    fn an_answer_counts_once_for_what_was_asked_and_for_who_was_asked() {
        let (questions, now, timeout) =
            (Questions::default(), Timestamp::UNIX_EPOCH, Duration::from_secs(300));
        let id = questions.remember(ask("ada", 1), 1, now, timeout);
        for (other, at) in [(ask("ada", 2), now), (ask("bob", 1), now), (ask("ada", 1), now + timeout)] {
            assert!(!questions.recall(&id, &other, at));
        }
        assert!(!questions.recall("ask_2", &ask("ada", 1), now));
        assert!(questions.recall(&id, &ask("ada", 1), now));
        assert!(!questions.recall(&id, &ask("ada", 1), now));
    }

    #[test]
    fn a_caller_who_only_asks_fills_nothing() {
        let (questions, now, timeout) =
            (Questions::default(), Timestamp::UNIX_EPOCH, Duration::from_secs(300));
        let other = questions.remember(ask("bob", 0), 1_000, now, timeout);
        let first = questions.remember(ask("ada", 0), 0, now, timeout);
        (1..=64).for_each(|n| drop(questions.remember(ask("ada", n), n.into(), now, timeout)));
        assert_eq!(lock(&questions.0.asked).len(), 65);
        assert!(!questions.recall(&first, &ask("ada", 0), now));
        assert!(questions.recall(&other, &ask("bob", 0), now));
        questions.remember(ask("eve", 0), 2_000, now + timeout, timeout);
        assert_eq!(lock(&questions.0.asked).len(), 1, "what is over goes");
    }

    #[tokio::test]
    async fn a_question_is_answered_by_its_client_or_taken_back() {
        let questions = Questions::default();
        let client = |session: &str| Client { caller: "ada".into(), session: Some(session.into()) };
        let mut pending = questions.put(client("a"), 1);
        let request = pending.request("May I?");
        let (id, accepted) = (request["id"].clone(), json!({"action": "accept", "content": {}}));
        questions.answer(client("b"), &id, Some(&accepted));
        questions.answer(client("a"), &json!(1), Some(&accepted));
        questions.answer(client("a"), &id, Some(&accepted));
        questions.answer(client("a"), &id, None);
        assert_eq!(pending.answered().await, Answer::Accepted);
        drop(questions.put(client("a"), 2));
        assert!(lock(&questions.0.pending).is_empty());
        assert_eq!(Answer::read(Some(&json!({"action": "decline"}))), Answer::Declined);
        assert_eq!(Answer::read(Some(&json!({"action": "cancel"}))), Answer::None);
        assert_eq!(Answer::read(Some(&json!("accept"))), Answer::None);
    }
}
