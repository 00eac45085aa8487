//! Both clients, on the same cameras.

use gst::prelude::*;

use super::super::testing::{Told, check_video, run, run_bin};
use super::super::testing_rtsp::RtspCamera;
use crate::event::CauseKind;
use crate::gst::source_bin::Around;
use crate::source::{Ingest, SourceSpec, Transport};

const BOTH: [Ingest; 2] = [Ingest::Lean, Ingest::Rtspsrc];

pub(super) const H264: &str = "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 \
    ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 threads=1 ! rtph264pay name=pay0 pt=96";
const ALAW: &str = "audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc";

pub(super) fn source(url: &str, ingest: Ingest) -> SourceSpec {
    let mut spec = SourceSpec::parse(url).unwrap();
    let SourceSpec::Rtsp(s) = &mut spec else { panic!() };
    s.ingest = ingest;
    spec
}

fn media(units: &[super::super::testing::Unit], video: bool) -> String {
    units.iter().find(|u| u.video == video).unwrap().caps.to_string()
}

#[test]
fn each_kind_of_audio_arrives_as_the_camera_sends_it() {
    let kinds = [
        (format!("{ALAW} ! rtppcmapay name=pay1"), "audio/x-alaw"),
        (
            "audiotestsrc is-live=true ! mulawenc ! rtppcmupay name=pay1".into(),
            "audio/x-mulaw",
        ),
        (
            "audiotestsrc is-live=true ! audioconvert ! avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97"
                .into(),
            "audio/mpeg",
        ),
        (
            "audiotestsrc is-live=true ! audioconvert ! avenc_aac ! aacparse ! rtpmp4apay name=pay1 pt=97"
                .into(),
            "audio/mpeg",
        ),
        (
            "audiotestsrc is-live=true ! opusenc ! rtpopuspay name=pay1 pt=97".into(),
            "audio/x-opus",
        ),
    ];
    for (audio, want) in kinds {
        let camera = RtspCamera::serve(&format!("( {H264} {audio} )"), None);
        // What the lean one cannot read is left to the other.
        for ingest in [Ingest::Auto, Ingest::Rtspsrc] {
            let (has_audio, units) = run(&source(&camera.url(), ingest)).collect(20);
            assert!(has_audio, "{want}");
            check_video(&units);
            assert!(media(&units, true).starts_with("video/x-h264"));
            let caps = media(&units, false);
            assert!(caps.starts_with(want), "{caps}");
            assert!(
                !caps.contains("mpeg") || caps.contains("stream-format=(string)raw"),
                "{caps}"
            );
        }
    }
}

#[test]
fn h265_alone_and_over_udp() {
    let camera = RtspCamera::serve(
        "( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=15/1 \
         ! x265enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph265pay name=pay0 pt=96 config-interval=-1 )",
        None,
    );
    for transport in [Transport::Tcp, Transport::Udp, Transport::Auto] {
        let mut spec = source(&camera.url(), Ingest::Auto);
        let SourceSpec::Rtsp(s) = &mut spec else { panic!() };
        s.transport = Some(transport);
        let (has_audio, units) = run(&spec).collect(12);
        assert!(!has_audio);
        check_video(&units);
        assert!(media(&units, true).starts_with("video/x-h265"));
    }
}

#[test]
fn a_camera_without_udp_is_taken_over_tcp() {
    let tcp = gst_rtsp::RTSPLowerTrans::TCP;
    let camera = RtspCamera::serve_over(&format!("( {H264} )"), None, tcp);
    let mut spec = source(&camera.url(), Ingest::Auto);
    let with = |spec: &mut SourceSpec, transport| {
        let SourceSpec::Rtsp(s) = spec else { panic!() };
        s.transport = Some(transport);
    };
    with(&mut spec, Transport::Auto);
    check_video(&run(&spec).collect(10).1);
    with(&mut spec, Transport::Udp);
    let (cause, all) = run(&spec).failure();
    assert_eq!(cause.kind, CauseKind::Unsupported, "{cause:?} {all}");
}

#[test]
fn a_camera_with_sound_can_be_taken_without() {
    let camera = RtspCamera::serve(&format!("( {H264} {ALAW} ! rtppcmapay name=pay1 )"), None);
    for ingest in BOTH {
        let mut spec = source(&camera.url(), ingest);
        let SourceSpec::Rtsp(s) = &mut spec else { panic!() };
        s.audio = false;
        let (has_audio, units) = run(&spec).collect(10);
        assert!(!has_audio && units.iter().all(|u| u.video));
    }
}

#[test]
fn silent_audio_does_not_hold_the_video() {
    let camera = RtspCamera::serve(
        &format!("( {H264} {ALAW} ! identity drop-probability=1 ! rtppcmapay name=pay1 )"),
        None,
    );
    for ingest in BOTH {
        let (has_audio, units) = run(&source(&camera.url(), ingest)).collect(60);
        // It may still come.
        assert!(has_audio && units.iter().all(|u| u.video));
        check_video(&units);
    }
}

#[test]
fn passwords_are_asked_for_and_never_told() {
    let camera = RtspCamera::serve(&format!("( {H264} )"), Some(("admin", "s3cr3t pass")));
    let with = |login: &str| camera.url().replace("rtsp://", &format!("rtsp://{login}@"));
    for ingest in BOTH {
        let (_, units) = run(&source(&with("admin:s3cr3t%20pass"), ingest)).collect(3);
        check_video(&units);
        for url in [with("admin:wr0ngword"), camera.url()] {
            let (cause, all) = run(&source(&url, ingest)).failure();
            assert_eq!(cause.kind, CauseKind::Unauthorized, "{all}");
            assert!(
                !all.contains("wr0ngword") && !cause.message.contains("wr0ngword"),
                "{all}"
            );
        }
    }
}

#[test]
fn faults_are_told_apart() {
    let camera = RtspCamera::serve(&format!("( {H264} )"), None);
    let jpeg = RtspCamera::serve(
        "( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240 ! jpegenc ! rtpjpegpay name=pay0 )",
        None,
    );
    let sound = RtspCamera::serve(&format!("( {ALAW} ! rtppcmapay name=pay0 )"), None);
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let faults = [
        (camera.url().replace("/cam", "/other"), CauseKind::StreamNotFound),
        (jpeg.url(), CauseKind::Unsupported),
        (sound.url(), CauseKind::Unsupported),
        (format!("rtsp://{closed}/x"), CauseKind::Unreachable),
        (
            format!("rtsp://{}/x", frozen.local_addr().unwrap()),
            CauseKind::Unreachable,
        ),
        ("rtsp://no-such-host.invalid/x".into(), CauseKind::Unreachable),
        (
            format!("rtsps://127.0.0.1:{}/cam", camera.port),
            CauseKind::Unreachable,
        ),
    ];
    for (url, kind) in faults {
        for ingest in [Ingest::Auto, Ingest::Lean, Ingest::Rtspsrc] {
            let (cause, all) = run(&source(&url, ingest)).failure();
            println!("{} <- {all}", cause.message);
            assert_eq!(cause.kind, kind, "{ingest:?} {url}: {cause:?} {all}");
        }
    }
}

#[test]
fn lean_does_not_pretend_to_know_other_transports() {
    let mut spec = source("rtsp://127.0.0.1/x", Ingest::Lean);
    let SourceSpec::Rtsp(s) = &mut spec else { panic!() };
    s.transport = Some(Transport::Udp);
    let around = crate::gst::source_bin::Around::default();
    let e = super::super::build(&spec, &around, Box::new(|_| {})).unwrap_err();
    assert_eq!(e.kind(), crate::error::ErrorKind::Unsupported);
}

#[test]
fn rtspsrc_over_tcp_has_no_jitter_buffer_and_loses_nothing_between_ticks() {
    let camera = RtspCamera::serve(&format!("( {H264} {ALAW} ! rtppcmapay name=pay1 )"), None);
    let spec = source(&camera.url(), Ingest::Rtspsrc);
    let around = Around {
        lazy: true,
        ..Around::default()
    };
    let running = run_bin(&spec, |on_tracks| {
        super::super::build(&spec, &around, on_tracks).unwrap().bin
    });
    let (has_audio, mut units) = running.collect(100);
    assert!(has_audio);
    let buffers = running.pipeline.iterate_recurse().into_iter().flatten();
    assert!(
        !buffers
            .filter_map(|e| e.factory())
            .any(|f| f.name() == "rtpjitterbuffer")
    );
    // Somebody watches, and goes again.
    let mut more = |count: usize| {
        let mut video = 0;
        while video < count {
            match running.next() {
                Told::Unit(u) => {
                    video += usize::from(u.video);
                    units.push(u);
                }
                Told::Tracks(_) => panic!("told twice"),
                Told::Failed(cause, all) => panic!("{cause:?}: {all}"),
            }
        }
    };
    for _ in 0..2 {
        let wanting = around.demand.want();
        more(25);
        drop(wanting);
        more(25);
    }
    check_video(&units);
    let times = |video: bool| -> Vec<i64> {
        let of = units.iter().filter(|u| u.video == video);
        of.map(|u| u.pts_ns.unwrap()).collect()
    };
    for pair in times(true).windows(2) {
        let step = pair[1] - pair[0];
        assert!((30_000_000..60_000_000).contains(&step), "{step}");
    }
    // Sound all along.
    let length = |t: &[i64]| t.last().unwrap() - t[0];
    let (video, audio) = (times(true), times(false));
    assert!(2 * length(&audio) > length(&video));
}
