//! Logins to servers that want one: OAuth's authorization code with PKCE, begun here and finished by a person in a
//! browser. Tokens are kept in the store, renewed before they expire, and once after they were refused.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tracing::{Instrument, info, warn};
use url::{Url, form_urlencoded};

use super::discovery::{Endpoints, Outside, is_shielded};
use super::settings::Oauth;
use prx_base::clock::Clock;
use prx_base::error::{Error, Result};
use prx_egress::{Egress, Segment};
use prx_store::{McpLogin, McpTokens, OauthClient, PendingLogin, Store};

/// How long a person has to log in.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// How long before its end a token is renewed.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);
/// Longest token, code or id that is taken, in bytes.
const MAX_TOKEN_BYTES: usize = 16 << 10;
/// How much of an authorization server's words is repeated, in characters.
const MAX_SAID_CHARS: usize = 200;

/// The login to one server.
pub(super) struct Login {
    /// The server's name.
    name: String,
    settings: Oauth,
    store: Store,
    clock: Clock,
    outside: Outside,
    /// Held while tokens are asked for, so that a refresh token is used once.
    asking: Mutex<()>,
}

/// Why there is no token.
#[derive(Debug)]
pub(super) enum NoToken {
    /// A person has to log in.
    LoggedOut,
    /// That can't be said now.
    Unknown(String),
}

impl Login {
    pub(super) fn new(name: String, settings: Oauth, store: Store, clock: Clock, egress: Egress) -> Self {
        let outside = Outside::of(egress, &settings.url, settings.issuer.as_deref());
        Self { name, settings, store, clock, outside, asking: Mutex::default() }
    }

    /// A token for a request, renewed if it is about to expire; none where nobody has logged in.
    ///
    /// # Errors
    /// There is none any more.
    pub(super) async fn token(self: &Arc<Self>) -> Result<Option<String>, NoToken> {
        let Some(tokens) = self.kept()?.tokens else { return Ok(None) };
        if !self.is_over(&tokens) {
            return Ok(Some(tokens.access));
        }
        match self.renewed(&tokens.access).await {
            // It is good for a while yet.
            Err(NoToken::Unknown(_)) if tokens.expires_at.is_some_and(|end| end > self.clock.now()) => {
                Ok(Some(tokens.access))
            }
            renewed => renewed.map(Some),
        }
    }

    /// Another token than this one, which was refused or is about to expire.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn renewed(self: &Arc<Self>, refused: &str) -> Result<String, NoToken> {
        let (login, refused) = (self.clone(), refused.to_owned());
        // To its end, even if nobody waits for it any more: a refresh token is used up by asking, and an answer that nobody
        // keeps is a login lost.
        let renewing = tokio::spawn(async move { login.renew(&refused).await }.in_current_span());
        renewing
            .await
            .unwrap_or_else(|panic| Err(NoToken::Unknown(Error::internal(panic).message().to_owned())))
    }

    async fn renew(&self, refused: &str) -> Result<String, NoToken> {
        let _asking = self.asking.lock().await;
        let mut login = self.kept()?;
        let Some(tokens) = login.tokens.take() else { return Err(NoToken::LoggedOut) };
        if tokens.access != refused {
            return Ok(tokens.access);
        }
        let Some(refresh) = &tokens.refresh else {
            return self.end(login, "it has expired, and there was no refresh token").await;
        };
        let form = vec![("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
        match self.ask(&tokens.client, form).await {
            Ok(answer) => {
                let new = self.tokens(&answer, tokens.client.clone(), tokens.refresh.clone());
                let new = new.map_err(NoToken::Unknown)?;
                let access = new.access.clone();
                login.tokens = Some(new);
                self.keep(login).await.map_err(|error| NoToken::Unknown(error.message().to_owned()))?;
                info!("the token is renewed");
                Ok(access)
            }
            Err(Refused::ForGood(why)) => self.end(login, &why).await,
            Err(Refused::Now(why)) => Err(NoToken::Unknown(format!("its token can't be renewed: {why}"))),
        }
    }

    /// Returns once no tokens are asked for: what an authorization server answered is kept.
    pub(super) async fn settled(&self) {
        drop(self.asking.lock().await);
    }

    /// What is to be done about a server that answers 401 with this challenge.
    pub(super) fn wanted(&self) -> String {
        let ended = self.kept().ok().and_then(|login| login.ended);
        let ended = ended.map(|why| format!("; the login before has ended: {why}")).unwrap_or_default();
        format!("needs login: prx mcp login {} (HTTP 401 Unauthorized{ended})", self.name)
    }

    /// Begins a login, and returns the URL that its person opens. Another one that has begun is over.
    ///
    /// # Errors
    /// 400 for a redirect that is none; 409 where a login is not possible.
    pub(super) async fn begin(&self, redirect_uri: &str, challenge: &str) -> Result<String> {
        let redirect = Url::parse(redirect_uri).ok();
        if !redirect.as_ref().is_some_and(|url| is_shielded(url) && url.fragment().is_none()) {
            return Err(Error::bad_request(
                "`redirect_uri` takes an https URL, or an http URL of this machine such as http://127.0.0.1:3121/callback",
            ));
        }
        let fail = |why: String| Error::conflict(format!("no login to {} is possible: {why}", self.name));
        let issuer = self.settings.issuer.as_deref();
        let endpoints = self.outside.discover(&self.settings.url, challenge, issuer).await.map_err(fail)?;
        let client = self.client(&endpoints, redirect_uri).await.map_err(fail)?;
        let (state, verifier) = (random()?, random()?);
        let asked = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut url = Url::parse(&endpoints.authorization)
            .map_err(|error| fail(format!("authorization_endpoint: {error}")))?;
        if !is_shielded(&url) {
            return Err(fail(format!("authorization_endpoint: {url} is not https")));
        }
        let scope = match self.settings.scopes.is_empty() {
            true => endpoints.scope.clone(),
            false => Some(self.settings.scopes.join(" ")),
        };
        let query = [
            ("response_type", "code"),
            ("client_id", client.id.as_str()),
            ("redirect_uri", redirect_uri),
            ("state", state.as_str()),
            ("code_challenge", asked.as_str()),
            ("code_challenge_method", "S256"),
            ("resource", endpoints.resource.as_str()),
        ];
        url.query_pairs_mut().extend_pairs(query).extend_pairs(scope.map(|scope| ("scope", scope)));
        let expires_at = self.clock.now().checked_add(LOGIN_TIMEOUT).map_err(Error::internal)?;
        let redirect_uri = redirect_uri.to_owned();
        let _asking = self.asking.lock().await;
        let mut login = self.kept().map_err(|_| Error::internal("the store can't be read"))?;
        login.pending = Some(PendingLogin { client, state, verifier, redirect_uri, expires_at });
        self.keep(login).await?;
        Ok(url.into())
    }

    /// Finishes a login with the URL that its person was sent to.
    ///
    /// # Errors
    /// 400 where that is no answer to the login that has begun, 409 where none has begun or consent or the code is refused.
    pub(super) async fn complete(&self, redirected: &str) -> Result<()> {
        let again = format!("; begin again with prx mcp login {}", self.name);
        let url = Url::parse(redirected.trim());
        let url = url.map_err(|error| {
            Error::bad_request(format!(
                "`redirect` takes the whole URL that the browser was sent to: {error}"
            ))
        })?;
        let value =
            |key: &str| url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned());
        let _asking = self.asking.lock().await;
        let mut login = self.kept().map_err(|_| Error::internal("the store can't be read"))?;
        let pending = login.pending.take().filter(|pending| pending.expires_at > self.clock.now());
        let Some(pending) = pending else {
            return Err(Error::conflict(format!("no login to {} waits for this{again}", self.name)));
        };
        if value("state").is_none_or(|state| state != pending.state) {
            return Err(Error::bad_request(
                "`redirect` has not the state of the login that waits: it belongs to another one",
            ));
        }
        if value("iss")
            .is_some_and(|iss| iss.trim_end_matches('/') != pending.client.issuer.trim_end_matches('/'))
        {
            return Err(Error::bad_request(
                "`redirect` comes from another authorization server than the one that was asked",
            ));
        }
        // From here on this login is over, whatever comes of it.
        self.keep(login.clone()).await?;
        if let Some(error) = value("error") {
            let about = value("error_description").map(|about| format!(": {about}")).unwrap_or_default();
            return Err(Error::conflict(format!(
                "the login was refused, {}{again}",
                said(&format!("{error}{about}"))
            )));
        }
        let Some(code) = value("code").filter(|code| code.len() <= MAX_TOKEN_BYTES) else {
            return Err(Error::bad_request("`redirect` has neither a code nor an error in it"));
        };
        let form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", pending.redirect_uri.as_str()),
            ("code_verifier", pending.verifier.as_str()),
        ];
        let answer = self.ask(&pending.client, form).await.map_err(|refused| {
            Error::conflict(format!("the code was refused: {}{again}", refused.reason()))
        })?;
        login.tokens = Some(self.tokens(&answer, pending.client, None).map_err(Error::conflict)?);
        login.ended = None;
        self.keep(login).await?;
        info!("logged in");
        Ok(())
    }

    /// Who the gateway is there: as the operator says, or registered anew for this redirect.
    async fn client(&self, endpoints: &Endpoints, redirect_uri: &str) -> Result<OauthClient, String> {
        let mut client = OauthClient {
            issuer: endpoints.issuer.clone(),
            token_endpoint: endpoints.token.clone(),
            resource: endpoints.resource.clone(),
            secret_in_form: endpoints.secret_in_form,
            ..OauthClient::default()
        };
        if let Some(id) = &self.settings.client_id {
            client.id.clone_from(id);
            client.secret = self.settings.client_secret.as_ref().map(|secret| secret.expose().to_owned());
            return Ok(client);
        }
        let name = &self.name;
        let Some(registration) = &endpoints.registration else {
            return Err(format!(
                "{} registers no clients by itself: register one there for {redirect_uri}, and set mcp_servers.{name}.oauth.client_id",
                client.issuer
            ));
        };
        let about = json!({
            "client_name": "PRX", "redirect_uris": [redirect_uri], "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"], "token_endpoint_auth_method": "none",
        });
        let (status, body) = self
            .outside
            .send(
                Method::POST,
                registration,
                json_headers("application/json"),
                about.to_string().into_bytes(),
            )
            .await?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |key: &str| {
            answer
                .get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty() && text.len() <= MAX_TOKEN_BYTES)
                .map(str::to_owned)
        };
        match text("client_id").filter(|_| status.is_success()) {
            Some(id) => client.id = id,
            None => {
                return Err(format!("{} registers no client: {}", client.issuer, refusal(status, &answer)));
            }
        }
        client.secret =
            text("client_secret").filter(|_| text("token_endpoint_auth_method").as_deref() != Some("none"));
        client.secret_in_form = match text("token_endpoint_auth_method").as_deref() {
            Some("client_secret_post") => true,
            Some("client_secret_basic") => false,
            _ => client.secret_in_form,
        };
        Ok(client)
    }

    /// Asks for tokens.
    async fn ask<'a>(
        &self,
        client: &'a OauthClient,
        mut form: Vec<(&'a str, &'a str)>,
    ) -> Result<Value, Refused> {
        let mut headers = json_headers("application/x-www-form-urlencoded");
        form.extend([("client_id", client.id.as_str()), ("resource", client.resource.as_str())]);
        match &client.secret {
            Some(secret) if client.secret_in_form => form.push(("client_secret", secret.as_str())),
            Some(secret) => {
                let encode =
                    |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = STANDARD.encode(format!("{}:{}", encode(&client.id), encode(secret)));
                headers.push((AUTHORIZATION.to_string(), vec![Segment::Text(format!("Basic {pair}"))]));
            }
            None => {}
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let sent = self.outside.send(Method::POST, &client.token_endpoint, headers, body.into_bytes()).await;
        let (status, body) = sent.map_err(Refused::Now)?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() && answer.get("error").is_none() {
            return Ok(answer);
        }
        let why = refusal(status, &answer);
        let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        Err(if passes { Refused::Now(why) } else { Refused::ForGood(why) })
    }

    /// The tokens in an answer. What it does not say of the refresh token stays as it was.
    fn tokens(
        &self,
        answer: &Value,
        client: OauthClient,
        refresh: Option<String>,
    ) -> Result<McpTokens, String> {
        let text = |key: &str| {
            let text = answer.get(key).and_then(Value::as_str);
            text.filter(|text| !text.is_empty() && text.len() <= MAX_TOKEN_BYTES).map(str::to_owned)
        };
        let is_bearer = text("token_type").is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
        let (Some(access), true) = (text("access_token"), is_bearer) else {
            return Err(format!("{} gave no bearer token", client.issuer));
        };
        let fits = access.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(format!("{} gave a token that fits into no header", client.issuer));
        }
        let lasts = answer
            .get("expires_in")
            .and_then(|lasts| lasts.as_f64().or_else(|| lasts.as_str()?.parse().ok()));
        let expires_at = lasts
            .and_then(|secs| Duration::try_from_secs_f64(secs).ok())
            .and_then(|lasts| self.clock.now().checked_add(lasts).ok());
        Ok(McpTokens { client, access, refresh: text("refresh_token").or(refresh), expires_at })
    }

    fn is_over(&self, tokens: &McpTokens) -> bool {
        let soon = self.clock.now().checked_add(RENEWED_BEFORE).unwrap_or(Timestamp::MAX);
        // Of one that can't be renewed the last minute is used, too.
        tokens.refresh.is_some() && tokens.expires_at.is_some_and(|end| end <= soon)
    }

    /// Notes that tokens are good no more.
    async fn end(&self, login: McpLogin, why: &str) -> Result<String, NoToken> {
        warn!("the login has ended: {why}");
        let login = McpLogin { tokens: None, ended: Some(why.to_owned()), ..login };
        self.keep(login).await.map_err(|error| NoToken::Unknown(error.message().to_owned()))?;
        Err(NoToken::LoggedOut)
    }

    /// What is kept of it, if that is for this URL.
    fn kept(&self) -> Result<McpLogin, NoToken> {
        let kept =
            self.store.mcp_login(&self.name).map_err(|error| NoToken::Unknown(error.message().to_owned()))?;
        let fresh = || McpLogin { url: self.settings.url.clone(), ..McpLogin::default() };
        Ok(kept.filter(|login| login.url == self.settings.url).unwrap_or_else(fresh))
    }

    async fn keep(&self, login: McpLogin) -> Result<()> {
        self.store.put_mcp_login(&self.name, login).await
    }
}

/// Why an authorization server gives no tokens.
enum Refused {
    /// Asking again is in vain.
    ForGood(String),
    /// It may later.
    Now(String),
}

impl Refused {
    fn reason(self) -> String {
        match self {
            Self::ForGood(why) | Self::Now(why) => why,
        }
    }
}

fn json_headers(kind: &str) -> Vec<(String, Vec<Segment>)> {
    let header = |name: String, value: &str| (name, vec![Segment::Text(value.to_owned())]);
    vec![header(CONTENT_TYPE.to_string(), kind), header(ACCEPT.to_string(), "application/json")]
}

/// A refusal in its own words.
fn refusal(status: StatusCode, answer: &Value) -> String {
    let text = |key: &str| answer.get(key).and_then(Value::as_str);
    match (text("error"), text("error_description")) {
        (Some(error), Some(about)) => said(&format!("{error}: {about}")),
        (Some(error), None) => said(error),
        _ => format!("HTTP {status}"),
    }
}

fn said(words: &str) -> String {
    prx_base::text::escaped(words).chars().take(MAX_SAID_CHARS).collect()
}

/// 32 random bytes as text.
fn random() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
