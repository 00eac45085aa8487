//! `nvr bench codecs`: how fast, how small and how good the H.265 encoders of this machine are.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use nvr_core::bench::{self, BenchOptions, BenchSize, Row};
use nvr_core::clock::{Clock as _, SystemClock};
use nvr_core::error::{Error, ErrorKind};

use crate::cli::Global;
use crate::exit::Failure;
use crate::logging;
use crate::output::{self, Output};

#[derive(Subcommand, Debug)]
pub enum BenchCommand {
    /// Encode clips with every H.265 encoder that works and each of its presets.
    ///
    /// The last presets of x265 take minutes for each clip: name some with `--preset` where that is too long.
    Codecs(CodecsArgs),
}

#[derive(Args, Debug)]
pub struct CodecsArgs {
    /// Sizes of the generated clips.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["720p", "1080p", "4k"])]
    size: Vec<Size>,
    /// Only these encoders.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    encoder: Vec<String>,
    /// Only these presets.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    preset: Vec<String>,
    /// Constant quality, 0 (best) to 51: x265's CRF, the quantiser of others.
    #[arg(long, default_value_t = 26, value_parser = clap::value_parser!(u8).range(0..=51))]
    quality: u8,
    /// Threads of encoders on the processor; 0 lets them take them all.
    #[arg(long, default_value_t = 0)]
    threads: u32,
    /// Frames of a generated clip, at 25 a second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    frames: u32,
    /// A file of your own (MP4 with H.264 or H.265) beside the clips.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only the file, no generated clips.
    #[arg(long, requires = "file")]
    only_file: bool,
    /// Write the rows as comma-separated values.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a page with tables and plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Size {
    /// 1280x720.
    #[value(name = "720p")]
    Hd,
    /// 1920x1080.
    #[value(name = "1080p")]
    FullHd,
    /// 3840x2160.
    #[value(name = "4k")]
    Uhd,
}

pub fn run(global: &Global, command: &BenchCommand, output: Output) -> Result<(), Failure> {
    let BenchCommand::Codecs(args) = command;
    logging::start(global.verbose, None);
    let options = options(args);
    let dir = scratch()?;
    let result = measure(&options, &dir, output);
    let _ = std::fs::remove_dir_all(&dir);
    let rows = result?;
    let failed = |path: &PathBuf| {
        let path = path.display().to_string();
        move |e| Error::io(path, e)
    };
    if let Some(path) = &args.csv {
        std::fs::write(path, bench::csv(&rows)).map_err(failed(path))?;
    }
    if let Some(path) = &args.html {
        std::fs::write(path, bench::html(&rows, &about())).map_err(failed(path))?;
        output.note(&format!("the page is {}", path.display()));
    }
    output.result(&bench::json(&rows), || table(&rows))
}

fn options(args: &CodecsArgs) -> BenchOptions {
    let sizes = if args.only_file { &[][..] } else { &args.size };
    BenchOptions {
        sizes: sizes.iter().map(|s| BenchSize::ALL[*s as usize]).collect(),
        encoders: args.encoder.clone(),
        presets: args.preset.clone(),
        quality: args.quality,
        threads: args.threads,
        frames: args.frames,
        file: args.file.clone(),
        ..BenchOptions::default()
    }
}

/// A folder of its own for clips and what is made of them.
fn scratch() -> Result<PathBuf, Error> {
    let name = format!("nvr-bench-{}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir(&dir).map_err(|e| Error::io(dir.display(), e))?;
    Ok(dir)
}

fn measure(options: &BenchOptions, dir: &std::path::Path, output: Output) -> Result<Vec<Row>, Failure> {
    let wanted = bench::rows(options);
    if wanted.is_empty() {
        let e = Error::new(
            ErrorKind::Unsupported,
            "no such H.265 encoder or preset is installed",
        );
        return Err(e.with_hint("`nvr detect` lists what there is").into());
    }
    let clips = bench::clips(options, dir, |what| output.note(what))?;
    let bar = output.count("measuring");
    bar.set_length((clips.len() * wanted.len()) as u64);
    let mut rows = Vec::new();
    for clip in &clips {
        for (encoder, preset) in &wanted {
            bar.set_message(format!("{} {preset}, {}", encoder.name, clip.name));
            rows.push(bench::measure(
                clip,
                encoder,
                preset,
                options,
                &dir.join("out.mp4"),
            ));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(rows)
}

fn about() -> String {
    let processor = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|l| l.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| "unknown processor".into());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{processor}, {cores} threads; nvr {}; {}",
        env!("CARGO_PKG_VERSION"),
        SystemClock::new().now().to_jiff().strftime("%Y-%m-%d %H:%M UTC")
    )
}

fn table(rows: &[Row]) -> String {
    let header = [
        "CLIP",
        "ENCODER",
        "PRESET",
        "FPS",
        "CPU S/MIN",
        "MBIT/S",
        "SSIM",
        "PSNR",
    ];
    output::table(
        &header,
        &[3, 4, 5, 6, 7],
        rows.iter().map(|r| {
            let mut cells = vec![r.clip.clone(), r.encoder.clone(), r.preset.clone()];
            match &r.measured {
                Ok(m) => cells.extend([
                    format!("{:.1}", m.fps),
                    format!("{:.1}", m.cpu_s_per_min),
                    format!("{:.2}", m.bits_per_s / 1e6),
                    format!("{:.4}", m.ssim),
                    format!("{:.1}", m.psnr_db),
                ]),
                Err(e) => cells.push(e.clone()),
            }
            cells
        }),
    )
}
