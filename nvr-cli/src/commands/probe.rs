//! `nvr probe`: opens a source and says what it sends.

use std::time::Duration;

use clap::Args;
use nvr_core::SourceSpec;
use nvr_core::config::Config;
use nvr_core::detect::{ProbeOptions, ProbeReport};
use nvr_core::error::{Error, ErrorKind};
use nvr_core::secret::Secret;
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::Output;
use crate::{config, logging};

#[derive(Args, Debug)]
pub struct ProbeArgs {
    /// Source (rtsp://…, http://…, v4l2:/dev/video0, test:, …) or the id of a configured camera.
    source: String,
    /// User at the camera. The password is read from the environment variable NVR_PASSWORD.
    #[arg(long)]
    user: Option<String>,
    /// Frames to read at least; more until the second keyframe, for up to half of the time.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,
    /// How often to try.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    tries: u32,
    /// Seconds that one try may take.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

#[derive(Serialize)]
struct Report<'a> {
    source: String,
    #[serde(flatten)]
    report: &'a ProbeReport,
}

pub async fn run(global: &Global, args: &ProbeArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let source = source(global, args)?;
    let options = ProbeOptions {
        frames: args.frames,
        tries: args.tries,
        timeout: Duration::from_secs(args.timeout),
    };
    let spinner = output.spinner(format!("opening {source}"));
    let result = nvr_core::detect::probe(source.clone(), options).await;
    spinner.finish_and_clear();
    let report = result.map_err(|e| match e.kind() {
        ErrorKind::NotFound if e.hint().is_none() => e.with_hint(match source {
            SourceSpec::File(_) => "is the path right? It starts from the folder nvr runs in",
            _ => "the path of the stream differs from maker to maker: see the camera's manual",
        }),
        ErrorKind::Unsupported if e.hint().is_none() && matches!(source, SourceSpec::Mjpeg(_)) => {
            e.with_hint("see the camera's manual for the address of its MJPEG or RTSP stream")
        }
        _ => e,
    })?;
    let shown = Report {
        source: source.to_string(),
        report: &report,
    };
    output.result(&shown, || text(&shown))
}

fn source(global: &Global, args: &ProbeArgs) -> Result<SourceSpec, Failure> {
    let mut source = if args.source.contains(':') {
        SourceSpec::parse(&args.source)?
    } else {
        // Whoever opens a camera needs its password.
        let config = Config::load(&global.config)?;
        config::warn(&config);
        let found = config.cameras.iter().find(|c| c.id.as_str() == args.source);
        let found = found.ok_or_else(|| {
            let message = format!("{:?} is neither a source nor a configured camera", args.source);
            Error::new(ErrorKind::NotFound, message).with_hint(
                "a source is rtsp://…, http://…, v4l2:/dev/video0, test:, …; `nvr cameras` lists the cameras",
            )
        })?;
        found.source.clone()
    };
    if let Some(user) = &args.user {
        let password = std::env::var("NVR_PASSWORD").unwrap_or_default();
        source.set_credentials(user.clone(), Secret::new(password));
    }
    Ok(source)
}

fn text(shown: &Report<'_>) -> String {
    let report = shown.report;
    let video = &report.tracks.video;
    let rate = |rate: Option<f64>| rate.map_or_else(|| "unknown".into(), |r| format!("{r:.2} fps"));
    let mut rows = vec![("source", shown.source.clone())];
    let profile = [report.profile.as_deref(), report.level.as_deref()];
    let profile: String = profile.iter().flatten().map(|p| format!(" {p}")).collect();
    rows.push((
        "video",
        format!("{}{profile}, {}x{}", video.codec, video.width, video.height),
    ));
    rows.push((
        "rate",
        format!(
            "{} declared, {} measured",
            rate(video.frame_rate),
            rate(report.measured_frame_rate)
        ),
    ));
    let keyframes = match report.gop_frames {
        Some(gop) => format!("every {gop} frames"),
        None => format!("one in {} frames; see --timeout", report.frames),
    };
    rows.push(("keyframes", keyframes));
    if let Some(bps) = report.bitrate_bps {
        rows.push(("bit rate", format!("{:.2} Mbit/s", bps as f64 / 1e6)));
    }
    rows.push((
        "audio",
        report.tracks.audio.as_ref().map_or_else(
            || "none".into(),
            |a| {
                let codec = serde_json::to_value(a.codec).unwrap_or_default();
                let codec = codec.as_str().unwrap_or("?");
                let s = if a.channels == 1 { "" } else { "s" };
                format!("{codec}, {} Hz, {} channel{s}", a.sample_rate, a.channels)
            },
        ),
    ));
    rows.push((
        "first frame",
        format!("after {:.0} ms", report.first_frame_ns as f64 / 1e6),
    ));
    let lines: Vec<String> = rows
        .iter()
        .map(|(name, value)| format!("{name:<12} {value}"))
        .collect();
    lines.join("\n")
}
