//! Writes what the fuzz targets begin with into `corpus/`: cameras' descriptions, packets, files, configurations.

// What the instrumented code calls is in there.
use libfuzzer_sys as _;
use std::path::Path;

use nvr_core::media::testing::SyntheticSegment;
use nvr_core::testing::rtsp_seeds;

fn texts(folder: &Path, ending: &str) -> std::io::Result<Vec<String>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|p| p.extension().is_some_and(|e| e == ending));
    paths.sort();
    paths.iter().map(std::fs::read_to_string).collect()
}

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = rtsp_seeds(&texts(&root.join("../nvr-core/src/rtsp/fixtures"), "txt")?);
    for n in 0..8u32 {
        let segment = SyntheticSegment {
            frames: 10,
            frame_bytes: 40,
            audio: n & 1 != 0,
            b_frames: n & 2 != 0,
            closed: n & 4 != 0,
            styp: n == 3,
            ..SyntheticSegment::new()
        };
        seeds.push(("boxes", segment.build().bytes));
    }
    for page in texts(&root.join("../docs"), "md")? {
        let blocks = page.split("```toml\n").skip(1);
        let blocks = blocks.filter_map(|b| b.split("```").next());
        seeds.extend(blocks.map(|b| ("config", b.as_bytes().to_vec())));
    }
    for (n, (target, bytes)) in seeds.iter().enumerate() {
        let folder = root.join("corpus").join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("seed-{n:03}")), bytes)?;
    }
    Ok(())
}
