//! Sections with rules of their own.

use std::time::Duration;

use super::super::*;
use super::{FULL, mistakes, parse};
use crate::ids::CameraId;
use crate::secret::Secret;

#[test]
fn jobs() {
    let c = parse(FULL).unwrap().jobs;
    assert_eq!(c.exports.as_deref(), Some(Path::new("/etc/nvr/exports")));
    assert_eq!(
        c.verify_window.to_string(),
        "02:00-06:00,22:00-23:00 Europe/Berlin"
    );
    assert_eq!(
        (c.max_attempts.get(), c.max_backlog_bytes, c.max_load_percent),
        (7, 1 << 20, 150)
    );
    let wrong = mistakes(
        "[recorder]\nroot = \"/srv/nvr\"\n[jobs]\nmax_running = 0\nexports = \"\"\nverify_window = \"2-6\"\nretry_ceiling = \"2d\"\n",
    );
    assert_eq!(
        wrong,
        [
            "4:15 jobs.max_running: `max_running`: 0 is out of bounds",
            "5:11 jobs.exports: the path is empty or unusable",
            "6:17 jobs.verify_window: `verify_window`: \"2-6\" is not a list of windows",
            "7:17 jobs.retry_ceiling: `retry_ceiling`: 2d is out of bounds",
        ]
    );
    // At any time unless it is said otherwise.
    assert!(
        parse("[recorder]\nroot = \"/srv/nvr\"\n")
            .unwrap()
            .jobs
            .verify_window
            .is_always()
    );
}

#[test]
fn upload_targets_arrive() {
    let c = parse(FULL).unwrap();
    let offsite = &c.uploads[0];
    assert_eq!(
        offsite.place.to_string(),
        "s3://footage/cctv/home at https://minio.lan:9000"
    );
    let UploadPlace::S3(s3) = &offsite.place else {
        panic!("{offsite:?}");
    };
    assert_eq!((s3.bucket.as_str(), s3.prefix.as_str()), ("footage", "cctv/home"));
    assert_eq!(
        (s3.region.as_str(), s3.secret_key.expose()),
        ("eu-central-1", "hunter2")
    );
    assert_eq!(s3.ca.as_deref(), Some(Path::new("/etc/nvr/ca.pem")));
    assert_eq!(s3.checksum, UploadChecksum::Crc64nvme);
    assert_eq!(s3.encryption, UploadEncryption::Kms);
    assert_eq!((offsite.what, offsite.cameras.len()), (UploadWhat::Kept, 2));
    assert_eq!(offsite.windows.to_string(), "22:00-06:00 Europe/Berlin");
    assert_eq!(
        (offsite.bandwidth_bytes_per_s, offsite.part_bytes),
        (2_000_000, 8 << 20)
    );
    assert_eq!(
        (offsite.max_concurrent, offsite.newest_first, offsite.required),
        (2, true, false)
    );
    assert_eq!(offsite.local_retention, Some(Duration::from_secs(7 * 86_400)));
    let nas = UploadConfig::new("nas", UploadPlace::Folder("/etc/nvr/../nas".into()));
    assert_eq!(c.uploads[1], nas);
    assert!(!format!("{c:?}").contains("hunter2"));
}

#[test]
fn targets_of_other_kinds_arrive() {
    let with = |lines: &str| {
        let text = format!("[recorder]\nroot = \"/r\"\n[[upload]]\nname = \"a\"\n{lines}\n");
        parse(&text).unwrap().uploads.remove(0).place
    };
    let azure = with(
        "url = \"azure://box/home\"\naccess_key = \"account\"\nsecret_key = \"AAAA\"\nendpoint = \"https://az.lan\"",
    );
    assert_eq!(azure.to_string(), "azure://box/home at https://az.lan");
    assert!(
        matches!(&azure, UploadPlace::Azure(a) if a.account == "account" && a.access == AzureAccess::AccountKey(Secret::new("AAAA")))
    );
    let token = "sv=2022-11-02&sr=c&sp=rcw&sig=hunter2%3D";
    let azure = with(&format!(
        "url = \"azure://box\"\naccess_key = \"account\"\nsecret_key = \"?{token}\""
    ));
    assert!(matches!(&azure, UploadPlace::Azure(a) if a.access == AzureAccess::Sas(Secret::new(token))));
    assert!(!format!("{azure:?}").contains("hunter2"));
    let google = with(
        "url = \"gs://bucket\"\nsecret_key = '{\"client_email\":\"e\",\"private_key\":\"hunter2\",\"private_key_id\":\"1\"}'",
    );
    assert_eq!(google.to_string(), "gs://bucket");
    assert!(!format!("{google:?}").contains("hunter2"));
    let dav = with("url = \"https://nas.lan/dav/\"\naccess_key = \"nvr\"\nsecret_key = \"hunter2\"");
    assert_eq!(dav.to_string(), "https://nas.lan/dav");
    assert!(
        matches!(&dav, UploadPlace::WebDav(d) if d.login.as_ref().is_some_and(|(user, _)| user == "nvr"))
    );
    assert!(!format!("{dav:?}").contains("hunter2"));
}

#[test]
fn mistakes_of_upload_targets_are_told() {
    let with = |lines: &str| {
        mistakes(&format!(
            "[recorder]\nroot = \"/r\"\n[[upload]]\nname = \"a\"\n{lines}\n"
        ))
    };
    let keys = "access_key = \"k\"\nsecret_key = \"s\"";
    for (lines, told) in [
        ("", "`url` is missing".to_owned()),
        ("url = \"ftp://x\"", "is not a place for uploads".into()),
        ("url = \"s3://X\"", "does not name a bucket".into()),
        ("url = \"s3://bucket\"", "`access_key` is missing".into()),
        (
            "url = \"/nas\"\nendpoint = \"https://x\"",
            "`endpoint` does not go with a folder".into(),
        ),
        (
            "url = \"/nas\"\nencryption = \"aes256\"",
            "`encryption` does not go with a folder".into(),
        ),
        (
            "url = \"https://nas/dav\"\nencryption = \"aes256\"",
            "`encryption` does not go with WebDAV".into(),
        ),
        (
            "url = \"https://nas/dav\"\npart_size = \"8MiB\"",
            "`part_size` does not go with WebDAV".into(),
        ),
        (
            "url = \"http://nas/dav\"",
            "`url`: it is reached without TLS".into(),
        ),
        (
            "url = \"https://nvr:hunter2@nas/dav\"",
            "not the address of a service".into(),
        ),
        (
            "url = \"https://nas/dav\"\naccess_key = \"nvr\"",
            "`access_key` and `secret_key` go together".into(),
        ),
        ("url = \"azure://box\"", "`secret_key` is missing".into()),
        ("url = \"azure://a.box\"", "does not name a container".into()),
        (
            "url = \"azure://box\"\naccess_key = \"account\"\nsecret_key = \"hunter2\"",
            "neither the key of a storage account".into(),
        ),
        (
            "url = \"azure://box\"\naccess_key = \"account\"\nsecret_key = \"sr=b&sp=rcw&sig=A\"",
            "not one for a container".into(),
        ),
        (
            "url = \"azure://box\"\naccess_key = \"account\"\nsecret_key = \"ss=fq&srt=o&sp=rcw&sig=A\"",
            "not one for blobs".into(),
        ),
        (
            "url = \"azure://box\"\naccess_key = \"account\"\nsecret_key = \"ss=b&srt=sc&sp=rcw&sig=A\"",
            "not one for objects".into(),
        ),
        (
            "url = \"azure://box\"\naccess_key = \"account\"\nsecret_key = \"sr=c&sp=rl&sig=A\"",
            "does not allow to read and to write".into(),
        ),
        (
            "url = \"azure://box\"\naccess_key = \"an account\"\nsecret_key = \"AAAA\"",
            "not the name of a storage account".into(),
        ),
        (
            "url = \"azure://box\"\naccess_key = \"account\"\nsecret_key = \"AAAA\"\nchecksum = \"crc64nvme\"",
            "`checksum` does not go with Azure".into(),
        ),
        ("url = \"gs://bucket\"", "`secret_key` is missing".into()),
        (
            "url = \"gs://bucket\"\nsecret_key = \"hunter2\"",
            "not the key file of a service account".into(),
        ),
        (
            &format!("url = \"gs://bucket\"\n{keys}"),
            "`access_key` does not go with Google Cloud Storage".into(),
        ),
        (
            "url = \"/nas\"\nkey = \"{camera}\"",
            "two segments would get one name".into(),
        ),
        (
            "url = \"/nas\"\nwindows = \"25:00\"",
            "is not a list of windows".into(),
        ),
        ("url = \"/nas\"\ncameras = \"A B\"", "not usable as ids".into()),
        ("url = \"/nas\"\npart_size = \"1MiB\"", "out of bounds".into()),
        (
            &format!("url = \"s3://bucket\"\n{keys}\nendpoint = \"http://10.0.0.9\""),
            "reached without TLS".into(),
        ),
        (
            &format!("url = \"s3://bucket\"\n{keys}\nendpoint = \"minio\""),
            "not the address of a service".into(),
        ),
        (
            &format!("url = \"s3://bucket\"\n{keys}\nencryption = \"kms\""),
            "needs a key".into(),
        ),
        (
            &format!("url = \"s3://bucket\"\n{keys}\nencryption = \"customer\"\nencryption_key = \"x\""),
            "not Base64 of 32 bytes".into(),
        ),
    ] {
        let all = with(lines);
        assert!(all.iter().any(|m| m.contains(&told)), "{lines}: {all:?}");
        assert!(!all.iter().any(|m| m.contains("hunter2")), "{all:?}");
    }
    let twice = mistakes(
        "[recorder]\nroot = \"/r\"\n[[upload]]\nname=\"a\"\nurl=\"/x\"\n[[upload]]\nname=\"a\"\nurl=\"/y\"\n",
    );
    assert!(twice[0].contains("two upload targets"), "{twice:?}");
}

#[test]
fn mistakes_of_retention_are_told() {
    let text = r#"
[recorder]
root = "/srv/nvr"
[retention]
max_age = "5s"
max_bytes = "1kB"
min_free = "1%"
critical_free = "95%"
[[cameras]]
id = "a"
source = "test:"
max_age = "never"
priority = 11
"#;
    let found = mistakes(text).join("\n");
    for part in [
        "retention.max_age: `max_age`: 5s is out of bounds",
        "retention.max_bytes: `max_bytes`",
        "retention.critical_free: `critical_free`: \"95%\" is not room on a disk",
        "cameras[0].max_age: `max_age`: \"never\" is not an age",
        "cameras[0].priority: `priority`: 11 is out of bounds",
    ] {
        assert!(found.contains(part), "{part} is not in\n{found}");
    }
    let larger = "[recorder]\nroot = \"/r\"\n[retention]\nmin_free = \"1%\"\ncritical_free = \"2%\"";
    assert!(mistakes(larger).join("").contains("larger than `min_free`"));
    // Switched off is switched off.
    let off = parse("[recorder]\nroot = \"/r\"\n[retention]\nmin_free = 0").unwrap();
    assert_eq!(off.retention, RetentionConfig::off());
}

#[test]
fn transcoding_is_read_and_checked() {
    let c = parse(FULL).unwrap().transcode;
    assert!(c.enabled);
    assert_eq!(
        c.cameras.iter().map(CameraId::as_str).collect::<Vec<_>>(),
        ["front", "yard"]
    );
    assert_eq!(
        (c.after, c.min_bytes, c.quality),
        (Duration::from_secs(172_800), 2 << 20, 24)
    );
    assert_eq!(c.encoders, ["vah265enc", "x265enc"]);
    assert_eq!(
        (c.preset.as_deref(), c.threads, c.max_running),
        (Some("fast"), 2, 2)
    );
    assert_eq!(
        (c.priority.nice, c.priority.io),
        (10, crate::priority::IoClass::BestEffort)
    );
    assert_eq!((c.min_ssim, c.min_psnr_db, c.compare_every), (0.97, 35, 10));
    assert_eq!(
        (c.smaller_by_percent, c.keep_original),
        (20, Duration::from_secs(86_400))
    );
    assert!(!c.window.is_always());
    let defaults = parse("[recorder]\nroot = \"/r\"\n").unwrap().transcode;
    assert_eq!(defaults, crate::config::TranscodeConfig::default());
    for bad in [
        "min_ssim = 1.1",
        "min_ssim = \"0.95\"",
        "quality = 52",
        "encoders = \"h265\"",
        "cameras = \"A B\"",
        "window = \"25:00-26:00\"",
        "preset = \"fast; rm\"",
        "io = \"realtime\"",
    ] {
        let text = format!("[recorder]\nroot = \"/r\"\n[transcode]\n{bad}\n");
        assert!(parse(&text).is_err(), "{bad}");
    }
}

#[test]
fn a_second_root_lies_elsewhere() {
    for (tier, why) in [
        ("root = \"/r/old\"", "one in the other"),
        ("root = \"/\"", "one in the other"),
        ("root = \"\"", "unusable"),
        ("after = \"1d\"", "root"),
        ("root = \"/a/b\"\nroot_mount = \"/c\"", "mount point"),
        ("root = \"/a\"\nmin_free = \"99%\"", "min_free"),
    ] {
        let text = format!("[recorder]\nroot = \"/r\"\n[tier]\n{tier}\n");
        let wrong = parse(&text).unwrap_err().to_string();
        assert!(wrong.contains(why), "{tier}: {wrong}");
    }
    assert_eq!(parse("[recorder]\nroot = \"/r\"\n").unwrap().tier, None);
}

#[test]
fn who_may_ask() {
    let http = |keys: &str| parse(&format!("[recorder]\nroot = \"r\"\n[http]\n{keys}")).map(|c| c.http);
    let c = http("").unwrap();
    assert_eq!(
        (c.auth, c.tls.is_some(), c.base_path.as_str()),
        (Auth::Accounts, false, "")
    );
    let c = http(
        "auth = \"none\"\ntls_cert = \"a.pem\"\ntls_key = \"b.pem\"\ntrusted_proxies = \"127.0.0.1, 10.0.0.0/8, ::1\"\n\
         base_path = \"/nvr/\"\ncors_origins = \"https://panel.example.org, http://[::1]:81/\"\nmetrics_open = true\n\
         audit_keep = \"30d\"",
    )
    .unwrap();
    assert_eq!(
        (c.auth, c.base_path.as_str(), c.metrics_open),
        (Auth::None, "/nvr", true)
    );
    assert_eq!(c.cors_origins, ["https://panel.example.org", "http://[::1]:81"]);
    assert_eq!(c.trusted_proxies.len(), 3);
    assert!(c.tls.is_some());
    assert_eq!(c.audit_keep, Duration::from_secs(30 * 86_400));
    assert_eq!(c.compat, [Compat::Mediamtx, Compat::Frigate]);
    let c = http("compat = \"sessions, flask\"").unwrap();
    assert_eq!(c.compat, [Compat::Sessions, Compat::Flask]);
    assert!(http("compat = \"\"").unwrap().compat.is_empty());
    for (keys, wanted) in [
        (
            "listen = \"0.0.0.0:80\"\nauth = \"none\"",
            "5:8 http.auth: `auth`: \"none\" is for loopback addresses only, and `listen` is 0.0.0.0:80",
        ),
        (
            "auth = \"no\"",
            "4:8 http.auth: `auth`: \"no\" is not one of accounts, none",
        ),
        (
            "tls_cert = \"a\"",
            "4:12 http.tls_cert: TLS needs both `tls_cert` and `tls_key`",
        ),
        (
            "trusted_proxies = \"10.0.0.0/33\"",
            "4:19 http.trusted_proxies: `trusted_proxies`: an item of \"10.0.0.0/33\" cannot be read",
        ),
        (
            "cors_origins = \"https://a/b\"",
            "4:16 http.cors_origins: `cors_origins`: an item of \"https://a/b\" cannot be read",
        ),
        (
            "base_path = \"/a/../b\"",
            "4:13 http.base_path: `base_path`: \"/a/../b\" is not usable",
        ),
        (
            "compat = \"frigate, zoneminder\"",
            "4:10 http.compat: `compat`: an item of \"frigate, zoneminder\" cannot be read",
        ),
    ] {
        assert_eq!(
            mistakes(&format!("[recorder]\nroot = \"r\"\n[http]\n{keys}")),
            [wanted]
        );
    }
}

const OBJECTS: &str = "[recorder]\nroot = \"/srv/nvr\"\n[[cameras]]\nid = \"a\"\nsource = \"rtsp://host/\"\nmotion = true\n[objects]\n";

#[cfg(not(feature = "onnx"))]
#[test]
fn looking_for_objects_that_was_not_built_in_is_refused() {
    let said = mistakes(&format!("{OBJECTS}model = \"a.onnx\""));
    assert_eq!(
        said,
        ["8:9 objects.model: this recorder was built without object detection"]
    );
    // What is off does not need it.
    let off = parse(&format!("{OBJECTS}model = \"a.onnx\"\nenabled = false")).unwrap();
    assert!(!off.objects.unwrap().enabled);
}

#[cfg(feature = "onnx")]
#[test]
fn looking_for_objects_needs_a_model_and_motion() {
    assert_eq!(parse(OBJECTS).unwrap().objects, None);
    let text = format!("{OBJECTS}model = \"a.onnx\"\nclasses = \" person,, delivery van \"");
    let c = parse(&text).unwrap();
    assert_eq!(c.warnings, []);
    let objects = c.objects.unwrap();
    assert_eq!(objects.model, Path::new("/etc/nvr/a.onnx"));
    assert_eq!(objects.classes, ["person", "delivery van"]);
    assert_eq!(
        (objects.threshold, objects.size, objects.standing),
        (0.5, None, false)
    );
    let without = parse(&text.replace("motion = true", "motion = false")).unwrap();
    assert_eq!(without.warnings.len(), 1);
    let saying_no = parse(&text.replace("motion = true", "motion = true\nobjects = false")).unwrap();
    assert_eq!(saying_no.warnings.len(), 1);
}

#[test]
fn what_makes_no_sense_about_objects_is_refused() {
    for (keys, wanted) in [
        ("model = \"\"", "8:9 objects.model: the path is empty or unusable"),
        (
            "classes = \" , \"",
            "8:11 objects.classes: not usable as names of classes",
        ),
    ] {
        assert_eq!(mistakes(&format!("{OBJECTS}{keys}")), [wanted]);
    }
    for keys in ["threshold = 0.01", "size = 16", "size = 4096", "layout = \"v1\""] {
        assert_eq!(mistakes(&format!("{OBJECTS}{keys}")).len(), 1, "{keys}");
    }
}

const RTSP: &str = "[recorder]\nroot = \"/srv/nvr\"\n[rtsp_server]\nenabled = true\n";

#[cfg(not(feature = "rtsp-server"))]
#[test]
fn an_rtsp_server_that_was_not_built_in_is_refused() {
    let said = mistakes(RTSP);
    assert_eq!(
        said,
        ["4:11 rtsp_server.enabled: this recorder was built without the RTSP server"]
    );
}

#[cfg(feature = "rtsp-server")]
#[test]
fn the_rtsp_server_is_open_to_nobody_without_need() {
    let c = parse(RTSP).unwrap();
    assert_eq!(c.warnings, []);
    let server = c.rtsp_server;
    assert!(server.enabled && !server.tls && server.auth == Auth::Accounts);
    assert_eq!(server.listen, "127.0.0.1:8554".parse().unwrap());
    let c = parse(&format!("{RTSP}auth = \"none\"")).unwrap();
    assert_eq!(c.rtsp_server.auth, Auth::None);

    let far = format!("{RTSP}listen = \"0.0.0.0:8554\"\n");
    assert_eq!(parse(&far).unwrap().warnings.len(), 1);
    let said = mistakes(&format!("{far}auth = \"none\""));
    assert!(said[0].contains("loopback addresses only"), "{said:?}");
    let said = mistakes(&format!("{far}tls = true"));
    assert!(said[0].contains("no certificate"), "{said:?}");
    let with_tls = format!("{far}tls = true\n[http]\ntls_cert = \"c.pem\"\ntls_key = \"k.pem\"");
    assert_eq!(parse(&with_tls).unwrap().warnings, []);
    // One that is off may say what it likes.
    let off = far.replace("enabled = true", "enabled = false");
    assert_eq!(
        parse(&format!("{off}auth = \"none\"\ntls = true"))
            .unwrap()
            .warnings,
        []
    );
    let said = mistakes(&format!("{RTSP}max_clients = 0"));
    assert!(said[0].contains("max_clients"), "{said:?}");
}
