//! A recorder of test pictures with its HTTP server on a free port, and a client that asks it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nvr_core::clock::{Clock as _, SystemClock};
use nvr_core::config::{Auth, CameraConfig, Config, RecordMode, RetentionConfig};
use nvr_core::testing::undivided;
use nvr_core::{CameraId, Nvr, SourceSpec};
use nvr_http::{AppState, LogBuffer, LogControl};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub const PICTURE: &str = "test:?size=320x240&fps=10&gop=10";
/// For what takes a moment on an idle machine: it may take long on a busy one.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Server {
    pub nvr: Nvr,
    pub address: String,
    client: reqwest::Client,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
    pub dir: tempfile::TempDir,
    pub logs: LogBuffer,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

pub fn camera(id: &str, source: &str) -> CameraConfig {
    let mut camera = CameraConfig::new(CameraId::new(id).unwrap(), SourceSpec::parse(source).unwrap());
    // Segments begin anew by the wall clock: by the quarter of an hour a test in four hundred would have one more.
    camera.segment = undivided(SystemClock::new().now());
    camera
}

/// A camera that records when told to.
pub fn manual(id: &str) -> CameraConfig {
    let mut camera = camera(id, PICTURE);
    camera.record = RecordMode::Manual;
    camera
}

impl Server {
    /// Two cameras that record.
    pub async fn start() -> Self {
        Self::of([camera("front", PICTURE), camera("yard", PICTURE)], |_| {}).await
    }

    pub async fn of(
        cameras: impl IntoIterator<Item = CameraConfig>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("recordings"));
        config.recorder.time_zone = "UTC".into();
        // The disk of who runs the tests may be fuller than that.
        config.retention = RetentionConfig::off();
        config.cameras.extend(cameras);
        config.http.auth = Auth::None;
        change(&mut config);
        Self::serving(dir, config).await
    }

    /// A recorder with a configuration file: recordings root, then `text`.
    pub async fn of_file(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("recordings");
        let text = format!(
            "[recorder]\nroot = {:?}\ntime_zone = \"UTC\"\n[http]\nauth = \"none\"\n{text}",
            root.to_str().unwrap()
        );
        let file = write(dir.path(), "nvr.toml", text.as_bytes());
        let config = Config::load(&file).unwrap();
        Self::serving(dir, config).await
    }

    async fn serving(dir: tempfile::TempDir, config: Config) -> Self {
        let http = config.http.clone();
        let nvr = Nvr::builder(config).start().await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let logs = LogBuffer::new(50, nvr.clock());
        let control = LogControl::new("info", None, nvr.clock(), |_| Ok(()));
        let task = tokio::spawn({
            let (nvr, stop) = (nvr.clone(), stop.clone());
            let state = AppState::new(nvr, &http)
                .with_logs(logs.clone())
                .with_log_control(control);
            async move { nvr_http::serve_state(listener, state, &http, stop, Duration::from_secs(1)).await }
        });
        Self {
            nvr,
            address,
            client: reqwest::Client::new(),
            stop,
            task,
            dir,
            logs,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> reqwest::Response {
        let mut request = self.client.request(method, self.url(path));
        for (name, value) in headers {
            request = request.header(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Of an answer without an end the head alone is read.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Reply {
        let response = self.open(method, path, headers, body).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let endless = headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"multipart/x-mixed-replace"));
        let body = if endless {
            Vec::new()
        } else {
            let body = response.bytes().await;
            body.unwrap_or_else(|e| panic!("{path}: {e}")).to_vec()
        };
        Reply {
            status,
            headers,
            body,
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path, &[], None).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.ask(Method::GET, path, headers, None).await
    }

    /// An order with a JSON body.
    pub async fn order(&self, method: Method, path: &str, body: &Value) -> Reply {
        let body = body.to_string().into_bytes();
        self.ask(method, path, &[("content-type", "application/json")], Some(body))
            .await
    }

    pub async fn post(&self, path: &str) -> Reply {
        self.ask(Method::POST, path, &[], None).await
    }

    /// The body of an answer that must be 200.
    pub async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/json"), "{path}");
        reply.json()
    }

    /// Asks until the answer is as wanted.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let now = self.get(path).await.json();
            if wanted(&now) {
                return now;
            }
            assert!(start.elapsed() < PATIENCE, "{path} stays {now:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn state(&self, camera: &str, wanted: &str) -> Value {
        self.until(&format!("/api/v1/cameras/{camera}"), |c| c["state"] == wanted)
            .await
    }

    /// Until so many seconds of a camera can be asked for.
    pub async fn recorded(&self, camera: &str, seconds: f64) -> Value {
        let path = format!("/api/v1/cameras/{camera}/timeline");
        self.until(&path, |t| {
            t["totals"]["recorded_seconds"]
                .as_f64()
                .is_some_and(|s| s >= seconds)
        })
        .await
    }

    /// Two segments, a gap, and a third one that is growing, of the camera `front`. Returns the timeline with
    /// the camera stopped, so that it stays as it is.
    pub async fn history(&self) -> Value {
        let segments = "/api/v1/cameras/front/segments";
        let closed = |n: usize| {
            move |v: &Value| {
                v["segments"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|s| s["state"] == "closed")
                    .count()
                    >= n
            }
        };
        self.recorded("front", 3.0).await;
        assert_eq!(self.post("/api/v1/cameras/front/split").await.status, 202);
        self.until(segments, closed(1)).await;
        let so_far = self.recorded("front", 5.0).await;
        assert_eq!(self.post("/api/v1/cameras/front/stop").await.status, 202);
        self.state("front", "stopped").await;
        self.until(segments, closed(2)).await;
        // So much is missing that it cannot be taken for a late frame.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(self.post("/api/v1/cameras/front/start").await.status, 202);
        let so_far = so_far["totals"]["recorded_seconds"].as_f64().unwrap();
        self.recorded("front", so_far + 4.0).await
    }

    pub async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        let report = self.nvr.shutdown(Duration::from_secs(20)).await;
        assert!(report.cut.is_empty(), "{report:?}");
    }
}

/// A problem (RFC 9457) of this status and type.
#[track_caller]
pub fn assert_problem(reply: &Reply, status: u16, kind: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.headers[CONTENT_TYPE], "application/problem+json");
    let problem = reply.json();
    assert_eq!(problem["type"], kind, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert!(
        problem["title"].is_string() && !problem["detail"].as_str().unwrap().is_empty(),
        "{problem}"
    );
}

/// Runs a program that judges files, and returns what it prints.
pub async fn run(program: &str, args: &[&str]) -> String {
    let output = tokio::process::Command::new(program)
        .args(args)
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{program} {args:?}: {errors}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Length in seconds, and number of video packets, as ffprobe sees them; decodes all of it.
pub async fn probe(address: &str) -> (f64, usize) {
    let streams = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "packet=pts_time",
            "-of",
            "csv=p=0",
            address,
        ],
    )
    .await;
    let mut times: Vec<f64> = streams
        .lines()
        .filter_map(|l| l.trim_end_matches(',').parse().ok())
        .collect();
    times.sort_by(f64::total_cmp);
    run("ffmpeg", &["-v", "error", "-i", address, "-f", "null", "-"]).await;
    (
        times.last().unwrap_or(&0.0) - times.first().unwrap_or(&0.0),
        times.len(),
    )
}

pub fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}
