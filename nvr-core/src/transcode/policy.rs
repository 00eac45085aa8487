//! Which segments are encoded again. Pure: facts and rules in, a verdict out.

use std::time::Duration;

use crate::config::TranscodeConfig;
use crate::ids::{CameraId, SegmentId};
use crate::privacy::Privacy;
use crate::segment::Container;
use crate::store::{SegmentRow, SegmentState};
use crate::time::{Timestamp, duration_ns};
use crate::track::VideoCodec;

/// What decides about a segment.
#[derive(Clone, PartialEq, Debug)]
pub struct Facts {
    /// Segment.
    pub id: SegmentId,
    /// Camera.
    pub camera: CameraId,
    /// Codec of its video.
    pub codec: VideoCodec,
    /// Packing.
    pub container: Container,
    /// Where it stands.
    pub state: SegmentState,
    /// Whether somebody protects it.
    pub protected: bool,
    /// Whether another job reads or moves it (an upload, a deletion).
    pub in_use: bool,
    /// Whether it was tried before.
    pub tried: bool,
    /// Size in bytes.
    pub size_bytes: u64,
    /// End of its footage.
    pub end: Timestamp,
    /// Which privacy masks it lacks.
    pub masks: MasksOf,
}

/// How the masks that are burnt into a segment compare with those of its camera.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MasksOf {
    /// The camera has none, or the segment has the same.
    Fitting,
    /// The segment has none.
    Missing,
    /// The segment has others.
    Other,
}

impl MasksOf {
    /// Of what is burnt into a segment, and what its camera has.
    #[must_use]
    pub fn of(burnt_in: Option<&str>, privacy: Option<&Privacy>) -> Self {
        match (burnt_in, privacy.filter(|p| p.is_on())) {
            (_, None) => Self::Fitting,
            (None, Some(_)) => Self::Missing,
            (Some(text), Some(p)) if text == p.text() => Self::Fitting,
            (Some(_), Some(_)) => Self::Other,
        }
    }
}

impl Facts {
    /// What the index says of a segment.
    #[must_use]
    pub fn of(row: &SegmentRow, masks: MasksOf, in_use: bool, tried: bool) -> Self {
        Self {
            masks,
            id: row.id,
            camera: row.camera.clone(),
            codec: row.tracks.video.codec,
            container: row.container,
            state: row.state,
            protected: row.protected,
            in_use,
            tried,
            size_bytes: row.size_bytes,
            end: row.end(),
        }
    }
}

/// What may be taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Only these cameras; all if empty.
    pub cameras: Vec<CameraId>,
    /// Only what ended so long ago.
    pub after: Duration,
    /// Only what is no smaller.
    pub min_bytes: u64,
    /// Also what was tried before.
    pub again: bool,
    /// Also H.265 that lacks the masks of its camera.
    pub masks: bool,
}

impl Rules {
    /// Those of the configuration.
    #[must_use]
    pub fn of(config: &TranscodeConfig) -> Self {
        Self {
            cameras: config.cameras.clone(),
            after: config.after,
            min_bytes: config.min_bytes,
            again: false,
            masks: false,
        }
    }

    /// Those of a camera of which no unmasked segment is to stay.
    #[must_use]
    pub const fn privacy() -> Self {
        Self {
            cameras: Vec::new(),
            after: Duration::ZERO,
            min_bytes: 0,
            again: false,
            masks: true,
        }
    }

    /// What somebody asked for: of any camera, age and size.
    #[must_use]
    pub const fn on_demand() -> Self {
        Self {
            cameras: Vec::new(),
            after: Duration::ZERO,
            min_bytes: 0,
            again: true,
            masks: true,
        }
    }
}

/// Why a segment is left alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It still grows, or its file is not there.
    NotComplete,
    /// Somebody protects it.
    Protected,
    /// It is being uploaded, moved or deleted.
    InUse,
    /// It is H.265 already.
    IsH265,
    /// It lies in a plain container, which has no chunks to keep.
    Plain,
    /// Another camera's.
    Camera,
    /// Too young.
    Young,
    /// Too small to be worth it.
    Small,
    /// It was tried and brought nothing.
    Tried,
}

impl Why {
    /// In words, after "the segment".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotComplete => "is not complete",
            Self::Protected => "is protected",
            Self::InUse => "is being uploaded, moved or deleted",
            Self::IsH265 => "is H.265 already",
            Self::Plain => "lies in a plain container",
            Self::Camera => "is of a camera that is left out",
            Self::Young => "is too young",
            Self::Small => "is too small",
            Self::Tried => "was tried before",
        }
    }
}

/// Whether a segment is taken; what must never be touched comes first, whoever asks.
///
/// # Errors
/// Why not.
pub fn judge(f: &Facts, rules: &Rules, now: Timestamp) -> Result<(), Why> {
    if !SegmentState::PLAYABLE.contains(&f.state) {
        return Err(Why::NotComplete);
    }
    if f.protected {
        return Err(Why::Protected);
    }
    if f.in_use {
        return Err(Why::InUse);
    }
    // Masks that were burnt in are exchanged for others only if somebody asks: the pictures become worse.
    let lacks = match f.masks {
        MasksOf::Fitting => false,
        MasksOf::Missing => rules.masks,
        MasksOf::Other => rules.masks && rules.again,
    };
    if f.codec != VideoCodec::H264 && !lacks {
        return Err(Why::IsH265);
    }
    if f.container != Container::Fmp4 {
        return Err(Why::Plain);
    }
    if !rules.cameras.is_empty() && !rules.cameras.contains(&f.camera) {
        return Err(Why::Camera);
    }
    if now.since(f.end) < duration_ns(rules.after) {
        return Err(Why::Young);
    }
    if f.size_bytes < rules.min_bytes {
        return Err(Why::Small);
    }
    if f.tried && !rules.again {
        return Err(Why::Tried);
    }
    Ok(())
}

/// The segments to be encoded again, the oldest first, at most `room` of them.
#[must_use]
pub fn choose(facts: &[Facts], rules: &Rules, now: Timestamp, room: usize) -> Vec<SegmentId> {
    let mut taken: Vec<&Facts> = facts.iter().filter(|f| judge(f, rules, now).is_ok()).collect();
    taken.sort_by_key(|f| (f.end, f.id));
    taken.truncate(room);
    taken.into_iter().map(|f| f.id).collect()
}

/// Whether a size is worth the exchange.
#[must_use]
pub const fn is_smaller(before: u64, after: u64, by_percent: u64) -> bool {
    after < before && after <= most_bytes(before, by_percent)
}

/// The largest size that is worth the exchange.
#[must_use]
pub const fn most_bytes(before: u64, by_percent: u64) -> u64 {
    let part = 100u64.saturating_sub(by_percent);
    (before as u128 * part as u128 / 100) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_facts() -> impl Strategy<Value = Facts> {
        (
            (0i64..50, 0usize..3, any::<bool>(), any::<bool>()),
            (0usize..4, any::<bool>(), any::<bool>(), any::<bool>()),
            (0u64..5_000_000, 0i64..1_000_000, 0usize..3),
        )
            .prop_map(
                |((id, camera, h265, plain), (state, protected, in_use, tried), (size_bytes, end, masks))| {
                    Facts {
                        masks: [MasksOf::Fitting, MasksOf::Missing, MasksOf::Other][masks],
                        id: SegmentId(id),
                        camera: CameraId::new(["a", "b", "c"][camera]).unwrap(),
                        codec: if h265 { VideoCodec::H265 } else { VideoCodec::H264 },
                        container: if plain {
                            Container::Matroska
                        } else {
                            Container::Fmp4
                        },
                        state: [
                            SegmentState::Open,
                            SegmentState::Closed,
                            SegmentState::Recovered,
                            SegmentState::Missing,
                        ][state],
                        protected,
                        in_use,
                        tried,
                        size_bytes,
                        end: Timestamp::from_secs(end),
                    }
                },
            )
    }

    fn any_rules() -> impl Strategy<Value = Rules> {
        (
            any::<bool>(),
            0u64..1_000_000,
            0u64..5_000_000,
            any::<[bool; 2]>(),
        )
            .prop_map(|(one, after, min_bytes, [again, masks])| Rules {
                masks,
                cameras: if one {
                    vec![CameraId::new("a").unwrap()]
                } else {
                    Vec::new()
                },
                after: Duration::from_secs(after),
                min_bytes,
                again,
            })
    }

    proptest! {
        #[test]
        fn what_must_not_be_touched_never_is(f in any_facts(), rules in any_rules(), now in 0i64..2_000_000) {
            let now = Timestamp::from_secs(now);
            for rules in [rules, Rules::privacy(), Rules::on_demand()] {
                if judge(&f, &rules, now).is_ok() {
                    prop_assert!(!f.protected && !f.in_use);
                    prop_assert!(matches!(f.state, SegmentState::Closed | SegmentState::Recovered));
                    prop_assert!(f.codec == VideoCodec::H264 || (rules.masks && f.masks != MasksOf::Fitting));
                    prop_assert!(f.codec == VideoCodec::H264 || f.masks == MasksOf::Missing || rules.again);
                    prop_assert_eq!(f.container, Container::Fmp4);
                    prop_assert!(rules.cameras.is_empty() || rules.cameras.contains(&f.camera));
                    prop_assert!(now.since(f.end) >= duration_ns(rules.after));
                    prop_assert!(f.size_bytes >= rules.min_bytes);
                    prop_assert!(rules.again || !f.tried);
                }
            }
        }

        #[test]
        fn the_choice_is_the_oldest_of_what_may_be_taken(
            facts in prop::collection::vec(any_facts(), 0..40),
            rules in any_rules(),
            room in 0usize..20,
        ) {
            let now = Timestamp::from_secs(1_500_000);
            let chosen = choose(&facts, &rules, now, room);
            let may: Vec<&Facts> = facts.iter().filter(|f| judge(f, &rules, now).is_ok()).collect();
            prop_assert_eq!(chosen.len(), may.len().min(room));
            let ends: Vec<Timestamp> = chosen
                .iter()
                .map(|id| may.iter().filter(|f| f.id == *id).map(|f| f.end).min().unwrap())
                .collect();
            let latest = ends.iter().max().copied();
            for f in may {
                if let Some(latest) = latest.filter(|_| !chosen.contains(&f.id)) {
                    prop_assert!(f.end >= latest || chosen.len() < room);
                }
            }
        }

        #[test]
        fn smaller_is_smaller(before in any::<u64>(), after in any::<u64>(), by in 0u64..=100) {
            if is_smaller(before, after, by) {
                prop_assert!(after < before);
                prop_assert!(u128::from(after) * 100 <= u128::from(before) * u128::from(100 - by));
            }
        }
    }
}
