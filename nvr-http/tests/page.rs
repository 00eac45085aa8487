//! The page in a real browser (headless Chromium, driven through chromedriver by WebDriver's plain HTTP).
#![expect(
    clippy::disallowed_methods,
    reason = "how patient a test is, is no matter of the recorder's clock"
)]
#![allow(clippy::unwrap_used, reason = "tests may panic")]

#[path = "api/support.rs"]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use support::{PATIENCE, PICTURE, Server, camera, probe};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A session of a browser.
struct Browser {
    _driver: Child,
    client: reqwest::Client,
    session: String,
}

impl Browser {
    async fn start(downloads: &Path) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is needed (Debian: chromium-driver)");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port: u16 = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("chromedriver says its port");
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let mut browser = Self {
            _driver: driver,
            client: reqwest::Client::new(),
            session: format!("http://127.0.0.1:{port}/session"),
        };
        let options = json!({
            "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                "--window-size=1200,1000", "--lang=en"],
            "prefs": {"download.default_directory": downloads},
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}});
        let session = browser.send(Method::POST, "", Some(wanted)).await;
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().unwrap());
        browser
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.client.request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let mut reply: Value = request.send().await.unwrap().json().await.unwrap();
        assert!(reply["value"]["error"].is_null(), "{path}: {reply:#}");
        reply["value"].take()
    }

    async fn open(&self, url: &str) {
        self.send(Method::POST, "/url", Some(json!({"url": url}))).await;
    }

    /// The value of an expression in the page.
    async fn value(&self, expression: &str) -> Value {
        let script = json!({"script": format!("return ({expression})"), "args": []});
        self.send(Method::POST, "/execute/sync", Some(script)).await
    }

    async fn until(&self, expression: &str) -> Value {
        let start = Instant::now();
        loop {
            let value = self.value(expression).await;
            if value.as_bool().unwrap_or(!value.is_null()) {
                return value;
            }
            if start.elapsed() > PATIENCE {
                let page = self.value("document.body.innerText").await;
                let log = self.log().await;
                panic!("{expression} stays {value}\n{page}\n{log:#}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Clicks as a visitor would: what is hidden or covered cannot be clicked.
    async fn click(&self, selector: &str) {
        let find = json!({"using": "css selector", "value": selector});
        let element = self.send(Method::POST, "/element", Some(find)).await;
        let id = element
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        self.send(Method::POST, &format!("/element/{id}/click"), Some(json!({})))
            .await;
    }

    /// Messages of the console since the last time.
    async fn log(&self) -> Value {
        self.send(Method::POST, "/se/log", Some(json!({"type": "browser"})))
            .await
    }

    async fn end(self) {
        self.send(Method::DELETE, "", None).await;
    }
}

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
