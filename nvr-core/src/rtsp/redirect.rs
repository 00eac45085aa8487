//! Where a server may send a client on to, and whether user and password go along.

use url::Url;

use super::error::{RtspError, RtspErrorKind};

/// Addresses that a server may send on to, one after the other.
pub(crate) const MOST_REDIRECTS: u32 = 4;

/// Judges the redirect number `count` of a stream whose address is configured as `home`, from its present address to
/// another. `login`: user and password are configured, `verify`: certificates are checked. Whether user and password
/// go along: only to the host that they were configured for, whoever answers there.
///
/// # Errors
/// `Withheld` when the password would be readable where it was not before; `Redirect` when there were too many, it
/// leads out of an encryption that was asked for, or to an address that is not of RTSP.
pub(crate) fn follow(
    home: &Url,
    from: &Url,
    to: &Url,
    count: u32,
    login: bool,
    verify: bool,
) -> Result<bool, RtspError> {
    let refused = |kind, why: String| Err(RtspError::new(kind, why));
    if count > MOST_REDIRECTS {
        let why = "a redirect leads to another, and so on; write the stream's own address as `source`";
        return refused(RtspErrorKind::Redirect, why.into());
    }
    if !to.scheme().starts_with("rtsp") {
        let why = "a redirect leads to an address that is not of RTSP";
        return refused(RtspErrorKind::Redirect, why.into());
    }
    let encrypted = |url: &Url| url.scheme().starts_with("rtsps");
    if (encrypted(home) || encrypted(from)) && !encrypted(to) {
        let place = place(to);
        if login {
            return refused(
                RtspErrorKind::Withheld,
                format!(
                    "a redirect leads from an encrypted address to {place}, which is not: user and password are not \
                     sent there; write that address as `source` if they may be"
                ),
            );
        }
        if verify {
            return refused(
                RtspErrorKind::Redirect,
                format!(
                    "a redirect leads from an encrypted address to {place}, which is not; write that address as \
                     `source` if that will do"
                ),
            );
        }
    }
    Ok(login && same_host(home, to))
}

/// Why a server that a redirect led to gets no user and password.
pub(crate) fn withheld(home: &str, to: &Url) -> RtspError {
    RtspError::new(
        RtspErrorKind::Withheld,
        format!(
            "{home} sends on to {}, which wants user and password: they are for {home} alone; write that address as \
             `source` if it is to have them",
            place(to)
        ),
    )
}

fn same_host(a: &Url, b: &Url) -> bool {
    let host = |url: &Url| {
        let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
        (!host.is_empty()).then_some(host)
    };
    host(a).is_some() && host(a) == host(b)
}

/// An address as far as its path, which may hold secrets.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(home: &str, to: &str, login: bool, verify: bool) -> Result<bool, RtspError> {
        let url = |text| Url::parse(text).unwrap();
        follow(&url(home), &url(home), &url(to), 1, login, verify)
    }

    #[test]
    fn the_password_stays_with_its_host() {
        for (home, to, along) in [
            ("rtsp://cam/a", "rtsp://cam:8554/b", true),
            ("rtsp://cam/a", "rtsp://CAM./b", true),
            ("rtsp://cam/a", "rtsps://cam/b", true),
            ("rtsps://cam/a", "rtsps://cam:1/b", true),
            ("rtsp://cam/a", "rtsp://cam.evil.example/a", false),
            ("rtsp://cam/a", "rtsps://other/a", false),
            ("rtsp://10.0.0.1/a", "rtsp://10.0.0.10/a", false),
            ("rtsp://[::1]/a", "rtsp://[::1]:554/a", true),
        ] {
            assert_eq!(judge(home, to, true, false), Ok(along), "{home} to {to}");
            assert_eq!(judge(home, to, false, false), Ok(false));
        }
    }

    #[test]
    fn encryption_is_not_given_up() {
        let (home, to) = ("rtsps://cam/a", "rtsp://cam/a?password=hunter2");
        for verify in [false, true] {
            let e = judge(home, to, true, verify).unwrap_err();
            assert_eq!(e.kind, RtspErrorKind::Withheld);
            assert!(
                e.message.contains("rtsp://cam,") && !e.message.contains("hunter2"),
                "{e}"
            );
        }
        assert_eq!(
            judge(home, to, false, true).unwrap_err().kind,
            RtspErrorKind::Redirect
        );
        assert_eq!(judge(home, to, false, false), Ok(false));
        // Not by a detour either.
        let url = |text| Url::parse(text).unwrap();
        let detour = follow(&url("rtsp://cam"), &url("rtsps://cam"), &url(to), 2, true, false);
        assert_eq!(detour.unwrap_err().kind, RtspErrorKind::Withheld);
    }

    #[test]
    fn redirects_end_and_stay_with_rtsp() {
        let url = Url::parse("rtsp://cam/a").unwrap();
        let many = follow(&url, &url, &url, MOST_REDIRECTS + 1, false, false);
        assert_eq!(many.unwrap_err().kind, RtspErrorKind::Redirect);
        let http = judge("rtsp://cam/a", "http://cam/a", true, false);
        assert_eq!(http.unwrap_err().kind, RtspErrorKind::Redirect);
    }
}
