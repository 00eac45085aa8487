//! `nvr onvif`: what a camera offers, its clock, and what is on its card.

use clap::Subcommand;
use nvr_core::CameraId;
use nvr_core::clock::SystemClock;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::fill::FillParams;
use nvr_core::onvif::{Access, Device, Offer, offer};
use nvr_core::secret::Secret;
use nvr_core::source::Credentials;
use serde_json::{Map, Value, json};

use super::jobs;
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::queue::Queue;
use crate::window::Window;
use crate::{archive, config, logging};

/// So much a camera's clock may differ.
const TOLERANCE_S: f64 = 5.0;

#[derive(Subcommand, Debug)]
pub enum OnvifCommand {
    /// List the streams of a camera and which are best recorded and watched.
    Streams {
        /// Host, host:port, or whole address of its device service.
        address: String,
        /// User at the camera; the password is read from NVR_PASSWORD.
        #[arg(long)]
        user: Option<String>,
    },
    /// Compare the clocks of cameras with this machine's.
    Time {
        /// Only this camera.
        camera: Option<CameraId>,
    },
    /// Set a camera's clock to this machine's.
    SetTime {
        /// Camera.
        camera: CameraId,
    },
    /// Fetch from a camera's own card what is missing in a stretch of time (Profile G), as a job of the recorder.
    Fill {
        /// Camera.
        camera: CameraId,
        #[command(flatten)]
        window: Window,
        /// Do not wait for the end.
        #[arg(long)]
        background: bool,
    },
}

pub async fn run(global: &Global, command: OnvifCommand, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    match command {
        OnvifCommand::Streams { address, user } => {
            let offer = ask(&address, user, output).await?;
            output.result(&offer, || shown(&offer))
        }
        OnvifCommand::Fill {
            camera,
            window,
            background,
        } => fill(global, camera, &window, background, output).await,
        OnvifCommand::Time { camera } => time(global, camera.as_ref(), output).await,
        OnvifCommand::SetTime { camera } => {
            let config = config::load(global)?;
            let found = config.cameras.iter().find(|c| c.id == camera);
            let access = found.and_then(|c| c.onvif.as_ref()).map(access_of);
            let device =
                Device::connect(&SystemClock::shared(), access.ok_or_else(|| not_asked(&camera))?).await?;
            device.set_clock().await?;
            let ahead = device.measure_clock_ns().await?.map(seconds);
            output.result(&json!({"camera": camera, "ahead_seconds": ahead}), || {
                format!("{camera}: its clock was set; {}", told(ahead))
            })
        }
    }
}

async fn fill(
    global: &Global,
    camera: CameraId,
    window: &Window,
    background: bool,
    output: Output,
) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let found = asked.config.cameras.iter().find(|c| c.id == camera);
    if found.is_none_or(|c| c.onvif.is_none()) {
        return Err(not_asked(&camera).into());
    }
    let range = window.range(asked.now, &asked.zone, None)?;
    let new = FillParams::by_hand(camera, range).job()?;
    let queue = Queue::find(asked.config).await;
    let (job, _) = queue.enqueue(new).await?;
    let id = job.id;
    if background || !queue.is_served() {
        output.result(&job, || {
            format!("job {id}: `nvr jobs watch {id}` shows how far it is")
        })?;
        if !queue.is_served() {
            output.note("no recorder runs; the job waits for one");
        }
        return Ok(());
    }
    jobs::watch(&queue, &[id], output).await?;
    output.note(&format!("job {id}: {}", queue.get(id).await?.message));
    Ok(())
}

fn access_of(onvif: &nvr_core::config::OnvifConfig) -> Access {
    Access {
        address: onvif.address.clone(),
        credentials: onvif.credentials.clone(),
    }
}

fn not_asked(camera: &CameraId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("there is no camera {camera} that is asked by ONVIF"),
    )
    .with_hint("give it one in its section of the configuration: onvif = \"auto\"")
}

fn seconds(ns: i64) -> f64 {
    (ns as f64 / 1e7).round() / 100.0
}

/// What is to be said of a camera's clock, and whether it is right.
pub async fn clock_of(onvif: &nvr_core::config::OnvifConfig) -> Result<(String, bool), Error> {
    let offset = Device::clock_offset_of(&SystemClock::shared(), &onvif.address).await?;
    let ahead = offset.map(seconds);
    Ok((told(ahead), ahead.is_none_or(|s| s.abs() <= TOLERANCE_S)))
}

fn told(ahead: Option<f64>) -> String {
    match ahead {
        None => "the camera does not tell its time".into(),
        Some(s) if s.abs() < 1.5 => "it is right to a second".into(),
        Some(s) if s > 0.0 => format!("it is {s:.0} s ahead"),
        Some(s) => format!("it is {:.0} s behind", -s),
    }
}

async fn time(global: &Global, only: Option<&CameraId>, output: Output) -> Result<(), Failure> {
    let config = config::load(global)?;
    let clock = SystemClock::shared();
    let mut all = Vec::new();
    for camera in &config.cameras {
        let Some(onvif) = camera
            .onvif
            .as_ref()
            .filter(|_| only.is_none_or(|id| *id == camera.id))
        else {
            continue;
        };
        let measured = Device::clock_offset_of(&clock, &onvif.address).await;
        all.push(match measured {
            Ok(offset) => {
                let ahead = offset.map(seconds);
                json!({"camera": camera.id, "ahead_seconds": ahead, "right": ahead.map(|s| s.abs() <= TOLERANCE_S), "problem": null})
            }
            Err(e) => json!({"camera": camera.id, "ahead_seconds": null, "right": null, "problem": e.to_string()}),
        });
    }
    if let (Some(id), true) = (only, all.is_empty()) {
        return Err(not_asked(id).into());
    }
    output.result(&all, || {
        if all.is_empty() {
            return "no camera is asked by ONVIF".into();
        }
        let line = |v: &Value| {
            let words = match v["problem"].as_str() {
                Some(problem) => problem.to_owned(),
                None => told(v["ahead_seconds"].as_f64()),
            };
            let hint = if v["right"] == false {
                "; `nvr onvif set-time` sets it"
            } else {
                ""
            };
            format!("{}: {words}{hint}", v["camera"].as_str().unwrap_or_default())
        };
        all.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

async fn ask(address: &str, user: Option<String>, output: Output) -> Result<Offer, Failure> {
    let credentials = user.map(|user| Credentials {
        user,
        password: Secret::new(std::env::var("NVR_PASSWORD").unwrap_or_default()),
    });
    let access = Access::parse(address, credentials)?;
    let spinner = output.spinner(format!("asking {}", access.address));
    let offer = offer(&SystemClock::shared(), access).await;
    spinner.finish_and_clear();
    Ok(offer?)
}

/// The keys of a camera that is added by what it says itself.
pub async fn offered(
    address: &str,
    user: Option<String>,
    output: Output,
) -> Result<Map<String, Value>, Failure> {
    let offer = ask(address, user, output).await?;
    let stream = |n: Option<usize>| offer.profiles.get(n?)?.stream.clone();
    let Some(source) = stream(offer.main) else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the camera offers no H.264 or H.265 stream over RTSP",
        )
        .with_hint("`nvr onvif streams` shows what it has; change its encoder at its own page")
        .into());
    };
    let mut keys = Map::new();
    keys.insert("source".into(), source.into());
    keys.extend(stream(offer.sub).map(|sub| ("sub".to_owned(), sub.into())));
    keys.insert("onvif".into(), offer.address.into());
    Ok(keys)
}

fn shown(offer: &Offer) -> String {
    let rows = offer.profiles.iter().enumerate().map(|(n, p)| {
        let role = match n {
            _ if offer.main == Some(n) => "main",
            _ if offer.sub == Some(n) => "sub",
            _ => "",
        };
        vec![
            p.name.clone(),
            role.to_owned(),
            p.codec.clone(),
            format!("{}x{}", p.width, p.height),
            p.frame_rate.map_or_else(String::new, |r| format!("{r:.0}")),
            p.bit_rate_kbps.map_or_else(String::new, |b| format!("{b}")),
            p.stream.clone().unwrap_or_default(),
        ]
    });
    let head = ["PROFILE", "USE", "CODEC", "SIZE", "FPS", "KBIT/S", "ADDRESS"];
    let table = output::table(&head, &[4, 5], rows);
    let d = &offer.device;
    let ptz = if offer.profiles.iter().any(|p| p.ptz) {
        "can be turned"
    } else {
        "cannot be turned"
    };
    let events = if offer.events {
        "has events"
    } else {
        "has no events"
    };
    let ahead = told(offer.clock_offset_ns.map(seconds));
    format!(
        "{} {} ({})\n{ptz}, {events}; its clock: {ahead}\n{table}",
        d.manufacturer, d.model, d.firmware
    )
}
