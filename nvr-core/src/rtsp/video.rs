//! RTP packets of H.264 (RFC 6184) and H.265 (RFC 7798) to access units, each byte copied once.
//!
//! Where a unit ends: at the marker; or, where it is missing, at the next timestamp. There are cameras that set the
//! marker on every slice. The first units are therefore held until the next timestamp; once a few showed that the marker
//! can be trusted, units are handed out with it, else never.
//!
//! A unit with a hole is dropped; what follows is handed out although it may refer to it, as rtspsrc and its
//! depayloaders do: a recorder keeps what it can. Parameter sets are taken out of units and kept in
//! [`ParameterSets`]; delimiters and SEI stay.

use super::error::RtspError;
use super::sets::ParameterSets;
use super::{h264, h265};
use crate::track::VideoCodec;

/// Largest access unit.
const MAX_UNIT_BYTES: usize = 16 << 20;

/// So many units with a marker and nothing behind it, and it is trusted.
const TRIAL_UNITS: u32 = 4;

/// So many packets in a row that cannot be read, and the stream is rubbish.
const MAX_BAD_PACKETS: u32 = 200;

/// A finished access unit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VideoUnit {
    pub data: Vec<u8>,
    pub keyframe: bool,
    pub timestamp: u32,
    pub lost_before: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Marker {
    /// So many units ended with it.
    OnTrial(u32),
    Trusted,
    /// It comes within units.
    Ignored,
}

/// Puts units together.
#[derive(Debug)]
pub(super) struct Assembler {
    codec: VideoCodec,
    pub sets: ParameterSets,
    data: Vec<u8>,
    timestamp: u32,
    /// A packet of the unit was seen.
    open: bool,
    /// A slice is in the unit.
    has_slice: bool,
    marked: bool,
    damaged: bool,
    key: bool,
    recovery: bool,
    all_intra: bool,
    /// Where the length of the fragmented NAL unit stands.
    fragment: Option<usize>,
    lost: u32,
    marker: Marker,
    /// The timestamp of the unit that ended with the last packet's marker.
    just_ended: Option<u32>,
    bad_packets: u32,
    /// Sizes of units that are no keyframes, smoothed: what the next one is given.
    usual_bytes: usize,
}

/// What is known of a packet's payload before it is taken in.
#[derive(Clone, Copy)]
struct Look {
    /// A slice, not the first of its picture: it belongs to the unit before.
    continues: bool,
    /// The first slice of a picture, or what stands before it in a unit.
    begins: bool,
}

impl Assembler {
    pub(super) fn new(codec: VideoCodec, sets: &[Vec<u8>]) -> Self {
        let mut known = ParameterSets::new(codec);
        for nal in sets {
            known.insert(nal);
        }
        Self {
            codec,
            sets: known,
            data: Vec::new(),
            timestamp: 0,
            open: false,
            has_slice: false,
            marked: false,
            damaged: false,
            key: false,
            recovery: false,
            all_intra: true,
            fragment: None,
            lost: 0,
            marker: Marker::OnTrial(0),
            just_ended: None,
            bad_packets: 0,
            usual_bytes: 4096,
        }
    }

    /// Takes the payload of the next packet, before which `lost` are missing. Calls `emit` for each finished unit.
    ///
    /// # Errors
    /// `Unsupported` for the interleaved packets of H.264; `Protocol` for units beyond all bounds, and when nothing can
    /// be read any more.
    pub(super) fn packet(
        &mut self,
        payload: &[u8],
        timestamp: u32,
        marker: bool,
        lost: u32,
        emit: &mut impl FnMut(&mut Self, VideoUnit),
    ) -> Result<(), RtspError> {
        let payload = without_start_code(payload);
        let look = self.look(payload);
        if self.open && timestamp != self.timestamp {
            if lost > 0 && !self.marked {
                self.damaged = true;
            }
            self.finish(emit);
        } else if self.open && self.marked {
            // Something behind the marker, at the same time: another picture, or more of this one?
            if look.begins {
                self.finish(emit);
            } else if look.continues && lost == 0 {
                self.distrust();
                self.marked = false;
            }
        }
        if self.just_ended.take() == Some(timestamp) && look.continues && lost == 0 {
            // The unit before was handed out too early; what is left of it is of no use.
            self.distrust();
            self.damaged = true;
        }
        if lost > 0 {
            self.lost = self.lost.saturating_add(lost);
            if self.open || !look.begins {
                self.damaged = true;
            }
        }
        if !self.open {
            self.open = true;
            self.timestamp = timestamp;
            if self.data.capacity() == 0 {
                self.data.reserve(self.usual_bytes + self.usual_bytes / 4 + 256);
            }
        }
        let good = match self.codec {
            VideoCodec::H264 => self.h264(payload)?,
            VideoCodec::H265 => self.h265(payload),
        };
        if good {
            self.bad_packets = 0;
        } else {
            self.damaged = true;
            self.bad_packets += 1;
            if self.bad_packets > MAX_BAD_PACKETS {
                return Err(RtspError::protocol(format!(
                    "{MAX_BAD_PACKETS} packets in a row that are no {}",
                    self.codec
                )));
            }
        }
        if self.data.len() > MAX_UNIT_BYTES {
            return Err(RtspError::protocol(format!(
                "a picture of more than {MAX_UNIT_BYTES} bytes"
            )));
        }
        // Some cameras mark the packets of their parameter sets.
        if marker && self.has_slice {
            self.marked = true;
            if self.marker == Marker::Trusted {
                self.finish(emit);
                self.just_ended = Some(timestamp);
            }
        }
        Ok(())
    }

    fn distrust(&mut self) {
        if self.marker != Marker::Ignored {
            tracing::debug!("the camera sets the RTP marker within pictures");
        }
        self.marker = Marker::Ignored;
    }

    /// What was lost is not to be counted to a unit: the source is another, and whatever is open is dropped.
    pub(super) fn reset(&mut self) {
        self.data.clear();
        self.clear();
    }

    fn clear(&mut self) {
        self.open = false;
        self.has_slice = false;
        self.marked = false;
        self.damaged = false;
        self.key = false;
        self.recovery = false;
        self.all_intra = true;
        self.fragment = None;
    }

    /// Nothing follows: hands out what was begun, if it is whole.
    pub(super) fn flush(&mut self, emit: &mut impl FnMut(&mut Self, VideoUnit)) {
        if self.open && self.marked {
            self.finish(emit);
        }
    }

    fn finish(&mut self, emit: &mut impl FnMut(&mut Self, VideoUnit)) {
        self.end_fragment();
        match self.marker {
            Marker::OnTrial(n) if self.marked && self.has_slice => {
                self.marker = if n + 1 < TRIAL_UNITS {
                    Marker::OnTrial(n + 1)
                } else {
                    Marker::Trusted
                };
            }
            _ => {}
        }
        let whole = self.has_slice && !self.damaged && !self.data.is_empty();
        if !whole {
            // Parameter sets alone are no unit: they wait for theirs.
            self.reset();
            return;
        }
        let keyframe = self.key || self.recovery || (self.codec == VideoCodec::H264 && self.all_intra);
        let mut data = std::mem::take(&mut self.data);
        if !keyframe {
            self.usual_bytes = (self.usual_bytes * 7 + data.len()) / 8;
        }
        if data.capacity() - data.len() > data.len() / 4 + 1024 {
            data.shrink_to_fit();
        }
        let unit = VideoUnit {
            data,
            keyframe,
            timestamp: self.timestamp,
            lost_before: std::mem::take(&mut self.lost),
        };
        self.clear();
        emit(self, unit);
    }

    fn look(&self, payload: &[u8]) -> Look {
        let nothing = Look {
            continues: false,
            begins: false,
        };
        let byte = |at: usize| payload.get(at).copied().unwrap_or(0);
        let of_h264 = |kind: u8, first_byte: u8| Look {
            // first_mb_in_slice is 0: a single bit.
            continues: matches!(kind, 1 | 2 | 5) && first_byte & 0x80 == 0,
            begins: matches!(kind, 6..=9) || (matches!(kind, 1 | 2 | 5) && first_byte & 0x80 != 0),
        };
        let of_h265 = |kind: u8, first_byte: u8| Look {
            continues: kind < 32 && first_byte & 0x80 == 0,
            begins: matches!(kind, 32..=35 | 39) || (kind < 32 && first_byte & 0x80 != 0),
        };
        match self.codec {
            VideoCodec::H264 => match byte(0) & 0x1F {
                24 => of_h264(byte(3) & 0x1F, byte(4)),
                28 if byte(1) & 0x80 != 0 => of_h264(byte(1) & 0x1F, byte(2)),
                28 => Look {
                    continues: true,
                    begins: false,
                },
                kind => of_h264(kind, byte(1)),
            },
            VideoCodec::H265 => match h265::nal_type(byte(0)) {
                48 => of_h265(h265::nal_type(byte(4)), byte(6)),
                49 if byte(2) & 0x80 != 0 => of_h265(byte(2) & 0x3F, byte(3)),
                49 => Look {
                    continues: true,
                    begins: false,
                },
                kind if kind < 48 => of_h265(kind, byte(2)),
                _ => nothing,
            },
        }
    }

    /// Whether the payload could be read.
    fn h264(&mut self, payload: &[u8]) -> Result<bool, RtspError> {
        let Some(&head) = payload.first() else {
            return Ok(true);
        };
        match head & 0x1F {
            1..=23 => {
                self.end_fragment();
                self.whole_nal(payload);
                Ok(true)
            }
            24 => {
                self.end_fragment();
                Ok(self.aggregate(&payload[1..]))
            }
            28 => {
                let Some(&[_, fu]) = payload.first_chunk::<2>() else {
                    return Ok(false);
                };
                Ok(self.fragment(&[head & 0xE0 | fu & 0x1F], fu, &payload[2..]))
            }
            kind @ (25..=27 | 29) => Err(RtspError::unsupported(format!(
                "the camera sends H.264 interleaved (packets of type {kind}), which is not read; set the camera to \
                 packetization mode 1, or try ingest = \"rtspsrc\""
            ))),
            _ => Ok(false),
        }
    }

    fn h265(&mut self, payload: &[u8]) -> bool {
        let Some(&[a, b]) = payload.first_chunk::<2>() else {
            return payload.is_empty();
        };
        match h265::nal_type(a) {
            0..=47 => {
                self.end_fragment();
                self.whole_nal(payload);
                true
            }
            48 => {
                self.end_fragment();
                self.aggregate(&payload[2..])
            }
            49 => {
                let Some(&fu) = payload.get(2) else { return false };
                self.fragment(&[a & 0x81 | (fu & 0x3F) << 1, b], fu, &payload[3..])
            }
            _ => false,
        }
    }

    /// Several NAL units with two bytes of length each.
    fn aggregate(&mut self, mut rest: &[u8]) -> bool {
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(nal) = after.get(..length) else {
                return false;
            };
            if !nal.is_empty() {
                self.whole_nal(nal);
            }
            rest = &after[length..];
        }
        // One byte too many is padding.
        true
    }

    /// A piece of a NAL unit with its header made anew. Bits of `fu`: start, end.
    fn fragment(&mut self, header: &[u8], fu: u8, piece: &[u8]) -> bool {
        if fu & 0x80 != 0 {
            // The one before had no end: cameras forget it.
            self.end_fragment();
            self.fragment = Some(self.data.len());
            self.data.extend([0; 4]);
            self.data.extend(header);
        }
        if self.fragment.is_none() {
            // Its start is lost.
            self.damaged = true;
            return true;
        }
        self.data.extend_from_slice(piece);
        if fu & 0x40 != 0 {
            self.end_fragment();
        }
        true
    }

    fn end_fragment(&mut self) {
        let Some(start) = self.fragment.take() else { return };
        let length = (self.data.len() - start - 4) as u32;
        self.data[start..start + 4].copy_from_slice(&length.to_be_bytes());
        if self.is_parameter_set(self.data[start + 4]) {
            self.sets.insert(&self.data[start + 4..]);
            self.data.truncate(start);
        } else {
            self.note(start + 4);
        }
    }

    fn whole_nal(&mut self, nal: &[u8]) {
        if self.is_parameter_set(nal[0]) {
            self.parameter_set(nal);
            return;
        }
        self.data.extend((nal.len() as u32).to_be_bytes());
        let start = self.data.len();
        self.data.extend_from_slice(nal);
        self.note(start);
    }

    /// A parameter set; some cameras put all of them, and the picture, into one packet with start codes between.
    fn parameter_set(&mut self, nal: &[u8]) {
        let mut rest = nal;
        while let Some(&first) = rest.first() {
            if !self.is_parameter_set(first) {
                self.whole_nal(rest);
                return;
            }
            let Some(at) = rest.windows(3).position(|w| w == [0, 0, 1]) else {
                self.sets.insert(rest);
                return;
            };
            self.sets.insert(&rest[..at]);
            rest = &rest[at + 3..];
        }
    }

    fn is_parameter_set(&self, first: u8) -> bool {
        match self.codec {
            VideoCodec::H264 => matches!(first & 0x1F, h264::NAL_SPS | h264::NAL_PPS),
            VideoCodec::H265 => matches!(h265::nal_type(first), h265::NAL_VPS..=h265::NAL_PPS),
        }
    }

    /// Looks at a NAL unit that was added.
    fn note(&mut self, start: usize) {
        let nal = &self.data[start..];
        match self.codec {
            VideoCodec::H264 => match nal[0] & 0x1F {
                h264::NAL_IDR => {
                    self.has_slice = true;
                    self.key = true;
                }
                h264::NAL_SLICE | 2..=4 => {
                    self.has_slice = true;
                    if self.all_intra {
                        self.all_intra = h264::slice_start(nal).1;
                    }
                }
                h264::NAL_SEI => self.recovery |= h264::has_recovery_point(&nal[1..]),
                _ => {}
            },
            VideoCodec::H265 => match h265::nal_type(nal[0]) {
                kind if kind < 32 => {
                    self.has_slice = true;
                    self.key |= h265::is_irap(kind);
                }
                h265::NAL_PREFIX_SEI => {
                    self.recovery |= h264::has_recovery_point(nal.get(2..).unwrap_or_default());
                }
                _ => {}
            },
        }
    }
}

/// RTP has no start codes; some cameras leave them in.
fn without_start_code(payload: &[u8]) -> &[u8] {
    match payload {
        [0, 0, 1, rest @ ..] | [0, 0, 0, 1, rest @ ..] => rest,
        _ => payload,
    }
}

#[cfg(test)]
mod tests;
