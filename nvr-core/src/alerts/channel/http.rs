//! HTTP requests of channels: certificates verified, no redirects (they would carry secrets elsewhere), bounded in time.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, USER_AGENT};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::Refusal;
use crate::clock::SharedClock;
use crate::error::Result;
use crate::web::{self, AGENT, causes};

pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// For all of a request.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Of an answer that much is read.
const ANSWER: usize = 4 << 10;

pub(super) struct Http {
    client: Client<web::Connector, Full<Bytes>>,
    clock: SharedClock,
}

impl Http {
    pub(super) fn new(ca: Option<&Path>, clock: SharedClock) -> Result<Self> {
        Ok(Self {
            client: Client::builder(TokioExecutor::new())
                // An alert in hours finds no old connection of use.
                .pool_max_idle_per_host(0)
                .build(web::connector(CONNECT, ca)?),
            clock,
        })
    }

    pub(super) async fn send(&self, mut request: http::Request<Full<Bytes>>) -> Result<(), Refusal> {
        request
            .headers_mut()
            .insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let host = request.uri().host().unwrap_or_default().to_owned();
        let asked = async {
            let answer = self.client.request(request).await;
            // The address may hold secrets: only the host is named.
            let answer = answer.map_err(|e| Refusal::passing(format!("{host}: {}", causes(&e))))?;
            let status = answer.status();
            if status.is_success() {
                return Ok(());
            }
            let body = Limited::new(answer.into_body(), ANSWER).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let said: String = String::from_utf8_lossy(&body)
                .chars()
                .filter(|c| !c.is_control())
                .take(200)
                .collect();
            let redirect = if status.is_redirection() {
                "; redirects are not followed"
            } else {
                ""
            };
            let message = format!("{host} answers {status}{redirect}: {said}");
            // Too many, too early, or a fault of the server: later it may do.
            let passing = status.is_server_error() || [408, 425, 429].contains(&status.as_u16());
            Err(if passing {
                Refusal::passing(message)
            } else {
                Refusal::lasting(message)
            })
        };
        tokio::select! {
            done = asked => done,
            () = self.clock.sleep(PATIENCE) => Err(Refusal::passing(format!("{host} does not answer"))),
        }
    }
}
