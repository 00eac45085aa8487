//! How a camera is asked by ONVIF.

use url::Url;

use super::super::reader::{Reader, Section};
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
}

impl OnvifConfig {
    /// Asked at an address, without events.
    #[must_use]
    pub const fn new(address: Url, credentials: Option<Credentials>) -> Self {
        Self {
            address,
            credentials,
            profile: None,
            events: false,
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
        let others = ["onvif_user", "onvif_password", "onvif_profile"];
        let has = |key: &str| section.table.is_some_and(|t| t.contains_key(key));
        // `false` is what holds anyway.
        let events = raw.onvif_events.as_ref().is_some_and(|at| at.value);
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
    })
}
