//! Whom to trust and who we are, read once: for our own connections (rustls) and, as the same PEM
//! text, for librdkafka.
//!
//! There is no way to switch verification off. A private key stays in a [`SecretString`].

use super::SecretString;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use std::fmt;
use std::sync::Arc;

/// Which part of the settings cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TlsError {
    /// `ca`, `certificate` or `key`.
    pub part: &'static str,
    pub what: String,
}

impl TlsError {
    fn of(part: &'static str, what: impl Into<String>) -> Self {
        Self { part, what: what.into() }
    }
}

#[derive(Clone)]
pub struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pem: Arc<Pem>,
}

struct Pem {
    ca: String,
    identity: Option<(String, SecretString)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// `ca`: who is trusted, in place of the authorities that this machine trusts. `identity`: our
    /// certificate, with those between it and its authority behind it, and its private key.
    /// All in PEM.
    pub fn new(
        ca: Option<String>,
        identity: Option<(String, SecretString)>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let failed = |error: rustls::Error| TlsError::of("ca", error.to_string());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        // One and the same for both libraries, each of which looks for authorities of this machine
        // in its own places.
        let ca = ca.map_or_else(of_this_machine, Ok)?;
        let builder = builder.map_err(failed)?.with_root_certificates(roots(&ca)?);
        let config = match &identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain =
                    certificates(certificate).map_err(|what| TlsError::of("certificate", what))?;
                let private = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes());
                // The reader's words could quote what it read.
                let private =
                    private.map_err(|_| TlsError::of("key", no_key(key.expose_secret())))?;
                let mismatch = |error| match error {
                    rustls::Error::InconsistentKeys(_) => {
                        TlsError::of("key", "not the key of this certificate")
                    }
                    other => TlsError::of("certificate", other.to_string()),
                };
                builder.with_client_auth_cert(chain, private).map_err(mismatch)?
            }
        };
        Ok(Self { config: Arc::new(config), pem: Arc::new(Pem { ca, identity }) })
    }

    /// Whom to trust, in PEM.
    pub fn ca(&self) -> &str {
        &self.pem.ca
    }

    /// Our certificate and its key, in PEM.
    pub fn identity(&self) -> Option<(&str, &SecretString)> {
        self.pem.identity.as_ref().map(|(certificate, key)| (certificate.as_str(), key))
    }
}

/// The authorities that this machine trusts, in PEM.
fn of_this_machine() -> Result<String, TlsError> {
    let mut text = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // One that cannot be read must not keep out all others.
        if RootCertStore::empty().add(certificate.clone()).is_ok() {
            text += "-----BEGIN CERTIFICATE-----\n";
            for line in BASE64.encode(&certificate).as_bytes().chunks(64) {
                text.push_str(&String::from_utf8_lossy(line));
                text.push('\n');
            }
            text += "-----END CERTIFICATE-----\n";
        }
    }
    if text.is_empty() {
        let words = "this machine trusts no certificate authority: name yours as `ca`, in a file \
            for --targets";
        return Err(TlsError::of("ca", words));
    }
    Ok(text)
}

fn roots(ca: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca).map_err(|what| TlsError::of("ca", what))? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::of("ca", format!("no usable certificate: {error}")))?;
    }
    Ok(roots)
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, pem::Error> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("there is no `BEGIN CERTIFICATE` in this file: it must be PEM".into()),
        Err(_) => Err("not readable as PEM".into()),
    }
}

fn no_key(text: &str) -> &'static str {
    match text.contains("ENCRYPTED") {
        true => {
            "the key is encrypted: decrypt it (`openssl pkey -in KEY -out PLAIN`) and guard the \
            file by its mode"
        }
        false => "there is no private key in this file: it must be PEM",
    }
}
