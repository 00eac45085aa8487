//! Live in a real browser, by each way: pictures arrive and move. The clock that the test camera draws into them is read
//! back; how old they are is printed, and not asserted (see `docs/live.md`).

use crate::browser::Browser;
use crate::support::{Server, camera};
use serde_json::Value;

/// So many different pictures are to be seen, however long a busy machine takes.
const FRAMES: u64 = 20;
const SCRIPT: &str = include_str!("browser_live.js");

async fn watch(browser: &Browser, way: &str) -> Value {
    let result = browser
        .promised(&format!(
            "(() => {{ {SCRIPT}; return watch('{way}', 'front', 4, {FRAMES}); }})()"
        ))
        .await;
    #[expect(clippy::print_stdout, reason = "figures, for whoever runs it by hand")]
    {
        println!("{result}");
    }
    assert!(
        result["ended"].is_null() && result["error"].is_null(),
        "{result:#}"
    );
    assert!(result["frames"].as_u64().unwrap() >= FRAMES, "{result:#}");
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_shows_moving_pictures() {
    let source = "test:?size=1280x720&fps=25&gop=50&pattern=ball";
    let server = Server::of([camera("front", source)], |c| c.http.webrtc_port = 0).await;
    server.state("front", "recording").await;
    let downloads = tempfile::tempdir().unwrap();
    let browser = Browser::start(downloads.path()).await;
    browser.open(&server.url("/health")).await;
    for way in ["mse", "whep", "whep-tcp", "hls", "preview", "mjpeg"] {
        let result = watch(&browser, way).await;
        if way.starts_with("whep") {
            assert_eq!(result["deleted"], 200);
            assert!(
                result["audio"].as_u64().unwrap() > 15,
                "G.711 goes as it is: {result:#}"
            );
            let gone = server.nvr.camera(&"front".parse().unwrap()).unwrap();
            let start = std::time::Instant::now();
            while gone.viewers(nvr_core::live::StreamKind::Main).now > 0 {
                assert!(start.elapsed() < crate::support::PATIENCE, "the session stays");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
    let counters = server
        .nvr
        .camera(&"front".parse().unwrap())
        .unwrap()
        .status()
        .counters;
    assert_eq!(counters.frames_dropped, 0);
    browser.end().await;
    server.end().await;
}
