use super::super::testing::{
    H264_PPS, H264_SPS, H265_PPS, H265_SPS, H265_VPS, Payload, pack_video, unbase64, with_lengths,
};
use super::*;
use proptest::prelude::*;

const IDR: &[u8] = &[0x65, 0x88, 0x80, 1, 2, 3];
const P: &[u8] = &[0x41, 0x9A, 0x10, 4, 5];
/// A second slice of a picture.
const P2: &[u8] = &[0x41, 0x04, 0x10, 6];

fn h264() -> Assembler {
    Assembler::new(VideoCodec::H264, &[unbase64(H264_SPS), unbase64(H264_PPS)])
}

/// Feeds payloads with time, marker and count of lost packets before.
fn feed(a: &mut Assembler, packets: &[(&[u8], u32, bool, u32)]) -> Vec<VideoUnit> {
    let mut out = Vec::new();
    for (payload, timestamp, marker, lost) in packets {
        a.packet(payload, *timestamp, *marker, *lost, &mut |_, u| out.push(u))
            .unwrap();
    }
    out
}

/// An assembler that knows that the marker can be trusted.
fn trusting() -> Assembler {
    let mut a = h264();
    for n in 0..10 {
        feed(&mut a, &[(P, n * 10, true, 0)]);
    }
    assert_eq!(a.marker, Marker::Trusted);
    a
}

fn nals(unit: &VideoUnit) -> Vec<Vec<u8>> {
    let mut rest = &unit.data[..];
    let mut out = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (nal, next) = after.split_at(u32::from_be_bytes(*length) as usize);
        out.push(nal.to_vec());
        rest = next;
    }
    out
}

#[test]
fn units_end_with_the_marker_once_it_is_trusted() {
    let mut a = h264();
    let mut out = Vec::new();
    for n in 0..8 {
        out.push(feed(&mut a, &[(P, n * 10, true, 0)]).len());
    }
    // Held by one until the trial is over; then the fifth comes with the fourth's end.
    assert_eq!(out, [0, 1, 1, 1, 2, 1, 1, 1]);
}

#[test]
fn units_end_with_the_time_where_the_marker_is_missing() {
    let mut a = trusting();
    let out = feed(
        &mut a,
        &[
            (IDR, 1000, false, 0),
            (P, 1010, false, 0),
            (P2, 1010, false, 0),
            (P, 1020, false, 0),
        ],
    );
    assert_eq!(
        out.iter()
            .map(|u| (u.timestamp, u.keyframe, nals(u).len()))
            .collect::<Vec<_>>(),
        [(1000, true, 1), (1010, false, 2)]
    );
}

#[test]
fn a_marker_on_every_slice_does_not_cut_pictures() {
    let mut a = h264();
    let mut out = Vec::new();
    for n in 0..9 {
        out.extend(feed(&mut a, &[(P, n * 10, true, 0), (P2, n * 10, true, 0)]));
    }
    assert_eq!(out.len(), 8);
    assert!(out.iter().all(|u| nals(u) == [P, P2]));
    // A camera that begins to do so when it was trusted costs what was behind the first.
    let mut a = trusting();
    let mut out = Vec::new();
    for n in 100..104 {
        out.extend(feed(&mut a, &[(P, n * 10, true, 0), (P2, n * 10, true, 0)]));
    }
    assert_eq!(out.iter().map(|u| nals(u).len()).collect::<Vec<_>>(), [1, 2, 2]);
}

#[test]
fn two_pictures_of_one_time_are_two_units() {
    let mut a = h264();
    let out = feed(&mut a, &[(P, 10, true, 0), (P, 10, true, 0), (P, 20, true, 0)]);
    assert_eq!(out.len(), 2);
}

#[test]
fn markers_on_parameter_sets_end_nothing() {
    let mut a = Assembler::new(VideoCodec::H264, &[]);
    let (sps, pps) = (unbase64(H264_SPS), unbase64(H264_PPS));
    let out = feed(
        &mut a,
        &[
            (&sps, 10, true, 0),
            (&pps, 10, true, 0),
            (IDR, 10, true, 0),
            (P, 20, true, 0),
        ],
    );
    assert_eq!(out.len(), 1);
    assert_eq!(nals(&out[0]), [IDR], "parameter sets are taken out");
    assert_eq!(a.sets.params().unwrap().width, 1920);
}

#[test]
fn sets_may_have_a_time_of_their_own() {
    let mut a = Assembler::new(VideoCodec::H264, &[]);
    let (sps, pps) = (unbase64(H264_SPS), unbase64(H264_PPS));
    let out = feed(
        &mut a,
        &[
            (&sps, 9, true, 0),
            (&pps, 9, true, 0),
            (IDR, 10, true, 0),
            (P, 20, true, 0),
        ],
    );
    assert_eq!((out.len(), nals(&out[0])), (1, vec![IDR.to_vec()]));
    assert!(a.sets.params().is_some());
}

#[test]
fn keyframes_are_intra_pictures_and_recovery_points() {
    let mut a = trusting();
    let key = |a: &mut Assembler, t: u32, packets: &[&[u8]]| {
        let mut all: Vec<_> = packets.iter().map(|p| (*p, t, false, 0)).collect();
        all.last_mut().unwrap().2 = true;
        feed(a, &all)[0].keyframe
    };
    let intra: &[u8] = &[0x61, 0x88, 0x80];
    let recovery: &[u8] = &[6, 6, 1, 0xC4, 0x80];
    let aud: &[u8] = &[9, 0xF0];
    assert!(key(&mut a, 1000, &[aud, IDR]));
    assert!(!key(&mut a, 1010, &[aud, P]));
    assert!(key(&mut a, 1020, &[aud, intra]));
    assert!(!key(&mut a, 1030, &[aud, intra, P2]), "one slice of many");
    assert!(key(&mut a, 1040, &[recovery, P]));
    assert!(!key(&mut a, 1050, &[&[6, 5, 1, 0, 0x80], P]));
}

#[test]
fn a_hole_costs_the_unit_and_is_counted() {
    let fu = |ends: u8, d: &[u8]| [&[0x5C, ends | 1][..], d].concat();
    let (start, middle, end) = (fu(0x80, &[0x9A, 1]), fu(0, &[2]), fu(0x40, &[3]));
    let mut a = trusting();
    let out = feed(
        &mut a,
        &[
            (&start, 1000, false, 0),
            (&middle, 1000, false, 0),
            (&end, 1000, true, 0),
        ],
    );
    assert_eq!(nals(&out[0]), [[0x41, 0x9A, 1, 2, 3]]);
    // The middle, the end, the start.
    let out = feed(
        &mut a,
        &[
            (&start, 1010, false, 0),
            (&end, 1010, true, 1),
            (P, 1020, true, 0),
        ],
    );
    assert_eq!(
        out.iter()
            .map(|u| (u.timestamp, u.lost_before))
            .collect::<Vec<_>>(),
        [(1020, 1)]
    );
    let out = feed(
        &mut a,
        &[(&start, 1030, false, 0), (P, 1040, true, 2), (P, 1050, true, 0)],
    );
    assert_eq!(
        out.iter()
            .map(|u| (u.timestamp, u.lost_before))
            .collect::<Vec<_>>(),
        [(1040, 2), (1050, 0)]
    );
    let out = feed(&mut a, &[(&end, 1060, true, 3), (P, 1070, true, 0)]);
    assert_eq!(
        out.iter()
            .map(|u| (u.timestamp, u.lost_before))
            .collect::<Vec<_>>(),
        [(1070, 3)]
    );
    // The second slice's start is unknown: the unit before was whole.
    let out = feed(
        &mut a,
        &[(P, 1080, true, 0), (P2, 1090, true, 5), (P, 1100, true, 0)],
    );
    assert_eq!(
        out.iter()
            .map(|u| (u.timestamp, u.lost_before))
            .collect::<Vec<_>>(),
        [(1080, 0), (1100, 5)]
    );
}

#[test]
fn fragments_without_an_end_and_start_codes() {
    let mut a = trusting();
    let out = feed(
        &mut a,
        &[
            (&[0x5C, 0x81, 0x9A, 7], 1000, false, 0),
            (&[0x5C, 0x81, 0x04, 8], 1000, true, 0),
        ],
    );
    assert_eq!(nals(&out[0]), [[0x41, 0x9A, 7], [0x41, 0x04, 8]]);
    // Everything in one packet, with start codes.
    let (sps, pps) = (unbase64("Z2QAM6zoAoALWQ=="), unbase64(H264_PPS));
    let all = [&[0, 0, 0, 1][..], &sps, &[0, 0, 0, 1], &pps, &[0, 0, 1], IDR].concat();
    let out = feed(&mut a, &[(&all, 1010, true, 0)]);
    assert_eq!((nals(&out[0]), out[0].keyframe), (vec![IDR.to_vec()], true));
    assert_eq!(a.sets.params().unwrap().width, 2560);
}

#[test]
fn what_is_not_supported_or_rubbish_ends_with_an_error() {
    for kind in [25u8, 26, 27, 29] {
        let e = h264()
            .packet(&[0x60 | kind, 0, 0, 1, 2], 0, true, 0, &mut |_, _| {})
            .unwrap_err();
        assert_eq!(e.kind, super::super::RtspErrorKind::Unsupported);
    }
    let mut a = h264();
    let mut failed = None;
    for n in 0..1000u32 {
        if let Err(e) = a.packet(&[0x7E, 1], n, true, 0, &mut |_, _| panic!()) {
            failed = Some(e);
            break;
        }
    }
    assert!(failed.unwrap().message.contains("no H.264"));
    // A unit without an end.
    let mut a = h264();
    let piece = vec![1; 60_000];
    let large = (0..1000).find_map(|_| {
        a.packet(&[&P[..2], &piece].concat(), 0, false, 0, &mut |_, _| {})
            .err()
    });
    assert!(large.unwrap().message.contains("bytes"));
}

#[test]
fn h265_in_all_packets() {
    let sets = [H265_VPS, H265_SPS, H265_PPS].map(unbase64);
    let mut a = Assembler::new(VideoCodec::H265, &[]);
    let mut aggregate = vec![48 << 1, 1];
    for s in &sets {
        aggregate.extend((s.len() as u16).to_be_bytes());
        aggregate.extend(s);
    }
    let cra: &[u8] = &[21 << 1, 1, 0x80, 9];
    let trail: &[u8] = &[1 << 1, 1, 0x80, 7];
    let trail2: &[u8] = &[1 << 1, 1, 0x40, 7];
    let out = feed(
        &mut a,
        &[
            (&aggregate, 10, false, 0),
            (&[49 << 1, 1, 0x80 | 19, 0x80, 1], 10, false, 0),
            (&[49 << 1, 1, 0x40 | 19, 2], 10, true, 0),
            (trail, 20, true, 0),
            (trail2, 20, true, 0),
            (cra, 30, true, 0),
            (trail, 40, true, 0),
        ],
    );
    assert_eq!(
        out.iter().map(|u| (u.keyframe, nals(u))).collect::<Vec<_>>(),
        [
            (true, vec![vec![19 << 1, 1, 0x80, 1, 2]]),
            (false, vec![trail.to_vec(), trail2.to_vec()]),
            (true, vec![cra.to_vec()]),
        ]
    );
    assert!(a.sets.params().is_some());
}

/// Access units of slices: the first begins a picture, the others do not.
fn any_units(h265: bool) -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let slice = (any::<bool>(), prop::collection::vec(1u8..=255, 1..4000));
    let unit = prop::collection::vec(slice, 1..4);
    prop::collection::vec(unit, 1..12).prop_map(move |units| {
        let nal = |i: usize, (key, body): (bool, Vec<u8>)| {
            let mut nal = match (h265, key) {
                (true, true) => vec![19 << 1, 1],
                (true, false) => vec![1 << 1, 1],
                (false, true) => vec![0x65],
                (false, false) => vec![0x41],
            };
            nal.push(if i == 0 { 0x9A } else { 0x44 });
            nal.extend(body);
            nal
        };
        units
            .into_iter()
            .map(|u| u.into_iter().enumerate().map(|(i, s)| nal(i, s)).collect())
            .collect()
    })
}

fn identity(h265: bool, units: &[Vec<Vec<u8>>], most: usize, markers: bool) {
    let codec = if h265 { VideoCodec::H265 } else { VideoCodec::H264 };
    let mut a = Assembler::new(codec, &[]);
    let mut out = Vec::new();
    let end: Vec<Vec<u8>> = vec![if h265 { vec![2, 1, 0x80, 1] } else { P.to_vec() }];
    for (n, unit) in units.iter().chain([&end]).enumerate() {
        for Payload {
            payload,
            timestamp,
            marker,
        } in pack_video(h265, unit, n as u32 * 3000, most)
        {
            a.packet(&payload, timestamp, marker && markers, 0, &mut |_, u| out.push(u))
                .unwrap();
        }
    }
    let want: Vec<_> = units.iter().map(|u| with_lengths(u)).collect();
    let have: Vec<_> = out.into_iter().take(units.len()).map(|u| u.data).collect();
    assert_eq!(have, want);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn h264_survives_packing(units in any_units(false), most in 30usize..1500, markers in any::<bool>()) {
        identity(false, &units, most, markers);
    }

    #[test]
    fn h265_survives_packing(units in any_units(true), most in 30usize..1500, markers in any::<bool>()) {
        identity(true, &units, most, markers);
    }

    #[test]
    fn any_packets(h265 in any::<bool>(), packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), 0u32..4, any::<bool>(), 0u32..2), 0..60)) {
        let mut a = Assembler::new(if h265 { VideoCodec::H265 } else { VideoCodec::H264 }, &[]);
        for (p, t, m, lost) in packets {
            // Every unit is a sequence of whole NAL units.
            let good = a.packet(&p, t, m, lost, &mut |_, u| { nals(&u); });
            if good.is_err() {
                break;
            }
        }
    }
}
