use super::Script;
use crate::connector::{
    Command, Commands, Connector, Context, Event, HttpOutcome, Inbound, Operation, Outcome, Sender, Status,
    Target,
};
use crate::connector::{Fault, Http};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::cell::Cell;
use std::time::Duration;

/// Polls, delivers what it hears, sends what it is told, in the fewest lines.
struct Parrot;

#[derive(Deserialize)]
struct Config {
    base: String,
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    offset: u64,
    sending: Option<String>,
}

const POLL: u64 = 1;
const SEND: u64 = 2;

impl Connector for Parrot {
    type Config = Config;
    type State = State;

    fn handle(
        cx: &Context<Config>,
        state: &mut State,
        event: Event,
        out: &mut Commands,
    ) -> Result<(), Fault> {
        match event {
            Event::Started | Event::Timer(POLL) => poll(cx, state, out),
            Event::Resumed(resumed) if resumed.requests.is_empty() => poll(cx, state, out),
            Event::HttpDone(done) if done.token == POLL => match done.outcome {
                HttpOutcome::Response(response) if response.is_success() => {
                    state.offset += 1;
                    out.status(Status::Connected);
                    out.deliver(message(state.offset, cx.now));
                    poll(cx, state, out);
                }
                _ => out.timer(POLL, Duration::from_millis(cx.random_between(1_000, 2_000))),
            },
            Event::HttpDone(_) => {
                let id = state.sending.take().ok_or_else(|| Fault::internal("an answer to nothing"))?;
                out.done(id, Outcome::Ok(None));
            }
            Event::Outbound(outbound) => match outbound.operation {
                Operation::Send(content) => {
                    state.sending = Some(outbound.id);
                    out.http(
                        Http::post(format!("{}/send", cx.config.base)).token(SEND).body(content.markdown),
                    );
                }
                _ => out.done(outbound.id, Outcome::Unsupported),
            },
            _ => {}
        }
        Ok(())
    }
}

fn poll(cx: &Context<Config>, state: &State, out: &mut Commands) {
    out.http(Http::get(format!("{}/poll?offset={}", cx.config.base, state.offset)).bearer("key").token(POLL));
}

fn message(number: u64, now: u64) -> Inbound {
    Inbound {
        dedupe: number.to_string(),
        target: Target::conversation("room"),
        sender: Sender { id: "7".to_owned(), name: "Ada".to_owned(), is_bot: false, language: None },
        text: "hello".to_owned(),
        attachments: Vec::new(),
        sent_at: now,
        addressed: true,
        choice: None,
        forwarded: Vec::new(),
        group: false,
        reply_to: None,
    }
}

fn script() -> Script<Parrot> {
    Script::new(json!({"base": "https://x.example"}))
}

#[test]
fn what_is_answered_moves_the_state_on() {
    let mut script = script();
    script.start();
    assert_eq!(script.request(POLL).url_text(), "https://x.example/poll?offset=0");
    assert_eq!(script.request(POLL).header_text("Authorization").unwrap(), "Bearer {secret:key}");
    script.answer(POLL, 200, json!({}));
    assert_eq!(script.request(POLL).url_text(), "https://x.example/poll?offset=1");
    assert_eq!(script.state().offset, 1);
    assert_eq!(script.status(), Some(&Status::Connected));
    assert_eq!(script.deliveries().len(), 1);
    assert_eq!(script.deliveries().len(), 0);
    assert!(script.commands().iter().any(|command| matches!(command, Command::Http(_))));
    assert_eq!(script.commands(), []);
}

#[test]
fn time_moves_only_when_told_to() {
    let mut script = script();
    script.start();
    script.fail(POLL, false, "refused");
    let [(token, after)] = script.timers()[..] else { panic!("{:?}", script.timers()) };
    assert_eq!(token, POLL);
    assert!((1_000..=2_000).contains(&after.as_millis()));
    script.advance(after - Duration::from_millis(1));
    assert!(script.requests().is_empty());
    script.advance(Duration::from_millis(1));
    assert_eq!(script.requests().len(), 1);
}

#[test]
fn an_operation_has_an_outcome_once_it_is_done() {
    let mut script = script();
    let id = script.send("room", "good morning");
    assert_eq!(script.outcome(&id), None);
    assert_eq!(script.request(SEND).body_text(), "good morning");
    script.answer(SEND, 200, json!({}));
    assert_eq!(script.outcome(&id), Some(&Outcome::Ok(None)));
    let id = script.operate(Target::conversation("room"), Operation::Typing);
    assert_eq!(script.outcome(&id), Some(&Outcome::Unsupported));
}

#[test]
fn a_swap_keeps_what_is_open_and_a_restart_does_not() {
    let mut script = script();
    script.start();
    script.answer(POLL, 200, json!({}));
    script.swap();
    assert_eq!(script.requests().len(), 1);
    script.send("room", "lost with the gateway");
    script.restart();
    assert_eq!(script.requests().len(), 1);
    assert_eq!(script.request(POLL).url_text(), "https://x.example/poll?offset=1");
}

#[test]
fn a_fault_keeps_nothing() {
    let mut script = script();
    script.start();
    script.send("room", "one");
    script.answer(SEND, 200, json!({}));
    let late = Event::HttpDone(crate::connector::HttpDone {
        token: SEND,
        outcome: HttpOutcome::Failed(crate::connector::HttpFailure {
            kind: crate::connector::HttpFailureKind::Broken,
            sent: true,
            reason: "late".to_owned(),
        }),
    });
    assert_eq!(script.fault(late), "an answer to nothing");
    assert_eq!(
        Script::<Parrot>::new(json!({})).fault(Event::Started),
        "missing field `base` at line 1 column 2"
    );
}

#[test]
#[should_panic(expected = "no request in flight under token 9")]
fn an_answer_to_nothing_fails_the_test() {
    script().answer(9, 200, json!({}));
}

#[test]
#[should_panic(expected = "token 1 belongs to a request still in flight")]
fn a_token_used_twice_fails_the_test() {
    let mut script = script();
    script.start();
    script.start();
}

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Remembers outside of its state.
struct Forgetful;

impl Connector for Forgetful {
    type Config = serde_json::Value;
    type State = ();

    fn handle(_: &Context<Self::Config>, _: &mut (), _: Event, out: &mut Commands) -> Result<(), Fault> {
        CALLS.set(CALLS.get() + 1);
        out.cancel(CALLS.get());
        Ok(())
    }
}

#[test]
#[should_panic(expected = "not a pure function")]
fn a_step_that_differs_the_second_time_fails_the_test() {
    Script::<Forgetful>::new(json!({})).start();
}

/// Keeps what it cannot read back as it was.
struct Lossy;

#[derive(Default, Serialize, Deserialize)]
struct Secretive {
    #[serde(skip_deserializing)]
    count: u64,
}

impl Connector for Lossy {
    type Config = serde_json::Value;
    type State = Secretive;

    fn handle(
        _: &Context<Self::Config>,
        state: &mut Secretive,
        _: Event,
        _: &mut Commands,
    ) -> Result<(), Fault> {
        state.count += 1;
        Ok(())
    }
}

#[test]
#[should_panic(expected = "the state does not survive")]
fn a_state_that_does_not_survive_fails_the_test() {
    Script::<Lossy>::new(json!({})).start();
}

#[test]
fn storage_and_configuration_stand_in_for_the_gateways() {
    use crate::{config, kv};
    assert_eq!(kv::set("b", b"1"), Ok(()));
    assert_eq!((kv::set("a/2", b"2"), kv::set("a/1", b"3")), (Ok(()), Ok(())));
    assert_eq!(kv::get("b"), Ok(Some(b"1".to_vec())));
    assert_eq!(kv::keys("a/", None).unwrap(), ["a/1", "a/2"]);
    assert_eq!(kv::keys("a/", Some("a/1")).unwrap(), ["a/2"]);
    assert_eq!((kv::delete("b"), kv::delete("b")), (Ok(true), Ok(false)));
    super::configure(json!({"base": "x"}));
    assert_eq!(config::get::<Config>().unwrap().base, "x");
    assert!(config::get::<Vec<u8>>().unwrap_err().message.starts_with("the configuration does not fit"));
}

#[cfg(feature = "http")]
#[test]
fn a_body_is_read_in_pieces_within_its_bound() {
    use crate::http::{self, Body, ErrorKind, Response};
    use std::io::BufRead;
    super::serve(|_| {
        let chunks = ["one\ntw", "", "o\nthree"].map(|chunk| Ok(chunk.as_bytes().to_vec()));
        Ok(Response { body: Body::new(chunks.into_iter()), ..Response::new(200, "") })
    });
    let lines: Vec<_> = http::get("x").send().unwrap().body.lines().map(Result::unwrap).collect();
    assert_eq!(lines, ["one", "two", "three"]);
    assert_eq!(http::get("x").max_body(13).send().unwrap().text().unwrap(), "one\ntwo\nthree");
    let refused = http::get("x").max_body(12).send().unwrap().text().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TooLarge);
}
