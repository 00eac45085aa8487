//! A camera that drops its clients again and again. Alone in its process: it counts threads and files.

use super::harness::*;
use crate::event::CauseKind;
use crate::gst::RunEvent;
use crate::gst::sources::testing_rtsp::RtspCamera;
use crate::source::SourceSpec;

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

#[test]
fn thirty_quick_reconnects_leave_nothing_behind() {
    let camera = RtspCamera::serve(
        "( videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=5 threads=1 ! rtph264pay name=pay0 pt=96 )",
        None,
    );
    let source = SourceSpec::parse(&camera.url()).unwrap();
    let mut pipelines = Vec::new();
    let life = |i: u64| {
        let mut b = Bench::of(source.clone(), &Options::default());
        // Dropped before the first frame, at it, and later.
        let wanted = [0, 1, 8][(i % 3) as usize];
        if wanted == 0 {
            until("a client", || (camera.clients() > 0).then_some(()));
        } else {
            b.wait_frames(wanted);
        }
        let weak = b.run().weak_pipelines();
        let cause = until("the end", || {
            // Again and again: while it connects, rtspsrc tries once more by itself.
            camera.drop_clients();
            b.pump();
            b.seen.iter().find_map(|e| match e {
                RunEvent::Ended(cause) => Some(cause.clone()),
                _ => None,
            })
        });
        assert!(
            matches!(
                cause.kind,
                CauseKind::StreamEnded | CauseKind::Unreachable | CauseKind::BadStream
            ),
            "{cause:?}"
        );
        let frames = b.run().stats().frames;
        assert!(frames >= wanted);
        assert!(b.stop(), "its file was closed in order");
        if wanted > 1 {
            let whole: usize = b.check_exact().iter().map(|p| p.video.len()).sum();
            assert_eq!(whole as u64, frames, "no frame is lost");
        }
        weak
    };
    // What is made once and for all, is made.
    for i in 0..4 {
        pipelines.extend(life(i));
    }
    let least = || {
        let mut least = (usize::MAX, usize::MAX);
        for _ in 0..100 {
            least = (least.0.min(count("task")), least.1.min(count("fd")));
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
        least
    };
    let before = least();
    for i in 0..30 {
        pipelines.extend(life(i));
    }
    until("all pipelines are gone", || {
        pipelines.iter().all(|w| w.upgrade().is_none()).then_some(())
    });
    // GLib's pool of threads keeps two that have nothing to do.
    until("threads and files are what they were", || {
        let now = (count("task"), count("fd"));
        (now.0 <= before.0 + 2 && now.1 <= before.1 + 1).then_some(())
    });
}
