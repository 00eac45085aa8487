//! The page: cameras with their state, watch, look back, save a clip. Static files, built in.

use axum::Router;
use axum::http::header;
use axum::routing::get;

use crate::server::AppState;

const FILES: [(&str, &str, &str); 7] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../page/index.html"),
    ),
    (
        "/page/app.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/app.js"),
    ),
    (
        "/page/common.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/common.js"),
    ),
    (
        "/page/live.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/live.js"),
    ),
    (
        "/page/viewer.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/viewer.js"),
    ),
    (
        "/page/style.css",
        "text/css; charset=utf-8",
        include_str!("../page/style.css"),
    ),
    (
        "/page/icon.svg",
        "image/svg+xml",
        include_str!("../page/icon.svg"),
    ),
];

/// Where they lie.
#[cfg(test)]
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(path, ..)| *path)
}

pub(crate) fn router() -> Router<AppState> {
    FILES
        .into_iter()
        .fold(Router::new(), |router, (path, kind, text)| {
            router.route(
                path,
                get(move || async move {
                    (
                        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")],
                        text,
                    )
                }),
            )
        })
}
