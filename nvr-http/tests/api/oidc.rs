//! Logins by a provider: a real one of a small kind, with discovery, keys, codes and signed tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use nvr_core::accounts::{CameraSet, NewAccount, Role};
use nvr_core::config::{Auth, GroupRole, OidcConfig, OidcGroup};
use nvr_core::secret::Secret;
use openidconnect::core::{CoreJwsSigningAlgorithm, CoreRsaPrivateSigningKey};
use openidconnect::{JsonWebKeyId, PkceCodeChallenge, PkceCodeVerifier, PrivateSigningKey as _};
use reqwest::Method;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use serde_json::{Value, json};

use crate::support::{Server, assert_problem, manual};

/// What is wrong with a token, if anything.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Wrong {
    Nothing,
    Nonce,
    Audience,
    Issuer,
    Expired,
    Key,
    Unsigned,
}

struct Told {
    name: &'static str,
    subject: &'static str,
    groups: Vec<&'static str>,
    wrong: Wrong,
    refuses: bool,
    /// Signs with the other key, which its list has from then on instead of the first.
    rotated: bool,
    /// How often its list of keys was asked for.
    asked: u32,
    /// Has a place to log out.
    logout: bool,
    /// Nonce and challenge by code.
    codes: HashMap<String, (String, String)>,
}

struct Provider {
    issuer: String,
    key: CoreRsaPrivateSigningKey,
    other: CoreRsaPrivateSigningKey,
    told: Mutex<Told>,
}

fn key(id: &str) -> CoreRsaPrivateSigningKey {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let pem = key.to_pkcs1_pem(rsa::pkcs1::LineEnding::LF).unwrap();
    CoreRsaPrivateSigningKey::from_pem(&pem, Some(JsonWebKeyId::new(id.into()))).unwrap()
}

impl Provider {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Arc::new(Self {
            issuer: format!("http://{}/realm", listener.local_addr().unwrap()),
            key: key("one"),
            other: key("two"),
            told: Mutex::new(Told {
                name: "Anna",
                subject: "1",
                groups: vec!["admins"],
                wrong: Wrong::Nothing,
                refuses: false,
                rotated: false,
                asked: 0,
                logout: false,
                codes: HashMap::new(),
            }),
        });
        let app = Router::new()
            .route("/realm/.well-known/openid-configuration", get(discovery))
            .route("/realm/keys", get(keys))
            .route("/realm/authorize", get(authorize))
            .route("/realm/token", post(token))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        provider
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }
}

type Of = State<Arc<Provider>>;

async fn discovery(State(p): Of) -> Json<Value> {
    let at = |path: &str| format!("{}/{path}", p.issuer);
    let mut all = json!({
        "issuer": p.issuer, "authorization_endpoint": at("authorize"), "token_endpoint": at("token"),
        "jwks_uri": at("keys"), "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    if p.told().logout {
        all["end_session_endpoint"] = json!(at("logout"));
    }
    Json(all)
}

async fn keys(State(p): Of) -> Json<Value> {
    p.told().asked += 1;
    let key = if p.told().rotated { &p.other } else { &p.key };
    let key = serde_json::to_value(key.as_verification_key()).unwrap();
    Json(json!({"keys": [key]}))
}

async fn authorize(State(p): Of, Query(q): Query<HashMap<String, String>>) -> Redirect {
    assert_eq!(q["response_type"], "code");
    assert_eq!((&*q["client_id"], &*q["code_challenge_method"]), ("nvr", "S256"));
    assert!(q["scope"].split(' ').any(|s| s == "openid"), "{q:?}");
    let mut told = p.told();
    let answer = if told.refuses {
        "error=access_denied".to_owned()
    } else {
        let code = format!("code{}", told.codes.len());
        let kept = (q["nonce"].clone(), q["code_challenge"].clone());
        told.codes.insert(code.clone(), kept);
        format!("code={code}")
    };
    Redirect::to(&format!(
        "{}?{answer}&state={}&session_state=x",
        q["redirect_uri"], q["state"]
    ))
}

async fn token(State(p): Of, headers: HeaderMap, Form(f): Form<HashMap<String, String>>) -> Response {
    let basic = format!("Basic {}", STANDARD.encode("nvr:geheim"));
    if headers.get("authorization").is_none_or(|v| v != basic.as_str()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut told = p.told();
    let Some((nonce, challenge)) = told.codes.get(&f["code"]).cloned() else {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response();
    };
    // A code is good once, and for who asked for it.
    told.codes.insert(f["code"].clone(), Default::default());
    let verifier = PkceCodeVerifier::new(f["code_verifier"].clone());
    let shown = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    if shown.as_str() != challenge {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response();
    }
    let wrong =
        |what: Wrong, is: &str, otherwise: &str| if told.wrong == what { otherwise } else { is }.to_owned();
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": wrong(Wrong::Issuer, &p.issuer, "http://127.0.0.1:1/realm"),
        "aud": [wrong(Wrong::Audience, "nvr", "another")],
        "nonce": wrong(Wrong::Nonce, &nonce, "another"),
        "sub": told.subject, "iat": now,
        "exp": if told.wrong == Wrong::Expired { now - 600 } else { now + 60 },
        "preferred_username": told.name, "groups": told.groups,
    });
    let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
    let alg = if told.wrong == Wrong::Unsigned {
        "none"
    } else {
        "RS256"
    };
    let text = format!(
        "{}.{}",
        part(&json!({"alg": alg, "kid": if told.rotated { "two" } else { "one" }, "typ": "JWT"})),
        part(&claims)
    );
    let key = if (told.wrong == Wrong::Key) != told.rotated {
        &p.other
    } else {
        &p.key
    };
    let signature = key
        .sign(&CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256, text.as_bytes())
        .unwrap();
    let signature = if told.wrong == Wrong::Unsigned {
        String::new()
    } else {
        URL_SAFE_NO_PAD.encode(signature)
    };
    Json(json!({
        "access_token": "x", "token_type": "Bearer", "expires_in": 60, "id_token": format!("{text}.{signature}"),
    }))
    .into_response()
}

struct Browser {
    client: reqwest::Client,
}

/// What came of a login.
struct End {
    location: String,
    /// As the browser keeps it; and all that was said of it.
    session: Option<(String, String)>,
}

fn cookies(response: &reqwest::Response) -> Vec<String> {
    let all = response.headers().get_all("set-cookie").iter();
    all.map(|v| v.to_str().unwrap().to_owned()).collect()
}

impl Browser {
    fn new() -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Self {
            client: client.unwrap(),
        }
    }

    async fn get(&self, url: &str, cookie: &str) -> reqwest::Response {
        let request = self.client.get(url).header("cookie", cookie);
        request.send().await.unwrap()
    }

    /// To the provider and to the address to which it sends back: that, and what is kept for it.
    async fn leave(&self, server: &Server) -> (String, String) {
        let begun = self.get(&server.url("/api/v1/session/oidc"), "").await;
        assert_eq!(begun.status(), 303);
        let kept = cookies(&begun).pop().unwrap();
        assert!(
            kept.contains("HttpOnly; SameSite=Lax") && kept.contains("Path=/api/v1/session/oidc"),
            "{kept}"
        );
        let there = begun.headers()["location"].to_str().unwrap().to_owned();
        let back = self.get(&there, "").await;
        let back = back.headers()["location"].to_str().unwrap().to_owned();
        assert!(
            back.starts_with(&server.url("/api/v1/session/oidc/callback?")),
            "{back}"
        );
        (back, kept.split(';').next().unwrap().to_owned())
    }

    async fn come(&self, back: &str, cookie: &str) -> End {
        let end = self.get(back, cookie).await;
        assert_eq!(end.status(), 303);
        let location = end.headers()["location"].to_str().unwrap().to_owned();
        let session = cookies(&end).into_iter().find(|c| !c.starts_with("nvr_oidc"));
        End {
            location,
            session: session.map(|c| (c.split(';').next().unwrap().to_owned(), c)),
        }
    }

    async fn sign_in(&self, server: &Server) -> End {
        let (back, cookie) = self.leave(server).await;
        self.come(&back, &cookie).await
    }
}

async fn started(provider: &Provider) -> Server {
    let mut oidc = OidcConfig::new(&provider.issuer, "nvr");
    oidc.client_secret = Some(Secret::new("geheim"));
    oidc.name = "Home".into();
    let group = |name: &str, role, cameras| OidcGroup {
        name: name.into(),
        role,
        cameras,
    };
    oidc.groups = vec![
        group("admins", GroupRole::Admin, None),
        group(
            "family",
            GroupRole::Operator,
            Some(vec!["front".parse().unwrap()]),
        ),
    ];
    Server::of([manual("front"), manual("yard")], |c| {
        c.http.auth = Auth::Accounts;
        c.oidc = Some(oidc);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_groups_log_in_and_out() {
    let provider = Provider::start().await;
    let server = started(&provider).await;
    let browser = Browser::new();
    assert_eq!(server.json("/api/v1/session").await["sso"], "Home");
    let end = browser.sign_in(&server).await;
    assert_eq!(end.location, "/");
    let (cookie, said) = end.session.unwrap();
    assert!(
        said.contains("HttpOnly; SameSite=Strict") && !said.contains("Max-Age"),
        "{said}"
    );
    let session = server
        .get_with("/api/v1/session", &[("cookie", &cookie)])
        .await
        .json();
    let user = &session["user"];
    assert_eq!(
        (&user["name"], &user["role"], &user["cameras"]),
        (&json!("anna"), &json!("admin"), &Value::Null)
    );
    let users = server.get_with("/api/v1/users", &[("cookie", &cookie)]).await;
    assert_eq!(users.status, 200);

    // Somebody else, with what his group has; groups that are not named count for nothing.
    {
        let mut told = provider.told();
        (told.name, told.subject, told.groups) = ("otto", "2", vec!["staff", "family"]);
    }
    let (his, _) = browser.sign_in(&server).await.session.unwrap();
    let cameras = server
        .get_with("/api/v1/cameras", &[("cookie", &his)])
        .await
        .json();
    assert_eq!(cameras.as_array().unwrap().len(), 1, "{cameras}");
    assert_problem(
        &server.get_with("/api/v1/users", &[("cookie", &his)]).await,
        403,
        "forbidden",
    );

    // Logout ends the one session.
    let csrf = user["csrf"].as_str().unwrap();
    let out = [("cookie", cookie.as_str()), ("x-csrf-token", csrf)];
    let out = server.ask(Method::DELETE, "/api/v1/session", &out, None).await;
    assert_eq!(out.status, 204);
    assert_eq!(
        server
            .get_with("/api/v1/cameras", &[("cookie", &cookie)])
            .await
            .status,
        401
    );
    assert_eq!(
        server
            .get_with("/api/v1/cameras", &[("cookie", &his)])
            .await
            .status,
        200
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_meant_stays_outside() {
    let provider = Provider::start().await;
    let server = started(&provider).await;
    let new = NewAccount {
        name: "root".parse().unwrap(),
        password: Secret::new("correct horse battery"),
        role: Role::Admin,
        cameras: CameraSet::all(),
    };
    server.nvr.accounts().add_user(new).await.unwrap();
    let browser = Browser::new();
    let ends = async |reason: &str| {
        let end = browser.sign_in(&server).await;
        assert_eq!(end.location, format!("/?sso={reason}"));
        assert!(end.session.is_none(), "{reason}");
    };
    provider.told().groups = vec!["guests"];
    ends("denied").await;
    provider.told().groups = vec!["admins"];
    provider.told().refuses = true;
    ends("denied").await;
    provider.told().refuses = false;
    // The name of a user whom the recorder knows itself.
    provider.told().name = "root";
    ends("taken").await;
    provider.told().name = "anna";
    for wrong in [
        Wrong::Nonce,
        Wrong::Audience,
        Wrong::Issuer,
        Wrong::Expired,
        Wrong::Key,
        Wrong::Unsigned,
    ] {
        provider.told().wrong = wrong;
        ends("failed").await;
    }
    provider.told().wrong = Wrong::Nothing;
    // Another browser cannot end a login, nor can the same one twice, nor with a state that was never given.
    let (back, cookie) = browser.leave(&server).await;
    assert_eq!(browser.come(&back, "").await.location, "/?sso=over");
    assert_eq!(browser.come(&back, &cookie).await.location, "/?sso=over");
    let (back, cookie) = browser.leave(&server).await;
    assert!(browser.come(&back, &cookie).await.session.is_some());
    assert_eq!(browser.come(&back, &cookie).await.location, "/?sso=over");
    let made_up = server.url("/api/v1/session/oidc/callback?code=code0&state=x");
    assert_eq!(browser.come(&made_up, &cookie).await.location, "/?sso=over");
    // Local accounts are as before.
    let body = json!({"name": "root", "password": "correct horse battery"});
    let login = server.order(Method::POST, "/api/v1/session", &body).await;
    assert_eq!(login.status, 200, "{}", login.text());
    server.end().await;
}

/// New keys are asked for at once when a token names one that is not known, but not for each token that is not good.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_changed_are_asked_for_again_within_bounds() {
    let provider = Provider::start().await;
    let server = started(&provider).await;
    let browser = Browser::new();
    assert!(browser.sign_in(&server).await.session.is_some());
    assert_eq!(provider.told().asked, 1);
    provider.told().rotated = true;
    let end = browser.sign_in(&server).await;
    assert!(end.session.is_some(), "{}", end.location);
    assert_eq!(provider.told().asked, 2);
    provider.told().wrong = Wrong::Key;
    for _ in 0..3 {
        assert_eq!(browser.sign_in(&server).await.location, "/?sso=failed");
    }
    assert_eq!(provider.told().asked, 2, "asked for each bad token");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logs_out_is_sent_to_log_out_at_the_provider() {
    let provider = Provider::start().await;
    provider.told().logout = true;
    let server = started(&provider).await;
    let (cookie, _) = Browser::new().sign_in(&server).await.session.unwrap();
    let session = server
        .get_with("/api/v1/session", &[("cookie", &cookie)])
        .await
        .json();
    let csrf = session["user"]["csrf"].as_str().unwrap();
    let headers = [("cookie", cookie.as_str()), ("x-csrf-token", csrf)];
    let out = server
        .ask(Method::DELETE, "/api/v1/session", &headers, None)
        .await;
    assert_eq!(out.status, 200);
    let to = out.json()["provider"].as_str().unwrap().to_owned();
    let (at, query) = to.split_once('?').unwrap();
    assert_eq!(at, format!("{}/logout", provider.issuer));
    assert!(query.contains("client_id=nvr"), "{query}");
    assert!(
        query.contains("post_logout_redirect_uri=http%3A%2F%2F127.0.0.1"),
        "{query}"
    );
    let after = server.get_with("/api/v1/cameras", &[("cookie", &cookie)]).await;
    assert_eq!(after.status, 401);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_told() {
    let provider = Provider::start().await;
    let server = Server::of([manual("front")], |c| {
        c.http.auth = Auth::Accounts;
        c.oidc = Some(OidcConfig::new("http://127.0.0.1:1/realm", "nvr"));
    })
    .await;
    let away = server.get("/api/v1/session/oidc").await;
    assert_problem(&away, 503, "unavailable");
    server.end().await;
    drop(provider);
    let server = Server::of([manual("front")], |c| c.http.auth = Auth::Accounts).await;
    assert_eq!(server.json("/api/v1/session").await["sso"], Value::Null);
    assert_problem(&server.get("/api/v1/session/oidc").await, 404, "not_found");
    server.end().await;
}
