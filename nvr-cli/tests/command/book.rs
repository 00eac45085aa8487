//! `nvr book`, beside a running recorder and without one.

use std::path::Path;

use crate::common::demo::Demo;
use crate::common::{Outcome, nvr};
use serde_json::json;

fn book(dir: &Path, args: &[&str]) -> Outcome {
    nvr(dir, &[&["-c", "demo/nvr.toml", "--json", "book"], args].concat())
}

const CALENDAR: &str = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:a\r\nSUMMARY:Fair\r\nDTSTART:21990601T100000Z\r\nDTEND:21990601T120000Z\r\nEND:VEVENT\r\n\
    BEGIN:VEVENT\r\nUID:b\r\nSUMMARY:Long ago\r\nDTSTART:20200601T100000Z\r\nDTEND:20200601T120000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[test]
fn bookings_with_and_without_a_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("fair.ics"), CALENDAR).unwrap();
    let demo = Demo::start(dir, &[]);
    let add = [
        "add",
        "Council",
        "--cameras",
        "front,yard",
        "--from",
        "2199-05-04T10:00:00Z",
        "--length",
        "2h",
    ];
    let weekly = [
        &add[..],
        &[
            "--repeat",
            "FREQ=WEEKLY;COUNT=2",
            "--then",
            "validate",
            "--keep-footage",
            "1d",
        ],
    ]
    .concat();
    let one = book(dir, &weekly);
    assert_eq!(one.code, 0, "{one:?}");
    let id = one.json()["booking"]["id"].to_string();
    assert_eq!(one.json()["booking"]["keep_footage"], 86_400);
    let clash = book(dir, &add);
    assert_eq!(clash.code, 6, "{clash:?}");
    assert!(clash.stderr.contains("Council"), "{clash:?}");
    let imported = book(dir, &["import", "fair.ics", "--cameras", "front"]);
    assert_eq!(imported.code, 0, "{imported:?}");
    assert_eq!(imported.json()["booked"].as_array().unwrap().len(), 1);
    let served = book(dir, &["list"]);
    let range = ["list", "--from", "2199-01-01", "--to", "2199-12-31"];
    let times = book(dir, &range).json();
    assert_eq!(times.as_array().unwrap().len(), 3, "{times:#}");
    for (wrong, code) in [
        (
            &[
                "add",
                "x",
                "--cameras",
                "none",
                "--from",
                "2199-05-04T10:00:00Z",
                "--length",
                "2h",
            ][..],
            4,
        ),
        (
            &[
                "add",
                "x",
                "--cameras",
                "front",
                "--from",
                "2199-05-04T10:00:00Z",
                "--length",
                "2h",
                "--repeat",
                "HOURLY",
            ],
            2,
        ),
        (&["show", "999"], 4),
    ] {
        let refused = book(dir, wrong);
        assert_eq!(refused.code, code, "{wrong:?}: {refused:?}");
    }
    demo.stop();

    // The same without one.
    let idle = book(dir, &["list"]);
    assert_eq!(idle.json(), served.json());
    assert_eq!(book(dir, &range).json(), times);
    let cancelled = book(dir, &["cancel", &id, "--start", "2199-05-11T10:00:00Z"]);
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    assert_eq!(
        book(dir, &["cancel", &id, "--start", "2199-05-11T10:00:00Z"]).code,
        6
    );
    assert_eq!(book(dir, &add).code, 6);
    assert_eq!(book(dir, &[&add[..], &["--allow-conflicts"]].concat()).code, 0);
    assert_eq!(
        book(dir, &["delete", &id]).json(),
        json!({"id": 1, "deleted": true})
    );
    assert_eq!(book(dir, &["show", &id]).code, 4);
    let table = nvr(dir, &["-c", "demo/nvr.toml", "book", "list"]);
    assert!(
        table.stdout.contains("Fair") && table.stdout.contains("planned"),
        "{table:?}"
    );
}
