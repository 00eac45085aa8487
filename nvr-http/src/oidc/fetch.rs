//! Asks the provider: bounded in time and bytes, no redirects, the system's certificates (`SSL_CERT_FILE` adds others).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use nvr_core::{Error, ErrorKind};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer.
const MOST_BYTES: usize = 1 << 20;

#[derive(Clone, Debug)]
pub(super) struct Fetch(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Unanswered(String);

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unanswered {}

impl Fetch {
    pub(super) fn new() -> nvr_core::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::new(ErrorKind::Internal, "TLS cannot be set up").with_source(e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // That plain HTTP is for this machine alone is seen to where the configuration is read.
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    async fn ask(self, request: HttpRequest) -> Result<HttpResponse, Unanswered> {
        let failed = |e: &dyn std::error::Error| Unanswered(super::client::chain(e));
        let whole = async {
            let request = request.map(|body| Full::new(Bytes::from(body)));
            let response = self.0.request(request).await.map_err(|e| failed(&e))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MOST_BYTES)
                .collect()
                .await
                .map_err(|e| failed(&*e))?;
            Ok(HttpResponse::from_parts(parts, body.to_bytes().to_vec()))
        };
        tokio::time::timeout(PATIENCE, whole)
            .await
            .map_err(|_| Unanswered(format!("no answer within {} s", PATIENCE.as_secs())))?
    }
}

impl<'c> AsyncHttpClient<'c> for Fetch {
    type Error = Unanswered;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Unanswered>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}
