//! Mending what a crash left: cut behind the last whole fragment, write the ends, sync.
//!
//! It may be killed at any moment and begun again: each step leaves a file whose whole fragments are the
//! same. Nothing is deleted here.

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::dirs::{self, Access};
use super::naming::SegmentName;
use super::plain;
use super::root::Root;
use super::tree::{open_existing, segment_name};
use crate::error::Result;
use crate::event::CauseKind;
use crate::fault::{classify, storage};
use crate::media::{self, ClosedInfo, FragmentIndex, InitSegment, SampleLog, mfra};
use crate::run::Anchor;
use crate::segment::{ClosedSegment, Container, SegmentStart};
use crate::track::{AudioCodec, AudioTrack, Tracks, VideoCodec, VideoTrack};

/// What became of a file.
#[derive(Clone, PartialEq, Debug)]
pub enum Recovered {
    /// It holds footage and is complete now.
    Closed {
        /// As it is now; `recovered` tells whether it had to be mended. Without a hash: it would take
        /// reading the whole file.
        segment: Box<ClosedSegment>,
        /// Bytes that were cut off behind the last whole fragment.
        cut_bytes: u64,
    },
    /// It holds nothing that can be played. It was left as it is.
    Empty {
        /// Path relative to the root.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
        /// Whether it is certainly a file of ours without a whole fragment: deleting it loses nothing that
        /// could be played.
        removable: bool,
    },
}

/// What a file says of itself, read without changing it.
#[derive(Debug)]
pub enum Inspection {
    /// Complete.
    Closed(Box<ClosedSegment>),
    /// Footage with a damaged, cut or missing end: [`recover`] mends it.
    Damaged {
        /// Whole bytes.
        whole_bytes: u64,
        /// Size of the file.
        size_bytes: u64,
    },
    /// As [`Recovered::Empty`].
    Empty {
        /// Its size.
        size_bytes: u64,
        /// See [`Recovered::Empty`].
        removable: bool,
    },
}

/// Looks at a segment file: two reads for one that was closed in order.
///
/// # Errors
/// `InvalidArgument` for a path that is no segment's, `NotFound` when it is not there, `Storage` when it
/// cannot be read.
pub fn inspect(root: &Root, path: &Path) -> Result<Inspection> {
    let name = segment_name(path)?;
    let file = open_existing(root, &name, Access::Read)?;
    inspect_file(&file, &name, None)
}

/// The same of an open file.
fn inspect_file(file: &File, name: &SegmentName, known: Option<&SegmentStart>) -> Result<Inspection> {
    Ok(match look(file, name, known)? {
        Found::Closed(segment) => Inspection::Closed(segment),
        Found::Damaged(d) => Inspection::Damaged {
            whole_bytes: d.whole_len,
            size_bytes: d.file_len,
        },
        Found::Empty {
            size_bytes,
            removable,
        } => Inspection::Empty {
            size_bytes,
            removable,
        },
    })
}

/// Mends a segment file that a crash left, and says what it holds. A complete file is left as it is.
///
/// `known` is what the index or the process still knows of its beginning; it is used only where the file
/// does not say it itself.
///
/// # Errors
/// As [`inspect`], and `Storage` when it cannot be written, `Conflict` when the root is not exclusively ours.
pub fn recover(root: &Root, path: &Path, known: Option<&SegmentStart>) -> Result<Recovered> {
    let name = segment_name(path)?;
    let file = open_existing(root, &name, Access::Write)?;
    let failed = |verb: &str, e: std::io::Error| {
        storage(format!("{verb} {}", root.path().join(name.path()).display()), e)
    };
    match look(&file, &name, known)? {
        Found::Closed(segment) => {
            // The crash may have come before the sync.
            file.sync_all().map_err(|e| failed("sync", e))?;
            Ok(Recovered::Closed {
                segment,
                cut_bytes: 0,
            })
        }
        Found::Empty {
            size_bytes,
            removable,
        } => Ok(Recovered::Empty {
            path: name.path(),
            size_bytes,
            removable,
        }),
        Found::Damaged(d) => {
            let size_bytes = mend(&file, &d).map_err(|e| failed("mend", e))?;
            sync_folder(root, &name)?;
            let segment = ClosedSegment {
                start: d.start,
                path: name.path(),
                duration_ns: d.index.duration_ns(),
                size_bytes,
                fragments: d.index.to_blob(),
                hash: None,
                recovered: true,
            };
            let cut_bytes = d.file_len - d.whole_len;
            tracing::info!(camera = %name.camera, path = %name, cut_bytes, "segment mended");
            Ok(Recovered::Closed {
                segment: Box::new(segment),
                cut_bytes,
            })
        }
    }
}

fn mend(file: &File, d: &Damaged) -> std::io::Result<u64> {
    file.set_len(d.whole_len)?;
    let closing = mfra::closing_boxes(&d.index, &d.init, &d.samples);
    let mut size = d.whole_len;
    match file.write_all_at(&closing, d.whole_len) {
        Ok(()) => size += closing.len() as u64,
        // As when it is finished on a full disk: whole without its ends.
        Err(e) if classify(&e) == CauseKind::DiskFull => file.set_len(d.whole_len)?,
        Err(e) => return Err(e),
    }
    file.sync_all()?;
    Ok(size)
}

fn sync_folder(root: &Root, name: &SegmentName) -> Result<()> {
    dirs::open_day(root.dir()?, name)
        .and_then(rustix::fs::fsync)
        .map_err(|e| storage(format!("sync the folder of {name}"), e))
}

enum Found {
    Closed(Box<ClosedSegment>),
    Damaged(Box<Damaged>),
    Empty { size_bytes: u64, removable: bool },
}

struct Damaged {
    start: SegmentStart,
    init: InitSegment,
    index: FragmentIndex,
    samples: SampleLog,
    whole_len: u64,
    file_len: u64,
}

fn look(file: &File, name: &SegmentName, known: Option<&SegmentStart>) -> Result<Found> {
    let size_bytes = file
        .metadata()
        .map_err(|e| storage(format!("read {name}"), e))?
        .len();
    if name.matroska {
        return Ok(look_plain(file, name, Container::Matroska, size_bytes, known));
    }
    if let Some(info) = media::read_closed(&mut &*file).map_err(|e| e.context(name))? {
        return Ok(Found::Closed(Box::new(closed_from(info, name, size_bytes))));
    }
    let scan = media::scan(&mut BufReader::with_capacity(4096, file)).map_err(|e| e.context(name))?;
    match scan.init {
        Some(init) if !scan.index.fragments.is_empty() => {
            let start = scan
                .description
                .or_else(|| known.cloned())
                .unwrap_or_else(|| start_from_name(name, &init, Container::Fmp4));
            Ok(Found::Damaged(Box::new(Damaged {
                start,
                init,
                index: scan.index,
                samples: scan.samples,
                whole_len: scan.whole_len,
                file_len: scan.file_len,
            })))
        }
        // Fragmented, but no fragment is whole.
        Some(_) if scan.description.is_some() => Ok(Found::Empty {
            size_bytes,
            removable: true,
        }),
        init => match look_plain(file, name, Container::Mp4, size_bytes, known) {
            Found::Empty { .. } => Ok(Found::Empty {
                size_bytes,
                // Cut before the end of `moov`: there was no footage yet.
                removable: size_bytes == 0 || (init.is_none() && scan.problem.is_none()),
            }),
            plain => Ok(plain),
        },
    }
}

fn look_plain(
    file: &File,
    name: &SegmentName,
    container: Container,
    size_bytes: u64,
    known: Option<&SegmentStart>,
) -> Found {
    let Some(info) = plain::read(&mut BufReader::new(file), container) else {
        return Found::Empty {
            size_bytes,
            removable: size_bytes == 0,
        };
    };
    let start = known
        .cloned()
        .unwrap_or_else(|| bare_start(name, container, info.tracks));
    Found::Closed(Box::new(ClosedSegment {
        start,
        path: name.path(),
        duration_ns: info.duration_ns,
        size_bytes,
        fragments: Vec::new(),
        hash: None,
        recovered: !info.complete,
    }))
}

/// A closed segment from what it says of itself.
fn closed_from(info: ClosedInfo, name: &SegmentName, size_bytes: u64) -> ClosedSegment {
    ClosedSegment {
        start: info.description,
        path: name.path(),
        duration_ns: info.duration_ns,
        size_bytes,
        fragments: info.index.to_blob(),
        hash: None,
        recovered: false,
    }
}

/// All that a name tells, where a file does not describe itself.
fn bare_start(name: &SegmentName, container: Container, tracks: Tracks) -> SegmentStart {
    SegmentStart {
        camera: name.camera.clone(),
        run: name.run,
        sequence: 0,
        anchor: Anchor {
            utc: name.start(),
            steady_ns: 0,
            running_ns: 0,
        },
        start: name.start(),
        camera_start: None,
        container,
        tracks,
        masks: None,
        from_card: false,
    }
}

fn start_from_name(name: &SegmentName, init: &InitSegment, container: Container) -> SegmentStart {
    bare_start(name, container, tracks_of(init))
}

/// Tracks as an init segment tells them.
pub(super) fn tracks_of(init: &InitSegment) -> Tracks {
    let video = init.video();
    let h265 = video.is_some_and(|v| matches!(&v.sample_entry.0, b"hvc1" | b"hev1"));
    Tracks {
        video: VideoTrack {
            codec: if h265 { VideoCodec::H265 } else { VideoCodec::H264 },
            width: video.map_or(0, |v| v.width.into()),
            height: video.map_or(0, |v| v.height.into()),
            frame_rate: None,
        },
        audio: init.audio().map(|a| AudioTrack {
            codec: if &a.sample_entry.0 == b"mp4a" {
                AudioCodec::Aac
            } else {
                AudioCodec::Other
            },
            sample_rate: a.sample_rate,
            channels: a.channels.into(),
        }),
    }
}
