//! Where a push goes: what is allowed in the address, and what of it is never shown. Pure.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// Longest address.
const MOST: usize = 2048;
/// What may stand in the query of an SRT address.
const SRT_KEYS: [&str; 5] = ["mode", "streamid", "passphrase", "pbkeylen", "latency"];

/// How it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PushProtocol {
    /// FLV over RTMP, or RTMP over TLS: H.264 and AAC.
    Rtmp,
    /// MPEG-TS over SRT: H.264 or H.265, and AAC.
    Srt,
}

/// A checked address. Prints with `***` in place of stream keys, users and passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct PushAddress {
    protocol: PushProtocol,
    whole: Secret,
    shown: String,
    /// What must not be seen in anything that servers or elements say.
    secrets: Vec<Secret>,
}

impl PushAddress {
    /// Reads `rtmp://host/app/key`, `rtmps://host/app/key` or `srt://host:port?streamid=…&passphrase=…`.
    ///
    /// # Errors
    /// `InvalidArgument` saying what is wrong with it, without quoting it.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::new(ErrorKind::InvalidArgument, format!("url: {why}"))
                .with_hint("write rtmp://host/app/key, rtmps://host/app/key or srt://host:port?streamid=…")
        };
        if text.len() > MOST {
            return Err(bad("longer than 2048 bytes"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad("blanks and control characters cannot stand in it"));
        }
        let url = url::Url::parse(text).map_err(|e| bad(&format!("not a URL ({e})")))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("it has no host"));
        }
        if url.fragment().is_some() {
            return Err(bad("`#` cannot stand in it"));
        }
        match url.scheme() {
            "rtmp" | "rtmps" => Self::rtmp(&url).map_err(bad),
            "srt" => Self::srt(&url).map_err(bad),
            _ => Err(bad("only rtmp, rtmps and srt are pushed to")),
        }
    }

    fn rtmp(url: &url::Url) -> Result<Self, &'static str> {
        let parts: Vec<&str> = url.path().split('/').filter(|p| !p.is_empty()).collect();
        let [app, rest @ ..] = parts.as_slice() else {
            return Err("it names no application and no stream");
        };
        if rest.is_empty() {
            return Err("it names no stream behind the application");
        }
        let mut secrets = rest.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        secrets.push(rest.join("/"));
        secrets.extend(url.query().map(str::to_owned));
        secrets.extend(user_info(url));
        let who = if url.username().is_empty() { "" } else { "***@" };
        let shown = format!("{}://{who}{}/{app}/***", url.scheme(), authority(url));
        Ok(Self::new(
            PushProtocol::Rtmp,
            url.as_str().to_owned(),
            shown,
            secrets,
        ))
    }

    fn srt(url: &url::Url) -> Result<Self, &'static str> {
        if url.port().is_none() {
            return Err("an SRT address needs a port");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an SRT address has no user: use streamid and passphrase");
        }
        if !matches!(url.path(), "" | "/") {
            return Err("an SRT address has no path: use streamid");
        }
        let (mut secrets, mut shown) = (Vec::new(), Vec::new());
        let mut whole = url::form_urlencoded::Serializer::new(String::new());
        whole.append_pair("mode", "caller");
        for (key, value) in url.query_pairs() {
            let number =
                |range: std::ops::RangeInclusive<u32>| value.parse::<u32>().is_ok_and(|n| range.contains(&n));
            match &*key {
                // A listener would open a port of this machine to whoever comes.
                "mode" if value != "caller" => return Err("the recorder only calls: mode=caller"),
                "mode" => continue,
                "passphrase" if !(10..=79).contains(&value.len()) => {
                    return Err("a passphrase has 10 to 79 bytes");
                }
                "pbkeylen" if !matches!(&*value, "16" | "24" | "32") => {
                    return Err("pbkeylen is 16, 24 or 32");
                }
                "latency" if !number(20..=10_000) => return Err("latency is 20 to 10000 milliseconds"),
                key if !SRT_KEYS.contains(&key) => {
                    return Err("behind `?` only streamid, passphrase, pbkeylen, latency and mode are known");
                }
                _ => {}
            }
            if matches!(&*key, "streamid" | "passphrase") {
                secrets.push(value.clone().into_owned());
                shown.push(format!("{key}=***"));
            } else {
                shown.push(format!("{key}={value}"));
            }
            whole.append_pair(&key, &value);
        }
        let mark = if shown.is_empty() { "" } else { "?" };
        let place = authority(url);
        let text = format!("srt://{place}{mark}{}", shown.join("&"));
        // GStreamer takes a plus for what it is.
        let query = whole.finish().replace('+', "%20");
        Ok(Self::new(
            PushProtocol::Srt,
            format!("srt://{place}?{query}"),
            text,
            secrets,
        ))
    }

    fn new(protocol: PushProtocol, whole: String, shown: String, secrets: Vec<String>) -> Self {
        let mut secrets: Vec<String> = secrets
            .into_iter()
            .flat_map(|s| {
                let plain = percent_encoding::percent_decode_str(&s)
                    .decode_utf8_lossy()
                    .into_owned();
                [s, plain]
            })
            .filter(|s| !s.is_empty())
            .collect();
        // What holds another one goes first.
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        secrets.dedup();
        Self {
            protocol,
            whole: Secret::new(whole),
            shown,
            secrets: secrets.into_iter().map(Secret::new).collect(),
        }
    }

    /// How it is sent.
    #[must_use]
    pub const fn protocol(&self) -> PushProtocol {
        self.protocol
    }

    /// The address as it is called, keys and all.
    #[must_use]
    pub const fn whole(&self) -> &Secret {
        &self.whole
    }

    /// A text from outside without what is secret in this address, one line of bounded length.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        const LONGEST: usize = 200;
        let text = self.blot(text, 0);
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        text.trim().chars().take(LONGEST).map(clean).collect()
    }

    /// A text without what is secret in this address, but for what is shorter than so many bytes.
    pub(crate) fn blot(&self, text: &str, shortest: usize) -> String {
        let secrets = self.secrets.iter().map(Secret::expose);
        let long = secrets.filter(|s| s.len() >= shortest);
        long.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

fn authority(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn user_info(url: &url::Url) -> impl Iterator<Item = String> {
    [Some(url.username()), url.password()]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}

impl fmt::Display for PushAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PushAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PushAddress").field(&self.shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_and_passwords_are_never_shown() {
        for (text, shown) in [
            ("rtmp://live.example/app/abcd-KEY", "rtmp://live.example/app/***"),
            (
                "rtmp://live.example:1936/app/a/KEY?sign=KEY2",
                "rtmp://live.example:1936/app/***",
            ),
            (
                "rtmps://me:KEY@live.example/app/KEY",
                "rtmps://***@live.example/app/***",
            ),
            ("srt://10.0.0.9:9000", "srt://10.0.0.9:9000"),
            (
                "srt://[::1]:9000?streamid=KEY%2F1&passphrase=KEYKEYKEYKEY&latency=200&mode=caller",
                "srt://[::1]:9000?streamid=***&passphrase=***&latency=200",
            ),
        ] {
            let address = PushAddress::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("KEY"));
            let said = address.scrub(&format!("cannot play {text}, KEY2 KEY/1 abcd-KEY\n"));
            let with_key = text.contains("KEY");
            assert!(!with_key || said.contains("***"), "{said}");
            assert!(!said.contains("abcd-KEY") || !text.contains("abcd-KEY"), "{said}");
        }
    }

    #[test]
    fn what_cannot_be_pushed_to_is_refused_without_being_quoted() {
        for bad in [
            "",
            "KEY",
            "http://host/app/KEY",
            "file:///etc/KEY",
            "rtsp://host/KEY",
            "rtmp://host/KEY",
            "rtmp:///app/KEY",
            "rtmp://host/app/KEY#x",
            "rtmp://host/app/K EY",
            "rtmp://host/app/KEY\n",
            "srt://host?streamid=KEY",
            "srt://user:KEY@host:1",
            "srt://host:1/KEY",
            "srt://host:1?mode=listener&streamid=KEY",
            "srt://host:1?localaddress=KEY",
            "srt://host:1?passphrase=KEY",
            "srt://host:1?latency=KEY",
            "srt://host:1?pbkeylen=17",
        ] {
            let e = PushAddress::parse(bad).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{bad}");
            assert!(!format!("{e:?}").contains("KEY"), "{bad}: {e:?}");
        }
    }

    #[test]
    fn srt_is_called_as_it_is_meant() {
        let address = PushAddress::parse("srt://h:1?streamid=a%20b%2Bc&latency=120").unwrap();
        assert_eq!(
            address.whole().expose(),
            "srt://h:1?mode=caller&streamid=a%20b%2Bc&latency=120"
        );
    }

    proptest! {
        #[test]
        fn a_key_is_in_nothing_that_is_printed(key in "[a-zA-Z0-9_-]{6,40}", app in "[b-y]{1,4}") {
            let address = PushAddress::parse(&format!("rtmp://host/{app}/{key}")).unwrap();
            prop_assert!(!address.to_string().contains(&key));
            let said = format!("stream {key} is taken");
            prop_assert!(!address.scrub(&said).contains(&key));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = PushAddress::parse(&text);
            let _ = PushAddress::parse(&format!("srt://h:1?{text}"));
        }
    }
}
