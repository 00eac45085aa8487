//! The page (`ui/`): static files, built in, with compressed copies and names that change with their content.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;

use crate::bytes_body;
use crate::problem::problem;

/// A file of the built page.
struct File {
    /// Below the root (`"assets/index-4f2a.js"`).
    path: &'static str,
    /// Hash of its content, hexadecimal.
    tag: &'static str,
    plain: &'static [u8],
    br: Option<&'static [u8]>,
    gz: Option<&'static [u8]>,
}

mod files {
    use super::File;
    include!(concat!(env!("OUT_DIR"), "/page_files.rs"));
}

/// Instead of the page, in a binary that was built without it.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>nvr</title>\
    <h1>The recorder runs; its page was not built</h1>\
    <p>Run <code>make ui</code> in the source folder (it needs Node.js 18 or later and npm), then build the \
    recorder again. <code>make build</code> and <code>make demo</code> do both.</p>\
    <p>The API works without: <a href=\"api/openapi.json\">api/openapi.json</a>, <a href=\"health\">health</a>.</p></html>";

/// Shows the API and lets one try it.
const DOCS: &str = "api-docs/index.html";

/// What has no other handler: files of the page; the page itself for addresses that it makes up; or 404.
/// `base` is the path below which a proxy shows the recorder, or empty.
pub(crate) fn serve(base: &str, request: &Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads {
        // What people try; the page on the API is a folder of its own.
        if matches!(path, "api" | "api/" | "api/docs" | "api/docs/" | "api-docs") && find(DOCS).is_some() {
            return Redirect::to(&format!("{base}/api-docs/")).into_response();
        }
        let file = match path {
            "" => "index.html",
            "api-docs/" => DOCS,
            path => path,
        };
        if let Some(file) = find(file) {
            return answer(file, base, request.headers());
        }
        if path.is_empty() || is_visit(path, request.headers()) {
            return find("index.html").map_or_else(not_built, |index| answer(index, base, request.headers()));
        }
    }
    problem(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this address".into(),
        None,
    )
}

fn find(path: &str) -> Option<&'static File> {
    files::FILES.iter().find(|file| file.path == path)
}

/// Whether somebody opens an address of the page (`/timeline`), rather than a program one of the API.
fn is_visit(path: &str, headers: &HeaderMap) -> bool {
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|a| a.to_str().ok())
        .is_some_and(|a| a.contains("text/html"));
    wants_page && !path.starts_with("api/") && !path.starts_with("assets/")
}

fn not_built() -> Response {
    (
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        NOT_BUILT,
    )
        .into_response()
}

fn answer(file: &'static File, base: &str, headers: &HeaderMap) -> Response {
    let accepted = |coding| accepts(headers, coding);
    let moved = (!base.is_empty()).then(|| below(file, base)).flatten();
    let (bytes, coding) = match (moved, file.br, file.gz) {
        (Some(moved), ..) => (Bytes::from(moved), None),
        (None, Some(br), _) if accepted("br") => (Bytes::from_static(br), Some("br")),
        (None, _, Some(gz)) if accepted("gzip") => (Bytes::from_static(gz), Some("gzip")),
        _ => (Bytes::from_static(file.plain), None),
    };
    let tag = format!("\"{}{}{base}\"", file.tag, coding.unwrap_or_default());
    let known = bytes_body::lists(headers.get(header::IF_NONE_MATCH), &tag);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Response::new(Body::from(bytes))
    };
    let head = response.headers_mut();
    let caching = if file.path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(file.path)));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        head.insert(header::ETAG, tag);
    }
    if let Some(coding) = coding {
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

/// A document that finds everything else below `base`; `None` for what is no document.
fn below(file: &File, base: &str) -> Option<String> {
    const ROOT: &str = "<base href=\"/\">";
    let text = std::str::from_utf8(file.plain).ok()?;
    (file.path.ends_with(".html") && text.contains(ROOT))
        .then(|| text.replacen(ROOT, &format!("<base href=\"{base}/\">"), 1))
}

/// Whether the client takes a coding (RFC 9110, section 12.5.3).
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
            named && !parts.any(|p| p.strip_prefix("q=").is_some_and(|q| q.parse::<f32>() == Ok(0.0)))
        })
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webmanifest") => "application/manifest+json",
        Some("json") => "application/json",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn codings() {
        let of = |value| accepts(&headers(header::ACCEPT_ENCODING, value), "br");
        assert!(of("gzip, deflate, br"));
        assert!(of("BR;q=0.5"));
        assert!(!of("gzip"));
        assert!(!of("gzip, br;q=0"));
        assert!(!of("brotli"));
        assert!(!accepts(&HeaderMap::new(), "br"));
    }

    #[test]
    fn the_compressed_copy_has_a_tag_of_its_own_and_is_not_sent_twice() {
        static FILE: File = File {
            path: "assets/a.js",
            tag: "11",
            plain: b"plain",
            br: Some(b"br"),
            gz: None,
        };
        let first = answer(&FILE, "", &headers(header::ACCEPT_ENCODING, "br"));
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_ENCODING], "br");
        assert_eq!(first.headers()[header::ETAG], "\"11br\"");
        assert!(
            first.headers()[header::CACHE_CONTROL]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
        let plain = answer(&FILE, "", &HeaderMap::new());
        assert_eq!(plain.headers()[header::ETAG], "\"11\"");
        let again = answer(&FILE, "", &headers(header::IF_NONE_MATCH, "\"x\", W/\"11\""));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = answer(&FILE, "", &headers(header::IF_NONE_MATCH, "\"11br\""));
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn documents_know_where_they_are() {
        static FILE: File = File {
            path: "index.html",
            tag: "11",
            plain: b"<head><base href=\"/\"><link href=\"./a.css\">",
            br: Some(b"br"),
            gz: None,
        };
        let text = below(&FILE, "/cams/nvr").unwrap();
        assert_eq!(text, "<head><base href=\"/cams/nvr/\"><link href=\"./a.css\">");
        let answered = answer(&FILE, "/cams/nvr", &headers(header::ACCEPT_ENCODING, "br"));
        assert!(!answered.headers().contains_key(header::CONTENT_ENCODING));
        assert_eq!(answered.headers()[header::ETAG], "\"11/cams/nvr\"");
    }

    #[test]
    fn visits_are_told_from_programs() {
        let browser = headers(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8");
        assert!(is_visit("timeline", &browser));
        assert!(!is_visit("timeline", &headers(header::ACCEPT, "*/*")));
        assert!(!is_visit("api/v1/nothing", &browser));
        assert!(!is_visit("assets/index-gone.js", &browser));
    }
}
