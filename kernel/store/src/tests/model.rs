//! Messages come in, are worked on, crash and are sent, in any order, beside a model that cannot lose anything.

use std::collections::{HashSet, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CONVERSATIONS: [&str; 3] = ["ann", "ben", "cem"];
/// Few, so that conversations often go on in a fresh session.
const MAX_TURNS: u64 = 3;

#[derive(Debug, Clone)]
enum Op {
    /// These messages come in with one step; some have come before.
    Receive(Vec<(usize, u8)>),
    /// The next turn is worked on, and dropped before its end.
    Fail(usize),
    /// The next turn is completed, with so many replies.
    Work(usize, u8),
    Park(usize),
    Terminate(usize),
    /// The first pending entry goes out.
    Dispatch,
    /// The first entry on its way has this outcome.
    Settle(OutboxOutcome),
    Crash,
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..CONVERSATIONS.len();
    let retry = |maybe_duplicate| OutboxOutcome::Retry { after: Default::default(), maybe_duplicate };
    prop_oneof![
        8 => vec((who.clone(), 0..30_u8), 1..5).prop_map(Op::Receive),
        4 => who.clone().prop_map(Op::Fail),
        8 => (who.clone(), 0..3_u8).prop_map(|(who, replies)| Op::Work(who, replies)),
        1 => who.clone().prop_map(Op::Park),
        1 => who.prop_map(Op::Terminate),
        4 => Just(Op::Dispatch),
        3 => Just(Op::Settle(OutboxOutcome::Sent { platform_id: None })),
        1 => any::<bool>().prop_map(move |duplicate| Op::Settle(retry(duplicate))),
        1 => Just(Op::Settle(OutboxOutcome::Failed { reason: "refused".into() })),
        2 => Just(Op::Crash),
        1 => Just(Op::Reopen),
    ]
}

/// A turn that waits.
#[derive(Debug)]
struct Waiting {
    session: usize,
    text: String,
    attempts: u32,
}

#[derive(Debug)]
struct Talk {
    id: String,
    who: usize,
    open: bool,
    accepted: u64,
    completed: u64,
    /// Each turn's own message and the replies to it.
    turns: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Letter {
    text: String,
    sending: bool,
    maybe_duplicate: bool,
}

#[derive(Debug, Default)]
struct Model {
    seen: HashSet<String>,
    sessions: Vec<Talk>,
    queues: [VecDeque<Waiting>; CONVERSATIONS.len()],
    parked: usize,
    outbox: Vec<Letter>,
    dead: usize,
}

impl Model {
    fn receive(&mut self, who: usize, text: &str) {
        if !self.seen.insert(text.into()) {
            return;
        }
        let current = self.sessions.iter().rposition(|talk| talk.who == who);
        let fits = |at: &usize| {
            let talk = &self.sessions[*at];
            let waiting = self.queues[who].iter().filter(|turn| turn.session == *at).count() as u64;
            talk.open && talk.completed + waiting < MAX_TURNS
        };
        let session = current.filter(fits).unwrap_or(self.sessions.len());
        if session == self.sessions.len() {
            let id = String::new();
            self.sessions.push(Talk { id, who, open: true, accepted: 0, completed: 0, turns: Vec::new() });
        }
        let talk = &mut self.sessions[session];
        talk.accepted += 1;
        talk.turns.push(vec![text.into()]);
        self.queues[who].push_back(Waiting { session, text: text.into(), attempts: 0 });
    }

    /// The turn that is to be claimed next.
    fn claim(&mut self, who: usize) -> Option<&mut Waiting> {
        let turn = self.queues[who].front_mut()?;
        turn.attempts += 1;
        Some(turn)
    }

    fn settle(&mut self, at: usize, outcome: &OutboxOutcome) {
        let letter = &mut self.outbox[at];
        match outcome {
            OutboxOutcome::Sent { .. } => drop(self.outbox.remove(at)),
            OutboxOutcome::Retry { maybe_duplicate, .. } => {
                letter.sending = false;
                letter.maybe_duplicate |= maybe_duplicate;
            }
            _ => {
                self.outbox.remove(at);
                self.dead += 1;
            }
        }
    }

    fn recover(&mut self) {
        for letter in self.outbox.iter_mut().filter(|letter| letter.sending && !letter.maybe_duplicate) {
            (letter.sending, letter.maybe_duplicate) = (false, true);
        }
        let known = self.outbox.len();
        self.outbox.retain(|letter| !letter.sending);
        self.dead += known - self.outbox.len();
    }
}

struct World {
    home: Home,
    store: Store,
    model: Model,
}

impl World {
    async fn apply(&mut self, op: Op) {
        match op {
            Op::Receive(messages) => self.receive(messages).await,
            Op::Fail(who) => drop(self.claim(who).await),
            Op::Work(who, replies) => self.work(who, replies).await,
            Op::Park(who) => {
                if let Some(turn) = self.claim(who).await {
                    self.store.park_turn(&turn.id(), parked("no")).await.unwrap();
                    self.model.queues[who].pop_front();
                    self.model.parked += 1;
                }
            }
            Op::Terminate(who) => self.terminate(who).await,
            Op::Dispatch => self.step_on(false, None).await,
            Op::Settle(outcome) => self.step_on(true, Some(outcome)).await,
            Op::Crash => {
                self.home = self.home.crash();
                self.store = self.home.open();
                self.store.recover_outbox("chat", OnUnknown::ResendOnce).await.unwrap();
                self.model.recover();
            }
            Op::Reopen => self.store = self.home.reopen(self.store.clone()).await,
        }
    }

    async fn receive(&mut self, messages: Vec<(usize, u8)>) {
        let (mut sent, known) = (Vec::new(), self.model.sessions.len());
        for (who, key) in messages {
            let dedupe = format!("{who}/{key}");
            self.model.receive(who, &format!("text of {dedupe}"));
            sent.push(inbound(&conversation(CONVERSATIONS[who]), &dedupe));
        }
        let receipt =
            self.store.commit_step(StepCommit { max_turns: MAX_TURNS, ..step(sent) }).await.unwrap();
        assert_eq!(receipt.opened.len(), self.model.sessions.len() - known);
        for (talk, opened) in self.model.sessions[known..].iter_mut().zip(receipt.opened) {
            talk.id = opened.id;
        }
    }

    /// Claims as an eager gateway would: whichever session of the conversation gives a turn, newest first.
    async fn claim(&mut self, who: usize) -> Option<Turn> {
        let sessions = self.model.sessions.iter().filter(|talk| talk.who == who);
        let ids: Vec<String> = sessions.map(|talk| talk.id.clone()).rev().collect();
        let mut claimed = None;
        // Twice: parking the last turn of one session lets the next one begin.
        for id in ids.iter().chain(&ids) {
            claimed = self.store.claim_turn(id).await.unwrap();
            if claimed.is_some() {
                break;
            }
        }
        let expected = self.model.claim(who).map(|turn| (turn.text.clone(), turn.attempts));
        let found = claimed.as_ref().map(|turn| (turn.message.content.clone(), turn.attempts));
        assert_eq!(found, expected);
        claimed
    }

    async fn work(&mut self, who: usize, replies: u8) {
        let Some(turn) = self.claim(who).await else { return };
        let waiting = self.model.queues[who].pop_front().unwrap();
        let talk = &mut self.model.sessions[waiting.session];
        talk.completed += 1;
        let last = talk.completed >= MAX_TURNS;
        let more = self.model.queues[who].iter().any(|turn| turn.session == waiting.session);
        talk.open &= !last || more;
        let texts: Vec<String> = (0..replies).map(|n| format!("{n} to {}", waiting.text)).collect();
        let place = usize::try_from(turn.seq).unwrap() - 1;
        talk.turns[place].extend(texts.clone());
        let at = conversation(CONVERSATIONS[who]);
        let outcome = TurnDone {
            outbound: texts.iter().map(|text| outbound(&at, text)).collect(),
            end_session: last,
            ..done(&turn, &texts.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let letter = |text| Letter { text, sending: false, maybe_duplicate: false };
        self.model.outbox.extend(texts.into_iter().map(letter));
        assert!(self.store.complete_turn(outcome.clone()).await.unwrap().applied);
        assert!(!self.store.complete_turn(outcome).await.unwrap().applied);
    }

    async fn terminate(&mut self, who: usize) {
        let Some(at) = self.model.sessions.iter().rposition(|talk| talk.who == who && talk.open) else {
            return;
        };
        self.store.terminate_session(&self.model.sessions[at].id).await.unwrap();
        self.model.sessions[at].open = false;
        let before = self.model.queues[who].len();
        self.model.queues[who].retain(|turn| turn.session != at);
        self.model.parked += before - self.model.queues[who].len();
    }

    /// Sends, or hears of, the first entry that is in the right state.
    async fn step_on(&mut self, sending: bool, outcome: Option<OutboxOutcome>) {
        let Some(at) = self.model.outbox.iter().position(|letter| letter.sending == sending) else { return };
        let id = self.store.outbox("chat", MAX_PAGE, None).unwrap()[at].id.clone();
        let mut step = step(Vec::new());
        match outcome {
            None => {
                self.model.outbox[at].sending = true;
                step.dispatched.push(id);
            }
            Some(outcome) => {
                self.model.settle(at, &outcome);
                step.outcomes.push((id, outcome));
            }
        }
        self.store.commit_step(step).await.unwrap();
    }

    /// Nothing lost, nothing doubled, everything in order.
    fn check(&self) {
        for talk in &self.model.sessions {
            let page = self.store.messages(&talk.id, MAX_PAGE, None).unwrap();
            let found: Vec<&str> = page.items.iter().map(|message| message.content.as_str()).collect();
            assert_eq!(found, talk.turns.iter().flatten().collect::<Vec<_>>());
            assert_eq!(page.total, found.len());
            let session = self.store.session(&talk.id).unwrap();
            let open = session.status != SessionStatus::Terminated;
            assert_eq!((session.turn_count, open), (talk.completed, talk.open), "{talk:?}");
        }
        let open = self.model.sessions.iter().filter(|talk| talk.open).count();
        assert_eq!(self.store.active_sessions(Some("chat")), open);
        assert_eq!(self.store.parked_turns(MAX_PAGE).unwrap().len(), self.model.parked);
        assert_eq!(self.store.dead_letters("chat", MAX_PAGE, None).unwrap().len(), self.model.dead);
        let outbox = self.store.outbox("chat", MAX_PAGE, None).unwrap();
        let found = outbox.iter().map(|entry| {
            let text = said(&entry.operation);
            (text, entry.state == OutboxState::Sending, entry.maybe_duplicate)
        });
        let expected = self.model.outbox.iter();
        let expected = expected.map(|letter| (letter.text.as_str(), letter.sending, letter.maybe_duplicate));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_nothing_doubled_and_order_is_kept(ops in vec(op(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let home = Home::new();
            let store = home.open();
            let mut world = World { home, store, model: Model::default() };
            for op in ops {
                world.apply(op).await;
                world.check();
            }
            for who in 0..CONVERSATIONS.len() {
                while !world.model.queues[who].is_empty() {
                    world.work(who, 1).await;
                    world.check();
                }
            }
        });
    }
}
