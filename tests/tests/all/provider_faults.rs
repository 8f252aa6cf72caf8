//! What goes wrong with a model's server is told, in the answer and in the log, and the session goes on.
use std::time::Duration;

use prx_tests::gateway::Gateway;
use prx_tests::models::{Dialect, FakeModel, Live};
use prx_tests::wait::until;
use serde_json::{Value, json};

/// A gateway whose provider is this model, and a session.
async fn with(model: &FakeModel, more: &str) -> (Gateway, String) {
    let gateway = Gateway::start(&model.config(more)).await;
    let session = gateway.open_session("ada").await;
    (gateway, format!("/sessions/{session}/messages"))
}

/// Everything that a streamed turn says.
async fn stream(gateway: &Gateway, path: &str, text: &str) -> Vec<(String, Value)> {
    gateway.client().stream(path, json!({"content": text})).await.rest().await
}

/// The session works as before.
async fn goes_on(gateway: &Gateway, path: &str) {
    let answer = gateway.client().post(path, json!({"content": "And now?"})).await.expect(200);
    assert_eq!(answer["content"], "You said: And now?");
    assert_eq!(gateway.client().get("/status/health").await.expect(200), json!({"healthy": true}));
}

/// An answer that has begun: its first events, and one word.
async fn begin(dialect: &Dialect, live: &Live) {
    for event in (dialect.words)(&["Begun ", "too late"]) {
        if event.contains("too late") {
            break;
        }
        live.say(event).await;
    }
}

#[tokio::test]
async fn what_does_not_pass_is_told_at_once() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let (gateway, path) = with(&model, "").await;
        let mut bus = gateway.client().follow("/events", None).await;
        for (status, says) in [
            (401, format!("providers_config.{}.api_key", dialect.provider)),
            (403, "may not do this".to_owned()),
            (400, "refused the request: You said no".to_owned()),
        ] {
            let asked = model.asked().len();
            model.refuse(status, &[], (dialect.refusal)("You said no").replace("invalid_request_error", ""));
            let refused = gateway.client().post(&path, json!({"content": "Hello"})).await;
            let message = refused.error(502, "bad_gateway");
            assert!(message.contains(&says), "{status}: {message}");
            assert_eq!(model.asked().len(), asked + 1, "{status}: asking again would not help");
            let told = loop {
                let (_, event) = bus.next().await.expect("the bus goes on");
                if event["type"] == "error.occurred" {
                    break event["data"].clone();
                }
            };
            assert!(path.contains(told["session_id"].as_str().expect("a session")), "{told}");
            assert_eq!(told["reason"], message, "{told}");
            until("it to be in the log", async || {
                let log = gateway.output();
                (log.says(&["WARN", dialect.provider, &says]) || log.says(&["ERROR", &says])).then_some(())
            })
            .await;
        }
        goes_on(&gateway, &path).await;
    }
}

#[tokio::test]
async fn an_unknown_model_and_a_wrong_address_are_told_apart() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let (gateway, path) = with(&model, "").await;
        model.refuse(
            404,
            &[],
            (dialect.refusal)("model: not found").replace("invalid_request_error", "not_found_error"),
        );
        let refused = gateway.client().post(&path, json!({"content": "Hello"})).await;
        let message = refused.error(502, "bad_gateway");
        assert!(message.contains(dialect.model) && message.contains("provider.model"), "{message}");

        let key = format!("providers_config.{}.base_url", dialect.provider);
        let elsewhere = json!({key.as_str(): format!("{}/elsewhere", model.url())});
        gateway.client().patch("/config", elsewhere).await.expect(200);
        let refused = gateway.client().post(&path, json!({"content": "Hello"})).await;
        let message = refused.error(502, "bad_gateway");
        assert!(message.contains(&key), "{message}");
    }
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let (gateway, path) = with(&model, "").await;
        model.refuse(
            429,
            &[("retry-after", "1")],
            (dialect.refusal)("slow down").replace("invalid_request_error", "rate_limit_error"),
        );
        model.refuse(
            529,
            &[],
            (dialect.refusal)("Overloaded").replace("invalid_request_error", "overloaded_error"),
        );
        let answer = gateway.client().post(&path, json!({"content": "Hello"})).await.expect(200);
        assert_eq!(answer["content"], "You said: Hello");
        let asked = model.asked();
        assert_eq!(asked.len(), 3);
        let waited = asked[1].at - asked[0].at;
        assert!(waited >= Duration::from_secs(1), "{waited:?} is less than it was told");
        assert!(gateway.output().says_soon(&[dialect.provider, "rate limit"]).await, "it is in the log");
        assert!(gateway.output().says_soon(&[dialect.provider, "verloaded"]).await, "it is in the log");
        assert_eq!(model.broken_rules(), Vec::<String>::new());
    }
}

/// Something that happens to an answer before or after its first word; the next try goes well.
async fn interrupted(dialect: Dialect, more: &str, says: &str, interrupt: impl AsyncFn(&FakeModel)) {
    let model = FakeModel::start(dialect).await;
    let (gateway, path) = with(&model, more).await;
    let (events, ()) = tokio::join!(stream(&gateway, &path, "Hello"), interrupt(&model));
    let last = events.last().expect("an end");
    assert_eq!((last.0.as_str(), &last.1["content"]), ("done", &json!("You said: Hello")), "{events:?}");
    let begun = events.iter().position(|(name, data)| name == "token" && data["text"] == "Begun ");
    let restart = events.iter().position(|(name, _)| name == "restart");
    assert_eq!(
        begun.map(|begun| begun + 1),
        restart,
        "what was said is taken back, if anything was: {events:?}"
    );
    assert!(gateway.output().says_soon(&[dialect.provider, says]).await, "it is in the log");
    goes_on(&gateway, &path).await;
    assert_eq!(model.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn silence_before_the_first_word() {
    for dialect in Dialect::ALL {
        interrupted(dialect, "timeout_secs = 1", "timeout_secs", async |model| model.be_silent()).await;
    }
}

#[tokio::test]
async fn silence_after_the_first_word() {
    for dialect in Dialect::ALL {
        interrupted(dialect, "timeout_secs = 1", "timeout_secs", async |model| {
            let live = model.live();
            begin(&dialect, &live).await;
            live.until_unheard().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_connection_that_breaks() {
    for dialect in Dialect::ALL {
        interrupted(dialect, "", "no answer came", async |model| model.hang_up()).await;
        interrupted(dialect, "", "the connection broke off", async |model| {
            let live = model.live();
            begin(&dialect, &live).await;
            model.until_asked(1).await;
            live.break_off().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_connection_that_always_breaks_is_called_that_and_no_silence() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let (gateway, path) = with(&model, "").await;
        let mut attempts = Vec::new();
        for _ in 0..5 {
            let live = model.live();
            begin(&dialect, &live).await;
            attempts.push(live);
        }
        let mut events = gateway.client().stream(&path, json!({"content": "Hello"})).await;
        for live in attempts {
            while events.next().await.expect("a word of each attempt").0 != "token" {}
            live.break_off().await;
        }
        let (name, data) = events.rest().await.pop().expect("an end");
        let error = &data["error"];
        assert_eq!((name.as_str(), &error["code"]), ("error", &json!("bad_gateway")), "{error}");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains("the connection broke off") && !message.contains("silence"), "{message}");
        assert_eq!(model.asked().len(), 5);
        goes_on(&gateway, &path).await;
    }
}

#[tokio::test]
async fn an_error_in_the_middle_of_an_answer() {
    for dialect in Dialect::ALL {
        interrupted(dialect, "", "verloaded", async |model| {
            let live = model.live();
            begin(&dialect, &live).await;
            live.say((dialect.overloaded)()).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_is_down() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let (gateway, path) = with(&model, "").await;
        let url = model.url();
        drop(model);
        let refused = gateway.client().post(&path, json!({"content": "Hello"})).await;
        let message = refused.error(503, "unavailable");
        assert!(message.contains(&url) && message.contains("base_url"), "{message}");
        assert!(gateway.output().says_soon(&[dialect.provider, &url]).await, "it is in the log");
    }
}

#[tokio::test]
async fn an_answer_that_never_ends() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let (gateway, path) = with(&model, "").await;
        let live = model.live();
        let word = "on and on ".repeat(10_000);
        let events = (dialect.words)(&[&word]);
        let (begin, again) =
            events.split_at(events.iter().position(|event| event.contains("on and")).unwrap());
        let endless = async {
            live.say(begin.concat()).await;
            while live.say(again[0].clone()).await {}
        };
        let ask = gateway.client().post(&path, json!({"content": "Hello"}));
        let (refused, ()) = tokio::join!(ask, endless);
        let message = refused.error(502, "bad_gateway");
        assert!(message.contains("bytes"), "{message}");
        goes_on(&gateway, &path).await;
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_quoted_and_not_asked_for_again() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let (gateway, path) = with(&model, "").await;
        for (odd, tries) in [("{'type': 1}", 1), ("{\"type\": 7, \"choices\"", 2), ("no JSON \u{fffd}", 2)] {
            let asked = model.asked().len();
            let live = model.live();
            let bytes = odd.split('\u{fffd}').map(str::as_bytes).collect::<Vec<_>>().join(&0xff);
            live.say([b"data: ", &bytes[..], b"\n\n"].concat()).await;
            drop(live);
            let answer = gateway.client().post(&path, json!({"content": "Hello"})).await;
            match tries {
                1 => assert!(answer.error(502, "bad_gateway").contains(odd), "it would only come again"),
                _ => {
                    assert_eq!(answer.expect(200)["content"], "You said: Hello", "the second try is answered")
                }
            }
            assert_eq!(model.asked().len(), asked + tries, "{odd}");
            let shown = odd.trim_end_matches('\u{fffd}');
            assert!(gateway.output().says_soon(&[dialect.provider, shown]).await, "{odd} is in the log");
        }
        goes_on(&gateway, &path).await;
    }
}

/// The events of an answer with something unusual before each.
fn with_oddities(dialect: &Dialect, words: &[&str]) -> String {
    let odd = [
        "data: null\n\n",
        "data: []\n\n",
        "event: ping\ndata:\n\n",
        "data: keep-alive\n\n",
        "data: \r\n\r\n",
    ];
    let events = (dialect.words)(words);
    let mixed = events.iter().zip(odd.iter().cycle()).map(|(event, odd)| format!("{odd}{event}"));
    // A last event without its blank line.
    mixed.collect::<String>().trim_end().to_owned()
}

#[tokio::test]
async fn what_is_unusual_and_not_needed_costs_nothing() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let (gateway, path) = with(&model, "").await;
        for kind in ["Text/Event-Stream", "text/plain", "application/octet-stream"] {
            let asked = model.asked().len();
            model.refuse(200, &[("content-type", kind)], with_oddities(&dialect, &["Hello, ", "Ada"]));
            let answer = gateway.client().post(&path, json!({"content": "Hello"})).await.expect(200);
            assert_eq!(
                (&answer["content"], model.asked().len()),
                (&json!("Hello, Ada"), asked + 1),
                "{kind}"
            );
        }
        goes_on(&gateway, &path).await;
        assert_eq!(model.broken_rules(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_error_that_looks_like_an_answer_is_none() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let (gateway, path) = with(&model, "").await;
        for body in [
            "{\"object\": \"error\", \"message\": \"It broke\", \"code\": 50001}",
            "{\"error\": \"It broke\"}",
            "event: error\ndata: {\"message\": \"It broke\"}\n\n",
            "data: It broke\n\ndata: [DONE]\n\n",
        ] {
            let asked = model.asked().len();
            model.refuse(200, &[("content-type", "text/event-stream")], body);
            let answer = gateway.client().post(&path, json!({"content": "Hello"})).await.expect(200);
            assert_eq!(answer["content"], "You said: Hello", "{body}: it is asked again");
            assert_eq!(model.asked().len(), asked + 2, "{body}");
            assert!(
                gateway.output().says_soon(&[dialect.provider, "It broke"]).await,
                "{body}: it is in the log"
            );
        }
        model.refuse(200, &[("content-type", "application/json")], "{\"status\":\"ok\"}");
        let refused = gateway.client().post(&path, json!({"content": "Hello"})).await;
        let message = refused.error(502, "bad_gateway");
        assert!(message.contains("{\"status\":\"ok\"}") && message.contains("base_url"), "{message}");
        goes_on(&gateway, &path).await;
    }
}

#[tokio::test]
async fn what_one_refuses_another_is_asked() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let (gateway, path) = with(&model, "").await;
        // With nothing before it that could be left out.
        let ask = async || {
            let path = format!("/sessions/{}/messages", gateway.open_session("ada").await);
            gateway.client().post(&path, json!({"content": "Hello"})).await
        };
        for words in ["You said no", "prompt is too long: 214676 tokens > 200000 maximum"] {
            gateway.client().patch("/config", json!({"provider.fallbacks": []})).await.expect(200);
            model.refuse(400, &[], (dialect.refusal)(words));
            let message = ask().await.error(502, "bad_gateway");
            assert!(message.contains(words), "{message}");
            assert!(!words.contains("too long") || message.contains("window, which is 200000"), "{message}");
            let fallbacks = json!({"provider.fallbacks": ["local/local-1"]});
            gateway.client().patch("/config", fallbacks).await.expect(200);
            model.refuse(400, &[], (dialect.refusal)(words));
            let answer = ask().await.expect(200);
            assert!(answer["content"].as_str().unwrap().contains("stand-in"), "{words}: {answer}");
        }
        goes_on(&gateway, &path).await;
        assert_eq!(model.asked().len(), 5, "each is asked once");
    }
}

#[tokio::test]
async fn a_conversation_that_is_too_long_goes_on_with_less_of_it() {
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let (gateway, path) = with(&model, "").await;
        let say = async |text: &str| gateway.client().post(&path, json!({"content": text})).await;
        let refuse = |words: &str| model.refuse(400, &[], (dialect.refusal)(words));
        for name in ["first", "second", "third"] {
            say(&format!("{name} {}", "long ".repeat(1000))).await.expect(200);
        }
        let before = model.asked().len();
        refuse("prompt is too long: 9000 tokens > 6000 maximum");
        assert_eq!(say("Go on").await.expect(200)["content"], "You said: Go on");
        assert_eq!(say("hi").await.expect(200)["content"], "You said: hi", "and it goes on");
        let bodies: Vec<String> =
            model.asked()[before..].iter().map(|asked| asked.body.to_string()).collect();
        assert_eq!(bodies.len(), 4, "it is summarized, and from then on kept below");
        assert!(bodies[0].contains("first long") && bodies[0].contains("third long"));
        assert!(bodies[1].contains("first long") && bodies[1].contains("Summarize the conversation"));
        assert!(
            !bodies[2].contains("first long") && bodies[2].contains("third long"),
            "the oldest is left to the summary: {}",
            bodies[2]
        );
        assert!(bodies[2].contains("<summary>") && bodies[3].contains("<summary>"));
        assert!(bodies[3].len() < bodies[0].len());
        let kept = gateway.client().get(&path).await.expect(200).to_string();
        assert!(kept.contains("first long"), "nothing is lost");

        let before = model.asked().len();
        let huge = format!("huge {}", "long ".repeat(5000));
        (0..12).for_each(|_| refuse("input is too long"));
        let message = say(&huge).await.error(502, "bad_gateway");
        assert!(message.contains("input is too long") && message.contains(".models"), "{message}");
        let asked = model.asked().len() - before;
        assert!((1..=8).contains(&asked), "asked again only with less: {asked}");
        gateway.client().patch("/config", json!({"provider.fallbacks": ["local/local-1"]})).await.expect(200);
        let answer = say(&huge).await.expect(200);
        assert!(answer["content"].as_str().unwrap().contains("stand-in"), "the fallback: {answer}");
        while say("hi").await.expect(200)["content"] != "You said: hi" {}
        assert!(
            !model.asked().pop().unwrap().body.to_string().contains("huge"),
            "it is left out of what follows"
        );
        assert_eq!(model.broken_rules(), Vec::<String>::new());
    }
}
