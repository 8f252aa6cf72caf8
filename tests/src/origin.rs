//! A fake web service: answers every path as it was told and remembers who asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use serde_json::Value;
use tokio::time::sleep;

use crate::server::{Reply, Server, Service};

/// A web service on loopback. Paths it was told nothing about answer 404.
pub struct Origin {
    server: Server,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    pace: Mutex<Duration>,
    answers: Mutex<HashMap<String, Planned>>,
    asked: Mutex<Vec<String>>,
    bodies: Mutex<Vec<(String, Bytes)>>,
    received: Mutex<Vec<String>>,
}

/// What a path was told to answer.
enum Planned {
    Body(Value),
    Redirect(String),
    Echo,
    Reflect,
}

impl Origin {
    /// Starts one.
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        Self { server: Server::start(Arc::clone(&state)).await, state }
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// What a path answers from now on, whatever its query.
    pub fn answer(&self, path: &str, body: Value) {
        self.state.answers.lock().unwrap().insert(path.into(), Planned::Body(body));
    }

    /// A path that sends its caller elsewhere.
    pub fn redirect(&self, path: &str, location: &str) {
        self.state.answers.lock().unwrap().insert(path.into(), Planned::Redirect(location.into()));
    }

    /// A path that answers with everything it was sent: method, URL, headers, body.
    pub fn reflect(&self, path: &str) {
        self.state.answers.lock().unwrap().insert(path.into(), Planned::Reflect);
    }

    /// A path that refuses with 401 and tells its caller every header that came.
    pub fn echo(&self, path: &str) {
        self.state.answers.lock().unwrap().insert(path.into(), Planned::Echo);
    }

    /// How long it takes to answer, once it has heard what it is asked.
    pub fn pace(&self, pause: Duration) {
        *self.state.pace.lock().unwrap() = pause;
    }

    /// Every path and query it was asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }

    /// The last thing that was sent to a path.
    pub fn sent(&self, path: &str) -> Option<Bytes> {
        let bodies = self.state.bodies.lock().unwrap();
        bodies.iter().rev().find(|(to, _)| to == path).map(|(_, body)| body.clone())
    }

    /// Every request whole, in order.
    pub fn received(&self) -> Vec<String> {
        self.state.received.lock().unwrap().clone()
    }
}

impl Service for State {
    async fn answer(&self, request: Request<Bytes>) -> Reply {
        let uri = request.uri();
        self.asked.lock().unwrap().push(uri.to_string());
        self.bodies.lock().unwrap().push((uri.path().to_owned(), request.body().clone()));
        self.received.lock().unwrap().push(format!("{request:?}"));
        let pace = *self.pace.lock().unwrap();
        sleep(pace).await;
        match self.answers.lock().unwrap().get(uri.path()) {
            None => Reply::Json(404, r#"{"error":"no such path"}"#.into()),
            Some(Planned::Body(body)) => Reply::Json(200, body.to_string()),
            Some(Planned::Redirect(location)) => {
                Reply::Headed(302, vec![("location", location.clone())], "{}".into())
            }
            Some(Planned::Echo) => Reply::Json(401, format!("{:?}", request.headers())),
            Some(Planned::Reflect) => {
                let headers = request.headers().values().filter_map(|value| value.to_str().ok());
                let headed = vec![("x-echo", headers.collect::<Vec<_>>().join(" "))];
                Reply::Headed(200, headed, format!("{request:?}"))
            }
        }
    }
}
