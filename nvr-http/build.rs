//! Puts the built page (`ui/dist`, made by `make ui`) into the library, as a table for `src/page.rs`.

use std::error::Error;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    // The folder is there even when nothing was built, so a build without the page is no reason to build again.
    println!("cargo::rerun-if-changed=ui/dist");
    println!("cargo::rerun-if-changed=build.rs");
    let dist = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("ui/dist");
    let mut files = Vec::new();
    if dist.join("index.html").exists() {
        collect(&dist, &mut files)?;
    }
    files.sort();
    let mut table = String::from("pub(super) static FILES: &[File] = &[\n");
    for path in &files {
        let name = path
            .strip_prefix(&dist)?
            .to_str()
            .ok_or("a name that is not UTF-8")?
            .replace('\\', "/");
        let mut hasher = DefaultHasher::new();
        std::fs::read(path)?.hash(&mut hasher);
        let bytes = |path: &Path| format!("include_bytes!({path:?})");
        let packed = |extension: &str| {
            let packed = PathBuf::from(format!("{}.{extension}", path.display()));
            if packed.exists() {
                format!("Some({})", bytes(&packed))
            } else {
                "None".to_owned()
            }
        };
        writeln!(
            table,
            "    File {{ path: {name:?}, tag: \"{:016x}\", plain: {}, br: {}, gz: {} }},",
            hasher.finish(),
            bytes(path),
            packed("br"),
            packed("gz"),
        )?;
    }
    table.push_str("];\n");
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("page_files.rs");
    std::fs::write(out, table)?;
    Ok(())
}

/// The files of a folder and those below, without compressed copies and hidden ones.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() {
            collect(&path, files)?;
        } else if !hidden && !path.extension().is_some_and(|e| e == "br" || e == "gz") {
            files.push(path);
        }
    }
    Ok(())
}
