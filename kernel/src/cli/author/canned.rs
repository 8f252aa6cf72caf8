//! A server that answers what stands in a file, for what a component calls while it is tried.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cli::failure::Failure;
use crate::cli::output::note;

/// What one request is answered with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(default = "success")]
    status: u16,
    /// A text as it is, anything else as JSON.
    #[serde(default)]
    body: Value,
}

/// The server, on a free port of this machine, until it is dropped.
pub(super) struct Canned {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Canned {
    pub(super) async fn start(file: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(file).map_err(|error| Failure::about(file, &error))?;
        let mut answers: Vec<Answer> = serde_json::from_str(&text).map_err(|error| {
            let why = format!("takes a JSON list of {{\"status\": 200, \"body\": …}}: {error}");
            Failure::about(file, &why)
        })?;
        answers.reverse();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let answers = Arc::new(Mutex::new(answers));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answers = Arc::clone(&answers);
                let service = service_fn(move |request| {
                    let answer = answers.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    std::future::ready(Ok::<_, Infallible>(answered(&request, answer)))
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, task })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answered<B>(request: &Request<B>, answer: Option<Answer>) -> Response<Full<Bytes>> {
    note(&format!("it asks: {} {}", request.method(), request.uri()));
    let (status, body) = match answer {
        Some(Answer { status, body: Value::String(text) }) => (status, text),
        Some(Answer { status, body }) => (status, body.to_string()),
        None => (404, "there is no further answer in the file".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status.try_into().unwrap_or_default();
    response
}

fn success() -> u16 {
    200
}
