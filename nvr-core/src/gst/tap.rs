//! The encoded frames of a run for others: a bounded memory of the past and bounded live readers.

use std::time::Duration;

use crate::time::Timestamp;
use crate::track::Tracks;

/// Which track a unit belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum UnitTrack {
    /// Video.
    Video,
    /// Audio.
    Audio,
}

/// One encoded frame (or audio packet), shared and not copied.
#[derive(Debug, Clone)]
pub struct AccessUnit {}

/// A unit's bytes, mapped for reading while this lives.
#[derive(Debug)]
pub struct UnitData<'a>(std::marker::PhantomData<&'a ()>);

impl std::ops::Deref for UnitData<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &[]
    }
}

impl AccessUnit {
    /// Track.
    #[must_use]
    pub fn track(&self) -> UnitTrack {
        UnitTrack::Video
    }
    /// Whether decoding can begin here (true for audio).
    #[must_use]
    pub fn keyframe(&self) -> bool {
        false
    }
    /// Presentation time, nanoseconds of the run's running time.
    #[must_use]
    pub fn pts_ns(&self) -> i64 {
        0
    }
    /// Decoding time, nanoseconds of the run's running time; may be negative.
    #[must_use]
    pub fn dts_ns(&self) -> i64 {
        0
    }
    /// Duration, if the stream says.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        None
    }
    /// Presentation in UTC.
    #[must_use]
    pub fn utc(&self) -> Timestamp {
        Timestamp::default()
    }
    /// The bytes: video length-prefixed (avcC/hvcC), audio one raw packet.
    #[must_use]
    pub fn data(&self) -> UnitData<'_> {
        UnitData(std::marker::PhantomData)
    }
    /// The decoder configuration record: `avcC`, `hvcC`, or AAC's `AudioSpecificConfig`.
    #[must_use]
    pub fn codec_data(&self) -> Option<UnitData<'_>> {
        None
    }
    /// The tracks of the stream as they were when the unit passed.
    #[must_use]
    pub fn tracks(&self) -> Tracks {
        unreachable!()
    }
}

/// Access to the encoded frames of a run. Cheap to clone; does not keep the run alive.
#[derive(Debug, Clone)]
pub struct Tap {}

impl Tap {
    /// The newest keyframe.
    #[must_use]
    pub fn keyframe(&self) -> Option<AccessUnit> {
        None
    }
    /// What is remembered of the last `back`, starting at the keyframe at or before that; oldest first.
    #[must_use]
    pub fn recent(&self, _back: Duration) -> Vec<AccessUnit> {
        Vec::new()
    }
    /// Live units from the next keyframe on. At most `capacity` wait unread; a slower reader loses whole
    /// groups of pictures, which are counted.
    #[must_use]
    pub fn subscribe(&self, _capacity: usize) -> TapReceiver {
        TapReceiver {}
    }
}

/// Reads live units; ends when the run does.
#[derive(Debug)]
pub struct TapReceiver {}

impl TapReceiver {
    /// The next unit; `None` when the run is over. Cancel-safe.
    pub async fn recv(&mut self) -> Option<AccessUnit> {
        None
    }
    /// The same for threads without a runtime.
    pub fn blocking_recv(&mut self) -> Option<AccessUnit> {
        None
    }
    /// Video frames that this reader lost by being slow.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        0
    }
}
