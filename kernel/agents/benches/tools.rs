//! What a call of a tool costs in a gateway with one tool and in a gateway with a thousand: to find and check it, and
//! with the round trip to its MCP server. The server is this program, started again.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::env;
use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use prx_agents::tool::{CallContext, Tools};
use prx_base::Base;
use prx_base::clock::Clock;
use prx_base::config::{Config, Live};
use prx_egress::Egress;
use prx_host::{Bundled, Engine, Filters, Options, Plugins, Services};
use prx_mcp::Mcp;
use prx_store::Store;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, JsonObject,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Numbers of tools that the server has.
const COUNTS: [usize; 2] = [1, 1000];

/// Set for the server: how many tools it has.
const SERVED: &str = "PRX_BENCH_TOOLS";

fn main() {
    match env::var(SERVED) {
        Ok(count) => serve(count.parse().unwrap()),
        Err(_) => divan::main(),
    }
}

struct Home {
    runtime: Runtime,
    tools: Tools,
    /// The last tool of the list.
    name: String,
    arguments: Value,
    _data_dir: TempDir,
}

impl Home {
    fn new(count: usize) -> Self {
        let runtime = Runtime::new().unwrap();
        let data_dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let tools = runtime.block_on(async {
            let tools = tools(data_dir.path(), count).await;
            tools.settled(Duration::from_secs(60)).await;
            tools
        });
        assert_eq!(runtime.block_on(tools.list()).len(), count);
        let (name, arguments) = (format!("near.{}", tool_name(count - 1)), json!({ "city": "Lisbon" }));
        Self { runtime, tools, name, arguments, _data_dir: data_dir }
    }
}

async fn tools(data_dir: &std::path::Path, count: usize) -> Tools {
    let clock = Clock::system();
    let program = json!({ "command": env::current_exe().unwrap(), "env": { SERVED: count.to_string() } });
    let mut config = Config::default();
    config.components.mcp_servers.insert("near".into(), program.as_object().unwrap().clone());
    let config = Live::new(config);
    let store = Store::open(data_dir, clock.clone()).unwrap();
    let events = store.events().clone();
    let egress = Egress::new(clock.clone());
    let services = Services { store: store.clone(), egress: egress.clone(), clock: clock.clone() };
    let base = Base::new(clock, config, events);
    let engine = Engine::new(data_dir, services).unwrap();
    let options = Options { bundled: Bundled::default(), data_dir: data_dir.to_owned(), safe_mode: true };
    let plugins = Plugins::open(base.clone(), store.clone(), engine, options).await.unwrap();
    let servers = Mcp::start(base.clone(), store.clone(), egress);
    let filters = Filters::new(base.clone(), plugins.clone());
    Tools::new(base, store, plugins, servers, filters)
}

#[divan::bench(args = COUNTS)]
fn find_and_check(bencher: Bencher<'_, '_>, count: usize) {
    let home = Home::new(count);
    bencher.bench_local(|| home.runtime.block_on(home.tools.check(&home.name, &home.arguments)).unwrap());
}

#[divan::bench(args = COUNTS)]
fn call(bencher: Bencher<'_, '_>, count: usize) {
    let home = Home::new(count);
    bencher.bench_local(|| {
        let called = home.tools.call(&home.name, home.arguments.clone(), CallContext::default());
        assert!(!home.runtime.block_on(called).unwrap().is_error);
    });
}

/// An MCP server on standard input and output.
struct Server {
    count: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn serve(count: usize) {
    let service = Server { count }.serve((tokio::io::stdin(), tokio::io::stdout())).await;
    service.unwrap().waiting().await.unwrap();
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": { "type": "string", "description": "Name of the city", "minLength": 1 },
                "days": { "type": "integer", "minimum": 1, "maximum": 14 },
            },
            "required": ["city"],
        });
        let schema: Arc<JsonObject> = Arc::new(schema.as_object().unwrap().clone());
        let tool = |n| Tool::new(tool_name(n), "Tells what the weather will be", schema.clone());
        Ok(ListToolsResult::with_all_items((0..self.count).map(tool).collect()))
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let content = vec![ContentBlock::text("sunny")];
        Ok(CallToolResponse::Complete(CallToolResult::success(content)))
    }
}

fn tool_name(n: usize) -> String {
    format!("get_weather_{n:04}")
}
