//! Resources and prompts of MCP servers, as tools.

use prx_tests::gateway::{Gateway, Home};
use prx_tests::mcp::{Site, process, text, tools};
use prx_tests::wait::until;
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_prx-test-mcp");

/// A server with resources and prompts, that answers this besides.
fn shelf(more: &Value) -> Value {
    let mut script = json!({
        "initialize": [{"result": {
            "protocolVersion": "2025-06-18", "capabilities": {"resources": {}, "prompts": {}},
            "serverInfo": {"name": "shelf", "version": "1"},
        }}],
        "resources/list": [
            {"result": {"resources": [{"uri": "book://1", "name": "one", "mimeType": "text/plain", "_meta": {"x": 1}}], "nextCursor": "b"}},
            {"result": {"resources": [{"uri": "book://1", "name": "one", "mimeType": "text/plain", "_meta": {"x": 1}}], "nextCursor": "b"}},
            {"result": {"resources": [{"uri": "book://2", "name": "two", "description": "The second", "icons": []}, {"name": 7}]}},
        ],
        "resources/templates/list": [{"result": {"resourceTemplates": [{"uriTemplate": "book://{n}", "name": "any"}]}}],
        "resources/read": [{"result": {"contents": [
            {"uri": "book://1", "mimeType": "text/plain", "text": "Once upon a time"},
            {"uri": "book://1/cover.pdf", "mimeType": "application/pdf", "blob": "JVBERg=="},
        ]}}],
        "prompts/list": [{"result": {"prompts": [{"name": "greet", "arguments": [{"name": "who", "required": true}]}]}}],
        "prompts/get": [{"result": {"description": "x", "messages": [
            {"role": "user", "content": {"type": "text", "text": "Greet Ada."}},
            {"role": "assistant", "content": {"type": "image", "mimeType": "image/png", "data": "AA=="}},
        ]}}],
    });
    script.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    script
}

async fn said(gateway: &Gateway, tool: &str, arguments: Value) -> Value {
    gateway.call_tool(tool, arguments).await.expect(200)
}

async fn listed(gateway: &Gateway, server: &str) -> Value {
    gateway.mcp_connected(server).await["tools"].clone()
}

#[tokio::test]
async fn resources_and_prompts_are_tools_beside_those_of_the_server() {
    let home = Home::new("");
    let site = Site::start(shelf(&json!({}))).await;
    let near = shelf(&json!({"tools/list": [tools(&["sort"])], "tools/call": [text("sorted")]}));
    home.configure(&format!(
        "{}[mcp_servers.far]\nurl = \"{}\"\n[tools.policy]\n\"far.read_resource\" = \"deny\"\n",
        process(&home, SERVER, "near", &near, ""),
        site.url()
    ));
    let gateway = Gateway::start_in(home).await;
    let offered = ["list_resources", "read_resource", "list_prompts", "get_prompt"];
    assert_eq!(listed(&gateway, "far").await, json!(offered), "a server need not have tools of its own");
    assert_eq!(listed(&gateway, "near").await, json!([&["sort"], &offered[..]].concat()));
    let all = gateway.client().get("/tools").await.expect(200);
    let read =
        all["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "near.read_resource").unwrap();
    assert_eq!((&read["source"], &read["read_only"]), (&json!("mcp:near"), &json!(true)));
    gateway.call_tool("far.read_resource", json!({"uri": "book://1"})).await.error(403, "forbidden");

    for server in ["near", "far"] {
        let list = said(&gateway, &format!("{server}.list_resources"), json!({})).await;
        let lines = [
            r#"{"mimeType":"text/plain","name":"one","uri":"book://1"}"#,
            r#"{"description":"The second","name":"two","uri":"book://2"}"#,
            r#"{"name":7}"#,
            r#"{"name":"any","uriTemplate":"book://{n}"}"#,
        ];
        let told = list["content"].as_str().unwrap();
        for line in lines {
            assert!(told.lines().any(|told| told == line), "{told}");
        }
        assert_eq!(told.lines().count(), lines.len(), "{told}");
        assert_eq!(list["structured"]["resourceTemplates"][0]["name"], "any", "{list}");
        let prompts = said(&gateway, &format!("{server}.list_prompts"), json!({})).await;
        assert_eq!(prompts["content"], r#"{"arguments":[{"name":"who","required":true}],"name":"greet"}"#);
        let ada = json!({"name": "greet", "arguments": {"who": "Ada"}});
        let prompt = said(&gateway, &format!("{server}.get_prompt"), ada).await;
        let told = prompt["content"].as_str().unwrap();
        assert!(told.starts_with("user:\nGreet Ada.\nassistant:\n[image.png, image/png, 1 bytes"), "{told}");
        assert_eq!(prompt["attachments"].as_array().unwrap().len(), 1);
    }
    assert_eq!(site.params("prompts/get")["arguments"], json!({"who": "Ada"}));
    let book = said(&gateway, "near.read_resource", json!({"uri": "book://1"})).await;
    assert_eq!(
        book["content"],
        "Once upon a time\n[cover.pdf, application/pdf, 4 bytes: goes with the answer]"
    );
    let file = &book["attachments"][0];
    assert_eq!((&file["name"], &file["size"]), (&json!("cover.pdf"), &json!(4)));
    let wrong = gateway.call_tool("near.get_prompt", json!({"name": "greet", "arguments": {"who": 7}})).await;
    wrong.error(400, "bad_request");
    gateway.call_tool("near.read_resource", json!({})).await.error(400, "bad_request");
    assert_eq!(said(&gateway, "near.sort", json!({})).await["content"], "sorted");
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_server_lists_and_refuses_has_bounds_and_its_own_tools_come_first() {
    let home = Home::new("");
    let own = json!({"tools/list": [tools(&["read_resource"])], "tools/call": [text("its own")]});
    let refused = json!({"error": {"code": -32002, "message": "there is no such book"}});
    let many: Vec<Value> = (0..300).map(|n| json!({"uri": format!("book://{n}"), "name": "x"})).collect();
    let endless = json!({
        "resources/list": [{"result": {"resources": [{"uri": "book://1"}], "nextCursor": "again"}}],
        "resources/templates/list": [{"error": {"code": -32601, "message": "unknown"}}],
        "resources/read": [refused], "prompts/list": [{"result": {"prompts": many}}],
    });
    let modest = json!({
        "resources/list": [{"result": {"resources": [{"uri": "book://1"}]}}, {"result": {"resources": null}}],
        "resources/templates/list": [{"error": {"code": -32601, "message": "unknown"}}],
        "prompts/list": [{"result": {"prompts": [{"name": "greet"}]}}, {"silent": true}],
    });
    home.configure(&format!(
        "{}{}{}",
        process(&home, SERVER, "own", &shelf(&own), "tools = [\"*_resource\", \"list_prompts\"]"),
        process(&home, SERVER, "endless", &shelf(&endless), ""),
        process(&home, SERVER, "modest", &shelf(&modest), "timeout_secs = 1"),
    ));
    let gateway = Gateway::start_in(home).await;
    assert_eq!(listed(&gateway, "own").await, json!(["read_resource", "list_prompts"]));
    assert_eq!(said(&gateway, "own.read_resource", json!({})).await["content"], "its own");
    gateway.call_tool("own.get_prompt", json!({"name": "greet"})).await.error(404, "not_found");

    listed(&gateway, "endless").await;
    let list = said(&gateway, "endless.list_resources", json!({})).await;
    let told = list["content"].as_str().unwrap();
    assert!(told.ends_with("\n[there are more, which are left out]") && told.lines().count() <= 3, "{told}");
    let prompts = said(&gateway, "endless.list_prompts", json!({})).await;
    assert_eq!(prompts["content"].as_str().unwrap().lines().count(), 257, "and the line that there are more");
    let refused = said(&gateway, "endless.read_resource", json!({"uri": "book://9"})).await;
    assert_eq!(refused, json!({"content": "there is no such book", "is_error": true}));

    listed(&gateway, "modest").await;
    assert_eq!(said(&gateway, "modest.list_resources", json!({})).await["content"], "there are none");
    let silent = said(&gateway, "modest.list_prompts", json!({})).await;
    assert!(silent["content"].as_str().unwrap().contains("did not answer within 1s"), "{silent}");
    // The call after.
    assert_eq!(said(&gateway, "modest.list_resources", json!({})).await["content"], "there are none");
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_has_none_offers_none_until_the_first_comes() {
    let home = Home::new("");
    let none = json!({"result": {"resources": [], "prompts": [], "resourceTemplates": []}});
    let come = json!({"result": {"resources": [{"uri": "book://1", "name": "one"}]}});
    let script = shelf(&json!({
        "tools/list": [tools(&["print"])], "resources/list": [none, come], "resources/templates/list": [none],
        "prompts/list": [none],
        "tools/call": [{"notify": ["notifications/resources/list_changed"], "result": text("printed")["result"]}],
    }));
    home.configure(&process(&home, SERVER, "press", &script, ""));
    let gateway = Gateway::start_in(home).await;
    assert_eq!(listed(&gateway, "press").await, json!(["print"]));
    assert_eq!(said(&gateway, "press.print", json!({})).await["content"], "printed");
    let offered = json!(["print", "list_resources", "read_resource"]);
    until("the first resource to be seen", async || {
        (listed(&gateway, "press").await == offered).then_some(())
    })
    .await;
    let list = said(&gateway, "press.list_resources", json!({})).await;
    assert_eq!(list["content"], r#"{"name":"one","uri":"book://1"}"#);
}
