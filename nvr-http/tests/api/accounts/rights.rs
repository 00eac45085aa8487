//! What roles, cameras and tokens allow.

use nvr_core::config::Auth;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Browser, add, admin, bearer, guarded};
use crate::support::{PICTURE, Reply, Server, assert_problem, camera};

/// What a role gets, asked with every route of the description: nothing that it must not, everything that it may.
#[tokio::test(flavor = "multi_thread")]
async fn roles_get_what_is_theirs_on_every_route() {
    let server = guarded().await;
    let admin = admin(&server).await;
    let viewer = add(&server, &admin, "vera", "viewer", Value::Null).await;
    let operator = add(&server, &admin, "otto", "operator", Value::Null).await;
    let described = server.json("/api/openapi.json").await;
    let mut asked = 0;
    // Last what stops cameras: of one that is stopped, pictures are waited for.
    let mut paths: Vec<_> = described["paths"].as_object().unwrap().iter().collect();
    paths.sort_by_key(|(path, _)| path.ends_with("/stop"));
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let concrete = path
                .replace("/cameras/{id}", "/cameras/front")
                .replace("{name}", "nobody")
                .replace("{id}", "999999")
                .replace("{push}", "999999")
                .replace("{detection}", "999999")
                .replace("{preset}", "none")
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
                    "/log-level",
                    "/pushes",
                    "/ptz",
                    "/clock",
                    "/calendars",
                    "/alerts/channels",
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
                        && !concrete.contains("/pushes")
                        && !concrete.contains("/ptz")
                        && !concrete.contains("/bookings")
                        && !concrete.contains("/mutes")
                        && !concrete.contains("/whep"))
                    || ["/config", "/discovery", "/logs", "/log-level"]
                        .iter()
                        .any(|p| concrete.contains(p))
                    || (concrete == "/api/v1/cameras" && method == Method::POST)
                    || (concrete == "/api/v1/cameras/front" && method == Method::PATCH)
                    || (concrete.contains("/transcoding") && method != Method::GET)
                    || (concrete.ends_with("/clock") && method == Method::POST)
                    || concrete.ends_with("/backup")
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
        "/api/v1/cameras/front/stills",
        "/api/v1/cameras/front/export.mp4?from=1&to=2",
    ] {
        assert_problem(&only.get(&server, path).await, 404, "not_found");
    }
    let stills = only.get(&server, "/api/v1/cameras/yard/stills").await;
    assert_eq!(stills.status, 200);
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
    let system = only.get(&server, "/api/v1/system").await.json();
    let pipelines = system["pipelines"].as_array().unwrap();
    assert_eq!(pipelines.len(), 1, "{system}");
    assert_eq!(pipelines[0]["camera"], "yard");
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
async fn a_token_for_events_tells_of_them_and_sees_nothing() {
    let server = guarded().await;
    let admin = admin(&server).await;
    let wish = json!({"label": "doorbell", "scopes": ["events"], "cameras": ["front"]});
    let made = admin
        .ask(&server, Method::POST, "/api/v1/tokens", Some(wish))
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let tell = |camera: &str| {
        let (path, value) = (
            format!("/api/v1/cameras/{camera}/detections"),
            format!("Bearer {token}"),
        );
        let server = &server;
        async move {
            let headers = [
                ("authorization", value.as_str()),
                ("content-type", "application/json"),
            ];
            let body = json!({"label": "ring"}).to_string().into_bytes();
            server.ask(Method::POST, &path, &headers, Some(body)).await
        }
    };
    let told = tell("front").await;
    assert_eq!(told.status, 201, "{}", told.text());
    assert_eq!(tell("yard").await.status, 404);
    let list = bearer(&server, &token, Method::GET, "/api/v1/detections").await;
    assert_eq!(list.status, 403, "{}", list.text());
    // Who sees only another camera does not see it.
    let other = add(&server, &admin, "vera", "viewer", json!(["yard"])).await;
    let path = format!("/api/v1/detections/{}", told.json()["id"]);
    assert_eq!(other.get(&server, &path).await.status, 404);
    let events = other.get(&server, "/api/v1/events?kind=detection_started").await;
    assert_eq!(events.json()["events"], json!([]));
    assert_eq!(admin.get(&server, &path).await.status, 200);
    server.end().await;
}
