//! A small MCP server on its standard input and output, for the gateway to call.
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a server of tests fails by panicking, and logs"
)]

use std::io::{BufRead, Write, stdin, stdout};
use std::process::{Command, id};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;

use prx_tests::mcp::{Script, Step};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, JsonObject,
    ListToolsResult, PaginatedRequestParams, RequestId, ResourceContents, ServerCapabilities, ServerConfig,
    Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};

/// Grows a further tool when it is asked to.
#[derive(Default)]
struct Server {
    grown: AtomicBool,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tool_list_changed();
        ServerConfig::new(capabilities.build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut names =
            vec!["echo", "env", "fail", "pid", "spawn", "grow", "flood", "garble", "wait", "draw"];
        if self.grown.load(Ordering::SeqCst) {
            names.push("grown");
        }
        Ok(ListToolsResult::with_all_items(names.into_iter().map(tool).chain(further()).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let argument = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        let text = match &*request.name {
            "echo" => {
                let mut result = CallToolResult::success(vec![
                    ContentBlock::text("you said"),
                    ContentBlock::text(argument("text")),
                ]);
                result.structured_content = Some(json!({"text": argument("text")}));
                return Ok(CallToolResponse::Complete(result));
            }
            "draw" => {
                let file = match &*argument("uri") {
                    "" => ContentBlock::image(argument("data"), "image/png"),
                    uri => ContentBlock::resource(ResourceContents::blob(argument("data"), uri)),
                };
                let content = vec![ContentBlock::text("drawn:"), file];
                return Ok(CallToolResponse::Complete(CallToolResult::success(content)));
            }
            "fail" => {
                let sorry = vec![ContentBlock::text("can't be done")];
                return Ok(CallToolResponse::Complete(CallToolResult::error(sorry)));
            }
            "env" => std::env::var(argument("name")).unwrap_or_else(|_| "not set".into()),
            "pid" => id().to_string(),
            "flood" => "é".repeat(10 << 20),
            "garble" => {
                garble(&context.id);
                std::future::pending().await
            }
            "wait" => {
                eprintln!("a call waits");
                context.ct.cancelled().await;
                eprintln!("the call is cancelled");
                std::future::pending().await
            }
            "spawn" => Command::new("sleep").arg("1000").spawn().expect("sleep").id().to_string(),
            "grow" => {
                self.grown.store(true, Ordering::SeqCst);
                context.peer.notify_tool_list_changed().await.expect("the gateway listens");
                "grown".into()
            }
            other if further().iter().any(|tool| tool.name == other) => format!("{other} was called"),
            other => return Err(ErrorData::invalid_params(format!("there is no {other}"), None)),
        };
        Ok(CallToolResponse::Complete(CallToolResult::success(vec![ContentBlock::text(text)])))
    }
}

/// Answers by hand: with a line that is no message, and one that is not UTF-8.
fn garble(id: &RequestId) {
    let answer =
        json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": "caf?"}]}});
    let mut bytes = format!("Debug: garbling\n{answer}\n").into_bytes();
    bytes.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xe9);
    stdout().write_all(&bytes).and_then(|()| stdout().flush()).expect("the gateway reads");
}

fn tool(name: &'static str) -> Tool {
    let schema: JsonObject = [("type".to_owned(), json!("object"))].into_iter().collect();
    let hints = ToolAnnotations::new().read_only(name == "echo");
    Tool::new(name, format!("Does {name}"), Arc::new(schema)).with_annotations(hints)
}

/// The tools in the file that is named in `TOOLS`, whatever they are.
fn further() -> Vec<Tool> {
    let Ok(file) = std::env::var("TOOLS") else { return Vec::new() };
    let list = std::fs::read(file).expect("a file of tools");
    serde_json::from_slice(&list).expect("a list of tools")
}

fn say(line: &str) {
    let mut out = stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).expect("the gateway reads");
}

/// Answers as a script says, one request after the other; those with questions side by side with the rest.
fn play(script: &Arc<Script>) {
    for line in stdin().lock().lines() {
        let message = serde_json::from_str(&line.expect("text")).expect("JSON");
        let Some(step) = script.step(&message) else { continue };
        if step.questions().0.is_empty() {
            perform(script, &step);
        } else {
            let script = Arc::clone(script);
            std::thread::spawn(move || perform(&script, &step));
        }
    }
}

fn perform(script: &Script, step: &Step) {
    for (after, message) in &step.before {
        sleep(*after);
        say(&message.to_string());
    }
    let (questions, at_once) = step.questions();
    let (mut waiting, mut answers) = (Vec::new(), Vec::new());
    for params in &questions {
        let (request, answer) = script.question(params);
        say(&request.to_string());
        waiting.push(answer);
        if !at_once && step.waits() {
            answers.extend(waiting.pop().and_then(|mut answer| answer.blocking_recv()));
        }
    }
    for mut answer in waiting.into_iter().filter(|_| step.waits()) {
        answers.extend(answer.blocking_recv());
    }
    sleep(step.wait);
    if let Some(line) = step.line(&answers) {
        say(&line);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Ok(script) = std::env::var("SCRIPT") {
        return play(&Arc::new(Script::read(&script)));
    }
    let token = std::env::var("TOKEN").unwrap_or_default();
    eprintln!("hello from the server, token {token}");
    let service = Server::default().serve((tokio::io::stdin(), tokio::io::stdout())).await;
    let ended = service.expect("the gateway shakes hands").waiting().await;
    ended.expect("it ends");
}
