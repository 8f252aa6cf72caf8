//! Conversations that are many times as long as their model's window: no turn of them fails, and nothing is forgotten that was
//! worth keeping.

use std::sync::{Arc, Mutex};

use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::models::{Asked, Dialect, FakeModel, Thought};
use prx_tests::origin::Origin;
use prx_tests::scale::scaled;
use serde_json::{Value, json};

/// Tokens, a quarter of the bytes of a request.
const WINDOW: usize = 8000;
/// What the model answers besides what it was asked for.
const CHATTER: &str = "That is good to know, and I shall keep it in mind while we go on from here. ";

/// A model that refuses what is larger than its window, summarizes by keeping the facts that it is shown, and tells all of
/// them when it is asked what it knows.
struct Forgetful {
    model: FakeModel,
    /// The requests that it has refused, and those that asked for a summary, by number.
    refused: Arc<Mutex<Vec<usize>>>,
    summaries: Arc<Mutex<Vec<usize>>>,
}

impl Forgetful {
    /// `says_window`: a refusal has the numbers in it.
    async fn start(dialect: Dialect, says_window: bool, look_at: String) -> Self {
        let model = FakeModel::start(dialect).await;
        let (refused, summaries) = (Arc::<Mutex<Vec<usize>>>::default(), Arc::<Mutex<Vec<usize>>>::default());
        let (no, sums, count) = (Arc::clone(&refused), Arc::clone(&summaries), Mutex::new(0));
        model.think(move |body| {
            let number = {
                let mut count = count.lock().unwrap();
                *count += 1;
                *count - 1
            };
            let (tokens, said) = (body.to_string().len() / 4, (dialect.said_last)(body));
            if tokens > WINDOW {
                no.lock().unwrap().push(number);
                let words = match says_window {
                    true => format!("prompt is too long: {tokens} tokens > {WINDOW} maximum"),
                    false => "input is too long".to_owned(),
                };
                return Thought::Refuses(400, words);
            }
            if said.contains("Summarize the conversation") {
                sums.lock().unwrap().push(number);
                return Thought::Says(facts(body).join("\n"));
            }
            if said.contains("What do you know?") {
                return Thought::Says(facts(body).join("\n"));
            }
            if said.starts_with("Look it up") {
                let arguments = json!({"url": look_at});
                return Thought::Calls(vec![(format!("call_{number}"), "fetch", arguments)]);
            }
            Thought::Says(CHATTER.repeat(4))
        });
        Self { model, refused, summaries }
    }

    /// The requests that are part of the conversation, each with whether something else was asked, or refused, since the
    /// one before.
    fn conversation(&self) -> Vec<(Asked, bool)> {
        let (refused, summaries) = (self.refused.lock().unwrap(), self.summaries.lock().unwrap());
        let mut apart = false;
        let mut conversation = Vec::new();
        for (number, asked) in self.model.asked().into_iter().enumerate() {
            if refused.contains(&number) || summaries.contains(&number) {
                apart = true;
            } else {
                conversation.push((asked, std::mem::take(&mut apart)));
            }
        }
        conversation
    }
}

/// The lines of a request that state a fact, each once.
fn facts(body: &Value) -> Vec<String> {
    fn collect(value: &Value, facts: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                for line in text.lines().filter(|line| line.starts_with("FACT:")) {
                    if !facts.iter().any(|fact| fact == line) {
                        facts.push(line.to_owned());
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, facts)),
            Value::Object(fields) => fields.values().for_each(|value| collect(value, facts)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    collect(body, &mut all);
    all
}

fn has_fact(n: usize) -> bool {
    n == 3 || n.is_multiple_of(50)
}

/// What the person says as the message of this number: much of the same, and a fact now and then.
fn message(n: usize, with_tools: bool) -> String {
    let story = format!("Message {n}. ")
        + &"We sailed on along the coast, and the wind was as it had been. ".repeat(12);
    match n {
        _ if has_fact(n) => {
            format!("{story}\nFACT: the harbour of day {n} is called Port {n}.\n")
        }
        _ if with_tools && n.is_multiple_of(3) => format!("Look it up, please. {story}"),
        _ => story,
    }
}

/// Holds a conversation of so many messages with a model, and then asks what it knows.
async fn talk(model: &Forgetful, settings: &str, with_tools: bool, origin: &Origin) {
    let messages = scaled(120, 400);
    let limits = "[agent]\nmax_turns = 1000000\nsystem_prompt = \"You keep a log book.\"\n";
    let grant = format!("[grants.reaching]\nhttp = [{:?}]\nkv = \"64KiB\"\n", origin.url());
    let home = Home::new(&format!("{}{limits}{grant}", model.model.config(settings)));
    let manifest = format!(
        "[plugin]\nname = \"reaching\"\nversion = \"1.0.0\"\ndescription = \"Reaches\"\n[permissions]\nhttp = [{:?}]\nkv = \
         \"64KiB\"\n",
        origin.url()
    );
    home.place_plugin("reaching", &Component::of("reaching").with_manifest(&manifest).bytes());
    let gateway = Gateway::start_in(home).await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    for n in 1..=messages {
        let answer =
            gateway.client().post(&path, json!({"content": message(n, with_tools)})).await.expect(200);
        assert_eq!(answer["content"], CHATTER.repeat(4), "message {n}");
    }
    let known = gateway.client().post(&path, json!({"content": "What do you know?"})).await.expect(200);
    let known = known["content"].as_str().unwrap();
    let wanted = (1..=messages).filter(|n| has_fact(*n));
    for n in wanted {
        assert!(known.contains(&format!("Port {n}.")), "message {n} is forgotten: {known}");
    }

    let summaries = model.summaries.lock().unwrap().len();
    assert!(summaries >= messages / 40, "{summaries} summaries of {messages} messages");
    let conversation = model.conversation();
    let dialect = model.model.dialect();
    let parts: Vec<Vec<String>> = conversation.iter().map(|(asked, _)| asked.parts(dialect)).collect();
    let mut changed = 0;
    for (n, (before, after)) in parts.iter().zip(&parts[1..]).enumerate() {
        let goes_on = after.len() > before.len() && after.starts_with(before);
        changed += usize::from(!goes_on);
        assert!(goes_on || conversation[n + 1].1, "request {} begins otherwise than the one before", n + 1);
    }
    assert!(
        changed <= summaries + model.refused.lock().unwrap().len(),
        "{changed} changes, {summaries} summaries"
    );
    assert_eq!(model.model.broken_rules(), Vec::<String>::new());
    gateway.stop().await;
}

async fn library() -> Origin {
    let origin = Origin::start().await;
    origin.answer("/pilot", json!("The pilot book says a lot about this coast. ".repeat(60)));
    origin
}

#[tokio::test]
async fn a_window_that_is_told_is_never_overrun() {
    let origin = library().await;
    let model = Forgetful::start(Dialect::OPENAI, true, format!("{}/pilot", origin.url())).await;
    let window =
        format!("[providers_config.openai.models.\"{}\"]\nwindow = {WINDOW}\n", Dialect::OPENAI.model);
    talk(&model, &window, true, &origin).await;
    assert_eq!(*model.refused.lock().unwrap(), Vec::<usize>::new());
    assert!(origin.asked().len() > 20, "the tool was called");
}

#[tokio::test]
async fn a_window_that_the_servers_list_names_is_never_overrun() {
    let origin = library().await;
    let model = Forgetful::start(Dialect::OPENAI, true, format!("{}/pilot", origin.url())).await;
    model.model.list(json!({"data": [{"id": Dialect::OPENAI.model, "context_length": WINDOW}]}));
    talk(&model, "", false, &origin).await;
    assert_eq!(*model.refused.lock().unwrap(), Vec::<usize>::new());
}

#[tokio::test]
async fn a_window_that_nobody_told_is_learned_from_a_refusal() {
    let origin = library().await;
    let model = Forgetful::start(Dialect::ANTHROPIC, true, format!("{}/pilot", origin.url())).await;
    talk(&model, "", true, &origin).await;
    let refused = model.refused.lock().unwrap().len();
    assert!((1..=4).contains(&refused), "refused {refused} times");
}

#[tokio::test]
async fn a_window_that_even_a_refusal_does_not_name_is_found() {
    let origin = library().await;
    let model = Forgetful::start(Dialect::OPENAI, false, format!("{}/pilot", origin.url())).await;
    talk(&model, "", false, &origin).await;
    let refused = model.refused.lock().unwrap().len();
    assert!((1..=12).contains(&refused), "refused {refused} times");
}
