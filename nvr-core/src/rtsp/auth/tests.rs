use super::*;
use crate::secret::Secret;

fn login(user: &str, password: &str) -> Authenticator {
    let credentials = Credentials {
        user: user.into(),
        password: Secret::new(password),
    };
    Authenticator::new(Some(credentials), 1)
}

fn ask(a: &mut Authenticator, headers: &[&str], answered: bool) -> Result<(), RtspError> {
    a.challenge(headers.iter().copied(), answered)
}

fn field<'a>(answer: &'a str, key: &str) -> &'a str {
    let at = answer
        .find(&format!("{key}="))
        .unwrap_or_else(|| panic!("{key} in {answer}"));
    answer[at + key.len() + 1..]
        .split(", ")
        .next()
        .unwrap()
        .trim_matches('"')
}

#[test]
fn the_examples_of_the_rfcs() {
    // RFC 2069 with the erratum's hash is the form without qop; this is RFC 2617's with it left out.
    let mut a = login("Mufasa", "Circle Of Life");
    ask(&mut a, &[r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#], false).unwrap();
    let answer = a.answer("GET", "/dir/index.html").unwrap();
    assert_eq!(field(&answer, "response"), "670fd8c2df070c60b045671b8b24ff02");
    assert_eq!(field(&answer, "opaque"), "5ccc069c403ebaf9f0171e9517f40e41");
    assert!(!answer.contains("qop") && !answer.contains("algorithm"));
    let mut a = login("Aladdin", "open sesame");
    ask(&mut a, &["Basic realm=\"x\""], false).unwrap();
    assert_eq!(
        a.answer("OPTIONS", "*").unwrap(),
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    );
    for (text, want) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(base64(text.as_bytes()), want);
    }
}

/// What a server computes from the fields of the answer (RFC 7616, 3.4.1).
fn check(answer: &str, hash: Hash, session: bool, realm: &str, method: &str) {
    let mut ha1 = hash.hex(&format!("admin:{realm}:pass"));
    let nonce = field(answer, "nonce");
    if session {
        ha1 = hash.hex(&format!("{ha1}:{nonce}:{}", field(answer, "cnonce")));
    }
    let ha2 = hash.hex(&format!("{method}:{}", field(answer, "uri")));
    let text = if answer.contains("qop=auth") {
        format!(
            "{ha1}:{nonce}:{}:{}:auth:{ha2}",
            field(answer, "nc"),
            field(answer, "cnonce")
        )
    } else {
        format!("{ha1}:{nonce}:{ha2}")
    };
    assert_eq!(field(answer, "response"), hash.hex(&text), "{answer}");
}

#[test]
fn all_forms_of_digest() {
    let cases = [
        (
            r#"Digest realm="r", nonce="n", qop="auth", algorithm=MD5"#,
            Hash::Md5,
            false,
        ),
        (
            r#"Digest realm="r", nonce="n", algorithm="MD5-sess", qop="auth,auth-int""#,
            Hash::Md5,
            true,
        ),
        (
            r#"digest REALM="r",NONCE="n",qop="auth",algorithm=SHA-256,stale=FALSE"#,
            Hash::Sha256,
            false,
        ),
        (
            r#"Digest realm=r, nonce=n, qop=auth, algorithm=SHA-256-sess"#,
            Hash::Sha256,
            true,
        ),
        (
            r#"Digest realm="r", nonce="n", stale="FALSE", qop="""#,
            Hash::Md5,
            false,
        ),
        (r#"Digest  nonce = "n" , realm = "r""#, Hash::Md5, false),
    ];
    for (header, hash, session) in cases {
        let mut a = login("admin", "pass");
        ask(&mut a, &[header], false).unwrap();
        for n in 1..4 {
            let answer = a.answer("DESCRIBE", "rtsp://h/s?a=1&b=2").unwrap();
            check(&answer, hash, session, "r", "DESCRIBE");
            if answer.contains("qop") {
                assert_eq!(field(&answer, "nc"), format!("{n:08x}"));
            }
        }
    }
}

#[test]
fn the_best_of_several_is_taken() {
    let md5 = r#"Digest realm="Login to 4A", qop="auth", nonce="1", opaque="o""#;
    let sha = r#"Digest realm="Login to 4A", qop="auth", nonce="2", opaque="o", algorithm=SHA-256"#;
    for headers in [
        vec![md5, sha, "Basic realm=\"x\""],
        vec!["Basic realm=\"x\"", sha, md5],
    ] {
        let mut a = login("admin", "pass");
        ask(&mut a, &headers, false).unwrap();
        let answer = a.answer("SETUP", "u").unwrap();
        check(&answer, Hash::Sha256, false, "Login to 4A", "SETUP");
        // It does not take that: the other hash is tried, but not Basic.
        ask(&mut a, &headers, true).unwrap();
        check(
            &a.answer("SETUP", "u").unwrap(),
            Hash::Md5,
            false,
            "Login to 4A",
            "SETUP",
        );
        let e = ask(&mut a, &headers, true).unwrap_err();
        assert_eq!(e.kind, RtspErrorKind::Unauthorized);
    }
    // Two in one header.
    let mut a = login("admin", "pass");
    let both = r#"Basic realm="IP Camera(1)", Digest realm="IP Camera(1)", nonce="n", stale="FALSE""#;
    ask(&mut a, &[both], false).unwrap();
    check(
        &a.answer("PLAY", "u").unwrap(),
        Hash::Md5,
        false,
        "IP Camera(1)",
        "PLAY",
    );
}

#[test]
fn odd_quoting() {
    let mut a = login("admin", "pass");
    ask(&mut a, &[r#"Digest realm="My "best" cam", nonce="n""#], false).unwrap();
    let answer = a.answer("PLAY", "u").unwrap();
    assert!(answer.contains(r#"realm="My "best" cam", nonce="n""#), "{answer}");
    let mut a = login("ad\"min", "pass");
    ask(&mut a, &[r#"Digest realm="a\"b", nonce="n"#], false).unwrap();
    let answer = a.answer("PLAY", "u").unwrap();
    assert!(answer.contains(r#"username="ad\"min", realm="a\"b""#), "{answer}");
    let ha1 = Hash::Md5.hex("ad\"min:a\"b:pass");
    assert_eq!(
        field(&answer, "response"),
        Hash::Md5.hex(&format!("{ha1}:n:{}", Hash::Md5.hex("PLAY:u")))
    );
}

#[test]
fn stale_nonces_and_wrong_passwords() {
    let mut a = login("admin", "pass");
    ask(&mut a, &[r#"Digest realm="r", nonce="1""#], false).unwrap();
    a.answer("PLAY", "u").unwrap();
    ask(&mut a, &[r#"Digest realm="r", nonce="2", stale=true"#], true).unwrap();
    assert_eq!(field(&a.answer("PLAY", "u").unwrap(), "nonce"), "2");
    // A server that calls every nonce stale.
    let mut tries = 0;
    while ask(
        &mut a,
        &[&format!(r#"Digest realm="r", nonce="x{tries}", stale=true"#)],
        true,
    )
    .is_ok()
    {
        a.answer("PLAY", "u").unwrap();
        tries += 1;
        assert!(tries < 10);
    }
    // A new nonce without "stale", after the old one served: a session that runs on.
    let mut a = login("admin", "pass");
    ask(&mut a, &[r#"Digest realm="r", nonce="1""#], false).unwrap();
    a.answer("PLAY", "u").unwrap();
    a.accepted();
    a.answer("GET_PARAMETER", "u").unwrap();
    ask(&mut a, &[r#"Digest realm="r", nonce="2""#], true).unwrap();
    // And at the first answer: a wrong password.
    let mut a = login("admin", "pass");
    ask(&mut a, &[r#"Digest realm="r", nonce="1""#], false).unwrap();
    a.answer("PLAY", "u").unwrap();
    assert!(ask(&mut a, &[r#"Digest realm="r", nonce="2""#], true).is_err());
}

#[test]
fn what_cannot_be_met_is_told() {
    let mut nobody = Authenticator::new(None, 1);
    assert!(
        ask(&mut nobody, &["Basic realm=\"x\""], false)
            .unwrap_err()
            .message
            .contains("wants user")
    );
    let mut a = login("admin", "pass");
    let e = ask(
        &mut a,
        &[
            "NTLM",
            r#"Digest realm="r", nonce="n", algorithm=SHA-512"#,
            r#"Digest nonce="n", qop="auth-int""#,
        ],
        false,
    )
    .unwrap_err();
    assert!(e.message.contains("NTLM, Digest, Digest"), "{e}");
    assert!(ask(&mut a, &[], false).is_err());
    assert_eq!(a.answer("PLAY", "u"), None);
    assert!(!format!("{a:?}").contains("pass\""), "{a:?}");
}

proptest::proptest! {
    #[test]
    fn any_header(header in "\\PC{0,80}", tail in "[a-z=\", \\\\]{0,60}") {
        let mut a = login("admin", "pass");
        for h in [header.clone(), format!("Digest nonce=\"1\", {tail}"), format!("{header}{tail}")] {
            if ask(&mut a, &[&h], false).is_ok() {
                a.answer("PLAY", "u").unwrap();
            }
        }
    }
}
