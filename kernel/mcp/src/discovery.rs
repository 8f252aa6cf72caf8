//! Finds out who gives tokens for an MCP server: RFC 9728 says which authorization server, RFC 8414 or OpenID Connect
//! where its endpoints are.

use bytes::Bytes;
use hyper::header::ACCEPT;
use hyper::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use prx_egress::{Allowed, Body, Egress, Origin, Policy, Request, Segment, Timeouts};

/// Largest document of an authorization server, in bytes.
const MAX_DOCUMENT_BYTES: u64 = 256 << 10;
/// Most redirects that lead to a document.
const MAX_REDIRECTS: u8 = 3;
const PROTECTED_RESOURCE: &str = ".well-known/oauth-protected-resource";
const AUTHORIZATION_SERVER: &str = ".well-known/oauth-authorization-server";
const OPENID: &str = ".well-known/openid-configuration";

/// Asks authorization servers. Those on the host of the MCP server itself, and one that the operator names, may lie inside
/// his network.
#[derive(Clone)]
pub(super) struct Outside {
    pub(super) egress: Egress,
    /// Hosts that may be private.
    pub(super) near: Vec<String>,
}

/// What is known of who gives tokens.
#[derive(Debug)]
pub(super) struct Endpoints {
    pub(super) issuer: String,
    pub(super) authorization: String,
    pub(super) token: String,
    pub(super) registration: Option<String>,
    /// The secret of a client may go into the form, and not into a header.
    pub(super) secret_in_form: bool,
    /// What tokens are to be for.
    pub(super) resource: String,
    /// What to ask for, where somebody says.
    pub(super) scope: Option<String>,
}

impl Outside {
    /// For the server at this URL, whose authorization server may be named by the operator.
    pub(super) fn of(egress: Egress, url: &str, issuer: Option<&str>) -> Self {
        let host = |url: &str| Url::parse(url).ok()?.host_str().map(str::to_owned);
        Self { egress, near: [Some(url), issuer].into_iter().flatten().filter_map(host).collect() }
    }

    /// Sends a request to a URL that a server named.
    ///
    /// # Errors
    /// There is no answer; says why.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: Vec<(String, Vec<Segment>)>,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), String> {
        let parsed = Url::parse(url).map_err(|error| format!("{url}: {error}"))?;
        let host = parsed.host_str().unwrap_or_default();
        if !is_shielded(&parsed) {
            return Err(format!("{url}: a login goes over https only"));
        }
        let origin = Origin::of_url(url).map_err(|problem| format!("{url}: {problem}"))?;
        let private = self.near.iter().any(|near| near == host);
        let policy = Policy::new(vec![Allowed { origin: origin.into(), private }], Default::default());
        let plain = ("accept-encoding".to_owned(), vec![Segment::Text("identity".into())]);
        let redirects = if method == Method::GET { MAX_REDIRECTS } else { 0 };
        let request = Request {
            method,
            url: vec![Segment::Text(url.to_owned())],
            headers: headers.into_iter().chain([plain]).collect(),
            body: Body::Segments(if body.is_empty() { Vec::new() } else { vec![Segment::Bytes(body)] }),
            timeouts: Timeouts::default(),
            max_body: MAX_DOCUMENT_BYTES,
            redirects,
        };
        let response = self.egress.send(&policy, request).await.map_err(|failure| failure.to_string())?;
        let status = response.status;
        Ok((status, response.collect().await.map_err(|failure| failure.to_string())?))
    }

    /// A document of JSON; none if there is none there.
    async fn document(&self, url: &str) -> Result<Option<Value>, String> {
        let accept = (ACCEPT.to_string(), vec![Segment::Text("application/json".into())]);
        let (status, body) = self.send(Method::GET, url, vec![accept], Vec::new()).await?;
        if status.is_server_error() {
            return Err(format!("{url}: HTTP {status}"));
        }
        Ok(serde_json::from_slice(&body)
            .ok()
            .filter(|document: &Value| status.is_success() && document.is_object()))
    }

    /// Who gives tokens for the server at `url`, which has answered 401 with this challenge. `issuer` is who the operator
    /// says.
    ///
    /// # Errors
    /// That can't be found out, or is not to be trusted; says why.
    pub(super) async fn discover(
        &self,
        url: &str,
        challenge: &str,
        issuer: Option<&str>,
    ) -> Result<Endpoints, String> {
        let server = Url::parse(url).map_err(|error| format!("url: {error}"))?;
        let resource = self.resource(&server, challenge).await?;
        let text =
            |key: &str| resource.as_ref().and_then(|resource| resource.get(key)).and_then(Value::as_str);
        let audience = match text("resource") {
            Some(named) if Url::parse(named).is_ok_and(|named| named.origin() == server.origin()) => {
                named.to_owned()
            }
            Some(named) => return Err(format!("its metadata is for another resource: {named}")),
            None => url.to_owned(),
        };
        let named = resource
            .as_ref()
            .and_then(|resource| resource.pointer("/authorization_servers/0"))
            .and_then(Value::as_str);
        let issuer = match issuer.or(named) {
            Some(issuer) => issuer.to_owned(),
            None => server.origin().ascii_serialization(),
        };
        let metadata = self.metadata(&issuer, resource.is_none()).await?;
        let scope =
            parameter(challenge, "scope").or_else(|| words(resource.as_ref()?.get("scopes_supported")?));
        let required = |key: &str| {
            let found = metadata.get(key).and_then(Value::as_str).map(str::to_owned);
            found.ok_or_else(|| format!("the authorization server {issuer} names no {key}"))
        };
        let lists = |key: &str, value: &str| {
            metadata.get(key).and_then(Value::as_array).map(|all| all.iter().any(|item| item == value))
        };
        if lists("code_challenge_methods_supported", "S256") == Some(false) {
            return Err(format!("the authorization server {issuer} knows no PKCE with S256"));
        }
        let offline = lists("scopes_supported", "offline_access") == Some(true);
        let methods = "token_endpoint_auth_methods_supported";
        Ok(Endpoints {
            authorization: required("authorization_endpoint")?,
            token: required("token_endpoint")?,
            registration: metadata.get("registration_endpoint").and_then(Value::as_str).map(str::to_owned),
            secret_in_form: lists(methods, "client_secret_post") == Some(true),
            resource: audience,
            scope: scope.map(|scope| {
                if offline && !scope.contains("offline_access") {
                    format!("{scope} offline_access")
                } else {
                    scope
                }
            }),
            issuer,
        })
    }

    /// What a server says about itself as a resource. Only what lies at its own origin is believed.
    async fn resource(&self, server: &Url, challenge: &str) -> Result<Option<Value>, String> {
        let named = parameter(challenge, "resource_metadata").and_then(|named| server.join(&named).ok());
        let path = server.path().trim_matches('/');
        let wells = [format!("/{PROTECTED_RESOURCE}/{path}"), format!("/{PROTECTED_RESOURCE}")];
        let wells = wells.iter().filter_map(|well| server.join(well.trim_end_matches('/')).ok());
        for url in named.into_iter().filter(|named| named.origin() == server.origin()).chain(wells) {
            if let Some(document) = self.document(url.as_str()).await? {
                return Ok(Some(document));
            }
        }
        Ok(None)
    }

    /// The metadata of an authorization server; where it has none and servers are `older` than that, what was usual.
    async fn metadata(&self, issuer: &str, older: bool) -> Result<Value, String> {
        let base =
            Url::parse(issuer).map_err(|error| format!("the authorization server {issuer}: {error}"))?;
        let path = base.path().trim_matches('/');
        let mut places = vec![format!("/{AUTHORIZATION_SERVER}/{path}"), format!("/{OPENID}/{path}")];
        if !path.is_empty() {
            places.push(format!("/{path}/{OPENID}"));
        }
        for place in places {
            let Ok(url) = base.join(place.trim_end_matches('/')) else { continue };
            let Some(document) = self.document(url.as_str()).await? else { continue };
            let says = document.get("issuer").and_then(Value::as_str).unwrap_or(issuer);
            if says.trim_end_matches('/') != issuer.trim_end_matches('/') {
                return Err(format!("the authorization server {issuer} says that it is {says}"));
            }
            return Ok(document);
        }
        if older {
            let at = |path: &str| base.join(path).map(String::from).unwrap_or_default();
            return Ok(serde_json::json!({
                "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"), "registration_endpoint": at("/register"),
            }));
        }
        Err(format!("the authorization server {issuer} has no metadata"))
    }
}

/// Whether a URL leads to this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether what goes to a URL is read by nobody on its way: over TLS, or within this machine.
pub(super) fn is_shielded(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// A parameter of a challenge such as `Bearer realm="x", scope="a b"`.
pub(super) fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    loop {
        let at = rest.find('=')?;
        let key = rest[..at].rsplit([' ', ',', '\t']).next().unwrap_or_default();
        let after = rest[at + 1..].trim_start();
        let (value, end) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"')?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => {
                let end = after.find([',', ' ']).unwrap_or(after.len());
                (&after[..end], &after[end..])
            }
        };
        if key.eq_ignore_ascii_case(name) {
            return (!value.is_empty()).then(|| value.to_owned());
        }
        rest = end;
    }
}

/// A list of words as one text.
fn words(list: &Value) -> Option<String> {
    let words: Vec<&str> = list.as_array()?.iter().filter_map(Value::as_str).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_as_it_is_written() {
        let said = r#"Bearer realm="a, b=c", error="invalid_token", Resource_Metadata="https://x.org/.well-known/y", scope=read"#;
        assert_eq!(parameter(said, "resource_metadata").as_deref(), Some("https://x.org/.well-known/y"));
        assert_eq!(parameter(said, "scope").as_deref(), Some("read"));
        assert_eq!(parameter(said, "b"), None);
        for odd in ["", "Bearer", "Bearer realm", "Bearer scope=\"", "Bearer scope=", "Basic scope=\"\""] {
            assert_eq!(parameter(odd, "scope"), None, "{odd}");
        }
    }
}
