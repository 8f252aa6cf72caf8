//! The older transport over HTTP, of protocol 2024-11-05: one stream of events that brings all messages, and names a URL
//! to post to.

use std::collections::VecDeque;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use rmcp::RoleClient;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::streamable_http_client::{SseError, StreamableHttpError};
use sse_stream::Sse;
use tracing::warn;
use url::Url;

use super::failure;
use super::http::{Client, Headers, events, is_event_stream};
use super::wire;
use prx_egress::Failure;

/// Most events before the one that names the URL.
const MAX_EVENTS_BEFORE: usize = 16;

/// A connection to such a server.
pub(super) struct OldSite {
    /// Posts to the URL that the server named.
    client: Client,
    events: BoxStream<'static, Result<Sse, SseError>>,
    /// Read and not received yet.
    messages: VecDeque<ServerJsonRpcMessage>,
}

impl OldSite {
    /// Opens the stream, and waits until the server has named the URL to post to, which must be at the same origin.
    ///
    /// # Errors
    /// It is no such server; says why.
    pub(super) async fn open(client: &Client) -> Result<Self, String> {
        let headers = Headers::from([(ACCEPT, HeaderValue::from_static("text/event-stream"))]);
        let response =
            client.send(Method::GET, headers, Vec::new()).await.map_err(|error| failure::http(&error))?;
        if !response.status.is_success() || !is_event_stream(&response.headers) {
            return Err(format!("HTTP {}, and no stream of events", response.status));
        }
        let mut events = events(response, None);
        for _ in 0..MAX_EVENTS_BEFORE {
            let event = events
                .next()
                .await
                .ok_or("it ended its stream of events")?
                .map_err(|error| error.to_string())?;
            if event.event.as_deref() != Some("endpoint") {
                continue;
            }
            let url = endpoint(&client.site.url, event.data.as_deref().unwrap_or_default())?;
            return Ok(Self { client: client.at(url), events, messages: VecDeque::new() });
        }
        Err("its stream of events names no endpoint".into())
    }
}

/// The URL to post to, as the server named it.
fn endpoint(site: &str, named: &str) -> Result<String, String> {
    let site = Url::parse(site).map_err(|error| error.to_string())?;
    match site.join(named.trim()) {
        Ok(url) if url.origin() == site.origin() => Ok(url.into()),
        Ok(url) => {
            Err(format!("it wants messages at another origin, {}", url.origin().ascii_serialization()))
        }
        Err(error) => Err(format!("the endpoint it names is no URL: {error}")),
    }
}

impl Transport<RoleClient> for OldSite {
    type Error = StreamableHttpError<Failure>;

    fn send(
        &mut self,
        message: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let client = self.client.clone();
        async move {
            let headers = Headers::from([
                (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (ACCEPT, HeaderValue::from_static("application/json, text/event-stream")),
            ]);
            let response = client.send(Method::POST, headers, serde_json::to_vec(&message)?).await?;
            match response.status {
                status if status.is_success() => Ok(()),
                status => Err(StreamableHttpError::UnexpectedServerResponse(format!("HTTP {status}").into())),
            }
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        while self.messages.is_empty() {
            match self.events.next().await? {
                Ok(event) => {
                    let is_message = event.event.as_deref().is_none_or(|kind| kind == "message");
                    let data = event.data.filter(|data| is_message && !data.trim().is_empty());
                    self.messages.extend(data.iter().flat_map(|data| wire::read(data)));
                }
                Err(error) => {
                    warn!("the stream of events broke off: {error}");
                    return None;
                }
            }
        }
        self.messages.pop_front()
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.events = futures_util::stream::empty().boxed();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_the_same_origin_only() {
        let at = |named: &str| endpoint("https://example.org/a/sse", named);
        assert_eq!(at("/messages?id=1").as_deref(), Ok("https://example.org/messages?id=1"));
        assert_eq!(at("post").as_deref(), Ok("https://example.org/a/post"));
        assert_eq!(
            at("https://evil.org/x"),
            Err("it wants messages at another origin, https://evil.org".into())
        );
        assert!(at("//evil.org/x").is_err() && at("http://example.org/x").is_err());
    }
}
