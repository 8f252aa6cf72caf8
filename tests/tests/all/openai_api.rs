//! OpenAI's API, as programs that speak it call the bundled plugin: agents as models, answers whole and as events, tools of the
//! caller's, pictures, sessions that last and that don't.

use bytes::Bytes;
use hyper::Method;
use prx_tests::client::{Answer, Client};
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::scripted;
use prx_tests::wait::until;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CHAT: &str = "/v1/chat/completions";

async fn start(script: &Value) -> Gateway {
    Gateway::start_in(scripted::home(script, "")).await
}

/// A model that says what it was asked, as JSON.
fn mirror() -> Value {
    json!([{"answers": [[{"show": "request"}]]}])
}

async fn post(client: &Client, body: &Value) -> Answer {
    posted(client, &[], body).await
}

async fn posted(client: &Client, headers: &[(&str, &str)], body: &Value) -> Answer {
    let request = client.bare(Method::POST, CHAT).header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    client.send(request, body.to_string().into()).await
}

fn said(messages: &Value) -> Value {
    json!({"model": "default", "messages": messages})
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

/// What the model was asked, from a mirror's answer.
fn asked(answer: &Answer) -> Value {
    let content = answer.expect(200)["choices"][0]["message"]["content"].clone();
    serde_json::from_str(content.as_str().unwrap()).unwrap_or_else(|error| panic!("{error}: {content}"))
}

/// The texts that the model was shown, with who said them.
fn shown(asked: &Value) -> Vec<String> {
    let messages = asked["messages"].as_array().unwrap().iter();
    messages
        .map(|said| format!("{}: {}", said["role"].as_str().unwrap(), said["text"].as_str().unwrap()))
        .collect()
}

fn events(answer: &Answer) -> Vec<Value> {
    assert_eq!(
        (answer.status, &answer.headers["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn content(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn agents_answer_whole_and_as_events() {
    let script = json!([{"answers": [[
        {"thinking": "Hm."}, {"text": "Hello"}, {"text": ", Ada!"}, {"usage": {"input": 11, "output": 4}}
    ]]}]);
    let gateway = start(&script).await;
    let plugin = gateway.plugin("openai-api").await.unwrap();
    assert_eq!((&plugin["status"], &plugin["capabilities"][1]), (&json!("loaded"), &json!("route:/v1")));
    let made =
        gateway.client().post("/auth/tokens", json!({"name": "x", "scopes": ["sessions:write"]})).await;
    let client = gateway.client().with_token(made.expect(201)["token"].as_str());
    for path in ["/v1/models", "/ext/openai-api/v1/models"] {
        let models = client.send(client.bare(Method::GET, path), Bytes::new()).await.expect(200);
        assert_eq!(models["data"][0]["id"], "default", "{models}");
    }
    let body = said(&json!([user("Hi")]));
    let answer = post(&client, &body).await.expect(200);
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello, Ada!");
    assert_eq!(answer["usage"], json!({"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}));

    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    streamed["stream_options"] = json!({"include_usage": true});
    let events = events(&post(&client, &streamed).await);
    assert_eq!(content(&events), "Hello, Ada!");
    assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "stop");
    assert_eq!(events[events.len() - 1]["usage"]["total_tokens"], 15);

    let sessions = gateway.sessions("openai-api").await;
    assert_eq!(sessions.len(), 2, "each has one of its own: {sessions:?}");
    assert!(sessions.iter().all(|session| session["status"] == "terminated"), "{sessions:?}");

    post(&client.with_token(None), &body).await.error(401, "unauthorized");
    let reader =
        gateway.client().post("/auth/tokens", json!({"name": "x", "scopes": ["sessions:read"]})).await;
    let reader = gateway.client().with_token(reader.expect(201)["token"].as_str());
    post(&reader, &body).await.error(403, "forbidden");
    let unknown = post(&client, &json!({"model": "gpt-5", "messages": [user("Hi")]})).await.expect(404);
    assert_eq!(unknown["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn a_provider_that_fails_is_told_as_openai_tells_it() {
    let script = json!([{"answers": [[{"fail": {"message": "no credit left", "code": "quota"}}]]}]);
    let gateway = start(&script).await;
    for stream in [false, true] {
        let answer = post(gateway.client(), &json!({"messages": [user("Hi")], "stream": stream})).await;
        assert!((400..600).contains(&answer.status), "{answer}");
        let error = &answer.json()["error"];
        assert!(error["message"].as_str().unwrap().contains("no credit left"), "{error}");
        assert!(error["type"].is_string() && error.get("param").is_some(), "{error}");
    }
    assert!(gateway.sessions("openai-api").await.iter().all(|session| session["status"] == "terminated"));
}

#[tokio::test]
async fn the_callers_tools_are_called_by_the_caller() {
    let look = json!({"name": "look", "arguments": {"at": "it"}, "id": "call_9"});
    let script = json!([
        {"when": "both", "answers": [
            [{"call": {"name": "hello", "arguments": {"name": "Ada"}}}, {"call": look}], [{"show": "request"}]
        ]},
        {"when": "look", "answers": [[{"text": "I look."}, {"call": look}], [{"show": "request"}]]},
        {"answers": [[{"show": "request"}]]},
    ]);
    let home = scripted::home(&script, "");
    home.place_plugin("hello-tool", &Component::of("prx-hello-tool").bytes());
    let gateway = Gateway::start_in(home).await;
    let tools = json!([{"type": "function", "function": {
        "name": "look", "description": "Looks", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    }}]);
    let with_tools = |messages: Value| json!({"model": "default", "messages": messages, "tools": tools});

    let asked_for = asked(&post(gateway.client(), &with_tools(json!([user("What is there?")]))).await);
    let names: Vec<&str> =
        asked_for["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"look") && names.contains(&"hello"), "{names:?}");

    for word in ["look", "both"] {
        let first = post(gateway.client(), &with_tools(json!([user(word)]))).await.expect(200);
        let choice = &first["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{first}");
        let calls = choice["message"]["tool_calls"].as_array().unwrap();
        assert_eq!((calls.len(), &calls[0]["id"]), (1, &json!("call_9")), "only the caller's own: {first}");
        assert_eq!(calls[0]["function"], json!({"name": "look", "arguments": r#"{"at":"it"}"#}));
        let result = json!({"role": "tool", "tool_call_id": "call_9", "content": "a dot"});
        let back = with_tools(json!([user(word), choice["message"], result]));
        let asked = asked(&post(gateway.client(), &back).await);
        assert_eq!(shown(&asked).last().unwrap(), "tool: a dot", "{asked}");
    }

    // In a session that lasts, only what is new is sent.
    let mut lasting = with_tools(json!([user("look")]));
    lasting["user"] = "ada".into();
    lasting["stream"] = true.into();
    let events = events(&post(gateway.client(), &lasting).await);
    let call = events.iter().find_map(|event| event["choices"][0]["delta"]["tool_calls"].get(0)).unwrap();
    assert_eq!((&call["id"], &call["index"]), (&json!("call_9"), &json!(0)));
    assert_eq!(content(&events), "I look.");
    let mut result = with_tools(json!([{"role": "tool", "tool_call_id": "call_9", "content": "a dot"}]));
    result["user"] = "ada".into();
    let asked = asked(&post(gateway.client(), &result).await);
    assert_eq!(shown(&asked), ["user: look", "assistant: I look.", "tool: a dot"]);
    let again = post(gateway.client(), &result).await.expect(400);
    assert!(again["error"]["message"].as_str().unwrap().contains("nobody has asked for"), "{again}");

    // Whoever never answers a call may go on all the same.
    let mut other = lasting.clone();
    other["user"] = "bob".into();
    other["stream"] = false.into();
    post(gateway.client(), &other).await.expect(200);
    other["messages"] = json!([user("Never mind.")]);
    let asked = self::asked(&post(gateway.client(), &other).await);
    assert!(shown(&asked)[2].starts_with("tool: no result came"), "{asked}");
}

#[tokio::test]
async fn a_session_lasts_for_a_user_or_under_a_name() {
    let gateway = start(&mirror()).await;
    let client = gateway.client();
    let of = |name: &str, messages: Value| json!({"model": "default", "messages": messages, "user": name});
    let whole = json!([
        {"role": "system", "content": "Speak Latin."}, user("A"), {"role": "assistant", "content": "B"}, user("C")
    ]);
    let brief = asked(&post(client, &said(&whole)).await);
    assert_eq!(shown(&brief), ["user: A", "assistant: B", "user: C"]);
    assert!(brief["system"].as_str().unwrap().ends_with("Speak Latin."), "{brief}");

    let first = post(client, &of("ada", json!([user("A")]))).await;
    let reply = first.expect(200)["choices"][0]["message"]["content"].clone();
    let session = first.headers["x-session-id"].to_str().unwrap().to_owned();
    let second = post(client, &of("ada", json!([user("B")]))).await;
    assert_eq!(second.headers["x-session-id"], session.as_str());
    assert_eq!(shown(&asked(&second)).len(), 3, "what is new is enough");
    let reply_2 = second.expect(200)["choices"][0]["message"]["content"].clone();
    let known = json!([
        user("A"), {"role": "assistant", "content": reply}, user("B"), {"role": "assistant", "content": reply_2}, user("C")
    ]);
    let third = post(client, &of("ada", known)).await;
    assert_eq!(third.headers["x-session-id"], session.as_str());
    assert_eq!(shown(&asked(&third)).len(), 5, "what is known is not said twice");
    let other = post(client, &of("ada", whole.clone())).await;
    assert_ne!(other.headers["x-session-id"], session.as_str(), "another conversation of the same user");
    assert_eq!(shown(&asked(&other)), ["user: A", "assistant: B", "user: C"]);
    let bob = post(client, &of("bob", json!([user("A")]))).await;
    assert_eq!(shown(&asked(&bob)), ["user: A"]);

    let named = posted(client, &[("x-session-id", &session)], &said(&json!([user("D")]))).await;
    assert_eq!((&named.headers["x-session-id"], shown(&asked(&named)).len()), (&session.parse().unwrap(), 7));
    let own = posted(client, &[("x-session-id", "mine")], &said(&json!([user("A")]))).await;
    let own_2 = posted(client, &[("x-session-id", "mine")], &said(&json!([user("B")]))).await;
    assert_eq!(own.headers["x-session-id"], own_2.headers["x-session-id"]);
    let made = client.post("/auth/tokens", json!({"name": "x", "scopes": ["sessions:write"]})).await;
    let stranger = client.with_token(made.expect(201)["token"].as_str());
    let theirs = posted(&stranger, &[("x-session-id", "mine")], &said(&json!([user("A")]))).await;
    assert_ne!(theirs.headers["x-session-id"], own.headers["x-session-id"], "a name is its caller's own");
    let none = posted(client, &[("x-session-id", "sess_none")], &said(&json!([user("A")]))).await;
    assert_eq!(none.status, 400);

    client.delete(&format!("/sessions/{session}")).await.expect(204);
    let next = post(client, &of("ada", json!([user("E")]))).await;
    next.expect(200);
    assert_ne!(next.headers["x-session-id"], session.as_str(), "one goes on where the other has ended");
    let gateway = gateway.restart().await;
    let after = post(gateway.client(), &of("bob", json!([user("B")]))).await.expect(200);
    assert!(after["choices"][0]["message"]["content"].as_str().unwrap().contains("B"));
}

#[tokio::test]
async fn pictures_reach_the_model() {
    let gateway = start(&mirror()).await;
    let picture =
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8=", "detail": "low"}});
    let parts = json!([{"type": "text", "text": "What is it?"}, picture]);
    let answer = post(gateway.client(), &said(&json!([{"role": "user", "content": parts}]))).await;
    let file = &asked(&answer)["messages"][0]["attachments"][0];
    assert_eq!(
        (&file["kind"], &file["mime"], &file["size"]),
        (&json!("attachmentkind::image"), &json!("image/png"), &json!(5))
    );
    let far = json!([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]);
    let refused = post(gateway.client(), &said(&json!([{"role": "user", "content": far}]))).await.expect(400);
    assert_eq!(refused["error"]["param"], "messages[0].content[0].image_url.url");
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_the_turn() {
    let script = json!([
        {"when": "count", "answers": [[{"repeat": {"text": "and on ", "times": 3000, "every_ms": 20}}]]},
        {"answers": [[{"show": "request"}]]},
    ]);
    let gateway = start(&script).await;
    for user in [json!(null), json!("ada")] {
        let body = json!({"messages": [self::user("count")], "stream": true, "user": user}).to_string();
        let token = gateway.home().run(&["auth", "token"]).await.stdout;
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
            token.trim(),
            body.len()
        );
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut read = String::new();
        while !read.contains("and on") {
            let mut piece = [0; 1024];
            let length = stream.read(&mut piece).await.unwrap();
            assert!(length > 0, "{read}");
            read.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        drop(stream);
    }
    until("both turns to be over", async || {
        let sessions = gateway.sessions("openai-api").await;
        let mut over = 0;
        for session in &sessions {
            let messages = gateway.messages(session["id"].as_str().unwrap()).await;
            over += usize::from(session["status"] == "terminated" || messages.len() == 2);
        }
        (over == 2).then_some(())
    })
    .await;
    let next = post(gateway.client(), &json!({"messages": [user("and now?")], "user": "ada"})).await;
    assert_eq!(shown(&asked(&next)).last().unwrap(), "user: and now?", "the session goes on");
}

/// The shapes in which two programs that people chat with send their requests, taken from their sources.
#[tokio::test]
async fn the_requests_of_programs_for_people_are_answered() {
    let gateway = start(&mirror()).await;
    let open_webui = json!({
        "stream": true,
        "model": "default",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,aGVsbG8="}},
            ]},
        ],
        "stream_options": {"include_usage": true},
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 256,
    });
    let headers = [
        ("http-referer", "https://openwebui.com/"),
        ("x-title", "Open WebUI"),
        ("x-openwebui-user-name", "Ada"),
        ("x-openwebui-user-id", "b2c5"),
    ];
    let answered = events(&posted(gateway.client(), &headers, &open_webui).await);
    let asked: Value = serde_json::from_str(&content(&answered)).unwrap();
    assert_eq!(
        (&asked["options"]["temperature"], &asked["options"]["max_tokens"]),
        (&json!(0.7), &json!(256))
    );
    assert!(answered.last().unwrap()["usage"]["total_tokens"].is_u64());
    // It asks for a title beside the chat.
    let title = json!({
        "model": "default",
        "messages": [{"role": "user", "content": "### Task:\nGenerate a concise, 3-5 word title."}],
        "stream": false,
        "max_completion_tokens": 1000,
    });
    assert_eq!(post(gateway.client(), &title).await.status, 200);

    let libre_chat = json!({
        "model": "default",
        "user": "6553f2c4a1b2c3d4e5f60718",
        "temperature": 1,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "stream": true,
        "stream_options": {"include_usage": true},
        "messages": [
            {"role": "system", "content": "Instructions:\nBe brief."},
            {"role": "user", "content": "Hi"},
        ],
    });
    let idempotent = [("x-stainless-lang", "js"), ("idempotency-key", "stainless-node-retry-1")];
    let first = events(&posted(gateway.client(), &idempotent, &libre_chat).await);
    let mut second = libre_chat.clone();
    let more = [json!({"role": "assistant", "content": content(&first)}), user("And now?")];
    second["messages"].as_array_mut().unwrap().extend(more);
    let asked: Value =
        serde_json::from_str(&content(&events(&posted(gateway.client(), &[], &second).await))).unwrap();
    assert_eq!(shown(&asked).len(), 3, "it goes on where it was: {asked}");
}

#[tokio::test]
async fn turns_are_a_grant_that_can_be_taken_back() {
    let home = Home::new("[grants.openai-api]\nroutes = [\"/v1\"]\nturns = false\n");
    let gateway = Gateway::start_in(home).await;
    let failed = gateway.plugin("openai-api").await.unwrap();
    assert!(failed["error"].as_str().unwrap().contains("turns = true"), "{failed}");
    assert_eq!(post(gateway.client(), &said(&json!([user("Hi")]))).await.status, 404);
}
