//! The way of a message to the gateway's own MCP server and back. What a message is, which of them belong together and
//! what a person is asked is decided here; the rest of the protocol is the SDK's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Collected, Full};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use rmcp::model::ErrorCode;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};

use super::server::{Server, not_called, random, refused};
use crate::gateway::Gateway;
use prx_agents::tool::Names;
use prx_base::config::Policy;
use prx_base::error::{Code, Error, Result};
use prx_http::describe::Takes;
use prx_http::{Call, Caller, Doc, Reply, Scope, sse};
use prx_mcp::door::{Answer, Client, Message, Refusal, Running};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

pub(in crate::api) const SERVE: Doc = Doc::new(
    "Speak MCP with the gateway: JSON-RPC over streamable HTTP. `tools/list` needs tools:read or tools:write, `tools/call` \
     tools:write. A tool with the policy `ask` is called once a person has allowed it, whom the client asks (elicitation); \
     where it can't, the tool is not called",
)
.takes(Takes::AnyObject)
.answers::<Value>(&[200, 202, 400, 404, 406])
.or_as("text/event-stream");

/// One message to the gateway as a server. A request ends with its connection, or when its client cancels it.
pub(in crate::api) async fn serve(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let limit = gateway.base.config.current().gateway.max_body_bytes;
    let body = call.body.bytes("application/json", limit).await?;
    let caller = match &call.caller {
        Caller::Token { id, .. } => id.clone(),
        Caller::Owner | Caller::Anyone => String::new(),
    };
    let session = call.headers.get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let client = Client { caller, session };
    match Message::parse(&body) {
        Ok(Message::Request(request)) => answer(gateway, call, client, request).await,
        Ok(Message::Answer(id, result)) => {
            gateway.door.questions().answer(client, &id, result.as_ref());
            Ok(accepted())
        }
        Ok(Message::Cancelled(id)) => {
            gateway.door.cancel(&client, &id);
            Ok(accepted())
        }
        Ok(Message::Notification) => Ok(accepted()),
        Err(refusal) => Reply::json(StatusCode::BAD_REQUEST, &refusal.to_json()),
    }
}

fn accepted() -> Reply {
    let mut response = Response::new(Full::<Bytes>::default());
    *response.status_mut() = StatusCode::ACCEPTED;
    Reply::foreign(response)
}

async fn answer(
    gateway: Arc<Gateway>,
    call: Call,
    client: Client,
    request: prx_mcp::door::Request,
) -> Result<Reply> {
    let Call { caller, headers, hung_up, .. } = call;
    let Some(accepts) = Accepts::of(&headers) else {
        let message =
            "The answer is application/json or text/event-stream, and the Accept header allows neither";
        return Reply::json(StatusCode::NOT_ACCEPTABLE, &Refusal::invalid(request.id, message).to_json());
    };
    let session = match request.method == "initialize" {
        true => Some(Client::new_session(random()?, &Value::Object(request.params.clone()))),
        false => None,
    };
    let running = gateway.door.begin(&client, &request.id);
    let names = gateway.tools.names().await;
    let exchange = Exchange { gateway, caller, client, headers, request, running, names };
    if accepts.events
        && let Some(words) = exchange.question().await
    {
        let clock = exchange.gateway.base.clock.clone();
        return Ok(Reply::events(exchange.ask(&words)?, clock));
    }
    let (status, body) = tokio::select! {
        answered = exchange.answered(false) => answered,
        () = hung_up.cancelled() => return Err(Error::new(Code::Unavailable, "The client has hung up")),
    };
    let reply = match accepts.json || status != StatusCode::OK {
        true => json_reply(status, body),
        false => Reply::events(stream::once(async { message(body) }), exchange.gateway.base.clock.clone()),
    };
    match session.and_then(|session| HeaderValue::from_str(&session).ok()) {
        Some(session) if status == StatusCode::OK => Ok(reply.with(SESSION, session)),
        _ => Ok(reply),
    }
}

fn json_reply(status: StatusCode, body: Bytes) -> Reply {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    Reply::foreign(response)
}

/// A message as an event of a stream.
fn message(data: Bytes) -> sse::Event {
    sse::Event { name: "message", id: None, data }
}

/// In which forms a client takes an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Accepts {
    json: bool,
    events: bool,
}

impl Accepts {
    /// None: in neither. Who says nothing takes both.
    fn of(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(ACCEPT) {
            return Some(Self { json: true, events: true });
        }
        let mut accepts = Self { json: false, events: false };
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in values.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
            let kind = parts.next().unwrap_or_default();
            let is_refused = |part: String| {
                let weight = part.strip_prefix("q=").and_then(|weight| weight.trim().parse().ok());
                weight.is_some_and(|weight: f32| weight <= 0.0)
            };
            if parts.any(is_refused) {
                continue;
            }
            accepts.json |= ["*/*", "application/*", "application/json"].contains(&&*kind);
            accepts.events |= ["*/*", "text/*", "text/event-stream"].contains(&&*kind);
        }
        (accepts.json || accepts.events).then_some(accepts)
    }
}

/// A request that is being answered.
struct Exchange {
    gateway: Arc<Gateway>,
    caller: Caller,
    client: Client,
    headers: HeaderMap,
    request: prx_mcp::door::Request,
    running: Running,
    names: Arc<Names>,
}

impl Exchange {
    /// What a person has to be asked first, within the answer. Whatever else there is to say about the call is said by
    /// the answer itself.
    async fn question(&self) -> Option<String> {
        let params = &self.request.params;
        let asks_by_itself = params.get("_meta").is_some_and(|meta| meta.get(Server::CAPABILITIES).is_some());
        if self.request.method != "tools/call" || !self.client.elicits() || asks_by_itself {
            return None;
        }
        self.caller.require(Scope::TOOLS_WRITE).ok()?;
        let tool = self.names.own(params.get("name")?.as_str()?);
        if self.gateway.base.config.current().tools.policy_of(tool) != Policy::Ask {
            return None;
        }
        let arguments = self.arguments();
        self.gateway.tools.check(tool, &arguments).await.ok()?;
        prx_agents::question(tool, &arguments).ok()
    }

    /// Puts the question, waits for its answer, and makes the call if that is yes.
    fn ask(self, words: &str) -> Result<impl Stream<Item = sse::Event> + Send + 'static> {
        let mut pending = self.gateway.door.questions().put(self.client.clone(), random()?);
        let question = sse::Event::new("message", &pending.request(words));
        let answer = async move {
            let base = &self.gateway.base;
            let timeout = Duration::from_secs(base.config.current().tools.ask_timeout_secs);
            let answer = tokio::select! {
                answer = pending.answered() => answer,
                () = self.running.token().cancelled() => Answer::None,
                () = base.clock.sleep(timeout) => return message(self.refused(&not_within(timeout))),
            };
            match refused(answer) {
                None => message(self.answered(true).await.1),
                Some(why) => message(self.refused(why)),
            }
        };
        Ok(stream::once(async { question }).chain(stream::once(answer)))
    }

    /// The answer of a call that was not allowed.
    fn refused(&self, why: &str) -> Bytes {
        let name = self.request.params.get("name").and_then(Value::as_str).unwrap_or_default();
        let mut result = not_called(self.names.own(name), why);
        // Of later protocols than those that are asked within an answer.
        result.result_type = None;
        json!({"jsonrpc": "2.0", "id": self.request.id, "result": result}).to_string().into()
    }

    /// The answer, always JSON. `allowed`: a person has allowed the call.
    async fn answered(&self, allowed: bool) -> (StatusCode, Bytes) {
        // Host and Origin have been looked at before, and so has the size of the body.
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(usize::MAX)
            .disable_allowed_hosts();
        let arguments = self.arguments();
        let server = Server {
            caller: self.caller.clone(),
            client: self.client.clone(),
            gateway: self.gateway.clone(),
            names: self.names.clone(),
            odd: (!arguments.is_object()).then_some(arguments),
            allowed,
            cancelled: self.running.token().clone(),
        };
        let sessions = Arc::new(NeverSessionManager::default());
        let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
        let (head, body) = service.handle(self.for_sdk()).await.into_parts();
        let Ok(said) = body.collect().await.map(Collected::to_bytes);
        match head.headers.get(CONTENT_TYPE) {
            Some(kind) if kind == JSON => (head.status, said),
            _ => self.failed(head.status, &String::from_utf8_lossy(&said)),
        }
    }

    /// The SDK's refusals in words, as JSON-RPC has them.
    fn failed(&self, status: StatusCode, said: &str) -> (StatusCode, Bytes) {
        let id = self.request.id.clone();
        let refusal = match status.is_client_error() {
            // The message has been read before: what doesn't fit are the parameters.
            true => {
                let message = format!("The parameters of {} don't fit: {said}", self.request.method);
                Refusal::new(id, ErrorCode::INVALID_PARAMS, message)
            }
            false => Refusal::new(id, ErrorCode::INTERNAL_ERROR, said),
        };
        let status = if status.is_client_error() { StatusCode::BAD_REQUEST } else { status };
        (status, refusal.to_json().to_string().into())
    }

    fn arguments(&self) -> Value {
        match self.request.params.get("arguments") {
            None | Some(Value::Null) => json!({}),
            Some(given) => given.clone(),
        }
    }

    /// The request as the SDK takes it. Arguments that are no object it would refuse together with the message.
    fn for_sdk(&self) -> Request<Full<Bytes>> {
        let mut params = self.request.params.clone();
        if params.get("arguments").is_some_and(|arguments| !arguments.is_object()) {
            params.remove("arguments");
        }
        let body =
            json!({"jsonrpc": "2.0", "id": self.request.id, "method": self.request.method, "params": params});
        let mut request = Request::new(Full::new(Bytes::from(body.to_string())));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        request
    }
}

fn not_within(timeout: Duration) -> String {
    format!("the user did not allow it within {timeout:?} (tools.ask_timeout_secs)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_accept_allows_is_read_as_it_is_meant() {
        let both = Some(Accepts { json: true, events: true });
        let (json, events) = (Accepts { json: true, events: false }, Accepts { json: false, events: true });
        for (values, accepts) in [
            (&[][..], both),
            (&["*/*"], both),
            (&["application/json, text/event-stream"], both),
            (&["application/json", "Text/Event-Stream;q=0.5"], both),
            (&["text/html, */*;q=0.1"], both),
            (&["application/json"], Some(json)),
            (&["application/*;charset=utf-8"], Some(json)),
            (&["application/json, text/event-stream;q=0"], Some(json)),
            (&["text/event-stream"], Some(events)),
            (&["text/html"], None),
            (&["*/*;q=0.0"], None),
            (&[""], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(Accepts::of(&headers), accepts, "{values:?}");
        }
    }
}
