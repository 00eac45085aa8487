//! TLS as a client: certificates are always verified, by what the system trusts and what a file adds.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::error::{Error, ErrorKind, Result};

/// A client's settings. `ca` is a file with certificates (PEM) to trust beside those of the system.
///
/// # Errors
/// `Config` when the file holds no certificates, `Storage` or `NotFound` when it cannot be read.
pub(crate) fn client(ca: Option<&Path>) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        for cert in certificates(path)? {
            roots.add(cert).map_err(|e| unusable(path).with_source(e))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(ErrorKind::Internal, "TLS cannot be set up").with_source(e))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn unusable(path: &Path) -> Error {
    let message = format!("{} does not hold usable certificates", path.display());
    Error::new(ErrorKind::Config, message).with_hint("a PEM file is wanted")
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem =
        std::fs::read(path).map_err(|e| Error::io(format_args!("certificates {}", path.display()), e))?;
    let all: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|e| unusable(path).with_source(e))?;
    if all.is_empty() {
        return Err(unusable(path));
    }
    Ok(all)
}
