//! A real browser (headless Chromium), driven through chromedriver by WebDriver's plain HTTP.

use std::path::Path;
use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::PATIENCE;

/// A session of a browser.
pub struct Browser {
    _driver: Child,
    client: reqwest::Client,
    session: String,
}

impl Browser {
    pub async fn start(downloads: &Path) -> Self {
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
                "--window-size=1200,1000", "--lang=en", "--autoplay-policy=no-user-gesture-required",
                // A browser on the same machine, without names in place of addresses.
                "--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns"],
            "prefs": {"download.default_directory": downloads},
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}});
        let session = browser.send(Method::POST, "", Some(wanted)).await;
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().unwrap());
        browser
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.client.request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let mut reply: Value = request.send().await.unwrap().json().await.unwrap();
        assert!(reply["value"]["error"].is_null(), "{path}: {reply:#}");
        reply["value"].take()
    }

    pub async fn open(&self, url: &str) {
        self.send(Method::POST, "/url", Some(json!({"url": url}))).await;
    }

    /// The value of an expression in the page.
    pub async fn value(&self, expression: &str) -> Value {
        let script = json!({"script": format!("return ({expression})"), "args": []});
        self.send(Method::POST, "/execute/sync", Some(script)).await
    }

    pub async fn until(&self, expression: &str) -> Value {
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
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// What the promise of an expression in the page comes to.
    pub async fn promised(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
            Promise.resolve({expression}).then((value) => done({{ value }}), (e) => done({{ error: String(e?.stack ?? e) }}));"
        );
        let timeouts = json!({"script": 120_000});
        self.send(Method::POST, "/timeouts", Some(timeouts)).await;
        let script = json!({"script": script, "args": []});
        let mut reply = self.send(Method::POST, "/execute/async", Some(script)).await;
        assert!(
            reply["error"].is_null(),
            "{}\n{:#}",
            reply["error"].as_str().unwrap_or_default(),
            self.log().await
        );
        reply["value"].take()
    }

    /// Messages of the console since the last time.
    pub async fn log(&self) -> Value {
        self.send(Method::POST, "/se/log", Some(json!({"type": "browser"})))
            .await
    }

    pub async fn end(self) {
        self.send(Method::DELETE, "", None).await;
    }
}
