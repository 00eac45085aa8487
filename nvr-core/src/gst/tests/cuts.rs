//! A recording that is cut off in the moment its first file begins.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use gst::prelude::*;

use super::feeding::Feeding;
use super::harness::until;
use crate::segment::Container;

/// Where splitmuxsink tells that its first file has begun, it is held until `go`: it will overwrite what a change of
/// state that comes now tells its threads.
fn hold_the_first_file(pipeline: &gst::Pipeline) -> (Receiver<()>, SyncSender<()>) {
    let (held, began) = sync_channel(1);
    let (go, gone) = sync_channel(1);
    let gone = Mutex::new(gone);
    let bus = pipeline.bus().unwrap();
    bus.unset_sync_handler();
    bus.set_sync_handler(move |_, message| {
        if matches!(message.view(), gst::MessageView::AsyncDone(_)) && held.try_send(()).is_ok() {
            let _ = gone.lock().unwrap().recv_timeout(Duration::from_secs(20));
        }
        gst::BusSyncReply::Drop
    });
    (began, go)
}

#[test]
fn a_cut_while_the_first_file_begins_leaves_nothing_behind() {
    for audio_late_ms in [None, Some(0)] {
        for container in [Container::Matroska, Container::Mp4] {
            let mut feeding = Feeding::into(container, audio_late_ms);
            // The first frame that is taken brings the pipeline and at once the first file, which must not begin before
            // its being held is arranged.
            feeding.hold_files(true);
            let mut at = 0;
            let weak = loop {
                feeding.feed(&[(at, at, at == 0)], at + 40);
                at += 40;
                if let Some(weak) = feeding.pipeline() {
                    break weak;
                }
            };
            let (began, go) = {
                let object = weak.upgrade().unwrap();
                hold_the_first_file(object.downcast_ref().unwrap())
            };
            feeding.hold_files(false);
            until("the first file has begun", || began.try_recv().ok());
            let cut = std::thread::spawn(move || feeding.cut());
            // Long enough for whatever the cut does before it has to wait for the thread that is held.
            std::thread::park_timeout(Duration::from_millis(200));
            go.send(()).unwrap();
            until("the pipeline is gone", || weak.upgrade().is_none().then_some(()));
            cut.join().unwrap();
        }
    }
}
