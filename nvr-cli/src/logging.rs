//! Sets up the log: to the standard error, so that results can be piped.

use nvr_core::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging. `NVR_LOG` comes first, then `-v`, then the configuration; commands that only ask stay at
/// warnings.
pub fn start(verbose: u8, config: Option<&LogConfig>) {
    let from_flags = match verbose {
        0 => config.map_or("warn", |c| c.filter.as_str()),
        1 => "info,nvr_core=debug,nvr_http=debug,nvr=debug",
        _ => "info,nvr_core=trace,nvr_http=trace,nvr=trace",
    };
    let filter = std::env::var("NVR_LOG")
        .ok()
        .and_then(|text| text.parse::<EnvFilter>().ok())
        .unwrap_or_else(|| EnvFilter::new(from_flags));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // Only the first one counts; there is no second one in a process.
    let _ = match config.map(|c| c.format) {
        Some(LogFormat::Json) => log.json().flatten_event(true).try_init(),
        _ => log.try_init(),
    };
}
