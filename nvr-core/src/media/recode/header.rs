//! The init segment of a file whose video is another codec's: everything else stays.

use crate::error::Result;
use crate::media::boxes::{BoxRef, BoxWriter, Boxes, corrupt, find};
use crate::media::init::{Handler, InitSegment};
use crate::track::VideoCodec;

/// What the video track is to hold.
#[derive(Clone, Copy, Debug)]
pub struct NewVideo<'a> {
    /// Codec.
    pub codec: VideoCodec,
    /// Body of `avcC` or `hvcC` (ISO/IEC 14496-15).
    pub config: &'a [u8],
    /// Its size in pixels, which are square then; `None` leaves size and shape of pixels as they are.
    pub size: Option<(u16, u16)>,
}

impl NewVideo<'_> {
    const fn entry(&self) -> (&'static [u8; 4], &'static [u8; 4]) {
        match self.codec {
            VideoCodec::H264 => (b"avc1", b"avcC"),
            VideoCodec::H265 => (b"hvc1", b"hvcC"),
        }
    }
}

/// An init segment with another video track: the same tracks and clocks, another sample entry.
///
/// # Errors
/// `Corrupt` when the old one has no video track or cannot be read.
pub fn init_with(init: &InitSegment, config: &NewVideo<'_>) -> Result<Vec<u8>> {
    let number = init
        .tracks
        .iter()
        .position(|t| t.handler == Handler::Video)
        .ok_or_else(|| corrupt("an init segment without video"))?;
    let mut w = BoxWriter::new();
    for b in Boxes::new(&init.bytes) {
        let b = b?;
        if b.kind() == b"ftyp" {
            write_ftyp(&mut w, &b, config);
        } else if b.kind() == b"moov" {
            let mut result = Ok(());
            w.boxed(b"moov", |w| result = write_moov(w, &b, number, config));
            result?;
        } else {
            w.bytes(b.bytes);
        }
    }
    Ok(w.into_bytes())
}

/// The brands `avc1` and `hvc1` promise a codec.
fn write_ftyp(w: &mut BoxWriter, b: &BoxRef<'_>, new: &NewVideo<'_>) {
    w.boxed(b"ftyp", |w| {
        for (i, word) in b.body().chunks(4).enumerate() {
            // The second word is a version, not a brand.
            let named = i != 1 && (word == b"avc1" || word == b"hvc1");
            let brand = if named { new.entry().0 } else { word };
            w.bytes(brand);
        }
    });
}

fn write_moov(w: &mut BoxWriter, moov: &BoxRef<'_>, video: usize, config: &NewVideo<'_>) -> Result<()> {
    let mut number = 0;
    for b in moov.children() {
        let b = b?;
        if b.kind() == b"trak" {
            if number == video {
                descend(w, &b, &[b"mdia", b"minf", b"stbl", b"stsd"], config)?;
            } else {
                w.bytes(b.bytes);
            }
            number += 1;
        } else {
            w.bytes(b.bytes);
        }
    }
    Ok(())
}

/// Copies a box, but for the one at the end of `path`.
fn descend(w: &mut BoxWriter, b: &BoxRef<'_>, path: &[&[u8; 4]], config: &NewVideo<'_>) -> Result<()> {
    let Some((next, rest)) = path.split_first() else {
        return write_stsd(w, b, config);
    };
    let mut result = Ok(());
    w.boxed(&b.kind().0, |w| {
        for child in b.children() {
            result = child.and_then(|child| {
                if let (b"tkhd", Some(size)) = (&child.kind().0, config.size) {
                    return write_tkhd(w, &child, size);
                }
                if child.kind() == *next {
                    descend(w, &child, rest, config)
                } else {
                    w.bytes(child.bytes);
                    Ok(())
                }
            });
            if result.is_err() {
                return;
            }
        }
    });
    result
}

/// The size that is shown stands at the end, in 16.16 (ISO/IEC 14496-12, 8.3.2).
fn write_tkhd(w: &mut BoxWriter, tkhd: &BoxRef<'_>, (width, height): (u16, u16)) -> Result<()> {
    let body = tkhd.body();
    let before = body
        .len()
        .checked_sub(8)
        .ok_or_else(|| corrupt("'tkhd' is cut"))?;
    w.boxed(b"tkhd", |w| {
        w.bytes(&body[..before]);
        w.u32(u32::from(width) << 16).u32(u32::from(height) << 16);
    });
    Ok(())
}

/// Bytes of a VisualSampleEntry before its boxes (ISO/IEC 14496-12, 12.1.3), header not counted.
const VISUAL_ENTRY: usize = 78;

fn write_stsd(w: &mut BoxWriter, stsd: &BoxRef<'_>, config: &NewVideo<'_>) -> Result<()> {
    let entries = stsd.body().get(8..).ok_or_else(|| corrupt("'stsd' is cut"))?;
    let old = Boxes::new(entries)
        .next()
        .ok_or_else(|| corrupt("'stsd' without an entry"))??;
    let fixed = old
        .body()
        .get(..VISUAL_ENTRY)
        .ok_or_else(|| corrupt("a video sample entry that is cut"))?;
    let inside = &old.body()[VISUAL_ENTRY..];
    let (entry, record) = config.entry();
    let kept: Vec<BoxRef<'_>> = [b"pasp", b"colr"]
        .into_iter()
        .filter(|kind| config.size.is_none() || *kind != b"pasp")
        .filter_map(|kind| find(inside, kind).transpose())
        .collect::<Result<_>>()?;
    w.full(b"stsd", 0, 0, |w| {
        w.u32(1);
        w.boxed(entry, |w| {
            w.bytes(&fixed[..24]);
            match config.size {
                Some((width, height)) => w.u16(width).u16(height),
                None => w.bytes(&fixed[24..28]),
            };
            // Up to the compressor's name, which is left empty.
            w.bytes(&fixed[28..42]).bytes(&[0; 32]).bytes(&fixed[74..]);
            w.boxed(record, |w| {
                w.bytes(config.config);
            });
            for b in kept {
                w.bytes(b.bytes);
            }
        });
    });
    Ok(())
}

/// The parameter sets of an `avcC` record, length-prefixed as they stand in an access unit: for streams of which a part
/// was made with others than those of the init segment. Empty when the record is cut.
#[must_use]
pub fn in_band(avcc: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = avcc.get(5..).unwrap_or_default();
    // First those of sequences, their number in five bits; then those of pictures.
    for mask in [0x1F, 0xFF] {
        let Some((&count, tail)) = rest.split_first() else {
            return out;
        };
        rest = tail;
        for _ in 0..count & mask {
            let Some((length, tail)) = rest.split_first_chunk::<2>() else {
                return out;
            };
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(set) = tail.get(..length) else { return out };
            out.extend_from_slice(&(length as u32).to_be_bytes());
            out.extend_from_slice(set);
            rest = &tail[length..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_of_a_record() {
        let record = [
            1, 100, 0, 30, 0xff, 0xe1, 0, 2, 0x67, 7, 2, 0, 1, 0x68, 0, 2, 0x68, 9,
        ];
        let sets = in_band(&record);
        assert_eq!(sets, [0, 0, 0, 2, 0x67, 7, 0, 0, 0, 1, 0x68, 0, 0, 0, 2, 0x68, 9]);
        for n in 0..record.len() {
            assert!(sets.starts_with(&in_band(&record[..n])));
        }
    }
}
