//! Where the frames for one client go, and how it takes them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use gst::prelude::*;
use tokio::sync::Notify;

use super::clients::Place;
use super::{Around, lock};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::gst::guard::guarded;
use crate::gst::outlet::Outlet;
use crate::gst::sources::on_pad;
use crate::gst::tap::{AccessUnit, UnitTrack};

/// Bytes that wait for a client with which no more are handed on.
const WAITING_BYTES: u64 = 1 << 20;
/// How often is looked whether a client is still there.
const LOOK: Duration = Duration::from_millis(100);

/// What a pipeline tells of itself.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Whether it asks for frames.
    asked: AtomicBool,
    /// Whether packets reached the way to the client.
    playing: AtomicBool,
    /// Whether they go by UDP.
    udp: AtomicBool,
    /// Bytes of packets that went on their way.
    sent: AtomicU64,
    news: Notify,
}

/// Between the making of a stream and that of its pipeline, by the address of the stream.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<HashMap<usize, Weak<Link>>>);

impl Links {
    pub(super) fn put(&self, bin: &gst::Bin, link: &Arc<Link>) {
        let mut links = lock(&self.0);
        links.retain(|_, link| link.strong_count() > 0);
        links.insert(bin.as_ptr() as usize, Arc::downgrade(link));
    }

    pub(super) fn take(&self, element: &gst::Element) -> Option<Arc<Link>> {
        lock(&self.0).remove(&(element.as_ptr() as usize))?.upgrade()
    }
}

impl Link {
    pub(super) fn new(video: &gst_app::AppSrc) -> Arc<Self> {
        let link = Arc::new(Self::default());
        let tell = Arc::downgrade(&link);
        video.set_callbacks(
            gst_app::AppSrcCallbacks::builder()
                .need_data(move |_, _| {
                    guarded(
                        "rtsp need-data",
                        (),
                        |_| {},
                        || {
                            if let Some(link) = tell.upgrade() {
                                link.asked.store(true, Ordering::Relaxed);
                                link.news.notify_one();
                            }
                        },
                    );
                })
                .build(),
        );
        link
    }

    /// Looks after the sinks that are added when a client says how it wants its packets.
    pub(super) fn watch(self: &Arc<Self>, pipeline: &gst::Pipeline) {
        let weak = Arc::downgrade(self);
        pipeline.connect_deep_element_added(move |_, _, element| {
            guarded(
                "rtsp sink",
                (),
                |_| {},
                || {
                    let Some(link) = weak.upgrade() else { return };
                    let kind = element.factory().map(|f| f.name());
                    let udp = match kind.as_deref() {
                        Some("appsink") => false,
                        Some("multiudpsink") => true,
                        _ => return,
                    };
                    // Frames go as they come: to wait for their time would keep whoever joined late behind for ever.
                    element.set_property("sync", false);
                    if let Some(pad) = element.static_pad("sink") {
                        link.count(&pad, udp);
                    }
                },
            );
        });
    }

    fn count(self: &Arc<Self>, pad: &gst::Pad, udp: bool) {
        let weak = Arc::downgrade(self);
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        let reports = OnceLock::new();
        on_pad(pad, mask, move |pad, info| {
            // Reports of the sender come also where frames are held up.
            if *reports.get_or_init(|| is_rtcp(pad)) {
                return gst::PadProbeReturn::Ok;
            }
            let bytes = match &info.data {
                Some(gst::PadProbeData::Buffer(b)) => b.size(),
                Some(gst::PadProbeData::BufferList(list)) => list.iter().map(gst::BufferRef::size).sum(),
                _ => 0,
            };
            if let Some(link) = weak.upgrade() {
                link.sent.fetch_add(bytes as u64, Ordering::Relaxed);
                link.udp.fetch_or(udp, Ordering::Relaxed);
                if !link.playing.swap(true, Ordering::Relaxed) {
                    link.news.notify_one();
                }
            }
            gst::PadProbeReturn::Ok
        });
    }
}

fn is_rtcp(pad: &gst::Pad) -> bool {
    let caps = pad.current_caps();
    let name = caps.as_ref().and_then(|c| Some(c.structure(0)?.name()));
    name.is_some_and(|name| name.as_str() == "application/x-rtcp")
}

/// The place that the frames of one client go to. Dropping it ends the client's connection.
#[derive(Debug)]
pub(crate) struct Feed {
    outlet: Outlet,
    video: gst::glib::WeakRef<gst_app::AppSrc>,
    link: Arc<Link>,
    newest: AccessUnit,
    audio: Option<AccessUnit>,
    around: Weak<Around>,
    place: Place,
}

impl Feed {
    pub(super) fn new(
        around: &Arc<Around>,
        place: Place,
        link: Arc<Link>,
        (video, first): (gst_app::AppSrc, AccessUnit),
        audio: Option<(gst_app::AppSrc, AccessUnit)>,
        age_ns: i64,
    ) -> Self {
        let weak = video.downgrade();
        let (audio_src, audio) = audio.unzip();
        let mut outlet = Outlet::new(video, audio_src);
        outlet.begin_ago(age_ns);
        Self {
            outlet,
            video: weak,
            link,
            newest: first,
            audio,
            around: Arc::downgrade(around),
            place,
        }
    }

    /// Completes when the pipeline takes its first frames; `false` when it does not come to that.
    pub(crate) async fn wanted(&self, patience: Duration, clock: &dyn Clock) -> bool {
        self.until(
            patience,
            clock,
            || self.link.asked.load(Ordering::Relaxed),
            || false,
        )
        .await
    }

    /// Completes when packets are on their way to the client; `false` when it does not come to that.
    pub(crate) async fn playing(&self, patience: Duration, clock: &dyn Clock) -> bool {
        self.until(
            patience,
            clock,
            || self.link.playing.load(Ordering::Relaxed),
            || self.is_over(),
        )
        .await
    }

    async fn until(
        &self,
        patience: Duration,
        clock: &dyn Clock,
        holds: impl Fn() -> bool,
        over: impl Fn() -> bool,
    ) -> bool {
        let wait = async {
            while !holds() {
                if over() {
                    return false;
                }
                tokio::select! {
                    () = self.link.news.notified() => {}
                    () = clock.sleep(LOOK) => {}
                }
            }
            true
        };
        tokio::select! {
            holds = wait => holds,
            () = clock.sleep(patience) => false,
        }
    }

    /// Whether the client, or its wish, is gone. Not before it began to take frames.
    pub(crate) fn is_over(&self) -> bool {
        self.video
            .upgrade()
            .is_none_or(|video| video.current_state() < gst::State::Paused)
    }

    /// Whether the client took most of what it was given.
    pub(crate) fn has_room(&self) -> bool {
        self.outlet.waiting_bytes() < WAITING_BYTES
    }

    /// Whether packets go by UDP, where nothing holds back who sends too fast.
    pub(crate) fn is_udp(&self) -> bool {
        self.link.udp.load(Ordering::Relaxed)
    }

    /// Bytes of packets that went out.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.link.sent.load(Ordering::Relaxed)
    }

    /// The camera connected anew.
    pub(crate) fn begin(&mut self) {
        self.outlet.begin();
    }

    /// Hands a frame on; never waits.
    ///
    /// # Errors
    /// `Unavailable` when the client is gone, `Unsupported` when this is no longer the stream that was described to it.
    pub(crate) fn push(&mut self, unit: &AccessUnit) -> Result<()> {
        let same = match unit.track {
            UnitTrack::Video => self.newest.same_stream(unit),
            UnitTrack::Audio => self.audio.as_ref().is_none_or(|a| a.same_stream(unit)),
        };
        if !same {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the camera sends another stream now",
            ));
        }
        self.outlet.push(unit)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(around) = self.around.upgrade() {
            if self.is_over() {
                // It may ask for something else on its connection.
                around.clients.over(self.place);
            } else {
                around.clients.dismiss(self.place);
            }
        }
    }
}
