//! Looking for cameras, and opening one to see what it is.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use nvr_core::detect::DeviceReport;
use nvr_core::onvif::discovery::{DiscoverOptions, Discovered, discover};
use nvr_core::onvif::{Access, Offer};
use nvr_core::secret::Secret;
use nvr_core::source::Credentials;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::Body;
use crate::problem::{Answer, Problem};
use crate::server::AppState;

/// What was found is good for so long.
const FRESH_NS: i64 = 10_000_000_000;

/// What was found last; one search at a time, whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Search(Mutex<Option<(i64, Arc<DiscoveryDto>)>>);

/// A camera of the network that answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FoundCameraDto {
    /// Address from which it answered.
    address: String,
    name: Option<String>,
    model: Option<String>,
    location: Option<String>,
    /// To be completed: which path its stream has differs from maker to maker.
    source: String,
    /// What is left to do.
    hint: &'static str,
    /// Where its ONVIF service answers, as it says.
    services: Vec<String>,
}

/// A capture device of the recorder's machine.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FoundDeviceDto {
    /// To be used as it is.
    source: String,
    name: Option<String>,
    /// What it offers (`H264`, `MJPEG`, raw formats).
    formats: Vec<String>,
    /// Why it cannot be used.
    problem: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DiscoveryDto {
    cameras: Vec<FoundCameraDto>,
    devices: Vec<FoundDeviceDto>,
    /// What could not be looked at.
    problems: Vec<String>,
}

impl From<&Discovered> for FoundCameraDto {
    fn from(found: &Discovered) -> Self {
        let host = match found.from {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self {
            address: found.from.to_string(),
            name: found.name.clone(),
            model: found.hardware.clone(),
            location: found.location.clone(),
            source: format!("rtsp://{host}:554/"),
            hint: "ask it by ONVIF with user and password, or add the path of its stream, which is in its manual",
            services: found.addresses.clone(),
        }
    }
}

impl From<&DeviceReport> for FoundDeviceDto {
    fn from(device: &DeviceReport) -> Self {
        let path = device.stable_ids.first().unwrap_or(&device.path);
        Self {
            source: format!("v4l2:{}", path.display()),
            name: device.name.clone(),
            formats: device.formats.iter().map(|f| f.format.clone()).collect(),
            problem: device.problem.clone(),
        }
    }
}

/// Looks for cameras on the network (ONVIF WS-Discovery) and devices of this machine (V4L2). Takes some seconds; what was
/// found stays good for ten.
#[utoipa::path(get, path = "/api/v1/discovery", tag = "config",
    responses((status = 200, description = "What was found", body = DiscoveryDto)))]
pub(crate) async fn discovery(State(app): State<AppState>) -> Answer<Json<DiscoveryDto>> {
    let mut last = app.search.0.lock().await;
    let clock = app.nvr.clock();
    if let Some((at, found)) = last.as_ref()
        && clock.steady_ns() - at < FRESH_NS
    {
        return Ok(Json(DiscoveryDto::clone(found)));
    }
    let options = DiscoverOptions::default();
    let (network, devices) = tokio::join!(discover(&clock, &options), nvr_core::detect::devices());
    let mut problems = Vec::new();
    let network = network.unwrap_or_else(|e| {
        problems.push(format!("network: {e}"));
        Vec::new()
    });
    let devices = devices.unwrap_or_else(|e| {
        problems.push(format!("devices: {e}"));
        Vec::new()
    });
    let found = DiscoveryDto {
        cameras: network.iter().map(FoundCameraDto::from).collect(),
        devices: devices.iter().map(FoundDeviceDto::from).collect(),
        problems,
    };
    *last = Some((clock.steady_ns(), Arc::new(found.clone())));
    Ok(Json(found))
}

/// A camera to be asked by ONVIF.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfferRequest {
    /// Host, host and port, or whole address of its device service.
    #[schema(example = "192.168.1.20")]
    address: String,
    user: Option<String>,
    /// Never answered.
    password: Option<String>,
}

// Not derived: the password is none of a log's business.
impl std::fmt::Debug for OfferRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OfferRequest").finish_non_exhaustive()
    }
}

/// A way in which the camera sends its picture.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProfileDto {
    token: String,
    name: String,
    /// `H264`, `H265`, `JPEG` or what else the camera says.
    codec: String,
    width: u32,
    height: u32,
    /// Frames a second, at most.
    frame_rate: Option<f64>,
    bit_rate_kbps: Option<u32>,
    /// Whether the camera can be turned in it.
    ptz: bool,
    /// To be used as `source` or `sub`, without user and password.
    stream: Option<String>,
    snapshot: Option<String>,
}

/// What a camera offers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfferDto {
    /// To be used as the camera's `onvif`.
    address: String,
    manufacturer: String,
    model: String,
    firmware: String,
    /// The largest picture first.
    profiles: Vec<ProfileDto>,
    /// Address that is best recorded.
    source: Option<String>,
    /// Address that is best shown where many are watched.
    sub: Option<String>,
    /// Whether it can be turned.
    ptz: bool,
    /// Whether it tells what it sees.
    events: bool,
    /// Seconds by which its clock is ahead of the recorder's.
    clock_ahead_seconds: Option<f64>,
}

impl From<Offer> for OfferDto {
    fn from(offer: Offer) -> Self {
        let stream = |n: Option<usize>| offer.profiles.get(n?)?.stream.clone();
        Self {
            source: stream(offer.main),
            sub: stream(offer.sub),
            ptz: offer.profiles.iter().any(|p| p.ptz),
            events: offer.events,
            clock_ahead_seconds: offer.clock_offset_ns.map(|ns| (ns as f64 / 1e7).round() / 100.0),
            address: offer.address,
            manufacturer: offer.device.manufacturer,
            model: offer.device.model,
            firmware: offer.device.firmware,
            profiles: offer
                .profiles
                .into_iter()
                .map(|p| ProfileDto {
                    token: p.token,
                    name: p.name,
                    codec: p.codec,
                    width: p.width,
                    height: p.height,
                    frame_rate: p.frame_rate,
                    bit_rate_kbps: p.bit_rate_kbps,
                    ptz: p.ptz,
                    stream: p.stream,
                    snapshot: p.snapshot,
                })
                .collect(),
        }
    }
}

/// Asks a camera by ONVIF which streams it has.
#[utoipa::path(post, path = "/api/v1/discovery/stream", tag = "config", operation_id = "discover_streams",
    request_body = OfferRequest,
    responses((status = 200, description = "What it offers", body = OfferDto),
        (status = 400, description = "This is no address", body = Problem),
        (status = 501, description = "No ONVIF service answers there", body = Problem),
        (status = 502, description = "The camera refuses user or password", body = Problem),
        (status = 503, description = "Nobody answers there", body = Problem),
        (status = 504, description = "It took too long", body = Problem)))]
pub(crate) async fn stream(
    State(app): State<AppState>,
    Body(request): Body<OfferRequest>,
) -> Answer<Json<OfferDto>> {
    let credentials = request.user.filter(|u| !u.is_empty()).map(|user| Credentials {
        user,
        password: Secret::new(request.password.unwrap_or_default()),
    });
    let access = Access::parse(&request.address, credentials)?;
    let offer = nvr_core::onvif::offer(&app.nvr.clock(), access).await?;
    Ok(Json(OfferDto::from(offer)))
}
