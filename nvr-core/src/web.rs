//! What all that asks others over the network has in common: connections, certificates, errors in words.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::error::{Error, ErrorKind, Result};

/// What a request calls itself.
pub(crate) const AGENT: &str = concat!("nvr/", env!("CARGO_PKG_VERSION"));

/// Makes connections, with TLS where the address says so.
pub(crate) type Connector = HttpsConnector<HttpConnector>;

/// A connector that gives up after so long, and trusts the machine's certificates and those of a PEM file.
///
/// # Errors
/// `Config` when the file holds no usable certificates, an error of the file system when it cannot be read.
pub(crate) fn connector(patience: Duration, ca: Option<&Path>) -> Result<Connector> {
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(patience));
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(tls(ca)?)
        // Whether plain HTTP is wanted is seen to where the configuration is read.
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp))
}

/// An error with its causes, which hyper does not name.
pub(crate) fn causes(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A client's TLS: certificates are always verified, by what the machine trusts and by those of a PEM file.
///
/// # Errors
/// As of [`connector`].
pub(crate) fn tls(ca: Option<&Path>) -> Result<rustls::ClientConfig> {
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

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// As of [`connector`].
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

fn unusable(path: &Path) -> Error {
    let message = format!("{} does not hold usable certificates", path.display());
    Error::new(ErrorKind::Config, message).with_hint("a PEM file is wanted")
}
