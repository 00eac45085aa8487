//! `nvr log-level`: what a running recorder logs, seen and changed for a time.

use clap::Args;
use jiff::tz::TimeZone;
use nvr_core::error::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::Output;
use crate::{client, config, logging, times};

#[derive(Args, Debug)]
pub struct LogLevelArgs {
    /// error, warn, info, debug, trace or off, or target=level pairs with commas: info,nvr_core::camera=debug. Without it
    /// (and without --gstreamer and --reset) what is in force is shown.
    filter: Option<String>,
    /// For how many seconds; then it is as configured again.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 900,
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Also GStreamer's own log, by category with levels from 0 to 7: rtspsrc:5,GST_STATES:4
    #[arg(long, value_name = "CATEGORIES")]
    gstreamer: Option<String>,
    /// As configured, at once.
    #[arg(long, conflicts_with_all = ["filter", "gstreamer"])]
    reset: bool,
}

pub async fn run(global: &Global, args: &LogLevelArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    if !client::recorder_runs(&config).await? {
        return Err(
            Error::new(ErrorKind::Unavailable, "no recorder runs that could be asked")
                .with_hint("what one logs from its start stands in log.filter")
                .into(),
        );
    }
    let recorder = client::required_address(&config)?;
    let path = "/api/v1/log-level";
    let asks = args.filter.is_none() && args.gstreamer.is_none() && !args.reset;
    let answer = if asks {
        client::order(&recorder, "GET", path, None).await?
    } else {
        let body = json!({ "filter": args.filter, "gstreamer": args.gstreamer, "for_seconds": args.seconds });
        client::order(&recorder, "PUT", path, Some(&body)).await?
    };
    let zone = times::zone(&config.recorder.time_zone);
    output.result(&answer, || text(&answer, &zone))
}

fn text(levels: &Value, zone: &TimeZone) -> String {
    let of = |name: &str| levels[name].as_str().unwrap_or_default();
    let mut out = of("filter").to_owned();
    if !of("gstreamer").is_empty() {
        out += &format!("; of GStreamer {}", of("gstreamer"));
    }
    match levels["until"].as_str() {
        Some(until) => out += &format!(" until {}, then {}", times::told(until, zone), of("configured")),
        None => out += " (as configured)",
    }
    out
}
