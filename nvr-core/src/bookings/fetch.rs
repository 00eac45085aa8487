//! Asking for a calendar over HTTP: only what changed, at most so much, and no longer than so long.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, USER_AGENT,
};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::ical::MOST_BYTES;
use crate::clock::SharedClock;
use crate::config::CalendarConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::web::{self, AGENT, causes};

const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);

/// What a server answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fetched {
    /// What we have is what there is.
    Same,
    /// A new version, with what the server calls it.
    New {
        body: String,
        etag: Option<String>,
        modified: Option<String>,
    },
}

/// Asks for calendars. Redirects are not followed: the address is the administrator's word, and a server must not send
/// us elsewhere with it.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client<web::Connector, Empty<Bytes>>,
    clock: SharedClock,
}

impl Fetcher {
    pub(crate) fn new(clock: SharedClock) -> Result<Self> {
        let client = Client::builder(TokioExecutor::new()).build(web::connector(CONNECT, None)?);
        Ok(Self { client, clock })
    }

    /// Asks for a calendar, but for the version that is named.
    pub(crate) async fn fetch(
        &self,
        of: &CalendarConfig,
        etag: Option<&str>,
        modified: Option<&str>,
    ) -> Result<Fetched> {
        let mut request = http::Request::get(&of.url).header(USER_AGENT, AGENT);
        if let Some(user) = &of.user {
            let pair = format!("{user}:{}", of.password.expose());
            let basic = base64::engine::general_purpose::STANDARD.encode(pair);
            request = request.header(AUTHORIZATION, format!("Basic {basic}"));
        }
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        } else if let Some(modified) = modified {
            request = request.header(IF_MODIFIED_SINCE, modified);
        }
        let request = request
            .body(Empty::new())
            .map_err(|e| Error::new(ErrorKind::Config, "its address cannot be asked").with_source(e))?;
        let away = |what: String| Error::new(ErrorKind::Unavailable, what);
        let asked = async {
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|e| away(format!("it cannot be reached: {}", causes(&e))))?;
            let status = answer.status();
            if status == http::StatusCode::NOT_MODIFIED {
                return Ok(Fetched::Same);
            }
            if status.is_redirection() {
                let to = answer
                    .headers()
                    .get(http::header::LOCATION)
                    .and_then(|v| v.to_str().ok());
                return Err(away(format!("the server answered {status}")).with_hint(format!(
                    "set its address to {}",
                    to.unwrap_or("where it lies now")
                )));
            }
            if !status.is_success() {
                return Err(away(format!("the server answered {status}")));
            }
            let text = |name: &HeaderName| {
                let value = answer.headers().get(name)?.to_str().ok()?;
                (value.len() <= 500).then(|| value.to_owned())
            };
            let (etag, modified) = (text(&ETAG), text(&LAST_MODIFIED));
            let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
            let body = body
                .map_err(|e| away(format!("it could not be read: {e}")))?
                .to_bytes();
            let body = String::from_utf8(body.to_vec()).map_err(|_| away("it is not UTF-8".into()))?;
            Ok(Fetched::New { body, etag, modified })
        };
        tokio::select! {
            answer = asked => answer,
            () = self.clock.sleep(WHOLE) => Err(Error::new(ErrorKind::Timeout, "the server does not answer")),
        }
    }
}
