//! `nvr validate`: every mistake in the configuration, with its place.

use std::io::Write as _;

use nvr_core::config::{Config, ConfigProblem};
use nvr_core::error::ErrorKind;
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::Output;

#[derive(Serialize)]
struct Report<'a> {
    file: &'a std::path::Path,
    valid: bool,
    cameras: usize,
    problems: &'a [ConfigProblem],
}

pub fn run(global: &Global, output: Output) -> Result<(), Failure> {
    let file = global.config.as_path();
    let text = Config::read_text(file)?;
    let parsed = Config::parse(&text, Some(file));
    let (cameras, problems, valid) = match &parsed {
        Ok(config) => (config.cameras.len(), config.warnings.as_slice(), true),
        Err(errors) => (0, errors.problems(), false),
    };
    if output.json() {
        output.json_line(&Report {
            file,
            valid,
            cameras,
            problems,
        })?;
    } else {
        let mut err = std::io::stderr().lock();
        for problem in problems {
            writeln!(err, "{problem}\n")?;
        }
    }
    match parsed {
        Ok(_) if output.json() => Ok(()),
        Ok(_) => {
            let s = if cameras == 1 { "" } else { "s" };
            output.text(&format!("{} is valid: {cameras} camera{s}", file.display()))?;
            if cameras == 0 {
                output.note("nothing is recorded without a camera: add one as a [[cameras]] section");
            }
            Ok(())
        }
        Err(errors) => {
            output.note(&errors.summary());
            Err(Failure::Told(ErrorKind::Config))
        }
    }
}
