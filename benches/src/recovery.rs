//! Start with many segments on disk, and a new index from the files alone.

use std::path::Path;

use nvr_core::Nvr;
use nvr_core::clock::SystemClock;
use nvr_core::files::{Root, RootOptions, SegmentName};
use nvr_core::media::testing::SyntheticSegment;
use nvr_core::run::Anchor;
use nvr_core::segment::{ClosedSegment, Container, SegmentStart};
use nvr_core::time::NS_PER_S;
use nvr_core::{RunId, check};

use crate::footage::{BEGIN, SEGMENT_S, camera, tracks};
use crate::meter::Stopwatch;
use crate::report::Goal;
use crate::{Bench, footage};

const CAMERAS: usize = 16;

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let segments = if bench.quick { 20_000 } else { 100_000 };
    let root = bench.dir.join("many");
    make(&root, segments)?;
    let config = nvr_core::config::Config::new(&root);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let watch = Stopwatch::start();
    let nvr = runtime.block_on(Nvr::builder(config.clone()).start())?;
    let started = watch.elapsed().as_secs_f64();
    runtime.block_on(nvr.shutdown(std::time::Duration::from_secs(5)));
    drop(nvr);
    drop(runtime);
    bench.report.add(
        format!("start with {segments} segments on disk"),
        started,
        "s",
        Goal::AtMost(1.0),
    );

    let options = RootOptions {
        exclusive: true,
        ..RootOptions::default()
    };
    let opened = Root::open(&root, options, SystemClock::shared())?;
    let watch = Stopwatch::start();
    let report = check::rebuild(
        &opened,
        &config.recorder.database,
        check::RebuildOptions::default(),
        &mut |_| {},
    )?;
    let took = watch.elapsed().as_secs_f64();
    anyhow::ensure!(report.segments == segments as u64, "{} found", report.segments);
    bench.report.add(
        format!("new index of {segments} segments from their files"),
        segments as f64 / took,
        "segments/s",
        Goal::AtLeast(2000.0),
    );
    std::fs::remove_dir_all(root)?;
    Ok(())
}

/// Small files with everything that a segment has, and the index of them.
fn make(root: &Path, segments: usize) -> anyhow::Result<()> {
    let (_, _tree, store) = footage::archive(root)?;
    let mut batch = Vec::new();
    for n in 0..segments {
        let (c, n) = (n % CAMERAS, n / CAMERAS);
        let utc = BEGIN.add_ns(n as i64 * SEGMENT_S * NS_PER_S);
        let start = SegmentStart {
            camera: camera(c),
            run: RunId::from_u64((n / 100 * CAMERAS + c + 1) as u64),
            sequence: (n % 100) as u32,
            anchor: Anchor {
                utc,
                steady_ns: 0,
                running_ns: 0,
            },
            start: utc,
            camera_start: None,
            container: Container::Fmp4,
            tracks: tracks(),
            masks: None,
            from_card: false,
        };
        let made = SyntheticSegment {
            frames: 60,
            frame_bytes: 60,
            description: Some(start.clone()),
            closed: true,
            seed: (n * CAMERAS + c) as u64,
            ..SyntheticSegment::new()
        }
        .build();
        let path = SegmentName::of(&start).path();
        let full = root.join(&path);
        if let Some(folder) = full.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(full, &made.bytes)?;
        batch.push(ClosedSegment {
            start,
            path,
            duration_ns: made.index.duration_ns(),
            size_bytes: made.bytes.len() as u64,
            fragments: made.index.to_blob(),
            hash: None,
            recovered: false,
        });
        if batch.len() == 500 {
            store.insert_segments_blocking(std::mem::take(&mut batch))?;
        }
    }
    store.insert_segments_blocking(batch)?;
    store.shutdown_blocking()?;
    Ok(())
}
