//! What goes where, and what is next. Pure.

use crate::config::{UploadConfig, UploadWhat};
use crate::event::JobState;
use crate::ids::SegmentId;
use crate::store::{InboxRow, NewUpload, QueuedUpload, SegmentRow, SegmentState, UploadState};
use crate::time::Timestamp;

/// Whether a target wants a segment. A growing one is never wanted.
#[must_use]
pub fn wants(target: &UploadConfig, segment: &SegmentRow) -> bool {
    let is_whole = SegmentState::PLAYABLE.contains(&segment.state);
    let of_camera = target.cameras.is_empty() || target.cameras.contains(&segment.camera);
    let event = segment.marks.is_event();
    let fits = match target.what {
        UploadWhat::All => true,
        UploadWhat::Protected => segment.protected,
        UploadWhat::Event => event,
        UploadWhat::Kept => segment.protected || event,
    };
    is_whole && of_camera && fits
}

/// What the targets are to have of segments that they were not asked about.
#[must_use]
pub fn wanted(targets: &[UploadConfig], inbox: &[InboxRow]) -> Vec<NewUpload> {
    inbox
        .iter()
        .flat_map(|row| {
            targets
                .iter()
                .filter(|t| wants(t, &row.segment) && !row.known.contains(&t.name))
                .map(|t| new_upload(t, &row.segment, false))
        })
        .collect()
}

/// A segment for a target.
#[must_use]
pub fn new_upload(target: &UploadConfig, segment: &SegmentRow, by_hand: bool) -> NewUpload {
    NewUpload {
        segment: segment.id,
        target: target.name.clone(),
        key: target.key.key_of(segment),
        required: target.required,
        by_hand,
    }
}

/// What is to be done about a target.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Turn {
    /// Uploads whose job is over: what they are from now on, and why.
    pub settle: Vec<(SegmentId, UploadState, Option<String>)>,
    /// So many more may get a job.
    pub room: usize,
    /// Only those that somebody asked for may.
    pub by_hand_only: bool,
}

/// Looks at the uploads of a target that have jobs. There are never more jobs than uploads at once: however long a target
/// is away, what waits are rows, and which is next is decided when there is room.
#[must_use]
pub fn turn(target: &UploadConfig, queued: &[QueuedUpload], now: Timestamp) -> Turn {
    let mut out = Turn {
        by_hand_only: !target.windows.contains(now),
        ..Turn::default()
    };
    let mut live = 0;
    for q in queued {
        let id = q.upload.segment;
        match q.job {
            Some(JobState::Queued | JobState::Running) => live += 1,
            Some(JobState::Cancelled) => {
                let why = Some("called off".to_owned());
                out.settle.push((id, UploadState::Cancelled, why));
            }
            Some(JobState::Failed) => out.settle.push((id, UploadState::Failed, q.error.clone())),
            // Done without a copy (it was put off), or forgotten: it takes its turn again.
            Some(JobState::Done) | None => out.settle.push((id, UploadState::Waiting, None)),
        }
    }
    out.room = target.max_concurrent.saturating_sub(live);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UploadPlace;
    use crate::ids::{CameraId, JobId, RunId};
    use crate::segment::Container;
    use crate::store::{Marks, UploadRow};
    use crate::track::{Tracks, VideoCodec, VideoTrack};
    use crate::window::Windows;
    use proptest::prelude::*;

    fn segment(id: i64, camera: &str, state: SegmentState, protected: bool) -> SegmentRow {
        SegmentRow {
            id: SegmentId(id),
            camera: CameraId::new(camera).unwrap(),
            run: RunId::from_u64(1),
            sequence: 0,
            path: "a".into(),
            state,
            start: Timestamp::from_secs(id),
            duration_ns: 1,
            size_bytes: 1,
            container: Container::Fmp4,
            tracks: Tracks {
                video: VideoTrack {
                    codec: VideoCodec::H264,
                    width: 16,
                    height: 16,
                    frame_rate: None,
                },
                audio: None,
            },
            hash: None,
            protected,
            camera_start: None,
            marks: Marks::default(),
            tier: crate::segment::Tier::First,
            masks: None,
            from_card: false,
        }
    }

    fn target(name: &str) -> UploadConfig {
        UploadConfig::new(name, UploadPlace::Folder("/x".into()))
    }

    fn queued(id: i64, job: Option<JobState>) -> QueuedUpload {
        QueuedUpload {
            upload: UploadRow {
                segment: SegmentId(id),
                target: "a".into(),
                key: id.to_string(),
                state: UploadState::Queued,
                required: true,
                by_hand: false,
                start: Timestamp::from_secs(id),
                size_bytes: 1,
                entered: Timestamp::from_secs(0),
                job: Some(JobId(id)),
                hash: None,
                etag: None,
                uploaded: None,
                error: None,
            },
            job,
            error: Some("why".into()),
        }
    }

    #[test]
    fn each_target_gets_what_it_wants_once() {
        let all = target("all");
        let mut kept = target("kept");
        (kept.what, kept.required) = (UploadWhat::Kept, false);
        let mut front = target("front");
        front.cameras = vec![CameraId::new("front").unwrap()];
        let rows: Vec<InboxRow> = [
            segment(1, "front", SegmentState::Closed, false),
            segment(2, "yard", SegmentState::Recovered, true),
            segment(3, "front", SegmentState::Open, true),
            segment(4, "front", SegmentState::Missing, true),
            segment(5, "front", SegmentState::Remote, true),
            segment(6, "front", SegmentState::Closed, false),
        ]
        .into_iter()
        .map(|segment| InboxRow {
            known: if segment.id.0 == 6 {
                vec!["all".into()]
            } else {
                Vec::new()
            },
            segment,
        })
        .collect();
        let got: Vec<(i64, String, bool)> = wanted(&[all, kept, front], &rows)
            .into_iter()
            .map(|n| (n.segment.0, n.target, n.required))
            .collect();
        let want = [
            (1, "all", true),
            (1, "front", true),
            (2, "all", true),
            (2, "kept", false),
            (6, "front", true),
        ];
        let want: Vec<_> = want.into_iter().map(|(n, t, r)| (n, t.to_owned(), r)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn what_became_of_jobs_is_noted_and_makes_room() {
        let mut t = target("a");
        t.windows = Windows::parse("02:00-03:00", "UTC").unwrap();
        let queue = [
            queued(1, Some(JobState::Running)),
            queued(2, Some(JobState::Queued)),
            queued(3, Some(JobState::Done)),
            queued(4, Some(JobState::Failed)),
            queued(5, Some(JobState::Cancelled)),
            queued(6, None),
        ];
        let noon: Timestamp = "2026-05-04T12:00:00Z".parse().unwrap();
        let turned = turn(&t, &queue, noon);
        assert_eq!((turned.room, turned.by_hand_only), (2, true));
        let states: Vec<_> = turned
            .settle
            .iter()
            .map(|(id, s, e)| (id.0, *s, e.as_deref()))
            .collect();
        assert_eq!(
            states,
            [
                (3, UploadState::Waiting, None),
                (4, UploadState::Failed, Some("why")),
                (5, UploadState::Cancelled, Some("called off")),
                (6, UploadState::Waiting, None),
            ]
        );
        assert!(!turn(&t, &[], "2026-05-04T02:30:00Z".parse().unwrap()).by_hand_only);
    }

    proptest! {
        /// However many there are, and whatever became of them: no more jobs than the limit.
        #[test]
        fn never_more_jobs_than_the_limit(states in prop::collection::vec(0usize..6, 0..40), limit in 1usize..65) {
            let mut t = target("a");
            t.max_concurrent = limit;
            let all = JobState::ALL;
            let queue: Vec<_> = (0i64..).zip(&states).map(|(id, s)| queued(id, all.get(*s).copied())).collect();
            let live = queue.iter().filter(|q| q.job.is_some_and(|j| !j.is_over())).count();
            let turned = turn(&t, &queue, Timestamp::from_secs(0));
            prop_assert!(live >= limit || live + turned.room == limit);
            prop_assert!(live < limit || turned.room == 0);
            prop_assert_eq!(turned.settle.len() + live, queue.len());
        }
    }
}
