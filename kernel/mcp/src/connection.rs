//! One connection to a server, from `initialize` to its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use rmcp::model::{ClientCapabilities, ClientConfig, ClientRequest, Implementation, PingRequest};
use rmcp::service::{NotificationContext, Peer, RunningServiceCancellationToken, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::failure;
use super::http::Client;
use super::listing::Listing;
use super::process::Process;
use super::settings::Target;
use prx_egress::Egress;

/// How long a server may take to answer a ping or to list its tools.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that has been initialized.
pub(super) struct Connection {
    pub(super) peer: Peer<RoleClient>,
    closed: Shared<BoxFuture<'static, ()>>,
    cancel: RunningServiceCancellationToken,
    process: Option<Process>,
}

/// Handles notifications of the server: that its tools have changed.
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
    /// Starts or calls a server and initializes the connection. `tools_changed` is notified when it says that its tools
    /// changed.
    ///
    /// # Errors
    /// There is no such server, or it doesn't behave like one; says why.
    pub(super) async fn open(
        target: Target,
        egress: &Egress,
        tools_changed: Arc<Notify>,
    ) -> Result<Self, String> {
        let listener = Listener(tools_changed);
        let (service, process) = match target {
            Target::Program(program) => {
                let (mut process, stdout, stdin) = Process::start(&program).await?;
                match listener.serve((stdout, stdin)).await {
                    Ok(service) => (service, Some(process)),
                    Err(error) => {
                        return Err(process
                            .exit_report()
                            .await
                            .unwrap_or_else(|| failure::initialize(&error)));
                    }
                }
            }
            Target::Site(site) => {
                let config = StreamableHttpClientTransportConfig::with_uri(site.url.clone());
                let client = Client { egress: egress.clone(), site: Arc::new(site) };
                let transport = StreamableHttpClientTransport::with_client(client, config);
                (listener.serve(transport).await.map_err(|error| failure::initialize(&error))?, None)
            }
        };
        let (peer, cancel) = (service.peer().clone(), service.cancellation_token());
        let closed = service.waiting().map(drop).boxed().shared();
        Ok(Self { peer, closed, cancel, process })
    }

    /// The tools that the server has now.
    ///
    /// # Errors
    /// It did not say.
    pub(super) async fn tools(&self) -> Result<Listing, String> {
        if self.peer.peer_info().is_some_and(|info| info.capabilities.tools.is_none()) {
            return Ok(Listing::default());
        }
        let tools = timeout(REQUEST_TIMEOUT, Listing::read(&self.peer)).await;
        let tools = tools.map_err(|_| "it did not list its tools in time".to_owned())?;
        tools.map_err(|error| format!("it did not list its tools: {}", failure::request(&error)))
    }

    /// Makes sure that the server still answers.
    ///
    /// # Errors
    /// It doesn't; says how.
    pub(super) async fn ping(&self) -> Result<(), String> {
        let ping = self.peer.send_request(ClientRequest::PingRequest(PingRequest::default()));
        match timeout(REQUEST_TIMEOUT, ping).await {
            // A server that refuses pings is there, too.
            Ok(Ok(_) | Err(ServiceError::McpError(_) | ServiceError::UnexpectedResponse)) => Ok(()),
            Ok(Err(error)) => Err(failure::request(&error)),
            Err(_) => Err(format!("no answer to a ping within {} s", REQUEST_TIMEOUT.as_secs())),
        }
    }

    /// Returns when the other side has closed the connection, with the reason as far as that is known.
    pub(super) async fn closed(&mut self) -> String {
        self.closed.clone().await;
        let report = match &mut self.process {
            Some(process) => process.exit_report().await,
            None => None,
        };
        report.unwrap_or_else(|| "the server closed the connection".into())
    }

    /// Closes the connection and ends the process behind it, each of three steps within a third of `limit`.
    pub(super) async fn close(self, limit: Duration) {
        self.cancel.cancel();
        let _ = timeout(limit / 3, self.closed).await;
        if let Some(process) = self.process {
            process.terminate(limit / 3).await;
        }
    }
}
