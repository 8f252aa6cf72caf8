//! TLS with the certificate that `[gateway]` names, in step with its files.

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use prx_base::clock::Clock;
use prx_base::config::Gateway;
use prx_base::issue::{Issue, IssueKind};

/// Why TLS can't be spoken, on one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate without its key, or the reverse.
    #[error("{given} is set and {missing} is not; TLS needs both")]
    Half {
        /// The setting that is there.
        given: &'static str,
        /// The one that isn't.
        missing: &'static str,
    },
    /// A file can't be used.
    #[error("{setting} = \"{path}\": {problem}")]
    File {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

const CERT: &str = "gateway.tls_cert";
const KEY: &str = "gateway.tls_key";

/// How often the files are looked at: every 5 seconds.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// How long before its end a certificate is a problem: 14 days.
const RENEWAL: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The certificate that new connections are shown, in step with its files. A cheap-clone handle.
#[derive(Debug, Clone)]
pub struct Certificate(Arc<Files>);

#[derive(Debug)]
struct Files {
    cert: String,
    key: String,
    /// The lock is held to read or to replace it, never across a handshake.
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    shown: Arc<CertifiedKey>,
    /// Until when the one that is shown is good, as far as that can be read.
    ends: Option<Timestamp>,
    /// What both files held when they were last looked at.
    seen: [Vec<u8>; 2],
    /// Why the files are not what is shown.
    problem: Option<String>,
}

impl Certificate {
    /// Reads the files that `[gateway]` names; none if the gateway is to speak plain HTTP.
    ///
    /// # Errors
    /// A file is missing or can't be used.
    pub(super) fn load(gateway: &Gateway) -> Result<Option<Self>, TlsError> {
        let (cert, key) = match (gateway.tls_cert.as_str(), gateway.tls_key.as_str()) {
            ("", "") => return Ok(None),
            ("", _) => return Err(TlsError::Half { given: KEY, missing: CERT }),
            (_, "") => return Err(TlsError::Half { given: CERT, missing: KEY }),
            (cert, key) => (cert.to_owned(), key.to_owned()),
        };
        let seen = [read(CERT, &cert)?, read(KEY, &key)?];
        let (shown, ends) = certified(&cert, &key, &seen)?;
        let state = RwLock::new(State { shown, ends, seen, problem: None });
        Ok(Some(Self(Arc::new(Files { cert, key, state }))))
    }

    /// What takes connections that are shown it.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let resolver = Arc::new(self.clone());
        let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Looks at the files every few seconds, and at once when `reload` changes. Connections that are open stay.
    pub async fn follow(self, clock: Clock, mut reload: watch::Receiver<()>) {
        loop {
            tokio::select! {
                () = clock.sleep(LOOK_INTERVAL) => {}
                asked = reload.changed() => if asked.is_err() { return },
            }
            let looking = self.clone();
            // It has nothing that could panic; were it to, the one before is shown on.
            let _ = tokio::task::spawn_blocking(move || looking.look()).await;
        }
    }

    /// Shows what is in the files now, if that can be used.
    fn look(&self) {
        let Files { cert, key, .. } = &*self.0;
        let found = read(CERT, cert).and_then(|cert| Ok([cert, read(KEY, key)?]));
        let same = found.as_ref().is_ok_and(|found| self.state().seen == *found);
        if same && self.state().problem.is_none() {
            return;
        }
        let outcome = found.and_then(|seen| Ok((certified(cert, key, &seen)?, seen)));
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(((shown, ends), seen)) => {
                (state.shown, state.ends, state.seen, state.problem) = (shown, ends, seen, None);
                let ends = ends.map(|ends| ends.to_string());
                tracing::info!(ends, "new connections are shown the certificate that is in its file now");
            }
            Err(error) => {
                let problem = error.to_string();
                if state.problem.as_ref() != Some(&problem) {
                    tracing::warn!(problem, "the certificate stays as it was");
                    state.problem = Some(problem);
                }
            }
        }
    }

    /// What is wrong with it: its files can't be used, or it is over, or soon will be.
    pub fn problem(&self, now: Timestamp) -> Option<Issue> {
        let issue = |problem: String, fix: &str| Issue::new(IssueKind::Certificate, problem, fix);
        let state = self.state();
        if let Some(problem) = &state.problem {
            let problem = format!("the TLS certificate from before is in use: {problem}");
            return Some(issue(problem, "mend its files; they are taken up by themselves"));
        }
        let (ends, cert) = (state.ends?, &self.0.cert);
        if ends <= now {
            let problem = format!("the TLS certificate in {cert} is over since {ends}: clients refuse it");
            return Some(issue(problem, "renew it"));
        }
        let left = ends.duration_since(now);
        let days = left.as_hours() / 24;
        (left < SignedDuration::try_from(RENEWAL).ok()?).then(|| {
            issue(format!("the TLS certificate in {cert} ends at {ends}, in {days} days"), "renew it")
        })
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.state().shown.clone())
    }
}

fn read(setting: &'static str, path: &str) -> Result<Vec<u8>, TlsError> {
    let read = File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map(|_| bytes)
    });
    read.map_err(|error| unusable(setting, path, pem_problem(pem::Error::Io(error), "")))
}

/// What both files hold, and until when the first certificate of the chain is good.
fn certified(
    cert: &str,
    path: &str,
    [chain_pem, key_pem]: &[Vec<u8>; 2],
) -> Result<(Arc<CertifiedKey>, Option<Timestamp>), TlsError> {
    let chain = chain(chain_pem).map_err(|problem| unusable(CERT, cert, problem))?;
    let key = PrivateKeyDer::from_pem_slice(key_pem)
        .map_err(|error| unusable(KEY, path, pem_problem(error, "PRIVATE KEY")))?;
    let ends = chain.first().and_then(|first| {
        let (_, first) = x509_parser::parse_x509_certificate(first).ok()?;
        Timestamp::from_second(first.validity().not_after.timestamp()).ok()
    });
    let built = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider());
    let built = built.map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            unusable(KEY, path, "the key is not that of the certificate in gateway.tls_cert".into())
        }
        rustls::Error::InvalidCertificate(error) => unusable(CERT, cert, error.to_string()),
        other => unusable(KEY, path, other.to_string()),
    })?;
    Ok((Arc::new(built), ends))
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(chain) if chain.is_empty() => Err(pem_problem(pem::Error::NoItemsFound, "CERTIFICATE")),
        found => found.map_err(|error| pem_problem(error, "CERTIFICATE")),
    }
}

fn pem_problem(error: pem::Error, kind: &str) -> String {
    match error {
        pem::Error::Io(error) => format!("{error}; the gateway must be able to read it"),
        pem::Error::NoItemsFound => format!("there is no `-----BEGIN {kind}-----` in it; it must be PEM"),
        other => format!("it is not PEM: {other}"),
    }
}

fn unusable(setting: &'static str, path: &str, problem: String) -> TlsError {
    TlsError::File { setting, path: path.to_owned(), problem }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    struct Files(TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a directory"))
        }

        fn write(&self, name: &str, text: &str) -> String {
            let path = self.0.path().join(name);
            fs::write(&path, text).expect("written");
            path.to_string_lossy().into_owned()
        }

        fn outcome(&self, cert: &str, key: &str) -> String {
            let gateway = Gateway { tls_cert: cert.into(), tls_key: key.into(), ..Gateway::default() };
            let outcome = match Certificate::load(&gateway) {
                Ok(certificate) => certificate.is_some().to_string(),
                Err(error) => error.to_string(),
            };
            outcome.replace(&*self.0.path().to_string_lossy(), "…")
        }
    }

    pub(crate) struct Made {
        pub(crate) cert_pem: String,
        pub(crate) key_pem: String,
        pub(crate) der: CertificateDer<'static>,
    }

    /// A certificate for these names, and its key.
    pub(crate) fn made(names: &[&str]) -> Made {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("a certificate");
        Made {
            cert_pem: pem("CERTIFICATE", cert.der()),
            key_pem: pem("PRIVATE KEY", signing_key.serialized_der()),
            der: cert.der().clone(),
        }
    }

    fn pem(kind: &str, der: &[u8]) -> String {
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
    }

    #[test]
    fn what_is_wrong_with_which_file_is_said() {
        let files = Files::new();
        let made = made(&["localhost"]);
        let (cert, key) = (files.write("cert.pem", &made.cert_pem), files.write("key.pem", &made.key_pem));
        let other = files.write("other.pem", &self::made(&["localhost"]).key_pem);
        let broken =
            files.write("broken.pem", "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n");
        let absent = cert.replace("cert.pem", "absent.pem");
        insta::assert_snapshot!([
            files.outcome(&cert, &key),
            files.outcome("", ""),
            files.outcome(&cert, ""),
            files.outcome("", &key),
            files.outcome(&absent, &key),
            files.outcome(&key, &key),
            files.outcome(&broken, &key),
            files.outcome(&cert, &cert),
            files.outcome(&cert, &other),
        ]
        .join("\n"), @r#"
        true
        false
        gateway.tls_cert is set and gateway.tls_key is not; TLS needs both
        gateway.tls_key is set and gateway.tls_cert is not; TLS needs both
        gateway.tls_cert = "…/absent.pem": No such file or directory (os error 2); the gateway must be able to read it
        gateway.tls_cert = "…/key.pem": there is no `-----BEGIN CERTIFICATE-----` in it; it must be PEM
        gateway.tls_cert = "…/broken.pem": it is not PEM: base64 decode error: InvalidCharacter(63)
        gateway.tls_key = "…/cert.pem": there is no `-----BEGIN PRIVATE KEY-----` in it; it must be PEM
        gateway.tls_key = "…/other.pem": the key is not that of the certificate in gateway.tls_cert
        "#);
    }

    #[test]
    fn what_is_in_the_files_now_is_shown_and_what_cant_be_used_is_told() {
        let files = Files::new();
        let [old, new] = [made(&["localhost"]), made(&["localhost"])];
        let (cert, key) = (files.write("cert.pem", &old.cert_pem), files.write("key.pem", &old.key_pem));
        let gateway = Gateway { tls_cert: cert, tls_key: key, ..Gateway::default() };
        let certificate = Certificate::load(&gateway).unwrap().unwrap();
        let shown = || certificate.state().shown.cert[0].clone();
        files.write("cert.pem", &new.cert_pem);
        certificate.look();
        let now = Timestamp::UNIX_EPOCH;
        let problem = certificate.problem(now).unwrap().to_string();
        assert!(
            problem.contains("certificate from before") && problem.contains("the key is not that"),
            "{problem}"
        );
        assert_eq!(shown(), old.der);
        files.write("key.pem", &new.key_pem);
        certificate.look();
        assert_eq!((shown(), certificate.problem(now)), (new.der, None));
        let ends = certificate.state().ends.expect("it says when");
        let problem = certificate.problem(ends - Duration::from_secs(3 * 86_400)).unwrap().to_string();
        assert!(problem.contains("in 3 days; renew it"), "{problem}");
        assert!(certificate.problem(ends).unwrap().problem.contains("is over since"));
        files.write("key.pem", "");
        certificate.look();
        assert!(certificate.problem(now).unwrap().problem.contains("must be PEM"));
        files.write("key.pem", &self::made(&["localhost"]).key_pem);
        certificate.look();
        assert!(certificate.problem(now).is_some());
    }
}
