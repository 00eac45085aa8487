//! Between browser and recorder: TLS, proxies, a path of a proxy, pages of other sites, metrics.

use std::sync::Arc;
use std::time::Duration;

use nvr_core::config::{Auth, TlsFiles};
use reqwest::Method;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Server, assert_problem, manual};

const PASSWORD: &str = "correct horse battery";

/// A certificate for `localhost`, and its key, as PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// What the server answers to a client that trusts a certificate; `None` when the two do not come together.
async fn over_tls(address: &str, trusted: &str, request: &str) -> Option<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap())
        .unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
        .ok()?;
    let head = format!("Host: {address}\r\nConnection: close\r\n");
    let request = request.replacen("\r\n", &format!("\r\n{head}"), 1);
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_of_its_own_with_a_certificate_that_changes() {
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        cert: dir.path().join("cert.pem"),
        key: dir.path().join("key.pem"),
    };
    let write = |pair: &(String, String)| {
        std::fs::write(&files.cert, &pair.0).unwrap();
        std::fs::write(&files.key, &pair.1).unwrap();
    };
    let (old, new) = (certificate(), certificate());
    write(&old);
    let tls = files.clone();
    let server = Server::of([manual("front")], |c| {
        c.http.auth = Auth::Accounts;
        c.http.tls = Some(tls);
    })
    .await;
    let health = "GET /health HTTP/1.1\r\n\r\n";
    let answer = over_tls(&server.address, &old.0, health).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(over_tls(&server.address, &new.0, health).await.is_none());
    // A client that opens a connection and says nothing holds up nobody.
    let _silent = tokio::net::TcpStream::connect(&server.address).await.unwrap();
    let link = nvr_http::setup_link(&server.nvr, &server.nvr.config().http)
        .await
        .unwrap()
        .unwrap();
    let token = link.split_once("token=").unwrap().1;
    let body = json!({"token": token, "name": "root", "password": PASSWORD}).to_string();
    let setup = format!(
        "POST /api/v1/setup HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = over_tls(&server.address, &old.0, &setup).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let cookie = answer
        .lines()
        .find(|l| l.to_lowercase().starts_with("set-cookie:"))
        .unwrap();
    assert!(
        cookie.contains(" __Host-nvr_") && cookie.contains("; Secure"),
        "{cookie}"
    );
    // Half of a new pair, and rubbish, change nothing.
    std::fs::write(&files.cert, &new.0).unwrap();
    std::fs::write(&files.key, "rubbish").unwrap();
    assert!(over_tls(&server.address, &old.0, health).await.is_some());
    write(&new);
    let mut tries = 0;
    while over_tls(&server.address, &new.0, health).await.is_none() {
        tries += 1;
        assert!(tries < 600, "the new certificate is not taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(over_tls(&server.address, &old.0, health).await.is_none());
    server.end().await;
}

async fn setup(server: &Server, headers: &[(&str, &str)]) -> crate::support::Reply {
    let link = nvr_http::setup_link(&server.nvr, &server.nvr.config().http)
        .await
        .unwrap()
        .unwrap();
    let token = link.split_once("token=").unwrap().1;
    let body = json!({"token": token, "name": "root", "password": PASSWORD});
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    server
        .ask(
            Method::POST,
            "/api/v1/setup",
            &all,
            Some(body.to_string().into_bytes()),
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_path_of_a_proxy() {
    let server = Server::of([manual("front")], |c| {
        c.http.auth = Auth::Accounts;
        c.http.base_path = "/nvr".into();
    })
    .await;
    let link = nvr_http::setup_link(&server.nvr, &server.nvr.config().http)
        .await
        .unwrap()
        .unwrap();
    assert!(link.starts_with("/nvr/setup#token="), "{link}");
    for path in ["/nvr/health", "/health", "/nvr/", "/", "/nvr/api/v1/session?"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    assert_problem(&server.get("/nvrhealth").await, 404, "not_found");
    assert_problem(&server.get("/nvr/api/v1/cameras").await, 401, "login_needed");
    let made = setup(&server, &[]).await;
    assert!(made.header("set-cookie").unwrap().contains("; Path=/nvr;"));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_that_is_trusted() {
    let server = Server::of([manual("front")], |c| {
        c.http.auth = Auth::Accounts;
        c.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let forwarded = [
        ("x-forwarded-for", "203.0.113.1, 192.0.2.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "nvr.example.org"),
        ("origin", "https://nvr.example.org"),
    ];
    let made = setup(&server, &forwarded).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(made.header("set-cookie").unwrap().contains("; Secure"));
    let cookie = made.header("set-cookie").unwrap().split(';').next().unwrap();
    // Over the plain way the cookie of the secure one is not taken.
    let plain = server.get_with("/api/v1/cameras", &[("cookie", cookie)]).await;
    assert_problem(&plain, 401, "login_needed");
    let mut secure = forwarded.to_vec();
    secure.push(("cookie", cookie));
    assert_eq!(server.get_with("/api/v1/cameras", &secure).await.status, 200);
    let mut entries = json!([]);
    for _ in 0..600 {
        entries = server.get_with("/api/v1/audit", &secure).await.json()["entries"].take();
        if entries[0].is_object() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(entries[0]["address"], "192.0.2.9");
    // Who comes through a proxy is not on this machine.
    assert_eq!(server.get("/metrics").await.status, 200);
    let far = server
        .get_with("/metrics", &[("x-forwarded-for", "127.0.0.1")])
        .await;
    assert_problem(&far, 401, "login_needed");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_this_machine_unless_they_are_open() {
    let server = Server::of([manual("front")], |c| c.http.auth = Auth::Accounts).await;
    assert_eq!(server.get("/metrics").await.status, 200);
    let far = [("x-forwarded-for", "192.0.2.1")];
    assert_problem(&server.get_with("/metrics", &far).await, 401, "login_needed");
    let lent = [("host", "evil.example")];
    assert_problem(&server.get_with("/metrics", &lent).await, 403, "forbidden");
    for path in ["/health", "/ready"] {
        assert_ne!(server.get_with(path, &far).await.status, 401, "{path}");
    }
    // The open server of other tests tells all; here who is unknown, or shows what is worth nothing, learns counts.
    for headers in [&far[..], &[("authorization", "Bearer nvr_nothing")]] {
        let health = server.get_with("/health", headers).await;
        assert_eq!(health.status, 200, "{}", health.text());
        assert!(!health.text().contains("front"), "{}", health.text());
        let health = health.json();
        assert_eq!(health["counts"]["cameras"], 1, "{health}");
        assert!(
            health["problems"].is_null() && health["version"].is_null(),
            "{health}"
        );
    }
    server.end().await;
    let server = Server::of([manual("front")], |c| {
        c.http.auth = Auth::Accounts;
        c.http.metrics_open = true;
    })
    .await;
    assert_eq!(server.get_with("/metrics", &far).await.status, 200);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_only_if_they_are_listed() {
    let server = Server::of([manual("front")], |c| {
        c.http.cors_origins = vec!["https://panel.example".into()];
    })
    .await;
    let path = "/api/v1/cameras/front/split";
    let preflight = |origin: &'static str| {
        let server = &server;
        async move {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization"),
            ];
            server.ask(Method::OPTIONS, path, &headers, None).await
        }
    };
    let allowed = preflight("https://panel.example").await;
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://panel.example")
    );
    assert!(
        allowed
            .header("access-control-allow-headers")
            .unwrap()
            .contains("authorization")
    );
    // The cookie of a login is not for others.
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    assert_eq!(
        preflight("https://evil.example")
            .await
            .header("access-control-allow-origin"),
        None
    );
    let order = |origin: &'static str| {
        let server = &server;
        async move {
            let headers = [("origin", origin), ("sec-fetch-site", "cross-site")];
            server.ask(Method::POST, path, &headers, None).await
        }
    };
    assert_ne!(order("https://panel.example").await.status, 403);
    assert_problem(&order("https://evil.example").await, 403, "forbidden");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_nobody_is_not_for_the_network() {
    let server = Server::of([manual("front")], |_| {}).await;
    let mut http = server.nvr.config().http.clone();
    http.auth = Auth::None;
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let refused = nvr_http::serve(listener, server.nvr.clone(), &http, stop, Duration::ZERO).await;
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    let session = server.json("/api/v1/session").await;
    assert_eq!(
        session,
        json!({"auth": "none", "setup": false, "demo": true, "sso": null, "user": null})
    );
    server.end().await;
}
