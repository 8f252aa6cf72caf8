//! What MCP servers ask a person while they work on a call.
use std::time::Duration;

use prx_tests::client::Answer;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::mcp::{Site, process, text, tools};
use prx_tests::scripted;
use prx_tests::telegram::FakeTelegram;
use prx_tests::wait::until;
use serde_json::{Value, json};
use tokio::time::sleep;

const SERVER: &str = env!("CARGO_BIN_EXE_prx-test-mcp");

/// A question that takes yes or no.
fn sure(message: &str) -> Value {
    json!({"message": message, "requestedSchema": {
        "type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"],
    }})
}

/// One that takes a text.
fn name() -> Value {
    json!({"message": "Who are you?", "requestedSchema": {
        "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"],
    }})
}

/// A server whose only tool, `book`, answers so.
fn book(answers: Value) -> Value {
    json!({"tools/list": [tools(&["book"])], "tools/call": answers})
}

fn over_http(name: &str, site: &Site, more: &str) -> String {
    format!("[mcp_servers.{name}]\nurl = \"{}\"\n{more}\n", site.url())
}

/// A home whose model calls `book` of the server that the message names, and answers `Well.` then.
fn home(config: &str) -> Home {
    let call = |server: &str| json!([{"call": {"name": format!("{server}__book"), "arguments": {"day": 1}}}]);
    let turn = |server: &str| json!({"when": server, "answers": [call(server), [{"text": "Well."}]]});
    scripted::home(&json!([turn("near"), turn("far"), {"answers": [[{"text": "Hm."}]]}]), config)
}

/// A gateway with a server that is a process, by the name of `near`.
async fn start(answers: Value, config: &str) -> Gateway {
    let home = home(config);
    home.append(&process(&home, SERVER, "near", &book(answers), ""));
    let gateway = Gateway::start_in(home).await;
    gateway.mcp_connected("near").await;
    gateway
}

async fn say(gateway: &Gateway, session: &str, text: &str) -> Answer {
    gateway.client().post(&format!("/sessions/{session}/messages"), json!({"content": text})).await
}

async fn questions(gateway: &Gateway, session: &str) -> Vec<Value> {
    let list = gateway.client().get(&format!("/sessions/{session}/approvals")).await.expect(200);
    list["approvals"].as_array().unwrap().clone()
}

/// The question that a session waits for.
async fn question(gateway: &Gateway, session: &str) -> Value {
    until("a question", async || questions(gateway, session).await.first().cloned()).await
}

async fn decide(gateway: &Gateway, session: &str, question: &Value, decision: &str) {
    let path = format!("/sessions/{session}/approvals/{}", question["id"].as_str().unwrap());
    gateway.client().post(&path, json!({"decision": decision})).await.expect(200);
}

/// The result of the last call in a session.
async fn result(gateway: &Gateway, session: &str) -> String {
    let messages = gateway.messages(session).await;
    messages.into_iter().rev().find(|(role, _)| role == "tool").map(|(_, content)| content).unwrap()
}

/// Has a turn call `book`, and answers each question in its order.
async fn answered(gateway: &Gateway, session: &str, text: &str, decisions: &[&str]) -> Vec<Value> {
    let deciding = async {
        let mut asked = Vec::new();
        for decision in decisions {
            let question = question(gateway, session).await;
            decide(gateway, session, &question, decision).await;
            asked.push(question);
        }
        asked
    };
    let (reply, asked) = tokio::join!(say(gateway, session, text), deciding);
    assert_eq!(reply.expect(200)["content"], "Well.");
    asked
}

#[tokio::test]
async fn a_person_answers_what_a_server_asks_and_has_time() {
    let answers = json!([{"ask": [sure("Really?")]}]);
    let site = Site::start(book(answers.clone())).await;
    let config = format!("[tools]\ntimeout_secs = 1\n{}", over_http("far", &site, ""));
    let gateway = start(answers, &config).await;
    gateway.mcp_connected("far").await;
    let capabilities = site.params("initialize")["capabilities"].clone();
    assert_eq!(
        capabilities,
        json!({"elicitation": {"form": {}, "url": {}}}),
        "and neither sampling nor roots"
    );
    for server in ["near", "far"] {
        let session = gateway.open_session("ada").await;
        let (reply, asked) = tokio::join!(say(&gateway, &session, server), async {
            let asked = question(&gateway, &session).await;
            // Longer than a tool may take.
            sleep(Duration::from_millis(1_500)).await;
            decide(&gateway, &session, &asked, "allow").await;
            asked
        });
        assert_eq!(reply.expect(200)["content"], "Well.", "{server}");
        assert_eq!(
            (&asked["tool"], &asked["arguments"]),
            (&json!(format!("{server}.book")), &json!({"day": 1}))
        );
        assert_eq!(asked["elicitation"], json!({"message": "Really?", "content": {"sure": true}}));
        let told = result(&gateway, &session).await;
        assert_eq!(told, r#"[{"action":"accept","content":{"sure":true}}]"#, "{server}");
        // The turn after.
        answered(&gateway, &session, server, &["deny"]).await;
        assert_eq!(result(&gateway, &session).await, r#"[{"action":"decline"}]"#, "{server}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_person_is_asked_on_the_channel_with_buttons_and_words() {
    let telegram = FakeTelegram::start().await;
    let page = json!({"message": "Log in there", "mode": "url", "elicitationId": "7", "url": "https://example.org/`login"});
    let gateway = start(json!([{"ask": [sure("Really?\n**Yes**"), page]}]), &telegram.config(&["*"])).await;
    telegram.write(1, "near");
    let seen = async |words: &'static str, before: usize| {
        let find =
            |t: &FakeTelegram| t.sent().into_iter().skip(before).find(|sent| sent.text.contains(words));
        telegram.until(words, find).await
    };
    let asked = seen("The MCP server near asks", 0).await;
    assert!(asked.text.contains("Really?\n**Yes**"), "as it was written: {asked:?}");
    assert!(asked.text.contains("\"sure\": true"), "{asked:?}");
    telegram.press(1, &asked, "Yes");
    let asked = seen("https://example.org/%60login", 0).await;
    assert!(asked.text.contains("Log in there"), "{asked:?}");
    telegram.write(1, "no");
    seen("Well.", 0).await;
    let session = gateway.sessions("telegram").await[0]["id"].as_str().unwrap().to_owned();
    let told = r#"[{"action":"accept","content":{"sure":true}},{"action":"decline"}]"#;
    assert_eq!(result(&gateway, &session).await, told);
    telegram.write(1, "no");
    seen("Hm.", 0).await;
    assert_eq!(
        gateway.heard("telegram").await,
        ["near", "no"],
        "answers are no messages, until nothing is asked"
    );
    assert_eq!(telegram.broken_rules(), Vec::<String>::new());
}

#[tokio::test]
async fn what_yes_or_no_does_not_answer_is_declined_at_once_and_says_why() {
    let odd = json!({"message": "Sure?", "requestedSchema": {"properties": {"sure": {"type": "boolean", "default": 7}}}});
    let page =
        json!({"message": "Open it", "mode": "url", "elicitationId": "7", "url": "http://example.org/"});
    let colour = json!({"message": "Which?", "requestedSchema": {
        "type": "object", "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}}, "required": ["colour"],
    }});
    let answers = json!([{"ask": [name(), page, colour, odd]}, {"ask": [sure("Now?")]}]);
    let gateway = start(answers, "").await;
    let session = gateway.open_session("ada").await;
    let asked = answered(&gateway, &session, "near", &["allow"]).await;
    assert_eq!(asked[0]["elicitation"]["message"], "Sure?", "an odd form is read as far as it goes");
    let told = result(&gateway, &session).await;
    let lines: Vec<&str> = told.lines().collect();
    let no = r#"{"action":"decline"}"#;
    assert_eq!(lines[0], format!(r#"[{no},{no},{no},{{"action":"accept","content":{{"sure":true}}}}]"#));
    for (line, why) in
        lines[1..].iter().zip(["it wants name filled in", "not reached by https", "it wants colour"])
    {
        assert!(line.contains("declined without asking anybody") && line.contains(why), "{told}");
    }
    assert_eq!(lines.len(), 4, "{told}");
    assert!(gateway.output().says_soon(&["WARN", "mcp::near", "declined", "it wants name filled in"]).await);
    // The turn after.
    answered(&gateway, &session, "near", &["allow"]).await;
    assert!(result(&gateway, &session).await.contains("accept"));

    // Outside of a turn nobody is there.
    let called = gateway.call_tool("near.book", json!({})).await.expect(200);
    let said = called["content"].as_str().unwrap();
    assert!(said.starts_with(&format!("[{no}]")) && said.contains("there is nobody to ask"), "{called}");
}

#[tokio::test]
async fn a_call_has_so_many_questions_one_at_a_time() {
    let many: Vec<Value> = (0..40).map(|n| sure(&format!("Number {n}?"))).collect();
    let gateway = start(json!([{"ask": many, "at_once": true}]), "").await;
    let session = gateway.open_session("ada").await;
    let deciding = async {
        for _ in 0..8 {
            let asked = question(&gateway, &session).await;
            assert_eq!(questions(&gateway, &session).await.len(), 1, "one at a time");
            decide(&gateway, &session, &asked, "allow").await;
        }
    };
    let (reply, ()) = tokio::join!(say(&gateway, &session, "near"), deciding);
    assert_eq!(reply.expect(200)["content"], "Well.");
    let told = result(&gateway, &session).await;
    assert_eq!((told.matches("accept").count(), told.matches(r#"{"action":"decline"}"#).count()), (8, 32));
    assert!(told.contains("a call has 8 questions at most"), "{told}");
}

#[tokio::test]
async fn a_stop_and_the_end_of_a_session_put_the_question_away() {
    let site = Site::start(book(json!([{"ask": [sure("Really?")]}]))).await;
    let home = home(&over_http("far", &site, ""));
    let gateway = Gateway::start_in(home).await;
    gateway.mcp_connected("far").await;
    let session = gateway.open_session("ada").await;
    let (reply, ()) = tokio::join!(say(&gateway, &session, "far"), async {
        question(&gateway, &session).await;
        gateway.client().post(&format!("/sessions/{session}/cancel"), json!({})).await;
    });
    assert_eq!(reply.expect(200)["stopped"], true);
    assert_eq!(questions(&gateway, &session).await, Vec::<Value>::new());
    let cancelled = async |count: usize| {
        until("the server to be told", async || {
            (site.asked("notifications/cancelled") == count).then_some(())
        })
        .await;
    };
    cancelled(1).await;
    // The turn after.
    answered(&gateway, &session, "far", &["allow"]).await;
    assert!(result(&gateway, &session).await.contains("accept"));

    let (reply, ()) = tokio::join!(say(&gateway, &session, "far"), async {
        question(&gateway, &session).await;
        gateway.client().delete(&format!("/sessions/{session}")).await.expect(204);
    });
    assert!(reply.error(409, "conflict").contains("was terminated"));
    cancelled(2).await;
    let session = gateway.open_session("ada").await;
    answered(&gateway, &session, "far", &["deny"]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_question_ends_with_its_time_and_with_its_call() {
    let rash = json!({"ask": [sure("Really?")], "rash": true, "sleep_ms": 1000, "result": text("done anyway")["result"]});
    let gateway = start(json!([rash, {"ask": [sure("Really?")]}]), "[tools]\nask_timeout_secs = 2\n").await;
    let session = gateway.open_session("ada").await;
    let (reply, ()) = tokio::join!(say(&gateway, &session, "near"), async {
        question(&gateway, &session).await;
    });
    assert_eq!(reply.expect(200)["content"], "Well.");
    assert_eq!(result(&gateway, &session).await, "done anyway");
    assert_eq!(questions(&gateway, &session).await, Vec::<Value>::new());
    assert_eq!(say(&gateway, &session, "near").await.expect(200)["content"], "Well.");
    assert_eq!(result(&gateway, &session).await, r#"[{"action":"cancel"}]"#);
}

#[tokio::test]
async fn a_question_goes_to_nobody_whose_call_it_may_not_be_about() {
    let gateway = start(json!([{"ask": [sure("Really?")]}]), "").await;
    let (ada, bob) = (gateway.open_session("ada").await, gateway.open_session("bob").await);
    let (reply, ()) = tokio::join!(say(&gateway, &ada, "near"), async {
        let asked = question(&gateway, &ada).await;
        // Nothing on standard output says to which of two calls a question belongs.
        assert_eq!(say(&gateway, &bob, "near").await.expect(200)["content"], "Well.");
        assert_eq!(result(&gateway, &bob).await, r#"[{"action":"decline"}]"#);
        assert!(gateway.output().says_soon(&["WARN", "mcp::near", "does not say to which it belongs"]).await);
        decide(&gateway, &ada, &asked, "allow").await;
    });
    assert_eq!(reply.expect(200)["content"], "Well.");
    assert!(result(&gateway, &ada).await.contains("accept"));

    let site = Site::start(book(json!([{"ask": [sure("Really?")]}]))).await;
    let gateway = Gateway::start_in(home(&over_http("far", &site, ""))).await;
    gateway.mcp_connected("far").await;
    let (ada, bob) = (gateway.open_session("ada").await, gateway.open_session("bob").await);
    // Over HTTP it stands in the answer to its call.
    let (one, other, ()) = tokio::join!(say(&gateway, &ada, "far"), say(&gateway, &bob, "far"), async {
        let (first, second) = (question(&gateway, &ada).await, question(&gateway, &bob).await);
        decide(&gateway, &bob, &second, "deny").await;
        decide(&gateway, &ada, &first, "allow").await;
    });
    assert_eq!(
        (one.expect(200)["content"].clone(), other.expect(200)["content"].clone()),
        (json!("Well."), json!("Well."))
    );
    assert!(
        result(&gateway, &ada).await.contains("accept") && result(&gateway, &bob).await.contains("decline")
    );
}

#[tokio::test]
async fn a_question_survives_a_stop_and_a_crash_where_the_tool_only_reads() {
    let mut list = tools(&["book"]);
    list["result"]["tools"][0]["annotations"] = json!({"readOnlyHint": true});
    let server = json!({"tools/list": [list], "tools/call": [{"ask": [sure("Really?")]}]});
    let home = home("");
    home.append(&process(&home, SERVER, "near", &server, ""));
    let gateway = Gateway::start_in(home).await;
    gateway.mcp_connected("near").await;
    let session = gateway.open_session("ada").await;
    drop(gateway.client().stream(&format!("/sessions/{session}/messages"), json!({"content": "near"})).await);
    let asked = question(&gateway, &session).await;
    let gateway = gateway.restart().await;
    assert_eq!(asked, question(&gateway, &session).await, "the same question, once");
    let gateway = Gateway::start_in(gateway.kill()).await;
    assert_eq!(asked, question(&gateway, &session).await, "the same question, once");
    decide(&gateway, &session, &asked, "allow").await;
    replied(&gateway, &session).await;
    assert!(result(&gateway, &session).await.contains("accept"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_call_that_may_have_been_made_ends_with_its_question() {
    let gateway = start(json!([{"ask": [sure("Really?")]}]), "").await;
    let session = gateway.open_session("ada").await;
    drop(gateway.client().stream(&format!("/sessions/{session}/messages"), json!({"content": "near"})).await);
    question(&gateway, &session).await;
    let gateway = Gateway::start_in(gateway.kill()).await;
    replied(&gateway, &session).await;
    assert!(result(&gateway, &session).await.contains("outcome of this call is unknown"));
    assert_eq!(questions(&gateway, &session).await, Vec::<Value>::new());
    gateway.stop().await;
}

async fn replied(gateway: &Gateway, session: &str) {
    until("the reply", async || {
        let messages = gateway.messages(session).await;
        messages.last().is_some_and(|(_, content)| content == "Well.").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_result_that_wants_input_is_asked_for_again_with_the_answers() {
    let wants = |question: Value| {
        let question = json!({"method": "elicitation/create", "params": question});
        json!({"result": {"resultType": "input_required", "inputRequests": {"q": question}, "requestState": "s7"}})
    };
    let sample = json!({"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}});
    let sampling = json!({"result": {"resultType": "input_required", "inputRequests": {"q": sample}}});
    let answers = json!([wants(sure("Really?")), {"echo": true}, wants(name()), {"echo": true}, sampling]);
    let gateway = start(answers, "").await;
    let session = gateway.open_session("ada").await;
    answered(&gateway, &session, "near", &["allow"]).await;
    let told: Value = serde_json::from_str(&result(&gateway, &session).await).unwrap();
    assert_eq!(told["inputResponses"], json!({"q": {"action": "accept", "content": {"sure": true}}}));
    assert_eq!((&told["requestState"], &told["arguments"]), (&json!("s7"), &json!({"day": 1})));
    answered(&gateway, &session, "near", &[]).await;
    let told = result(&gateway, &session).await;
    assert!(
        told.contains(r#""inputResponses":{"q":{"action":"decline"}}"#) && told.contains("it wants name"),
        "{told}"
    );
    answered(&gateway, &session, "near", &[]).await;
    assert_eq!(result(&gateway, &session).await, "the tool asks for something that only a person could give");
}

#[tokio::test]
async fn a_refusal_until_a_page_is_opened_is_tried_again_once_it_is() {
    let page = json!({"message": "Log in", "mode": "url", "elicitationId": "7", "url": "http://127.0.0.1:8000/login"});
    let refusal =
        json!({"error": {"code": -32042, "message": "Log in first", "data": {"elicitations": [page]}}});
    let gateway = start(json!([refusal, text("let in"), refusal, text("never said")]), "").await;
    let session = gateway.open_session("ada").await;
    let asked = answered(&gateway, &session, "near", &["allow"]).await;
    let shown = json!({"message": "Log in", "url": "http://127.0.0.1:8000/login"});
    assert_eq!(asked[0]["elicitation"], shown);
    assert_eq!(result(&gateway, &session).await, "let in");
    answered(&gateway, &session, "near", &["deny"]).await;
    assert_eq!(result(&gateway, &session).await, "Log in first");
}

#[tokio::test]
async fn what_another_gateway_asks_a_person_goes_through_this_one() {
    let far = start(json!([text("booked")]), "[tools.policy]\n\"near.*\" = \"ask\"\n").await;
    let token = far.home().run(&["auth", "token", "--scope", "tools:write"]).await;
    let call = json!({"call": {"name": "far__near__book", "arguments": {"day": 1}}});
    let home = scripted::home(&json!([{"answers": [[call], [{"text": "Well."}]]}]), "");
    home.append(&format!(
        "[mcp_servers.far]\nurl = \"http://{}/mcp\"\nheaders = {{ authorization = \"Bearer {}\" }}\n",
        far.address(),
        token.stdout.trim()
    ));
    let gateway = Gateway::start_in(home).await;
    gateway.mcp_connected("far").await;
    let session = gateway.open_session("ada").await;
    for (decision, told) in
        [("allow", "booked"), ("deny", "near.book was not called: the user does not allow it")]
    {
        let asked = answered(&gateway, &session, "go", &[decision]).await;
        let elicitation = &asked[0]["elicitation"];
        let words = elicitation["message"].as_str().unwrap();
        assert!(words.contains("May I call the tool `near.book`") && words.contains("\"day\": 1"), "{words}");
        assert_eq!(elicitation["content"], json!({}));
        assert_eq!(result(&gateway, &session).await, told);
    }
}
