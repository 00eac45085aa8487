//! `nvr detect`: capture devices, cameras on the network, encoders that really work.

use std::time::Duration;

use clap::Args;
use nvr_core::clock::SystemClock;
use nvr_core::detect::{CodecKind, CodecReport, DeviceReport, Outcome};
use nvr_core::error::Error;
use nvr_core::onvif::discovery::{DiscoverOptions, Discovered, discover};
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Failure;
use crate::logging;
use crate::output::{self, Output};

#[derive(Args, Debug)]
pub struct DetectArgs {
    /// Do not ask the local network for ONVIF cameras.
    #[arg(long)]
    no_network: bool,
    /// Do not try encoders and decoders.
    #[arg(long)]
    no_codecs: bool,
    /// Seconds to wait for answers from the network.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    wait: u64,
}

/// What was found.
#[derive(Serialize, Debug, Default)]
pub struct Found {
    pub devices: Vec<DeviceReport>,
    pub network: Vec<Discovered>,
    pub codecs: Vec<CodecReport>,
    /// What could not be looked at, with the reason.
    pub problems: Vec<String>,
}

pub async fn run(global: &Global, args: &DetectArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let wait = (!args.no_network).then(|| Duration::from_secs(args.wait));
    let found = find(wait, !args.no_codecs, output).await;
    output.result(&found, || text(&found, args))
}

/// Looks everywhere at once; what cannot be looked at is told and does not hide the rest.
pub async fn find(network: Option<Duration>, codecs: bool, output: Output) -> Found {
    let spinner = output.spinner("looking for cameras and encoders");
    let clock = SystemClock::shared();
    let on_network = async {
        match network {
            Some(wait) => {
                discover(
                    &clock,
                    &DiscoverOptions {
                        wait,
                        ..DiscoverOptions::default()
                    },
                )
                .await
            }
            None => Ok(Vec::new()),
        }
    };
    let on_machine = async {
        let devices = nvr_core::detect::devices().await;
        let codecs = if codecs {
            nvr_core::detect::codecs().await
        } else {
            Ok(Vec::new())
        };
        (devices, codecs)
    };
    let (network, (devices, codecs)) = tokio::join!(on_network, on_machine);
    spinner.finish_and_clear();
    let mut problems = Vec::new();
    Found {
        devices: keep(devices, "capture devices", &mut problems),
        network: keep(network, "network", &mut problems),
        codecs: keep(codecs, "encoders", &mut problems),
        problems,
    }
}

fn keep<T>(result: Result<Vec<T>, Error>, what: &str, problems: &mut Vec<String>) -> Vec<T> {
    result.unwrap_or_else(|e| {
        problems.push(format!("{what}: {e}"));
        Vec::new()
    })
}

fn text(found: &Found, args: &DetectArgs) -> String {
    let mut parts = vec![devices(&found.devices)];
    if !args.no_network {
        parts.push(network(&found.network));
    }
    if !args.no_codecs {
        parts.push(codecs(&found.codecs));
    }
    parts.extend(
        found
            .problems
            .iter()
            .map(|problem| format!("could not look: {problem}")),
    );
    parts.join("\n\n")
}

fn devices(devices: &[DeviceReport]) -> String {
    if devices.is_empty() {
        return "Capture devices: none".into();
    }
    let mut out = String::from("Capture devices");
    for device in devices {
        let path = device.stable_ids.first().unwrap_or(&device.path);
        let name = device.name.as_deref().unwrap_or("?");
        out += &format!("\n  v4l2:{}  ({name}, {})", path.display(), device.path.display());
        if let Some(problem) = &device.problem {
            out += &format!("\n    cannot be used: {problem}");
        }
        for format in &device.formats {
            let sizes: Vec<String> = format
                .sizes
                .iter()
                .map(|s| {
                    let fps = s
                        .frame_rates
                        .first()
                        .map_or_else(String::new, |r| format!("@{r:.0}"));
                    format!("{}x{}{fps}", s.width, s.height)
                })
                .collect();
            out += &format!("\n    {}: {}", format.format, sizes.join(" "));
        }
    }
    out
}

fn network(found: &[Discovered]) -> String {
    if found.is_empty() {
        return "Cameras on the network (ONVIF): none answered".into();
    }
    let rows = found.iter().map(|d| {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        vec![
            d.from.to_string(),
            text(&d.name),
            text(&d.hardware),
            d.addresses.join(" "),
        ]
    });
    let table = output::table(&["ADDRESS", "NAME", "MODEL", "SERVICE"], &[], rows);
    format!("Cameras on the network (ONVIF)\n{table}")
}

fn codecs(found: &[CodecReport]) -> String {
    let is_there = |c: &&CodecReport| c.outcome != Outcome::Absent;
    let rows = found.iter().filter(is_there).map(|c| {
        let kind = match c.kind {
            CodecKind::Encoder => "encoder",
            CodecKind::Decoder => "decoder",
        };
        let outcome = match &c.outcome {
            Outcome::Works { fps } => format!("works, {fps:.0} fps"),
            Outcome::Absent => "not there".into(),
            Outcome::Slow { reason } => format!("slow: {reason}"),
            Outcome::Broken { reason } => format!("broken: {reason}"),
        };
        let place = if c.hardware { "hardware" } else { "software" };
        vec![
            c.name.clone(),
            kind.into(),
            c.codec.to_string(),
            place.into(),
            outcome,
        ]
    });
    let table = output::table(&["ELEMENT", "KIND", "CODEC", "", "TRIED"], &[], rows);
    let absent: Vec<&str> = found
        .iter()
        .filter(|c| !is_there(c))
        .map(|c| c.name.as_str())
        .collect();
    let absent = match absent.as_slice() {
        [] => String::new(),
        names => format!("\nnot there: {}", names.join(", ")),
    };
    format!("Encoders and decoders\n{table}{absent}")
}
