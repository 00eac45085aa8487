//! Ten minutes out of an hour as one file, beside ffmpeg's concat demuxer on the same files.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use nvr_core::time::NS_PER_S;
use nvr_core::{Archive, ExportFormat, ExportRequest, TimeRange};

use crate::footage::{BEGIN, SEGMENT_S, camera};
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
    // By inpoint and outpoint: told to seek by `-ss`, the demuxer copies all of the first file.
    let part = (FROM_S / SEGMENT_S) as usize;
    writeln!(text, "file '{}'", files[part].display())?;
    writeln!(text, "inpoint {}", FROM_S % SEGMENT_S)?;
    writeln!(text, "file '{}'", files[part + 1].display())?;
    writeln!(text, "outpoint {}", (FROM_S + LENGTH_S) % SEGMENT_S)?;
    drop(text);
    for file in &files {
        // Into the page cache.
        std::io::copy(&mut File::open(file)?, &mut std::io::sink())?;
    }
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
        .args(["-v", "error", "-nostdin", "-f", "concat", "-safe", "0", "-i"])
        .arg(list)
        .args(["-c", "copy", "-y"]);
    if let Some(flags) = flags {
        command.args(["-movflags", flags]);
    }
    let done = command.arg(out).status()?;
    ensure!(done.success(), "ffmpeg failed");
    Ok(watch.elapsed().as_secs_f64())
}

/// Both must have made what was asked for, give or take a group of pictures at either end.
fn check(file: &Path) -> anyhow::Result<()> {
    let found = nvr_tests::judge::ffprobe(
        &file.to_string_lossy(),
        &[
            "-count_packets",
            "-show_entries",
            "stream=nb_read_packets",
            "-select_streams",
            "v",
        ],
    )?;
    let frames: i64 = found["streams"][0]["nb_read_packets"]
        .as_str()
        .unwrap_or_default()
        .parse()?;
    ensure!(
        (frames - LENGTH_S * 25).abs() < 110,
        "{} has {frames} frames",
        file.display()
    );
    Ok(())
}
