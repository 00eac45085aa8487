//! How a camera is asked by ONVIF.

use std::time::Duration;

use url::Url;

use super::super::reader::{Reader, Section};
use super::super::values::Span;
use super::RawCamera;
use crate::secret::Secret;
use crate::source::{Credentials, ONVIF_ADDRESS_HINT, SourceSpec, onvif_address};

/// How a camera is asked by ONVIF.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct OnvifConfig {
    /// Its device service, without credentials.
    pub address: Url,
    /// User and password there; those of the stream unless others are given.
    pub credentials: Option<Credentials>,
    /// Profile by which it is turned; the first that can be turned when absent.
    pub profile: Option<String>,
    /// Whether what it sees by itself is kept as detections.
    pub events: bool,
    /// What is fetched from its own card.
    pub fill: FillConfig,
}

/// What is fetched from a camera's own card after it was away.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FillConfig {
    /// Whether gaps are filled by themselves (default: no).
    pub enabled: bool,
    /// How long after the camera came back its card is asked (0 to 1 h; default 30 s).
    pub after: Duration,
    /// Gaps that began longer ago are left alone (1 min to 52 weeks; default 7 days).
    pub oldest: Duration,
    /// Bytes a second at which the card is read at most (default 4 MiB); 0: no limit.
    pub bytes_per_s: u64,
    /// Token of the recording; by default the only one that can be meant.
    pub recording: Option<String>,
}

impl Default for FillConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            after: Duration::from_secs(30),
            oldest: Duration::from_hours(7 * 24),
            bytes_per_s: 4 << 20,
            recording: None,
        }
    }
}

impl OnvifConfig {
    /// Asked at an address, without events.
    #[must_use]
    pub fn new(address: Url, credentials: Option<Credentials>) -> Self {
        Self {
            address,
            credentials,
            profile: None,
            events: false,
            fill: FillConfig::default(),
        }
    }
}

pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    section: &Section<'_>,
    raw: &RawCamera,
    source: &SourceSpec,
) -> Option<OnvifConfig> {
    let Some(at) = &raw.onvif else {
        let others = ["onvif_user", "onvif_password", "onvif_profile", "onvif_recording"];
        let has = |key: &str| section.table.is_some_and(|t| t.contains_key(key));
        // `false` is what holds anyway.
        let events = [&raw.onvif_events, &raw.onvif_fill_gaps]
            .into_iter()
            .flatten()
            .any(|at| at.value);
        if events || others.iter().any(|key| has(key)) {
            let hint = "say where the camera is asked: onvif = \"auto\"";
            reader.missing(section, "onvif", hint);
        }
        return None;
    };
    let of_stream = match source {
        SourceSpec::Rtsp(s) => s.credentials.clone(),
        SourceSpec::Mjpeg(s) => s.credentials.clone(),
        _ => None,
    };
    let host = match source {
        SourceSpec::Rtsp(s) => s.url.host_str(),
        SourceSpec::Mjpeg(s) => s.url.host_str(),
        _ => None,
    };
    let text = at.value.as_str();
    let found = match (text, host) {
        ("auto", Some(host)) => onvif_address(host),
        ("auto", None) => None,
        _ => onvif_address(text),
    };
    let Some((address, inside)) = found else {
        let message = if text == "auto" {
            "`onvif`: the source has no host that could be asked".to_owned()
        } else {
            format!("`onvif`: {} is no address of a service", at.value.shown())
        };
        let hint = Some(ONVIF_ADDRESS_HINT.to_owned());
        if !at.unknown {
            reader.problems.error(&at.span, &at.key, message, hint);
        }
        return None;
    };
    if let (Some(at), None) = (&raw.onvif_password, &raw.onvif_user) {
        let hint = Some("give `onvif_user`, too".to_owned());
        reader
            .problems
            .error(&at.span, &at.key, "`onvif_password` without `onvif_user`", hint);
    }
    let given = raw.onvif_user.as_ref().map(|user| Credentials {
        user: user.value.as_str().to_owned(),
        password: Secret::new(raw.onvif_password.as_ref().map_or("", |at| at.value.as_str())),
    });
    Some(OnvifConfig {
        address,
        credentials: given.or(inside).or(of_stream),
        profile: raw.onvif_profile.as_ref().map(|at| at.value.as_str().to_owned()),
        events: raw.onvif_events.as_ref().is_some_and(|at| at.value),
        fill: read_fill(reader, raw),
    })
}

fn read_fill(reader: &mut Reader<'_, '_>, raw: &RawCamera) -> FillConfig {
    let seconds = |s: u64| Span(Duration::from_secs(s));
    let mut out = FillConfig {
        enabled: raw.onvif_fill_gaps.as_ref().is_some_and(|at| at.value),
        recording: raw
            .onvif_recording
            .as_ref()
            .map(|at| at.value.as_str().to_owned()),
        ..FillConfig::default()
    };
    if let Some(d) = reader.within(raw.onvif_fill_after.as_ref(), &(seconds(0)..=seconds(3600))) {
        out.after = d.0;
    }
    let weeks = seconds(52 * 7 * 86_400);
    if let Some(d) = reader.within(raw.onvif_fill_oldest.as_ref(), &(seconds(60)..=weeks)) {
        out.oldest = d.0;
    }
    if let Some(at) = &raw.onvif_fill_rate {
        out.bytes_per_s = at.value.0;
    }
    out
}
