//! Exports and playlists of any range.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::footage::{Found, plain_refused};
use super::{Archive, Footage};
use crate::convert::{Converted, VodPart};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{CameraId, SegmentId};
use crate::media::clip::{Clip, ClipPlan, ClipSegment, FileStamp, Format, OnChange, PlanPart, plan, shown};
use crate::media::playlist::{self, VodOptions};
use crate::media::{InitSegment, InitTrack};
use crate::nvr::blocking;
use crate::output_file::OutputFile;
use crate::segment::Container;
use crate::time::{NS_PER_S, TimeRange};
use crate::track::VideoCodec;

/// What to export.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    /// Camera.
    pub camera: CameraId,
    /// Range of UTC; gaps in it are left out.
    pub range: TimeRange,
    /// Packing.
    pub format: Format,
    /// Codec of the video.
    pub codec: ClipCodec,
    /// Encode it, so that the camera's privacy masks are in every picture. Without masks it makes no difference.
    pub masked: bool,
}

/// Which codec somebody can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClipCodec {
    /// As it was recorded.
    #[default]
    AsRecorded,
    /// H.264: what is H.265 is encoded while it is read.
    H264,
}

/// A clip, or one that has to be made.
#[derive(Debug)]
pub enum Export {
    /// The recorded bytes: of known size, readable anywhere.
    Clip(Clip),
    /// Encoded while it is read: fragmented MP4 from the exact start, of unknown size.
    Converted(Converted),
}

impl ExportRequest {
    /// A range of a camera's footage in a packing.
    #[must_use]
    pub fn new(camera: CameraId, range: TimeRange, format: Format) -> Self {
        Self {
            camera,
            range,
            format,
            codec: ClipCodec::AsRecorded,
            masked: false,
        }
    }

    /// The same, with the camera's privacy masks.
    #[must_use]
    pub fn masked(mut self, masked: bool) -> Self {
        self.masked = masked;
        self
    }

    /// The same with another codec.
    #[must_use]
    pub fn codec(mut self, codec: ClipCodec) -> Self {
        self.codec = codec;
        self
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
    /// Codec of the video.
    pub codec: ClipCodec,
}

/// Longest range that one request may name: a year.
const LONGEST_NS: i64 = 366 * 86_400 * NS_PER_S;

/// Times in files are rounded to ticks of 1/90000 s, so the end that is told of one segment may lie a tick behind the
/// beginning of the next. What is less than some ticks is not what somebody asks for.
const SLIVER_NS: i64 = 100_000;

/// How far behind the end frames are read that are shown before it: streams with B-frames.
const CONVERT_SLACK_NS: i64 = NS_PER_S;

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
    /// `InvalidArgument` when the range is empty or longer than a year; `NotFound` when the index knows no such camera, or
    /// nothing is recorded there; `Conflict` when the codec parameters change inside the range (the message lists the
    /// stretches; see [`export_split`](Self::export_split)); `Unsupported` when some of it lies in plain containers (the message lists the stretches), or when it has to be encoded
    /// ([`open_export`](Self::open_export) does that).
    pub async fn export(&self, request: ExportRequest) -> Result<Clip> {
        if request.codec == ClipCodec::H264 && !self.is_h264(&request).await? {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("camera {}: the footage is not H.264 throughout", request.camera),
            )
            .with_hint("it has to be encoded; open_export does that"));
        }
        let mut clips = self.clips(request, OnChange::Refuse).await?;
        clips
            .pop()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a plan without parts"))
    }

    /// One file for a range of footage in the codec that is asked for. Footage that has it already, with the same
    /// parameters throughout, is given out as it is, like [`export`](Self::export) does. Else all of it is encoded by one
    /// encoder, with the camera's privacy masks: also where they are asked for, or the resolution changes; then the pictures are brought to the first size, with bars. Waits some
    /// seconds for its turn.
    ///
    /// # Errors
    /// As [`export`](Self::export); `Unavailable` when too many others are served.
    pub async fn open_export(&self, request: ExportRequest) -> Result<Export> {
        self.open_export_within(request, crate::convert::PATIENCE).await
    }

    /// The same for somebody who has more time.
    pub(crate) async fn open_export_within(
        &self,
        request: ExportRequest,
        patience: Duration,
    ) -> Result<Export> {
        // Also of what has masks already: they may be others, or not all of it has them.
        let to_mask = request.masked && self.0.privacy.of(&request.camera).is_some();
        if request.codec == ClipCodec::AsRecorded && !to_mask {
            return self.export(request).await.map(Export::Clip);
        }
        if !to_mask && self.is_h264(&request).await? {
            match self.export(request.clone()).await {
                Err(e) if e.kind() == ErrorKind::Conflict => {}
                result => return result.map(Export::Clip),
            }
        }
        let (archive, asked) = (self.clone(), request.clone());
        let parts = blocking(move || {
            let mut segments = archive.clip_segments(&asked.camera, asked.range)?;
            without_slivers(&mut segments, asked.range);
            shown(&segments, asked.range, CONVERT_SLACK_NS)
                .map_err(|e| e.context(format_args!("camera {}", asked.camera)))
        })
        .await?;
        let privacy = self.0.privacy.of(&request.camera);
        let converted = self.0.converter.export(parts, privacy, patience).await;
        converted
            .map(Export::Converted)
            .map_err(|e| e.context(format_args!("camera {}", request.camera)))
    }

    /// Writes a range of footage to a new file, encoded where it has to be, as [`open_export`](Self::open_export) gives it.
    /// Returns its bytes. The file gets its name when it is complete: it is there whole or not at all, whatever happens.
    ///
    /// # Errors
    /// As [`open_export`](Self::open_export); `AlreadyExists` when there is a file of that name, and `Storage` when it
    /// cannot be written.
    pub async fn export_to(&self, request: ExportRequest, path: impl Into<PathBuf>) -> Result<u64> {
        let (path, format) = (path.into(), request.format);
        crate::output_file::may_be_written(&path, false)?;
        let export = self.open_export(request).await?;
        blocking(move || {
            let mut file = OutputFile::create(&path, false)?;
            let bytes = match (export, format) {
                (Export::Clip(clip), _) => clip.write_to(&mut file, |_| true),
                (Export::Converted(made), Format::Fmp4) => made.write_to(&mut file, |_| true),
                (Export::Converted(made), Format::Mp4) => {
                    let scratch = Converted::scratch(file.folder())?;
                    made.write_mp4(scratch, &mut file, |_| true)
                }
            };
            let bytes = bytes.map_err(|e| e.context(path.display()))?;
            file.finish().map(|()| bytes)
        })
        .await
    }

    /// Whether all footage of a request is H.264 as it is.
    async fn is_h264(&self, request: &ExportRequest) -> Result<bool> {
        let (archive, camera, range) = (self.clone(), request.camera.clone(), request.range);
        blocking(move || {
            let footage = archive.clip_footage(&camera, range)?.footage;
            Ok(footage.iter().all(|f| f.codec == VideoCodec::H264))
        })
        .await
    }

    /// A part of a segment that a playlist of H.264 names. What was made of it before is at hand for a while; else it
    /// waits some seconds for its turn.
    ///
    /// # Errors
    /// `NotFound` when there is no such segment, version or part, `Conflict` when it is H.264 already, `Unavailable` when
    /// too many others are served.
    pub async fn vod_part(&self, id: SegmentId, version: Option<String>, part: VodPart) -> Result<Bytes> {
        let archive = self.clone();
        let asked = part.clone();
        let segment = blocking(move || {
            let none = |what: &str| Error::new(ErrorKind::NotFound, format!("segment {id} {what}"));
            let row = archive.0.store.segment(id)?;
            let row =
                row.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no segment {id}")))?;
            if version.is_some_and(|v| !row.is_version(&v)) {
                return Err(none("has another version by now").with_hint("load the playlist again"));
            }
            let footage = match row.container {
                Container::Fmp4 => archive.footage_of(&row)?,
                _ => None,
            };
            let footage = footage.ok_or_else(|| none("has nothing to be played"))?;
            let segment = clip_segment(&footage)?;
            if segment.codec != Some(VideoCodec::H265) {
                return Err(
                    Error::new(ErrorKind::Conflict, format!("segment {id} is H.264 as it is"))
                        .with_hint("load the playlist again"),
                );
            }
            match &asked {
                VodPart::Fragments(f) if !playlist::is_piece(&segment.index, f) => {
                    Err(none("has no such part").with_hint("ask for those that the playlist names"))
                }
                _ => Ok((segment, archive.0.privacy.of(&row.camera))),
            }
        })
        .await?;
        let (segment, privacy) = segment;
        match part {
            VodPart::Init => self.0.converter.header(&segment).await,
            VodPart::Fragments(fragments) => self.0.converter.piece(&segment, fragments, privacy).await,
        }
    }

    /// How many stretches of footage are encoded for somebody now.
    #[must_use]
    pub fn converting(&self) -> usize {
        self.0.converter.running()
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
    /// address of a segment's file, to which `?v=` and the version of the file is added. What lies in plain containers
    /// is left out, as a gap is.
    ///
    /// # Errors
    /// `InvalidArgument` when the range is empty or longer than a year, `NotFound` when the index knows no such camera, or
    /// nothing is recorded there, `Unsupported` when all of it lies in plain containers.
    pub async fn vod(
        &self,
        request: VodRequest,
        uri: impl Fn(SegmentId) -> String + Send + 'static,
    ) -> Result<String> {
        let archive = self.clone();
        blocking(move || {
            let footage = archive.clip_footage(&request.camera, request.range)?.footage;
            let ids: HashMap<String, SegmentId> = footage
                .iter()
                .map(|f| (f.path.to_string_lossy().into_owned(), f.id))
                .collect();
            let segments: Vec<ClipSegment> = footage.iter().map(clip_segment).collect::<Result<_>>()?;
            let options = VodOptions {
                event: request.event,
                h264: request.codec == ClipCodec::H264,
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
    /// media playlist. As H.264, headers are made of footage that is not.
    ///
    /// # Errors
    /// As [`vod`](Self::vod); as H.264, `Unavailable` when too many others are served.
    pub async fn vod_master(
        &self,
        camera: CameraId,
        range: TimeRange,
        codec: ClipCodec,
        media_uri: String,
    ) -> Result<String> {
        let archive = self.clone();
        let segments = blocking(move || {
            let found = archive.clip_footage(&camera, range)?;
            found.footage.iter().map(clip_segment).collect::<Result<Vec<_>>>()
        })
        .await?;
        let mut made: HashMap<String, Arc<InitSegment>> = HashMap::new();
        if codec == ClipCodec::H264 {
            // One for each codec and size is enough: it tells nothing of the single file but these.
            let mut like: Vec<(Option<InitTrack>, Arc<InitSegment>)> = Vec::new();
            for segment in segments.iter().filter(|s| s.codec == Some(VideoCodec::H265)) {
                let of_it = segment.clone();
                let init = blocking(move || of_it.init()).await?;
                let track = init.video().cloned();
                let known = like.iter().find(|(t, _)| *t == track).map(|(_, i)| Arc::clone(i));
                let init = match known {
                    Some(init) => init,
                    None => {
                        let bytes = self.0.converter.header(segment).await?;
                        let init = Arc::new(InitSegment::parse(&bytes)?);
                        like.push((track, Arc::clone(&init)));
                        init
                    }
                };
                made.insert(segment.name.to_string(), init);
            }
        }
        blocking(move || {
            let options = VodOptions {
                h264: codec == ClipCodec::H264,
                ..VodOptions::default()
            };
            let of = |s: &ClipSegment| match made.get(&*s.name) {
                Some(init) => Ok(Arc::clone(init)),
                None => s.init(),
            };
            playlist::master_playlist(&segments, range, options, &media_uri, &of)
        })
        .await
    }

    /// All there is of a range to be decoded, nothing where nothing is. For a thread that may wait.
    pub(crate) fn stretches(&self, camera: &CameraId, range: TimeRange) -> Result<Vec<PlanPart>> {
        self.known(camera)?;
        let parts = self.clip_segments(camera, range).and_then(|mut segments| {
            without_slivers(&mut segments, range);
            shown(&segments, range, CONVERT_SLACK_NS)
        });
        match parts {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|e| e.context(format_args!("camera {camera}"))),
        }
    }

    /// What encodes footage.
    pub(crate) fn converter(&self) -> &crate::convert::Converter {
        &self.0.converter
    }

    fn clip_segments(&self, camera: &CameraId, range: TimeRange) -> Result<Vec<ClipSegment>> {
        let found = self.clip_footage(camera, range)?;
        // One file with holes where there is footage would pass for the whole.
        if found.plain.iter().any(|r| r.len_ns() >= SLIVER_NS) {
            return Err(plain_refused(camera, &found.plain));
        }
        found.footage.iter().map(clip_segment).collect()
    }

    /// At least something that can be read.
    fn clip_footage(&self, camera: &CameraId, range: TimeRange) -> Result<Found> {
        range.not_empty()?;
        if range.len_ns() > LONGEST_NS {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the range is longer than a year",
            ));
        }
        let found = self.footage(camera, range)?;
        if found.footage.is_empty() && !found.plain.is_empty() {
            return Err(plain_refused(camera, &found.plain));
        }
        if found.footage.is_empty() {
            return Err(self.nothing_in(camera, range));
        }
        Ok(found)
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
    )
    .with_codec(opened.codec))
}
