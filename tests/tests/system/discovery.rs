//! Cameras are found on networks of their own: `nvr detect` on one machine, simulated cameras on others, WS-Discovery by
//! multicast between them.

use std::process::Stdio;

use nvr_tests::net::Machine;
use nvr_tests::proc::{Proc, binary};
use nvr_tests::rig::LIMIT;
use serde_json::Value;

/// The camera on a machine; ends when dropped.
fn camera(machine: &Machine, address: &str) -> Proc {
    let mut command = machine.command(binary("onvifcam").unwrap());
    command.args(["--discoverable", "--listen", address, "--port", "8000"]);
    let mut cam = Proc::spawn(command).unwrap();
    cam.wait_for_line(&format!("http://{address}:8000/"), LIMIT)
        .unwrap();
    cam
}

/// What `nvr detect` finds there.
fn found(machine: &Machine) -> Value {
    let mut command = machine.command(binary("nvr").unwrap());
    command.args(["--json", "detect", "--no-codecs", "--wait", "2"]);
    let out = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Name, address of the service and origin of the answer of each camera.
fn cameras(found: &Value) -> Vec<[&str; 3]> {
    let devices = found["network"].as_array().unwrap();
    devices
        .iter()
        .map(|d| {
            assert_eq!(d["addresses"].as_array().unwrap().len(), 1, "{d}");
            [
                d["name"].as_str().unwrap(),
                d["addresses"][0].as_str().unwrap(),
                d["from"].as_str().unwrap(),
            ]
        })
        .collect()
}

#[test]
fn cameras_on_each_network_of_the_recorder_are_found() {
    let Some(recorder) = Machine::new() else { return };
    let [one, two] = [(); 2].map(|()| Machine::new().unwrap());
    recorder.join(&one, "10.77.1");
    let first = [
        "Simulated 10.77.1.2:8000",
        "http://10.77.1.2:8000/onvif/device_service",
        "10.77.1.2",
    ];
    let second = [
        "Simulated 10.77.2.2:8000",
        "http://10.77.2.2:8000/onvif/device_service",
        "10.77.2.2",
    ];

    let nobody = found(&recorder);
    assert_eq!(cameras(&nobody), [[""; 3]; 0]);
    assert_eq!(nobody["problems"], serde_json::json!([]));
    let _front = camera(&one, "10.77.1.2");
    assert_eq!(cameras(&found(&recorder)), [first]);

    recorder.join(&two, "10.77.2");
    let back = camera(&two, "10.77.2.2");
    assert_eq!(cameras(&found(&recorder)), [first, second]);
    // Networks are not joined by the recorder: who looks from one of them sees nothing of the other.
    assert_eq!(cameras(&found(&one)), [first]);

    drop(back);
    assert_eq!(cameras(&found(&recorder)), [first]);
}
