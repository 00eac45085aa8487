//! Viewers and requests beside recording: what they get, and what recording loses by them.

mod playlist;
mod viewers;

use std::path::Path;
use std::time::Duration;

use nvr_tests::proc::{Proc, Signal};

use self::viewers::Outcome;
pub(crate) use self::viewers::load;
use crate::meter::{Stopwatch, usage};
use crate::report::Goal;
use crate::{Bench, recording, roles};

const CAMERAS: u32 = 8;
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let root = bench.dir.join("load");
    let figures = run(&root, if bench.quick { 10 } else { 30 })?;
    std::fs::remove_dir_all(root)?;
    for told in &figures.outcome.trouble {
        eprintln!("  a viewer or request failed: {told}");
    }
    figures.tell(bench);
    Ok(())
}

struct Figures {
    /// Processor seconds a second of the process that records and serves.
    alone: f64,
    loaded: f64,
    outcome: Outcome,
    lost: u64,
    late: u64,
}

fn run(root: &Path, seconds: u64) -> anyhow::Result<Figures> {
    let mut camera = roles::start(&["camera", "--paths", &CAMERAS.to_string()])?;
    let line = camera.wait_for_line("serving", Duration::from_secs(120))?;
    let url = line.trim_start_matches("serving ").trim_end_matches("/0");
    let urls: Vec<String> = (0..CAMERAS).map(|n| format!("{url}/{n}")).collect();
    let root_text = root.to_string_lossy().into_owned();
    let mut args = vec!["server", "--root", &root_text];
    args.extend(urls.iter().map(String::as_str));
    let mut server = roles::start(&args)?;
    let line = server.wait_for_line("listening", LIMIT)?;
    let address = line.trim_start_matches("listening ").to_owned();
    // The beginning costs more.
    std::thread::sleep(Duration::from_secs(3));

    let window = Duration::from_secs(seconds);
    let alone = cost(&server, window)?;
    let mut load = roles::start(&[
        "viewers",
        "--address",
        &address,
        "--seconds",
        &seconds.to_string(),
    ])?;
    load.wait_for_line("ready", LIMIT)?;
    // Before the load ends: threads that end take their time along.
    let loaded = cost(&server, window.saturating_sub(Duration::from_secs(1)))?;
    let line = load.wait_for_line("outcome", LIMIT)?;
    let outcome: Outcome = serde_json::from_str(line.trim_start_matches("outcome "))?;
    load.wait_for_end(LIMIT)?;

    let sent = recording::sent(&camera)?;
    server.signal(Signal::Term)?;
    server.wait_for_end(LIMIT)?;
    let losses = recording::losses(root, sent, &mut camera, CAMERAS)?;
    Ok(Figures {
        alone,
        loaded,
        outcome,
        lost: losses.lost,
        late: losses.late(),
    })
}

fn cost(of: &Proc, window: Duration) -> anyhow::Result<f64> {
    let (before, watch) = (usage(&[of.id()])?.cpu_s, Stopwatch::start());
    std::thread::sleep(window);
    Ok((usage(&[of.id()])?.cpu_s - before) / watch.elapsed().as_secs_f64())
}

impl Figures {
    fn tell(&self, bench: &mut Bench) {
        let report = &mut bench.report;
        let mut add =
            |what: String, value, unit, goal| report.add(format!("load: {what}"), value, unit, goal);
        let outcome = &self.outcome;
        for way in &outcome.ways {
            let each = way.frames as f64 / way.viewers as f64 / outcome.seconds;
            let what = format!("{}, {} viewers, frames a second each", way.name, way.viewers);
            add(what, each, "1/s", Goal::None);
            if let Some(missed) = way.missed {
                let all = (way.frames + missed).max(1) as f64;
                let what = format!("{}, share of frames they did not get", way.name);
                add(what, missed as f64 / all, "", Goal::None);
            }
        }
        let ended: usize = outcome.ways.iter().map(|w| w.ended).sum();
        add("viewers who failed".into(), ended as f64, "", Goal::AtMost(0.0));
        let goal = Goal::AtLeast(500.0);
        add(
            "timelines answered".into(),
            outcome.requests_per_s,
            "requests/s",
            goal,
        );
        let failed = outcome.failed_requests as f64;
        add("timelines refused".into(), failed, "", Goal::AtMost(0.0));
        add("timeline, p50".into(), outcome.p50_ms, "ms", Goal::None);
        add("timeline, p99".into(), outcome.p99_ms, "ms", Goal::None);
        let processor = |of: &str| format!("processor, {CAMERAS} cameras {of}");
        add(processor("without load"), self.alone, "CPU-s/s", Goal::None);
        add(processor("with load"), self.loaded, "CPU-s/s", Goal::None);
        add(
            "frames that the camera sent late".into(),
            self.late as f64,
            "",
            Goal::None,
        );
        add(
            "frames lost by recording".into(),
            self.lost as f64,
            "",
            Goal::AtMost(0.0),
        );
    }
}
