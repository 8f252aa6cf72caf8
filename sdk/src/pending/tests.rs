use super::*;
use crate::connector::{AttachmentKind, Connector, Event, Fault, HttpResponse, Sender, Target, WebhookReply};
use crate::testing::Script;
use serde_json::{Value, json};

/// A platform that posts its messages as `{room, text, files: [{name, step?}]}`.
struct Posted;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Message {
    room: String,
    text: String,
}

/// A file whose name is its address, once `/where/` has told that it is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct File {
    name: String,
    #[serde(default)]
    found: bool,
}

#[derive(Default, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    last_token: Token,
    pending: Vec<Pending<Message, File>>,
}

impl PendingMessage for Message {
    type Media = File;

    fn id(&self) -> &str {
        "1"
    }

    fn conversation(&self) -> String {
        self.room.clone()
    }

    fn text(&mut self) -> &mut String {
        &mut self.text
    }

    fn inbound(self, attachments: Vec<Attachment>) -> Inbound {
        Inbound {
            dedupe: String::new(),
            target: Target::conversation(self.room),
            sender: Sender { id: "7".into(), name: "Ann".into(), is_bot: false, language: None },
            text: self.text,
            attachments,
            sent_at: 0,
            addressed: true,
            choice: None,
            forwarded: Vec::new(),
            group: false,
            reply_to: None,
        }
    }
}

impl Media for File {
    type Config = Value;

    fn request(&self, _: &Context<Value>) -> Http {
        match self.found {
            true => Http::get(format!("https://example.org/{}", self.name))
                .body_to_blob()
                .timeout(DOWNLOAD_TIMEOUT),
            false => Http::get(format!("https://example.org/where/{}", self.name)),
        }
    }

    fn answered(&mut self, outcome: &HttpOutcome) -> Fetch {
        match outcome {
            HttpOutcome::Response(response) if !self.found && response.is_success() => {
                self.found = true;
                Fetch::Next
            }
            outcome => Fetch::of(outcome),
        }
    }

    fn title(&self) -> &str {
        &self.name
    }

    fn attachment(self, blob: String) -> Attachment {
        Attachment { blob, kind: AttachmentKind::Other, name: Some(self.name), mime: None, size: 1 }
    }
}

impl Connector for Posted {
    type Config = Value;
    type State = State;

    fn handle(cx: &Context<Value>, state: &mut State, event: Event, out: &mut Commands) -> Result<(), Fault> {
        let mut queue = PendingQueue::new(cx, (&mut state.pending, &mut state.last_token), out);
        match event {
            Event::Started => queue.resume(&[], &[]),
            Event::Resumed(resumed) => queue.resume(&resumed.requests, &resumed.timers),
            Event::HttpDone(done) => queue.answered(done.token, &done.outcome),
            Event::Timer(token) => queue.timer(token),
            Event::Webhook(call) => {
                let mut posted: Value = serde_json::from_slice(&call.body).expect("JSON");
                let files: Vec<File> = serde_json::from_value(posted["files"].take()).expect("files");
                let said: Message = serde_json::from_value(posted.clone()).expect("a message");
                match posted["joins"].as_str() {
                    Some(text) => {
                        let pause = posted["pause"].as_u64().map(Duration::from_secs);
                        let joins = |message: &Message| message.text == text;
                        assert!(
                            queue.join(joins, files, pause, |message, _| message.text.push('!')),
                            "it waits"
                        );
                    }
                    None => match posted["pause"].as_u64() {
                        Some(pause) => queue.push_open(said, files, Duration::from_secs(pause)),
                        None => queue.push(said, files),
                    },
                }
                out.webhook_reply(
                    call.token,
                    WebhookReply { status: 204, headers: Vec::new(), body: Vec::new() },
                );
            }
            _ => {}
        }
        Ok(())
    }
}

struct Talk(Script<Posted>);

impl Talk {
    fn started() -> Self {
        let mut script = Script::new(json!({}));
        script.start();
        Self(script)
    }

    fn post(&mut self, message: Value) {
        let body = message.to_string().into_bytes();
        let (method, path, query) = ("POST".to_owned(), String::new(), String::new());
        self.0.call(crate::connector::Webhook { token: 1, method, path, query, headers: Vec::new(), body });
    }

    /// Answers the one request for this address.
    fn answer(&mut self, address: &str, status: u16, blob: Option<&str>) {
        let (token, blob) = (self.token(address), blob.map(str::to_owned));
        let response = HttpResponse { status, headers: Vec::new(), body: Vec::new(), blob, elapsed_ms: 1 };
        self.0.respond(token, response);
    }

    fn token(&self, address: &str) -> Token {
        let url = format!("https://example.org/{address}");
        let found: Vec<_> = self.0.requests().iter().filter(|request| request.url_text() == url).collect();
        assert_eq!(found.len(), 1, "{address}: {:?}", self.0.requests());
        found[0].token
    }

    fn heard(&mut self) -> Vec<(String, usize)> {
        self.0.deliveries().into_iter().map(|heard| (heard.text, heard.attachments.len())).collect()
    }
}

fn here(name: &str) -> Value {
    json!({"name": name, "found": true})
}

fn heard(texts: &[(&str, usize)]) -> Vec<(String, usize)> {
    texts.iter().map(|(text, files)| ((*text).to_owned(), *files)).collect()
}

#[test]
fn what_is_said_later_waits_and_other_conversations_do_not() {
    let mut talk = Talk::started();
    talk.post(json!({"room": "a", "text": "look", "files": [here("1"), {"name": "2"}]}));
    talk.post(json!({"room": "a", "text": "and?", "files": []}));
    talk.post(json!({"room": "b", "text": "elsewhere", "files": []}));
    assert_eq!(talk.heard(), heard(&[("elsewhere", 0)]));
    let request = talk.0.request(talk.token("1"));
    assert_eq!((request.lane.as_deref(), request.body_to_blob), (Some("files:a"), true));
    talk.answer("1", 200, Some("blob_1"));
    assert_eq!(talk.heard(), []);
    talk.answer("where/2", 200, None);
    talk.answer("2", 200, Some("blob_2"));
    assert_eq!(talk.heard(), heard(&[("look", 2), ("and?", 0)]));
    assert_eq!(talk.0.state().pending, []);
}

#[test]
fn a_file_is_tried_three_times_and_costs_only_itself() {
    let mut talk = Talk::started();
    talk.post(json!({"room": "a", "text": "look", "files": [here("1"), here("2")]}));
    talk.answer("1", 503, None);
    let (_, first) = talk.0.timers()[0];
    assert!((500..=1000).contains(&first.as_millis()), "{first:?}");
    talk.0.advance(first);
    talk.answer("1", 429, None);
    assert_eq!(talk.0.timers()[0].1, Duration::from_secs(60), "for how long is not said");
    talk.0.advance(Duration::from_secs(60));
    talk.answer("1", 503, None);
    assert_eq!(talk.0.timers(), []);
    talk.answer("2", 200, Some("blob_2"));
    assert_eq!(talk.heard(), heard(&[("look\n[1 could not be fetched: HTTP 503]", 1)]));
    assert!(talk.0.logs().concat().contains("1 could not be fetched"));
}

#[test]
fn a_file_is_waited_for_as_long_as_is_asked_for_if_that_is_not_too_long() {
    let answer = |status, asked: &str| {
        let headers = vec![("Retry-After".to_owned(), asked.to_owned())];
        let response = HttpResponse { status, headers, body: Vec::new(), blob: None, elapsed_ms: 1 };
        Fetch::of(&HttpOutcome::Response(response))
    };
    assert_eq!(answer(429, "7"), Fetch::Later("HTTP 429".into(), Some(Duration::from_secs(7))));
    assert_eq!(answer(503, "7"), Fetch::Later("HTTP 503".into(), Some(Duration::from_secs(7))));
    assert_eq!(answer(429, "soon"), Fetch::Later("HTTP 429".into(), Some(Duration::from_secs(60))));
    assert_eq!(answer(429, "86400"), Fetch::Lost("HTTP 429".into()));
}

#[test]
fn what_can_not_be_had_is_asked_for_once() {
    let mut talk = Talk::started();
    talk.post(json!({"room": "a", "text": "", "files": [here("gone"), here("large"), here("lost")]}));
    talk.answer("gone", 404, None);
    talk.0.too_large(talk.token("large"));
    talk.answer("lost", 200, None);
    let told = "[gone could not be fetched: HTTP 404]\n\
                [large could not be fetched: the answer is larger than it may be]\n\
                [lost could not be fetched: it was not kept]";
    assert_eq!(talk.heard(), heard(&[(told, 0)]));
}

#[test]
fn what_is_being_fetched_is_taken_up_where_it_was() {
    let mut talk = Talk::started();
    talk.post(json!({"room": "a", "text": "look", "files": [{"name": "1"}]}));
    talk.post(json!({"room": "b", "text": "later", "files": [here("2")]}));
    talk.0.fail(talk.token("2"), true, "connection reset");
    talk.0.swap();
    talk.answer("where/1", 200, None);
    talk.0.restart();
    talk.answer("1", 200, Some("blob_1"));
    talk.answer("2", 200, Some("blob_2"));
    assert_eq!(talk.heard(), heard(&[("look", 1), ("later", 1)]));
}

#[test]
fn files_join_a_message_that_still_waits() {
    let mut talk = Talk::started();
    talk.post(json!({"room": "a", "text": "one", "files": [here("1")]}));
    talk.post(json!({"room": "a", "text": "", "joins": "one", "files": [here("2")]}));
    talk.answer("1", 200, Some("blob_1"));
    talk.answer("2", 200, Some("blob_2"));
    assert_eq!(talk.heard(), heard(&[("one!", 2)]));
}

#[test]
fn a_message_to_which_more_belongs_waits_a_moment_for_it() {
    let mut talk = Talk::started();
    talk.post(json!({"room": "a", "text": "one", "files": [], "pause": 1}));
    talk.post(json!({"room": "a", "text": "behind", "files": []}));
    talk.post(json!({"room": "b", "text": "elsewhere", "files": []}));
    assert_eq!(talk.heard(), heard(&[("elsewhere", 0)]));
    talk.0.advance(Duration::from_millis(900));
    talk.post(json!({"room": "a", "text": "", "joins": "one", "files": [here("1")], "pause": 1}));
    talk.answer("1", 200, Some("blob_1"));
    talk.0.advance(Duration::from_millis(900));
    assert_eq!(talk.heard(), heard(&[]), "there may be more");
    talk.0.swap();
    talk.0.advance(Duration::from_millis(100));
    assert_eq!(talk.heard(), heard(&[("one!", 1), ("behind", 0)]));

    talk.post(json!({"room": "a", "text": "two", "files": [], "pause": 1}));
    talk.post(json!({"room": "a", "text": "", "joins": "two", "files": []}));
    assert_eq!(
        (talk.heard(), talk.0.timers()),
        (heard(&[("two!", 0)]), Vec::new()),
        "that was the last of it"
    );

    talk.post(json!({"room": "a", "text": "three", "files": [], "pause": 1}));
    talk.0.restart();
    assert_eq!(talk.heard(), heard(&[("three", 0)]), "no timer outlives a restart");
}
