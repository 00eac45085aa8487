//! Secrets in values: what is shown instead of them, and how one that comes back unchanged is put back. Pure.

use std::ops::Range;

use crate::secret::is_secret_parameter;

/// What stands for a secret. Sent back it means: as it was.
pub const KEPT: &str = "***";

/// Whether the value of a key is a secret as a whole.
pub(in crate::config) fn is_secret(key: &str) -> bool {
    key == "encryption_key"
        || ["password", "secret", "token"]
            .iter()
            .any(|word| key.contains(word))
        // Of alert channels: whoever knows them may write there.
        || matches!(key, "headers" | "address")
}

/// The value of a key as it may be shown. A reference to a variable or file (`${NAME}`) is no secret itself.
pub(super) fn shown(key: &str, raw: &str) -> String {
    if is_secret(key) {
        return if raw.is_empty() || is_reference(raw) {
            raw.to_owned()
        } else {
            KEPT.to_owned()
        };
    }
    if is_ambiguous(raw) {
        return KEPT.to_owned();
    }
    replace(raw, &secrets(raw), |_, secret| {
        if is_reference(secret) { secret } else { KEPT }.to_owned()
    })
}

/// The value that is meant when `new` comes for a key that is now `old`: each [`KEPT`] is what it stands for.
///
/// # Errors
/// When there is nothing that it could stand for.
pub(super) fn resolved(key: &str, new: &str, old: Option<&str>) -> Result<String, ()> {
    if let Some(old) = old
        && new == shown(key, old)
    {
        return Ok(old.to_owned());
    }
    if is_secret(key) || new == KEPT {
        return if new == KEPT { Err(()) } else { Ok(new.to_owned()) };
    }
    let (places, old) = (secrets(new), old.unwrap_or_default());
    let known = secrets(old);
    let missing = places
        .iter()
        .any(|(name, range)| &new[range.clone()] == KEPT && !known.iter().any(|(n, _)| n == name));
    if missing {
        return Err(());
    }
    Ok(replace(new, &places, |name, text| {
        let before = known.iter().find(|(n, _)| n == name);
        match before {
            Some((_, range)) if text == KEPT => old[range.clone()].to_owned(),
            _ => text.to_owned(),
        }
    }))
}

/// Whether a password may stand where a URL has none: as when it is not encoded, and has a `/`.
fn is_ambiguous(text: &str) -> bool {
    let scan = plain(text);
    let Some((_, rest)) = scan.split_once("://").filter(|(_, rest)| rest.contains('@')) else {
        return false;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    url::Url::parse(&scan).is_err() || rest[end..].contains('@')
}

/// The references (`${NAME}`) in a text.
pub(super) fn references(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let end = rest[at..].find('}').map_or(rest.len(), |n| at + n + 1);
        out.push(&rest[at..end]);
        rest = &rest[end..];
    }
    out
}

/// Whether a text is one reference and nothing else.
fn is_reference(text: &str) -> bool {
    matches!(references(text)[..], [all] if all == text && text.ends_with('}'))
}

/// A text in which references are of letters only, at the same places.
fn plain(text: &str) -> String {
    references(text).iter().fold(text.to_owned(), |text, reference| {
        text.replace(reference, &"x".repeat(reference.len()))
    })
}

/// The secrets in a URL, named: the password of `user:password@` and parameters that are called so.
fn secrets(text: &str) -> Vec<(String, Range<usize>)> {
    let scan = plain(text);
    let Some(start) = scan.find("://").map(|at| at + 3) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    let end = scan[start..]
        .find(['/', '?', '#'])
        .map_or(scan.len(), |n| start + n);
    if let Some(at) = scan[start..end].rfind('@')
        && let Some(colon) = scan[start..start + at].find(':')
    {
        out.push(("@".to_owned(), start + colon + 1..start + at));
    }
    let Some(mark) = scan[start..].find('?').map(|n| start + n) else {
        return out;
    };
    let mut from = mark + 1;
    for part in scan[from..].split(['&', '#', ';']) {
        if let Some((name, value)) = part.split_once('=')
            && is_secret_parameter(name)
            && !value.is_empty()
        {
            let value_at = from + name.len() + 1;
            out.push((name.to_ascii_lowercase(), value_at..value_at + value.len()));
        }
        from += part.len() + 1;
    }
    out
}

fn replace(text: &str, places: &[(String, Range<usize>)], with: impl Fn(&str, &str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (name, range) in places {
        out.push_str(&text[done..range.start]);
        out.push_str(&with(name, &text[range.clone()]));
        done = range.end;
    }
    out.push_str(&text[done..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_masked_and_come_back() {
        for (key, raw, want) in [
            ("password", "hunter2", "***"),
            ("password", "", ""),
            ("password", "${CAM_PW}", "${CAM_PW}"),
            ("password", "a${CAM_PW}", "***"),
            ("encryption_key", "aGk=", "***"),
            ("name", "Front: a@b", "Front: a@b"),
            ("source", "rtsp://h/x", "rtsp://h/x"),
            ("source", "rtsp://admin@h/x", "rtsp://admin@h/x"),
            ("source", "rtsp://admin:pw@h/a@b", "***"),
            (
                "source",
                "rtsp://admin:${file:/run/x}@h/",
                "rtsp://admin:${file:/run/x}@h/",
            ),
            ("source", "rtsp://admin:p/w@h/x", "***"),
            (
                "source",
                "http://h/v?usr=a&pwd=hunter2&q=1#f",
                "http://h/v?usr=a&pwd=***&q=1#f",
            ),
            (
                "source",
                "rtsp://h/1?key=k1&channel=2&AUTH=b&sig=c&api_key=d&token=e",
                "rtsp://h/1?key=***&channel=2&AUTH=***&sig=***&api_key=***&token=***",
            ),
        ] {
            assert_eq!(shown(key, raw), want);
            assert_eq!(resolved(key, want, Some(raw)).as_deref(), Ok(raw));
        }
    }

    #[test]
    fn what_is_kept_follows_a_changed_address() {
        let old = Some("rtsp://admin:pw@old/1?token=t");
        let new = "rtsp://root:***@new/2?x=1&token=***";
        assert_eq!(
            resolved("source", new, old).as_deref(),
            Ok("rtsp://root:pw@new/2?x=1&token=t")
        );
        assert_eq!(resolved("source", "rtsp://a:***@h/", Some("rtsp://h/")), Err(()));
        assert_eq!(resolved("source", "rtsp://a:***@h/", None), Err(()));
        assert_eq!(resolved("password", KEPT, None), Err(()));
        assert_eq!(resolved("password", "new", Some("old")).as_deref(), Ok("new"));
    }

    proptest! {
        #[test]
        fn any_text_comes_back(raw in "(rtsp://)?[a-c:@/?&=#${}*;]{0,24}|[^\\n]{0,20}", key in "source|name|password") {
            let shown = shown(&key, &raw);
            prop_assert_eq!(resolved(&key, &shown, Some(&raw)), Ok(raw));
            let _ = resolved(&key, &shown, None);
        }

        #[test]
        fn a_password_is_never_shown(pw in "[A-Z0-9/?#:@]{6,12}") {
            let source = format!("rtsp://admin:{pw}@cam/stream");
            prop_assert!(!shown("source", &source).contains(&pw));
        }
    }
}
