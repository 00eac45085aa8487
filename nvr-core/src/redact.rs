//! Takes secrets out of what is logged, whoever says it: addresses, headers, fields and XML. Pure.
//!
//! Texts of the project hold none ([`Secret`](crate::secret::Secret)); libraries and devices know no such type.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::secret::is_secret_parameter;

/// A text with `***` in place of what looks like a secret:
///
/// - `scheme://user:password@host`: the password;
/// - `?token=…`, `&passphrase=…` and their like in addresses, and the stream key of `rtmp://host/app/key`;
/// - the headers `Authorization`, `Proxy-Authorization`, `Cookie`, `Set-Cookie` and what keys are sent in;
/// - `Basic …`, `Bearer …` and the `response` of Digest, wherever they stand;
/// - fields: `password=…`, `user-pw=(string)…`, `"password":"…"`;
/// - elements of XML: `<wsse:Password Type="…">…</wsse:Password>`.
///
/// What cannot be told from other words stays: it is a net, not a proof.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let rules: &[(&Regex, Replace)] = &[
        (&KEYS_OF_STREAMS, |c| format!("{}***", &c[1])),
        (&USERS, |c| format!("{}:***@", &c[1])),
        (&PARAMETERS, parameter),
        (&HEADERS, header),
        (&DIGESTS, |c| format!("{}***", &c[1])),
        (&SCHEMES, |c| format!("{} ***", &c[1])),
        (&FIELDS, |c| format!("{}***", &c[1])),
        (&ELEMENTS, |c| format!("{}***", &c[1])),
    ];
    rules.iter().fold(Cow::Borrowed(text), |text, (rule, replace)| {
        let found = rule.is_match(&text);
        if found {
            Cow::Owned(rule.replace_all(&text, *replace).into_owned())
        } else {
            text
        }
    })
}

type Replace = fn(&Captures<'_>) -> String;

#[expect(clippy::expect_used, reason = "the patterns stand here, and a test uses each")]
fn rule(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern")
}

/// Behind the application, all names a stream (also where a log cuts it short).
static KEYS_OF_STREAMS: LazyLock<Regex> =
    LazyLock::new(|| rule(r#"(?i)(\brtmps?://[^\s/"'<>]+/[^\s/"'<>?]+/)[^\s"'<>)\\]+"#));

/// The last `@` before the path ends the password, which may hold others.
static USERS: LazyLock<Regex> = LazyLock::new(|| rule(r#"(://[^\s"'/?#<>:@]*):[^\s"'/?#<>]*@"#));

static PARAMETERS: LazyLock<Regex> = LazyLock::new(|| rule(r#"([?&])([\w.\-]+)=([^&\s"'<>#)\\]+)"#));

fn parameter(found: &Captures<'_>) -> String {
    let (mark, name) = (&found[1], &found[2]);
    if is_secret_parameter(name) || name.eq_ignore_ascii_case("streamid") {
        format!("{mark}{name}=***")
    } else {
        found[0].to_owned()
    }
}

/// What was blotted out before stays as it is, the quote behind it as well.
fn header(found: &Captures<'_>) -> String {
    let name = &found[1];
    if found[0][name.len()..].starts_with("***") {
        found[0].to_owned()
    } else {
        format!("{name}***")
    }
}

/// As a line of a message, as a field, and as `Debug` prints one: up to the quote that ends it, or the line.
static HEADERS: LazyLock<Regex> = LazyLock::new(|| {
    rule(
        r#"(?i)(\b(?:(?:proxy-)?authorization|(?:set-)?cookie|x-csrf-token|x-api-key|x-auth-token)\\*"?\s*[:=,]\s*(?:Some\()?)(?:\\*"(?:[^"\\]|\\.)*|[^\s"\\][^\r\n\\]*)"#,
    )
});

/// Of a Digest login (RFC 7616): what somebody could try passwords on.
static DIGESTS: LazyLock<Regex> = LazyLock::new(|| rule(r#"(?i)(\bresponse=\\*")[^"\\]+"#));

static SCHEMES: LazyLock<Regex> = LazyLock::new(|| rule(r"\b(Basic|Bearer) +[A-Za-z0-9+/_.~\-]{6,}=*"));

static FIELDS: LazyLock<Regex> = LazyLock::new(|| {
    rule(
        r#"(?i)([\w\-]*(?:passw(?:or)?d|passphrase|pwd|secret|user-pw|token|stream_?key)[\w\-]*(?:\\*"\s*:\s*\\*"|\s*:\s*"|\s*=\s*(?:\([a-z]+\)\s*)?\\*["']?))[^\s"'\\,;&<>)}]+"#,
    )
});

static ELEMENTS: LazyLock<Regex> = LazyLock::new(|| {
    rule(r"(?i)(<(?:\w+:)?\w*(?:password|passphrase|secret|token|psk)(?:\s[^<>]*)?>)[^<>]+")
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_holds_a_secret_is_blotted_out() {
        for (text, want) in [
            (
                "at rtsp://u:p@h/x?a=b@c and http://h",
                "at rtsp://u:***@h/x?a=b@c and http://h",
            ),
            ("rtsp://u:p@q@h", "rtsp://u:***@h"),
            ("rtsp://:p@h/", "rtsp://:***@h/"),
            ("rtsp://u@h \"http://a:b@c\"", "rtsp://u@h \"http://a:***@c\""),
            ("http://[::1]:80/x@y", "http://[::1]:80/x@y"),
            ("://", "://"),
            (
                "http://h/x?user=a&pwd=K1&channel=2",
                "http://h/x?user=a&pwd=***&channel=2",
            ),
            (
                "to srt://h:1?streamid=K1&passphrase=K2&latency=9, now",
                "to srt://h:1?streamid=***&passphrase=***&latency=9, now",
            ),
            (
                "cannot open 'rtmp://h:1935/app/K1/K2?x=K3'",
                "cannot open 'rtmp://h:1935/app/***'",
            ),
            ("rtmp://h/app/***", "rtmp://h/app/***"),
            (
                "PLAY rtsp://h RTSP/1.0\r\nAuthorization: Digest username=\"a\", response=\"K1\"\r\nCSeq: 1\r\n",
                "PLAY rtsp://h RTSP/1.0\r\nAuthorization: ***\r\nCSeq: 1\r\n",
            ),
            (
                "authorization: \"Basic abcdefgh=\" next",
                "authorization: ***\" next",
            ),
            (
                "{\"cookie\": \"nvr_session=K1; b=2\", \"host\": \"h\"}",
                "{\"cookie\": ***\", \"host\": \"h\"}",
            ),
            (
                "Digest username=\\\"a\\\", response=\\\"K1\\\"",
                "Digest username=\\\"a\\\", response=\\\"***\\\"",
            ),
            ("sent Basic YWRtaW46eA== to h", "sent Basic *** to h"),
            ("Bearer nvr_abc.def-123", "Bearer ***"),
            ("Basic needs", "Basic needs"),
            (
                "user-id=(string)a, user-pw=(string)K1, x=1",
                "user-id=(string)a, user-pw=(string)***, x=1",
            ),
            ("user-pw = \"K1\"", "user-pw = \"***\""),
            (
                "{\"name\":\"a\",\"password\":\"K1\"}",
                "{\"name\":\"a\",\"password\":\"***\"}",
            ),
            ("{\\\"password\\\":\\\"K1\\\"}", "{\\\"password\\\":\\\"***\\\"}"),
            (
                "Login { password: \"K1\", n: 1 }",
                "Login { password: \"***\", n: 1 }",
            ),
            (
                "<wsse:Password Type=\"x#Digest\">K1=</wsse:Password><a>b</a>",
                "<wsse:Password Type=\"x#Digest\">***</wsse:Password><a>b</a>",
            ),
            ("<tt:Password>K1</tt:Password>", "<tt:Password>***</tt:Password>"),
            (
                "the password: ask who knows it; a token of the page",
                "the password: ask who knows it; a token of the page",
            ),
            ("hash=abc frames=12", "hash=abc frames=12"),
        ] {
            assert_eq!(redact(text), want);
        }
    }

    #[test]
    fn what_holds_none_is_not_copied() {
        assert!(matches!(redact("camera front is recording"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_once_is_enough(text in "([ -~\u{e4}\n]{0,30}(://|:|@|=|\"|Authorization|password|<|>)){0,6}") {
            let once = redact(&text).into_owned();
            prop_assert_eq!(redact(&once), once.as_str());
        }

        #[test]
        fn passwords_of_addresses_are_never_left(password in "[a-zA-Z0-9@:;,!$&*()_+=.~-]{12,30}") {
            let text = format!("cannot open rtsp://admin:{password}@10.0.0.1:554/x: refused");
            prop_assert!(!redact(&text).contains(&password));
        }
    }
}
