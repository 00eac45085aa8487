//! The page in a real browser (headless Chromium, driven through chromedriver by WebDriver's plain HTTP).
#![expect(
    clippy::disallowed_methods,
    reason = "how patient a test is, is no matter of the recorder's clock"
)]
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod browser;
#[path = "api/support.rs"]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use browser::Browser;
use reqwest::Method;
use serde_json::json;
use support::{PATIENCE, PICTURE, Server, camera, probe};

const TIME: &str = "document.querySelector('#video').currentTime";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_plays_saves_and_orders() {
    let cameras = [
        camera("front", PICTURE),
        camera("yard", PICTURE),
        camera("gate", "rtsp://127.0.0.1:1/"),
    ];
    let server = Server::of(cameras, |_| {}).await;
    server.history().await;
    let downloads = tempfile::tempdir().unwrap();
    let browser = Browser::start(downloads.path()).await;
    browser.open(&server.url("/")).await;

    let state = |id: &str| format!("document.querySelector('[data-id={id}] .state')?.textContent");
    browser
        .until(&format!(
            "{} === 'recording' && {} === 'recording'",
            state("front"),
            state("yard")
        ))
        .await;
    browser
        .until("document.querySelector('[data-id=gate] .cause').textContent.includes('127.0.0.1:1')")
        .await;
    browser
        .until("document.querySelector('[data-id=front] img').naturalWidth === 480")
        .await;
    assert_eq!(
        browser
            .value("document.querySelector('[data-id=gate] img').hidden")
            .await,
        true
    );

    // Live: a picture that moves, near the present.
    browser.click("[data-id=front] .open").await;
    browser
        .until("document.querySelector('#playing').textContent.endsWith('live')")
        .await;
    let start = browser.value(TIME).await.as_f64().unwrap();
    browser.until(&format!("{TIME} > {start} + 2")).await;
    assert!(
        browser
            .value("document.querySelector('#video').src")
            .await
            .as_str()
            .unwrap()
            .starts_with("blob:")
    );

    // Back in time, from before the gap over it: the time shown leaves the gap out.
    browser
        .until("document.querySelectorAll('#bar .have').length > 0")
        .await;
    browser
        .value("document.querySelector('#span').value = '600'")
        .await;
    browser
        .value("document.querySelector('#span').dispatchEvent(new Event('change'))")
        .await;
    browser
        .until("document.querySelectorAll('#bar .have').length === 2")
        .await;
    let seek = "(() => { const have = document.querySelector('#bar .have').getBoundingClientRect();
        document.querySelector('#bar').dispatchEvent(new MouseEvent('click', { clientX: have.left, bubbles: true })); return true; })()";
    browser.value(seek).await;
    browser
        .until("document.querySelector('#video').src.includes('/export.mp4?')")
        .await;
    browser.until(&format!("{TIME} > 1")).await;

    // What is marked by then can be saved.
    browser
        .until("document.querySelector('#save').href.includes('format=mp4')")
        .await;
    browser.click("#save").await;
    let saved = saved_file(downloads.path()).await;
    let (length, frames) = probe(saved.to_str().unwrap()).await;
    assert!(length > 5.0 && frames > 50, "{length} s, {frames} frames");

    // Orders.
    browser.click("[data-id=yard] .stop").await;
    browser.until(&format!("{} === 'stopped'", state("yard"))).await;
    server.state("yard", "stopped").await;
    browser.click("[data-id=yard] .start").await;
    browser.until(&format!("{} === 'recording'", state("yard"))).await;

    let log = browser.log().await;
    let bad: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .filter(|m| m["level"] != "DEBUG" && m["level"] != "INFO")
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    // A clip that is not there is refused in words; what the browser logs of it is looked at above.
    browser
        .value(
            "(() => { for (const [id, value] of [['from', '2001-01-01T00:00:00'], ['to', '2001-01-01T00:01:00']]) {
                const field = document.getElementById(id); field.value = value;
                field.dispatchEvent(new Event('input')); } return true; })()",
        )
        .await;
    browser.click("#save").await;
    browser
        .until("document.querySelector('#save-error').checkVisibility() && document.querySelector('#save-error').textContent.includes('nothing is recorded')")
        .await;

    let hosts = browser.value("performance.getEntriesByType('resource').map((e) => e.name).filter((n) => !n.startsWith(location.origin) && !n.startsWith('blob:'))").await;
    assert_eq!(hosts, json!([]));
    // Nothing is wider than a small phone.
    let narrow = json!({"width": 360, "height": 740});
    browser.send(Method::POST, "/window/rect", Some(narrow)).await;
    assert_eq!(
        browser
            .value("document.documentElement.scrollWidth > innerWidth")
            .await,
        false
    );
    browser.end().await;
    server.end().await;
}

async fn saved_file(dir: &Path) -> std::path::PathBuf {
    let start = Instant::now();
    loop {
        let done = std::fs::read_dir(dir)
            .unwrap()
            .map(|f| f.unwrap().path())
            .find(|f| f.extension().is_some_and(|e| e == "mp4"));
        if let Some(file) = done {
            return file;
        }
        assert!(start.elapsed() < PATIENCE, "nothing was saved");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
