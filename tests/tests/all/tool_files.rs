//! Files that tools make: kept, shown with the messages they go with, and given to whoever may read those.
use prx_tests::component::Component;
use prx_tests::gateway::{Gateway, Home};
use prx_tests::models::{Dialect, FakeModel};
use prx_tests::scripted;
use prx_tests::wait::until;
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_prx-test-mcp");

/// A gateway with the tool `make`.
async fn started(config: &str) -> Gateway {
    let home = Home::new(config);
    home.place_plugin("making", &Component::of("making").bytes());
    Gateway::start_in(home).await
}

/// The reply to a message that has the stand-in for a model call a tool.
async fn ask(gateway: &Gateway, session: &str, tool: &str, arguments: &Value) -> Value {
    let body = json!({"content": format!("/tool {tool} {arguments}")});
    gateway.client().post(&format!("/sessions/{session}/messages"), body).await.expect(200)
}

/// The last message of a tool in a session.
async fn result(gateway: &Gateway, session: &str) -> Value {
    let list = gateway.client().get(&format!("/sessions/{session}/messages")).await.expect(200);
    list["messages"].as_array().unwrap().iter().rfind(|message| message["role"] == "tool").unwrap().clone()
}

fn files(gateway: &Gateway) -> usize {
    std::fs::read_dir(gateway.home().data().join("blobs")).unwrap().count()
}

#[tokio::test]
async fn a_file_that_a_tool_makes_goes_with_the_reply_and_can_be_had() {
    let gateway = started("").await;
    let session = gateway.open_session("ada").await;
    let file = json!({"name": "tides.csv", "mime": "text/csv", "text": "high,low\n", "times": 300_000});
    let reply = ask(&gateway, &session, "make", &file).await;
    let [attached] = &reply["attachments"].as_array().unwrap()[..] else { panic!("{reply}") };
    let blob = attached["blob"].as_str().unwrap();
    let expected =
        json!({"blob": blob, "kind": "document", "name": "tides.csv", "mime": "text/csv", "size": 2_700_000});
    assert_eq!(attached, &expected);
    assert_eq!(result(&gateway, &session).await["attachments"], reply["attachments"]);

    let path = format!("/blobs/{blob}");
    let answer = gateway.client().get(&path).await;
    assert_eq!((answer.status, answer.body.len()), (200, 2_700_000));
    assert_eq!(answer.body, "high,low\n".repeat(300_000));
    let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/csv");
    assert_eq!(header("content-disposition"), "attachment");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-length"), "2700000");
    gateway.client().get("/blobs/blob_01hzzzzzzzzzzzzzzzzzzzzzzz").await.error(404, "not_found");
    gateway.client().get("/blobs/..%2Fprx.redb").await.error(404, "not_found");
    let writer = gateway.home().run(&["auth", "token", "--scope", "sessions:write"]).await;
    gateway.client().with_token(Some(writer.stdout.trim())).get(&path).await.error(403, "forbidden");

    let gateway = Gateway::start_in(gateway.kill()).await;
    assert_eq!(gateway.client().get(&path).await.body.len(), 2_700_000);
    let called = gateway.call_tool("make", json!({"count": 2})).await.expect(200);
    let [one, two] = &called["attachments"].as_array().unwrap()[..] else { panic!("{called}") };
    assert_ne!(one["blob"], two["blob"]);
    let odd = json!({"name": "../../etc/pa\0ss\r\nX: \u{202e}y"});
    let odd = gateway.call_tool("make", odd).await.expect(200);
    assert_eq!(odd["attachments"][0]["name"], "passX: y", "one part of a path, without what is not seen");
    let text = gateway.client().get(&format!("/blobs/{}", two["blob"].as_str().unwrap())).await;
    assert_eq!(text.body, "some notes");
    gateway.stop().await;
}

#[tokio::test]
async fn a_file_too_large_or_one_too_many_is_refused_and_what_fails_leaves_nothing() {
    let gateway = started("[store]\nblob_max_bytes = 2048\n").await;
    let session = gateway.open_session("ada").await;
    for (file, why) in [
        (json!({"text": "x", "times": 2049}), "A file has 2048 bytes at most"),
        (json!({"count": 17}), "a call makes 16 files at most"),
        (json!({"count": 3, "fail": true}), "the ink is used up"),
    ] {
        let reply = ask(&gateway, &session, "make", &file).await;
        assert_eq!(reply["attachments"], Value::Null, "{reply}");
        let told = result(&gateway, &session).await;
        assert!(told["content"].as_str().unwrap().contains(why), "{told}");
        assert_eq!(files(&gateway), 0, "{told}");
    }
    let reply = ask(&gateway, &session, "make", &json!({"text": "x", "times": 2048, "count": 16})).await;
    assert_eq!(reply["attachments"].as_array().unwrap().len(), 16);
    gateway.stop().await;
}

#[tokio::test]
async fn a_tool_names_no_file_that_is_not_its_own() {
    let gateway = started("").await;
    let (ada, eve) = (gateway.open_session("ada").await, gateway.open_session("eve").await);
    let theirs = ask(&gateway, &ada, "make", &json!({})).await["attachments"][0]["blob"].clone();
    let reply =
        ask(&gateway, &eve, "make", &json!({"name": "own.txt", "also": [theirs, "../prx.redb"]})).await;
    let [own] = &reply["attachments"].as_array().unwrap()[..] else { panic!("{reply}") };
    assert_eq!(own["name"], "own.txt");
    assert_ne!(own["blob"], theirs);
    until("the log to say so", async || {
        let said = ["making", theirs.as_str().unwrap(), "neither made it nor was given it"];
        gateway.output().says(&said).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_picture_from_an_mcp_server_goes_with_the_reply_and_the_model_reads_its_name() {
    let server = format!("[mcp_servers.near]\ncommand = {SERVER:?}\n[store]\nblob_max_bytes = 2048\n");
    let call = |arguments: Value| json!({"call": {"name": "near__draw", "arguments": arguments}});
    let picture = call(json!({"data": "aGFyYm91cg=="}));
    let report = call(json!({"data": "JVBERg==", "uri": "file:///tmp/march.pdf"}));
    let script = json!([{"answers": [
        [picture, report, call(json!({"data": "no base64!"})), call(json!({"data": "eHh4".repeat(1000)}))],
        [{"show": "request"}],
    ]}]);
    let gateway = Gateway::start_in(scripted::home(&script, &server)).await;
    gateway.mcp_connected("near").await;
    let session = gateway.open_session("ada").await;
    let body = json!({"content": "draw"});
    let reply = gateway.client().post(&format!("/sessions/{session}/messages"), body).await.expect(200);

    let request: Value = serde_json::from_str(reply["content"].as_str().unwrap()).unwrap();
    let read: Vec<&str> =
        request["messages"].as_array().unwrap()[2..].iter().map(|m| m["text"].as_str().unwrap()).collect();
    assert_eq!(read[0], "drawn:\n[image.png, image/png, 7 bytes: goes with the answer]");
    assert_eq!(read[1], "drawn:\n[march.pdf, application/octet-stream, 4 bytes: goes with the answer]");
    assert!(read[2].contains("image/png: not kept, it is no valid base64"), "{read:?}");
    assert_eq!(read[3], "drawn:\n[image.png, image/png: not kept, a file has 2048 bytes at most]");
    let [image, pdf] = &reply["attachments"].as_array().unwrap()[..] else { panic!("{reply}") };
    assert_eq!((&image["kind"], &image["mime"]), (&json!("image"), &json!("image/png")));
    assert_eq!((&pdf["kind"], &pdf["name"]), (&json!("document"), &json!("march.pdf")));
    let bytes = gateway.client().get(&format!("/blobs/{}", image["blob"].as_str().unwrap())).await.body;
    assert_eq!(bytes, "harbour");
    gateway.stop().await;
}

#[tokio::test]
async fn a_model_sees_the_picture_that_a_tool_returned() {
    let server = format!("[mcp_servers.near]\ncommand = {SERVER:?}\n");
    for dialect in Dialect::ALL {
        let model = FakeModel::start(dialect).await;
        let gateway = Gateway::start(&model.config(&server)).await;
        gateway.mcp_connected("near").await;
        let session = gateway.open_session("ada").await;
        let path = format!("/sessions/{session}/messages");
        let draw = async || {
            model.answer((dialect.calls)(&[("call_1", "near__draw", json!({"data": "aGFyYm91cg=="}))])).await;
            gateway.client().post(&path, json!({"content": "draw"})).await.expect(200);
            model.asked().pop().unwrap().body["messages"].to_string()
        };
        let seen = draw().await;
        assert_eq!(seen.matches("aGFyYm91cg==").count(), 2, "asked for, and seen: {seen}");
        assert!(seen.contains("[from the tools, not from the user: image.png]"), "{seen}");
        gateway.client().post(&path, json!({"content": "Thanks"})).await.expect(200);
        let later = model.asked().pop().unwrap().body["messages"].to_string();
        assert_eq!(later.matches("aGFyYm91cg==").count(), 2, "what was read once stays the same: {later}");
        if dialect.provider == "openai" {
            gateway
                .client()
                .patch("/config", json!({"providers_config.openai.files": false}))
                .await
                .expect(200);
            let told = draw().await;
            assert!(told.contains("7 bytes, image/png: this model reads text only"), "{told}");
        }
        assert_eq!(model.broken_rules(), Vec::<String>::new());
        gateway.stop().await;
    }
}
