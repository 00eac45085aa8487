//! Exports and playlists of any range.

use std::collections::HashMap;

use super::{Archive, Footage};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{CameraId, SegmentId};
use crate::media::clip::{Clip, ClipPlan, ClipSegment, FileStamp, Format, OnChange, plan};
use crate::media::playlist::{self, VodOptions};
use crate::nvr::blocking;
use crate::time::{NS_PER_S, TimeRange};

/// What to export.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    /// Camera.
    pub camera: CameraId,
    /// Range of UTC; gaps in it are left out.
    pub range: TimeRange,
    /// Packing.
    pub format: Format,
}

impl ExportRequest {
    /// A range of a camera's footage in a packing.
    #[must_use]
    pub fn new(camera: CameraId, range: TimeRange, format: Format) -> Self {
        Self {
            camera,
            range,
            format,
        }
    }
}

/// What to play by HLS.
#[derive(Debug, Clone)]
pub struct VodRequest {
    /// Camera.
    pub camera: CameraId,
    /// Range of UTC; gaps in it are discontinuities.
    pub range: TimeRange,
    /// Leave the playlist open at the growing segment, so that players come back for more.
    pub event: bool,
}

/// Longest range that one request may name: a year.
const LONGEST_NS: i64 = 366 * 86_400 * NS_PER_S;

/// Times in files are rounded to ticks of 1/90000 s, so the end that is told of one segment may lie a tick behind the
/// beginning of the next. What is less than some ticks is not what somebody asks for.
const SLIVER_NS: i64 = 100_000;

/// Leaves out segments of which the range takes no more than rounding, unless there is nothing else.
fn without_slivers(segments: &mut Vec<ClipSegment>, range: TimeRange) {
    let taken = |s: &ClipSegment| {
        let end = s.start.add_ns(s.index.duration_ns()).min(range.end());
        end.since(s.start.max(range.start()))
    };
    if segments.iter().any(|s| taken(s) >= SLIVER_NS) {
        segments.retain(|s| taken(s) >= SLIVER_NS);
    }
}

impl Archive {
    /// One file for a range of footage: its size is known, any part of it can be read, nothing is remuxed.
    ///
    /// # Errors
    /// `NotFound` when nothing is recorded there; `Conflict` when the codec parameters change inside the
    /// range (the message lists the stretches; see [`export_split`](Self::export_split)); `Unsupported` when
    /// all that is recorded there lies in plain containers.
    pub async fn export(&self, request: ExportRequest) -> Result<Clip> {
        let mut clips = self.clips(request, OnChange::Refuse).await?;
        clips
            .pop()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a plan without parts"))
    }

    /// One file for each stretch of equal codec parameters.
    ///
    /// # Errors
    /// As [`export`](Self::export), but for the change of parameters.
    pub async fn export_split(&self, request: ExportRequest) -> Result<Vec<Clip>> {
        self.clips(request, OnChange::Split).await
    }

    async fn clips(&self, request: ExportRequest, on_change: OnChange) -> Result<Vec<Clip>> {
        let archive = self.clone();
        blocking(move || {
            let mut segments = archive.clip_segments(&request.camera, request.range)?;
            without_slivers(&mut segments, request.range);
            let plans: Vec<ClipPlan> = plan(&segments, request.range, request.format, on_change)
                .map_err(|e| e.context(format_args!("camera {}", request.camera)))?;
            plans.iter().map(Clip::open).collect()
        })
        .await
    }

    /// The HLS media playlist of a range (RFC 8216), by byte range of the segment files; `uri` gives the
    /// address of a segment's file, to which `?v=` and the version of the file is added.
    ///
    /// # Errors
    /// `NotFound` when nothing is recorded there.
    pub async fn vod(
        &self,
        request: VodRequest,
        uri: impl Fn(SegmentId) -> String + Send + 'static,
    ) -> Result<String> {
        let archive = self.clone();
        blocking(move || {
            let footage = archive.clip_footage(&request.camera, request.range)?;
            let ids: HashMap<String, SegmentId> = footage
                .iter()
                .map(|f| (f.path.to_string_lossy().into_owned(), f.id))
                .collect();
            let segments: Vec<ClipSegment> = footage.iter().map(clip_segment).collect::<Result<_>>()?;
            let options = VodOptions {
                event: request.event,
                ..VodOptions::default()
            };
            let id_of = |name: &str| ids.get(name).copied().unwrap_or(SegmentId(0));
            // Under another address when its file is exchanged for another version: the byte ranges are others.
            let versioned = |s: &ClipSegment| {
                let uri = uri(id_of(&s.name));
                match s.stamp.version() {
                    Some(version) => format!("{uri}?v={version}"),
                    None => uri,
                }
            };
            playlist::media_playlist(&segments, request.range, options, versioned)
                .map_err(|e| e.context(format_args!("camera {}", request.camera)))
        })
        .await
    }

    /// The HLS master playlist of a range, which names codecs and size; `media_uri` is the address of its
    /// media playlist.
    ///
    /// # Errors
    /// `NotFound` when nothing is recorded there.
    pub async fn vod_master(&self, camera: CameraId, range: TimeRange, media_uri: String) -> Result<String> {
        let archive = self.clone();
        blocking(move || {
            let segments = archive.clip_segments(&camera, range)?;
            playlist::master_playlist(&segments, range, VodOptions::default(), &media_uri)
        })
        .await
    }

    fn clip_segments(&self, camera: &CameraId, range: TimeRange) -> Result<Vec<ClipSegment>> {
        self.clip_footage(camera, range)?
            .iter()
            .map(clip_segment)
            .collect()
    }

    fn clip_footage(&self, camera: &CameraId, range: TimeRange) -> Result<Vec<Footage>> {
        if range.len_ns() > LONGEST_NS {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the range is longer than a year",
            ));
        }
        let footage = self.footage(camera, range)?;
        if footage.is_empty() {
            return Err(self.nothing_in(camera, range));
        }
        Ok(footage)
    }
}

fn clip_segment(footage: &Footage) -> Result<ClipSegment> {
    let opened = footage.open()?;
    let stamp = match footage.hash {
        _ if footage.growing => FileStamp::Growing,
        Some(hash) if !opened.exchanged => FileStamp::Hash(hash),
        _ => FileStamp::Size(opened.size_bytes),
    };
    let name = footage.path.to_string_lossy();
    Ok(ClipSegment::new(
        &name,
        footage.start,
        footage.run_order,
        opened.file,
        opened.index,
        stamp,
    ))
}
