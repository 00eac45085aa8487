//! The simulators as programs, and the handling of processes itself.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use nvr_tests::proc::{Proc, Signal, binary};
use nvr_tests::wait::until_true;
use nvr_tests::{judge, ports};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn testcam_prints_its_urls_and_ends_when_told() {
    let mut cam = Proc::workspace("testcam", ["--port", "0", "--audio", "aac", "/one", "/two"]).unwrap();
    let url = cam.wait_for_line("/two", LIMIT).unwrap();
    assert_eq!(judge::streams(&url).unwrap().len(), 2);
    assert!(cam.status("VmRSS").unwrap() > 1000);
    cam.signal(Signal::Term).unwrap();
    assert!(!cam.wait_for_end(LIMIT).unwrap().success());
}

#[test]
fn testcam_obeys_standard_input() {
    let port = ports::free_port().unwrap();
    let url = format!("rtsp://127.0.0.1:{port}/cam");
    let mut child = Command::new(binary("testcam").unwrap())
        .args(["--port", &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let width = || judge::streams(&url).ok().map(|s| s[0]["width"].clone());
    until_true("the camera", LIMIT, || width().is_some_and(|w| w == 640)).unwrap();
    writeln!(input, "nonsense\ndie").unwrap();
    until_true("the death", LIMIT, || width().is_none()).unwrap();
    writeln!(input, "return size=320x240").unwrap();
    until_true("the return", LIMIT, || width().is_some_and(|w| w == 320)).unwrap();
    writeln!(input, "quit").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn replaycam_costs_next_to_nothing() {
    let port = ports::free_port().unwrap().to_string();
    let mut cam = Proc::workspace("replaycam", ["--port", &port]).unwrap();
    let url = cam.wait_for_line("rtsp://", Duration::from_secs(120)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    judge::record(&url, 2.0, &dir.path().join("copy.mkv")).unwrap();
    let before = cam.cpu_time().unwrap();
    judge::record(&url, 3.0, &dir.path().join("copy.mkv")).unwrap();
    let used = cam.cpu_time().unwrap() - before;
    // One camera takes about 2 ms of a second; this is the sign of a busy loop, not of a slow machine.
    assert!(
        used < Duration::from_secs(1),
        "{used:?} for three seconds of one camera"
    );
}

#[test]
fn processes_stand_still_go_on_and_die() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready; while :; do echo tick; sleep 0.05; done"]);
    let mut proc = Proc::spawn(command).unwrap();
    proc.wait_for_line("tick", LIMIT).unwrap();
    proc.signal(Signal::Stop).unwrap();
    let state = |proc: &Proc| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", proc.id())).unwrap();
        stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    };
    until_true("the process to stand still", LIMIT, || state(&proc) == 'T').unwrap();
    proc.signal(Signal::Cont).unwrap();
    let ticks = proc.log().len();
    until_true("more ticks", LIMIT, || proc.log().len() > ticks).unwrap();
    assert!(!proc.kill().unwrap().success());
    assert!(
        proc.wait_for_line("never printed", LIMIT)
            .unwrap_err()
            .to_string()
            .contains("tick")
    );
    assert!(binary("no-such-program").is_err());
}
