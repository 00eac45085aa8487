//! Uploads over TLS with a certificate of one's own, and what the service is told of encryption.

use std::path::PathBuf;
use std::time::Duration;

use nvr_core::ErrorKind;
use nvr_core::EventKind;
use nvr_core::config::{S3Place, UploadConfig, UploadEncryption, UploadPlace};
use nvr_core::event::CauseKind;
use nvr_core::secret::Secret;
use nvr_tests::plant::{assert_there, bytes, plant, until_done};
use nvr_tests::rig::Rig;
use nvr_tests::s3::{Request, S3};

/// Two parts.
const LARGE: usize = (6 << 20) + 77;
/// Base64 of 32 bytes, and of their MD5.
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const KEY_MD5: &str = "KYvwGXoFFJ42a2u2GDWhwQ==";

fn place(config: &mut UploadConfig) -> &mut S3Place {
    match &mut config.place {
        UploadPlace::S3(place) => place,
        _ => unreachable!("it is a bucket"),
    }
}

async fn rig_with(s3: &S3, change: impl FnOnce(&mut S3Place)) -> Rig {
    let mut rig = Rig::new().unwrap();
    let mut target = s3.target("s3");
    change(place(&mut target));
    rig.config.uploads.push(target);
    rig.config.jobs.retry_ceiling = Duration::from_secs(1);
    rig.start().await.unwrap();
    rig
}

/// A service that speaks TLS itself, with a certificate of an authority that only a file tells of.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_a_certificate_of_ones_own() {
    let s3 = S3::start_secure().await.unwrap();
    let mut rig = rig_with(&s3, |_| {}).await;
    let (small, large) = (bytes(1, 100_000), bytes(2, LARGE));
    let ids = [
        plant(&rig.config, rig.nvr().store(), 1, &small),
        plant(&rig.config, rig.nvr().store(), 2, &large),
    ];
    until_done(&rig, &ids).await;
    assert_there(&s3, 1, &small).await;
    assert_there(&s3, 2, &large).await;
    rig.stop().await;
}

/// Without that file it is not trusted, and not a byte of footage goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let s3 = S3::start_recorded().await.unwrap();
    let mut rig = rig_with(&s3, |place| place.ca = None).await;
    let id = plant(&rig.config, rig.nvr().store(), 1, &bytes(1, 100_000));
    let trouble = |k: &EventKind| matches!(k, EventKind::UploadTrouble { cause, .. } if cause.kind == CauseKind::Unreachable && cause.message.contains("certificate"));
    rig.wait_for("trouble", 1, trouble).await.unwrap();
    assert_eq!(s3.requests(), []);
    // The file is named: no start is needed.
    let mut config = rig.config.clone();
    place(&mut config.uploads[0]).ca = s3.ca();
    rig.nvr().reload(config.clone()).await.unwrap();
    until_done(&rig, &[id]).await;
    // One that holds no certificates is told as such.
    let wrong = rig.root().parent().unwrap().join("wrong.pem");
    std::fs::write(&wrong, "nothing of the kind").unwrap();
    place(&mut config.uploads[0]).ca = Some(PathBuf::from(&wrong));
    rig.nvr().reload(config).await.unwrap();
    let expires = Duration::from_secs(60);
    let e = rig
        .nvr()
        .uploads()
        .presign(id, Some("s3"), expires)
        .await
        .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Config, "{e}");
    assert!(e.to_string().contains("certificates"), "{e}");
    rig.stop().await;
}

/// Uploads one in one piece and one in parts, reads both, and hands back what was asked.
async fn recorded(s3: &S3, encryption: UploadEncryption, key: &str) -> (Rig, Vec<Request>) {
    let rig = rig_with(s3, |place| {
        place.encryption = encryption;
        place.encryption_key = Secret::new(key);
    })
    .await;
    let contents = [bytes(1, 100_000), bytes(2, LARGE)];
    let ids: Vec<_> = (1..)
        .zip(&contents)
        .map(|(n, content)| plant(&rig.config, rig.nvr().store(), n, content))
        .collect();
    until_done(&rig, &ids).await;
    for (id, content) in ids.iter().zip(&contents) {
        // Only the copy is left.
        let row = rig.nvr().store().segment(*id).unwrap().unwrap();
        std::fs::remove_file(rig.root().join(&row.path)).unwrap();
        let missing = nvr_core::store::SegmentState::Missing;
        rig.nvr().store().set_segment_state(*id, missing).await.unwrap();
        let (_, stored, len) = rig.nvr().open_segment(*id).await.unwrap();
        assert_eq!(len, content.len() as u64);
        let mut piece = vec![0; 1000];
        let read = tokio::task::spawn_blocking(move || stored.read_at(500, &mut piece).map(|n| (n, piece)));
        let (n, piece) = read.await.unwrap().unwrap();
        assert!(n > 0 && piece[..n] == content[500..500 + n]);
    }
    let requests = s3.requests();
    assert!(
        requests.iter().all(|r| r.status < 400 || r.status == 404),
        "{requests:#?}"
    );
    (rig, requests)
}

/// Requests for objects: those that begin one, those that send a part, all others of one.
fn sorted(requests: &[Request]) -> [Vec<&Request>; 3] {
    let of = |r: &&Request| r.path.starts_with("/footage/cctv/");
    let begins = |r: &Request| {
        (r.method == "POST" && r.path.contains("?uploads"))
            || (r.method == "PUT" && !r.path.contains("partNumber"))
    };
    let is_part = |r: &Request| r.path.contains("partNumber=");
    let all: Vec<&Request> = requests.iter().filter(of).collect();
    let found = [
        all.iter().copied().filter(|r| begins(r)).collect::<Vec<_>>(),
        all.iter().copied().filter(|r| is_part(r)).collect(),
        all.iter()
            .copied()
            .filter(|r| !begins(r) && !is_part(r))
            .collect(),
    ];
    assert_eq!((found[0].len(), found[1].len()), (2, 2), "{requests:#?}");
    assert!(found[2].iter().any(|r| r.method == "GET") && found[2].iter().any(|r| r.method == "HEAD"));
    found
}

const WITH: &str = "x-amz-server-side-encryption";
const KMS_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const CUSTOMER: [(&str, &str); 3] = [
    ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
    ("x-amz-server-side-encryption-customer-key", KEY),
    ("x-amz-server-side-encryption-customer-key-md5", KEY_MD5),
];

#[tokio::test(flavor = "multi_thread")]
async fn encryption_by_the_service_is_asked_for() {
    for (encryption, key, word) in [
        (UploadEncryption::Aes256, "", "AES256"),
        (UploadEncryption::Kms, "arn:aws:kms:eu-west-1:1:key/7", "aws:kms"),
    ] {
        let s3 = S3::start_recorded().await.unwrap();
        let (mut rig, requests) = recorded(&s3, encryption, key).await;
        let [begins, parts, others] = sorted(&requests);
        for request in begins {
            assert_eq!(request.header(WITH), Some(word), "{request:#?}");
            assert_eq!(request.header(KMS_ID).unwrap_or_default(), key, "{request:#?}");
        }
        // Services refuse it where nothing is made.
        for request in parts.iter().chain(&others) {
            assert_eq!(
                (request.header(WITH), request.header(KMS_ID)),
                (None, None),
                "{request:#?}"
            );
        }
        let id = rig.rows().await.unwrap()[0].id;
        let expires = Duration::from_secs(60);
        let address = rig.nvr().uploads().presign(id, None, expires).await.unwrap();
        assert!(address.starts_with("https://"), "{address}");
        rig.stop().await;
    }
}

/// The service forgets the key, so each request that touches an object brings it; and nobody gets a link.
#[tokio::test(flavor = "multi_thread")]
async fn encryption_with_our_key_brings_it_each_time_and_gives_no_links() {
    let s3 = S3::start_recorded().await.unwrap();
    let (mut rig, requests) = recorded(&s3, UploadEncryption::Customer, KEY).await;
    let [begins, parts, others] = sorted(&requests);
    for request in begins.iter().chain(&parts) {
        for (name, value) in CUSTOMER {
            assert_eq!(request.header(name), Some(value), "{request:#?}");
        }
        assert_eq!(request.header(WITH), None, "{request:#?}");
    }
    for request in others
        .iter()
        .filter(|r| matches!(r.method.as_str(), "GET" | "HEAD"))
    {
        for (name, value) in CUSTOMER {
            assert_eq!(request.header(name), Some(value), "{request:#?}");
        }
    }
    let id = rig.rows().await.unwrap()[0].id;
    let expires = Duration::from_secs(60);
    let e = rig.nvr().uploads().presign(id, None, expires).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    assert!(e.to_string().contains("key"), "{e}");
    assert!(e.hint().is_some_and(|h| h.contains("customer")), "{e:?}");
    rig.stop().await;
}
