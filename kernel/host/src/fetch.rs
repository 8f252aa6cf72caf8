//! Fetches a component from the network: by the gateway's own way out, and only as the one of a digest that is known before.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::LOCATION;

use super::inspect::MAX_BYTES;
use super::load::digest;
use super::registry::Plugins;
use prx_base::error::{Error, Result};
use prx_base::text::hex;
use prx_egress::{Allowed, Body, Origin, Policy, Request, Response, Secrets, Segment, Timeouts};

/// How long it may take in all: five minutes.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;

impl Plugins {
    /// Fetches a component. Public places are asked over https alone; those in the operator's network, and those without
    /// TLS, where `plugins.sources` has their origin. Redirects are followed under the same rules.
    ///
    /// # Errors
    /// `bad_request` for a URL or a digest that is none; `conflict` where it can't be fetched, or is another one.
    pub async fn fetch(&self, url: &str, sha256: &str) -> Result<Bytes> {
        let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_digest {
            let message = format!(
                "`sha256` must be 64 hexadecimal digits, not {sha256:?}: `sha256sum FILE` prints them"
            );
            return Err(Error::bad_request(message));
        }
        let bytes = self.follow(url).await?;
        let (size, found) = (bytes.len(), hex(&digest(bytes.clone()).await?));
        if found == sha256.to_ascii_lowercase() {
            return Ok(bytes);
        }
        let origin = Origin::of_url(url).map_err(|error| Error::bad_request(error.to_string()))?;
        Err(Error::conflict(format!(
            "What {origin} has sent ({size} bytes) has sha256 {found}, and {sha256} was asked for: nothing was installed; ask \
             its author for the digest"
        )))
    }

    async fn follow(&self, url: &str) -> Result<Bytes> {
        let mut url = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.ask(&url).await?;
            if answer.status.is_success() {
                let refused = |failure: prx_egress::Failure| Error::conflict(failure.reason);
                return answer.collect().await.map_err(refused);
            }
            let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
            match location.filter(|_| answer.status.is_redirection()) {
                Some(location) => url = target(&url, location)?,
                None => {
                    let (origin, status) = (origin(&url)?, answer.status);
                    return Err(Error::conflict(format!(
                        "{origin} answered {status} instead of the component"
                    )));
                }
            }
        }
        Err(Error::conflict(format!("{}: more than {MAX_REDIRECTS} redirects", origin(&url)?)))
    }

    /// One request, to a place that may be asked.
    async fn ask(&self, url: &str) -> Result<Response> {
        let origin = origin(url)?;
        let config = self.0.base.config.current();
        let listed =
            config.plugins.sources.iter().any(|source| Origin::parse(source).is_ok_and(|own| own == origin));
        if !listed && !origin.is_https() {
            let message = format!(
                "{origin} is not reached over https; if it is yours, put \"{origin}\" into plugins.sources in prx.toml"
            );
            return Err(Error::conflict(message));
        }
        let policy =
            Policy::new(vec![Allowed { origin: origin.clone().into(), private: listed }], Secrets::default());
        let request = Request {
            method: Method::GET,
            url: vec![Segment::Text(url.to_owned())],
            headers: vec![(
                "accept".to_owned(),
                vec![Segment::Text("application/wasm, */*;q=0.5".to_owned())],
            )],
            body: Body::default(),
            timeouts: Timeouts { total: TIMEOUT, ..Timeouts::default() },
            max_body: MAX_BYTES as u64,
            redirects: 0,
        };
        let answer = self.0.engine.services.egress.send(&policy, request).await;
        answer.map_err(|failure| {
            let hint = match listed {
                true => String::new(),
                false => {
                    format!("; if it lies in your network, put \"{origin}\" into plugins.sources in prx.toml")
                }
            };
            Error::conflict(format!("The component can't be fetched: {}{hint}", failure.reason))
        })
    }
}

fn origin(url: &str) -> Result<Origin> {
    Origin::of_url(url).map_err(|error| Error::bad_request(format!("`url`: {error}")))
}

/// Where a redirect leads.
fn target(from: &str, location: &str) -> Result<String> {
    let origin = origin(from)?;
    let target = match location {
        absolute if absolute.contains("://") => absolute.to_owned(),
        path if path.starts_with('/') && !path.starts_with("//") => format!("{origin}{path}"),
        _ => return Err(Error::conflict(format!("{origin} redirects to something that is no whole URL"))),
    };
    // The fragment is not for the server.
    Ok(target.split('#').next().unwrap_or_default().to_owned())
}
