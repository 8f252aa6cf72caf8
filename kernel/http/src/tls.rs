//! TLS with the certificate that `[gateway]` names.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};
use tokio_rustls::TlsAcceptor;

use prx_base::config::Gateway;

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

/// What takes connections that speak TLS; none if the gateway is to speak plain HTTP.
pub(super) fn acceptor(gateway: &Gateway) -> Result<Option<TlsAcceptor>, TlsError> {
    let chain = match (gateway.tls_cert.as_str(), gateway.tls_key.as_str()) {
        ("", "") => return Ok(None),
        ("", _) => return Err(TlsError::Half { given: KEY, missing: CERT }),
        (_, "") => return Err(TlsError::Half { given: CERT, missing: KEY }),
        (cert, _) => chain(cert).map_err(|problem| unusable(CERT, cert, problem))?,
    };
    let path = &gateway.tls_key;
    let key = PrivateKeyDer::from_pem_file(path)
        .map_err(|error| unusable(KEY, path, pem_problem(error, "PRIVATE KEY")))?;
    let built = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let mut config = built.map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            unusable(KEY, path, "the key is not that of the certificate in gateway.tls_cert".into())
        }
        rustls::Error::InvalidCertificate(error) => unusable(CERT, &gateway.tls_cert, error.to_string()),
        other => unusable(KEY, path, other.to_string()),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn chain(path: impl AsRef<Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
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
            let outcome = match acceptor(&gateway) {
                Ok(acceptor) => acceptor.is_some().to_string(),
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
}
