//! HTTP proxies: which one a request goes through, and the tunnel that it makes.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::{Host, Url};

use super::origin::Origin;

/// What is set where the environment's proxies are not to be used.
const DIRECT: &str = "direct";
/// The longest head of a proxy's answer, in bytes.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// Places of `NO_PROXY` that are looked at.
const MAX_EXCEPTIONS: usize = 1_000;

/// The proxies that there are, and what goes through none.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    exceptions: Vec<Exception>,
}

/// One HTTP proxy, named by the operator.
pub(super) struct Proxy {
    host: Host<String>,
    port: u16,
    /// What its `Proxy-Authorization` is, where its URL names a user.
    authorization: Option<HeaderValue>,
}

/// Somewhere that is reached without a proxy.
#[derive(Debug)]
struct Exception {
    place: Place,
    port: Option<u16>,
}

#[derive(Debug)]
enum Place {
    Everywhere,
    /// A name and all below it.
    Name(String),
    Net(IpNet),
}

impl Proxies {
    /// The proxies that `egress.proxy` names; where that is empty, those of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
    /// `NO_PROXY`, in capital letters or small ones.
    pub(super) fn read(setting: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let variable = |name: &str| {
            let given = environment(&name.to_lowercase()).or_else(|| environment(name));
            given.filter(|value| !value.trim().is_empty())
        };
        let from_environment = |names: [&'static str; 2]| {
            let found = names.into_iter().find_map(|name| Some((name, variable(name)?)));
            found.map(|(name, url)| Proxy::parse(name, &url).map(Arc::new)).transpose()
        };
        let (http, https) = match setting.trim() {
            DIRECT => return Ok(Self::default()),
            "" => (from_environment(["HTTP_PROXY", "ALL_PROXY"])?, from_environment(["HTTPS_PROXY", "ALL_PROXY"])?),
            url => {
                let proxy = Arc::new(Proxy::parse("egress.proxy", url)?);
                (Some(proxy.clone()), Some(proxy))
            }
        };
        let exceptions = variable("NO_PROXY").unwrap_or_default();
        let exceptions = exceptions.split([',', ' ']).filter_map(Exception::parse).take(MAX_EXCEPTIONS);
        Ok(Self { http, https, exceptions: exceptions.collect() })
    }

    /// The proxy for an origin. What is on this machine is reached without one.
    pub(super) fn of(&self, origin: &Origin) -> Option<&Arc<Proxy>> {
        let proxy = if origin.is_https() { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !is_here(origin) && !self.exceptions.iter().any(|place| place.has(origin)))
    }
}

impl Proxy {
    /// Reads a URL; `name` is where it stands. Nothing of it is repeated, for it may hold a password.
    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let wanted = |what: &str| format!("{name} {what}; it must be http://host:port or http://user:password@host:port");
        let text = text.trim();
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&whole).map_err(|_| wanted("is no URL"))?;
        if url.scheme() != "http" {
            let scheme = url.scheme();
            return Err(wanted(&format!("has the scheme {scheme}, which is not served")));
        }
        let host = url.host().ok_or_else(|| wanted("names no host"))?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port > 0).ok_or_else(|| wanted("names no port"))?;
        let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let authorization = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let pair = [decoded(url.username()), decoded(url.password().unwrap_or_default())].join(&b':');
            let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Ok(Self { host, port, authorization: authorization.flatten() })
    }

    pub(super) fn host(&self) -> &Host<String> {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Has the proxy open a tunnel to an origin. The stream is the origin's from then on.
    pub(super) async fn tunnel(&self, stream: &mut TcpStream, origin: &Origin) -> Result<(), String> {
        let target = format!("{}:{}", origin.host(), origin.port());
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend(b"Proxy-Authorization: ");
            request.extend(authorization.as_bytes());
            request.extend(b"\r\n");
        }
        request.extend(b"\r\n");
        stream.write_all(&request).await.map_err(|error| format!("{self}: {error}"))?;
        // A byte at a time: what follows the head is the origin's.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() == MAX_HEAD_BYTES {
                return Err(format!("{self} answers with a head that has no end"));
            }
            head.push(stream.read_u8().await.map_err(|error| format!("{self} hung up: {error}"))?);
        }
        let line = String::from_utf8_lossy(&head);
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.get(..3)?.parse().ok());
        match status {
            Some(200..=299) => Ok(()),
            Some(status) => Err(self.refusal(status)),
            None => Err(format!("{self} is no HTTP proxy")),
        }
    }

    /// What there is to say of a proxy's answer that is not the origin's.
    pub(super) fn refusal(&self, status: u16) -> String {
        match status {
            407 => format!("{self} wants a user and a password: egress.proxy = \"http://user:password@host:port\""),
            status => format!("{self} lets nobody through there: it answered {status}"),
        }
    }
}

/// Without its user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Exception {
    /// One entry of `NO_PROXY`: a name, an address, a net such as `10.0.0.0/8`, or `*`; with a port or without.
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_ascii_lowercase();
        let whole = |place| Some(Self { place, port: None });
        let net = |text: &str| {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            bare.parse::<IpNet>().ok().or_else(|| bare.parse::<IpAddr>().ok().map(IpNet::from))
        };
        match entry.as_str() {
            "" => return None,
            "*" => return whole(Place::Everywhere),
            _ => {}
        }
        if let Some(net) = net(&entry) {
            return whole(Place::Net(net));
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (entry.as_str(), None),
        };
        let name = name.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
        let place = net(name).map_or_else(|| Place::Name(name.to_owned()), Place::Net);
        (!name.is_empty()).then_some(Self { place, port })
    }

    fn has(&self, origin: &Origin) -> bool {
        let here = match (&self.place, origin.host()) {
            (Place::Everywhere, _) => true,
            (Place::Name(name), Host::Domain(host)) => {
                let host = host.trim_end_matches('.');
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            (Place::Net(net), Host::Ipv4(address)) => net.contains(&IpAddr::V4(*address)),
            (Place::Net(net), Host::Ipv6(address)) => net.contains(&IpAddr::V6(*address)),
            _ => false,
        };
        here && self.port.is_none_or(|port| port == origin.port())
    }
}

/// Whether it is plain that an origin is on this machine.
fn is_here(origin: &Origin) -> bool {
    match origin.host() {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(setting: &str, environment: &[(&str, &str)]) -> Result<Proxies, String> {
        Proxies::read(setting, |name| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn through(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of(&Origin::reached_by(url).unwrap()).map(|proxy| proxy.to_string())
    }

    #[test]
    fn the_setting_goes_before_the_environment() {
        let environment = [("HTTPS_PROXY", "http://a:1"), ("http_proxy", "b:2"), ("NO_PROXY", "")];
        let proxies = read("", &environment).unwrap();
        assert_eq!(through(&proxies, "https://x.test").as_deref(), Some("the proxy a:1"));
        assert_eq!(through(&proxies, "wss://x.test").as_deref(), Some("the proxy a:1"));
        assert_eq!(through(&proxies, "http://x.test").as_deref(), Some("the proxy b:2"));
        let set = read("http://c:3", &environment).unwrap();
        assert_eq!(through(&set, "https://x.test").as_deref(), Some("the proxy c:3"));
        assert_eq!(through(&read("direct", &environment).unwrap(), "https://x.test"), None);
        assert_eq!(through(&read("", &[("HTTPS_PROXY", " ")]).unwrap(), "https://x.test"), None);
        assert!(through(&read("", &[("all_proxy", "d")]).unwrap(), "https://x.test").is_some());
        for here in ["http://127.0.0.1:1", "https://localhost", "https://[::1]:2", "http://a.localhost"] {
            assert_eq!(through(&set, here), None, "{here} is on this machine");
        }
        assert!(through(&set, "http://10.0.0.1").is_some());
    }

    #[test]
    fn exceptions_are_names_addresses_and_nets() {
        let no_proxy = "corp.test, .dot.test,*.star.test,10.0.0.0/8,192.0.2.7,[2001:db8::1],port.test:8443, ,bad:port";
        let proxies = read("http://p:1", &[("no_proxy", no_proxy)]).unwrap();
        for direct in [
            "https://corp.test",
            "https://a.corp.test:9",
            "https://dot.test",
            "https://a.star.test",
            "http://10.1.2.3",
            "http://192.0.2.7",
            "http://[2001:db8::1]",
            "https://port.test:8443",
        ] {
            assert_eq!(through(&proxies, direct), None, "{direct}");
        }
        for proxied in
            ["https://notcorp.test", "https://port.test", "http://192.0.2.8", "https://corp.test.example"]
        {
            assert!(through(&proxies, proxied).is_some(), "{proxied}");
        }
        assert_eq!(through(&read("http://p:1", &[("NO_PROXY", "*")]).unwrap(), "https://x.test"), None);
    }

    #[test]
    fn a_proxy_that_is_none_is_named_without_its_password() {
        for (setting, word) in [
            ("socks5://me:s3cret@p:1", "socks5"),
            ("https://me:s3cret@p", "https"),
            ("http://me:s3cret@", "is no URL"),
            ("http://me:s3cret@p:0", "port"),
            ("http://me:s3cret@p:99999", "is no URL"),
        ] {
            let told = read(setting, &[]).unwrap_err();
            assert!(told.starts_with("egress.proxy ") && told.contains(word), "{told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
        assert!(read("", &[("HTTPS_PROXY", "ftp://x")]).unwrap_err().starts_with("HTTPS_PROXY "));
        let proxies = read("http://me:s3c%40ret@p:1", &[]).unwrap();
        assert!(!format!("{proxies:?}").contains("s3c"), "{proxies:?}");
        let authorization = proxies.https.unwrap().authorization.clone().unwrap();
        assert_eq!(authorization, format!("Basic {}", STANDARD.encode("me:s3c@ret")));
    }
}
