//! Sets up the log: to the standard error, so that results can be piped; a recorder whose standard error is the journal
//! writes its records there with their fields.

use nvr_core::clock::SystemClock;
use nvr_core::config::{LogConfig, LogFormat};
use nvr_core::redact::redact;
use nvr_http::{LogBuffer, LogLayer};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

use crate::journal::Journal;

/// Records that are kept in memory for `GET /api/v1/logs`.
const KEPT: usize = 2000;

/// Starts logging. `NVR_LOG` comes first, then `-v`, then the configuration; commands that only ask stay at
/// warnings.
pub fn start(verbose: u8, config: Option<&LogConfig>) {
    begin(verbose, config, None, true);
}

/// The same for a recorder: the newest records are kept for those who look over HTTP, and all go to the journal where that
/// reads the standard error and lines were not asked for as JSON.
pub fn start_kept(verbose: u8, config: Option<&LogConfig>) -> LogBuffer {
    let buffer = LogBuffer::new(KEPT, SystemClock::shared());
    let is_text = config.is_none_or(|c| c.format == LogFormat::Text);
    match Journal::of_stderr().filter(|_| is_text) {
        Some(journal) => {
            let layer = buffer.layer().with_sink(move |record| journal.write(record));
            begin(verbose, config, Some(layer), false);
        }
        None => begin(verbose, config, Some(buffer.layer()), true),
    }
    buffer
}

fn begin(verbose: u8, config: Option<&LogConfig>, kept: Option<LogLayer>, to_stderr: bool) {
    let from_flags = match verbose {
        0 => config.map_or("warn", |c| c.filter.as_str()),
        1 => "info,nvr_core=debug,nvr_http=debug,nvr=debug",
        _ => "info,nvr_core=trace,nvr_http=trace,nvr=trace",
    };
    let filter = std::env::var("NVR_LOG")
        .ok()
        .and_then(|text| text.parse::<EnvFilter>().ok())
        .unwrap_or_else(|| EnvFilter::new(from_flags));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Redacted)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let lines = match config.map(|c| c.format) {
        Some(LogFormat::Json) => lines.json().flatten_event(true).boxed(),
        _ => lines.boxed(),
    };
    // Only the first one counts; there is no second one in a process.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(to_stderr.then_some(lines))
        .with(kept)
        .try_init();
    if let Err(e) = nvr_core::gst::redact_debug_log() {
        tracing::warn!(error = %e, "no log of GStreamer");
    }
}

/// The standard error, for whole lines: what looks like a secret is blotted out.
struct Redacted;

impl std::io::Write for Redacted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        std::io::stderr().lock().write_all(redact(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
