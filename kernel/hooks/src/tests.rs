//! Deliveries to a real receiver on loopback, on a time of our own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::RootCertStore;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use serde_json::Value;
use tokio::sync::watch;

use prx_base::clock::Clock;
use prx_base::config::{self, Config, Live};
use prx_base::error::Code;
use prx_base::events::NewEvent;
use prx_egress::Resolver;
use prx_store::{Attempt, DeliveryStatus};

const SECRET: &str = "correct horse";

/// What came in.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    headers: HashMap<String, String>,
    body: String,
}

/// How a receiver answers; `None`: not at all.
type Answer = Option<(u16, &'static str, &'static str)>;

struct Receiver {
    port: u16,
    answer: watch::Sender<Answer>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Receiver {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answer, answers) = watch::channel(answer);
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let record = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (record, answers) = (record.clone(), answers.clone());
                let talk = service_fn(move |request| receive(request, record.clone(), answers.clone()));
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), talk));
            }
        });
        Self { port, answer, seen }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/in?x=1", self.port)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) -> Vec<Seen> {
        until(|| Some(self.seen()).filter(|seen| seen.len() >= count)).await
    }
}

async fn receive(
    request: Request<Incoming>,
    record: Arc<Mutex<Vec<Seen>>>,
    answers: watch::Receiver<Answer>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let headers =
        head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let (path, headers) = (head.uri.to_string(), headers.collect());
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let answer = *answers.borrow();
    record.lock().unwrap().push(Seen { path, headers, body });
    let Some((status, name, value)) = answer else { return std::future::pending().await };
    Ok(Response::builder().status(status).header(name, value).body(Empty::new()).unwrap())
}

/// Asks until there is an answer: for what happens in other tasks.
async fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking).await.expect("it happens")
}

fn answers(status: u16) -> Answer {
    Some((status, "x-test", "yes"))
}

/// A gateway reduced to its hooks.
struct Gateway {
    home: TempDir,
    clock: Clock,
    config: Live,
    store: Store,
    hooks: Hooks,
}

impl Gateway {
    fn start() -> Self {
        let start: Timestamp = "2026-03-21T10:00:00Z".parse().unwrap();
        Self::start_in(tempfile::tempdir().unwrap(), Clock::manual(start), true)
    }

    fn start_in(home: TempDir, clock: Clock, allow_private: bool) -> Self {
        let config = Live::new(Config { hooks: config::Hooks { allow_private }, ..Config::default() });
        let store = Store::open(home.path(), clock.clone()).unwrap();
        let loopback = Resolver::Fixed(Arc::new(|_| vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]));
        let egress = Egress::with_roots(clock.clone(), loopback, RootCertStore::empty());
        let events = store.events().clone();
        let base = Base::new(clock.clone(), config.clone(), events);
        let hooks = Hooks::start(base, store.clone(), egress).unwrap();
        Self { home, clock, config, store, hooks }
    }

    async fn restart(self) -> Self {
        let Self { home, clock, hooks, store, .. } = self;
        hooks.stop(Duration::from_secs(5)).await;
        store.close().await;
        Self::start_in(home, clock, true)
    }

    async fn hook(&self, url: String) -> String {
        let events = vec!["session.created".to_owned()];
        self.hooks.register(url, events, Some(SECRET.to_owned())).await.unwrap().hook.id
    }

    async fn happens(&self, session: &str) {
        self.tell(Kind::SessionCreated, json!({"session_id": session})).await;
    }

    async fn tell(&self, kind: Kind, data: Value) {
        self.store.record_event(NewEvent { kind, data }).await.unwrap();
    }

    fn deliveries(&self, hook: &str) -> Vec<Delivery> {
        self.store.deliveries(hook, 500, None).unwrap().items
    }

    /// The only delivery of a hook, once so many attempts are written down.
    async fn after(&self, attempts: u32, hook: &str) -> Delivery {
        until(|| self.deliveries(hook).pop().filter(|delivery| delivery.attempts == attempts)).await
    }

    /// Goes to the moment at which a delivery is due; returns how long that took.
    fn pass_to(&self, delivery: &Delivery) -> Duration {
        let wait = delivery.next_attempt_at.unwrap().duration_since(self.clock.now());
        let wait = Duration::try_from(wait).unwrap();
        self.clock.advance(wait);
        wait
    }
}

fn error(delivery: &Delivery) -> String {
    delivery.last_attempt.clone().and_then(|attempt| attempt.error).unwrap_or_default()
}

/// HMAC by its definition (RFC 2104), for a key shorter than a block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| (0..64).map(|n| key.get(n).unwrap_or(&0) ^ byte).collect::<Vec<u8>>();
    let inner = Sha256::digest([&pad(0x36), message].concat());
    Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()).to_vec()
}

#[tokio::test]
async fn an_event_arrives_signed_where_it_is_wanted() {
    let receiver = Receiver::start(answers(204)).await;
    let gateway = Gateway::start();
    let hook = gateway.hook(receiver.url()).await;
    gateway.tell(Kind::MessageSent, json!({})).await;
    gateway.happens("sess_1").await;
    let delivery = gateway.after(1, &hook).await;
    assert_eq!(delivery.status, DeliveryStatus::Delivered);
    let at = gateway.clock.now();
    assert_eq!(delivery.last_attempt, Some(Attempt { at, status: Some(204), error: None }));

    let [seen] = &receiver.seen()[..] else { panic!("one request") };
    let body =
        r#"{"type":"session.created","timestamp":"2026-03-21T10:00:00Z","data":{"session_id":"sess_1"}}"#;
    assert_eq!((seen.path.as_str(), seen.body.as_str()), ("/in?x=1", body));
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(seen.headers["webhook-id"], delivery.id);
    assert_eq!(seen.headers["webhook-timestamp"], "1774087200");
    let signed = format!("{}.1774087200.{body}", delivery.id);
    let mac = hmac(SECRET.as_bytes(), signed.as_bytes());
    let signature = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, mac);
    assert_eq!(seen.headers["webhook-signature"], format!("v1,{signature}"));
}

#[tokio::test]
async fn what_fails_is_tried_by_the_schedule_and_then_given_up_until_a_replay() {
    let receiver = Receiver::start(answers(500)).await;
    let gateway = Gateway::start();
    let hook = gateway.hook(receiver.url()).await;
    gateway.happens("sess_1").await;
    let (m, h) = (60, 3600);
    for (attempts, secs) in (1..).zip([5, 5 * m, 30 * m, 2 * h, 5 * h, 10 * h, 14 * h, 20 * h, 24 * h]) {
        let delivery = gateway.after(attempts, &hook).await;
        assert_eq!(delivery.status, DeliveryStatus::Pending);
        let wait = gateway.pass_to(&delivery);
        let least = Duration::from_secs(secs);
        assert!(wait >= least && wait <= least.mul_f64(1.1), "{attempts}: {wait:?}");
    }
    let delivery = gateway.after(10, &hook).await;
    assert_eq!((delivery.status, delivery.next_attempt_at), (DeliveryStatus::Failed, None));
    assert_eq!(error(&delivery), "the receiver answered 500 Internal Server Error");
    let seen = receiver.seen();
    assert_eq!(seen.len(), 10);
    assert!(seen.iter().all(|seen| seen.headers["webhook-id"] == delivery.id));
    let times: Vec<_> = seen.iter().map(|seen| seen.headers["webhook-timestamp"].clone()).collect();
    assert!(times.is_sorted() && times[0] != times[9], "each attempt is signed for its own time: {times:?}");

    receiver.answer.send_replace(answers(200));
    let replayed = gateway.hooks.replay(&hook, &delivery.id).await.unwrap();
    assert_eq!((replayed.id.as_str(), replayed.attempts), (delivery.id.as_str(), 0));
    let delivery = gateway.after(1, &hook).await;
    assert_eq!(delivery.status, DeliveryStatus::Delivered);
    assert_eq!(receiver.seen()[10].headers["webhook-id"], delivery.id);
}

#[tokio::test]
async fn a_receiver_that_hangs_is_given_up_on_and_keeps_no_other_waiting() {
    let (slow, quick) = (Receiver::start(None).await, Receiver::start(answers(200)).await);
    let gateway = Gateway::start();
    let (hanging, other) = (gateway.hook(slow.url()).await, gateway.hook(quick.url()).await);
    gateway.happens("sess_1").await;
    slow.until(1).await;
    assert_eq!(gateway.after(1, &other).await.status, DeliveryStatus::Delivered);
    gateway.happens("sess_2").await;
    quick.until(2).await;
    assert_eq!(gateway.deliveries(&hanging)[0].attempts, 0);
    gateway.clock.advance(Duration::from_secs(15));
    let delivery =
        until(|| gateway.deliveries(&hanging).into_iter().find(|delivery| delivery.attempts == 1)).await;
    assert_eq!(error(&delivery), "no answer within 15 seconds");
    assert_eq!(delivery.status, DeliveryStatus::Pending);
}

#[tokio::test]
async fn a_redirect_is_a_failure() {
    let receiver = Receiver::start(Some((302, "location", "/elsewhere"))).await;
    let gateway = Gateway::start();
    let hook = gateway.hook(receiver.url()).await;
    gateway.happens("sess_1").await;
    let delivery = gateway.after(1, &hook).await;
    assert_eq!(delivery.status, DeliveryStatus::Pending);
    assert_eq!(error(&delivery), "the receiver answered 302 Found; redirects are not followed");
    assert!(receiver.seen().iter().all(|seen| seen.path == "/in?x=1"));
}

#[tokio::test]
async fn gone_turns_the_hook_off() {
    let receiver = Receiver::start(answers(500)).await;
    let gateway = Gateway::start();
    let hook = gateway.hook(receiver.url()).await;
    gateway.happens("sess_1").await;
    let failed = gateway.after(1, &hook).await;
    receiver.answer.send_replace(answers(410));
    gateway.happens("sess_2").await;
    until(|| gateway.store.hooks().unwrap().pop().filter(|hook| !hook.active)).await;
    let left = gateway.deliveries(&hook);
    let status = |id: &str| left.iter().find(|delivery| delivery.id == id).map(|delivery| delivery.status);
    assert_eq!((left.len(), status(&failed.id)), (2, Some(DeliveryStatus::Pending)), "what waits is kept");
    let refused = left.iter().find(|delivery| delivery.status == DeliveryStatus::Failed).unwrap();
    gateway.happens("sess_3").await;
    for refused in [gateway.hooks.test(&hook).await, gateway.hooks.replay(&hook, &refused.id).await] {
        assert_eq!(refused.unwrap_err().code(), Code::Conflict);
    }
    gateway.clock.advance(Duration::from_secs(3600));
    let gateway = gateway.restart().await;
    assert_eq!(gateway.deliveries(&hook), left);
    let problems = gateway.store.hook_state(&hook).unwrap().problems(gateway.clock.now());
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].problem.contains("410 Gone (1 deliveries wait"), "{problems:?}");
    assert!(problems[0].fix.contains(&format!("prx hook set {hook} --active true")), "{problems:?}");

    // Somebody mends the receiver and turns the hook on: what waited arrives, and what was given up when it is replayed.
    receiver.answer.send_replace(answers(200));
    let on = HookEdit { active: Some(true), ..HookEdit::default() };
    assert!(gateway.hooks.change(&hook, on).await.unwrap().state.hook.active);
    receiver.until(3).await;
    gateway.hooks.replay(&hook, &refused.id).await.unwrap();
    receiver.until(4).await;
    until(|| {
        let state = gateway.store.hook_state(&hook).unwrap();
        Some(()).filter(|()| state.waiting == 0 && state.problems(gateway.clock.now()).is_empty())
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_was_replaced_signs_for_a_while() {
    let receiver = Receiver::start(answers(200)).await;
    let gateway = Gateway::start();
    let hook = gateway.hook(receiver.url()).await;
    let edit = |secret: Option<&str>| HookEdit {
        secret: Some(secret.map(str::to_owned)),
        overlap: Some(Duration::from_secs(60)),
        ..HookEdit::default()
    };
    let changed = gateway.hooks.change(&hook, edit(Some("new"))).await.unwrap();
    assert!(changed.made.is_none() && changed.state.replaced_until > Some(gateway.clock.now()));
    let made = gateway.hooks.change(&hook, edit(None)).await.unwrap().made.unwrap();
    gateway.happens("sess_1").await;
    let first = receiver.until(1).await.remove(0);
    let signed = |seen: &Seen, secret: &Secret| {
        let at = seen.headers["webhook-timestamp"].parse().unwrap();
        signature::sign(secret, &seen.headers["webhook-id"], Timestamp::from_second(at).unwrap(), &seen.body)
            .unwrap()
    };
    let [new, old] = ["new", SECRET].map(Secret::new);
    let all = [&made, &new, &old].map(|secret| signed(&first, secret)).join(" ");
    assert_eq!(first.headers["webhook-signature"], all);
    gateway.clock.advance(Duration::from_secs(60));
    gateway.happens("sess_2").await;
    let second = receiver.until(2).await.remove(1);
    assert_eq!(second.headers["webhook-signature"], signed(&second, &made));
}

#[tokio::test]
async fn what_is_given_up_is_told_to_other_hooks_and_to_them_alone() {
    let (deaf, quick) = (Receiver::start(answers(500)).await, Receiver::start(answers(200)).await);
    let gateway = Gateway::start();
    let hook = gateway.hook(deaf.url()).await;
    let all = vec![ALL.to_owned()];
    gateway.hooks.register(quick.url(), all, Some(SECRET.to_owned())).await.unwrap();
    gateway.happens("sess_1").await;
    for attempts in 1..10 {
        let delivery = gateway.after(attempts, &hook).await;
        gateway.pass_to(&delivery);
    }
    gateway.after(10, &hook).await;
    let told = until(|| quick.seen().into_iter().find(|seen| seen.body.contains("error.occurred"))).await;
    assert!(told.body.contains(&hook) && told.body.contains("was given up"), "{}", told.body);
    assert_eq!(gateway.deliveries(&hook).len(), 1, "a hook is not told of itself");
    let state = gateway.store.hook_state(&hook).unwrap();
    assert_eq!((state.record.given_up, state.record.abandoned), (1, 1));
    let problems = |after: u64| state.problems(gateway.clock.now() + Duration::from_secs(after));
    assert!(problems(0)[0].problem.contains("has missed 1 events"), "{:?}", problems(0));
    assert_eq!(problems(24 * 3600), []);
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let receiver = Receiver::start(Some((503, "retry-after", "2"))).await;
    let gateway = Gateway::start();
    let hook = gateway.hook(receiver.url()).await;
    gateway.happens("sess_1").await;
    let delivery = gateway.after(1, &hook).await;
    receiver.answer.send_replace(Some((429, "retry-after", "7200")));
    assert_eq!(gateway.pass_to(&delivery), Duration::from_secs(2));
    let delivery = gateway.after(2, &hook).await;
    receiver.answer.send_replace(answers(200));
    assert_eq!(gateway.pass_to(&delivery), Duration::from_secs(7200));
    assert_eq!(gateway.after(3, &hook).await.status, DeliveryStatus::Delivered);
}

#[tokio::test]
async fn a_restart_takes_up_what_waits_under_the_same_id() {
    let receiver = Receiver::start(answers(503)).await;
    let gateway = Gateway::start();
    let hook = gateway.hook(receiver.url()).await;
    gateway.happens("sess_1").await;
    let delivery = gateway.after(1, &hook).await;
    let gateway = gateway.restart().await;
    assert_eq!(gateway.deliveries(&hook), std::slice::from_ref(&delivery));
    receiver.answer.send_replace(answers(200));
    gateway.pass_to(&delivery);
    assert_eq!(gateway.after(2, &hook).await.status, DeliveryStatus::Delivered);
    let seen = receiver.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.headers["webhook-id"] == delivery.id));
    assert_eq!(seen[0].body, seen[1].body);
}

#[tokio::test]
async fn a_stop_leaves_what_waits_in_the_queue() {
    let gateway = Gateway::start();
    let hook = gateway.hook("https://receiver.test/".into()).await;
    for session in 0..300 {
        gateway.happens(&session.to_string()).await;
    }
    gateway.hooks.stop(Duration::from_secs(5)).await;
    let all = gateway.deliveries(&hook);
    let sessions = all.iter().map(|delivery| serde_json::from_str::<Value>(&delivery.body).unwrap());
    let sessions: Vec<_> =
        sessions.map(|body| body["data"]["session_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(sessions, (0..300).map(|session| session.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_called_unless_that_is_allowed() {
    let receiver = Receiver::start(answers(200)).await;
    let clock = Clock::manual(Timestamp::UNIX_EPOCH);
    let gateway = Gateway::start_in(tempfile::tempdir().unwrap(), clock, false);
    let hook = gateway.hook(format!("http://receiver.test:{}/", receiver.port)).await;
    gateway.happens("sess_1").await;
    let delivery = gateway.after(1, &hook).await;
    assert!(error(&delivery).contains("not public"), "{}", error(&delivery));
    assert!(receiver.seen().is_empty());
    assert!(!gateway.config.current().hooks.allow_private);
}

#[tokio::test]
async fn a_test_is_attempted_once() {
    let receiver = Receiver::start(answers(500)).await;
    let gateway = Gateway::start();
    let hook = gateway.hook(receiver.url()).await;
    let queued = gateway.hooks.test(&hook).await.unwrap();
    assert_eq!((queued.event.as_str(), queued.status), ("hook.test", DeliveryStatus::Pending));
    assert_eq!(gateway.after(1, &hook).await.status, DeliveryStatus::Failed);
    assert_eq!(gateway.hooks.test("hook_none").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_hook_that_cannot_work_is_refused() {
    let clock = Clock::manual(Timestamp::UNIX_EPOCH);
    let gateway = Gateway::start_in(tempfile::tempdir().unwrap(), clock, false);
    let refusal = async |url: &str, events: &[&str]| {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        let refused = gateway.hooks.register(url.to_owned(), events, None).await.unwrap_err();
        assert_eq!(refused.code(), Code::BadRequest);
        refused.message().to_owned()
    };
    for url in ["example.com", "ftp://example.com/", "https://", "https://me:pw@example.com/", "https://a b/"]
    {
        let message = refusal(url, &["*"]).await;
        assert!(message.starts_with("`url` must be a whole http or https URL: "), "{message}");
    }
    for url in [
        "http://127.0.0.1/",
        "http://localhost:80/",
        "http://[::1]/",
        "http://10.1.2.3/",
        "http://2130706433/",
    ] {
        let message = refusal(url, &["*"]).await;
        assert!(message.starts_with("`url` must not be a loopback or private address"), "{message}");
    }
    let message = refusal("https://example.com/", &["session.created", "session.made"]).await;
    assert!(
        message.starts_with("`events` has \"session.made\", which there is none of; there are *, "),
        "{message}"
    );
    for kind in Kind::ALL {
        assert!(message.contains(kind.name()), "{message}");
    }
    assert!(message.ends_with("and those of plugins, <plugin>.<name>"), "{message}");
    assert!(
        refusal("https://example.com/", &[]).await.starts_with("`events` must not be empty; there are *, ")
    );
    assert!(gateway.store.hooks().unwrap().is_empty());

    let made = gateway.hooks.register("https://example.com/".into(), vec!["*".into()], None).await.unwrap();
    assert!(made.made.unwrap().expose().starts_with("whsec_"));
}
