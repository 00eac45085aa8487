//! What recording costs, beside one ffmpeg per camera on the same streams, in turns.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nvr_tests::proc::{Proc, Signal};
use nvr_tests::replay::Clip;
use nvr_tests::wait;

use crate::footage::Frame;
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
    losses: Losses,
}

/// What is not in the files, of all cameras.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Losses {
    /// Frames that were sent and are missing: between others, or more than was under way at the stop.
    pub(crate) lost: u64,
    /// The same at the stop, for each camera: sent before it and not in the files.
    tail: f64,
    /// Time stepped over without a frame missing, in frames: the camera came later than before for so long that its
    /// time line was moved.
    stepped: u64,
    camera: Sent,
}

impl Losses {
    /// Frames that the camera sent late because it did not get to run.
    pub(crate) const fn late(&self) -> u64 {
        self.camera.late
    }
}

/// What the camera says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    frames: u64,
    late: u64,
    held_up: u64,
    broken: u64,
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
            if !bench.alone {
                peers.push(run(&dir.join("ffmpeg"), cameras, window, Contender::Ffmpeg)?);
            }
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
    let peer = |f: fn(&Turn) -> f64| (!peers.is_empty()).then(|| middle(peers, f));
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
        peer(|t| t.cpu),
        "CPU-s/camera-min",
        Goal::RatioAtMost(most_cpu),
    );
    r.beside(
        name("recording: context switches"),
        middle(ours, |t| t.switches),
        peer(|t| t.switches),
        "/s/camera",
        Goal::None,
    );
    let now = Usage {
        memory_mb: middle(ours, |t| t.usage.memory_mb),
        threads: middle(ours, |t| t.usage.threads),
        ..Usage::default()
    };
    let memory_peer = peer(|t| t.usage.memory_mb);
    let threads_peer = peer(|t| t.usage.threads);
    if let Some(one) = first {
        let more = f64::from(cameras - 1);
        let further = |now: f64, one: f64| (now - one) / more;
        r.beside(
            name("memory per further camera"),
            further(now.memory_mb, one.memory_mb),
            memory_peer.map(|m| m / f64::from(cameras)),
            "MB",
            Goal::AtMost(most_memory),
        );
        r.beside(
            name("threads per further camera"),
            further(now.threads, one.threads),
            threads_peer.map(|t| t / f64::from(cameras)),
            "",
            Goal::AtMost(most_threads),
        );
    } else {
        r.beside(name("memory"), now.memory_mb, memory_peer, "MB", Goal::None);
        r.beside(name("threads"), now.threads, threads_peer, "", Goal::None);
        *first = (cameras == 1).then_some(now);
    }
    let sum = |f: fn(&Losses) -> u64| ours.iter().map(|t| f(&t.losses)).sum::<u64>() as f64;
    r.add(name("frames lost"), sum(|l| l.lost), "", Goal::AtMost(0.0));
    r.add(
        name("frames under way at the stop"),
        middle(ours, |t| t.losses.tail),
        "/camera",
        Goal::None,
    );
    // Zeros say nothing.
    for (what, count) in [
        ("frames the camera sent late", sum(|l| l.camera.late)),
        ("frames the recorder let wait", sum(|l| l.camera.held_up)),
        ("connections broken", sum(|l| l.camera.broken)),
        ("frames of time stepped over", sum(|l| l.stepped)),
    ] {
        if count > 0.0 {
            r.add(name(what), count, "", Goal::None);
        }
    }
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

    // What it sends from now on nobody has to record.
    let sent = sent(&camera)?;
    for process in &processes {
        process.signal(match who {
            Contender::Recorder(_) => Signal::Term,
            Contender::Ffmpeg => Signal::Int,
        })?;
    }
    for process in &mut processes {
        process.wait_for_end(Duration::from_secs(30))?;
    }
    let losses = match who {
        Contender::Recorder(_) => losses(dir, sent, &mut camera, cameras)?,
        Contender::Ffmpeg => Losses::default(),
    };
    Ok(Turn {
        cpu: (after.cpu_s - before.cpu_s) / camera_minutes,
        switches: (after.switches - before.switches) / took / f64::from(cameras),
        usage: after,
        losses,
    })
}

/// The last that the camera said.
pub(crate) fn sent(camera: &Proc) -> anyhow::Result<Sent> {
    let log = camera.log();
    let last = log
        .lines()
        .rfind(|l| l.starts_with("sent"))
        .context("no count of the camera")?;
    let numbers: Vec<u64> = last.split_whitespace().filter_map(|w| w.parse().ok()).collect();
    let &[frames, late, held_up, broken] = &numbers[..] else {
        bail!("the camera's count is {last:?}");
    };
    Ok(Sent {
        frames,
        late,
        held_up,
        broken,
    })
}

/// Compares the files with what the camera had sent when the recorder was told to stop.
pub(crate) fn losses(dir: &Path, at_stop: Sent, camera: &mut Proc, cameras: u32) -> anyhow::Result<Losses> {
    let clip = Clip::generated()?;
    let mut found = Losses {
        camera: Sent {
            // Not those that the stop cut off.
            broken: at_stop.broken,
            ..sent(camera)?
        },
        ..Losses::default()
    };
    let mut recorded = 0;
    for n in 0..cameras {
        let folder = dir.join(format!("cam{n:02}"));
        let files: Vec<PathBuf> = footage::segments(&folder);
        ensure!(!files.is_empty(), "camera {n} was not recorded");
        let mut frames = Vec::new();
        for file in &files {
            let scan = footage::read(file)?;
            ensure!(scan.has_mfra, "{} was not closed", file.display());
            frames.extend(footage::frames(file)?);
        }
        recorded += frames.len() as u64;
        let sizes: Vec<u32> = frames.iter().map(|f| f.bytes).collect();
        let missing = missing(clip.sizes(), &sizes).with_context(|| format!("camera {n}"))?;
        let passed = |pair: &[Frame]| ((pair[1].at_s - pair[0].at_s) * FPS - 1.0).round().max(0.0);
        let holes: f64 = frames.windows(2).map(passed).sum();
        found.lost += missing;
        found.stepped += (holes as u64).saturating_sub(missing);
    }
    let tail = at_stop.frames as f64 - (recorded + found.lost) as f64;
    // More than half a second was not under way.
    let most = FPS / 2.0 * f64::from(cameras);
    found.lost += (tail - most).max(0.0) as u64;
    found.tail = tail / f64::from(cameras);
    Ok(found)
}

/// Frames that are missing in a recording of a clip that is sent again and again, told by the sizes of what is there.
/// A multiple of the clip's length passes unseen.
fn missing(clip: &[u32], recorded: &[u32]) -> anyhow::Result<u64> {
    // So many in a row are found once in a clip.
    const RUN: usize = 3;
    let is_at = |at: usize, recorded: &[u32]| {
        let mut expected = clip[at..].iter().chain(clip.iter().cycle());
        recorded
            .iter()
            .take(RUN)
            .all(|size| expected.next() == Some(size))
    };
    let mut lost = 0;
    let mut next = 0;
    for n in 0..recorded.len() {
        if clip[next] != recorded[n] {
            let ahead = (0..clip.len()).find(|d| is_at((next + d) % clip.len(), &recorded[n..]));
            let ahead = ahead.context("the recording is not of the clip")?;
            lost += ahead as u64;
            next = (next + ahead) % clip.len();
        }
        next = (next + 1) % clip.len();
    }
    Ok(lost)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_are_missing_are_counted() {
        let clip: Vec<u32> = (0..250).map(|n| 1000 + n * 7 % 251).collect();
        let sent: Vec<u32> = clip.iter().copied().cycle().take(700).collect();
        assert_eq!(missing(&clip, &sent).unwrap(), 0);
        let mut got = sent.clone();
        got.drain(300..310);
        got.drain(240..265);
        got.remove(5);
        assert_eq!(missing(&clip, &got).unwrap(), 36);
        // A recording that begins late has lost what came before.
        assert_eq!(missing(&clip, &sent[3..]).unwrap(), 3);
        assert!(missing(&clip, &[1, 2, 3]).is_err());
        assert_eq!(missing(&clip, &[]).unwrap(), 0);
    }
}
