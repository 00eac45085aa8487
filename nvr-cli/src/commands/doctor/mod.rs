//! `nvr doctor`: looks at all that recording depends on, and says what to do about what is wrong.

mod channels;
mod machine;
mod objects;
mod places;

use clap::Args;
use nvr_core::config::Config;
use nvr_core::error::{Error, ErrorKind};
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Failure;
use crate::logging;
use crate::output::Output;

#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Do not try encoders, which takes some seconds.
    #[arg(long)]
    no_codecs: bool,
    /// Do not write to the disks to measure them.
    #[arg(long)]
    no_write: bool,
}

/// How bad something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Recording works, but not all will, or not for long.
    Warn,
    /// Recording does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    pub verdict: Verdict,
    /// What was found.
    pub text: String,
    /// What to do.
    pub advice: Option<String>,
    /// For the exit code.
    #[serde(skip)]
    pub kind: ErrorKind,
}

impl Finding {
    pub fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Self {
            subject,
            verdict: Verdict::Ok,
            text: text.into(),
            advice: None,
            kind: ErrorKind::Internal,
        }
    }

    pub fn warn(subject: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warn,
            advice: Some(advice.into()),
            ..Self::ok(subject, text)
        }
    }

    pub fn fail(
        subject: &'static str,
        kind: ErrorKind,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Fail,
            kind,
            ..Self::warn(subject, text, advice)
        }
    }

    /// What an error says, with its own hint.
    pub fn of(subject: &'static str, e: &Error) -> Self {
        let advice = e.hint().map_or_else(
            || crate::exit::hint(e.kind()).to_owned(),
            std::borrow::ToOwned::to_owned,
        );
        Self::fail(subject, e.kind(), e.to_string(), advice)
    }
}

#[derive(Serialize)]
struct Report {
    /// The worst of all.
    verdict: Verdict,
    findings: Vec<Finding>,
}

pub async fn run(global: &Global, args: &DoctorArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let spinner = output.spinner("looking");
    let mut findings = Vec::new();
    let config = match Config::load_without_secrets(&global.config) {
        Ok(config) => {
            findings.push(configured(&config, global));
            Some(config)
        }
        Err(e) => {
            findings.push(Finding::of("configuration", &e));
            None
        }
    };
    findings.extend(machine::gstreamer(config.as_ref()).await);
    if !args.no_codecs {
        findings.push(machine::encoders(config.as_ref()).await);
    }
    findings.push(machine::clock(nvr_core::machine::clock_sync()));
    if let Some(config) = &config {
        let running = machine::ports(config, &mut findings).await;
        findings.push(places::settings(config));
        places::look(config, running, !args.no_write, &mut findings).await;
        findings.extend(machine::devices(config));
        for camera in &config.cameras {
            findings.extend(clock_of(camera).await);
        }
        channels::look(config, &mut findings).await;
        findings.extend(objects::look(config).await);
    }
    spinner.finish_and_clear();
    let report = Report {
        verdict: findings.iter().map(|f| f.verdict).max().unwrap_or(Verdict::Ok),
        findings,
    };
    output.result(&report, || text(&report))?;
    match report.findings.iter().find(|f| f.verdict == Verdict::Fail) {
        Some(worst) => Err(Failure::Told(worst.kind)),
        None => Ok(()),
    }
}

/// A camera's clock, where it is asked by ONVIF.
async fn clock_of(camera: &nvr_core::config::CameraConfig) -> Option<Finding> {
    let onvif = camera.onvif.as_ref().filter(|_| camera.enabled)?;
    let subject = "camera clock";
    Some(match super::onvif::clock_of(onvif).await {
        Ok((told, true)) => Finding::ok(subject, format!("{}: {told}", camera.id)),
        Ok((told, false)) => Finding::warn(
            subject,
            format!("{}: {told}", camera.id),
            format!(
                "`nvr onvif set-time {}`, or give the camera a time server",
                camera.id
            ),
        ),
        Err(e) => Finding::warn(
            subject,
            format!("{}: {e}", camera.id),
            e.hint()
                .unwrap_or("see whether the camera is on and its ONVIF is switched on")
                .to_owned(),
        ),
    })
}

fn configured(config: &Config, global: &Global) -> Finding {
    let file = global.config.display();
    let text = format!("{file}: {} cameras", config.cameras.len());
    match config.warnings.as_slice() {
        _ if config.cameras.is_empty() => {
            Finding::warn("configuration", text, "add one: `nvr detect`, `nvr camera add`")
        }
        [] => Finding::ok("configuration", text),
        [first, ..] => Finding::warn(
            "configuration",
            format!("{text}; line {}: {}", first.line, first.message),
            "`nvr validate` shows all of them",
        ),
    }
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        let word = match finding.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        };
        out += &format!("{word}  {}: {}\n", finding.subject, finding.text);
        if let Some(advice) = &finding.advice {
            out += &format!("      -> {advice}\n");
        }
    }
    let count = |verdict| report.findings.iter().filter(|f| f.verdict == verdict).count();
    out += &match (count(Verdict::Fail), count(Verdict::Warn)) {
        (0, 0) => "all is well".to_owned(),
        (fails, warns) => format!("{fails} to mend, {warns} to look at"),
    };
    out
}
