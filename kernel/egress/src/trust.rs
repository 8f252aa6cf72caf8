//! Which certificate authorities are trusted, and what there is to say of a certificate that is not.

use std::io;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, Error, RootCertStore};

/// The authorities that browsers trust.
pub(super) fn of_browsers() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() }
}

/// The machine's authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`; where there are none, those that browsers trust.
/// With them, those of the operator's own file, if one is named.
///
/// # Errors
/// The operator's file can't be read, or has no certificate in it.
pub(super) fn roots(ca_file: &str) -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the machine's certificate authorities can't be read");
    }
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        roots = of_browsers();
    }
    if ca_file.is_empty() {
        return Ok(roots);
    }
    let unreadable = |error: &dyn std::fmt::Display| format!("egress.ca_file: {ca_file} can't be read: {error}");
    let certificates = CertificateDer::pem_file_iter(ca_file).map_err(|error| unreadable(&error))?;
    let mut count = 0;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
        count += 1;
    }
    if count == 0 {
        return Err(format!("egress.ca_file: {ca_file} has no certificate in it; it must be PEM"));
    }
    Ok(roots)
}

/// What is wrong when nobody can be shown to be at the other end.
pub(super) fn told(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(problem)) = cause else { return error.to_string() };
    match problem {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by an authority that is not trusted here; if that is your own, or your proxy's, name \
             its PEM file in egress.ca_file"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is the clock of this machine right?".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name".to_owned()
        }
        other => format!("its certificate can't be trusted: {other}"),
    }
}
