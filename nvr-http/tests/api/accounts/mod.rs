//! Who may ask, and what is noted.

mod audit;
mod logins;
mod rights;
mod watching;

use nvr_core::config::Auth;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Reply, Server, manual};

const PASSWORD: &str = "correct horse battery";

/// A browser: it keeps a cookie and shows the token that orders need.
#[derive(Clone, Default)]
struct Browser {
    cookie: String,
    csrf: String,
}

impl Browser {
    /// What an answer to a login leaves in it.
    #[track_caller]
    fn after(reply: &Reply) -> Self {
        let set = reply.header("set-cookie").expect("a cookie is set");
        Self {
            cookie: set.split(';').next().unwrap().to_owned(),
            csrf: reply.json()["user"]["csrf"].as_str().unwrap().to_owned(),
        }
    }

    async fn ask(&self, server: &Server, method: Method, path: &str, body: Option<Value>) -> Reply {
        let mut headers = vec![("cookie", self.cookie.as_str())];
        if method != Method::GET {
            headers.push(("x-csrf-token", self.csrf.as_str()));
        }
        send(server, method, path, &headers, body).await
    }

    async fn get(&self, server: &Server, path: &str) -> Reply {
        self.ask(server, Method::GET, path, None).await
    }
}

async fn send(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Reply {
    let mut headers = headers.to_vec();
    if body.is_some() {
        headers.push(("content-type", "application/json"));
    }
    let body = body.map(|b| b.to_string().into_bytes());
    server.ask(method, path, &headers, body).await
}

async fn bearer(server: &Server, token: &str, method: Method, path: &str) -> Reply {
    let value = format!("Bearer {token}");
    server.ask(method, path, &[("authorization", &value)], None).await
}

/// A recorder with accounts and two cameras that record when told to.
async fn guarded() -> Server {
    Server::of([manual("front"), manual("yard")], |c| {
        c.http.auth = Auth::Accounts;
    })
    .await
}

async fn setup_token(server: &Server) -> String {
    let link = nvr_http::setup_link(&server.nvr, &server.nvr.config().http)
        .await
        .unwrap();
    let link = link.expect("there is no account yet");
    link.strip_prefix("/setup#token=").unwrap().to_owned()
}

/// The first account, logged in.
async fn admin(server: &Server) -> Browser {
    let token = setup_token(server).await;
    let body = json!({"token": token, "name": "root", "password": PASSWORD});
    let reply = send(server, Method::POST, "/api/v1/setup", &[], Some(body)).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    Browser::after(&reply)
}

async fn login(server: &Server, name: &str) -> Browser {
    let body = json!({"name": name, "password": PASSWORD});
    let reply = send(server, Method::POST, "/api/v1/session", &[], Some(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    Browser::after(&reply)
}

async fn add(server: &Server, admin: &Browser, name: &str, role: &str, cameras: Value) -> Browser {
    let body = json!({"name": name, "password": PASSWORD, "role": role, "cameras": cameras});
    let reply = admin.ask(server, Method::POST, "/api/v1/users", Some(body)).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    login(server, name).await
}
