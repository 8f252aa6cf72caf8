//! What the store costs: a durable message by one caller and by 64 at once, a whole turn; and what is read of few and
//! of many sessions with a hundred messages each. With `--ignored` also what opening takes, of few sessions and of very many.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::cell::Cell;
use std::sync::OnceLock;

use divan::Bencher;
use divan::counter::ItemsCount;
use futures_util::future::join_all;
use jiff::Timestamp;
use prx_base::clock::Clock;
use prx_store::{
    Conversation, NewInbound, NewMessage, NewSession, Session, SessionFilter, StepCommit, Store, TurnDone,
    Usage,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How many sessions are few, and how many are many.
const SIZES: [usize; 2] = [100, 10_000];
/// The same for opening.
const OPENED: [usize; 2] = [100, 400_000];
/// Sessions that are listed in one go.
const PAGE: usize = 500;
/// Messages that each caller sends in one run.
const MESSAGES: usize = 32;

fn main() {
    divan::main();
}

struct Home {
    runtime: Runtime,
    store: Store,
    _dir: TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let runtime = Runtime::new().unwrap();
        let store = Store::open(dir.path(), Clock::system()).unwrap();
        Self { runtime, store, _dir: dir }
    }

    fn with_sessions(sessions: usize) -> Self {
        let home = Self::new();
        let new = || NewSession {
            channel: "api".into(),
            user_id: "user_123".into(),
            metadata: json!({"source": "web-app"}),
            conversation: None,
            model: None,
            agent: None,
            language: None,
        };
        home.runtime.block_on(join_all((0..sessions).map(|_| home.store.create_session(new()))));
        home
    }

    /// A home with so many sessions and a hundred messages in each; made once for all that read it.
    fn talkative(sessions: usize) -> &'static Self {
        static HOMES: [OnceLock<Home>; SIZES.len()] = [const { OnceLock::new() }; SIZES.len()];
        let place = SIZES.iter().position(|size| *size == sessions).unwrap();
        HOMES[place].get_or_init(|| {
            let home = Self::with_sessions(sessions);
            let ids: Vec<_> = home.ids().take(sessions).collect();
            for some in ids.chunks(256) {
                let said = some.iter().map(|id| converse(home.store.clone(), id.clone(), 99));
                home.runtime.block_on(join_all(said));
            }
            home
        })
    }

    /// A closed store with so many sessions, of which every other one is over; made once for all that open it.
    fn closed(sessions: usize) -> &'static TempDir {
        static HOMES: [OnceLock<TempDir>; OPENED.len()] = [const { OnceLock::new() }; OPENED.len()];
        let place = OPENED.iter().position(|size| *size == sessions).unwrap();
        HOMES[place].get_or_init(|| {
            let Self { runtime, store, _dir } = Self::with_sessions(sessions);
            let page = |at| store.sessions(&SessionFilter::default(), PAGE, at).unwrap().items;
            let all: Vec<_> = (0..sessions).step_by(PAGE).flat_map(page).collect();
            let over = all.iter().step_by(2).map(|session| store.terminate_session(&session.id));
            runtime.block_on(join_all(over));
            runtime.block_on(store.close());
            _dir
        })
    }

    /// The ids of its sessions, over and over, in an order that is none.
    fn ids(&self) -> impl Iterator<Item = String> + use<> {
        let total = self.store.active_sessions(None);
        let pages = (0..total).step_by(PAGE);
        let sessions =
            pages.flat_map(|at| self.store.sessions(&SessionFilter::default(), PAGE, at).unwrap().items);
        let ids: Vec<_> = sessions.map(|session| session.id).collect();
        // A step that has no divisor in common with either size visits every one.
        (0..).map(move |number| ids[number * 37 % ids.len()].clone())
    }
}

/// Something is said in a session, and answered with so many messages.
async fn converse(store: Store, session: String, answers: usize) {
    let question = "What will the weather be in Oslo tomorrow?".into();
    store.accept_message(&session, store.new_message_id(), question).await.unwrap();
    answer(store, session, answers).await;
}

/// All that waits in a session is answered, each with so many messages.
async fn answer(store: Store, session: String, answers: usize) {
    while let Some(turn) = store.claim_turn(&session).await.unwrap() {
        let done = TurnDone {
            id: turn.id(),
            messages: vec![NewMessage::assistant("It will rain."); answers],
            usage: Usage { input: 100, output: 10 },
            outbound: Vec::new(),
            events: Vec::new(),
            end_session: false,
            agent: prx_store::AgentCommit::default(),
        };
        store.complete_turn(done).await.unwrap();
    }
}

fn message(caller: usize, number: u64) -> StepCommit {
    let conversation =
        Conversation { channel: "chat".into(), conversation: caller.to_string(), thread: None };
    let inbound = NewInbound {
        // As a platform numbers what it hears: later messages have larger keys.
        dedupe: format!("{number:08}/{caller}"),
        conversation,
        user_id: caller.to_string(),
        user_name: "Ann".into(),
        language: None,
        choice: None,
        text: "What will the weather be in Oslo tomorrow?".into(),
        command: None,
        group: false,
        reply_to: None,
        forwarded: Vec::new(),
        attachments: Vec::new(),
        target: json!({"chat": caller}),
        sent_at: Timestamp::UNIX_EPOCH,
        metadata: Value::Null,
        begun_by: None,
    };
    StepCommit {
        channel: "chat".into(),
        state: None,
        inbound: vec![inbound],
        overheard: Vec::new(),
        outcomes: Vec::new(),
        streams: Vec::new(),
        dispatched: Vec::new(),
        max_turns: u64::MAX,
        interrupts: false,
        replayable: false,
    }
}

/// Durable messages, by so many callers at once, each in a conversation of its own in which all is answered.
#[divan::bench(args = [1, 64], sample_count = 20, sample_size = 1)]
fn ingest(bencher: Bencher, callers: usize) {
    let home = Home::new();
    let mut numbers = 0_u64..;
    bencher
        .counter(ItemsCount::new(callers * MESSAGES))
        .with_inputs(|| {
            let sessions = home.store.sessions(&SessionFilter::default(), callers, 0).unwrap().items;
            let answered = sessions.into_iter().map(|session| answer(home.store.clone(), session.id, 1));
            home.runtime.block_on(join_all(answered));
            numbers.by_ref().take(MESSAGES).collect::<Vec<_>>()
        })
        .bench_local_values(|numbers| {
            let send = |caller: usize| {
                let (store, numbers) = (home.store.clone(), numbers.clone());
                home.runtime.spawn(async move {
                    for number in numbers {
                        store.commit_step(message(caller, number)).await.unwrap();
                    }
                })
            };
            let sent: Vec<_> = (0..callers).map(send).collect();
            home.runtime.block_on(join_all(sent)).into_iter().for_each(Result::unwrap);
        });
}

/// A message taken in, claimed and answered, by so many callers at once.
#[divan::bench(args = [1, 64], sample_count = 20, sample_size = 1)]
fn turn(bencher: Bencher, callers: usize) {
    let home = Home::with_sessions(callers);
    let sessions = home.store.sessions(&SessionFilter::default(), callers, 0).unwrap().items;
    bencher.counter(ItemsCount::new(callers)).bench_local(|| {
        let answer = |session: &Session| converse(home.store.clone(), session.id.clone(), 1);
        let answered: Vec<_> = sessions.iter().map(|session| home.runtime.spawn(answer(session))).collect();
        home.runtime.block_on(join_all(answered)).into_iter().for_each(Result::unwrap);
    });
}

/// Fifty sessions from nine tenths down the list.
#[divan::bench(args = SIZES)]
fn page(bencher: Bencher, sessions: usize) {
    let offset = sessions * 9 / 10 - 40 * usize::from(sessions == 100);
    let home = Home::talkative(sessions);
    bencher.bench_local(|| home.store.sessions(&SessionFilter::default(), 50, offset).unwrap());
}

/// One session in detail, another one each time.
#[divan::bench(args = SIZES)]
fn detail(bencher: Bencher, sessions: usize) {
    let (home, mut ids) = (Home::talkative(sessions), Home::talkative(sessions).ids());
    bencher.bench_local(|| home.store.session(&ids.next().unwrap()).unwrap());
}

/// The last fifty messages of a session, another one each time.
#[divan::bench(args = SIZES)]
fn last_messages(bencher: Bencher, sessions: usize) {
    let (home, mut ids) = (Home::talkative(sessions), Home::talkative(sessions).ids());
    bencher.bench_local(|| home.store.messages(&ids.next().unwrap(), 50, None).unwrap());
}

/// A store is opened, and serves.
#[divan::bench(args = OPENED, ignore, sample_count = 10, sample_size = 1)]
fn open(bencher: Bencher, sessions: usize) {
    opening(bencher, sessions, |_| {});
}

/// A store is opened, and the first page of sessions comes.
#[divan::bench(args = OPENED, ignore, sample_count = 10, sample_size = 1)]
fn open_and_list(bencher: Bencher, sessions: usize) {
    opening(bencher, sessions, |store| {
        assert_eq!(store.sessions(&SessionFilter::default(), 50, 0).unwrap().total, sessions / 2);
    });
}

fn opening(bencher: Bencher, sessions: usize, then: impl Fn(&Store)) {
    let (dir, runtime) = (Home::closed(sessions), Runtime::new().unwrap());
    let opened = Cell::new(None::<Store>);
    let close = || opened.take().map_or((), |store| runtime.block_on(store.close()));
    bencher.with_inputs(close).bench_local_values(|()| {
        let store = Store::open(dir.path(), Clock::system()).unwrap();
        then(&store);
        opened.set(Some(store));
    });
    close();
}
