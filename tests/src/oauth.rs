//! An authorization server, and an MCP server that takes its tokens only.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::Request;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::mcp::Script;
use crate::server::{Reply, Server, Service};

/// Both, each at an origin of its own.
pub struct Guarded {
    site: Server,
    authority: Server,
    state: Arc<State>,
}

struct State {
    script: Script,
    /// What is different about it.
    plan: Mutex<Plan>,
    /// Taken while it answers one who asks for tokens.
    answering: Semaphore,
    inner: Mutex<Inner>,
}

/// What an authorization server does.
#[derive(Clone)]
pub struct Plan {
    /// It registers clients by itself.
    pub registers: bool,
    /// The person consents.
    pub consents: bool,
    /// Codes are good.
    pub codes: bool,
    /// How long a token is good, in seconds.
    pub lasts: u64,
    /// It answers at all when it is asked for tokens.
    pub answers: bool,
}

#[derive(Default)]
struct Inner {
    authority: String,
    site: String,
    /// Code, challenge, redirect URI and client.
    codes: Vec<(String, String, String, String)>,
    access: Vec<String>,
    refresh: Vec<String>,
    count: usize,
    clients: usize,
    seen: Vec<String>,
}

struct Authority(Arc<State>);
struct Site(Arc<State>);

impl Guarded {
    /// Starts both.
    pub async fn start(answers: Value) -> Self {
        let plan = Plan { registers: true, consents: true, codes: true, lasts: 3600, answers: true };
        let state = Arc::new(State {
            script: Script::new(answers),
            plan: Mutex::new(plan),
            answering: Semaphore::new(1),
            inner: Mutex::default(),
        });
        let site = Server::start(Arc::new(Site(Arc::clone(&state)))).await;
        let authority = Server::start(Arc::new(Authority(Arc::clone(&state)))).await;
        {
            let mut inner = state.inner.lock().unwrap();
            inner.site = format!("http://{}", site.address);
            inner.authority = format!("http://{}", authority.address);
        }
        Self { site, authority, state }
    }

    /// Where the MCP server is.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.site.address)
    }

    /// Where the authorization server is.
    pub fn authority(&self) -> String {
        format!("http://{}", self.authority.address)
    }

    /// Changes what it does.
    pub fn plan(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.state.plan.lock().unwrap());
    }

    /// Whoever asks for tokens waits for the answer until this is dropped.
    pub async fn hold(&self) -> SemaphorePermit<'_> {
        self.state.answering.acquire().await.unwrap()
    }

    /// Makes the tokens for requests invalid, and those for the next ones if it is wanted.
    pub fn revoke(&self, all: bool) {
        let mut inner = self.state.inner.lock().unwrap();
        inner.access.clear();
        if all {
            inner.refresh.clear();
        }
    }

    /// How many tokens it gave.
    pub fn given(&self) -> usize {
        self.state.inner.lock().unwrap().count
    }

    /// The forms that tokens were asked for with.
    pub fn seen(&self) -> Vec<String> {
        self.state.inner.lock().unwrap().seen.clone()
    }

    /// What a person does in a browser who opens this URL: where the browser ends.
    pub fn browse(&self, url: &str) -> String {
        let query = |name: &str| parameter(url.split_once('?').unwrap().1, name);
        assert!(url.starts_with(&format!("{}/authorize?", self.authority())), "{url}");
        assert_eq!((&*query("response_type"), &*query("code_challenge_method")), ("code", "S256"), "{url}");
        assert_eq!(query("resource"), self.url(), "the token is for one server");
        assert_eq!(query("scope"), "tools offline_access", "{url}");
        let (redirect, state) = (query("redirect_uri"), query("state"));
        let mut inner = self.state.inner.lock().unwrap();
        let issuer = inner.authority.replace(':', "%3A").replace('/', "%2F");
        if !self.state.plan.lock().unwrap().consents {
            return format!(
                "{redirect}?error=access_denied&error_description=not+today&state={state}&iss={issuer}"
            );
        }
        let code = format!("code-{}", inner.codes.len());
        inner.codes.push((code.clone(), query("code_challenge"), redirect.clone(), query("client_id")));
        format!("{redirect}?code={code}&state={state}&iss={issuer}")
    }
}

impl Service for Site {
    async fn answer(&self, request: Request<Bytes>) -> Reply {
        let state = &self.0;
        let (site, authority) = {
            let inner = state.inner.lock().unwrap();
            (inner.site.clone(), inner.authority.clone())
        };
        if request.uri().path() == "/.well-known/oauth-protected-resource/mcp" {
            let about = json!({"resource": format!("{site}/mcp"), "authorization_servers": [authority], "scopes_supported": ["tools"]});
            return Reply::Json(200, about.to_string());
        }
        let token = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let known = {
            let inner = state.inner.lock().unwrap();
            token.is_some_and(|token| inner.access.iter().any(|known| token == format!("Bearer {known}")))
        };
        if !known {
            let challenge = format!(
                "Bearer error=\"invalid_token\", resource_metadata=\"{site}/.well-known/oauth-protected-resource/mcp\""
            );
            return Reply::Headed(401, vec![("www-authenticate", challenge)], "{}".into());
        }
        let message = serde_json::from_slice(request.body()).unwrap_or_default();
        match state.script.step(&message) {
            Some(step) => Reply::Json(200, step.line(&[]).unwrap()),
            None => Reply::Json(202, String::new()),
        }
    }
}

impl Service for Authority {
    async fn answer(&self, request: Request<Bytes>) -> Reply {
        let state = &self.0;
        let reply = state.decide(&request);
        if request.uri().path() == "/token" {
            drop(state.answering.acquire().await);
        }
        reply
    }
}

impl State {
    /// What the authority answers. What it takes for good is used up by then.
    fn decide(&self, request: &Request<Bytes>) -> Reply {
        let plan = self.plan.lock().unwrap().clone();
        let mut inner = self.inner.lock().unwrap();
        let here = inner.authority.clone();
        match request.uri().path() {
            "/.well-known/oauth-authorization-server" => {
                let mut about = json!({
                    "issuer": here, "authorization_endpoint": format!("{here}/authorize"), "token_endpoint": format!("{here}/token"),
                    "code_challenge_methods_supported": ["S256"], "scopes_supported": ["tools", "offline_access"],
                });
                if plan.registers {
                    about["registration_endpoint"] = format!("{here}/register").into();
                }
                Reply::Json(200, about.to_string())
            }
            "/register" => {
                inner.clients += 1;
                let asked: Value = serde_json::from_slice(request.body()).unwrap();
                assert_eq!(asked["redirect_uris"].as_array().unwrap().len(), 1, "{asked}");
                Reply::Json(201, json!({"client_id": format!("client-{}", inner.clients)}).to_string())
            }
            "/token" if !plan.answers => Reply::Json(503, "{}".into()),
            "/token" => {
                let form = String::from_utf8_lossy(request.body()).into_owned();
                inner.seen.push(form.clone());
                let field = |name: &str| parameter(&form, name);
                let good = match &*field("grant_type") {
                    "authorization_code" => {
                        let asked = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier").as_bytes()));
                        let known = (field("code"), asked, field("redirect_uri"), field("client_id"));
                        plan.codes && inner.codes.contains(&known)
                    }
                    _ => {
                        let refresh = field("refresh_token");
                        let good = inner.refresh.contains(&refresh);
                        inner.refresh.retain(|known| *known != refresh);
                        good
                    }
                };
                if !good || field("resource") != format!("{}/mcp", inner.site) {
                    return Reply::Json(
                        400,
                        json!({"error": "invalid_grant", "error_description": "it is good no more"})
                            .to_string(),
                    );
                }
                inner.count += 1;
                let (access, refresh) =
                    (format!("canary-access-{}", inner.count), format!("canary-refresh-{}", inner.count));
                inner.access.push(access.clone());
                inner.refresh.push(refresh.clone());
                let answer = json!({"access_token": access, "token_type": "Bearer", "expires_in": plan.lasts, "refresh_token": refresh});
                Reply::Json(200, answer.to_string())
            }
            _ => Reply::Json(404, "{}".into()),
        }
    }
}

/// A value of a query or form.
fn parameter(query: &str, name: &str) -> String {
    let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let text = pair.unwrap_or_default().replace('+', " ");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
