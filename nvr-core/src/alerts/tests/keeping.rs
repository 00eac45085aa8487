//! Over a restart, with a real index and a real server: what is not delivered goes on, what is old is given up.

use std::sync::Arc;
use std::time::Duration;

use super::super::channel::tests::{Received, Server};
use super::super::*;
use crate::clock::SystemClock;
use crate::config::{AlertChannel, AlertsConfig, ChannelPlace};
use crate::secret::Secret;
use crate::store::{AlertsQuery, OpenMode, Store};

fn parts(folder: &std::path::Path) -> Parts {
    Parts {
        store: Store::open(folder.join("index.sqlite"), OpenMode::ReadWrite).unwrap(),
        clock: SystemClock::shared(),
        pictures: Arc::new(|_, _| Box::pin(async { None })),
    }
}

fn config(url: &str) -> AlertsConfig {
    let place = ChannelPlace::Webhook {
        url: Secret::new(url),
        method: "POST".into(),
        headers: Vec::new(),
        secret: None,
    };
    let mut rules = AlertRule::defaults();
    for rule in &mut rules {
        (rule.after, rule.hold) = (Duration::ZERO, Duration::ZERO);
    }
    AlertsConfig {
        channels: vec![AlertChannel::new("hook", place)],
        group: Duration::ZERO,
        interval: Duration::ZERO,
        rules,
        ..AlertsConfig::default()
    }
}

fn storage(alerts: &Alerts, bad: bool) {
    let now = SystemClock::shared().now();
    alerts.see(|e| {
        e.observe(AlertKind::Storage, None, Some("disk"), now, |_| {
            bad.then(|| "the disk is gone".into())
        });
    });
}

async fn status(received: &mut Received) -> String {
    let request = received.next().await;
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    body["status"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_delivers_what_waits_and_tells_the_end_but_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody is there.
    let (server, mut received) = Server::start(|_| 200).await;
    let url = server.url("/x");
    let dead = "http://127.0.0.1:1/x";
    let first = Alerts::start(parts(folder.path()), &config(dead), None)
        .await
        .unwrap();
    storage(&first, true);
    first.step().await.unwrap();
    let mut failed = 0;
    while failed == 0 {
        failed = first.channels().await.unwrap()[0].failed;
        tokio::task::yield_now().await;
    }
    assert_eq!(first.channels().await.unwrap()[0].waiting, 1);
    assert_eq!(first.troubles().len(), 1);
    first.stop();
    drop(first);

    let second = Alerts::start(parts(folder.path()), &config(&url), None)
        .await
        .unwrap();
    assert_eq!(second.active().len(), 1);
    storage(&second, true);
    second.step().await.unwrap();
    // It waits for its turn: a few seconds after the attempt that failed.
    assert_eq!(status(&mut received).await, "firing");
    storage(&second, false);
    second.step().await.unwrap();
    assert_eq!(status(&mut received).await, "resolved");
    let query = AlertsQuery {
        among: None,
        resolved: None,
        limit: 10,
        cursor: None,
    };
    let history = second.history(query).await.unwrap().items;
    assert_eq!(history.len(), 1);
    assert!(history[0].resolved.is_some() && second.active().is_empty());
    assert!(received.is_empty(), "nothing was told twice");
    // A channel that is not configured any more leaves nothing behind.
    second.configure(&AlertsConfig::default(), None).await.unwrap();
    second.tidy(crate::time::Timestamp::MAX).await.unwrap();
    assert!(second.channels().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_refuses_is_not_asked_again_and_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut received) = Server::start(|_| 404).await;
    let alerts = Alerts::start(parts(folder.path()), &config(&server.url("/hunter2")), None)
        .await
        .unwrap();
    storage(&alerts, true);
    alerts.step().await.unwrap();
    received.next().await;
    let mut channel = alerts.channels().await.unwrap().remove(0);
    while channel.given_up == 0 || channel.waiting > 0 {
        tokio::task::yield_now().await;
        channel = alerts.channels().await.unwrap().remove(0);
    }
    assert_eq!((channel.waiting, channel.delivered), (0, 0));
    let why = channel.last_failure.unwrap();
    assert!(why.contains("404") && !why.contains("hunter2"), "{why}");
    assert_eq!(
        alerts.test("none", None).await.unwrap_err().kind(),
        crate::ErrorKind::NotFound
    );
    assert!(
        alerts
            .test("hook", None)
            .await
            .unwrap_err()
            .to_string()
            .contains("404")
    );
    assert!(
        alerts
            .mute(Some("norule".into()), None, Duration::from_secs(9), None)
            .await
            .is_err()
    );
    let mute = alerts
        .mute(None, None, Duration::from_secs(9), None)
        .await
        .unwrap();
    alerts.unmute(mute.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_cannot_be_written_keeps_nothing_from_being_told() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut received) = Server::start(|_| 200).await;
    let parts = parts(folder.path());
    let store = parts.store.clone();
    let alerts = Alerts::start(parts, &config(&server.url("/x")), None)
        .await
        .unwrap();
    store.shutdown().await.unwrap();
    storage(&alerts, true);
    assert!(alerts.step().await.is_err());
    assert_eq!(status(&mut received).await, "firing");
    storage(&alerts, true);
    assert!(alerts.step().await.is_err());
    storage(&alerts, false);
    assert!(alerts.step().await.is_err());
    assert_eq!(status(&mut received).await, "resolved", "and nothing twice");
    assert!(alerts.active().is_empty());
}
