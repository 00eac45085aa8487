//! Logins by an OpenID Connect provider: the authorization code flow with PKCE, state and nonce (OpenID Connect Core 1.0,
//! 3.1; RFC 7636). Who somebody is, is said by a signed ID token alone. What he may do here follows from his groups by the
//! configuration.

mod client;
mod fetch;
mod pending;

use std::sync::Arc;
use std::time::Duration;

use nvr_core::accounts::{External, UserName};
use nvr_core::clock::SharedClock;
use nvr_core::config::OidcConfig;
use nvr_core::{Error, ErrorKind};
use openidconnect::core::CoreAuthenticationFlow;
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, LogoutRequest, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PostLogoutRedirectUrl, ProviderMetadataWithLogout,
    RedirectUrl, Scope, TokenResponse as _,
};
use serde_json::Value;
use tokio::sync::Mutex;

use self::client::{Client, chain};
use self::fetch::Fetch;
pub(crate) use self::pending::SECONDS;
use self::pending::{Begun, Pending};

/// What the provider says of itself and its keys is asked again after this.
const FRESH: Duration = Duration::from_secs(3600);
/// Not more often than this, also where keys do not fit or it does not answer.
const AGAIN: Duration = Duration::from_secs(10);

/// Why a login by the provider came to nothing.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It was not begun here, by this browser, or too long ago.
    NotBegun,
    /// The provider did not let him in.
    Provider(String),
    /// He is in no group that may log in.
    NoGroup,
    /// It cannot be found out, or what came is not to be trusted.
    Fault(Error),
}

impl From<Error> for Refused {
    fn from(e: Error) -> Self {
        Self::Fault(e)
    }
}

fn fault(what: &str, e: &(dyn std::error::Error + 'static)) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("login provider: {what}: {}", chain(e)),
    )
}

/// The provider as it was last asked.
#[derive(Debug)]
struct Known {
    at_ns: i64,
    /// When it was last asked because keys did not fit.
    anew_ns: Option<i64>,
    found: Result<Arc<ProviderMetadataWithLogout>, String>,
}

/// A provider and the logins that are under way.
#[derive(Debug)]
pub(crate) struct Provider {
    config: OidcConfig,
    clock: SharedClock,
    fetch: Fetch,
    known: Mutex<Option<Known>>,
    pending: std::sync::Mutex<Pending>,
}

/// Where to send a browser, and what it has to keep until it comes back.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(crate) url: String,
    pub(crate) cookie: String,
}

impl Provider {
    /// For a configuration.
    ///
    /// # Errors
    /// `Internal` when TLS cannot be set up.
    pub(crate) fn new(config: OidcConfig, clock: SharedClock) -> nvr_core::Result<Self> {
        Ok(Self {
            config,
            clock,
            fetch: Fetch::new()?,
            known: Mutex::default(),
            pending: std::sync::Mutex::default(),
        })
    }

    /// What the button says.
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What the provider says of itself, as it was told lately. `anew`: it may have new keys, so it is asked again, unless
    /// that was done just now: whoever brings tokens that are not good does not have it asked each time.
    async fn metadata(&self, anew: bool) -> nvr_core::Result<Arc<ProviderMetadataWithLogout>> {
        let mut known = self.known.lock().await;
        let now = self.clock.steady_ns();
        let within = |at_ns: i64, age: Duration| now.saturating_sub(at_ns) < nvr_core::time::duration_ns(age);
        let stays = known.as_ref().filter(|k| {
            if anew && k.found.is_ok() {
                k.anew_ns.is_some_and(|at| within(at, AGAIN))
            } else {
                within(k.at_ns, if k.found.is_ok() { FRESH } else { AGAIN })
            }
        });
        if let Some(known) = stays {
            return known
                .found
                .clone()
                .map_err(|e| Error::new(ErrorKind::Unavailable, e));
        }
        let before = known.as_ref().and_then(|k| k.anew_ns);
        let found = async {
            let issuer = IssuerUrl::new(self.config.issuer.clone()).map_err(|e| fault("its address", &e))?;
            ProviderMetadataWithLogout::discover_async(issuer, &self.fetch)
                .await
                .map_err(|e| fault("it cannot be asked", &e))
        };
        let found = found.await.map(Arc::new);
        *known = Some(Known {
            at_ns: now,
            anew_ns: if anew { Some(now) } else { before },
            found: found.as_ref().map(Arc::clone).map_err(ToString::to_string),
        });
        found
    }

    /// Where to send the browser of somebody of this provider who logged out, so that he is logged out there as well (OpenID
    /// Connect RP-Initiated Logout 1.0); it comes back to `redirect`. `None` when the provider has no such address or does
    /// not answer.
    pub(crate) async fn leave(&self, issuer: &str, redirect: &str) -> Option<String> {
        if issuer != self.config.issuer {
            return None;
        }
        let metadata = self.metadata(false).await.ok()?;
        let end = metadata.additional_metadata().end_session_endpoint.clone()?;
        let mut request =
            LogoutRequest::from(end).set_client_id(ClientId::new(self.config.client_id.clone()));
        // Behind a proxy that does not tell its name there is no whole address to come back to.
        if let Ok(redirect) = PostLogoutRedirectUrl::new(redirect.to_owned()) {
            request = request.set_post_logout_redirect_uri(redirect);
        }
        let url = request.http_get_url();
        matches!(url.scheme(), "https" | "http").then(|| url.into())
    }

    fn client(&self, metadata: &ProviderMetadataWithLogout, redirect: &str) -> nvr_core::Result<Client> {
        let secret = self.config.client_secret.as_ref();
        let redirect = RedirectUrl::new(redirect.to_owned()).map_err(|e| fault("the way back", &e))?;
        Ok(Client::from_provider_metadata(
            metadata.clone(),
            ClientId::new(self.config.client_id.clone()),
            secret.map(|s| ClientSecret::new(s.expose().to_owned())),
        )
        .set_redirect_uri(redirect))
    }

    /// Begins a login that comes back to `redirect`.
    ///
    /// # Errors
    /// `Unavailable` when the provider does not answer.
    pub(crate) async fn begin(&self, redirect: String) -> nvr_core::Result<Departure> {
        let metadata = self.metadata(false).await?;
        let client = self.client(&metadata, &redirect)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client.authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        );
        for scope in &self.config.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, state, nonce) = request.set_pkce_challenge(challenge).url();
        let cookie = CsrfToken::new_random().secret().clone();
        let begun = Begun {
            cookie: blake3::hash(cookie.as_bytes()),
            nonce,
            verifier,
            redirect,
        };
        self.pending()
            .add(state.secret().clone(), begun, self.clock.steady_ns());
        Ok(Departure {
            url: url.into(),
            cookie,
        })
    }

    /// Takes back a browser that the provider sent, with what it kept.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn finish(&self, state: &str, code: &str, cookie: &str) -> Result<External, Refused> {
        let begun = self.take(state, cookie).ok_or(Refused::NotBegun)?;
        let metadata = self.metadata(false).await?;
        let client = self.client(&metadata, &begun.redirect)?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|e| fault("it tells no address for tokens", &e))?
            .set_pkce_verifier(begun.verifier)
            .request_async(&self.fetch)
            .await
            .map_err(|e| fault("it takes the code not", &e))?;
        let untrusted = |why: &str| {
            let text = format!("login provider: {why}");
            Refused::Fault(Error::new(ErrorKind::Unauthorized, text))
        };
        let token = answer
            .id_token()
            .ok_or_else(|| untrusted("it gave no ID token"))?;
        let claims = match token.claims(&client.id_token_verifier(), &begun.nonce) {
            Ok(claims) => claims.clone(),
            // It may have new keys.
            Err(_) => {
                let metadata = self.metadata(true).await?;
                let client = self.client(&metadata, &begun.redirect)?;
                token
                    .claims(&client.id_token_verifier(), &begun.nonce)
                    .map_err(|e| untrusted(&format!("its ID token is not good: {}", chain(&e))))?
                    .clone()
            }
        };
        if let Some(expected) = claims.access_token_hash() {
            let verifier = client.id_token_verifier();
            let found = token
                .signing_alg()
                .ok()
                .zip(token.signing_key(&verifier).ok())
                .and_then(|(alg, key)| {
                    openidconnect::AccessTokenHash::from_token(answer.access_token(), alg, key).ok()
                });
            // After a change of keys the old client cannot tell; the token itself was good.
            if found.is_some_and(|found| found != *expected) {
                return Err(untrusted("its access token belongs to another login"));
            }
        }
        let all = serde_json::to_value(&claims).unwrap_or_default();
        self.external(claims.subject().as_str(), &all)
    }

    /// Whom the claims tell of.
    fn external(&self, subject: &str, claims: &Value) -> Result<External, Refused> {
        let groups = texts(claim(claims, &self.config.groups_claim));
        let group = self.config.group_of(&groups).ok_or(Refused::NoGroup)?;
        let name = claim(claims, &self.config.user_claim)
            .and_then(Value::as_str)
            .unwrap_or(subject);
        let name = UserName::new(name).map_err(|e| {
            e.with_hint("let `oidc.user_claim` name a claim whose values can be names of users")
        })?;
        Ok(External {
            issuer: self.config.issuer.clone(),
            subject: subject.to_owned(),
            name,
            role: group.role.into(),
            cameras: group.into(),
        })
    }

    /// A login that was begun by this browser; it can be ended once.
    fn take(&self, state: &str, cookie: &str) -> Option<Begun> {
        let begun = self.pending().take(state, self.clock.steady_ns())?;
        (begun.cookie == blake3::hash(cookie.as_bytes())).then_some(begun)
    }

    /// Forgets a login that the provider refused.
    pub(crate) fn give_up(&self, state: &str, cookie: &str) -> bool {
        self.take(state, cookie).is_some()
    }
}

/// A claim by its name, or by the names of its levels.
fn claim<'c>(claims: &'c Value, name: &str) -> Option<&'c Value> {
    // Some providers have dots (and whole addresses) in names.
    claims
        .get(name)
        .or_else(|| name.split('.').try_fold(claims, |value, level| value.get(level)))
        .filter(|v| !v.is_null())
}

/// The texts of a list, or of words with blanks or commas.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(text)) => {
            let words = text.split([' ', ',']).filter(|w| !w.is_empty());
            words.map(str::to_owned).chain([text.clone()]).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_found_by_name_and_by_level() {
        let claims = json!({
            "groups": ["a", "b", 7], "realm_access": {"roles": ["c"]}, "https://x.example/roles": "d e",
            "nothing": null,
        });
        let of = |name: &str| texts(claim(&claims, name));
        assert_eq!(of("groups"), ["a", "b"]);
        assert_eq!(of("realm_access.roles"), ["c"]);
        assert_eq!(of("https://x.example/roles"), ["d", "e", "d e"]);
        for none in ["nothing", "groups.x", "", "realm_access"] {
            assert!(of(none).is_empty(), "{none}");
        }
    }
}
