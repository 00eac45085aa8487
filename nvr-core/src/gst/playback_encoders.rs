//! H.264 encoders for those who look at recorded footage: quick, constant quality, no reordering.
//!
//! Their parameter sets depend on nothing but size, shape of pixels and these settings, so that stretches that were
//! encoded apart go behind one header.

use super::archive_encoders::{ArchiveEncoder, NV_PRESETS, Setting, USAGES, VA};
use crate::track::VideoCodec;

const fn hardware(
    name: &'static str,
    presets: &'static [&'static str],
    default_preset: &'static str,
    settings: &'static [Setting],
) -> ArchiveEncoder {
    ArchiveEncoder {
        name,
        codec: VideoCodec::H264,
        hardware: true,
        presets,
        default_preset,
        settings,
        output: "",
    }
}

/// H.264 encoders in the order in which they are taken: discrete GPU, integrated GPU, other chips, the processor.
pub const PLAYBACK_H264: &[ArchiveEncoder] = &[
    hardware(
        "nvh264enc",
        NV_PRESETS,
        "hp",
        &[
            ("preset", "{preset}"),
            ("rc-mode", "constqp"),
            ("qp-const", "{quality}"),
            ("gop-size", "-1"),
            ("bframes", "0"),
            ("zerolatency", "true"),
        ],
    ),
    hardware(
        "qsvh264enc",
        USAGES,
        "7",
        &[
            ("rate-control", "cqp"),
            ("qp-i", "{quality}"),
            ("qp-p", "{quality}"),
            ("target-usage", "{preset}"),
            ("gop-size", "0"),
            ("b-frames", "0"),
            ("low-latency", "true"),
        ],
    ),
    hardware("vah264enc", USAGES, "7", VA),
    hardware("vah264lpenc", USAGES, "7", VA),
    hardware(
        "vaapih264enc",
        USAGES,
        "7",
        &[
            ("rate-control", "cqp"),
            ("init-qp", "{quality}"),
            ("quality-level", "{preset}"),
            ("keyframe-period", "0"),
            ("max-bframes", "0"),
        ],
    ),
    ArchiveEncoder {
        output: "video/x-h264,profile=main,level=(string)4",
        ..hardware(
            "v4l2h264enc",
            &[],
            "",
            &[(
                "extra-controls",
                "controls,video_bitrate={bps},video_gop_size=1024,repeat_sequence_header=1",
            )],
        )
    },
    hardware(
        "msdkh264enc",
        USAGES,
        "7",
        &[
            ("rate-control", "cqp"),
            ("qpi", "{quality}"),
            ("qpp", "{quality}"),
            ("target-usage", "{preset}"),
            ("gop-size", "0"),
            ("b-frames", "0"),
        ],
    ),
    X264,
    ArchiveEncoder {
        hardware: false,
        ..hardware(
            "openh264enc",
            &[],
            "",
            &[
                ("rate-control", "bitrate"),
                ("bitrate", "{bps}"),
                ("gop-size", "1000000"),
                ("complexity", "low"),
                ("scene-change-detection", "false"),
            ],
        )
    },
];

/// The encoder on the processor.
pub(super) const X264: ArchiveEncoder = ArchiveEncoder {
    hardware: false,
    ..hardware(
        "x264enc",
        &["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"],
        "superfast",
        &[
            ("tune", "zerolatency"),
            ("speed-preset", "{preset}"),
            ("pass", "qual"),
            ("quantizer", "{quality}"),
            ("bframes", "0"),
            ("key-int-max", "1000000"),
            ("threads", "{count}"),
            ("option-string", "scenecut=0{colour}"),
        ],
    )
};
