//! One connection to a server, from `initialize` to its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use rmcp::model::{ClientCapabilities, ClientConfig, ClientRequest, Implementation, PingRequest, Tool};
use rmcp::service::{NotificationContext, Peer, RunningServiceCancellationToken, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::failure;
use super::http::Client;
use super::process::Process;
use super::settings::Target;
use prx_egress::Egress;

/// How long a server may take for what is no work.
const ANSWER: Duration = Duration::from_secs(10);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// A connection on which the server has answered.
pub(super) struct Connection {
    pub(super) peer: Peer<RoleClient>,
    closed: Shared<BoxFuture<'static, ()>>,
    hang_up: RunningServiceCancellationToken,
    process: Option<Process>,
}

/// What the server may say unasked: that its tools are others now.
struct Listener(Arc<Notify>);

impl ClientHandler for Listener {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.notify_one();
    }

    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("prx", env!("CARGO_PKG_VERSION")),
        )
    }
}

impl Connection {
    /// Starts or calls a server and shakes hands. `changed` is told when it says that its tools changed.
    ///
    /// # Errors
    /// There is no such server, or it doesn't behave like one; says why.
    pub(super) async fn open(target: Target, egress: &Egress, changed: Arc<Notify>) -> Result<Self, String> {
        let listener = Listener(changed);
        let (service, process) = match target {
            Target::Program(program) => {
                let (mut process, stdout, stdin) = Process::start(&program)?;
                match listener.serve((stdout, stdin)).await {
                    Ok(service) => (service, Some(process)),
                    Err(error) => {
                        return Err(process.last_words().await.unwrap_or_else(|| failure::greeting(&error)));
                    }
                }
            }
            Target::Site(site) => {
                let config = StreamableHttpClientTransportConfig::with_uri(site.url.clone());
                let client = Client { egress: egress.clone(), site: Arc::new(site) };
                let transport = StreamableHttpClientTransport::with_client(client, config);
                (listener.serve(transport).await.map_err(|error| failure::greeting(&error))?, None)
            }
        };
        let (peer, hang_up) = (service.peer().clone(), service.cancellation_token());
        let closed = service.waiting().map(drop).boxed().shared();
        Ok(Self { peer, closed, hang_up, process })
    }

    /// The tools that the server has now.
    ///
    /// # Errors
    /// It did not say.
    pub(super) async fn tools(&self) -> Result<Vec<Tool>, String> {
        if self.peer.peer_info().is_some_and(|info| info.capabilities.tools.is_none()) {
            return Ok(Vec::new());
        }
        let tools = timeout(ANSWER, self.peer.list_all_tools()).await;
        let tools = tools.map_err(|_| "it did not list its tools in time".to_owned())?;
        tools.map_err(|error| format!("it did not list its tools: {}", failure::request(&error)))
    }

    /// Makes sure that the server still answers.
    ///
    /// # Errors
    /// It doesn't.
    pub(super) async fn probe(&self) -> Result<(), String> {
        let ping = self.peer.send_request(ClientRequest::PingRequest(PingRequest::default()));
        match timeout(ANSWER, ping).await {
            // Whatever it thinks of the question, it is there.
            Ok(Ok(_) | Err(ServiceError::McpError(_) | ServiceError::UnexpectedResponse)) => Ok(()),
            Ok(Err(error)) => Err(failure::request(&error)),
            Err(_) => Err(format!("no answer to a ping within {} s", ANSWER.as_secs())),
        }
    }

    /// Ends when the other side has closed the connection, and says why as far as that is known.
    pub(super) async fn closed(&mut self) -> String {
        self.closed.clone().await;
        let words = match &mut self.process {
            Some(process) => process.last_words().await,
            None => None,
        };
        words.unwrap_or_else(|| "the server closed the connection".into())
    }

    /// Closes the connection and ends the process behind it.
    pub(super) async fn end(self) {
        self.hang_up.cancel();
        let _ = timeout(GOODBYE, self.closed).await;
        if let Some(process) = self.process {
            process.end().await;
        }
    }
}
