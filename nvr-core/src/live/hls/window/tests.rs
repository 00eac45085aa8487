use super::*;

fn init() -> Packet {
    Packet::Init(Init {
        mime: String::new(),
        video_codec: String::new(),
        audio_codec: None,
        size: (2, 2),
        timescale: 90_000,
        bytes: Bytes::from_static(b"init"),
    })
}

fn frames(window: &mut Window, from: u64, n: u64, gop: u64) {
    for i in from..from + n {
        window.push(Packet::Chunk(Chunk {
            bytes: Bytes::copy_from_slice(&i.to_be_bytes()),
            keyframe: i % gop == 0,
            decode_time: Some(i as i64 * 3600),
            duration: 3600,
            presentation: i as i64 * 3600,
            utc: Timestamp::from_ns(i as i64 * 40_000_000),
        }));
    }
}

fn here(found: Found) -> Vec<u64> {
    let Found::Here(bytes) = found else {
        panic!("{found:?}")
    };
    bytes
        .chunks(8)
        .map(|c| u64::from_be_bytes(c.try_into().unwrap()))
        .collect()
}

#[test]
fn parts_make_up_segments_and_segments_the_stream() {
    let mut w = Window::new("x-".into());
    assert!(!w.is_ready());
    w.push(init());
    frames(&mut w, 0, 130, 50);
    // 0..50, 50..100, and 100..130 growing; five frames a part.
    assert_eq!(here(w.file("x-0.m4s")), (0..50).collect::<Vec<_>>());
    assert_eq!(here(w.file("x-1.9.m4s")), (95..100).collect::<Vec<_>>());
    assert_eq!(here(w.file("x-2.5.m4s")), (125..130).collect::<Vec<_>>());
    assert_eq!(w.file("x-2.6.m4s"), Found::NotYet);
    assert_eq!(w.file("x-2.m4s"), Found::NotYet);
    assert_eq!(w.file("x-3.0.m4s"), Found::NotYet);
    assert_eq!(w.file("x-init0.mp4"), Found::Here(Bytes::from_static(b"init")));
    for bad in [
        "x-4.0.m4s",
        "x-2.9.m4s",
        "x-1.10.m4s",
        "y-0.m4s",
        "x-init1.mp4",
        "x-",
        "x-1",
        "x-a.m4s",
    ] {
        assert_eq!(w.file(bad), Found::Gone, "{bad}");
    }
    let list = w.playlist("live/", false);
    assert!(list.contains("#EXT-X-PART-INF:PART-TARGET=0.200\n"), "{list}");
    assert!(list.contains("#EXT-X-TARGETDURATION:2\n"), "{list}");
    assert!(
        list.contains("#EXT-X-PART:DURATION=0.20000,URI=\"live/x-2.0.m4s\",INDEPENDENT=YES\n"),
        "{list}"
    );
    assert!(list.contains("#EXTINF:2.00000,\nlive/x-1.m4s\n"), "{list}");
    assert!(
        list.ends_with("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"live/x-2.6.m4s\"\n"),
        "{list}"
    );
    assert_eq!(w.has(2, Some(5)), Found::Here(Bytes::new()));
    assert_eq!(w.has(2, Some(6)), Found::NotYet);
    assert_eq!(w.has(2, None), Found::NotYet);
    assert_eq!(w.has(1, Some(99)), Found::Here(Bytes::new()));
    assert_eq!(w.has(9, None), Found::Gone);
}

#[test]
fn the_first_playlist_has_a_whole_segment_soon() {
    let mut w = Window::new("x-".into());
    w.begin_at_once();
    w.push(init());
    // Just behind a keyframe: with the first part.
    frames(&mut w, 0, 4, 50);
    assert!(!w.caught_up() && !w.is_ready());
    frames(&mut w, 4, 1, 50);
    assert!(w.caught_up() && w.is_ready());
    assert!(!w.caught_up(), "only once");
    assert_eq!(here(w.file("x-1.m4s")), (0..5).collect::<Vec<_>>());
    assert_eq!(w.has(2, Some(0)), Found::NotYet);
    assert_eq!(w.file("x-2.0.m4s"), Found::NotYet, "it is hinted at");
    let list = w.playlist("", false);
    assert!(list.contains("#EXT-X-MEDIA-SEQUENCE:1\n"), "{list}");
    assert!(list.contains("#EXTINF:0.20000,\nx-1.m4s\n"), "{list}");
    assert!(list.ends_with("URI=\"x-2.0.m4s\"\n"), "{list}");
    // The others go from keyframe to keyframe.
    frames(&mut w, 5, 100, 50);
    assert_eq!(here(w.file("x-2.m4s")), (5..50).collect::<Vec<_>>());
    assert_eq!(here(w.file("x-3.m4s")), (50..100).collect::<Vec<_>>());
    assert!(!w.playlist("", false).contains("DISCONTINUITY"));
}

/// Where a player begins (three parts before the end), and the last part before that with which decoding can begin:
/// whether both lie in one segment, as hls.js wants it.
fn can_begin(w: &Window) -> bool {
    let parts: Vec<(u64, u64, bool)> = w
        .segments
        .iter()
        .flat_map(|s| s.parts.iter().map(|p| (s.number, p.duration, p.independent)))
        .collect();
    let all: u64 = parts.iter().map(|p| p.1).sum();
    let wanted = all.saturating_sub(u64::from(w.part_target) * 3);
    let (mut from, mut key, mut at) = (0, None, None);
    for (number, duration, independent) in parts {
        if from > wanted {
            break;
        }
        key = if independent { Some(number) } else { key };
        at = Some(number);
        from += duration;
    }
    at.is_some() && at == key
}

#[test]
fn players_begin_without_waiting_for_a_keyframe() {
    // However far into a group of pictures somebody comes, also one that is very long.
    for past in [1, 4, 5, 6, 12, 20, 23, 37, 49, 1000] {
        let mut w = Window::new("x-".into());
        w.begin_at_once();
        w.push(init());
        frames(&mut w, 0, past, 2000);
        w.caught_up();
        let mut n = past;
        while !w.is_ready() {
            frames(&mut w, n, 1, 2000);
            w.caught_up();
            n += 1;
        }
        assert!(n <= past.max(5), "{past}: it was ready only with {n} frames");
        assert!(can_begin(&w), "{past}: {}", w.playlist("", false));
        // All of it is there: nothing of what had come waits for a part to become full.
        assert_eq!(here(w.file("x-1.m4s")), (0..n).collect::<Vec<_>>());
        // What comes next goes on, without a keyframe.
        frames(&mut w, n, 5, 2000);
        assert_eq!(here(w.file("x-2.0.m4s")), (n..n + 5).collect::<Vec<_>>());
    }
    // An interruption: nothing goes on without a keyframe.
    let mut w = Window::new("x-".into());
    w.begin_at_once();
    w.push(init());
    frames(&mut w, 0, 20, 50);
    assert!(w.caught_up());
    w.push(init());
    frames(&mut w, 20, 20, 50);
    assert_eq!(w.segments.len(), 1);
}

#[test]
fn old_segments_go_and_an_interruption_is_told() {
    let mut w = Window::new("x-".into());
    w.push(init());
    frames(&mut w, 0, 60, 50);
    w.interrupt();
    w.push(init());
    // In the middle of a group: nothing begins before its end.
    frames(&mut w, 80, 480, 50);
    assert_eq!(here(w.file("x-2.0.m4s"))[0], 100);
    assert_eq!(w.file("x-0.m4s"), Found::Gone);
    let list = w.playlist("", false);
    assert!(list.contains("x-init1.mp4") && !list.contains("init0"), "{list}");
    frames(&mut w, 560, 850, 50);
    let list = w.playlist("", false);
    assert!(list.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{list}");
    assert!(w.segments.len() <= HISTORY as usize + 2);
}

/// What a client makes of an update and the playlist that it has.
fn merged(old: &str, update: &str) -> Vec<String> {
    let segments = |list: &str| -> Vec<String> {
        let end = |l: &&str| l.ends_with(".m4s") && !l.starts_with('#');
        list.lines().filter(end).map(str::to_owned).collect()
    };
    let number = |list: &str, tag: &str| -> usize {
        let line = list.lines().find_map(|l| l.strip_prefix(tag));
        line.map_or(0, |n| n.parse().unwrap())
    };
    let first = "#EXT-X-MEDIA-SEQUENCE:";
    let from = number(update, first) - number(old, first);
    let skipped = number(update, "#EXT-X-SKIP:SKIPPED-SEGMENTS=");
    let mut all = segments(old)[from..from + skipped].to_vec();
    all.extend(segments(update));
    all
}

#[test]
fn an_update_leaves_out_what_is_known() {
    for gop in [25, 50, 100] {
        let mut w = Window::new("x-".into());
        w.push(init());
        frames(&mut w, 0, 1000, gop);
        let old = w.playlist("", false);
        let target: u64 = old
            .lines()
            .find_map(|l| l.strip_prefix("#EXT-X-TARGETDURATION:"))
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            old.contains(&format!("CAN-SKIP-UNTIL={}.0,", target * 6)),
            "{old}"
        );
        assert!(!old.contains("#EXT-X-SKIP"), "nobody asked for it: {old}");
        frames(&mut w, 1000, 130, gop);
        let (whole, update) = (w.playlist("", false), w.playlist("", true));
        assert!(update.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS="), "{update}");
        assert!(update.len() < whole.len(), "{update}");
        assert_eq!(merged(&old, &update), merged(&whole, &whole), "{update}");
        // What is left reaches as far back as was promised, and has its init segment.
        let left: f64 = update
            .lines()
            .filter_map(|l| l.strip_prefix("#EXTINF:")?.strip_suffix(',')?.parse::<f64>().ok())
            .sum();
        let growing = update
            .lines()
            .skip_while(|l| !l.ends_with(&format!("x-{}.m4s", w.next_number - 2)) || l.starts_with('#'))
            .filter_map(|l| l.strip_prefix("#EXT-X-PART:DURATION="))
            .filter_map(|l| l.split(',').next()?.parse::<f64>().ok())
            .sum::<f64>();
        assert!(
            left + growing >= (target * 6) as f64 - 0.001,
            "{left} and {growing}: {update}"
        );
        assert_eq!(update.matches("#EXT-X-MAP").count(), 1);
        let at = |tag: &str| update.find(tag).unwrap();
        assert!(at("#EXT-X-MEDIA-SEQUENCE") < at("#EXT-X-SKIP") && at("#EXT-X-SKIP") < at("#EXT-X-MAP"));
    }
    // So young a list has nothing to leave out.
    let mut w = Window::new("x-".into());
    w.push(init());
    frames(&mut w, 0, 200, 50);
    assert_eq!(w.playlist("", true), w.playlist("", false));
}

#[test]
fn it_never_holds_more_than_it_may() {
    let mut w = Window::new("x-".into());
    w.push(init());
    for i in 0..2000i64 {
        w.push(Packet::Chunk(Chunk {
            bytes: Bytes::from(vec![0; 200 << 10]),
            keyframe: i % 500 == 0,
            decode_time: Some(i * 3600),
            duration: 3600,
            presentation: 0,
            utc: Timestamp::from_ns(0),
        }));
        let held: usize = w.segments.iter().map(Segment::len).sum();
        assert!(held <= MOST_BYTES + (2 << 20), "{held} at {i}");
    }
}

fn sound(window: &mut Window) {
    window.push(Packet::Chunk(Chunk {
        bytes: Bytes::copy_from_slice(&u64::MAX.to_be_bytes()),
        keyframe: false,
        decode_time: None,
        duration: 0,
        presentation: 0,
        utc: Timestamp::from_ns(0),
    }));
}

#[test]
fn sound_alone_before_a_keyframe() {
    let mut w = Window::new("x-".into());
    w.push(init());
    for n in 0..75 {
        frames(&mut w, n, 1, 25);
        // Behind a part that has just ended.
        sound(&mut w);
    }
    let list = w.playlist("", false);
    for number in 0..3 {
        let begins = format!("URI=\"x-{number}.0.m4s\",INDEPENDENT=YES\n");
        assert!(list.contains(&begins), "{number}: {list}");
    }
    // Between two connections it belongs to neither.
    w.push(init());
    frames(&mut w, 0, 10, 25);
    assert_eq!(here(w.file("x-3.0.m4s")), (0..5).collect::<Vec<_>>());
}

#[test]
fn slow_cameras_have_long_parts() {
    let mut w = Window::new("x-".into());
    w.push(init());
    for i in 0..6i64 {
        w.push(Packet::Chunk(Chunk {
            bytes: Bytes::from_static(b"12345678"),
            keyframe: i % 2 == 0,
            decode_time: Some(i * 90_000),
            duration: 90_000,
            presentation: 0,
            utc: Timestamp::from_ns(0),
        }));
    }
    let list = w.playlist("", false);
    assert!(list.contains("PART-TARGET=1.250\n"), "{list}");
    assert!(list.contains("#EXT-X-PART:DURATION=1.00000"), "{list}");
}
