//! Half an hour of everything at once, on a disk that would overflow several times: three cameras, a window in which
//! footage is encoded again, an S3 service that dies for minutes and comes back, a `kill -9`. Then judged.
//!
//! `cargo build --bin nvr && cargo run -p nvr-tests --bin endurance -- --minutes 30`
//!
//! Needs root, for the disk: a file system in a file. A signal ends it and takes everything away again.
#![allow(clippy::print_stdout, reason = "it reports")]

mod report;
mod setting;
mod verdict;
mod watch;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use nvr_core::clock::{Clock as _, SystemClock};
use nvr_core::config::Config;
use nvr_core::time::{Timestamp, duration_ns};
use nvr_tests::disk::{Mount, run, text};
use nvr_tests::proc::{Proc, Signal, binary};
use nvr_tests::s3::{Mode, S3};
use nvr_tests::wait;
use tokio::signal::unix::{SignalKind, signal};

use setting::Plan;
use watch::Watch;

/// For what happens soon.
const SOON: Duration = Duration::from_secs(60);
/// For all that waits when the cameras are off.
const DRAIN: Duration = Duration::from_secs(1200);

#[derive(Parser)]
#[command(about = "Records three cameras on a small disk through every trouble, and judges what is left")]
struct Args {
    /// How long to record, 3 or more.
    #[arg(long, default_value_t = 30.0, value_parser = minutes)]
    minutes: f64,
    /// Size of the disk in MB; 10 for each minute by default, 80 to 300.
    #[arg(long)]
    disk: Option<u64>,
}

fn minutes(text: &str) -> Result<f64, String> {
    let n: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    (3.0..=600.0)
        .contains(&n)
        .then_some(n)
        .ok_or_else(|| "3 to 600".into())
}

/// What the story leaves to be judged.
#[derive(Debug)]
pub struct Told {
    pub config: Config,
    /// When the recorder was killed.
    pub killed: Timestamp,
    pub watch: Watch,
    /// Processor time of the recorder, both lives.
    pub cpu: Duration,
    /// How long it ran.
    pub wall: Duration,
    /// Most memory of either life, kilobytes.
    pub memory_kb: u64,
    /// A segment as the camera made it.
    pub sample: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if !rustix::process::geteuid().is_root() {
        anyhow::bail!("this mounts a disk of its own, which takes root: run it as root, or with sudo");
    }
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        result = story(Plan::new(args.minutes, args.disk)) => result,
        _ = int.recv() => anyhow::bail!("interrupted"),
        _ = term.recv() => anyhow::bail!("told to end"),
    }
}

async fn story(plan: Plan) -> anyhow::Result<ExitCode> {
    let dir = tempfile::tempdir()?;
    let (image, root, config) = (
        dir.path().join("disk.img"),
        dir.path().join("disk"),
        dir.path().join("nvr.toml"),
    );
    std::fs::File::create(&image)?.set_len(plan.disk_bytes)?;
    ensure!(
        run("mkfs.ext4", &["-q", "-m", "1", text(&image)]),
        "the disk was not made"
    );
    let _mount =
        Mount::new(&root, &["-t", "ext4", "-o", "loop", text(&image)]).context("mounting takes root")?;
    let s3 = Arc::new(S3::start().await?);
    let cams = setting::cameras()?;
    let urls: Vec<String> = cams.iter().map(nvr_tests::TestCam::url).collect();
    let clock = SystemClock::new();
    let window = plan.window(clock.now());
    println!(
        "{} MB of disk, {} minutes; encoding again {window} UTC",
        plan.disk_bytes / 1_000_000,
        plan.minutes
    );
    let write = |cameras, transcode| {
        let text = setting::config(&root, &urls, &s3.endpoint(), &window, cameras, transcode);
        std::fs::write(&config, text)
    };
    write(true, true)?;
    let told = tell(&plan, &clock, &s3, &config, write).await?;
    drop(cams);
    let verdict = verdict::judge(&told, &s3).await?;
    report::print(&told, &verdict, plan.disk_bytes).await?;
    ensure!(
        verdict.wrong.is_empty(),
        "not as it should be:\n  {}",
        verdict.wrong.join("\n  ")
    );
    println!("\nall is as it should be");
    Ok(ExitCode::SUCCESS)
}

/// The recorder, as a user starts it.
fn recorder(config: &Path) -> anyhow::Result<Proc> {
    let mut command = Command::new(binary("nvr")?);
    command.arg("-c").arg(config).arg("run");
    Proc::spawn(command)
}

async fn tell(
    plan: &Plan,
    clock: &SystemClock,
    s3: &S3,
    path: &Path,
    write: impl Fn(bool, bool) -> std::io::Result<()>,
) -> anyhow::Result<Told> {
    let config = Config::load(path)?;
    let begun = clock.steady_ns();
    let until = async |at: Duration, what: &str| {
        let left = duration_ns(at) - (clock.steady_ns() - begun);
        clock
            .sleep(Duration::from_nanos(left.max(0).cast_unsigned()))
            .await;
        println!("{} {what}", clock.now());
    };
    let mut first = recorder(path)?;
    first.wait_for_line("recording 3 cameras", SOON)?;
    println!("{} recording", clock.now());
    let watch = Watch::start(&config.recorder.root)?;

    let sample = sample(&config, path).await?;
    let (dies, comes_back) = plan.s3_away();
    until(
        dies,
        "the S3 service breaks down in the middle of what it gets, and is away",
    )
    .await;
    s3.set(Mode::CutAfter(1_000_000));
    until(comes_back, "the S3 service is back").await;
    s3.set(Mode::Pass);
    until(plan.kill(), "kill -9").await;
    let (mut cpu, mut memory_kb) = (first.cpu_time()?, first.status("VmHWM")?);
    let killed = clock.now();
    let status = first.kill()?;
    ensure!(
        std::os::unix::process::ExitStatusExt::signal(&status) == Some(9),
        "it ended before it was killed ({status}):\n{}",
        last_words(&first)
    );
    let mut second = recorder(path)?;
    second.wait_for_line("recording 3 cameras", SOON)?;
    println!("{} recording again", clock.now());

    until(
        plan.at(1.0),
        "the cameras are switched off; what waits is brought to its end",
    )
    .await;
    write(false, true)?;
    second.signal(Signal::Hup)?;
    // A machine with other things to do may not get through all of it.
    let tried = wait::until_async("all to be encoded again", plan.at(0.1), || async {
        clock.sleep(Duration::from_secs(1)).await;
        matches!(verdict::untried(&config).await, Ok(0)).then_some(())
    })
    .await;
    if tried.is_err() {
        println!(
            "{} encoding again is switched off; not all was tried",
            clock.now()
        );
    }
    write(false, false)?;
    second.signal(Signal::Hup)?;
    let drained = wait::until_async("the end of all work", DRAIN, || async {
        let left = verdict::left_to_do(&config).await;
        clock.sleep(Duration::from_secs(1)).await;
        matches!(left, Ok(0)).then_some(())
    })
    .await;
    if let Err(e) = drained {
        let left = verdict::waits_for(&config).await;
        anyhow::bail!("{e}: {left:#?}\n{}", last_words(&second));
    }
    cpu += second.cpu_time()?;
    memory_kb = memory_kb.max(second.status("VmHWM")?);
    let wall = Duration::from_nanos((clock.steady_ns() - begun).max(0).cast_unsigned());
    println!("{} SIGTERM", clock.now());
    second.signal(Signal::Term)?;
    let status = second.wait_for_end(SOON)?;
    ensure!(
        status.success(),
        "it did not end in order: {status}\n{}",
        last_words(&second)
    );
    for line in first.log().lines().chain(second.log().lines()) {
        if line.contains("ERROR") {
            println!("  log: {line}");
        }
    }
    Ok(Told {
        config,
        killed,
        watch,
        cpu,
        wall,
        memory_kb,
        sample,
    })
}

/// The first segment of the first camera, before anybody encodes it again.
async fn sample(config: &Config, beside: &Path) -> anyhow::Result<PathBuf> {
    let to = beside.with_file_name("sample.mp4");
    wait::until_async("a segment", SOON, || async {
        let row = verdict::first_segment(config, setting::CAMS[0].id).await?;
        std::fs::copy(config.recorder.root.join(row.path), &to).ok()
    })
    .await?;
    Ok(to)
}

fn last_words(proc: &Proc) -> String {
    let log = proc.log();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
