//! The keys of `[[cameras]]` that begin with `motion`: whether and where motion is looked for.

use std::time::Duration;

use super::camera::RawCamera;
use super::reader::{Reader, Section};
use super::values::Span;
use crate::line::Line;
use crate::zone::{Polygon, Zone};

/// From which stream of a camera motion is looked for.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum MotionStream {
    /// The sub stream where there is one, else the main stream.
    #[default]
    Auto,
    /// The one that is recorded.
    Main,
    /// The sub stream. It is connected for this.
    Sub,
}

/// Whether and where motion is looked for in a camera's pictures.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct MotionConfig {
    /// Whether it is looked for. It is as well while the camera is recorded because of motion.
    pub enabled: bool,
    /// How little is enough (1 to 100; default 50).
    pub sensitivity: u8,
    /// Shorter motion does not count (0 to 60 s; default 0: one picture is enough).
    pub min_duration: Duration,
    /// Motion that comes back within this belongs to the same detection (1 s to 10 min; default 10 s).
    pub cool_down: Duration,
    /// Only motion in one of these counts; anywhere when there are none.
    pub zones: Vec<Zone>,
    /// Motion in one of these never counts.
    pub masks: Vec<Polygon>,
    /// From which stream.
    pub stream: MotionStream,
    /// Whether all frames are decoded, instead of keyframes only. By default only with lines, and only of a sub stream.
    pub every_frame: Option<bool>,
    /// Lines of which it is told when something crosses them.
    pub lines: Vec<Line>,
    /// How much from before it is recorded with motion (0 to 60 s; default 5 s).
    pub pre_roll: Duration,
    /// How much from after it (0 to 10 min; default 10 s).
    pub post_roll: Duration,
}

impl Default for MotionConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            sensitivity: 50,
            min_duration: Duration::ZERO,
            cool_down: Duration::from_secs(10),
            zones: Vec::new(),
            masks: Vec::new(),
            stream: MotionStream::Auto,
            every_frame: None,
            lines: Vec::new(),
            pre_roll: Duration::from_secs(5),
            post_roll: Duration::from_secs(10),
        }
    }
}

impl MotionConfig {
    /// Reads the keys of a camera.
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        section: &Section<'_>,
        raw: &RawCamera,
        has_sub: bool,
    ) -> Self {
        let mut out = Self::default();
        if let Some(at) = &raw.motion {
            out.enabled = at.value;
        }
        if let Some(n) = reader.within(raw.motion_sensitivity.as_ref(), &(1..=100)) {
            out.sensitivity = u8::try_from(n).unwrap_or(out.sensitivity);
        }
        let s = |n| Span(Duration::from_secs(n));
        for (field, bounds, to) in [
            (&raw.motion_min_duration, s(0)..=s(60), &mut out.min_duration),
            (&raw.motion_cool_down, s(1)..=s(600), &mut out.cool_down),
            (&raw.motion_pre_roll, s(0)..=s(60), &mut out.pre_roll),
            (&raw.motion_post_roll, s(0)..=s(600), &mut out.post_roll),
        ] {
            if let Some(d) = reader.within(field.as_ref(), &bounds) {
                *to = d.0;
            }
        }
        if let Some(at) = &raw.motion_every_frame {
            out.every_frame = Some(at.value);
        }
        out.lines = super::motion_lines::read(reader, section, raw);
        if let Some(at) = &raw.motion_stream {
            out.stream = at.value.0;
            if out.stream == MotionStream::Sub && !has_sub {
                let hint = Some("give the camera a `sub`, or write motion_stream = \"auto\"".to_owned());
                reader.problems.error(
                    &at.span,
                    &at.key,
                    "`motion_stream`: the camera has no sub stream",
                    hint,
                );
            }
        }
        let areas = [
            ("motion_zones", &raw.motion_zones),
            ("motion_masks", &raw.motion_masks),
        ];
        for (name, field) in areas {
            let Some(at) = field else { continue };
            let text = at.value.as_str();
            let read = if name == "motion_zones" {
                Zone::parse_list(text).map(|zones| out.zones = zones)
            } else {
                Polygon::parse_list(text).map(|masks| out.masks = masks)
            };
            if let Err(e) = read {
                // A text from a variable is not shown.
                let message = if at.secret {
                    format!("`{name}`: not usable (not shown, as it comes from a variable)")
                } else {
                    format!("`{name}`: {e}")
                };
                let hint = e.hint().map(str::to_owned);
                reader.problems.error(&at.span, &at.key, message, hint);
            }
        }
        out
    }
}
