//! The first account, logins, orders of a login, and passwords with each request.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Browser, PASSWORD, admin, guarded, login, send, setup_token};
use crate::support::assert_problem;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_account_is_made_with_the_newest_link_only() {
    let server = guarded().await;
    let state = server.json("/api/v1/session").await;
    assert_eq!(
        state,
        json!({"auth": "accounts", "setup": true, "demo": false, "sso": null, "user": null})
    );
    assert_problem(&server.get("/api/v1/cameras").await, 401, "login_needed");
    let old = setup_token(&server).await;
    let token = setup_token(&server).await;
    let make = |token: String, name: &str, password: &str| {
        let body = json!({"token": token, "name": name, "password": password});
        let server = &server;
        async move { send(server, Method::POST, "/api/v1/setup", &[], Some(body)).await }
    };
    assert_problem(&make(old, "root", PASSWORD).await, 401, "setup_over");
    assert_problem(
        &make(token.clone(), "no blanks", PASSWORD).await,
        400,
        "invalid_argument",
    );
    assert_problem(
        &make(token.clone(), "root", "short").await,
        400,
        "invalid_argument",
    );
    assert_problem(
        &make(token.clone(), "root", "password").await,
        400,
        "invalid_argument",
    );
    let made = make(token.clone(), "Root", PASSWORD).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let cookie = made.header("set-cookie").unwrap();
    assert!(
        cookie.contains("; HttpOnly; SameSite=Strict") && cookie.contains("; Path=/;"),
        "{cookie}"
    );
    assert!(
        !cookie.contains("Secure") && !cookie.contains("Max-Age"),
        "{cookie}"
    );
    assert_problem(&make(token, "other", PASSWORD).await, 401, "setup_over");
    assert!(
        nvr_http::setup_link(&server.nvr, &server.nvr.config().http)
            .await
            .unwrap()
            .is_none()
    );
    let browser = Browser::after(&made);
    let state = browser.get(&server, "/api/v1/session").await.json();
    assert_eq!(state["user"]["name"], "root");
    assert_eq!(state["user"]["role"], "admin");
    assert_eq!(state["user"]["cameras"], Value::Null);
    assert_eq!(state["user"]["csrf"], browser.csrf.as_str());
    assert_eq!(state["setup"], false);
    assert_eq!(browser.get(&server, "/api/v1/cameras").await.status, 200);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_begin_anew_end_and_are_told_apart_from_nothing() {
    let server = guarded().await;
    let first = admin(&server).await;
    // A session that was planted is not taken over: the login makes a new one and ends that.
    let body = json!({"name": "ROOT", "password": PASSWORD, "remember": true});
    let planted = [("cookie", first.cookie.as_str())];
    let reply = send(&server, Method::POST, "/api/v1/session", &planted, Some(body)).await;
    assert!(reply.header("set-cookie").unwrap().contains("Max-Age=15552000"));
    let second = Browser::after(&reply);
    assert_ne!(first.cookie, second.cookie);
    assert_eq!(first.get(&server, "/api/v1/cameras").await.status, 401);
    // Wrong names and wrong passwords get the same answer.
    let mut answers = Vec::new();
    for (name, password) in [("root", "wrong password"), ("nobody", PASSWORD)] {
        let body = json!({"name": name, "password": password});
        let reply = send(&server, Method::POST, "/api/v1/session", &[], Some(body)).await;
        assert_problem(&reply, 401, "wrong_login");
        answers.push(reply.body);
    }
    assert_eq!(answers[0], answers[1]);
    // The password is changed: this login goes on, others end.
    let third = login(&server, "root").await;
    let body = json!({"old": PASSWORD, "new": "another good one"});
    let path = "/api/v1/session/password";
    let reply = third
        .ask(
            &server,
            Method::POST,
            path,
            Some(json!({"old": "x", "new": "another good one"})),
        )
        .await;
    assert_problem(&reply, 401, "wrong_login");
    assert_eq!(
        third.ask(&server, Method::POST, path, Some(body)).await.status,
        204
    );
    assert_eq!(third.get(&server, "/api/v1/cameras").await.status, 200);
    assert_eq!(second.get(&server, "/api/v1/cameras").await.status, 401);
    // And it is over.
    let reply = third.ask(&server, Method::DELETE, "/api/v1/session", None).await;
    assert_eq!(reply.status, 204);
    assert!(reply.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(third.get(&server, "/api/v1/cameras").await.status, 401);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_a_login_need_what_only_the_page_knows() {
    let server = guarded().await;
    let admin = admin(&server).await;
    let path = "/api/v1/cameras/front/split";
    let cookie = ("cookie", admin.cookie.as_str());
    let order = |headers: Vec<(&'static str, String)>| {
        let (server, cookie) = (&server, cookie);
        async move {
            let mut all = vec![cookie];
            all.extend(headers.iter().map(|(n, v)| (*n, v.as_str())));
            send(server, Method::POST, path, &all, None).await
        }
    };
    assert_problem(&order(vec![]).await, 403, "csrf");
    assert_problem(&order(vec![("x-csrf-token", "0".repeat(32))]).await, 403, "csrf");
    let right = ("x-csrf-token", admin.csrf.clone());
    assert_ne!(order(vec![right.clone()]).await.status, 403);
    let foreign = ("origin", "http://evil.example".to_owned());
    assert_problem(&order(vec![right.clone(), foreign]).await, 403, "forbidden");
    let foreign = ("sec-fetch-site", "cross-site".to_owned());
    assert_problem(&order(vec![right, foreign]).await, 403, "forbidden");
    let reply = send(&server, Method::DELETE, "/api/v1/session", &[cookie], None).await;
    assert_problem(&reply, 403, "csrf");
    // A WebSocket of another site is refused like an order.
    let headers = [
        cookie,
        ("upgrade", "websocket"),
        ("origin", "http://evil.example"),
    ];
    let reply = send(&server, Method::GET, "/api/v1/cameras", &headers, None).await;
    assert_problem(&reply, 403, "forbidden");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_with_each_request_on_this_machine() {
    let server = guarded().await;
    admin(&server).await;
    use base64::Engine as _;
    let basic = |text: &str| {
        let value = base64::engine::general_purpose::STANDARD.encode(text);
        format!("Basic {value}")
    };
    let right = basic(&format!("root:{PASSWORD}"));
    let ask = |value: String, more: Option<(&'static str, &'static str)>| {
        let server = &server;
        async move {
            let mut headers = vec![("authorization", value.as_str())];
            headers.extend(more);
            server.get_with("/api/v1/cameras", &headers).await
        }
    };
    assert_eq!(ask(right.clone(), None).await.status, 200);
    assert_eq!(ask(right.clone(), None).await.status, 200);
    // Through a proxy that nobody told of it is not this machine, and not TLS.
    let through = Some(("x-forwarded-for", "192.0.2.1"));
    assert_problem(&ask(right.clone(), through).await, 403, "forbidden");
    let wrong = ask(basic("root:nonsense!"), None).await;
    assert_problem(&wrong, 401, "login_needed");
    let ways: Vec<_> = wrong.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(ways.len(), 2, "{ways:?}");
    let browser = server
        .get_with("/api/v1/cameras", &[("sec-fetch-mode", "cors")])
        .await;
    assert_eq!(browser.headers.get_all("www-authenticate").iter().count(), 1);
    for _ in 0..4 {
        ask(basic("root:nonsense!"), None).await;
    }
    let later = ask(basic("root:nonsense!"), None).await;
    assert_problem(&later, 429, "busy");
    assert!(later.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    // A user that there is not has to wait as well.
    for _ in 0..5 {
        assert_problem(&ask(basic("nobody:nonsense!"), None).await, 401, "login_needed");
    }
    assert_problem(&ask(basic("nobody:nonsense!"), None).await, 429, "busy");
    server.end().await;
}
