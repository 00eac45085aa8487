//! What recording costs, beside one ffmpeg per camera on the same streams, in turns.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nvr_tests::proc::{Proc, Signal};
use nvr_tests::wait;

use crate::meter::{Stopwatch, Usage, usage};
use crate::report::{Goal, Report, median};
use crate::{Bench, Client, footage, roles};

const FPS: f64 = 25.0;

/// One turn of one contender.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// Processor seconds per camera and minute.
    cpu: f64,
    usage: Usage,
    switches: f64,
    /// Frames that are not in the files though later ones are.
    lost: u64,
    /// Frames that were sent last and are not in the files.
    tail: f64,
}

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let idle = idle(&bench.dir)?;
    bench.report.add(
        "memory without a camera",
        idle.memory_mb,
        "MB",
        Goal::AtMost(30.0),
    );
    let (turns, window) = if bench.quick {
        (1, Duration::from_secs(8))
    } else {
        (2, Duration::from_secs(20))
    };
    let clients = bench.ingest.clone();
    let mut first: Vec<Option<Usage>> = vec![None; clients.len()];
    for cameras in bench.cameras.clone() {
        let (mut ours, mut peers) = (vec![Vec::new(); clients.len()], Vec::new());
        for turn in 0..turns {
            let dir = bench.dir.join(format!("record-{cameras}-{turn}"));
            for (client, ours) in clients.iter().zip(&mut ours) {
                let dir = dir.join(client.name());
                ours.push(run(&dir, cameras, window, Contender::Recorder(*client))?);
            }
            peers.push(run(&dir.join("ffmpeg"), cameras, window, Contender::Ffmpeg)?);
            std::fs::remove_dir_all(dir)?;
        }
        for ((client, ours), first) in clients.iter().zip(&ours).zip(&mut first) {
            rows(&mut bench.report, *client, cameras, ours, &peers, first);
        }
    }
    Ok(())
}

/// The rows of one client with so many cameras; `first` is its usage with one.
fn rows(
    r: &mut Report,
    client: Client,
    cameras: u32,
    ours: &[Turn],
    peers: &[Turn],
    first: &mut Option<Usage>,
) {
    let middle = |all: &[Turn], f: fn(&Turn) -> f64| median(&mut all.iter().map(f).collect::<Vec<_>>());
    let name = |what: &str| {
        let plural = if cameras == 1 { "" } else { "s" };
        format!("{what}, {}, {cameras} camera{plural}", client.name())
    };
    let (most_cpu, most_threads, most_memory) = match client {
        Client::Lean => (0.25, 3.0, 8.0),
        Client::Rtspsrc => (1.1, 7.0, 10.0),
    };
    r.beside(
        name("recording: processor"),
        middle(ours, |t| t.cpu),
        Some(middle(peers, |t| t.cpu)),
        "CPU-s/camera-min",
        Goal::RatioAtMost(most_cpu),
    );
    r.beside(
        name("recording: context switches"),
        middle(ours, |t| t.switches),
        Some(middle(peers, |t| t.switches)),
        "/s/camera",
        Goal::None,
    );
    let now = Usage {
        memory_mb: middle(ours, |t| t.usage.memory_mb),
        threads: middle(ours, |t| t.usage.threads),
        ..Usage::default()
    };
    let memory_peer = middle(peers, |t| t.usage.memory_mb);
    let threads_peer = middle(peers, |t| t.usage.threads);
    if let Some(one) = first {
        let more = f64::from(cameras - 1);
        let further = |now: f64, one: f64| (now - one) / more;
        r.beside(
            name("memory per further camera"),
            further(now.memory_mb, one.memory_mb),
            Some(memory_peer / f64::from(cameras)),
            "MB",
            Goal::AtMost(most_memory),
        );
        r.beside(
            name("threads per further camera"),
            further(now.threads, one.threads),
            Some(threads_peer / f64::from(cameras)),
            "",
            Goal::AtMost(most_threads),
        );
    } else {
        r.beside(name("memory"), now.memory_mb, Some(memory_peer), "MB", Goal::None);
        r.beside(name("threads"), now.threads, Some(threads_peer), "", Goal::None);
        *first = (cameras == 1).then_some(now);
    }
    let lost: u64 = ours.iter().map(|t| t.lost).sum();
    r.add(name("frames lost"), lost as f64, "", Goal::AtMost(0.0));
    r.add(
        name("frames under way at the stop"),
        middle(ours, |t| t.tail),
        "/camera",
        Goal::None,
    );
}

fn idle(dir: &Path) -> anyhow::Result<Usage> {
    let root = dir.join("idle");
    let mut recorder = roles::start(&["recorder", "--root", &root.to_string_lossy()])?;
    recorder.wait_for_line("recording", Duration::from_secs(20))?;
    std::thread::sleep(Duration::from_secs(2));
    usage(&[recorder.id()])
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Contender {
    Recorder(Client),
    Ffmpeg,
}

fn run(dir: &Path, cameras: u32, window: Duration, who: Contender) -> anyhow::Result<Turn> {
    std::fs::create_dir_all(dir)?;
    let mut camera = roles::start(&["camera", "--paths", &cameras.to_string()])?;
    let url = camera.wait_for_line("serving", Duration::from_secs(120))?;
    let url = url
        .trim_start_matches("serving ")
        .trim_end_matches("/0")
        .to_owned();
    let urls: Vec<String> = (0..cameras).map(|n| format!("{url}/{n}")).collect();
    let limit = Duration::from_secs(90);
    let mut processes = match who {
        Contender::Recorder(client) => {
            let root = dir.to_string_lossy();
            let mut args = vec!["recorder", "--root", &root, "--ingest", client.name()];
            args.extend(urls.iter().map(String::as_str));
            let mut recorder = roles::start(&args)?;
            recorder.wait_for_line("recording", limit)?;
            vec![recorder]
        }
        Contender::Ffmpeg => {
            let all = urls
                .iter()
                .enumerate()
                .map(|(n, url)| ffmpeg(url, &dir.join(format!("{n}-%03d.mp4"))))
                .collect::<anyhow::Result<Vec<_>>>()?;
            wait::until_true("ffmpeg's files", limit, || {
                let grown =
                    |n| std::fs::metadata(dir.join(format!("{n}-000.mp4"))).is_ok_and(|m| m.len() > 100_000);
                (0..cameras).all(grown)
            })?;
            all
        }
    };
    std::thread::sleep(Duration::from_secs(3));

    let pids: Vec<u32> = processes.iter().map(Proc::id).collect();
    let before = usage(&pids)?;
    let watch = Stopwatch::start();
    std::thread::sleep(window);
    let after = usage(&pids)?;
    let took = watch.elapsed().as_secs_f64();
    let camera_minutes = took / 60.0 * f64::from(cameras);

    for process in &processes {
        process.signal(match who {
            Contender::Recorder(_) => Signal::Term,
            Contender::Ffmpeg => Signal::Int,
        })?;
    }
    for process in &mut processes {
        process.wait_for_end(Duration::from_secs(30))?;
    }
    let (lost, tail) = match who {
        Contender::Recorder(_) => losses(dir, &mut camera, cameras)?,
        Contender::Ffmpeg => (0, 0.0),
    };
    Ok(Turn {
        cpu: (after.cpu_s - before.cpu_s) / camera_minutes,
        switches: (after.switches - before.switches) / took / f64::from(cameras),
        usage: after,
        lost,
        tail,
    })
}

/// Compares the files with what the camera says that it sent.
fn losses(dir: &Path, camera: &mut Proc, cameras: u32) -> anyhow::Result<(u64, f64)> {
    // The last count is printed within this time.
    std::thread::sleep(Duration::from_millis(500));
    let log = camera.log();
    let last = log
        .lines()
        .rfind(|l| l.starts_with("sent"))
        .context("no count of the camera")?;
    let mut words = last.split_whitespace();
    let sent: f64 = words.nth(1).context("no count")?.parse()?;
    let late: u64 = words.nth(1).context("no count of late frames")?.parse()?;
    if late > 0 {
        eprintln!("  {late} of {sent} frames were sent late: the machine is too busy for exact figures");
    }
    let mut recorded = 0;
    let mut holes = 0.0;
    for n in 0..cameras {
        let folder = dir.join(format!("cam{n:02}"));
        let files: Vec<PathBuf> = footage::segments(&folder);
        ensure!(!files.is_empty(), "camera {n} was not recorded");
        let mut times = Vec::new();
        for file in &files {
            let found = footage::read(file)?;
            ensure!(found.has_mfra, "{} was not closed", file.display());
            times.extend(footage::frames(file)?);
        }
        recorded += times.len();
        for pair in times.windows(2) {
            holes += ((pair[1] - pair[0]) * FPS - 1.0).round().max(0.0);
        }
    }
    // Besides holes: what is short of the count by more than half a second was not under way.
    let tail = (sent - recorded as f64 - holes) / f64::from(cameras);
    let cut = (tail - FPS / 2.0).max(0.0) * f64::from(cameras);
    Ok(((holes + cut) as u64, tail))
}

fn ffmpeg(url: &str, file: &Path) -> anyhow::Result<Proc> {
    let mut command = Command::new("ffmpeg");
    command
        .args([
            "-hide_banner",
            "-loglevel",
            "error",
            "-rtsp_transport",
            "tcp",
            "-i",
            url,
        ])
        .args([
            "-c",
            "copy",
            "-f",
            "segment",
            "-segment_time",
            "60",
            "-reset_timestamps",
            "1",
        ])
        .arg(file);
    Proc::spawn(command)
}
