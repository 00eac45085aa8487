//! Mistakes in a configuration: where, what, what to do; drawn as a compiler draws them.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};

/// How bad a [`ConfigProblem`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but may not do what was meant.
    Warning,
}

/// One mistake in a configuration. `Display` draws it with the line of the text.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct ConfigProblem {
    /// How bad it is.
    pub severity: Severity,
    /// The file, if the text came from one.
    pub file: Option<PathBuf>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key concerned (`cameras[0].source`), empty for mistakes of syntax.
    pub key: String,
    /// What is wrong. Never holds a value that came from a variable or a file.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line of the text, passwords blotted out.
    #[serde(skip)]
    snippet: Snippet,
}

/// The part of a line that is shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Snippet {
    text: String,
    /// Characters before the mark.
    before: usize,
    /// Characters marked, at least 1.
    width: usize,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let file = self.file.as_deref().unwrap_or(Path::new("nvr.toml")).display();
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        // Tabs are kept, so that the mark stands where the terminal puts the text.
        let lead: String = self
            .snippet
            .text
            .chars()
            .take(self.snippet.before)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        writeln!(f, "{word}: {}", self.message)?;
        writeln!(f, "{margin}--> {file}:{}:{}", self.line, self.column)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", self.snippet.text)?;
        write!(f, "{margin} | {lead}{}", "^".repeat(self.snippet.width))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n{margin} = hint: {hint}")?;
        }
        Ok(())
    }
}

/// All mistakes of a configuration, in the order of the text. At least one of them is an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors {
    problems: Vec<ConfigProblem>,
}

impl ConfigErrors {
    /// The mistakes, warnings included.
    #[must_use]
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }

    /// How many of them are errors.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.problems
            .iter()
            .filter(|p| p.severity == Severity::Error)
            .count()
    }

    /// One line: how many mistakes are where.
    #[must_use]
    pub fn summary(&self) -> String {
        let n = self.error_count();
        let file = self.problems.iter().find_map(|p| p.file.as_deref());
        format!(
            "{n} mistake{} in {}",
            if n == 1 { "" } else { "s" },
            file.map_or_else(|| "the configuration".into(), |p| p.display().to_string())
        )
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            write!(f, "{problem}\n\n")?;
        }
        f.write_str(&self.summary())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigErrors> for Error {
    fn from(e: ConfigErrors) -> Self {
        Self::new(ErrorKind::Config, e.to_string()).with_source(e)
    }
}

/// Collects mistakes while a text is read.
pub(super) struct Problems<'t> {
    text: &'t str,
    file: Option<&'t Path>,
    line_starts: Vec<usize>,
    /// With the offset, to sort by.
    found: Vec<(usize, ConfigProblem)>,
    /// Lines with mistakes of syntax: what else is wrong there follows from them.
    broken_lines: Vec<usize>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str, file: Option<&'t Path>) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            text,
            file,
            line_starts,
            found: Vec::new(),
            broken_lines: Vec::new(),
        }
    }

    /// A mistake of syntax.
    pub(super) fn syntax(&mut self, span: Range<usize>, message: &str) {
        let line = self.line_of(span.start.min(self.text.len()));
        self.broken_lines.push(line);
        self.push(Severity::Error, &span, "", message.to_owned(), None);
    }

    /// Whether there are mistakes of syntax, so that parts of the text may not have been read.
    pub(super) fn has_syntax_errors(&self) -> bool {
        !self.broken_lines.is_empty()
    }

    /// A mistake of meaning.
    pub(super) fn error(
        &mut self,
        span: &Range<usize>,
        key: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        if !self
            .broken_lines
            .contains(&self.line_of(span.start.min(self.text.len())))
        {
            self.push(Severity::Error, span, key, message.into(), hint);
        }
    }

    /// Something doubtful.
    pub(super) fn warn(
        &mut self,
        span: &Range<usize>,
        key: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.push(Severity::Warning, span, key, message.into(), hint);
    }

    /// The line, from 1, of an offset.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset)
    }

    /// The warnings, or all mistakes if any is an error.
    pub(super) fn finish(mut self) -> Result<Vec<ConfigProblem>, ConfigErrors> {
        self.found.sort_by_key(|(offset, _)| *offset);
        let problems: Vec<_> = self.found.into_iter().map(|(_, problem)| problem).collect();
        if problems.iter().any(|p| p.severity == Severity::Error) {
            Err(ConfigErrors { problems })
        } else {
            Ok(problems)
        }
    }

    fn push(
        &mut self,
        severity: Severity,
        span: &Range<usize>,
        key: &str,
        message: String,
        hint: Option<String>,
    ) {
        let start = floor_boundary(self.text, span.start);
        let end = floor_boundary(self.text, span.end).max(start);
        let line = self.line_of(start);
        let line_start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let rest = self.text.get(line_start..).unwrap_or("");
        let line_text = rest.split('\n').next().unwrap_or("").trim_end_matches('\r');
        let line_end = line_start + line_text.len();
        let count = |range: Range<usize>| self.text.get(range).map_or(0, |t| t.chars().count());
        let before = count(line_start..start.min(line_end));
        let width = count(start.min(line_end)..end.min(line_end)).max(1);
        let problem = ConfigProblem {
            severity,
            file: self.file.map(Path::to_owned),
            line,
            column: before + 1,
            key: key.to_owned(),
            message,
            hint,
            snippet: snippet(line_text, before, width),
        };
        self.found.push((start, problem));
    }
}

/// The largest character boundary that is not behind `at`.
fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Longest stretch of a line that is shown, in characters.
const SHOWN: usize = 160;

fn snippet(line: &str, before: usize, width: usize) -> Snippet {
    let skip = if before > SHOWN / 2 { before - SHOWN / 4 } else { 0 };
    let text: String = blot(line)
        .chars()
        .skip(skip)
        .take(SHOWN)
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    let before = before - skip;
    let shown = text.chars().count();
    Snippet {
        width: width.min(shown.saturating_sub(before)).max(1),
        text,
        before,
    }
}

/// Puts `*` over what may be a password in a line, character by character, so that columns stay.
fn blot(line: &str) -> String {
    let mut out: Vec<char> = line.chars().collect();
    let cover = |out: &mut Vec<char>, range: Range<usize>| {
        for c in out.get_mut(range).into_iter().flatten() {
            *c = '*';
        }
    };
    let lower: Vec<char> = line.chars().map(|c| c.to_ascii_lowercase()).collect();
    let find = |word: &str, from: usize| {
        let word: Vec<char> = word.chars().collect();
        (from..lower.len()).find(|&i| lower.get(i..i + word.len()) == Some(&word[..]))
    };
    // A value whose key speaks of a password; a variable may be shown.
    let mut from = 0;
    while let Some(at) = find("passw", from) {
        let equals = (at..out.len()).find(|&i| out[i] == '=');
        let start = equals.and_then(|e| (e + 1..out.len()).find(|&i| !out[i].is_whitespace()));
        if let Some(start) = start {
            let is_variable = lower.get(start + 1..start + 3) == Some(&['$', '{']);
            if !is_variable {
                let quote = out[start];
                let end = if quote == '"' || quote == '\'' {
                    (start + 1..out.len())
                        .rfind(|&i| out[i] == quote)
                        .unwrap_or(out.len())
                } else {
                    out.len()
                };
                cover(&mut out, start + 1..end);
            }
        }
        from = at + 5;
    }
    // user:password@ of a URL.
    let mut from = 0;
    while let Some(at) = find("://", from) {
        let end = (at + 3..lower.len())
            .find(|&i| lower[i] == '"' || lower[i] == '\'' || lower[i].is_whitespace())
            .unwrap_or(lower.len());
        let colon = (at + 3..end).find(|&i| lower[i] == ':');
        let host = (at + 3..end).rfind(|&i| lower[i] == '@');
        if let (Some(colon), Some(host)) = (colon, host)
            && colon < host
        {
            cover(&mut out, colon + 1..host);
        }
        from = at + 3;
    }
    out.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, span: Range<usize>) -> ConfigProblem {
        let mut problems = Problems::new(text, None);
        problems.error(&span, "k", "wrong", Some("do it right".into()));
        problems.finish().unwrap_err().problems()[0].clone()
    }

    #[test]
    fn is_drawn_with_line_and_mark() {
        let p = one("a = 1\n\tbüs = 2\r\nc = 3\n", 7..11);
        assert_eq!((p.line, p.column), (2, 2));
        assert_eq!(
            p.to_string(),
            "error: wrong\n --> nvr.toml:2:2\n  |\n2 | \tbüs = 2\n  | \t^^^\n  = hint: do it right"
        );
    }

    #[test]
    fn any_span_is_survived() {
        for text in ["", "ü", "a\n", "\n\n"] {
            for (start, end) in [(0, 0), (0, 1), (1, 1), (1, 9), (9, 12), (2, 1)] {
                let p = one(text, start..end);
                assert!(
                    p.line >= 1 && p.line <= text.split('\n').count(),
                    "{text:?} {start} {p:?}"
                );
                assert!(!p.to_string().is_empty());
            }
        }
    }

    #[test]
    fn passwords_are_blotted_out_and_columns_stay() {
        for (line, secret) in [
            (r#"password = "hunter2" x"#, "hunter2"),
            (r#"source = "rtsp://admin:hunter2@host/x""#, "hunter2"),
            (
                r#"source = "rtsp://admin:p@ss:w@host/x", password='hunter2'"#,
                "p@ss",
            ),
            (r"camera = { PASSWORD = hunter2", "hunter2"),
        ] {
            let shown = blot(line);
            assert!(!shown.contains(secret), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
            assert_eq!(shown.chars().count(), line.chars().count());
        }
        assert_eq!(blot(r#"password = "${CAM_PW}""#), r#"password = "${CAM_PW}""#);
    }

    #[test]
    fn a_very_long_line_is_shown_in_part() {
        let text = format!("{}wrong{}", "a".repeat(100_000), "b".repeat(100_000));
        let p = one(&text, 100_000..100_005);
        assert_eq!(p.column, 100_001);
        let drawn = p.to_string();
        assert!(
            drawn.len() < 600 && drawn.contains("wrong") && drawn.contains("^^^^^"),
            "{drawn}"
        );
    }
}
