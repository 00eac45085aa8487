use super::*;

fn row(encoder: &str, preset: &str, measured: Result<Measured, String>) -> Row {
    Row {
        clip: "a \"clip\", <odd>".into(),
        size: (640, 360),
        encoder: encoder.into(),
        preset: preset.into(),
        quality: 26,
        measured,
    }
}

fn rows_of_all_kinds() -> Vec<Row> {
    let m = |fps: f64, ssim: f64| {
        Ok(Measured {
            frames: 100,
            fps,
            cpu_s_per_min: 30.0,
            bits_per_s: 1.5e6,
            ssim,
            psnr_db: 40.0,
        })
    };
    vec![
        row("x265enc", "fast", m(50.0, 0.98)),
        row("x265enc", "slow", m(10.0, 0.985)),
        row("vah265enc", "4", Err("its <driver> is \"broken\"".into())),
    ]
}

#[test]
fn tables_and_pages_hold_odd_names_and_failures() {
    let rows = rows_of_all_kinds();
    let csv = csv(&rows);
    assert_eq!(csv.lines().count(), 4);
    assert!(
        csv.contains("\"a \"\"clip\"\", <odd>\",640,360,x265enc,fast,26,100,50.0000"),
        "{csv}"
    );
    assert!(csv.contains("\"its <driver> is \"\"broken\"\"\""), "{csv}");
    assert_eq!(json(&rows)[1]["measured"]["ssim"], 0.985);
    let page = html(&rows, "a machine");
    assert!(page.contains("<polyline") && page.contains("its &lt;driver&gt;"));
    assert!(
        !page.contains("<odd>") && !page.contains("http"),
        "nothing is loaded"
    );
    assert!(!page.contains("NaN"));
    assert!(html(&[], "").contains("Codec bench"));
    let one = html(&rows[..1], "");
    assert!(!one.contains("NaN") && !one.contains("inf"));
}

#[test]
fn a_clip_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let options = BenchOptions {
        sizes: vec![BenchSize {
            name: "tiny",
            size: (320, 180),
        }],
        encoders: vec!["x265enc".into()],
        presets: vec!["ultrafast".into()],
        frames: 50,
        ..BenchOptions::default()
    };
    let clips = clips(&options, dir.path(), |_| {}).unwrap();
    assert_eq!(clips.len(), 2);
    let wanted = rows(&options);
    assert_eq!(wanted.len(), 1);
    let row = measure(
        &clips[0],
        wanted[0].0,
        wanted[0].1,
        &options,
        &dir.path().join("out.mp4"),
    );
    let m = row.measured.unwrap();
    assert_eq!(m.frames, 50);
    assert!(
        m.fps > 0.0 && m.cpu_s_per_min > 0.0 && m.bits_per_s > 1000.0,
        "{m:?}"
    );
    assert!(m.ssim > 0.8 && m.ssim <= 1.0 && m.psnr_db > 25.0, "{m:?}");

    // The user's own file, and one that is none.
    let own = BenchOptions {
        sizes: Vec::new(),
        file: Some(clips[1].path.clone()),
        ..options
    };
    let own = super::clips(&own, dir.path(), |_| {}).unwrap();
    assert_eq!(
        (own[0].size, own[0].codec),
        ((320, 180), crate::track::VideoCodec::H264)
    );
    let bad = dir.path().join("bad.mp4");
    std::fs::write(&bad, "no film").unwrap();
    let bad = BenchOptions {
        sizes: Vec::new(),
        file: Some(bad),
        ..BenchOptions::default()
    };
    assert!(super::clips(&bad, dir.path(), |_| {}).is_err());
}
