//! TLS of `rtsps`: any certificate or one that this machine trusts, and why one is refused.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::failure::{Failure, FailureKind};
use crate::gst::sources::certificate::refused_words;

/// The two ways to meet a server, made when they are needed: reading the system's certificates takes a while.
#[derive(Debug, Default)]
pub(super) struct Configs {
    strict: OnceLock<Result<Arc<ClientConfig>, Failure>>,
    lenient: OnceLock<Result<Arc<ClientConfig>, Failure>>,
}

impl Configs {
    /// # Errors
    /// `Internal`, or `Certificate` when the certificate is to be checked and this machine trusts nobody.
    pub(super) fn get(&self, verify: bool) -> Result<Arc<ClientConfig>, Failure> {
        let slot = if verify { &self.strict } else { &self.lenient };
        slot.get_or_init(|| make(verify)).clone()
    }
}

#[cfg(test)]
impl Configs {
    /// Trusts one certificate, and has a clock that is so much ahead.
    pub(super) fn trusting(root: Vec<u8>, later: std::time::Duration) -> Self {
        #[derive(Debug)]
        struct Later(std::time::Duration);
        impl rustls::time_provider::TimeProvider for Later {
            fn current_time(&self) -> Option<UnixTime> {
                let now = UnixTime::now().as_secs();
                Some(UnixTime::since_unix_epoch(
                    std::time::Duration::from_secs(now) + self.0,
                ))
            }
        }
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(root)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_details(provider, Arc::new(Later(later)))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let configs = Self::default();
        configs.strict.set(Ok(Arc::new(config))).unwrap();
        configs
    }
}

fn make(verify: bool) -> Result<Arc<ClientConfig>, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::new(FailureKind::Internal, format!("TLS: {e}")))?;
    let config = if verify {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        let (good, _) = roots.add_parsable_certificates(system.certs);
        if good == 0 {
            return Err(Failure::new(
                FailureKind::Certificate,
                "this machine has no trusted certificates to check the camera's with",
            ));
        }
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth()
    };
    Ok(Arc::new(config))
}

/// Takes any certificate, down to those of the first version that some cameras make: who does not ask whose it is
/// need not look at its signatures either.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What an error of TLS means.
pub(super) fn failure(e: &rustls::Error) -> Failure {
    match e {
        rustls::Error::InvalidCertificate(why) => Failure::new(FailureKind::Certificate, refusal(why)),
        rustls::Error::PeerIncompatible(why) => Failure::new(
            FailureKind::Unsupported,
            format!("the camera's TLS is too old or of another kind ({why:?})"),
        ),
        rustls::Error::AlertReceived(alert) => Failure::new(
            FailureKind::Unsupported,
            format!("the camera breaks the TLS handshake off ({alert:?})"),
        ),
        rustls::Error::InvalidMessage(_) => {
            Failure::new(FailureKind::Unreachable, "what answers there does not speak TLS")
        }
        e => Failure::new(FailureKind::Unreachable, format!("TLS: {e}")),
    }
}

fn refusal(why: &CertificateError) -> String {
    use CertificateError as C;
    refused_words(match why {
        C::Expired | C::ExpiredContext { .. } => "expired",
        C::NotValidYet | C::NotValidYetContext { .. } => "not valid yet; is the clock right?",
        C::NotValidForName | C::NotValidForNameContext { .. } => {
            "made out to another name than the address has"
        }
        C::UnknownIssuer => UNKNOWN_ISSUER,
        C::Revoked => "revoked",
        // A certificate that was made to sign others, which self-signed ones of cameras mostly are.
        C::Other(e) if e.to_string().contains("CaUsedAsEndEntity") => UNKNOWN_ISSUER,
        other => return refused_words(&format!("{other:?}")),
    })
}

const UNKNOWN_ISSUER: &str = "signed by nobody whom this machine trusts";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_words() {
        let words = |e| failure(&rustls::Error::InvalidCertificate(e)).message;
        assert!(words(CertificateError::Expired).contains("is refused: expired"));
        assert!(words(CertificateError::UnknownIssuer).contains(UNKNOWN_ISSUER));
        assert!(words(CertificateError::BadSignature).contains("BadSignature"));
        let old = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        assert!(failure(&old).is_refusal(), "rtspsrc may know that TLS");
    }
}
