//! Who may ask: the first account, logins, roles, cameras, tokens, shares, and what is noted.

use nvr_core::config::Auth;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{PICTURE, Reply, Server, assert_problem, camera, manual};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_first_account_is_made_with_the_newest_link_only() {
    let server = guarded().await;
    let state = server.json("/api/v1/session").await;
    assert_eq!(
        state,
        json!({"auth": "accounts", "setup": true, "demo": false, "user": null})
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

/// What a role gets, asked with every route of the description: nothing that it must not, everything that it may.
#[tokio::test(flavor = "multi_thread")]
async fn roles_get_what_is_theirs_on_every_route() {
    let server = guarded().await;
    let admin = admin(&server).await;
    let viewer = add(&server, &admin, "vera", "viewer", Value::Null).await;
    let operator = add(&server, &admin, "otto", "operator", Value::Null).await;
    let described = server.json("/api/openapi.json").await;
    let mut asked = 0;
    for (path, item) in described["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let concrete = path
                .replace("/cameras/{id}", "/cameras/front")
                .replace("{name}", "nobody")
                .replace("{id}", "999999")
                .replace("{segment}", "999999.mp4");
            // Ends the login itself.
            if concrete == "/api/v1/session" && method == Method::DELETE {
                continue;
            }
            let what = format!("{method} {concrete}");
            let nobody = server.ask(method.clone(), &concrete, &[], None).await;
            let v = viewer.ask(&server, method.clone(), &concrete, None).await;
            let o = operator.ask(&server, method.clone(), &concrete, None).await;
            let open = operation["security"].is_null();
            assert!(
                open == (nobody.status != 401)
                    || concrete == "/metrics"
                    || concrete == "/api/v1/session"
                    || concrete == "/api/v1/setup",
                "{what}: {}",
                nobody.status
            );
            let for_viewers = method == Method::GET
                && ![
                    "/users",
                    "/audit",
                    "/shares",
                    "export.mp4",
                    "/file",
                    "/config",
                    "/discovery",
                    "/logs",
                ]
                .iter()
                .any(|p| concrete.contains(p))
                || concrete.contains("/whep");
            let in_person = concrete.starts_with("/api/v1/session") || concrete.starts_with("/api/v1/tokens");
            if !open && !in_person && concrete != "/metrics" {
                assert_eq!(v.status == 403, !for_viewers, "{what} as viewer: {}", v.text());
                let admins = concrete.contains("/users")
                    || concrete.contains("/audit")
                    || (method == Method::DELETE
                        && !concrete.contains("/shares")
                        && !concrete.contains("/whep"))
                    || ["/config", "/discovery", "/logs"]
                        .iter()
                        .any(|p| concrete.contains(p))
                    || (concrete == "/api/v1/cameras" && method == Method::POST)
                    || (concrete == "/api/v1/cameras/front" && method == Method::PATCH)
                    || (concrete.contains("/transcoding") && method != Method::GET)
                    || concrete.ends_with("/cleanup")
                    || concrete.ends_with("/probe");
                assert_eq!(o.status == 403, admins, "{what} as operator: {}", o.text());
            }
            for reply in [&nobody, &v, &o] {
                assert!(
                    reply.status.as_u16() < 500 || reply.status == 503 || reply.status == 501,
                    "{what}: {}",
                    reply.status
                );
            }
            asked += 1;
        }
    }
    assert!(asked > 60, "{asked}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_limited_to_a_camera_knows_of_no_other() {
    let server = Server::of([camera("front", PICTURE), camera("yard", PICTURE)], |c| {
        c.http.auth = Auth::Accounts;
    })
    .await;
    let admin = admin(&server).await;
    let only = add(&server, &admin, "otto", "operator", json!(["yard"])).await;
    let until = |path: &'static str, wanted: fn(&Value) -> bool| {
        let (server, admin) = (&server, &admin);
        async move {
            for _ in 0..1200 {
                let now = admin.get(server, path).await.json();
                if wanted(&now) {
                    return now;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            panic!("{path} never is as wanted")
        }
    };
    let some = |v: &Value| v["segments"].as_array().is_some_and(|s| !s.is_empty());
    let front = until("/api/v1/cameras/front/segments", some).await;
    let yard = until("/api/v1/cameras/yard/segments", some).await;
    let ids = |reply: &Reply| -> Vec<String> {
        reply
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        ids(&admin.get(&server, "/api/v1/cameras").await),
        ["front", "yard"]
    );
    assert_eq!(ids(&only.get(&server, "/api/v1/cameras").await), ["yard"]);
    let lines = only.get(&server, "/api/v1/timeline").await.json();
    let of: Vec<&str> = lines
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["camera"].as_str().unwrap())
        .collect();
    assert_eq!(of, ["yard"]);
    for path in [
        "/api/v1/cameras/front",
        "/api/v1/cameras/front/timeline",
        "/api/v1/timeline?cameras=yard,front",
        "/api/v1/cameras/front/snapshot.jpg",
        "/api/v1/cameras/front/export.mp4?from=1&to=2",
    ] {
        assert_problem(&only.get(&server, path).await, 404, "not_found");
    }
    let file = |v: &Value| format!("/api/v1/segments/{}", v["segments"][0]["id"]);
    assert_problem(&only.get(&server, &file(&front)).await, 404, "not_found");
    assert_eq!(only.get(&server, &file(&yard)).await.status, 200);
    assert_problem(
        &only
            .ask(&server, Method::POST, &format!("{}/protect", file(&front)), None)
            .await,
        404,
        "not_found",
    );
    assert_problem(
        &only
            .ask(&server, Method::POST, "/api/v1/cameras/front/stop", None)
            .await,
        404,
        "not_found",
    );
    let started = only
        .ask(&server, Method::POST, "/api/v1/cameras/start", None)
        .await;
    assert_eq!(ids(&started), ["yard"]);
    let storage = only.get(&server, "/api/v1/storage").await.json();
    assert_eq!(storage["cameras"].as_array().unwrap().len(), 1);
    let events = only.get(&server, "/api/v1/events?limit=1000").await.json();
    let events = events["events"].as_array().unwrap();
    assert!(
        !events.is_empty() && events.iter().all(|e| e["camera"] == "yard"),
        "{events:?}"
    );
    let job = |camera: &str| json!({"kind": "verify", "params": {"camera": camera}});
    let reply = only
        .ask(&server, Method::POST, "/api/v1/jobs", Some(job("front")))
        .await;
    assert_problem(&reply, 404, "not_found");
    let reply = only
        .ask(
            &server,
            Method::POST,
            "/api/v1/jobs",
            Some(json!({"kind": "verify", "params": {}})),
        )
        .await;
    assert_problem(&reply, 400, "invalid_argument");
    let jobs = only.get(&server, "/api/v1/jobs").await.json();
    assert!(
        jobs["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .all(|j| j["camera"] == "yard"),
        "{jobs}"
    );
    // What concerns all cameras is not for him, whatever his role.
    let reply = admin
        .ask(
            &server,
            Method::PATCH,
            "/api/v1/users/otto",
            Some(json!({"role": "admin"})),
        )
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_problem(&only.get(&server, "/api/v1/users").await, 403, "forbidden");
    let reply = admin
        .ask(
            &server,
            Method::PATCH,
            "/api/v1/users/otto",
            Some(json!({"cameras": null})),
        )
        .await;
    assert_eq!(reply.json()["cameras"], Value::Null);
    assert_eq!(only.get(&server, "/api/v1/users").await.status, 200);
    assert_eq!(
        ids(&only.get(&server, "/api/v1/cameras").await),
        ["front", "yard"]
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_do_what_they_are_for_and_end() {
    let server = guarded().await;
    let admin = admin(&server).await;
    let operator = add(&server, &admin, "otto", "operator", Value::Null).await;
    let make = |who: &Browser, body: Value| {
        let (server, who) = (&server, who.clone());
        async move { who.ask(server, Method::POST, "/api/v1/tokens", Some(body)).await }
    };
    let reply = make(&operator, json!({"label": "panel", "scopes": ["admin"]})).await;
    assert_problem(&reply, 400, "invalid_argument");
    let reply = make(
        &operator,
        json!({"label": "panel", "scopes": ["read"], "expires": "2001-01-01T00:00:00Z"}),
    )
    .await;
    assert_problem(&reply, 400, "invalid_argument");
    let reply = make(
        &operator,
        json!({"label": "panel", "scopes": ["read"], "cameras": ["yard"]}),
    )
    .await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let read = reply.json();
    let token = read["token"].as_str().unwrap();
    let get = |path: &'static str| bearer(&server, token, Method::GET, path);
    assert_eq!(get("/api/v1/cameras").await.json().as_array().unwrap().len(), 1);
    assert_problem(&get("/api/v1/cameras/front").await, 404, "not_found");
    assert_problem(&get("/api/v1/shares").await, 403, "forbidden");
    assert_problem(&get("/api/v1/tokens").await, 403, "forbidden");
    let reply = bearer(&server, token, Method::POST, "/api/v1/cameras/yard/split").await;
    assert_problem(&reply, 403, "forbidden");
    // No login is at work here, so nothing of one is needed.
    let reply = make(&operator, json!({"label": "buttons", "scopes": ["control"]}))
        .await
        .json();
    let control = reply["token"].as_str().unwrap();
    let reply = bearer(&server, control, Method::POST, "/api/v1/cameras/yard/split").await;
    assert_ne!(reply.status.as_u16() / 100, 5);
    assert!(![401, 403].contains(&reply.status.as_u16()), "{}", reply.text());
    assert_problem(
        &bearer(&server, control, Method::GET, "/api/v1/cameras").await,
        403,
        "forbidden",
    );
    // One sees and removes one's own; the administrator all. The token itself is never shown again.
    let mine = operator.get(&server, "/api/v1/tokens").await;
    assert_eq!(mine.json().as_array().unwrap().len(), 2);
    assert!(!mine.text().contains(token));
    let viewer = add(&server, &admin, "vera", "viewer", Value::Null).await;
    assert_eq!(viewer.get(&server, "/api/v1/tokens").await.json(), json!([]));
    let path = format!("/api/v1/tokens/{}", read["id"]);
    assert_problem(
        &viewer.ask(&server, Method::DELETE, &path, None).await,
        404,
        "not_found",
    );
    assert_eq!(admin.ask(&server, Method::DELETE, &path, None).await.status, 204);
    assert_problem(&get("/api/v1/cameras").await, 401, "login_needed");
    // A token never does more than its user may by now.
    let body = json!({"role": "viewer"});
    admin
        .ask(&server, Method::PATCH, "/api/v1/users/otto", Some(body))
        .await;
    let reply = bearer(&server, control, Method::POST, "/api/v1/cameras/yard/split").await;
    assert_problem(&reply, 403, "forbidden");
    assert_eq!(
        admin
            .ask(&server, Method::DELETE, "/api/v1/users/otto", None)
            .await
            .status,
        204
    );
    let reply = bearer(&server, control, Method::POST, "/api/v1/cameras/yard/split").await;
    assert_problem(&reply, 401, "login_needed");
    assert_problem(
        &admin
            .ask(&server, Method::DELETE, "/api/v1/users/root", None)
            .await,
        409,
        "conflict",
    );
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

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_noted() {
    let server = guarded().await;
    let admin = admin(&server).await;
    let body = json!({"name": "root", "password": "wrong wrong"});
    send(&server, Method::POST, "/api/v1/session", &[], Some(body)).await;
    admin
        .ask(&server, Method::POST, "/api/v1/cameras/front/start", None)
        .await;
    add(&server, &admin, "vera", "viewer", Value::Null).await;
    let mut entries = Value::Null;
    for _ in 0..600 {
        entries = admin.get(&server, "/api/v1/audit").await.json()["entries"].take();
        if entries.as_array().unwrap().len() >= 5 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let said: Vec<String> = entries
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|e| {
            format!(
                "{} {} {} {}",
                e["user"].as_str().unwrap_or("-"),
                e["action"].as_str().unwrap(),
                e["camera"].as_str().unwrap_or("-"),
                e["detail"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            "root user - made the first account",
            "- login_failed - ",
            "root control front POST /api/v1/cameras/front/start",
            "root user - made vera as viewer",
            "vera login - ",
        ]
    );
    assert_eq!(entries[0]["address"], "127.0.0.1");
    let page = admin.get(&server, "/api/v1/audit?user=root&limit=1").await.json();
    assert_eq!(page["entries"][0]["detail"], "made vera as viewer");
    let next = page["next"].as_str().unwrap();
    let page = admin
        .get(&server, &format!("/api/v1/audit?user=root&limit=1&cursor={next}"))
        .await
        .json();
    assert_eq!(page["entries"][0]["action"], "control");
    assert_problem(
        &admin.get(&server, "/api/v1/audit?action=none").await,
        400,
        "invalid_argument",
    );
    server.end().await;
}
