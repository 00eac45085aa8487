//! `${NAME}` and `${file:/path}` in string values.

use std::io::Read;
use std::path::Path;

/// Largest file that `${file:…}` reads: it holds one password or token.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where the values of variables come from; the process environment but in tests.
pub(super) type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// What a text reads as where a variable or file stands that cannot be had and is not needed.
pub(super) const UNKNOWN: &str = "unknown";

/// A string value after expansion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// Whether anything was put in, so that the text must not be shown.
    pub(super) secret: bool,
    /// Whether [`UNKNOWN`] stands in it.
    pub(super) unknown: bool,
}

/// Puts in what `${…}` stands for; `$${` is a literal `${`. `base` is where relative files are looked for. Unless
/// `needed`, what cannot be had becomes [`UNKNOWN`].
pub(super) fn expand(
    text: &str,
    env: Env<'_>,
    base: Option<&Path>,
    needed: bool,
) -> Result<Expanded, String> {
    let mut out = String::with_capacity(text.len());
    let mut secret = false;
    let mut unknown = false;
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &from[2..];
            continue;
        }
        out.push_str(before);
        let Some((name, after)) = from[2..].split_once('}') else {
            return Err("`${` without `}`".into());
        };
        let value = match name.strip_prefix("file:") {
            Some(path) => read_file(path, base),
            None => variable(name, env),
        };
        match value {
            Ok(value) => out.push_str(&value),
            Err(why) if needed => return Err(why),
            Err(_) => {
                out.push_str(UNKNOWN);
                unknown = true;
            }
        }
        secret = true;
        rest = after;
    }
    out.push_str(rest);
    Ok(Expanded {
        text: out,
        secret,
        unknown,
    })
}

/// Writes a text so that [`expand`] gives it back.
pub(super) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

fn variable(name: &str, env: Env<'_>) -> Result<String, String> {
    let good = |(i, b): (usize, u8)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit());
    if name.is_empty() || !name.bytes().enumerate().all(good) {
        return Err(format!(
            "`${{{name}}}` is not a variable: names are made of letters, digits and `_`"
        ));
    }
    env(name).ok_or_else(|| format!("the environment variable `{name}` is not set"))
}

fn read_file(path: &str, base: Option<&Path>) -> Result<String, String> {
    let path = base.map_or_else(|| path.into(), |base| base.join(path));
    let failed = |why: &dyn std::fmt::Display| format!("cannot read {}: {why}", path.display());
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let meta = std::fs::metadata(&path).map_err(|e| failed(&e))?;
    if !meta.is_file() {
        return Err(failed(&"not a regular file"));
    }
    let mut text = String::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(|e| failed(&e))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(failed(&"larger than 64 KiB"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn env(name: &str) -> Option<String> {
        (name == "CAM_PW").then(|| "hunter2".to_owned())
    }

    #[test]
    fn variables_and_escapes() {
        let text = |t: &str| expand(t, &env, None, true).map(|e| (e.text, e.secret));
        assert_eq!(text("a${CAM_PW}b"), Ok(("ahunter2b".into(), true)));
        assert_eq!(text("$${CAM_PW} $5 $"), Ok(("${CAM_PW} $5 $".into(), false)));
        assert!(text("${MISSING}").unwrap_err().contains("MISSING"));
        for bad in ["${CAM_PW", "${}", "${1A}", "${A B}"] {
            assert!(text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_lose_one_newline() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "hunter2\r\n").unwrap();
        let e = expand("${file:pw}", &env, Some(dir.path()), true).unwrap();
        assert_eq!(e.text, "hunter2");
        let absolute = format!("${{file:{}}}", dir.path().join("pw").display());
        assert_eq!(expand(&absolute, &env, None, true).unwrap().text, "hunter2");
        for bad in ["${file:none}", "${file:.}", "${file:}", "${file:/dev/zero}"] {
            assert!(expand(bad, &env, Some(dir.path()), true).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_needed_may_be_unknown() {
        let e = expand("rtsp://u:${MISSING}@${file:/nowhere}/", &env, None, false).unwrap();
        assert_eq!((e.text.as_str(), e.unknown), ("rtsp://u:unknown@unknown/", true));
        assert!(!expand("${CAM_PW}", &env, None, false).unwrap().unknown);
        assert!(expand("${MISSING", &env, None, false).is_err());
    }

    proptest! {
        #[test]
        fn escaped_text_comes_back(text in "[a${}:]{0,20}") {
            // `$$` before `{` cannot be told from an escape, so a `$` directly before `${` has no spelling.
            prop_assume!(!text.contains("$${"));
            let e = expand(&escape(&text), &env, None, true).unwrap();
            prop_assert_eq!(e.text, text);
        }
    }
}
