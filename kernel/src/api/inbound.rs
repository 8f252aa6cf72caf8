//! What platforms post to their channels.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Response, StatusCode};

use crate::gateway::Gateway;
use prx_base::error::{Code, Error, Result};
use prx_channels::{Webhook, WebhookReply};
use prx_http::describe::Takes;
use prx_http::{Call, Doc, Reply};

/// Headers that are the gateway's own to set.
const OURS: [HeaderName; 7] =
    [CONNECTION, CONTENT_LENGTH, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

pub(super) const ASK: Doc =
    Doc::new("Hand a platform's question to its channel; the answer is the connector's")
        .or_as("*/*")
        .fails(&[Code::Unauthorized, Code::BadGateway, Code::GatewayTimeout]);

pub(super) const RECEIVE: Doc =
    Doc::new("Hand a platform's webhook to its channel; the answer is the connector's, once all is on disk")
        .takes(Takes::File("*/*"))
        .or_as("*/*")
        .fails(&[Code::Unauthorized, Code::BadGateway, Code::GatewayTimeout]);

pub(super) async fn receive(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let name = call.param("channel").to_owned();
    gateway.channels.expects_webhooks(&name)?;
    let body = call.body.raw().await?;
    let value = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let webhook = Webhook {
        method: call.method.to_string(),
        path: call.param("path").to_owned(),
        query: call.query.raw().to_owned(),
        headers: call.headers.iter().map(|(name, text)| (name.to_string(), value(text))).collect(),
        body: body.to_vec(),
    };
    let reply = gateway.channels.receive_webhook(&name, webhook).await?;
    answer(reply)
        .ok_or_else(|| Error::new(Code::BadGateway, "The channel's connector answered with no status"))
}

fn answer(reply: WebhookReply) -> Option<Reply> {
    let status = StatusCode::from_u16(reply.status).ok().filter(|status| !status.is_informational())?;
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = status;
    *response.headers_mut() = headers(reply.headers);
    Some(Reply::foreign(response))
}

/// A header that can't be sent is left out, for the platform waits for the rest.
fn headers(given: Vec<(String, String)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let (name, value) = (HeaderName::try_from(name), HeaderValue::try_from(value));
        if let (Ok(name), Ok(value)) = (name, value)
            && !OURS.contains(&name)
        {
            headers.append(name, value);
        }
    }
    headers
}
