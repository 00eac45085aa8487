//! The end of a closed segment: its sample table and a summary in `uuid` boxes, then `mfra` (ISO/IEC 14496-12, 8.8.9).
//!
//! ```text
//! … mdat | uuid(samples) | uuid(summary) | mfra( tfra* mfro )
//! ```
//!
//! Players use `tfra` to seek and skip the summary. A rebuild finds the `mfra` through `mfro`, which is
//! the last box of the file and holds the `mfra`'s size, and the summary before it through its own size
//! in its last four bytes; so head and tail are all that is read of a file. The [sample table](super::samples) is for
//! exports; it lies right behind the last fragment, and may be missing.

use std::io::{self, Read, Seek, SeekFrom};

use super::boxes::{BoxHeader, BoxWriter, HeaderParse, find};
use super::growing::GrowingIndex;
use super::index::{FragmentIndex, MAX_BLOB_BYTES, to_ticks};
use super::init::{Handler, InitSegment, MAX_INIT_BYTES};
use super::samples::SampleLog;
use super::tlv::{Record, RecordWriter};
use crate::error::{Error, Result};
use crate::segment::SegmentStart;

/// Extended type of the summary: `725c1bc7-0e10-481c-aed6-f23c9c6b9cd0`.
pub const SUMMARY_UUID: [u8; 16] = [
    0x72, 0x5c, 0x1b, 0xc7, 0x0e, 0x10, 0x48, 0x1c, 0xae, 0xd6, 0xf2, 0x3c, 0x9c, 0x6b, 0x9c, 0xd0,
];

const VERSION: u8 = 1;
const TAG_INDEX: u64 = 1;
const TAG_DURATION: u64 = 2;
/// Size of the box with the sample table, if there is one.
const TAG_SAMPLES_LEN: u64 = 3;

/// Read from the start of a file: `ftyp`, `moov` and the description take about 2 KiB.
const HEAD_BYTES: u64 = 16 << 10;

/// Read from the end of a file: holds the tail of a quarter of an hour in chunks of 0.2 s.
const TAIL_BYTES: u64 = 64 << 10;

/// Everything to be appended to a segment behind its last fragment: the sample table, the summary and the `mfra`.
#[must_use]
pub fn closing_boxes(index: &FragmentIndex, init: &InitSegment, samples: &SampleLog) -> Vec<u8> {
    let samples = samples.to_box();
    let mut record = RecordWriter::new(VERSION);
    record
        .bytes(TAG_INDEX, &index.to_blob())
        .signed(TAG_DURATION, index.duration_ns());
    if let Some(samples) = &samples {
        record.number(TAG_SAMPLES_LEN, samples.len() as u64);
    }
    let record = record.finish();
    let mut w = BoxWriter::new();
    w.bytes(samples.as_deref().unwrap_or_default());
    w.uuid(&SUMMARY_UUID, |w| {
        w.bytes(&record);
        // Size of the whole box, to be found from behind.
        w.u32((record.len() + 8 + 16 + 4) as u32);
    });
    let mfra_at = w.position();
    let mut size_at = 0;
    w.boxed(b"mfra", |w| {
        if let Some((number, video)) = video_track(init) {
            write_tfra(w, index, number, video);
        }
        w.full(b"mfro", 0, 0, |w| {
            size_at = w.position();
            w.u32(0);
        });
    });
    let size = w.position() - mfra_at;
    w.patch_u32(size_at, size as u32);
    w.into_bytes()
}

/// Number (from 1, as the track fragments of a `moof` are counted) and id of the video track.
fn video_track(init: &InitSegment) -> Option<(u8, u32)> {
    let at = init.tracks.iter().position(|t| t.handler == Handler::Video)?;
    Some((u8::try_from(at + 1).ok()?, init.tracks[at].id))
}

fn write_tfra(w: &mut BoxWriter, index: &FragmentIndex, traf_number: u8, track_id: u32) {
    let entries: Vec<(u64, u64)> = index
        .fragments
        .iter()
        .filter(|f| f.keyframe)
        .map(|f| {
            let time = index
                .media_start
                .saturating_add(to_ticks(f.start_ns, index.timescale));
            (u64::try_from(time).unwrap_or(0), f.offset)
        })
        .collect();
    let wide = entries.iter().any(|&(t, o)| t.max(o) > u64::from(u32::MAX));
    w.full(b"tfra", u8::from(wide), 0, |w| {
        // The three numbers of an entry take one byte each.
        w.u32(track_id).u32(0).u32(entries.len() as u32);
        for (time, offset) in entries {
            if wide {
                w.u64(time).u64(offset);
            } else {
                w.u32(time as u32).u32(offset as u32);
            }
            w.bytes(&[traf_number, 1, 1]);
        }
    });
}

/// What a closed segment says of itself.
#[derive(Clone, PartialEq, Debug)]
pub struct ClosedInfo {
    /// Who it belongs to and when it starts.
    pub description: SegmentStart,
    /// Its init segment.
    pub init: InitSegment,
    /// Its fragments.
    pub index: FragmentIndex,
    /// Nanoseconds from the first video frame's start to the last one's end.
    pub duration_ns: i64,
}

/// Reads head and tail of a closed segment: two reads for a usual one.
///
/// `None` when it is not closed, not described, damaged or cut; then [`scan`](super::growing::scan)
/// tells what it holds.
///
/// # Errors
/// That of the reader.
pub fn read_closed<R: Read + Seek>(reader: &mut R) -> Result<Option<ClosedInfo>> {
    read_closed_io(reader).map_err(|e| Error::io("ends of a segment", e))
}

fn read_closed_io<R: Read + Seek>(reader: &mut R) -> io::Result<Option<ClosedInfo>> {
    let file_len = reader.seek(SeekFrom::End(0))?;
    let Some((summary, summary_at)) = read_tail(reader, file_len)? else {
        return Ok(None);
    };
    let index = summary.index;
    let Some(head) = read_head(reader, file_len)? else {
        return Ok(None);
    };
    let fits = index.header_len == head.index().header_len
        && index.tail_offset().checked_add(summary.samples_len) == Some(summary_at);
    Ok(match (head.description(), head.init()) {
        (Some(description), Some(init)) if fits => Some(ClosedInfo {
            description: description.clone(),
            init: init.clone(),
            index,
            duration_ns: summary.duration_ns,
        }),
        _ => None,
    })
}

/// One block, in one read where the file allows it; shorter when the file shrank meanwhile.
fn read_at<R: Read + Seek>(reader: &mut R, from: u64, to: u64) -> io::Result<Vec<u8>> {
    reader.seek(SeekFrom::Start(from))?;
    let mut block = vec![0; to.saturating_sub(from) as usize];
    let mut filled = 0;
    while filled < block.len() {
        match reader.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    block.truncate(filled);
    Ok(block)
}

fn read_head<R: Read + Seek>(reader: &mut R, file_len: u64) -> io::Result<Option<GrowingIndex>> {
    let mut growing = GrowingIndex::new();
    let most = file_len.min(MAX_INIT_BYTES as u64 + HEAD_BYTES);
    while growing.position() < most && !growing.header_is_complete() {
        let at = growing.position();
        let block = read_at(reader, at, (at + HEAD_BYTES).min(most))?;
        if block.is_empty() || growing.push(&block).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(growing))
}

/// What the summary tells.
struct Summary {
    index: FragmentIndex,
    duration_ns: i64,
    samples_len: u64,
}

/// The summary and its offset.
fn read_tail<R: Read + Seek>(reader: &mut R, file_len: u64) -> io::Result<Option<(Summary, u64)>> {
    let mut from = file_len.saturating_sub(TAIL_BYTES);
    let mut tail = read_at(reader, from, file_len)?;
    // Each step either finds its part in `tail` or says how many bytes before the end it starts.
    for _ in 0..3 {
        match find_summary(&tail) {
            Found::Summary(at, end) => {
                return Ok(parse_summary(&tail[at..end]).map(|s| (s, from + at as u64)));
            }
            // Both sizes are bounded where they are read.
            Found::Before(n) if n > tail.len() && from > 0 => {
                from = file_len.saturating_sub(n as u64);
                tail = read_at(reader, from, file_len)?;
            }
            Found::Before(_) | Found::Nothing => break,
        }
    }
    Ok(None)
}

enum Found {
    /// The summary box lies here in the tail.
    Summary(usize, usize),
    /// So many bytes from the end of the file are needed.
    Before(usize),
    Nothing,
}

fn find_summary(tail: &[u8]) -> Found {
    // `mfro`: size 16, type, version and flags, size of the `mfra`.
    let Some((_, &[a, b, c, d])) = tail.split_last_chunk::<4>() else {
        return Found::Nothing;
    };
    let Some(mfro) = tail.len().checked_sub(16) else {
        return Found::Nothing;
    };
    if tail[mfro..mfro + 8] != *b"\0\0\0\x10mfro" {
        return Found::Nothing;
    }
    let mfra_len = u32::from_be_bytes([a, b, c, d]) as usize;
    if !(24..=MAX_BLOB_BYTES).contains(&mfra_len) {
        return Found::Nothing;
    }
    let Some(summary_end) = tail.len().checked_sub(mfra_len).filter(|&n| n >= 4) else {
        return Found::Before(mfra_len + TAIL_BYTES as usize);
    };
    let mfra_ok = find(&tail[summary_end..], b"mfra")
        .is_ok_and(|b| b.is_some_and(|b| b.offset == 0 && b.bytes.len() == mfra_len));
    let Some(&[a, b, c, d]) = tail[..summary_end].last_chunk::<4>() else {
        return Found::Nothing;
    };
    let summary_len = u32::from_be_bytes([a, b, c, d]) as usize;
    if !mfra_ok || !(28..=MAX_BLOB_BYTES).contains(&summary_len) {
        return Found::Nothing;
    }
    match summary_end.checked_sub(summary_len) {
        Some(at) => Found::Summary(at, summary_end),
        None => Found::Before(mfra_len + summary_len),
    }
}

fn parse_summary(data: &[u8]) -> Option<Summary> {
    let Ok(HeaderParse::Whole(h)) = BoxHeader::parse(data) else {
        return None;
    };
    if h.uuid != Some(SUMMARY_UUID) || h.size != Some(data.len() as u64) {
        return None;
    }
    let record = data.get(usize::from(h.header_len)..data.len() - 4)?;
    let record = Record::parse(record, VERSION).ok()?;
    let index = FragmentIndex::from_blob(record.bytes(TAG_INDEX).ok()?).ok()?;
    Some(Summary {
        index,
        duration_ns: record.signed(TAG_DURATION).ok()?,
        samples_len: record.get_number(TAG_SAMPLES_LEN).ok()?.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::super::boxes::{Boxes, Reader};
    use super::super::describe::tests::any_start;
    use super::super::samples::StoredSamples;
    use super::super::testing::{Synthetic, SyntheticSegment};
    use super::*;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use std::io::Cursor;

    fn start() -> SegmentStart {
        any_start()
            .new_tree(&mut TestRunner::deterministic())
            .unwrap()
            .current()
    }

    fn closed(spec: &SyntheticSegment) -> (SegmentStart, Synthetic) {
        let start = start();
        let s = SyntheticSegment {
            description: Some(start.clone()),
            closed: true,
            ..spec.clone()
        }
        .build();
        (start, s)
    }

    /// Counts the reads that reach the file.
    struct Counting<R>(R, u32);
    impl<R: Read> Read for Counting<R> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.0.read(buf)?;
            self.1 += 1;
            Ok(n)
        }
    }
    impl<R: Seek> Seek for Counting<R> {
        fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
            self.0.seek(pos)
        }
    }

    #[test]
    fn a_quarter_of_an_hour_takes_a_read_of_head_and_tail() {
        let (description, s) = closed(&SyntheticSegment {
            frames: 15 * 60 * 25,
            frame_bytes: 100,
            audio: true,
            ..SyntheticSegment::new()
        });
        assert_eq!(s.index.fragments.len(), 4500);
        let tail = &s.bytes[s.index.tail_offset() as usize..];
        let samples_len = StoredSamples::box_size(tail).unwrap();
        assert!(tail.len() - samples_len < TAIL_BYTES as usize, "{}", tail.len());
        let info = read_closed(&mut Cursor::new(&s.bytes)).unwrap().unwrap();
        assert_eq!(info.duration_ns, 900_000_000_000);
        assert_eq!((info.description, info.index), (description, s.index));
        assert_eq!(info.init.bytes, &s.bytes[..s.init_len]);

        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &s.bytes).unwrap();
        let mut counting = Counting(file, 0);
        assert!(read_closed(&mut counting).unwrap().is_some());
        assert_eq!(counting.1, 2);
    }

    #[test]
    fn the_table_may_be_missing_but_not_taken_out() {
        let (description, s) = closed(&SyntheticSegment {
            audio: true,
            ..SyntheticSegment::new()
        });
        let (fragments, end) = s.bytes.split_at(s.index.tail_offset() as usize);
        let init = InitSegment::parse(&s.bytes[..s.init_len]).unwrap();
        let without = closing_boxes(&s.index, &init, &SampleLog::default());
        let info = read_closed(&mut Cursor::new([fragments, &without].concat())).unwrap();
        let info = info.unwrap();
        assert_eq!((&info.index, info.description), (&s.index, description));
        // The summary tells how long it is: a file that was cut in the middle is not complete.
        let rest = &end[StoredSamples::box_size(end).unwrap()..];
        let cut = read_closed(&mut Cursor::new([fragments, rest].concat())).unwrap();
        assert!(cut.is_none());
    }

    #[test]
    fn a_tail_larger_than_the_first_read() {
        for (frames, chunk, gop) in [(40_000, 1, 1), (40_000, 1, 100_000), (20_000, 1, 2)] {
            let (_, s) = closed(&SyntheticSegment {
                frames,
                chunk,
                gop,
                frame_bytes: 20,
                ..SyntheticSegment::new()
            });
            assert!(s.bytes.len() as u64 - s.index.tail_offset() > TAIL_BYTES);
            assert_eq!(
                read_closed(&mut Cursor::new(&s.bytes)).unwrap().unwrap().index,
                s.index
            );
        }
    }

    #[test]
    fn without_fragments_and_without_description() {
        let (_, s) = closed(&SyntheticSegment {
            frames: 0,
            ..SyntheticSegment::new()
        });
        let info = read_closed(&mut Cursor::new(&s.bytes)).unwrap().unwrap();
        assert_eq!((info.index, info.duration_ns), (s.index, 0));
        let s = SyntheticSegment {
            closed: true,
            ..SyntheticSegment::new()
        }
        .build();
        assert!(read_closed(&mut Cursor::new(&s.bytes)).unwrap().is_none());
        assert!(read_closed(&mut Cursor::new(b"")).unwrap().is_none());
    }

    #[test]
    fn tfra_points_at_each_keyframe() {
        for first_decode_time in [7200, 1 << 33] {
            let s = SyntheticSegment {
                b_frames: true,
                gop: 10,
                first_decode_time,
                closed: true,
                ..SyntheticSegment::new()
            }
            .build();
            let mfra = find(&s.bytes, b"mfra").unwrap().unwrap();
            let tfra = find(mfra.body(), b"tfra").unwrap().unwrap();
            let (version, _, mut r) = tfra.full().unwrap();
            assert_eq!(version == 1, first_decode_time > 1 << 32);
            assert_eq!((r.u32().unwrap(), r.u32().unwrap()), (1, 0));
            let keys: Vec<_> = s.frames.iter().filter(|f| f.keyframe).collect();
            assert_eq!(r.u32().unwrap(), 10);
            let number = |r: &mut Reader<'_>| {
                if version == 1 {
                    r.u64().unwrap()
                } else {
                    u64::from(r.u32().unwrap())
                }
            };
            for key in keys {
                assert_eq!(number(&mut r), key.pts);
                let offset = number(&mut r) as usize;
                let moof = Boxes::new(&s.bytes[offset..]).next().unwrap().unwrap();
                assert_eq!(moof.kind(), b"moof");
                assert_eq!(offset + moof.bytes.len() + 8, key.offset as usize);
                assert_eq!(r.array().unwrap(), [1, 1, 1]);
            }
            assert!(r.rest().is_empty());
        }
    }

    #[test]
    fn a_cut_or_grown_file_is_not_closed() {
        let (_, s) = closed(&SyntheticSegment {
            frames: 20,
            frame_bytes: 30,
            ..SyntheticSegment::new()
        });
        for cut in 0..s.bytes.len() {
            assert!(
                read_closed(&mut Cursor::new(&s.bytes[..cut])).unwrap().is_none(),
                "{cut}"
            );
        }
        let first = s.index.fragments[0].bytes();
        let missing = [&s.bytes[..first.start as usize], &s.bytes[first.end as usize..]].concat();
        assert!(read_closed(&mut Cursor::new(missing)).unwrap().is_none());
        let grown = [s.bytes.as_slice(), &[0; 10]].concat();
        assert!(read_closed(&mut Cursor::new(grown)).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn damage_does_not_panic(
            hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            near_end in any::<bool>(),
        ) {
            let (_, s) = closed(&SyntheticSegment { frames: 20, frame_bytes: 30, ..SyntheticSegment::new() });
            let mut bytes = s.bytes;
            let from = if near_end { s.index.tail_offset() as usize } else { 0 };
            for (at, byte) in hits {
                let at = from + at.index(bytes.len() - from);
                bytes[at] = byte;
            }
            let _ = read_closed(&mut Cursor::new(&bytes)).unwrap();
            let _ = super::super::growing::scan(&mut Cursor::new(&bytes)).unwrap();
        }
    }
}
