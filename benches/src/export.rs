//! Ten minutes out of an hour as one file, beside ffmpeg's concat demuxer on the same files.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use nvr_core::time::NS_PER_S;
use nvr_core::{Archive, ExportFormat, ExportRequest, TimeRange};

use crate::footage::{BEGIN, camera};
use crate::meter::Stopwatch;
use crate::report::{Goal, median, quantile};
use crate::{Bench, footage};

/// Crosses the seam between two segments.
const FROM_S: i64 = 600;
const LENGTH_S: i64 = 600;

pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let config = footage::hour(bench)?;
    let files = footage::segments(&config.recorder.root);
    ensure!(files.len() == 4, "the hour has {} segments", files.len());
    let list = bench.dir.join("list.txt");
    let mut text = File::create(&list)?;
    for file in &files {
        writeln!(text, "file '{}'", file.display())?;
        // Into the page cache.
        std::io::copy(&mut File::open(file)?, &mut std::io::sink())?;
    }
    drop(text);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let archive = runtime.block_on(Archive::open(&config))?;
    let start = BEGIN.add_ns(FROM_S * NS_PER_S);
    let range = TimeRange::new(start, start.add_ns(LENGTH_S * NS_PER_S))?;
    let out = bench.dir.join("export.mp4");
    let times = if bench.quick { 3 } else { 5 };
    for (format, name, flags) in [
        (ExportFormat::Mp4, "mp4", None),
        (
            ExportFormat::Fmp4,
            "fmp4",
            Some("frag_keyframe+empty_moov+default_base_moof"),
        ),
    ] {
        let (mut firsts, mut ours, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..times {
            let watch = Stopwatch::start();
            let request = ExportRequest::new(camera(0), range, format);
            let clip = runtime.block_on(archive.export(request))?;
            let mut first = vec![0; 64 << 10];
            clip.read_at(0, &mut first)?;
            firsts.push(watch.ms());
            drop(std::fs::remove_file(&out));
            let watch = Stopwatch::start();
            let request = ExportRequest::new(camera(0), range, format);
            let clip = runtime.block_on(archive.export(request))?;
            clip.write_to(&mut File::create(&out)?, |_| true)?;
            ours.push(watch.elapsed().as_secs_f64());
            check(&out)?;
            std::fs::remove_file(&out)?;
            peers.push(concat(&list, &out, flags)?);
            check(&out)?;
        }
        let r = &mut bench.report;
        r.add(
            format!("export to {name}: first byte, worst of {times}"),
            quantile(&mut firsts, 1.0),
            "ms",
            Goal::AtMost(10.0),
        );
        r.beside(
            format!("export to {name}: ten minutes, 300 MB"),
            median(&mut ours),
            Some(median(&mut peers)),
            "s",
            Goal::FasterAtLeast(3.0),
        );
    }
    std::fs::remove_file(out)?;
    Ok(())
}

fn concat(list: &Path, out: &Path, flags: Option<&str>) -> anyhow::Result<f64> {
    let watch = Stopwatch::start();
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", "-f", "concat", "-safe", "0"])
        .args(["-ss", &FROM_S.to_string(), "-t", &LENGTH_S.to_string(), "-i"])
        .arg(list)
        .args(["-c", "copy", "-y"]);
    if let Some(flags) = flags {
        command.args(["-movflags", flags]);
    }
    let done = command.arg(out).status()?;
    ensure!(done.success(), "ffmpeg failed");
    Ok(watch.elapsed().as_secs_f64())
}

/// Both must have made what was asked for.
fn check(file: &Path) -> anyhow::Result<()> {
    let found = nvr_tests::judge::ffprobe(
        &file.to_string_lossy(),
        &["-show_entries", "format=duration", "-select_streams", "v"],
    )?;
    let seconds: f64 = found["format"]["duration"].as_str().unwrap_or_default().parse()?;
    ensure!(
        (seconds - LENGTH_S as f64).abs() < 3.0,
        "{} is {seconds} s long",
        file.display()
    );
    Ok(())
}
