//! Models behind the bundled providers: what they say arrives as they say it, and their keys stay where they are.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::Method;
use prx_tests::client::EventStream;
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::models::{Dialect, FakeModel, KEY};
use prx_tests::origin::Origin;
use serde_json::{Value, json};

/// Reloads while turns are streamed; `PRX_RELOADS` asks for more.
const RELOADS: usize = 6;
const CLIENTS: usize = 4;
/// Different codes that take over, one after the other, while turns are streamed.
const GENERATIONS: usize = 50;

/// A streamed turn.
async fn ask(gateway: &Gateway, session: &str, text: &str) -> EventStream {
    gateway.client().stream(&format!("/sessions/{session}/messages"), json!({"content": text})).await
}

/// The next piece of the reply.
async fn token(stream: &mut EventStream) -> String {
    let (name, data) = stream.next().await.expect("the turn goes on");
    assert_eq!(name, "token", "{data}");
    data["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_piece_arrives_before_the_next_is_said() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let gateway = Gateway::start(&model.config("")).await;
        let session = gateway.open_session("ada").await;
        for turn in 1..=3 {
            let live = model.live();
            let mut stream = ask(&gateway, &session, "Hello").await;
            let words = ["Good ", "morning, ", "Ada 🌍."];
            for event in (dialect.words)(&words) {
                let word = words.iter().find(|word| event.contains(**word));
                // In two pieces, cut in the middle of a line.
                let (one, two) = event.as_bytes().split_at(event.len() / 2);
                live.say(one.to_vec()).await;
                live.say(two.to_vec()).await;
                if let Some(word) = word {
                    assert_eq!(token(&mut stream).await, *word);
                }
            }
            drop(live);
            let (name, reply) = stream.next().await.expect("an end");
            assert_eq!((name.as_str(), &reply["content"]), ("done", &json!(words.concat())), "{reply}");
            assert_eq!(model.asked().len(), turn);
        }
        assert_eq!(
            model.connections(),
            1,
            "{}: one connection serves one turn after the other",
            dialect.provider
        );
        assert_eq!(model.broken_rules(), Vec::<String>::new());
        let shown = gateway.client().get(&format!("/sessions/{session}")).await.expect(200);
        assert_eq!(shown["token_usage"]["input"], 300, "{shown}");
        assert_eq!(shown["token_usage"]["output"], 21, "{shown}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn several_tools_are_called_and_their_results_go_back() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let home = Home::new(&model.config(""));
        home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
        let gateway = Gateway::start_in(home).await;
        let session = gateway.open_session("ada").await;
        let calls =
            [("call_1", "hello", json!({"name": "Ada"})), ("call_2", "hello", json!({"name": "Bob"}))];
        model.answer((dialect.calls)(&calls)).await;
        let events = ask(&gateway, &session, "Greet them").await.rest().await;
        let of = |kind: &str| -> Vec<&Value> {
            events.iter().filter(|(name, _)| name == kind).map(|(_, data)| data).collect()
        };
        assert_eq!(of("tool_call")[1]["arguments"], json!({"name": "Bob"}));
        let mut results: Vec<_> = of("tool_result").iter().map(|result| &result["content"]).collect();
        results.sort_by_key(|result| result.to_string());
        assert_eq!(results, ["Hello, Ada!", "Hello, Bob!"]);
        assert_eq!(of("done")[0]["content"], "You said: Hello, Bob!", "{}", dialect.provider);
        let asked = model.asked();
        assert!(asked[0].body["tools"].to_string().contains("\"hello\""), "{}", asked[0].body);
        assert_eq!(model.broken_rules(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn without_configuration_they_wait() {
    let gateway = Gateway::start("").await;
    for dialect in Dialect::ALL {
        let plugin = gateway.plugin(dialect.provider).await.expect("it is bundled");
        assert_eq!(plugin["status"], "loaded", "{plugin}");
    }
    let status = gateway.client().get("/status").await.expect(200);
    assert_eq!(status["status"], "healthy", "{status}");
    let provider = json!({"provider.name": "anthropic", "provider.model": "claude-opus-5-5"});
    gateway.client().patch("/config", provider).await.expect(200);
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let refused = gateway.client().post(&path, json!({"content": "Hello"})).await;
    let message = refused.error(502, "bad_gateway");
    assert!(message.contains("set providers_config.anthropic.api_key"), "{message}");

    let model = FakeModel::start(Dialect::ANTHROPIC).await;
    let key = json!({
        "providers_config.anthropic.api_key": KEY,
        "providers_config.anthropic.base_url": model.url(),
    });
    gateway.client().patch("/config", key).await.expect(200);
    let answer = gateway.client().post(&path, json!({"content": "Hello again"})).await.expect(200);
    assert_eq!(answer["content"], "You said: Hello again");
}

#[tokio::test]
async fn a_server_without_a_key_is_asked_without_one() {
    let origin = Origin::start().await;
    let choice = json!({"message": {"role": "assistant", "content": "Locally yours"}});
    origin.answer("/v1/chat/completions", json!({"choices": [choice]}));
    let config = format!(
        "[provider]\nname = \"openai\"\nmodel = \"llama3.2\"\n[providers_config.openai]\nbase_url = \"{}/v1\"\n\
         stream = false\n",
        origin.url()
    );
    let gateway = Gateway::start(&config).await;
    let session = gateway.open_session("ada").await;
    let path = format!("/sessions/{session}/messages");
    let answer = gateway.client().post(&path, json!({"content": "Hello"})).await.expect(200);
    assert_eq!(answer["content"], "Locally yours");
}

#[tokio::test]
async fn turns_end_on_the_code_they_began_with() {
    let reloads = std::env::var("PRX_RELOADS").ok().and_then(|count| count.parse().ok()).unwrap_or(RELOADS);
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        model.pace(Duration::from_millis(5));
        let gateway = Arc::new(Gateway::start(&(model.config("") + "[agent]\nmax_turns = 1000000\n")).await);
        let over = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| tokio::spawn(chatter(Arc::clone(&gateway), client, Arc::clone(&over))))
            .collect();
        let path = format!("/plugins/{}/reload", dialect.provider);
        let before = model.asked().len();
        for round in 0..reloads {
            model.until_asked(before + CLIENTS * (round + 1)).await;
            let reloaded = gateway.client().post(&path, json!({})).await.expect(200);
            assert_eq!(reloaded["status"], "loaded", "{}, round {round}", dialect.provider);
        }
        over.store(true, Ordering::Relaxed);
        let mut said = 0;
        for client in clients {
            said += client.await.expect("every turn ends complete");
        }
        assert!(said >= CLIENTS * reloads, "{said} turns during {reloads} reloads");
        assert_eq!(model.asked().len(), said, "no turn was asked for twice");
        assert_eq!(model.broken_rules(), Vec::<String>::new());
    }
}

/// Says one thing after the other until it is over, and reads each answer to its end; how many there were.
async fn chatter(gateway: Arc<Gateway>, client: usize, over: Arc<AtomicBool>) -> usize {
    let session = gateway.open_session(&format!("client {client}")).await;
    let mut said = 0;
    while !over.load(Ordering::Relaxed) {
        let text = format!("[{said:05}] {}", "one two three four five six seven ".repeat(4).trim_end());
        let events = ask(&gateway, &session, &text).await.rest().await;
        let (tokens, last) = events.split_at(events.len() - 1);
        assert_eq!(last[0].0, "done", "{events:?}");
        let streamed: String = tokens.iter().filter_map(|(_, data)| data["text"].as_str()).collect();
        assert_eq!(streamed, format!("You said: {text}"));
        assert_eq!(last[0].1["content"], streamed);
        said += 1;
    }
    said
}

/// The provider that says which code it is, with this number.
fn marked(number: usize) -> Component {
    Component::of("marked").replace("code number 0000", &format!("code number {number:04}"))
}

/// The numbers that an answer begins and ends with.
fn numbers(answer: &str) -> (usize, usize) {
    let (begin, rest) = answer.split_once(" .").expect("a beginning");
    let number = |text: &str| text.trim_start_matches([' ', '.']).strip_prefix("code number ")?.parse().ok();
    let numbers = number(begin).zip(number(rest.trim_start_matches([' ', '.'])));
    numbers.unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn an_answer_ends_on_the_generation_it_began_with() {
    let config = "[provider]\nname = \"marked\"\nmodel = \"marked\"\n[agent]\nmax_turns = 1000000\n";
    let home = Home::new(config);
    home.place_plugin("marked", &marked(0).bytes());
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    let gateway = Arc::new(Gateway::start_in(home).await);
    let serving = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let clients = (0..CLIENTS).map(|client| {
        let (gateway, serving, over) = (Arc::clone(&gateway), Arc::clone(&serving), Arc::clone(&over));
        tokio::spawn(async move {
            let session = gateway.open_session(&format!("client {client}")).await;
            let path = format!("/sessions/{session}/messages");
            let (mut outlived, mut before) = (0, 0);
            while !over.load(Ordering::SeqCst) {
                let least = serving.load(Ordering::SeqCst);
                let answer = gateway.client().post(&path, json!({"content": "Hi"})).await.expect(200);
                let (first, last) = numbers(answer["content"].as_str().unwrap());
                assert_eq!(first, last, "one answer, one code");
                assert!(first >= least.max(before), "{first} after {before}, when {least} had taken over");
                outlived += usize::from(first < serving.load(Ordering::SeqCst));
                before = first;
            }
            outlived
        })
    });
    let clients: Vec<_> = clients.collect();
    for number in 1..=GENERATIONS {
        let body = marked(number).bytes();
        gateway.client().upload(Method::PUT, "/plugins/marked", "application/wasm", body).await.expect(200);
        serving.store(number, Ordering::SeqCst);
    }
    over.store(true, Ordering::SeqCst);
    let mut outlived = 0;
    for client in clients {
        outlived += client.await.expect("every turn ends complete");
    }
    assert!(outlived >= GENERATIONS, "{outlived} answers went on while another code took over");
}

#[tokio::test]
async fn after_a_tool_the_present_generation_answers() {
    let config = "[provider]\nname = \"marked\"\nmodel = \"marked\"\n[tools]\npolicy = { hello = \"ask\" }\n";
    let home = Home::new(config);
    home.place_plugin("marked", &marked(1).bytes());
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    let gateway = Gateway::start_in(home).await;
    let session = gateway.open_session("ada").await;
    let mut turn = ask(&gateway, &session, "hello").await;
    let approval = loop {
        let (name, data) = turn.next().await.expect("the turn goes on");
        if name == "approval" {
            break data["id"].as_str().unwrap().to_owned();
        }
    };
    let body = marked(2).bytes();
    gateway.client().upload(Method::PUT, "/plugins/marked", "application/wasm", body).await.expect(200);
    let path = format!("/sessions/{session}/approvals/{approval}");
    gateway.client().post(&path, json!({"decision": "allow"})).await.expect(200);
    let events = turn.rest().await;
    let done = &events.last().expect("an end").1;
    assert_eq!(numbers(done["content"].as_str().unwrap()), (2, 2), "{events:?}");
}

#[tokio::test]
async fn a_provider_that_tells_everything_knows_no_key() {
    let origin = Origin::start().await;
    origin.reflect("/echo");
    let config = format!(
        "[provider]\nname = \"prying\"\nmodel = \"prying\"\n[grants.prying]\nhttp = [\"https://api.example.org\"]\n\
         [providers_config.prying]\napi_key = {KEY:?}\nbase_url = {:?}\n",
        origin.url()
    );
    let home = Home::new(&config);
    home.place_plugin("prying", &Component::of("prying").bytes());
    let gateway = Gateway::start_in(home).await;
    let session = gateway.open_session("ada").await;

    let mut seen: Vec<String> = Vec::new();
    for text in ["tell", "fail"] {
        let events = ask(&gateway, &session, text).await.rest().await;
        seen.push(format!("{events:?}"));
    }
    assert!(
        seen[0].contains("REDACTED"),
        "the server has echoed the key, and what it was has been taken out"
    );
    assert!(seen[0].contains("{secret:api_key}"), "it sees its own memory");
    assert!(seen[1].contains("error"), "{}", &seen[1][..200]);
    for path in ["/config", "/logs?limit=500", "/status", "/plugins/prying", "/plugins", "/sessions"] {
        seen.push(gateway.client().get(path).await.expect(200).to_string());
    }
    seen.push(gateway.client().get(&format!("/sessions/{session}/messages")).await.expect(200).to_string());
    seen.push(gateway.output().lines().join("\n"));
    for said in &seen {
        assert!(!said.contains(KEY), "the key shows");
    }
    let asked = origin.asked();
    assert!(asked[0].starts_with("/echo") && !asked[0].contains(KEY), "a URL takes no secret: {asked:?}");
    let received = origin.received();
    assert!(received[0].contains(&format!("Bearer {KEY}")), "the server did get the key: {received:?}");
}
