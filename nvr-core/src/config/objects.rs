//! `[objects]`: looking for objects in pictures that show motion, by a network of the user's.

use std::path::{Path, PathBuf};

use super::camera::CameraConfig;
use super::reader::{At, Reader, Section, section};
use super::values::{Ratio, Text, Word};
use crate::detection::MOST_LABEL;
use crate::schedule::RecordMode;

/// What is said where it was not built in, and what to do.
pub(crate) const NO_OBJECTS: (&str, &str) = (
    "this recorder was built without object detection",
    "build it with the feature `onnx`, or leave [objects] out",
);

/// Most classes that are looked for.
const MOST_CLASSES: usize = 1000;

/// How a network writes what it found.
#[derive(
    Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OutputLayout {
    /// By the shape of the answer.
    #[default]
    Auto,
    /// `[1, boxes, 5 + classes]`, with objectness.
    Yolov5,
    /// `[1, 4 + classes, boxes]`.
    Yolov8,
    /// `[1, boxes, 6]`, already without doubles.
    EndToEnd,
}

/// Looking for objects.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct ObjectsConfig {
    /// Whether they are looked for (default: yes).
    pub enabled: bool,
    /// File of the network, in the ONNX format.
    pub model: PathBuf,
    /// File with the names of its classes, one a line; those in the model by default.
    pub labels: Option<PathBuf>,
    /// Which of them are told; empty: all.
    pub classes: Vec<String>,
    /// Those of which the network is less sure are not told (0.05 to 1; default 0.5).
    pub threshold: f32,
    /// Width and height of the input of a model that leaves them open (32 to 2048); by what the model says of itself, else 640.
    pub size: Option<usize>,
    /// How the network writes what it found.
    pub layout: OutputLayout,
    /// Whether things that stand still count too, while something else moves (default: no).
    pub standing: bool,
}

section! {
    /// Looking for objects in the pictures in which motion detection sees something move, by a network of yours in the ONNX
    /// format. Nothing is looked for unless `model` is set. Needs a recorder that was built with the feature `onnx`, as
    /// that of the Debian package is.
    RawObjects requires [] {
        /// Whether objects are looked for. Cameras may say no with their `objects`.
        enabled: bool = true,
        /// File of the network: YOLOv5 to v10, 11 or 26, or what answers in the same way, as ONNX.
        model: Text,
        /// Text file with the names of the network's classes, one a line. Those that stand in the model by default.
        labels: Text,
        /// Which of these are told, separated by commas: `"person, car, dog"`. All by default.
        classes: Text,
        /// Objects of which the network is less sure are not told, 0.05 to 1.
        threshold: Ratio = 0.5,
        /// Width and height of the pictures that the network is given, 32 to 2048, where the model leaves that open. What the model
        /// says of itself by default (`imgsz`), else 640.
        size: u64,
        /// How the network writes what it found; by the shape of its answer.
        layout: Word<OutputLayout> = "auto",
        /// Whether things that stand still count too, while something else moves in the picture.
        standing: bool = false,
    }
}

impl ObjectsConfig {
    /// With a model, and the defaults.
    #[must_use]
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            enabled: true,
            model: model.into(),
            labels: None,
            classes: Vec::new(),
            threshold: 0.5,
            size: None,
            layout: OutputLayout::Auto,
            standing: false,
        }
    }

    /// Whether another one has the same network, read in the same way.
    pub(crate) fn same_model(&self, other: &Self) -> bool {
        let same = Self {
            enabled: other.enabled,
            classes: other.classes.clone(),
            standing: other.standing,
            ..self.clone()
        };
        same == *other
    }

    /// Reads the section; none without `model`. `base` is the folder that relative paths start from,
    /// `cameras` those that are configured.
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        section: &Section<'_>,
        base: Option<&Path>,
        cameras: &[CameraConfig],
    ) -> Option<Self> {
        let raw = RawObjects::read(reader, section);
        let mut out = Self::new("");
        if let Some(at) = &raw.enabled {
            out.enabled = at.value;
        }
        let share = Ratio(0.05)..=Ratio(1.0);
        if let Some(n) = reader.within(raw.threshold.as_ref(), &share) {
            out.threshold = n.0 as f32;
        }
        if let Some(n) = reader.within(raw.size.as_ref(), &(32..=2048)) {
            out.size = Some(n as usize);
        }
        if let Some(at) = &raw.layout {
            out.layout = at.value.0;
        }
        if let Some(at) = &raw.standing {
            out.standing = at.value;
        }
        if let Some(at) = &raw.classes {
            out.classes = read_classes(reader, at);
        }
        out.labels = raw.labels.as_ref().and_then(|at| file(reader, at, base));
        let at = raw.model.as_ref()?;
        out.model = file(reader, at, base)?;
        if out.enabled && !cfg!(feature = "onnx") {
            let (message, hint) = NO_OBJECTS;
            reader
                .problems
                .error(&at.span, &at.key, message, Some(hint.to_owned()));
        }
        let moves =
            |c: &CameraConfig| c.motion.enabled || c.record == RecordMode::Motion || !c.schedule.is_empty();
        if out.enabled && !cameras.is_empty() && !cameras.iter().any(|c| c.objects && moves(c)) {
            let message = "motion is looked for in no camera's pictures, and so are no objects";
            let hint = "set `motion = true` in [[cameras]]".to_owned();
            reader.problems.warn(&at.span, &at.key, message, Some(hint));
        }
        Some(out)
    }
}

fn file(reader: &mut Reader<'_, '_>, at: &At<Text>, base: Option<&Path>) -> Option<PathBuf> {
    let text = at.value.as_str();
    if text.trim().is_empty() || text.contains('\0') {
        let message = "the path is empty or unusable";
        reader.problems.error(&at.span, &at.key, message, None);
        return None;
    }
    Some(base.map_or_else(|| PathBuf::from(text), |base| base.join(text)))
}

fn read_classes(reader: &mut Reader<'_, '_>, at: &At<Text>) -> Vec<String> {
    let names: Vec<String> = at
        .value
        .as_str()
        .split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let usable = |name: &String| name.chars().count() <= MOST_LABEL && !name.contains(char::is_control);
    if names.is_empty() || names.len() > MOST_CLASSES || !names.iter().all(usable) {
        let hint =
            Some("write names with commas between, as the model knows them: \"person, car\"".to_owned());
        reader
            .problems
            .error(&at.span, &at.key, "not usable as names of classes", hint);
        return Vec::new();
    }
    names
}
