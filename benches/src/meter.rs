//! What processes cost, from `/proc`, and a stopwatch.

use std::time::Duration;

use anyhow::Context as _;
use nvr_core::clock::{Clock as _, SystemClock};
use serde::Serialize;

/// Measures steady time.
#[derive(Debug)]
pub(crate) struct Stopwatch(SystemClock);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(SystemClock::new())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.steady_ns()).unwrap_or(0))
    }

    pub(crate) fn ms(&self) -> f64 {
        self.elapsed().as_secs_f64() * 1e3
    }
}

/// Of all processes of a contender together.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct Usage {
    pub cpu_s: f64,
    /// Resident memory of one process; proportional set size where there are several, which share libraries.
    pub memory_mb: f64,
    pub threads: f64,
    /// Voluntary and involuntary.
    pub switches: f64,
}

/// Processor time of all living threads to the nanosecond: `/proc/PID/stat` counts in hundredths of a second.
pub(crate) fn usage(pids: &[u32]) -> anyhow::Result<Usage> {
    let mut sum = Usage::default();
    for pid in pids {
        let folder = format!("/proc/{pid}");
        for task in std::fs::read_dir(format!("{folder}/task")).context("the process has ended")? {
            let task = task?.path();
            let Ok(stat) = std::fs::read_to_string(task.join("schedstat")) else {
                continue;
            };
            let ns: f64 = stat.split_whitespace().next().context("schedstat")?.parse()?;
            sum.cpu_s += ns / 1e9;
            sum.threads += 1.0;
            let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
            sum.switches += field(&status, "voluntary_ctxt_switches:").unwrap_or(0.0)
                + field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0.0);
        }
        let rollup = std::fs::read_to_string(format!("{folder}/smaps_rollup"))?;
        let kind = if pids.len() == 1 { "Rss:" } else { "Pss:" };
        sum.memory_mb += field(&rollup, kind).unwrap_or(0.0) / 1024.0;
    }
    Ok(sum)
}

fn field(text: &str, name: &str) -> Option<f64> {
    text.lines()
        .find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// Processor time of all children of this process that have ended and were waited for.
pub(crate) fn children_cpu_s() -> anyhow::Result<f64> {
    /// Linux tells it in hundredths of a second.
    const TICKS_PER_S: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Behind the name, which may hold anything: state is the third field, cutime and cstime the 16th and 17th.
    let (_, rest) = stat.rsplit_once(')').context("/proc/self/stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |n: usize| -> anyhow::Result<f64> { Ok(fields.get(n).context("/proc/self/stat")?.parse()?) };
    Ok((ticks(13)? + ticks(14)?) / TICKS_PER_S)
}
