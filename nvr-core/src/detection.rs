//! Detections: stretches of time in which something was seen, whoever saw it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::time::Timestamp;

/// Longest label, zone and source, in characters.
pub const MOST_LABEL: usize = 100;
/// Largest data, in bytes of JSON.
pub const MOST_DATA: usize = 16 << 10;
/// Longest stretch of footage before and after a detection that counts as its own.
pub const MOST_MARGIN: Duration = Duration::from_secs(3600);

/// Row number of a detection in the index; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct DetectionId(pub i64);

impl fmt::Display for DetectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DetectionId {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> std::result::Result<Self, Self::Err> {
        s.parse().map(Self)
    }
}

/// Who saw it, and what.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Debug,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DetectionKind {
    /// Something moved, found in the pictures.
    Motion,
    /// A thing of a known kind was found in the pictures; the label names it.
    Object,
    /// Something crossed a line.
    Line,
    /// The camera said so itself.
    Camera,
    /// Another program said so.
    External,
}

impl DetectionKind {
    /// All.
    pub const ALL: [Self; 5] = [
        Self::Motion,
        Self::Object,
        Self::Line,
        Self::Camera,
        Self::External,
    ];

    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Motion => "motion",
            Self::Object => "object",
            Self::Line => "line",
            Self::Camera => "camera",
            Self::External => "external",
        }
    }

    /// The kind of a stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == name)
    }
}

/// Something that was seen.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Detection {
    /// Its row.
    pub id: DetectionId,
    /// Where.
    pub camera: CameraId,
    /// Who saw it, and what.
    pub kind: DetectionKind,
    /// What it is: `person`, `doorbell`.
    pub label: Option<String>,
    /// Which zone or line of the picture, by its name.
    pub zone: Option<String>,
    /// How sure, 0 to 1.
    pub score: f32,
    /// Begin.
    pub from: Timestamp,
    /// End; `None` while it goes on.
    pub to: Option<Timestamp>,
    /// When it is seen best: the moment of its picture.
    pub best_at: Timestamp,
    /// Who said so: a model, a topic of the camera, a program.
    pub source: Option<String>,
    /// More about it: a text in JSON.
    pub data: Option<String>,
}

impl Detection {
    pub(crate) fn of(id: DetectionId, new: NewDetection) -> Self {
        Self {
            id,
            camera: new.camera,
            kind: new.kind,
            label: new.label,
            zone: new.zone,
            score: new.score,
            from: new.from,
            to: new.to,
            best_at: new.best_at,
            source: new.source,
            data: new.data,
        }
    }

    /// In one line for people: the label, or else the kind, and the zone.
    #[must_use]
    pub fn title(&self) -> String {
        let what = self.label.as_deref().unwrap_or(self.kind.as_str());
        match &self.zone {
            Some(zone) => format!("{what} ({zone})"),
            None => what.to_owned(),
        }
    }
}

/// Something that is seen from now on, or was.
#[derive(Clone, PartialEq, Debug)]
pub struct NewDetection {
    /// Where.
    pub camera: CameraId,
    /// Who saw it, and what.
    pub kind: DetectionKind,
    /// What it is; 1 to 100 characters.
    pub label: Option<String>,
    /// Which zone or line; 1 to 100 characters.
    pub zone: Option<String>,
    /// How sure, 0 to 1.
    pub score: f32,
    /// Begin.
    pub from: Timestamp,
    /// End, if it is over already.
    pub to: Option<Timestamp>,
    /// When it is seen best.
    pub best_at: Timestamp,
    /// Who said so; 1 to 100 characters.
    pub source: Option<String>,
    /// More about it: a text in JSON, at most 16 KiB.
    pub data: Option<String>,
    /// Footage so long before it is footage of the event as well; `[detections] pre` when absent. At most an hour.
    pub pre: Option<Duration>,
    /// The same after it; `[detections] post` when absent.
    pub post: Option<Duration>,
}

impl NewDetection {
    /// One that begins, certain, without a label.
    #[must_use]
    pub const fn new(camera: CameraId, kind: DetectionKind, from: Timestamp) -> Self {
        Self {
            camera,
            kind,
            label: None,
            zone: None,
            score: 1.0,
            from,
            to: None,
            best_at: from,
            source: None,
            data: None,
            pre: None,
            post: None,
        }
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Whether it can be entered.
    ///
    /// # Errors
    /// `InvalidArgument` for a score outside 0 to 1, an end before the begin, texts that are empty or too long, and data
    /// that is no JSON or too large.
    pub fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        for (name, text) in [
            ("label", &self.label),
            ("zone", &self.zone),
            ("source", &self.source),
        ] {
            let Some(text) = text else { continue };
            if text.trim().is_empty()
                || text.chars().count() > MOST_LABEL
                || text.chars().any(char::is_control)
            {
                return wrong(format!(
                    "{name}: want 1 to {MOST_LABEL} characters without line breaks"
                ));
            }
        }
        if !(0.0..=1.0).contains(&self.score) {
            return wrong(format!("score: {} is not within 0 and 1", self.score));
        }
        if self.to.is_some_and(|to| to < self.from) {
            return wrong("to: it is before `from`".into());
        }
        if self.best_at < self.from || self.to.is_some_and(|to| self.best_at > to) {
            return wrong("best_at: it is not within `from` and `to`".into());
        }
        if [self.pre, self.post]
            .into_iter()
            .flatten()
            .any(|d| d > MOST_MARGIN)
        {
            return wrong("pre and post: at most an hour".into());
        }
        check_data(self.data.as_deref())?;
        Ok(())
    }
}

/// Whether this may be kept as data.
pub(crate) fn check_data(data: Option<&str>) -> Result<()> {
    let Some(data) = data else { return Ok(()) };
    let wrong = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
    if data.len() > MOST_DATA {
        return wrong(format!(
            "data: {} bytes of JSON are more than {MOST_DATA}",
            data.len()
        ));
    }
    if serde_json::from_str::<serde::de::IgnoredAny>(data).is_err() {
        return wrong("data: this is not JSON".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> NewDetection {
        let from = Timestamp::from_secs(1000);
        NewDetection::new(CameraId::new("a").unwrap(), DetectionKind::External, from)
    }

    #[test]
    fn names_are_stable_and_read_back() {
        for kind in DetectionKind::ALL {
            assert_eq!(DetectionKind::from_name(kind.as_str()), Some(kind));
            assert_eq!(
                serde_json::to_string(&kind).unwrap(),
                format!("{:?}", kind.as_str())
            );
        }
        assert_eq!(DetectionKind::from_name("Motion"), None);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(new().check().is_ok());
        assert!(new().label("person").check().is_ok());
        let wrong: [&dyn Fn(&mut NewDetection); 10] = [
            &|d| d.label = Some(" ".into()),
            &|d| d.label = Some("a\nb".into()),
            &|d| d.zone = Some("ü".repeat(101)),
            &|d| d.source = Some(String::new()),
            &|d| d.score = 1.1,
            &|d| d.score = f32::NAN,
            &|d| d.to = Some(Timestamp::from_secs(999)),
            &|d| d.best_at = Timestamp::from_secs(999),
            &|d| d.data = Some("{".into()),
            &|d| d.pre = Some(Duration::from_secs(3601)),
        ];
        for (n, change) in wrong.iter().enumerate() {
            let mut d = new();
            change(&mut d);
            let e = d.check().expect_err(&n.to_string());
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{n}");
        }
        let mut d = new();
        d.data = Some(format!("\"{}\"", "x".repeat(MOST_DATA)));
        assert!(d.check().is_err());
        d.label = Some("ü".repeat(100));
        d.data = Some("{\"plate\": \"X\"}".into());
        assert!(d.check().is_ok());
    }
}
