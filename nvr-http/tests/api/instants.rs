//! Whatever instant is asked for, the first or the last there is, the answer is no fault of the recorder.

use nvr_core::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{PICTURE, Server, camera};

/// The ends of what can be said, what lies beyond them, and the moments beside them.
fn instants(now: Timestamp) -> Vec<String> {
    let seconds = |t: Timestamp| {
        let ns = t.as_ns();
        let sign = if ns < 0 { "-" } else { "" };
        let (s, rest) = (
            ns.unsigned_abs() / 1_000_000_000,
            ns.unsigned_abs() % 1_000_000_000,
        );
        format!("{sign}{s}.{rest:09}")
    };
    let mut all = vec!["-009999-01-02T01:00:00Z".to_owned()];
    all.extend(
        [
            Timestamp::MIN.add_ns(1),
            Timestamp::MIN.add_ns(2),
            Timestamp::from_ns(-1),
            Timestamp::from_ns(0),
            now,
            Timestamp::MAX.add_ns(-1),
        ]
        .map(seconds),
    );
    all.push("9999-12-30T22:00:00Z".to_owned());
    all
}

/// The ranges from each of them to each later one.
fn ranges(now: Timestamp) -> Vec<(String, String)> {
    let all = instants(now);
    let pairs = all
        .iter()
        .enumerate()
        .flat_map(|(n, from)| all[n..].iter().map(move |to| (from.clone(), to.clone())));
    pairs.collect()
}

fn times(parameters: &Value) -> Vec<&str> {
    let timed = |p: &&Value| p["in"] == "query" && p["schema"].to_string().contains("date-time");
    let all = parameters.as_array().into_iter().flatten();
    all.filter(timed).filter_map(|p| p["name"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    server.history().await;
    let now = server.nvr.clock().now();
    let description = server.json("/api/openapi.json").await;
    let mut asked = 0;
    let mut faults = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let names = times(&operation["parameters"]);
            let path = path.replace("{id}", "front");
            let queries: Vec<String> = if names == ["from", "to"] {
                let ranges = ranges(now);
                ranges.iter().map(|(f, t)| format!("from={f}&to={t}")).collect()
            } else {
                let one = |name: &&str| {
                    instants(now)
                        .into_iter()
                        .map(move |t| format!("{name}={t}"))
                        .collect::<Vec<_>>()
                };
                names.iter().flat_map(one).collect()
            };
            let method: Method = method.to_uppercase().parse().unwrap();
            for query in queries {
                asked += 1;
                let what = format!("{path}?{query}");
                let reply = server.ask(method.clone(), &what, &[], None).await;
                if reply.status == 500 {
                    faults.push(format!("{method} {what}: {}", reply.text()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(asked > 500, "{asked}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    server.history().await;
    let front = "/api/v1/cameras/front";
    let mut faults = Vec::new();
    let mut taken = 0;
    for (from, to) in ranges(server.nvr.clock().now()) {
        let job = |kind: &str, params: Value| {
            let mut params = params;
            params["from"] = from.clone().into();
            params["to"] = to.clone().into();
            (
                "/api/v1/jobs".to_owned(),
                json!({"kind": kind, "params": params, "not_before": to}),
            )
        };
        let booking = |more: Value| {
            let mut body = json!({"title": "x", "cameras": ["front"], "start": from, "end": to, "allow_conflicts": true});
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            ("/api/v1/bookings".to_owned(), body)
        };
        for (path, body) in [
            booking(json!({})),
            booking(json!({"repeat": "FREQ=WEEKLY", "except": [to], "keep_footage": "90d"})),
            (
                format!("{front}/detections"),
                json!({"label": "x", "from": from, "to": to, "best_at": from}),
            ),
            (
                "/api/v1/transcoding".to_owned(),
                json!({"camera": "front", "from": from, "to": to}),
            ),
            (
                "/api/v1/shares".to_owned(),
                json!({"camera": "front", "from": from, "to": to, "expires": 60}),
            ),
            (
                "/api/v1/tokens".to_owned(),
                json!({"label": "x", "scopes": ["read"], "expires": to}),
            ),
            job("export", json!({"camera": "front"})),
            job("merge", json!({"cameras": ["front"]})),
            job("timelapse", json!({"camera": "front"})),
        ] {
            let reply = server.order(Method::POST, &path, &body).await;
            taken += u32::from(reply.status.is_success());
            if reply.status == 500 {
                faults.push(format!("{path} {body}: {}", reply.text()));
            }
        }
    }
    // What was entered, read back, and the recorder with it goes on.
    for path in [
        "/api/v1/bookings?from=-9000000000&to=9000000000",
        "/api/v1/detections",
        "/api/v1/jobs",
        "/api/v1/timeline",
    ] {
        let reply = server.get(path).await;
        if reply.status == 500 {
            faults.push(format!("{path}: {}", reply.text()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(taken > 0);
    server.end().await;
}

/// Numbers and texts alike, to the nanosecond; what is none is told with its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_in_a_body_is_written_as_in_a_parameter() {
    let server = Server::of([camera("front", PICTURE)], |_| {}).await;
    let path = "/api/v1/cameras/front/detections";
    for time in [
        json!("2026-05-04T03:02:01.25Z"),
        json!("1777863721.25"),
        json!(1_777_863_721.25),
    ] {
        let body = json!({"label": "x", "from": time, "to": 1_777_863_722});
        let reply = server.order(Method::POST, path, &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert_eq!(reply.json()["from"], "2026-05-04T03:02:01.25Z", "{time}");
        assert_eq!(reply.json()["to"], "2026-05-04T03:02:02Z");
    }
    for wrong in [json!("yesterday"), json!(1e300), json!(true), json!([])] {
        let reply = server
            .order(Method::POST, path, &json!({"label": "x", "from": wrong}))
            .await;
        crate::support::assert_problem(&reply, 400, "invalid_argument");
        let detail = reply.json()["detail"].to_string();
        assert!(detail.contains("from") && detail.contains("RFC 3339"), "{detail}");
    }
    server.end().await;
}
