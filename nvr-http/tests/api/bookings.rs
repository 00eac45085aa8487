//! Bookings: entered, listed, changed, called off; conflicts; whose cameras they are.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{PICTURE, Server, assert_problem, manual};

const ALL: &str = "/api/v1/bookings";

fn far(hour: u32) -> String {
    format!("2199-05-06T{hour:02}:00:00Z")
}

fn wish(title: &str, from: u32, to: u32) -> Value {
    json!({"title": title, "cameras": ["front"], "start": far(from), "end": far(to)})
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_entered_changed_and_called_off() {
    let server = Server::of([manual("front"), manual("yard")], |_| {}).await;
    assert_eq!(server.json(ALL).await, json!({"bookings": []}));
    let mut weekly = wish("Council", 10, 12);
    weekly["repeat"] = json!("FREQ=WEEKLY;COUNT=3");
    weekly["then"] = json!(["validate"]);
    weekly["keep_footage"] = json!("90d");
    let booked = server.order(Method::POST, ALL, &weekly).await;
    assert_eq!(booked.status, 201, "{}", booked.text());
    let booking = booked.json()["booking"].clone();
    let place = format!("{ALL}/{}", booking["id"]);
    assert_eq!(booked.header("location"), Some(place.as_str()));
    assert_eq!(
        (&booking["state"], &booking["next"]["start"]),
        (&json!("planned"), &json!(far(10)))
    );
    assert_eq!(
        (&booking["keep_footage"], &booking["then"]),
        (&json!(7_776_000), &json!(["validate"]))
    );

    let clash = server.order(Method::POST, ALL, &wish("Repair", 11, 13)).await;
    assert_problem(&clash, 409, "conflict");
    assert!(
        clash.json()["detail"].as_str().unwrap().contains("Council"),
        "{}",
        clash.text()
    );
    let mut allowed = wish("Repair", 11, 13);
    allowed["allow_conflicts"] = json!(true);
    let second = server.order(Method::POST, ALL, &allowed).await;
    assert_eq!(second.status, 201, "{}", second.text());
    assert_eq!(second.json()["conflicts"][0]["booking"], booking["id"]);
    for (body, status, kind) in [
        (json!({"title": "x"}), 400, "invalid_argument"),
        (wish("Backwards", 12, 10), 400, "invalid_argument"),
        (
            json!({"title": "x", "cameras": ["none"], "start": far(1), "end": far(2)}),
            404,
            "not_found",
        ),
        (
            json!({"title": "x", "cameras": ["yard"], "start": far(1), "end": far(2), "then": ["merge it"]}),
            400,
            "invalid_argument",
        ),
        (
            json!({"title": "x", "cameras": ["yard"], "start": far(1), "end": far(2), "repeat": "HOURLY"}),
            400,
            "invalid_argument",
        ),
    ] {
        assert_problem(&server.order(Method::POST, ALL, &body).await, status, kind);
    }

    let range = "from=2199-01-01T00:00:00Z&to=2199-12-31T00:00:00Z";
    let listed = server
        .json(&format!("{ALL}/occurrences?{range}&booking={}", booking["id"]))
        .await;
    assert_eq!(listed["occurrences"].as_array().unwrap().len(), 3, "{listed:#}");
    let one = json!({"start": "2199-05-13T10:00:00Z"});
    let cancelled = server.order(Method::POST, &format!("{place}/cancel"), &one).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    let listed = server
        .json(&format!("{ALL}/occurrences?{range}&state=cancelled"))
        .await;
    assert_eq!(listed["occurrences"][0]["start"], one["start"]);
    assert_problem(
        &server.order(Method::POST, &format!("{place}/cancel"), &one).await,
        409,
        "conflict",
    );

    let changed = server
        .order(
            Method::PATCH,
            &place,
            &json!({"title": "Board", "cameras": ["front", "yard"], "repeat": "", "allow_conflicts": true}),
        )
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let now = server.json(&place).await;
    assert_eq!(
        (&now["title"], &now["cameras"], &now["repeat"]),
        (&json!("Board"), &json!(["front", "yard"]), &Value::Null)
    );
    assert_eq!(server.post(&format!("{place}/cancel")).await.status, 200);
    assert_eq!(
        server.json(&format!("{ALL}?state=cancelled")).await["bookings"][0]["id"],
        booking["id"]
    );
    assert_eq!(server.ask(Method::DELETE, &place, &[], None).await.status, 204);
    assert_problem(&server.get(&place).await, 404, "not_found");
    let told = server.json("/api/v1/events?kind=booking_changed").await;
    assert!(told["events"].as_array().unwrap().len() >= 5, "{told:#}");
    assert_eq!(
        server.json(&format!("{ALL}/calendars")).await,
        json!({"calendars": []})
    );
    server.end().await;
}

/// A camera that is off is recorded for it, from now on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_booked_now_is_recorded_and_ends_when_it_is_called_off() {
    let mut yard = crate::support::camera("yard", PICTURE);
    yard.record = nvr_core::config::RecordMode::Off;
    let server = Server::of([yard], |_| {}).await;
    let now = nvr_core::clock::Clock::now(&nvr_core::clock::SystemClock::new());
    let (start, end) = (now.add_ns(-1_000_000_000), now.add_ns(3_600_000_000_000));
    let body = json!({"title": "Now", "cameras": ["yard"], "start": start, "end": end});
    let booked = server.order(Method::POST, ALL, &body).await;
    assert_eq!(booked.status, 201, "{}", booked.text());
    server.recorded("yard", 2.0).await;
    let id = booked.json()["booking"]["id"].clone();
    server
        .until(&format!("{ALL}/{id}"), |b| b["state"] == "recording")
        .await;
    assert_eq!(server.post(&format!("{ALL}/{id}/cancel")).await.status, 200);
    server.state("yard", "stopped").await;
    server
        .until(&format!("{ALL}/{id}"), |b| b["state"] == "cancelled")
        .await;
    server.end().await;
}
