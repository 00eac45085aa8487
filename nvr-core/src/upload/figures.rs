//! What uploads came to since the recorder started, by camera.

use std::collections::BTreeMap;

use crate::ids::CameraId;

/// Upper bounds of the classes of durations, in seconds; one more class has what took longer.
pub const UPLOAD_CLASSES_S: [f64; 9] = [0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// Uploads of a camera's segments since the recorder started.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize)]
pub struct CameraUploads {
    /// Segments uploaded.
    pub uploaded: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Seconds that the uploads took together.
    pub duration_s: f64,
    /// How many took so long, by [`UPLOAD_CLASSES_S`].
    pub classes: [u64; UPLOAD_CLASSES_S.len() + 1],
}

#[derive(Debug, Default)]
pub(super) struct Figures(BTreeMap<CameraId, CameraUploads>);

impl Figures {
    pub(super) fn uploaded(&mut self, camera: &CameraId, bytes: u64, seconds: f64) {
        let entry = self.0.entry(camera.clone()).or_default();
        entry.uploaded += 1;
        entry.uploaded_bytes = entry.uploaded_bytes.saturating_add(bytes);
        entry.duration_s += seconds;
        let class = UPLOAD_CLASSES_S.iter().position(|bound| seconds <= *bound);
        entry.classes[class.unwrap_or(UPLOAD_CLASSES_S.len())] += 1;
    }

    pub(super) fn failed(&mut self, camera: &CameraId) {
        self.0.entry(camera.clone()).or_default().failures += 1;
    }

    pub(super) fn all(&self) -> BTreeMap<CameraId, CameraUploads> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_classes() {
        let cam = CameraId::new("a").unwrap();
        let mut figures = Figures::default();
        figures.uploaded(&cam, 10, 0.25);
        figures.uploaded(&cam, 20, 3.0);
        figures.uploaded(&cam, 30, 1e9);
        figures.failed(&cam);
        let all = figures.all();
        let one = &all[&cam];
        assert_eq!((one.uploaded, one.uploaded_bytes, one.failures), (3, 60, 1));
        assert_eq!(one.classes, [1, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
    }
}
