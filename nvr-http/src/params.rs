//! Query and path parameters, read so that a mistake gets an answer that says what and where.

use std::str::FromStr;
use std::time::Duration;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use nvr_core::accounts::UserName;
use nvr_core::store::{Cursor, Order};
use nvr_core::{CameraId, ClipCodec, DetectionId, JobId, SegmentId, TimeRange, Timestamp};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr};

use crate::problem::{Answer, Failure};

/// The query string as pairs; every parameter is taken out by name and what is left over is refused.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    /// Those without `=`.
    bare: Vec<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Query {
    fn parse(text: &str) -> Answer<Self> {
        let decode = |s: &str| {
            percent_encoding::percent_decode_str(&s.replace('+', " "))
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| Failure::invalid("the query is not UTF-8"))
        };
        let (mut pairs, mut bare) = (Vec::new(), Vec::new());
        for part in text.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            // Of the plus signs, only those of an offset in a time can be meant: "+02:00".
            let value = if value.contains('T') && value.contains('+') {
                value.replace('+', "%2B")
            } else {
                value.into()
            };
            if !part.contains('=') {
                bare.push(decode(key)?);
            }
            pairs.push((decode(key)?, decode(&value)?));
        }
        Ok(Self { pairs, bare })
    }

    pub(crate) fn text(&mut self, name: &str) -> Answer<Option<String>> {
        let Some(at) = self.pairs.iter().position(|(k, _)| k == name) else {
            return Ok(None);
        };
        let (_, value) = self.pairs.remove(at);
        if self.pairs.iter().any(|(k, _)| k == name) {
            return Err(Failure::invalid(format!("parameter {name} is there twice")));
        }
        // `from=$FROM` of a script whose variable is not set must not mean the default.
        if value.is_empty() {
            return Err(Failure::invalid(format!("parameter {name} is empty")));
        }
        Ok(Some(value))
    }

    pub(crate) fn parsed<T: FromStr>(&mut self, name: &str, want: &str) -> Answer<Option<T>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Failure::invalid(format!(
                "parameter {name}={text:?}: want {want}"
            ))),
        }
    }

    pub(crate) fn time(&mut self, name: &str) -> Answer<Option<Timestamp>> {
        self.parsed(name, "RFC 3339 (2026-05-04T03:02:01Z) or Unix seconds")
    }

    /// `from` and `to`, with defaults.
    pub(crate) fn range(&mut self, from: Timestamp, to: Timestamp) -> Answer<TimeRange> {
        let from = self.time("from")?.unwrap_or(from);
        let to = self.time("to")?.unwrap_or(to);
        Ok(TimeRange::new(from, to)?)
    }

    /// `from` and `to`, both required and apart.
    pub(crate) fn full_range(&mut self) -> Answer<TimeRange> {
        let (from, to) = (self.time("from")?, self.time("to")?);
        let (Some(from), Some(to)) = (from, to) else {
            return Err(Failure::invalid("parameters from and to are needed"));
        };
        let range = TimeRange::new(from, to)?;
        if range.is_empty() {
            return Err(Failure::invalid("the range is empty"));
        }
        Ok(range)
    }

    /// `?dry_run` alone is true.
    pub(crate) fn flag(&mut self, name: &str) -> Answer<bool> {
        if self.bare.iter().any(|k| k == name) && self.pairs.iter().filter(|(k, _)| k == name).count() == 1 {
            self.pairs.retain(|(k, _)| k != name);
            return Ok(true);
        }
        Ok(match self.text(name)?.as_deref() {
            None | Some("0" | "false" | "no") => false,
            Some("1" | "true" | "yes") => true,
            Some(other) => {
                return Err(Failure::invalid(format!(
                    "parameter {name}={other:?}: want true or false"
                )));
            }
        })
    }

    /// Seconds, with fraction.
    pub(crate) fn seconds(&mut self, name: &str) -> Answer<Option<Duration>> {
        let Some(s) = self.parsed::<f64>(name, "seconds")? else {
            return Ok(None);
        };
        Duration::try_from_secs_f64(s)
            .map(Some)
            .map_err(|_| Failure::invalid(format!("parameter {name}={s}: want seconds")))
    }

    /// `limit`, from 1 to `most`.
    pub(crate) fn limit(&mut self, most: u32, default: u32) -> Answer<u32> {
        let want = format!("1 to {most}");
        let limit = self.parsed("limit", &want)?.unwrap_or(default);
        if (1..=most).contains(&limit) {
            return Ok(limit);
        }
        Err(Failure::invalid(format!("parameter limit: want {want}")))
    }

    /// `order`.
    pub(crate) fn order(&mut self, default: Order) -> Answer<Order> {
        match self.text("order")?.as_deref() {
            None => Ok(default),
            Some("asc") => Ok(Order::Asc),
            Some("desc") => Ok(Order::Desc),
            Some(other) => Err(Failure::invalid(format!(
                "parameter order={other:?}: want asc or desc"
            ))),
        }
    }

    /// `cursor`.
    pub(crate) fn cursor(&mut self) -> Answer<Option<Cursor>> {
        self.parsed("cursor", "the cursor of the page before")
    }

    /// `codec`.
    pub(crate) fn codec(&mut self) -> Answer<ClipCodec> {
        match self.text("codec")?.as_deref() {
            None => Ok(ClipCodec::AsRecorded),
            Some("h264") => Ok(ClipCodec::H264),
            Some(other) => Err(Failure::invalid(format!(
                "parameter codec={other:?}: want h264, or leave it out for what was recorded"
            ))),
        }
    }

    pub(crate) fn cameras(&mut self) -> Answer<Vec<CameraId>> {
        let Some(text) = self.text("cameras")? else {
            return Ok(Vec::new());
        };
        let ids: Vec<CameraId> = text.split(',').map(CameraId::new).collect::<Result<_, _>>()?;
        if ids.len() > 256 {
            return Err(Failure::invalid("more than 256 cameras"));
        }
        Ok(ids)
    }

    /// To be called last: a parameter nobody took is a mistake.
    pub(crate) fn end(self) -> Answer<()> {
        match self.pairs.first() {
            None => Ok(()),
            Some((key, _)) => Err(Failure::invalid(format!("parameter {key:?} is not known here"))),
        }
    }
}

/// A time in JSON: RFC 3339, or Unix seconds as a text or a number. The description of the API names it for parameters too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub(crate) Timestamp);

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let text = match serde_json::Value::deserialize(d)? {
            // As it is written: a float would lose what is below microseconds.
            serde_json::Value::Number(n) => n.to_string(),
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        let time = text.parse().map_err(|_| {
            D::Error::custom(format!(
                "{text:?}: want RFC 3339 (2026-05-04T03:02:01Z) or Unix seconds"
            ))
        });
        time.map(Self)
    }
}

impl utoipa::PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let moment = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        let seconds = ObjectBuilder::new().schema_type(Type::Number);
        AnyOfBuilder::new().item(moment).item(seconds).into()
    }
}

impl utoipa::ToSchema for Time {}

/// Values of `order`; for the description of the API.
#[derive(Debug, utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what `Query` reads")]
pub(crate) enum Direction {
    Asc,
    Desc,
}

/// Values of `format`; for the description of the API.
#[derive(Debug, utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what `Query` reads")]
pub(crate) enum Packing {
    Fmp4,
    Mp4,
}

/// Values of `codec`; for the description of the API.
#[derive(Debug, utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what `Query` reads")]
pub(crate) enum Codec {
    H264,
}

/// A length of time in JSON: seconds, or a text as the configuration has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length(pub(crate) Duration);

impl<'de> serde::Deserialize<'de> for Length {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let value = serde_json::Value::deserialize(d)?;
        let length = match &value {
            serde_json::Value::Number(n) => n.as_f64().and_then(|s| Duration::try_from_secs_f64(s).ok()),
            serde_json::Value::String(text) => nvr_core::config::parse_duration(text),
            _ => None,
        };
        length
            .map(Self)
            .ok_or_else(|| D::Error::custom(format!("{value}: want seconds, or a text such as \"30s\"")))
    }
}

async fn id_of<T: FromStr, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    what: &str,
    suffix: &str,
) -> Answer<T> {
    param_of(parts, state, "id", what, suffix).await
}

async fn param_of<T: FromStr, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
    what: &str,
    suffix: &str,
) -> Answer<T> {
    let params = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|e| Failure::invalid(format!("the path cannot be read: {e}")))?;
    let text = params
        .iter()
        .find(|(k, _)| *k == name)
        .map(|(_, v)| v)
        .unwrap_or_default();
    let id = text.strip_suffix(suffix).unwrap_or(text);
    id.parse()
        .map_err(|_| Failure::not_found(format!("there is no {what} {text:?}")))
}

/// One part of the path as it is.
async fn part_of<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Answer<String> {
    let params = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|e| Failure::invalid(format!("the path cannot be read: {e}")))?;
    let text = params.iter().find(|(k, _)| *k == name).map(|(_, v)| v);
    Ok(text.unwrap_or_default().to_owned())
}

/// `{name}` of a file of the live stream.
#[derive(Debug)]
pub(crate) struct NamePath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for NamePath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        part_of(parts, state, "name").await.map(Self)
    }
}

/// `{session}` of a viewer by WebRTC.
#[cfg(feature = "webrtc")]
#[derive(Debug)]
pub(crate) struct SessionPath(pub(crate) String);

#[cfg(feature = "webrtc")]
impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        part_of(parts, state, "session").await.map(Self)
    }
}

/// `{id}` of a camera.
#[derive(Debug)]
pub(crate) struct CameraPath(pub(crate) CameraId);

impl<S: Send + Sync> FromRequestParts<S> for CameraPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        id_of(parts, state, "camera", "").await.map(Self)
    }
}

/// `{at}` of a still.
#[derive(Debug)]
pub(crate) struct StillPath(pub(crate) Timestamp);

impl<S: Send + Sync> FromRequestParts<S> for StillPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        param_of(parts, state, "at", "still of", ".jpg").await.map(Self)
    }
}

/// `{id}` of a booking.
#[derive(Debug)]
pub(crate) struct BookingPath(pub(crate) i64);

impl<S: Send + Sync> FromRequestParts<S> for BookingPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        id_of(parts, state, "booking", "").await.map(Self)
    }
}

/// The same, and `{push}`.
#[derive(Debug)]
pub(crate) struct PushPath(pub(crate) CameraId, pub(crate) u64);

impl<S: Send + Sync> FromRequestParts<S> for PushPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let CameraPath(camera) = CameraPath::from_request_parts(parts, state).await?;
        let push = param_of(parts, state, "push", "push", "").await?;
        Ok(Self(camera, push))
    }
}

/// The same, and `{preset}`.
#[derive(Debug)]
pub(crate) struct PresetPath(pub(crate) CameraId, pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PresetPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let CameraPath(camera) = CameraPath::from_request_parts(parts, state).await?;
        let preset = part_of(parts, state, "preset").await?;
        Ok(Self(camera, preset))
    }
}

/// `{id}` of a segment, also written as a file name (`7.mp4`): there are players that go by it.
#[derive(Debug)]
pub(crate) struct SegmentPath(pub(crate) SegmentId);

impl<S: Send + Sync> FromRequestParts<S> for SegmentPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        id_of(parts, state, "segment", ".mp4")
            .await
            .map(|n| Self(SegmentId(n)))
    }
}

/// `{id}` of a detection.
#[derive(Debug)]
pub(crate) struct DetectionPath(pub(crate) DetectionId);

impl<S: Send + Sync> FromRequestParts<S> for DetectionPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        id_of(parts, state, "detection", "").await.map(Self)
    }
}

/// `{id}` of a camera, and `{detection}`.
#[derive(Debug)]
pub(crate) struct EndPath(pub(crate) CameraId, pub(crate) DetectionId);

impl<S: Send + Sync> FromRequestParts<S> for EndPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let CameraPath(camera) = CameraPath::from_request_parts(parts, state).await?;
        let detection = param_of(parts, state, "detection", "detection", "").await?;
        Ok(Self(camera, detection))
    }
}

/// `{id}` of a job.
#[derive(Debug)]
pub(crate) struct JobPath(pub(crate) JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        id_of(parts, state, "job", "").await.map(Self)
    }
}

/// `{id}` of an upload target: its name.
#[derive(Debug)]
pub(crate) struct TargetPath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for TargetPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        id_of(parts, state, "upload target", "").await.map(Self)
    }
}

/// `{name}` of an alert channel.
#[derive(Debug)]
pub(crate) struct ChannelPath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for ChannelPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        param_of(parts, state, "name", "alert channel", "")
            .await
            .map(Self)
    }
}

/// `{id}` of a token, share, alert or mute: its row.
#[derive(Debug)]
pub(crate) struct RowPath(pub(crate) i64);

impl<S: Send + Sync> FromRequestParts<S> for RowPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        id_of(parts, state, "row", "").await.map(Self)
    }
}

/// `{id}` of a share as its address has it: its token.
#[derive(Debug)]
pub(crate) struct SharePath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for SharePath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        id_of(parts, state, "share", "").await.map(Self)
    }
}

/// The same, and `{segment}`.
#[derive(Debug)]
pub(crate) struct ShareSegmentPath(pub(crate) String, pub(crate) SegmentId);

impl<S: Send + Sync> FromRequestParts<S> for ShareSegmentPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let SharePath(token) = SharePath::from_request_parts(parts, state).await?;
        let segment = param_of(parts, state, "segment", "segment", ".mp4").await?;
        Ok(Self(token, SegmentId(segment)))
    }
}

/// `{name}` of a user.
#[derive(Debug)]
pub(crate) struct UserPath(pub(crate) UserName);

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        param_of(parts, state, "name", "user", "").await.map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_offsets_survive_the_query() {
        for text in [
            "from=2026-05-04T05:02:01+02:00&to=1777863722",
            "from=2026-05-04T05%3A02%3A01%2B02%3A00&to=1777863722",
        ] {
            let mut q = Query::parse(text).unwrap();
            let range = q.full_range().unwrap();
            assert_eq!(range.start().to_string(), "2026-05-04T03:02:01Z");
            assert_eq!(range.len_ns(), 1_000_000_000);
            q.end().unwrap();
        }
    }

    #[test]
    fn mistakes_are_named() {
        let mut q = Query::parse("from=yesterday&to=1").unwrap();
        assert!(format!("{:?}", q.full_range().unwrap_err()).contains("yesterday"));
        let q = Query::parse("fron=1").unwrap();
        assert!(format!("{:?}", q.end().unwrap_err()).contains("fron"));
        let mut q = Query::parse("from=2&to=1").unwrap();
        assert!(q.full_range().is_err());
        assert!(Query::parse("a=%ff").is_err());
    }

    #[test]
    fn a_flag_may_stand_alone() {
        let flag = |text: &str| Query::parse(text).unwrap().flag("dry_run").ok();
        assert_eq!(flag("dry_run"), Some(true));
        assert_eq!(flag("a=b&dry_run"), Some(true));
        assert_eq!(flag("dry_run=true"), Some(true));
        assert_eq!(flag("dry_run=false"), Some(false));
        assert_eq!(flag(""), Some(false));
        // Of a script whose variable is not set.
        assert_eq!(flag("dry_run="), None);
        assert_eq!(flag("dry_run&dry_run=false"), None);
        assert!(Query::parse("from").unwrap().time("from").is_err());
    }
}
