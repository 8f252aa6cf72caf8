//! One connection to a server, from `initialize` to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Shared};
use futures_util::{FutureExt, Sink, Stream, sink, stream};
use rmcp::model::{
    ClientCapabilities, ClientConfig, ClientJsonRpcMessage, ClientRequest, CustomRequest, CustomResult,
    ElicitRequestParams, ElicitResult, ElicitationCapability, ErrorCode, ErrorData,
    FormElicitationCapability, Implementation, ListToolsRequest, PingRequest, ProgressNotificationParam,
    ServerJsonRpcMessage, UrlElicitationCapability,
};
use rmcp::service::{
    InboundStreamOrigin, NotificationContext, Peer, RequestContext, RunningServiceCancellationToken,
    ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::sink_stream::SinkStreamTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::failure;
use super::http::Client;
use super::listing::{Listing, Reader};
use super::login::Login;
use super::old_site::OldSite;
use super::process::{Messages, Process};
use super::requests::{Limit, Traffic, Unanswered};
use super::resources::Offer;
use super::settings::{Target, Wanted};
use prx_egress::Egress;

/// How a server asks a person.
pub(super) const ELICITATION: &str = "elicitation/create";
/// How long a server may take to answer a ping, and how long at least where it is pinged more often.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const MIN_PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that has been initialized.
pub(super) struct Connection {
    pub(super) peer: Peer<RoleClient>,
    traffic: Arc<Traffic>,
    closed: Shared<BoxFuture<'static, ()>>,
    cancel: RunningServiceCancellationToken,
    process: Option<Process>,
}

/// Handles what the server sends by itself: that its tools have changed, that it gets on with a request, and what it asks
/// a person.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) tools_changed: Arc<Notify>,
    pub(super) traffic: Arc<Traffic>,
}

/// Why there is no connection.
pub(super) struct Unopened {
    pub(super) reason: String,
    /// Trying again is in vain until somebody has logged in.
    pub(super) is_for_a_person: bool,
}

impl From<String> for Unopened {
    fn from(reason: String) -> Self {
        Self { reason, is_for_a_person: false }
    }
}

/// Why there is no list of a server's tools.
pub(super) enum Unlisted {
    /// It refuses to list them; says why.
    Refused(String),
    /// It does not answer; says how.
    Lost(String),
}

impl ClientHandler for Listener {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.tools_changed.notify_one();
    }

    async fn on_resource_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.more_come();
    }

    async fn on_prompt_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.more_come();
    }

    async fn on_progress(&self, about: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.traffic.progressed(&about.progress_token);
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let odd = |why: serde_json::Error| ErrorData::internal_error(why.to_string(), None);
        let params = serde_json::to_value(request).map_err(odd)?;
        serde_json::from_value(self.elicit(&params, &context).await).map_err(odd)
    }

    /// What the SDK can't read, a question with an odd form included.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleClient>,
    ) -> Result<CustomResult, ErrorData> {
        if request.method != ELICITATION {
            return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None));
        }
        Ok(CustomResult(self.elicit(&request.params.unwrap_or_default(), &context).await))
    }

    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        let elicitation = ElicitationCapability::new().with_form(FormElicitationCapability::new());
        capabilities.elicitation = Some(elicitation.with_url(UrlElicitationCapability::new()));
        ClientConfig::new(capabilities, Implementation::new("prx", env!("CARGO_PKG_VERSION")))
    }
}

impl Listener {
    /// Resources or prompts have changed, which are listed when they are asked for: tools come only with the first.
    fn more_come(&self) {
        if self.traffic.may_come_first() {
            self.tools_changed.notify_one();
        }
    }

    /// What a question of the server is answered; that it was put away once the server has taken it back.
    async fn elicit(&self, params: &Value, context: &RequestContext<RoleClient>) -> Value {
        let origin = context.extensions.get::<InboundStreamOrigin>();
        tokio::select! {
            answer = self.traffic.calls.elicit(origin, params) => answer,
            () = context.ct.cancelled() => json!({"action": "cancel"}),
        }
    }
}

impl Connection {
    /// Starts or calls a server and initializes the connection.
    ///
    /// # Errors
    /// There is no such server, or it doesn't behave like one; says why.
    pub(super) async fn open(
        target: Target,
        egress: &Egress,
        login: Option<Arc<Login>>,
        listener: Listener,
    ) -> Result<Self, Unopened> {
        let traffic = Arc::clone(&listener.traffic);
        let (service, process) = match target {
            Target::Program(program) => {
                let (mut process, messages, stdin) = Process::start(&program).await?;
                match listener.serve(stdio(messages, stdin)).await {
                    Ok(service) => (service, Some(process)),
                    // Where it is not the server that hangs up, how it ends says nothing.
                    Err(error) if failure::is_closed(&error) => {
                        let report = process.exit_report().await;
                        return Err(report.unwrap_or_else(|| failure::initialize(&error)).into());
                    }
                    Err(error) => return Err(failure::initialize(&error).into()),
                }
            }
            Target::Site(site) => {
                let config = StreamableHttpClientTransportConfig::with_uri(site.url.clone());
                let client = Client::new(egress.clone(), site, login);
                let transport = StreamableHttpClientTransport::with_client(client.clone(), config);
                let served = match listener.clone().serve(transport).await {
                    Err(error) if client.may_be_older() => match OldSite::open(&client).await {
                        Ok(old) => listener.serve(old).await,
                        Err(why) => {
                            let reason = failure::initialize(&error);
                            return Err(format!("{reason}; and as a server of the older kind: {why}").into());
                        }
                    },
                    served => served,
                };
                let service = served.map_err(|error| Unopened {
                    reason: failure::initialize(&error),
                    is_for_a_person: error.auth_challenge().is_some(),
                })?;
                (service, None)
            }
        };
        let (peer, cancel) = (service.peer().clone(), service.cancellation_token());
        let closed = service.waiting().map(drop).boxed().shared();
        Ok(Self { peer, traffic, closed, cancel, process })
    }

    /// The tools that the server has now, and what else can be done with it, as far as they are wanted. One that says that
    /// it has no tools, or knows no such request, has none; one that does not say is asked.
    ///
    /// # Errors
    /// It did not say.
    pub(super) async fn tools(&self, wanted: &Wanted) -> Result<Listing, Unlisted> {
        let info = self.peer.peer_info();
        let may_have_none = info.is_none_or(|info| info.capabilities.tools.is_none());
        let offers = Offer::all(&self.peer, &self.traffic).await;
        let reader =
            match Reader::of(&self.peer, &self.traffic, wanted).await {
                Ok(reader) => reader,
                Err(refusal) if refusal.is_unknown_method() => Reader::new(wanted),
                Err(
                    Unanswered::Failed(ServiceError::McpError(_)) | Unanswered::Silent | Unanswered::Endless,
                ) if may_have_none => Reader::new(wanted),
                Err(Unanswered::Failed(ServiceError::McpError(error))) => {
                    return Err(Unlisted::Refused(format!("it did not list its tools: {}", error.message)));
                }
                Err(Unanswered::Failed(error)) => {
                    let why = failure::request(&error);
                    return Err(Unlisted::Lost(format!("it did not list its tools: {why}")));
                }
                Err(_) => return Err(Unlisted::Lost("it did not list its tools in time".into())),
            };
        Ok(reader.finish(offers))
    }

    /// Makes sure that the server still answers a ping; a refusal is an answer. It has as long as it is until the next
    /// ping, 5 s at least and 10 s at most.
    ///
    /// # Errors
    /// It doesn't; says how.
    pub(super) async fn ping(&self, interval: Duration) -> Result<(), String> {
        let limit = interval.clamp(MIN_PING_TIMEOUT, PING_TIMEOUT);
        let ping = ClientRequest::PingRequest(PingRequest::default());
        match self.traffic.ask(&self.peer, ping, Limit::of(limit)).await {
            Ok(_) | Err(Unanswered::Failed(ServiceError::McpError(_))) => Ok(()),
            Err(Unanswered::Failed(error)) => Err(failure::request(&error)),
            Err(_) => Err(format!("no answer to a ping within {} s", limit.as_secs())),
        }
    }

    /// Makes sure that the server answers anything: that it lists its tools, or refuses to.
    ///
    /// # Errors
    /// It doesn't; says how.
    pub(super) async fn answer(&self) -> Result<(), String> {
        let list = ClientRequest::ListToolsRequest(ListToolsRequest::default());
        match self.traffic.ask(&self.peer, list, Limit::of(PING_TIMEOUT)).await {
            Ok(_) | Err(Unanswered::Failed(ServiceError::McpError(_))) => Ok(()),
            Err(Unanswered::Failed(error)) => Err(failure::request(&error)),
            Err(_) => Err(format!("no answer within {} s", PING_TIMEOUT.as_secs())),
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

    /// Why it is closed, if it is.
    pub(super) async fn closed_already(&mut self) -> Option<String> {
        self.closed.clone().now_or_never()?;
        Some(self.closed().await)
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

/// The messages to and from a process.
fn stdio(
    mut messages: Messages,
    stdin: ChildStdin,
) -> SinkStreamTransport<
    impl Sink<ClientJsonRpcMessage, Error = io::Error> + Send + Unpin + 'static,
    impl Stream<Item = ServerJsonRpcMessage> + Send + Unpin + 'static,
> {
    let write = async |mut stdin: ChildStdin, message: ClientJsonRpcMessage| {
        let mut line = serde_json::to_vec(&message)?;
        line.push(b'\n');
        stdin.write_all(&line).await?;
        stdin.flush().await?;
        Ok(stdin)
    };
    let sink = Box::pin(sink::unfold(stdin, write));
    SinkStreamTransport::new(sink, stream::poll_fn(move |cx| messages.poll_recv(cx)))
}
