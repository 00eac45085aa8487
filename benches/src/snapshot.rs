//! Pictures of moments in an hour of 1080p.

use nvr_core::time::NS_PER_S;
use nvr_core::{Archive, SnapshotRequest};

use crate::footage::{BEGIN, camera};
use crate::meter::Stopwatch;
use crate::report::{Goal, quantile};
use crate::{Bench, footage};

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let config = footage::hour(bench)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    nvr_core::gst::init()?;
    let archive = runtime.block_on(Archive::open(&config))?;
    let count = if bench.quick { 30 } else { 100 };
    for (what, exact, goal) in [
        ("keyframe at a moment", false, Goal::AtMost(60.0)),
        ("exact frame", true, Goal::None),
    ] {
        let mut times = Vec::new();
        for n in 0..count + 3 {
            let at = BEGIN.add_ns(rand::random_range(0..3599 * NS_PER_S));
            let mut request = SnapshotRequest::new(camera(0), Some(at));
            request.exact = exact;
            let watch = Stopwatch::start();
            let picture = runtime.block_on(archive.snapshot(request))?;
            anyhow::ensure!(picture.jpeg.len() > 10_000, "an empty picture");
            // The first ones load plugins.
            if n >= 3 {
                times.push(watch.ms());
            }
        }
        let r = &mut bench.report;
        r.add(
            format!("snapshot 1080p, {what}, p50"),
            quantile(&mut times, 0.5),
            "ms",
            Goal::None,
        );
        r.add(
            format!("snapshot 1080p, {what}, p99"),
            quantile(&mut times, 0.99),
            "ms",
            goal,
        );
    }
    Ok(())
}
