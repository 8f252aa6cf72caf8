//! `prx plugin test --request`

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Request};
use serde_json::{Map, Value, json};

use crate::cli::failure::Failure;
use crate::cli::output::{Console, fields};
use prx_host::{DryRun, Scope};

/// Has the routes of a component answer a request of the gateway's owner, and shows what they answer.
pub(super) async fn ask(
    console: &Console,
    dry_run: &DryRun,
    request: &str,
    body: String,
) -> Result<(), Failure> {
    let generation = &dry_run.generation;
    let wrong =
        || Failure::new(format!("--request takes a method and a path, such as \"GET /\", not {request:?}"));
    let (method, path) = request.trim().split_once(' ').ok_or_else(wrong)?;
    let body = Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {});
    let mut asked = Request::new(body);
    *asked.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| wrong())?;
    *asked.uri_mut() = path.trim().parse().ok().filter(|_| path.trim().starts_with('/')).ok_or_else(wrong)?;
    let prefix = HeaderValue::from_str(&format!("/ext/{}", generation.name())).map_err(Failure::new)?;
    asked.headers_mut().extend([
        (HOST, HeaderValue::from_static("localhost")),
        ("x-prx-caller".parse().map_err(Failure::new)?, HeaderValue::from_static("owner")),
        ("x-prx-scopes".parse().map_err(Failure::new)?, HeaderValue::from_static("admin")),
        ("x-forwarded-prefix".parse().map_err(Failure::new)?, prefix),
    ]);
    let answer = generation.code.serve(asked, Scope::default(), |_| {}).await;
    let (head, body) = answer.map_err(|error| Failure::new(format!("{request}: {error}")))?.into_parts();
    let body = body.collect().await.map_err(|error| Failure::new(format!("{request}: {error}")))?.to_bytes();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: Map<String, Value> =
        head.headers.iter().map(|(name, value)| (name.to_string(), text(value).into())).collect();
    let body = String::from_utf8_lossy(&body);
    console.show(&json!({"status": head.status.as_u16(), "headers": headers, "body": body}), fields)
}
