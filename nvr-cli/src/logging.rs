//! Sets up the log: to the standard error, so that results can be piped; a recorder whose standard error is the journal
//! writes its records there with their fields.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use nvr_core::clock::SystemClock;
use nvr_core::config::{LogConfig, LogFormat};
use nvr_core::event::EventKind;
use nvr_core::pipeline_log::PipelineLog;
use nvr_core::redact::redact;
use nvr_core::{Nvr, Result};
use nvr_http::{LogBuffer, LogControl, LogRecord};
use tokio_stream::StreamExt as _;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, reload};

use crate::journal::Journal;
use crate::line;

/// Records that are kept in memory for `GET /api/v1/logs`.
const KEPT: usize = 2000;

/// The log of a recorder.
#[derive(Clone, Debug)]
pub struct Logs {
    /// Its newest records.
    pub buffer: LogBuffer,
    /// What is logged.
    pub control: LogControl,
    /// Whether that follows the configuration: neither `NVR_LOG` nor `-v` comes before it.
    follows: bool,
}

/// Starts logging. `NVR_LOG` comes first, then `-v`, then the configuration; commands that only ask stay at
/// warnings.
pub fn start(verbose: u8, config: Option<&LogConfig>) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Redacted)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match config.map(|c| c.format) {
        Some(LogFormat::Json) => lines.json().flatten_event(true).boxed(),
        _ => lines.boxed(),
    };
    let (filter, _) = filter(verbose, config);
    // Only the first one counts; there is no second one in a process.
    let _ = tracing_subscriber::registry()
        .with(EnvFilter::new(filter))
        .with(lines)
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

/// The same for a recorder: the newest records are kept for those who look over HTTP, GStreamer's log is among them, and what
/// is logged can be changed. All goes to the journal where that reads the standard error and lines were not asked for as JSON.
/// With `quiet`, less than a warning is kept and not printed, unless somebody asked for more.
///
/// # Errors
/// `Unsupported` when GStreamer cannot be set up.
pub fn start_kept(verbose: u8, config: &LogConfig, quiet: bool) -> Result<Logs> {
    let clock = SystemClock::shared();
    let buffer = LogBuffer::new(KEPT, clock.clone());
    let is_json = config.format == LogFormat::Json;
    let sink: Arc<dyn Fn(&LogRecord) + Send + Sync> = match Journal::of_stderr().filter(|_| !is_json) {
        Some(journal) => Arc::new(move |record| journal.write(record)),
        None if is_json => Arc::new(|record| print(&line::json(record))),
        None => {
            let colours = std::io::stderr().is_terminal();
            Arc::new(move |record| print(&line::text(record, colours)))
        }
    };
    let (filter, follows) = filter(verbose, Some(config));
    let all = !quiet || !follows;
    let (changeable, handle) = reload::Layer::new(EnvFilter::new(&filter));
    let _ = tracing_subscriber::registry()
        .with(changeable)
        .with(buffer.layer().with_sink(move |record| {
            if all || matches!(record.level, "error" | "warn") {
                sink(record);
            }
        }))
        .try_init();
    let control = LogControl::new(filter, Some(PipelineLog::hand_on()?), clock, move |filter| {
        handle.reload(EnvFilter::new(filter)).map_err(|e| e.to_string())
    });
    Ok(Logs {
        buffer,
        control,
        follows,
    })
}

fn print(line: &str) {
    // Whoever read it is gone: the recorder goes on.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// What is logged, and whether the configuration says so.
fn filter(verbose: u8, config: Option<&LogConfig>) -> (String, bool) {
    if let Ok(text) = std::env::var("NVR_LOG")
        && text.parse::<EnvFilter>().is_ok()
    {
        return (text, false);
    }
    let from_flags = match verbose {
        0 => {
            return (
                config.map_or("warn", |c| c.filter.as_str()).to_owned(),
                config.is_some(),
            );
        }
        1 => "info,nvr_core=debug,nvr_http=debug,nvr=debug",
        _ => "info,nvr_core=trace,nvr_http=trace,nvr=trace",
    };
    (from_flags.to_owned(), false)
}

impl Logs {
    /// Puts another `log.filter` in force when the configuration is read again, until the recorder ends.
    pub fn follow(&self, nvr: &Nvr) {
        if !self.follows {
            return;
        }
        let (control, nvr) = (self.control.clone(), nvr.clone());
        tokio::spawn(async move {
            let mut events = nvr.events();
            while let Some(event) = events.next().await {
                if matches!(
                    event.kind,
                    EventKind::ConfigReloaded { .. } | EventKind::Lagged { .. }
                ) && let Err(e) = control.configure(&nvr.config().log.filter)
                {
                    tracing::warn!(error = %e, "the new filter of the log is not in force");
                }
            }
        });
    }
}
