//! Objects in pictures: people, cars, animals, or what else a network of the user's knows.
//!
//! The network is one of the YOLO family in the ONNX format; none comes with the recorder. What goes in and what comes out
//! is pure (`yolo`); the feature `onnx` brings a runtime in plain Rust that runs it. Motion detection hands over the
//! pictures in which something moves (`watch`); what is found in them becomes stretches of time (`sightings`).

#[cfg(any(feature = "onnx", test))]
mod labels;
#[cfg(feature = "onnx")]
mod model;
mod queue;
mod select;
mod sightings;
mod status;
mod watch;
#[cfg(any(feature = "onnx", test))]
mod yolo;

use std::path::PathBuf;

pub use crate::config::OutputLayout;
pub use crate::zone::Area;
#[cfg(feature = "onnx")]
pub use model::{ObjectModel, ObjectModelOptions};
pub(crate) use sightings::{Best, Change, Key, Sightings};
pub use status::{ObjectFigures, ObjectsState, ObjectsStatus};
pub(crate) use watch::{Found, Objects, Picture};

/// Whether this was built with a runtime for networks (feature `onnx`).
pub const BUILT_IN: bool = cfg!(feature = "onnx");

#[cfg(feature = "onnx")]
fn load(config: &crate::config::ObjectsConfig) -> crate::Result<Box<dyn watch::Network>> {
    read(config).map_err(|e| match e.hint() {
        Some(_) => e,
        None => e.with_hint("let `model` (and `labels`) in [objects] name files that the recorder can read; see docs/objects.md"),
    })
}

#[cfg(feature = "onnx")]
fn read(config: &crate::config::ObjectsConfig) -> crate::Result<Box<dyn watch::Network>> {
    let labels = config.labels.as_deref().map(labels::read).transpose()?;
    let options = ObjectModelOptions {
        labels: labels.unwrap_or_default(),
        size: config.size,
        layout: config.layout,
        min_score: config.threshold,
    };
    Ok(Box::new(ObjectModel::load(&config.model, options)?))
}

#[cfg(not(feature = "onnx"))]
fn load(_: &crate::config::ObjectsConfig) -> crate::Result<Box<dyn watch::Network>> {
    let (message, hint) = crate::config::NO_OBJECTS;
    Err(crate::Error::new(crate::error::ErrorKind::Unsupported, message).with_hint(hint))
}

/// What a model turned out to be.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct ModelReport {
    /// Width and height of what the network is given, in pixels.
    pub input: (usize, usize),
    /// Names of what it knows; empty if nobody named them.
    pub labels: Vec<String>,
    /// How long it looked at an empty picture, nanoseconds.
    pub look_ns: i64,
    /// What it found in the pictures that it was shown.
    pub pictures: Vec<PictureReport>,
}

/// What a model found in a picture.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct PictureReport {
    /// The picture.
    pub file: PathBuf,
    /// How long the model looked at it, nanoseconds.
    pub look_ns: i64,
    /// What is in it, the surest first: what the configured classes and threshold leave of it.
    pub objects: Vec<Object>,
}

/// Most bytes of a picture file.
#[cfg(feature = "onnx")]
const MOST_PICTURE_BYTES: u64 = 64 << 20;

/// Reads a model as a recorder does that is configured so, and shows it an empty picture, and those of `pictures` (JPEG or
/// PNG). Blocks, for seconds with a large one.
///
/// # Errors
/// `Unsupported` without the feature `onnx` and for a file that is no network that is understood or no picture, `NotFound`
/// and others of the file system, `Corrupt` for a damaged picture, `InvalidArgument` when the configuration does not fit
/// the model.
pub fn try_model(
    config: &crate::config::ObjectsConfig,
    pictures: &[PathBuf],
    clock: &dyn crate::clock::Clock,
) -> crate::Result<ModelReport> {
    let network = load(config)?;
    watch::known(config, network.labels())?;
    let input = network.input_size();
    let (width, height) = (
        u32::try_from(input.0).unwrap_or(1),
        u32::try_from(input.1).unwrap_or(1),
    );
    let bytes = vec![0; 3 * input.0 * input.1];
    let look = |picture: &RgbPicture<'_>| -> crate::Result<(Vec<Object>, i64)> {
        let before = clock.steady_ns();
        let found = network.find(picture)?;
        Ok((found, clock.steady_ns() - before))
    };
    let (_, look_ns) = look(&RgbPicture {
        width,
        height,
        stride: 3 * input.0,
        bytes: &bytes,
    })?;
    let mut seen = Vec::new();
    for file in pictures {
        let (mut objects, look_ns) = see(file, &look)?;
        objects.retain(|o| select::wanted(config, o));
        seen.push(PictureReport {
            file: file.clone(),
            look_ns,
            objects,
        });
    }
    Ok(ModelReport {
        input,
        labels: network.labels().to_vec(),
        look_ns,
        pictures: seen,
    })
}

type Look<'a> = dyn Fn(&RgbPicture<'_>) -> crate::Result<(Vec<Object>, i64)> + 'a;

/// What is in a picture file.
#[cfg(feature = "onnx")]
fn see(file: &std::path::Path, look: &Look<'_>) -> crate::Result<(Vec<Object>, i64)> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(MOST_PICTURE_BYTES).read_to_end(&mut bytes))
        .map_err(|e| crate::Error::io(file.display(), e))?;
    let picture = crate::gst::read_picture(bytes).map_err(|e| e.context(file.display()))?;
    look(&RgbPicture {
        width: picture.width,
        height: picture.height,
        stride: picture.stride,
        bytes: &picture.bytes,
    })
}

#[cfg(not(feature = "onnx"))]
fn see(_: &std::path::Path, _: &Look<'_>) -> crate::Result<(Vec<Object>, i64)> {
    let (message, hint) = crate::config::NO_OBJECTS;
    Err(crate::Error::new(crate::error::ErrorKind::Unsupported, message).with_hint(hint))
}

/// Something that was found in a picture.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Object {
    /// What it is, by the names of the network.
    pub label: String,
    /// How sure the network is, from 0 to 1.
    pub score: f32,
    /// Where it is.
    pub area: Area,
}

/// A picture of packed red, green and blue bytes.
#[derive(Clone, Copy, Debug)]
pub struct RgbPicture<'a> {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// `stride` bytes for each row, the last one may be as short as `3 * width`.
    pub bytes: &'a [u8],
}

#[cfg(feature = "onnx")]
impl RgbPicture<'_> {
    /// Whether the bytes hold what width, height and stride say.
    fn is_whole(&self) -> bool {
        let row = self.width as usize * 3;
        let rows = self.height as usize;
        rows > 0
            && row > 0
            && self.stride >= row
            && (rows - 1)
                .checked_mul(self.stride)
                .and_then(|n| n.checked_add(row))
                .is_some_and(|n| n <= self.bytes.len())
    }
}
