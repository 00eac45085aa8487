//! What can be learned from the plain containers, which do not describe themselves: length and tracks.

use std::io::{Read, Seek, SeekFrom};

use super::matroska;
use super::recover::tracks_of;
use crate::media::InitSegment;
use crate::media::boxes::{BoxHeader, HeaderParse, find_path};
use crate::segment::Container;
use crate::time::NS_PER_S;
use crate::track::Tracks;

/// A `moov` of a day of video takes about 40 MB; ours is a quarter of an hour.
const MAX_MOOV_BYTES: u64 = 64 << 20;

/// What a plain file holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlainInfo {
    pub(super) duration_ns: i64,
    pub(super) tracks: Tracks,
    /// It was closed in order.
    pub(super) complete: bool,
}

/// `None` when nothing of it can be played.
pub(super) fn read<R: Read + Seek>(reader: &mut R, container: Container) -> Option<PlainInfo> {
    match container {
        Container::Mp4 | Container::Fmp4 => read_mp4(reader),
        Container::Matroska => matroska::read(reader),
    }
}

fn read_mp4<R: Read + Seek>(reader: &mut R) -> Option<PlainInfo> {
    let file_len = reader.seek(SeekFrom::End(0)).ok()?;
    let mut at = 0u64;
    // `ftyp`, `free`, `mdat`, `moov`, `udta`: a file of ours has a handful of boxes.
    for _ in 0..64 {
        let mut head = Vec::with_capacity(32);
        reader.seek(SeekFrom::Start(at)).ok()?;
        reader.by_ref().take(32).read_to_end(&mut head).ok()?;
        let HeaderParse::Whole(h) = BoxHeader::parse(&head).ok()? else {
            return None;
        };
        let end = at.checked_add(h.size?)?;
        if &h.kind.0 == b"moov" {
            if end > file_len || end - at > MAX_MOOV_BYTES {
                return None;
            }
            reader.seek(SeekFrom::Start(at)).ok()?;
            let mut moov = Vec::new();
            reader.by_ref().take(end - at).read_to_end(&mut moov).ok()?;
            // A fragmented file that lost its fragments holds nothing.
            if find_path(&moov, &[b"moov", b"mvex"]).ok()?.is_some() {
                return None;
            }
            return Some(PlainInfo {
                duration_ns: movie_duration_ns(&moov)?,
                tracks: tracks_of(&InitSegment::parse(&moov).ok()?),
                complete: true,
            });
        }
        at = end;
    }
    None
}

/// `mvhd` (ISO/IEC 14496-12, 8.2.2).
fn movie_duration_ns(moov: &[u8]) -> Option<i64> {
    let mvhd = find_path(moov, &[b"moov", b"mvhd"]).ok()??;
    let (version, _, mut r) = mvhd.full().ok()?;
    let (timescale, duration) = if version == 1 {
        r.take(16).ok()?;
        (r.u32().ok()?, r.u64().ok()?)
    } else {
        r.take(8).ok()?;
        (r.u32().ok()?, u64::from(r.u32().ok()?))
    };
    let ns = u128::from(duration) * NS_PER_S as u128 / u128::from(timescale.max(1));
    i64::try_from(ns).ok()
}
