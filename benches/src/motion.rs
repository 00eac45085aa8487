//! Looking for motion in 1080p25: keyframes only, as while it is recorded.

use anyhow::ensure;
use nvr_core::archive::MotionSearch;
use nvr_core::priority::process_cpu_ns;
use nvr_core::time::NS_PER_S;
use nvr_core::{Archive, TimeRange};

use crate::footage::{BEGIN, camera};
use crate::report::Goal;
use crate::{Bench, footage};

/// Of the clip.
const GOP_S: f64 = 2.0;

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let config = footage::hour(bench)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    nvr_core::gst::init()?;
    let archive = runtime.block_on(Archive::open(&config))?;
    let look = |from_s: i64, length_s: i64| {
        let begin = BEGIN.add_ns(from_s * NS_PER_S);
        let range = TimeRange::new(begin, begin.add_ns(length_s * NS_PER_S))?;
        let before = process_cpu_ns();
        let found = runtime.block_on(archive.find_motion(&camera(0), range, MotionSearch::default()))?;
        let cpu_ms = (process_cpu_ns() - before) as f64 / 1e6;
        ensure!(found.damaged == 0, "{found:?}");
        ensure!(found.keyframes as i64 >= length_s / 2 - 2, "{found:?}");
        Ok(cpu_ms / found.keyframes as f64)
    };
    // Plugins are loaded.
    look(0, 20)?;
    let each_ms = look(60, if bench.quick { 300 } else { 1200 })?;
    bench.report.add(
        "motion 1080p, processor time of a keyframe",
        each_ms,
        "ms",
        Goal::None,
    );
    for gop_s in [GOP_S, 1.0] {
        // Milliseconds a second are tenths of a percent.
        bench.report.add(
            format!("motion 1080p25, a keyframe each {gop_s} s, of a core"),
            each_ms / gop_s / 10.0,
            "%",
            Goal::AtMost(2.0),
        );
    }
    Ok(())
}
