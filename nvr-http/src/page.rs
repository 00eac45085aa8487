//! The page: cameras with their state, watch, look back, save a clip. Static files, built in.

use axum::Router;
use axum::http::header;
use axum::routing::get;

use crate::server::AppState;

const FILES: [(&str, &str, &str); 3] = [
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
        "/page/style.css",
        "text/css; charset=utf-8",
        include_str!("../page/style.css"),
    ),
];

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
