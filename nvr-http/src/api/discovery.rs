//! Looking for cameras, and opening one to see what it is.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use nvr_core::detect::DeviceReport;
use nvr_core::onvif::discovery::{DiscoverOptions, Discovered, discover};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::problem::Answer;
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
            hint: "add the path of its stream, which is in its manual, and user and password",
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
