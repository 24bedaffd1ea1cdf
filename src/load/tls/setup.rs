//! What a lane's TLS sessions have in common: whom they trust, who they are, what they offer. Prepared once, before the first slot.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;

use crate::domain::traffic::{Authorities, Mode, TlsPlan};

/// Bytes of a file of certificates.
const BUNDLE_MAX: u64 = 16 << 20;

/// Why no TLS session can be begun.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("cannot read the CA bundle {path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Nobody to trust.
    #[error(
        "no CA certificate in {0}: give one, or set SSL_CERT_FILE, or install the system's (in a container usually the package \
         ca-certificates)"
    )]
    NoAuthorities(&'static str),
    /// A certificate that is none.
    #[error("{what} is no certificate in PEM: {why}")]
    Certificate {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A key that is none, or none of the certificate's. What is wrong with it is not said in more words than these.
    #[error("the client key is no private key in PEM, or not the certificate's")]
    Key,
    /// A host that cannot be in a certificate.
    #[error("`{0}` is no host name or address that a certificate can name")]
    Host(String),
    /// The TLS library refused.
    #[error("TLS cannot be set up: {0}")]
    Library(String),
}

/// See the top of the file.
#[derive(Clone)]
pub(crate) struct Setup {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest holds a key.
        f.debug_struct("Setup").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Setup {
    /// Reads and checks everything. `host` is the URL's: it is asked for by SNI, and the certificate must name it. `alpn` in order of
    /// preference.
    pub(crate) fn new(plan: &TlsPlan, host: &str, mode: Mode, alpn: &[&[u8]]) -> Result<Self, TlsError> {
        let library = |error: rustls::Error| TlsError::Library(error.to_string());
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(library)?;
        let builder = if plan.insecure_accept_any_certificate {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        } else {
            builder.with_root_certificates(roots(&plan.authorities)?)
        };
        let mut config = match &plan.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let chain = certificates("the client certificate", client.certificate.as_bytes())?;
                let key = PrivateKeyDer::from_pem_slice(client.key.expose().as_bytes()).map_err(|_| TlsError::Key)?;
                builder.with_client_auth_cert(chain, key).map_err(|_| TlsError::Key)?
            }
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        if !plan.resume.unwrap_or(matches!(mode, Mode::Kept { .. })) {
            config.resumption = Resumption::disabled();
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Host(host.into()))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// A new session.
    pub(super) fn connect(&self) -> Result<ClientConnection, rustls::Error> {
        ClientConnection::new(self.config.clone(), self.name.clone())
    }
}

fn roots(authorities: &Authorities) -> Result<Arc<RootCertStore>, TlsError> {
    match authorities {
        Authorities::System => system(),
        Authorities::Pem(pem) => trusting("the given text", certificates("the CA certificate", pem.as_bytes())?),
        Authorities::File(path) => {
            let failed = |error: std::io::Error| TlsError::File { path: path.clone(), why: error.to_string() };
            let mut pem = Vec::new();
            File::open(path).and_then(|file| file.take(BUNDLE_MAX).read_to_end(&mut pem)).map_err(failed)?;
            trusting("the given file", certificates("the CA bundle", &pem)?)
        }
    }
}

/// The system's authorities rather than a list compiled in: a pod's image or a mounted file says whom its cluster trusts, a company's own CA
/// included, and SSL_CERT_FILE and SSL_CERT_DIR are honoured. An image without any is told so. Those who trust it at the same time share it: it
/// is the largest thing that a lane has, and takes milliseconds to read.
fn system() -> Result<Arc<RootCertStore>, TlsError> {
    static SHARED: Mutex<Weak<RootCertStore>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = shared.upgrade() {
        return Ok(store);
    }
    let store = trusting("the system's store", rustls_native_certs::load_native_certs().certs)?;
    *shared = Arc::downgrade(&store);
    Ok(store)
}

fn trusting(what: &'static str, certificates: Vec<CertificateDer<'static>>) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    // Some that are too old to be understood are no reason to trust none.
    let (added, _ignored) = store.add_parsable_certificates(certificates);
    if added == 0 { Err(TlsError::NoAuthorities(what)) } else { Ok(Arc::new(store)) }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| TlsError::Certificate { what, why: error.to_string() })?;
    if all.is_empty() { Err(TlsError::Certificate { what, why: "there is none in it".into() }) } else { Ok(all) }
}

/// Takes any certificate, of whomever. Signatures are checked all the same.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;
    use crate::domain::traffic::ClientIdentity;

    fn setup(plan: &TlsPlan) -> Result<Setup, TlsError> {
        Setup::new(plan, "shop.example", Mode::Fresh, &[b"http/1.1"])
    }

    fn with(authorities: Authorities) -> TlsPlan {
        TlsPlan { authorities, ..TlsPlan::default() }
    }

    #[test]
    fn what_cannot_be_trusted_or_used_is_refused_with_its_reason() {
        let reason = |plan: &TlsPlan| setup(plan).unwrap_err().to_string();
        assert_eq!(
            reason(&with(Authorities::Pem("nonsense".into()))),
            "the CA certificate is no certificate in PEM: there is none in it"
        );
        assert_eq!(
            reason(&with(Authorities::File("/no/such/file".into()))),
            "cannot read the CA bundle /no/such/file: No such file or directory (os error 2)"
        );
        let own = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
        let certificate = own.cert.pem();
        let client = |key: &str| TlsPlan {
            client: Some(ClientIdentity { certificate: certificate.clone(), key: Secret::new(key) }),
            ..with(Authorities::Pem(certificate.clone()))
        };
        assert_eq!(reason(&client("s3cret")), "the client key is no private key in PEM, or not the certificate's");
        assert!(setup(&client(&own.signing_key.serialize_pem())).is_ok());
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert_eq!(reason(&client(&other)), "the client key is no private key in PEM, or not the certificate's");
        assert_eq!(
            Setup::new(&client(&own.signing_key.serialize_pem()), "a b", Mode::Fresh, &[]).unwrap_err(),
            TlsError::Host("a b".into())
        );
    }

    #[test]
    fn a_key_is_shown_by_nothing_that_holds_it() {
        let own = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
        let key = own.signing_key.serialize_pem();
        let client = Some(ClientIdentity { certificate: own.cert.pem(), key: Secret::new(key.as_str()) });
        let plan = TlsPlan { client, ..with(Authorities::Pem(own.cert.pem())) };
        let shown = format!("{plan:?} {} {:?}", serde_json::to_string(&plan).unwrap(), setup(&plan).unwrap());
        let middle = key.lines().nth(1).unwrap();
        assert!(!shown.contains("PRIVATE KEY") && !shown.contains(middle), "{shown}");
        assert!(shown.contains("[redacted]"), "{shown}");
    }
}
