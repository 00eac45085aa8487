//! Bytes of known length that can be read anywhere, served with `Range`, `ETag` and conditions (RFC 9110).

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::problem::problem;

/// Something that is served.
pub(crate) trait Content: Send + Sync + 'static {
    /// Bytes in all.
    fn len(&self) -> u64;
    /// Fills `buf` from `offset` on; fewer bytes at the end only.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
}

/// How it is described.
#[derive(Debug, Default)]
pub(crate) struct Described {
    pub(crate) content_type: &'static str,
    pub(crate) etag: Option<String>,
    pub(crate) file_name: Option<String>,
    /// Whether the bytes never change under this address.
    pub(crate) immutable: bool,
}

const PIECE: usize = 256 << 10;
/// Pieces that are read at once.
const AHEAD: usize = 2;

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(u64, u64),
    Impossible,
}

/// One range of bytes; several at once are answered with the whole, as RFC 9110, 14.2 allows.
fn wanted(range: Option<&HeaderValue>, len: u64) -> Wanted {
    let Some(spec) = range
        .and_then(|r| r.to_str().ok())
        .and_then(|r| r.trim().strip_prefix("bytes="))
    else {
        return Wanted::All;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Wanted::All;
    };
    let (first, last) = (first.trim(), last.trim());
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !digits(first) || !digits(last) || (first.is_empty() && last.is_empty()) {
        return Wanted::All;
    }
    // A number too large for 64 bits lies behind any end.
    let number = |s: &str| s.parse::<u64>().unwrap_or(u64::MAX);
    let (start, end) = if first.is_empty() {
        (len.saturating_sub(number(last)), len)
    } else if last.is_empty() {
        (number(first), len)
    } else if number(last) < number(first) {
        return Wanted::All;
    } else {
        (number(first), number(last).saturating_add(1).min(len))
    };
    if start >= end {
        Wanted::Impossible
    } else {
        Wanted::Part(start, end)
    }
}

/// Whether the header `If-None-Match` names an entity tag; compared weakly (RFC 9110, 13.1.2).
pub(crate) fn lists(header: Option<&HeaderValue>, etag: &str) -> bool {
    header.and_then(|h| h.to_str().ok()).is_some_and(|h| {
        h.split(',')
            .map(str::trim)
            .any(|t| t == "*" || t.trim_start_matches("W/") == etag.trim_start_matches("W/"))
    })
}

fn matches_strongly(header: &HeaderValue, etag: &str) -> bool {
    header
        .to_str()
        .is_ok_and(|h| h.split(',').map(str::trim).any(|t| t == "*" || t == etag))
        && !etag.starts_with("W/")
}

/// Answers a GET or HEAD for it.
pub(crate) fn serve(
    method: &Method,
    request: &HeaderMap,
    content: Arc<dyn Content>,
    about: Described,
) -> Response {
    let len = content.len();
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(about.content_type));
    let cache = if about.immutable {
        "private, max-age=86400, immutable"
    } else {
        "private, no-cache"
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Some(tag) = about.etag.as_deref().and_then(|t| HeaderValue::from_str(t).ok()) {
        headers.insert(header::ETAG, tag);
    }
    if let Some(name) = about.file_name
        && let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
    {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    // RFC 9110, 13.2.2: first whether it is what the client means at all. A weak tag never is.
    if let Some(wanted) = request.get(header::IF_MATCH) {
        let met = about
            .etag
            .as_deref()
            .is_some_and(|tag| matches_strongly(wanted, tag));
        if !met {
            headers.remove(header::CONTENT_TYPE);
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
            return (StatusCode::PRECONDITION_FAILED, headers).into_response();
        }
    }
    if let Some(etag) = &about.etag
        && lists(request.get(header::IF_NONE_MATCH), etag)
    {
        headers.remove(header::CONTENT_TYPE);
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    // `If-Range` holds when it names the present (strong) tag; a date never does, none is sent.
    let range_counts = request.get(header::IF_RANGE).is_none_or(|r| {
        about
            .etag
            .as_deref()
            .is_some_and(|tag| !tag.starts_with("W/") && r.as_bytes() == tag.as_bytes())
    });
    let wanted = if range_counts {
        wanted(request.get(header::RANGE), len)
    } else {
        Wanted::All
    };
    let (status, start, end) = match wanted {
        Wanted::All => (StatusCode::OK, 0, len),
        Wanted::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
        Wanted::Impossible => {
            headers.remove(header::CONTENT_TYPE);
            headers.insert(header::CONTENT_RANGE, text(&format!("bytes */{len}")));
            let detail = format!("the range lies behind the end: there are {len} bytes");
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return (headers, problem(status, "range_not_satisfiable", detail, None)).into_response();
        }
    };
    if status == StatusCode::PARTIAL_CONTENT {
        headers.insert(
            header::CONTENT_RANGE,
            text(&format!("bytes {start}-{}/{len}", end - 1)),
        );
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end - start));
    let body = if method == Method::HEAD || start == end {
        Body::empty()
    } else {
        stream(content, start, end)
    };
    (status, headers, body).into_response()
}

fn text(s: &str) -> HeaderValue {
    HeaderValue::from_str(s).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Reads off the runtime, one piece ahead of the client. Between two pieces nothing waits in a thread, however
/// slow the client is: those threads also start and stop cameras.
fn stream(content: Arc<dyn Content>, start: u64, end: u64) -> Body {
    let pieces = (start..end).step_by(PIECE);
    let pieces = futures_util::stream::iter(pieces)
        .map(move |at| {
            let content = content.clone();
            let size = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
            async move {
                let read = tokio::task::spawn_blocking(move || piece(content.as_ref(), at, size));
                let result = read.await.unwrap_or_else(|e| Err(io::Error::other(e)));
                if let Err(e) = &result {
                    tracing::warn!(offset = at, error = %e, "a download broke off");
                }
                result
            }
        })
        .buffered(AHEAD);
    Body::from_stream(pieces)
}

/// The length was promised: a file that became shorter breaks the connection, which is how a client learns of it.
fn piece(content: &dyn Content, at: u64, size: usize) -> io::Result<Bytes> {
    let mut piece = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match content.read_at(at + filled as u64, &mut piece[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(piece.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let of = |s: &str| wanted(Some(&HeaderValue::from_str(s).unwrap()), 100);
        assert_eq!(of("bytes=0-0"), Wanted::Part(0, 1));
        assert_eq!(of("bytes=10-"), Wanted::Part(10, 100));
        assert_eq!(of("bytes=-10"), Wanted::Part(90, 100));
        assert_eq!(of("bytes=-1000"), Wanted::Part(0, 100));
        assert_eq!(of("bytes=50-1000"), Wanted::Part(50, 100));
        assert_eq!(of("bytes=50-99999999999999999999999"), Wanted::Part(50, 100));
        assert_eq!(of("bytes=100-"), Wanted::Impossible);
        assert_eq!(of("bytes=-0"), Wanted::Impossible);
        for whole in ["bytes=5-1", "bytes=0-1,5-6", "bytes=a-b", "items=0-1", "bytes=-"] {
            assert_eq!(of(whole), Wanted::All, "{whole}");
        }
        assert_eq!(
            wanted(Some(&HeaderValue::from_static("bytes=0-")), 0),
            Wanted::Impossible
        );
    }
}
