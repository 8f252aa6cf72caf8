//! A gateway elsewhere: its API over the network, with a token.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{ACCEPT, AUTHORIZATION, LOCATION};
use hyper::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use super::failure::{Failure, PROTOCOL, UNAVAILABLE};
use super::paths::Elsewhere;
use super::terminal::{printable, warn};
use prx_base::clock::Clock;
use prx_base::config::{Config, Live, Secret};
use prx_egress::{Allowed, Body, Egress, Origin, Policy, Request, ResponseBody, Secrets, Segment, Timeouts};

/// How long a connection may take, and a first answer that shows that this is a gateway: 10 seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a command may take: a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How long nothing of an answer may come, once it has begun: two minutes. Streams of events say something every 15 s.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);
/// The largest answer of what may be no gateway, in bytes.
const MAX_FIRST_ANSWER: u64 = 64 << 10;
/// Needs no token.
const HEALTH: &str = "/api/v1/status/health";

/// A gateway that is reached by a URL.
pub(super) struct Remote {
    /// Without a slash at its end.
    url: String,
    token: Option<Secret>,
    egress: Egress,
    policy: Policy,
    /// Whether it has shown that it is one. Before that it is told no token.
    met: OnceCell<()>,
}

impl Remote {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// What was given is no URL of a gateway, no token, or no certificates.
    pub(super) fn new(url: &str, Elsewhere { token, ca, .. }: &Elsewhere) -> Result<Self, Failure> {
        let wrong = |what: &dyn Display| {
            Failure::usage(format!(
                "--url: {:?} can't be a gateway's ({what}); it is like https://gateway.example.org",
                printable(url, false)
            ))
        };
        let origin = Origin::of_url(url).map_err(|error| wrong(&error))?;
        let parsed = Url::parse(url).map_err(|error| wrong(&error))?;
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(wrong(&"it has more than a path"));
        }
        if !origin.is_https() && !origin.is_inside() {
            warn(&format!("{url} is not encrypted: whoever is on the way can read the token"));
        }
        let mut config = Config::default();
        config.egress.ca_file = ca.clone().unwrap_or_default();
        if let Some(problem) = Egress::problem(&config.egress) {
            return Err(Failure::usage(of_command_line(&problem)));
        }
        let given = token.as_deref().filter(|token| !token.is_empty());
        let token = given.map(Secret::resolve).transpose();
        let token = token.map_err(|why| Failure::usage(format!("--token: {why}")))?;
        let sendable = |token: &Secret| token.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if token.as_ref().is_some_and(|token| !sendable(token)) {
            return Err(Failure::usage("--token: it has characters in it that no token has"));
        }
        let policy = Policy::new(vec![Allowed { origin: origin.into(), private: true }], Secrets::default());
        let egress = Egress::following(Clock::system(), Live::new(config));
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { url, token, egress, policy, met: OnceCell::new() })
    }

    /// Whether it has a token to show.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Sees whether it is a gateway at all, before it is told anything.
    ///
    /// # Errors
    /// It can't be reached, leads elsewhere, or is none.
    pub(super) async fn meet(&self) -> Result<(), Failure> {
        let Self { url, .. } = self;
        let no_gateway = |what: String| {
            Failure::with_code(format!("{url} is no gateway of PRX: {what}; is --url right?"), PROTOCOL)
        };
        let met = async || {
            let answer = self.request(Asked {
                method: Method::GET,
                path: HEALTH,
                headers: vec![(ACCEPT.as_str(), "application/json")],
                body: Bytes::new(),
                longest: CONNECT_TIMEOUT,
                most: MAX_FIRST_ANSWER,
            });
            let answer = answer.await?;
            let status = answer.status();
            if let Some(location) = answer.headers().get(LOCATION).filter(|_| status.is_redirection()) {
                let location = printable(&String::from_utf8_lossy(location.as_bytes()), false);
                let to = location.trim_end_matches(HEALTH);
                let message = format!("{url} leads to {to}; if that is the gateway, name it with --url");
                return Err(Failure::with_code(message, PROTOCOL));
            }
            let body = answer.into_body().collect().await;
            let body = body.map_err(|failure| no_gateway(failure.reason))?.to_bytes();
            let said: Value = serde_json::from_slice(&body).unwrap_or_default();
            match (said["healthy"].is_boolean(), said["error"]["message"].as_str()) {
                (true, _) => Ok(()),
                // It starts.
                (_, Some(_)) if status == StatusCode::SERVICE_UNAVAILABLE => Ok(()),
                (_, Some(message)) if said["error"]["code"].is_string() => {
                    Err(Failure::answered(message, &said["error"]))
                }
                _ => Err(no_gateway(format!("it answers {status}, and not as one does"))),
            }
        };
        self.met.get_or_try_init(met).await.copied()
    }

    /// Sends a request, once this has shown to be a gateway.
    ///
    /// # Errors
    /// No answer comes. One that is a refusal is none.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: Vec<(&str, &str)>,
        body: Bytes,
    ) -> Result<Response<ResponseBody>, Failure> {
        self.meet().await?;
        let bearer = self.token.as_ref().map(|token| format!("Bearer {}", token.expose()));
        let mut headers = headers;
        headers.extend(bearer.as_deref().map(|bearer| (AUTHORIZATION.as_str(), bearer)));
        self.request(Asked { method, path, headers, body, longest: LONGEST, most: u64::MAX }).await
    }

    /// Why an answer is not what it should be.
    pub(super) fn refusal(&self, status: StatusCode, error: &Value) -> Failure {
        match error["message"].as_str() {
            Some(message) if status == StatusCode::UNAUTHORIZED && !self.has_token() => {
                let message = format!("{message}; give a token with --token or PRX_TOKEN");
                Failure::answered(&message, error)
            }
            Some(message) => Failure::answered(message, error),
            None => {
                let message = format!(
                    "{} answers {status}, and not as a gateway of PRX does; is --url right?",
                    self.url
                );
                Failure::with_code(message, PROTOCOL)
            }
        }
    }

    async fn request(&self, asked: Asked<'_>) -> Result<Response<ResponseBody>, Failure> {
        let Asked { method, path, headers, body, longest, most } = asked;
        let text = |text: &str| vec![Segment::Text(text.to_owned())];
        let request = Request {
            method,
            url: text(&format!("{}{path}", self.url)),
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect(),
            body: Body::Segments(if body.is_empty() {
                Vec::new()
            } else {
                vec![Segment::Bytes(body.into())]
            }),
            timeouts: Timeouts {
                connect: CONNECT_TIMEOUT,
                first_byte: longest,
                idle: SILENCE_TIMEOUT.min(longest),
                total: LONGEST,
            },
            max_body: most,
            redirects: 0,
        };
        let answer = self.egress.send(&self.policy, request).await;
        answer.map(prx_egress::Response::into_http).map_err(|failure| {
            let reason = of_command_line(&failure.reason);
            Failure::with_code(format!("the gateway can't be reached: {reason}"), UNAVAILABLE)
        })
    }
}

/// A request, and what is taken of its answer.
struct Asked<'a> {
    method: Method,
    path: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: Bytes,
    /// How long its head may take.
    longest: Duration,
    /// How many bytes of it are taken.
    most: u64,
}

/// What the gateway sets in its configuration stands on the command line here.
fn of_command_line(problem: &str) -> String {
    problem.replace("egress.ca_file", "--ca")
}
