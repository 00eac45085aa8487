//! A JPEG of any recorded moment.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::{Archive, Footage};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::snapshot::{EncodedFrame, PictureGroup};
use crate::ids::CameraId;
use crate::media::boxes::find;
use crate::media::clip::ReadAt;
use crate::media::init::{CodecConfig, InitSegment, InitTrack};
use crate::media::{FragmentIndex, MovieFragment};
use crate::time::{NS_PER_S, Timestamp};
use crate::track::VideoCodec;

/// Which picture.
#[derive(Debug, Clone)]
pub struct SnapshotRequest {
    /// Camera.
    pub camera: CameraId,
    /// Moment; the newest footage when absent.
    pub at: Option<Timestamp>,
    /// Width in pixels (16 to 7680), the aspect is kept; as recorded when absent.
    pub width: Option<u32>,
    /// The very frame shown at the moment, instead of the keyframe at or before it. Takes longer: all frames
    /// from the keyframe on are decoded.
    pub exact: bool,
}

impl SnapshotRequest {
    /// The keyframe at or before a moment, as large as recorded.
    #[must_use]
    pub fn new(camera: CameraId, at: Option<Timestamp>) -> Self {
        Self {
            camera,
            at,
            width: None,
            exact: false,
        }
    }
}

/// A picture.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The JPEG file.
    pub jpeg: Bytes,
    /// UTC of the frame.
    pub at: Timestamp,
}

/// Most that is read for one picture: a group of pictures of some minutes.
const MOST_BYTES: u64 = 256 << 20;

impl Archive {
    /// A picture of a recorded moment, with the camera's privacy masks.
    ///
    /// # Errors
    /// `NotFound` when the index knows no such camera, or nothing is recorded there (the hint names the nearest footage),
    /// `Unsupported` for segments of a plain container, `Corrupt` when the footage cannot be decoded.
    pub async fn snapshot(&self, request: SnapshotRequest) -> Result<Snapshot> {
        let archive = self.clone();
        crate::nvr::blocking(move || archive.snapshot_blocking(&request)).await
    }

    /// The keyframe at or before a moment; `None` when nothing is recorded there. Blocking.
    pub(crate) fn keyframe_at(
        &self,
        camera: &CameraId,
        at: Timestamp,
    ) -> Result<Option<(crate::gst::CodedVideo, Bytes, Timestamp)>> {
        let footage = match self.footage_at(camera, Some(at)) {
            Ok(footage) => footage,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let (mut group, offset_ns) = read_group(&footage, at.since(footage.start), false)?;
        let video = crate::gst::CodedVideo {
            codec: group.codec,
            codec_data: group.codec_data.to_vec(),
            size: group.size,
        };
        Ok(group
            .frames
            .pop()
            .map(|f| (video, f.data, footage.start.add_ns(offset_ns))))
    }

    fn snapshot_blocking(&self, request: &SnapshotRequest) -> Result<Snapshot> {
        let footage = self.footage_at(&request.camera, request.at)?;
        let at_ns = request.at.map_or(i64::MAX, |at| at.since(footage.start));
        let (group, offset_ns) = read_group(&footage, at_ns, request.exact || request.at.is_none())?;
        let jpeg = crate::gst::snapshot::jpeg(&group, request.width, self.privacy().of(&request.camera))?;
        Ok(Snapshot {
            jpeg: jpeg.into(),
            at: footage.start.add_ns(offset_ns),
        })
    }
}

pub(super) fn read_exact(file: &dyn ReadAt, from: u64, buf: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(from + done as u64, &mut buf[done..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => done += n,
        }
    }
    Ok(())
}

/// Reads the frames from the keyframe at or before `at_ns` up to the one shown then (`exact`), or only the
/// keyframe. Returns them with the wanted frame's distance from the segment's start.
fn read_group(footage: &Footage, at_ns: i64, exact: bool) -> Result<(PictureGroup, i64)> {
    let corrupt = |what: &str| Error::new(ErrorKind::Corrupt, format!("{}: {what}", footage.path.display()));
    let opened = footage.open()?;
    let index: &Arc<FragmentIndex> = &opened.index;
    let first = index
        .keyframe_at_or_before(at_ns)
        .or_else(|| index.keyframe_at_or_after(0));
    let first = first.ok_or_else(|| corrupt("no keyframe"))?;
    let fragments = &index.fragments[first..];
    let file = &*opened.file;
    let mut head = vec![0; usize::try_from(index.header_len.min(4 << 20)).unwrap_or(0)];
    read_exact(file, 0, &mut head).map_err(|e| Error::io(footage.path.display(), e))?;
    let init = InitSegment::parse(&head)?;
    let track = init.video().ok_or_else(|| corrupt("no video track"))?;
    let (codec, codec_data) = config_of(track).ok_or_else(|| corrupt("no H.264 or H.265 in it"))?;

    let mut frames: Vec<(EncodedFrame, i64)> = Vec::new();
    let mut read = 0u64;
    for fragment in fragments {
        if !frames.is_empty() && (fragment.keyframe || !exact || fragment.start_ns > at_ns) {
            break;
        }
        read += u64::from(fragment.size);
        if read > MOST_BYTES {
            break;
        }
        let mut bytes = vec![0; fragment.size as usize];
        read_exact(file, fragment.offset, &mut bytes).map_err(|e| Error::io(footage.path.display(), e))?;
        samples(&bytes.into(), &init, track, index, &mut frames)?;
        if !exact {
            frames.truncate(1);
        }
    }
    let wanted = frames
        .iter()
        .map(|(_, at)| *at)
        .filter(|&at| at <= at_ns)
        .max()
        .or_else(|| frames.first().map(|(_, at)| *at))
        .ok_or_else(|| corrupt("no frame"))?;
    // Decoding ends with the wanted frame; what follows it in decoding order is not needed (but with
    // reordering the wanted one may come before frames that are shown earlier).
    let last = frames.iter().position(|(_, at)| *at == wanted).unwrap_or(0);
    frames.truncate(last + 1);
    let datas: Vec<&[u8]> = frames.iter().map(|(f, _)| &f.data[..]).collect();
    let needed = crate::media::references::needed(codec, &codec_data, &datas, last);
    let mut needed = needed.into_iter();
    frames.retain(|_| needed.next().unwrap_or(true));
    let wanted_pts_ns = frames.last().map_or(0, |(f, _)| f.pts_ns);
    let group = PictureGroup {
        codec,
        codec_data,
        size: (u32::from(track.width), u32::from(track.height)),
        frames: frames.into_iter().map(|(f, _)| f).collect(),
        wanted_pts_ns,
    };
    Ok((group, wanted))
}

pub(super) fn config_of(track: &InitTrack) -> Option<(VideoCodec, Bytes)> {
    match &track.config {
        CodecConfig::Avc(data) => Some((VideoCodec::H264, Bytes::copy_from_slice(data))),
        CodecConfig::Hevc(data) => Some((VideoCodec::H265, Bytes::copy_from_slice(data))),
        _ => None,
    }
}

/// The video samples of one `moof`+`mdat`, each with its presentation relative to the segment's start.
pub(super) fn samples(
    bytes: &Bytes,
    init: &InitSegment,
    track: &InitTrack,
    index: &FragmentIndex,
    out: &mut Vec<(EncodedFrame, i64)>,
) -> Result<()> {
    let corrupt = || Error::new(ErrorKind::Corrupt, "a fragment does not fit its samples");
    // A chunk may begin with `styp`; data offsets count from the `moof`.
    let moof_at = find(bytes, b"moof")?.ok_or_else(corrupt)?.offset;
    let bytes = bytes.slice(moof_at..);
    let moof = MovieFragment::parse(&bytes, init)?;
    let Some(fragment) = moof.track(track.id) else {
        return Ok(());
    };
    let timescale = i128::from(track.timescale.max(1));
    let mut decode = i128::from(fragment.base_decode_time.map_or(0, |t| t.value));
    for run in &fragment.runs {
        let mut at = usize::try_from(run.data_offset.unwrap_or(0)).map_err(|_| corrupt())?;
        for sample in run.samples() {
            let end = at
                .checked_add(sample.size as usize)
                .filter(|&e| e <= bytes.len())
                .ok_or_else(corrupt)?;
            let presented = decode + i128::from(sample.cts_offset) - i128::from(index.media_start);
            let ns = i64::try_from(presented * i128::from(NS_PER_S) / timescale).map_err(|_| corrupt())?;
            // A decoder wants times from zero on; reordering never reaches a minute back.
            let pts_ns = u64::try_from(ns.saturating_add(60 * NS_PER_S)).unwrap_or(0);
            out.push((
                EncodedFrame {
                    data: bytes.slice(at..end),
                    pts_ns,
                },
                ns,
            ));
            decode += i128::from(sample.duration);
            at = end;
        }
    }
    Ok(())
}
