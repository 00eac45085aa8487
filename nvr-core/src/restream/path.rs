//! Which stream an address means. Pure.

use std::fmt;

use crate::ids::CameraId;
use crate::live::StreamKind;

/// The path of a stream: `/front`, or `/front/sub` for the sub stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamPath {
    /// Whose.
    pub camera: CameraId,
    /// Which.
    pub stream: StreamKind,
}

impl StreamPath {
    /// Reads one; `None` when it can be no camera's.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let (camera, stream) = match path.split_once('/') {
            None => (path, StreamKind::Main),
            Some((camera, "main")) => (camera, StreamKind::Main),
            Some((camera, "sub")) => (camera, StreamKind::Sub),
            Some(_) => return None,
        };
        Some(Self {
            camera: CameraId::new(camera).ok()?,
            stream,
        })
    }
}

impl fmt::Display for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stream {
            StreamKind::Main => write!(f, "/{}", self.camera),
            StreamKind::Sub => write!(f, "/{}/sub", self.camera),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cameras_with_a_stream() {
        for (text, camera, stream) in [
            ("/front", "front", StreamKind::Main),
            ("/front/main", "front", StreamKind::Main),
            ("/front/sub", "front", StreamKind::Sub),
            ("/sub", "sub", StreamKind::Main),
            ("/sub/sub", "sub", StreamKind::Sub),
        ] {
            let path = StreamPath::parse(text).unwrap();
            assert_eq!((path.camera.as_str(), path.stream), (camera, stream), "{text}");
            assert_eq!(StreamPath::parse(&path.to_string()), Some(path), "{text}");
        }
    }

    #[test]
    fn others_are_nobodys() {
        for text in [
            "",
            "/",
            "front",
            "//",
            "/front/",
            "/front/other",
            "/front/sub/x",
            "/../x",
            "/Front Door",
        ] {
            assert_eq!(StreamPath::parse(text), None, "{text}");
        }
    }
}
