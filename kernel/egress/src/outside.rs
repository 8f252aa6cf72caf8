//! What the operator says of the way out: the proxies, and whom to trust. It is read anew when the settings change.

use std::env;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::proxy::Proxies;
use super::trust;
use prx_base::clock::Clock;
use prx_base::config::{self, Live};

/// The way out as it is at present.
pub(super) struct Outside {
    settings: config::Egress,
    /// Why nobody can be trusted, where that is so.
    pub(super) tls: Result<TlsConnector, String>,
    /// Why nothing can be sent, where that is so.
    pub(super) proxies: Result<Proxies, String>,
}

/// A handle to the way out that follows the configuration, where there is one.
pub(super) struct Follow {
    clock: Clock,
    config: Option<Live>,
    /// Held to look, never across a wait.
    current: RwLock<Arc<Outside>>,
}

impl Outside {
    fn of(settings: &config::Egress, clock: Clock) -> Self {
        let tls = trust::roots(&settings.ca_file).map(|roots| connector(clock, roots));
        let setting = value(&settings.proxy);
        let proxies = setting.and_then(|setting| Proxies::read(&setting, |name| env::var(name).ok()));
        for problem in [tls.as_ref().err(), proxies.as_ref().err()].into_iter().flatten() {
            tracing::error!("nothing can be sent: {problem}");
        }
        Self { settings: settings.clone(), tls, proxies }
    }
}

impl Follow {
    /// One that never changes, without proxies.
    pub(super) fn fixed(clock: Clock, roots: RootCertStore) -> Self {
        let tls = Ok(connector(clock.clone(), roots));
        let outside = Outside { settings: config::Egress::default(), tls, proxies: Ok(Proxies::default()) };
        Self { clock, config: None, current: RwLock::new(Arc::new(outside)) }
    }

    /// One that does as the configuration and the environment say.
    pub(super) fn config(clock: Clock, config: Live) -> Self {
        let outside = Outside::of(&config.current().egress, clock.clone());
        Self { clock, config: Some(config), current: RwLock::new(Arc::new(outside)) }
    }

    /// The way out now.
    pub(super) fn now(&self) -> Arc<Outside> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted = self.config.as_ref().map(Live::current);
        match wanted.filter(|wanted| wanted.egress != current.settings) {
            None => current,
            Some(wanted) => {
                let outside = Arc::new(Outside::of(&wanted.egress, self.clock.clone()));
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = outside.clone();
                outside
            }
        }
    }
}

/// What is wrong with settings before they are in force, if anything is.
pub(super) fn problem(settings: &config::Egress) -> Option<String> {
    let proxies = value(&settings.proxy).and_then(|proxy| Proxies::read(&proxy, |_| None)).map(drop);
    trust::roots(&settings.ca_file).map(drop).and(proxies).err()
}

/// A setting that may be kept elsewhere: `env:NAME` or `file:PATH`.
fn value(setting: &str) -> Result<String, String> {
    if let Some(name) = setting.strip_prefix("env:") {
        return env::var(name).map_err(|_| format!("egress.proxy: the variable {name} is not set"));
    }
    match setting.strip_prefix("file:") {
        Some(path) => std::fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .map_err(|error| format!("egress.proxy: {path} can't be read: {error}")),
        None => Ok(setting.to_owned()),
    }
}

fn connector(clock: Clock, roots: RootCertStore) -> TlsConnector {
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.time_provider = Arc::new(CertificateTime(clock));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// Certificates are judged by the gateway's own clock.
#[derive(Debug)]
struct CertificateTime(Clock);

impl TimeProvider for CertificateTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.now_ms())))
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Follow")
    }
}
